"""What the schema alone ensures; the operator runs only where a rule looks at its status."""

import json
from pathlib import Path

import pytest

from tests.integration.sandbox import Json, RefusedError, Sandbox, ready_of
from tests.integration.specs import LOKI, secret_key
from tests.integration.standing import shared_sandbox as shared_sandbox
from tests.integration.standing import standing_sandbox as standing_sandbox
from tests.kstatus import broken_rules
from tests.servers.kubectl import KubectlError

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("**/*.yaml"))
CANNOT_CHANGE = "spec.uid cannot be changed or removed"
ONLY_EQUAL = "spec.uid can only be added equal to status.uid"

FULL: Json = {
    "instanceRef": {"name": "main", "namespace": "monitoring"},
    "uid": "full-uid",
    "name": "Everything",
    "type": "prometheus",
    "access": "direct",
    "url": "http://prometheus:9090",
    "user": "reader",
    "database": "metrics",
    "basicAuth": True,
    "basicAuthUser": "scraper",
    "withCredentials": True,
    "isDefault": False,
    "jsonData": {"httpMethod": "POST", "list": [{"a": 1}], "deep": {"b": None}},
    "secureJsonData": {"basicAuthPassword": secret_key("auth", "password", optional=True)},
    "secureJsonDataFrom": [{"secretRef": {"name": "more", "optional": True}}],
    "valuesFrom": [
        {"path": "/url", "valueFrom": {"secretKeyRef": {"name": "auth", "key": "url"}}},
        {
            "path": "/jsonData/a~1b/0",
            "valueFrom": {"configMapKeyRef": {"name": "plain", "key": "a", "optional": True}},
        },
    ],
    "ignoreFields": ["/jsonData/teamHttpHeaders", "/user"],
    "adoptionPolicy": "IfUnowned",
    "deletionPolicy": "Orphan",
    "driftPolicy": "Report",
    "resyncInterval": "1h30m",
    "healthCheck": {"enabled": True, "interval": "1m"},
    "suspend": False,
}


def manifest(name: str, spec: Json, **metadata: object) -> str:
    return json.dumps(
        {
            "apiVersion": "gdso.dev/v1beta1",
            "kind": "GrafanaDataSource",
            "metadata": {"name": name, **metadata},
            "spec": spec,
        }
    )


# --- without an operator


def test_a_fresh_object_is_pending_until_an_operator_has_looked(sandbox: Sandbox) -> None:
    sandbox.apply("fresh", LOKI)
    raw = sandbox.get("fresh")
    assert raw is not None
    assert raw["status"]["observedGeneration"] == -1
    (ready,) = raw["status"]["conditions"]
    assert (ready["type"], ready["status"], ready["reason"]) == ("Ready", "Unknown", "Pending")
    assert ready["observedGeneration"] == -1
    assert not broken_rules(raw)
    with pytest.raises(KubectlError, match="condition not met"):
        sandbox.kubectl("wait", "gds/fresh", "--for=condition=Ready", "--timeout=0s")


SELECTING: Json = {
    **LOKI,
    "instanceSelector": {"namespace": "monitoring", "matchLabels": {"tier": "prod"}},
}


@pytest.mark.parametrize(
    "spec", [LOKI, FULL, SELECTING], ids=["smallest", "largest", "with a selector"]
)
def test_a_second_client_side_apply_changes_nothing(sandbox: Sandbox, spec: Json) -> None:
    text = manifest("applied", spec)
    assert sandbox.kubectl("apply", "-f", "-", input=text).endswith(" created\n")
    before = sandbox.get("applied")
    assert sandbox.kubectl("apply", "-f", "-", input=text).endswith(" unchanged\n")
    assert sandbox.kubectl("diff", "-f", "-", input=text) == ""
    assert sandbox.get("applied") == before


def test_what_was_applied_is_what_is_stored(sandbox: Sandbox) -> None:
    stored = sandbox.apply("stored", FULL)
    assert stored["spec"] == FULL
    assert sandbox.apply("defaults", LOKI)["spec"] == {
        **LOKI,
        "access": "proxy",
        "adoptionPolicy": "Never",
        "deletionPolicy": "Delete",
        "driftPolicy": "Correct",
    }


