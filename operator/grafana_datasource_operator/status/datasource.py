"""Build the whole status of a GrafanaDataSource from the outcome of one look."""

from ..api.datasource import DataSource, DataSourceStatus, SyncStatus
from ..api.names import DEFAULT_INSTANCE_NAME, DEFAULT_INSTANCE_NAMESPACE, RECONCILE_REQUESTED_AT
from ..api.reasons import ConditionStatus, Reason
from ..payload.datasource import uid_of
from .conditions import build_conditions, shorten, suspend_conditions
from .outcome import Facts, NotSynced, Outcome, Suspended, Synced, Unseen

_HELD = "Grafana holds this state"


def build_status(resource: DataSource, outcome: Outcome, now: str) -> DataSourceStatus | None:
    """Status after `outcome`, or None where it stays as it is.

    Args:
        resource: the resource as it was looked at, with its present status.
        outcome: what the look came to.
        now: RFC 3339 time for conditions whose status flips.
    """
    match outcome:
        case Synced(facts=facts, note=note):
            return _looked(resource, ConditionStatus.TRUE, Reason.SYNCED, note, facts, now)
        case NotSynced(reason=reason, message=message):
            return _looked(resource, ConditionStatus.FALSE, reason, message, None, now)
        case Unseen(reason=reason, message=message, expired=True):
            return _looked(resource, ConditionStatus.UNKNOWN, reason, message, None, now)
        case Suspended():
            return _suspended(resource, now)
        case _:
            return None


def _looked(
    resource: DataSource,
    ready: ConditionStatus,
    reason: Reason,
    message: str,
    facts: Facts | None,
    now: str,
) -> DataSourceStatus:
    generation = resource.metadata.generation
    return resource.status.model_copy(
        update={
            "observed_generation": generation,
            "uid": uid_of(resource),
            "instance_summary": DEFAULT_INSTANCE_NAME,
            "conditions": build_conditions(
                resource.status.conditions,
                ready,
                reason,
                _HELD + (f"; {message}" if message else "") if facts else message,
                generation=generation,
                now=now,
            ),
            "instances": [_instance(resource, ready, reason, message, facts)],
            "last_handled_reconcile_at": _requested_at(resource),
        }
    )


def _instance(
    resource: DataSource,
    synced: ConditionStatus,
    reason: Reason,
    message: str,
    facts: Facts | None,
) -> SyncStatus:
    key = (DEFAULT_INSTANCE_NAMESPACE, DEFAULT_INSTANCE_NAME)
    old = resource.instance_status(*key) or SyncStatus(namespace=key[0], name=key[1])
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


def _suspended(resource: DataSource, now: str) -> DataSourceStatus:
    ever_synced = any(i.id is not None for i in resource.status.instances)
    return resource.status.model_copy(
        update={
            "conditions": suspend_conditions(
                resource.status.conditions, ever_synced=ever_synced, now=now
            ),
            "last_handled_reconcile_at": _requested_at(resource),
        }
    )


def _requested_at(resource: DataSource) -> str | None:
    requested = resource.metadata.annotations.get(RECONCILE_REQUESTED_AT)
    return (requested or resource.status.last_handled_reconcile_at or "")[:253] or None
