"""The operator's own parts between a pretended apiserver and pretended Grafanas, in virtual time.

Engine, workers, controllers, clients and breakers are the real ones; days pass in milliseconds.
"""

import asyncio
import copy
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote

import httpx
from pydantic import SecretStr

from grafana_datasource_operator.api.names import (
    DATA_SOURCE,
    INSTANCE,
    ObjectKey,
    ResourceKind,
)
from grafana_datasource_operator.assembly import Assembly
from grafana_datasource_operator.engine.engine import Engine
from grafana_datasource_operator.grafana.client import GrafanaClient
from grafana_datasource_operator.grafana.connection import ConnectionSettings
from grafana_datasource_operator.grafana.credentials import Credentials
from grafana_datasource_operator.kube.api import KubeApi
from grafana_datasource_operator.kube.errors import ConflictError, NotFoundError
from grafana_datasource_operator.reconcile.ownership import Ownership
from grafana_datasource_operator.relations import CONFIG_MAP, SECRET
from grafana_datasource_operator.settings import Settings
from tests.kstatus import broken_rules, find_condition
from tests.unit.builders import SPEC, secret
from tests.unit.grafana.wire import Wire, answer
from tests.unit.virtual_time import now

Json = dict[str, Any]

NAMESPACE = "monitoring"
OWNER_ID = "owner-1"
RESYNC_SECONDS = 600.0
DEFAULT_URL = "http://grafana.example"
_WATCH_DELAY_SECONDS = 0.01
_LIST = "GET /api/datasources"
_NO_ROUTE = answer(404, {"message": "Not found"})
_NAME_TAKEN = "data source with the same name already exists"
_KINDS = {kind.plural: kind for kind in (DATA_SOURCE, INSTANCE)}
_CONTENTS = {"secrets": SECRET, "configmaps": CONFIG_MAP}


