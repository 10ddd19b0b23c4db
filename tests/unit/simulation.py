"""The operator's own parts between a pretended apiserver and a pretended Grafana, in virtual time.

Engine, workers, controller, client and breaker are the real ones; days pass in milliseconds.
"""

import asyncio
import copy
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote

import httpx
from pydantic import SecretStr

from grafana_datasource_operator.api.names import DATA_SOURCE, ObjectKey
from grafana_datasource_operator.engine.engine import Engine
from grafana_datasource_operator.engine.view import Reference, View
from grafana_datasource_operator.engine.workers import Workers
from grafana_datasource_operator.grafana.connection import ConnectionSettings
from grafana_datasource_operator.grafana.credentials import Token
from grafana_datasource_operator.grafana.instance import GrafanaInstance
from grafana_datasource_operator.grafana.pace import WriteSpacing
from grafana_datasource_operator.kube.api import KubeApi
from grafana_datasource_operator.kube.errors import ConflictError, NotFoundError
from grafana_datasource_operator.kube.events import EventPoster
from grafana_datasource_operator.kube.resources import Resources
from grafana_datasource_operator.kube.secrets import SecretReader
from grafana_datasource_operator.reconcile.controller import DataSourceController
from grafana_datasource_operator.reconcile.datasource import DataSourceReconciler
from grafana_datasource_operator.reconcile.instances import InstanceChoice
from grafana_datasource_operator.runtime import SECRET, is_settled, references_of
from tests.kstatus import broken_rules, find_condition
from tests.unit.builders import SPEC, secret
from tests.unit.grafana.wire import Wire, answer, client_on, is_of_probe
from tests.unit.virtual_time import now

Json = dict[str, Any]

NAMESPACE = "monitoring"
OWNER_ID = "owner-1"
RESYNC_SECONDS = 600.0
_WATCH_DELAY_SECONDS = 0.01
_NO_ROUTE = answer(404, {"message": "Not found"})
_NO_SOURCE = answer(404, {"message": "Source data source not found"})
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
        new["spec"] = {**SPEC, **spec}
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
            "metadata": {"uid": f"s-{name}", "resourceVersion": str(self._version)},
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
        """Requests about data sources."""
        return [line for line in self.wire.lines if not is_of_probe(line)]

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
            return answer(200, {"database": "ok", "version": "8.5.9" if self._is_old else "12.4.0"})
        if path.endswith("/correlations"):
            return _NO_ROUTE if self._is_old else _NO_SOURCE
        if path.endswith("/health"):
            return _NO_ROUTE if self._is_old else answer(500, {"message": "Unable to load"})
        if self.faulty_reads and request.method == "GET":
            return answer(500, {"message": "Failed to query datasource"})
        if self.faults and request.method != "GET":
            self.faults -= 1
            return answer(500, {"message": "Failed to update datasource"})
        body = json.loads(request.content) if request.content else {}
        if request.method == "POST":
            return self._create(body)
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

    def _shown(self, uid: str) -> Json:
        secrets = self.secrets[uid].items()
        fields = {key: True for key, value in secrets if value or self._is_old}
        return {**self.held[uid], "secureJsonFields": fields}


class Operator:
    """One run of the operator's parts."""

    def __init__(self, *, old_grafana: bool = False) -> None:
        self.engine = Engine(View(references_of), is_settled)
        self.kubernetes = Kubernetes(self._deliver)
        self.grafana = Grafana(is_old=old_grafana)
        self._tasks = set[asyncio.Task[None]]()

    def _deliver(self, raw: Json, deleted: bool) -> None:
        self.engine.observe(raw, deleted=deleted)

    def start(self) -> None:
        """Begin to work."""
        loop = asyncio.get_running_loop()
        credentials = Token(SecretStr("glsa_simulated"))
        instance = GrafanaInstance(
            "simulated",
            client_on(self.grafana.wire, credentials=credentials, name="simulated"),
            credentials,
            settings=ConnectionSettings("http://grafana.example", org_id=1),
            spacing=WriteSpacing(loop.time),
            on_change=lambda usable: self.engine.recover() if usable else None,
        )
        resources = Resources(self.kubernetes, DATA_SOURCE, lambda raw: self.engine.remember(raw))
        reconciler = DataSourceReconciler(
            instances=InstanceChoice(instance),
            secrets=SecretReader(self.kubernetes),
            resources=resources,
            owner_id=OWNER_ID,
            exists=lambda _, name: name in self.kubernetes.objects,
        )
        controller = DataSourceController(
            reconciler, resync_interval=RESYNC_SECONDS, now=timestamp, clock=loop.time
        )
        events = EventPoster(self.kubernetes, timestamp)
        workers = Workers(
            self.engine, {DATA_SOURCE.kind: controller}, {DATA_SOURCE.kind: resources}, events
        )
        parts = (instance.run(), workers.run(), events.run())
        self._tasks = {asyncio.create_task(part) for part in parts}

    async def stop(self) -> None:
        """End it at once, as SIGKILL would."""
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        self.engine.queue.close()

    async def restart(self) -> None:
        """Another process, which knows only what Kubernetes tells it."""
        await self.stop()
        for key in list(self.engine.view):
            if (raw := self.engine.view.get(key)) is not None:
                self.engine.observe(raw, deleted=True)
        self.engine = Engine(View(references_of), is_settled)
        self.start()
        for raw in list(self.kubernetes.objects.values()):
            self._deliver(copy.deepcopy(raw), False)

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
            _WATCH_DELAY_SECONDS,
            lambda: self.engine.notice(Reference(SECRET, NAMESPACE, name)),
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
