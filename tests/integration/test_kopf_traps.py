"""One test per trap of kopf that would concern us, to be run again with each new release of it.

That a deletion is noticed which the watch lost, and a watch that died in silence, is in
test_staleness; that a CRD is noticed which appears late, in test_probes_and_metrics.
"""

import json
import time

import pytest

from tests.conftest import StartProxy
from tests.integration.conftest import MakeSandbox, install_crds
from tests.integration.kube_proxy import INSTANCES, SOURCES, ProxiedKubernetes, watch_of
from tests.integration.metrics import total
from tests.integration.sandbox import SECONDS, Json, Sandbox, ready_of
from tests.servers.faults import requests_of
from tests.servers.grafana import Grafana
from tests.servers.kubernetes import KubernetesServer
from tests.servers.operator_process import OperatorProcess
from tests.servers.polling import eventually

KOPF = "kopf/"
OURS = "gdso.dev/finalizer"
FOREIGN = ["kopf.zalando.org/KopfFinalizerMarker", "example.com/someone-elses"]

PLAIN = {"type": "prometheus", "url": "http://prometheus:9090"}
WAITING = {
    **PLAIN,
    "secureJsonData": {"httpHeaderValue1": {"secretKeyRef": {"name": "missing", "key": "token"}}},
}
AT_ONCE_SECONDS = 3.0
"""Far below every wait that a trap would cost, far above what is needed on a loaded machine."""
SOON_SECONDS = 10.0
"""After a connection came back: the longest pause between two tries, and then some."""


@pytest.fixture
def kubernetes_side(sandbox: Sandbox, fault_proxy_to: StartProxy) -> ProxiedKubernetes:
    return ProxiedKubernetes(sandbox, fault_proxy_to)


# --- kopf writes


def test_kopf_writes_nothing_and_touches_no_finalizer(sandbox: Sandbox) -> None:
    kubectl = sandbox.kubernetes.kubectl
    mark = sandbox.audit.mark()
    sandbox.start_operator()
    sandbox.apply_secret("auth", {"token": "secret-value"})
    kubectl(
        *("patch", "secret", "auth", "--namespace", sandbox.namespace, "--type", "merge"),
        *("--patch", json.dumps({"metadata": {"finalizers": FOREIGN}})),
    )
    spec = {
        **PLAIN,
        "secureJsonData": {"httpHeaderValue1": {"secretKeyRef": {"name": "auth", "key": "token"}}},
    }
    sandbox.apply("held", spec, finalizers=FOREIGN)
    sandbox.wait_ready("held")
    changed = {**spec, "url": "http://elsewhere:9090"}
    sandbox.apply("held", changed, finalizers=FOREIGN, labels={"a": "b"})
    ready = sandbox.wait_ready("held")
    assert sorted(ready["metadata"]["finalizers"]) == sorted([*FOREIGN, OURS])
    assert ready["metadata"].get("annotations", {}) == {}
    assert {m["manager"] for m in ready["metadata"]["managedFields"]} == {"test", "gdso"}

    sandbox.delete("held")
    sandbox.wait("held", lambda raw: finalizers(raw) == sorted(FOREIGN), "only ours to go")
    assert sandbox.in_grafana(sandbox.uid("held")) is None
    secret = json.loads(
        kubectl("get", "secret", "auth", "--namespace", sandbox.namespace, "--output", "json")
    )
    assert sorted(secret["metadata"]["finalizers"]) == sorted(FOREIGN)

    by_kopf = [r for r in sandbox.audit.requests(KOPF, mark) if sandbox.namespace in r.uri]
    assert "list" in {record.verb for record in by_kopf}
    assert [record for record in by_kopf if record.is_write] == []
    sandbox.patch("held", {"metadata": {"finalizers": None}})
    sandbox.wait_gone("held")


def finalizers(raw: Json | None) -> list[str]:
    return sorted(raw["metadata"].get("finalizers", [])) if raw else []


# --- changes during a backoff


def start_connected(sandbox: Sandbox) -> OperatorProcess:
    """The connection to Grafana is a reason to look again: have it before anything waits."""
    operator = sandbox.start_operator()
    eventually(
        lambda: total(operator, "gdso_instance_up"), bool, SECONDS, "the connection to Grafana"
    )
    return operator


