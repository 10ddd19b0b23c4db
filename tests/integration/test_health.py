"""Grafana's own check of a data source: the condition Healthy, its column, its metric."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.metrics import samples, total
from tests.integration.patched_operator import with_constants
from tests.integration.sandbox import Json, Sandbox, ready_of
from tests.integration.specs import LOKI, secret_key
from tests.integration.standing import open_sandbox
from tests.integration.standing import shared_sandbox as shared_sandbox
from tests.kstatus import find_condition
from tests.servers.echo import EchoServer
from tests.servers.fault_proxy import FaultProxy
from tests.servers.faults import ProxiedRequest
from tests.servers.grafana import Grafana
from tests.servers.kubernetes import KubernetesServer
from tests.servers.operator_process import OperatorProcess
from tests.servers.polling import eventually

SECONDS = 60.0
AFTER_WRITE_SECONDS = 6.0
TIMEOUT_SECONDS = 4.0
"""In place of 20; long enough for a sync to fall within."""
EVERY_SECOND: Json = {"enabled": True, "interval": "1s"}
NOBODY = "http://127.0.0.1:1"


def healthy_of(raw: Json) -> Json:
    return find_condition(raw, "Healthy") or {}


def wait_for_health(sandbox: Sandbox, name: str, status: str, message: str = "") -> Json:
    def is_so(raw: Json) -> bool:
        healthy = healthy_of(raw)
        return healthy.get("status") == status and message in healthy["message"]

    return sandbox.wait_until(name, is_so, f"Healthy {status} {message}", SECONDS)


def checks_of(sandbox: Sandbox, name: str, since: int = 0) -> list[ProxiedRequest]:
    """Requests for the health of one data source."""
    held = sandbox.in_grafana(sandbox.uid(name)) or {}
    ends = (f"/uid/{sandbox.uid(name)}/health", f"/datasources/{held.get('id')}/health")
    return [r for r in sandbox.proxy.since(since) if r.path.endswith(ends)]


def metric(operator: OperatorProcess, sandbox: Sandbox, name: str) -> float | None:
    found = [
        sample.value
        for sample in samples(operator)
        if sample.name == "gdso_datasource_healthy"
        and sample.labels == {"namespace": sandbox.namespace, "name": name}
    ]
    return found[0] if found else None


# --- what Grafana says, on every version


KINDS: dict[str, Json] = {
    "testdata": {"type": "testdata"},
    "prometheus": {"type": "prometheus", "url": NOBODY},
    "elasticsearch": {"type": "elasticsearch", "url": NOBODY},
    "influxdb": {"type": "influxdb", "url": NOBODY},
    "cloudwatch": {"type": "cloudwatch"},
    "alertmanager": {"type": "alertmanager", "url": NOBODY},
    "nobody-knows": {"type": "nobody-knows", "url": NOBODY},
}


def expected(status: int, said: Json, type_: str) -> tuple[str, str]:
    """Status and a part of the message of Healthy, as documented."""
    if said.get("status") in {"OK", "ERROR", "UNKNOWN"}:
        return "True" if said["status"] == "OK" else "False", said["message"][:80]
    assert status in {404, 500, 503}
    return "Unknown", f'"{type_}"'


def test_what_grafana_says_becomes_the_condition_the_column_and_the_metric(
    sandbox_on_every_grafana: Sandbox, tmp_path: Path
) -> None:
    sandbox = sandbox_on_every_grafana
    # Nothing was held there before the write: there is nothing old that Grafana could use.
    soon = with_constants(tmp_path / "soon", "reconcile.health", {"AFTER_WRITE_SECONDS": 0.5})
    operator = sandbox.start_operator(**soon)
    for name, spec in KINDS.items():
        sandbox.apply(name, spec)
    seen: dict[str, str] = {}
    for name, spec in KINDS.items():
        raw = sandbox.wait_until(name, lambda raw: bool(healthy_of(raw)), "Healthy", SECONDS)
        id_ = sandbox.held(sandbox.uid(name))["id"]
        answer = sandbox.grafana.get(f"datasources/{id_}/health")
        status, text = expected(answer.status_code, answer.json(), spec["type"])
        healthy = healthy_of(raw)
        assert (healthy["status"], text in healthy["message"]) == (status, True), (name, healthy)
        assert ready_of(raw)["status"] == "True"
        word = raw["status"]["instances"][0].get("health")
        assert word == answer.json().get("status")
        value = {"True": 1.0, "False": 0.0, "Unknown": None}[status]
        assert metric(operator, sandbox, name) == value
        columns = sandbox.kubectl("get", "gds", name).splitlines()
        assert columns[1].split()[columns[0].split().index("HEALTHY")] == status
        seen[name] = status
    # On each version there is some of each, or the test would show little.
    assert {"False", "Unknown"} <= set(seen.values())
    check = checks_of(sandbox, "alertmanager")[0].path
    is_by_id = check == f"/api/datasources/{sandbox.held(sandbox.uid('alertmanager'))['id']}/health"
    assert is_by_id is sandbox.target.server.version.startswith("8.")


# --- one operator for the rest


@pytest.fixture(scope="module")
def back_end() -> Iterator[FaultProxy]:
    """Accepts connections, and never answers."""
    with EchoServer() as echo, FaultProxy(echo.url) as proxy:
        proxy.hang()
        yield proxy


@pytest.fixture(scope="module", name="standing")
def standing_sandbox(
    kubernetes_with_crds: KubernetesServer,
    grafana: Grafana,
    back_end: FaultProxy,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Sandbox]:
    """All is applied at once: what is waited for after a write is waited for together."""
    directory = tmp_path_factory.mktemp("health")
    patched = with_constants(
        directory / "patch", "grafana.health", {"HEALTH_TIMEOUT_SECONDS": TIMEOUT_SECONDS}
    )
    with open_sandbox(kubernetes_with_crds, grafana, directory) as sandbox:
        sandbox.target.make_by_hand("first")
        sandbox.start_operator(GDSO_RESYNC_INTERVAL="1s", **patched)
        sandbox.apply_secret(
            "address", {"url": "http://secret-host.invalid:9090", "token": "x" * 9}
        )
        for name, spec in STANDING.items():
            sandbox.apply(name, {**spec, "resyncInterval": "1s"})
        for name in ("hangs-a", "hangs-b"):
            spec = {"type": "tempo", "url": back_end.url, "healthCheck": EVERY_SECOND}
            sandbox.apply(name, spec)
        yield sandbox


URL_FROM_SECRET = {
    "valuesFrom": [{"path": "/url", "valueFrom": secret_key("address", "url")}],
    "secureJsonData": {"httpHeaderValue1": secret_key("address", "token")},
}
STANDING: dict[str, Json] = {
    "often": {"type": "testdata", "healthCheck": EVERY_SECOND},
    "after-writes": {"type": "testdata", "healthCheck": {"interval": "0s"}},
    "off": {"type": "testdata", "healthCheck": {"enabled": False}},
    "secret-address": {"type": "prometheus", **URL_FROM_SECRET, "healthCheck": EVERY_SECOND},
    "goes": {"type": "testdata"},
}


def test_nobody_is_asked_before_grafana_uses_what_was_written(shared: Sandbox) -> None:
    wait_for_health(shared, "often", "True")
    mark = shared.proxy.mark()
    shared.apply("often", {**STANDING["often"], "user": "another"})
    eventually(lambda: checks_of(shared, "often", mark), bool, SECONDS, "a check after the write")
    uid = shared.uid("often")
    ended = [(r.ended, r) for r in shared.proxy.requests if r.method in {"POST", "PUT"} and r.ended]
    writes = [e for e, r in ended if r.path.endswith(uid) or r.path == "/api/datasources"]
    assert len(writes) >= 2
    puts = [e for e, r in ended if r.path.endswith(uid)]
    assert len(puts) == 1
    checks = [check.time for check in checks_of(shared, "often")]
    assert all(not 0 <= check - put < AFTER_WRITE_SECONDS for check in checks for put in puts)
    assert checks[0] >= min(writes) + AFTER_WRITE_SECONDS


def test_an_interval_of_nothing_means_after_a_write_only(shared: Sandbox) -> None:
    wait_for_health(shared, "after-writes", "True")
    path = f"/api/datasources/uid/{shared.uid('after-writes')}"
    mark = shared.proxy.mark()
    eventually(
        lambda: sum(r.path == path for r in shared.proxy.since(mark)),
        lambda looks: looks >= 3,
        SECONDS,
        "three resyncs",
    )
    assert len(checks_of(shared, "after-writes")) == 1


def test_whoever_opts_out_is_never_asked_and_has_no_condition(
    shared: Sandbox, standing: Sandbox
) -> None:
    operator = standing.operators[0]
    wait_for_health(shared, "often", "True")  # applied before
    raw = shared.wait_ready("off")
    assert healthy_of(raw) == {}
    assert checks_of(shared, "off") == []
    assert metric(operator, shared, "off") is None

    # Out, and in again.
    spec = STANDING["often"]
    shared.apply("often", {**spec, "healthCheck": {"enabled": False}})
    shared.wait_until("often", lambda raw: not healthy_of(raw), "no Healthy", SECONDS)
    eventually(lambda: metric(operator, shared, "often"), lambda v: v is None, SECONDS, "no series")
    word = (shared.get("often") or {})["status"]["instances"][0].get("health")
    assert word is None
    shared.apply("often", spec)
    wait_for_health(shared, "often", "True")
    assert metric(operator, shared, "often") == 1.0


def test_a_shorter_interval_counts_at_once(shared: Sandbox) -> None:
    wait_for_health(shared, "goes", "True")
    mark = shared.proxy.mark()
    shared.apply("goes", {**STANDING["goes"], "healthCheck": EVERY_SECOND})
    eventually(
        lambda: checks_of(shared, "goes", mark), lambda c: len(c) >= 2, SECONDS, "two more checks"
    )


def test_the_series_of_a_deleted_resource_goes_with_it(shared: Sandbox, standing: Sandbox) -> None:
    operator = standing.operators[0]
    wait_for_health(shared, "goes", "True")
    assert metric(operator, shared, "goes") == 1.0
    shared.delete("goes")
    shared.wait_gone("goes")
    eventually(lambda: metric(operator, shared, "goes"), lambda v: v is None, SECONDS, "no series")


def test_grafana_s_text_shows_nothing_that_came_from_a_secret(shared: Sandbox) -> None:
    shared.secret_values.add("secret-host.invalid")  # the sandbox looks for it everywhere
    raw = wait_for_health(shared, "secret-address", "False", "dial tcp")
    assert "secret-host" not in healthy_of(raw)["message"]
    # Where the Secret is gone nobody knows what to hide.
    shared.delete_secret("address")
    wait_for_health(shared, "secret-address", "False", "text is not shown while the Secrets")


def test_a_hanging_back_end_is_told_and_disturbs_no_sync(
    shared: Sandbox, back_end: FaultProxy
) -> None:
    def sync_meanwhile() -> bool:
        """Whether all of one sync fell within a check."""
        mark = shared.proxy.mark()
        shared.apply("meanwhile", LOKI)
        shared.wait_ready("meanwhile")
        shared.delete("meanwhile")
        shared.wait_gone("meanwhile")
        requests = [r for r in shared.proxy.since(mark) if r.method in {"POST", "DELETE"}]
        begin, end = requests[0].time, requests[-1].ended or 0.0
        checks = [*checks_of(shared, "hangs-a"), *checks_of(shared, "hangs-b")]
        return any(c.time < begin and (c.ended is None or c.ended > end) for c in checks)

    eventually(sync_meanwhile, bool, SECONDS, "a sync during a check that hangs")
    assert back_end.mark() > 0
    for name in ("hangs-a", "hangs-b"):
        raw = wait_for_health(shared, name, "False", f"no answer in {TIMEOUT_SECONDS:g} s")
        assert ready_of(raw)["status"] == "True"
    assert total(shared.operators[0], "gdso_instance_up") == 1.0


def test_what_was_found_serves_over_a_restart(shared: Sandbox, standing: Sandbox) -> None:
    wait_for_health(shared, "after-writes", "True")
    operator = standing.operators[0].restart()
    mark = shared.proxy.mark()
    eventually(
        lambda: shared.proxy.count("GET", f"/api/datasources/uid/{shared.uid('off')}", mark),
        bool,
        SECONDS,
        "a look",
    )
    assert metric(operator, shared, "after-writes") == 1.0
    assert checks_of(shared, "after-writes", mark) == []
