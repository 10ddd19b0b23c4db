"""Events about a resource: on transitions only, so that `kubectl describe` tells its story."""

from dataclasses import dataclass
from typing import Literal

from ..api.conditions import Condition
from ..api.datasource import DataSourceStatus
from ..api.instance import InstanceStatus
from ..api.reasons import ConditionStatus, ConditionType, Reason
from .conditions import find_condition
from .outcome import Action, NotSynced, Outcome, Released, Report, Synced

_DONE = {
    Action.CREATED: "Created the data source in Grafana",
    Action.UPDATED: "Updated the data source in Grafana",
    Action.SECRET_CHANGED: "Sent the changed Secret to Grafana",
    Action.DRIFT_CORRECTED: "Corrected the data source in Grafana, which others had changed",
    Action.ADOPTED: "Took over a data source in Grafana that nobody owned",
}
_UNSEEN_WRITE = (
    "Someone wrote the data source in Grafana; nothing that Grafana shows differs, but a secret may"
)

_EXPECTED = frozenset({Reason.SUSPENDED, Reason.DELETING, Reason.DRY_RUN})


@dataclass(frozen=True, slots=True)
class Event:
    """One Kubernetes Event to post about a resource."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


def events_of(
    before: DataSourceStatus, after: DataSourceStatus | None, report: Report
) -> list[Event]:
    """What to tell about the step from one status to the next."""
    several = len(report.outcomes) > 1
    done = [
        Event(event.type, event.reason, f"{event.message} ({key})") if several else event
        for key, outcome in report.outcomes.items()
        for event in _of_outcome(outcome)
    ]
    return [*done, *_trouble(before.conditions, after.conditions if after else [])]


def instance_events_of(before: InstanceStatus, after: InstanceStatus) -> list[Event]:
    """What to tell about a GrafanaInstance: that it cannot be used, and that it can again."""
    old = find_condition(before.conditions, ConditionType.READY)
    new = find_condition(after.conditions, ConditionType.READY)
    if new is None or new.status is not ConditionStatus.TRUE:
        return _trouble(before.conditions, after.conditions)
    if old is not None and old.status is ConditionStatus.TRUE:
        return []
    return [Event("Normal", new.reason.value, new.message)]


def _of_outcome(outcome: Outcome) -> list[Event]:
    match outcome:
        case Synced(unseen_write=True):
            return [Event("Warning", Reason.DRIFT_DETECTED.value, _UNSEEN_WRITE)]
        case Released(action=Action() as action, message=message):
            return [Event("Normal", action.value, message)]
        case Synced(action=Action() as action) | NotSynced(action=Action() as action):
            return [Event("Normal", action.value, _DONE[action])]
        case _:
            return []


def _trouble(before: list[Condition], after: list[Condition]) -> list[Event]:
    new = find_condition(after, ConditionType.READY)
    if new is None or not _is_news(find_condition(before, ConditionType.READY), new):
        return []
    kind: Literal["Normal", "Warning"] = "Normal" if new.reason in _EXPECTED else "Warning"
    return [Event(kind, new.reason.value, new.message)]


def _is_news(old: Condition | None, new: Condition) -> bool:
    if new.status is ConditionStatus.TRUE:
        return False
    return old is None or (old.status, old.reason) != (new.status, new.reason)