def wait_for_long_backoff(operator: OperatorProcess) -> None:
    """Until five looks failed: the next comes 6.4 to 9.6 s later."""
    eventually(
        lambda: total(operator, "gdso_reconcile_total", result="WaitingForSecret"),
        lambda looks: looks >= 5,
        SECONDS,
        "five looks in vain",
    )


def test_a_spec_fixed_during_a_backoff_is_acted_on_at_once(sandbox: Sandbox) -> None:
    operator = start_connected(sandbox)
    sandbox.apply("fixed", WAITING)
    sandbox.wait_for_reason("fixed", "WaitingForSecret")
    wait_for_long_backoff(operator)
    sandbox.apply("fixed", PLAIN)
    sandbox.wait_ready("fixed", within=AT_ONCE_SECONDS)


def test_a_secret_that_appears_during_a_backoff_is_acted_on_at_once(sandbox: Sandbox) -> None:
    operator = start_connected(sandbox)
    sandbox.apply("helped", WAITING)
    sandbox.wait_for_reason("helped", "WaitingForSecret")
    wait_for_long_backoff(operator)
    sandbox.apply_secret("missing", {"token": "secret-value"})
    sandbox.wait_ready("helped", within=AT_ONCE_SECONDS)


def test_a_rejected_spec_is_acted_on_at_once_when_it_is_fixed(sandbox: Sandbox) -> None:
    """What only a person can help is looked at again after a minute otherwise."""
    sandbox.start_operator()
    sandbox.apply("rejected", {**PLAIN, "url": "http://[not-a-host"})
    sandbox.wait_for_reason("rejected", "GrafanaRejected")
    assert sandbox.all_in_grafana() == []
    sandbox.apply("rejected", PLAIN)
    sandbox.wait_ready("rejected", within=AT_ONCE_SECONDS)


def test_a_failed_update_that_is_reverted_is_undone_in_grafana(sandbox: Sandbox) -> None:
    """The spec is what it was when all was well, and yet Grafana is not."""
    sandbox.start_operator()
    sandbox.apply("reverted", PLAIN)
    sandbox.wait_ready("reverted")
    uid = sandbox.uid("reverted")

    lost = sandbox.proxy.cut_body(matching=requests_of("PUT"), times=1)
    down = sandbox.proxy.answer(503, matching=requests_of("GET", "/api/org"))
    changed = sandbox.apply("reverted", {**PLAIN, "url": "http://half-done:9090"})
    # GrafanaUnreachable, and GrafanaError as soon as the probe was answered.
    sandbox.wait_until(
        "reverted",
        lambda raw: (
            raw["status"]["observedGeneration"] == changed["metadata"]["generation"]
            and ready_of(raw)["status"] == "False"
        ),
        "not Ready",
    )
    assert lost.hits == 1
    held = sandbox.in_grafana(uid)
    assert held is not None
    assert held["url"] == "http://half-done:9090"

    sandbox.apply("reverted", PLAIN)
    sandbox.proxy.remove(down)
    sandbox.wait_ready("reverted")
    held = sandbox.in_grafana(uid)
    assert held is not None
    assert held["url"] == PLAIN["url"]


def test_a_spec_reverted_while_it_waited_is_synced_again(sandbox: Sandbox) -> None:
    operator = start_connected(sandbox)
    sandbox.apply("reverted", PLAIN)
    sandbox.wait_ready("reverted")
    sandbox.apply("reverted", WAITING)
    sandbox.wait_for_reason("reverted", "WaitingForSecret")
    wait_for_long_backoff(operator)
    sandbox.apply("reverted", PLAIN)
    sandbox.wait_ready("reverted", within=AT_ONCE_SECONDS)


# --- pauses at and after the start


def test_deletion_and_update_soon_after_a_restart_are_not_held_up(sandbox: Sandbox) -> None:
    operator = sandbox.start_operator()
    for name in ("deleted", "updated"):
        sandbox.apply(name, PLAIN)
        sandbox.wait_ready(name)
    operator.restart()
    sandbox.delete("deleted")
    sandbox.apply("updated", {**PLAIN, "url": "http://elsewhere:9090"})
    began = time.monotonic()
    sandbox.wait_gone("deleted", within=AT_ONCE_SECONDS)
    sandbox.wait_ready("updated", within=began + AT_ONCE_SECONDS - time.monotonic())


