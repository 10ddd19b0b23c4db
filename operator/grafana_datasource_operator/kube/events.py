"""Post Kubernetes Events about resources: in the background, the same one counted, not repeated."""

import asyncio
import hashlib
import logging
from collections.abc import Callable

from ..api.model import Json
from .api import MERGE_PATCH, KubeApi
from .errors import ConflictError, KubeError

_LOG = logging.getLogger(__name__)
_COMPONENT = "gdso"
_MOST_WAITING = 10_000


class EventPoster:
    """Queue of Events; posting never holds up a reconcile, and losing one is only logged."""

    def __init__(self, api: KubeApi, now: Callable[[], str]) -> None:
        self._api = api
        self._now = now
        self._waiting: asyncio.Queue[Json] = asyncio.Queue(_MOST_WAITING)

    def post(self, about: Json, kind: str, reason: str, message: str) -> None:
        """Queue one Event.

        Args:
            about: the raw object that it is about.
            kind: Normal or Warning.
            reason: one CamelCase word.
            message: for people.
        """
        try:
            self._waiting.put_nowait(_event(about, kind, reason, message, self._now()))
        except asyncio.QueueFull:
            _LOG.warning("Dropped the Event %s: too many are waiting", reason)

    async def run(self) -> None:
        """Post what is queued; cancelled to stop."""
        while True:
            event = await self._waiting.get()
            try:
                await self._post(event)
            except KubeError as error:
                _LOG.info("Could not post the Event %s (%s)", event["reason"], error)
            finally:
                self._waiting.task_done()

    async def flush(self, within: float) -> None:
        """Wait until the queue is empty, at most `within` seconds."""
        try:
            await asyncio.wait_for(self._waiting.join(), within)
        except TimeoutError:
            _LOG.info("Stopped with Events not posted")

    async def _post(self, event: Json) -> None:
        meta = event["metadata"]
        path = f"/api/v1/namespaces/{meta['namespace']}/events"
        try:
            await self._api.request("POST", path, body=event)
        except ConflictError:
            old = await self._api.request("GET", f"{path}/{meta['name']}")
            counted = {"count": old.get("count", 1) + 1, "lastTimestamp": event["lastTimestamp"]}
            await self._api.request(
                "PATCH", f"{path}/{meta['name']}", body=counted, content_type=MERGE_PATCH
            )


def _event(about: Json, kind: str, reason: str, message: str, now: str) -> Json:
    meta = about["metadata"]
    same = hashlib.sha256("\0".join([meta["uid"], kind, reason, message]).encode()).hexdigest()
    return {
        "apiVersion": "v1",
        "kind": "Event",
        # The name is made of the content, so a repeated Event meets itself, also after a restart.
        "metadata": {
            "name": f"{meta['name'][:236].rstrip('-.')}.{same[:16]}",
            "namespace": meta["namespace"],
        },
        "involvedObject": {
            "apiVersion": about["apiVersion"],
            "kind": about["kind"],
            "namespace": meta["namespace"],
            "name": meta["name"],
            "uid": meta["uid"],
        },
        "type": kind,
        "reason": reason,
        "message": message,
        "count": 1,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "source": {"component": _COMPONENT},
        "reportingComponent": _COMPONENT,
        "reportingInstance": _COMPONENT,
    }
