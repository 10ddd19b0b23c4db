"""Bring one data source on one instance to the state of its resource."""

from dataclasses import dataclass, replace

from ..api.datasource import DataSource, DriftPolicy, SyncStatus
from ..api.grafana_json import DataSourceState
from ..api.reasons import Reason
from ..errors import ReconcileError, Stalled
from ..grafana import errors
from ..grafana.capabilities import Capability
from ..grafana.instance import GrafanaInstance
from ..kube.contents import ContentReader
from ..kube.resources import Resources
from ..payload.datasource import (
    DesiredDataSource,
    build_desired,
    create_body,
    uid_of,
    update_body,
)
from ..payload.diff import StoreTraits, describe_difference, diff, uncleared
from ..payload.inputs import Inputs, needs_of
from ..status.outcome import Action, Deferred, Facts, NotSynced, Outcome, Synced
from .claims import is_adoption, require_first, require_first_for_name
from .contest import Contest
from .defaults import Defaults, give_way
from .display_names import DisplayNames
from .drift import (
    Situation,
    UnseenWrite,
    decide,
    drift_detected,
    holds_other_values,
    is_undone,
)
from .failures import explain
from .looked import Looked
from .ownership import Ownership
from .peers import Peers
from .resync import Sightings
from .site import Site
from .targets import Targets


@dataclass(frozen=True, slots=True)
class _Task:
    """One resource on one instance, in one look."""

    looked: Looked
    desired: DesiredDataSource
    site: Site
    recorded: SyncStatus | None
    traits: StoreTraits

    @property
    def grafana(self) -> GrafanaInstance:
        return self.site.grafana


