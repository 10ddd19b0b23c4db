"""Secrets that are late, empty, gone, binary, many or elsewhere, and who may read which."""

import base64
import secrets
import time
from collections.abc import Callable

import pytest

from tests.conftest import StartProxy
from tests.integration.kube_proxy import ProxiedKubernetes
from tests.integration.sandbox import Json, Sandbox, ready_of
from tests.integration.specs import LOKI, secret_key, sends_headers, whole_secret
from tests.integration.standing import shared_sandbox as shared_sandbox
from tests.integration.standing import standing_sandbox as standing_sandbox
from tests.servers.audit_log import AuditRecord
from tests.servers.echo import EchoServer
from tests.servers.faults import requests_of
from tests.servers.operator_process import USER_AGENT


def new_value() -> str:
    return f"secret-{secrets.token_hex(8)}"


def secrets_revision(raw: Json) -> object:
    return raw["status"]["instances"][0].get("secretsRevision")


def wait_until_secret_was_noticed(sandbox: Sandbox, name: str, before: Json) -> Json:
    """Until status speaks of other Secrets than `before`."""
    old = secrets_revision(before)
    return sandbox.wait_until(name, lambda raw: secrets_revision(raw) != old, "another revision")


def held_keys(sandbox: Sandbox, uid: str) -> set[str]:
    held = sandbox.held(uid)
    return {key for key, is_set in held["secureJsonFields"].items() if is_set}


def test_a_late_secret_is_waited_for_and_used_as_soon_as_it_is_there(shared: Sandbox) -> None:
    spec = {**LOKI, "secureJsonData": {"basicAuthPassword": secret_key("late", "password")}}
    shared.apply("late", spec)
    waiting = shared.wait_for_reason("late", "WaitingForSecret")
    assert ready_of(waiting)["message"] == (
        'spec.secureJsonData.basicAuthPassword: Secret "late" does not exist;'
        " until then Grafana is left as it is"
    )
    assert shared.in_grafana(shared.uid("late")) is None
    assert "finalizers" not in waiting["metadata"]

    shared.apply_secret("late", {"password": new_value()})
    began = time.monotonic()
    shared.wait_ready("late")
    assert time.monotonic() - began < 5  # a fraction of a second on an idle machine
    assert held_keys(shared, shared.uid("late")) == {"basicAuthPassword"}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"other": "not asked for"}, 'Secret "{0}" has no key "password"'),
        ({"password": ""}, 'key "password" of Secret "{0}" is empty'),
        ({"password": b"\xff\xfe\x00"}, 'key "password" of Secret "{0}" is not UTF-8 text'),
    ],
    ids=["no such key", "empty", "binary"],
)
def test_a_required_value_that_cannot_be_sent_is_waited_for(
    shared: Sandbox, content: dict[str, str | bytes], problem: str
) -> None:
    name = f"required-{secrets.token_hex(3)}"
    uid = shared.uid(name)
    shared.apply_secret(name, {"password": new_value()})
    spec = {**LOKI, "secureJsonData": {"basicAuthPassword": secret_key(name, "password")}}
    shared.apply(name, spec)
    shared.wait_ready(name)
    before = shared.held(uid)

    shared.delete_secret(name)
    shared.apply_secret(name, content)
    waiting = shared.wait_for_reason(name, "WaitingForSecret", message=problem.format(name))
    assert ready_of(waiting)["message"].startswith("spec.secureJsonData.basicAuthPassword: ")
    assert shared.held(uid) == before

    shared.apply_secret(name, {"password": new_value()})
    shared.wait_ready(name)


def test_binary_bytes_in_a_secret_taken_whole_are_named(shared: Sandbox) -> None:
    shared.apply_secret("whole-binary", {"good": new_value(), "bad": b"\x89PNG\r\n\x1a\n\xff"})
    shared.apply("whole-binary", {**LOKI, "secureJsonDataFrom": [whole_secret("whole-binary")]})
    waiting = shared.wait_for_reason("whole-binary", "WaitingForSecret")
    assert ready_of(waiting)["message"].startswith(
        'spec.secureJsonDataFrom[0]: key "bad" of Secret "whole-binary" is not UTF-8 text'
    )
    assert shared.in_grafana(shared.uid("whole-binary")) is None


