"""What one look at a resource came to; the input of status and events."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ..api.names import InstanceKey
from ..api.reasons import Reason


class Action(StrEnum):
    """What was done in Grafana; also the reason of the event that says so."""

    CREATED = "Created"
    UPDATED = "Updated"
    SECRET_CHANGED = "SecretChanged"  # noqa: S105 - a reason
    DRIFT_CORRECTED = "DriftCorrected"
    ADOPTED = "Adopted"
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
    """Grafana holds the state of spec; `note` says what no update can bring about.

    `unseen_write`: someone wrote what only the version tells of, and driftPolicy is Report.
    """

    facts: Facts
    action: Action | None = None
    note: str = ""
    unseen_write: bool = False


@dataclass(frozen=True, slots=True)
class NotSynced:
    """Grafana does not hold it, and why.

    Attributes:
        reason: reason of the Ready condition.
        message: for people.
        facts: what Grafana holds nevertheless; None leaves what status records.
        action: what was done all the same.
    """

    reason: Reason
    message: str
    facts: Facts | None = None
    action: Action | None = None


@dataclass(frozen=True, slots=True)
class Unseen:
    """Nothing is pending, but Grafana could not be asked; `expired`: for over a resync."""

    reason: Reason
    message: str
    expired: bool


@dataclass(frozen=True, slots=True)
class Deferred:
    """Too early for another write: look again after so many seconds; status stays as it is."""

    after: float


@dataclass(frozen=True, slots=True)
class Released:
    """Cleaned up: on this instance there is nothing to remember any more."""

    action: Action | None
    message: str


Outcome = Synced | NotSynced | Unseen | Deferred | Released
"""Of one resource on one instance."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a look at one resource came to, on all its instances.

    Attributes:
        outcomes: by instance; `Released` drops the instance from status.
        trouble: why the resource as a whole got no further; counts for every instance that
            `outcomes` lacks.
        summary: for the column Instance.
        is_suspended: nothing was asked, nothing written.
        is_released: the resource is gone, and its status with it.
    """

    outcomes: Mapping[InstanceKey, Outcome] = field(default_factory=dict)
    trouble: NotSynced | None = None
    summary: str | None = None
    is_suspended: bool = False
    is_released: bool = False
