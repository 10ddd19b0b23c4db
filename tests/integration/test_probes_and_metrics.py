"""What the kubelet, Prometheus, and whoever sets the operator up get to see."""

import signal
import time
from pathlib import Path

import httpx
import pytest

from tests.conftest import StartProxy
from tests.integration.conftest import MakeSandbox, install_crds
from tests.integration.kube_proxy import ProxiedKubernetes
from tests.integration.metrics import samples, total
from tests.integration.sandbox import SECONDS, Json, Sandbox
from tests.kstatus import find_condition
from tests.servers.grafana import Grafana
from tests.servers.kubernetes import KubernetesServer
from tests.servers.operator_process import OperatorProcess
from tests.servers.polling import eventually

PLAIN = {"type": "prometheus", "url": "http://prometheus:9090"}
WAITING = {
    **PLAIN,
    "secureJsonData": {"password": {"secretKeyRef": {"name": "missing", "key": "a"}}},
}
METRICS = {
    "gdso_drift_corrected_total": {"kind"},
    "gdso_grafana_request_seconds_count": {"instance", "method"},
    "gdso_grafana_requests_total": {"instance", "method", "code"},
    "gdso_instance_up": {"instance"},
    "gdso_queue_depth": set[str](),
    "gdso_reconcile_seconds_count": {"kind"},
    "gdso_reconcile_total": {"kind", "result"},
    "gdso_resources": {"kind", "ready", "reason"},
}
"""Names and labels that dashboards and alerts are made of."""


def get(operator: OperatorProcess, path: str) -> httpx.Response:
    return httpx.get(f"{operator.url}{path}", trust_env=False, timeout=10)


# --- probes


def test_a_running_operator_is_healthy_and_ready_and_knows_no_other_path(sandbox: Sandbox) -> None:
    operator = sandbox.start_operator()
    for path in ("/healthz", "/readyz", "/readyz?verbose"):
        answer = get(operator, path)
        assert (answer.status_code, answer.text) == (200, "ok\n")
    for path in ("/", "/nothing", "/healthz/more"):
        assert get(operator, path).status_code == 404


@pytest.fixture
def bare_sandbox(
    own_kubernetes: KubernetesServer, make_sandbox: MakeSandbox, grafana: Grafana
) -> Sandbox:
    """On an apiserver without our CRD; in the end it must be there."""
    return make_sandbox(grafana, own_kubernetes)


def wait_for_answer(operator: OperatorProcess, text: str, status: int) -> None:
    """Until /readyz says so."""
    answer = eventually(
        lambda: get(operator, "/readyz"),
        lambda answer: text in answer.text,
        SECONDS,
        f"/readyz to say: {text}",
        retry_on=(httpx.TransportError,),
    )
    assert answer.status_code == status


both_scopes = pytest.mark.parametrize("scope", ["one namespace", "the cluster"])


def make_operator(sandbox: Sandbox, scope: str) -> OperatorProcess:
    namespaces = sandbox.namespace if scope == "one namespace" else ""
    return sandbox.make_operator(GDSO_NAMESPACES=namespaces)


@both_scopes
def test_without_its_crd_it_says_what_to_apply_and_goes_on_when_it_is_there(
    bare_sandbox: Sandbox, scope: str
) -> None:
    operator = make_operator(bare_sandbox, scope)
    operator.process.start()
    wait_for_answer(
        operator, "grafanainstances.gdso.dev is not installed: kubectl apply -f crds/", 503
    )
    assert get(operator, "/healthz").status_code == 200

    install_crds(bare_sandbox.kubernetes)
    wait_for_answer(operator, "ok", 200)
    bare_sandbox.apply("first", PLAIN)
    bare_sandbox.wait_ready("first")
    assert operator.process.running


@both_scopes
def test_a_crd_that_is_removed_and_applied_again_is_served_again(
    bare_sandbox: Sandbox, scope: str
) -> None:
    """It may end and be started again by the kubelet, but not go on without seeing anything."""
    install_crds(bare_sandbox.kubernetes)
    operator = make_operator(bare_sandbox, scope).start()
    bare_sandbox.apply("first", WAITING)
    bare_sandbox.wait_for_reason("first", "WaitingForSecret")
    bare_sandbox.kubernetes.kubectl("delete", "crd", "grafanadatasources.gdso.dev")
    install_crds(bare_sandbox.kubernetes)
    bare_sandbox.apply("second", PLAIN)

    def keep_running() -> Json | None:
        if not operator.process.running:
            operator.process.start()
        return bare_sandbox.get("second")

    eventually(
        keep_running,
        lambda raw: ((raw and find_condition(raw, "Ready")) or {})["status"] == "True",
        SECONDS,
        "the new resource to be Ready",
    )


