"""Events tell of transitions, once each."""

import pytest

from grafana_datasource_operator.api.conditions import MAX_MESSAGE
from grafana_datasource_operator.api.instance import parse_instance
from grafana_datasource_operator.api.names import FROM_SETTINGS, INSTANCE, InstanceKey
from grafana_datasource_operator.api.reasons import Reason
from grafana_datasource_operator.status.datasource import build_status
from grafana_datasource_operator.status.events import Event, events_of, instance_events_of
from grafana_datasource_operator.status.instance import (
    Answered,
    InstanceOutcome,
    Paused,
    Unusable,
    build_instance_status,
)
from grafana_datasource_operator.status.outcome import (
    Action,
    Deferred,
    Facts,
    NotSynced,
    Outcome,
    Released,
    Report,
    Synced,
    Unseen,
)
from tests.unit.builders import raw_resource, resource

FACTS = Facts(id=7, version=3, secrets_revision=None)
SYNCED = Synced(FACTS)
SUSPENDED = Report(is_suspended=True)


def _report(outcome: Outcome | Report) -> Report:
    if isinstance(outcome, Report):
        return outcome
    return Report({FROM_SETTINGS: outcome}, is_released=isinstance(outcome, Released))


def _told(*outcomes: Outcome | Report) -> list[list[Event]]:
    """Events of each look in a row, with the status stored in between."""
    told = []
    looked = resource()
    for outcome in outcomes:
        report = _report(outcome)
        status = build_status(looked, report, "2026-01-02T03:04:05Z")
        told.append(events_of(looked.status, status, report))
        looked = looked.model_copy(update={"status": status or looked.status})
    return told


def _reasons(*outcomes: Outcome | Report) -> list[list[tuple[str, str]]]:
    return [[(event.type, event.reason) for event in events] for events in _told(*outcomes)]


@pytest.mark.parametrize(
    "action", [Action.CREATED, Action.UPDATED, Action.SECRET_CHANGED, Action.DRIFT_CORRECTED]
)
def test_what_was_done_in_grafana_is_told(action: Action) -> None:
    ((event,),) = _told(Synced(FACTS, action))
    assert (event.type, event.reason) == ("Normal", action.value)
    assert "Grafana" in event.message


def test_a_look_that_found_all_well_is_not_worth_an_event() -> None:
    assert _reasons(SYNCED, SYNCED, Synced(FACTS, note="the old url stays")) == [[], [], []]


def test_trouble_is_told_when_it_begins_and_when_its_reason_changes() -> None:
    away = NotSynced(Reason.GRAFANA_UNREACHABLE, "No connection")
    refused = NotSynced(Reason.GRAFANA_REJECTED, "Bad request")
    assert _reasons(SYNCED, away, away, refused, refused, away) == [
        [],
        [("Warning", "GrafanaUnreachable")],
        [],
        [("Warning", "GrafanaRejected")],
        [],
        [("Warning", "GrafanaUnreachable")],
    ]


def test_another_text_of_the_same_trouble_is_no_new_event() -> None:
    one, other = (NotSynced(Reason.GRAFANA_ERROR, f"HTTP {code}") for code in (500, 502))
    assert _reasons(one, other) == [[("Warning", "GrafanaError")], []]


def test_trouble_from_the_first_look_on_is_told() -> None:
    ((event,),) = _told(NotSynced(Reason.WAITING_FOR_SECRET, "Secret auth does not exist"))
    assert event == Event("Warning", "WaitingForSecret", "Secret auth does not exist")


def test_an_outage_is_told_once_it_hides_the_state() -> None:
    unseen = [Unseen(Reason.GRAFANA_UNREACHABLE, "Away", expired=e) for e in (False, True, True)]
    assert _reasons(SYNCED, *unseen) == [[], [], [("Warning", "GrafanaUnreachable")], []]


def test_what_somebody_wanted_is_no_warning() -> None:
    trouble = NotSynced(Reason.GRAFANA_REJECTED, "Bad request")
    assert _reasons(SYNCED, trouble, SUSPENDED)[-1] == [("Normal", "Suspended")]
    assert _reasons(SYNCED, NotSynced(Reason.DELETING, "Removing"))[-1] == [("Normal", "Deleting")]


def test_a_blocked_deletion_is_a_warning() -> None:
    blocked = NotSynced(Reason.DELETION_BLOCKED, "GrafanaUnreachable: no connection")
    assert _reasons(SYNCED, blocked, blocked)[1:] == [[("Warning", "DeletionBlocked")], []]


