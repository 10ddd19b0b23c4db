"""What others do in Grafana is put right; what is no drift is left alone."""

import time

import pytest

from tests.integration.metrics import total
from tests.integration.sandbox import Json, Sandbox, ready_of
from tests.integration.specs import LOKI, secret_key, sends_headers
from tests.integration.standing import shared_on_every_grafana as shared_on_every_grafana
from tests.integration.standing import shared_sandbox as shared_sandbox
from tests.integration.standing import standing_on_every_grafana as standing_on_every_grafana
from tests.integration.standing import standing_sandbox as standing_sandbox
from tests.servers.echo import EchoServer
from tests.servers.polling import eventually
from tests.servers.target import Target

SECONDS = 30.0
QUIET: Json = {"healthCheck": {"enabled": False}}
EVERY_SECOND: Json = {**QUIET, "resyncInterval": "1s"}
BY_LIST_ONLY: Json = {**QUIET, "resyncInterval": "0s"}


def looks_at(sandbox: Sandbox, uid: str, since: int) -> int:
    path = f"/api/datasources/uid/{uid}"
    return sum(r.method == "GET" and r.path == path for r in sandbox.proxy.since(since))


def wait_for_looks(sandbox: Sandbox, *uids: str, number: int = 3) -> None:
    """At each of them, from now on."""
    mark = sandbox.proxy.mark()
    eventually(
        lambda: [uid for uid in uids if looks_at(sandbox, uid, mark) < number],
        lambda left: not left,
        SECONDS,
        f"{number} resyncs",
        every_seconds=0.2,
    )


def writes_about(sandbox: Sandbox, uid: str, since: int) -> list[str]:
    """Methods; old servers are written by id."""
    id_ = (sandbox.in_grafana(uid) or {}).get("id")
    ends = (f"/uid/{uid}", f"/datasources/{id_}")
    return [w.split()[0] for w in sandbox.target.writes(since) if w.endswith(ends)]


def recorded(raw: Json) -> Json:
    found: Json = raw["status"]["instances"][0]
    return found


def test_a_deletion_by_hand_is_undone_by_the_list_alone(shared_on_every_grafana: Sandbox) -> None:
    sandbox = shared_on_every_grafana
    sandbox.apply("deleted", {**LOKI, **BY_LIST_ONLY, "jsonData": {"maxLines": 10}})
    sandbox.apply("edited", {**LOKI, **BY_LIST_ONLY})
    before = recorded(sandbox.wait_ready("deleted"))
    sandbox.wait_ready("edited")
    uid, mark = sandbox.uid("deleted"), sandbox.proxy.mark()
    sandbox.target.delete_by_hand(uid)
    sandbox.target.edit(sandbox.uid("edited"), url="http://by-hand:1")
    sandbox.wait_until("deleted", lambda raw: recorded(raw)["id"] != before["id"], "another id")
    held = sandbox.held(uid)
    assert held["jsonData"]["maxLines"] == 10
    made = [w for w in sandbox.target.writes(mark) if w.startswith("POST")]
    assert made == ["POST /api/datasources"]
    eventually(
        lambda: sandbox.held(sandbox.uid("edited"))["url"],
        lambda url: url == LOKI["url"],
        SECONDS,
        "the url to be put right",
    )


def test_what_no_list_shows_is_found_by_the_look_at_each(shared: Sandbox) -> None:
    names = ("with-looks", "without-looks")
    for name, interval in zip(names, ("1s", "0s"), strict=True):
        shared.apply(name, {**LOKI, **QUIET, "resyncInterval": interval})
        shared.wait_ready(name)
    mark = shared.proxy.mark()
    for name in names:
        shared.target.edit(shared.uid(name), withCredentials=True)
    eventually(
        lambda: shared.held(shared.uid("with-looks"))["withCredentials"],
        lambda value: not value,
        SECONDS,
        "the edit to be undone",
    )
    assert shared.held(shared.uid("without-looks"))["withCredentials"] is True
    assert looks_at(shared, shared.uid("without-looks"), mark) == 0


def test_a_correction_is_one_write_one_event_and_one_count(
    shared: Sandbox, standing: Sandbox
) -> None:
    uid = shared.uid("counted")
    shared.apply("counted", {**LOKI, **EVERY_SECOND})
    shared.wait_ready("counted")
    operator, mark = standing.operators[0], shared.proxy.mark()
    before = total(operator, "gdso_drift_corrected_total", kind="GrafanaDataSource")
    version = shared.target.edit(uid, type="graphite", url="http://by-hand:1", name=f"x {uid}")
    raw = shared.wait_until(
        "counted", lambda raw: recorded(raw)["version"] > version["version"], "a correction"
    )
    assert ready_of(raw)["status"] == "True"
    wait_for_looks(shared, uid)
    held = shared.held(uid)
    assert (held["type"], held["url"], held["name"]) == ("loki", LOKI["url"], "counted")
    assert writes_about(shared, uid, mark) == ["PUT"]
    event = shared.wait_for_event("counted", "DriftCorrected")
    assert event.get("count", 1) == 1
    assert total(operator, "gdso_drift_corrected_total", kind="GrafanaDataSource") == before + 1


