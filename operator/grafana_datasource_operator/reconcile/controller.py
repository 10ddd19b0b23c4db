"""One look at a GrafanaDataSource, on all its instances: errors become status only here."""

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from ..api.datasource import DataSource, DeletionPolicy, SyncStatus, parse_data_source
from ..api.durations import parse_duration
from ..api.model import Json
from ..api.names import DATA_SOURCE, FORCE_DELETE, InstanceKey, ObjectKey
from ..api.reasons import Reason
from ..errors import STALLED_RECHECK_SECONDS, ReconcileError, Stalled
from ..grafana.errors import Closed, GrafanaError, PermissionDenied, Unaskable
from ..payload.datasource import DesiredDataSource
from ..status.datasource import build_status
from ..status.events import events_of
from ..status.outcome import (
    Action,
    Deferred,
    NotSynced,
    Outcome,
    Released,
    Report,
    Synced,
    Unseen,
)
from ..telemetry.metrics import DRIFT_CORRECTED
from .datasource import DataSourceReconciler, is_pending
from .failures import explain, unreadable
from .fleet import Fleet
from .health import HealthChecks
from .looked import Looked
from .removal import DataSourceRemover
from .resync import JITTER, Sightings
from .site import Site
from .targets import Targets
from .verdict import Again, Verdict

_Found = tuple[Outcome, Again]

_CLOSED_SECONDS = 1.0
"""Whatever took the place of a connection wants the look sooner; this is for when nothing did."""
_AWAY_SECONDS = 60.0
"""How often a resource that waits for a Grafana looks up what there is to tell of it."""
SHORTEST_DEFERRAL_SECONDS = 0.001
"""What is left of a delay may be nothing but a rounding error."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the controller works with."""

    fleet: Fleet
    targets: Targets
    reconciler: DataSourceReconciler
    remover: DataSourceRemover
    sightings: Sightings
    health: HealthChecks


