"""An instance that cannot be asked: told at once where it matters, quiet, and found back soon."""

from tests.integration.metrics import total
from tests.integration.populated_instance import (
    CHANGED,
    PLAIN,
    PopulatedInstance,
    most_in_flight,
    numbered,
    posts,
)
from tests.integration.sandbox import INSTANCE, SECONDS, Sandbox, ready_of
from tests.integration.standing import shared_sandbox, standing_sandbox
from tests.servers.faults import requests_of
from tests.servers.polling import eventually

__all__ = ["shared_sandbox", "standing_sandbox"]

JSON = {"Content-Type": "application/json"}
# SQLite answers 500 now and then to two writes at a time, which would be counted.
ONE_AT_A_TIME = {"maxConcurrentRequests": 1}
LOCKED = b'{"message": "sqlstore.max-retries-reached"}'


def looks_in_vain(sandbox: Sandbox) -> float:
    """How many looks found Grafana away so far."""
    return total(sandbox.operators[0], "gdso_reconcile_total", result="GrafanaUnreachable")


def wait_for_looks_in_vain(sandbox: Sandbox, least: float) -> None:
    eventually(
        lambda: looks_in_vain(sandbox), lambda n: n >= least, SECONDS, f"{least} looks in vain"
    )


def test_of_a_hundred_resources_only_those_that_wait_are_written_and_twice_each(
    shared: Sandbox,
) -> None:
    place = PopulatedInstance(shared, "hundred", **ONE_AT_A_TIME)
    names = numbered("hundred", 100)
    waiting, asked = names[:10], names[10:20]
    place.apply(names)
    place.wait_ready(names, within=4 * SECONDS)
    mark = shared.audit.mark()
    with place.proxy.refusing():
        place.apply(waiting, **CHANGED)
        place.wait_for_reason(waiting, "GrafanaUnreachable")
        place.wait_told("GrafanaUnreachable", "connecting failed")
        assert place.metric("gdso_instance_up") == 0
        before = looks_in_vain(shared)
        for name in asked:
            shared.annotate(name, "gdso.dev/reconcile-requested-at", "during the outage")
        wait_for_looks_in_vain(shared, before + len(asked))
        assert {r.name for r in shared.kubernetes_writes(mark)} == {*waiting, place.name}
    place.wait_ready(names)
    shared.wait_instance_ready(place.name)
    for name in asked:
        shared.wait_until(
            name,
            lambda raw: raw["status"].get("lastHandledReconcileAt") == "during the outage",
            "the request to be handled",
        )
    assert place.metric("gdso_instance_up") == 1
    assert place.held() == {name: PLAIN["url"] for name in names} | dict.fromkeys(
        waiting, CHANGED["url"]
    )
    costs = dict.fromkeys([*waiting, place.name], 2) | dict.fromkeys(asked, 1)
    writes = [record.name for record in shared.kubernetes_writes(mark)]
    assert {name: writes.count(name) for name in writes} == costs


def test_looks_that_are_overdue_make_ready_unknown_once_however_long_it_lasts(
    shared: Sandbox,
) -> None:
    place = PopulatedInstance(shared, "overdue", **ONE_AT_A_TIME)
    names = numbered("overdue", 20)
    place.apply(names, resyncInterval="2s")
    place.wait_ready(names)
    mark = shared.audit.mark()
    with place.proxy.refusing():
        place.wait_for_reason(names, "GrafanaUnreachable", status="Unknown")
        wait_for_looks_in_vain(shared, looks_in_vain(shared) + 2 * len(names))
    place.wait_ready(names)
    writes = [record.name for record in shared.kubernetes_writes(mark) if record.name in names]
    assert {name: writes.count(name) for name in names} == dict.fromkeys(names, 2)
    assert place.target.writes() == ["POST /api/datasources"] * len(names)


