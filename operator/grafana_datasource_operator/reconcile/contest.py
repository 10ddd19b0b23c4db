"""Who goes first where several resources want what only one can have on an instance."""

from ..api.datasource import AdoptionPolicy, DataSource
from ..api.names import InstanceKey
from ..api.reasons import STALLED_REASONS, ConditionStatus, ConditionType, Reason
from ..status.conditions import find_condition
from .peers import Peers
from .targets import Targets

_IN_THE_QUEUE = frozenset(
    {
        Reason.UID_CONFLICT,
        Reason.OWNERSHIP_CONFLICT,
        Reason.NAME_CONFLICT,
        Reason.DEFAULT_CONFLICT,
    }
)
"""Who is stalled for one of these waits for its turn; for another one it is out of the running."""
_OUT = STALLED_REASONS - _IN_THE_QUEUE


class Contest:
    """Finds those who are in the running. Errors are `KubeError`."""

    def __init__(self, peers: Peers, targets: Targets) -> None:
        """Prepare.

        Args:
            peers: the other resources.
            targets: where they live, and may live.
        """
        self._peers = peers
        self._targets = targets

    async def for_uid(self, uid: str, instance: InstanceKey) -> list[DataSource]:
        """Those who want the data source `uid`."""
        return await self._in_the_running(self._peers.with_uid(uid), instance)

    async def for_adoption(self, uid: str, instance: InstanceKey) -> list[DataSource]:
        """Those who want to take it over, and may."""
        member = self._targets.fleet.get(instance)
        return [
            one
            for one in await self.for_uid(uid, instance)
            if one.spec.adoption_policy is AdoptionPolicy.IF_UNOWNED
            and member is not None
            and await self._targets.may_adopt(member, one.metadata.namespace)
        ]

    async def for_name(self, name: str, instance: InstanceKey) -> list[DataSource]:
        """Those who want a display name."""
        return await self._in_the_running(self._peers.with_name(name), instance)

    async def for_default(self, instance: InstanceKey) -> list[DataSource]:
        """Those who want to be the default."""
        return await self._in_the_running(self._peers.wanting_default(), instance)

    async def _in_the_running(
        self, resources: list[DataSource], instance: InstanceKey
    ) -> list[DataSource]:
        """Who is not admitted must not be in anybody's way."""
        return [
            one
            for one in resources
            if instance in self._targets.keys_of(one)
            and not _is_out(one, instance)
            and await self._targets.admits(instance, one)
        ]


def _is_out(one: DataSource, instance: InstanceKey) -> bool:
    """Whether it needs a person before it can have anything there."""
    recorded = one.recorded(instance)
    if recorded is not None:
        return recorded.synced is ConditionStatus.FALSE and recorded.reason in _OUT
    ready = find_condition(one.status.conditions, ConditionType.READY)
    return (
        ready is not None
        and ready.status is ConditionStatus.FALSE
        and ready.reason in _OUT
        and ready.observed_generation == one.metadata.generation
    )
