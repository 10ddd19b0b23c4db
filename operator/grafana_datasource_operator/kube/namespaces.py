"""Namespaces as far as the operator needs them: the one whose uid tells clusters apart."""

from .api import KubeApi


async def read_namespace_uid(api: KubeApi, name: str) -> str:
    """Uid of a namespace, which no other cluster has.

    Raises:
        KubeError: it does not exist, may not be read, or the apiserver could not be asked.
    """
    raw = await api.request("GET", f"/api/v1/namespaces/{name}")
    return str(raw["metadata"]["uid"])
