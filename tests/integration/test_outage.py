"""While Grafana cannot be asked: little noise, a reason on what waits, and a quick way back."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.metrics import total
from tests.integration.sandbox import SECONDS, Json, Sandbox
from tests.integration.specs import UNCHECKED
from tests.kstatus import find_condition
from tests.servers.fault_proxy import FaultProxy
from tests.servers.faults import requests_of
from tests.servers.grafana import Grafana
from tests.servers.polling import eventually

JSON = {"Content-Type": "application/json"}
PLAIN: Json = {"type": "prometheus", "url": "http://prometheus:9090", **UNCHECKED}
CHANGED = {**PLAIN, "url": "http://elsewhere:9090"}

ALL = [f"source-{number:02}" for number in range(50)]
PENDING = ALL[:10]
REST = ALL[10:]


def grafana_message(text: str) -> bytes:
    return json.dumps({"message": text}).encode()


@contextmanager
def answering_503(proxy: FaultProxy) -> Iterator[None]:
    fault = proxy.answer(503, JSON, grafana_message("database is down"))
    yield
    proxy.remove(fault)


@contextmanager
def hanging(proxy: FaultProxy) -> Iterator[None]:
    fault = proxy.hang()
    yield
    proxy.remove(fault)


@dataclass(frozen=True)
class Outage:
    """One way in which a Grafana is not there."""

    name: str
    begin: Callable[[FaultProxy], AbstractContextManager[None]]
    seconds: float
    reason: str
    message: str
    told_within: float
    status_writes: int = 2

    def __str__(self) -> str:
        return self.name


OUTAGES = [
    Outage("refused", FaultProxy.refusing, 60, "GrafanaUnreachable", "connecting failed", 10),
    Outage("hanging", hanging, 25, "GrafanaUnreachable", "did not answer within 10s", 15, 3),
    Outage("503", answering_503, 20, "GrafanaError", 'HTTP 503: "database is down"', 10),
]


def wait_all_ready(sandbox: Sandbox, within: float) -> None:
    def unready(found: list[Json]) -> list[str]:
        return [
            raw["metadata"]["name"]
            for raw in found
            if (ready := find_condition(raw, "Ready")) is None
            or ready["status"] != "True"
            or ready["observedGeneration"] != raw["metadata"]["generation"]
        ]

    eventually(
        lambda: unready(sandbox.get_all()), lambda names: names == [], within, "all to be Ready"
    )


def wait_until(moment: float) -> None:
    eventually(
        time.monotonic, lambda now: now >= moment, moment - time.monotonic() + 60, "the time"
    )


@pytest.mark.parametrize("outage", OUTAGES, ids=str)
def test_an_outage_is_told_where_something_waits_and_costs_a_request_a_second_at_most(
    sandbox: Sandbox, outage: Outage
) -> None:
    operator = sandbox.start_operator()
    for name in ALL:
        sandbox.apply(name, PLAIN)
    wait_all_ready(sandbox, 2 * SECONDS)
    kube = sandbox.audit.mark()

    def requests() -> float:
        """As the operator counts them: the proxy cannot count what it refuses."""
        return total(operator, "gdso_grafana_requests_total")

    with outage.begin(sandbox.proxy):
        began = time.monotonic()
        for name in PENDING:
            sandbox.apply(name, CHANGED)
        wait_until(began + 1)
        after_first_second = requests()
        for name in PENDING:
            raw = sandbox.wait_for_reason(
                name,
                outage.reason,
                message=outage.message,
                within=began + outage.told_within - time.monotonic(),
            )
            reconciling = find_condition(raw, "Reconciling")
            assert reconciling is not None
        assert total(operator, "gdso_instance_up") == 0
        wait_until(began + outage.seconds)
        asked = requests() - after_first_second
        assert 0 < asked <= time.monotonic() - began - 1

    wait_all_ready(sandbox, SECONDS)
    assert total(operator, "gdso_instance_up") == 1
    urls = {held["name"]: held["url"] for held in sandbox.all_in_grafana()}
    assert urls == {**dict.fromkeys(PENDING, CHANGED["url"]), **dict.fromkeys(REST, PLAIN["url"])}
    writes = {name: len(sandbox.writes_to(name, kube)) for name in ALL}
    assert [name for name in REST if writes[name] > 0] == []
    # The reason and Synced; a hanging server that is gone in the end is another reason in between,
    # and so is a 500 of Grafana itself: two writes at a time are more than SQLite always takes.
    surplus = [max(0, writes[name] - outage.status_writes) for name in PENDING]
    assert sum(surplus) <= sum(request.status == 500 for request in sandbox.proxy.requests)


def test_a_look_that_is_overdue_by_a_resync_makes_ready_unknown_until_grafana_is_back(
    sandbox: Sandbox,
) -> None:
    sandbox.start_operator()
    sandbox.apply("overdue", {**PLAIN, "resyncInterval": "2s"})
    sandbox.wait_ready("overdue")
    with answering_503(sandbox.proxy):
        raw = sandbox.wait_for_reason("overdue", "GrafanaError")
        assert (find_condition(raw, "Ready") or {})["status"] == "Unknown"
    sandbox.wait_ready("overdue")


# --- credentials


def replace(path: Path, text: str) -> None:
    """In one step, as the kubelet renews a mounted Secret."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.rename(path)


