"""Notice by one list per instance and resync what others changed in Grafana.

The list lacks some fields, and a server may cut it silently: it is a hint which data sources want a
look now. Every data source is read by uid as well, spread over its own resync interval.
"""

import asyncio
import logging
import random
from collections.abc import Callable

from ..api.grafana_json import DataSourceState
from ..api.names import InstanceKey, ObjectKey
from ..grafana.errors import GrafanaError
from ..grafana.instance import GrafanaInstance
from ..payload.datasource import listed_digest

_LOG = logging.getLogger(__name__)

JITTER = 0.1


class Sightings:
    """What each resource's data source looked like when it was last read or written."""

    def __init__(self) -> None:
        self._seen: dict[InstanceKey, dict[ObjectKey, tuple[str, str]]] = {}
        self._listed: dict[InstanceKey, frozenset[str]] = {}

    def note(self, instance: InstanceKey, key: ObjectKey, state: DataSourceState) -> None:
        """`state` is what the resource is to keep looking like."""
        self._seen.setdefault(instance, {})[key] = (state.uid, listed_digest(state))

    def forget(self, key: ObjectKey, instance: InstanceKey | None = None) -> None:
        """The resource, or its data source on one instance, is no longer looked after."""
        for name, seen in self._seen.items():
            if instance in (None, name):
                seen.pop(key, None)

    def forget_instance(self, instance: InstanceKey) -> None:
        """The instance no longer exists."""
        self._seen.pop(instance, None)
        self._listed.pop(instance, None)

    def was_listed(self, instance: InstanceKey, uid: str) -> bool:
        """Whether the last list showed the uid."""
        return uid in self._listed.get(instance, ())

    def compare(self, instance: InstanceKey, listed: list[DataSourceState]) -> list[ObjectKey]:
        """Resources whose data sources the list shows otherwise, or not at all."""
        digests = {state.uid: listed_digest(state) for state in listed}
        self._listed[instance] = frozenset(digests)
        seen = self._seen.get(instance, {})
        return [key for key, (uid, digest) in seen.items() if digests.get(uid) != digest]


class Resync:
    """Lists the data sources of each instance now and then."""

    def __init__(
        self,
        sightings: Sightings,
        *,
        interval: float,
        on_suspicion: Callable[[ObjectKey], None],
    ) -> None:
        """Prepare.

        Args:
            sightings: to compare the list with.
            interval: seconds between two lists; 0 is never.
            on_suspicion: told of each resource that wants a look.
        """
        self._sightings = sightings
        self._interval = interval
        self._on_suspicion = on_suspicion

    async def run(self, key: InstanceKey, connection: GrafanaInstance) -> None:
        """List for ever; cancelled to stop."""
        if not self._interval:
            await asyncio.Event().wait()
        while True:
            await asyncio.sleep(self._interval * (1 - JITTER * random.random()))  # noqa: S311
            try:
                await self.compare(key, connection)
            except GrafanaError as error:
                # The circuit breaker tells of it; the next list comes.
                _LOG.info("Could not list the data sources of %s: %s", key, error.message)

    async def compare(self, key: InstanceKey, connection: GrafanaInstance) -> None:
        """List once.

        Raises:
            GrafanaError: it could not be listed.
        """
        listed = await connection.read(lambda client: client.list_data_sources())
        for suspect in self._sightings.compare(key, listed):
            self._on_suspicion(suspect)
