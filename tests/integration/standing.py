"""A sandbox with a running operator for all tests of a module: an operator takes seconds to start.

A module takes both fixtures in by importing them under their own names; its tests use `shared`, or
`shared_on_every_grafana`.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.sandbox import Sandbox
from tests.servers.grafana import Grafana
from tests.servers.kubernetes import KubernetesServer


@contextmanager
def open_sandbox(
    kubernetes: KubernetesServer, grafana: Grafana, directory: Path, *, org_id: int | None = None
) -> Iterator[Sandbox]:
    """In a namespace of its own and, unless it is given, an organization of its own."""
    namespace = f"shared-{secrets.token_hex(4)}"
    kubernetes.kubectl("create", "namespace", namespace)
    sandbox = Sandbox(
        kubernetes=kubernetes,
        grafana=grafana,
        namespace=namespace,
        org_id=org_id,
        directory=directory,
    )
    try:
        yield sandbox
    finally:
        sandbox.close()


@pytest.fixture(scope="module", name="standing")
def standing_sandbox(
    kubernetes_with_crds: KubernetesServer,
    grafana: Grafana,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Sandbox]:
    directory = tmp_path_factory.mktemp("standing")
    with open_sandbox(kubernetes_with_crds, grafana, directory) as sandbox:
        # The first data source of an organization is forced to be its default: not one of a test.
        sandbox.grafana.post("datasources", json=_FIRST).raise_for_status()
        sandbox.start_operator()
        yield sandbox


@pytest.fixture(name="shared")
def shared_sandbox(standing: Sandbox) -> Iterator[Sandbox]:
    """The module's sandbox; what must hold everywhere is checked after each test."""
    yield standing
    standing.restore_proxies()
    standing.check_everywhere()


@pytest.fixture(scope="module")
def standing_on_every_grafana(
    kubernetes_with_crds: KubernetesServer,
    every_grafana: Grafana,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Sandbox]:
    """In turn on every version of Grafana; lists are made each second."""
    directory = tmp_path_factory.mktemp("standing")
    with open_sandbox(kubernetes_with_crds, every_grafana, directory) as sandbox:
        sandbox.grafana.post("datasources", json=_FIRST).raise_for_status()
        sandbox.start_operator(GDSO_RESYNC_INTERVAL="1s")
        yield sandbox


@pytest.fixture
def shared_on_every_grafana(standing_on_every_grafana: Sandbox) -> Iterator[Sandbox]:
    """The same for one test, as `shared` is."""
    yield standing_on_every_grafana
    standing_on_every_grafana.restore_proxies()
    standing_on_every_grafana.check_everywhere()


_FIRST = {"name": "first of the organization", "type": "testdata", "access": "proxy"}
