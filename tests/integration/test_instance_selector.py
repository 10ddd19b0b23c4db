"""instanceSelector: one resource on several Grafanas, and what becomes of it as they change."""

import secrets
from dataclasses import dataclass

import pytest

from tests.integration.instances import (
    add_instance,
    names_in,
    on_instance,
    on_instances,
    states_of,
)
from tests.integration.instances import standing_instances as standing_instances
from tests.integration.sandbox import INSTANCE, SECONDS, Json, Sandbox, ready_of
from tests.integration.specs import LOKI, secret_key
from tests.integration.standing import shared_sandbox as shared_sandbox
from tests.servers.faults import requests_of
from tests.servers.grafana import Grafana
from tests.servers.polling import eventually
from tests.servers.target import Target

SYNCED = ("True", "Synced")


@dataclass(frozen=True)
class Fleet:
    """Instances that one label selects, each an organization of its own."""

    label: str
    targets: dict[str, Target]

    @property
    def names(self) -> list[str]:
        return list(self.targets)

    @property
    def labels(self) -> dict[str, str]:
        return {"fleet": self.label}

    @property
    def spec(self) -> Json:
        return on_instances(fleet=self.label)


def make_fleet(sandbox: Sandbox, servers: list[Grafana]) -> Fleet:
    label = f"f{secrets.token_hex(3)}"
    fleet = Fleet(label, {})
    for number, server in enumerate(servers):
        name = f"{label}-{number}"
        fleet.targets[name] = add_instance(sandbox, name, server, labels={"fleet": label})
    return fleet


@pytest.fixture
def fleet(shared: Sandbox, grafana: Grafana) -> Fleet:
    return make_fleet(shared, [grafana] * 3)


def wait_on(sandbox: Sandbox, name: str, instances: list[str]) -> Json:
    """Until it is ready, and status says that it lives on exactly these."""
    wanted = dict.fromkeys(instances, SYNCED)

    def is_there(raw: Json) -> bool:
        return is_ready(raw) and states_of(raw) == wanted

    return sandbox.wait_until(name, is_there, f"to be on {instances}")


def is_ready(raw: Json) -> bool:
    ready = ready_of(raw)
    generations = {ready["observedGeneration"], raw["metadata"]["generation"]}
    return ready["status"] == "True" and len(generations) == 1


# --- on all of them


def test_a_resource_lives_on_every_version_at_once(
    shared: Sandbox, real_grafanas: list[Grafana], grafana: Grafana
) -> None:
    servers = real_grafanas or [grafana]
    fleet = make_fleet(shared, servers)
    shared.apply_secret("everywhere", {"password": "secret for every version"})
    spec = {**fleet.spec, "secureJsonData": {"password": secret_key("everywhere", "password")}}
    shared.apply("everywhere", spec)
    raw = shared.wait_ready("everywhere")
    assert states_of(raw) == dict.fromkeys(fleet.names, SYNCED)
    assert raw["status"]["instanceSummary"] == f"{len(servers)}/{len(servers)}"
    for one in raw["status"]["instances"]:
        held = fleet.targets[one["name"]].held(shared.uid("everywhere"))
        assert (one["id"], one["version"]) == (held["id"], held["version"])
        assert held["secureJsonFields"] == {"password": True}
    if len(servers) > 1:
        assert ready_of(raw)["message"] == f"All {len(servers)} instances hold this state"

    shared.apply("everywhere", {**spec, "url": "http://elsewhere:3100"})
    shared.wait_ready("everywhere")
    urls = {t.held(shared.uid("everywhere"))["url"] for t in fleet.targets.values()}
    assert urls == {"http://elsewhere:3100"}

    shared.delete("everywhere")
    shared.wait_gone("everywhere")
    assert [names_in(target) for target in fleet.targets.values()] == [set()] * len(servers)


def test_a_resource_is_ready_only_if_all_its_instances_hold_it(
    shared: Sandbox, fleet: Fleet
) -> None:
    first, second, third = fleet.names
    fleet.targets[second].make_by_hand(shared.uid("worst"))
    with fleet.targets[third].proxy.refusing():
        shared.apply("worst", fleet.spec)
        raw = shared.wait_until(
            "worst",
            lambda raw: (
                states_of(raw)
                == {
                    first: SYNCED,
                    second: ("False", "UidConflict"),
                    third: ("False", "GrafanaUnreachable"),
                }
            ),
            "a state of each",
        )
        # The one that needs a person counts more than the one that goes on by itself.
        assert ready_of(raw)["reason"] == "UidConflict"
        assert ready_of(raw)["message"].startswith(f"{shared.namespace}/{second}: ")
        assert raw["status"]["instanceSummary"] == "1/3"

        fleet.targets[second].delete_by_hand(shared.uid("worst"))
        shared.request_reconcile("worst")
        raw = shared.wait_for_reason("worst", "GrafanaUnreachable")
        assert ready_of(raw)["message"].startswith(f"{shared.namespace}/{third}: no connection")
        assert raw["status"]["instanceSummary"] == "2/3"
    raw = wait_on(shared, "worst", fleet.names)
    assert (ready_of(raw)["status"], raw["status"]["instanceSummary"]) == ("True", "3/3")


