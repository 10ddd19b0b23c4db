"""The parts that look at resources, put together: engine, fleet, controllers, workers."""

import time
from collections.abc import Callable

from pydantic import SecretStr

from .api.instance import From
from .api.model import Json
from .api.names import DATA_SOURCE, FROM_SETTINGS, INSTANCE, InstanceKey, ObjectKey
from .engine.engine import Engine
from .engine.queue import Priority
from .engine.view import Reference, View
from .engine.workers import Workers
from .grafana.connection import ConnectionSettings
from .grafana.credentials import Credentials, Token, TokenFile, UserPassword
from .kube.api import KubeApi
from .kube.contents import ContentReader
from .kube.events import EventPoster
from .kube.namespaces import NamespaceReader
from .kube.resources import Resources
from .reconcile.admission import Admission
from .reconcile.connections import Connections, Dial
from .reconcile.controller import DataSourceController, Parts
from .reconcile.datasource import DataSourceReconciler
from .reconcile.fleet import Background, Fleet, Member
from .reconcile.health import HealthChecks
from .reconcile.instance import InstanceController
from .reconcile.ownership import Ownership
from .reconcile.removal import DataSourceRemover
from .reconcile.resync import Resync, Sightings
from .reconcile.targets import Targets
from .relations import ANY, Relations, ViewPeers
from .settings import Settings


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


class Assembly:
    """Everything between the watches and the two APIs."""

    def __init__(
        self,
        settings: Settings,
        api: KubeApi,
        *,
        background: Background,
        dial: Dial,
        now: Callable[[], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Put together; nothing runs yet.

        Args:
            settings: of the process.
            api: to Kubernetes.
            background: runs what connections do by themselves.
            dial: makes a client of Grafana.
            now: RFC 3339 time.
            clock: monotonic seconds.
        """
        self._settings = settings
        self._now = now
        self._clock = clock
        self._default = _default_of(settings)
        relations = Relations(self._default)
        view = View(relations.references_of, labelled_kinds={INSTANCE.kind})
        self.engine = Engine(view, is_settled, relations.lane_of, self._forget)
        self.resources = {
            kind.kind: Resources(api, kind, self.engine.remember)
            for kind in (INSTANCE, DATA_SOURCE)
        }
        self.events = EventPoster(api, now)
        self.namespaces = NamespaceReader(api)
        self._contents = ContentReader(api)
        self._fleet = Fleet(self._notice_instance)
        self._peers = ViewPeers(view, settings.namespaces)
        self._sightings = Sightings()
        resync = Resync(
            self._sightings,
            interval=settings.resync_interval,
            on_suspicion=lambda key: self.engine.want(key, Priority.RESYNC),
        )
        self._connections = Connections(
            dial=dial,
            background=background,
            resync=resync,
            on_change=self._notice_connection,
            clock=clock,
        )
        self._controller: DataSourceController | None = None

    def build_workers(self, ownership: Ownership) -> Workers:
        """Workers that leave this owner's marks; resources wait for the instances that exist."""
        present = [key for key in self.engine.view if key.kind == INSTANCE.kind]
        self._fleet.expect(InstanceKey(key.namespace, key.name) for key in present)
        self._connect_default()
        parts = self._build_parts(ownership)
        self._controller = DataSourceController(
            parts,
            resync_interval=self._settings.resync_interval,
            now=self._now,
            clock=self._clock,
        )
        instances = InstanceController(
            fleet=self._fleet,
            connections=self._connections,
            contents=self._contents,
            resources=self.resources[INSTANCE.kind],
            users_of=self._peers.users_of,
            counts=self._counts,
            now=self._now,
        )
        return Workers(
            self.engine,
            {INSTANCE.kind: instances, DATA_SOURCE.kind: self._controller},
            self.resources,
            self.events,
            {DATA_SOURCE.kind: parts.health},
        )

    def notice(self, kind: str, namespace: str, name: str) -> None:
        """A Secret or ConfigMap has changed."""
        self.engine.notice(Reference(kind, namespace, name))

    def end_requests(self) -> None:
        """Begin no more requests to any Grafana: looks that wait for their turn end at once."""
        self._connections.end()

    def close(self) -> None:
        """Look no more."""
        self.engine.queue.close()
        self.engine.checks.close()

    def _build_parts(self, ownership: Ownership) -> Parts:
        targets = Targets(self._fleet, self._default, self.namespaces.read_labels)
        reconciler = DataSourceReconciler(
            contents=self._contents,
            resources=self.resources[DATA_SOURCE.kind],
            ownership=ownership,
            peers=self._peers,
            targets=targets,
            sightings=self._sightings,
        )
        return Parts(
            fleet=self._fleet,
            targets=targets,
            reconciler=reconciler,
            remover=DataSourceRemover(
                fleet=self._fleet,
                instances=self.resources[INSTANCE.kind],
                namespaces=self.namespaces,
                ownership=ownership,
                now=self._now,
            ),
            sightings=self._sightings,
            health=HealthChecks(self._fleet, reconciler.desire, now=self._now, clock=self._clock),
        )

    def _connect_default(self) -> None:
        """The instance that the settings define, if they do."""
        settings = self._settings
        if settings.grafana_url is None:
            return
        connection = self._connections.open(
            FROM_SETTINGS,
            "settings",
            ConnectionSettings(settings.grafana_url, settings.grafana_org_id),
            _credentials(settings),
        )
        allowed = Admission(From.ALL, names=frozenset(settings.grafana_allowed_namespaces))
        self._fleet.put(
            Member(FROM_SETTINGS, users=allowed, adopters=allowed, connection=connection)
        )

    def _counts(self, namespace: str) -> bool:
        """Whether GrafanaInstances of a namespace count."""
        counted = self._settings.instance_namespaces
        return not counted or namespace in counted

    # --- who is told of what

    def _forget(self, key: ObjectKey) -> None:
        """An object no longer exists."""
        if key.kind == INSTANCE.kind:
            instance = InstanceKey(key.namespace, key.name)
            self._connections.close(instance)
            self._fleet.remove(instance)
            self._sightings.forget_instance(instance)
        elif self._controller is not None:
            self._controller.forget(key)

    def _notice_instance(self, key: InstanceKey) -> None:
        """An instance came, went or changed: so may who lives, or is to live, on it."""
        for name in (key.name, ANY):
            self.engine.notice(Reference(INSTANCE.kind, key.namespace, name))

    def _notice_connection(self, key: InstanceKey, usable: bool) -> None:
        """A Grafana can be asked again, or no more."""
        self.engine.want(ObjectKey(INSTANCE.kind, *key), Priority.USER)
        if usable:
            self.engine.recover(key)


def _default_of(settings: Settings) -> InstanceKey | None:
    """The instance for resources that name none."""
    if settings.default_instance is not None:
        return InstanceKey(*settings.default_instance.split("/"))
    return FROM_SETTINGS if settings.grafana_url is not None else None


def _credentials(settings: Settings) -> Credentials:
    if settings.grafana_token is not None:
        return Token(SecretStr(settings.grafana_token.get_secret_value().strip()))
    if settings.grafana_token_file is not None:
        return TokenFile(settings.grafana_token_file)
    if settings.grafana_username is None or settings.grafana_password is None:
        raise ValueError("settings without credentials were let through")
    return UserPassword(settings.grafana_username, settings.grafana_password)
