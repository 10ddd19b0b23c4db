"""Where nothing changed, nothing is written: neither to Grafana nor to Kubernetes."""

import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.metrics import total
from tests.integration.sandbox import SECONDS, Json, Sandbox
from tests.integration.specs import UNCHECKED
from tests.kstatus import find_condition
from tests.servers.audit_log import AuditRecord
from tests.servers.operator_process import USER_AGENT, OperatorProcess
from tests.servers.polling import eventually

KOPF = "kopf/"
EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("**/*.yaml"))


def secret_key(key: str) -> Json:
    return {"secretKeyRef": {"name": "credentials", "key": key}}


SYNCED: dict[str, Json] = {
    "prometheus": {
        "type": "prometheus",
        "url": "http://prometheus:9090",
        "isDefault": True,
        "jsonData": {"httpMethod": "POST", "httpHeaderName1": "X-Token", "timeInterval": "30s"},
        "secureJsonData": {"httpHeaderValue1": secret_key("token")},
    },
    "loki": {
        "type": "loki",
        "url": "http://loki:3100",
        "basicAuth": True,
        "basicAuthUser": "reader",
        "secureJsonData": {"basicAuthPassword": secret_key("password")},
        "jsonData": {
            "maxLines": 1000,
            "derivedFields": [{"name": "trace", "matcherRegex": "t=(.)"}],
        },
    },
    "tempo": {
        "type": "tempo",
        "url": "http://tempo:3200",
        "name": "Tempo, the trace store (größer)",
        "jsonData": {
            "tracesToLogsV2": {"datasourceUid": "loki", "tags": [{"key": "a", "value": ""}]}
        },
    },
    "postgres": {
        "type": "postgres",
        "url": "db:5432",
        "user": "grafana",
        "database": "metrics",
        "secureJsonData": {"password": secret_key("password")},
        "jsonData": {"sslmode": "disable", "postgresVersion": 1500, "timescaledb": False},
    },
    "mysql": {
        "type": "mysql",
        "url": "db:3306",
        "user": "grafana",
        "jsonData": {"maxOpenConns": 7},
    },
    "testdata": {"type": "testdata"},
    "graphite": {
        "type": "graphite",
        "access": "direct",
        "url": "http://graphite:8080",
        "withCredentials": True,
        "isDefault": False,
        "jsonData": {"graphiteVersion": "1.1"},
    },
    "odd-values": {
        "type": "prometheus",
        "url": "http://prometheus:9090/",
        "jsonData": {
            "none": None,
            "nested": {"none": None, "list": [1, 2.5, "", None, {"deep": []}]},
            "large": 2**53 + 1,
            "float": 1.0,
            "text": "a\n\"b\" 'c' <d> & é ☃",
        },
    },
    "whole-secret": {
        "type": "elasticsearch",
        "url": "http://elastic:9200",
        "database": "",
        "jsonData": {"timeField": "@timestamp", "index": "logs-*"},
        "secureJsonDataFrom": [
            {"secretRef": {"name": "credentials"}},
            {"secretRef": {"name": "absent", "optional": True}},
        ],
    },
    "unknown-plugin": {"type": "some-plugin-nobody-has", "jsonData": {"a": {"b": {"c": "d"}}}},
}

UNSYNCED: dict[str, tuple[str, Json]] = {
    "waiting": (
        "WaitingForSecret",
        {
            "type": "loki",
            "url": "http://loki:3100",
            "secureJsonData": {"password": {"secretKeyRef": {"name": "missing", "key": "a"}}},
        },
    ),
    "invalid": ("InvalidSpec", {"type": "prometheus"}),
    "suspended": ("Suspended", {"type": "testdata", "suspend": True}),
}

PLAIN = {
    "type": "prometheus",
    "url": "http://prometheus:9090",
    "resyncInterval": "0s",
    **UNCHECKED,
}
LOOKED_AT_OFTEN: Json = {"resyncInterval": "1s", **UNCHECKED}
FIRST = {"name": "first of the organization", "type": "testdata", "access": "proxy"}


