"""Take one data source out of one instance; never one that is not ours."""

from collections.abc import Callable
from datetime import datetime

from ..api.datasource import DeletionPolicy
from ..api.grafana_json import DataSourceState
from ..api.instance import Mode
from ..api.names import FORCE_DELETE, FROM_SETTINGS, InstanceKey
from ..api.reasons import Reason
from ..errors import Retrying
from ..grafana import errors
from ..grafana.instance import GrafanaInstance
from ..kube.namespaces import NamespaceReader
from ..kube.resources import Resources
from ..payload.datasource import orphan_body, uid_of
from ..payload.identity import Claim, judge_claim
from ..status.outcome import Action, Deferred, Outcome, Released
from .fleet import Fleet
from .looked import Looked
from .ownership import Ownership

LOST_AFTER_SECONDS = 600.0
"""A namespace that is going away takes the credentials with it; after this long nobody brings them
back, and its resources are let go without Grafana."""


class DataSourceRemover:
    """Cleans up. Errors are `Retrying`, `GrafanaError`, `KubeError`."""

    def __init__(
        self,
        *,
        fleet: Fleet,
        instances: Resources,
        namespaces: NamespaceReader,
        ownership: Ownership,
        now: Callable[[], str],
    ) -> None:
        """Prepare.

        Args:
            fleet: the instances.
            instances: the GrafanaInstances as the apiserver holds them.
            namespaces: tells which are going away.
            ownership: tells what is ours.
            now: RFC 3339 time.
        """
        self._fleet = fleet
        self._instances = instances
        self._namespaces = namespaces
        self._ownership = ownership
        self._now = now

    async def clean_up(self, looked: Looked, key: InstanceKey) -> Outcome:
        """Leave one instance, as spec.deletionPolicy says."""
        meta = looked.resource.metadata
        if meta.deletion_timestamp and meta.annotations.get(FORCE_DELETE) == "true":
            return Released(Action.ORPHANED, "Left Grafana alone: gdso.dev/force-delete is set")
        if looked.resource.spec.deletion_policy is DeletionPolicy.DELETE:
            return await self._delete(looked, key)
        try:
            return await self._orphan(looked, key)
        except errors.Closed:
            raise
        except (errors.GrafanaError, Retrying):
            return Released(Action.ORPHANED, "Left the data source in Grafana, with our mark")

    async def _delete(self, looked: Looked, key: InstanceKey) -> Outcome:
        found = await self._find(looked, key)
        if isinstance(found, Released):
            return found
        connection, state = found
        try:
            await connection.write(state.uid, lambda c: c.delete_data_source(state.uid))
        except errors.NotFound:
            return _GONE
        return Released(Action.DELETED, "Deleted the data source from Grafana")

    async def _orphan(self, looked: Looked, key: InstanceKey) -> Outcome:
        found = await self._find(looked, key)
        if isinstance(found, Released):
            return found
        connection, state = found
        if delay := connection.spacing.delay_after_start(state.uid):
            return Deferred(delay)
        body = orphan_body(state)
        await connection.write(state.uid, lambda c: c.update_data_source(state.id, body))
        return Released(Action.ORPHANED, "Left the data source in Grafana, without our mark")

    async def _find(
        self, looked: Looked, key: InstanceKey
    ) -> tuple[GrafanaInstance, DataSourceState] | Released:
        """Our data source and where it is, or why there is nothing to clean up."""
        connection = await self._connection(looked, key)
        if isinstance(connection, Released):
            return connection
        resource = looked.resource
        state = await connection.read(lambda client: client.get_data_source(uid_of(resource)))
        if state is None:
            return _GONE
        claimant = self._ownership.claimant(resource, resource.recorded(key))
        if judge_claim(state, claimant) is not Claim.OURS:
            return _NOT_OURS
        member = self._fleet.get(key)
        if member is not None and member.mode is Mode.DRY_RUN:
            raise _blocked(f"GrafanaInstance {key} is in mode DryRun: nothing is written")
        return connection, state

    async def _connection(self, looked: Looked, key: InstanceKey) -> GrafanaInstance | Released:
        """The connection to clean up over, or why there is nothing to clean up any more."""
        member = self._fleet.get(key)
        if member is None:
            return await self._without_instance(looked, key)
        if member.connection is not None:
            return member.connection
        if not member.is_suspended and await self._is_lost(looked):
            return Released(
                Action.ORPHANED,
                f"Left the data source in Grafana: GrafanaInstance {key} {member.problem}, and the"
                " namespace is going away",
            )
        raise _blocked(f"GrafanaInstance {key} {member.problem}")

    async def _without_instance(self, looked: Looked, key: InstanceKey) -> Released:
        if key == FROM_SETTINGS:
            if looked.resource.metadata.deletion_timestamp is None:
                return Released(None, "The operator's settings no longer name that Grafana")
            raise _blocked(
                "the operator's settings name no Grafana any more; ask who runs the operator to set"
                " GDSO_GRAFANA_URL"
            )
        if await self._instances.exists(key.namespace, key.name):
            raise _blocked(
                f"GrafanaInstance {key} is out of the operator's sight; ask who runs the operator"
                " to watch its namespace"
            )
        recorded = looked.resource.recorded(key)
        if recorded is None or recorded.id is None:
            return Released(None, f"Never reached GrafanaInstance {key}, which does not exist")
        return Released(
            Action.ORPHANED,
            f"Left the data source in Grafana: GrafanaInstance {key} no longer exists",
        )

    async def _is_lost(self, looked: Looked) -> bool:
        """Whether the resource's namespace has been going away for long."""
        meta = looked.resource.metadata
        if meta.deletion_timestamp is None:
            return False
        since, now = (datetime.fromisoformat(t) for t in (meta.deletion_timestamp, self._now()))
        if (now - since).total_seconds() < LOST_AFTER_SECONDS:
            return False
        namespace = await self._namespaces.read(meta.namespace)
        return namespace is not None and namespace.is_terminating


_GONE = Released(None, "Grafana no longer has the data source")
_NOT_OURS = Released(None, "The data source in Grafana is not ours: left alone")


def _blocked(problem: str) -> Retrying:
    return Retrying(Reason.WAITING_FOR_INSTANCE, problem)
