"""The default of an organization: who gets it of those who want it, and who is never unseated."""

import secrets
from collections.abc import Iterator

import pytest

from tests.integration.places import OWNER_KEY, Place, make_place, oldest_first
from tests.integration.places import place as place
from tests.integration.places import place_on_every_grafana as place_on_every_grafana
from tests.integration.places import standing_places as standing_places
from tests.integration.sandbox import Json, Sandbox, ready_of
from tests.integration.specs import LOKI
from tests.servers.grafana import Grafana, GrafanaServer
from tests.servers.grafana_doubles import GrafanaDoubleServer


def defaults_of(place: Place) -> list[str]:
    """Names of the data sources that Grafana says are the default."""
    return [one["name"] for one in place.target.all_in_grafana() if one["isDefault"]]


def names_for(place: Place, *names: str) -> list[str]:
    return [f"{name}-{place.instance}" for name in names]


def test_is_default_is_true_false_or_as_grafana_has_it(place_on_every_grafana: Place) -> None:
    place, users = place_on_every_grafana, place_on_every_grafana.sandbox
    unset, true, false = names_for(place, "unset", "true", "false")
    # Grafana makes the first one of an organization its default, whatever it is asked.
    place.apply(false, isDefault=False)
    users.wait_ready(false)
    assert defaults_of(place) == []
    place.apply(unset)
    users.wait_ready(unset)
    place.apply(true, isDefault=True)
    users.wait_ready(true)
    assert defaults_of(place) == [true]

    place.target.edit(users.uid(unset), isDefault=True)
    users.request_reconcile(unset)
    assert defaults_of(place) == [unset]
    users.request_reconcile(true)
    users.wait_ready(true)
    assert defaults_of(place) == [true]
    place.target.edit(users.uid(false), isDefault=True)
    users.request_reconcile(false)
    users.request_reconcile(true)
    assert defaults_of(place) == [true]


def test_the_holder_keeps_it_and_the_oldest_of_the_others_gets_it_when_it_is_deleted(
    place_on_every_grafana: Place,
) -> None:
    place, users = place_on_every_grafana, place_on_every_grafana.sandbox
    oldest, holder, third = contend(place)
    users.delete(holder)
    users.wait_ready(oldest)
    assert defaults_of(place) == [oldest]
    users.wait_for_reason(third, "DefaultConflict")


@pytest.mark.parametrize("way", ["unset", "moved"])
def test_the_same_at_once_when_it_gives_the_default_up(place: Place, way: str) -> None:
    users = place.sandbox
    oldest, holder, _ = contend(place)
    if way == "unset":
        place.apply(holder)
    else:
        make_place(users, place.target.server).apply(holder, isDefault=True)
    users.wait_ready(oldest)
    assert defaults_of(place) == [oldest]


def contend(place: Place) -> list[str]:
    """Three claims: of the oldest, which comes too late, of the holder, and of a third one."""
    users = place.sandbox
    oldest, holder, third = names_for(place, "oldest", "holder", "third")
    place.apply(oldest)
    users.wait_ready(oldest)
    for name, reason in ((holder, "Synced"), (third, "DefaultConflict")):
        place.apply(name, isDefault=True)
        users.wait_for_reason(name, reason)
    place.apply(oldest, isDefault=True, url="http://changed:1")
    told = ready_of(users.wait_for_reason(oldest, "DefaultConflict"))
    assert f"GrafanaDataSource {users.namespace}/{holder} holds it" in told["message"]
    assert defaults_of(place) == [holder]
    # All else is written.
    assert place.held(oldest)["url"] == "http://changed:1"
    return [oldest, holder, third]


def test_of_several_that_appear_at_once_the_oldest_is_the_default_and_stays_it(
    sandbox: Sandbox,
) -> None:
    spec = {**LOKI, "isDefault": True}
    first, *others = oldest_first(*(sandbox.apply(name, spec) for name in ("d", "c", "b", "a")))
    operator = sandbox.start_operator()
    check_default(sandbox, first, others)
    operator.restart()
    for name in (*others, first):
        sandbox.request_reconcile(name)
    check_default(sandbox, first, others)


