"""How much is asked of one Grafana at a time, and how often."""

from tests.integration.metrics import total
from tests.integration.populated_instance import (
    CHANGED,
    PLAIN,
    PopulatedInstance,
    gaps,
    most_in_flight,
    numbered,
    posts,
)
from tests.integration.sandbox import SECONDS, Sandbox
from tests.integration.standing import shared_sandbox, standing_sandbox
from tests.servers.faults import requests_of
from tests.servers.polling import eventually

__all__ = ["shared_sandbox", "standing_sandbox"]

GAP_SECONDS = 1.1
LIST = requests_of("GET", path_pattern=r"^/api/datasources$")


def test_writes_find_their_width_below_the_ceiling(shared: Sandbox) -> None:
    """A server that takes its time for each write, and takes several: as PostgreSQL does."""
    place = PopulatedInstance(shared, "wide", maxConcurrentRequests=3)
    place.proxy.delay(0.1, posts)
    names = numbered("wide", 80)
    place.apply(names)
    place.wait_ready(names)
    sent = place.proxy.matching(posts)
    assert most_in_flight(sent[:5]) == 1
    assert 1 < most_in_flight(sent) <= 3


def test_a_ceiling_of_one_is_kept_by_writes_and_by_reads(shared: Sandbox) -> None:
    place = PopulatedInstance(shared, "narrow", maxConcurrentRequests=1)
    names = numbered("narrow", 30)
    place.apply(names)
    place.wait_ready(names)
    place.apply(names, **CHANGED)
    place.wait_ready(names)
    for method in ("POST", "GET", "PUT"):
        sent = [r for r in place.target.requests() if r.method == method]
        assert (method, most_in_flight(sent)) == (method, 1)


def test_two_writes_lie_apart_also_over_a_new_connection(shared: Sandbox) -> None:
    place = PopulatedInstance(shared, "rotated")
    place.apply(["apart"])
    place.wait_ready(["apart"])
    fresh = place.target.server.create_token(org_id=place.target.org_id)
    shared.apply_secret("rotated-token", {"token": fresh})
    for number in range(5):
        place.apply(["apart"], url=f"http://prometheus-{number}:9090")
    place.wait_ready(["apart"])
    writes = [r for r in place.target.requests() if r.method != "GET"]
    assert 2 <= len(writes) <= 4
    assert min(gaps(writes)) >= GAP_SECONDS
    assert place.held() == {"apart": "http://prometheus-4:9090"}


def test_a_resync_is_one_list_however_many_there_are_and_writes_nothing(sandbox: Sandbox) -> None:
    operator = sandbox.start_operator(GDSO_RESYNC_INTERVAL="2s")
    names = numbered("listed", 60)
    for name in names:
        sandbox.apply(name, {**PLAIN, "resyncInterval": "0s"})
    for name in names:
        sandbox.wait_ready(name)
    kube, grafana = sandbox.audit.mark(), sandbox.proxy.mark()
    looks = total(operator, "gdso_reconcile_total")
    eventually(
        lambda: len(sandbox.proxy.matching(LIST, grafana)),
        lambda lists: lists >= 3,
        SECONDS,
        "three lists",
    )
    assert {f"{r.method} {r.path}" for r in sandbox.proxy.since(grafana)} == {
        "GET /api/datasources"
    }
    assert total(operator, "gdso_reconcile_total") == looks
    assert sandbox.kubernetes_writes(kube) == []

    # What the list shows to be different is looked at, and nothing else.
    mark = sandbox.proxy.mark()
    sandbox.target.edit(sandbox.uid(names[7]), url="http://by-hand:9090")
    path = f"/api/datasources/uid/{sandbox.uid(names[7])}"
    eventually(
        lambda: [f"{r.method} {r.path}" for r in sandbox.proxy.since(mark) if not LIST(r)],
        lambda asked: asked == [f"GET {path}", f"PUT {path}"],
        SECONDS,
        "the correction, and no other request",
    )


def test_deep_reads_are_spread_over_the_interval(sandbox: Sandbox) -> None:
    """After a start all are looked at at once; from then on each has its own time."""
    operator = sandbox.start_operator()
    names = numbered("deep", 40)
    for name in names:
        sandbox.apply(name, {**PLAIN, "resyncInterval": "4s"})
    for name in names:
        sandbox.wait_ready(name)
    operator.stop()
    kube, grafana = sandbox.audit.mark(), sandbox.proxy.mark()

    def first_reads() -> dict[str, float]:
        return {r.path: r.time for r in reversed(sandbox.target.requests(grafana))}

    def wait_for_reads() -> dict[str, float]:
        return eventually(
            first_reads, lambda found: len(found) == len(names), SECONDS, "a read of each"
        )

    operator.start()
    wait_for_reads()
    grafana = sandbox.proxy.mark()
    firsts = wait_for_reads()
    assert max(firsts.values()) - min(firsts.values()) >= 2
    assert {r.method for r in sandbox.proxy.since(grafana)} == {"GET"}
    assert sandbox.kubernetes_writes(kube) == []
