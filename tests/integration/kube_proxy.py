"""The operator's way to the apiserver through a proxy that can count, cut and kill."""

from tests.conftest import StartProxy
from tests.integration.sandbox import Sandbox
from tests.servers.faults import Predicate, ProxiedRequest, requests_of
from tests.servers.operator_process import OperatorProcess

SOURCES = "grafanadatasources"
INSTANCES = "grafanainstances"


class ProxiedKubernetes:
    """A proxy before the sandbox's apiserver, and operators that go through it."""

    def __init__(self, sandbox: Sandbox, start_proxy: StartProxy) -> None:
        kubernetes = sandbox.kubernetes
        self._sandbox = sandbox
        self.proxy = start_proxy(kubernetes.url, kubernetes.ca)
        self.kubeconfig = kubernetes.write_kubeconfig(
            sandbox.directory.with_suffix(".kubeconfig"), server=self.proxy.url
        )

    def make_operator(self, **settings: str) -> OperatorProcess:
        return self._sandbox.make_operator(KUBECONFIG=str(self.kubeconfig), **settings)


def patch_of_object(request: ProxiedRequest) -> bool:
    """A write of finalizers."""
    return request.method == "PATCH" and _is_about_sources(request) and not _is_status(request)


def patch_of_status(request: ProxiedRequest) -> bool:
    return request.method == "PATCH" and _is_about_sources(request) and _is_status(request)


def watch_of(plural: str) -> Predicate:
    return requests_of("GET", path_pattern=rf"/{plural}\?.*watch=true")


def _is_about_sources(request: ProxiedRequest) -> bool:
    return f"/{SOURCES}/" in request.path


def _is_status(request: ProxiedRequest) -> bool:
    return request.path.partition("?")[0].endswith("/status")