def check_default(sandbox: Sandbox, first: str, others: list[str]) -> None:
    sandbox.wait_ready(first)
    for name in others:
        sandbox.wait_for_reason(name, "DefaultConflict")
    found = {one["name"]: one["isDefault"] for one in sandbox.all_in_grafana()}
    assert found == {first: True, **dict.fromkeys(others, False)}


# --- a default of others


HOLDERS: dict[str, tuple[Json, str | None]] = {
    "nobody": ({}, None),
    "a gone resource of ours": ({OWNER_KEY: "{owner}/{namespace}/gone"}, None),
    "another operator": (
        {OWNER_KEY: "other-cluster/monitoring/prometheus"},
        "monitoring/prometheus of another operator (owner id other-cluster) holds it",
    ),
    "a namespace out of sight": (
        {OWNER_KEY: "{owner}/elsewhere/prometheus"},
        "GrafanaDataSource elsewhere/prometheus holds it",
    ),
    "another tool": ({OWNER_KEY: "terraform"}, '"terraform"'),
}


@pytest.mark.parametrize("case", HOLDERS)
def test_a_default_that_others_own_is_never_unseated(place: Place, case: str) -> None:
    users = place.sandbox
    (name,) = names_for(place, "claims")
    marks, message = HOLDERS[case]
    ours = {"owner": f"owner-{users.namespace}", "namespace": users.namespace}
    json_data = {key: mark.format(**ours) for key, mark in marks.items()}
    place.target.make_by_hand("theirs", isDefault=True, jsonData=json_data)
    place.apply(name, isDefault=True)
    if message is None:
        users.wait_ready(name)
        assert defaults_of(place) == [name]
    else:
        users.wait_for_reason(name, "DefaultConflict", message=message)
        assert defaults_of(place) == ["theirs"]
        assert place.held(name)["isDefault"] is False


@pytest.fixture
def file_place(place_on_every_grafana: Place) -> Iterator[tuple[Place, str]]:
    """With a default from a file, and its name."""
    place, server = place_on_every_grafana, place_on_every_grafana.target.server
    if not isinstance(server, GrafanaServer | GrafanaDoubleServer):
        pytest.skip("needs a Grafana whose files it may write, and an existing one was given")
    name = f"file-{secrets.token_hex(4)}"
    provision(server, f"{name}, orgId: {place.target.org_id}, isDefault: true")
    yield place, name
    server.provision_datasources("apiVersion: 1\n")


def provision(server: Grafana, entry: str) -> None:
    assert isinstance(server, GrafanaServer | GrafanaDoubleServer)
    line = f"  - {{type: loki, url: 'http://file:1', uid: from-file, name: {entry}}}"
    server.provision_datasources(f"apiVersion: 1\ndatasources:\n{line}\n")
    server.reload_datasources()


def test_a_default_from_a_file_is_never_unseated(file_place: tuple[Place, str]) -> None:
    place, in_file = file_place
    users = place.sandbox
    (name,) = names_for(place, "claims")
    place.apply(name, isDefault=True)
    told = ready_of(users.wait_for_reason(name, "DefaultConflict"))
    assert f'"{in_file}" is, and is provisioned from a file' in told["message"]
    place.apply(name, isDefault=True, url="http://changed:1")
    users.wait_for_reason(name, "DefaultConflict")
    assert place.held(name)["url"] == "http://changed:1"
    assert defaults_of(place) == [in_file]

    provision(place.target.server, f"{in_file}, orgId: {place.target.org_id}, isDefault: false")
    assert defaults_of(place) == []
    users.request_reconcile(name)
    users.wait_ready(name)
    assert defaults_of(place) == [name]