RIGHTS: list[Json] = [
    {
        "apiGroups": ["gdso.dev"],
        "resources": [SOURCES, INSTANCES],
        "verbs": ["get", "list", "watch", "patch"],
    },
    {
        "apiGroups": ["gdso.dev"],
        "resources": [f"{SOURCES}/status", f"{INSTANCES}/status"],
        "verbs": ["patch"],
    },
    {"apiGroups": [""], "resources": ["secrets", "configmaps"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "get", "patch"]},
    # Where GDSO_OWNER_ID is not set: a namespace's uid is the default owner id.
    {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]},
]
"""All that an operator needs, in its namespaces or, for all of them, in the cluster."""


class Account:
    """A service account with those rights and no others."""

    def __init__(self, sandbox: Sandbox, *, cluster: bool) -> None:
        namespace, kubectl = sandbox.namespace, sandbox.kubernetes.kubectl
        kind = "ClusterRole" if cluster else "Role"
        role = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": kind,
            "metadata": {"name": "gdso", "namespace": None if cluster else namespace},
            "rules": RIGHTS,
        }
        kubectl("create", "serviceaccount", "gdso", "--namespace", namespace)
        kubectl("apply", "--filename", "-", input=json.dumps(role))
        kubectl(
            *("create", f"{kind}Binding".lower(), "gdso", "--namespace", namespace),
            *(f"--{'cluster' if cluster else ''}role=gdso", f"--serviceaccount={namespace}:gdso"),
        )
        self.user = f"system:serviceaccount:{namespace}:gdso"
        eventually(
            lambda: kubectl.run("auth", "can-i", "list", "gds", "-n", namespace, "--as", self.user),
            lambda answer: answer.returncode == 0,
            SECONDS,
            "the authorizer to see the binding",
        )
        self.kubeconfig = sandbox.kubernetes.write_kubeconfig(
            sandbox.directory.with_suffix(".kubeconfig"),
            token=sandbox.kubernetes.service_account_token(namespace, "gdso"),
        )


def live_with(account: Account, sandbox: Sandbox, **settings: str) -> None:
    """Start at once and do all that an operator does, without ever asking for more."""
    mark, began = sandbox.audit.mark(), time.monotonic()
    operator = sandbox.start_operator(
        KUBECONFIG=str(account.kubeconfig), GDSO_OWNER_ID="", **settings
    )
    sandbox.apply("restricted", WAITING)
    sandbox.wait_for_reason("restricted", "WaitingForSecret")
    sandbox.apply_secret("missing", {"token": "secret-value"})
    sandbox.wait_ready("restricted")
    assert time.monotonic() - began < SECONDS
    sandbox.apply_secret("missing", {"token": "another-value"})
    sandbox.apply("restricted", {**WAITING, "user": "someone"})
    sandbox.wait_ready("restricted")
    operator.restart()
    sandbox.delete("restricted")
    sandbox.wait_gone("restricted")
    assert sandbox.all_in_grafana() == []

    requests = [r for r in sandbox.audit.requests(since=mark) if r.user == account.user]
    assert requests
    assert [r for r in requests if r.code == 403] == []


def test_an_operator_with_rights_in_one_namespace_only_starts_at_once(sandbox: Sandbox) -> None:
    """Kopf asks 54 s for CRDs and namespaces that it may not see, unless told not to."""
    live_with(Account(sandbox, cluster=False), sandbox)


@pytest.fixture
def own_sandbox(
    own_kubernetes: KubernetesServer, make_sandbox: MakeSandbox, grafana: Grafana
) -> Sandbox:
    """On an apiserver of which the test may stop or serve the whole."""
    install_crds(own_kubernetes)
    return make_sandbox(grafana, own_kubernetes)


def test_an_operator_of_the_whole_cluster_needs_no_other_rights(own_sandbox: Sandbox) -> None:
    live_with(Account(own_sandbox, cluster=True), own_sandbox, GDSO_NAMESPACES="")


# --- broken watches