def test_a_slow_instance_does_not_hold_up_the_others(shared: Sandbox, fleet: Fleet) -> None:
    first, second, slow = fleet.names
    hung = fleet.targets[slow].proxy.hang(requests_of("POST", "/api/datasources"))
    shared.apply("uneven", fleet.spec)
    quick = [fleet.targets[name] for name in (first, second)]
    eventually(lambda: [names_in(target) for target in quick], all, SECONDS, "to be on both")
    # And who lives on another instance only does not notice.
    shared.apply("bystander", on_instance(first))
    shared.wait_ready("bystander")
    assert names_in(fleet.targets[slow]) == set()
    fleet.targets[slow].proxy.remove(hung)
    wait_on(shared, "uneven", fleet.names)


def test_each_instance_has_its_own_default(shared: Sandbox, fleet: Fleet) -> None:
    for name in ("older", "younger"):
        shared.apply(f"{name}-{fleet.label}", {**fleet.spec, "isDefault": True})
        if name == "older":
            shared.wait_ready(f"{name}-{fleet.label}")
    raw = shared.wait_for_reason(f"younger-{fleet.label}", "DefaultConflict")
    assert states_of(raw) == dict.fromkeys(fleet.names, ("False", "DefaultConflict"))
    for target in fleet.targets.values():
        held = {one["name"]: one["isDefault"] for one in target.all_in_grafana()}
        assert held == {f"older-{fleet.label}": True, f"younger-{fleet.label}": False}


# --- as they come and go


def test_an_instance_that_joins_gets_the_resource_and_one_that_leaves_loses_it(
    shared: Sandbox, fleet: Fleet
) -> None:
    shared.apply("follows", fleet.spec)
    wait_on(shared, "follows", fleet.names)

    new = f"{fleet.label}-new"
    joined = add_instance(shared, new, labels=fleet.labels)
    wait_on(shared, "follows", [*fleet.names, new])
    assert names_in(joined) == {"follows"}

    left, *stayed = fleet.names
    shared.patch(left, {"metadata": {"labels": {"fleet": "other"}}}, kind=INSTANCE)
    wait_on(shared, "follows", [*stayed, new])
    assert names_in(fleet.targets[left]) == set()

    shared.patch(left, {"metadata": {"labels": fleet.labels}}, kind=INSTANCE)
    raw = wait_on(shared, "follows", [*fleet.names, new])
    assert raw["status"]["instanceSummary"] == "4/4"
    assert names_in(fleet.targets[left]) == {"follows"}


def test_an_instance_that_leaves_during_a_look_is_cleaned_up_too(
    shared: Sandbox, fleet: Fleet
) -> None:
    left, *stayed = fleet.names
    shared.apply("surprised", fleet.spec)
    wait_on(shared, "surprised", fleet.names)
    # The look waits for one instance when another one loses its label.
    is_get = requests_of("GET", f"/api/datasources/uid/{shared.uid('surprised')}")
    slow = fleet.targets[stayed[0]].proxy
    slow.delay(3, is_get)
    mark = slow.mark()
    shared.annotate("surprised", "gdso.dev/reconcile-requested-at", "now")
    eventually(lambda: slow.matching(is_get, mark), bool, SECONDS, "the look to begin")
    shared.patch(left, {"metadata": {"labels": {"fleet": "other"}}}, kind=INSTANCE)
    shared.wait_until("surprised", lambda raw: left not in states_of(raw), f"to have left {left}")
    assert names_in(fleet.targets[left]) == set()


def test_a_selector_that_matches_nothing_any_more_cleans_up(shared: Sandbox, fleet: Fleet) -> None:
    shared.apply("nowhere", fleet.spec)
    wait_on(shared, "nowhere", fleet.names)
    shared.apply("nowhere", on_instances(fleet=f"{fleet.label}-nobody"))
    raw = shared.wait_for_reason("nowhere", "WaitingForInstance")
    assert ready_of(raw)["message"] == (
        f'spec.instanceSelector: no GrafanaInstance in namespace "{shared.namespace}" has these'
        " labels"
    )
    raw = shared.wait_until(
        "nowhere", lambda raw: states_of(raw) == {}, "to be gone from all instances"
    )
    assert raw["status"]["instanceSummary"] == "0/0"
    assert [names_in(target) for target in fleet.targets.values()] == [set()] * 3
    shared.apply("nowhere", fleet.spec)
    wait_on(shared, "nowhere", fleet.names)


def test_an_instance_that_is_unusable_keeps_what_it_has(shared: Sandbox, fleet: Fleet) -> None:
    """Only who leaves for good is cleaned up: a Secret or Grafana that is away may come back."""
    shared.apply("steady", fleet.spec)
    wait_on(shared, "steady", fleet.names)
    lame, *others = fleet.names
    shared.delete_secret(f"{lame}-token")
    raw = shared.wait_until(
        "steady",
        lambda raw: raw["status"]["instanceSummary"] == "2/3",
        "to miss one",
    )
    assert states_of(raw) == {
        lame: ("False", "WaitingForInstance"),
        **dict.fromkeys(others, SYNCED),
    }
    assert ready_of(raw)["message"].startswith(f"{shared.namespace}/{lame}: GrafanaInstance")
    assert names_in(fleet.targets[lame]) == {"steady"}
    shared.apply_secret(f"{lame}-token", {"token": fleet.targets[lame].token})
    wait_on(shared, "steady", fleet.names)


