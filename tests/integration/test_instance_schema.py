"""What the schema of GrafanaInstance alone ensures; no operator runs."""

import json
from collections.abc import Iterator

import pytest

from tests.integration.sandbox import INSTANCE, Json, RefusedError, Sandbox
from tests.integration.standing import open_sandbox
from tests.kstatus import broken_rules
from tests.servers.grafana import Grafana
from tests.servers.kubectl import KubectlError
from tests.servers.kubernetes import KubernetesServer

TOKEN: Json = {"tokenSecretRef": {"name": "grafana"}}
SMALL: Json = {"url": "https://grafana.example.com", "auth": TOKEN}
FULL: Json = {
    "url": "https://grafana.example.com:8443/some/path",
    "orgId": 7,
    "auth": {
        "basicAuthSecretRef": {"name": "grafana", "usernameKey": "user", "passwordKey": "password"}
    },
    "tls": {
        "caConfigMapRef": {"name": "ca", "key": "ca.pem"},
        "clientCertSecretRef": {"name": "client"},
        "insecureSkipVerify": False,
    },
    "headers": {
        "X-Team": {"value": "a"},
        "CF-Access-Client-Secret": {"secretKeyRef": {"name": "door", "key": "secret"}},
    },
    "timeout": "1m30s",
    "maxConcurrentRequests": 8,
    "mode": "DryRun",
    "allowedNamespaces": {
        "from": "Selector",
        "selector": {
            "matchLabels": {"team": "a"},
            "matchExpressions": [
                {"key": "tier", "operator": "In", "values": ["gold"]},
                {"key": "banned", "operator": "DoesNotExist"},
            ],
        },
    },
    "allowedAdopters": {"from": "None"},
    "deletionPolicy": "Orphan",
    "suspend": True,
}


@pytest.fixture(scope="module", name="sandbox")
def sandbox_of_the_module(
    kubernetes_with_crds: KubernetesServer,
    grafana: Grafana,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Sandbox]:
    directory = tmp_path_factory.mktemp("schema")
    with open_sandbox(kubernetes_with_crds, grafana, directory) as sandbox:
        yield sandbox


def manifest(name: str, spec: Json) -> str:
    return json.dumps(
        {
            "apiVersion": "gdso.dev/v1beta1",
            "kind": INSTANCE,
            "metadata": {"name": name},
            "spec": spec,
        }
    )


def test_a_fresh_instance_is_pending_until_an_operator_has_looked(sandbox: Sandbox) -> None:
    raw = sandbox.apply("fresh", SMALL, kind=INSTANCE)
    assert raw["status"]["observedGeneration"] == -1
    (ready,) = raw["status"]["conditions"]
    assert (ready["type"], ready["status"], ready["reason"]) == ("Ready", "Unknown", "Pending")
    assert not broken_rules(raw)


@pytest.mark.parametrize("spec", [SMALL, FULL], ids=["smallest", "largest"])
def test_a_second_client_side_apply_changes_nothing(sandbox: Sandbox, spec: Json) -> None:
    name = f"applied-{len(spec)}"
    text = manifest(name, spec)
    assert sandbox.kubectl("apply", "-f", "-", input=text).endswith(" created\n")
    before = sandbox.get(name, kind=INSTANCE)
    assert sandbox.kubectl("apply", "-f", "-", input=text).endswith(" unchanged\n")
    assert sandbox.kubectl("diff", "-f", "-", input=text) == ""
    assert sandbox.get(name, kind=INSTANCE) == before


def test_what_was_applied_is_what_is_stored(sandbox: Sandbox) -> None:
    assert sandbox.apply("stored", FULL, kind=INSTANCE)["spec"] == FULL
    assert sandbox.apply("defaults", SMALL, kind=INSTANCE)["spec"] == {
        **SMALL,
        "auth": {"tokenSecretRef": {"name": "grafana", "key": "token"}},
        "mode": "Enforce",
        "deletionPolicy": "Delete",
    }
    # Those of the Secret that Grafana's Helm chart makes.
    basic = {"basicAuthSecretRef": {"name": "grafana"}}
    stored = sandbox.apply("chart", {**SMALL, "auth": basic}, kind=INSTANCE)
    assert stored["spec"]["auth"]["basicAuthSecretRef"] == {
        "name": "grafana",
        "usernameKey": "admin-user",
        "passwordKey": "admin-password",
    }