class Changes:
    """Everything that can change while the operator does not see it."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        sandbox.apply_secret("auth", {"token": "first-value"})
        self._with_secret = {
            **PLAIN,
            "secureJsonData": {
                "httpHeaderValue1": {"secretKeyRef": {"name": "auth", "key": "token"}}
            },
        }
        sandbox.apply("rotated", self._with_secret)
        sandbox.apply("helped", WAITING)
        for name in ("updated", "deleted"):
            sandbox.apply(name, PLAIN)
        for name in ("updated", "deleted", "rotated"):
            sandbox.wait_ready(name)
        sandbox.wait_for_reason("helped", "WaitingForSecret")
        self._mark = 0

    def make(self) -> None:
        sandbox = self._sandbox
        self._mark = sandbox.proxy.mark()
        sandbox.apply("updated", {**PLAIN, "url": "http://elsewhere:9090"})
        sandbox.apply("created", PLAIN)
        sandbox.delete("deleted")
        sandbox.apply_secret("auth", {"token": "second-value"})
        sandbox.apply_secret("missing", {"token": "there-now"})

    def expect_done(self, within: float) -> None:
        sandbox, deadline = self._sandbox, time.monotonic() + within
        uid = sandbox.uid("rotated")
        eventually(
            lambda: sandbox.proxy.count("PUT", f"/api/datasources/uid/{uid}", self._mark),
            lambda puts: puts == 1,
            deadline - time.monotonic(),
            "the changed Secret to be sent",
        )
        for name in ("updated", "created", "helped"):
            sandbox.wait_ready(name, within=deadline - time.monotonic())
        sandbox.wait_gone("deleted", within=deadline - time.monotonic())
        urls = {held["name"]: held["url"] for held in sandbox.all_in_grafana()}
        assert urls == {
            "updated": "http://elsewhere:9090",
            **dict.fromkeys(("created", "helped", "rotated"), PLAIN["url"]),
        }


def watch_error(code: int, reason: str) -> bytes:
    """What the apiserver sends in a stream that it cannot go on with."""
    status = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": "for a test",
        "reason": reason,
        "code": code,
    }
    return json.dumps({"type": "ERROR", "object": status}).encode() + b"\n"


def test_changes_behind_a_cut_watch_are_acted_on(
    sandbox: Sandbox, kubernetes_side: ProxiedKubernetes
) -> None:
    operator = kubernetes_side.make_operator().start()
    changes = Changes(sandbox)
    with kubernetes_side.proxy.refusing():
        changes.make()
    changes.expect_done(within=SOON_SECONDS)
    assert operator.process.running


def test_changes_behind_a_watch_that_is_too_old_are_found_by_a_new_list(
    sandbox: Sandbox, kubernetes_side: ProxiedKubernetes
) -> None:
    operator = kubernetes_side.make_operator().start()
    changes = Changes(sandbox)
    with kubernetes_side.proxy.refusing():
        changes.make()
        faults = [
            kubernetes_side.proxy.answer(
                200,
                {"Content-Type": "application/json"},
                watch_error(410, "Expired"),
                matching=watch_of(plural),
                times=1,
            )
            for plural in (SOURCES, "secrets")
        ]
    changes.expect_done(within=SOON_SECONDS)
    assert [fault.hits for fault in faults] == [1, 1]
    assert operator.process.running


def test_a_watch_that_cannot_go_on_ends_the_process_rather_than_blinding_it(
    sandbox: Sandbox, kubernetes_side: ProxiedKubernetes
) -> None:
    operator = kubernetes_side.make_operator().start()
    sandbox.apply("plain", PLAIN)
    sandbox.wait_ready("plain")
    fault = kubernetes_side.proxy.answer(
        200,
        {"Content-Type": "application/json"},
        watch_error(500, "InternalError"),
        matching=watch_of(SOURCES),
    )
    kubernetes_side.proxy.cut_connections()
    assert operator.process.wait_exit(SECONDS) == 1

    kubernetes_side.proxy.remove(fault)
    sandbox.apply("plain", {**PLAIN, "url": "http://elsewhere:9090"})
    operator.start()
    sandbox.wait_ready("plain")


def test_an_operator_outlives_a_restart_of_the_apiserver(own_sandbox: Sandbox) -> None:
    operator = own_sandbox.start_operator()
    own_sandbox.apply("plain", PLAIN)
    own_sandbox.wait_ready("plain")
    pid = operator.pid

    own_sandbox.kubernetes.stop_apiserver()
    eventually(
        lambda: operator.log, lambda log: "Watch of secrets broke" in log, SECONDS, "the outage"
    )
    own_sandbox.kubernetes.start_apiserver()
    own_sandbox.apply_secret("missing", {"token": "secret-value"})
    own_sandbox.apply("plain", WAITING)
    own_sandbox.apply("new", PLAIN)
    for name in ("plain", "new"):
        own_sandbox.wait_ready(name, within=SOON_SECONDS)
    own_sandbox.delete("new")
    own_sandbox.wait_gone("new", within=SOON_SECONDS)
    assert operator.process.running
    assert operator.pid == pid
