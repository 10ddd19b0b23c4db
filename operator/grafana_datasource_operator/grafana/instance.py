"""One Grafana as the reconcilers use it: verified, paced, and silent while it cannot be asked."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from pydantic import SecretStr

from .breaker import CircuitBreaker
from .capabilities import Capability
from .client import GrafanaClient
from .connection import ConnectionSettings
from .credentials import Credentials
from .errors import Closed, GrafanaError, PermissionDenied, Unaskable
from .health import Health, read_health
from .pace import WriteSpacing
from .series import InstanceSeries
from .width import WriteWidth

T = TypeVar("T")

HEALTH_CHECKS_IN_FLIGHT = 2
"""A hanging back end holds each check for long; Grafana's other users want some of its time."""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a good probe found out.

    Attributes:
        org_id: organization that the credentials act in.
        version: for people only; None where the server hides it.
        capabilities: what the server can do.
    """

    org_id: int
    version: str | None
    capabilities: frozenset[Capability]


class GrafanaInstance:
    """Calls to one Grafana; each raises `GrafanaError`."""

    def __init__(
        self,
        name: str,
        client: GrafanaClient,
        credentials: Credentials,
        *,
        settings: ConnectionSettings,
        spacing: WriteSpacing | None = None,
        on_change: Callable[[bool], None],
    ) -> None:
        """Prepare; `run` connects.

        Args:
            name: as metrics and messages show it.
            client: calls Grafana.
            credentials: those of the client, watched while they are refused.
            settings: those of the client; the credentials must turn out to act in their
                organization.
            spacing: of the instance that this one replaces, if it does.
            on_change: told True when Grafana can be asked again, False when no more, or for another
                kind of reason.
        """
        self.name = name
        self.spacing = spacing or WriteSpacing()
        self.facts: ServerFacts | None = None
        """Known after the first good probe, and kept through outages."""
        self._client = client
        self._settings = settings
        self._on_change = on_change
        self._series = InstanceSeries(name)
        self._breaker = CircuitBreaker(self._probe, credentials, self._changed)
        self._reads = asyncio.Semaphore(settings.max_concurrent_requests)
        self._writes = WriteWidth(settings.max_concurrent_requests)
        self._checks = asyncio.Semaphore(HEALTH_CHECKS_IN_FLIGHT)
        self._in_flight = 0
        self._quiet = asyncio.Event()

    @property
    def place(self) -> tuple[str, int | None]:
        """Which organization of which Grafana this is, as far as it is known."""
        org_id = self.facts.org_id if self.facts else self._settings.org_id
        return self._settings.url.rstrip("/"), org_id

    @property
    def trouble(self) -> GrafanaError | None:
        """Why Grafana cannot be asked now; None before the first probe and while it can."""
        return self._breaker.trouble

    @property
    def probed(self) -> bool:
        """Whether the first probe has ended, well or not."""
        return self._breaker.probed

    async def run(self) -> None:
        """Connect, and find back after every outage; cancelled to stop.

        Then requests in flight get the time to end, and later ones fail.
        """
        try:
            await self._breaker.run()
        finally:
            self.end()
            try:
                await self._settle()
            finally:
                await self._client.close()
                self.forget()

    def end(self) -> None:
        """Send nothing more: who waits for a turn is told `Closed` at once, for good."""
        self._breaker.end(Closed("the connection to this Grafana has been closed"))

    def forget(self) -> None:
        """Remove this instance's series from the metrics; the end of `run` does."""
        self._series.forget()

    async def check(self) -> None:
        """Raise what keeps us from asking, if anything does; sends nothing."""
        await self._breaker.check()

    async def supports(self, capability: Capability) -> bool:
        """Whether the server can do this; known since the first probe."""
        await self._breaker.check()
        return await self._client.supports(capability)

    async def read(self, call: Callable[[GrafanaClient], Awaitable[T]]) -> T:
        """Ask Grafana something."""
        async with self._reads:
            await self._breaker.check()
            return await self._send(call)

    async def write(self, uid: str, call: Callable[[GrafanaClient], Awaitable[T]]) -> T:
        """Write the data source `uid`; the caller has looked at `spacing`."""
        async with self._writes.place() as measure:
            await self._breaker.check()
            try:
                return await measure(self._send(call))
            finally:
                self.spacing.note(uid)

    async def check_health(
        self, uid: str, id_: int, *, type_: str = "", hidden: Iterable[SecretStr] = ()
    ) -> Health:
        """Grafana's own check of the data source; a slow or broken back end is its finding.

        Args:
            uid: of the data source.
            id_: of the same, for servers that cannot by uid.
            type_: its plugin, for the message.
            hidden: what the message must not show.
        """
        async with self._checks:
            await self._breaker.check()
            answer = await self._send(lambda c: c.check_health(uid, id_, hidden=hidden))
            if answer is None or not answer.is_json:
                # Is it the back end that is slow, or Grafana?
                await self._breaker.check()
                await self._send(lambda c: c.get_org_id())
        return read_health(answer, type_)

    async def _send(self, call: Callable[[GrafanaClient], Awaitable[T]]) -> T:
        """Make the call, and tell the breaker of what others would meet, too."""
        self._in_flight += 1
        try:
            return await call(self._client)
        except Unaskable as error:
            raise await self._judge(error) from None
        finally:
            self._in_flight -= 1
            if self._in_flight == 0:
                self._quiet.set()

    async def _judge(self, error: Unaskable) -> Unaskable:
        """Pause the instance if others would fare no better; where that is not plain, ask.

        One body that a proxy on the way does not like must not stop all others; a database that is
        away answers 500 to each. Returns what to tell: all are told the same.
        """
        if not error.pauses:
            try:
                await self._client.get_org_id()
            except Unaskable as other:
                error = other
            except GrafanaError:
                return error
            else:
                return error
        self._breaker.trip(error)
        return error

    async def _settle(self) -> None:
        """Let requests in flight end, as far as they do in time; no new ones begin."""
        if self._in_flight:
            self._quiet.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.timeout):
                    await self._quiet.wait()

    async def _probe(self) -> None:
        # Old servers ignore the organization header with tokens: only the answer is proof.
        org_id = await self._client.get_org_id()
        if self._settings.org_id is not None and org_id != self._settings.org_id:
            raise PermissionDenied(
                f"the operator's credentials act in organization {org_id} of Grafana, not in"
                f" {self._settings.org_id}; use credentials of that organization"
            )
        capabilities = await self._client.ask_capabilities()
        self.facts = ServerFacts(org_id, await self._ask_version(), capabilities)

    async def _ask_version(self) -> str | None:
        """Nothing depends on the version: whatever keeps it from us does not matter."""
        try:
            return await self._client.get_version()
        except GrafanaError:
            return None

    def _changed(self, usable: bool) -> None:
        self._series.set_up(usable)
        self._on_change(usable)
