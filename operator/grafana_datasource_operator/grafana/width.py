"""How many writes one Grafana takes at a time: found by trying, while writers queue.

SQLite writes one after the other and is at its best with two in flight; PostgreSQL takes four
(measured). So the width begins at 1, grows by one as long as that makes the server clearly
faster, and is halved by a write that fails transiently. Where nobody waits, nothing is measured.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from .errors import ServerFault, Unaskable

T = TypeVar("T")

# The constants were chosen in a simulation of the measured servers (test_width): over 1,000 writes
# they reach 98 % of the best fixed width on SQLite, with three failed writes, and 97 % on
# PostgreSQL, where most of what is missing is the beginning at 1.

WINDOW_WRITES = 12
"""Writes that one measurement takes at width 1, and half of it more for each further one: there the
next width tells most (it is 20 to 80 % faster), and there measuring costs most."""
CLEAR_MARGIN = 1.03
"""A wider width must be faster by this factor; less may be noise, and is tried again later."""
COLLAPSE = 0.5
"""Where a width has become slower by this factor, only the latency has grown: it is too wide."""
FIRST_HOLD_WRITES = 64
LONGEST_HOLD_WRITES = 512
"""For how many writes a verdict against a width holds: each trial costs SQLite a failed write now
and then. Twice as long each time that it proves true, and bounded, since servers change."""
_AFTER_FAILURE = 4
"""A failed write is more than a doubt: the next verdict holds so many times as long."""


class WidthSearch:
    """Where the best width is, judging by how fast each was."""

    def __init__(self, ceiling: int) -> None:
        self.width = 1
        self._ceiling = ceiling
        self._limit = ceiling
        self._rates: dict[int, float] = {}
        self._holds: dict[int, int] = {}
        self._hold_left = 0

    @property
    def window(self) -> int:
        """Writes that the next measurement takes."""
        return WINDOW_WRITES * (self.width + 1) // 2

    def measured(self, rate: float, writes: int) -> None:
        """`writes` went through at the present width, at `rate` a second."""
        self._hold_left -= writes
        if self._hold_left <= 0:
            self._limit = self._ceiling
        known = self._rates.get(self.width, rate)
        if rate < known * COLLAPSE:
            self._halve()
            return
        rate = self._rates[self.width] = (known + rate) / 2
        if rate < self._rates.get(self.width - 1, 0.0) * CLEAR_MARGIN:
            self._refuse()
            self.width -= 1
        elif self.width < self._limit:
            self._widen()

    def failed(self) -> None:
        """A write failed transiently at the present width."""
        self._refuse(lengthened=_AFTER_FAILURE)
        self._halve()

    def _widen(self) -> None:
        # The present width has proved good: what was held against it is over.
        self._holds.pop(self.width, None)
        self.width += 1
        self._rates.pop(self.width, None)

    def _refuse(self, lengthened: int = 2) -> None:
        self._limit = max(1, self.width - 1)
        self._hold_left = self._holds.get(self.width, FIRST_HOLD_WRITES)
        self._holds[self.width] = min(self._hold_left * lengthened, LONGEST_HOLD_WRITES)

    def _halve(self) -> None:
        self.width = max(1, self.width // 2)
        self._rates.clear()


class WriteWidth:
    """Lets writes through, first come first served, as many at a time as serves them best."""

    def __init__(self, ceiling: int) -> None:
        """Begin with one at a time, and never let more through than `ceiling`."""
        self._search = WidthSearch(ceiling)
        self._waiting = deque[asyncio.Future[None]]()
        self._in_flight = 0
        # Only writes that began in the present epoch, at the present width, are measured.
        self._epoch = 0
        self._begun: float | None = None
        self._writes = 0

    @property
    def width(self) -> int:
        """Writes that may be in flight now."""
        return self._search.width

    @contextlib.asynccontextmanager
    async def place(self) -> AsyncIterator[Callable[[Awaitable[T]], Awaitable[T]]]:
        """Wait for one's turn; gives the function to make the write with, which learns from it."""
        await self._enter()
        epoch = self._epoch

        async def measure(write: Awaitable[T]) -> T:
            try:
                result = await write
            except ServerFault:
                self._note_failure(epoch)
                raise
            except Unaskable:
                self._restart()
                raise
            self._note_success(epoch)
            return result

        try:
            yield measure
        finally:
            self._leave()

    async def _enter(self) -> None:
        if self._in_flight < self.width and not self._waiting:
            self._in_flight += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            # A turn that has come just now is passed on; one that has not is skipped later.
            if not turn.cancelled():
                self._leave()
            raise

    def _leave(self) -> None:
        self._in_flight -= 1
        if not self._waiting:
            # From here on a part of the width is idle: what the server can do does not show.
            self._restart()
        while self._waiting and self._in_flight < self.width:
            turn = self._waiting.popleft()
            if not turn.done():
                self._in_flight += 1
                turn.set_result(None)

    def _note_failure(self, epoch: int) -> None:
        # Of the writes that were in flight together, the first failure speaks for all.
        if epoch == self._epoch:
            self._search.failed()
            self._restart()

    def _note_success(self, epoch: int) -> None:
        if epoch != self._epoch:
            return
        now = asyncio.get_running_loop().time()
        if self._begun is None:
            self._begun = now
            return
        self._writes += 1
        if self._writes < self._search.window or now <= self._begun:
            return
        before = self.width
        self._search.measured(self._writes / (now - self._begun), self._writes)
        self._begun, self._writes = now, 0
        if self.width != before:
            self._restart()

    def _restart(self) -> None:
        """Measure anew, and nothing that is in flight now."""
        self._epoch += 1
        self._begun = None
        self._writes = 0
