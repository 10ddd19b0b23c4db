"""Every reference from one namespace to another: allowed, denied or missing."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.integration.instances import (
    add_instance,
    names_in,
    on_instance,
    on_instances,
    states_of,
    wait_instance_reason,
)
from tests.integration.sandbox import INSTANCE, NO_DEFAULT_INSTANCE, Json, Sandbox, ready_of
from tests.integration.specs import LOKI, secret_key, whole_secret
from tests.integration.standing import open_sandbox
from tests.servers.grafana import Grafana
from tests.servers.kubernetes import KubernetesServer
from tests.servers.target import Target


@dataclass(frozen=True)
class Neighbours:
    """The sandbox's own namespace is the team's; the platform's holds instances."""

    team: Sandbox
    platform: str

    def add_instance(self, name: str, **options: Any) -> Target:
        return add_instance(self.team, name, namespace=self.platform, **options)

    def delete_instance(self, name: str) -> None:
        self.team.delete(name, kind=INSTANCE, namespace=self.platform)

    def denial(self, name: str, namespace: str | None = None) -> str:
        return (
            f'GrafanaInstance "{name}" in namespace "{namespace or self.platform}" does not exist,'
            f' or does not admit namespace "{self.team.namespace}"; ask who owns it to set'
            " spec.allowedNamespaces"
        )


@pytest.fixture(scope="module")
def standing_neighbours(
    kubernetes_with_crds: KubernetesServer,
    grafana: Grafana,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Neighbours]:
    directory = tmp_path_factory.mktemp("neighbours")
    with open_sandbox(kubernetes_with_crds, grafana, directory) as team:
        platform = team.add_namespace()
        team.label_namespace(team.namespace, {"tier": "gold", "team": "a"})
        team.start_operator(**NO_DEFAULT_INSTANCE)
        yield Neighbours(team, platform)


@pytest.fixture
def neighbours(standing_neighbours: Neighbours) -> Iterator[Neighbours]:
    yield standing_neighbours
    standing_neighbours.team.restore_proxies()
    standing_neighbours.team.check_everywhere()


# --- which instances admit


def selecting(**labels: str) -> Json:
    return {"from": "Selector", "selector": {"matchLabels": labels}}


def expressing(key: str, operator: str, *values: str) -> Json:
    expression: Json = {"key": key, "operator": operator}
    if values:
        expression["values"] = list(values)
    return {"from": "Selector", "selector": {"matchExpressions": [expression]}}


ADMITTING: dict[str, Json] = {
    "all": {"from": "All"},
    "label": selecting(tier="gold"),
    "every label": selecting(tier="gold", team="a"),
    "in": expressing("tier", "In", "gold", "silver"),
    "not in": expressing("tier", "NotIn", "bronze"),
    "exists": expressing("tier", "Exists"),
    "does not exist": expressing("banned", "DoesNotExist"),
    "empty selector": {"from": "Selector", "selector": {}},
}
DENYING: dict[str, Json | None] = {
    "nothing said": None,
    "same": {"from": "Same"},
    "other label": selecting(tier="silver"),
    "one label of two": selecting(tier="gold", team="b"),
    "not in": expressing("tier", "NotIn", "gold"),
    "in": expressing("tier", "In", "silver"),
    "exists": expressing("banned", "Exists"),
    "does not exist": expressing("tier", "DoesNotExist"),
}


@pytest.fixture(scope="module")
def changing(standing_neighbours: Neighbours) -> Target:
    """The platform's instance "changing", whose rules change from test to test."""
    return standing_neighbours.add_instance("changing", labels={"for": "teams"})


def allow(neighbours: Neighbours, rule: Json | None) -> None:
    patch = {"spec": {"allowedNamespaces": rule}}
    team = neighbours.team
    # First nothing: a merge patch would keep parts of the rule before.
    for one in ({"spec": {"allowedNamespaces": None}}, patch):
        team.patch("changing", one, kind=INSTANCE, namespace=neighbours.platform)
    team.wait_instance_ready("changing", namespace=neighbours.platform)


