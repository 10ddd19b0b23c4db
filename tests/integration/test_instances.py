"""GrafanaInstance: what it finds out, who lives on it, and how it follows changes of itself."""

import pytest

from tests.conftest import StartGrafana
from tests.integration.instances import (
    add_instance,
    names_in,
    on_instance,
    on_instances,
    wait_instance_reason,
)
from tests.integration.instances import standing_instances as standing_instances
from tests.integration.sandbox import (
    INSTANCE,
    SECONDS,
    Json,
    Sandbox,
    default_instance,
    ready_of,
)
from tests.integration.specs import LOKI
from tests.integration.standing import shared_sandbox as shared_sandbox
from tests.kstatus import find_condition
from tests.servers.faults import ProxiedRequest, requests_of
from tests.servers.grafana import Grafana
from tests.servers.polling import eventually

ALL_CAPABILITIES = ["CorrelationReads", "Correlations", "HealthByUID", "UpdateByUID"]
CAPABILITIES = {"8": [], "9": ALL_CAPABILITIES, "12": ALL_CAPABILITIES}
"""By the first number of the version; what the operator finds, it finds by asking."""


def expected_capabilities(grafana: Grafana) -> list[str]:
    return CAPABILITIES[grafana.version.split(".")[0]]


def sent_authorizations(requests: list[ProxiedRequest]) -> set[str]:
    return {request.headers.get("authorization", "") for request in requests}


# --- what it finds out


def test_an_instance_tells_what_it_found_out(
    shared: Sandbox, real_grafanas: list[Grafana], grafana: Grafana
) -> None:
    for number, server in enumerate(real_grafanas or [grafana]):
        name = f"found-{number}"
        target = add_instance(shared, name, server)
        raw = shared.get(name, kind=INSTANCE)
        assert raw is not None
        assert raw["status"]["version"] == server.version
        assert raw["status"]["orgId"] == target.org_id
        assert raw["status"]["capabilities"] == expected_capabilities(server)
        assert raw["status"]["observedGeneration"] == raw["metadata"]["generation"]
        assert ready_of(raw)["message"] == f"Grafana answers, in organization {target.org_id}"
        # And a data source can live there.
        shared.apply(name, on_instance(name))
        shared.wait_ready(name)
        assert target.held(shared.uid(name))["name"] == name


def test_kubectl_shows_url_version_and_why_not(shared: Sandbox) -> None:
    target = add_instance(shared, "shown")
    shared.apply_instance("not-shown", target, auth={"tokenSecretRef": {"name": "nowhere"}})
    wait_instance_reason(shared, "not-shown", "WaitingForSecret")
    _, *lines = shared.kubectl("get", "ginst", "shown", "not-shown", "-o", "wide").splitlines()
    shown, not_shown = (line.split(maxsplit=8) for line in lines)
    version = target.server.version
    assert shown[:4] == ["shown", target.url, version, "True"]
    assert shown[4:8:2] == ["Synced", str(target.org_id)]
    assert not_shown[:4] == ["not-shown", target.url, "False", "WaitingForSecret"]
    assert 'Secret "nowhere" does not exist' in lines[1]


def test_capabilities_are_found_where_the_version_is_hidden(
    shared: Sandbox, fresh_grafana: StartGrafana
) -> None:
    server = fresh_grafana(settings={"auth.anonymous": {"hide_version": "true"}})
    add_instance(shared, "secretive", server)
    raw = shared.get("secretive", kind=INSTANCE)
    assert raw is not None
    assert raw["status"]["capabilities"] == expected_capabilities(server)


@pytest.mark.parametrize("status", [200, 403, 502])
def test_nothing_depends_on_a_version(shared: Sandbox, status: int) -> None:
    """Neither its absence nor a refusal keeps an instance from being used."""
    target = shared.add_grafana()
    name = f"versionless-{status}"
    for path in ("/api/health", "/api/frontend/settings"):
        target.proxy.answer(
            status, {"Content-Type": "application/json"}, b"{}", matching=requests_of("GET", path)
        )
    shared.apply_instance(name, target)
    raw = shared.wait_instance_ready(name)
    assert "version" not in raw["status"]
    assert raw["status"]["capabilities"] == expected_capabilities(target.server)
    shared.apply(name, on_instance(name))
    shared.wait_ready(name)


def test_the_version_and_capabilities_follow_an_upgrade(
    shared: Sandbox, real_grafanas: list[Grafana]
) -> None:
    if len(real_grafanas) < 2:
        pytest.skip("needs two real Grafanas, one of them older")
    target = add_instance(shared, "upgraded", real_grafanas[0])
    newer = shared.add_grafana(real_grafanas[-1])
    # The address stays, and another server answers there.
    shared.apply_secret("upgraded-token", {"token": newer.token})
    shared.apply_instance("upgraded", newer, auth={"tokenSecretRef": {"name": "upgraded-token"}})
    raw = shared.wait_until(
        "upgraded",
        lambda raw: raw["status"].get("version") == newer.server.version,
        "the new version",
        kind=INSTANCE,
    )
    assert raw["status"]["orgId"] == newer.org_id
    assert raw["status"]["capabilities"] == expected_capabilities(newer.server)
    assert target.org_id is not None


