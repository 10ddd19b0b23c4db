"""Events about a resource: on transitions only, so that `kubectl describe` tells its story."""

from dataclasses import dataclass
from typing import Literal

from ..api.conditions import Condition
from ..api.datasource import DataSourceStatus
from ..api.reasons import ConditionStatus, ConditionType, Reason
from .conditions import find_condition
from .outcome import Action, Outcome, Released, Synced

_DONE = {
    Action.CREATED: "Created the data source in Grafana",
    Action.UPDATED: "Updated the data source in Grafana",
    Action.SECRET_CHANGED: "Sent the changed Secret to Grafana",
    Action.DRIFT_CORRECTED: "Corrected the data source in Grafana, which others had changed",
}

_EXPECTED = frozenset({Reason.SUSPENDED, Reason.DELETING})


@dataclass(frozen=True, slots=True)
class Event:
    """One Kubernetes Event to post about a resource."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


def events_of(
    before: DataSourceStatus, after: DataSourceStatus | None, outcome: Outcome
) -> list[Event]:
    """What to tell about the step from one status to the next."""
    match outcome:
        case Synced(action=Action() as action):
            return [Event("Normal", action.value, _DONE[action])]
        case Released(action=Action() as action, message=message):
            return [Event("Normal", action.value, message)]
        case _:
            return _trouble(before, after)


def _trouble(before: DataSourceStatus, after: DataSourceStatus | None) -> list[Event]:
    new = find_condition(after.conditions, ConditionType.READY) if after else None
    if new is None or not _is_news(find_condition(before.conditions, ConditionType.READY), new):
        return []
    kind: Literal["Normal", "Warning"] = "Normal" if new.reason in _EXPECTED else "Warning"
    return [Event(kind, new.reason.value, new.message)]


def _is_news(old: Condition | None, new: Condition) -> bool:
    if new.status is ConditionStatus.TRUE:
        return False
    return old is None or (old.status, old.reason) != (new.status, new.reason)