def test_a_dry_run_on_the_server_checks_and_stores_nothing(sandbox: Sandbox) -> None:
    arguments = ("apply", "--dry-run=server", "--validate=strict", "-f", "-")
    sandbox.kubectl(*arguments, input=manifest("dry", FULL))
    with pytest.raises(KubectlError, match="unknown field"):
        sandbox.kubectl(*arguments, input=manifest("dry", {**LOKI, "isDefualt": True}))
    assert sandbox.get_all() == []


def one_value(path: str, **sources: Json) -> Json:
    return {"valuesFrom": [{"path": path, "valueFrom": sources}]}


_KEY: Json = {"name": "there", "key": "key"}
REFUSED: dict[str, tuple[Json, str]] = {
    "access": ({"access": "server"}, "Unsupported value"),
    "adoptionPolicy": ({"adoptionPolicy": "Always"}, "Unsupported value"),
    "driftPolicy": ({"driftPolicy": "Ignore"}, "Unsupported value"),
    "deletionPolicy": ({"deletionPolicy": "Keep"}, "Unsupported value"),
    "short resync": ({"resyncInterval": "500ms"}, "at least 1s"),
    "no duration": ({"resyncInterval": "soon"}, "resyncInterval"),
    "short health interval": ({"healthCheck": {"interval": "1ms"}}, "at least 1s"),
    "reference and selector": (
        {"instanceRef": {"name": "a"}, "instanceSelector": {"matchLabels": {"a": "b"}}},
        "at most one of instanceRef, instanceSelector can be set",
    ),
    "reference without a name": ({"instanceRef": {"namespace": "a"}}, "instanceRef.name"),
    "name of an instance": ({"instanceRef": {"name": "Main"}}, "instanceRef.name"),
    "namespace": ({"instanceRef": {"name": "a", "namespace": "a.b"}}, "instanceRef.namespace"),
    "empty selector": ({"instanceSelector": {"matchLabels": {}}}, "at least 1"),
    "selector without labels": ({"instanceSelector": {}}, "matchLabels: Required value"),
    "label": ({"instanceSelector": {"matchLabels": {"a": "not a label"}}}, "matchLabels"),
    "no source": (one_value("/url"), "exactly one of secretKeyRef, configMapKeyRef"),
    "two sources": (
        one_value("/url", secretKeyRef=_KEY, configMapKeyRef=_KEY),
        "exactly one of secretKeyRef, configMapKeyRef",
    ),
    "no pointer": (one_value("url", secretKeyRef=_KEY), "valuesFrom"),
    "broken pointer": (one_value("/jsonData/a~2", secretKeyRef=_KEY), "valuesFrom"),
    "ignored twice": ({"ignoreFields": ["/url", "/url"]}, "Duplicate value|duplicate entries"),
    "ignored nowhere": ({"ignoreFields": ["url"]}, "ignoreFields"),
    "long url": ({"url": "u" * 256}, "Too long"),
    "key without a reference": ({"secureJsonData": {"password": {}}}, "secretKeyRef"),
}


