"""Bring one data source in Grafana to the state of its resource, or out of it."""

from dataclasses import dataclass

from ..api.datasource import DataSource, DeletionPolicy, InstanceStatus
from ..api.grafana_json import DataSourceState
from ..api.model import Json
from ..api.names import (
    DEFAULT_INSTANCE_NAME,
    DEFAULT_INSTANCE_NAMESPACE,
    FINALIZER,
    FORCE_DELETE,
)
from ..api.reasons import ConditionStatus, Reason
from ..errors import Retrying, Stalled
from ..grafana import errors
from ..grafana.capabilities import Capability
from ..grafana.instance import GrafanaInstance
from ..kube.resources import Resources
from ..kube.secrets import SecretReader
from ..payload.datasource import (
    DesiredDataSource,
    build_desired,
    create_body,
    orphan_body,
    uid_of,
    update_body,
)
from ..payload.diff import StoreTraits, diff, uncleared
from ..payload.identity import Claim, Claimant, Owner, judge_claim
from ..payload.rules import check_spec
from ..payload.secrets import resolve_secrets, secret_names
from ..status.outcome import Action, Deferred, Facts, Outcome, Released, Suspended, Synced
from .claims import Exists, require_ours
from .failures import explain
from .instances import InstanceChoice


@dataclass(frozen=True, slots=True)
class Looked:
    """One resource under one look: parsed, and raw as the finalizer writes need it."""

    resource: DataSource
    raw: Json

    @property
    def has_finalizer(self) -> bool:
        """Whether a write to Grafana may have happened."""
        return FINALIZER in self.resource.metadata.finalizers

    @property
    def recorded(self) -> InstanceStatus | None:
        """What status remembers of the instance."""
        return self.resource.instance_status(DEFAULT_INSTANCE_NAMESPACE, DEFAULT_INSTANCE_NAME)


class DataSourceReconciler:
    """Reads, decides, writes at most once.

    Errors are `ReconcileError`, `GrafanaError`, `KubeError`.
    """

    def __init__(
        self,
        *,
        instances: InstanceChoice,
        secrets: SecretReader,
        resources: Resources,
        owner_id: str,
        exists: Exists,
    ) -> None:
        self._instances = instances
        self._secrets = secrets
        self._resources = resources
        self._owner_id = owner_id
        self._exists = exists

    async def desire(self, looked: Looked) -> DesiredDataSource:
        """The state that Grafana is to hold, with the Secrets of this moment.

        Raises:
            ReconcileError: InvalidSpec, WaitingForSecret.
        """
        resource = looked.resource
        check_spec(resource.spec)
        contents = await self._secrets.read_all(
            resource.metadata.namespace, secret_names(resource.spec)
        )
        secrets = resolve_secrets(resource.spec, contents)
        return build_desired(resource, secrets, self._owner(resource))

    async def sync(self, looked: Looked) -> Outcome:
        """Make Grafana hold the state of spec."""
        if looked.resource.spec.suspend:
            return Suspended()
        instance = self._instances.choose(looked.resource.metadata.namespace)
        if delay := instance.spacing.delay(uid_of(looked.resource)):
            return Deferred(delay)
        desired = await self.desire(looked)
        await instance.check()
        state, created = await self._locate(looked, desired, instance)
        traits = await self._traits(instance)
        if created:
            return _after_write(desired, state, traits, Action.CREATED)
        require_ours(state, self._claimant(looked), self._exists)
        await self._claim(looked)
        action = _needed(looked, desired, state, traits)
        if action is None:
            return _synced(desired, state, traits, None)
        if delay := instance.spacing.delay_after_start(desired.uid):
            return Deferred(delay)
        return await self._update(desired, state, traits, instance, action)

    async def clean_up(self, looked: Looked) -> Outcome:
        """Take the data source of a deleted resource out of Grafana; never one that is not ours."""
        if not looked.has_finalizer:
            return Released(None, "Never reached Grafana")
        outcome = await self._leave_grafana(looked)
        if isinstance(outcome, Released):
            await self._resources.remove_finalizer(looked.raw)
        return outcome

    async def _leave_grafana(self, looked: Looked) -> Outcome:
        meta, spec = looked.resource.metadata, looked.resource.spec
        if meta.annotations.get(FORCE_DELETE) == "true":
            return Released(Action.ORPHANED, "Left Grafana alone: gdso.dev/force-delete is set")
        if spec.deletion_policy is DeletionPolicy.DELETE:
            return await self._take_out(looked, orphan=False)
        try:
            return await self._take_out(looked, orphan=True)
        except (errors.GrafanaError, Retrying):
            return Released(Action.ORPHANED, "Left the data source in Grafana, with our mark")

    async def _take_out(self, looked: Looked, *, orphan: bool) -> Outcome:
        uid = uid_of(looked.resource)
        instance = self._instances.choose_for_deletion()
        state = await instance.read(lambda c: c.get_data_source(uid))
        if state is None:
            return Released(None, "Grafana no longer has the data source")
        if judge_claim(state, self._claimant(looked)) is not Claim.OURS:
            return Released(None, "The data source in Grafana is not ours: left alone")
        if not orphan:
            return await self._delete(uid, instance)
        if delay := instance.spacing.delay_after_start(uid):
            return Deferred(delay)
        await instance.write(uid, lambda c: c.update_data_source(state.id, orphan_body(state)))
        return Released(Action.ORPHANED, "Left the data source in Grafana, without our mark")

    async def _delete(self, uid: str, instance: GrafanaInstance) -> Released:
        try:
            await instance.write(uid, lambda c: c.delete_data_source(uid))
        except errors.NotFound:
            return Released(None, "Grafana no longer has the data source")
        return Released(Action.DELETED, "Deleted the data source from Grafana")

    async def _locate(
        self, looked: Looked, desired: DesiredDataSource, instance: GrafanaInstance
    ) -> tuple[DataSourceState, bool]:
        """The data source in Grafana, and whether it was created just now.

        POST comes first where nothing was ever written: one request is enough then.
        """
        if looked.has_finalizer or (looked.recorded and looked.recorded.id is not None):
            state = await instance.read(lambda c: c.get_data_source(desired.uid))
            if state is not None:
                return state, False
        await self._claim(looked)
        body = create_body(desired)
        try:
            return await instance.write(desired.uid, lambda c: c.create_data_source(body)), True
        except (errors.AlreadyExists, errors.QuotaReached) as error:
            # The name is checked before the uid, and the quota before both.
            state = await instance.read(lambda c: c.get_data_source(desired.uid))
            if state is None:
                raise explain(error, desired) from None
            return state, False
        except (errors.Unaskable, errors.PermissionDenied) as error:
            raise explain(error) from None

    async def _update(
        self,
        desired: DesiredDataSource,
        state: DataSourceState,
        traits: StoreTraits,
        instance: GrafanaInstance,
        action: Action,
    ) -> Outcome:
        body = update_body(desired, state)
        try:
            written = await instance.write(
                desired.uid, lambda c: c.update_data_source(state.id, body)
            )
        except (errors.NotFound, errors.VersionConflict):
            # Someone was faster, perhaps within this second: look anew after the gap.
            return Deferred(instance.spacing.delay(desired.uid))
        except errors.AlreadyExists as error:
            raise explain(error, desired) from None
        except (errors.Unaskable, errors.PermissionDenied) as error:
            if isinstance(error, errors.ServerFault):
                await self._require_free_name(desired, state, instance)
            # Unlike a failing read: it is known by now that Grafana holds another state.
            raise explain(error) from None
        return _after_write(desired, written, traits, action)

    async def _require_free_name(
        self, desired: DesiredDataSource, state: DataSourceState, instance: GrafanaInstance
    ) -> None:
        """Servers up to 9.x answer a taken name with 500 on PUT: ask who has it."""
        if desired.name == state.name:
            return
        holder = await instance.read(lambda c: c.get_data_source_by_name(desired.name))
        if holder is not None and holder.uid != desired.uid:
            raise explain(errors.AlreadyExists("name taken"), desired)

    async def _claim(self, looked: Looked) -> None:
        """Set the finalizer before the first write, or again where someone took it off."""
        if not looked.has_finalizer:
            await self._resources.add_finalizer(looked.raw)

    async def _traits(self, instance: GrafanaInstance) -> StoreTraits:
        is_old = not await instance.supports(Capability.UPDATE_BY_UID)
        return StoreTraits(keeps_database=is_old, lists_blanked_secrets=is_old)

    def _owner(self, resource: DataSource) -> Owner:
        return Owner(self._owner_id, resource.metadata.namespace, resource.metadata.name)

    def _claimant(self, looked: Looked) -> Claimant:
        recorded = looked.recorded
        return Claimant(self._owner(looked.resource), recorded.id if recorded else None)