def test_those_that_waited_come_back_once_each_and_not_all_at_a_time(shared: Sandbox) -> None:
    place = PopulatedInstance(shared, "comeback", **ONE_AT_A_TIME)
    names = numbered("comeback", 60)
    place.apply(["canary"])
    place.wait_ready(["canary"])
    with place.proxy.refusing():
        place.apply(["canary"], **CHANGED)
        place.wait_told("GrafanaUnreachable")
        place.apply(names)
        place.wait_for_reason(names, "GrafanaUnreachable")
        mark = place.proxy.mark()
    place.wait_ready([*names, "canary"])
    sent = place.target.requests(mark)
    others = [r for r in sent if not r.path.endswith("_canary")]
    assert [(r.method, r.status) for r in others] == [("POST", 200)] * len(names)
    assert most_in_flight(others) == 1


def test_another_kind_of_trouble_is_told_by_the_instance(shared: Sandbox) -> None:
    place = PopulatedInstance(shared, "changing")
    with place.proxy.refusing():
        place.apply(["changing"])
        place.wait_told("GrafanaUnreachable", "connecting failed")
        fault = place.proxy.answer(401, JSON, b'{"message": "Invalid API key"}')
    place.wait_told("GrafanaUnauthorized", "check the token")
    place.proxy.remove(fault)
    shared.apply_secret("changing-token", {"token": place.target.token, "other": "a-new-key"})
    place.wait_ready(["changing"])


# --- of one request, or of all


def test_a_database_that_is_away_pauses_the_instance_until_it_is_back(shared: Sandbox) -> None:
    place = PopulatedInstance(shared, "locked")
    names = numbered("locked", 20)
    fault = place.proxy.answer(500, JSON, LOCKED)
    place.apply(names)
    place.wait_for_reason(names, "GrafanaError")
    place.wait_told("GrafanaError", "sqlstore.max-retries-reached")
    assert place.metric("gdso_instance_up") == 0
    assert 1 <= len(place.proxy.matching(posts)) <= 4
    place.proxy.remove(fault)
    place.wait_ready(names)
    shared.wait_instance_ready(place.name)


def test_a_body_that_a_proxy_refuses_touches_only_its_own_resource(shared: Sandbox) -> None:
    place = PopulatedInstance(shared, "picky")
    kept = shared.get("picky", kind=INSTANCE)
    fault = place.proxy.answer(
        413,
        {"Content-Type": "text/html"},
        b"<h1>Request Entity Too Large</h1>",
        matching=lambda request: posts(request) and b"too-large" in (request.body or b""),
    )
    place.apply(["too-large"])
    place.wait_for_reason(["too-large"], "GrafanaError")
    names = numbered("small", 10)
    place.apply(names)
    place.wait_ready(names)
    eventually(lambda: fault.hits, lambda hits: hits >= 3, SECONDS, "the body to be tried again")
    assert shared.get("picky", kind=INSTANCE) == kept
    assert place.metric("gdso_instance_up") == 1
    place.proxy.remove(fault)
    place.wait_ready(["too-large"])


def test_someone_who_wrote_in_between_is_read_again_and_never_told(shared: Sandbox) -> None:
    place = PopulatedInstance(shared, "stale")
    place.apply(["stale"])
    place.wait_ready(["stale"])
    kube, grafana = shared.audit.mark(), place.proxy.mark()
    place.proxy.answer(
        409,
        JSON,
        b'{"message": "Datasource has already been updated by someone else."}',
        matching=requests_of("PUT"),
        times=1,
    )
    place.apply(["stale"], **CHANGED)
    place.wait_ready(["stale"])
    asked = [(r.method, r.status) for r in place.target.requests(grafana)]
    assert asked == [("GET", 200), ("PUT", 409), ("GET", 200), ("PUT", 200)]
    assert len(shared.writes_to("stale", kube)) == 1
    assert place.held() == {"stale": CHANGED["url"]}


# --- credentials


def refuse_tokens(place: PopulatedInstance) -> None:
    """Somebody deletes the operator's service account in Grafana."""
    client = place.target.client
    for account in client.get("serviceaccounts/search").json()["serviceAccounts"]:
        client.delete(f"serviceaccounts/{account['id']}").raise_for_status()


def sent_with(place: PopulatedInstance, token: str, since: int) -> list[str]:
    """What was asked with a token."""
    wanted = f"Bearer {token}"
    found = place.proxy.since(since)
    return [f"{r.method} {r.path}" for r in found if r.headers.get("authorization") == wanted]


