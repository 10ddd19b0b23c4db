"""Events tell of transitions, once each."""

import pytest

from grafana_datasource_operator.api.conditions import MAX_MESSAGE
from grafana_datasource_operator.api.names import FROM_SETTINGS
from grafana_datasource_operator.api.reasons import Reason
from grafana_datasource_operator.status.datasource import build_status
from grafana_datasource_operator.status.events import Event, events_of
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
from tests.unit.builders import resource

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
