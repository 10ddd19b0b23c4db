"""Deletion: what Grafana holds afterwards, what keeps it from going on, and every way out."""

import pytest

from tests.integration.sandbox import Json, Sandbox, ready_of
from tests.integration.specs import LOKI, UNCHECKED, secret_key, sends_headers
from tests.integration.standing import shared_sandbox as shared_sandbox
from tests.integration.standing import standing_sandbox as standing_sandbox
from tests.kstatus import find_condition
from tests.servers.echo import EchoServer
from tests.servers.faults import requests_of

OWNER_KEY = "gdso.dev/owner"
FORCE_DELETE = "gdso.dev/force-delete"


def make(sandbox: Sandbox, name: str, **spec: object) -> Json:
    """A resource that is ready; answers what Grafana holds."""
    sandbox.apply(name, {**LOKI, **spec})
    sandbox.wait_ready(name)
    return sandbox.held(sandbox.uid(name))


def test_what_never_reached_grafana_goes_at_once(shared: Sandbox) -> None:
    spec = {**LOKI, "secureJsonData": {"password": secret_key("never-there", "key")}}
    shared.apply("waits", spec)
    waiting = shared.wait_for_reason("waits", "WaitingForSecret")
    assert "finalizers" not in waiting["metadata"]
    with shared.proxy.refusing():
        shared.delete("waits")
        assert shared.get("waits") is None


def test_kubectl_delete_returns_when_the_data_source_is_gone(shared: Sandbox) -> None:
    make(shared, "by-kubectl")
    shared.kubectl("delete", "gds/by-kubectl", "--timeout=30s")
    assert shared.in_grafana(shared.uid("by-kubectl")) is None


def test_a_resource_that_is_made_again_gets_the_same_uid(shared: Sandbox) -> None:
    make(shared, "again")
    shared.delete("again")
    shared.wait_gone("again")
    make(shared, "again", url="http://elsewhere:3100")
    assert shared.held(shared.uid("again"))["url"] == "http://elsewhere:3100"


def test_deletion_waits_for_a_grafana_that_is_down_and_tells_how_to_escape(
    shared: Sandbox,
) -> None:
    make(shared, "blocked")
    with shared.proxy.refusing():
        shared.delete("blocked")
        blocked = shared.wait_for_reason("blocked", "DeletionBlocked")
        assert ready_of(blocked)["message"] == (
            "GrafanaUnreachable: no connection to Grafana (connecting failed: refused). Retried for"
            " ever; to let go without Grafana, set the annotation gdso.dev/force-delete=true or"
            " spec.deletionPolicy: Orphan"
        )
        assert shared.held(shared.uid("blocked"))["name"] == "blocked"
    shared.wait_gone("blocked")
    assert shared.in_grafana(shared.uid("blocked")) is None


@pytest.mark.parametrize(
    ("status", "content_type", "body"),
    [
        (404, "application/json", b'{"message": "Not found"}'),
        (404, "text/html", b"<html>no such page</html>"),
        (200, "text/html", b"<html>please log in</html>"),
        (500, "application/json", b'{"message": "Failed to query datasources"}'),
    ],
    ids=["no such route", "404 of something else", "login page", "broken"],
)
def test_only_the_words_of_grafana_mean_that_a_data_source_is_gone(
    shared: Sandbox, status: int, content_type: str, body: bytes
) -> None:
    name = f"answered-{status}-{len(body)}"
    make(shared, name)
    fault = shared.proxy.answer(
        status,
        {"Content-Type": content_type},
        body,
        matching=requests_of("GET", f"/api/datasources/uid/{shared.uid(name)}"),
    )
    shared.delete(name)
    shared.wait_for_reason(name, "DeletionBlocked", message=f"HTTP {status}")
    assert shared.held(shared.uid(name))["name"] == name
    shared.proxy.remove(fault)
    shared.wait_gone(name)
    assert shared.in_grafana(shared.uid(name)) is None


def test_force_delete_lets_go_without_grafana(shared: Sandbox) -> None:
    held = make(shared, "forced")
    shared.annotate("forced", FORCE_DELETE, "true")
    with shared.proxy.refusing():
        # On a resource that is not being deleted it means nothing, nor does another value.
        shared.annotate("forced", FORCE_DELETE, "yes")
        shared.delete("forced")
        shared.wait_for_reason("forced", "DeletionBlocked")
        shared.annotate("forced", FORCE_DELETE, "true")
        shared.wait_gone("forced")
    assert shared.held(shared.uid("forced")) == held


def test_an_annotation_to_force_deletion_deletes_nothing_by_itself(shared: Sandbox) -> None:
    held = make(shared, "not-deleted")
    shared.annotate("not-deleted", FORCE_DELETE, "true")
    shared.apply("not-deleted", {**LOKI, "url": "http://elsewhere:3100"})
    ready = shared.wait_ready("not-deleted")
    assert "gdso.dev/finalizer" in ready["metadata"]["finalizers"]
    assert shared.held(shared.uid("not-deleted"))["version"] == held["version"] + 1


