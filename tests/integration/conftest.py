"""A sandbox per test; after each, what must hold everywhere is checked."""

import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.integration.sandbox import Sandbox
from tests.servers.grafana import Grafana
from tests.servers.kubernetes import KubernetesServer
from tests.servers.polling import eventually

_CRDS = Path(__file__).parents[2] / "crds"


class MakeSandbox(Protocol):
    """What `make_sandbox` is; without `kubernetes` on the server that all tests share."""

    def __call__(self, grafana: Grafana, kubernetes: KubernetesServer | None = None) -> Sandbox: ...


def install_crds(kubernetes: KubernetesServer) -> None:
    kubectl = kubernetes.kubectl
    kubectl("apply", "-f", str(_CRDS))
    kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    # Established does not mean served: the first requests may still meet 404 or 429.
    eventually(
        lambda: kubectl.run("get", "grafanadatasources,grafanainstances").returncode,
        lambda code: code == 0,
        within_seconds=30,
        what="the kinds to be served",
    )


@pytest.fixture(scope="session")
def kubernetes_with_crds(kubernetes_server: KubernetesServer) -> KubernetesServer:
    install_crds(kubernetes_server)
    return kubernetes_server


def _slug(name: str) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", name.removeprefix("test_").lower()).strip("-")
    return f"{words[:12].rstrip('-')}-{secrets.token_hex(3)}"


@pytest.fixture
def make_sandbox(
    kubernetes_with_crds: KubernetesServer, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[MakeSandbox]:
    """Makes a sandbox on a Grafana of the test's own choice."""
    made: list[Sandbox] = []

    def make(grafana: Grafana, kubernetes: KubernetesServer | None = None) -> Sandbox:
        kubernetes = kubernetes or kubernetes_with_crds
        namespace = _slug(request.node.name)
        kubernetes.kubectl("create", "namespace", namespace)
        sandbox = Sandbox(
            kubernetes=kubernetes,
            grafana=grafana,
            namespace=namespace,
            directory=tmp_path / namespace,
        )
        made.append(sandbox)
        return sandbox

    try:
        yield make
        for sandbox in made:
            sandbox.check_everywhere()
    finally:
        for sandbox in made:
            sandbox.close()


@pytest.fixture
def sandbox(make_sandbox: MakeSandbox, grafana: Grafana) -> Sandbox:
    """A sandbox on the newest Grafana there is."""
    return make_sandbox(grafana)


@pytest.fixture
def sandbox_on_every_grafana(make_sandbox: MakeSandbox, every_grafana: Grafana) -> Sandbox:
    """A sandbox in turn on every version of Grafana."""
    return make_sandbox(every_grafana)
