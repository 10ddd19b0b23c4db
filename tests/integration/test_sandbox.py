"""The sandbox itself: what it makes in several namespaces and kinds, and what it looks at."""

import base64
import json

import pytest

from tests.integration.conftest import MakeSandbox
from tests.integration.sandbox import (
    INSTANCE,
    NO_DEFAULT_INSTANCE,
    SOURCE,
    Json,
    Sandbox,
    default_instance,
)
from tests.integration.specs import LOKI
from tests.servers.grafana import Grafana
from tests.servers.kubernetes import KubernetesServer
from tests.servers.polling import eventually
from tests.servers.process import ServerProcess
from tests.servers.service_account import bound_role

RULES: list[Json] = [
    {
        "apiGroups": ["gdso.dev"],
        "resources": ["grafanadatasources", "grafanainstances"],
        "verbs": ["get", "list", "watch", "patch"],
    },
    {"apiGroups": ["gdso.dev"], "resources": ["grafanadatasources/status"], "verbs": ["patch"]},
    {"apiGroups": [""], "resources": ["secrets", "configmaps"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
]
READY: Json = {
    "type": "Ready",
    "status": "True",
    "reason": "Synced",
    "message": "made by the test",
    "observedGeneration": 1,
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}


def set_status(
    sandbox: Sandbox, name: str, namespace: str, kind: str = SOURCE, **condition: object
) -> None:
    status = {"observedGeneration": 1, "conditions": [{**READY, **condition}]}
    sandbox.kubernetes.kubectl(
        *("patch", kind, name, "--namespace", namespace, "--subresource=status"),
        *("--type=merge", "--patch", json.dumps({"status": status})),
    )


def test_an_operator_watches_every_namespace_of_the_sandbox(sandbox: Sandbox) -> None:
    other = sandbox.add_namespace(labels={"team": "b"})
    sandbox.start_operator()
    mark = sandbox.audit.mark()
    for namespace in (None, other):
        sandbox.apply("loki", {**LOKI, "name": f"in {namespace}"}, namespace=namespace)
        sandbox.wait_ready("loki", namespace=namespace)
    assert {source["uid"] for source in sandbox.all_in_grafana()} == {
        sandbox.uid("loki"),
        sandbox.uid("loki", namespace=other),
    }
    assert {record.namespace for record in sandbox.writes_to("loki", mark)} == {
        sandbox.namespace,
        other,
    }
    sandbox.wait_for_event("loki", "Created", namespace=other)
    sandbox.delete("loki", namespace=other)
    sandbox.wait_gone("loki", namespace=other)
    assert sandbox.get("loki") is not None


def test_a_data_source_reaches_every_version_of_grafana(sandbox_on_every_grafana: Sandbox) -> None:
    sandbox = sandbox_on_every_grafana
    sandbox.start_operator()
    sandbox.apply("loki", LOKI)
    sandbox.wait_ready("loki")
    edited = sandbox.target.edit(sandbox.uid("loki"), user="somebody")
    sandbox.request_reconcile("loki")
    assert (edited["user"], sandbox.held(sandbox.uid("loki"))["user"]) == ("somebody", "")


def test_an_operator_may_do_what_its_service_account_may(sandbox: Sandbox) -> None:
    roles = bound_role("operator", sandbox.namespace, "operator", RULES, sandbox.namespace)
    kubeconfig = sandbox.make_service_account(*roles)
    mark = sandbox.audit.mark()
    sandbox.start_operator(kubeconfig=kubeconfig)
    sandbox.apply("loki", LOKI)
    sandbox.wait_ready("loki")
    account = f"system:serviceaccount:{sandbox.namespace}:operator"
    assert {record.user for record in sandbox.kubernetes_writes(mark)} == {account}


def test_what_must_hold_everywhere_is_looked_for_in_every_namespace(sandbox: Sandbox) -> None:
    other = sandbox.add_namespace()
    sandbox.apply_secret("auth", {"token": "a-secret-value"}, namespace=other)
    sandbox.apply("loki", LOKI, namespace=other)
    sandbox.check_everywhere()
    set_status(sandbox, "loki", other, observedGeneration=2)
    with pytest.raises(AssertionError, match=f"GrafanaDataSource {other}/loki"):
        sandbox.check_everywhere()
    set_status(sandbox, "loki", other, message="the token a-secret-value was refused")
    with pytest.raises(AssertionError, match=f"{other}/loki holds a secret value"):
        sandbox.check_everywhere()
    set_status(sandbox, "loki", other)


def test_an_operator_may_have_no_default_instance(sandbox: Sandbox) -> None:
    operator = sandbox.make_operator(**NO_DEFAULT_INSTANCE)
    named = sandbox.make_operator(**default_instance("monitoring/main"))
    assert not [name for name in operator.settings if name.startswith("GDSO_GRAFANA_")]
    assert named.settings["GDSO_DEFAULT_INSTANCE"] == "monitoring/main"
    assert "GDSO_GRAFANA_URL" not in named.settings


def test_a_deleted_namespace_goes_with_what_it_holds(
    sandbox: Sandbox, controller_manager: ServerProcess
) -> None:
    del controller_manager  # it runs
    other = sandbox.add_namespace()
    sandbox.start_operator()
    sandbox.apply("loki", LOKI, namespace=other)
    sandbox.wait_ready("loki", namespace=other)
    sandbox.delete_namespace(other)
    sandbox.wait_namespace_gone(other)
    assert sandbox.all_in_grafana() == []


# --- instances


@pytest.fixture
def stubbed(
    own_kubernetes: KubernetesServer, make_sandbox: MakeSandbox, grafana: Grafana
) -> Sandbox:
    own_kubernetes.kubectl("apply", "-f", "-", input=instance_stub())
    own_kubernetes.kubectl("wait", "--for=condition=Established", "crd", "--all")
    eventually(
        lambda: own_kubernetes.kubectl.run("get", "grafanainstances").returncode,
        lambda code: code == 0,
        within_seconds=30,
        what="the kind to be served",
    )
    return make_sandbox(grafana, own_kubernetes)


def test_an_instance_is_applied_with_the_token_of_its_target(stubbed: Sandbox) -> None:
    team = stubbed.add_namespace()
    target = stubbed.add_grafana()
    stubbed.apply_instance("main", target, namespace=team, labels={"tier": "prod"}, timeout="3s")
    set_status(stubbed, "main", team, INSTANCE)
    raw = stubbed.wait_instance_ready("main", namespace=team)
    assert raw["metadata"]["labels"] == {"tier": "prod"}
    assert raw["spec"] == {
        "url": target.proxy.url,
        "orgId": target.org_id,
        "auth": {"tokenSecretRef": {"name": "main-token", "key": "token"}},
        "timeout": "3s",
    }
    secret = stubbed.get("main-token", kind="Secret", namespace=team)
    assert secret is not None
    assert base64.b64decode(secret["data"]["token"]).decode() == target.token
    assert stubbed.get("main", kind=INSTANCE) is None

    set_status(stubbed, "main", team, INSTANCE, message=f"token {target.token}")
    with pytest.raises(AssertionError, match=f"GrafanaInstance {team}/main holds a secret value"):
        stubbed.check_everywhere()
    stubbed.delete("main", kind=INSTANCE, namespace=team)
    stubbed.wait_gone("main", kind=INSTANCE, namespace=team)


def test_what_is_given_of_an_instance_goes_over_what_is_known(stubbed: Sandbox) -> None:
    auth = {"basicAuthSecretRef": {"name": "admin", "usernameKey": "u", "passwordKey": "p"}}
    stubbed.apply_instance("main", stubbed.target, auth=auth, orgId=None)
    set_status(stubbed, "main", stubbed.namespace, INSTANCE)
    raw = stubbed.wait_instance_ready("main")
    assert raw["spec"] == {"url": stubbed.target.url, "auth": auth}
    assert stubbed.get("main-token", kind="Secret") is None


def instance_stub() -> str:
    """GrafanaInstance as a kind that takes anything."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": "v1beta1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
    }
    names = {"kind": INSTANCE, "plural": "grafanainstances", "singular": "grafanainstance"}
    return json.dumps(
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": "grafanainstances.gdso.dev"},
            "spec": {
                "group": "gdso.dev",
                "names": names,
                "scope": "Namespaced",
                "versions": [version],
            },
        }
    )
