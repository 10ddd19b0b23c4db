"""The digest of what Grafana's list shows: equal for list and GET, different after any edit."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from grafana_datasource_operator.api.grafana_json import DataSourceState
from grafana_datasource_operator.payload.datasource import (
    DesiredDataSource,
    create_body,
    listed_digest,
)
from grafana_datasource_operator.payload.json_values import find_differences, without_nulls
from grafana_datasource_operator.payload.plugin_types import TYPE_ALIASES
from grafana_datasource_operator.payload.pointers import place
from tests.contract.http_story import Row, read_rows
from tests.strategies import desired_states, grafana_states
from tests.unit.builders import MARK, state
from tests.unit.grafana_model import GrafanaModel

Json = dict[str, Any]

_TRANSCRIPTS = Path(__file__).parents[2] / "contract" / "transcripts"

# --- what real servers answered -----------------------------------------------------------------


def _items(row: Row) -> list[Json]:
    """Items of a recorded list; of one that was cut, those that are complete."""
    if isinstance(row.response, list):
        return row.response
    text = str(row.response)
    ends = [index + 1 for index in range(len(text)) if text.startswith("}, {'id'", index)]
    cut = text[: ends[-1]] + "]"
    parsed: list[Json] = ast.literal_eval(cut)
    return parsed


def _whole(response: object) -> Json | None:
    """The data source in the answer to a GET by uid, POST or PUT."""
    if not isinstance(response, dict):
        return None
    found = response.get("datasource", response)
    return found if isinstance(found, dict) and "secureJsonFields" in found else None


def _pairs(version: str) -> Iterator[tuple[str, Json, Json]]:
    """Items of lists, each with what Grafana answered last about the same data source."""
    known: dict[tuple[int, str], Json] = {}
    for row in read_rows(_TRANSCRIPTS / f"{version}.jsonl"):
        if row.status != 200:
            continue
        if row.method == "GET" and row.path.rstrip("/") == "/api/datasources":
            for item in _items(row):
                if answered := known.get((item["orgId"], item["uid"])):
                    yield f"{row.case} {item['uid']}", item, answered
        elif answered := _whole(row.response):
            known[answered["orgId"], answered["uid"]] = answered


@pytest.mark.parametrize(("version", "at_least"), [("8.5.9", 8), ("9.4.0-pre", 25), ("12.4.0", 50)])
def test_an_item_of_the_list_and_the_data_source_itself_have_one_digest(
    version: str, at_least: int
) -> None:
    pairs = list(_pairs(version))
    assert len(pairs) >= at_least
    other = [
        case
        for case, item, answered in pairs
        if listed_digest(DataSourceState.model_validate(item))
        != listed_digest(DataSourceState.model_validate(answered))
    ]
    assert other == []


@pytest.mark.parametrize("version", ["8.5.9", "9.4.0-pre", "12.4.0"])
def test_the_list_shows_every_field_that_the_digest_covers(version: str) -> None:
    covered = {"name", "type", "access", "url", "user", "database", "basicAuth", "isDefault"}
    covered |= {"jsonData", "readOnly"}
    not_listed = {"basicAuthUser", "withCredentials", "secureJsonFields", "version"}
    for case, item, answered in _pairs(version):
        assert covered <= item.keys(), case
        assert not_listed <= answered.keys() - item.keys(), case


# --- what counts --------------------------------------------------------------------------------

_EDITS = {
    "name": "Other",
    "type": "loki",
    "access": "direct",
    "url": "http://other",
    "user": "other",
    "database": "other",
    "basicAuth": True,
    "isDefault": True,
    "jsonData": {**MARK, "timeout": 1},
    "readOnly": True,
}


def test_every_edit_that_the_list_shows_makes_another_digest() -> None:
    digests = [listed_digest(state()), *(listed_digest(state(**{k: v})) for k, v in _EDITS.items())]
    assert len(set(digests)) == len(_EDITS) + 1
    assert listed_digest(state(jsonData={})) not in digests


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"jsonData": None}, {"jsonData": {}}),
        ({"jsonData": {"a": None}}, {"jsonData": {}}),
        ({"jsonData": {"a": {"b": None}}}, {"jsonData": {"a": {}}}),
        ({"jsonData": {"a": 1, "b": 2}}, {"jsonData": {"b": 2, "a": 1}}),
        ({"jsonData": {"a": 1}}, {"jsonData": {"a": 1.0}}),
        ({"jsonData": {"a": 10**20}}, {"jsonData": {"a": 1e20}}),
        ({"version": 3}, {"version": 4}),
        ({"basicAuthUser": "u"}, {}),
        ({"withCredentials": True}, {}),
        ({"secureJsonFields": {"a": True}}, {}),
        ({"id": 7}, {"id": 8}),
        *(({"type": old}, {"type": new}) for old, new in TYPE_ALIASES.items()),
    ],
)
def test_what_the_list_does_not_show_or_means_the_same_makes_no_difference(
    one: Json, other: Json
) -> None:
    assert listed_digest(state(**one)) == listed_digest(state(**other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1}, {"a": True}),
        ({"a": 1}, {"a": "1"}),
        ({"a": [1, 2]}, {"a": [2, 1]}),
        ({"a": [None]}, {"a": []}),
        ({"a": {}}, {}),
        ({"a": 2**53 + 1}, {"a": float(2**53)}),
        ({"a": 0.1}, {"a": 0.2}),
    ],
)
def test_values_that_differ_make_another_digest(one: Json, other: Json) -> None:
    assert listed_digest(state(jsonData=one)) != listed_digest(state(jsonData=other))


@given(desired_states())
def test_what_was_written_is_listed_with_the_digest_of_the_answer(
    desired: DesiredDataSource,
) -> None:
    model = GrafanaModel()
    answered = model.post(create_body(desired))
    assert listed_digest(model.listed) == listed_digest(answered)


@given(grafana_states(), grafana_states())
def test_two_states_have_one_digest_exactly_where_no_difference_would_be_seen(
    one: DataSourceState, other: DataSourceState
) -> None:
    mixed = one.model_copy(update={"json_data": other.json_data})
    differs = bool(
        list(
            find_differences(
                without_nulls(one.json_data or {}), without_nulls(other.json_data or {}), ""
            )
        )
    )
    assert (listed_digest(one) != listed_digest(mixed)) is differs


def test_a_digest_is_short_and_the_same_in_every_process() -> None:
    assert listed_digest(state()) == "9ad1787d248421e6"


def test_json_data_that_nobody_could_compare_is_no_problem() -> None:
    deep = state(jsonData=place({}, ["x"] * 5000, 1))
    assert listed_digest(deep) == listed_digest(state(jsonData={}))
    assert listed_digest(deep) != listed_digest(state())