@pytest.mark.parametrize(("spec", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_out_of_bounds_is_refused(standing: Sandbox, spec: Json, words: str) -> None:
    with pytest.raises(RefusedError, match=words):
        standing.apply("refused", {**LOKI, **spec})
    assert standing.get("refused") is None


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: str(path.stem))
def test_every_example_passes_a_strict_dry_run(sandbox: Sandbox, example: Path) -> None:
    said = sandbox.kubectl(
        "apply", "--dry-run=server", "--validate=strict", "-f", "-", input=example.read_text()
    )
    assert len(said.splitlines()) == f"\n{example.read_text()}".count("\nkind: ")
    assert ".gdso.dev/" in said


def test_server_side_apply_merges_secure_json_data_per_key(sandbox: Sandbox) -> None:
    def apply_as(manager: str, **secure: Json) -> None:
        sandbox.kubectl(
            *("apply", "--server-side", f"--field-manager={manager}", "-f", "-"),
            input=manifest("shared", {**LOKI, "secureJsonData": secure}),
        )

    def stored() -> Json:
        raw = sandbox.get("shared")
        assert raw is not None
        held: Json = raw["spec"].get("secureJsonData", {})
        return held

    one, two = secret_key("one", "key"), secret_key("two", "key", optional=True)
    apply_as("first", a=one)
    apply_as("second", b=two)
    assert stored() == {"a": one, "b": two}
    # A reference is replaced as a whole: `optional` does not survive.
    apply_as("second", b=one)
    assert stored() == {"a": one, "b": one}
    apply_as("second")
    assert stored() == {"a": one}
    with pytest.raises(KubectlError, match="conflict"):
        apply_as("second", a=two)


def test_server_side_apply_merges_json_data_per_key(sandbox: Sandbox) -> None:
    for manager, json_data in (("first", {"a": {"x": 1}}), ("second", {"a": {"y": 2}, "b": [3]})):
        sandbox.kubectl(
            *("apply", "--server-side", f"--field-manager={manager}", "-f", "-"),
            input=manifest("merged", {**LOKI, "jsonData": json_data}),
        )
    raw = sandbox.get("merged")
    assert raw is not None
    assert raw["spec"]["jsonData"] == {"a": {"x": 1, "y": 2}, "b": [3]}


@pytest.mark.parametrize(
    "name", ["gds", "grafana", "grafanadatasource", "grafanadatasources.gdso.dev"]
)
def test_kubectl_knows_the_kind_by_its_short_name_and_category(sandbox: Sandbox, name: str) -> None:
    sandbox.apply("named", LOKI)
    assert "grafanadatasource.gdso.dev/named" in sandbox.kubectl("get", name, "-o", "name")


def test_kubectl_explains_every_field(sandbox: Sandbox) -> None:
    for field in ("spec", "status"):
        text = sandbox.kubectl("explain", f"gds.{field}", "--recursive")
        assert "<no description>" not in sandbox.kubectl("explain", f"gds.{field}")
        assert text.count("<") > 5


# --- the uid, with an operator that has recorded it


def test_a_uid_cannot_be_changed_or_removed(shared: Sandbox) -> None:
    shared.apply("fixed", {**LOKI, "uid": "fixed-uid"})
    shared.wait_ready("fixed")
    for spec in ({**LOKI, "uid": "other-uid"}, LOKI):
        with pytest.raises(RefusedError, match=CANNOT_CHANGE):
            shared.apply("fixed", spec)
        with pytest.raises(KubectlError, match=CANNOT_CHANGE):
            shared.kubectl("replace", "-f", "-", input=manifest("fixed", spec))
    with pytest.raises(RefusedError, match=CANNOT_CHANGE):
        shared.patch("fixed", {"spec": {"uid": None}})
    assert shared.in_grafana("fixed-uid") is not None


def test_a_uid_cannot_be_changed_before_it_reached_grafana_either(sandbox: Sandbox) -> None:
    sandbox.apply("early", {**LOKI, "uid": "early-uid"})
    with pytest.raises(RefusedError, match=CANNOT_CHANGE):
        sandbox.apply("early", {**LOKI, "uid": "other-uid"})
    # Without any, and before status records one, every uid is as good.
    sandbox.apply("undecided", LOKI)
    sandbox.apply("undecided", {**LOKI, "uid": "decided-uid"})


def test_only_the_uid_in_use_can_be_added(shared: Sandbox) -> None:
    shared.apply("added", LOKI)
    before = shared.wait_ready("added")
    uid = before["status"]["uid"]
    with pytest.raises(RefusedError, match=ONLY_EQUAL):
        shared.apply("added", {**LOKI, "uid": "other-uid"})
    held, mark = shared.held(uid), shared.proxy.mark()
    shared.apply("added", {**LOKI, "uid": uid})
    ready = shared.wait_ready("added")
    assert ready["status"]["uid"] == uid
    assert shared.held(uid) == held
    assert shared.grafana_requests(mark) == [f"GET /api/datasources/uid/{uid}"]


def test_a_status_in_a_manifest_is_ignored(shared: Sandbox) -> None:
    body = json.loads(manifest("boastful", LOKI))
    body["status"] = {"observedGeneration": 7, "uid": "somebody-elses"}
    shared.kubectl("create", "-f", "-", input=json.dumps(body))
    ready = shared.wait_ready("boastful")
    assert ready["status"]["uid"] == shared.uid("boastful")
    assert ready_of(ready)["observedGeneration"] == 1
