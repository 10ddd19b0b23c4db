"""Which of several data sources becomes the default of its organization."""

from dataclasses import replace

from ..api.datasource import DataSource
from ..api.grafana_json import DataSourceState
from ..api.names import InstanceKey
from ..api.reasons import Reason
from ..errors import STALLED_RECHECK_SECONDS, Stalled
from ..payload.datasource import DesiredDataSource
from ..payload.identity import Owner, read_mark
from .claims import named, seniority
from .contest import Contest
from .peers import Peers


class Defaults:
    """Decides claims of `isDefault: true`: the present holder, then the oldest, then by name."""

    def __init__(self, peers: Peers, contest: Contest, owner_ids: frozenset[str]) -> None:
        """Prepare.

        Args:
            peers: the other resources.
            contest: knows who is in the running.
            owner_ids: ours, and former ones of ours.
        """
        self._peers = peers
        self._contest = contest
        self._owner_ids = owner_ids

    async def judge(
        self, resource: DataSource, instance: InstanceKey, uid: str, listed: list[DataSourceState]
    ) -> Stalled | None:
        """Why `resource`, which is not the default now, may not become it; None where it may.

        Args:
            resource: claims to be the default.
            instance: where.
            uid: of its data source there.
            listed: all data sources there.
        """
        holder = next((state for state in listed if state.is_default), None)
        if holder is not None and holder.uid != uid:
            if holder.read_only:
                return _conflict(
                    f'"{holder.name}" is, and is provisioned from a file on the Grafana server'
                )
            mark = read_mark(holder)
            if mark is not None and (whose := self._claim_behind(mark)):
                return _conflict(f"{whose} holds it")
        rivals = await self._contest.for_default(instance)
        first = min([resource, *rivals], key=seniority)
        if seniority(first) < seniority(resource):
            return _conflict(f"{named(first)} is older and claims it, too")
        return None

    def _claim_behind(self, mark: Owner | str) -> str:
        """Who holds the default and is not to be unseated, or ""."""
        if not isinstance(mark, Owner):
            return f'the data source of another tool ("{mark}")'
        if mark.owner_id not in self._owner_ids:
            return f"{mark.namespace}/{mark.name} of another operator (owner id {mark.owner_id})"
        owner = self._peers.find(mark.namespace, mark.name)
        if owner is None:
            stays = self._peers.may_exist(mark.namespace, mark.name)
        else:
            stays = bool(owner.spec.is_default) and not owner.metadata.deletion_timestamp
        return f"GrafanaDataSource {mark.namespace}/{mark.name}" if stays else ""


def give_way(desired: DesiredDataSource) -> DesiredDataSource:
    """The same, not as default."""
    return replace(desired, is_default=False)


def _conflict(why: str) -> Stalled:
    return Stalled(
        Reason.DEFAULT_CONFLICT,
        f"spec.isDefault: an organization has one default, and {why}; this one is written as not"
        " default. Remove isDefault here or there",
        retry_after=STALLED_RECHECK_SECONDS,
    )