def start_with_token_file(sandbox: Sandbox, path: Path, token: str) -> None:
    replace(path, token)
    sandbox.start_operator(GDSO_GRAFANA_TOKEN="", GDSO_GRAFANA_TOKEN_FILE=str(path))


def test_a_wrong_token_is_named_tried_once_and_replaced_without_a_restart(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    sandbox.secret_values.add("glsa_wrong-token-of-the-test")
    start_with_token_file(sandbox, tmp_path / "token", "glsa_wrong-token-of-the-test")
    for name in ("one", "two"):
        sandbox.apply(name, PLAIN)
        sandbox.wait_for_reason(name, "GrafanaUnauthorized", message="check the token")
    assert [(r.path, r.status) for r in sandbox.proxy.requests] == [("/api/org", 401)]
    replace(tmp_path / "token", sandbox.grafana_token)
    for name in ("one", "two"):
        sandbox.wait_ready(name)


def test_a_revoked_token_is_named_and_replaced_without_a_restart(
    sandbox: Sandbox, grafana: Grafana, tmp_path: Path
) -> None:
    start_with_token_file(sandbox, tmp_path / "token", sandbox.grafana_token)
    sandbox.apply("revoked", PLAIN)
    sandbox.wait_ready("revoked")
    (account,) = sandbox.grafana.get("serviceaccounts/search").json()["serviceAccounts"]
    sandbox.grafana.delete(f"serviceaccounts/{account['id']}").raise_for_status()
    sandbox.apply("revoked", CHANGED)
    sandbox.wait_for_reason("revoked", "GrafanaUnauthorized", message="check the token")

    fresh = grafana.create_token(org_id=sandbox.org_id)
    sandbox.secret_values.add(fresh)
    replace(tmp_path / "token", fresh)
    sandbox.wait_ready("revoked")
    held = sandbox.in_grafana(sandbox.uid("revoked"))
    assert held is not None
    assert held["url"] == CHANGED["url"]


def test_a_token_without_the_right_to_write_is_told_which_permission_is_missing(
    sandbox: Sandbox, grafana: Grafana, tmp_path: Path
) -> None:
    viewer = grafana.create_token(role="Viewer", org_id=sandbox.org_id)
    sandbox.secret_values.add(viewer)
    start_with_token_file(sandbox, tmp_path / "token", viewer)
    sandbox.apply("denied", PLAIN)
    sandbox.wait_for_reason("denied", "GrafanaUnauthorized", message="datasources:create")

    replace(tmp_path / "token", sandbox.grafana_token)
    sandbox.annotate("denied", "gdso.dev/reconcile-requested-at", "another token was given")
    sandbox.wait_ready("denied")


# --- single bad answers


def test_a_single_500_is_repeated_soon(sandbox: Sandbox) -> None:
    sandbox.start_operator()
    fault = sandbox.proxy.answer(
        500,
        JSON,
        grafana_message("Failed to add datasource"),
        matching=requests_of("POST"),
        times=1,
    )
    sandbox.apply("unlucky", PLAIN)
    sandbox.wait_ready("unlucky")
    assert fault.hits == 1
    posts = sandbox.proxy.matching(requests_of("POST"))
    assert [request.status for request in posts] == [500, 200]
    assert len(sandbox.all_in_grafana()) == 1


def test_nothing_is_asked_before_a_retry_after_has_passed(sandbox: Sandbox) -> None:
    sandbox.start_operator()
    fault = sandbox.proxy.answer(
        429,
        {**JSON, "Retry-After": "3"},
        grafana_message("slow down"),
        matching=requests_of("POST"),
        times=1,
    )
    sandbox.apply("throttled", PLAIN)
    sandbox.wait_for_reason("throttled", "GrafanaError", message='HTTP 429: "slow down"')
    mark = sandbox.proxy.mark()
    sandbox.apply("another", PLAIN)
    sandbox.apply("throttled", CHANGED)
    for name in ("throttled", "another"):
        sandbox.wait_ready(name)
    assert fault.hits == 1
    (refused,) = [request for request in sandbox.proxy.requests if request.status == 429]
    assert min(request.time for request in sandbox.proxy.since(mark)) - refused.time >= 3


def test_a_page_of_a_broken_proxy_is_told_as_what_it_is(sandbox: Sandbox) -> None:
    sandbox.start_operator()
    fault = sandbox.proxy.answer(
        502, {"Content-Type": "text/html"}, b"<html><h1>Bad Gateway</h1></html>"
    )
    sandbox.apply("hidden", PLAIN)
    raw = sandbox.wait_for_reason(
        "hidden", "GrafanaError", message="HTTP 502 with something that is not Grafana's JSON"
    )
    assert "<" not in (find_condition(raw, "Ready") or {})["message"]
    sandbox.proxy.remove(fault)
    sandbox.wait_ready("hidden")


def test_a_grafana_that_takes_three_seconds_for_each_answer_still_works(sandbox: Sandbox) -> None:
    sandbox.start_operator()
    sandbox.proxy.delay(3)
    sandbox.apply("slow", PLAIN)
    sandbox.wait_ready("slow")
    sandbox.apply("slow", CHANGED)
    sandbox.wait_ready("slow")
    held = sandbox.in_grafana(sandbox.uid("slow"))
    assert held is not None
    assert held["url"] == CHANGED["url"]
    sandbox.delete("slow")
    sandbox.wait_for_reason("slow", "Deleting")
    sandbox.wait_gone("slow")
    assert sandbox.all_in_grafana() == []
