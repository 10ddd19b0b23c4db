"""Notice that a Secret or ConfigMap changed, without ever receiving its content."""

import asyncio
import logging
import random
from collections.abc import Callable

from ..api.model import Json
from .api import METADATA_LIST, METADATA_ONLY, KubeApi
from .errors import GoneError, KubeError

_LOG = logging.getLogger(__name__)

# Helm keeps every release in a Secret; nobody refers to those.
_SELECTORS = {"secrets": {"fieldSelector": "type!=helm.sh/release.v1"}}
_SERVER_TIMEOUT_SECONDS = 290
_IDLE_TIMEOUT_SECONDS = 90.0
_FIRST_RETRY_SECONDS = 0.1
_LONGEST_RETRY_SECONDS = 5.0


class MetadataWatch:
    """Tells of every object in one scope that appeared, changed or vanished since the last list.

    It receives metadata only: a namespace full of large Secrets costs next to nothing.
    """

    def __init__(
        self,
        api: KubeApi,
        plural: str,
        namespace: str | None,
        on_change: Callable[[str, str], None],
    ) -> None:
        """Prepare; `run` does the work.

        Args:
            api: the apiserver.
            plural: `secrets` or `configmaps`.
            namespace: the scope; None is the whole cluster.
            on_change: told namespace and name.
        """
        scope = "" if namespace is None else f"/namespaces/{namespace}"
        self.plural = plural
        self._path = f"/api/v1{scope}/{plural}"
        self._selector = _SELECTORS.get(plural, {})
        self._api = api
        self._on_change = on_change
        self._versions: dict[tuple[str, str], str] = {}
        self._position = ""
        self.listed = asyncio.Event()
        """Set once the first list was seen; changes before it are not told."""

    async def run(self) -> None:
        """List, then watch, for ever; cancelled to stop."""
        delay = _FIRST_RETRY_SECONDS
        while True:
            try:
                if not self._position:
                    await self._list()
                await self._watch()
                delay = _FIRST_RETRY_SECONDS
                await asyncio.sleep(delay)
            except GoneError:
                self._position = ""
            except KubeError as error:
                _LOG.warning("Watch of %s broke, goes on in %.1f s (%s)", self.plural, delay, error)
                await asyncio.sleep(delay * random.uniform(0.8, 1.2))  # noqa: S311 - jitter
                delay = min(_LONGEST_RETRY_SECONDS, delay * 2)

    async def _list(self) -> None:
        answer = await self._api.request(
            "GET", self._path, query=self._selector, accept=METADATA_LIST
        )
        found = {
            (item["metadata"]["namespace"], item["metadata"]["name"]): item["metadata"][
                "resourceVersion"
            ]
            # An empty list of metadata has null for its items.
            for item in answer["items"] or []
        }
        before, self._versions = self._versions, found
        self._position = answer["metadata"]["resourceVersion"]
        if self.listed.is_set():
            for key in before.keys() | found.keys():
                if before.get(key) != found.get(key):
                    self._on_change(*key)
        self.listed.set()

    async def _watch(self) -> None:
        query = {
            **self._selector,
            "resourceVersion": self._position,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(_SERVER_TIMEOUT_SECONDS),
        }
        events = self._api.watch(
            self._path, query=query, accept=METADATA_ONLY, idle_timeout=_IDLE_TIMEOUT_SECONDS
        )
        async for event in events:
            self._handle(event)

    def _handle(self, event: Json) -> None:
        if event["type"] == "ERROR":
            status = event["object"].get("code", 0)
            raise (GoneError if status == 410 else KubeError)(f"WATCH {self.plural}", status)
        meta = event["object"]["metadata"]
        self._position = meta["resourceVersion"]
        if event["type"] == "BOOKMARK":
            return
        key = (meta["namespace"], meta["name"])
        if event["type"] == "DELETED":
            self._versions.pop(key, None)
        elif self._versions.get(key) == meta["resourceVersion"]:
            return
        else:
            self._versions[key] = meta["resourceVersion"]
        self._on_change(*key)
