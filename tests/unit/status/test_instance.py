"""Status of a GrafanaInstance: what was found, and why it cannot be used."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grafana_datasource_operator.api.instance import Instance, parse_instance
from grafana_datasource_operator.api.names import INSTANCE, RECONCILE_REQUESTED_AT
from grafana_datasource_operator.api.reasons import STALLED_REASONS, Reason
from grafana_datasource_operator.status.instance import (
    Answered,
    InstanceOutcome,
    Paused,
    Unusable,
    build_instance_status,
)
from tests.kstatus import broken_rules, find_condition
from tests.unit.builders import raw_resource

Json = dict[str, Any]

MORNING, NOON = "2026-01-02T06:00:00Z", "2026-01-02T12:00:00Z"
SPEC = {"url": "http://grafana", "auth": {"tokenSecretRef": {"name": "token"}}}
ANSWERED = Answered("12.4.0", 3, ("Correlations", "UpdateByUID"))
AWAY = Unusable(Reason.GRAFANA_UNREACHABLE, "no connection to Grafana (refused)")
_REASONS = [
    Reason.GRAFANA_UNREACHABLE,
    Reason.GRAFANA_UNAUTHORIZED,
    Reason.GRAFANA_ERROR,
    Reason.WAITING_FOR_SECRET,
    Reason.WAITING_FOR_CONFIG_MAP,
    Reason.INVALID_SPEC,
    Reason.INSTANCE_NOT_ALLOWED,
    Reason.DELETION_BLOCKED,
]


class Story:
    """An instance whose status is stored after every look."""

    def __init__(self, **metadata: Any) -> None:
        self.raw = raw_resource(kind=INSTANCE.kind, spec=SPEC, **metadata)

    @property
    def instance(self) -> Instance:
        return parse_instance(self.raw)

    def look(self, outcome: InstanceOutcome, now: str = MORNING) -> "Story":
        status = build_instance_status(self.instance, outcome, now)
        stored = status.model_dump(mode="json", by_alias=True, exclude_none=True)
        self.raw = {**self.raw, "status": stored}
        return self

    def edit(self) -> "Story":
        self.raw["metadata"]["generation"] += 1
        return self

    def condition(self, kind: str = "Ready") -> tuple[str, str, int, str] | None:
        found = find_condition(self.raw, kind)
        if found is None:
            return None
        return (
            found["status"],
            found["reason"],
            found["observedGeneration"],
            found["lastTransitionTime"],
        )


_outcomes: st.SearchStrategy[InstanceOutcome] = st.one_of(
    st.builds(Answered, st.none() | st.just("12.4.0"), st.integers(1, 9), st.just(("X",))),
    st.builds(Unusable, st.sampled_from(_REASONS), st.text(min_size=1, max_size=2000)),
    st.just(Paused()),
)


@given(st.lists(st.tuples(st.booleans(), _outcomes), min_size=1, max_size=6))
def test_every_status_keeps_the_rules_of_kstatus_and_settles(
    steps: list[tuple[bool, InstanceOutcome]],
) -> None:
    story = Story().look(AWAY)
    for edited, outcome in steps:
        if edited:
            story.edit()
        once = story.look(outcome, MORNING).raw
        assert broken_rules(once) == []
        assert story.look(outcome, NOON).raw == once


def test_an_instance_that_answers_says_what_it_is() -> None:
    story = Story(generation=4).look(ANSWERED)
    assert story.condition() == ("True", "Synced", 4, MORNING)
    status = story.raw["status"]
    assert (status["version"], status["orgId"]) == ("12.4.0", 3)
    assert status["capabilities"] == ["Correlations", "UpdateByUID"]
    ready = find_condition(story.raw, "Ready")
    assert ready is not None
    assert "organization 3" in ready["message"]


def test_a_server_that_hides_its_version_has_none() -> None:
    story = Story().look(ANSWERED).look(Answered(None, 3, ()), NOON)
    assert "version" not in story.raw["status"]


@pytest.mark.parametrize("reason", _REASONS)
def test_why_it_cannot_be_used_says_whether_a_person_is_needed(reason: Reason) -> None:
    story = Story().look(ANSWERED).edit().look(Unusable(reason, "why, and what to do"), NOON)
    beside = "Stalled" if reason in STALLED_REASONS else "Reconciling"
    assert story.condition() == ("False", reason.value, 2, NOON)
    assert story.condition(beside) == ("True", reason.value, 2, NOON)
    assert story.raw["status"]["version"] == "12.4.0"


@pytest.mark.parametrize(
    ("before", "ready"), [([ANSWERED], "True"), ([ANSWERED, AWAY], "False"), ([AWAY], "Unknown")]
)
def test_suspended_is_as_ready_as_before_if_it_ever_answered(
    before: list[InstanceOutcome], ready: str
) -> None:
    story = Story()
    for outcome in before:
        story.look(outcome)
    story.edit().look(Paused(), NOON)
    condition = story.condition()
    assert condition is not None
    assert condition[:3] == (ready, "Suspended", 1)
    assert story.raw["status"]["observedGeneration"] == 1
    assert {c["type"] for c in story.raw["status"]["conditions"]} == {"Ready"}


@pytest.mark.parametrize("outcome", [ANSWERED, AWAY, Paused()])
def test_a_request_to_reconcile_is_acknowledged(outcome: InstanceOutcome) -> None:
    story = Story(annotations={RECONCILE_REQUESTED_AT: "2026-07-07"}).look(outcome)
    assert story.raw["status"]["lastHandledReconcileAt"] == "2026-07-07"
