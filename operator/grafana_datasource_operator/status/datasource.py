"""Build the whole status of a GrafanaDataSource from what one look at it came to."""

from ..api.datasource import DataSource, DataSourceStatus, SyncStatus
from ..api.metadata import ObjectMeta
from ..api.names import RECONCILE_REQUESTED_AT, InstanceKey
from ..api.reasons import STALLED_REASONS, ConditionStatus, Reason
from ..payload.datasource import uid_of
from .conditions import build_conditions, shorten, suspend_conditions
from .outcome import Deferred, Facts, NotSynced, Outcome, Released, Report, Synced, Unseen

_HELD = "Grafana holds this state"


def build_status(resource: DataSource, report: Report, now: str) -> DataSourceStatus | None:
    """Status after `report`, or None where it stays as it is.

    Args:
        resource: the resource as it was looked at, with its present status.
        report: what the look came to.
        now: RFC 3339 time for conditions whose status flips.
    """
    if report.is_suspended:
        return _suspended(resource, now)
    outcomes = report.outcomes.values()
    if report.trouble is None and all(_changes_nothing(outcome) for outcome in outcomes):
        return None
    if report.is_released:
        return None
    instances = _instances(resource, report)
    if any(isinstance(outcome, Deferred) for outcome in outcomes):
        # Not decided yet; but what was written elsewhere must be remembered.
        return resource.status.model_copy(update={"instances": instances})
    return _looked(resource, report, instances, now)


def _changes_nothing(outcome: Outcome) -> bool:
    return isinstance(outcome, Deferred) or (isinstance(outcome, Unseen) and not outcome.expired)


def _instances(resource: DataSource, report: Report) -> list[SyncStatus]:
    """All that status is to remember, in the order of the keys."""
    keys = {i.key for i in resource.status.instances} | report.outcomes.keys()
    found = [_instance(resource, key, report) for key in sorted(keys)]
    return [instance for instance in found if instance is not None]


def _instance(resource: DataSource, key: InstanceKey, report: Report) -> SyncStatus | None:
    old = resource.recorded(key) or SyncStatus(namespace=key.namespace, name=key.name)
    outcome = report.outcomes.get(key, report.trouble)
    match outcome:
        case Released():
            return None
        case Synced(facts=facts, note=note):
            return _synced(old, ConditionStatus.TRUE, Reason.SYNCED, note, facts)
        case NotSynced(reason=reason, message=message, facts=facts):
            synced = _synced_of(reason)
            return _synced(old, synced, reason, message, facts)
        case Unseen(reason=reason, message=message, expired=True):
            return _synced(old, ConditionStatus.UNKNOWN, reason, message, None)
        case _:
            return old


def _synced_of(reason: Reason) -> ConditionStatus:
    return ConditionStatus.UNKNOWN if reason is Reason.DRY_RUN else ConditionStatus.FALSE


def _synced(
    old: SyncStatus, synced: ConditionStatus, reason: Reason, message: str, facts: Facts | None
) -> SyncStatus:
    update: dict[str, object] = {
        "synced": synced,
        "reason": reason,
        "message": shorten(message),
    }
    if facts is not None:
        update |= {
            "id": facts.id,
            "version": facts.version,
            "secrets_revision": facts.secrets_revision,
        }
    return old.model_copy(update=update)


def _looked(
    resource: DataSource, report: Report, instances: list[SyncStatus], now: str
) -> DataSourceStatus:
    generation = resource.metadata.generation
    ready, reason, message = _ready(instances, report)
    return resource.status.model_copy(
        update={
            "observed_generation": generation,
            "uid": uid_of(resource),
            "instance_summary": report.summary,
            "conditions": build_conditions(
                resource.status.conditions,
                ready,
                reason,
                message,
                generation=generation,
                now=now,
            ),
            "instances": instances,
            "last_handled_reconcile_at": requested_at(
                resource.metadata, resource.status.last_handled_reconcile_at
            ),
        }
    )


def _ready(instances: list[SyncStatus], report: Report) -> tuple[ConditionStatus, Reason, str]:
    """The worst of all, with its reason and, where there are several, its name."""
    if report.trouble is not None:
        reason = report.trouble.reason
        return _synced_of(reason), reason, report.trouble.message
    worst = min(instances, key=_rank)
    several = len(instances) > 1
    if worst.synced is ConditionStatus.TRUE:
        message = f"All {len(instances)} instances hold this state" if several else _HELD
        notes = [_named(i, several=several) for i in instances if i.message]
        return worst.synced, worst.reason, "; ".join([message, *notes])
    return worst.synced, worst.reason, _named(worst, several=several)


def _named(instance: SyncStatus, *, several: bool) -> str:
    return f"{instance.key}: {instance.message}" if several else instance.message


def _rank(instance: SyncStatus) -> int:
    """The lower, the worse."""
    if instance.synced is ConditionStatus.FALSE:
        return 0 if instance.reason in STALLED_REASONS else 1
    return 2 if instance.synced is ConditionStatus.UNKNOWN else 3


def _suspended(resource: DataSource, now: str) -> DataSourceStatus:
    ever_synced = any(i.id is not None for i in resource.status.instances)
    return resource.status.model_copy(
        update={
            "conditions": suspend_conditions(
                resource.status.conditions, ever_synced=ever_synced, now=now
            ),
            "last_handled_reconcile_at": requested_at(
                resource.metadata, resource.status.last_handled_reconcile_at
            ),
        }
    )


def requested_at(meta: ObjectMeta, handled: str | None) -> str | None:
    """Value of the annotation that asks for a look, as status echoes it."""
    requested = meta.annotations.get(RECONCILE_REQUESTED_AT)
    return (requested or handled or "")[:253] or None
