"""mode: DryRun: nothing is written there, and resources say what would be."""

import secrets

import pytest

from tests.integration.instances import (
    add_instance,
    names_in,
    on_instance,
    on_instances,
    states_of,
    wait_instance_reason,
)
from tests.integration.instances import standing_instances as standing_instances
from tests.integration.sandbox import INSTANCE, Json, Sandbox, ready_of
from tests.integration.specs import secret_key
from tests.integration.standing import shared_sandbox as shared_sandbox
from tests.servers.target import Target

NOTHING = "; nothing is written, since the GrafanaInstance is in mode DryRun"


def set_mode(sandbox: Sandbox, name: str, mode: str) -> None:
    sandbox.patch(name, {"spec": {"mode": mode}}, kind=INSTANCE)
    sandbox.wait_instance_ready(name)


def would(sandbox: Sandbox, name: str, what: str) -> Json:
    """Until the resource says so; nothing stands beside Ready, which is Unknown."""
    raw = sandbox.wait_for_reason(name, "DryRun", message=what)
    assert ready_of(raw)["status"] == "Unknown"
    assert ready_of(raw)["message"] == f"would {what}{NOTHING}"
    return raw


def test_nothing_is_created(shared: Sandbox) -> None:
    target = add_instance(shared, "dry", mode="DryRun")
    shared.apply_secret("dry", {"password": "secret of a dry run"})
    secret = {"secureJsonData": {"password": secret_key("dry", "password")}}
    shared.apply("new", {**on_instance("dry"), **secret})
    raw = would(shared, "new", "create the data source")
    assert "finalizers" not in raw["metadata"]
    assert target.writes() == []
    event = shared.wait_for_event("new", "DryRun")
    assert event["type"] == "Normal"

    set_mode(shared, "dry", "Enforce")
    shared.wait_ready("new")
    assert target.held(shared.uid("new"))["secureJsonFields"] == {"password": True}


def test_what_never_was_written_goes_at_once(shared: Sandbox) -> None:
    add_instance(shared, "dry-2", mode="DryRun")
    shared.apply("never", on_instance("dry-2"))
    would(shared, "never", "create the data source")
    shared.delete("never")
    assert shared.get("never") is None
    shared.delete("dry-2", kind=INSTANCE)
    shared.wait_gone("dry-2", kind=INSTANCE)


@pytest.fixture
def dried(shared: Sandbox) -> tuple[str, Target, Json]:
    """A resource and its instance of the same name, which is set to DryRun once it is synced."""
    name = f"dried-{secrets.token_hex(3)}"
    target = add_instance(shared, name)
    shared.apply_secret(name, {"password": "secret before"})
    secret = {"secureJsonData": {"password": secret_key(name, "password")}}
    shared.apply(name, {**on_instance(name), **secret})
    shared.wait_ready(name)
    set_mode(shared, name, "DryRun")
    return name, target, {**on_instance(name), **secret}


def test_what_is_as_it_should_be_is_synced(
    shared: Sandbox, dried: tuple[str, Target, Json]
) -> None:
    name, target, _ = dried
    mark = target.proxy.mark()
    shared.request_reconcile(name)
    raw = shared.wait_ready(name)
    assert raw["status"]["instances"][0]["id"] == target.held(shared.uid(name))["id"]
    assert target.writes(mark) == []


def test_nothing_is_updated(shared: Sandbox, dried: tuple[str, Target, Json]) -> None:
    name, target, spec = dried
    held = target.held(shared.uid(name))
    changed = {**spec, "url": "http://elsewhere:3100", "jsonData": {"maxLines": 10}}
    shared.apply(name, changed)
    raw = shared.wait_for_reason(name, "DryRun")
    assert ready_of(raw)["message"].startswith("would update ")
    for field in ("url", "jsonData"):
        assert field in ready_of(raw)["message"]
    assert target.held(shared.uid(name)) == held

    set_mode(shared, name, "Enforce")
    shared.wait_ready(name)
    assert target.held(shared.uid(name))["url"] == "http://elsewhere:3100"


def test_a_changed_secret_is_not_sent_nor_shown(
    shared: Sandbox, dried: tuple[str, Target, Json]
) -> None:
    name, target, _ = dried
    held, before = target.held(shared.uid(name)), shared.get(name)
    shared.apply_secret(name, {"password": "secret after"})
    raw = shared.wait_for_reason(name, "DryRun")
    assert ready_of(raw)["message"].startswith("would update ")
    assert target.held(shared.uid(name)) == held
    assert before is not None
    # What Grafana got last stays recorded, so that it is sent later.
    (was,), (now) = before["status"]["instances"], raw["status"]["instances"][0]
    assert now["secretsRevision"] == was["secretsRevision"]
    set_mode(shared, name, "Enforce")
    raw = shared.wait_ready(name)
    assert raw["status"]["instances"][0]["secretsRevision"] != was["secretsRevision"]
    assert target.held(shared.uid(name))["version"] == held["version"] + 1


