"""One resource under one look: parsed, and raw as writes to it need it."""

import asyncio

from ..api.datasource import DataSource
from ..api.model import Json
from ..api.names import DATA_SOURCE, FINALIZER, ObjectKey
from ..kube.resources import Resources


class Looked:
    """A GrafanaDataSource as the look found it."""

    def __init__(self, resource: DataSource, raw: Json) -> None:
        self.resource = resource
        self.raw = raw
        self._claiming = asyncio.Lock()
        self._is_claimed = self.has_finalizer

    @property
    def key(self) -> ObjectKey:
        """Of the resource."""
        meta = self.resource.metadata
        return ObjectKey(DATA_SOURCE.kind, meta.namespace, meta.name)

    @property
    def has_finalizer(self) -> bool:
        """Whether a write to Grafana may have happened before this look."""
        return FINALIZER in self.resource.metadata.finalizers

    @property
    def is_new_generation(self) -> bool:
        """Whether spec is another one than status speaks of."""
        return self.resource.status.observed_generation != self.resource.metadata.generation

    async def claim(self, resources: Resources) -> None:
        """Set the finalizer before the first write, or again where someone took it off.

        Raises:
            KubeError: it could not be set, so nothing may be written.
        """
        async with self._claiming:
            if not self._is_claimed:
                await resources.add_finalizer(self.raw)
                self._is_claimed = True
