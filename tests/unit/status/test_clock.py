"""A clock that is set back between two looks."""

from grafana_datasource_operator.api.reasons import ConditionStatus, Reason
from grafana_datasource_operator.status.conditions import build_conditions


def test_a_clock_that_is_set_back_moves_no_transition_time() -> None:
    first = build_conditions(
        [], ConditionStatus.TRUE, Reason.SYNCED, "ok", generation=1, now="2026-05-01T12:00:00Z"
    )
    later = build_conditions(
        first, ConditionStatus.TRUE, Reason.SYNCED, "ok", generation=1, now="2020-01-01T00:00:00Z"
    )
    assert later == first


def test_a_flip_is_told_with_the_time_that_the_clock_shows() -> None:
    first = build_conditions(
        [], ConditionStatus.TRUE, Reason.SYNCED, "ok", generation=1, now="2026-05-01T12:00:00Z"
    )
    flipped = build_conditions(
        first,
        ConditionStatus.FALSE,
        Reason.WAITING_FOR_SECRET,
        "gone",
        generation=1,
        now="2020-01-01T00:00:00Z",
    )
    assert {c.last_transition_time for c in flipped} == {"2020-01-01T00:00:00Z"}
