"""One running operator: started in order, watched, and stopped in order."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

from . import __version__
from .api.model import Json
from .api.names import DATA_SOURCE, INSTANCE, ResourceKind
from .assembly import Assembly
from .engine.staleness import StalenessGuard
from .grafana.client import GrafanaClient
from .grafana.connection import ConnectionSettings
from .grafana.credentials import Credentials
from .kube.api import KubeApi
from .kube.connection import Configuration, read_own_namespace
from .kube.errors import KubeError
from .kube.metadata_watch import MetadataWatch
from .reconcile.ownership import Ownership
from .relations import CONFIG_MAP, SECRET
from .settings import Settings
from .telemetry.endpoint import Heartbeat

_LOG = logging.getLogger(__name__)

USER_AGENT = f"gdso/{__version__}"
GRACE_SECONDS = 25.0
"""For looks that are under way at the stop: longer than one call to Grafana, since none follows."""
_HEARTBEAT_SECONDS = 1.0
_RETRY_SECONDS = 2.0
_WATCHED = {"secrets": SECRET, "configmaps": CONFIG_MAP}


def rfc3339_now() -> str:
    """The time as Kubernetes writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def dial(settings: ConnectionSettings, credentials: Credentials, name: str) -> GrafanaClient:
    """A client of one Grafana."""
    return GrafanaClient(settings, credentials, name=name, user_agent=USER_AGENT)


class Runtime:
    """One operator process."""

    def __init__(
        self,
        settings: Settings,
        configuration: Configuration,
        heartbeat: Heartbeat,
        on_failure: Callable[[], None],
    ) -> None:
        """Prepare; `start` connects.

        Args:
            settings: of the process.
            configuration: of the connection to the apiserver.
            heartbeat: beats while the event loop turns.
            on_failure: told when a part died and the process must go.
        """
        self._settings = settings
        self._heartbeat = heartbeat
        self._on_failure = on_failure
        self._api = KubeApi(configuration, USER_AGENT)
        self._parts = Assembly(
            settings, self._api, background=self._spawn, dial=dial, now=rfc3339_now
        )
        self._scopes = {
            # Those that do not count are told so.
            INSTANCE.kind: settings.watched_namespaces,
            DATA_SOURCE.kind: settings.namespaces,
        }
        self._guards = [self._guard(INSTANCE), self._guard(DATA_SOURCE)]
        self._watches = [
            self._watch(plural, kind, namespace)
            for plural, kind in _WATCHED.items()
            for namespace in settings.watched_namespaces or (None,)
        ]
        self._tasks: set[asyncio.Task[None]] = set()
        self._working: asyncio.Task[None] | None = None
        self._end_of_work = asyncio.Event()
        self._stage = "starting"
        self.failed = False

    def observe(self, raw: Json, *, deleted: bool) -> None:
        """Take in one event of a watch; only some namespaces count for a kind."""
        scope = self._scopes[raw["kind"]]
        if not scope or raw["metadata"]["namespace"] in scope:
            self._parts.engine.observe(raw, deleted=deleted)

    def why_not_ready(self) -> str:
        """What is still missing, or ""."""
        problems = [self._stage, *(guard.why_not_ready() for guard in self._guards)]
        return next((problem for problem in problems if problem), "")

    async def start(self) -> None:
        """Begin; returns when the watches may begin, since kopf's do only then."""
        self._spawn("heartbeat", self._beat())
        self._stage = ""
        for guard in self._guards:
            await guard.wait_until_served()
        for watch in self._watches:
            self._spawn(f"watch of {watch.plural}", watch.run())
        self._spawn("poster of Events", self._parts.events.run())
        for watch in self._watches:
            self._stage = (
                f"{watch.plural} cannot be listed yet; may the operator list and watch them?"
            )
            await watch.listed.wait()
        self._stage = "the owner id is not known yet"
        accepted = frozenset(self._settings.owner_id_accept)
        ownership = Ownership(await self._find_owner_id(), accepted)
        self._stage = "work has not begun yet"
        for guard in self._guards:
            self._spawn("staleness guard", guard.run())
        self._working = self._spawn("workers", self._work(ownership))

    async def _work(self, ownership: Ownership) -> None:
        """Who owns what, and who comes first, can be told only once all resources were seen."""
        for guard in self._guards:
            await guard.first_list_seen.wait()
        workers = self._parts.build_workers(ownership)
        self._stage = ""
        _LOG.info("Started, owner id %s", ownership.owner_id)
        working = asyncio.ensure_future(workers.run())
        ending = asyncio.ensure_future(self._end_of_work.wait())
        await asyncio.wait({working, ending}, return_when=asyncio.FIRST_COMPLETED)
        workers.stop()
        self._parts.end_requests()
        await working

    async def stop(self) -> None:
        """Finish the looks that are under way, then stop everything; once is enough."""
        if self._stage == "stopping":
            return
        self._stage = "stopping"
        self._end_of_work.set()
        if self._working is not None:
            await asyncio.wait({self._working}, timeout=GRACE_SECONDS)
            await self._parts.events.flush(within=2.0)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._parts.close()
        await self._api.close()

    def _guard(self, kind: ResourceKind) -> StalenessGuard:
        resources, scope = self._parts.resources[kind.kind], self._scopes[kind.kind]
        return StalenessGuard(self._parts.engine, kind, resources, scope)

    def _watch(self, plural: str, kind: str, namespace: str | None) -> MetadataWatch:
        return MetadataWatch(
            self._api, plural, namespace, lambda home, name: self._parts.notice(kind, home, name)
        )

    async def _find_owner_id(self) -> str:
        if self._settings.owner_id is not None:
            return self._settings.owner_id
        namespace = "kube-system"
        if self._settings.namespaces:
            namespace = read_own_namespace() or self._settings.namespaces[0]
        while True:
            try:
                found = await self._parts.namespaces.read(namespace)
                problem = "it does not exist"
                if found is not None:
                    return found.uid
            except KubeError as error:
                problem = str(error)
            self._stage = (
                f"the uid of namespace {namespace}, the default owner id, cannot be read"
                f" ({problem}); allow it, or set GDSO_OWNER_ID"
            )
            _LOG.warning("Not ready: %s", self._stage)
            await asyncio.sleep(_RETRY_SECONDS)

    async def _beat(self) -> None:
        while True:
            self._heartbeat.beat()
            await asyncio.sleep(_HEARTBEAT_SECONDS)

    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._check)
        self._tasks.add(task)
        return task

    def _check(self, task: asyncio.Task[None]) -> None:
        """No part may die in silence: better a restart than a blind operator."""
        self._tasks.discard(task)
        if task.cancelled() or self._stage == "stopping":
            return
        _LOG.error("%s ended: %s", task.get_name(), type(task.exception()).__name__)
        self.failed = True
        self._on_failure()
