"""Data sources that nobody owns: who may take them over, and what becomes of their secrets."""

import base64
import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.integration.places import OWNER_KEY, Place, make_place
from tests.integration.places import place as place
from tests.integration.places import standing_places as standing_places
from tests.integration.sandbox import INSTANCE, Json, Sandbox, ready_of
from tests.integration.specs import secret_key
from tests.servers.echo import EchoServer
from tests.servers.grafana import Grafana
from tests.servers.grafana_choice import GrafanaPool, every_choice

CACHE_SECONDS = 5.0
"""Grafana keeps decrypted secrets for so long: a write shows at the back end within it."""
IF_UNOWNED = {"adoptionPolicy": "IfUnowned"}


def make_with_secrets(place: Place, uid: str, url: str) -> tuple[str, str]:
    """A data source by hand that sends a password and a header; returns both as sent."""
    password, token = (f"old-{secrets.token_hex(8)}" for _ in range(2))
    place.target.make_by_hand(
        uid,
        type="prometheus",
        url=url,
        basicAuth=True,
        basicAuthUser="svc",
        jsonData={"httpHeaderName1": "X-Token"},
        secureJsonData={"basicAuthPassword": password, "httpHeaderValue1": token},
    )
    return basic(password), token


def basic(password: str) -> str:
    return f"Basic {base64.b64encode(f'svc:{password}'.encode()).decode()}"


NO_PASSWORD = basic("")


def without_secrets(url: str) -> Json:
    """The same as a spec, with references that keep what Grafana has."""
    absent = secret_key("absent", "key", optional=True)
    return {
        "type": "prometheus",
        "url": url,
        "basicAuth": True,
        "basicAuthUser": "svc",
        "jsonData": {"httpHeaderName1": "X-Token"},
        "secureJsonData": {"basicAuthPassword": absent, "httpHeaderValue1": absent},
    }


# --- secrets of unknown origin


@dataclass(frozen=True)
class Adopted:
    """A data source that somebody made by hand, and that a resource has taken over since.

    Attributes:
        before: the back end that it had.
        after: the one that spec gives it.
        password: that `before` received, as it received it.
        token: the same in a header.
    """

    before: EchoServer
    after: EchoServer
    password: str
    token: str


@pytest.fixture(scope="module")
def adopted(places: Sandbox, grafana_pool: GrafanaPool) -> Iterator[dict[tuple[str, str], Adopted]]:
    """By uid ("moved" to another host, or not) and version: all take the same long pauses."""
    with ExitStack() as running:
        made: dict[tuple[str, str], Adopted] = {}
        where: dict[tuple[str, str], Place] = {}
        for choice in every_choice():
            there = make_place(places, grafana_pool.shared(choice))
            for uid in ("moved", "unmoved"):
                before = running.enter_context(EchoServer())
                after = running.enter_context(EchoServer()) if uid == "moved" else before
                key = uid, there.target.server.version
                made[key] = Adopted(before, after, *make_with_secrets(there, uid, before.url))
                where[key] = there
        query_all(where)
        # Without this pause Grafana heals by itself what the test is to find, and proves nothing.
        time.sleep(CACHE_SECONDS + 1)
        for (uid, version), there in where.items():
            spec = without_secrets(made[uid, version].after.url)
            there.apply(f"{uid}-{there.instance}", uid=uid, **IF_UNOWNED, **spec)
        for (uid, _), there in where.items():
            places.wait_ready(f"{uid}-{there.instance}")
        # Until what Grafana keeps in memory has been forgotten.
        end = time.monotonic() + CACHE_SECONDS + 1
        while time.monotonic() < end:
            query_all(where)
            time.sleep(0.05)
        yield made


def query_all(where: dict[tuple[str, str], Place]) -> None:
    for (uid, _), there in where.items():
        there.target.query(uid)


def test_an_old_password_never_goes_to_the_host_that_an_adoption_moves_to(
    adopted: dict[tuple[str, str], Adopted], every_grafana: Grafana
) -> None:
    one = adopted["moved", every_grafana.version]
    assert one.before.headers("Authorization") == [one.password]
    assert one.before.headers("X-Token") == [one.token]
    assert len(one.after.received) > 5
    assert set(one.after.headers("Authorization")) == {NO_PASSWORD}
    assert set(one.after.headers("X-Token")) <= {None, ""}


def test_an_optional_secret_that_is_absent_keeps_the_old_one_where_the_host_stays(
    adopted: dict[tuple[str, str], Adopted], every_grafana: Grafana
) -> None:
    one = adopted["unmoved", every_grafana.version]
    assert len(one.after.received) > 5
    assert set(one.after.headers("Authorization")) == {one.password}
    assert set(one.after.headers("X-Token")) == {one.token}


MOVES: dict[str, tuple[Json, bool]] = {
    "url": ({"url": "http://other:9090"}, True),
    "type": ({"type": "loki"}, True),
    "access": ({"access": "direct"}, True),
    "name": ({"name": "another name"}, False),
    "another name of the type": ({"type": "testdata"}, False),
}


@pytest.mark.parametrize("case", MOVES)
def test_a_move_blanks_what_spec_does_not_supply_and_nothing_else(place: Place, case: str) -> None:
    users, name = place.sandbox, f"blanks-{place.instance}"
    change, blanks = MOVES[case]
    type_ = "grafana-testdata-datasource" if change.get("type") == "testdata" else "prometheus"
    url = "http://prometheus:9090"
    by_hand = {"supplied": "old", "kept": "old", "unknown": "old"}
    place.target.make_by_hand("blanked", type=type_, url=url, secureJsonData=by_hand)
    users.apply_secret(name, {"key": f"new-{secrets.token_hex(8)}"})
    references = {
        "supplied": secret_key(name, "key"),
        "kept": secret_key(name, "absent", optional=True),
    }
    spec = {"type": type_, "url": url, **change, "secureJsonData": references}
    place.apply(name, uid="blanked", **IF_UNOWNED, **spec)
    users.wait_ready(name)
    held = place.target.held("blanked")
    assert held["secureJsonFields"].keys() == {"supplied"} | (set() if blanks else {"kept"})