# --- who lives on it


def test_resources_live_on_the_instance_that_they_name(shared: Sandbox) -> None:
    one, two = add_instance(shared, "one"), add_instance(shared, "two")
    for name in ("one", "two"):
        shared.apply(f"on-{name}", on_instance(name))
        raw = shared.wait_ready(f"on-{name}")
        assert raw["status"]["instanceSummary"] == name
        (recorded,) = raw["status"]["instances"]
        assert (recorded["namespace"], recorded["name"]) == (shared.namespace, name)
    assert (names_in(one), names_in(two)) == ({"on-one"}, {"on-two"})
    assert sent_authorizations(one.proxy.requests) == {f"Bearer {one.token}"}
    assert sent_authorizations(two.proxy.requests) == {f"Bearer {two.token}"}


def test_one_name_and_uid_may_live_in_several_organizations(shared: Sandbox) -> None:
    targets = {name: add_instance(shared, name) for name in ("org-a", "org-b")}
    for name in targets:
        same = {"name": "Prometheus", "uid": "the-same", "isDefault": True}
        shared.apply(f"same-on-{name}", {**on_instance(name), **same})
    for name, target in targets.items():
        shared.wait_ready(f"same-on-{name}")
        assert target.held("the-same")["isDefault"] is True


def test_without_a_default_instance_a_resource_waits(shared: Sandbox) -> None:
    shared.apply("homeless", LOKI)
    waiting = shared.wait_for_reason("homeless", "WaitingForInstance")
    assert ready_of(waiting)["message"] == (
        "there is no default Grafana instance; set spec.instanceRef, or ask who runs the operator"
        " to set GDSO_DEFAULT_INSTANCE or GDSO_GRAFANA_URL"
    )
    assert "finalizers" not in waiting["metadata"]
    add_instance(shared, "home")
    shared.apply("homeless", on_instance("home"))
    shared.wait_ready("homeless")


def test_resources_wait_for_an_instance_that_is_made_later(shared: Sandbox) -> None:
    shared.apply("early", on_instance("late"))
    waiting = shared.wait_for_reason("early", "WaitingForInstance")
    assert ready_of(waiting)["message"] == (
        f'GrafanaInstance "late" in namespace "{shared.namespace}" does not exist'
    )
    target = add_instance(shared, "late")
    shared.wait_ready("early")
    assert names_in(target) == {"early"}


# --- what it lacks


LACKING: dict[str, tuple[Json, str, str]] = {
    "token Secret": (
        {"auth": {"tokenSecretRef": {"name": "lacking"}}},
        "WaitingForSecret",
        'spec.auth.tokenSecretRef: Secret "lacking" does not exist',
    ),
    "token key": (
        {"auth": {"tokenSecretRef": {"name": "half", "key": "other"}}},
        "WaitingForSecret",
        'spec.auth.tokenSecretRef: Secret "half" has no key "other"',
    ),
    "token text": (
        {"auth": {"tokenSecretRef": {"name": "half", "key": "binary"}}},
        "WaitingForSecret",
        'spec.auth.tokenSecretRef: key "binary" of Secret "half" is not UTF-8 text',
    ),
    "password": (
        {"auth": {"basicAuthSecretRef": {"name": "half", "usernameKey": "user"}}},
        "WaitingForSecret",
        'spec.auth.basicAuthSecretRef: Secret "half" has no key "admin-password"',
    ),
    "header": (
        {"headers": {"X-Team": {"secretKeyRef": {"name": "half", "key": "team"}}}},
        "WaitingForSecret",
        'spec.headers[X-Team]: Secret "half" has no key "team"',
    ),
    "CA": (
        {"tls": {"caConfigMapRef": {"name": "lacking"}}},
        "WaitingForConfigMap",
        'spec.tls.caConfigMapRef: ConfigMap "lacking" with the key "ca.crt" does not exist',
    ),
}


@pytest.mark.parametrize(("spec", "reason", "message"), LACKING.values(), ids=LACKING)
def test_an_instance_names_what_it_lacks(
    shared: Sandbox, spec: Json, reason: str, message: str, request: pytest.FixtureRequest
) -> None:
    name = f"lacks-{list(LACKING).index(request.node.callspec.id)}"
    shared.apply_secret("half", {"user": "somebody", "empty": "", "binary": b"\xff\xfe"})
    target = shared.add_grafana()
    shared.apply_instance(name, target, **spec)
    raw = wait_instance_reason(shared, name, reason)
    assert ready_of(raw)["message"].startswith(message)
    assert find_condition(raw, "Reconciling") is not None
    shared.apply(name, on_instance(name))
    waiting = shared.wait_for_reason(name, "WaitingForInstance")
    assert ready_of(waiting)["message"] == (
        f'GrafanaInstance "{name}" in namespace "{shared.namespace}" cannot be used ({reason})'
    )
    assert target.proxy.requests == []