def is_pending(looked: Looked, desired: DesiredDataSource) -> bool:
    """Whether Grafana is known, without asking it, not to hold this state."""
    recorded, resource = looked.recorded, looked.resource
    return (
        not looked.has_finalizer
        or recorded is None
        or recorded.id is None
        or recorded.synced is ConditionStatus.FALSE
        or resource.status.observed_generation != resource.metadata.generation
        or recorded.secrets_revision != desired.secrets.revision
    )


def _needed(
    looked: Looked, desired: DesiredDataSource, state: DataSourceState, traits: StoreTraits
) -> Action | None:
    """Why an update is needed, if it is."""
    recorded, resource = looked.recorded, looked.resource
    same_secrets = (recorded.secrets_revision if recorded else None) == desired.secrets.revision
    # Another version than our last write returned: someone wrote, perhaps a secret.
    same_version = recorded is None or recorded.version in (None, state.version)
    if same_secrets and same_version and not diff(desired, state, traits):
        return None
    if resource.status.observed_generation != resource.metadata.generation:
        return Action.UPDATED
    return Action.DRIFT_CORRECTED if same_secrets else Action.SECRET_CHANGED


def _after_write(
    desired: DesiredDataSource, written: DataSourceState, traits: StoreTraits, action: Action
) -> Outcome:
    """Believe the answer, not the request: Ready is true only if Grafana says it holds it all."""
    differing = diff(desired, written, traits)
    if differing == ("/isDefault",) and action is Action.CREATED:
        # The first data source of an organization becomes the default whatever was sent.
        return Deferred(0.0)
    if differing:
        raise Stalled(
            Reason.GRAFANA_REJECTED,
            f"Grafana took the write but holds other values at {', '.join(differing)}",
        )
    return _synced(desired, written, traits, action)


def _synced(
    desired: DesiredDataSource,
    state: DataSourceState,
    traits: StoreTraits,
    action: Action | None,
) -> Synced:
    kept = uncleared(desired, state, traits)
    note = f"except that no update clears the old {' and '.join(kept)}" if kept else ""
    return Synced(Facts(state.id, state.version, desired.secrets.revision), action, note)
