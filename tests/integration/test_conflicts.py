"""Others at the same data source: whose is whose, what is left alone, and what is put right."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import StartGrafana
from tests.integration.sandbox import Json, Sandbox, ready_of
from tests.integration.specs import LOKI
from tests.integration.standing import open_sandbox
from tests.integration.standing import shared_sandbox as shared_sandbox
from tests.integration.standing import standing_sandbox as standing_sandbox
from tests.servers.grafana_provisioning import PROVISIONED_UID
from tests.servers.kubernetes import KubernetesServer

OWNER_KEY = "gdso.dev/owner"
EVERY_SECOND = {**LOKI, "resyncInterval": "1s"}
FINALIZER = "gdso.dev/finalizer"


@pytest.fixture
def uid() -> str:
    return f"uid-{secrets.token_hex(6)}"


def make_by_hand(sandbox: Sandbox, uid: str, **fields: object) -> Json:
    body = {"name": uid, "access": "proxy", "uid": uid, **LOKI, **fields}
    sandbox.grafana.post("datasources", json=body).raise_for_status()
    return sandbox.held(uid)


def edit_by_hand(sandbox: Sandbox, uid: str, **fields: object) -> None:
    """As the user interface does: whole state, with the version that it read."""
    body = {**sandbox.held(uid), **fields}
    sandbox.grafana.put(f"datasources/uid/{uid}", json=body).raise_for_status()


def writes_to_grafana(sandbox: Sandbox, since: int) -> list[str]:
    return [r for r in sandbox.grafana_requests(since) if not r.startswith("GET")]


def wait_for_event(sandbox: Sandbox, name: str, reason: str) -> None:
    sandbox.wait(
        name,
        lambda _: reason in {event["reason"] for event in sandbox.events(name)},
        f"the event {reason}",
    )


# --- a data source that is not ours


FOREIGN_MARKS: dict[str, tuple[Json, str, str]] = {
    "made by hand": (
        {},
        "UidConflict",
        "Grafana already has a data source with uid",
    ),
    "of a resource that is gone": (
        {OWNER_KEY: "{owner}/{namespace}/gone"},
        "UidConflict",
        "Grafana already has a data source with uid",
    ),
    "of a namespace out of sight": (
        {OWNER_KEY: "{owner}/elsewhere/prometheus"},
        "OwnershipConflict",
        "is owned by GrafanaDataSource elsewhere/prometheus",
    ),
    "of another operator": (
        {OWNER_KEY: "other-cluster/monitoring/prometheus"},
        "OwnershipConflict",
        "is owned by monitoring/prometheus of another operator (owner id other-cluster)",
    ),
    "of another tool": (
        {OWNER_KEY: "terraform"},
        "OwnershipConflict",
        "is owned by another tool",
    ),
}


@pytest.mark.parametrize(
    ("json_data", "reason", "message"), FOREIGN_MARKS.values(), ids=FOREIGN_MARKS
)
def test_a_data_source_of_others_is_left_alone(
    shared: Sandbox, uid: str, json_data: Json, reason: str, message: str
) -> None:
    owner = f"owner-{shared.namespace}"
    marks = {k: v.format(owner=owner, namespace=shared.namespace) for k, v in json_data.items()}
    theirs = make_by_hand(shared, uid, jsonData=marks)
    mark = shared.proxy.mark()

    shared.apply(uid, {**LOKI, "uid": uid, "name": f"ours {uid}", "url": "http://ours:1"})
    stalled = shared.wait_for_reason(uid, reason, message=message)
    assert uid in ready_of(stalled)["message"]
    assert shared.held(uid) == theirs

    shared.delete(uid)
    shared.wait_gone(uid)
    assert shared.held(uid) == theirs
    assert writes_to_grafana(shared, mark) == ["POST /api/datasources"]  # refused by Grafana


def test_a_data_source_that_was_in_the_way_and_is_removed_makes_room(
    shared: Sandbox, uid: str
) -> None:
    make_by_hand(shared, uid)
    shared.apply(uid, {**LOKI, "uid": uid, "name": f"ours {uid}"})
    shared.wait_for_reason(uid, "UidConflict")
    shared.grafana.delete(f"datasources/uid/{uid}").raise_for_status()
    shared.request_reconcile(uid)
    shared.wait_ready(uid)
    assert shared.held(uid)["name"] == f"ours {uid}"


def test_of_two_resources_with_one_uid_the_first_wins_until_it_is_gone(
    shared: Sandbox, uid: str
) -> None:
    first, second = f"{uid}-first", f"{uid}-second"
    shared.apply(first, {**LOKI, "uid": uid, "url": "http://first:3100"})
    shared.wait_ready(first)
    held = shared.held(uid)

    shared.apply(second, {**LOKI, "uid": uid, "url": "http://second:3100"})
    stalled = shared.wait_for_reason(second, "OwnershipConflict")
    assert f"GrafanaDataSource {shared.namespace}/{first}" in ready_of(stalled)["message"]
    shared.delete(second)
    shared.wait_gone(second)
    assert shared.held(uid) == held

    shared.apply(second, {**LOKI, "uid": uid, "url": "http://second:3100"})
    shared.wait_for_reason(second, "OwnershipConflict")
    shared.delete(first)
    shared.wait_gone(first)
    assert shared.in_grafana(uid) is None
    shared.request_reconcile(second)  # which it does by itself each minute
    shared.wait_ready(second)
    assert shared.held(uid)["url"] == "http://second:3100"


# --- names


def test_a_name_that_is_taken_is_told_and_can_be_changed(shared: Sandbox, uid: str) -> None:
    theirs = make_by_hand(shared, uid)
    shared.apply("wants-a-name", {**LOKI, "name": uid})
    stalled = shared.wait_for_reason("wants-a-name", "NameConflict")
    assert ready_of(stalled)["message"].startswith(
        f'spec.name: another data source of the organization has the name "{uid}"'
    )
    assert shared.in_grafana(shared.uid("wants-a-name")) is None
    assert shared.held(uid) == theirs
    shared.apply("wants-a-name", {**LOKI, "name": f"{uid} of ours"})
    shared.wait_ready("wants-a-name")

    # The same for one that Grafana already has: it stays as it was.
    held = shared.held(shared.uid("wants-a-name"))
    shared.apply("wants-a-name", {**LOKI, "name": uid, "url": "http://elsewhere:1"})
    shared.wait_for_reason("wants-a-name", "NameConflict", message=f'the name "{uid}"')
    assert shared.held(shared.uid("wants-a-name")) == held


def test_two_resources_with_one_name_do_not_disturb_each_other(shared: Sandbox, uid: str) -> None:
    shared.apply("namesake-a", {**EVERY_SECOND, "name": uid})
    shared.wait_ready("namesake-a")
    held = shared.held(shared.uid("namesake-a"))
    shared.apply("namesake-b", {**EVERY_SECOND, "name": uid})
    shared.wait_for_reason("namesake-b", "NameConflict")
    shared.delete("namesake-b")
    shared.wait_gone("namesake-b")
    assert shared.held(shared.uid("namesake-a")) == held
    shared.delete("namesake-a")


# --- what is ours, and others changed


def test_a_mark_that_was_lost_is_restored_where_the_id_is_known(shared: Sandbox) -> None:
    uid = shared.uid("unmarked")
    shared.apply("unmarked", {**EVERY_SECOND, "jsonData": {"maxLines": 10}})
    shared.wait_ready("unmarked")
    marked = shared.held(uid)
    edit_by_hand(shared, uid, jsonData={})
    shared.wait("unmarked", lambda _: is_marked(shared, uid), "the mark to come back")
    restored = shared.held(uid)
    assert restored["jsonData"] == marked["jsonData"]
    assert (
        restored["jsonData"][OWNER_KEY] == f"owner-{shared.namespace}/{shared.namespace}/unmarked"
    )
    wait_for_event(shared, "unmarked", "DriftCorrected")
    shared.delete("unmarked")


def is_marked(sandbox: Sandbox, uid: str) -> bool:
    return OWNER_KEY in sandbox.held(uid)["jsonData"]


EDITS: dict[str, Json] = {
    "url": {"url": "http://edited:1"},
    "name": {"name": "edited by hand"},
    "user": {"user": "somebody"},
    "basic auth": {"basicAuth": True, "basicAuthUser": "somebody"},
    "jsonData": {"jsonData": {"maxLines": 99, "timeout": 5}},
    "another key of secureJsonData": {"secureJsonData": {"password": "by hand"}},
}


@pytest.fixture(scope="module")
def edited(standing: Sandbox) -> Iterator[dict[str, tuple[str, Json]]]:
    """Case -> name, and what Grafana held before somebody edited it."""
    names = {case: f"edited-{number}" for number, case in enumerate(EDITS)}
    spec = {**EVERY_SECOND, "jsonData": {"maxLines": 10}, "user": "ours"}
    for name in names.values():
        standing.apply(name, spec)
    for name in names.values():
        standing.wait_ready(name)
    before = {c: (name, standing.held(standing.uid(name))) for c, name in names.items()}
    for case, name in names.items():
        edit_by_hand(standing, standing.uid(name), **EDITS[case])
    yield before
    for name in names.values():
        standing.delete(name)


@pytest.mark.parametrize("case", EDITS)
def test_an_edit_by_hand_is_undone_at_the_next_resync(
    shared: Sandbox, edited: dict[str, tuple[str, Json]], case: str
) -> None:
    name, before = edited[case]

    def is_as_before(_: Json | None) -> bool:
        held = shared.held(shared.uid(name))
        return all(held[key] == before[key] for key in before.keys() - {"version", "basicAuthUser"})

    shared.wait(name, is_as_before, "the edit to be undone")
    wait_for_event(shared, name, "DriftCorrected")
    raw = shared.wait_until(
        name,
        lambda raw: recorded_version(raw) > before["version"],
        "status to record the correction",
    )
    assert ready_of(raw)["status"] == "True"


def recorded_version(raw: Json) -> int:
    return int(raw["status"]["instances"][0]["version"])


def test_a_data_source_deleted_by_hand_is_made_again_with_its_uid(shared: Sandbox) -> None:
    uid = shared.uid("deleted-by-hand")
    shared.apply("deleted-by-hand", EVERY_SECOND)
    before = shared.wait_ready("deleted-by-hand")
    shared.grafana.delete(f"datasources/uid/{uid}").raise_for_status()
    shared.wait("deleted-by-hand", lambda _: shared.in_grafana(uid) is not None, "a new one")
    assert is_marked(shared, uid)
    raw = shared.wait_until(
        "deleted-by-hand",
        lambda raw: recorded_id(raw) != recorded_id(before),
        "the new id in status",
    )
    assert recorded_id(raw) == shared.held(uid)["id"]
    shared.delete("deleted-by-hand")


def recorded_id(raw: Json) -> int:
    return int(raw["status"]["instances"][0]["id"])


def test_a_finalizer_that_a_foreign_apply_removed_is_put_back(shared: Sandbox) -> None:
    shared.apply("stripped", LOKI)
    shared.wait_ready("stripped")
    shared.patch("stripped", {"metadata": {"finalizers": ["example.com/other"]}})
    raw = shared.wait_until(
        "stripped",
        lambda raw: FINALIZER in raw["metadata"].get("finalizers", []),
        "the finalizer to come back",
    )
    assert set(raw["metadata"]["finalizers"]) == {"example.com/other", FINALIZER}
    shared.delete("stripped")
    raw = shared.wait_until(
        "stripped",
        lambda raw: FINALIZER not in raw["metadata"].get("finalizers", []),
        "our finalizer to go",
    )
    assert raw["metadata"]["finalizers"] == ["example.com/other"]
    assert shared.in_grafana(shared.uid("stripped")) is None
    shared.patch("stripped", {"metadata": {"finalizers": None}})


# --- the default of an organization


def test_is_default_may_be_true_false_or_left_as_grafana_has_it(sandbox: Sandbox) -> None:
    def is_default(name: str) -> bool:
        return bool(sandbox.held(sandbox.uid(name))["isDefault"])

    sandbox.start_operator()
    # Grafana makes the first one of an organization its default, whatever it is asked.
    sandbox.apply("unset", EVERY_SECOND)
    sandbox.wait_ready("unset")
    assert is_default("unset")
    sandbox.apply("true", {**LOKI, "isDefault": True})
    sandbox.wait_ready("true")
    assert (is_default("unset"), is_default("true")) == (False, True)

    # Left as Grafana has it: neither taken back nor noticed as a drift.
    mark = sandbox.proxy.mark()
    path = f"/api/datasources/uid/{sandbox.uid('unset')}"
    sandbox.wait("unset", lambda _: len(sandbox.grafana_requests(mark)) >= 2, "two resyncs")
    assert set(sandbox.grafana_requests(mark)) == {f"GET {path}"}

    sandbox.apply("false", {**LOKI, "isDefault": False})
    sandbox.wait_ready("false")
    edit_by_hand(sandbox, sandbox.uid("false"), isDefault=True)
    assert (is_default("true"), is_default("false")) == (False, True)
    for name in ("false", "true"):
        sandbox.request_reconcile(name)
    assert [is_default(name) for name in ("unset", "true", "false")] == [False, True, False]


def test_the_first_data_source_of_an_organization_is_not_default_where_the_spec_says_so(
    sandbox: Sandbox,
) -> None:
    sandbox.start_operator()
    sandbox.apply("first", {**LOKI, "isDefault": False})
    ready = sandbox.wait_ready("first")
    held = sandbox.held(sandbox.uid("first"))
    assert held["isDefault"] is False
    assert recorded_version(ready) == held["version"]


# --- a Grafana with a data source from a file, and with a quota


@pytest.fixture
def full(
    kubernetes_with_crds: KubernetesServer, fresh_grafana: StartGrafana, tmp_path: Path
) -> Iterator[Sandbox]:
    """In the organization of a provisioned data source, with room for one more."""
    settings = {"quota": {"enabled": "true", "org_data_source": "2"}}
    grafana = fresh_grafana(settings=settings, provisioned=True)
    with open_sandbox(kubernetes_with_crds, grafana, tmp_path, org_id=1) as sandbox:
        sandbox.start_operator()
        yield sandbox
        sandbox.check_everywhere()


def test_read_only_data_sources_and_quotas_are_respected(full: Sandbox) -> None:
    provisioned = full.held(PROVISIONED_UID)
    full.apply("provisioned", {**LOKI, "uid": PROVISIONED_UID})
    stalled = full.wait_for_reason("provisioned", "ReadOnlyInGrafana")
    assert f'"{PROVISIONED_UID}" is provisioned from a file' in ready_of(stalled)["message"]

    full.apply("one", LOKI)
    full.wait_ready("one")
    full.apply("one-too-many", LOKI)
    full.wait_for_reason("one-too-many", "QuotaReached", message="raise the quota")
    assert full.in_grafana(full.uid("one-too-many")) is None
    # Beyond the quota Grafana no longer tells that a uid exists.
    full.apply("provisioned-too", {**LOKI, "uid": PROVISIONED_UID, "name": "another"})
    full.wait_for_reason("provisioned-too", "ReadOnlyInGrafana")
    # What is there can still be changed.
    full.apply("one", {**LOKI, "url": "http://elsewhere:3100"})
    full.wait_ready("one")

    full.delete("one")
    full.wait_gone("one")
    full.request_reconcile("one-too-many")
    full.wait_ready("one-too-many")

    for name in ("provisioned", "provisioned-too"):
        full.delete(name)
        full.wait_gone(name)
    assert full.held(PROVISIONED_UID) == provisioned
