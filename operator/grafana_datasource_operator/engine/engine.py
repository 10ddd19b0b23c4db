"""View, queue and controllers put together: observations in, looks out."""

import logging
from collections.abc import Callable
from typing import Protocol

from ..api.model import Json
from ..api.names import ObjectKey
from ..reconcile.verdict import Verdict
from ..telemetry.metrics import QUEUE_DEPTH
from .population import Population
from .queue import Priority, WorkQueue
from .view import Change, Reference, View, key_of

_LOG = logging.getLogger(__name__)


class Controller(Protocol):
    """Looks at the resources of one kind."""

    async def look(self, raw: Json) -> Verdict:
        """Look once."""

    def describe_delay(self, raw: Json) -> Verdict | None:
        """What to tell while a look takes long."""


class Engine:
    """Takes in what was observed and decides who is looked at when. Not thread-safe."""

    def __init__(self, view: View, is_settled: Callable[[Json], bool]) -> None:
        """Prepare.

        Args:
            view: of all kinds.
            is_settled: whether an object that is seen for the first time needs no more than a
                check, as after a restart.
        """
        self.view = view
        self.queue: WorkQueue[ObjectKey] = WorkQueue()
        self._is_settled = is_settled
        self._population = Population()
        self._waiting_for_recovery: set[ObjectKey] = set()

    def observe(self, raw: Json, *, deleted: bool = False) -> None:
        """Take in one event of a watch."""
        self._take_in(raw, self.view.remove(raw) if deleted else self.view.put(raw))

    def remember(self, raw: Json) -> None:
        """Take in what one of our own writes answered."""
        meta = raw["metadata"]
        if meta.get("deletionTimestamp") and not meta.get("finalizers"):
            self.observe(raw, deleted=True)
        else:
            self.observe(raw)

    def notice(self, reference: Reference) -> None:
        """Something that resources may refer to has changed."""
        for key in self.view.users_of(reference):
            self._want(key, Priority.DEPENDENCY)

    def await_recovery(self, key: ObjectKey) -> None:
        """Look at `key` as soon as a Grafana can be asked again."""
        self._waiting_for_recovery.add(key)

    def recover(self) -> None:
        """A Grafana can be asked again."""
        waiting, self._waiting_for_recovery = self._waiting_for_recovery, set()
        for key in waiting:
            if self.view.get(key) is not None:
                self._want(key, Priority.DEPENDENCY)

    def _take_in(self, raw: Json, change: Change) -> None:
        key = key_of(raw)
        match change:
            case Change.GONE:
                self.queue.forget(key)
                self._population.remove(key)
                self._waiting_for_recovery.discard(key)
                return
            case Change.FIRST_SEEN:
                settled = self._is_settled(raw)
                self._want(key, Priority.RESYNC if settled else Priority.USER)
            case Change.CHANGED:
                self._want(key, Priority.USER)
        if (present := self.view.get(key)) is not None:
            self._population.count(key, present)

    def _want(self, key: ObjectKey, priority: Priority) -> None:
        self.queue.reset_backoff(key)
        self.queue.add(key, priority)
        QUEUE_DEPTH.set(len(self.queue))
