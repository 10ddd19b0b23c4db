"""Rotation, proven by what a back end receives: to GET it looks the same before and after."""

import base64
import itertools
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.integration.sandbox import Json, Sandbox
from tests.integration.specs import LOKI, secret_key, sends_headers, whole_secret
from tests.integration.standing import shared_sandbox as shared_sandbox
from tests.integration.standing import standing_sandbox as standing_sandbox
from tests.servers.echo import EchoServer
from tests.servers.faults import ProxiedRequest, requests_of
from tests.servers.polling import eventually

CACHE_SECONDS = 5.0
"""Grafana keeps decrypted secrets for so long: a write shows at the back end within it."""
WRITE_GAP_SECONDS = 1.1
"""What the operator promises between two writes to one data source."""


def new_value() -> str:
    return f"secret-{secrets.token_hex(8)}"


def puts(sandbox: Sandbox, uid: str, since: int) -> list[ProxiedRequest]:
    return sandbox.proxy.matching(requests_of("PUT", f"/api/datasources/uid/{uid}"), since)


def wait_for_puts(sandbox: Sandbox, uid: str, since: int, number: int) -> list[ProxiedRequest]:
    def are_answered(found: list[ProxiedRequest]) -> bool:
        return len(found) >= number and all(put.ended is not None for put in found)

    return eventually(
        lambda: puts(sandbox, uid, since), are_answered, 30, f"{number} answered PUTs of {uid}"
    )


def revision_of(raw: Json) -> object:
    return raw["status"]["instances"][0].get("secretsRevision")


def wait_for_another_revision(sandbox: Sandbox, name: str, before: Json) -> None:
    old = revision_of(before)
    sandbox.wait_until(name, lambda raw: revision_of(raw) != old, "another secrets revision")


def query_until(sandbox: Sandbox, uid: str, echo: EchoServer, header: str, value: str) -> None:
    def ask() -> str | None:
        sandbox.query(uid)
        return echo.last_header(header)

    eventually(ask, lambda seen: seen == value, CACHE_SECONDS + 10, f"the new {header}")


def test_a_back_end_receives_the_new_header_and_password_after_one_change(
    shared: Sandbox, echo: EchoServer
) -> None:
    uid = shared.uid("rotates")
    spec = {
        **sends_headers(echo.url, "X-Token"),
        "basicAuth": True,
        "basicAuthUser": "scraper",
        "secureJsonData": {
            "httpHeaderValue1": secret_key("rotates", "token"),
            "basicAuthPassword": secret_key("rotates", "password"),
        },
    }
    for _ in range(2):
        token, password = new_value(), new_value()
        shared.apply_secret("rotates", {"token": token, "password": password})
        shared.apply("rotates", spec)
        shared.wait_ready("rotates")
        query_until(shared, uid, echo, "X-Token", token)
        sent = base64.b64encode(f"scraper:{password}".encode()).decode()
        query_until(shared, uid, echo, "Authorization", f"Basic {sent}")


@dataclass(frozen=True)
class Rotating:
    """A data source that was not queried for so long that Grafana has forgotten its secrets."""

    uid: str
    secret: str
    echo: EchoServer

    @property
    def last_received(self) -> str | None:
        return self.echo.last_header("X-Token")


@pytest.fixture
def rotating(shared: Sandbox) -> Iterator[list[Rotating]]:
    """Several, since what is looked for depends on the clock."""
    made = [
        Rotating(shared.uid(f"twice-{number}"), f"twice-{number}", EchoServer())
        for number in range(3)
    ]
    for source in made:
        shared.apply_secret(source.secret, {"token": new_value()})
        spec = {
            **sends_headers(source.echo.url, "X-Token"),
            "secureJsonData": {"httpHeaderValue1": secret_key(source.secret, "token")},
        }
        shared.apply(source.secret, spec)
    for source in made:
        shared.wait_ready(source.secret)
    for source in made:
        shared.query(source.uid)
    # Without this pause Grafana heals by itself what the test is to find, and proves nothing.
    time.sleep(CACHE_SECONDS + 1)
    yield made
    for source in made:
        source.echo.stop()