def test_an_apiserver_that_is_down_at_the_start_is_waited_for(
    sandbox: Sandbox, fault_proxy_to: StartProxy
) -> None:
    kubernetes_side = ProxiedKubernetes(sandbox, fault_proxy_to)
    operator = kubernetes_side.make_operator()
    with kubernetes_side.proxy.refusing():
        operator.process.start()
        wait_for_answer(operator, "GrafanaInstance cannot be listed", 503)
    wait_for_answer(operator, "ok", 200)
    sandbox.apply("first", PLAIN)
    sandbox.wait_ready("first")


def test_a_discovery_that_lags_behind_what_is_served_is_waited_for(
    sandbox: Sandbox, fault_proxy_to: StartProxy
) -> None:
    kubernetes_side = ProxiedKubernetes(sandbox, fault_proxy_to)
    lagging = kubernetes_side.proxy.answer(
        200,
        {"Content-Type": "application/json"},
        b'{"kind": "APIGroupList", "apiVersion": "v1", "groups": []}',
        matching=lambda request: request.path == "/apis",
        times=2,
    )
    kubernetes_side.make_operator().start()
    sandbox.apply("first", PLAIN)
    sandbox.wait_ready("first")
    assert lagging.hits == 2


def test_without_its_crd_it_ends_at_once_when_it_is_told_to(bare_sandbox: Sandbox) -> None:
    operator = bare_sandbox.make_operator()
    operator.process.start()
    eventually(
        lambda: operator.log, lambda log: "is not installed" in log, SECONDS, "the missing CRD"
    )
    began = time.monotonic()
    operator.process.send_signal(signal.SIGTERM)
    assert operator.process.wait_exit(SECONDS) == 0
    assert time.monotonic() - began < 3
    install_crds(bare_sandbox.kubernetes)


def test_an_operator_that_may_not_list_secrets_says_so(sandbox: Sandbox) -> None:
    kubernetes = sandbox.kubernetes
    kinds = "--resource=gds,ginst"
    sandbox.kubectl("create", "role", "gds", "--verb=list,watch", kinds)
    sandbox.kubectl("create", "rolebinding", "gds", "--role=gds", "--user=restricted")
    kubeconfig = kubernetes.write_kubeconfig(
        sandbox.directory.with_suffix(".kubeconfig"),
        client=kubernetes.client_certificate("restricted"),
    )
    operator = sandbox.make_operator(KUBECONFIG=str(kubeconfig))
    operator.process.start()
    wait_for_answer(operator, "secrets cannot be listed", 503)


# --- metrics


def test_all_metrics_are_there_with_their_labels(sandbox: Sandbox) -> None:
    operator = sandbox.start_operator()
    sandbox.apply("drifting", {**PLAIN, "resyncInterval": "1s"})
    ready = sandbox.wait_ready("drifting")
    held = sandbox.in_grafana(sandbox.uid("drifting"))
    assert held is not None
    sandbox.grafana.put(
        f"datasources/uid/{held['uid']}", json={**held, "url": "http://by-hand:9090"}
    ).raise_for_status()
    sandbox.wait("drifting", lambda raw: raw != ready, "the correction")

    eventually(
        lambda: total(operator, "gdso_drift_corrected_total"),
        lambda corrected: corrected == 1,
        SECONDS,
        "the correction to be counted",
    )
    found = {
        sample.name: set(sample.labels) for sample in samples(operator) if sample.name in METRICS
    }
    assert found == METRICS
    assert total(operator, "gdso_reconcile_total", result="Created") == 1
    assert total(operator, "gdso_reconcile_total", result="DriftCorrected") == 1
    assert total(operator, "gdso_instance_up", instance="default") == 1
    for method, code in (("POST", "200"), ("PUT", "200"), ("GET", "200")):
        asked = total(operator, "gdso_grafana_requests_total", method=method, code=code)
        seen = [r for r in sandbox.proxy.requests if (r.method, str(r.status)) == (method, code)]
        assert 0 < asked <= len(seen)
    answer = get(operator, "/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain")


def resources(operator: OperatorProcess) -> dict[str, float]:
    """Number of resources by reason."""
    return {
        sample.labels["reason"]: sample.value
        for sample in samples(operator)
        if sample.name == "gdso_resources"
    }


