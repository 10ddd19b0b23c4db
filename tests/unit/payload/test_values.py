"""valuesFrom: fields of spec out of Secrets and ConfigMaps, and no trace of the secret ones."""

import traceback
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grafana_datasource_operator.api.datasource import DataSourceSpec
from grafana_datasource_operator.api.names import OWNER_KEY
from grafana_datasource_operator.api.reasons import Reason
from grafana_datasource_operator.errors import ReconcileError, Retrying, Stalled
from grafana_datasource_operator.payload.inputs import Inputs
from grafana_datasource_operator.payload.pointers import find, parse_pointer
from grafana_datasource_operator.payload.values import FilledSpec, check_values_from, fill_values
from tests.canary import find_leaks
from tests.unit.builders import (
    SPEC,
    config_map,
    config_map_key,
    data_source_ref,
    resource,
    secret,
    secret_key,
    value_from,
)

Json = dict[str, Any]

_SECRET = secret("s", data={"k": "secret-value-1", "empty": "", "binary": b"\xff\xfe\x80"})
_MAP = config_map("c", data={"k": "plain-value-1", "empty": ""})
_INPUTS = Inputs({"s": _SECRET, "gone": None}, {"c": _MAP, "gone": None})
_FROM_SECRET, _FROM_MAP = secret_key("s", "k"), config_map_key("c", "k")


def _spec(*entries: Json, **spec: Any) -> DataSourceSpec:
    return resource(spec={**SPEC, **spec, "valuesFrom": list(entries)}).spec


def _fill(*entries: Json, inputs: Inputs = _INPUTS, **spec: Any) -> FilledSpec:
    return fill_values(_spec(*entries, **spec), inputs)


def _refusal(*entries: Json, **spec: Any) -> ReconcileError:
    with pytest.raises(ReconcileError) as refused:
        _fill(*entries, **spec)
    return refused.value


# --- which field --------------------------------------------------------------------------------


def test_a_spec_without_values_from_stays_as_it_is() -> None:
    spec = resource().spec
    assert fill_values(spec, Inputs()) == FilledSpec(spec)


@pytest.mark.parametrize("source", [_FROM_SECRET, _FROM_MAP])
@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/url", "url"),
        ("/user", "user"),
        ("/database", "database"),
        ("/basicAuthUser", "basicAuthUser"),
        ("/name", "name"),
    ],
)
@pytest.mark.parametrize("before", [None, "before"])
def test_a_field_is_set_whether_the_spec_says_it_or_not(
    path: str, field: str, before: str | None, source: Json
) -> None:
    said: Json = {} if before is None else {field: before}
    filled = _fill(value_from(path, source), **said).spec
    value = "secret-value-1" if source is _FROM_SECRET else "plain-value-1"
    expected = resource(spec={**SPEC, **said, field: value}).spec
    assert filled.model_dump() == expected.model_dump()


@pytest.mark.parametrize(
    ("json_data", "path", "result"),
    [
        (None, "/jsonData/a", {"a": "plain-value-1"}),
        ({"a": {"b": [1]}}, "/jsonData/a", {"a": "plain-value-1"}),
        ({"a": {"b": 1}}, "/jsonData/a/c/d", {"a": {"b": 1, "c": {"d": "plain-value-1"}}}),
        ({"a": None}, "/jsonData/a/b", {"a": {"b": "plain-value-1"}}),
        ({"a": [1, {"b": 2}]}, "/jsonData/a/1/b", {"a": [1, {"b": "plain-value-1"}]}),
        ({"a": [1, 2]}, "/jsonData/a/0", {"a": ["plain-value-1", 2]}),
        ({}, "/jsonData/a~1b/m~0n", {"a/b": {"m~n": "plain-value-1"}}),
        ({}, "/jsonData/", {"": "plain-value-1"}),
        ({}, "/jsonData/teamHttpHeaders", {"teamHttpHeaders": "plain-value-1"}),
        ({"a": data_source_ref("tempo")}, "/jsonData/a", {"a": "plain-value-1"}),
    ],
)
def test_a_value_of_json_data_is_set_and_missing_maps_are_made(
    json_data: Json | None, path: str, result: Json
) -> None:
    said: Json = {} if json_data is None else {"jsonData": json_data}
    before = repr(json_data)
    assert _fill(value_from(path, _FROM_MAP), **said).spec.json_data == result
    assert repr(json_data) == before


def test_several_entries_are_applied_and_told_apart() -> None:
    filled = _fill(
        value_from("/url", _FROM_SECRET),
        value_from("/user", _FROM_MAP),
        value_from("/jsonData/a/b", _FROM_MAP),
        value_from("/jsonData/a/c", _FROM_SECRET),
        value_from("/database", secret_key("gone", "k", optional=True)),
    )
    assert (filled.spec.url, filled.spec.user) == ("secret-value-1", "plain-value-1")
    assert filled.spec.json_data == {"a": {"b": "plain-value-1", "c": "secret-value-1"}}
    assert filled.pointers == {"/url", "/user", "/jsonData/a/b", "/jsonData/a/c"}
    assert filled.secret_fed == {"/url", "/jsonData/a/c"}
    assert [value.get_secret_value() for value in filled.hidden] == ["secret-value-1"] * 2
    assert filled.spec.values_from is None


