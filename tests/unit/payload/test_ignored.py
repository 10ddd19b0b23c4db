"""Fields that stay as Grafana has them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grafana_datasource_operator.api.grafana_json import DataSourceState
from grafana_datasource_operator.api.names import OWNER_KEY
from grafana_datasource_operator.api.reasons import Reason
from grafana_datasource_operator.errors import Stalled
from grafana_datasource_operator.payload.datasource import (
    DesiredDataSource,
    create_body,
    keep_ignored,
    update_body,
)
from grafana_datasource_operator.payload.diff import diff, uncleared
from grafana_datasource_operator.payload.ignored import FIELDS, KEPT_KEYS, check_ignored
from grafana_datasource_operator.payload.inputs import Inputs
from grafana_datasource_operator.payload.json_values import find_differences, without_nulls
from grafana_datasource_operator.payload.pointers import ABSENT, below_json_data, find, place
from grafana_datasource_operator.payload.rules import MAX_LEVELS
from tests.strategies import desired_states, grafana_states
from tests.unit.builders import OWNER, desired_of, resource, secret, secret_key, state, value_from
from tests.unit.grafana_model import NEW, OLD, GrafanaModel

Json = dict[str, Any]

MARK = {OWNER_KEY: str(OWNER)}

# --- what may be ignored ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pointer",
    [
        *("/url", "/user", "/database", "/access", "/basicAuth", "/basicAuthUser"),
        *("/withCredentials", "/isDefault", "/jsonData/a", "/jsonData/a/0/b", "/jsonData/"),
        *("/jsonData/a~1b", "/jsonData/x/gdso.dev~1owner", "/jsonData/teamHttpHeaders"),
    ],
)
def test_connection_settings_and_parts_of_json_data_may_be_ignored(pointer: str) -> None:
    check_ignored(resource(spec={"type": "loki", "ignoreFields": [pointer]}).spec)


def _refusal(pointer: str) -> str:
    with pytest.raises(Stalled) as refused:
        check_ignored(resource(spec={"type": "loki", "ignoreFields": ["/url", pointer]}).spec)
    assert refused.value.reason is Reason.INVALID_SPEC
    assert refused.value.message.startswith(f"spec.ignoreFields[1]: {pointer} ")
    return refused.value.message


@pytest.mark.parametrize(
    "pointer",
    ["/name", "/type", "/uid", "/jsonData", "/secureJsonData/a", "/url/x", "/version", "/nothing"],
)
def test_other_fields_are_refused_with_those_that_are_possible(pointer: str) -> None:
    assert "possible are /url, /user, " in _refusal(pointer)


@pytest.mark.parametrize("pointer", ["/jsonData/gdso.dev~1owner", "/jsonData/gdso.dev~1owner/x"])
def test_the_owner_mark_is_never_ignored(pointer: str) -> None:
    assert "the operator's own mark" in _refusal(pointer)


# --- how it is kept -----------------------------------------------------------------------------

_HELD = {
    "url": "http://by-hand",
    "user": "hand",
    "database": "hand",
    "access": "direct",
    "basicAuth": True,
    "basicAuthUser": "hand",
    "withCredentials": True,
    "isDefault": True,
}
_SAID: Json = {
    "url": "http://said",
    "user": "said",
    "database": "said",
    "access": "proxy",
    "basicAuth": False,
    "basicAuthUser": "said",
    "withCredentials": False,
    "isDefault": False,
}


@pytest.mark.parametrize("pointer", FIELDS)
def test_an_ignored_field_stays_as_grafana_has_it_and_no_other_does(pointer: str) -> None:
    field = pointer.removeprefix("/")
    desired = desired_of(**_SAID, ignoreFields=[pointer])
    held = state(**_HELD)
    after = GrafanaModel.holding(held).put(update_body(desired, held))
    expected = state(**{**_SAID, field: _HELD[field]}, version=after.version)
    assert after == expected
    assert diff(desired, after, NEW) == ()
    edited = expected.model_copy(update={FIELDS[pointer]: getattr(held, FIELDS[pointer])})
    assert diff(desired, edited, NEW) == ()


@pytest.mark.parametrize("pointer", FIELDS)
def test_a_create_sends_what_the_spec_says(pointer: str) -> None:
    assert create_body(desired_of(**_SAID, ignoreFields=[pointer])) == create_body(
        desired_of(**_SAID)
    )


@pytest.mark.parametrize(
    ("said", "held", "pointer", "kept"),
    [
        ({"a": 1}, {"a": 2}, "/jsonData/a", {"a": 2}),
        ({"a": 1}, {}, "/jsonData/a", {}),
        ({}, {"a": 2}, "/jsonData/a", {"a": 2}),
        ({"a": 1}, {"a": None}, "/jsonData/a", {"a": None}),
        (
            {"a": {"b": 1, "c": 1}},
            {"a": {"b": 2, "c": 2}},
            "/jsonData/a/b",
            {"a": {"b": 2, "c": 1}},
        ),
        ({"a": {"b": 1, "c": 1}}, {"a": {"c": 2}}, "/jsonData/a/b", {"a": {"c": 1}}),
        ({"a": {"b": 1}}, {}, "/jsonData/a/b", {"a": {}}),
        ({}, {"a": {"b": 2, "c": 2}}, "/jsonData/a/b", {"a": {"b": 2}}),
        ({"a": "text"}, {"a": {"b": 2}}, "/jsonData/a/b", {"a": "text"}),
        ({"a": [1, 1]}, {"a": [2, 2, 2]}, "/jsonData/a/1", {"a": [1, 2]}),
        ({"a": [1, 1]}, {"a": [2]}, "/jsonData/a/1", {"a": [1, 1]}),
        ({"a": [1]}, {"a": [2, 2]}, "/jsonData/a/1", {"a": [1]}),
        ({"a": [{"b": 1}]}, {"a": [{"b": 2}]}, "/jsonData/a/0/b", {"a": [{"b": 2}]}),
        ({"a": [{"b": 1}]}, {"a": []}, "/jsonData/a/0/b", {"a": [{}]}),
        ({"a/b": 1}, {"a/b": 2}, "/jsonData/a~1b", {"a/b": 2}),
    ],
)
def test_a_part_of_json_data_stays_as_grafana_has_it(
    said: Json, held: Json, pointer: str, kept: Json
) -> None:
    desired = desired_of(jsonData=said, ignoreFields=[pointer])
    actual = state(jsonData={**held, **MARK})
    assert keep_ignored(desired, actual).json_data == {**kept, **MARK}
    assert update_body(desired, actual).json_data == {**kept, **MARK}


def test_a_part_within_an_ignored_part_changes_nothing() -> None:
    pointers = ["/jsonData/a/b", "/jsonData/a"]
    desired = desired_of(jsonData={"a": {"b": 1, "c": 1}}, ignoreFields=pointers)
    held = state(jsonData={"a": {"c": 2}, **MARK})
    assert keep_ignored(desired, held).json_data == {"a": {"c": 2}, **MARK}


def test_the_mark_is_put_right_whatever_is_ignored() -> None:
    desired = desired_of(ignoreFields=["/jsonData/a", "/url"])
    assert update_body(desired, state(jsonData=None)).json_data == MARK
    assert diff(desired, state(jsonData={OWNER_KEY: "b/c/d"}), NEW) == ("/jsonData",)


def test_what_no_update_may_leave_empty_is_as_the_spec_says() -> None:
    pointers = ["/url", "/access"]
    held = state(url=" ", access="")
    body = update_body(desired_of(ignoreFields=pointers), held)
    assert (body.url, body.access) == ("http://prometheus:9090", "proxy")
    other = desired_of(type="cloudwatch", ignoreFields=pointers)
    assert update_body(other, state(type="cloudwatch", url="")).url == ""


def test_a_field_that_no_update_clears_is_not_told_where_it_is_ignored() -> None:
    said: Json = {"type": "cloudwatch", "url": "", "basicAuth": True}
    held = state(type="cloudwatch", basicAuth=True, basicAuthUser="old", database="old")
    assert uncleared(desired_of(**said), held, OLD) == ["basicAuthUser", "database", "url"]
    for pointer, left in [
        ("/url", ["basicAuthUser", "database"]),
        ("/basicAuthUser", ["database", "url"]),
        ("/database", ["basicAuthUser", "url"]),
    ]:
        ignoring = desired_of(**said, ignoreFields=[pointer])
        assert uncleared(ignoring, held, OLD) == left


def test_an_ignored_default_stays_whatever_the_spec_says() -> None:
    desired = desired_of(isDefault=True, ignoreFields=["/isDefault"])
    assert create_body(desired).is_default is True
    for is_default in (True, False):
        held = state(isDefault=is_default)
        assert update_body(desired, held).is_default is is_default
        assert diff(desired, held, NEW) == ()


@pytest.mark.parametrize("key", sorted(KEPT_KEYS))
def test_keys_that_grafana_writes_are_kept_unless_the_spec_or_a_secret_sets_them(key: str) -> None:
    held = state(jsonData={key: "its", **MARK})
    fed = value_from(f"/jsonData/{key}", secret_key("s", "k"))
    inputs = Inputs({"s": secret("s", data={"k": "fed-value-1"})})
    for desired, created, kept in [
        (desired_of(), None, "its"),
        (desired_of(jsonData={key: None}), None, "its"),
        (desired_of(jsonData={key: "mine"}), "mine", "mine"),
        (desired_of(jsonData={key: "mine"}, ignoreFields=[f"/jsonData/{key}"]), "mine", "its"),
        (desired_of(inputs=inputs, valuesFrom=[fed]), "fed-value-1", "fed-value-1"),
    ]:
        assert create_body(desired).json_data.get(key) == created
        assert update_body(desired, held).json_data[key] == kept


# --- properties ---------------------------------------------------------------------------------


@given(desired_states(), grafana_states())
def test_keeping_twice_is_keeping_once_and_changes_nothing_that_came_in(
    desired: DesiredDataSource, held: DataSourceState
) -> None:
    before = (repr(desired.json_data), repr(held.json_data))
    once = keep_ignored(desired, held)
    assert keep_ignored(once, held) == once
    assert (repr(desired.json_data), repr(held.json_data)) == before


@given(desired_states(), grafana_states())
def test_an_update_leaves_every_ignored_part_as_it_was(
    desired: DesiredDataSource, held: DataSourceState
) -> None:
    after = GrafanaModel.holding(held).put(update_body(desired, held))
    for pointer in desired.ignored & FIELDS.keys() - {"/url"}:
        assert getattr(after, FIELDS[pointer]) == getattr(held, FIELDS[pointer])
    for below in filter(None, map(below_json_data, desired.ignored)):
        was, is_now = find(held.json_data or {}, below), find(after.json_data, below)
        in_map = isinstance(find(after.json_data, below[:-1]), dict)
        if in_map and isinstance(find(held.json_data or {}, below[:-1]), dict):
            assert was is is_now is ABSENT or not list(
                find_differences(without_nulls(was), without_nulls(is_now), "")
            )


@given(desired_states(), grafana_states(), st.data())
def test_an_edit_of_an_ignored_part_is_no_difference(
    desired: DesiredDataSource, other: DataSourceState, data: st.DataObject
) -> None:
    model = GrafanaModel()
    model.post(create_body(desired))
    others = GrafanaModel.holding(other).fields
    for pointer in sorted(desired.ignored):
        field = pointer.removeprefix("/")
        if pointer in FIELDS and (pointer != "/url" or others["url"]):
            model.fields[field] = others[field]
        elif len(below := below_json_data(pointer)) == 1 and data.draw(st.booleans()):
            model.fields["jsonData"] = place(model.fields["jsonData"], below, {"by": ["hand"]})
    assert diff(desired, model.state, NEW) == ()
    before = model.state
    after = model.put(update_body(desired, before))
    assert after.model_copy(update={"version": before.version}) == before


def test_json_data_that_nobody_could_compare_counts_as_absent() -> None:
    deep = place({}, ["x"] * 5000, 1)
    held = state(jsonData={"a": deep, "pdcInjected": deep, **MARK})
    desired = desired_of(jsonData={"timeout": 1}, ignoreFields=["/jsonData/a"])
    assert diff(desired, held, NEW) == ("/jsonData", "/jsonData/timeout")
    assert update_body(desired, held).json_data == {"timeout": 1, **MARK}
    just = place({}, ["x"] * MAX_LEVELS, 1)
    assert diff(desired_of(jsonData=just), state(jsonData={**just, **MARK}), NEW) == ()
