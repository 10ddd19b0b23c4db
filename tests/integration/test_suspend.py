"""spec.suspend: nothing is written, what status said stays said, and all is made up for later."""

from tests.integration.sandbox import Json, Sandbox, ready_of
from tests.integration.specs import LOKI, secret_key
from tests.integration.standing import shared_sandbox as shared_sandbox
from tests.integration.standing import standing_sandbox as standing_sandbox

SUSPENDED = {**LOKI, "suspend": True}


def wait_suspended(sandbox: Sandbox, name: str) -> Json:
    return sandbox.wait_until(
        name, lambda raw: ready_of(raw)["reason"] == "Suspended", "to be suspended"
    )


def test_a_suspended_resource_keeps_what_status_says_of_the_last_state_that_was_synced(
    shared: Sandbox,
) -> None:
    shared.apply("paused", LOKI)
    before = shared.wait_ready("paused")
    held = shared.held(shared.uid("paused"))
    mark = shared.proxy.mark()

    shared.apply("paused", {**SUSPENDED, "url": "http://elsewhere:3100"})
    after = wait_suspended(shared, "paused")
    assert ready_of(after)["status"] == "True"
    assert ready_of(after)["observedGeneration"] == ready_of(before)["observedGeneration"]
    assert ready_of(after)["lastTransitionTime"] == ready_of(before)["lastTransitionTime"]
    assert after["status"]["observedGeneration"] == before["status"]["observedGeneration"]
    assert after["status"]["instances"] == before["status"]["instances"]
    assert [c["type"] for c in after["status"]["conditions"]] == ["Ready"]

    # Neither more changes nor requests nor edits by hand make it write.
    shared.apply("paused", {**SUSPENDED, "url": "http://yet-elsewhere:3100"})
    again = shared.request_reconcile("paused")
    assert again["metadata"]["generation"] == before["metadata"]["generation"] + 2
    assert again["status"]["observedGeneration"] == before["status"]["observedGeneration"]
    assert shared.held(shared.uid("paused")) == held
    assert shared.grafana_requests(mark) == []

    shared.apply("paused", {**LOKI, "url": "http://yet-elsewhere:3100"})
    resumed = shared.wait_ready("paused")
    assert ready_of(resumed)["lastTransitionTime"] == ready_of(before)["lastTransitionTime"]
    held = shared.held(shared.uid("paused"))
    assert held["url"] == "http://yet-elsewhere:3100"


def test_a_resource_that_is_suspended_from_the_start_reaches_grafana_when_it_is_resumed(
    shared: Sandbox,
) -> None:
    mark = shared.proxy.mark()
    shared.apply("asleep", SUSPENDED)
    raw = wait_suspended(shared, "asleep")
    assert (ready_of(raw)["status"], ready_of(raw)["observedGeneration"]) == ("Unknown", -1)
    assert raw["status"]["observedGeneration"] == -1
    assert "finalizers" not in raw["metadata"]
    assert shared.grafana_requests(mark) == []
    shared.apply("asleep", LOKI)
    shared.wait_ready("asleep")
    assert shared.in_grafana(shared.uid("asleep")) is not None


def test_a_secret_that_rotates_meanwhile_is_sent_when_the_resource_is_resumed(
    shared: Sandbox,
) -> None:
    uid, secret = shared.uid("keyed"), {"secureJsonData": {"password": secret_key("keyed", "key")}}
    shared.apply_secret("keyed", {"key": "secret before suspending"})
    shared.apply("keyed", {**LOKI, **secret})
    shared.wait_ready("keyed")
    shared.apply("keyed", {**SUSPENDED, **secret})
    wait_suspended(shared, "keyed")
    mark = shared.proxy.mark()
    shared.apply_secret("keyed", {"key": "secret while suspended"})
    shared.request_reconcile("keyed")
    assert shared.grafana_requests(mark) == []
    shared.apply("keyed", {**LOKI, **secret})
    shared.wait_ready("keyed")
    assert f"PUT /api/datasources/uid/{uid}" in shared.grafana_requests(mark)


def test_a_resource_in_trouble_stays_not_ready_while_it_is_suspended(shared: Sandbox) -> None:
    shared.apply("troubled", LOKI)
    shared.wait_ready("troubled")
    shared.apply("troubled", {**LOKI, "url": ""})
    shared.wait_for_reason("troubled", "InvalidSpec")
    shared.apply("troubled", {**SUSPENDED, "url": ""})
    raw = wait_suspended(shared, "troubled")
    assert ready_of(raw)["status"] == "False"
    assert [c["type"] for c in raw["status"]["conditions"]] == ["Ready"]
