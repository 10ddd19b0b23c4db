"""A watch may lose deletions, or die in silence: lists find out, and a restart helps."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import load_kube_config

from grafana_datasource_operator.api.names import DATA_SOURCE, ObjectKey
from grafana_datasource_operator.engine import staleness
from grafana_datasource_operator.engine.engine import Engine
from grafana_datasource_operator.engine.staleness import StalenessGuard, StaleViewError
from grafana_datasource_operator.engine.view import View
from grafana_datasource_operator.kube.api import KubeApi
from grafana_datasource_operator.kube.resources import Resources
from tests.conftest import StartProxy
from tests.integration.kube_proxy import SOURCES, ProxiedKubernetes, watch_of
from tests.integration.metrics import total
from tests.integration.patched_operator import with_constants
from tests.integration.sandbox import SECONDS, Sandbox
from tests.servers.faults import ProxiedRequest
from tests.servers.polling import eventually, eventually_async

PLAIN = {"type": "prometheus", "url": "http://prometheus:9090"}
WAITING = {
    **PLAIN,
    "secureJsonData": {"password": {"secretKeyRef": {"name": "missing", "key": "a"}}},
}
EMPTY_LIST = (
    b'{"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",'
    b' "metadata": {"resourceVersion": "1"}, "items": []}'
)


def is_list(request: ProxiedRequest) -> bool:
    return request.method == "GET" and "resourceVersion=0" in request.path


class Watched:
    """The guard and what it guards, with the test in the place of the watch."""

    def __init__(self, sandbox: Sandbox, api: KubeApi) -> None:
        self.sandbox = sandbox
        self.engine = Engine(View(lambda _: []), lambda _: True)
        resources = Resources(api, DATA_SOURCE, self.engine.remember)
        self.guard = StalenessGuard(self.engine, DATA_SOURCE, resources, [sandbox.namespace])

    def key(self, name: str) -> ObjectKey:
        return ObjectKey(DATA_SOURCE.kind, self.sandbox.namespace, name)

    def deliver(self, name: str) -> None:
        """What the watch would: the object as it is."""
        raw = self.sandbox.get(name)
        assert raw is not None
        self.engine.observe(raw)

    def knows(self, name: str) -> bool:
        return self.engine.view.get(self.key(name)) is not None


@pytest.fixture
def kubernetes_side(sandbox: Sandbox, fault_proxy_to: StartProxy) -> ProxiedKubernetes:
    return ProxiedKubernetes(sandbox, fault_proxy_to)


@pytest.fixture
async def watched(sandbox: Sandbox, kubernetes_side: ProxiedKubernetes) -> AsyncIterator[Watched]:
    configuration = Configuration()
    await load_kube_config(
        config_file=str(kubernetes_side.kubeconfig), client_configuration=configuration
    )
    api = KubeApi(configuration, "gdso/in-process")
    made = Watched(sandbox, api)
    yield made
    made.engine.queue.close()
    await api.close()


async def test_a_deletion_that_no_watch_delivered_is_noticed(watched: Watched) -> None:
    for name in ("goes", "stays"):
        watched.sandbox.apply(name, PLAIN)
        watched.deliver(name)
    watched.sandbox.delete("goes")
    await watched.guard.compare()
    assert not watched.knows("goes")
    assert watched.knows("stays")


async def test_what_a_list_lacks_is_dropped_only_after_a_read_says_that_it_is_gone(
    watched: Watched, kubernetes_side: ProxiedKubernetes
) -> None:
    watched.sandbox.apply("just-made", PLAIN)
    watched.deliver("just-made")
    json = {"Content-Type": "application/json"}
    behind = kubernetes_side.proxy.answer(200, json, EMPTY_LIST, matching=is_list)
    await watched.guard.compare()
    assert behind.hits == 1
    assert watched.knows("just-made")


async def test_a_namesake_of_a_dropped_resource_is_looked_at_as_new(watched: Watched) -> None:
    watched.sandbox.apply("twice", PLAIN)
    watched.deliver("twice")
    assert await watched.engine.queue.get() == watched.key("twice")
    watched.engine.queue.done(watched.key("twice"))
    watched.sandbox.delete("twice")
    await watched.guard.compare()
    watched.sandbox.apply("twice", PLAIN)
    watched.deliver("twice")
    assert await watched.engine.queue.get() == watched.key("twice")


async def test_an_empty_namespace_compares_well(watched: Watched) -> None:
    await watched.guard.compare()


async def test_a_view_that_stays_behind_is_an_error(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staleness, "TOLERATED_LAG_SECONDS", 0.1)
    watched.sandbox.apply("changed", PLAIN)
    watched.deliver("changed")
    await watched.guard.compare()
    watched.sandbox.apply("changed", {**PLAIN, "user": "unseen"})
    watched.sandbox.apply("made", PLAIN)
    with pytest.raises(StaleViewError, match="2 objects behind"):
        await watched.guard.compare()


async def test_a_view_that_catches_up_in_time_is_none(
    watched: Watched, kubernetes_side: ProxiedKubernetes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staleness, "TOLERATED_LAG_SECONDS", 2.0)
    watched.sandbox.apply("late", PLAIN)
    comparing = asyncio.create_task(watched.guard.compare())

    async def listed() -> bool:
        return any(r.ended and is_list(r) for r in kubernetes_side.proxy.requests)

    await eventually_async(listed, bool, SECONDS, "the list")
    assert not comparing.done()
    watched.deliver("late")
    await comparing


def comparing_often(directory: Path, *, tolerated_lag: float) -> dict[str, str]:
    """Settings of an operator."""
    return with_constants(
        directory / "constants",
        "engine.staleness",
        {
            "SHORTEST_PERIOD_SECONDS": 0.1,
            "LONGEST_PERIOD_SECONDS": 0.2,
            "TOLERATED_LAG_SECONDS": tolerated_lag,
        },
    )


def test_an_operator_drops_a_resource_whose_deletion_its_watch_lost(
    sandbox: Sandbox, kubernetes_side: ProxiedKubernetes, tmp_path: Path
) -> None:
    quick = comparing_often(tmp_path, tolerated_lag=5.0)
    operator = kubernetes_side.make_operator(**quick).start()
    sandbox.apply("ghost", WAITING)  # never had our finalizer, so it goes at once
    sandbox.wait_for_reason("ghost", "WaitingForSecret")
    assert total(operator, "gdso_resources", reason="WaitingForSecret") == 1
    silence(kubernetes_side)
    sandbox.delete("ghost")
    eventually(
        lambda: total(operator, "gdso_resources"),
        lambda number: number == 0,
        SECONDS,
        "the ghost to be dropped",
    )


def test_an_operator_whose_watch_went_silent_ends_with_code_1_and_the_next_catches_up(
    sandbox: Sandbox, kubernetes_side: ProxiedKubernetes, tmp_path: Path
) -> None:
    quick = comparing_often(tmp_path, tolerated_lag=1.0)
    operator = kubernetes_side.make_operator(**quick).start()
    sandbox.apply("changed", PLAIN)
    sandbox.wait_ready("changed")
    silence(kubernetes_side)
    sandbox.apply("changed", {**PLAIN, "url": "http://unseen:9090"})
    assert operator.process.wait_exit(SECONDS) == 1
    assert "staleness guard ended: StaleViewError" in operator.log

    kubernetes_side.proxy.clear()
    operator.start()
    sandbox.wait_ready("changed")
    held = sandbox.in_grafana(sandbox.uid("changed"))
    assert held is not None
    assert held["url"] == "http://unseen:9090"


def silence(kubernetes_side: ProxiedKubernetes) -> None:
    """The watch of the resources goes on, as far as the operator can tell, and delivers nothing."""
    kubernetes_side.proxy.hang(watch_of(SOURCES))
    kubernetes_side.proxy.cut_connections()