class Population:
    """Data sources of many kinds, each looked at every second, and the operator that does it."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        # The first data source of an organization is forced to be its default: not one of ours.
        sandbox.grafana.post("datasources", json=FIRST).raise_for_status()
        self.operator: OperatorProcess = sandbox.start_operator()
        sandbox.apply_secret("credentials", {"token": "secret-token", "password": "secret-word"})
        self.apply()
        for name in SYNCED:
            sandbox.wait_ready(name)
        for name, (reason, _) in UNSYNCED.items():
            self._wait_for_reason(name, reason)
        # Events are posted in the background: let those of the beginning arrive.
        for name in [*SYNCED, *UNSYNCED]:
            eventually(partial(sandbox.events, name), bool, SECONDS, f"{name}: an event")

    def apply(self) -> None:
        for name, spec in [*SYNCED.items(), *((n, spec) for n, (_, spec) in UNSYNCED.items())]:
            self.sandbox.apply(name, {**LOOKED_AT_OFTEN, **spec})

    def wait_for_looks(self, mark: int, least: int) -> None:
        """Until each data source was read so often since the mark, and what waits looked at."""
        for name in SYNCED:
            eventually(
                partial(self._reads, name, mark),
                lambda reads: reads >= least,
                SECONDS,
                f"{name}: {least} looks",
            )
        before = total(self.operator, "gdso_reconcile_total", result="WaitingForSecret")
        eventually(
            lambda: total(self.operator, "gdso_reconcile_total", result="WaitingForSecret"),
            lambda looks: looks > before,
            SECONDS,
            "a look at what waits for its Secret",
        )

    def _reads(self, name: str, mark: int) -> int:
        path = f"/api/datasources/uid/{self.sandbox.uid(name)}"
        return sum(request.path == path for request in self.sandbox.proxy.since(mark))

    def _wait_for_reason(self, name: str, reason: str) -> None:
        def has_reason(raw: Json | None) -> bool:
            ready = find_condition(raw, "Ready") if raw else None
            return ready is not None and ready["reason"] == reason

        self.sandbox.wait(name, has_reason, f"reason {reason}")


@pytest.fixture
def population(sandbox: Sandbox) -> Population:
    return Population(sandbox)


def writes(sandbox: Sandbox, since: int) -> list[AuditRecord]:
    """All writes in the namespace, by our client and by kopf's, Events included."""
    return [
        record
        for record in sandbox.audit.requests(since=since)
        if record.is_write
        and record.namespace == sandbox.namespace
        and record.user_agent.startswith((USER_AGENT, KOPF))
    ]


def grafana_methods(sandbox: Sandbox, since: int) -> set[str]:
    return {request.method for request in sandbox.proxy.since(since)}


def test_two_resyncs_of_what_did_not_change_write_nothing(population: Population) -> None:
    sandbox = population.sandbox
    kube, grafana = sandbox.audit.mark(), sandbox.proxy.mark()
    population.wait_for_looks(grafana, 2)
    assert writes(sandbox, kube) == []
    assert grafana_methods(sandbox, grafana) == {"GET"}


def test_applying_the_same_again_writes_nothing(population: Population) -> None:
    sandbox = population.sandbox
    kube, grafana = sandbox.audit.mark(), sandbox.proxy.mark()
    population.apply()
    population.wait_for_looks(grafana, 2)
    assert writes(sandbox, kube) == []
    assert grafana_methods(sandbox, grafana) == {"GET"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda n: n.name)
def test_a_restart_looks_at_everything_and_writes_nothing(
    population: Population, number: signal.Signals
) -> None:
    sandbox = population.sandbox
    kube, grafana = sandbox.audit.mark(), sandbox.proxy.mark()
    population.operator.process.send_signal(number)
    population.operator.process.wait_exit(SECONDS)
    restarted = sandbox.proxy.mark()
    population.operator.start()
    population.wait_for_looks(restarted, 2)
    assert writes(sandbox, kube) == []
    assert grafana_methods(sandbox, grafana) == {"GET"}


