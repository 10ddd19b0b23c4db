"""View, queue and controllers put together: observations in, looks out."""

import logging
from collections.abc import Callable, Hashable, Iterable
from typing import Protocol

from ..api.model import Json
from ..api.names import ObjectKey
from ..reconcile.verdict import CheckUp, Verdict
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


class Checker(Protocol):
    """Asks now and then how what the resources of one kind describe is doing."""

    async def check(self, raw: Json) -> CheckUp:
        """Ask once."""


class Engine:
    """Takes in what was observed and decides who is looked at when. Not thread-safe."""

    def __init__(
        self,
        view: View,
        is_settled: Callable[[Json], bool],
        lane_of: Callable[[Json], Hashable] = lambda _: None,
        on_gone: Callable[[ObjectKey], None] = lambda _: None,
    ) -> None:
        """Prepare.

        Args:
            view: of all kinds.
            is_settled: whether an object that is seen for the first time needs no more than a
                check, as after a restart.
            lane_of: what an object's looks may be held up by; others are not.
            on_gone: told of each object that no longer exists.
        """
        self.view = view
        self._on_gone = on_gone
        self._lane_of_object = lane_of
        self.queue: WorkQueue[ObjectKey] = WorkQueue(self._lane_of)
        self.checks: WorkQueue[ObjectKey] = WorkQueue(self._lane_of)
        self._is_settled = is_settled
        self._population = Population()
        self._waiting_for_recovery: dict[Hashable, set[ObjectKey]] = {}
        self._recovered: dict[Hashable, int] = {}
        self.recoveries = 0
        """How often any Grafana came back."""

    def observe(self, raw: Json, *, deleted: bool = False) -> None:
        """Take in one event of a watch."""
        before = self.view.references_of(key_of(raw))
        self._take_in(raw, self.view.remove(raw) if deleted else self.view.put(raw), before)

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
            self.want(key, Priority.DEPENDENCY)

    def await_recovery(self, key: ObjectKey, of: Hashable, since: int | None = None) -> None:
        """Look at `key` as soon as `of`, a Grafana, can be asked again.

        That may have happened during the look, which began when `recoveries` was `since`.
        """
        if since is not None and self._recovered.get(of, 0) > since:
            self.want(key, Priority.DEPENDENCY)
        else:
            self._waiting_for_recovery.setdefault(of, set()).add(key)

    def recover(self, of: Hashable) -> None:
        """A Grafana can be asked again."""
        self.recoveries += 1
        self._recovered[of] = self.recoveries
        for key in self._waiting_for_recovery.pop(of, set()):
            self.want(key, Priority.DEPENDENCY)

    def want(self, key: ObjectKey, priority: Priority) -> None:
        """Look at an object, if it is there; what made its last looks fail may be over."""
        if self.view.get(key) is not None:
            self.queue.reset_backoff(key)
            self.queue.add(key, priority)
            QUEUE_DEPTH.set(len(self.queue))

    def _lane_of(self, key: ObjectKey) -> Hashable:
        raw = self.view.get(key)
        return None if raw is None else self._lane_of_object(raw)

    def _take_in(self, raw: Json, change: Change, before: Iterable[Reference]) -> None:
        key = key_of(raw)
        present = self.view.get(key)
        if present is None:
            self.queue.forget(key)
            self.checks.forget(key)
            self._population.remove(key)
            self._await_no_more(key)
            self._on_gone(key)
        elif change is Change.FIRST_SEEN:
            settled = self._is_settled(raw)
            self.want(key, Priority.RESYNC if settled else Priority.USER)
        elif change is Change.CHANGED:
            self.want(key, Priority.USER)
        if present is not None:
            self._population.count(key, present)
        if change is not Change.NONE:
            self.notice(Reference(*key))
        self._release(set(before) - self.view.references_of(key))

    def _await_no_more(self, key: ObjectKey) -> None:
        for of, waiting in list(self._waiting_for_recovery.items()):
            waiting.discard(key)
            if not waiting:
                del self._waiting_for_recovery[of]

    def _release(self, given_up: Iterable[Reference]) -> None:
        """Somebody no longer refers to these; whoever waited for that takes its turn."""
        for reference in given_up:
            if reference.is_contested:
                self.notice(reference)
            subject = self.view.get(ObjectKey(*reference[:3]))
            if subject is not None and subject["metadata"].get("deletionTimestamp"):
                self.want(key_of(subject), Priority.DEPENDENCY)