@pytest.mark.parametrize(
    "take_away",
    [
        lambda sandbox, name: sandbox.delete_secret(name),
        lambda sandbox, name: (
            sandbox.delete_secret(name),
            sandbox.apply_secret(name, {"other": new_value()}),
        ),
        lambda sandbox, name: sandbox.apply_secret(name, {"token": ""}),
    ],
    ids=["Secret gone", "key gone", "value empty"],
)
def test_an_optional_value_that_vanishes_stays_as_grafana_has_it(
    shared: Sandbox, echo: EchoServer, take_away: Callable[[Sandbox, str], object]
) -> None:
    name, value = f"optional-{secrets.token_hex(3)}", new_value()
    uid = shared.uid(name)
    shared.apply_secret(name, {"token": value})
    optional = {"httpHeaderValue1": secret_key(name, "token", optional=True)}
    shared.apply(name, {**sends_headers(echo.url, "X-Token"), "secureJsonData": optional})
    ready = shared.wait_ready(name)

    take_away(shared, name)
    noticed = wait_until_secret_was_noticed(shared, name, ready)
    assert ready_of(noticed) == ready_of(ready)
    assert held_keys(shared, uid) == {"httpHeaderValue1"}
    shared.query(uid)
    assert echo.last_header("X-Token") == value


@pytest.mark.parametrize("content", [None, {"other": "not asked for"}, {"token": ""}])
def test_an_optional_value_that_was_never_there_does_not_keep_a_data_source_from_being_made(
    shared: Sandbox, content: dict[str, str | bytes] | None
) -> None:
    name = f"never-{secrets.token_hex(3)}"
    if content is not None:
        shared.apply_secret(name, content)
    optional = {"basicAuthPassword": secret_key(name, "token", optional=True)}
    shared.apply(name, {**LOKI, "secureJsonData": optional})
    shared.wait_ready(name)
    assert held_keys(shared, shared.uid(name)) == set()


def test_an_optional_secret_taken_whole_that_vanishes_stays_as_grafana_has_it(
    shared: Sandbox,
) -> None:
    shared.apply_secret("whole-optional", {"one": new_value(), "two": new_value()})
    source = whole_secret("whole-optional", optional=True)
    shared.apply("whole-optional", {**LOKI, "secureJsonDataFrom": [source]})
    ready = shared.wait_ready("whole-optional")
    shared.delete_secret("whole-optional")
    noticed = wait_until_secret_was_noticed(shared, "whole-optional", ready)
    assert ready_of(noticed) == ready_of(ready)
    assert held_keys(shared, shared.uid("whole-optional")) == {"one", "two"}


def test_a_secret_that_vanishes_while_in_use_leaves_grafana_untouched(shared: Sandbox) -> None:
    uid = shared.uid("in-use")
    shared.apply_secret("in-use", {"password": new_value()})
    shared.apply_secret("in-use-whole", {"more": new_value()})
    spec = {
        **LOKI,
        "secureJsonData": {"basicAuthPassword": secret_key("in-use", "password")},
        "secureJsonDataFrom": [whole_secret("in-use-whole")],
    }
    shared.apply("in-use", spec)
    shared.wait_ready("in-use")
    before, mark = shared.held(uid), shared.proxy.mark()

    shared.delete_secret("in-use")
    shared.wait_for_reason("in-use", "WaitingForSecret", message="spec.secureJsonData.basicAuth")
    shared.delete_secret("in-use-whole")
    shared.wait_for_reason("in-use", "WaitingForSecret", message="spec.secureJsonDataFrom[0]")
    shared.apply_secret("in-use", {"password": new_value()})
    # Also a change of the spec has to wait.
    shared.apply("in-use", {**spec, "url": "http://elsewhere:3100"})
    shared.wait_for_reason("in-use", "WaitingForSecret")
    assert shared.held(uid) == before
    assert [r for r in shared.grafana_requests(mark) if r.startswith("PUT")] == []

    shared.apply_secret("in-use-whole", {"more": new_value()})
    shared.wait_ready("in-use")
    after = shared.held(uid)
    assert (after["url"], after["version"]) == ("http://elsewhere:3100", before["version"] + 1)


