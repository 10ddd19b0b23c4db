"""One instance never slows another, whether it hangs, is gone, or asks for a pause."""

from tests.integration.metrics import total
from tests.integration.populated_instance import (
    CHANGED,
    PopulatedInstance,
    about_data_sources,
    numbered,
    posts,
)
from tests.integration.sandbox import NO_DEFAULT_INSTANCE, SECONDS, Sandbox, ready_of
from tests.integration.standing import shared_sandbox, standing_sandbox
from tests.servers.faults import requests_of
from tests.servers.polling import eventually

__all__ = ["shared_sandbox", "standing_sandbox"]

JSON = {"Content-Type": "application/json"}
LONGER_THAN_THE_TEST = "300s"
PROBE = requests_of("GET", "/api/org")


def test_beside_a_dead_and_a_hanging_instance_the_healthy_one_does_all_its_work(
    shared: Sandbox,
) -> None:
    healthy = PopulatedInstance(shared, "healthy")
    dead = PopulatedInstance(shared, "dead")
    hanging = PopulatedInstance(shared, "hanging", timeout=LONGER_THAN_THE_TEST)
    hung, lost, fine = numbered("hung", 30), numbered("lost", 30), numbered("fine", 30)
    hanging.proxy.hang(about_data_sources)
    dead.proxy.refuse()
    hanging.apply(hung)
    dead.apply(lost)
    eventually(hanging.open_requests, bool, SECONDS, "a look that hangs")
    dead.wait_for_reason(lost, "GrafanaUnreachable")
    opened = hanging.open_requests()

    healthy.apply(fine)
    healthy.wait_ready(fine)
    healthy.apply(fine, **CHANGED)
    healthy.wait_ready(fine)
    for name in fine[:10]:
        shared.delete(name)
    for name in fine[:10]:
        shared.wait_gone(name)
    assert healthy.held() == dict.fromkeys(fine[10:], CHANGED["url"])

    # Whatever was open on the hanging one when the others began is open still.
    assert [request.ended for request in opened] == [None] * len(opened)
    assert hanging.held() == dead.held() == {}
    up = [place.metric("gdso_instance_up") for place in (healthy, dead, hanging)]
    assert up == [1, 0, 1]
    assert healthy.metric("gdso_grafana_requests_total", code="none") == 0
    assert healthy.metric("gdso_grafana_requests_total", method="POST", code="200") == len(fine)
    assert hanging.metric("gdso_grafana_requests_total", method="POST") == 0
    assert dead.metric("gdso_grafana_requests_total", code="none") > 0

    hanging.proxy.clear()
    dead.proxy.accept()
    hanging.wait_ready(hung)
    dead.wait_ready(lost)


def test_health_is_asked_where_it_can_be_while_looks_queue_elsewhere(shared: Sandbox) -> None:
    healthy = PopulatedInstance(shared, "asked")
    hanging = PopulatedInstance(shared, "unasked", timeout=LONGER_THAN_THE_TEST)
    hanging.proxy.hang(about_data_sources)
    hanging.apply(numbered("queued", 40))
    eventually(hanging.open_requests, bool, SECONDS, "a look that hangs")
    opened = hanging.open_requests()
    healthy.apply(["checked"], healthCheck={"enabled": True})
    healthy.wait_ready(["checked"])
    healthy.wait_for_requests(requests_of("GET", path_pattern=r"_checked/health$"))
    assert [request.ended for request in opened] == [None] * len(opened)
    (operator,) = shared.operators
    assert total(operator, "gdso_queue_depth") > 0


def test_a_pause_that_one_instance_asks_for_holds_up_nobody_else(shared: Sandbox) -> None:
    throttled, other = (
        PopulatedInstance(shared, "throttled"),
        PopulatedInstance(shared, "unthrottled"),
    )
    throttled.proxy.answer(
        429, {**JSON, "Retry-After": "5"}, b'{"message": "slow down"}', matching=posts, times=1
    )
    throttled.apply(["slowed"])
    shared.wait_for_reason("slowed", "GrafanaError", message='HTTP 429: "slow down"')
    names = numbered("meanwhile", 5)
    throttled.apply(names)
    other.apply(["not-slowed"])
    other.wait_ready(["not-slowed"])
    throttled.wait_ready([*names, "slowed"])
    (refused,) = [r for r in throttled.proxy.requests if r.status == 429]
    later = [r for r in throttled.proxy.requests if r.time > refused.time]
    assert min(r.time for r in later) - refused.time >= 5
    assert PROBE(min(later, key=lambda r: r.time))
    (created,) = other.proxy.matching(posts)
    assert created.time < min(r.time for r in later)


def test_an_instance_that_hangs_from_the_start_of_the_operator_holds_up_nobody_else(
    sandbox: Sandbox,
) -> None:
    targets = {name: sandbox.add_grafana() for name in ("hangs", "works")}
    for name, target in targets.items():
        target.make_by_hand("first")
        sandbox.apply_instance(name, target, timeout=LONGER_THAN_THE_TEST)
        for number in range(20):
            spec = {"type": "loki", "url": "http://loki:3100", "instanceRef": {"name": name}}
            sandbox.apply(f"{name}-{number}", spec)
    hanging = targets["hangs"].proxy
    hanging.hang()
    operator = sandbox.start_operator(**NO_DEFAULT_INSTANCE)
    for number in range(20):
        sandbox.wait_ready(f"works-{number}")
    assert [(r.path, r.ended) for r in hanging.requests] == [("/api/org", None)]
    for number in range(20):
        raw = sandbox.get(f"hangs-{number}")
        assert raw is not None
        assert ready_of(raw)["reason"] == "Pending"
    # And SIGTERM does not wait for its first answer.
    assert operator.stop() == 0
    assert [r.ended is None for r in hanging.requests] == [False]
    hanging.clear()
