"""The condition Healthy: the worst of what the instances say, beside what looks found."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grafana_datasource_operator.api.datasource import DataSource
from grafana_datasource_operator.api.names import InstanceKey
from grafana_datasource_operator.api.reasons import ConditionStatus, ConditionType, Reason
from grafana_datasource_operator.status.conditions import find_condition
from grafana_datasource_operator.status.datasource import build_status
from grafana_datasource_operator.status.health import Finding, apply_health, keep_health
from grafana_datasource_operator.status.outcome import Facts, NotSynced, Outcome, Report, Synced
from tests.kstatus import broken_rules
from tests.unit.builders import raw_resource

Json = dict[str, Any]

MORNING, NOON, EVENING = (f"2026-01-02T{hour}:00:00Z" for hour in ("06", "12", "18"))
A, B, C = (InstanceKey("monitoring", name) for name in "abc")
FACTS = Facts(7, 3, None)
TRUE, FALSE, UNKNOWN = ConditionStatus

OK = Finding(TRUE, "OK", "all fine")
DOWN = Finding(FALSE, "ERROR", "connection refused")
MISSING = Finding(UNKNOWN, "", "the plugin is not installed")


def _looked(*keys: InstanceKey, outcome: Outcome | None = None) -> Json:
    raw = raw_resource(generation=3)
    report = Report({key: outcome or Synced(FACTS) for key in keys or (A, B)})
    status = build_status(DataSource.model_validate(raw), report, MORNING)
    assert status is not None
    return {**raw, "status": status.model_dump(mode="json", by_alias=True, exclude_none=True)}


def _checked(raw: Json, findings: dict[InstanceKey, Finding], now: str, **more: bool) -> Json:
    status = apply_health(
        DataSource.model_validate(raw), findings, now=now, **{"enabled": True, **more}
    )
    return {**raw, "status": status.model_dump(mode="json", by_alias=True, exclude_none=True)}


def _condition(raw: Json) -> tuple[str, str, str, str] | None:
    conditions = DataSource.model_validate(raw).status.conditions
    found = find_condition(conditions, ConditionType.HEALTHY)
    if found is None:
        return None
    return found.status.value, found.reason.value, found.message, found.last_transition_time


def _words(raw: Json) -> dict[str, str | None]:
    return {one["name"]: one.get("health") for one in raw["status"]["instances"]}


@pytest.mark.parametrize(
    ("findings", "condition", "words"),
    [
        ({A: OK}, ("True", "Healthy", "all fine"), {"a": "OK", "b": None}),
        ({A: DOWN}, ("False", "Unhealthy", "connection refused"), {"a": "ERROR", "b": None}),
        (
            {A: MISSING},
            ("Unknown", "HealthUnknown", "the plugin is not installed"),
            {"a": None, "b": None},
        ),
        (
            {A: OK, B: DOWN},
            ("False", "Unhealthy", "monitoring/b: connection refused"),
            {"a": "OK", "b": "ERROR"},
        ),
        (
            {A: MISSING, B: DOWN},
            ("False", "Unhealthy", "monitoring/b: connection refused"),
            {"a": None, "b": "ERROR"},
        ),
        (
            {A: OK, B: MISSING},
            ("Unknown", "HealthUnknown", "monitoring/b: the plugin is not installed"),
            {"a": "OK", "b": None},
        ),
        ({A: OK, B: OK}, ("True", "Healthy", "monitoring/a: all fine"), {"a": "OK", "b": "OK"}),
    ],
)
def test_the_worst_finding_is_the_condition_and_each_word_is_kept(
    findings: dict[InstanceKey, Finding],
    condition: tuple[str, str, str],
    words: dict[str, str | None],
) -> None:
    raw = _checked(_looked(), findings, NOON)
    assert _condition(raw) == (*condition, NOON)
    assert _words(raw) == words
    assert broken_rules(raw) == []


def test_health_is_no_part_of_ready() -> None:
    raw = _looked()
    conditions = _checked(raw, {A: DOWN}, NOON)["status"]["conditions"]
    assert [c for c in conditions if c["type"] != "Healthy"] == raw["status"]["conditions"]


def test_the_time_moves_only_with_the_status() -> None:
    raw = _checked(_looked(), {A: OK}, MORNING)
    same = _checked(raw, {A: Finding(TRUE, "OK", "other words")}, NOON)
    assert _condition(same) == ("True", "Healthy", "other words", MORNING)
    found = _condition(_checked(same, {A: DOWN}, EVENING))
    assert found is not None
    assert found[3] == EVENING


def test_where_nobody_answered_all_stays_as_it_is() -> None:
    raw = _checked(_looked(), {A: DOWN}, NOON)
    assert _checked(raw, {}, EVENING) == raw
    assert _condition(_checked(_looked(), {}, NOON)) is None


def test_an_instance_that_did_not_answer_keeps_its_word() -> None:
    raw = _checked(_checked(_looked(), {A: OK, B: DOWN}, NOON), {A: OK}, EVENING)
    assert _words(raw) == {"a": "OK", "b": "ERROR"}


def test_where_nobody_asks_any_more_nothing_is_left() -> None:
    raw = _looked()
    assert _checked(_checked(raw, {A: DOWN}, NOON), {}, EVENING, enabled=False) == raw


# --- looks and checks ---------------------------------------------------------------------------


def test_a_look_keeps_what_a_check_found_meanwhile() -> None:
    before = _looked()
    present = _checked(before, {A: OK, B: DOWN}, NOON)["status"]
    trouble = NotSynced(Reason.GRAFANA_REJECTED, "bad request")
    kept = keep_health(_looked(outcome=trouble)["status"], present)
    raw = {**before, "status": kept}
    assert _words(raw) == {"a": "OK", "b": "ERROR"}
    found = _condition(raw)
    assert found is not None
    assert found[:2] == ("False", "Unhealthy")
    assert [c["reason"] for c in kept["conditions"] if c["type"] == "Ready"] == ["GrafanaRejected"]


def test_a_look_brings_no_old_health_back() -> None:
    old = _checked(_looked(), {A: DOWN, B: DOWN}, NOON)["status"]
    present = _looked()["status"]
    assert keep_health(old, present) == present


def test_an_instance_that_the_look_left_is_not_brought_back() -> None:
    present = _checked(_looked(A, B), {A: OK, B: OK}, NOON)["status"]
    kept = keep_health(_looked(A)["status"], present)
    assert [one["name"] for one in kept["instances"]] == ["a"]


def test_a_status_of_another_kind_is_left_alone() -> None:
    status = {"observedGeneration": 1, "conditions": []}
    assert keep_health(status, {"instances": [], "conditions": []}) is status


_findings = st.dictionaries(st.sampled_from([A, B, C]), st.sampled_from([OK, DOWN, MISSING]))


@given(_findings, _findings)
def test_whoever_comes_last_both_are_there(
    first: dict[InstanceKey, Finding], second: dict[InstanceKey, Finding]
) -> None:
    raw = _looked(A, B, C)
    trouble = NotSynced(Reason.GRAFANA_REJECTED, "bad request")
    before = _checked(raw, first, MORNING)
    looked = _looked(A, B, C, outcome=trouble)["status"]
    look_last = keep_health(looked, _checked(before, second, NOON)["status"])
    check_last = _checked({**raw, "status": keep_health(looked, before["status"])}, second, NOON)[
        "status"
    ]
    assert sorted(look_last["conditions"], key=str) == sorted(check_last["conditions"], key=str)
    assert look_last["instances"] == check_last["instances"]