def test_an_instance_goes_on_when_its_secret_comes(shared: Sandbox) -> None:
    target = shared.add_grafana()
    auth = {"tokenSecretRef": {"name": "to-come"}}
    shared.apply_instance("patient", target, auth=auth)
    shared.apply("patient", on_instance("patient"))
    wait_instance_reason(shared, "patient", "WaitingForSecret")
    shared.wait_for_reason("patient", "WaitingForInstance")
    shared.apply_secret("to-come", {"token": target.token})
    shared.wait_instance_ready("patient")
    shared.wait_ready("patient")
    assert names_in(target) == {"patient"}
    events = {event["reason"] for event in shared.events("patient", kind=INSTANCE)}
    assert {"WaitingForSecret", "Synced"} <= events


# --- what it follows


def test_a_resource_follows_when_the_url_of_its_instance_changes(shared: Sandbox) -> None:
    old, new = add_instance(shared, "moves"), shared.add_grafana()
    shared.apply("moves", on_instance("moves"))
    shared.wait_ready("moves")
    old_mark = old.proxy.mark()
    # Both at once, so that neither Grafana ever gets the token of the other.
    shared.apply_secret("new-token", {"token": new.token})
    shared.apply_instance("moves", new, auth={"tokenSecretRef": {"name": "new-token"}})
    shared.wait_until(
        "moves",
        lambda raw: raw["status"].get("orgId") == new.org_id,
        "the new organization",
        kind=INSTANCE,
    )
    shared.wait("moves", lambda _: names_in(new) == {"moves"}, "to be in the new Grafana")
    shared.wait_ready("moves")
    assert sent_authorizations(old.proxy.since(old_mark)) <= {f"Bearer {old.token}"}
    assert sent_authorizations(new.proxy.requests) == {f"Bearer {new.token}"}


def test_a_suspended_instance_is_left_alone(shared: Sandbox) -> None:
    target = add_instance(shared, "sleeps")
    shared.apply("sleeper", on_instance("sleeps"))
    shared.wait_ready("sleeper")
    shared.patch("sleeps", {"spec": {"suspend": True}}, kind=INSTANCE)
    raw = shared.wait_until(
        "sleeps",
        lambda raw: ready_of(raw)["reason"] == "Suspended",
        "to be suspended",
        kind=INSTANCE,
    )
    assert ready_of(raw)["status"] == "True"
    assert ready_of(raw)["observedGeneration"] == 1
    mark = target.proxy.mark()
    shared.apply("sleeper", on_instance("sleeps", url="http://elsewhere:3100"))
    waiting = shared.wait_for_reason("sleeper", "WaitingForInstance")
    assert ready_of(waiting)["message"].endswith("is suspended")
    shared.request_reconcile("sleeps", kind=INSTANCE)
    assert target.proxy.since(mark) == []

    shared.patch("sleeps", {"spec": {"suspend": False}}, kind=INSTANCE)
    shared.wait_instance_ready("sleeps")
    shared.wait_ready("sleeper")
    assert target.held(shared.uid("sleeper"))["url"] == "http://elsewhere:3100"


def test_a_restart_writes_nothing(sandbox: Sandbox) -> None:
    targets = [sandbox.add_grafana() for _ in range(3)]
    for number, target in enumerate(targets):
        sandbox.apply_instance(f"i-{number}", target, labels={"tier": "prod"})
    specs = {"everywhere": on_instances(tier="prod"), "default": LOKI, "named": on_instance("i-1")}
    for name, spec in specs.items():
        sandbox.apply(name, {**spec, "healthCheck": {"enabled": False}})
    operator = sandbox.start_operator(**default_instance(f"{sandbox.namespace}/i-0"))
    for name in specs:
        sandbox.wait_ready(name)
    kube, marks = sandbox.audit.mark(), [target.proxy.mark() for target in targets]
    operator.restart()

    def looks() -> list[int]:
        return [len(t.requests(mark)) for t, mark in zip(targets, marks, strict=True)]

    def is_done(seen: list[int]) -> bool:
        return all(one >= least for one, least in zip(seen, once, strict=True))

    once = [2, 2, 1]
    eventually(looks, is_done, SECONDS, "a look at each")
    assert looks() == once
    # What these looks wrote, if they did, is written before the answer to another request.
    for name in specs:
        sandbox.request_reconcile(name)
    assert looks() == [2 * number for number in once]
    assert [t.writes(mark) for t, mark in zip(targets, marks, strict=True)] == [[], [], []]
    assert [write.name for write in sandbox.kubernetes_writes(kube)] == list(specs)
