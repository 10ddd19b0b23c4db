"""GDSO_DEFAULT_INSTANCE and GDSO_INSTANCE_NAMESPACES: a platform's Grafana, used by teams."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.integration.instances import add_instance, names_in, on_instance, wait_instance_reason
from tests.integration.sandbox import INSTANCE, Json, Sandbox, default_instance, ready_of
from tests.integration.specs import LOKI
from tests.integration.standing import open_sandbox
from tests.servers.grafana import Grafana
from tests.servers.kubernetes import KubernetesServer
from tests.servers.target import Target

EVERYBODY: Json = {"from": "All"}


@dataclass(frozen=True)
class Platform:
    """The sandbox's own namespace is a team's; `home` alone may hold GrafanaInstances."""

    team: Sandbox
    home: str
    target: Target

    def apply_default(self, **spec: Any) -> None:
        self.team.apply_instance("main", self.target, namespace=self.home, **spec)

    def wait_ready(self) -> None:
        self.team.wait_instance_ready("main", namespace=self.home)


@pytest.fixture(scope="module")
def standing_platform(
    kubernetes_with_crds: KubernetesServer,
    grafana: Grafana,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Platform]:
    directory = tmp_path_factory.mktemp("platform")
    with open_sandbox(kubernetes_with_crds, grafana, directory) as sandbox:
        home = sandbox.add_namespace()
        sandbox.start_operator(
            **default_instance(f"{home}/main"),
            GDSO_NAMESPACES=sandbox.namespace,
            GDSO_INSTANCE_NAMESPACES=home,
        )
        yield Platform(sandbox, home, sandbox.add_grafana())


@pytest.fixture
def platform(standing_platform: Platform) -> Iterator[Platform]:
    """Each test finds the default instance as it needs it, and makes its own resources."""
    yield standing_platform
    standing_platform.team.check_everywhere()


def test_a_default_instance_that_does_not_exist_yet_is_waited_for(platform: Platform) -> None:
    team = platform.team
    team.apply("early", LOKI)
    waiting = team.wait_for_reason("early", "WaitingForInstance")
    assert ready_of(waiting)["message"] == (
        f'GrafanaInstance "main" in namespace "{platform.home}" does not exist'
    )
    platform.apply_default(allowedNamespaces=EVERYBODY)
    raw = team.wait_ready("early")
    assert raw["status"]["instanceSummary"] == "main"
    (recorded,) = raw["status"]["instances"]
    assert (recorded["namespace"], recorded["name"]) == (platform.home, "main")
    assert platform.target.held(team.uid("early"))["name"] == "early"


def test_a_default_instance_may_be_for_some_only(platform: Platform) -> None:
    team = platform.team
    platform.apply_default()
    platform.wait_ready()
    mark = platform.target.proxy.mark()
    team.apply("stranger", LOKI)
    stalled = team.wait_for_reason("stranger", "InstanceNotAllowed")
    assert ready_of(stalled)["message"] == (
        f'GrafanaInstance "main" in namespace "{platform.home}" does not exist, or does not admit'
        f' namespace "{team.namespace}"; ask who owns it to set spec.allowedNamespaces'
    )
    assert platform.target.requests(mark) == []
    platform.apply_default(allowedNamespaces=EVERYBODY)
    team.wait_ready("stranger")


def test_naming_the_default_instance_is_the_same_as_naming_none(platform: Platform) -> None:
    team = platform.team
    platform.apply_default(allowedNamespaces=EVERYBODY)
    team.apply("unnamed", LOKI)
    before = team.wait_ready("unnamed")
    mark = platform.target.proxy.mark()
    team.apply("unnamed", on_instance("main", platform.home))
    after = team.wait_ready("unnamed")
    assert after["status"]["instances"] == before["status"]["instances"]
    assert platform.target.writes(mark) == []


def test_an_instance_of_a_namespace_that_does_not_count_is_told_so_and_not_used(
    platform: Platform,
) -> None:
    team, target = platform.team, platform.team.add_grafana()
    team.apply_instance("own", target, labels={"tier": "own"})
    raw = wait_instance_reason(team, "own", "InstanceNotAllowed")
    assert ready_of(raw)["message"] == (
        f'GrafanaInstances of namespace "{team.namespace}" do not count; ask who runs the operator'
        " to add it to GDSO_INSTANCE_NAMESPACES"
    )
    team.apply("on-own", on_instance("own"))
    team.apply("on-selected", {**LOKI, "instanceSelector": {"matchLabels": {"tier": "own"}}})
    for name in ("on-own", "on-selected"):
        team.wait_for_reason(name, "WaitingForInstance")
        team.delete(name)
        team.wait_gone(name)
    assert target.proxy.requests == []
    team.delete("own", kind=INSTANCE)
    team.wait_gone("own", kind=INSTANCE)


def test_resources_of_the_instances_namespace_are_not_looked_at(platform: Platform) -> None:
    """It is watched for its instances only."""
    team = platform.team
    platform.apply_default(allowedNamespaces=EVERYBODY)
    platform.wait_ready()
    team.apply("unwatched", LOKI, namespace=platform.home)
    team.apply("watched", LOKI)
    team.wait_ready("watched")
    assert "unwatched" not in names_in(platform.target)
    raw = team.get("unwatched", namespace=platform.home)
    assert raw is not None
    assert ready_of(raw)["reason"] == "Pending"


def test_a_resource_whose_default_instance_is_another_one_after_a_restart_moves(
    sandbox: Sandbox,
) -> None:
    first, second = sandbox.add_grafana(), sandbox.add_grafana()
    sandbox.apply_instance("first", first)
    sandbox.apply_instance("second", second)
    sandbox.apply("moves", LOKI)
    before = sandbox.start_operator(**default_instance(f"{sandbox.namespace}/first"))
    sandbox.wait_ready("moves")
    before.stop()
    sandbox.start_operator(**default_instance(f"{sandbox.namespace}/second"))
    sandbox.wait_until(
        "moves",
        lambda raw: [one["name"] for one in raw["status"]["instances"]] == ["second"],
        "to have moved",
    )
    assert (names_in(first), names_in(second)) == (set(), {"moves"})


def test_the_default_of_the_settings_and_instances_live_side_by_side(sandbox: Sandbox) -> None:
    sandbox.start_operator()
    named = add_instance(sandbox, "named")
    sandbox.apply("on-default", LOKI)
    sandbox.apply("on-named", on_instance("named"))
    raw = sandbox.wait_ready("on-default")
    sandbox.wait_ready("on-named")
    assert raw["status"]["instanceSummary"] == "default"
    (recorded,) = raw["status"]["instances"]
    assert (recorded["namespace"], recorded["name"]) == ("-", "default")
    assert (names_in(sandbox.target), names_in(named)) == ({"on-default"}, {"on-named"})

    sandbox.apply("on-default", on_instance("named"))
    sandbox.wait_until(
        "on-default",
        lambda raw: [one["name"] for one in raw["status"]["instances"]] == ["named"],
        "to have moved",
    )
    assert (names_in(sandbox.target), names_in(named)) == (set(), {"on-default", "on-named"})