# --- who may


def test_only_a_resource_that_says_so_takes_over_and_then_it_sends_the_whole_state(
    place: Place,
) -> None:
    users, name = place.sandbox, f"takes-{place.instance}"
    theirs = place.target.make_by_hand("theirs", user="old", jsonData={"maxLines": 7})
    place.apply(name, uid="theirs", jsonData={"timeout": 5})
    told = ready_of(users.wait_for_reason(name, "UidConflict"))
    assert "spec.adoptionPolicy: IfUnowned" in told["message"]
    assert place.target.held("theirs") == theirs

    place.apply(name, uid="theirs", jsonData={"timeout": 5}, **IF_UNOWNED)
    users.wait_ready(name)
    users.wait_for_event(name, "Adopted")
    held = place.target.held("theirs")
    assert held["id"] == theirs["id"]
    assert (held["name"], held["user"]) == (name, "")
    assert held["jsonData"] == {"timeout": 5, OWNER_KEY: place.mark_of(name)}
    # Now it is an ordinary one: nothing more is written, and it goes with its resource.
    mark = place.target.proxy.mark()
    users.request_reconcile(name)
    assert place.target.writes(mark) == []
    users.delete(name)
    users.wait_gone(name)
    assert place.target.in_grafana("theirs") is None


RULES: dict[str, tuple[Json | None, bool, bool]] = {
    "by default": (None, True, False),
    "None": ({"from": "None"}, False, False),
    "Same": ({"from": "Same"}, True, False),
    "All": ({"from": "All"}, True, True),
    "Selector": (
        {"from": "Selector", "selector": {"matchLabels": {"may-adopt": "yes"}}},
        False,
        True,
    ),
}


@pytest.mark.parametrize("case", RULES)
def test_the_instance_says_which_namespaces_may_take_over(
    places: Sandbox, grafana: Grafana, case: str
) -> None:
    rule, home_may, other_may = RULES[case]
    other = places.namespaces[1]
    places.label_namespace(other, {"may-adopt": "yes"})
    place = make_place(places, grafana, allowedNamespaces={"from": "All"}, allowedAdopters=rule)
    name = f"rule-{place.instance}"
    expected = {None: home_may, other: other_may}
    for namespace, may in expected.items():
        uid = f"in-{namespace or 'home'}"
        theirs = place.target.make_by_hand(uid)
        place.apply(name, namespace=namespace, uid=uid, name=f"ours {uid}", **IF_UNOWNED)
        if may:
            places.wait_ready(name, namespace=namespace)
        else:
            told = places.wait_for_reason(name, "UidConflict", namespace=namespace)
            assert "spec.allowedAdopters" in ready_of(told)["message"]
            assert place.target.held(uid) == theirs
    # A wider rule is noticed at once.
    everybody = {"spec": {"allowedAdopters": {"from": "All", "selector": None}}}
    places.patch(place.instance, everybody, kind=INSTANCE)
    for namespace in expected:
        places.wait_ready(name, namespace=namespace)


# --- marks that were lost, and marks that stay


def test_without_its_mark_a_data_source_is_ours_only_under_the_id_that_status_records(
    place: Place,
) -> None:
    users, name = place.sandbox, f"lost-{place.instance}"
    uid = users.uid(name)
    place.apply(name, resyncInterval="1s")
    users.wait_ready(name)
    place.target.edit(uid, jsonData={})
    users.wait(name, lambda _: OWNER_KEY in place.held(name)["jsonData"], "the mark to come back")
    users.patch(name, {"spec": {"suspend": True}})
    users.wait_for_event(name, "DriftCorrected")

    place.target.delete_by_hand(uid)
    theirs = place.target.make_by_hand(uid, url="http://by-hand:1")
    users.patch(name, {"spec": {"suspend": None}})
    users.wait_for_reason(name, "UidConflict")
    assert place.target.held(uid) == theirs
    users.delete(name)
    users.wait_gone(name)
    assert place.target.held(uid) == theirs


@pytest.mark.parametrize("way", ["Orphan", "force-delete"])
def test_what_a_resource_left_behind_can_be_taken_over_by_another_one(
    place: Place, way: str
) -> None:
    users, uid = place.sandbox, "left-behind"
    first, second = (f"{n}-{place.instance}" for n in ("first", "second"))
    users.apply_secret(first, {"key": f"kept-{secrets.token_hex(8)}"})
    place.apply(
        first,
        uid=uid,
        deletionPolicy="Orphan" if way == "Orphan" else "Delete",
        secureJsonData={"password": secret_key(first, "key")},
    )
    users.wait_ready(first)
    before = place.target.held(uid)
    if way == "force-delete":
        users.annotate(first, "gdso.dev/force-delete", "true")
    users.delete(first)
    users.wait_gone(first)
    left = place.target.held(uid)
    # Orphan takes off the mark and nothing else; force-delete asks Grafana nothing.
    assert left["jsonData"] == ({} if way == "Orphan" else before["jsonData"])
    assert left["secureJsonFields"] == before["secureJsonFields"]

    place.apply(second, uid=uid)
    users.wait_for_reason(second, "UidConflict")
    place.apply(second, uid=uid, **IF_UNOWNED)
    users.wait_ready(second)
    held = place.target.held(uid)
    assert (held["id"], held["jsonData"]) == (before["id"], {OWNER_KEY: place.mark_of(second)})