class Fence:
    """A resource whose change is worked off after everything that was there before it."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._crossed = 0
        sandbox.apply("fence", PLAIN)
        sandbox.wait_ready("fence")

    def cross(self) -> None:
        self._crossed += 1
        self._sandbox.apply("fence", {**PLAIN, "url": f"http://fence-{self._crossed}:9090"})
        self._sandbox.wait_ready("fence")


@pytest.fixture
def fence(sandbox: Sandbox) -> Fence:
    """Also starts the operator, and makes the resource `plain`, which is never looked at again."""
    sandbox.start_operator()
    sandbox.apply("plain", PLAIN)
    sandbox.wait_ready("plain")
    eventually(lambda: sandbox.events("plain"), bool, SECONDS, "the event of the creation")
    return Fence(sandbox)


def requests_about(sandbox: Sandbox, name: str, since: int) -> list[str]:
    return [r for r in sandbox.grafana_requests(since) if sandbox.uid(name) in r]


def writes_about(sandbox: Sandbox, name: str, since: int) -> list[str]:
    return [r.subresource for r in writes(sandbox, since) if r.name.startswith(name)]


@pytest.mark.parametrize(
    "metadata",
    [
        {"labels": {"team": "observability"}},
        {"annotations": {"example.com/note": "changed"}},
        {"annotations": {"argocd.argoproj.io/tracking-id": "app:gdso.dev/GrafanaDataSource:a/b"}},
        {"finalizers": ["gdso.dev/finalizer", "example.com/someone-elses"]},
    ],
    ids=["label", "foreign annotation", "tracking id of Argo CD", "foreign finalizer"],
)
def test_what_is_no_concern_of_ours_causes_no_request_and_no_write(
    sandbox: Sandbox, fence: Fence, metadata: Json
) -> None:
    kube, grafana = sandbox.audit.mark(), sandbox.proxy.mark()
    sandbox.patch("plain", {"metadata": metadata})
    fence.cross()
    assert requests_about(sandbox, "plain", grafana) == []
    assert writes_about(sandbox, "plain", kube) == []


def test_a_requested_reconcile_is_one_look_and_is_echoed(sandbox: Sandbox, fence: Fence) -> None:
    (operator,) = sandbox.operators
    for value in ("2026-01-01T00:00:00Z", "any new value"):
        kube, grafana = sandbox.audit.mark(), sandbox.proxy.mark()
        looks = total(operator, "gdso_reconcile_total", result="Unchanged")
        sandbox.annotate("plain", "gdso.dev/reconcile-requested-at", value)
        fence.cross()
        raw = sandbox.get("plain")
        assert raw is not None
        assert raw["status"]["lastHandledReconcileAt"] == value
        uid = sandbox.uid("plain")
        assert requests_about(sandbox, "plain", grafana) == [f"GET /api/datasources/uid/{uid}"]
        assert writes_about(sandbox, "plain", kube) == ["status"]
        assert total(operator, "gdso_reconcile_total", result="Unchanged") == looks + 1

    kube, grafana = sandbox.audit.mark(), sandbox.proxy.mark()
    sandbox.annotate("plain", "gdso.dev/reconcile-requested-at", None)
    fence.cross()
    assert writes_about(sandbox, "plain", kube) == []


def manifest_of(documents: list[Json], namespace: str) -> str:
    """In one namespace, whatever they say themselves."""
    for document in documents:
        document["metadata"]["namespace"] = namespace
    return "---\n".join(yaml.safe_dump(document) for document in documents)


INLINE: list[Json] = [
    {
        "apiVersion": "gdso.dev/v1beta1",
        "kind": "GrafanaDataSource",
        "metadata": {"name": name},
        "spec": spec,
    }
    for name, spec in SYNCED.items()
]


def read_documents(path: Path) -> list[Json]:
    found: list[Any] = list(yaml.safe_load_all(path.read_text()))
    return [document for document in found if document]


@pytest.mark.parametrize(
    "documents",
    [
        pytest.param(INLINE, id="inline"),
        *(pytest.param(read_documents(path), id=path.stem) for path in EXAMPLES),
    ],
)
def test_a_second_kubectl_apply_says_unchanged(sandbox: Sandbox, documents: list[Json]) -> None:
    sandbox.start_operator()
    sandbox.apply_secret("credentials", {"token": "secret-token", "password": "secret-word"})
    kubectl, manifest = sandbox.kubernetes.kubectl, manifest_of(documents, sandbox.namespace)
    first = kubectl("apply", "--filename", "-", input=manifest)
    assert len(first.splitlines()) == len(documents)
    eventually(
        sandbox.get_all,
        lambda found: all(raw["status"]["observedGeneration"] > 0 for raw in found),
        SECONDS,
        "the operator to have looked at all",
    )
    second = kubectl("apply", "--filename", "-", input=manifest)
    # A Secret with stringData is "configured" for ever; that is between kubectl and the Secret.
    ours = [line for line in second.splitlines() if ".gdso.dev/" in line]
    assert ours
    assert [line for line in ours if not line.endswith(" unchanged")] == []
