"""List and compare: a watch misses deletions when it breaks, and can die in silence."""

import asyncio
import logging
import random
from collections.abc import Sequence

from ..api.model import Json
from ..api.names import ObjectKey, ResourceKind
from ..kube.errors import KubeError, NotFoundError
from ..kube.resources import Resources
from .engine import Engine

_LOG = logging.getLogger(__name__)

SHORTEST_PERIOD_SECONDS = 300.0
LONGEST_PERIOD_SECONDS = 600.0
TOLERATED_LAG_SECONDS = 120.0
_DISCOVERY_RETRY_SECONDS = 0.2
_FIRST_LIST_RETRY_SECONDS = 2.0
_FIRST_LIST_CHECKS = 20


class StaleViewError(Exception):
    """The watch does not deliver: only a restart helps."""


class StalenessGuard:
    """Compares the view with lists of metadata, for one kind."""

    def __init__(
        self,
        engine: Engine,
        kind: ResourceKind,
        resources: Resources,
        namespaces: Sequence[str],
    ) -> None:
        """Prepare.

        Args:
            engine: whose view is compared.
            kind: of the resources.
            resources: lists and reads them.
            namespaces: that are watched; none is all.
        """
        self._engine = engine
        self._kind = kind
        self._resources = resources
        self._scopes: list[str | None] = [*namespaces] or [None]
        self._problem = f"the first list of {kind.kind} was not seen yet"
        self.first_list_seen = asyncio.Event()
        """Set once the watch has delivered all that there was at the start."""

    def why_not_ready(self) -> str:
        """What of the first list the watch has not delivered yet, or ""."""
        return self._problem

    async def wait_until_served(self) -> None:
        """Return when the kind can be listed and discovered: kopf looks for it only once."""
        while True:
            await self._list_patiently()
            if await self._resources.is_discovered():
                return
            await asyncio.sleep(_DISCOVERY_RETRY_SECONDS)

    async def run(self) -> None:
        """Compare every few minutes.

        Raises:
            StaleViewError: the view stays behind.
        """
        while self._problem:
            await self._check_first_list()
        while True:
            span = random.uniform(SHORTEST_PERIOD_SECONDS, LONGEST_PERIOD_SECONDS)  # noqa: S311
            await asyncio.sleep(span)
            try:
                await self.compare()
            except KubeError as error:
                _LOG.warning("Could not compare the view with a list (%s)", error)

    async def compare(self) -> None:
        """Compare once: drop ghosts, and see the view catch up with the rest.

        Raises:
            StaleViewError: it does not.
        """
        before = {key: self._engine.view.get(key) for key in self._engine.view}
        listed = await self._list()
        for key, raw in before.items():
            if key.kind == self._kind.kind and key not in listed and raw is not None:
                await self._drop_if_gone(key, raw)
        lagging = self._lagging(listed)
        if lagging:
            await asyncio.sleep(TOLERATED_LAG_SECONDS)
            still_there = await self._list()
            lagging = {key: version for key, version in lagging.items() if key in still_there}
            if lagging := self._lagging(lagging):
                raise StaleViewError(
                    f"the watch of {self._kind.kind} is {len(lagging)} objects behind"
                )

    async def _check_first_list(self) -> None:
        """See the watch deliver what a list holds; what goes meanwhile is in no later list."""
        missing = await self._list_patiently()
        for _ in range(_FIRST_LIST_CHECKS):
            missing = self._lagging(missing)
            self._problem = f"{len(missing)} {self._kind.kind} not seen yet" if missing else ""
            if not missing:
                self.first_list_seen.set()
                return
            await asyncio.sleep(_FIRST_LIST_RETRY_SECONDS / _FIRST_LIST_CHECKS)

    async def _list_patiently(self) -> dict[ObjectKey, int]:
        while True:
            try:
                return await self._list()
            except NotFoundError:
                name = self._kind.crd_name
                self._problem = f"the CRD {name} is not installed: kubectl apply -f crds/"
            except KubeError as error:
                self._problem = f"{self._kind.kind} cannot be listed ({error})"
            _LOG.warning("Not ready: %s", self._problem)
            await asyncio.sleep(_FIRST_LIST_RETRY_SECONDS)

    async def _list(self) -> dict[ObjectKey, int]:
        found: list[Json] = []
        for scope in self._scopes:
            found += await self._resources.list_metadata(scope)
        return {
            ObjectKey(self._kind.kind, meta["namespace"], meta["name"]): int(
                meta["resourceVersion"]
            )
            for meta in found
        }

    def _lagging(self, listed: dict[ObjectKey, int]) -> dict[ObjectKey, int]:
        return {key: version for key, version in listed.items() if self._version(key) < version}

    def _version(self, key: ObjectKey) -> int:
        raw = self._engine.view.get(key)
        return int(raw["metadata"]["resourceVersion"]) if raw else -1

    async def _drop_if_gone(self, key: ObjectKey, raw: Json) -> None:
        found = await self._resources.get(key.namespace, key.name)
        if found is None or found["metadata"]["uid"] != raw["metadata"]["uid"]:
            _LOG.info("Dropped %s, whose deletion was not delivered", key)
            self._engine.observe(raw, deleted=True)
