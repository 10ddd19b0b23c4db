"""Deleting a namespace with all that is in it, with the rights of the chart and no more.

A cluster of its own, since the operator sees all of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from operator import ne
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import install_crds
from tests.integration.instances import names_in, on_instance, wait_instance_reason
from tests.integration.patched_operator import with_constants
from tests.integration.sandbox import (
    CLUSTER_WIDE,
    NO_DEFAULT_INSTANCE,
    SECONDS,
    Json,
    Sandbox,
    ready_of,
)
from tests.integration.specs import secret_key
from tests.integration.standing import open_sandbox
from tests.servers.audit_log import AuditRecord
from tests.servers.certificates import CertificateAuthority
from tests.servers.grafana import Grafana
from tests.servers.kubernetes import KubernetesServer
from tests.servers.operator_process import OperatorProcess
from tests.servers.polling import eventually
from tests.servers.service_account import bound_role
from tests.servers.target import Target

GROUP = "gdso.dev"
ACCOUNT = "operator"

RULES: list[Json] = [
    {
        "apiGroups": [GROUP],
        "resources": ["grafanadatasources", "grafanainstances"],
        "verbs": ["get", "list", "watch", "patch"],
    },
    {
        "apiGroups": [GROUP],
        "resources": ["grafanadatasources/status", "grafanainstances/status"],
        "verbs": ["patch"],
    },
    {
        "apiGroups": [""],
        "resources": ["secrets", "configmaps"],
        "verbs": ["get", "list", "watch"],
    },
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "get", "patch"]},
    {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]},
]
"""Of the ClusterRole in cluster mode, and of the Role in each namespace in namespaced mode."""

WITHIN = SECONDS + 30
"""A namespace goes 5 s after its deletion at the earliest."""


def account_of(sandbox: Sandbox, name: str = ACCOUNT) -> str:
    return f"system:serviceaccount:{sandbox.namespace}:{name}"


@dataclass(frozen=True)
class Cluster:
    """The sandbox's own namespace is the operator's; apps have theirs."""

    sandbox: Sandbox
    kubeconfig: Path
    operator: OperatorProcess

    def add_app(self, *names: str) -> tuple[str, Target]:
        """A namespace with an instance, its Secret, and resources, all ready."""
        namespace = self.sandbox.add_namespace()
        target = self.add_instance(namespace)
        self.add_sources(namespace, *names)
        return namespace, target

    def add_instance(self, namespace: str, **spec: Any) -> Target:
        target = self.sandbox.add_grafana()
        self.sandbox.apply_instance("main", target, namespace=namespace, **spec)
        return target

    def add_sources(self, namespace: str, *names: str, home: str | None = None) -> None:
        values = {"password": "secret-of-the-app"}
        self.sandbox.apply_secret("app", values, namespace=namespace)
        secret = {"secureJsonData": {"password": secret_key("app", "password")}}
        for name in names:
            self.sandbox.apply(name, {**on_instance("main", home), **secret}, namespace=namespace)
        for name in names:
            self.sandbox.wait_ready(name, namespace=namespace)

    def wait_secrets_gone(self, namespace: str) -> None:
        """By then everything in the namespace has been deleted, if it has no finalizer."""
        for name in ("main-token", "app"):
            self.sandbox.wait_gone(name, WITHIN, kind="Secret", namespace=namespace)

    def refusals(self, since: int) -> list[AuditRecord]:
        """What the operator was not allowed to do.

        But for Events of a namespace that is going away, which nobody may make.
        """
        return [
            record
            for record in self.sandbox.audit.read_since(since)
            if record.user == account_of(self.sandbox)
            and record.code == 403
            and record.resource != "events"
        ]


@pytest.fixture(scope="module")
def standing_cluster(
    kubernetes_server: KubernetesServer,
    grafana: Grafana,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Cluster]:
    directory = tmp_path_factory.mktemp("cluster")
    with (
        KubernetesServer(kubernetes_server.binaries, directory / "kubernetes") as kubernetes,
        kubernetes.controller_manager(),
    ):
        install_crds(kubernetes)
        with open_sandbox(kubernetes, grafana, directory) as sandbox:
            role = bound_role(ACCOUNT, sandbox.namespace, "gdso", RULES)
            kubeconfig = sandbox.make_service_account(*role, name=ACCOUNT)
            settings = {**NO_DEFAULT_INSTANCE, **CLUSTER_WIDE, "GDSO_OWNER_ID": None}
            operator = sandbox.start_operator(kubeconfig=kubeconfig, **settings)
            yield Cluster(sandbox, kubeconfig, operator)


@pytest.fixture
def cluster(standing_cluster: Cluster) -> Iterator[Cluster]:
    """After each test: the operator has asked for nothing that it may not have."""
    mark = standing_cluster.sandbox.audit.mark()
    yield standing_cluster
    assert standing_cluster.refusals(mark) == []


def test_the_rights_of_the_chart_are_enough(cluster: Cluster) -> None:
    """All that reads or writes Kubernetes, with the default owner id."""
    sandbox = cluster.sandbox
    namespace = sandbox.add_namespace(labels={"team": "a"})
    sandbox.apply_config_map("ca", {"ca.crt": CertificateAuthority("any").pem.decode()})
    admitted = {"from": "Selector", "selector": {"matchLabels": {"team": "a"}}}
    target = cluster.add_instance(
        sandbox.namespace,
        allowedNamespaces=admitted,
        allowedAdopters=admitted,
        tls={"caConfigMapRef": {"name": "ca"}},
    )
    cluster.add_sources(namespace, "prometheus", home=sandbox.namespace)
    uid = sandbox.uid("prometheus", namespace=namespace)
    owner = target.held(uid)["jsonData"]["gdso.dev/owner"]
    kube_system = sandbox.kubernetes.kubectl(
        "get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}"
    )
    assert owner == f"{kube_system}/{namespace}/prometheus"
    mark = sandbox.audit.mark()
    for value in ("another-secret", "yet-another-secret"):  # the second Event is a patch
        version = target.held(uid)["version"]
        sandbox.apply_secret("app", {"password": value}, namespace=namespace)
        is_sent = partial(ne, version)
        eventually(lambda: target.held(uid)["version"], is_sent, SECONDS, "the Secret to be sent")
    eventually(
        lambda: {
            record.verb
            for record in sandbox.audit.requests(since=mark)
            if record.user == account_of(sandbox) and record.resource == "events"
        },
        lambda verbs: {"create", "patch"} <= verbs,
        SECONDS,
        "both kinds of Events",
    )
    sandbox.delete("prometheus", namespace=namespace)
    sandbox.wait_gone("prometheus", namespace=namespace)
    assert names_in(target) == set()


def test_a_namespace_that_is_deleted_goes_and_leaves_grafana_clean(cluster: Cluster) -> None:
    sandbox = cluster.sandbox
    app, target = cluster.add_app("one", "two", "three")
    # And one whose instance is, and stays, elsewhere.
    platform, guest = sandbox.add_namespace(), sandbox.add_namespace()
    shared = cluster.add_instance(platform, allowedNamespaces={"from": "All"})
    cluster.add_sources(guest, "guest", home=platform)
    cluster.add_sources(platform, "own")
    for namespace in (app, guest):
        sandbox.delete_namespace(namespace)
    for namespace in (app, guest):
        sandbox.wait_namespace_gone(namespace, WITHIN)
    assert (names_in(target), names_in(shared)) == (set(), {"own"})
    assert ready_of(sandbox.wait_instance_ready("main", namespace=platform))["reason"] == "Synced"


def test_a_namespace_whose_instance_others_use_waits_for_them(cluster: Cluster) -> None:
    sandbox = cluster.sandbox
    platform, team = sandbox.add_namespace(), sandbox.add_namespace()
    target = cluster.add_instance(platform, allowedNamespaces={"from": "All"})
    cluster.add_sources(platform, "own")
    cluster.add_sources(team, "theirs", home=platform)
    sandbox.delete_namespace(platform)
    cluster.wait_secrets_gone(platform)
    said = f"still used by GrafanaDataSource {team}/theirs: "
    wait_instance_reason(sandbox, "main", "DeletionBlocked", said, namespace=platform)
    sandbox.wait_gone("own", namespace=platform)
    assert names_in(target) == {"theirs"}
    sandbox.delete("theirs", namespace=team)
    sandbox.wait_gone("theirs", namespace=team)
    sandbox.wait_namespace_gone(platform, WITHIN)
    assert names_in(target) == set()


def test_where_credentials_went_with_their_namespace_it_is_let_go_after_a_while(
    cluster: Cluster,
) -> None:
    sandbox = cluster.sandbox
    namespace, target = cluster.add_app("one", "two")
    cluster.operator.stop()
    sandbox.delete_namespace(namespace)
    cluster.wait_secrets_gone(namespace)
    cluster.operator.start()
    for name in ("one", "two"):
        raw = sandbox.wait_for_reason(name, "DeletionBlocked", namespace=namespace)
        assert "cannot be used (WaitingForSecret)" in ready_of(raw)["message"]
    cluster.operator.stop()

    patched = with_constants(
        sandbox.directory / "patched", "reconcile.removal", {"LOST_AFTER_SECONDS": 1.0}
    )
    settings = {**NO_DEFAULT_INSTANCE, **CLUSTER_WIDE, "GDSO_OWNER_ID": None, **patched}
    with sandbox.start_operator(kubeconfig=cluster.kubeconfig, **settings) as operator:
        sandbox.wait_namespace_gone(namespace, WITHIN)
        said = f"GrafanaInstance {namespace}/main cannot be used (WaitingForSecret), and the"
        assert operator.log.count(f"{said} namespace is going away") >= 2
    assert names_in(target) == {"one", "two"}
    cluster.operator.start()


# --- rights that go with the namespace


def test_with_rights_inside_the_namespace_grafana_is_clean_but_the_namespace_needs_help(
    standing_cluster: Cluster,
) -> None:
    """All in it vanishes at once, 5 s after its deletion: also what lets us drop a finalizer."""
    sandbox = standing_cluster.sandbox
    standing_cluster.operator.stop()
    namespace = sandbox.add_namespace()
    local = bound_role("local", sandbox.namespace, "gdso", RULES, namespace)
    kubeconfig = sandbox.make_service_account(*local, name="local")
    settings = {**NO_DEFAULT_INSTANCE, "GDSO_NAMESPACES": namespace, "GDSO_OWNER_ID": None}
    with sandbox.start_operator(kubeconfig=kubeconfig, **settings):
        target = standing_cluster.add_instance(namespace)
        standing_cluster.add_sources(namespace, "one", "two")
        sandbox.delete_namespace(namespace)
        standing_cluster.wait_secrets_gone(namespace)
        eventually(lambda: names_in(target), lambda held: not held, SECONDS, "Grafana to be clean")
        assert sandbox.get("one", namespace=namespace) is not None

        # The way out: the same rights from outside of the namespace, or no finalizers.
        sandbox.make_service_account(
            *bound_role("local", sandbox.namespace, "gdso-local", RULES), name="local"
        )
        sandbox.wait_namespace_gone(namespace, WITHIN)