def test_a_secret_changed_by_hand_is_sent_again_though_nothing_shows_it(
    shared_on_every_grafana: Sandbox, echo: EchoServer
) -> None:
    sandbox = shared_on_every_grafana
    sandbox.apply_secret("token", {"value": "the-right-token"})
    spec = {
        **sends_headers(echo.url, "X-Token"),
        **EVERY_SECOND,
        "secureJsonData": {"httpHeaderValue1": secret_key("token", "value")},
    }
    sandbox.apply("rotated", spec)
    sandbox.wait_ready("rotated")
    uid, mark = sandbox.uid("rotated"), sandbox.proxy.mark()
    edited = sandbox.target.edit(uid, secureJsonData={"httpHeaderValue1": "by-hand"})
    sandbox.wait_until(
        "rotated", lambda raw: recorded(raw)["version"] > edited["version"], "all to be sent again"
    )

    def ask() -> str | None:
        sandbox.query(uid)
        return echo.last_header("X-Token")

    eventually(ask, lambda token: token == "the-right-token", SECONDS, "our token at the back end")
    wait_for_looks(sandbox, uid)
    assert writes_about(sandbox, uid, mark) == ["PUT"]

    # Only what our last write returned counts: a script that sends no version sets it to 1.
    body = {**sandbox.held(uid), "version": None, "secureJsonData": {"httpHeaderValue1": "script"}}
    path = f"datasources/{body['id']}" if _is_old(sandbox.target) else f"datasources/uid/{uid}"
    sandbox.grafana.put(path, json=body).raise_for_status()
    assert sandbox.held(uid)["version"] == 1
    eventually(ask, lambda token: token == "the-right-token", SECONDS, "our token once more")


def _is_old(target: Target) -> bool:
    return int(target.server.version.split(".")[0]) < 9


NO_DRIFT: dict[str, tuple[Json, Json]] = {
    "an alias of the type": ({"type": "postgres", "url": "db:5432"}, {}),
    "another alias": ({"type": "testdata"}, {}),
    "nulls": ({**LOKI, "jsonData": {"a": None, "b": {"c": None}, "d": [None]}}, {}),
    "numbers": ({**LOKI, "jsonData": {"a": 1.0, "b": 2**53 + 1, "c": 1e-9}}, {}),
    "a key that Grafana writes": ({**LOKI, "jsonData": {"a": 1}}, {"pdcInjected": True}),
    "another key that Grafana writes": (LOKI, {"grafanaExternalId": "x"}),
    "a third key that Grafana writes": (LOKI, {"teamHttpHeaders": {"headers": {}}}),
}


def test_what_is_no_drift_costs_no_write_and_stays(shared_on_every_grafana: Sandbox) -> None:
    sandbox = shared_on_every_grafana
    names = {case: f"no-drift-{number}" for number, case in enumerate(NO_DRIFT)}
    for case, (spec, _) in NO_DRIFT.items():
        sandbox.apply(names[case], {**spec, **EVERY_SECOND})
    for case, (_, json_data) in NO_DRIFT.items():
        sandbox.wait_ready(names[case])
        if json_data:
            uid = sandbox.uid(names[case])
            held = sandbox.held(uid)["jsonData"]
            edited = sandbox.target.edit(uid, jsonData={**held, **json_data})
            # The edit itself is seen by its version, and answered by one write of everything.
            sandbox.wait_until(
                names[case],
                lambda raw, edited=edited: recorded(raw)["version"] > edited["version"],  # type: ignore[misc]
                "a write",
            )
    held = {case: sandbox.held(sandbox.uid(name)) for case, name in names.items()}
    mark, kube = sandbox.proxy.mark(), sandbox.audit.mark()
    wait_for_looks(sandbox, *map(sandbox.uid, names.values()))
    assert [writes_about(sandbox, sandbox.uid(name), mark) for name in names.values()] == [
        [] for _ in names
    ]
    assert [w for name in names.values() for w in sandbox.writes_to(name, kube)] == []
    assert {case: sandbox.held(sandbox.uid(name)) for case, name in names.items()} == held
    for case in ("a key that Grafana writes", "another key that Grafana writes"):
        assert NO_DRIFT[case][1].items() <= held[case]["jsonData"].items()


def test_a_name_that_others_took_after_a_rename_is_told_until_it_is_free(shared: Sandbox) -> None:
    uid = shared.uid("renamed")
    shared.apply("renamed", {**LOKI, **EVERY_SECOND, "name": "our name"})
    shared.wait_ready("renamed")
    shared.patch("renamed", {"spec": {"suspend": True}})
    shared.wait_until("renamed", lambda raw: ready_of(raw)["reason"] == "Suspended", "suspension")
    shared.target.edit(uid, name="stolen")
    shared.target.make_by_hand("thief", name="our name")
    shared.patch("renamed", {"spec": {"suspend": False}})
    shared.wait_for_reason("renamed", "NameConflict", message='"our name"')
    assert shared.held(uid)["name"] == "stolen"
    shared.target.delete_by_hand("thief")
    shared.request_reconcile("renamed")
    shared.wait_ready("renamed")
    assert shared.held(uid)["name"] == "our name"


@pytest.mark.parametrize("policy", ["Correct", "Report"])
def test_whoever_writes_without_end_is_answered_at_most_once_per_resync(
    shared: Sandbox, policy: str
) -> None:
    name = f"fought-over-{policy.lower()}"
    uid = shared.uid(name)
    shared.apply(name, {**LOKI, **EVERY_SECOND, "driftPolicy": policy})
    shared.wait_ready(name)
    mark, began = shared.proxy.mark(), time.monotonic()
    for number in range(20):
        eventually(
            lambda number=number: (
                shared.grafana.put(  # type: ignore[misc]
                    f"datasources/uid/{uid}",
                    json={**shared.held(uid), "user": f"user {number}"},
                ).status_code
            ),
            lambda status: status == 200,
            SECONDS,
            "an edit",
        )
    wait_for_looks(shared, uid)
    writes = writes_about(shared, uid, mark)
    allowed = 1 + (time.monotonic() - began) / 0.9 if policy == "Correct" else 0
    assert len(writes) <= allowed
    assert shared.held(uid)["user"] == ("" if policy == "Correct" else "user 19")