@pytest.mark.parametrize(
    "value", ["line\n", " spaces ", "ünïcödé €", '"quoted" \\', "007", "true", "null", "{}"]
)
@pytest.mark.parametrize("path", ["/user", "/jsonData/a"])
def test_a_value_is_the_text_exactly_as_it_is_stored(value: str, path: str) -> None:
    inputs = Inputs(
        {"s": secret("s", data={"k": value})}, {"c": config_map("c", data={"k": value})}
    )
    for source in (_FROM_SECRET, _FROM_MAP):
        filled = _fill(value_from(path, source), inputs=inputs).spec
        said = filled.model_dump(by_alias=True)
        assert find(said, parse_pointer(path)) == value


# --- what is missing ----------------------------------------------------------------------------

_MISSING = [
    (secret_key("gone", "k"), 'Secret "gone" does not exist'),
    (secret_key("s", "l"), 'Secret "s" has no key "l"'),
    (secret_key("s", "empty"), 'key "empty" of Secret "s" is empty'),
    (config_map_key("gone", "k"), 'ConfigMap "gone" does not exist'),
    (config_map_key("c", "l"), 'ConfigMap "c" has no key "l"'),
    (config_map_key("c", "empty"), 'key "empty" of ConfigMap "c" is empty'),
]


def _with_optional(source: Json, *, optional: bool) -> Json:
    ((kind, ref),) = source.items()
    return {kind: {**ref, "optional": optional}}


@pytest.mark.parametrize(("source", "problem"), _MISSING)
@pytest.mark.parametrize("path", ["/url", "/jsonData/a"])
def test_a_required_value_is_waited_for_by_its_place(source: Json, problem: str, path: str) -> None:
    for said in (source, _with_optional(source, optional=False)):
        refusal = _refusal(value_from("/user", _FROM_MAP), value_from(path, said))
        is_secret = "secretKeyRef" in said
        assert isinstance(refusal, Retrying)
        assert refusal.reason is (
            Reason.WAITING_FOR_SECRET if is_secret else Reason.WAITING_FOR_CONFIG_MAP
        )
        assert refusal.message.startswith(f"spec.valuesFrom[1]: {problem}")
        assert refusal.message.endswith("; until then Grafana is left as it is")


@pytest.mark.parametrize(("source", "problem"), _MISSING)
def test_an_optional_value_that_is_absent_leaves_the_field_as_the_spec_has_it(
    source: Json, problem: str
) -> None:
    optional = _with_optional(source, optional=True)
    filled = _fill(
        value_from("/url", optional), value_from("/jsonData/a", optional), jsonData={"a": 1}
    )
    assert (filled.spec.url, filled.spec.json_data) == (SPEC["url"], {"a": 1}), problem
    assert (filled.pointers, filled.secret_fed, filled.hidden) == (frozenset(), frozenset(), ())


@pytest.mark.parametrize("more", [{}, {"optional": True}])
def test_bytes_that_are_no_text_are_waited_for_even_where_optional(more: dict[str, bool]) -> None:
    refusal = _refusal(value_from("/url", secret_key("s", "binary", **more)))
    assert refusal.reason is Reason.WAITING_FOR_SECRET
    assert refusal.message.startswith(
        'spec.valuesFrom[0]: key "binary" of Secret "s" is not UTF-8 text'
    )


# --- what cannot be set -------------------------------------------------------------------------


def _invalid(*entries: Json, **spec: Any) -> str:
    refusal = _refusal(*entries, **spec)
    assert isinstance(refusal, Stalled)
    assert refusal.reason is Reason.INVALID_SPEC
    return refusal.message


@pytest.mark.parametrize(
    "path",
    [
        "/type",
        "/uid",
        "/access",
        "/isDefault",
        "/basicAuth",
        "/jsonData",
        "/secureJsonData/a",
        "/instanceRef/name",
        "/url/x",
        "/URL",
        "/nothing",
    ],
)
def test_other_fields_are_refused_with_those_that_are_possible(path: str) -> None:
    message = _invalid(value_from("/user", _FROM_MAP), value_from(path, _FROM_SECRET))
    assert message == (
        f"spec.valuesFrom[1].path: {path} cannot be set; possible are /url, /user, /database,"
        " /basicAuthUser, /name, and what is below /jsonData"
    )


@pytest.mark.parametrize("path", ["/jsonData/gdso.dev~1owner", "/jsonData/gdso.dev~1owner/x"])
def test_the_owner_mark_is_not_the_user_s_to_set(path: str) -> None:
    assert "the operator's own mark" in _invalid(value_from(path, _FROM_MAP))
    nested = _fill(value_from("/jsonData/a/gdso.dev~1owner", _FROM_MAP)).spec.json_data
    assert nested == {"a": {OWNER_KEY: "plain-value-1"}}


@pytest.mark.parametrize(
    "path",
    ["/jsonData/a/dataSourceRef/name", "/jsonData/a/dataSourceRef", "/jsonData/dataSourceRef"],
)
def test_a_reference_cannot_be_made_of_values(path: str) -> None:
    assert "part of a dataSourceRef" in _invalid(value_from(path, _FROM_SECRET))


