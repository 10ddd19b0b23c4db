"""Open connections to Grafana, keep them while nothing about them changed, and let them go."""

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from ..api.names import InstanceKey
from ..grafana.client import GrafanaClient
from ..grafana.connection import ConnectionSettings
from ..grafana.credentials import Credentials
from ..grafana.instance import GrafanaInstance
from ..grafana.pace import WriteSpacing
from .fleet import Background
from .resync import Resync

Dial = Callable[[ConnectionSettings, Credentials, str], GrafanaClient]
"""Makes the client of an instance, with its name for metrics."""


@dataclass(frozen=True, slots=True)
class _Open:
    fingerprint: Hashable
    connection: GrafanaInstance
    tasks: tuple[asyncio.Task[None], ...]


class Connections:
    """One connection per instance."""

    def __init__(
        self,
        *,
        dial: Dial,
        background: Background,
        resync: Resync,
        on_change: Callable[[InstanceKey, bool], None],
        clock: Callable[[], float],
    ) -> None:
        """Prepare.

        Args:
            dial: makes a client of Grafana.
            background: runs what a connection does by itself.
            resync: looks at all data sources of an instance now and then.
            on_change: told whether an instance can be asked again, or no more.
            clock: monotonic seconds.
        """
        self._dial = dial
        self._clock = clock
        self._background = background
        self._resync = resync
        self._on_change = on_change
        self._open: dict[InstanceKey, _Open] = {}

    def open(
        self,
        key: InstanceKey,
        fingerprint: Hashable,
        settings: ConnectionSettings,
        credentials: Credentials,
    ) -> GrafanaInstance:
        """The connection with this fingerprint: the present one, or a new one in its place.

        Raises:
            InvalidTlsError: the certificates cannot be used.
        """
        present = self._open.get(key)
        if present is not None and present.fingerprint == fingerprint:
            return present.connection
        client = self._dial(settings, credentials, str(key))
        connection = GrafanaInstance(
            str(key),
            client,
            credentials,
            settings=settings,
            # Whatever was written a moment ago over the old connection still counts.
            spacing=present.connection.spacing if present else WriteSpacing(self._clock),
            on_change=lambda usable: self._on_change(key, usable),
        )
        self.close(key)
        tasks = (
            self._background(f"connection to {key}", connection.run()),
            self._background(f"resync of {key}", self._resync.run(key, connection)),
        )
        self._open[key] = _Open(fingerprint, connection, tasks)
        return connection

    def present(self, key: InstanceKey) -> GrafanaInstance | None:
        """The connection that is open, whatever its fingerprint."""
        found = self._open.get(key)
        return found.connection if found else None

    def end(self) -> None:
        """Send nothing more anywhere; requests that are under way end."""
        for present in self._open.values():
            present.connection.end()

    def close(self, key: InstanceKey) -> None:
        """Let the connection go; requests that are under way end first."""
        if (present := self._open.pop(key, None)) is not None:
            for task in present.tasks:
                task.cancel()
