"""SIGTERM: what was begun is finished and told, nothing else is begun, and then it is quick."""

import signal
import time

import httpx
import pytest

from tests.conftest import StartProxy
from tests.integration.kube_proxy import ProxiedKubernetes
from tests.integration.sandbox import SECONDS, Sandbox
from tests.kstatus import find_condition
from tests.servers.faults import requests_of
from tests.servers.operator_process import OperatorProcess
from tests.servers.polling import eventually

PLAIN = {"type": "prometheus", "url": "http://prometheus:9090"}
FIRST = {"name": "first of the organization", "type": "testdata", "access": "proxy"}
POST = requests_of("POST", "/api/datasources")
IDLE_SECONDS = 3
BUSY_SECONDS = 5


def stop(operator: OperatorProcess, number: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
    """Exit code, and how long it took."""
    began = time.monotonic()
    operator.process.send_signal(number)
    return operator.process.wait_exit(SECONDS), time.monotonic() - began


def wait_for_post(sandbox: Sandbox, number: int = 1) -> None:
    eventually(
        lambda: len(sandbox.proxy.matching(POST)),
        lambda count: count >= number,
        SECONDS,
        "the POST to be on its way",
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
def test_an_idle_operator_ends_at_once_and_leaves_all_as_it_is(
    sandbox: Sandbox, number: signal.Signals
) -> None:
    operator = sandbox.start_operator()
    sandbox.apply("plain", PLAIN)
    before = sandbox.wait_ready("plain")
    code, seconds = stop(operator, number)
    assert code == 0
    assert seconds < IDLE_SECONDS
    assert sandbox.get("plain") == before
    assert len(sandbox.all_in_grafana()) == 1


def test_a_write_that_is_under_way_is_finished_and_its_status_written(sandbox: Sandbox) -> None:
    operator = sandbox.start_operator()
    sandbox.proxy.delay(2, POST)
    sandbox.apply("slow", PLAIN)
    wait_for_post(sandbox)
    code, seconds = stop(operator)
    assert code == 0
    assert seconds < BUSY_SECONDS

    raw = sandbox.get("slow")
    held = sandbox.in_grafana(sandbox.uid("slow"))
    assert raw is not None
    assert held is not None
    assert (find_condition(raw, "Ready") or {})["reason"] == "Synced"
    assert raw["status"]["instances"][0]["id"] == held["id"]
    assert [event["reason"] for event in sandbox.events("slow")] == ["Created"]

    mark = sandbox.proxy.mark()
    operator.start()
    eventually(lambda: sandbox.grafana_requests(mark), bool, SECONDS, "a look after the restart")
    assert [request.method for request in sandbox.proxy.matching(POST)] == ["POST"]


def test_while_it_finishes_it_is_not_ready(sandbox: Sandbox) -> None:
    operator = sandbox.start_operator()
    sandbox.proxy.delay(3, POST)
    sandbox.apply("slow", PLAIN)
    wait_for_post(sandbox)
    operator.process.send_signal(signal.SIGTERM)
    answer = eventually(
        lambda: httpx.get(f"{operator.url}/readyz", trust_env=False),
        lambda answer: answer.status_code == 503,
        BUSY_SECONDS,
        "the end of readiness",
    )
    assert answer.text == "stopping\n"
    assert operator.process.wait_exit(SECONDS) == 0


def test_what_was_not_begun_is_left_to_the_next_operator(sandbox: Sandbox) -> None:
    """More resources than workers, and one write at a time."""
    operator = sandbox.start_operator()
    sandbox.proxy.delay(0.3, POST)
    names = [f"source-{number:02}" for number in range(30)]
    for name in names:
        sandbox.apply(name, PLAIN)
    wait_for_post(sandbox, 2)
    code, _ = stop(operator)
    assert code == 0
    created = {held["name"] for held in sandbox.all_in_grafana()}
    assert 2 <= len(created) < len(names)
    told = {
        raw["metadata"]["name"]
        for raw in sandbox.get_all()
        if (find_condition(raw, "Ready") or {})["status"] == "True"
    }
    assert told == created

    sandbox.proxy.clear()
    operator.start()
    for name in names:
        sandbox.wait_ready(name)
    assert {held["name"] for held in sandbox.all_in_grafana()} == set(names)


def test_looks_that_wait_for_their_turn_to_write_give_up_at_once(sandbox: Sandbox) -> None:
    """The 16 that have begun would take 64 seconds, one after the other."""
    operator = sandbox.start_operator()
    sandbox.grafana.post("datasources", json=FIRST).raise_for_status()
    sandbox.proxy.delay(4, POST)
    names = [f"source-{number:02}" for number in range(20)]
    for name in names:
        sandbox.apply(name, PLAIN)
    wait_for_post(sandbox)
    mark = sandbox.proxy.mark()
    code, _ = stop(operator)
    assert code == 0
    assert sandbox.proxy.matching(POST, mark) == []
    begun = sandbox.proxy.matching(POST)
    assert [request.status for request in begun] == [200] * len(begun)
    reasons = [(find_condition(raw, "Ready") or {})["reason"] for raw in sandbox.get_all()]
    assert sorted(reasons) == ["Pending"] * (20 - len(begun)) + ["Synced"] * len(begun)

    sandbox.proxy.clear()
    operator.start()
    for name in names:
        sandbox.wait_ready(name)


def test_a_health_check_that_hangs_is_given_up(sandbox: Sandbox) -> None:
    operator = sandbox.start_operator()
    health = requests_of("GET", path_pattern="_unwell/health$")
    sandbox.proxy.hang(health)
    sandbox.apply("unwell", {**PLAIN, "healthCheck": {"enabled": True}})
    eventually(lambda: sandbox.proxy.matching(health), bool, SECONDS, "the check of health")
    code, seconds = stop(operator)
    assert code == 0
    assert seconds < 15  # it would hang for 20


def test_a_grafana_that_hangs_does_not_hold_up_the_end(sandbox: Sandbox) -> None:
    operator = sandbox.start_operator()
    sandbox.apply("hung", PLAIN)
    sandbox.wait_ready("hung")
    sandbox.proxy.hang()
    mark = sandbox.proxy.mark()
    sandbox.apply("hung", {**PLAIN, "url": "http://elsewhere:9090"})
    eventually(lambda: sandbox.proxy.since(mark), bool, SECONDS, "a request that hangs")
    code, seconds = stop(operator)
    assert code == 0
    assert seconds < 20  # one time-out of 10 s, and the end


def test_an_apiserver_that_is_gone_does_not_hold_up_the_end(
    sandbox: Sandbox, fault_proxy_to: StartProxy
) -> None:
    kubernetes_side = ProxiedKubernetes(sandbox, fault_proxy_to)
    operator = kubernetes_side.make_operator().start()
    sandbox.proxy.delay(1, POST)
    sandbox.apply("untold", PLAIN)
    wait_for_post(sandbox)
    with kubernetes_side.proxy.refusing():
        code, seconds = stop(operator)
        assert code == 0
        assert seconds < BUSY_SECONDS
    operator.start()
    sandbox.wait_ready("untold")
    assert len(sandbox.all_in_grafana()) == 1
