"""The parts of a running operator, put together, started and stopped in order."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

from pydantic import SecretStr

from . import __version__
from .api.datasource import DataSourceSpec
from .api.model import Json
from .api.names import DATA_SOURCE, DEFAULT_INSTANCE_NAME, ObjectKey
from .engine.engine import Engine
from .engine.staleness import StalenessGuard
from .engine.view import Reference, View
from .engine.workers import Workers
from .grafana.client import GrafanaClient
from .grafana.connection import ConnectionSettings
from .grafana.credentials import Credentials, Token, TokenFile, UserPassword
from .grafana.instance import GrafanaInstance
from .kube.api import KubeApi
from .kube.connection import Configuration, read_own_namespace
from .kube.errors import KubeError
from .kube.events import EventPoster
from .kube.namespaces import read_namespace_uid
from .kube.resources import Resources
from .kube.secret_watch import SecretWatch
from .kube.secrets import SecretReader
from .payload.secrets import secret_names
from .reconcile.controller import DataSourceController
from .reconcile.datasource import DataSourceReconciler
from .reconcile.instances import InstanceChoice
from .settings import Settings
from .telemetry.endpoint import Heartbeat

_LOG = logging.getLogger(__name__)

USER_AGENT = f"gdso/{__version__}"
SECRET = "Secret"  # noqa: S105 - a kind
GRACE_SECONDS = 25.0
"""For looks that are under way at the stop; longer than the slowest pair of Grafana calls."""
_HEARTBEAT_SECONDS = 1.0
_RETRY_SECONDS = 2.0


def rfc3339_now() -> str:
    """The time as Kubernetes writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def references_of(raw: Json) -> list[Reference]:
    """Secrets that an object refers to; none where its spec cannot be read."""
    try:
        spec = DataSourceSpec.model_validate(raw.get("spec", {}))
    except ValueError:
        return []
    return [Reference(SECRET, raw["metadata"]["namespace"], name) for name in secret_names(spec)]


def is_settled(raw: Json) -> bool:
    """Whether the object was in sync when an operator last looked."""
    status, meta = raw.get("status", {}), raw["metadata"]
    ready = any(
        c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", [])
    )
    return (
        ready
        and not meta.get("deletionTimestamp")
        and status.get("observedGeneration") == meta.get("generation")
    )


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
        self._engine = Engine(View(references_of), is_settled)
        self._resources = Resources(self._api, DATA_SOURCE, self._engine.remember)
        self._events = EventPoster(self._api, rfc3339_now)
        self._guard = StalenessGuard(
            self._engine, DATA_SOURCE, self._resources, settings.namespaces
        )
        self._secret_watches = [
            SecretWatch(self._api, namespace, self._notice_secret)
            for namespace in settings.namespaces or (None,)
        ]
        self._workers: Workers | None = None
        self._working: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._stage = "starting"
        self.failed = False

    def observe(self, raw: Json, *, deleted: bool) -> None:
        """Take in one event of kopf's watch."""
        self._engine.observe(raw, deleted=deleted)

    def why_not_ready(self) -> str:
        """What is still missing before work has begun, or ""."""
        return self._stage or self._guard.why_not_ready()

    async def start(self) -> None:
        """Begin to work; returns when the workers run."""
        self._spawn("heartbeat", self._beat())
        self._stage = ""
        await self._guard.wait_until_served()
        for watch in self._secret_watches:
            self._spawn("watch of Secrets", watch.run())
        self._spawn("poster of Events", self._events.run())
        self._stage = "Secrets cannot be listed yet; may the operator list and watch them?"
        for watch in self._secret_watches:
            await watch.listed.wait()
        self._stage = "the owner id is not known yet"
        owner_id = await self._find_owner_id()
        instance = self._build_instance()
        if instance is not None:
            self._spawn("connection to Grafana", instance.run())
        self._workers = self._build_workers(instance, owner_id)
        self._working = self._spawn("workers", self._workers.run())
        self._spawn("staleness guard", self._guard.run())
        self._stage = ""
        _LOG.info("Started, owner id %s", owner_id)

    async def stop(self) -> None:
        """Finish the looks that are under way, then stop everything; once is enough."""
        if self._stage == "stopping":
            return
        self._stage = "stopping"
        if self._workers is not None and self._working is not None:
            self._workers.stop()
            await asyncio.wait({self._working}, timeout=GRACE_SECONDS)
            await self._events.flush(within=2.0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._engine.queue.close()
        await self._api.close()

    def _build_instance(self) -> GrafanaInstance | None:
        settings = self._settings
        if settings.grafana_url is None:
            return None
        credentials = _credentials(settings)
        connection = ConnectionSettings(settings.grafana_url, settings.grafana_org_id)
        client = GrafanaClient(
            connection, credentials, name=DEFAULT_INSTANCE_NAME, user_agent=USER_AGENT
        )
        return GrafanaInstance(
            DEFAULT_INSTANCE_NAME,
            client,
            credentials,
            settings=connection,
            on_change=self._notice_grafana,
        )

    def _notice_grafana(self, usable: bool) -> None:
        if usable:
            self._engine.recover()

    def _build_workers(self, instance: GrafanaInstance | None, owner_id: str) -> Workers:
        allowed = frozenset(self._settings.grafana_allowed_namespaces)
        reconciler = DataSourceReconciler(
            instances=InstanceChoice(instance, allowed),
            secrets=SecretReader(self._api),
            resources=self._resources,
            owner_id=owner_id,
            exists=self._may_exist,
        )
        controller = DataSourceController(
            reconciler, resync_interval=self._settings.resync_interval, now=rfc3339_now
        )
        return Workers(
            self._engine,
            {DATA_SOURCE.kind: controller},
            {DATA_SOURCE.kind: self._resources},
            self._events,
        )

    def _may_exist(self, namespace: str, name: str) -> bool:
        """Whether a data source resource exists; one out of sight may."""
        watched = self._settings.namespaces
        if watched and namespace not in watched:
            return True
        return self._engine.view.get(ObjectKey(DATA_SOURCE.kind, namespace, name)) is not None

    def _notice_secret(self, namespace: str, name: str) -> None:
        self._engine.notice(Reference(SECRET, namespace, name))

    async def _find_owner_id(self) -> str:
        if self._settings.owner_id is not None:
            return self._settings.owner_id
        namespace = "kube-system"
        if self._settings.namespaces:
            namespace = read_own_namespace() or self._settings.namespaces[0]
        while True:
            try:
                return await read_namespace_uid(self._api, namespace)
            except KubeError as error:
                self._stage = (
                    f"the uid of namespace {namespace}, the default owner id, cannot be read"
                    f" ({error}); allow it, or set GDSO_OWNER_ID"
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
        self._tasks.append(task)
        return task

    def _check(self, task: asyncio.Task[None]) -> None:
        """No part may die in silence: better a restart than a blind operator."""
        if task.cancelled() or self._stage == "stopping":
            return
        _LOG.error("%s ended: %s", task.get_name(), type(task.exception()).__name__)
        self.failed = True
        self._on_failure()


def _credentials(settings: Settings) -> Credentials:
    if settings.grafana_token is not None:
        return Token(SecretStr(settings.grafana_token.get_secret_value().strip()))
    if settings.grafana_token_file is not None:
        return TokenFile(settings.grafana_token_file)
    if settings.grafana_username is None or settings.grafana_password is None:
        raise ValueError("settings without credentials were let through")
    return UserPassword(settings.grafana_username, settings.grafana_password)