def test_a_back_end_receives_the_last_of_two_values_that_came_within_a_second(
    shared: Sandbox, rotating: list[Rotating]
) -> None:
    first, last = new_value(), new_value()
    mark = shared.proxy.mark()
    # Grafana counts in whole seconds: begin both changes in the same one.
    eventually(lambda: time.time() % 1, lambda part: part < 0.1, 5, "a second to begin")
    for source in rotating:
        shared.apply_secret(source.secret, {"token": first})
    for source in rotating:
        wait_for_puts(shared, source.uid, mark, 1)
        # Grafana connects to the back end with the first value, and keeps the connection.
        shared.query(source.uid)
        assert source.last_received == first
        shared.apply_secret(source.secret, {"token": last})
    for source in rotating:
        wait_for_puts(shared, source.uid, mark, 2)
        query_until(shared, source.uid, source.echo, "X-Token", last)

        source.echo.forget()
        for _ in range(10):
            shared.query(source.uid)
        assert set(source.echo.headers("X-Token")) == {last}
        earlier, later = puts(shared, source.uid, mark)
        assert earlier.ended is not None
        assert later.time - earlier.ended >= WRITE_GAP_SECONDS - 0.01


def test_many_changes_within_a_second_become_two_writes_that_lie_apart(
    shared: Sandbox, echo: EchoServer
) -> None:
    uid = shared.uid("burst")
    spec = {
        **sends_headers(echo.url, "X-Token"),
        "secureJsonData": {"httpHeaderValue1": secret_key("burst", "token")},
    }
    start = shared.proxy.mark()
    shared.apply_secret("burst", {"token": new_value()})
    shared.apply("burst", spec)
    ready = shared.wait_ready("burst")
    mark, began = shared.proxy.mark(), time.monotonic()
    for _ in range(20):
        last = new_value()
        shared.apply_secret("burst", {"token": last})
    changing_seconds = time.monotonic() - began
    wait_for_another_revision(shared, "burst", ready)
    query_until(shared, uid, echo, "X-Token", last)
    assert len(puts(shared, uid, mark)) <= 2 + changing_seconds / WRITE_GAP_SECONDS
    writes = [r for r in shared.proxy.since(start) if r.method in {"POST", "PUT"}]
    assert all(b.time - a.time >= WRITE_GAP_SECONDS for a, b in itertools.pairwise(writes))


def test_a_changed_secret_costs_one_read_one_write_and_one_status_per_user_and_nothing_for_others(
    shared: Sandbox,
) -> None:
    users = {
        "by-key": {**LOKI, "secureJsonData": {"password": secret_key("common", "token")}},
        "by-two-keys": {
            **LOKI,
            "secureJsonData": {
                "password": secret_key("common", "token"),
                "other": secret_key("common", "other"),
            },
        },
        "whole": {**LOKI, "secureJsonDataFrom": [whole_secret("common")]},
    }
    others = {
        "none": LOKI,
        "another": {**LOKI, "secureJsonData": {"password": secret_key("uncommon", "token")}},
    }
    shared.apply_secret("common", {"token": new_value(), "other": new_value()})
    shared.apply_secret("uncommon", {"token": new_value()})
    for name, spec in {**users, **others}.items():
        shared.apply(name, spec)
    ready = {name: shared.wait_ready(name) for name in {**users, **others}}
    kube, grafana = shared.audit.mark(), shared.proxy.mark()

    shared.apply_secret("common", {"token": new_value(), "other": new_value()})
    for name in users:
        wait_for_another_revision(shared, name, ready[name])
    for name in users:
        path = f"/api/datasources/uid/{shared.uid(name)}"
        asked = [r for r in shared.grafana_requests(grafana) if r.endswith(path)]
        assert asked == [f"GET {path}", f"PUT {path}"]
        assert [w.subresource for w in shared.writes_to(name, kube)] == ["status"]
    for name in others:
        assert not [r for r in shared.grafana_requests(grafana) if r.endswith(shared.uid(name))]
        assert shared.writes_to(name, kube) == []


def test_an_unused_key_or_an_annotation_of_a_secret_costs_one_write_as_well(
    shared: Sandbox,
) -> None:
    """The operator knows Secrets by their version only, so that it need not keep their values."""
    uid = shared.uid("version-only")
    shared.apply_secret("version-only", {"token": new_value()})
    spec = {**LOKI, "secureJsonData": {"password": secret_key("version-only", "token")}}
    shared.apply("version-only", spec)
    ready = shared.wait_ready("version-only")
    mark = shared.proxy.mark()
    shared.kubectl("annotate", "secret", "version-only", "seen=yes")
    wait_for_another_revision(shared, "version-only", ready)
    assert len(puts(shared, uid, mark)) == 1