def test_a_revoked_token_is_tried_once_and_its_new_secret_ends_the_pause(shared: Sandbox) -> None:
    place = PopulatedInstance(shared, "revoked")
    names = numbered("revoked", 20)
    place.apply(names)
    place.wait_ready(names)
    old = place.target.token
    refuse_tokens(place)
    mark = place.proxy.mark()
    place.apply(names[:1], **CHANGED)
    place.wait_for_reason(names[:1], "GrafanaUnauthorized")
    place.wait_told("GrafanaUnauthorized", "check the token")
    assert len(sent_with(place, old, mark)) == 1
    mark = place.proxy.mark()
    place.apply(names[1:2], **CHANGED)
    place.wait_for_reason(names[1:2], "GrafanaUnauthorized")

    fresh = place.target.server.create_token(org_id=place.target.org_id)
    shared.apply_secret("revoked-token", {"token": fresh})
    place.wait_ready(names)
    shared.wait_instance_ready(place.name)
    # The pause of a minute was ended by the Secret, not by a probe with what had been refused.
    assert sent_with(place, old, mark) == []
    assert place.held() == {name: PLAIN["url"] for name in names} | dict.fromkeys(
        names[:2], CHANGED["url"]
    )


def test_a_token_that_may_not_write_is_told_by_permission_and_exchanged(shared: Sandbox) -> None:
    place = PopulatedInstance(shared, "viewer")
    viewer = place.target.server.create_token(role="Viewer", org_id=place.target.org_id)
    shared.apply_secret("viewer-token", {"token": viewer})
    eventually(lambda: sent_with(place, viewer, 0), bool, SECONDS, "the viewer to be tried")
    place.apply(["denied"])
    shared.wait_for_reason("denied", "GrafanaUnauthorized", message="datasources:create")
    # One resource's missing permission is no outage.
    assert place.metric("gdso_instance_up") == 1
    shared.apply_secret("viewer-token", {"token": place.target.token})
    place.wait_ready(["denied"])
    assert len([r for r in place.proxy.matching(posts) if r.status == 403]) == 1


# --- deletion


def test_deletions_wait_for_their_grafana_alone_and_go_when_it_is_back(shared: Sandbox) -> None:
    gone, there = PopulatedInstance(shared, "gone"), PopulatedInstance(shared, "there")
    blocked, free = numbered("blocked", 5), numbered("free", 5)
    gone.apply(blocked)
    there.apply(free)
    gone.wait_ready(blocked)
    there.wait_ready(free)
    with gone.proxy.refusing():
        for name in [*blocked, *free]:
            shared.delete(name)
        for name in blocked:
            shared.wait_for_reason(name, "DeletionBlocked", message="GrafanaUnreachable")
        for name in free:
            shared.wait_gone(name)
        mark = gone.proxy.mark()
    for name in blocked:
        shared.wait_gone(name)
    assert sorted(gone.target.writes(mark)) == [
        f"DELETE /api/datasources/uid/{shared.uid(name)}" for name in blocked
    ]
    assert gone.held() == there.held() == {}


def test_an_instance_that_goes_during_an_outage_takes_its_series_along(shared: Sandbox) -> None:
    place = PopulatedInstance(shared, "leaving", timeout="2s", deletionPolicy="Orphan")
    place.apply(["leaving"])
    place.wait_ready(["leaving"])
    assert place.metric("gdso_grafana_requests_total") == len(place.proxy.requests)
    assert place.metric("gdso_grafana_requests_total", method="POST", code="200") == 1
    place.proxy.hang()
    place.apply(["leaving"], **CHANGED)
    eventually(place.open_requests, bool, SECONDS, "a request that hangs")
    shared.delete(place.name, kind=INSTANCE)
    shared.wait_gone(place.name, kind=INSTANCE)
    (operator,) = shared.operators
    label = f'instance="{shared.namespace}/leaving"'
    eventually(operator.metrics, lambda text: label not in text, SECONDS, "its series to be gone")
    place.proxy.clear()
    raw = shared.wait_for_reason("leaving", "WaitingForInstance")
    assert ready_of(raw)["status"] == "False"
    assert label not in operator.metrics()