@pytest.mark.parametrize("rule", ADMITTING.values(), ids=ADMITTING)
def test_an_instance_admits_other_namespaces_by_rule(
    neighbours: Neighbours, changing: Target, rule: Json
) -> None:
    team = neighbours.team
    allow(neighbours, rule)
    team.apply("by-name", on_instance("changing", neighbours.platform))
    team.apply("by-label", on_instances(neighbours.platform, **{"for": "teams"}))
    for name in ("by-name", "by-label"):
        team.wait_ready(name)
    assert names_in(changing) == {"by-name", "by-label"}
    for name in ("by-name", "by-label"):
        team.delete(name)
        team.wait_gone(name)
    assert names_in(changing) == set()


@pytest.mark.parametrize("rule", DENYING.values(), ids=DENYING)
def test_who_is_not_admitted_is_told_the_same_as_where_there_is_nothing(
    neighbours: Neighbours, changing: Target, rule: Json | None
) -> None:
    team, platform = neighbours.team, neighbours.platform
    allow(neighbours, rule)
    mark = changing.proxy.mark()
    team.apply("by-name", on_instance("changing", platform))
    raw = team.wait_for_reason("by-name", "InstanceNotAllowed")
    assert ready_of(raw)["message"] == neighbours.denial("changing")
    assert "finalizers" not in raw["metadata"]
    team.apply("by-label", on_instances(platform, **{"for": "teams"}))
    raw = team.wait_for_reason("by-label", "WaitingForInstance")
    assert ready_of(raw)["message"] == nothing_selected(neighbours)
    assert raw["status"]["instances"] == []
    for name in ("by-name", "by-label"):
        team.delete(name)
        team.wait_gone(name)
    assert [r for r in changing.requests(mark)] == []


def nothing_selected(neighbours: Neighbours) -> str:
    return (
        f'spec.instanceSelector: no GrafanaInstance in namespace "{neighbours.platform}" has these'
        f' labels and admits namespace "{neighbours.team.namespace}"'
    )


def test_what_is_missing_is_told_as_what_is_denied(neighbours: Neighbours) -> None:
    team, platform = neighbours.team, neighbours.platform
    for namespace in (platform, "kube-system", "no-such-namespace"):
        team.apply("nowhere", on_instance("missing", namespace))
        raw = team.wait_for_reason("nowhere", "InstanceNotAllowed")
        assert ready_of(raw)["message"] == neighbours.denial("missing", namespace)
    team.apply("nobody", on_instances(platform, no="such"))
    raw = team.wait_for_reason("nobody", "WaitingForInstance")
    assert ready_of(raw)["message"] == nothing_selected(neighbours)


@pytest.mark.parametrize("trouble", ["suspended", "without a Secret", "down", "leaving"])
def test_the_state_of_an_instance_is_nothing_for_strangers(
    neighbours: Neighbours, trouble: str
) -> None:
    team, platform = neighbours.team, neighbours.platform
    name = trouble.replace(" ", "-").lower()
    holder, curious = f"holder-{name}", f"curious-{name}"
    target = neighbours.add_instance(name)
    team.apply(holder, on_instance(name), namespace=platform)
    team.wait_ready(holder, namespace=platform)
    match trouble:
        case "suspended":
            team.patch(name, {"spec": {"suspend": True}}, kind=INSTANCE, namespace=platform)
        case "without a Secret":
            team.delete_secret(f"{name}-token", namespace=platform)
            wait_instance_reason(team, name, "WaitingForSecret", namespace=platform)
        case "down":
            target.proxy.refuse()
        case "leaving":
            neighbours.delete_instance(name)
            wait_instance_reason(team, name, "DeletionBlocked", namespace=platform)
    # On an instance of its own, so that it has a finalizer.
    own = add_instance(team, f"own-{name}")
    team.apply(curious, on_instance(f"own-{name}"))
    team.wait_ready(curious)
    mark = target.proxy.mark()
    team.apply(curious, on_instance(name, platform))
    raw = team.wait_for_reason(curious, "InstanceNotAllowed")
    assert ready_of(raw)["message"].endswith(neighbours.denial(name))
    assert names_in(own) == {curious}
    # Neither going back nor being deleted has to do with it.
    team.apply(curious, on_instance(f"own-{name}"))
    raw = team.wait_ready(curious)
    assert states_of(raw) == {f"own-{name}": ("True", "Synced")}
    team.apply(curious, on_instance(name, platform))
    team.wait_for_reason(curious, "InstanceNotAllowed")
    team.delete(curious)
    team.wait_gone(curious)
    assert names_in(own) == set()
    assert [r for r in target.requests(mark) if team.uid(curious) in r.path] == []

    target.proxy.accept()
    team.annotate(holder, "gdso.dev/force-delete", "true", namespace=platform)
    team.delete(holder, namespace=platform)
    team.wait_gone(holder, namespace=platform)