def test_a_field_that_does_not_exist_is_refused(sandbox: Sandbox) -> None:
    arguments = ("apply", "--dry-run=server", "--validate=strict", "-f", "-")
    sandbox.kubectl(*arguments, input=manifest("dry", FULL))
    secret = {"tokenSecretRef": {"name": "a", "namespace": "b"}}
    for spec in ({**SMALL, "token": "plain"}, {**SMALL, "auth": secret}):
        with pytest.raises(KubectlError, match="unknown field"):
            sandbox.kubectl(*arguments, input=manifest("dry", spec))
    assert sandbox.get("dry", kind=INSTANCE) is None


_BOTH: Json = {**TOKEN, "basicAuthSecretRef": {"name": "a"}}
_VALUE: Json = {"value": "a"}
REFUSED: dict[str, tuple[Json, str]] = {
    "no url": ({"url": ""}, "url"),
    "no scheme": ({"url": "grafana.example.com"}, "url"),
    "another scheme": ({"url": "ftp://grafana.example.com"}, "url"),
    "credentials in the url": ({"url": "https://user:word@grafana.example.com"}, "url"),
    "query in the url": ({"url": "https://grafana.example.com/?orgId=2"}, "url"),
    "organization": ({"orgId": 0}, "orgId"),
    "no auth": ({"auth": {}}, "exactly one of tokenSecretRef, basicAuthSecretRef"),
    "both kinds of auth": ({"auth": _BOTH}, "exactly one of tokenSecretRef, basicAuthSecretRef"),
    "two authorities": (
        {"tls": {"caSecretRef": {"name": "a"}, "caConfigMapRef": {"name": "a"}}},
        "at most one of caSecretRef, caConfigMapRef",
    ),
    "header of ours": ({"headers": {"authorization": _VALUE}}, "Authorization"),
    "organization header": ({"headers": {"X-Grafana-Org-Id": _VALUE}}, "X-Grafana-Org-Id"),
    "header name": ({"headers": {"X Team": _VALUE}}, "names are letters"),
    "header without a value": ({"headers": {"X-Team": {}}}, "exactly one of value, secretKeyRef"),
    "header with two values": (
        {"headers": {"X-Team": {**_VALUE, "secretKeyRef": {"name": "a", "key": "b"}}}},
        "exactly one of value, secretKeyRef",
    ),
    "short timeout": ({"timeout": "500ms"}, "must be from 1s to 5m"),
    "long timeout": ({"timeout": "6m"}, "must be from 1s to 5m"),
    "no requests": ({"maxConcurrentRequests": 0}, "maxConcurrentRequests"),
    "many requests": ({"maxConcurrentRequests": 33}, "maxConcurrentRequests"),
    "mode": ({"mode": "Observe"}, "Unsupported value"),
    "nobody may refer": ({"allowedNamespaces": {"from": "None"}}, "Unsupported value"),
    "selector missing": ({"allowedNamespaces": {"from": "Selector"}}, "selector goes with from"),
    "selector unused": (
        {"allowedAdopters": {"from": "All", "selector": {}}},
        "selector goes with from",
    ),
    "operator of a selector": (
        {
            "allowedNamespaces": {
                "from": "Selector",
                "selector": {"matchExpressions": [{"key": "a", "operator": "Like"}]},
            }
        },
        "Unsupported value",
    ),
}


@pytest.mark.parametrize(("spec", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_out_of_bounds_is_refused(sandbox: Sandbox, spec: Json, words: str) -> None:
    with pytest.raises(RefusedError, match=words) as refused:
        sandbox.apply("refused", {**SMALL, **spec}, kind=INSTANCE)
    assert refused.value.status == 422
    assert sandbox.get("refused", kind=INSTANCE) is None


@pytest.mark.parametrize("name", ["ginst", "grafana", "grafanainstances.gdso.dev"])
def test_kubectl_knows_the_kind_by_its_short_name_and_category(sandbox: Sandbox, name: str) -> None:
    sandbox.apply("named", SMALL, kind=INSTANCE)
    assert "grafanainstance.gdso.dev/named" in sandbox.kubectl("get", name, "-o", "name")


def test_kubectl_explains_every_field(sandbox: Sandbox) -> None:
    for field in ("spec", "spec.auth", "spec.tls", "spec.allowedNamespaces", "status"):
        assert "<no description>" not in sandbox.kubectl("explain", f"ginst.{field}")
