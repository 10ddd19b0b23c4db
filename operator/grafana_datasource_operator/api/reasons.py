"""Closed set of condition types and reasons, as `docs/reasons.md` explains them to users."""

from enum import StrEnum


class ConditionType(StrEnum):
    """Types of the conditions in status; `Reconciling` and `Stalled` are there only while true."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    HEALTHY = "Healthy"


class ConditionStatus(StrEnum):
    """Status of a condition, spelled as Kubernetes does."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Reason(StrEnum):
    """Why `Ready` is what it is."""

    PENDING = "Pending"
    SYNCED = "Synced"
    SUSPENDED = "Suspended"
    DRY_RUN = "DryRun"
    DRIFT_DETECTED = "DriftDetected"
    WAITING_FOR_SECRET = "WaitingForSecret"  # noqa: S105 - a reason
    WAITING_FOR_CONFIG_MAP = "WaitingForConfigMap"
    WAITING_FOR_INSTANCE = "WaitingForInstance"
    WAITING_FOR_DATA_SOURCE = "WaitingForDataSource"
    GRAFANA_UNREACHABLE = "GrafanaUnreachable"
    GRAFANA_UNAUTHORIZED = "GrafanaUnauthorized"
    GRAFANA_ERROR = "GrafanaError"
    INVALID_SPEC = "InvalidSpec"
    GRAFANA_REJECTED = "GrafanaRejected"
    NAME_CONFLICT = "NameConflict"
    UID_CONFLICT = "UidConflict"
    OWNERSHIP_CONFLICT = "OwnershipConflict"
    DEFAULT_CONFLICT = "DefaultConflict"
    READ_ONLY_IN_GRAFANA = "ReadOnlyInGrafana"
    QUOTA_REACHED = "QuotaReached"
    INSTANCE_NOT_ALLOWED = "InstanceNotAllowed"
    UNSUPPORTED_BY_GRAFANA = "UnsupportedByGrafana"
    DELETING = "Deleting"
    DELETION_BLOCKED = "DeletionBlocked"


class HealthReason(StrEnum):
    """Why `Healthy` is what it is; apart from those of Ready, of which it is no part."""

    HEALTHY = "Healthy"
    UNHEALTHY = "Unhealthy"
    UNKNOWN = "HealthUnknown"


STALLED_REASONS = frozenset(
    {
        Reason.DRIFT_DETECTED,
        Reason.INVALID_SPEC,
        Reason.GRAFANA_REJECTED,
        Reason.NAME_CONFLICT,
        Reason.UID_CONFLICT,
        Reason.OWNERSHIP_CONFLICT,
        Reason.DEFAULT_CONFLICT,
        Reason.READ_ONLY_IN_GRAFANA,
        Reason.QUOTA_REACHED,
        Reason.INSTANCE_NOT_ALLOWED,
        Reason.UNSUPPORTED_BY_GRAFANA,
    }
)
"""Reasons that need a person: `Stalled=True` stands beside `Ready=False` (kstatus: Failed)."""

GRAFANA_FAILURES = frozenset(
    {Reason.GRAFANA_UNREACHABLE, Reason.GRAFANA_UNAUTHORIZED, Reason.GRAFANA_ERROR}
)
"""Grafana could not be asked; says nothing about the state that it holds."""
