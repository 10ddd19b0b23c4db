"""What one look at a resource came to; the input of status and events."""

from dataclasses import dataclass
from enum import StrEnum

from ..api.reasons import Reason


class Action(StrEnum):
    """What was done in Grafana; also the reason of the event that says so."""

    CREATED = "Created"
    UPDATED = "Updated"
    SECRET_CHANGED = "SecretChanged"  # noqa: S105 - a reason
    DRIFT_CORRECTED = "DriftCorrected"
    ORPHANED = "Orphaned"
    DELETED = "Deleted"


@dataclass(frozen=True, slots=True)
class Facts:
    """What Grafana answered about our data source, worth remembering over a restart."""

    id: int
    version: int
    secrets_revision: str | None


@dataclass(frozen=True, slots=True)
class Synced:
    """Grafana holds the state of spec; `note` says what no update can bring about."""

    facts: Facts
    action: Action | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class NotSynced:
    """Grafana does not hold it, and why."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Unseen:
    """Nothing is pending, but Grafana could not be asked; `expired`: for over a resync."""

    reason: Reason
    message: str
    expired: bool


@dataclass(frozen=True, slots=True)
class Suspended:
    """spec.suspend: nothing was asked, nothing written."""


@dataclass(frozen=True, slots=True)
class Deferred:
    """Too early for another write: look again after so many seconds; status stays as it is."""

    after: float


@dataclass(frozen=True, slots=True)
class Released:
    """Cleaned up, the finalizer is gone: there is no status any more."""

    action: Action | None
    message: str


Outcome = Synced | NotSynced | Unseen | Suspended | Deferred | Released
