"""Fields from Secrets and ConfigMaps: where they go, when they are sent, and where nobody reads."""

import secrets

import pytest

from tests.integration.sandbox import Json, Sandbox, ready_of
from tests.integration.specs import LOKI
from tests.integration.standing import shared_sandbox as shared_sandbox
from tests.integration.standing import standing_sandbox as standing_sandbox
from tests.servers.polling import eventually

SOURCES = ("Secret", "ConfigMap")
QUIET: Json = {"healthCheck": {"enabled": False}}


def value_from(path: str, kind: str, name: str, key: str = "value", **more: object) -> Json:
    field = "secretKeyRef" if kind == "Secret" else "configMapKeyRef"
    return {"path": path, "valueFrom": {field: {"name": name, "key": key, **more}}}


def put(sandbox: Sandbox, kind: str, name: str, values: dict[str, str]) -> None:
    if kind == "Secret":
        sandbox.apply_secret(name, values)
    else:
        sandbox.apply_config_map(name, values)


def canary(prefix: str = "") -> str:
    return f"{prefix}{secrets.token_hex(8)}"


@pytest.mark.parametrize("kind", SOURCES)
def test_values_go_where_their_pointers_lead(shared: Sandbox, kind: str) -> None:
    name = f"pointers-{kind.lower()}"
    values = {
        "url": f"http://{canary()}:3100",
        "user": canary(),
        "database": canary(),
        "basic": canary(),
        "name": canary("name "),
        "deep": canary(),
        "item": canary(),
        "odd": canary(),
    }
    pointers = {
        "url": "/url",
        "user": "/user",
        "database": "/database",
        "basic": "/basicAuthUser",
        "name": "/name",
        "deep": "/jsonData/made/on/the/way",
        "item": "/jsonData/list/1/uid",
        "odd": "/jsonData/a~1b~0c",
    }
    put(shared, kind, name, values)
    entries = [value_from(path, kind, name, key) for key, path in pointers.items()]
    spec = {**QUIET, "type": "loki", "jsonData": {"list": [1, {"x": 1}]}, "valuesFrom": entries}
    shared.apply(name, spec)
    shared.wait_ready(name)
    held = shared.held(shared.uid(name))
    assert {key: held[key] for key in ("url", "user", "database", "basicAuthUser", "name")} == {
        "url": values["url"],
        "user": values["user"],
        "database": values["database"],
        "basicAuthUser": values["basic"],
        "name": values["name"],
    }
    del held["jsonData"]["gdso.dev/owner"]
    assert held["jsonData"] == {
        "list": [1, {"x": 1, "uid": values["item"]}],
        "made": {"on": {"the": {"way": values["deep"]}}},
        "a/b~c": values["odd"],
    }


@pytest.mark.parametrize("kind", SOURCES)
def test_a_change_is_sent_at_once_and_what_is_missing_is_waited_for(
    shared: Sandbox, kind: str
) -> None:
    name = f"watched-{kind.lower()}"
    uid = shared.uid(name)
    spec = {**LOKI, **QUIET, "valuesFrom": [value_from("/user", kind, name)]}
    mark = shared.proxy.mark()
    shared.apply(name, spec)
    waiting = shared.wait_for_reason(name, f"WaitingFor{kind}")
    assert ready_of(waiting)["message"].startswith(f'spec.valuesFrom[0]: {kind} "{name}" ')
    assert shared.target.writes(mark) == []

    first, second = canary(), canary()
    put(shared, kind, name, {"value": first})
    shared.wait_ready(name)
    assert shared.held(uid)["user"] == first
    put(shared, kind, name, {"value": second})
    eventually(lambda: shared.held(uid)["user"], lambda user: user == second, 30, "the new user")
    # A key that went away leaves Grafana alone.
    put(shared, kind, name, {"other": "x"})
    shared.wait_for_reason(name, f"WaitingFor{kind}", message='has no key "value"')
    assert shared.held(uid)["user"] == second
    assert shared.target.writes(mark) == [
        "POST /api/datasources",
        f"PUT /api/datasources/uid/{uid}",
    ]


@pytest.mark.parametrize("kind", SOURCES)
def test_an_optional_value_that_is_absent_leaves_the_field_as_the_spec_has_it(
    shared: Sandbox, kind: str
) -> None:
    name = f"optional-{kind.lower()}"
    entry = value_from("/user", kind, name, optional=True)
    shared.apply(name, {**LOKI, **QUIET, "user": "of the spec", "valuesFrom": [entry]})
    shared.wait_ready(name)
    assert shared.held(shared.uid(name))["user"] == "of the spec"
    value = canary()
    put(shared, kind, name, {"value": value})
    eventually(
        lambda: shared.held(shared.uid(name))["user"], lambda user: user == value, 30, "the value"
    )


