"""The state that a resource asks for, out of its spec and all that it refers to."""

import traceback
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grafana_datasource_operator.api.datasource import DataSource
from grafana_datasource_operator.api.names import OWNER_KEY
from grafana_datasource_operator.api.reasons import Reason
from grafana_datasource_operator.errors import ReconcileError
from grafana_datasource_operator.payload.datasource import (
    DesiredDataSource,
    build_desired,
    create_body,
    update_body,
)
from grafana_datasource_operator.payload.diff import diff
from grafana_datasource_operator.payload.inputs import Inputs
from grafana_datasource_operator.payload.pointers import place
from tests.canary import find_leaks
from tests.strategies import data_sources, grafana_states, inputs_for
from tests.unit.builders import (
    OWNER,
    config_map,
    config_map_key,
    data_source_ref,
    desired_of,
    resource,
    secret,
    secret_key,
    value_from,
)
from tests.unit.grafana_model import NEW, GrafanaModel

Json = dict[str, Any]

MARK = {OWNER_KEY: str(OWNER)}


def _refusal(inputs: Inputs | None = None, **spec: Any) -> ReconcileError:
    with pytest.raises(ReconcileError) as refused:
        desired_of(inputs=inputs, **spec)
    return refused.value


def test_everything_comes_together() -> None:
    desired = desired_of(
        inputs=Inputs(
            {"auth": secret("auth", data={"url": "http://u:p@host", "token": "token-1"})},
            {"settings": config_map("settings", data={"method": "POST"})},
            {"tempo": "tempo-uid", "self": "monitoring_prometheus"},
        ),
        url=None,
        jsonData={
            "timeout": None,
            "traces": [{"datasourceUid": data_source_ref("tempo"), "tag": None}],
            "own": data_source_ref("self"),
        },
        secureJsonData={"httpHeaderValue1": secret_key("auth", "token")},
        valuesFrom=[
            value_from("/url", secret_key("auth", "url")),
            value_from("/jsonData/httpMethod", config_map_key("settings", "method")),
        ],
        ignoreFields=["/jsonData/handmade"],
    )
    assert desired.url == "http://u:p@host"
    assert desired.json_data == {
        "traces": [{"datasourceUid": "tempo-uid"}],
        "own": "monitoring_prometheus",
        "httpMethod": "POST",
        **MARK,
    }
    assert desired.secrets.values["httpHeaderValue1"].get_secret_value() == "token-1"
    assert desired.secret_fed == {"/url"}
    assert [value.get_secret_value() for value in desired.hidden] == ["http://u:p@host"]
    assert {"/jsonData/handmade", "/jsonData/pdcInjected"} <= desired.ignored


def test_a_needed_url_may_come_from_elsewhere_and_is_refused_where_it_does_not() -> None:
    fed = [value_from("/url", secret_key("auth", "url", optional=True))]
    there = Inputs({"auth": secret("auth", data={"url": "http://host"})})
    assert desired_of(inputs=there, url=None, valuesFrom=fed).url == "http://host"
    assert desired_of(inputs=Inputs({"auth": None}), valuesFrom=fed).url == "http://prometheus:9090"
    refusal = _refusal(Inputs({"auth": None}), url=None, valuesFrom=fed)
    assert refusal.message.startswith("spec.url: must be set for type prometheus")
    blank = Inputs({"auth": secret("auth", data={"url": "\n"})})
    assert _refusal(blank, url=None, valuesFrom=fed).reason is Reason.INVALID_SPEC


def test_what_a_value_replaces_is_not_waited_for() -> None:
    desired = desired_of(
        inputs=Inputs({}, {"c": config_map("c", data={"k": "uid-1"})}, {"gone": None}),
        jsonData={"traces": data_source_ref("gone")},
        valuesFrom=[value_from("/jsonData/traces", config_map_key("c", "k"))],
    )
    assert desired.json_data == {"traces": "uid-1", **MARK}


def test_a_value_next_to_a_reference_is_no_way_to_change_it() -> None:
    inputs = Inputs({}, {"c": config_map("c", data={"k": "x"})}, {"tempo": "tempo-uid"})
    refusal = _refusal(
        inputs,
        jsonData={"a": data_source_ref("tempo")},
        valuesFrom=[value_from("/jsonData/a/b", config_map_key("c", "k"))],
    )
    assert refusal.reason is Reason.INVALID_SPEC
    assert refusal.message.startswith("spec.jsonData.a: ")


def test_two_resources_may_point_at_each_other() -> None:
    inputs = Inputs(uids={"tempo": "team_tempo", "loki": "team_loki"})
    tempo = resource(spec={"type": "x", "jsonData": {"logs": data_source_ref("loki")}})
    loki = resource(spec={"type": "x", "jsonData": {"traces": data_source_ref("tempo")}})
    assert build_desired(tempo, inputs, OWNER).json_data["logs"] == "team_loki"
    assert build_desired(loki, inputs, OWNER).json_data["traces"] == "team_tempo"


_WAITING = Inputs({"gone": None, "also": None}, {"gone": None}, {"gone": None})
_ALL_WRONG: Json = {
    "valuesFrom": [value_from("/user", config_map_key("gone", "k"))],
    "ignoreFields": ["/type"],
    "secureJsonData": {"a": secret_key("also", "k")},
    "jsonData": {"a": data_source_ref("gone")},
}


