"""ignoreFields: what spec says is used to create, and then stays as Grafana has it."""

import pytest

from tests.integration.sandbox import Json, Sandbox, ready_of
from tests.integration.specs import LOKI
from tests.integration.standing import shared_sandbox as shared_sandbox
from tests.integration.standing import standing_sandbox as standing_sandbox
from tests.integration.test_drift import EVERY_SECOND, wait_for_looks, writes_about
from tests.servers.polling import eventually

OWNER_KEY = "gdso.dev/owner"

# Pointer -> what spec says, what somebody writes in Grafana, and what spec says later.
FIELDS: dict[str, tuple[Json, Json, Json]] = {
    "/url": ({"url": "http://said:1"}, {"url": "http://hand:1"}, {"url": "http://later:1"}),
    "/user": ({"user": "said"}, {"user": "hand"}, {"user": "later"}),
    "/database": ({"database": "said"}, {"database": "hand"}, {"database": "later"}),
    "/access": ({"access": "proxy"}, {"access": "direct"}, {}),
    "/basicAuth": ({"basicAuth": False}, {"basicAuth": True}, {}),
    "/basicAuthUser": (
        {"basicAuthUser": "said"},
        {"basicAuthUser": "hand"},
        {"basicAuthUser": "later"},
    ),
    "/withCredentials": ({}, {"withCredentials": True}, {"withCredentials": False}),
    "/jsonData/a": (
        {"jsonData": {"a": 1, "b": 1}},
        {"jsonData": {"a": 2, "b": 1}},
        {"jsonData": {"a": 3, "b": 1}},
    ),
    "/jsonData/only~1in~0grafana": (
        {"jsonData": {"b": 1}},
        {"jsonData": {"only/in~grafana": {"x": [1]}, "b": 1}},
        {},
    ),
    "/jsonData/list/0/x": (
        {"jsonData": {"list": [{"x": 1, "y": 1}]}},
        {"jsonData": {"list": [{"x": 2, "y": 1}]}},
        {"jsonData": {"list": [{"x": 3, "y": 1}]}},
    ),
    "/jsonData/gone": ({"jsonData": {"gone": 1, "b": 1}}, {"jsonData": {"b": 1}}, {}),
}


def held(sandbox: Sandbox, uid: str, field: str) -> object:
    found = sandbox.held(uid)[field]
    return {k: v for k, v in found.items() if k != OWNER_KEY} if field == "jsonData" else found


def test_an_ignored_field_is_created_as_spec_says_and_then_stays_as_grafana_has_it(
    sandbox_on_every_grafana: Sandbox,
) -> None:
    sandbox = sandbox_on_every_grafana
    sandbox.target.make_by_hand("first")
    sandbox.start_operator(GDSO_RESYNC_INTERVAL="1s")
    names = {pointer: f"ignores-{number}" for number, pointer in enumerate(FIELDS)}
    specs = {
        pointer: {**LOKI, **EVERY_SECOND, **said, "ignoreFields": [pointer]}
        for pointer, (said, _, _) in FIELDS.items()
    }
    for pointer, name in names.items():
        sandbox.apply(name, specs[pointer])
    for pointer, name in names.items():
        sandbox.wait_ready(name)
        for field, value in FIELDS[pointer][0].items():
            assert held(sandbox, sandbox.uid(name), field) == value, pointer

    # By hand, beside a field that is not ignored: the write that puts it right keeps the other.
    for pointer, name in names.items():
        uid = sandbox.uid(name)
        edit = {"name": f"by hand {name}", **FIELDS[pointer][1]}
        if "jsonData" in edit:
            edit["jsonData"] = {**edit["jsonData"], OWNER_KEY: _mark(sandbox, uid)}
        sandbox.target.edit(uid, **edit)
    for name in names.values():
        _wait_for(sandbox, name, "name", name)
    _expect_edits(sandbox, names)

    # A change of spec does not touch them either, whatever it says there.
    for pointer, name in names.items():
        later = FIELDS[pointer][2]
        sandbox.apply(name, {**specs[pointer], **later, "name": f"later {name}"})
    for name in names.values():
        sandbox.wait_ready(name)
    _expect_edits(sandbox, names)

    mark = sandbox.proxy.mark()
    wait_for_looks(sandbox, *map(sandbox.uid, names.values()))
    assert sandbox.target.writes(mark) == []


def _expect_edits(sandbox: Sandbox, names: dict[str, str]) -> None:
    lost = {
        pointer: (field, held(sandbox, sandbox.uid(name), field))
        for pointer, name in names.items()
        for field, value in FIELDS[pointer][1].items()
        if held(sandbox, sandbox.uid(name), field) != value
    }
    assert lost == {}


def _mark(sandbox: Sandbox, uid: str) -> str:
    return str(sandbox.held(uid)["jsonData"][OWNER_KEY])


def _wait_for(sandbox: Sandbox, name: str, field: str, value: object) -> None:
    uid = sandbox.uid(name)
    eventually(
        lambda: sandbox.held(uid)[field], lambda found: found == value, 30, f"{field} of {name}"
    )


def test_an_ignored_field_is_no_drift_and_the_mark_is_kept(shared: Sandbox) -> None:
    spec = {**LOKI, **EVERY_SECOND, "driftPolicy": "Report", "ignoreFields": ["/jsonData/a"]}
    shared.apply("reports", spec)
    shared.wait_ready("reports")
    uid, mark = shared.uid("reports"), shared.proxy.mark()
    owner = _mark(shared, uid)
    shared.target.edit(uid, jsonData={OWNER_KEY: owner, "a": "hand"})
    wait_for_looks(shared, uid)
    raw = shared.wait_ready("reports")
    assert ready_of(raw)["message"] == "Grafana holds this state"
    assert writes_about(shared, uid, mark) == []
    shared.target.edit(uid, jsonData={OWNER_KEY: owner, "a": "hand", "b": "hand"})
    drifted = shared.wait_for_reason("reports", "DriftDetected")
    assert "others changed /jsonData/b in Grafana" in ready_of(drifted)["message"]


def test_what_is_no_longer_ignored_is_put_right(shared: Sandbox) -> None:
    spec = {**LOKI, **EVERY_SECOND, "user": "said"}
    shared.apply("ignored-once", {**spec, "ignoreFields": ["/user"]})
    shared.wait_ready("ignored-once")
    uid = shared.uid("ignored-once")
    shared.target.edit(uid, user="hand")
    wait_for_looks(shared, uid)
    assert shared.held(uid)["user"] == "hand"
    shared.apply("ignored-once", spec)
    shared.wait_ready("ignored-once")
    assert shared.held(uid)["user"] == "said"


@pytest.mark.parametrize("pointer", ["/type", "/name", "/uid", "/nope", "/secureJsonData/x"])
def test_what_cannot_be_ignored_is_refused(shared: Sandbox, pointer: str) -> None:
    name = f"cannot{pointer.lower().replace('/', '-')}"
    mark = shared.proxy.mark()
    shared.apply(name, {**LOKI, "ignoreFields": ["/url", pointer]})
    refused = shared.wait_for_reason(name, "InvalidSpec")
    message = ready_of(refused)["message"]
    assert message.startswith(f"spec.ignoreFields[1]: {pointer} cannot be ignored; possible are")
    assert shared.target.writes(mark) == []