def test_drift_is_told_and_not_corrected(shared: Sandbox, dried: tuple[str, Target, Json]) -> None:
    name, target, _ = dried
    edited = target.edit(shared.uid(name), url="http://by-hand:3100")
    shared.request_reconcile(name)
    raw = shared.wait_for_reason(name, "DryRun", message="would update")
    assert "url" in ready_of(raw)["message"]
    assert target.held(shared.uid(name)) == edited
    target.delete_by_hand(shared.uid(name))
    shared.request_reconcile(name)
    would(shared, name, "create the data source")
    assert names_in(target) == set()


def test_nothing_is_taken_over(shared: Sandbox) -> None:
    target = add_instance(shared, "dry-adopts", mode="DryRun")
    theirs = target.make_by_hand("found")
    wish = {"uid": "found", "name": "found", "adoptionPolicy": "IfUnowned"}
    shared.apply("adopter", {**on_instance("dry-adopts"), **wish})
    raw = shared.wait_for_reason("adopter", "DryRun")
    assert ready_of(raw)["message"].startswith("would take over ")
    assert "finalizers" not in raw["metadata"]
    assert target.held("found") == theirs
    # And a conflict is told as it would be.
    shared.apply("adopter", {**on_instance("dry-adopts"), **wish, "adoptionPolicy": "Never"})
    shared.wait_for_reason("adopter", "UidConflict")


def test_nothing_is_deleted_which_is_told(shared: Sandbox, dried: tuple[str, Target, Json]) -> None:
    name, target, _ = dried
    held = target.held(shared.uid(name))
    shared.delete(name)
    shared.wait_for_reason(name, "DeletionBlocked", message="is in mode DryRun")
    shared.delete(name, kind=INSTANCE)
    wait_instance_reason(shared, name, "DeletionBlocked")
    assert target.held(shared.uid(name)) == held
    set_mode_while_leaving(shared, name)
    shared.wait_gone(name)
    shared.wait_gone(name, kind=INSTANCE)
    assert names_in(target) == set()


def set_mode_while_leaving(sandbox: Sandbox, name: str) -> None:
    sandbox.patch(name, {"spec": {"mode": "Enforce"}}, kind=INSTANCE)


def test_an_orphan_is_let_go_with_our_mark(
    shared: Sandbox, dried: tuple[str, Target, Json]
) -> None:
    name, target, spec = dried
    held = target.held(shared.uid(name))
    shared.apply(name, {**spec, "deletionPolicy": "Orphan"})
    shared.delete(name)
    shared.wait_gone(name)
    assert target.held(shared.uid(name)) == held


def test_a_resource_that_moves_away_waits_to_be_cleaned(
    shared: Sandbox, dried: tuple[str, Target, Json]
) -> None:
    name, target, spec = dried
    other = add_instance(shared, f"{name}-other")
    shared.apply(name, {**spec, **on_instance(f"{name}-other")})
    raw = shared.wait_for_reason(name, "DeletionBlocked", message="is in mode DryRun")
    assert states_of(raw)[f"{name}-other"] == ("True", "Synced")
    assert (names_in(target), names_in(other)) == ({name}, {name})
    set_mode(shared, name, "Enforce")
    shared.wait_ready(name)
    assert (names_in(target), names_in(other)) == (set(), {name})


def test_one_of_several_instances_may_be_dry(shared: Sandbox) -> None:
    label = {"mixed": "yes"}
    wet = add_instance(shared, "wet", labels=label)
    dry = add_instance(shared, "dry-one", labels=label, mode="DryRun")
    shared.apply("mixed", on_instances(mixed="yes"))
    raw = shared.wait_for_reason("mixed", "DryRun")
    assert states_of(raw) == {"wet": ("True", "Synced"), "dry-one": ("Unknown", "DryRun")}
    assert ready_of(raw)["message"] == (
        f"{shared.namespace}/dry-one: would create the data source{NOTHING}"
    )
    assert raw["status"]["instanceSummary"] == "1/2"
    assert (names_in(wet), names_in(dry)) == ({"mixed"}, set())
    shared.delete("mixed")
    shared.wait_gone("mixed")
    assert names_in(wet) == set()
