"""Level-triggered work queue: a key waits at most once, runs at most once at a time.

Keys run in lanes, so many at a time in each: a lane that is slow never holds up another.
"""

import asyncio
import heapq
import random
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

FIRST_BACKOFF_SECONDS = 0.5
LONGEST_BACKOFF_SECONDS = 300.0
_UNASKED = object()
LANE_WIDTH = 16
"""Keys of one lane that run at a time."""


class Priority(IntEnum):
    """Who goes first; within one priority, who came first."""

    USER = 0
    DEPENDENCY = 1
    RESYNC = 2


@dataclass(slots=True)
class _Timer(Generic[K]):
    handle: asyncio.TimerHandle
    due: float


@dataclass(order=True, slots=True)
class _Entry(Generic[K]):
    priority: Priority
    sequence: int
    key: K = field(compare=False)
    lane: Hashable = field(default=_UNASKED, compare=False)


@dataclass(slots=True)
class _Lane(Generic[K]):
    """Keys that wait while as many of their lane run as may."""

    running: int = 0
    waiting: list[_Entry[K]] = field(default_factory=list)


class WorkQueue(Generic[K]):
    """Keys that want a look: now, at a time, or after a growing delay. Not thread-safe."""

    def __init__(
        self, lane_of: Callable[[K], Hashable] = lambda _: None, width: int = LANE_WIDTH
    ) -> None:
        """Prepare.

        Args:
            lane_of: the lane of a key, asked when its turn comes.
            width: keys of one lane that run at a time.
        """
        self._lane_of = lane_of
        self._width = width
        self._heap: list[_Entry[K]] = []
        self._wanted: dict[K, _Entry[K]] = {}
        self._running: dict[K, Hashable] = {}
        self._lanes: dict[Hashable, _Lane[K]] = {}
        self._timers: dict[K, _Timer[K]] = {}
        self._failures: dict[K, int] = {}
        self._sequence = 0
        self._arrived = asyncio.Event()

    def __len__(self) -> int:
        """Keys that wait for a worker."""
        return len(self._wanted)

    def add(self, key: K, priority: Priority) -> None:
        """Want a look at `key` as soon as its turn comes; any timer of it is obsolete."""
        self._cancel_timer(key)
        waiting = self._wanted.get(key)
        if waiting is None or priority < waiting.priority:
            self._push(key, priority)
        elif waiting.lane is not _UNASKED and waiting.lane != self._lane_of(key):
            # What it waited for is none of its business any more.
            self._push(key, waiting.priority)

    def add_after(self, key: K, delay: float, priority: Priority) -> None:
        """Want a look at `key` in `delay` seconds, unless one is wanted before."""
        loop = asyncio.get_running_loop()
        due = loop.time() + delay
        timer = self._timers.get(key)
        if key in self._wanted or (timer is not None and timer.due <= due):
            return
        self._cancel_timer(key)
        self._timers[key] = _Timer(loop.call_at(due, self.add, key, priority), due)

    def back_off(self, key: K, priority: Priority) -> float:
        """Want a look after the key's growing delay, which is returned in seconds."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        growth: int = 2 ** min(failures - 1, 20)
        delay = min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * growth)
        delay *= random.uniform(0.8, 1.2)  # noqa: S311 - jitter
        self.add_after(key, delay, priority)
        return delay

    def reset_backoff(self, key: K) -> None:
        """The next failure of `key` counts as the first."""
        self._failures.pop(key, None)

    def forget(self, key: K) -> None:
        """Drop what is known of a key that no longer exists."""
        self._cancel_timer(key)
        self._failures.pop(key, None)
        self._wanted.pop(key, None)

    def is_crowded(self, key: K) -> bool:
        """Whether others wait for room in the lane of `key`."""
        lane = self._lanes.get(self._lane_of(key))
        return lane is not None and any(
            self._wanted.get(entry.key) is entry for entry in lane.waiting
        )

    async def get(self) -> K:
        """The next key; the caller says `done` when it has looked."""
        while True:
            while self._heap:
                entry = heapq.heappop(self._heap)
                # A key that rose in priority or was forgotten left an entry behind.
                if self._wanted.get(entry.key) is not entry:
                    self._admit_next(entry.lane)
                elif self._enter(entry):
                    del self._wanted[entry.key]
                    return entry.key
            self._arrived.clear()
            await self._arrived.wait()

    def done(self, key: K) -> None:
        """The look is over; one that was wanted meanwhile takes its turn."""
        name = self._running.pop(key)
        self._lanes[name].running -= 1
        self._admit_next(name)
        if (waiting := self._wanted.get(key)) is not None:
            self._push(key, waiting.priority)

    def _enter(self, entry: _Entry[K]) -> bool:
        """Whether the lane of the entry has room; else it waits there."""
        before, name = entry.lane, self._lane_of(entry.key)
        entry.lane = name
        if before != name:
            self._admit_next(before)
        lane = self._lanes.setdefault(name, _Lane())
        if lane.running >= self._width:
            heapq.heappush(lane.waiting, entry)
            return False
        lane.running += 1
        self._running[entry.key] = name
        return True

    def _admit_next(self, name: Hashable) -> None:
        """Put who waits first for room in a lane back into the queue."""
        lane = self._lanes.get(name)
        if lane is None:
            return
        if lane.waiting:
            heapq.heappush(self._heap, heapq.heappop(lane.waiting))
            self._arrived.set()
        elif not lane.running:
            del self._lanes[name]

    def close(self) -> None:
        """Cancel all timers."""
        for key in list(self._timers):
            self._cancel_timer(key)

    def _push(self, key: K, priority: Priority) -> None:
        self._sequence += 1
        entry = self._wanted[key] = _Entry(priority, self._sequence, key)
        if key not in self._running:
            heapq.heappush(self._heap, entry)
            self._arrived.set()

    def _cancel_timer(self, key: K) -> None:
        if (timer := self._timers.pop(key, None)) is not None:
            timer.handle.cancel()
