"""What a Grafana can do, as found by asking it; nothing here looks at a version."""

from enum import StrEnum


class Capability(StrEnum):
    """Routes that not every server has; the values are those in status."""

    UPDATE_BY_UID = "UpdateByUID"
    """PUT of a data source by uid (9.0 and later)."""
    HEALTH_BY_UID = "HealthByUID"
    """Health and resources of a data source by uid (9.0 and later)."""
    CORRELATIONS = "Correlations"
    """Correlations can be created, changed and deleted (9.1 and later)."""
    CORRELATION_READS = "CorrelationReads"
    """Correlations can be listed (9.2 and later)."""
