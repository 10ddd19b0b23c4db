"""References to other GrafanaDataSources inside jsonData become their uids."""

from typing import Any

import pytest
from hypothesis import given

from grafana_datasource_operator.api.reasons import Reason
from grafana_datasource_operator.errors import ReconcileError, Retrying, Stalled
from grafana_datasource_operator.payload.pointers import place
from grafana_datasource_operator.payload.references import (
    check_references,
    referred_names,
    resolve_references,
)
from tests.strategies import json_data
from tests.unit.builders import data_source_ref as ref

Json = dict[str, Any]

_UIDS = {"tempo": "tempo-uid", "loki": "loki-uid", "gone": None}


@pytest.mark.parametrize(
    ("value", "resolved"),
    [
        ({"datasourceUid": ref("tempo")}, {"datasourceUid": "tempo-uid"}),
        (
            {"exemplarTraceIdDestinations": [{"name": "id", "datasourceUid": ref("tempo")}]},
            {"exemplarTraceIdDestinations": [{"name": "id", "datasourceUid": "tempo-uid"}]},
        ),
        ({"all": [ref("tempo"), [ref("loki")], 1]}, {"all": ["tempo-uid", ["loki-uid"], 1]}),
        ({"a/b": {"m~n": ref("loki")}}, {"a/b": {"m~n": "loki-uid"}}),
        ({"0": {"1": ref("loki")}}, {"0": {"1": "loki-uid"}}),
        ({"a": {**ref("tempo"), "null": None}}, {"a": "tempo-uid"}),
        ({"a": {"dataSourceRef": {"name": "tempo", "kind": None}}}, {"a": "tempo-uid"}),
        ({"dataSource": {"name": "tempo"}}, {"dataSource": {"name": "tempo"}}),
        ({"a": "dataSourceRef"}, {"a": "dataSourceRef"}),
        ({"a": {"dataSourceRef": None, "b": 1}}, {"a": {"dataSourceRef": None, "b": 1}}),
    ],
)
def test_a_reference_becomes_the_uid_wherever_it_is(value: Json, resolved: Json) -> None:
    before = repr(value)
    assert resolve_references(value, _UIDS) == resolved
    assert repr(value) == before


@pytest.mark.parametrize(
    ("value", "path", "problem"),
    [
        ({"a": {**ref("tempo"), "b": 1}}, "spec.jsonData.a", 'remove "b"'),
        ({"a": {"b": [0, {"dataSourceRef": "tempo"}]}}, "spec.jsonData.a.b[1]", "holds name"),
        ({"a": {"dataSourceRef": {}}}, "spec.jsonData.a", "holds name"),
        ({"a": ref("")}, "spec.jsonData.a", "holds name"),
        ({"a": ref(None)}, "spec.jsonData.a", "holds name"),
        ({"a": ref(7)}, "spec.jsonData.a", "holds name"),
        ({"a": ref("x" * 254)}, "spec.jsonData.a", "holds name"),
        ({"a": {"dataSourceRef": ["tempo"]}}, "spec.jsonData.a", "holds name"),
        ({"a": {"dataSourceRef": False}}, "spec.jsonData.a", "holds name"),
        (
            {"a": {"dataSourceRef": {"name": "tempo", "namespace": "team"}}},
            "spec.jsonData.a",
            "holds name",
        ),
        ({"a.b": [[ref(7)]]}, "spec.jsonData[a.b][0][0]", "holds name"),
        (ref("tempo"), "spec.jsonData", "cannot be a dataSourceRef itself"),
    ],
)
def test_what_is_no_reference_in_form_is_refused_at_its_place(
    value: Json, path: str, problem: str
) -> None:
    for check in (check_references, lambda v: resolve_references(v, _UIDS)):
        with pytest.raises(Stalled) as refused:
            check(value)
        assert refused.value.reason is Reason.INVALID_SPEC
        assert refused.value.message.startswith(f"{path}: ")
        assert problem in refused.value.message
    assert referred_names(value) == frozenset()


def test_a_resource_that_does_not_exist_is_waited_for_by_place_and_name() -> None:
    value = {"ok": ref("tempo"), "traces": [{"datasourceUid": ref("gone")}]}
    with pytest.raises(Retrying) as refused:
        resolve_references(value, _UIDS)
    assert refused.value.reason is Reason.WAITING_FOR_DATA_SOURCE
    assert refused.value.message == (
        'spec.jsonData.traces[0].datasourceUid: GrafanaDataSource "gone" does not exist in this'
        " namespace; until then Grafana is left as it is"
    )


def test_a_mistake_is_told_before_what_is_waited_for() -> None:
    with pytest.raises(ReconcileError) as refused:
        resolve_references({"a": ref("gone"), "b": {"dataSourceRef": 1}}, _UIDS)
    assert refused.value.reason is Reason.INVALID_SPEC


def test_the_first_of_several_in_the_document_is_told() -> None:
    with pytest.raises(Stalled) as refused:
        check_references({"z": [1, ref(1)], "a": ref(2)})
    assert refused.value.message.startswith("spec.jsonData.z[1]: ")


def test_another_root_is_named_where_references_are_elsewhere() -> None:
    with pytest.raises(Retrying) as refused:
        resolve_references({"uid": ref("gone")}, _UIDS, "spec.config.target")
    assert refused.value.message.startswith("spec.config.target.uid: ")


def test_names_are_those_of_all_well_formed_references() -> None:
    value = {"a": ref("tempo"), "b": [ref("loki"), {"c": ref("tempo")}], "d": ref(1)}
    assert referred_names(value) == {"tempo", "loki"}


@given(json_data)
def test_what_has_no_reference_stays_as_it_is(value: Json) -> None:
    assert resolve_references(value, {}) == value


def test_depth_is_no_problem_though_it_was_not_checked_yet() -> None:
    deep = place({}, ["x"] * 5000, ref("tempo"))
    assert referred_names(deep) == {"tempo"}
    check_references(deep)
