"""driftPolicy Report: our changes are applied, those of others are told and stay."""

import pytest

from tests.integration.sandbox import Json, Sandbox, ready_of
from tests.integration.specs import LOKI, secret_key
from tests.integration.standing import shared_sandbox as shared_sandbox
from tests.integration.standing import standing_sandbox as standing_sandbox
from tests.integration.test_drift import EVERY_SECOND, recorded, wait_for_looks, writes_about
from tests.kstatus import find_condition
from tests.servers.polling import eventually

REPORTED: Json = {**LOKI, **EVERY_SECOND, "driftPolicy": "Report", "jsonData": {"maxLines": 10}}


def drift(sandbox: Sandbox, name: str, spec: Json = REPORTED, **edit: object) -> str:
    """A resource whose data source somebody has edited, which is told; answers the uid."""
    sandbox.apply(name, spec)
    sandbox.wait_ready(name)
    uid = sandbox.uid(name)
    sandbox.target.edit(uid, **(edit or {"url": "http://by-hand:1"}))
    sandbox.wait_for_reason(name, "DriftDetected")
    return uid


def test_what_others_changed_is_told_by_field_and_stays(shared: Sandbox) -> None:
    shared.apply("told", REPORTED)
    shared.wait_ready("told")
    uid, mark = shared.uid("told"), shared.proxy.mark()
    held = shared.held(uid)["jsonData"]
    edited = shared.target.edit(
        uid, url="http://by-hand:1", withCredentials=True, jsonData={**held, "maxLines": 99}
    )
    raw = shared.wait_for_reason("told", "DriftDetected")
    message = ready_of(raw)["message"]
    assert "others changed /url, /withCredentials, /jsonData/maxLines in Grafana" in message
    assert "by-hand" not in message
    assert find_condition(raw, "Stalled") is not None
    kube = shared.audit.mark()
    wait_for_looks(shared, uid)
    assert writes_about(shared, uid, mark) == []
    assert shared.writes_to("told", kube) == []
    assert shared.held(uid) == edited
    assert shared.wait_for_event("told", "DriftDetected").get("count", 1) == 1


def test_whoever_changes_it_back_by_hand_ends_the_report(shared: Sandbox) -> None:
    uid = drift(shared, "changed-back")
    shared.target.edit(uid, url=LOKI["url"])
    raw = shared.wait_ready("changed-back")
    assert find_condition(raw, "Stalled") is None
    assert recorded(raw)["version"] == shared.held(uid)["version"]


def test_a_change_of_spec_sends_the_whole_state(shared: Sandbox) -> None:
    uid = drift(shared, "spec-changes")
    shared.apply("spec-changes", {**REPORTED, "user": "of the spec"})
    shared.wait_ready("spec-changes")
    held = shared.held(uid)
    assert (held["user"], held["url"]) == ("of the spec", LOKI["url"])


def test_a_change_of_a_secret_and_of_a_reference_sends_the_whole_state(shared: Sandbox) -> None:
    shared.apply_secret("reported-token", {"value": "first-token"})
    shared.apply("referred", {**LOKI, "uid": "referred-first"})
    spec = {
        **REPORTED,
        "jsonData": {"datasourceUid": {"dataSourceRef": {"name": "referred"}}},
        "secureJsonData": {"password": secret_key("reported-token", "value")},
    }
    uid = drift(shared, "inputs-change", spec)
    shared.apply_secret("reported-token", {"value": "second-token"})
    shared.wait_ready("inputs-change")
    assert shared.held(uid)["url"] == LOKI["url"]

    shared.delete("referred")
    shared.wait_gone("referred")
    shared.apply("referred", {**LOKI, "uid": "referred-second"})
    eventually(
        lambda: shared.held(uid)["jsonData"]["datasourceUid"],
        lambda found: found == "referred-second",
        30,
        "the new uid",
    )


def test_what_others_deleted_is_told_and_made_again_by_a_change_of_spec(shared: Sandbox) -> None:
    shared.apply("deleted", REPORTED)
    shared.wait_ready("deleted")
    uid, mark = shared.uid("deleted"), shared.proxy.mark()
    shared.target.delete_by_hand(uid)
    shared.wait_for_reason("deleted", "DriftDetected", message="others deleted the data source")
    wait_for_looks(shared, uid)
    assert shared.target.writes(mark) == []
    shared.apply("deleted", {**REPORTED, "user": "anew"})
    shared.wait_ready("deleted")
    assert shared.held(uid)["user"] == "anew"


def test_a_write_that_only_the_version_shows_is_an_event_once(shared: Sandbox) -> None:
    uid = shared.uid("unseen")
    shared.apply("unseen", REPORTED)
    shared.wait_ready("unseen")
    mark = shared.proxy.mark()
    edited = shared.target.edit(uid)
    raw = shared.wait_until(
        "unseen", lambda raw: recorded(raw)["version"] == edited["version"], "the new version"
    )
    assert ready_of(raw)["reason"] == "Synced"
    event = shared.wait_for_event("unseen", "DriftDetected")
    assert "a secret may" in event["message"]
    wait_for_looks(shared, uid)
    assert writes_about(shared, uid, mark) == []
    found = [e for e in shared.events("unseen") if e["reason"] == "DriftDetected"]
    assert [e.get("count", 1) for e in found] == [1]


@pytest.mark.parametrize("is_deleted", [False, True], ids=["edited", "deleted"])
def test_policy_correct_puts_right_what_was_only_told(shared: Sandbox, is_deleted: bool) -> None:
    name = f"corrected-{is_deleted}".lower()
    uid = drift(shared, name)
    if is_deleted:
        shared.target.delete_by_hand(uid)
        shared.wait_for_reason(name, "DriftDetected", message="deleted")
    shared.apply(name, {**REPORTED, "driftPolicy": "Correct"})
    shared.wait_ready(name)
    assert shared.held(uid)["url"] == LOKI["url"]


def test_a_deleted_resource_takes_its_data_source_with_it(shared: Sandbox) -> None:
    uid = drift(shared, "removed")
    shared.delete("removed")
    shared.wait_gone("removed")
    assert shared.in_grafana(uid) is None