def test_a_key_that_leaves_the_spec_is_blanked(shared: Sandbox) -> None:
    uid = shared.uid("leaves-spec")
    shared.apply_secret("leaves-spec", {"a": new_value(), "b": new_value()})
    both = {"one": secret_key("leaves-spec", "a"), "two": secret_key("leaves-spec", "b")}
    shared.apply("leaves-spec", {**LOKI, "secureJsonData": both})
    shared.wait_ready("leaves-spec")
    assert held_keys(shared, uid) == {"one", "two"}
    shared.apply("leaves-spec", {**LOKI, "secureJsonData": {"two": both["two"]}})
    shared.wait_ready("leaves-spec")
    assert held_keys(shared, uid) == {"two"}
    shared.apply("leaves-spec", LOKI)
    shared.wait_ready("leaves-spec")
    assert held_keys(shared, uid) == set()


def test_a_key_that_leaves_a_secret_taken_whole_is_blanked(shared: Sandbox) -> None:
    uid = shared.uid("leaves-secret")
    shared.apply_secret("leaves-secret", {"one": new_value(), "two": new_value()})
    shared.apply("leaves-secret", {**LOKI, "secureJsonDataFrom": [whole_secret("leaves-secret")]})
    ready = shared.wait_ready("leaves-secret")
    assert held_keys(shared, uid) == {"one", "two"}
    shared.apply_secret("leaves-secret", {"two": new_value(), "three": new_value()})
    wait_until_secret_was_noticed(shared, "leaves-secret", ready)
    assert held_keys(shared, uid) == {"two", "three"}


def test_later_secrets_win_over_earlier_ones_and_single_keys_over_all(
    shared: Sandbox, echo: EchoServer
) -> None:
    values = {(secret, key): new_value() for secret in "abc" for key in ("1", "2", "3")}
    for secret, keys in (("a", "123"), ("b", "12"), ("c", "1")):
        content: dict[str, str | bytes] = {
            f"httpHeaderValue{key}": values[secret, key] for key in keys
        }
        shared.apply_secret(f"order-{secret}", content)
    spec = {
        **sends_headers(echo.url, "X-One", "X-Two", "X-Three"),
        "secureJsonDataFrom": [whole_secret("order-a"), whole_secret("order-b")],
        "secureJsonData": {"httpHeaderValue1": secret_key("order-c", "httpHeaderValue1")},
    }
    shared.apply("order", spec)
    shared.wait_ready("order")
    shared.query(shared.uid("order"))
    received = [echo.last_header(name) for name in ("X-One", "X-Two", "X-Three")]
    assert received == [values["c", "1"], values["b", "2"], values["a", "3"]]


def test_a_value_arrives_byte_by_byte_with_its_newlines(shared: Sandbox, echo: EchoServer) -> None:
    value = f" pässwörd:\n\t{secrets.token_hex(8)}\n"
    shared.apply_secret("newline", {"password": value})
    spec = {
        "type": "prometheus",
        "url": echo.url,
        "basicAuth": True,
        "basicAuthUser": "scraper",
        "secureJsonData": {"basicAuthPassword": secret_key("newline", "password")},
    }
    shared.apply("newline", spec)
    shared.wait_ready("newline")
    shared.query(shared.uid("newline"))
    scheme, _, sent = (echo.last_header("Authorization") or "").partition(" ")
    assert scheme == "Basic"
    assert base64.b64decode(sent).decode() == f"scraper:{value}"


def test_a_secret_of_another_namespace_is_never_used(shared: Sandbox) -> None:
    other = f"{shared.namespace}-other"
    kubectl = shared.kubernetes.kubectl
    kubectl("create", "namespace", other)
    kubectl("create", "secret", "generic", "elsewhere", "-n", other, "--from-literal=key=value")
    mark = shared.audit.mark()
    spec = {**LOKI, "secureJsonData": {"basicAuthPassword": secret_key("elsewhere", "key")}}
    shared.apply("elsewhere", spec)
    shared.wait_for_reason(
        "elsewhere", "WaitingForSecret", message='Secret "elsewhere" does not exist'
    )
    asked = [r for r in secret_requests(shared, mark) if r.name == "elsewhere"]
    assert {r.namespace for r in asked} == {shared.namespace}
    assert shared.in_grafana(shared.uid("elsewhere")) is None


