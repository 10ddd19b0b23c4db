"""Where the apiserver is and who we are there: the pod's service account, else the kubeconfig."""

import os
from pathlib import Path
from urllib.request import getproxies

from kubernetes.aio.client import Configuration
from kubernetes.aio.config import load_incluster_config, load_kube_config

__all__ = [
    "Configuration",
    "NoClusterError",
    "is_in_cluster",
    "load_configuration",
    "read_own_namespace",
]

_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class NoClusterError(Exception):
    """Neither a service account nor a usable kubeconfig is there."""


def is_in_cluster() -> bool:
    """Whether this process runs in a pod."""
    return "KUBERNETES_SERVICE_HOST" in os.environ


def read_own_namespace() -> str | None:
    """Namespace of the pod, or None outside of a cluster."""
    return _NAMESPACE_FILE.read_text().strip() if is_in_cluster() else None


async def load_configuration() -> Configuration:
    """The connection, as kubectl would find it.

    Raises:
        NoClusterError: with what to do.
    """
    configuration = Configuration()
    try:
        if is_in_cluster():
            load_incluster_config(client_configuration=configuration)
        else:
            await load_kube_config(client_configuration=configuration)
    except Exception as error:  # noqa: BLE001 - whatever a broken file makes the loader raise
        # Its text may quote the file, and so credentials.
        raise NoClusterError(
            "no cluster to connect to: set KUBECONFIG to a kubeconfig file, or run in a pod with"
            f" a service account ({type(error).__name__})"
        ) from None
    configuration.connection_pool_maxsize = 32
    # Proxies as kubectl takes them; without one, netrc is not searched on each request.
    configuration.client_session_kwargs = {"trust_env": bool(getproxies())}
    return configuration