def test_who_is_not_admitted_keeps_no_instance_from_going(neighbours: Neighbours) -> None:
    team, platform = neighbours.team, neighbours.platform
    neighbours.add_instance("free")
    add_instance(team, "own-free")
    team.apply("clings", on_instance("own-free"))
    team.wait_ready("clings")
    team.apply("clings", on_instance("free", platform))
    team.wait_for_reason("clings", "InstanceNotAllowed")
    neighbours.delete_instance("free")
    team.wait_gone("free", kind=INSTANCE, namespace=platform)
    raw = team.wait_for_reason("clings", "InstanceNotAllowed")
    assert ready_of(raw)["message"].endswith(neighbours.denial("free"))
    team.delete("clings")
    team.wait_gone("clings")


# --- permission given and taken


def test_who_is_no_longer_admitted_stays_as_it_is_and_is_cleaned_up(
    neighbours: Neighbours,
) -> None:
    team, platform = neighbours.team, neighbours.platform
    target = neighbours.add_instance("fickle", allowedNamespaces={"from": "All"}, labels={"f": "f"})
    team.apply("guest", on_instance("fickle", platform))
    team.apply("selected", on_instances(platform, f="f"))
    for name in ("guest", "selected"):
        team.wait_ready(name)
    team.patch("fickle", {"spec": {"allowedNamespaces": None}}, kind=INSTANCE, namespace=platform)
    for name in ("guest", "selected"):
        raw = team.wait_for_reason(name, "InstanceNotAllowed")
        assert neighbours.denial("fickle") in ready_of(raw)["message"]
    held = {one["name"]: one for one in target.all_in_grafana()}
    assert set(held) == {"guest", "selected"}
    mark = target.proxy.mark()
    team.apply("guest", on_instance("fickle", platform, url="http://elsewhere:3100"))
    team.wait_for_reason("guest", "InstanceNotAllowed")
    assert target.writes(mark) == []

    for name in ("guest", "selected"):
        team.delete(name)
        team.wait_gone(name)
    assert names_in(target) == set()
    neighbours.delete_instance("fickle")
    team.wait_gone("fickle", kind=INSTANCE, namespace=platform)


def test_labels_of_a_namespace_count_at_the_next_look(neighbours: Neighbours) -> None:
    team, platform = neighbours.team, neighbours.platform
    target = neighbours.add_instance("labelled", allowedNamespaces=selecting(season="summer"))
    team.apply("seasonal", on_instance("labelled", platform))
    team.wait_for_reason("seasonal", "InstanceNotAllowed")
    team.label_namespace(team.namespace, {"season": "summer"})
    team.request_reconcile("seasonal")
    team.wait_ready("seasonal")
    team.label_namespace(team.namespace, {"season": None})
    team.request_reconcile("seasonal")
    team.wait_for_reason("seasonal", "InstanceNotAllowed")
    team.delete("seasonal")
    team.wait_gone("seasonal")
    assert names_in(target) == set()


ADOPTING: dict[str, tuple[Json | None, bool, bool]] = {
    "nothing said": (None, True, False),
    "none": ({"from": "None"}, False, False),
    "same": ({"from": "Same"}, True, False),
    "all": ({"from": "All"}, True, True),
    "selector": (selecting(tier="gold"), False, True),
}
"""Rule, and whether resources of the instance's own and of the team's namespace may adopt."""


