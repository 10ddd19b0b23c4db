"""What to do about a data source that is ours: nothing, write it, or only tell. No I/O."""

from dataclasses import dataclass

from ..api.datasource import DriftPolicy, SyncStatus
from ..api.grafana_json import DataSourceState
from ..api.reasons import ConditionStatus, Reason
from ..errors import STALLED_RECHECK_SECONDS, Stalled
from ..payload.datasource import DesiredDataSource
from ..payload.diff import StoreTraits, describe_difference, diff
from ..status.outcome import Action
from .looked import Looked


@dataclass(frozen=True, slots=True)
class Situation:
    """A data source of ours, and what is known about it.

    Attributes:
        looked: its resource.
        recorded: what status remembers of the instance, if anything.
        desired: what Grafana is to hold.
        state: what it holds.
        traits: of the server.
        is_adopted: it is being taken over.
    """

    looked: Looked
    recorded: SyncStatus | None
    desired: DesiredDataSource
    state: DataSourceState
    traits: StoreTraits
    is_adopted: bool = False

    @property
    def differing(self) -> tuple[str, ...]:
        """JSON Pointers of what a write would change."""
        return diff(self.desired, self.state, self.traits)

    @property
    def described_difference(self) -> str:
        """The same for a message: where, never what."""
        return describe_difference(self.differing, self.desired)

    @property
    def is_written_by_others(self) -> bool:
        """Whether Grafana has another version than our last write returned: perhaps a secret."""
        return self.recorded is not None and self.recorded.version not in (None, self.state.version)

    @property
    def has_new_inputs(self) -> bool:
        """Whether a Secret, ConfigMap or reference changed since our last write."""
        revision = self.recorded.secrets_revision if self.recorded else None
        return revision != self.desired.secrets.revision


@dataclass(frozen=True, slots=True)
class UnseenWrite:
    """Others wrote, and nothing that Grafana shows differs; it is only to be told."""


def decide(situation: Situation) -> Action | UnseenWrite | None:
    """Why a write is needed, if it is.

    Raises:
        Stalled: DriftDetected, where others changed it and that is only to be told;
            GrafanaRejected, where Grafana has already answered this very write with other values.
    """
    recorded, looked = situation.recorded, situation.looked
    if situation.is_adopted:
        return Action.ADOPTED
    differing = situation.differing
    if not (differing or situation.is_written_by_others or situation.has_new_inputs):
        return None
    if looked.is_new_generation:
        return Action.UPDATED
    if situation.has_new_inputs:
        return Action.SECRET_CHANGED
    if is_undone(recorded):
        _refuse_to_repeat(situation)
        return Action.UPDATED
    if looked.resource.spec.drift_policy is DriftPolicy.CORRECT:
        return Action.DRIFT_CORRECTED
    if not differing:
        return UnseenWrite()
    raise drift_detected(f"others changed {situation.described_difference}")


def is_undone(recorded: SyncStatus | None) -> bool:
    """Whether a change of ours did not get through so far."""
    if recorded is None or recorded.id is None:
        return True
    if recorded.synced is ConditionStatus.UNKNOWN:
        return recorded.reason in (Reason.PENDING, Reason.DRY_RUN)
    return recorded.synced is ConditionStatus.FALSE and recorded.reason not in (
        Reason.DRIFT_DETECTED,
        Reason.DEFAULT_CONFLICT,
    )


def drift_detected(what: str) -> Stalled:
    """DriftPolicy is Report, and this is what others did."""
    return Stalled(
        Reason.DRIFT_DETECTED,
        f"{what} in Grafana, and spec.driftPolicy is Report: change it back there, change spec, or"
        " set spec.driftPolicy: Correct",
    )


def _refuse_to_repeat(situation: Situation) -> None:
    recorded = situation.recorded
    if (
        recorded is not None
        and recorded.reason is Reason.GRAFANA_REJECTED
        and recorded.version == situation.state.version
    ):
        raise holds_other_values(situation.described_difference)


def holds_other_values(differing: str) -> Stalled:
    """Grafana took a write, and does not hold what was sent."""
    return Stalled(
        Reason.GRAFANA_REJECTED,
        f"Grafana took the write but holds other values at {differing}; change spec to what"
        " Grafana makes of it",
        retry_after=STALLED_RECHECK_SECONDS,
    )