INVALID: dict[str, tuple[list[Json], str]] = {
    "a field that cannot be set": (
        [value_from("/type", "Secret", "x")],
        "spec.valuesFrom[0].path: /type cannot be set; possible are /url, ",
    ),
    "a field that does not exist": (
        [value_from("/nope/at/all", "Secret", "x")],
        "spec.valuesFrom[0].path: /nope/at/all cannot be set",
    ),
    "an item that the list lacks": (
        [
            value_from("/user", "Secret", "x"),
            value_from("/jsonData/list/7/uid", "ConfigMap", "x"),
        ],
        "spec.valuesFrom[1].path: /jsonData/list/7/uid cannot be set: spec.jsonData.list has no"
        " item 7",
    ),
    "below a text": (
        [value_from("/jsonData/text/key", "Secret", "x")],
        "spec.valuesFrom[0].path: /jsonData/text/key cannot be set: spec.jsonData.text is neither",
    ),
    "our own mark": (
        [value_from("/jsonData/gdso.dev~1owner", "Secret", "x")],
        "spec.valuesFrom[0].path: /jsonData/gdso.dev~1owner is the operator's own mark",
    ),
    "the same field twice": (
        [value_from("/user", "Secret", "x"), value_from("/user", "ConfigMap", "x")],
        "spec.valuesFrom[1].path: overlaps with spec.valuesFrom[0].path",
    ),
}


@pytest.mark.parametrize("case", INVALID)
def test_a_pointer_that_leads_nowhere_is_refused_with_its_path(shared: Sandbox, case: str) -> None:
    entries, message = INVALID[case]
    name = f"invalid-{list(INVALID).index(case)}"
    mark = shared.proxy.mark()
    shared.apply(name, {**LOKI, "jsonData": {"list": [], "text": "x"}, "valuesFrom": entries})
    refused = shared.wait_for_reason(name, "InvalidSpec")
    assert ready_of(refused)["message"].startswith(message)
    assert shared.target.writes(mark) == []


# --- nobody reads what came from a Secret; the sandbox looks for it everywhere after each test


def test_a_secret_name_that_is_taken_is_told_without_the_name(shared: Sandbox) -> None:
    name = canary("name-")
    shared.target.make_by_hand(name)
    shared.apply_secret("taken", {"value": name})
    shared.apply("taken", {**LOKI, **QUIET, "valuesFrom": [value_from("/name", "Secret", "taken")]})
    shared.wait_for_reason("taken", "NameConflict")


def test_a_secret_url_that_grafana_refuses_is_told_without_the_url(shared: Sandbox) -> None:
    shared.apply_secret("refused", {"value": f"http://{canary()}:1433/{canary()}"})
    entry = value_from("/url", "Secret", "refused")
    shared.apply("refused", {**QUIET, "type": "mssql", "valuesFrom": [entry]})
    shared.wait_for_reason("refused", "GrafanaRejected")


def test_a_secret_value_that_the_field_does_not_take_is_told_without_it(shared: Sandbox) -> None:
    shared.apply_secret("too-long", {"value": canary() * 20})
    entry = value_from("/user", "Secret", "too-long")
    shared.apply("too-long", {**LOKI, **QUIET, "valuesFrom": [entry]})
    refused = shared.wait_for_reason("too-long", "InvalidSpec")
    assert ready_of(refused)["message"] == (
        "spec.valuesFrom[0]: its value for /user has more than 255 characters"
    )


def test_drift_of_a_secret_fed_field_is_reported_without_either_value(shared: Sandbox) -> None:
    uid = shared.uid("reported")
    ours, theirs = canary(), canary()
    shared.apply_secret("reported", {"value": ours})
    shared.secret_values.add(theirs)
    spec = {
        **LOKI,
        **QUIET,
        "driftPolicy": "Report",
        "valuesFrom": [
            value_from("/user", "Secret", "reported"),
            value_from("/jsonData/token", "Secret", "reported"),
        ],
    }
    shared.apply("reported", spec)
    shared.wait_ready("reported")
    shared.target.edit(uid, user=theirs)
    shared.request_reconcile("reported")
    drifted = shared.wait_for_reason("reported", "DriftDetected", message="/user (from a Secret)")
    assert "/jsonData/token" not in ready_of(drifted)["message"]
