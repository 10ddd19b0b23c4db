"""One Grafana as the reconcilers use it: verified, paced, and silent while it cannot be asked."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ..telemetry.metrics import INSTANCE_UP
from .breaker import CircuitBreaker
from .client import GrafanaClient
from .credentials import Credentials
from .errors import PermissionDenied, Unaskable
from .pace import WriteSpacing

T = TypeVar("T")

READS_IN_FLIGHT = 4
WRITES_IN_FLIGHT = 1
"""One writer is what SQLite takes without `database is locked` (measured)."""


class GrafanaInstance:
    """Calls to one Grafana; each raises `GrafanaError`."""

    def __init__(
        self,
        name: str,
        client: GrafanaClient,
        credentials: Credentials,
        *,
        org_id: int | None,
        on_recovery: Callable[[], None],
    ) -> None:
        """Prepare; `run` connects.

        Args:
            name: as metrics and messages show it.
            client: calls Grafana.
            credentials: those of the client, watched while they are refused.
            org_id: organization that the credentials must turn out to act in; None: any.
            on_recovery: told when Grafana can be asked again.
        """
        self.name = name
        self.spacing = WriteSpacing()
        self._client = client
        self._org_id = org_id
        self._on_recovery = on_recovery
        self._breaker = CircuitBreaker(self._probe, credentials, self._changed)
        self._reads = asyncio.Semaphore(READS_IN_FLIGHT)
        self._writes = asyncio.Semaphore(WRITES_IN_FLIGHT)

    async def run(self) -> None:
        """Connect, and find back after every outage; cancelled to stop."""
        try:
            await self._breaker.run()
        finally:
            await self._client.close()

    async def read(self, call: Callable[[GrafanaClient], Awaitable[T]]) -> T:
        """Ask Grafana something."""
        async with self._reads:
            await self._breaker.check()
            return await self._tell_breaker(call)

    async def write(self, uid: str, call: Callable[[GrafanaClient], Awaitable[T]]) -> T:
        """Write the data source `uid`; the caller has looked at `spacing`."""
        async with self._writes:
            await self._breaker.check()
            try:
                return await self._tell_breaker(call)
            finally:
                self.spacing.note(uid)

    async def has_uid_routes(self) -> bool:
        """Whether the server updates by uid (9.0 and later); known since the first probe."""
        await self._breaker.check()
        return await self._client.has_uid_routes()

    async def check(self) -> None:
        """Raise what keeps us from asking, if anything does; sends nothing."""
        await self._breaker.check()

    async def _tell_breaker(self, call: Callable[[GrafanaClient], Awaitable[T]]) -> T:
        try:
            return await call(self._client)
        except Unaskable as error:
            if error.pauses:
                self._breaker.trip(error)
            raise

    async def _probe(self) -> None:
        # Old servers ignore the organization header with tokens: only the answer is proof.
        org_id = await self._client.get_org_id()
        if self._org_id is not None and org_id != self._org_id:
            raise PermissionDenied(
                f"the operator's credentials act in organization {org_id} of Grafana, not in"
                f" {self._org_id}; use credentials of that organization"
            )
        await self._client.has_uid_routes()

    def _changed(self, usable: bool) -> None:
        INSTANCE_UP.labels(self.name).set(1 if usable else 0)
        if usable:
            self._on_recovery()
