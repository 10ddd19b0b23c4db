"""A wrong spec harms nobody but its own resource, says what is wrong, and can be put right."""

import re
import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.sandbox import Json, RefusedError, Sandbox, ready_of
from tests.integration.specs import LOKI, UNCHECKED, secret_key
from tests.integration.standing import shared_sandbox as shared_sandbox
from tests.integration.standing import standing_sandbox as standing_sandbox
from tests.kstatus import find_condition

MAX_INTEGER = 2**63 - 1


@pytest.fixture
def untouched_neighbor(shared: Sandbox) -> Iterator[None]:
    """A resource that is fine before, and to which nothing happens."""
    shared.apply("neighbor", {**LOKI, **UNCHECKED})
    before, mark = shared.wait_ready("neighbor"), shared.audit.mark()
    yield
    assert shared.get("neighbor") == before
    assert shared.writes_to("neighbor", mark) == []


def nested(levels: int) -> Json:
    value: Json = {}
    for _ in range(levels):
        value = {"a": value}
    return value


REFUSED: dict[str, tuple[Json, str]] = {
    "no type": ({"url": "http://loki:3100"}, "spec.type: Required value"),
    "empty type": ({**LOKI, "type": ""}, "spec.type"),
    "type that is a path": ({**LOKI, "type": "../loki"}, "spec.type"),
    "uid of 41 characters": ({**LOKI, "uid": "u" * 41}, "spec.uid: Too long"),
    "empty uid": ({**LOKI, "uid": ""}, "spec.uid"),
    "uid with a dot": ({**LOKI, "uid": "a.b"}, "spec.uid"),
    "uid with a slash": ({**LOKI, "uid": "a/b"}, "spec.uid"),
    "uid with a line end": ({**LOKI, "uid": "ab\n"}, "spec.uid"),
    "uid not in ASCII": ({**LOKI, "uid": "ü"}, "spec.uid"),
    "name of 191 characters": ({**LOKI, "name": "n" * 191}, "spec.name: Too long"),
    "empty name": ({**LOKI, "name": ""}, "spec.name"),
    "unknown access": ({**LOKI, "access": "server"}, 'spec.access: Unsupported value: "server"'),
    "url of 256 characters": ({**LOKI, "url": "http://" + "u" * 249}, "spec.url: Too long"),
    "half a second": ({**LOKI, "resyncInterval": "500ms"}, "must be 0s (never) or at least 1s"),
    "no duration": ({**LOKI, "resyncInterval": "often"}, "spec.resyncInterval"),
    "negative duration": ({**LOKI, "resyncInterval": "-1m"}, "spec.resyncInterval"),
    "duration without a unit": ({**LOKI, "resyncInterval": "60"}, "spec.resyncInterval"),
    "duration of millennia": ({**LOKI, "resyncInterval": "9999999999h"}, "spec.resyncInterval"),
    "unknown deletionPolicy": ({**LOKI, "deletionPolicy": "Keep"}, "spec.deletionPolicy"),
    "text for a boolean": ({**LOKI, "isDefault": "yes"}, "spec.isDefault"),
    "list for jsonData": ({**LOKI, "jsonData": []}, "spec.jsonData"),
    "value for a reference": ({**LOKI, "secureJsonData": {"password": "p"}}, "secureJsonData"),
    "empty secret key": (
        {**LOKI, "secureJsonData": {"": secret_key("s", "k")}},
        "keys must have 1 to 253 characters",
    ),
    "Secret of another namespace": (
        {**LOKI, "secureJsonData": {"password": secret_key("other/secret", "k")}},
        "secretKeyRef.name",
    ),
    "65 secret keys": (
        {**LOKI, "secureJsonData": {str(n): secret_key("s", "k") for n in range(65)}},
        "spec.secureJsonData: Too many",
    ),
    "17 whole Secrets": (
        {**LOKI, "secureJsonDataFrom": [{"secretRef": {"name": "s"}}] * 17},
        "spec.secureJsonDataFrom: Too many",
    ),
    "unknown field": ({**LOKI, "isDefualt": True}, ".spec.isDefualt: field not declared"),
    "unknown field below": (
        {**LOKI, "secureJsonData": {"password": {"secretKeyRef": {"name": "s", "keys": "k"}}}},
        ".keys: field not declared",
    ),
}


@pytest.mark.parametrize(("spec", "message"), REFUSED.values(), ids=REFUSED)
def test_the_apiserver_refuses(
    shared: Sandbox, untouched_neighbor: None, spec: Json, message: str
) -> None:
    mark = shared.proxy.mark()
    with pytest.raises(RefusedError) as refused:
        shared.apply("refused", spec)
    assert message in refused.value.message
    assert refused.value.status in (422, 500)
    assert shared.get("refused") is None
    assert shared.grafana_requests(mark) == []


