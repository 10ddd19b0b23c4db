"""Of data sources that want each other's names one steps aside; a name of others is told."""

from ..api.grafana_json import DataSourceState
from ..errors import ReconcileError, Stalled
from ..grafana import errors
from ..grafana.instance import GrafanaInstance
from ..payload.datasource import DesiredDataSource, parked_name, plain_name
from ..payload.identity import Owner, read_mark
from .failures import explain
from .peers import Peers

SOON_SECONDS = 1.2
"""Until one of ours that holds a name, and is to have another one, has probably moved."""


class DisplayNames:
    """Finds the way out where Grafana answers that a name is taken."""

    def __init__(self, peers: Peers, owner_ids: frozenset[str]) -> None:
        """Prepare.

        Args:
            peers: the other resources.
            owner_ids: ours, and former ones of ours.
        """
        self._peers = peers
        self._owner_ids = owner_ids

    async def resolve(
        self,
        desired: DesiredDataSource,
        held: DataSourceState | None,
        grafana: GrafanaInstance,
    ) -> str | ReconcileError | None:
        """What to do about the name in `desired`, which Grafana refuses.

        Who holds it is asked by name: the list may be cut.

        Args:
            desired: wants the name.
            held: what it is now; None where it does not exist yet.
            grafana: where.

        Returns:
            A name to pass through, an error to tell, or None where the name is free by now.
        """
        name = desired.name
        holder = await grafana.read(lambda client: client.get_data_source_by_name(name))
        if holder is None or holder.uid == desired.uid:
            return None
        conflict = explain(errors.AlreadyExists("the name is taken"), desired)
        if self._wanted_name(holder) in (None, holder.name):
            return conflict
        if held is not None:
            listed = await grafana.read(lambda client: client.list_data_sources())
            by_name = {state.name: state for state in listed}
            if self._is_to_step_aside(desired.uid, holder, by_name):
                return parked_name(name, desired.uid)
        return Stalled(conflict.reason, conflict.message, retry_after=SOON_SECONDS)

    def _wanted_name(self, state: DataSourceState) -> str | None:
        """The name that a data source of ours is to have; None where that is not known."""
        mark = read_mark(state)
        if not isinstance(mark, Owner) or mark.owner_id not in self._owner_ids:
            return None
        owner = self._peers.find(mark.namespace, mark.name)
        if owner is None or owner.metadata.deletion_timestamp or owner.spec.suspend:
            return None
        return plain_name(owner.metadata, owner.spec)

    def _is_to_step_aside(
        self, uid: str, holder: DataSourceState, by_name: dict[str, DataSourceState]
    ) -> bool:
        """Whether all wait for each other in a circle, in which we are the one to move."""
        circle = {uid}
        at: DataSourceState | None = holder
        while at is not None and at.uid not in circle:
            circle.add(at.uid)
            wanted = self._wanted_name(at)
            at = by_name.get(wanted) if wanted else None
        return at is not None and at.uid == uid and uid == min(circle)