class DataSourceReconciler:
    """Reads, decides, writes at most once.

    Errors are `ReconcileError`, `GrafanaError`, `KubeError`.
    """

    def __init__(
        self,
        *,
        contents: ContentReader,
        resources: Resources,
        ownership: Ownership,
        peers: Peers,
        targets: Targets,
        sightings: Sightings,
    ) -> None:
        self._contents = contents
        self._resources = resources
        self._ownership = ownership
        self._peers = peers
        self._sightings = sightings
        self._contest = Contest(peers, targets)
        self._defaults = Defaults(peers, self._contest, ownership.ids)
        self._names = DisplayNames(peers, ownership.ids)

    async def desire(self, resource: DataSource) -> DesiredDataSource:
        """The state that Grafana is to hold, with what Secrets and ConfigMaps hold now.

        Raises:
            ReconcileError: InvalidSpec, WaitingForSecret, WaitingForConfigMap,
                WaitingForDataSource.
        """
        namespace = resource.metadata.namespace
        needs = needs_of(resource.spec)
        referred = {name: self._peers.find(namespace, name) for name in needs.data_sources}
        inputs = Inputs(
            secrets=await self._contents.read_secrets(namespace, needs.secrets),
            config_maps=await self._contents.read_config_maps(namespace, needs.config_maps),
            uids={name: uid_of(other) if other else None for name, other in referred.items()},
        )
        return build_desired(resource, inputs, self._ownership.of(resource))

    async def sync(self, looked: Looked, desired: DesiredDataSource, site: Site) -> Outcome:
        """Make one Grafana hold the desired state."""
        if delay := site.grafana.spacing.delay(desired.uid):
            return Deferred(delay)
        await site.grafana.check()
        recorded = looked.resource.recorded(site.key)
        task = _Task(looked, desired, site, recorded, await _traits(site.grafana))
        state = await self._read(task)
        conflict = await self._find_default_conflict(task, state)
        if conflict is not None:
            task = replace(task, desired=give_way(desired))
        outcome = await (self._create(task) if state is None else self._update(task, state))
        if conflict is not None and isinstance(outcome, Synced):
            return NotSynced(conflict.reason, conflict.message, outcome.facts, outcome.action)
        return outcome

    async def release(self, looked: Looked) -> None:
        """Drop the finalizer: nothing is left to clean up."""
        await self._resources.remove_finalizer(looked.raw)

    async def _read(self, task: _Task) -> DataSourceState | None:
        """What Grafana holds, asked only where it may hold something.

        POST comes first where nothing was ever written: one request is enough then. Under DryRun
        there is none that would tell.
        """
        looked, uid = task.looked, task.desired.uid
        is_known = task.recorded is not None and task.recorded.id is not None
        # The finalizer tells of a write whose end nobody recorded, here or, without any status,
        # anywhere.
        is_tried = task.recorded is not None or not looked.resource.status.instances
        may_be_known = (looked.has_finalizer and is_tried) or task.site.is_dry_run
        if is_known or may_be_known or self._sightings.was_listed(task.site.key, uid):
            return await task.grafana.read(lambda client: client.get_data_source(uid))
        return None

    async def _find_default_conflict(
        self, task: _Task, state: DataSourceState | None
    ) -> Stalled | None:
        if task.desired.is_default is not True or (state is not None and state.is_default):
            return None
        listed = await task.grafana.read(lambda client: client.list_data_sources())
        resource, uid = task.looked.resource, task.desired.uid
        return await self._defaults.judge(resource, task.site.key, uid, listed)

    # --- what does not exist

    async def _create(self, task: _Task) -> Outcome:
        resource, desired = task.looked.resource, task.desired
        is_ours = is_pending(task.looked, task.recorded, desired)
        if resource.spec.drift_policy is DriftPolicy.REPORT and not is_ours:
            raise drift_detected("others deleted the data source")
        await self._require_turn(task)
        if task.site.is_dry_run:
            return _would(task, "create the data source")
        await task.looked.claim(self._resources)
        body = create_body(desired)
        try:
            state = await task.grafana.write(desired.uid, lambda c: c.create_data_source(body))
        except (errors.AlreadyExists, errors.QuotaReached) as error:
            return await self._find_out(task, error)
        except (errors.Unaskable, errors.PermissionDenied) as error:
            raise explain(error) from None
        return self._after_write(task, state, Action.CREATED)

    async def _find_out(
        self, task: _Task, error: errors.AlreadyExists | errors.QuotaReached
    ) -> Outcome:
        """Grafana checks the name before the uid, and the quota before both."""
        uid = task.desired.uid
        state = await task.grafana.read(lambda client: client.get_data_source(uid))
        if state is not None:
            return await self._update(task, state)
        if isinstance(error, errors.QuotaReached):
            raise explain(error) from None
        match await self._names.resolve(task.desired, None, task.grafana):
            case ReconcileError() as conflict:
                raise conflict
            case _:
                return Deferred(task.grafana.spacing.delay(uid))

    async def _require_turn(self, task: _Task) -> None:
        """Create only what is ours to create; what we had before is, and its name with it."""
        resource, desired, key = task.looked.resource, task.desired, task.site.key
        rivals = await self._contest.for_uid(desired.uid, key)
        require_first(resource, desired.uid, rivals, key)
        if task.recorded is None or task.recorded.id is None:
            await self._require_name(task)

    async def _require_name(self, task: _Task) -> None:
        rivals = await self._contest.for_name(task.desired.name, task.site.key)
        require_first_for_name(task.looked.resource, task.desired, rivals)

    # --- what exists

    async def _update(self, task: _Task, state: DataSourceState) -> Outcome:
        resource = task.looked.resource
        is_adopted = is_adoption(
            state,
            self._ownership.claimant(resource, task.recorded),
            self._peers,
            policy=resource.spec.adoption_policy,
            may_adopt=task.site.may_adopt,
        )
        if is_adopted:
            rivals = await self._contest.for_adoption(state.uid, task.site.key)
            require_first(resource, state.uid, rivals, task.site.key)
        if not task.site.is_dry_run:
            await task.looked.claim(self._resources)
        situation = Situation(
            task.looked, task.recorded, task.desired, state, task.traits, is_adopted
        )
        match decide(situation):
            case None:
                return self._synced(task, state)
            case UnseenWrite():
                return self._synced(task, state, unseen_write=True)
            case Action() as action if task.site.is_dry_run:
                verb = "take over" if action is Action.ADOPTED else "update"
                return _would(task, f"{verb} {situation.described_difference}")
            case Action() as action:
                return await self._write(task, state, action)

    async def _write(self, task: _Task, state: DataSourceState, action: Action) -> Outcome:
        desired, spacing = task.desired, task.grafana.spacing
        if delay := spacing.delay_after_start(desired.uid):
            return Deferred(delay)
        if desired.name != state.name and action is not Action.DRIFT_CORRECTED:
            await self._require_name(task)
        body = update_body(desired, state, adopting=action is Action.ADOPTED)
        try:
            written = await task.grafana.write(
                desired.uid, lambda c: c.update_data_source(state.id, body)
            )
        except (errors.NotFound, errors.VersionConflict):
            # Someone was faster, perhaps within this second: look anew after the gap.
            return Deferred(spacing.delay(desired.uid))
        except (errors.AlreadyExists, errors.ServerFault) as error:
            return await self._make_way(task, state, action, error)
        except (errors.Unaskable, errors.PermissionDenied) as error:
            # Unlike a failing read: it is known by now that Grafana holds another state.
            raise explain(error) from None
        return self._after_write(task, written, action)

    async def _make_way(
        self,
        task: _Task,
        state: DataSourceState,
        action: Action,
        error: errors.AlreadyExists | errors.ServerFault,
    ) -> Outcome:
        """The name may be taken; servers up to 9.x say so with 500 on PUT."""
        desired, grafana = task.desired, task.grafana
        if desired.name == state.name:
            raise explain(error, desired) from None
        way = await self._names.resolve(desired, state, grafana)
        if isinstance(way, ReconcileError):
            raise way
        if way is None and isinstance(error, errors.AlreadyExists):
            return Deferred(grafana.spacing.delay(desired.uid))
        if way is None:
            raise explain(error) from None
        body = update_body(replace(desired, name=way), state, adopting=action is Action.ADOPTED)
        await grafana.write(desired.uid, lambda c: c.update_data_source(state.id, body))
        return Deferred(grafana.spacing.delay(desired.uid))

    # --- what came of it

    def _after_write(self, task: _Task, written: DataSourceState, action: Action) -> Outcome:
        """Believe the answer, not the request: Ready is true only if Grafana says it holds it."""
        differing = diff(task.desired, written, task.traits)
        if differing == ("/isDefault",) and action is Action.CREATED:
            # The first data source of an organization becomes the default whatever was sent.
            return Deferred(0.0)
        if differing:
            failure = holds_other_values(describe_difference(differing, task.desired))
            facts = _facts(task, written)
            return NotSynced(failure.reason, failure.message, facts, action)
        return self._synced(task, written, action)

    def _synced(
        self,
        task: _Task,
        state: DataSourceState,
        action: Action | None = None,
        *,
        unseen_write: bool = False,
    ) -> Synced:
        self._sightings.note(task.site.key, task.looked.key, state)
        kept = uncleared(task.desired, state, task.traits)
        note = f"except that no update clears the old {' and '.join(kept)}" if kept else ""
        return Synced(_facts(task, state), action, note, unseen_write)


def is_pending(looked: Looked, recorded: SyncStatus | None, desired: DesiredDataSource) -> bool:
    """Whether Grafana is known, without asking it, not to hold this state."""
    return (
        not looked.has_finalizer
        or looked.is_new_generation
        or is_undone(recorded)
        or recorded is None
        or recorded.secrets_revision != desired.secrets.revision
    )


def _facts(task: _Task, state: DataSourceState) -> Facts:
    return Facts(state.id, state.version, task.desired.secrets.revision)


def _would(task: _Task, what: str) -> NotSynced:
    return NotSynced(
        Reason.DRY_RUN,
        f"would {what}; nothing is written, since the GrafanaInstance is in mode DryRun",
    )


async def _traits(grafana: GrafanaInstance) -> StoreTraits:
    is_old = not await grafana.supports(Capability.UPDATE_BY_UID)
    return StoreTraits(keeps_database=is_old, lists_blanked_secrets=is_old)