# --- from one to another


def test_a_resource_that_moves_leaves_the_old_instance_once_the_new_one_holds_it(
    shared: Sandbox, fleet: Fleet
) -> None:
    old, new, _ = fleet.names
    shared.apply("moves", on_instance(old))
    wait_on(shared, "moves", [old])
    with fleet.targets[new].proxy.refusing():
        shared.apply("moves", on_instance(new))
        shared.wait_for_reason("moves", "GrafanaUnreachable")
        assert names_in(fleet.targets[old]) == {"moves"}
    wait_on(shared, "moves", [new])
    assert (names_in(fleet.targets[old]), names_in(fleet.targets[new])) == (set(), {"moves"})


def test_a_move_is_not_complete_before_the_old_instance_is_clean(
    shared: Sandbox, fleet: Fleet
) -> None:
    old, new, _ = fleet.names
    shared.apply("lingers", on_instance(old))
    wait_on(shared, "lingers", [old])
    with fleet.targets[old].proxy.refusing():
        shared.apply("lingers", on_instance(new))
        raw = shared.wait_for_reason("lingers", "DeletionBlocked")
        assert ready_of(raw)["message"].startswith(f"{shared.namespace}/{old}: GrafanaUnreachable")
        assert states_of(raw)[new] == SYNCED
        assert names_in(fleet.targets[new]) == {"lingers"}
    wait_on(shared, "lingers", [new])
    assert names_in(fleet.targets[old]) == set()


def test_from_a_reference_to_a_selector_and_back(shared: Sandbox, fleet: Fleet) -> None:
    first, *others = fleet.names
    shared.apply("grows", on_instance(first))
    before = wait_on(shared, "grows", [first])["status"]["instances"][0]
    mark = fleet.targets[first].proxy.mark()
    shared.apply("grows", fleet.spec)
    raw = wait_on(shared, "grows", fleet.names)
    assert before in raw["status"]["instances"]
    assert raw["status"]["instanceSummary"] == "3/3"
    shared.apply("grows", on_instance(first))
    raw = wait_on(shared, "grows", [first])
    assert raw["status"]["instances"] == [before]
    assert raw["status"]["instanceSummary"] == first
    assert fleet.targets[first].writes(mark) == []
    assert [names_in(fleet.targets[name]) for name in others] == [set(), set()]


def test_two_names_of_one_organization_never_delete_each_others_data_source(
    shared: Sandbox, fleet: Fleet
) -> None:
    old, *_ = fleet.names
    target = fleet.targets[old]
    shared.apply("renamed", on_instance(old))
    wait_on(shared, "renamed", [old])
    held = target.held(shared.uid("renamed"))
    shared.apply_instance(f"{old}-again", target)
    shared.wait_instance_ready(f"{old}-again")
    mark = target.proxy.mark()
    shared.apply("renamed", on_instance(f"{old}-again"))
    wait_on(shared, "renamed", [f"{old}-again"])
    assert target.held(shared.uid("renamed")) == held
    # Grafana refuses it, which tells that it is there.
    assert target.writes(mark) == ["POST /api/datasources"]


# --- what is refused


def test_at_most_64_instances_can_be_selected(shared: Sandbox) -> None:
    # Suspended, they cost no connection.
    for number in range(65):
        shared.apply_instance(
            f"many-{number}",
            shared.target,
            labels={"many": "yes"},
            auth={"tokenSecretRef": {"name": "none"}},
            suspend=True,
        )
    for number in range(65):
        shared.wait_until(
            f"many-{number}",
            lambda raw: ready_of(raw)["reason"] == "Suspended",
            "to be known",
            kind=INSTANCE,
        )
    shared.apply("too-many", on_instances(many="yes"))
    raw = shared.wait_for_reason(
        "too-many",
        "InvalidSpec",
        message="spec.instanceSelector: selects 65 instances, at most 64 are possible",
    )
    assert raw["status"].get("instances", []) == []
    shared.delete("many-64", kind=INSTANCE)
    raw = shared.wait_for_reason("too-many", "WaitingForInstance", message="is suspended")
    assert len(raw["status"]["instances"]) == 64
    assert raw["status"]["instanceSummary"] == "0/64"


def test_labels_must_all_match(shared: Sandbox) -> None:
    both = add_instance(shared, "both", labels={"tier": "prod", "team": "a"})
    one = add_instance(shared, "one-only", labels={"tier": "prod"})
    shared.apply("picky", on_instances(tier="prod", team="a"))
    wait_on(shared, "picky", ["both"])
    assert (names_in(both), names_in(one)) == ({"picky"}, set())
    assert LOKI["type"] == both.held(shared.uid("picky"))["type"]