INVALID: dict[str, tuple[Json, str]] = {
    "our mark": (
        {**LOKI, "jsonData": {"gdso.dev/owner": "me/you/them"}},
        "spec.jsonData[gdso.dev/owner]: is the operator's own mark",
    ),
    "too large an integer": (
        {**LOKI, "jsonData": {"a": {"b": [1, MAX_INTEGER + 1]}}},
        "spec.jsonData/a/b/1: is an integer beyond 2^63-1",
    ),
    "too small an integer": (
        {**LOKI, "jsonData": {"a/b": -(MAX_INTEGER + 1)}},
        "spec.jsonData/a~1b: is an integer beyond 2^63-1",
    ),
    "deep nesting": (
        {**LOKI, "jsonData": {"list": [nested(99)]}},
        "spec.jsonData: is nested more than 100 levels deep",
    ),
    "no url": ({"type": "prometheus"}, "spec.url: must be set for type prometheus"),
    "empty url": ({"type": "prometheus", "url": ""}, "spec.url: must be set for type prometheus"),
    "blank url": ({"type": "loki", "url": "  "}, "spec.url: must be set for type loki"),
}


@pytest.mark.parametrize(("spec", "message"), INVALID.values(), ids=INVALID)
def test_the_operator_refuses(
    shared: Sandbox, untouched_neighbor: None, spec: Json, message: str
) -> None:
    name, mark = f"invalid-{secrets.token_hex(3)}", shared.proxy.mark()
    shared.apply(name, spec)
    stalled = shared.wait_for_reason(name, "InvalidSpec", message=message)
    assert find_condition(stalled, "Stalled") is not None
    assert "finalizers" not in stalled["metadata"]
    assert shared.grafana_requests(mark) == []

    shared.apply(name, LOKI)
    shared.wait_ready(name)
    assert shared.in_grafana(shared.uid(name)) is not None
    shared.delete(name)
    shared.wait_gone(name)


def test_a_data_source_stays_as_it_was_when_its_spec_becomes_wrong(shared: Sandbox) -> None:
    uid = shared.uid("spoiled")
    shared.apply("spoiled", LOKI)
    shared.wait_ready("spoiled")
    held, mark = shared.held(uid), shared.proxy.mark()
    for spec, message in INVALID.values():
        shared.apply("spoiled", spec)
        shared.wait_for_reason("spoiled", "InvalidSpec", message=message)
    assert shared.held(uid) == held
    assert shared.grafana_requests(mark) == []
    shared.delete("spoiled")
    shared.wait_gone("spoiled")
    assert shared.in_grafana(uid) is None


def test_an_object_that_python_can_hardly_parse_stops_nobody(
    shared: Sandbox, untouched_neighbor: None
) -> None:
    levels = 5_000
    deep = '{"a":' * levels + "{}" + "}" * levels
    manifest = f"""{{
        "apiVersion": "gdso.dev/v1beta1", "kind": "GrafanaDataSource",
        "metadata": {{"name": "abyss"}},
        "spec": {{"type": "loki", "url": "http://loki:3100", "jsonData": {deep}}}
    }}"""
    # This process could not even read it back: kubectl does.
    shared.kubectl("create", "-f", "-", input=manifest)
    reason = '{.status.conditions[?(@.type=="Ready")].reason}'
    shared.kubectl("wait", "gds/abyss", f"--for=jsonpath={reason}=InvalidSpec", "--timeout=30s")
    (operator,) = shared.operators
    operator.restart()
    shared.apply("beside-abyss", LOKI)
    shared.wait_ready("beside-abyss")
    shared.kubectl("delete", "gds/abyss", "--timeout=30s")


REJECTED: dict[str, tuple[Json, str]] = {
    "url that cannot be read": ({"type": "prometheus", "url": "http://[::1"}, "[Uu][Rr][Ll]"),
    "url with a port for mssql": ({"type": "mssql", "url": "http://host:1433"}, "[Uu][Rr][Ll]"),
}


@pytest.mark.parametrize(("spec", "words"), REJECTED.values(), ids=REJECTED)
def test_what_grafana_refuses_is_told_in_its_words(
    shared: Sandbox, untouched_neighbor: None, spec: Json, words: str
) -> None:
    name, mark = f"rejected-{secrets.token_hex(3)}", shared.proxy.mark()
    shared.apply(name, spec)
    stalled = shared.wait_for_reason(name, "GrafanaRejected")
    message = ready_of(stalled)["message"]
    assert re.match(f'Grafana refused it with HTTP 400: ".*{words}', message), message
    assert shared.in_grafana(shared.uid(name)) is None
    assert shared.grafana_requests(mark) == ["POST /api/datasources"]

    shared.apply(name, {**spec, "url": "fine:1433"})
    shared.wait_ready(name)
    shared.delete(name)
    shared.wait_gone(name)