class DataSourceController:
    """Looks at GrafanaDataSources."""

    def __init__(
        self,
        parts: Parts,
        *,
        resync_interval: float,
        now: Callable[[], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare.

        Args:
            parts: do the work.
            resync_interval: seconds, where a spec gives none.
            now: RFC 3339 time for status.
            clock: monotonic seconds.
        """
        self._parts = parts
        self._resync_interval = resync_interval
        self._now = now
        self._clock = clock
        self._started = clock()
        self._looks: dict[ObjectKey, dict[InstanceKey, float]] = {}

    def forget(self, key: ObjectKey) -> None:
        """The resource no longer exists."""
        self._looks.pop(key, None)
        self._parts.sightings.forget(key)
        self._parts.health.forget(key)

    async def look(self, raw: Json) -> Verdict:
        """Look once; raises only what is no answer of Grafana and no fault of the resource."""
        await self._parts.fleet.wait_until_complete()
        try:
            looked = Looked(parse_data_source(raw), raw)
        except ValidationError as error:
            looked = Looked(_without_spec(raw), raw)
            if not looked.resource.metadata.deletion_timestamp:
                trouble, again = _failed(unreadable(error), Again())
                return self._verdict(looked, self._report(looked, trouble=trouble), again)
        if looked.resource.metadata.deletion_timestamp:
            return await self._delete(looked)
        return await self._sync(looked)

    def describe_delay(self, raw: Json) -> Verdict | None:
        """What to tell while a look takes long; only deletions are worth it."""
        if not raw["metadata"].get("deletionTimestamp"):
            return None
        try:
            looked = Looked(parse_data_source(raw), raw)
        except ValidationError:
            return None
        trouble = NotSynced(Reason.DELETING, "Removing the data source from Grafana")
        return self._verdict(looked, self._report(looked, trouble=trouble), Again())

    # --- to the state of spec

    async def _sync(self, looked: Looked) -> Verdict:
        resource = looked.resource
        if resource.spec.suspend:
            return self._verdict(looked, Report(is_suspended=True), Again())
        resync = Again(after=self._resync_after(looked))
        keys: list[InstanceKey] = []
        found: dict[InstanceKey, _Found] = {}
        trouble: NotSynced | None = None
        others: list[Again] = []
        try:
            keys = await self._parts.targets.find(resource)
            desired = await self._parts.reconciler.desire(resource)
            found = await _gather(
                {key: self._sync_at(looked, desired, key, resync) for key in keys}
            )
        except ReconcileError as error:
            trouble, again = _failed(error, resync)
            others = [again]
        # Without a default instance, on the other hand, it is unknown where to live: all stays.
        lives_nowhere = not keys and resource.spec.instance_selector is not None
        lives = (_is_held(resource.recorded(key), outcome) for key, (outcome, _) in found.items())
        may_leave = lives_nowhere or any(lives)
        found |= await self._leave_others(looked, keys, may_leave=may_leave)
        again = _combine([*others, *(again for _, again in found.values())])
        outcomes = {key: outcome for key, (outcome, _) in found.items()}
        report = self._report(looked, outcomes, trouble=trouble, keys=keys)
        return self._verdict(looked, report, again)

    async def _sync_at(
        self, looked: Looked, desired: DesiredDataSource, key: InstanceKey, resync: Again
    ) -> tuple[Outcome, Again]:
        resource = looked.resource
        try:
            member = await self._parts.targets.member(key, resource)
            may_adopt = await self._parts.targets.may_adopt(member, resource.metadata.namespace)
            site = Site(key, member.usable_connection, member.mode, may_adopt)
            outcome = await self._parts.reconciler.sync(looked, desired, site)
        except Closed:
            return _postponed()
        except (Unaskable, PermissionDenied) as error:
            if is_pending(looked, resource.recorded(key), desired):
                return self._failed_at(key, explain(error), resync)
            return self._unseen(looked, key, explain(error), resync)
        except GrafanaError as error:
            return self._failed_at(key, explain(error), resync)
        except ReconcileError as error:
            return self._failed_at(key, error, resync)
        return outcome, self._after(looked, key, outcome, resync)

    def _failed_at(self, key: InstanceKey, error: ReconcileError, resync: Again) -> _Found:
        """While Grafana is away one probe asks for all, and recovery wakes who waits."""
        outcome, again = _failed(error, resync, key)
        member = self._parts.fleet.get(key)
        if member is None or member.connection is None or member.connection.trouble is None:
            return outcome, again
        after = _AWAY_SECONDS * random.uniform(0.8, 1.2)  # noqa: S311 - spreads load
        return outcome, Again(after=after, on_recovery=frozenset({key}))

    def _after(self, looked: Looked, key: InstanceKey, outcome: Outcome, resync: Again) -> Again:
        """When to look again after an answer, which is remembered as seen."""
        if isinstance(outcome, Deferred):
            return _soon(outcome)
        self._looks.setdefault(looked.key, {})[key] = self._clock()
        if isinstance(outcome, Synced) and outcome.action is Action.DRIFT_CORRECTED:
            DRIFT_CORRECTED.labels(DATA_SOURCE.kind).inc()
        if isinstance(outcome, NotSynced) and outcome.reason is not Reason.DRY_RUN:
            return Again(after=STALLED_RECHECK_SECONDS)
        return resync

    def _unseen(
        self, looked: Looked, key: InstanceKey, failure: ReconcileError, resync: Again
    ) -> tuple[Outcome, Again]:
        """Nothing is to be done; Ready stays until the last look is over a resync old."""
        left = self._look_left(looked, key)
        expired = left is not None and left <= 0
        # Not every failure opens the circuit, so not every one ends in a recovery.
        after = resync.after if expired else left
        again = Again(after=after, on_recovery=frozenset({key}))
        return Unseen(failure.reason, failure.message, expired), again

    # --- away from an instance

    async def _leave_others(
        self, looked: Looked, keys: list[InstanceKey], *, may_leave: bool
    ) -> dict[InstanceKey, _Found]:
        """Leave where the resource lived: only once it lives elsewhere, or is to live nowhere."""
        # An instance that was relabelled during this look is left by the next one.
        wanted = {*keys, *self._parts.targets.keys_of(looked.resource)}
        others = [i.key for i in looked.resource.status.instances if i.key not in wanted]
        left = [key for key in others if may_leave or not await self._may_hold(looked, key)]
        return await _gather({key: self._leave(looked, key, keys) for key in left})

    async def _leave(
        self, looked: Looked, key: InstanceKey, keys: list[InstanceKey]
    ) -> tuple[Outcome, Again]:
        """Clean up where the resource is to live no more."""
        self._parts.sightings.forget(looked.key, key)
        if await self._is_same_place(key, keys):
            return Released(None, "The same Grafana under another name"), Again()
        return await self._clean_up(looked, key)

    async def _is_same_place(self, key: InstanceKey, others: list[InstanceKey]) -> bool:
        left = self._parts.fleet.get(key)
        if left is None or left.connection is None:
            return False
        with contextlib.suppress(GrafanaError):
            # Only the first probe tells the organization.
            await left.connection.check()
        members = [self._parts.fleet.get(other) for other in others]
        return any(member is not None and member.is_same_place(left) for member in members)

    async def _delete(self, looked: Looked) -> Verdict:
        if not looked.has_finalizer:
            return self._verdict(looked, Report(is_released=True), Again())
        resource = looked.resource
        keys = {i.key for i in resource.status.instances}
        keys |= set(self._parts.targets.keys_of(resource))
        found = await _gather({key: self._clean_up(looked, key) for key in sorted(keys)})
        outcomes = {key: outcome for key, (outcome, _) in found.items()}
        again = _combine(again for _, again in found.values())
        if all(isinstance(outcome, Released) for outcome in outcomes.values()):
            await self._parts.reconciler.release(looked)
            return self._verdict(looked, Report(outcomes, is_released=True), Again())
        return self._verdict(looked, self._report(looked, outcomes), again)

    async def _clean_up(self, looked: Looked, key: InstanceKey) -> tuple[Outcome, Again]:
        if not await self._may_hold(looked, key):
            return Released(None, "Grafana never held the data source there"), Again()
        try:
            outcome = await self._parts.remover.clean_up(looked, key)
        except Closed:
            return _postponed()
        except (GrafanaError, ReconcileError) as error:
            return self._blocked(error, key)
        return outcome, _soon(outcome) if isinstance(outcome, Deferred) else Again()

    async def _may_hold(self, looked: Looked, key: InstanceKey) -> bool:
        """Whether status records a data source there, or a write may have gone unrecorded.

        What goes on at an instance that never admitted the resource is none of its business.
        """
        recorded = looked.resource.recorded(key)
        if recorded is not None and recorded.id is not None:
            return True
        return looked.has_finalizer and await self._parts.targets.admits(key, looked.resource)

    def _blocked(self, error: GrafanaError | ReconcileError, key: InstanceKey) -> _Found:
        failure = error if isinstance(error, ReconcileError) else explain(error)
        _, again = self._failed_at(key, failure, Again(backoff=True))
        outcome = NotSynced(
            Reason.DELETION_BLOCKED,
            f"{failure.reason}: {failure.message}. Retried for ever; to let go without Grafana,"
            f" set the annotation {FORCE_DELETE}=true or spec.deletionPolicy: Orphan",
        )
        return outcome, again

    # --- what is told of it

    def _report(
        self,
        looked: Looked,
        outcomes: dict[InstanceKey, Outcome] | None = None,
        *,
        trouble: NotSynced | None = None,
        keys: list[InstanceKey] | None = None,
    ) -> Report:
        outcomes = outcomes or {}
        resource = looked.resource
        if resource.spec.instance_selector is None:
            targets = keys or self._parts.targets.keys_of(resource)
            summary = targets[0].name if targets else None
        else:
            synced = [isinstance(outcomes.get(key), Synced | Unseen) for key in keys or []]
            summary = f"{sum(synced)}/{len(synced)}"
        return Report(outcomes, trouble, summary)

    def _verdict(self, looked: Looked, report: Report, again: Again) -> Verdict:
        resource = looked.resource
        status = build_status(resource, report, self._now())
        result, message = _summary(report)
        return Verdict(
            result=result,
            again=again,
            status=status.model_dump(mode="json", by_alias=True, exclude_none=True)
            if status
            else None,
            events=events_of(resource.status, status, report),
            message=message,
            check_after=self._parts.health.plan(looked, report),
        )

    # --- time

    def _interval(self, resource: DataSource) -> float:
        text = resource.spec.resync_interval
        return self._resync_interval if text is None else parse_duration(text)

    def _resync_after(self, looked: Looked) -> float | None:
        """Only ever earlier than the interval: Ready promises a look at most one of them ago."""
        interval = self._interval(looked.resource)
        # After a start all are looked at within seconds: spread the next looks over the interval.
        jitter = JITTER if looked.key in self._looks else 1.0
        return interval * (1 - jitter * random.random()) if interval else None  # noqa: S311

    def _look_left(self, looked: Looked, key: InstanceKey) -> float | None:
        """Seconds until the last look is over a resync old; None is never."""
        interval = self._interval(looked.resource)
        if not interval:
            return None
        last = self._looks.get(looked.key, {}).get(key, self._started)
        return last + interval - self._clock()


async def _gather(jobs: Mapping[InstanceKey, Awaitable[_Found]]) -> dict[InstanceKey, _Found]:
    """All of them, each to its end; then the first error, if there was one."""
    found = await asyncio.gather(*jobs.values(), return_exceptions=True)
    for result in found:
        if isinstance(result, BaseException):
            raise result
    return dict(zip(jobs, (f for f in found if not isinstance(f, BaseException)), strict=True))


def _soon(deferred: Deferred) -> Again:
    return Again(after=max(deferred.after, SHORTEST_DEFERRAL_SECONDS))


def _without_spec(raw: Json) -> DataSource:
    """As much of a resource with an unreadable spec as its status and its deletion need."""
    orphan = raw.get("spec", {}).get("deletionPolicy") == DeletionPolicy.ORPHAN
    spec = {
        "type": "unknown",
        "uid": raw.get("status", {}).get("uid"),
        "deletionPolicy": DeletionPolicy.ORPHAN if orphan else DeletionPolicy.DELETE,
    }
    return DataSource.model_validate({**raw, "spec": spec})


def _failed(
    error: ReconcileError, resync: Again, key: InstanceKey | None = None
) -> tuple[NotSynced, Again]:
    """The outcome, and when to look again: a stalled one at the latest with the resync."""
    outcome = NotSynced(error.reason, error.message)
    recovery = frozenset({key} if key else ())
    if isinstance(error, Stalled):
        return outcome, Again(after=error.retry_after) if error.retry_after else resync
    if error.retry_after is not None:
        return outcome, Again(after=error.retry_after, on_recovery=recovery)
    return outcome, Again(backoff=True, on_recovery=recovery)


def _postponed() -> _Found:
    """Nothing was learned of Grafana."""
    return Deferred(_CLOSED_SECONDS), Again(after=_CLOSED_SECONDS)


def _is_held(recorded: SyncStatus | None, outcome: Outcome) -> bool:
    """Whether an instance holds the data source, perhaps not as default, or held it lately."""
    if recorded is not None and recorded.id is not None:
        return True
    return isinstance(outcome, Synced) or (
        isinstance(outcome, NotSynced) and outcome.facts is not None
    )


def _combine(found: Iterable[Again]) -> Again:
    """The soonest of all."""
    agains = list(found)
    recovery = frozenset().union(*(again.on_recovery for again in agains))
    after = min((again.after for again in agains if again.after is not None), default=None)
    backoff = any(again.backoff for again in agains)
    return Again(after=after, backoff=backoff, on_recovery=recovery)


def _summary(report: Report) -> tuple[str, str]:
    """One word and one sentence about a look, for metrics and logs."""
    if report.is_suspended:
        return "Suspended", ""
    if report.trouble is not None:
        return report.trouble.reason.value, report.trouble.message
    told = sorted((_told(outcome) for outcome in report.outcomes.values()), key=lambda t: t[0])
    _, word, message = told[0] if told else (0, "Released", "")
    return word, message


def _told(outcome: Outcome) -> tuple[int, str, str]:
    """The lower the number, the more there is to tell."""
    match outcome:
        case NotSynced(reason=reason, message=message) | Unseen(reason=reason, message=message):
            return 0, reason.value, message
        case Released(action=action, message=message):
            return 1, action.value if action else "Released", message
        case Synced(action=Action() as action, note=note):
            return 2, action.value, note
        case Deferred():
            return 3, "Deferred", ""
        case _:
            return 4, "Unchanged", ""
