"""Events tell each transition once, count what repeats, and are silent while nothing happens."""

from collections import Counter

from tests.integration.sandbox import Sandbox, ready_of
from tests.integration.specs import LOKI, UNCHECKED, secret_key
from tests.integration.standing import shared_sandbox as shared_sandbox
from tests.integration.standing import standing_sandbox as standing_sandbox


def told(sandbox: Sandbox, name: str) -> Counter[str]:
    """How often each reason was told about a resource."""
    counts: Counter[str] = Counter()
    for event in sandbox.events(name):
        counts[event["reason"]] += event["count"]
    return counts


def wait_until_told(sandbox: Sandbox, name: str, **reasons: int) -> None:
    """Events are posted behind the status: wait for exactly these."""
    sandbox.wait(name, lambda _: told(sandbox, name) == Counter(reasons), f"events {reasons}")


def test_each_step_of_a_life_is_told_once(shared: Sandbox) -> None:
    uid, keyed = shared.uid("life"), {"secureJsonData": {"password": secret_key("life", "key")}}
    shared.apply_secret("life", {"key": "first secret value"})
    shared.apply("life", {**LOKI, **keyed})
    shared.wait_ready("life")
    wait_until_told(shared, "life", Created=1)

    shared.apply("life", {**LOKI, **keyed, "url": "http://elsewhere:3100"})
    shared.wait_ready("life")
    wait_until_told(shared, "life", Created=1, Updated=1)

    shared.apply_secret("life", {"key": "second secret value"})
    wait_until_told(shared, "life", Created=1, Updated=1, SecretChanged=1)

    shared.grafana.put(
        f"datasources/uid/{uid}", json={**LOKI, "name": "edited", "access": "proxy"}
    ).raise_for_status()
    shared.request_reconcile("life")
    wait_until_told(shared, "life", Created=1, Updated=1, SecretChanged=1, DriftCorrected=1)

    shared.delete("life")
    shared.wait_gone("life")
    steps = {"Created": 1, "Updated": 1, "SecretChanged": 1, "DriftCorrected": 1, "Deleted": 1}
    wait_until_told(shared, "life", **steps)
    events = shared.events("life")
    assert {event["type"] for event in events} == {"Normal"}
    assert {event["involvedObject"]["kind"] for event in events} == {"GrafanaDataSource"}
    assert {event["source"]["component"] for event in events} == {"gdso"}


def test_an_orphan_is_told(shared: Sandbox) -> None:
    shared.apply("orphan", {**LOKI, "deletionPolicy": "Orphan"})
    shared.wait_ready("orphan")
    shared.delete("orphan")
    shared.wait_gone("orphan")
    wait_until_told(shared, "orphan", Created=1, Orphaned=1)


def test_each_new_reason_why_a_resource_is_not_ready_is_told_once(shared: Sandbox) -> None:
    waiting = {**LOKI, "secureJsonData": {"password": secret_key("not-there", "key")}}
    shared.apply("trouble", waiting)
    shared.wait_for_reason("trouble", "WaitingForSecret")
    wait_until_told(shared, "trouble", WaitingForSecret=1)

    # The same reason again, for another generation, is no news.
    shared.apply("trouble", {**waiting, "url": "http://elsewhere:3100"})
    shared.wait_for_reason("trouble", "WaitingForSecret")
    shared.request_reconcile("trouble")
    shared.apply("trouble", {**LOKI, "url": ""})
    shared.wait_for_reason("trouble", "InvalidSpec")
    wait_until_told(shared, "trouble", WaitingForSecret=1, InvalidSpec=1)

    shared.apply("trouble", LOKI)
    shared.wait_ready("trouble")
    wait_until_told(shared, "trouble", WaitingForSecret=1, InvalidSpec=1, Created=1)
    kinds = {event["reason"]: event["type"] for event in shared.events("trouble")}
    assert kinds == {"WaitingForSecret": "Warning", "InvalidSpec": "Warning", "Created": "Normal"}


def test_a_blocked_deletion_is_told_once(shared: Sandbox) -> None:
    shared.apply("blocked", LOKI)
    shared.wait_ready("blocked")
    with shared.proxy.refusing():
        shared.delete("blocked")
        shared.wait_for_reason("blocked", "DeletionBlocked")
        wait_until_told(shared, "blocked", Created=1, DeletionBlocked=1)
    shared.wait_gone("blocked")
    wait_until_told(shared, "blocked", Created=1, DeletionBlocked=1, Deleted=1)


def test_a_suspension_is_told_as_something_normal(shared: Sandbox) -> None:
    shared.apply("suspended", {**LOKI, "suspend": True})
    wait_until_told(shared, "suspended", Suspended=1)
    (event,) = shared.events("suspended")
    assert event["type"] == "Normal"


def test_an_event_that_repeats_is_counted_and_not_made_again(shared: Sandbox) -> None:
    shared.apply("repeats", LOKI)
    shared.wait_ready("repeats")
    for number in range(1, 4):
        shared.apply("repeats", {**LOKI, "url": ""})
        shared.wait_for_reason("repeats", "InvalidSpec")
        shared.apply("repeats", LOKI)
        shared.wait_ready("repeats")
        wait_until_told(shared, "repeats", Created=1, InvalidSpec=number)
    assert len(shared.events("repeats")) == 2


def test_quiet_resyncs_and_restarts_are_not_told(sandbox: Sandbox) -> None:
    operator = sandbox.start_operator()
    sandbox.apply_secret("quiet", {"key": "the same secret value"})
    quiet = {
        **LOKI,
        **UNCHECKED,
        "resyncInterval": "1s",
        "secureJsonData": {"password": secret_key("quiet", "key")},
    }
    sandbox.apply("quiet", quiet)
    sandbox.apply("troubled", {**LOKI, "url": "", "resyncInterval": "1s"})
    ready = sandbox.wait_ready("quiet")
    sandbox.wait_for_reason("troubled", "InvalidSpec")
    wait_until_told(sandbox, "quiet", Created=1)
    wait_until_told(sandbox, "troubled", InvalidSpec=1)

    operator.restart()
    mark, kube = sandbox.proxy.mark(), sandbox.audit.mark()
    sandbox.wait("quiet", lambda _: len(sandbox.grafana_requests(mark)) >= 2, "two resyncs")
    assert told(sandbox, "quiet") == {"Created": 1}
    assert told(sandbox, "troubled") == {"InvalidSpec": 1}
    assert sandbox.get("quiet") == ready
    assert sandbox.kubernetes_writes(kube) == []
    assert ready_of(ready)["status"] == "True"