def test_resources_are_counted_by_reason_and_no_more_when_they_are_deleted(
    sandbox: Sandbox,
) -> None:
    operator = sandbox.start_operator()
    assert resources(operator) == {}

    def wait_for(counts: dict[str, float]) -> None:
        eventually(
            lambda: resources(operator),
            lambda found: found == counts,
            SECONDS,
            f"the counts {counts}",
        )

    for name in ("one", "two"):
        sandbox.apply(name, PLAIN)
    sandbox.apply("three", WAITING)
    wait_for({"Synced": 2, "WaitingForSecret": 1})
    sandbox.apply("three", PLAIN)
    wait_for({"Synced": 3})
    sandbox.apply("one", WAITING)
    wait_for({"Synced": 2, "WaitingForSecret": 1})
    operator.restart()
    wait_for({"Synced": 2, "WaitingForSecret": 1})
    for name in ("one", "two"):
        sandbox.delete(name)
    wait_for({"Synced": 1})
    sandbox.delete("three")
    wait_for({})


# --- settings


GOOD = {"GDSO_GRAFANA_URL": "http://grafana:3000", "GDSO_GRAFANA_TOKEN": "a-token-for-nobody"}


def run_to_its_end(kubeconfig: Path, **settings: str) -> tuple[int, str]:
    """Exit code and what it said; it needs no servers to find out that it cannot run."""
    operator = OperatorProcess(kubeconfig, kubeconfig.with_suffix(".log"), {**GOOD, **settings})
    operator.process.start()
    return operator.process.wait_exit(SECONDS), operator.log


WRONG = "not-a-value-to-be-repeated"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("GDSO_GRAFANA_URL", f"ftp://{WRONG}"),
        ("GDSO_GRAFANA_URL", f"http://user:{WRONG}@grafana"),
        ("GDSO_GRAFANA_ORG_ID", WRONG),
        ("GDSO_RESYNC_INTERVAL", WRONG),
        ("GDSO_RESYNC_INTERVAL", "500ms"),
        ("GDSO_LOG_LEVEL", WRONG),
        ("GDSO_LOG_FORMAT", WRONG),
        ("GDSO_OWNER_ID", f"{WRONG}/with/slashes"),
        ("GDSO_HTTP_ADDRESS", WRONG),
        ("GDSO_HTTP_ADDRESS", f"127.0.0.1:{WRONG}"),
        ("GDSO_GRAFANA_TOKEN", ""),
        ("GDSO_GRAFANA_TOKEN_FILE", f"/{WRONG}"),
        ("GDSO_GRAFANA_PASSWORD", WRONG),
    ],
)
def test_a_wrong_setting_ends_it_with_code_2_naming_the_variable_and_not_the_value(
    tmp_path: Path, variable: str, value: str
) -> None:
    code, said = run_to_its_end(tmp_path / "kubeconfig", **{variable: value})
    assert code == 2
    assert variable in said
    assert WRONG not in said
    assert "Traceback" not in said


def test_all_wrong_settings_are_named_at_once(tmp_path: Path) -> None:
    code, said = run_to_its_end(
        tmp_path / "kubeconfig", GDSO_LOG_LEVEL="LOUD", GDSO_GRAFANA_ORG_ID="0"
    )
    assert code == 2
    assert "GDSO_LOG_LEVEL" in said
    assert "GDSO_GRAFANA_ORG_ID" in said


def test_an_address_in_use_is_told(sandbox: Sandbox) -> None:
    first = sandbox.start_operator()
    code, said = run_to_its_end(
        sandbox.kubernetes.kubeconfig, GDSO_HTTP_ADDRESS=f"127.0.0.1:{first.port}"
    )
    assert code == 2
    assert "GDSO_HTTP_ADDRESS: cannot listen there" in said


@pytest.mark.parametrize(
    "content",
    [None, "", "text", "no: kubeconfig", "clusters: 3", f"users: [token: {WRONG}"],
    ids=["absent", "empty", "text", "another file", "of another shape", "not YAML"],
)
def test_without_a_usable_kubeconfig_it_ends_with_code_2_and_says_what_to_set(
    tmp_path: Path, content: str | None
) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    if content is not None:
        kubeconfig.write_text(content)
    code, said = run_to_its_end(kubeconfig)
    assert code == 2
    assert "set KUBECONFIG to a kubeconfig file" in said
    assert WRONG not in said
    assert "Traceback" not in said
