"""The Kubernetes of the tests answers as one, and its audit log counts exactly."""

import json
import secrets

import pytest

from tests.servers.audit_log import AuditedObject, AuditLog
from tests.servers.kubectl import Kubectl, KubectlError
from tests.servers.kubernetes import Kubernetes, KubernetesServer
from tests.servers.polling import eventually
from tests.servers.process import ServerProcess
from tests.servers.service_account import apply_service_account, bound_role


def config_map(name: str, value: str) -> str:
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": "default"},
            "data": {"key": value},
        }
    )


def test_an_applied_config_map_is_read_back(kubernetes: Kubernetes) -> None:
    name = f"applied-{secrets.token_hex(4)}"
    kubernetes.kubectl("apply", "-f", "-", input=config_map(name, "written"))
    read = json.loads(kubernetes.kubectl("get", "configmap", name, "--output", "json"))
    assert read["data"] == {"key": "written"}
    kubernetes.kubectl("delete", "configmap", name)


def test_a_failing_kubectl_says_why(kubernetes: Kubernetes) -> None:
    with pytest.raises(KubectlError, match='"absent" not found'):
        kubernetes.kubectl("get", "configmap", "absent")


def test_the_server_has_the_version_that_it_was_built_as(kubernetes: Kubernetes) -> None:
    versions = json.loads(kubernetes.kubectl("version", "--output", "json"))
    assert versions["serverVersion"]["gitVersion"] == kubernetes.version


def test_the_audit_log_counts_the_writes_of_one_client_per_object(
    kubernetes_server: KubernetesServer, audit_log: AuditLog
) -> None:
    name, other = (f"counted-{secrets.token_hex(4)}" for _ in range(2))
    kubectl = kubernetes_server.kubectl
    kubectl("apply", "-f", "-", input=config_map(other, "before the mark"))
    mark = audit_log.mark()
    kubectl("apply", "-f", "-", input=config_map(name, "1"))
    kubectl("apply", "-f", "-", input=config_map(name, "2"))
    kubectl("get", "configmap", other)
    kubectl("delete", "configmap", name)

    this = AuditedObject(group="", resource="configmaps", namespace="default", name=name)
    assert audit_log.writes("kubectl", mark) == {this: 3}
    assert [record.verb for record in audit_log.write_records("kubectl", mark)] == [
        "create",
        "patch",
        "delete",
    ]
    assert audit_log.writes("somebody-else", mark) == {}


def phase_of(kubernetes: Kubernetes, namespace: str) -> str:
    """Empty where there is no such namespace."""
    path = "jsonpath={.status.phase}"
    return kubernetes.kubectl("get", "namespace", namespace, "--ignore-not-found", "--output", path)


def test_a_deleted_namespace_goes_with_the_controller_manager_only(
    own_kubernetes: KubernetesServer, controller_manager: ServerProcess
) -> None:
    del controller_manager  # that of the shared server shows that the program is there
    kubectl = own_kubernetes.kubectl
    kubectl("create", "namespace", "doomed")
    kubectl("create", "secret", "generic", "held", "--namespace", "doomed")
    kubectl("create", "configmap", "held", "--namespace", "doomed")
    kubectl("delete", "namespace", "doomed", "--wait=false")
    assert phase_of(own_kubernetes, "doomed") == "Terminating"
    assert kubectl("get", "secret,configmap", "--namespace", "doomed", "--output", "name").split()
    with own_kubernetes.controller_manager():
        eventually(
            lambda: phase_of(own_kubernetes, "doomed"),
            lambda phase: phase == "",
            within_seconds=60,
            what="the namespace to go",
        )
    kubectl("create", "namespace", "doomed")
    left = kubectl("get", "secret,configmap", "--namespace", "doomed", "--output", "name")
    assert left == ""


def test_cluster_roles_are_aggregated_with_the_controller_manager(
    kubernetes_server: KubernetesServer, controller_manager: ServerProcess
) -> None:
    del controller_manager  # it runs
    kubectl = kubernetes_server.kubectl
    name = f"aggregated-{secrets.token_hex(4)}"
    kubectl("create", "clusterrole", name, "--verb=get", "--resource=nodes")
    kubectl("label", "clusterrole", name, "rbac.authorization.k8s.io/aggregate-to-view=true")
    eventually(
        lambda: kubectl("get", "clusterrole", "view", "--output", "json"),
        lambda role: '"nodes"' in role,
        within_seconds=30,
        what="the rule to be in the role view",
    )
    kubectl("delete", "clusterrole", name)


@pytest.mark.parametrize("scope", ["one namespace", "cluster"])
def test_a_service_account_has_the_rights_that_rbac_gives_and_no_more(
    kubernetes_server: KubernetesServer, scope: str
) -> None:
    account = f"account-{secrets.token_hex(4)}"
    where = "default" if scope == "one namespace" else None
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]
    home = kubernetes_server.directory / account
    kubeconfig = apply_service_account(
        kubernetes_server,
        home.with_suffix(".kubeconfig"),
        "default",
        account,
        bound_role(account, "default", account, rules, where),
    )
    reader = Kubectl(kubernetes_server.kubectl.program, kubeconfig, home)
    reader("get", "configmaps")
    with pytest.raises(KubectlError, match="forbidden"):
        reader("create", "configmap", "denied")
    elsewhere = reader.run("get", "configmaps", "--namespace", "kube-system")
    assert (elsewhere.returncode == 0) is (scope == "cluster"), elsewhere.stderr


def test_an_apiserver_comes_back_from_an_outage_with_what_it_held(
    kubernetes_server: KubernetesServer,
) -> None:
    name = f"kept-{secrets.token_hex(4)}"
    kubectl = kubernetes_server.kubectl
    kubectl("apply", "-f", "-", input=config_map(name, "kept"))
    kubernetes_server.stop_apiserver()
    with pytest.raises(KubectlError, match="refused"):
        kubectl("get", "configmap", name)
    kubernetes_server.start_apiserver()
    assert name in kubectl("get", "configmap", name)