@pytest.mark.parametrize("action", [Action.DELETED, Action.ORPHANED])
def test_the_end_is_told_in_its_own_words(action: Action) -> None:
    assert _told(Released(action, "How it went")) == [
        [Event("Normal", action.value, "How it went")]
    ]


@pytest.mark.parametrize("outcome", [Released(None, "Never reached Grafana"), Deferred(1.0)])
def test_where_nothing_was_done_nothing_is_told(outcome: Outcome) -> None:
    assert _told(outcome) == [[]]


def test_the_text_of_an_event_is_as_short_as_that_of_a_condition() -> None:
    ((event,),) = _told(NotSynced(Reason.GRAFANA_REJECTED, "m" * 5000))
    assert len(event.message) == MAX_MESSAGE


# --- several instances --------------------------------------------------------------------------

A, B = InstanceKey("monitoring", "a"), InstanceKey("monitoring", "b")


def test_with_several_instances_what_was_done_is_told_for_each_by_name() -> None:
    ((first, second),) = _told(
        Report({A: Synced(FACTS, Action.CREATED), B: Synced(FACTS, Action.UPDATED)})
    )
    assert (first.reason, second.reason) == ("Created", "Updated")
    assert first.message.endswith(" (monitoring/a)")
    assert second.message.endswith(" (monitoring/b)")


def test_one_instance_alone_is_not_named() -> None:
    ((event,),) = _told(Report({A: Synced(FACTS, Action.CREATED)}))
    assert event.message == "Created the data source in Grafana"


def test_leaving_one_is_told_beside_what_was_done_at_the_other() -> None:
    ((first, second),) = _told(
        Report({A: Released(Action.DELETED, "Deleted it"), B: Synced(FACTS, Action.CREATED)})
    )
    assert (first.reason, first.message) == ("Deleted", "Deleted it (monitoring/a)")
    assert second.reason == "Created"


def test_what_was_done_at_one_is_told_although_another_is_in_trouble() -> None:
    trouble = NotSynced(Reason.GRAFANA_UNREACHABLE, "away")
    assert _reasons(Report({A: Synced(FACTS, Action.CREATED), B: trouble})) == [
        [("Normal", "Created"), ("Warning", "GrafanaUnreachable")]
    ]


def test_a_conflict_of_defaults_is_told_beside_what_was_written() -> None:
    conflict = NotSynced(Reason.DEFAULT_CONFLICT, "b holds it", FACTS, Action.CREATED)
    quiet = NotSynced(Reason.DEFAULT_CONFLICT, "b holds it", FACTS)
    assert _reasons(conflict, quiet) == [
        [("Normal", "Created"), ("Warning", "DefaultConflict")],
        [],
    ]


def test_an_unseen_write_under_report_is_told_once_for_each() -> None:
    unseen = Synced(FACTS, unseen_write=True)
    assert _reasons(SYNCED, unseen, SYNCED) == [[], [("Warning", "DriftDetected")], []]


def test_dry_run_is_told_once_and_is_no_warning() -> None:
    dry = NotSynced(Reason.DRY_RUN, "would create it")
    assert _reasons(dry, dry) == [[("Normal", "DryRun")], []]


# --- of a GrafanaInstance -----------------------------------------------------------------------


def _told_of_instance(*outcomes: InstanceOutcome) -> list[list[tuple[str, str]]]:
    spec = {"url": "http://grafana", "auth": {"tokenSecretRef": {"name": "token"}}}
    instance = parse_instance(raw_resource(kind=INSTANCE.kind, spec=spec))
    told: list[list[tuple[str, str]]] = []
    for outcome in outcomes:
        status = build_instance_status(instance, outcome, "2026-01-02T03:04:05Z")
        told.append([(e.type, e.reason) for e in instance_events_of(instance.status, status)])
        instance = instance.model_copy(update={"status": status})
    return told


ANSWERED = Answered("12.4.0", 1, ("Correlations",))


def test_an_instance_tells_that_it_can_be_used_when_it_could_not_before() -> None:
    away = Unusable(Reason.GRAFANA_UNREACHABLE, "no connection")
    refused = Unusable(Reason.GRAFANA_UNAUTHORIZED, "check the token")
    assert _told_of_instance(ANSWERED, ANSWERED, away, away, refused, ANSWERED) == [
        [("Normal", "Synced")],
        [],
        [("Warning", "GrafanaUnreachable")],
        [],
        [("Warning", "GrafanaUnauthorized")],
        [("Normal", "Synced")],
    ]


def test_suspending_an_instance_that_works_is_not_worth_an_event() -> None:
    assert _told_of_instance(ANSWERED, Paused(), ANSWERED)[1:] == [[], []]