@pytest.mark.parametrize(("rule", "own", "other"), ADOPTING.values(), ids=ADOPTING)
def test_who_may_refer_may_not_always_adopt(
    neighbours: Neighbours,
    rule: Json | None,
    own: bool,
    other: bool,
    request: pytest.FixtureRequest,
) -> None:
    team, platform = neighbours.team, neighbours.platform
    name = f"adopts-{list(ADOPTING).index(request.node.callspec.id)}"
    spec = {"allowedNamespaces": {"from": "All"}, "allowedAdopters": rule}
    target = neighbours.add_instance(name, **spec)
    for namespace, may in ((platform, own), (team.namespace, other)):
        uid = f"found-by-{'own' if namespace == platform else 'other'}"
        theirs = target.make_by_hand(uid)
        wish = {"uid": uid, "name": uid, "adoptionPolicy": "IfUnowned", "url": "http://ours:1"}
        team.apply(uid, {**on_instance(name, platform), **wish}, namespace=namespace)
        if may:
            team.wait_ready(uid, namespace=namespace)
            assert target.held(uid)["url"] == "http://ours:1"
        else:
            raw = team.wait_for_reason(uid, "UidConflict", namespace=namespace)
            assert "spec.allowedAdopters" in ready_of(raw)["message"]
            assert target.held(uid) == theirs
        team.delete(uid, namespace=namespace)
        team.wait_gone(uid, namespace=namespace)


# --- Secrets, ConfigMaps and data sources: never of another namespace


def ref(name: str) -> Json:
    return {"datasourceUid": {"dataSourceRef": {"name": name}}}


def from_key(kind: str) -> list[Json]:
    return [{"path": "/user", "valueFrom": {kind: {"name": "there", "key": "key"}}}]


SOURCE_REFERENCES: dict[str, tuple[Json, str]] = {
    "secureJsonData": ({"secureJsonData": {"a": secret_key("there", "key")}}, "WaitingForSecret"),
    "secureJsonDataFrom": ({"secureJsonDataFrom": [whole_secret("there")]}, "WaitingForSecret"),
    "valuesFrom secret": ({"valuesFrom": from_key("secretKeyRef")}, "WaitingForSecret"),
    "valuesFrom config map": ({"valuesFrom": from_key("configMapKeyRef")}, "WaitingForConfigMap"),
    "dataSourceRef": ({"jsonData": ref("there")}, "WaitingForDataSource"),
}


@pytest.fixture(scope="module")
def furnished(standing_neighbours: Neighbours) -> Target:
    """All that could be referred to is in the platform's namespace, beside an open instance."""
    team, platform = standing_neighbours.team, standing_neighbours.platform
    target = standing_neighbours.add_instance("open", allowedNamespaces={"from": "All"})
    team.apply_secret("there", {"key": "secret-of-the-platform"}, namespace=platform)
    team.apply_config_map("there", {"key": "plain value of the platform"}, namespace=platform)
    team.apply("there", on_instance("open"), namespace=platform)
    team.wait_ready("there", namespace=platform)
    return target


@pytest.mark.parametrize(("spec", "reason"), SOURCE_REFERENCES.values(), ids=SOURCE_REFERENCES)
def test_what_is_in_the_instances_namespace_is_as_good_as_missing(
    neighbours: Neighbours, furnished: Target, spec: Json, reason: str
) -> None:
    team, platform = neighbours.team, neighbours.platform
    team.apply("borrows", {**on_instance("open", platform), **spec})
    raw = team.wait_for_reason("borrows", reason)
    there = ready_of(raw)["message"]
    assert "there" in there
    missing = {"apply": str(spec).replace("there", "gone")}
    team.apply("misses", {**on_instance("open", platform), **eval(missing["apply"])})
    raw = team.wait_for_reason("misses", reason)
    assert ready_of(raw)["message"] == there.replace("there", "gone")
    assert furnished.in_grafana(team.uid("borrows")) is None
    for name in ("borrows", "misses"):
        team.delete(name)