@pytest.mark.parametrize(
    ("left_out", "reason"),
    [
        ([], Reason.WAITING_FOR_CONFIG_MAP),
        (["valuesFrom"], Reason.INVALID_SPEC),
        (["valuesFrom", "ignoreFields"], Reason.WAITING_FOR_SECRET),
        (["valuesFrom", "ignoreFields", "secureJsonData"], Reason.WAITING_FOR_DATA_SOURCE),
    ],
)
def test_the_first_thing_that_is_wrong_is_told(left_out: list[str], reason: Reason) -> None:
    spec = {key: value for key, value in _ALL_WRONG.items() if key not in left_out}
    assert _refusal(_WAITING, **spec).reason is reason


@pytest.mark.parametrize("inner", [1, data_source_ref("tempo"), {"dataSourceRef": 1}])
def test_json_data_that_is_nested_beyond_reason_is_refused_before_anyone_recurses(
    inner: Any,
) -> None:
    deep = place({}, ["x"] * 5000, inner)
    fed = [value_from("/jsonData/y", config_map_key("c", "k"))]
    inputs = Inputs({}, {"c": config_map("c", data={"k": "v"})}, {"tempo": "tempo-uid"})
    for spec in ({"jsonData": deep}, {"jsonData": deep, "valuesFrom": fed}):
        refusal = _refusal(inputs, **spec)
        assert refusal.message == "spec.jsonData: is nested more than 100 levels deep"


def test_a_pointer_cannot_nest_json_data_beyond_reason() -> None:
    inputs = Inputs({}, {"c": config_map("c", data={"k": "v"})})
    fed = [value_from("/jsonData" + "/x" * 101, config_map_key("c", "k"))]
    assert "nested" in _refusal(inputs, valuesFrom=fed).message
    fits = [value_from("/jsonData" + "/x" * 100, config_map_key("c", "k"))]
    assert desired_of(inputs=inputs, valuesFrom=fits).json_data["x"]


# --- the name -----------------------------------------------------------------------------------


def test_a_name_is_shown_unless_it_came_from_a_secret() -> None:
    inputs = Inputs(
        {"s": secret("s", data={"k": "secret-name-1"})}, {"c": config_map("c", data={"k": "open"})}
    )
    from_secret = [value_from("/name", secret_key("s", "k"))]
    from_map = [value_from("/name", config_map_key("c", "k"))]
    absent = [value_from("/name", secret_key("t", "k", optional=True))]
    assert desired_of().shown_name == '"prometheus"'
    assert desired_of(name="Prom").shown_name == '"Prom"'
    assert desired_of(inputs=inputs, valuesFrom=from_map).shown_name == '"open"'
    assert desired_of(inputs=Inputs({"t": None}), valuesFrom=absent).shown_name == '"prometheus"'
    secretly = desired_of(inputs=inputs, valuesFrom=from_secret)
    assert (secretly.name, secretly.shown_name) == ("secret-name-1", "(from a Secret)")


# --- properties ---------------------------------------------------------------------------------


def _build(described: DataSource, data: st.DataObject) -> DesiredDataSource:
    return build_desired(described, data.draw(inputs_for(described)), OWNER)


@given(data_sources, st.data())
def test_one_write_is_enough_and_a_second_look_writes_nothing(
    described: DataSource, data: st.DataObject
) -> None:
    desired = _build(described, data)
    model = GrafanaModel()
    assert diff(desired, model.post(create_body(desired)), NEW) == ()
    held = data.draw(grafana_states())
    model = GrafanaModel.holding(held)
    once = model.put(update_body(desired, held))
    assert diff(desired, once, NEW) == ()
    adopted = GrafanaModel.holding(held).put(update_body(desired, held, adopting=True))
    assert diff(desired, adopted, NEW) == ()


@given(data_sources, st.data())
def test_what_is_sent_has_no_reference_left_and_names_all_that_is_hidden(
    described: DataSource, data: st.DataObject
) -> None:
    desired = _build(described, data)
    assert "dataSourceRef" not in repr(desired.json_data)
    assert bool(desired.hidden) is bool(desired.secret_fed)
    assert create_body(desired).hidden == desired.hidden


_canaries = st.text("abcdefgh0123456789", min_size=12, max_size=30)


@given(_canaries, st.sampled_from(["/url", "/name", "/user", "/jsonData/a/b"]))
def test_no_refusal_shows_a_value_that_came_from_a_secret(canary: str, path: str) -> None:
    inputs = Inputs(
        {"s": secret("s", data={"k": canary, "long": canary * 30}), "gone": None},
        {"gone": None},
        {"gone": None},
    )
    fed = [value_from(path, secret_key("s", "k"))]
    too_long = [value_from("/name", secret_key("s", "long"))]
    specs: list[Json] = [
        {"valuesFrom": too_long},
        {"valuesFrom": [*fed, value_from("/database", config_map_key("gone", "k"))]},
        {"valuesFrom": fed, "ignoreFields": ["/type"]},
        {"valuesFrom": fed, "jsonData": {"z": data_source_ref("gone")}},
        {"valuesFrom": fed, "jsonData": {"z": {"dataSourceRef": 1}}},
        {"valuesFrom": fed, "jsonData": {"z": 2**63}},
        {"valuesFrom": fed, "secureJsonData": {"a": secret_key("gone", "k")}},
        {"valuesFrom": [value_from("/user", secret_key("s", "k"))], "url": ""},
    ]
    shown = {}
    for spec in specs:
        refusal = _refusal(inputs, **spec)
        shown[str(spec)] = f"{refusal!r}{''.join(traceback.format_exception(refusal))}"
    assert find_leaks([canary], shown) == []
