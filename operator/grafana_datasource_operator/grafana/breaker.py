"""Circuit breaker of one Grafana: while it cannot be asked, one probe asks for all.

The probe is GET /api/org: /api/health answers 200 on a locked database.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable

from .credentials import Credentials
from .errors import GrafanaError, PermissionDenied, Unaskable, Unauthorized

FIRST_PROBE_SECONDS = 1.0
LONGEST_PROBE_SECONDS = 5.0
_CREDENTIALS_CHECK_SECONDS = 1.0


class CircuitBreaker:
    """Open from the start: nothing is sent before the first probe found the right Grafana."""

    def __init__(
        self,
        probe: Callable[[], Awaitable[None]],
        credentials: Credentials,
        on_change: Callable[[bool], None],
    ) -> None:
        """Prepare; `run` does the work.

        Args:
            probe: asks Grafana; raises `GrafanaError` while it cannot be used.
            credentials: looked at for changes while they are refused.
            on_change: told True when Grafana can be used again, False when no more, or for another
                kind of reason.
        """
        self._probe = probe
        self._credentials = credentials
        self._on_change = on_change
        self._trouble: GrafanaError | None = None
        self._end: GrafanaError | None = None
        self._tried = credentials.fingerprint()
        self._probed_once = asyncio.Event()
        self._open = asyncio.Event()
        self._open.set()

    @property
    def trouble(self) -> GrafanaError | None:
        """Why requests may not be sent; None before the first probe and while they may."""
        return self._trouble

    @property
    def probed(self) -> bool:
        """Whether the first probe has ended."""
        return self._probed_once.is_set()

    async def check(self) -> None:
        """Return when requests may be sent.

        Raises:
            GrafanaError: why they may not.
        """
        await self._probed_once.wait()
        if (why := self._end or self._trouble) is not None:
            # Raised again and again, it would gather the frames of all who were told.
            raise why.with_traceback(None)

    def trip(self, error: Unaskable) -> None:
        """A request failed in a way that others would, too."""
        if self._trouble is None and self._end is None:
            self._trouble = error
            self._open.set()
            self._on_change(False)

    def end(self, error: GrafanaError) -> None:
        """Nothing may be sent any more, for good; whoever waits for the first probe is told."""
        self._end = error
        self._probed_once.set()

    async def run(self) -> None:
        """Probe while open; cancelled to stop."""
        while True:
            await self._open.wait()
            await self._probe_until_usable()

    async def _probe_until_usable(self) -> None:
        delay = FIRST_PROBE_SECONDS
        first = not self._probed_once.is_set()
        while True:
            if not first:
                await self._wait(delay)
                delay = min(LONGEST_PROBE_SECONDS, delay * 2)
            first = False
            self._tried = self._credentials.fingerprint()
            try:
                await self._probe()
            except GrafanaError as error:
                self._fail(error)
                continue
            break
        self._open.clear()
        self._trouble = None
        self._probed_once.set()
        self._on_change(True)

    def _fail(self, error: GrafanaError) -> None:
        is_news = not self.probed or type(error) is not type(self._trouble)
        self._trouble = error
        self._probed_once.set()
        if is_news:
            self._on_change(False)

    async def _wait(self, delay: float) -> None:
        if isinstance(self._trouble, (Unauthorized, PermissionDenied)):
            await self._wait_for_credentials(self._credentials.refused_pause)
            return
        asked = getattr(self._trouble, "retry_after", None) or 0.0
        await asyncio.sleep(max(asked, delay) * random.uniform(1.0, 1.2))  # noqa: S311 - jitter

    async def _wait_for_credentials(self, at_most: float) -> None:
        """Until others than the last probe's are there: the same again only locks accounts."""
        deadline = asyncio.get_running_loop().time() + at_most
        while asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(_CREDENTIALS_CHECK_SECONDS)
            if self._credentials.fingerprint() != self._tried:
                return