@pytest.mark.parametrize(
    ("json_data", "path", "problem"),
    [
        ({"a": "text"}, "/jsonData/a/b", "spec.jsonData.a is neither a map nor a list"),
        (
            {"a": [{"b": 1}]},
            "/jsonData/a/0/b/c",
            "spec.jsonData.a[0].b is neither a map nor a list",
        ),
        ({"a": [1]}, "/jsonData/a/1", "spec.jsonData.a has no item 1"),
        ({"a": [1]}, "/jsonData/a/-", "spec.jsonData.a has no item -"),
        ({"a": [1]}, "/jsonData/a/00", "spec.jsonData.a has no item 00"),
    ],
)
def test_a_place_that_the_spec_leaves_no_room_for_is_refused(
    json_data: Json, path: str, problem: str
) -> None:
    message = _invalid(value_from(path, _FROM_SECRET), jsonData=json_data)
    assert message == f"spec.valuesFrom[0].path: {path} cannot be set: {problem}"


def test_a_place_without_room_is_refused_though_there_is_no_value_for_it_yet() -> None:
    absent = value_from("/jsonData/a/b", secret_key("gone", "k", optional=True))
    assert "neither a map nor a list" in _invalid(absent, jsonData={"a": "text"})
    with pytest.raises(Stalled):
        check_values_from(_spec(absent, jsonData={"a": "text"}))


@pytest.mark.parametrize("source", [_FROM_SECRET, secret_key("gone", "k", optional=True)])
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("/url", "/url"),
        ("/jsonData/a", "/jsonData/a"),
        ("/jsonData/a", "/jsonData/a/b"),
        ("/jsonData/a/b/c", "/jsonData/a"),
    ],
)
def test_two_entries_for_one_place_are_refused(one: str, other: str, source: Json) -> None:
    message = _invalid(
        value_from(one, _FROM_MAP), value_from("/user", _FROM_MAP), value_from(other, source)
    )
    assert message == "spec.valuesFrom[2].path: overlaps with spec.valuesFrom[0].path"


def test_neighbours_do_not_overlap() -> None:
    check_values_from(
        _spec(value_from("/jsonData/a", _FROM_MAP), value_from("/jsonData/ab", _FROM_MAP))
    )


@pytest.mark.parametrize("sources", [{}, {**_FROM_SECRET, **_FROM_MAP}])
def test_exactly_one_source_must_be_said(sources: Json) -> None:
    assert _invalid(value_from("/url", sources)).startswith("spec.valuesFrom[0].valueFrom: exactly")


@pytest.mark.parametrize(
    ("path", "limit"),
    [("/url", 255), ("/user", 255), ("/database", 255), ("/basicAuthUser", 255), ("/name", 190)],
)
def test_a_value_that_the_field_does_not_take_is_refused_by_the_rule_alone(
    path: str, limit: int
) -> None:
    inputs = Inputs({"s": secret("s", data={"k": "secret-value-1" + "x" * limit})})
    with pytest.raises(Stalled) as refused:
        _fill(value_from(path, _FROM_SECRET), inputs=inputs)
    assert refused.value.message == (
        f"spec.valuesFrom[0]: its value for {path} has more than {limit} characters"
    )
    shown = "".join(traceback.format_exception(refused.value)) + repr(vars(refused.value))
    assert "secret-value-1" not in shown
    assert (refused.value.__cause__, refused.value.__context__) == (None, None)


def test_a_value_of_json_data_may_be_long() -> None:
    inputs = Inputs({"s": secret("s", data={"k": "x" * 100_000})})
    filled = _fill(value_from("/jsonData/cert", _FROM_SECRET), inputs=inputs)
    assert filled.spec.json_data == {"cert": "x" * 100_000}


# --- what is never shown ------------------------------------------------------------------------

_canaries = st.text("abcdefgh0123456789-", min_size=8, max_size=30)


@given(_canaries, st.sampled_from(["/url", "/name", "/jsonData/a/b"]))
def test_neither_results_nor_refusals_show_a_secret_value(value: str, path: str) -> None:
    inputs = Inputs({"s": secret("s", data={"k": value})}, {"gone": None})
    entry = value_from(path, _FROM_SECRET)
    filled = _fill(entry, inputs=inputs)
    shown = {"result": f"{filled}{filled!r}"}
    for other in [
        value_from("/user", config_map_key("gone", "k")),
        value_from(path, _FROM_SECRET),
        value_from("/jsonData/a/b/c", _FROM_SECRET),
        value_from("/type", _FROM_SECRET),
    ]:
        for entries in ([entry, other], [other, entry]):
            with pytest.raises(ReconcileError) as refused:
                _fill(*entries, inputs=inputs, jsonData={"a": {"b": "text"}})
            refusal = refused.value
            shown[f"{other}{len(shown)}"] = (
                f"{refusal}{refusal!r}{''.join(traceback.format_exception(refusal))}"
            )
    assert find_leaks([value], shown) == []
