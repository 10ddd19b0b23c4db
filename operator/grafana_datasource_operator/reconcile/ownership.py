"""Who this operator is in the marks that it leaves in Grafana."""

from dataclasses import dataclass

from ..api.datasource import DataSource, SyncStatus
from ..payload.identity import Claimant, Owner


@dataclass(frozen=True, slots=True)
class Ownership:
    """Our owner id, and former ones whose marks count as ours."""

    owner_id: str
    accepted: frozenset[str] = frozenset()

    @property
    def ids(self) -> frozenset[str]:
        """All that are ours."""
        return self.accepted | {self.owner_id}

    def of(self, resource: DataSource) -> Owner:
        """The mark of a resource."""
        return Owner(self.owner_id, resource.metadata.namespace, resource.metadata.name)

    def claimant(self, resource: DataSource, recorded: SyncStatus | None) -> Claimant:
        """The resource as one that claims a data source."""
        recorded_id = recorded.id if recorded else None
        return Claimant(self.of(resource), recorded_id, self.accepted)
