"""One look at a GrafanaDataSource, from raw object to verdict: errors become status only here."""

import random
import time
from collections.abc import Callable

from pydantic import ValidationError

from ..api.datasource import DataSource, DeletionPolicy, parse_data_source
from ..api.durations import parse_duration
from ..api.model import Json
from ..api.names import DATA_SOURCE, FORCE_DELETE, ObjectKey
from ..api.reasons import Reason
from ..errors import ReconcileError, Stalled
from ..grafana.errors import GrafanaError, PermissionDenied, Unaskable
from ..status.datasource import build_status
from ..status.events import events_of
from ..status.outcome import (
    Action,
    Deferred,
    NotSynced,
    Outcome,
    Released,
    Suspended,
    Synced,
    Unseen,
)
from ..telemetry.metrics import DRIFT_CORRECTED
from .datasource import DataSourceReconciler, Looked, is_pending
from .failures import explain
from .verdict import Again, Verdict

RESYNC_JITTER = 0.1


class DataSourceController:
    """Looks at GrafanaDataSources."""

    def __init__(
        self,
        reconciler: DataSourceReconciler,
        *,
        resync_interval: float,
        now: Callable[[], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare.

        Args:
            reconciler: does the work.
            resync_interval: seconds, where a spec gives none.
            now: RFC 3339 time for status.
            clock: monotonic seconds.
        """
        self._reconciler = reconciler
        self._resync_interval = resync_interval
        self._now = now
        self._clock = clock
        self._started = clock()
        self._looks: dict[ObjectKey, float] = {}

    async def look(self, raw: Json) -> Verdict:
        """Look once; raises only what is no answer of Grafana and no fault of the resource."""
        meta = raw["metadata"]
        key = ObjectKey(DATA_SOURCE.kind, meta["namespace"], meta["name"])
        try:
            looked = Looked(parse_data_source(raw), raw)
        except ValidationError as error:
            looked = Looked(_without_spec(raw), raw)
            if not looked.resource.metadata.deletion_timestamp:
                return self._refuse(looked.resource, error)
        if looked.resource.metadata.deletion_timestamp:
            return await self._delete(key, looked)
        return await self._sync(key, looked)

    def describe_delay(self, raw: Json) -> Verdict | None:
        """What to tell while a look takes long; only deletions are worth it."""
        if not raw["metadata"].get("deletionTimestamp"):
            return None
        try:
            resource = parse_data_source(raw)
        except ValidationError:
            return None
        outcome = NotSynced(Reason.DELETING, "Removing the data source from Grafana")
        return self._verdict(resource, outcome, Again())

    async def _sync(self, key: ObjectKey, looked: Looked) -> Verdict:
        resource = looked.resource
        again = Again(after=self._resync_after(resource))
        try:
            outcome = await self._sync_or_unseen(key, looked)
        except GrafanaError as error:
            outcome, again = _not_synced(explain(error), again)
        except ReconcileError as error:
            outcome, again = _not_synced(error, again)
        match outcome:
            case Synced():
                self._looks[key] = self._clock()
                if outcome.action is Action.DRIFT_CORRECTED:
                    DRIFT_CORRECTED.labels(DATA_SOURCE.kind).inc()
            case Deferred(after=after):
                again = Again(after=after)
            case Suspended():
                again = Again()
            case Unseen(expired=expired):
                # Not every failure opens the circuit, so not every one ends in a recovery.
                left = again.after if expired else self._look_left(key, resource)
                again = Again(after=left, on_recovery=True)
        return self._verdict(resource, outcome, again)

    async def _sync_or_unseen(self, key: ObjectKey, looked: Looked) -> Outcome:
        try:
            return await self._reconciler.sync(looked)
        except (Unaskable, PermissionDenied) as error:
            desired = await self._reconciler.desire(looked)
            if is_pending(looked, desired):
                raise
            failure = explain(error)
            left = self._look_left(key, looked.resource)
            return Unseen(failure.reason, failure.message, expired=left is not None and left <= 0)

    async def _delete(self, key: ObjectKey, looked: Looked) -> Verdict:
        outcome: Outcome
        try:
            outcome, again = await self._reconciler.clean_up(looked), Again()
            if isinstance(outcome, Deferred):
                again = Again(after=outcome.after)
            self._looks.pop(key, None)
        except (GrafanaError, ReconcileError) as error:
            failure = error if isinstance(error, ReconcileError) else explain(error)
            _, again = _not_synced(failure, Again(backoff=True))
            outcome = NotSynced(
                Reason.DELETION_BLOCKED,
                f"{failure.reason}: {failure.message}. Retried for ever; to let go without Grafana,"
                f" set the annotation {FORCE_DELETE}=true or spec.deletionPolicy: Orphan",
            )
        return self._verdict(looked.resource, outcome, again)

    def _refuse(self, resource: DataSource, error: ValidationError) -> Verdict:
        """The installed CRD let through what these models do not know."""
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        path = ".".join(str(part) for part in first["loc"])
        failure = Stalled(
            Reason.INVALID_SPEC, f"{path}: {first['msg']}; is the CRD of this release installed?"
        )
        return self._verdict(resource, *_not_synced(failure, Again()))

    def _verdict(self, resource: DataSource, outcome: Outcome, again: Again) -> Verdict:
        status = build_status(resource, outcome, self._now())
        result, message = _summary(outcome)
        return Verdict(
            result=result,
            again=again,
            status=status.model_dump(mode="json", by_alias=True, exclude_none=True)
            if status
            else None,
            events=events_of(resource.status, status, outcome),
            message=message,
        )

    def _interval(self, resource: DataSource) -> float:
        text = resource.spec.resync_interval
        return self._resync_interval if text is None else parse_duration(text)

    def _resync_after(self, resource: DataSource) -> float | None:
        # Only ever earlier: Ready=True promises a look at most one interval ago.
        interval = self._interval(resource)
        jitter = 1 - RESYNC_JITTER * random.random()  # noqa: S311 - spreads load
        return interval * jitter if interval else None

    def _look_left(self, key: ObjectKey, resource: DataSource) -> float | None:
        """Seconds until the last look is over a resync old; None is never."""
        interval = self._interval(resource)
        if not interval:
            return None
        return self._looks.get(key, self._started) + interval - self._clock()


def _without_spec(raw: Json) -> DataSource:
    """As much of a resource with an unreadable spec as its status and its deletion need."""
    orphan = raw.get("spec", {}).get("deletionPolicy") == DeletionPolicy.ORPHAN
    spec = {
        "type": "unknown",
        "uid": raw.get("status", {}).get("uid"),
        "deletionPolicy": DeletionPolicy.ORPHAN if orphan else DeletionPolicy.DELETE,
    }
    return DataSource.model_validate({**raw, "spec": spec})


def _not_synced(error: ReconcileError, again: Again) -> tuple[NotSynced, Again]:
    """The outcome, and when to look again: a stalled one at the latest with the resync."""
    outcome = NotSynced(error.reason, error.message)
    if isinstance(error, Stalled):
        return outcome, Again(after=error.retry_after) if error.retry_after else again
    if error.retry_after is not None:
        return outcome, Again(after=error.retry_after, on_recovery=True)
    return outcome, Again(backoff=True, on_recovery=True)


def _summary(outcome: Outcome) -> tuple[str, str]:
    """One word and one sentence about an outcome, for metrics and logs."""
    match outcome:
        case Synced(action=action, note=note):
            return (action.value if action else "Unchanged"), note
        case NotSynced(reason=reason, message=message) | Unseen(reason=reason, message=message):
            return reason.value, message
        case Released(action=action, message=message):
            return (action.value if action else "Released"), message
        case _:
            return type(outcome).__name__, ""
