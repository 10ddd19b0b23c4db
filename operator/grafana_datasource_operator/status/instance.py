"""Build the status of a GrafanaInstance from what one look at it came to."""

from dataclasses import dataclass

from ..api.instance import Instance, InstanceStatus
from ..api.reasons import ConditionStatus, Reason
from .conditions import build_conditions, suspend_conditions
from .datasource import requested_at


@dataclass(frozen=True, slots=True)
class Answered:
    """Grafana answered: it is there, and this is what it is."""

    version: str | None
    org_id: int
    capabilities: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unusable:
    """Why it cannot be used."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Paused:
    """spec.suspend: it is left alone."""


InstanceOutcome = Answered | Unusable | Paused


def build_instance_status(instance: Instance, outcome: InstanceOutcome, now: str) -> InstanceStatus:
    """Status after `outcome`.

    Args:
        instance: as it was looked at, with its present status.
        outcome: what the look came to.
        now: RFC 3339 time for conditions whose status flips.
    """
    if isinstance(outcome, Paused):
        return _paused(instance, now)
    update: dict[str, object] = {}
    ready, reason, message = ConditionStatus.FALSE, Reason.PENDING, ""
    match outcome:
        case Answered(version=version, org_id=org_id, capabilities=capabilities):
            update = {"version": version, "org_id": org_id, "capabilities": list(capabilities)}
            ready, reason = ConditionStatus.TRUE, Reason.SYNCED
            message = f"Grafana answers, in organization {org_id}"
        case Unusable(reason=reason, message=message):
            pass
    generation = instance.metadata.generation
    return instance.status.model_copy(
        update={
            **update,
            "observed_generation": generation,
            "conditions": build_conditions(
                instance.status.conditions,
                ready,
                reason,
                message,
                generation=generation,
                now=now,
            ),
            "last_handled_reconcile_at": requested_at(
                instance.metadata, instance.status.last_handled_reconcile_at
            ),
        }
    )


def _paused(instance: Instance, now: str) -> InstanceStatus:
    return instance.status.model_copy(
        update={
            "conditions": suspend_conditions(
                instance.status.conditions,
                ever_synced=instance.status.org_id is not None,
                now=now,
            ),
            "last_handled_reconcile_at": requested_at(
                instance.metadata, instance.status.last_handled_reconcile_at
            ),
        }
    )