def test_an_orphan_stays_as_it_is_but_for_our_mark(shared: Sandbox, echo: EchoServer) -> None:
    value = "secret-of-an-orphan"
    shared.apply_secret("orphan", {"token": value})
    held = make(
        shared,
        "orphan",
        **sends_headers(echo.url, "X-Token"),
        secureJsonData={"httpHeaderValue1": secret_key("orphan", "token")},
        deletionPolicy="Orphan",
        user="somebody",
    )
    shared.delete("orphan")
    shared.wait_gone("orphan")
    orphan = shared.held(shared.uid("orphan"))
    assert held["jsonData"].pop(OWNER_KEY)
    assert {**orphan, "version": held["version"]} == held
    shared.query(shared.uid("orphan"))
    assert echo.last_header("X-Token") == value


def test_an_orphan_is_let_go_while_grafana_is_down(shared: Sandbox) -> None:
    held = make(shared, "orphan-alone", deletionPolicy="Orphan")
    with shared.proxy.refusing():
        shared.delete("orphan-alone")
        shared.wait_gone("orphan-alone")
    assert shared.held(shared.uid("orphan-alone")) == held


def test_the_policy_can_still_be_changed_to_orphan_while_deletion_is_blocked(
    shared: Sandbox,
) -> None:
    held = make(shared, "late-orphan")
    with shared.proxy.refusing():
        shared.delete("late-orphan")
        shared.wait_for_reason("late-orphan", "DeletionBlocked")
        shared.patch("late-orphan", {"spec": {"deletionPolicy": "Orphan"}})
        shared.wait_gone("late-orphan")
    assert shared.held(shared.uid("late-orphan")) == held


def test_a_suspended_resource_is_cleaned_up(shared: Sandbox) -> None:
    make(shared, "suspended")
    shared.apply("suspended", {**LOKI, "suspend": True})
    shared.wait_until(
        "suspended", lambda raw: ready_of(raw)["reason"] == "Suspended", "to be suspended"
    )
    shared.delete("suspended")
    shared.wait_gone("suspended")
    assert shared.in_grafana(shared.uid("suspended")) is None


def test_a_resource_whose_secret_is_gone_is_cleaned_up(shared: Sandbox) -> None:
    shared.apply_secret("goes-first", {"key": "goes-with-its-namespace"})
    make(shared, "bereft", secureJsonData={"password": secret_key("goes-first", "key")})
    shared.delete_secret("goes-first")
    shared.wait_for_reason("bereft", "WaitingForSecret")
    shared.delete("bereft")
    shared.wait_gone("bereft")
    assert shared.in_grafana(shared.uid("bereft")) is None


def test_what_is_gone_in_grafana_already_is_no_obstacle(shared: Sandbox) -> None:
    make(shared, "gone-before")
    uid = shared.uid("gone-before")
    shared.grafana.delete(f"datasources/uid/{uid}").raise_for_status()
    mark = shared.proxy.mark()
    shared.delete("gone-before")
    shared.wait_gone("gone-before")
    assert shared.grafana_requests(mark) == [f"GET /api/datasources/uid/{uid}"]


def test_what_vanishes_between_look_and_delete_is_no_obstacle(shared: Sandbox) -> None:
    make(shared, "vanishes")
    uid = shared.uid("vanishes")
    # Grafana answers the first DELETE, but nobody hears it: the second one finds nothing.
    fault = shared.proxy.cut_body(
        0, matching=requests_of("DELETE", f"/api/datasources/uid/{uid}"), times=1
    )
    shared.delete("vanishes")
    shared.wait_gone("vanishes")
    assert fault.hits == 1
    assert shared.in_grafana(uid) is None


def test_a_slow_deletion_says_that_it_goes_on(shared: Sandbox) -> None:
    make(shared, "slow")
    uid = shared.uid("slow")
    shared.proxy.delay(8, requests_of("GET", f"/api/datasources/uid/{uid}"))
    mark = shared.proxy.mark()
    shared.delete("slow")
    deleting = shared.wait_for_reason("slow", "Deleting")
    assert find_condition(deleting, "Reconciling") is not None
    assert shared.held(shared.uid("slow"))["name"] == "slow"
    shared.wait_gone("slow")
    assert shared.in_grafana(uid) is None
    path = f"/api/datasources/uid/{uid}"
    assert shared.grafana_requests(mark) == [f"GET {path}", f"DELETE {path}"]
    shared.wait("slow", lambda _: "Deleted" in reasons(shared, "slow"), "the event Deleted")


def reasons(sandbox: Sandbox, name: str) -> set[str]:
    return {event["reason"] for event in sandbox.events(name)}


def test_fifty_deletions_at_once_cost_two_requests_and_one_write_each(shared: Sandbox) -> None:
    names = [f"many-{number}" for number in range(50)]
    for name in names:
        shared.apply(name, {**LOKI, **UNCHECKED}, labels={"batch": "many"})
    for name in names:
        shared.wait_ready(name)
    kube, grafana = shared.audit.mark(), shared.proxy.mark()
    shared.kubectl("delete", "gds", "-l", "batch=many", "--wait=false")
    for name in names:
        shared.wait_gone(name)
    left = {held["uid"] for held in shared.all_in_grafana()}
    assert not left & {shared.uid(name) for name in names}
    paths = [f"/api/datasources/uid/{shared.uid(name)}" for name in names]
    assert sorted(shared.grafana_requests(grafana)) == sorted(
        [f"{method} {path}" for path in paths for method in ("GET", "DELETE")]
    )
    assert all(len(shared.writes_to(name, kube)) == 1 for name in names)