def test_sixty_four_keys_cost_one_read_per_secret_and_one_write(shared: Sandbox) -> None:
    many: dict[str, str | bytes] = {f"key-{number}": new_value() for number in range(64)}
    shared.apply_secret("many", many)
    wanted = {f"secret{number}": secret_key("many", f"key-{number}") for number in range(64)}
    kube, grafana = shared.audit.mark(), shared.proxy.mark()
    shared.apply("many", {**LOKI, "secureJsonData": wanted})
    shared.wait_ready("many")
    assert held_keys(shared, shared.uid("many")) == set(wanted)
    assert shared.grafana_requests(grafana) == ["POST /api/datasources"]
    assert [r.verb for r in secret_requests(shared, kube) if r.name == "many"] == ["get"]


def test_only_secrets_that_are_referred_to_are_read(shared: Sandbox) -> None:
    mark = shared.audit.mark()
    for name in ("read-by-key", "read-whole", "read-by-nobody"):
        shared.apply_secret(name, {"key": new_value()})
    spec = {
        **LOKI,
        "secureJsonData": {"one": secret_key("read-by-key", "key")},
        "secureJsonDataFrom": [whole_secret("read-whole")],
    }
    shared.apply("reader", spec)
    shared.wait_ready("reader")
    shared.apply_secret("read-by-nobody", {"key": new_value()})
    before = shared.wait_ready("reader")
    shared.apply_secret("read-by-key", {"key": new_value()})
    wait_until_secret_was_noticed(shared, "reader", before)

    asked = secret_requests(shared, mark)
    assert {"read-by-key", "read-whole"} <= {r.name for r in asked}
    # Those of the tests before may still be waited for.
    assert {r.name for r in asked} <= referred_to(shared.get_all())
    assert {(r.verb, r.namespace) for r in asked} == {("get", shared.namespace)}


def referred_to(resources: list[Json]) -> set[str]:
    """Names of Secrets."""
    specs = [raw["spec"] for raw in resources]
    single = [
        v["secretKeyRef"]["name"] for s in specs for v in s.get("secureJsonData", {}).values()
    ]
    whole = [v["secretRef"]["name"] for s in specs for v in s.get("secureJsonDataFrom", [])]
    return {*single, *whole}


def secret_requests(sandbox: Sandbox, since: int) -> list[AuditRecord]:
    return [r for r in sandbox.audit.requests(USER_AGENT, since) if r.resource == "secrets"]


def test_secrets_are_listed_and_watched_by_their_metadata_only(
    sandbox: Sandbox, fault_proxy_to: StartProxy
) -> None:
    cluster = ProxiedKubernetes(sandbox, fault_proxy_to)
    cluster.make_operator().start()
    sandbox.apply_secret("watched", {"key": new_value()})
    spec = {**LOKI, "secureJsonData": {"basicAuthPassword": secret_key("watched", "key")}}
    sandbox.apply("watched", spec)
    ready = sandbox.wait_ready("watched")
    sandbox.apply_secret("watched", {"key": new_value()})
    wait_until_secret_was_noticed(sandbox, "watched", ready)

    is_about_secrets = requests_of(path_pattern=r"/secrets(/|\?|$)")
    about_secrets = cluster.proxy.matching(is_about_secrets)
    whole = [r for r in about_secrets if "as=PartialObjectMetadata" not in r.headers["accept"]]
    paths = {(r.method, r.path) for r in whole}
    assert paths == {("GET", f"/api/v1/namespaces/{sandbox.namespace}/secrets/watched")}
    lists = [r for r in about_secrets if r not in whole]
    assert {"watch=true" in r.path for r in lists} == {True, False}
    # An Accept header with alternatives would let the apiserver send whole Secrets.
    assert all("," not in r.headers["accept"] for r in lists)
