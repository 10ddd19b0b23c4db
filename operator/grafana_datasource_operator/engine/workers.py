"""Workers: take a key, look, store the status, post events, say when to look again."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from weakref import WeakValueDictionary

from ..api.model import Json
from ..api.names import ObjectKey
from ..kube.errors import ConflictError, KubeError, NotFoundError
from ..kube.events import EventPoster
from ..kube.resources import Resources
from ..reconcile.verdict import Verdict
from ..status.health import keep_health
from ..telemetry.logs import extras
from ..telemetry.metrics import QUEUE_DEPTH, RECONCILE_SECONDS, RECONCILES
from .engine import Checker, Controller, Engine
from .queue import Priority, WorkQueue

_LOG = logging.getLogger(__name__)

SLOW_SECONDS = 5.0
"""A look that takes longer than this is told about in status, where that helps."""
BUSY_SECONDS = 2.0
"""How long a check waits while looks of its lane are waiting."""


class Workers:
    """Runs looks and checks side by side, never two looks at one resource."""

    def __init__(
        self,
        engine: Engine,
        controllers: Mapping[str, Controller],
        resources: Mapping[str, Resources],
        events: EventPoster,
        checkers: Mapping[str, Checker] | None = None,
    ) -> None:
        """Prepare.

        Args:
            engine: gives the keys.
            controllers: by kind.
            resources: by kind; store status.
            events: posts events.
            checkers: by kind, for those that have one.
        """
        self._engine = engine
        self._controllers = controllers
        self._resources = resources
        self._events = events
        self._checkers = checkers or {}
        self._locks: WeakValueDictionary[ObjectKey, asyncio.Lock] = WeakValueDictionary()
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Work until `stop`; then finish the looks that were begun."""
        async with asyncio.TaskGroup() as group:
            checking = group.create_task(self._serve(self._engine.checks, self._check))
            await self._serve(self._engine.queue, self._look_at)
            # A check may take long, and what it finds the next operator finds as well.
            checking.cancel()

    def stop(self) -> None:
        """Begin no more looks."""
        self._stopping.set()

    async def _serve(
        self,
        queue: WorkQueue[ObjectKey],
        work: Callable[[ObjectKey], Awaitable[None]],
    ) -> None:
        """Begin whatever the queue gives out: its lanes bound how much that is."""
        async with asyncio.TaskGroup() as group:
            while (key := await self._next_of(queue)) is not None:
                group.create_task(self._work_off(queue, key, work))

    async def _next_of(self, queue: WorkQueue[ObjectKey]) -> ObjectKey | None:
        """The next key; None once there is to be no more."""
        if self._stopping.is_set():
            return None
        stopping = asyncio.ensure_future(self._stopping.wait())
        getting = asyncio.ensure_future(queue.get())
        try:
            await asyncio.wait({getting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            return getting.result() if getting.done() else None
        finally:
            getting.cancel()
            stopping.cancel()

    async def _work_off(
        self,
        queue: WorkQueue[ObjectKey],
        key: ObjectKey,
        work: Callable[[ObjectKey], Awaitable[None]],
    ) -> None:
        try:
            await work(key)
        finally:
            queue.done(key)
            QUEUE_DEPTH.set(len(self._engine.queue))

    async def _look_at(self, key: ObjectKey) -> None:
        raw = self._engine.view.get(key)
        if raw is None:
            return
        started, recoveries = time.monotonic(), self._engine.recoveries
        result = "Failed"
        try:
            verdict = await self._look(key, raw)
            await self._store(key, raw, verdict)
            self._schedule(key, verdict, recoveries)
            result = verdict.result
            self._log(key, verdict, time.monotonic() - started)
        except (ConflictError, NotFoundError):
            await self._refresh(key, raw)
        except KubeError as error:
            self._retry(key, str(error))
        except Exception as error:  # noqa: BLE001 - the last line of defense
            # One resource must never stop the others. The text of an unforeseen error may quote
            # anything, so only its kind and place are told.
            self._retry(key, _describe(error))
        finally:
            RECONCILES.labels(key.kind, result).inc()
            RECONCILE_SECONDS.labels(key.kind).observe(time.monotonic() - started)

    async def _look(self, key: ObjectKey, raw: Json) -> Verdict:
        controller = self._controllers[key.kind]
        looking = asyncio.ensure_future(controller.look(raw))
        try:
            done, _ = await asyncio.wait({looking}, timeout=SLOW_SECONDS)
            if not done and (delay := controller.describe_delay(raw)) is not None:
                await self._store(key, raw, delay)
            return await looking
        finally:
            looking.cancel()

    async def _store(self, key: ObjectKey, raw: Json, verdict: Verdict) -> None:
        status = verdict.status
        if status is not None:
            await self._write_status(key, raw, lambda present: keep_health(status, present))
        for event in verdict.events:
            self._events.post(raw, event.type, event.reason, event.message)

    async def _write_status(
        self, key: ObjectKey, raw: Json, update: Callable[[Json], Json]
    ) -> None:
        """Store what `update` makes of the present status, if that is another one."""
        async with self._status_of(key):
            current = self._engine.view.get(key)
            if current is not None:
                present = current.get("status", {})
                status = update(present)
                if status != present:
                    looked_at = {**raw, "status": present}
                    await self._resources[key.kind].patch_status(looked_at, status)

    def _status_of(self, key: ObjectKey) -> asyncio.Lock:
        """Held while status is read and written: a look and a check may end at a time."""
        return self._locks.setdefault(key, asyncio.Lock())

    async def _check(self, key: ObjectKey) -> None:
        """Ask how what a resource describes is doing; looks that wait in its lane go first."""
        raw = self._engine.view.get(key)
        if raw is None:
            return
        if self._engine.queue.is_crowded(key):
            self._engine.checks.add_after(key, BUSY_SECONDS, Priority.RESYNC)
            return
        try:
            found = await self._checkers[key.kind].check(raw)
            await self._write_status(key, raw, found.update)
        except Exception as error:  # noqa: BLE001 - the last line of defense
            delay = self._engine.checks.back_off(key, Priority.RESYNC)
            why = str(error) if isinstance(error, KubeError) else _describe(error)
            _LOG.warning("Could not check %s, retried in %.1f s: %s", key, delay, why)
        else:
            self._engine.checks.reset_backoff(key)
            if found.after is not None:
                self._engine.checks.add_after(key, found.after, Priority.RESYNC)

    def _schedule(self, key: ObjectKey, verdict: Verdict, recoveries: int) -> None:
        again = verdict.again
        if self._engine.view.get(key) is None:
            return
        if verdict.check_after is not None:
            self._engine.checks.add_after(key, verdict.check_after, Priority.RESYNC)
        for grafana in again.on_recovery:
            self._engine.await_recovery(key, grafana, since=recoveries)
        if again.backoff:
            self._engine.queue.back_off(key, Priority.DEPENDENCY)
            return
        self._engine.queue.reset_backoff(key)
        if again.after is not None:
            self._engine.queue.add_after(key, again.after, Priority.RESYNC)

    async def _refresh(self, key: ObjectKey, raw: Json) -> None:
        """Our view is behind: read the object itself, and look again."""
        try:
            found = await self._resources[key.kind].get(key.namespace, key.name)
        except KubeError as error:
            self._retry(key, str(error))
            return
        if found is None or found["metadata"]["uid"] != raw["metadata"]["uid"]:
            self._engine.observe(raw, deleted=True)
        if found is not None:
            self._engine.observe(found)
            self._engine.queue.back_off(key, Priority.USER)

    def _retry(self, key: ObjectKey, why: str) -> None:
        delay = self._engine.queue.back_off(key, Priority.DEPENDENCY)
        _LOG.warning("Could not look at %s, retried in %.1f s: %s", key, delay, why)

    def _log(self, key: ObjectKey, verdict: Verdict, seconds: float) -> None:
        _LOG.log(
            logging.DEBUG if verdict.result in _DULL else logging.INFO,
            "Looked at %s: %s",
            key.kind,
            verdict.result,
            extra=extras(
                kind=key.kind,
                namespace=key.namespace,
                name=key.name,
                result=verdict.result,
                detail=verdict.message,
                seconds=round(seconds, 4),
            ),
        )


_DULL = frozenset({"Unchanged", "Deferred"})


def _describe(error: BaseException) -> str:
    """An unforeseen error without its text."""
    return f"unforeseen {type(error).__name__} at {_place(error)}"


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "an unknown place"
    return f"{trace.tb_frame.f_code.co_name}:{trace.tb_lineno}"
