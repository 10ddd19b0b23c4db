"""How far apart two writes to one data source lie."""

import time
from collections.abc import Callable

WRITE_GAP_SECONDS = 1.1
"""Grafana keeps a back end's connection by the time of the last write in whole seconds: a second
write within the same second leaves the old credentials in use for good (measured 8.5 to 12.4)."""


class WriteSpacing:
    """Remembers when each data source was last written, for as long as that matters."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = clock()
        self._written: dict[str, float] = {}

    def note(self, uid: str) -> None:
        """A write of `uid` has just ended, however it ended."""
        now = self._clock()
        self._written[uid] = now
        if len(self._written) > 1024:
            recent = now - WRITE_GAP_SECONDS
            self._written = {key: at for key, at in self._written.items() if at >= recent}

    def delay(self, uid: str) -> float:
        """Seconds until `uid` may be written again; 0 when it may be now."""
        at = self._written.get(uid)
        return 0.0 if at is None else max(0.0, at + WRITE_GAP_SECONDS - self._clock())

    def delay_after_start(self, uid: str) -> float:
        """The same for an update, where the process before this one may have written just now."""
        return max(self.delay(uid), self._started + WRITE_GAP_SECONDS - self._clock())
