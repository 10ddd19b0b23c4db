"""Who owns a data source that several resources, operators or clusters want."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.conftest import install_crds
from tests.integration.patched_operator import with_constants
from tests.integration.places import OWNER_KEY, Place, oldest_first
from tests.integration.places import place as place
from tests.integration.places import standing_places as standing_places
from tests.integration.sandbox import Json, Sandbox, ready_of
from tests.integration.specs import LOKI
from tests.integration.standing import open_sandbox
from tests.servers.grafana import Grafana
from tests.servers.kubernetes import KubernetesServer
from tests.servers.operator_process import OperatorProcess

IF_UNOWNED = {"adoptionPolicy": "IfUnowned"}
POLICIES: dict[str, Json] = {"created": {}, "taken-over": IF_UNOWNED}


@pytest.fixture
def uid() -> str:
    return f"uid-{secrets.token_hex(6)}"


def owner_of(held: Json) -> object:
    return held["jsonData"].get(OWNER_KEY)


# --- several resources of one operator


@dataclass(frozen=True)
class Crowd:
    """Resources that wanted one data source when the operator started, the oldest first."""

    sandbox: Sandbox
    operator: OperatorProcess
    by_uid: dict[str, list[str]]


@pytest.fixture(scope="module")
def crowd(
    kubernetes_with_crds: KubernetesServer,
    grafana: Grafana,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Crowd]:
    directory = tmp_path_factory.mktemp("crowd")
    with open_sandbox(kubernetes_with_crds, grafana, directory) as sandbox:
        outsider = sandbox.add_namespace()
        sandbox.target.make_by_hand("taken-over")
        sandbox.apply("aside", {**LOKI, "uid": "aside"}, namespace=outsider)
        by_uid = {}
        for uid, policy in POLICIES.items():
            spec = {**LOKI, **policy, "uid": uid}
            names = [f"{letter}-{uid}" for letter in "dcba"]
            by_uid[uid] = oldest_first(*(sandbox.apply(name, spec) for name in names))
        sandbox.apply("not-aside", {**LOKI, "uid": "aside"})
        operator = sandbox.start_operator(GDSO_GRAFANA_ALLOWED_NAMESPACES=sandbox.namespace)
        yield Crowd(sandbox, operator, by_uid)
        sandbox.check_everywhere()


@pytest.mark.parametrize("uid", POLICIES)
def test_of_several_that_appear_at_once_the_oldest_gets_the_data_source_and_keeps_it(
    crowd: Crowd, uid: str
) -> None:
    sandbox = crowd.sandbox
    first, second, *others = crowd.by_uid[uid]
    sandbox.wait_ready(first)
    for name in (second, *others):
        sandbox.wait_for_reason(name, "OwnershipConflict", message=f"{sandbox.namespace}/{first}")
    held = sandbox.held(uid)

    crowd.operator.restart()
    for name in (*others, second, first):
        sandbox.request_reconcile(name)
    assert sandbox.held(uid) == held
    sandbox.delete(first)
    sandbox.wait_ready(second)
    assert sandbox.held(uid)["name"] == second
    for name in others:
        sandbox.wait_for_reason(name, "OwnershipConflict", message=f"{sandbox.namespace}/{second}")


def test_who_may_not_live_on_an_instance_is_in_nobody_s_way(crowd: Crowd) -> None:
    sandbox = crowd.sandbox
    sandbox.wait_for_reason("aside", "InstanceNotAllowed", namespace=sandbox.namespaces[1])
    sandbox.wait_ready("not-aside")
    assert {event["reason"] for event in sandbox.events("not-aside")} == {"Created"}


@pytest.mark.parametrize("way", ["deleted", "moved", "orphaned"])
def test_a_data_source_that_is_given_up_goes_to_the_next_at_once(
    place: Place, uid: str, way: str
) -> None:
    users = place.sandbox
    first, second = f"{uid}-first", f"{uid}-second"
    spec: Json = {"uid": uid}
    if way == "orphaned":
        spec["deletionPolicy"] = "Orphan"
    place.apply(first, **spec)
    users.wait_ready(first)
    before = place.target.held(uid)
    place.apply(second, uid=uid, **IF_UNOWNED)
    users.wait_for_reason(second, "OwnershipConflict")

    if way == "moved":
        users.apply_instance(f"elsewhere-{uid}", users.add_grafana())
        place.apply(first, **spec, instanceRef={"name": f"elsewhere-{uid}"})
    else:
        users.delete(first)
    users.wait_ready(second)
    held = place.target.held(uid)
    assert owner_of(held) == place.mark_of(second)
    assert (held["id"] == before["id"]) is (way == "orphaned")
    if way == "moved":
        users.wait_ready(first)


# --- one operator whose id changes


def test_data_sources_of_a_former_owner_id_are_ours_only_if_it_is_named(sandbox: Sandbox) -> None:
    names = ("stays", "goes-before", "goes-after")
    uids = {name: sandbox.uid(name) for name in names}
    operator = sandbox.start_operator(GDSO_OWNER_ID="former")
    for name in names:
        sandbox.apply(name, LOKI)
        sandbox.wait_ready(name)
    before = {name: sandbox.held(uid) for name, uid in uids.items()}
    assert owner_of(before["stays"]) == f"former/{sandbox.namespace}/stays"
    left_behind = {OWNER_KEY: f"former/{sandbox.namespace}/gone"}
    sandbox.target.make_by_hand("left-behind", jsonData=left_behind)
    operator.stop()

    operator = sandbox.start_operator(GDSO_OWNER_ID="present")
    sandbox.apply("heir", {**LOKI, "uid": "left-behind", **IF_UNOWNED})
    for name in names:
        told = ready_of(sandbox.wait_for_reason(name, "OwnershipConflict"))
        assert "(owner id former)" in told["message"]
        assert "GDSO_OWNER_ID_ACCEPT" in told["message"]
    sandbox.wait_for_reason("heir", "OwnershipConflict")
    sandbox.delete("goes-before")
    sandbox.wait_gone("goes-before")
    assert {name: sandbox.held(uid) for name, uid in uids.items()} == before
    operator.stop()

    sandbox.start_operator(GDSO_OWNER_ID="present", GDSO_OWNER_ID_ACCEPT="older,former")
    for name in ("stays", "goes-after", "heir"):
        sandbox.wait_ready(name)
    held = sandbox.held(uids["stays"])
    assert owner_of(held) == f"present/{sandbox.namespace}/stays"
    assert held["id"] == before["stays"]["id"]
    assert owner_of(sandbox.held("left-behind")) == f"present/{sandbox.namespace}/heir"
    sandbox.delete("goes-after")
    sandbox.wait_gone("goes-after")
    assert sandbox.in_grafana(uids["goes-after"]) is None


# --- two operators on one organization


@pytest.fixture(scope="module")
def operators(
    kubernetes_with_crds: KubernetesServer,
    grafana: Grafana,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Sandbox, Sandbox]]:
    """Each has its own namespace; they look again each second at what others may have resolved."""
    directory = tmp_path_factory.mktemp("operators")
    eager = with_constants(directory / "eager", "errors", {"STALLED_RECHECK_SECONDS": 1.0})
    with (
        open_sandbox(kubernetes_with_crds, grafana, directory / "one") as one,
        open_sandbox(kubernetes_with_crds, grafana, directory / "two", org_id=one.org_id) as two,
    ):
        for sandbox in (one, two):
            sandbox.start_operator(**eager)
        yield one, two
        for sandbox in (one, two):
            sandbox.check_everywhere()


@pytest.mark.parametrize("policy", ["Delete", "Orphan"])
def test_what_another_operator_owns_is_left_alone_until_that_one_lets_go(
    operators: tuple[Sandbox, Sandbox], uid: str, policy: str
) -> None:
    one, two = operators
    one.apply(uid, {**LOKI, "uid": uid, "deletionPolicy": policy})
    one.wait_ready(uid)
    theirs = one.held(uid)

    mark = two.target.proxy.mark()
    spec = {**LOKI, **IF_UNOWNED, "uid": uid, "url": "http://two:1"}
    two.apply("waits", spec)
    told = ready_of(two.wait_for_reason("waits", "OwnershipConflict"))
    owner = f"{one.namespace}/{uid} of another operator (owner id owner-{one.namespace})"
    assert f'"{uid}" is owned by {owner}' in told["message"]
    # Of those who wait, the older one is told of; within one second the name decides.
    two.apply("leaves", spec)
    told = ready_of(two.wait_for_reason("leaves", "OwnershipConflict"))
    assert f'"{uid}"' in told["message"]
    two.delete("leaves")
    two.wait_gone("leaves")
    assert one.held(uid) == theirs
    assert not any(write.startswith(("PUT", "DELETE")) for write in two.target.writes(mark))

    one.delete(uid)
    one.wait_gone(uid)
    two.wait_ready("waits")
    held = two.held(uid)
    assert (held["url"], held["id"] == theirs["id"]) == ("http://two:1", policy == "Orphan")
    assert owner_of(held) == f"owner-{two.namespace}/{two.namespace}/waits"
    two.delete("waits")
    two.wait_gone("waits")


# --- two clusters


def test_two_clusters_with_the_same_names_do_not_take_each_other_s_data_sources(
    sandbox: Sandbox, own_kubernetes: KubernetesServer, tmp_path: Path
) -> None:
    install_crds(own_kubernetes)
    own_kubernetes.kubectl("create", "namespace", sandbox.namespace)
    second = Sandbox(
        kubernetes=own_kubernetes,
        grafana=sandbox.target.server,
        namespace=sandbox.namespace,
        org_id=sandbox.org_id,
        directory=tmp_path / "second",
    )
    try:
        for cluster in (sandbox, second):
            cluster.start_operator(GDSO_OWNER_ID=None)
        sandbox.apply("same", LOKI)
        sandbox.wait_ready("same")
        held = sandbox.held(sandbox.uid("same"))
        second.apply("same", {**LOKI, "url": "http://second:1", **IF_UNOWNED})
        told = ready_of(second.wait_for_reason("same", "OwnershipConflict"))
        assert f"{sandbox.namespace}/same of another operator" in told["message"]
        second.delete("same")
        second.wait_gone("same")
        assert sandbox.held(sandbox.uid("same")) == held
        second.check_everywhere()
    finally:
        second.close()