INSTANCE_REFERENCES: dict[str, tuple[Json, str]] = {
    "token": ({"auth": {"tokenSecretRef": {"name": "there", "key": "key"}}}, "WaitingForSecret"),
    "basic auth": (
        {
            "auth": {
                "basicAuthSecretRef": {"name": "there", "usernameKey": "key", "passwordKey": "key"}
            }
        },
        "WaitingForSecret",
    ),
    "header": (
        {"headers": {"X-A": {"secretKeyRef": {"name": "there", "key": "key"}}}},
        "WaitingForSecret",
    ),
    "CA secret": ({"tls": {"caSecretRef": {"name": "there", "key": "key"}}}, "WaitingForSecret"),
    "CA config map": (
        {"tls": {"caConfigMapRef": {"name": "there", "key": "key"}}},
        "WaitingForConfigMap",
    ),
    "client certificate": ({"tls": {"clientCertSecretRef": {"name": "there"}}}, "WaitingForSecret"),
}


@pytest.mark.parametrize(("spec", "reason"), INSTANCE_REFERENCES.values(), ids=INSTANCE_REFERENCES)
def test_an_instance_takes_nothing_from_another_namespace(
    neighbours: Neighbours, furnished: Target, spec: Json, reason: str
) -> None:
    assert furnished.token
    team = neighbours.team
    target = team.add_grafana()
    team.apply_instance("thief", target, **spec)
    wait_instance_reason(team, "thief", reason, '"there"')
    assert target.proxy.requests == []
    team.delete("thief", kind=INSTANCE)
    team.wait_gone("thief", kind=INSTANCE)


def test_url_and_credentials_are_of_the_instance_whatever_the_resources_namespace_holds(
    neighbours: Neighbours,
) -> None:
    team, platform = neighbours.team, neighbours.platform
    target = neighbours.add_instance("twin", allowedNamespaces={"from": "All"})
    decoy = add_instance(team, "twin")  # the same names of instance and Secret, in our namespace
    team.apply("guest-of-twin", on_instance("twin", platform))
    team.wait_ready("guest-of-twin")
    assert (names_in(target), names_in(decoy)) == ({"guest-of-twin"}, set())
    assert {r.headers["authorization"] for r in target.proxy.requests} == {f"Bearer {target.token}"}
    assert {r.headers["authorization"] for r in decoy.proxy.requests} == {f"Bearer {decoy.token}"}


NAMESPACED: dict[str, Json] = {
    "secureJsonData": {
        "secureJsonData": {"a": {"secretKeyRef": {"name": "x", "key": "y", "namespace": "z"}}}
    },
    "secureJsonDataFrom": {"secureJsonDataFrom": [{"secretRef": {"name": "x", "namespace": "z"}}]},
    "valuesFrom": {
        "valuesFrom": [
            {
                "path": "/url",
                "valueFrom": {"configMapKeyRef": {"name": "x", "key": "y", "namespace": "z"}},
            }
        ]
    },
}


@pytest.mark.parametrize("spec", NAMESPACED.values(), ids=NAMESPACED)
def test_a_namespace_cannot_be_named_where_none_is_meant(
    neighbours: Neighbours, spec: Json
) -> None:
    with pytest.raises(Exception, match="namespace"):
        neighbours.team.apply("reaches-out", {**LOKI, **spec})
    assert neighbours.team.get("reaches-out") is None


def test_a_reference_to_a_data_source_of_another_namespace_is_refused(
    neighbours: Neighbours, furnished: Target
) -> None:
    team, platform = neighbours.team, neighbours.platform
    reference = {"dataSourceRef": {"name": "there", "namespace": platform}}
    team.apply("links", {**on_instance("open", platform), "jsonData": {"datasourceUid": reference}})
    raw = team.wait_for_reason("links", "InvalidSpec")
    assert "dataSourceRef" in ready_of(raw)["message"]
    assert furnished.in_grafana(team.uid("links")) is None
