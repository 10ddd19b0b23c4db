"""What differs between the state that a spec asks for and the one that Grafana holds."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import SecretStr

from grafana_datasource_operator.api.grafana_json import DataSourceState
from grafana_datasource_operator.api.names import OWNER_KEY
from grafana_datasource_operator.grafana.client import encode_body
from grafana_datasource_operator.payload.datasource import (
    DesiredDataSource,
    create_body,
    keep_ignored,
    update_body,
)
from grafana_datasource_operator.payload.diff import (
    StoreTraits,
    describe_difference,
    diff,
    uncleared,
)
from grafana_datasource_operator.payload.ignored import KEPT_KEYS
from grafana_datasource_operator.payload.inputs import Inputs
from grafana_datasource_operator.payload.json_values import (
    find_differences,
    without_nulls,
)
from grafana_datasource_operator.payload.plugin_types import TYPE_ALIASES
from grafana_datasource_operator.payload.pointers import escape, parse_pointer, place
from grafana_datasource_operator.payload.secrets import ResolvedSecrets
from tests.canary import find_leaks
from tests.strategies import desired_states, grafana_states
from tests.unit.builders import OWNER, desired_of, secret, secret_key, state, value_from
from tests.unit.grafana_model import NEW, OLD, GrafanaModel

MARK = {OWNER_KEY: str(OWNER)}
_WIRE_NAMES = {
    "name": "name",
    "url": "url",
    "user": "user",
    "database": "database",
    "basic_auth_user": "basicAuthUser",
    "json_data": "jsonData",
}
_traits = st.sampled_from([NEW, OLD])

# --- properties ---------------------------------------------------------------------------------


@given(desired_states(), _traits)
def test_nothing_differs_from_what_was_just_created(
    desired: DesiredDataSource, traits: StoreTraits
) -> None:
    held = GrafanaModel(traits).post(create_body(desired))
    assert diff(desired, held, traits) == ()
    assert uncleared(desired, held, traits) == []


@given(desired_states(), grafana_states(), _traits)
def test_one_update_brings_any_state_to_the_one_asked_for(
    desired: DesiredDataSource, held: DataSourceState, traits: StoreTraits
) -> None:
    model = GrafanaModel.holding(held, traits)
    after = model.put(update_body(desired, held))
    assert diff(desired, after, traits) == ()


@given(desired_states(), grafana_states(), _traits)
def test_a_second_update_would_change_nothing(
    desired: DesiredDataSource, held: DataSourceState, traits: StoreTraits
) -> None:
    model = GrafanaModel.holding(held, traits)
    once = model.put(update_body(desired, held))
    twice = model.put(update_body(desired, once))
    assert twice.model_copy(update={"version": once.version}) == once


_EDITABLE = [
    *("name", "type", "access", "url", "user", "database", "basicAuth", "basicAuthUser"),
    *("withCredentials", "isDefault", "jsonData"),
]


@given(
    desired_states(),
    grafana_states(),
    st.sets(st.sampled_from([*_EDITABLE, "secrets"]), max_size=3),
    _traits,
)
def test_there_is_a_difference_exactly_where_an_update_would_change_something(
    desired: DesiredDataSource, other: DataSourceState, edited: set[str], traits: StoreTraits
) -> None:
    model = GrafanaModel(traits)
    model.post(create_body(desired))
    others = GrafanaModel.holding(other)
    model.fields |= {field: others.fields[field] for field in edited - {"secrets"}}
    model.secrets = others.secrets if "secrets" in edited else model.secrets
    before = model.state
    changed = _look_different(before, model.put(update_body(desired, before)))
    assert bool(diff(desired, before, traits)) is changed


def _look_different(one: DataSourceState, other: DataSourceState) -> bool:
    """Whether two states differ in more than aliases and nulls."""
    return _essence(one) != _essence(other) or any(
        find_differences(
            without_nulls(one.json_data or {}), without_nulls(other.json_data or {}), ""
        )
    )


def _essence(held: DataSourceState) -> DataSourceState:
    essential: dict[str, object] = {
        "type": TYPE_ALIASES.get(held.type, held.type),
        "json_data": None,
        "version": 0,
    }
    return held.model_copy(update=essential)


_text_edits = st.sampled_from(["name", "access", "url", "user", "database"])


@given(desired_states(), _text_edits, st.text(min_size=1, max_size=8))
def test_a_hand_edit_of_a_text_is_named(desired: DesiredDataSource, field: str, value: str) -> None:
    model = GrafanaModel()
    model.post(create_body(desired))
    assume(model.fields[field] != value)
    kept = f"/{field}" in desired.ignored or (field == "url" and not desired.url)
    told = () if kept else (f"/{field}",)
    model.fields[field] = value
    assert diff(desired, model.state, NEW) == told


@given(desired_states(), st.sampled_from(["basicAuth", "withCredentials", "isDefault"]))
def test_a_hand_edit_of_a_switch_is_named(desired: DesiredDataSource, field: str) -> None:
    model = GrafanaModel()
    model.post(create_body(desired))
    model.fields[field] = not model.fields[field]
    left_open = field == "isDefault" and desired.is_default is None
    kept = left_open or f"/{field}" in desired.ignored
    assert diff(desired, model.state, NEW) == (() if kept else (f"/{field}",))


@given(desired_states(), st.text(min_size=1, max_size=8))
def test_a_hand_edit_of_the_type_is_named(desired: DesiredDataSource, type_: str) -> None:
    assume(TYPE_ALIASES.get(type_, type_) != TYPE_ALIASES.get(desired.type, desired.type))
    model = GrafanaModel()
    model.post(create_body(desired))
    model.fields["type"] = type_
    assert diff(desired, model.state, NEW) == ("/type",)


@given(desired_states(), st.text(min_size=1, max_size=8), st.integers())
def test_a_key_that_somebody_added_to_json_data_is_named(
    desired: DesiredDataSource, key: str, value: int
) -> None:
    assume(key not in desired.json_data and f"/jsonData/{escape(key)}" not in desired.ignored)
    model = GrafanaModel()
    model.post(create_body(desired))
    model.fields["jsonData"][key] = value
    assert diff(desired, model.state, NEW) == (f"/jsonData/{escape(key)}",)


def _told_keys(desired: DesiredDataSource) -> list[str]:
    """Keys of jsonData that are not ignored as a whole."""
    return sorted(
        key for key in desired.json_data if f"/jsonData/{escape(key)}" not in desired.ignored
    )


@given(desired_states(), st.data())
def test_a_key_that_somebody_took_out_of_json_data_is_named(
    desired: DesiredDataSource, data: st.DataObject
) -> None:
    model = GrafanaModel()
    model.post(create_body(desired))
    key = data.draw(st.sampled_from(_told_keys(desired)))
    del model.fields["jsonData"][key]
    told = "/jsonData" if key == OWNER_KEY else f"/jsonData/{escape(key)}"
    assert diff(desired, model.state, NEW) == (told,)


@given(desired_states(), st.data())
def test_a_key_of_json_data_that_somebody_changed_is_named(
    desired: DesiredDataSource, data: st.DataObject
) -> None:
    model = GrafanaModel()
    model.post(create_body(desired))
    key = data.draw(st.sampled_from(_told_keys(desired)))
    model.fields["jsonData"][key] = {"somebody": ["else's", key]}
    told = diff(desired, model.state, NEW)
    expected = "/jsonData" if key == OWNER_KEY else f"/jsonData/{escape(key)}"
    assert told
    assert all(f"{pointer}/".startswith(f"{expected}/") for pointer in told)


@given(desired_states(), st.data())
def test_a_secret_that_somebody_blanked_is_named(
    desired: DesiredDataSource, data: st.DataObject
) -> None:
    assume(desired.secrets.values)
    model = GrafanaModel()
    model.post(create_body(desired))
    key = data.draw(st.sampled_from(sorted(desired.secrets.values)))
    model.secrets[key] = ""
    assert diff(desired, model.state, NEW) == (f"/secureJsonData/{key}",)


@given(desired_states(), st.sampled_from(["stray", "password", "token"]))
def test_a_secret_that_somebody_added_is_named_unless_its_key_may_be_ours(
    desired: DesiredDataSource, key: str
) -> None:
    secrets = desired.secrets
    assume(key not in secrets.values)
    model = GrafanaModel()
    model.post(create_body(desired))
    model.secrets[key] = "added by hand"
    told = () if secrets.keeps_all or key in secrets.kept else (f"/secureJsonData/{key}",)
    assert diff(desired, model.state, NEW) == told


# --- cases --------------------------------------------------------------------------------------


def test_several_differences_are_told_in_a_fixed_order() -> None:
    secrets = ResolvedSecrets({"b": SecretStr("bbbb-1"), "a": SecretStr("aaaa-1")})
    desired = desired_of(secrets, isDefault=True, jsonData={"y": 1, "x": 1})
    held = state(
        name="Other", url="http://other", isDefault=False, withCredentials=True, basicAuth=True
    )
    assert diff(desired, held, NEW) == (
        "/name",
        "/url",
        "/basicAuth",
        "/withCredentials",
        "/isDefault",
        "/jsonData/x",
        "/jsonData/y",
        "/secureJsonData/a",
        "/secureJsonData/b",
    )


@pytest.mark.parametrize(("old", "new"), TYPE_ALIASES.items())
def test_a_type_and_its_alias_are_the_same_either_way(old: str, new: str) -> None:
    for asked, held in [(old, new), (new, old), (old, old), (new, new)]:
        model = GrafanaModel(reads_back={asked: held})
        desired = desired_of(type=asked)
        assert diff(desired, model.post(create_body(desired)), NEW) == ()


@pytest.mark.parametrize("asked", ["postgres", "testdata", "grafana-postgresql-datasource"])
def test_another_type_is_no_alias(asked: str) -> None:
    assert diff(desired_of(type=asked), state(type="mysql"), NEW) == ("/type",)


@pytest.mark.parametrize("key", sorted(KEPT_KEYS))
def test_keys_that_grafana_writes_itself_are_no_difference_unless_the_spec_sets_them(
    key: str,
) -> None:
    held = state(jsonData={key: {"a": [1, None]}, **MARK})
    assert diff(desired_of(), held, NEW) == ()
    assert diff(desired_of(jsonData={key: None}), held, NEW) == ()
    assert diff(desired_of(jsonData={key: {"a": [1, None]}}), held, NEW) == ()
    assert diff(desired_of(jsonData={key: {"a": [2, None]}}), held, NEW) == (
        f"/jsonData/{key}/a/0",
    )


@pytest.mark.parametrize(
    ("asked", "held"),
    [
        ({"a": None}, {}),
        ({}, {"a": None}),
        ({"a": None}, {"a": None}),
        ({"a": {"b": None}}, {"a": {}}),
        ({"a": 1}, {"a": 1.0}),
        ({"big": 2**63 - 1}, {"big": 2**63 - 1}),
    ],
)
def test_values_that_mean_the_same_are_no_difference(asked: Any, held: Any) -> None:
    assert diff(desired_of(jsonData=asked), state(jsonData={**held, **MARK}), NEW) == ()


def test_no_json_data_at_all_lacks_what_was_asked_for_and_our_mark() -> None:
    told = diff(desired_of(jsonData={"timeout": 1}), state(jsonData=None), NEW)
    assert told == ("/jsonData", "/jsonData/timeout")


@pytest.mark.parametrize("mark", [{}, {OWNER_KEY: "owner-2/a/b"}, {OWNER_KEY: None}])
def test_a_mark_that_is_gone_or_changed_is_a_difference_without_its_name(
    mark: dict[str, Any],
) -> None:
    assert diff(desired_of(), state(jsonData=mark), NEW) == ("/jsonData",)


def test_a_url_or_user_that_no_update_clears_is_said_and_is_no_difference() -> None:
    desired = desired_of(type="cloudwatch", url="", basicAuth=True)
    held = state(type="cloudwatch", url="http://old", basicAuth=True, basicAuthUser="old")
    assert diff(desired, held, NEW) == ()
    assert uncleared(desired, held, NEW) == ["basicAuthUser", "url"]


def test_a_user_counts_without_basic_auth_too() -> None:
    held = state(basicAuthUser="old")
    assert diff(desired_of(), held, NEW) == ()
    assert uncleared(desired_of(), held, NEW) == ["basicAuthUser"]
    assert diff(desired_of(basicAuthUser="new"), held, NEW) == ("/basicAuthUser",)


def test_a_wanted_url_or_user_is_a_difference_as_any_other_field() -> None:
    desired = desired_of(url="http://new", basicAuth=True, basicAuthUser="new")
    held = state(url="http://old", basicAuth=True, basicAuthUser="old")
    assert diff(desired, held, NEW) == ("/url", "/basicAuthUser")
    assert uncleared(desired, held, NEW) == []


def test_only_old_servers_keep_a_database_that_the_spec_no_longer_asks_for() -> None:
    held = state(database="old")
    assert diff(desired_of(), held, NEW) == ("/database",)
    assert uncleared(desired_of(), held, NEW) == []
    assert diff(desired_of(), held, OLD) == ()
    assert uncleared(desired_of(), held, OLD) == ["database"]
    assert diff(desired_of(database="new"), held, OLD) == ("/database",)


def test_on_old_servers_a_blanked_secret_stays_listed_without_end_to_the_updates() -> None:
    held = state(secureJsonFields={"left": True})
    assert diff(desired_of(), held, NEW) == ("/secureJsonData/left",)
    assert diff(desired_of(), held, OLD) == ()


@pytest.mark.parametrize("traits", [NEW, OLD])
def test_a_secret_that_grafana_lacks_is_a_difference_on_every_server(traits: StoreTraits) -> None:
    desired = desired_of(ResolvedSecrets({"token": SecretStr("secret-value-1")}))
    assert diff(desired, state(), traits) == ("/secureJsonData/token",)
    assert diff(desired, state(secureJsonFields={"token": False}), traits) == (
        "/secureJsonData/token",
    )


def test_an_optional_secret_without_a_value_is_no_difference_whether_grafana_has_one_or_not() -> (
    None
):
    desired = desired_of(ResolvedSecrets({}, kept=frozenset({"token"})))
    assert diff(desired, state(), NEW) == ()
    assert diff(desired, state(secureJsonFields={"token": True}), NEW) == ()


@pytest.mark.parametrize("said", [None, True])
def test_the_first_data_source_of_an_organization_is_its_default_without_a_difference(
    said: bool | None,
) -> None:
    spec: dict[str, Any] = {} if said is None else {"isDefault": said}
    desired = desired_of(**spec)
    held = GrafanaModel(forces_default=True).post(create_body(desired))
    assert held.is_default
    assert diff(desired, held, NEW) == ()


def test_a_default_that_the_spec_does_not_want_is_put_right() -> None:
    desired = desired_of(isDefault=False)
    model = GrafanaModel(forces_default=True)
    held = model.post(create_body(desired))
    assert diff(desired, held, NEW) == ("/isDefault",)
    assert diff(desired, model.put(update_body(desired, held)), NEW) == ()


# --- as messages tell it ------------------------------------------------------------------------


def test_differences_are_told_by_where_they_are() -> None:
    told = describe_difference(["/url", "/jsonData/httpMethod"], desired_of())
    assert told == "/url, /jsonData/httpMethod"
    assert describe_difference([], desired_of()) == ""


@pytest.mark.parametrize(
    ("count", "end"), [(8, "/7"), (9, "/7 and 1 more"), (20, "/7 and 12 more")]
)
def test_of_many_differences_eight_are_told_and_the_rest_counted(count: int, end: str) -> None:
    told = describe_difference([f"/{number}" for number in range(count)], desired_of())
    assert told.startswith("/0, /1, ")
    assert told.endswith(end)
    assert told.count("/") == 8


def test_a_key_that_somebody_made_very_long_does_not_fill_the_message() -> None:
    told = describe_difference(["/jsonData/" + "k" * 100_000], desired_of())
    assert told.startswith("/jsonData/kkk")
    assert len(told) < 200


def test_a_field_whose_value_is_secret_is_told_as_such() -> None:
    inputs = Inputs({"s": secret("s", data={"k": "secret-value-1"})})
    fed = [
        value_from("/url", secret_key("s", "k")),
        value_from("/jsonData/a", secret_key("s", "k")),
    ]
    desired = desired_of(inputs=inputs, valuesFrom=fed)
    told = describe_difference(diff(desired, state(), NEW), desired)
    assert told == "/url (from a Secret), /jsonData/a (from a Secret)"


@given(desired_states(), grafana_states(), _traits)
def test_values_from_secrets_are_in_no_difference_and_no_text(
    desired: DesiredDataSource, held: DataSourceState, traits: StoreTraits
) -> None:
    fed = sorted(desired.secret_fed)
    canaries = {pointer: f"canary-{index}-value" for index, pointer in enumerate(fed)}
    body = encode_body(create_body(desired))
    for pointer, canary in canaries.items():
        body = place(body, parse_pointer(pointer), canary)
    inputs_seen = replace(
        desired,
        **{field: body[wire] for field, wire in _WIRE_NAMES.items()},
        hidden=tuple(SecretStr(canary) for canary in canaries.values()),
    )
    pointers = diff(inputs_seen, held, traits)
    shown = {
        "difference": "".join(pointers),
        "message": describe_difference(pointers, inputs_seen),
        "uncleared": "".join(uncleared(inputs_seen, held, traits)),
        "desired": f"{inputs_seen}{inputs_seen!r}{inputs_seen.shown_name}",
        "kept": repr(keep_ignored(inputs_seen, held)),
        "bodies": f"{create_body(inputs_seen)!r}{update_body(inputs_seen, held)!r}",
    }
    assert find_leaks(canaries.values(), shown) == []


@given(desired_states(), grafana_states())
def test_a_difference_never_shows_a_value(
    desired: DesiredDataSource, held: DataSourceState
) -> None:
    secrets = ResolvedSecrets({"key": SecretStr("secret-value-1")}, revision="r")
    asked = replace(desired, secrets=secrets)
    assert "secret-value-1" not in "".join(diff(asked, held, NEW))