UNUSUAL: dict[str, Json] = {
    "url without a scheme": {**LOKI, "url": "loki:3100"},
    "no url where none is needed": {"type": "cloudwatch"},
    "unknown plugin": {**LOKI, "type": "nobody-knows-datasource"},
    "alias of a plugin": {"type": "testdata"},
    "name of 190 characters": {**LOKI, "name": "n" * 190},
    "name of dots": {**LOKI, "name": ".."},
    "name with slashes": {**LOKI, "name": "a/b?c#d %2F"},
    "uid of 40 characters": {**LOKI, "uid": "u" * 40},
    "largest integers": {**LOKI, "jsonData": {"a": [MAX_INTEGER, -MAX_INTEGER]}},
    "fractions": {**LOKI, "jsonData": {"a": [1.0, 0.1, 1e300, -0.0]}},
    "empty containers": {**LOKI, "jsonData": {"a": {}, "b": [], "c": "", "d": [{}]}},
    "strange keys": {**LOKI, "jsonData": {"a.b/c~d": 1, "": 2, "ü \n": 3, "__proto__": 4}},
    "hundred levels": {**LOKI, "jsonData": nested(99)},
    "characters that are none": {**LOKI, "jsonData": {"a": "\u0000\u2028\ufffd😀"}},
    "never looked at again": {**LOKI, "resyncInterval": "0s"},
    "compound duration": {**LOKI, "resyncInterval": "1h30m1.5s"},
}


@pytest.fixture(scope="module")
def unusual(standing: Sandbox) -> dict[str, Json]:
    """All of them, ready."""
    names = {case: f"unusual-{number}" for number, case in enumerate(UNUSUAL)}
    for case, name in names.items():
        standing.apply(name, UNUSUAL[case])
    return {case: standing.wait_ready(name) for case, name in names.items()}


@pytest.mark.parametrize("case", UNUSUAL)
def test_grafana_holds_an_unusual_spec(
    shared: Sandbox, unusual: dict[str, Json], case: str
) -> None:
    spec, held = UNUSUAL[case], shared.held(unusual[case]["status"]["uid"])
    for name in ("name", "url", "uid"):
        if name in spec:
            assert held[name] == spec[name]
    assert {**held["jsonData"], **spec.get("jsonData", {})} == held["jsonData"]


def test_another_look_at_an_unusual_spec_finds_nothing_to_do(
    shared: Sandbox, unusual: dict[str, Json]
) -> None:
    mark = shared.proxy.mark()
    for raw in unusual.values():
        shared.request_reconcile(raw["metadata"]["name"])
    assert shared.grafana_requests(mark) == [
        f"GET /api/datasources/uid/{raw['status']['uid']}" for raw in unusual.values()
    ]


def test_nulls_count_as_absent(shared: Sandbox) -> None:
    json_data: dict[str, Any] = {"a": None, "b": {"c": None, "d": 1}, "e": [None, {"f": None}]}
    shared.apply("nulls", {**LOKI, "jsonData": json_data})
    shared.wait_ready("nulls")
    held = shared.held(shared.uid("nulls"))
    held["jsonData"].pop("gdso.dev/owner")
    assert held["jsonData"] == {"b": {"d": 1}, "e": [None, {}]}


def test_a_json_data_of_900_kilobytes_works(shared: Sandbox, untouched_neighbor: None) -> None:
    big = {f"key-{number}": "x" * 980 for number in range(900)}
    mark = shared.audit.mark()
    shared.apply("big", {**LOKI, "jsonData": big})
    shared.wait_ready("big")
    held = shared.held(shared.uid("big"))
    assert held["jsonData"].items() >= big.items()
    assert [w.code for w in shared.writes_to("big", mark)] == [200, 200]


def test_an_unknown_field_that_was_let_through_does_nothing(shared: Sandbox) -> None:
    manifest = f"""
apiVersion: gdso.dev/v1beta1
kind: GrafanaDataSource
metadata: {{name: pruned, namespace: {shared.namespace}}}
spec: {{type: loki, url: "http://loki:3100", isDefualt: true}}
"""
    shared.kubectl("apply", "--validate=ignore", "-f", "-", input=manifest)
    ready = shared.wait_ready("pruned")
    assert "isDefualt" not in ready["spec"]