def timestamp() -> str:
    """Virtual time as Kubernetes writes it."""
    minutes, seconds = divmod(int(now()), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"2026-01-{days + 1:02d}T{hours:02d}:{minutes:02d}:{seconds:02d}Z"


def _merged(old: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    result = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merged(result.get(key), value)
    return result


def url_of(name: str) -> str:
    """Where the Grafana of this name is."""
    return DEFAULT_URL if name == "default" else f"http://{name}.example"


class Kubernetes(KubeApi):
    """Objects, Secrets and ConfigMaps, with the rules that writers have to keep."""

    def __init__(self, tell: Callable[[Json, bool], None]) -> None:
        self._tell = tell
        self._version = 0
        self.stored: dict[ObjectKey, Json] = {}
        self.contents: dict[ObjectKey, Json] = {}
        """Secrets and ConfigMaps."""
        self.namespaces: dict[str, Json] = {}
        """Labels and phase of namespaces where they matter; any other exists, too."""
        self.events: list[Json] = []
        self.writes: list[str] = []
        """Writes of the operator, Events aside."""

    # --- as people use it ---

    @property
    def objects(self) -> dict[str, Json]:
        """Data sources of the usual namespace, by name."""
        return self._of(DATA_SOURCE)

    @property
    def instances(self) -> dict[str, Json]:
        """GrafanaInstances of the usual namespace, by name."""
        return self._of(INSTANCE)

    def _of(self, kind: ResourceKind) -> dict[str, Json]:
        return {
            key.name: raw
            for key, raw in self.stored.items()
            if (key.kind, key.namespace) == (kind.kind, NAMESPACE)
        }

    def apply(self, name: str, /, *, home: str = NAMESPACE, **spec: Any) -> None:
        """`kubectl apply` of a data source; it asks for no check of its health unless told."""
        wanted = {**SPEC, "healthCheck": {"enabled": False}, **spec}
        self._apply(ObjectKey(DATA_SOURCE.kind, home, name), wanted, None)

    def apply_instance(
        self,
        name: str,
        /,
        *,
        home: str = NAMESPACE,
        labels: dict[str, str] | None = None,
        **spec: Any,
    ) -> None:
        """`kubectl apply` of a GrafanaInstance."""
        auth = {"tokenSecretRef": {"name": f"{name}-token"}}
        wanted = {"url": url_of(name), "auth": auth, **spec}
        self._apply(ObjectKey(INSTANCE.kind, home, name), wanted, labels)

    def _apply(self, key: ObjectKey, spec: Json, labels: dict[str, str] | None) -> None:
        old = self.stored.get(key)
        new = copy.deepcopy(old) if old else self._made(key)
        new["spec"] = spec
        if labels is not None:
            new["metadata"]["labels"] = labels
        if old is None or new["spec"] != old["spec"]:
            new["metadata"]["generation"] += 1
        self._store(new)

    def annotate(self, name: str, *, kind: ResourceKind = DATA_SOURCE, **annotations: str) -> None:
        """`kubectl annotate`, in the group of the operator."""
        new = copy.deepcopy(self.stored[ObjectKey(kind.kind, NAMESPACE, name)])
        held = new["metadata"].setdefault("annotations", {})
        held |= {f"gdso.dev/{key.replace('_', '-')}": value for key, value in annotations.items()}
        self._store(new)

    def delete(self, name: str, *, home: str = NAMESPACE, kind: ResourceKind = DATA_SOURCE) -> None:
        """`kubectl delete`."""
        new = copy.deepcopy(self.stored[ObjectKey(kind.kind, home, name)])
        if "deletionTimestamp" not in new["metadata"]:
            # As the apiserver does: marking for deletion is a change of what is wanted.
            new["metadata"]["deletionTimestamp"] = timestamp()
            new["metadata"]["generation"] += 1
        self._store(new)

    def edit_metadata(self, key: ObjectKey, **metadata: Any) -> None:
        """Somebody changes metadata by hand."""
        raw = self.stored[key]
        self._store({**raw, "metadata": {**raw["metadata"], **metadata}})

    def write_secret(self, name: str, /, *, home: str = NAMESPACE, **data: str) -> None:
        """Create a Secret or replace it."""
        encoded = secret(name, data=data).data
        plain = {key: value.get_secret_value() for key, value in encoded.items()}
        self._write_content(ObjectKey(SECRET, home, name), plain)

    def write_config_map(self, name: str, /, *, home: str = NAMESPACE, **data: str) -> None:
        """Create a ConfigMap or replace it."""
        self._write_content(ObjectKey(CONFIG_MAP, home, name), data)

    def _write_content(self, key: ObjectKey, data: dict[str, str]) -> None:
        self._version += 1
        self.contents[key] = {
            "metadata": {
                "name": key.name,
                "uid": f"{key.kind}-{key.name}",
                "resourceVersion": str(self._version),
            },
            "data": data,
        }

    def _made(self, key: ObjectKey) -> Json:
        return {
            "apiVersion": "gdso.dev/v1beta1",
            "kind": key.kind,
            "metadata": {
                "namespace": key.namespace,
                "name": key.name,
                "uid": f"uid-{self._version}",
                "generation": 0,
                "creationTimestamp": timestamp(),
            },
        }

    # --- as the operator uses it ---

    async def request(self, method: str, path: str, **arguments: Any) -> Json:
        """Answer as an apiserver; a round trip takes a moment."""
        await asyncio.sleep(0.001)
        if method == "POST":
            self.events.append(arguments["body"])
            return {}
        held = self._find(path)
        if held is None:
            raise NotFoundError(f"{method} {path}", 404)
        if method == "GET":
            return copy.deepcopy(held)
        return self._patch(held, arguments["body"], f"{method} {path}")

    def _find(self, path: str) -> Json | None:
        _, _, scoped = path.removesuffix("/status").partition("/namespaces/")
        home, *rest = scoped.split("/")
        if not rest:
            about = self.namespaces.get(home, {})
            meta = {"uid": f"n-{home}", "labels": about.get("labels", {})}
            return {"metadata": meta, "status": {"phase": about.get("phase", "Active")}}
        plural, name = rest
        if plural in _CONTENTS:
            return self.contents.get(ObjectKey(_CONTENTS[plural], home, name))
        return self.stored.get(ObjectKey(_KINDS[plural].kind, home, name))

    def _patch(self, held: Json, body: Json, what: str) -> Json:
        meta = body["metadata"]
        self.writes.append(what)
        for guard in ("uid", "resourceVersion"):
            if meta.get(guard, held["metadata"][guard]) != held["metadata"][guard]:
                raise ConflictError(what, 409)
        new = _merged(held, copy.deepcopy(body))
        if what.endswith("/status") and (broken := broken_rules(new)):
            raise AssertionError(f"{broken} in {new['status']}")
        return self._store(new)

    def _store(self, new: Json) -> Json:
        meta = new["metadata"]
        key = ObjectKey(new["kind"], meta["namespace"], meta["name"])
        if new == self.stored.get(key):
            return new
        self._version += 1
        new["metadata"]["resourceVersion"] = str(self._version)
        gone = "deletionTimestamp" in meta and not meta.get("finalizers")
        if gone:
            self.stored.pop(key, None)
        else:
            self.stored[key] = new
        loop = asyncio.get_running_loop()
        loop.call_later(_WATCH_DELAY_SECONDS, self._tell, copy.deepcopy(new), gone)
        return copy.deepcopy(new)


class Grafana:
    """Data sources of one organization behind the HTTP API, of today or of before 9.0."""

    def __init__(self, *, is_old: bool = False) -> None:
        self._is_old = is_old
        self.org_id = 1
        self.held: dict[str, Json] = {}
        self.secrets: dict[str, dict[str, str]] = {}
        self.token: str | None = None
        """The only one that is accepted; None: any."""
        self.failing: Callable[[], httpx.Response] | None = None
        self.faulty_reads = False
        """Whether GET of a data source fails, and nothing else does."""
        self.lost_answers = 0
        """How many of the next requests are served without anybody hearing of it."""
        self.faults = 0
        """How many of the next writes fail, as on a locked database."""
        self.list_limit: int | None = None
        """Where the list is cut."""
        self.written_at: dict[str, list[float]] = {}
        self.read_at: dict[str, list[float]] = {}
        self.listed_at: list[float] = []
        self.seconds_per_request = 0.005
        self.health: Json = {"status": "OK", "message": "all fine"}
        """What the check of any data source says."""
        self.health_answer: Callable[[], httpx.Response] | None = None
        """What it answers instead."""
        self.seconds_per_check = 0.005
        self.checked_at: dict[str, list[float]] = {}
        self.most_checks = 0
        """Most checks at a time so far."""
        self._checks = 0
        self._ids = 0
        self.wire = Wire(self._answer)

    @property
    def requests(self) -> list[str]:
        """Requests about single data sources."""
        return [
            line
            for line in self.wire.lines
            if "/api/datasources" in line
            and "gdso-probe" not in line
            and not line.endswith("/health")
            and line != _LIST
        ]

    @property
    def lists(self) -> int:
        """How often all data sources were listed."""
        return self.wire.lines.count(_LIST)

    @property
    def writes(self) -> int:
        """How many writes arrived."""
        return sum(not line.startswith("GET") for line in self.requests)

    @property
    def default(self) -> str | None:
        """Uid of the default data source."""
        return next((uid for uid, held in self.held.items() if held.get("isDefault")), None)

    def edit(self, uid: str, **fields: Any) -> None:
        """Somebody changes a data source in the browser."""
        self.held[uid] |= fields
        self.held[uid]["version"] += 1

    def add(self, uid: str, **fields: Any) -> None:
        """Somebody makes a data source."""
        self._ids += 1
        made = {"id": self._ids, "uid": uid, "name": uid, "type": "prometheus", "access": "proxy"}
        self.held[uid] = {**made, "version": 1, "jsonData": {}, **fields}
        self.secrets[uid] = {}

    def remove(self, uid: str) -> None:
        """Somebody deletes a data source."""
        self.held.pop(uid, None)
        self.secrets.pop(uid, None)

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        answered = await self._answer_surely(request)
        if self.lost_answers:
            self.lost_answers -= 1
            raise httpx.ReadError("connection reset")
        return answered

    async def _answer_surely(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(self.seconds_per_request)
        if self.failing is not None:
            return self.failing()
        if self.token and request.headers["Authorization"] != f"Bearer {self.token}":
            return answer(401, {"message": "Invalid API key"})
        path = request.url.path
        if (told := self._tell_of_itself(path)) is not None:
            return told
        if path.endswith("/health"):
            return await self._check(path.split("/")[-2])
        if self.faulty_reads and request.method == "GET":
            return answer(500, {"message": "Failed to query datasource"})
        if self.faults and request.method != "GET":
            self.faults -= 1
            return answer(500, {"message": "Failed to update datasource"})
        body = json.loads(request.content) if request.content else {}
        if request.method == "POST":
            return self._create(body)
        if path == "/api/datasources":
            self.listed_at.append(now())
            return answer(200, [self._listed(uid) for uid in self.held][: self.list_limit])
        return self._find_and_serve(request.method, path, body)

    def _tell_of_itself(self, path: str) -> httpx.Response | None:
        """What a probe asks."""
        if path == "/api/org":
            return answer(200, {"id": self.org_id})
        if path == "/api/health":
            return answer(200, {"version": "8.5.9" if self._is_old else "12.4.0"})
        if "gdso-probe" in path:
            return _NO_ROUTE if self._is_old else answer(500, {"message": "Unable to load"})
        return None

    async def _check(self, uid: str) -> httpx.Response:
        self.checked_at.setdefault(uid, []).append(now())
        self._checks += 1
        self.most_checks = max(self.most_checks, self._checks)
        await asyncio.sleep(self.seconds_per_check)
        self._checks -= 1
        if self.health_answer is not None:
            return self.health_answer()
        return answer(200 if self.health["status"] == "OK" else 400, self.health)

    def _find_and_serve(self, method: str, path: str, body: Json) -> httpx.Response:
        by, _, value = path.removeprefix("/api/datasources/").rpartition("/")
        if self._is_old and method == "PUT" and by == "uid":
            return _NO_ROUTE
        found = [uid for uid, held in self.held.items() if str(held[by or "id"]) == unquote(value)]
        if not found:
            return answer(404, {"message": "Data source not found"})
        return self._serve(method, found[0], body)

    def _serve(self, method: str, uid: str, body: Json) -> httpx.Response:
        if method == "GET":
            self.read_at.setdefault(uid, []).append(now())
            return answer(200, self._shown(uid))
        if self.held[uid].get("readOnly"):
            return answer(403, {"message": "Cannot update read-only data source"})
        if method == "DELETE":
            self._note_write(uid)
            del self.held[uid], self.secrets[uid]
            return answer(200, {"message": "Data source deleted"})
        if self._name_is_taken(body["name"], uid):
            return answer(500 if self._is_old else 409, {"message": _NAME_TAKEN})
        if body["version"] < self.held[uid]["version"]:
            return answer(409, {"message": "already been updated by someone else"})
        self._note_write(uid)
        self.secrets[uid] |= body.pop("secureJsonData", {})
        for name in ("url", "basicAuthUser", *(["database"] if self._is_old else [])):
            body[name] = body[name] or self.held[uid].get(name, "")
        self.held[uid] |= {**body, "version": body["version"] + 1}
        self._unseat_others(uid)
        return answer(200, {"datasource": self._shown(uid)})

    def _create(self, body: Json) -> httpx.Response:
        uid = body["uid"]
        if self._name_is_taken(body["name"], uid):
            return answer(409, {"message": _NAME_TAKEN})
        if uid in self.held:
            return answer(409, {"message": "data source with the same uid already exists"})
        self._ids += 1
        self.secrets[uid] = body.pop("secureJsonData", {})
        is_default = body["isDefault"] or not self.held
        self.held[uid] = {**body, "isDefault": is_default, "id": self._ids, "version": 1}
        self._note_write(uid)
        self._unseat_others(uid)
        return answer(200, {"datasource": self._shown(uid)})

    def _note_write(self, uid: str) -> None:
        self.written_at.setdefault(uid, []).append(now())

    def _unseat_others(self, uid: str) -> None:
        """An organization has one default; who loses it keeps its version."""
        if self.held[uid]["isDefault"]:
            for other in self.held.keys() - {uid}:
                self.held[other]["isDefault"] = False

    def _name_is_taken(self, name: str, uid: str) -> bool:
        return any(held["name"] == name for key, held in self.held.items() if key != uid)

    def _listed(self, uid: str) -> Json:
        """As the list shows it, which lacks some fields."""
        lacking = ("secureJsonFields", "version", "basicAuthUser", "withCredentials")
        return {key: value for key, value in self._shown(uid).items() if key not in lacking}

    def _shown(self, uid: str) -> Json:
        secrets = self.secrets[uid].items()
        fields = {key: True for key, value in secrets if value or self._is_old}
        return {**self.held[uid], "secureJsonFields": fields}


class _Network(httpx.AsyncBaseTransport):
    """Leads to the Grafana that has the host of the URL, if one has it."""

    def __init__(self, grafanas: dict[str, Grafana]) -> None:
        self._grafanas = grafanas

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        grafana = self._grafanas.get(f"http://{request.url.host}")
        if grafana is None:
            raise httpx.ConnectError("unknown host")
        return await grafana.wire.handle_async_request(request)


class Operator:
    """One run of the operator's parts."""

    def __init__(self, *, old_grafana: bool = False, **settings: Any) -> None:
        """Prepare.

        Args:
            old_grafana: whether the default Grafana is of before 9.0.
            settings: others than those of an operator with a default Grafana, which watches one
                namespace.
        """
        self.kubernetes = Kubernetes(self._deliver)
        self.grafanas = {DEFAULT_URL: Grafana(is_old=old_grafana)}
        self._settings = settings
        self._tasks = set[asyncio.Task[None]]()
        self._parts = self._assemble()

    @property
    def engine(self) -> Engine:
        return self._parts.engine

    @property
    def grafana(self) -> Grafana:
        """The default one."""
        return self.grafanas[DEFAULT_URL]

    def _assemble(self) -> Assembly:
        default = {
            "namespaces": (NAMESPACE,),
            "grafana_url": DEFAULT_URL,
            "grafana_token": SecretStr("glsa_simulated"),
            "grafana_org_id": 1,
            "resync_interval": RESYNC_SECONDS,
        }
        self._scope = {**default, **self._settings}["namespaces"]
        return Assembly(
            Settings(**{**default, **self._settings}),
            self.kubernetes,
            background=self._spawn,
            dial=self._dial,
            now=timestamp,
            clock=asyncio.get_running_loop().time,
        )

    def _dial(
        self, settings: ConnectionSettings, credentials: Credentials, name: str
    ) -> GrafanaClient:
        network = _Network(self.grafanas)
        return GrafanaClient(
            settings, credentials, name=name, user_agent="gdso/unit", transport=network
        )

    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        return task

    def _deliver(self, raw: Json, deleted: bool) -> None:
        if not self._scope or raw["metadata"]["namespace"] in self._scope:
            self.engine.observe(raw, deleted=deleted)

    def start(self) -> None:
        """Begin to work."""
        workers = self._parts.build_workers(Ownership(OWNER_ID))
        self._workers = self._spawn("workers", workers.run())
        self._spawn("events", self._parts.events.run())

    async def stop(self) -> None:
        """End it at once, as SIGKILL would."""
        assert not self._workers.done(), "the workers have died"
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        self._parts.close()

    async def restart(self, **settings: Any) -> None:
        """Another process, which knows only what Kubernetes tells it."""
        await self.stop()
        self._settings |= settings
        self._forget_all()
        self._parts = self._assemble()
        for raw in list(self.kubernetes.stored.values()):
            self._deliver(copy.deepcopy(raw), False)
        self.start()

    def _forget_all(self) -> None:
        """Of the metrics, which are those of the process."""
        for key in list(self.engine.view):
            if (raw := self.engine.view.get(key)) is not None:
                self.engine.observe(raw, deleted=True)

    # --- what happens around it ---

    def add_grafana(
        self, name: str, /, *, home: str = NAMESPACE, is_old: bool = False, **instance: Any
    ) -> Grafana:
        """Another Grafana with its GrafanaInstance and credentials, both of the same name."""
        grafana = self.grafanas.setdefault(url_of(name), Grafana(is_old=is_old))
        grafana.token = f"glsa_{name}"
        self.write_secret(f"{name}-token", home=home, token=grafana.token)
        self.kubernetes.apply_instance(name, home=home, **instance)
        return grafana

    def write_secret(self, name: str, /, *, home: str = NAMESPACE, **data: str) -> None:
        """Write a Secret, which the watch tells."""
        self.kubernetes.write_secret(name, home=home, **data)
        self._notice(SECRET, home, name)

    def delete_secret(self, name: str, *, home: str = NAMESPACE) -> None:
        """Delete a Secret, which the watch tells."""
        self.kubernetes.contents.pop(ObjectKey(SECRET, home, name), None)
        self._notice(SECRET, home, name)

    def write_config_map(self, name: str, /, *, home: str = NAMESPACE, **data: str) -> None:
        """Write a ConfigMap, which the watch tells."""
        self.kubernetes.write_config_map(name, home=home, **data)
        self._notice(CONFIG_MAP, home, name)

    def _notice(self, kind: str, home: str, name: str) -> None:
        asyncio.get_running_loop().call_later(
            _WATCH_DELAY_SECONDS, lambda: self._parts.notice(kind, home, name)
        )

    # --- what is to be seen of it ---

    def _raw(self, name: str, home: str, kind: ResourceKind) -> Json:
        return self.kubernetes.stored[ObjectKey(kind.kind, home, name)]

    def condition(
        self,
        kind: str,
        name: str,
        *,
        home: str = NAMESPACE,
        of: ResourceKind = DATA_SOURCE,
    ) -> tuple[str, str] | None:
        """Status and reason of a condition."""
        condition = find_condition(self._raw(name, home, of), kind)
        return (condition["status"], condition["reason"]) if condition else None

    def ready(
        self, name: str, *, home: str = NAMESPACE, of: ResourceKind = DATA_SOURCE
    ) -> tuple[str, str] | None:
        """Status and reason of the Ready condition."""
        return self.condition("Ready", name, home=home, of=of)

    def message(
        self,
        name: str,
        *,
        home: str = NAMESPACE,
        of: ResourceKind = DATA_SOURCE,
        kind: str = "Ready",
    ) -> str:
        """Text of a condition."""
        condition = find_condition(self._raw(name, home, of), kind)
        assert condition is not None
        return str(condition["message"])

    def synced(self, name: str, *, home: str = NAMESPACE) -> dict[str, tuple[str, str]]:
        """Name of each instance in status -> whether it holds the state, and why not."""
        status = self._raw(name, home, DATA_SOURCE).get("status", {})
        return {one["name"]: (one["synced"], one["reason"]) for one in status.get("instances", [])}

    def event_reasons(self, about: str | None = None) -> list[str]:
        """Reasons of the events so far."""
        return [
            event["reason"]
            for event in self.kubernetes.events
            if about in (None, event["involvedObject"]["name"])
        ]

    def is_idle(self, name: str) -> bool:
        """Whether nobody waits for a worker."""
        key = ObjectKey(DATA_SOURCE.kind, NAMESPACE, name)
        return self.engine.view.get(key) is not None and len(self.engine.queue) == 0


@asynccontextmanager
async def an_operator(*, old_grafana: bool = False, **settings: Any) -> AsyncIterator[Operator]:
    """Everything, running."""
    operator = Operator(old_grafana=old_grafana, **settings)
    operator.start()
    try:
        yield operator
    finally:
        await operator.stop()
        operator._forget_all()
