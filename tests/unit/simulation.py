"""The operator's own parts between a pretended apiserver and a pretended Grafana, in virtual time.

Engine, workers, controller, client and breaker are the real ones; days pass in milliseconds.
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

from grafana_datasource_operator.api.names import DATA_SOURCE, ObjectKey
from grafana_datasource_operator.assembly import Assembly
from grafana_datasource_operator.engine.engine import Engine
from grafana_datasource_operator.grafana.client import GrafanaClient
from grafana_datasource_operator.grafana.connection import ConnectionSettings
from grafana_datasource_operator.grafana.credentials import Credentials
from grafana_datasource_operator.kube.api import KubeApi
from grafana_datasource_operator.kube.errors import ConflictError, NotFoundError
from grafana_datasource_operator.reconcile.ownership import Ownership
from grafana_datasource_operator.relations import SECRET
from grafana_datasource_operator.settings import Settings
from tests.kstatus import broken_rules, find_condition
from tests.unit.builders import SPEC, secret
from tests.unit.grafana.wire import Wire, answer
from tests.unit.virtual_time import now

Json = dict[str, Any]

NAMESPACE = "monitoring"
OWNER_ID = "owner-1"
RESYNC_SECONDS = 600.0
_WATCH_DELAY_SECONDS = 0.01
_LIST = "GET /api/datasources"
_NO_ROUTE = answer(404, {"message": "Not found"})
_NAME_TAKEN = "data source with the same name already exists"


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


class Kubernetes(KubeApi):
    """Objects and Secrets of one namespace, with the rules that writers have to keep."""

    def __init__(self, tell: Callable[[Json, bool], None]) -> None:
        self._tell = tell
        self._version = 0
        self.objects: dict[str, Json] = {}
        self.secrets: dict[str, Json] = {}
        self.events: list[Json] = []
        self.writes: list[str] = []
        """Writes of the operator, Events aside."""

    # --- as people use it ---

    def apply(self, name: str, /, **spec: Any) -> None:
        """`kubectl apply`."""
        old = self.objects.get(name)
        new = copy.deepcopy(old) if old else self._made(name)
        new["spec"] = {**SPEC, "healthCheck": {"enabled": False}, **spec}
        if old is None or new["spec"] != old["spec"]:
            new["metadata"]["generation"] += 1
        self._store(new)

    def annotate(self, name: str, **annotations: str) -> None:
        """`kubectl annotate`, in the group of the operator."""
        new = copy.deepcopy(self.objects[name])
        held = new["metadata"].setdefault("annotations", {})
        held |= {f"gdso.dev/{key.replace('_', '-')}": value for key, value in annotations.items()}
        self._store(new)

    def delete(self, name: str) -> None:
        """`kubectl delete`."""
        new = copy.deepcopy(self.objects[name])
        new["metadata"].setdefault("deletionTimestamp", timestamp())
        self._store(new)

    def write_secret(self, name: str, **data: str) -> None:
        """Create a Secret or replace it."""
        self._version += 1
        encoded = secret(name, data=data).data
        self.secrets[name] = {
            "metadata": {"name": name, "uid": f"s-{name}", "resourceVersion": str(self._version)},
            "data": {key: value.get_secret_value() for key, value in encoded.items()},
        }

    def _made(self, name: str) -> Json:
        return {
            "apiVersion": "gdso.dev/v1beta1",
            "kind": DATA_SOURCE.kind,
            "metadata": {
                "namespace": NAMESPACE,
                "name": name,
                "uid": f"uid-{self._version}",
                "generation": 0,
            },
        }

    # --- as the operator uses it ---

    async def request(self, method: str, path: str, **arguments: Any) -> Json:
        """Answer as an apiserver; a round trip takes a moment."""
        await asyncio.sleep(0.001)
        if method == "POST":
            self.events.append(arguments["body"])
            return {}
        *_, kind, name = path.removesuffix("/status").split("/")
        held = (self.secrets if kind == "secrets" else self.objects).get(name)
        if held is None:
            raise NotFoundError(f"{method} {path}", 404)
        if method == "GET":
            return copy.deepcopy(held)
        return self._patch(held, arguments["body"], f"{method} {path}")

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
        name = new["metadata"]["name"]
        if new == self.objects.get(name):
            return new
        self._version += 1
        new["metadata"]["resourceVersion"] = str(self._version)
        gone = "deletionTimestamp" in new["metadata"] and not new["metadata"].get("finalizers")
        if gone:
            self.objects.pop(name, None)
        else:
            self.objects[name] = new
        loop = asyncio.get_running_loop()
        loop.call_later(_WATCH_DELAY_SECONDS, self._tell, copy.deepcopy(new), gone)
        return copy.deepcopy(new)


class Grafana:
    """Data sources of one organization behind the HTTP API, of today or of before 9.0."""

    def __init__(self, *, is_old: bool = False) -> None:
        self._is_old = is_old
        self.held: dict[str, Json] = {}
        self.secrets: dict[str, dict[str, str]] = {}
        self.failing: Callable[[], httpx.Response] | None = None
        self.faulty_reads = False
        """Whether GET of a data source fails, and nothing else does."""
        self.lost_answers = 0
        """How many of the next requests are served without anybody hearing of it."""
        self.faults = 0
        """How many of the next writes fail, as on a locked database."""
        self.written_at: dict[str, list[float]] = {}
        self.seconds_per_request = 0.005
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
        path = request.url.path
        if path == "/api/org":
            return answer(200, {"id": 1})
        if path == "/api/health":
            return answer(200, {"version": "8.5.9" if self._is_old else "12.4.0"})
        if "gdso-probe" in path or path.endswith("/health"):
            return _NO_ROUTE if self._is_old else answer(500, {"message": "Unable to load"})
        if self.faulty_reads and request.method == "GET":
            return answer(500, {"message": "Failed to query datasource"})
        if self.faults and request.method != "GET":
            self.faults -= 1
            return answer(500, {"message": "Failed to update datasource"})
        body = json.loads(request.content) if request.content else {}
        if request.method == "POST":
            return self._create(body)
        if path == "/api/datasources":
            return answer(200, [self._listed(uid) for uid in self.held])
        return self._find_and_serve(request.method, path, body)

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
            return answer(200, self._shown(uid))
        self.written_at.setdefault(uid, []).append(now())
        if method == "DELETE":
            del self.held[uid], self.secrets[uid]
            return answer(200, {"message": "Data source deleted"})
        if self._name_is_taken(body["name"], uid):
            return answer(500 if self._is_old else 409, {"message": _NAME_TAKEN})
        if body["version"] < self.held[uid]["version"]:
            return answer(409, {"message": "already been updated by someone else"})
        self.secrets[uid] |= body.pop("secureJsonData", {})
        for name in ("url", "basicAuthUser", *(["database"] if self._is_old else [])):
            body[name] = body[name] or self.held[uid].get(name, "")
        self.held[uid] |= {**body, "version": body["version"] + 1}
        return answer(200, {"datasource": self._shown(uid)})

    def _create(self, body: Json) -> httpx.Response:
        uid = body["uid"]
        if self._name_is_taken(body["name"], uid):
            return answer(409, {"message": _NAME_TAKEN})
        if uid in self.held:
            return answer(409, {"message": "data source with the same uid already exists"})
        self._ids += 1
        self.secrets[uid] = body.pop("secureJsonData", {})
        self.held[uid] = {**body, "id": self._ids, "version": 1}
        self.written_at.setdefault(uid, []).append(now())
        return answer(200, {"datasource": self._shown(uid)})

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


class Operator:
    """One run of the operator's parts."""

    def __init__(self, *, old_grafana: bool = False) -> None:
        self.kubernetes = Kubernetes(self._deliver)
        self.grafana = Grafana(is_old=old_grafana)
        self._tasks = set[asyncio.Task[None]]()
        self._parts = self._assemble()

    @property
    def engine(self) -> Engine:
        return self._parts.engine

    def _assemble(self) -> Assembly:
        settings = Settings(
            namespaces=(NAMESPACE,),
            grafana_url="http://grafana.example",
            grafana_token=SecretStr("glsa_simulated"),
            grafana_org_id=1,
            resync_interval=RESYNC_SECONDS,
        )
        return Assembly(
            settings,
            self.kubernetes,
            background=self._spawn,
            dial=self._dial,
            now=timestamp,
            clock=asyncio.get_running_loop().time,
        )

    def _dial(
        self, settings: ConnectionSettings, credentials: Credentials, name: str
    ) -> GrafanaClient:
        return GrafanaClient(
            settings, credentials, name=name, user_agent="gdso/unit", transport=self.grafana.wire
        )

    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        return task

    def _deliver(self, raw: Json, deleted: bool) -> None:
        self.engine.observe(raw, deleted=deleted)

    def start(self) -> None:
        """Begin to work."""
        workers = self._parts.build_workers(Ownership(OWNER_ID))
        self._spawn("workers", workers.run())
        self._spawn("events", self._parts.events.run())

    async def stop(self) -> None:
        """End it at once, as SIGKILL would."""
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        self._parts.close()

    async def restart(self) -> None:
        """Another process, which knows only what Kubernetes tells it."""
        await self.stop()
        for key in list(self.engine.view):
            if (raw := self.engine.view.get(key)) is not None:
                self.engine.observe(raw, deleted=True)
        self._parts = self._assemble()
        for raw in list(self.kubernetes.objects.values()):
            self._deliver(copy.deepcopy(raw), False)
        self.start()

    def write_secret(self, name: str, **data: str) -> None:
        """Write a Secret, which the watch tells."""
        self.kubernetes.write_secret(name, **data)
        self._notice(name)

    def delete_secret(self, name: str) -> None:
        """Delete a Secret, which the watch tells."""
        self.kubernetes.secrets.pop(name, None)
        self._notice(name)

    def _notice(self, name: str) -> None:
        asyncio.get_running_loop().call_later(
            _WATCH_DELAY_SECONDS, lambda: self._parts.notice(SECRET, NAMESPACE, name)
        )

    def ready(self, name: str) -> tuple[str, str] | None:
        """Status and reason of the Ready condition."""
        condition = find_condition(self.kubernetes.objects[name], "Ready")
        return (condition["status"], condition["reason"]) if condition else None

    def message(self, name: str) -> str:
        """Text of the Ready condition."""
        condition = find_condition(self.kubernetes.objects[name], "Ready")
        assert condition is not None
        return str(condition["message"])

    def event_reasons(self) -> list[str]:
        """Reasons of the events so far."""
        return [event["reason"] for event in self.kubernetes.events]

    def is_idle(self, name: str) -> bool:
        """Whether nobody waits for a worker."""
        key = ObjectKey(DATA_SOURCE.kind, NAMESPACE, name)
        return self.engine.view.get(key) is not None and len(self.engine.queue) == 0


@asynccontextmanager
async def an_operator(*, old_grafana: bool = False) -> AsyncIterator[Operator]:
    """Everything, running."""
    operator = Operator(old_grafana=old_grafana)
    operator.start()
    try:
        yield operator
    finally:
        await operator.stop()
        for key in list(operator.engine.view):
            if (raw := operator.engine.view.get(key)) is not None:
                operator.engine.observe(raw, deleted=True)
