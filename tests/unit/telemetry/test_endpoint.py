"""/healthz, /readyz and /metrics."""

import http.client
import socket
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from grafana_datasource_operator.telemetry.endpoint import STUCK_SECONDS, Endpoint, Heartbeat


class Parts:
    """What the endpoint tells about."""

    def __init__(self) -> None:
        self.heartbeat = Heartbeat()
        self.missing = ""


class Answer(NamedTuple):
    """What the endpoint answered."""

    status_code: int
    text: str
    content_type: str


Ask = Callable[[str], Answer]


def _ask(port: int, path: str, method: str = "GET") -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return Answer(answer.status, answer.read().decode(), answer.headers["Content-Type"])
    finally:
        connection.close()


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Endpoint, Parts]]:
    parts = Parts()
    endpoint = Endpoint("127.0.0.1:0", parts.heartbeat, lambda: parts.missing)
    endpoint.start()
    yield endpoint, parts
    endpoint.stop()


@pytest.fixture
def parts(running: tuple[Endpoint, Parts]) -> Parts:
    parts = running[1]
    parts.missing = ""
    parts.heartbeat.beat()
    return parts


@pytest.fixture
def ask(running: tuple[Endpoint, Parts], parts: Parts) -> Ask:
    """Answers of an endpoint where all is well."""
    assert parts.missing == ""
    return lambda path: _ask(running[0].port, path)


def test_a_turning_loop_is_healthy(ask: Ask) -> None:
    answer = ask("/healthz")
    assert (answer.status_code, answer.text) == (200, "ok\n")


def test_a_loop_that_has_not_turned_for_long_is_not_healthy_until_it_turns_again(
    ask: Ask, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Later:
        now = 1000.0

        def monotonic(self) -> float:
            return self.now

    later = Later()
    monkeypatch.setattr("grafana_datasource_operator.telemetry.endpoint.time", later)
    parts.heartbeat.beat()
    later.now += STUCK_SECONDS - 1
    assert ask("/healthz").status_code == 200
    later.now += 1
    answer = ask("/healthz")
    assert (answer.status_code, answer.text) == (503, "the event loop is stuck\n")
    parts.heartbeat.beat()
    assert ask("/healthz").status_code == 200


def test_readiness_says_what_is_still_missing(ask: Ask, parts: Parts) -> None:
    parts.missing = "the first list was not seen yet"
    answer = ask("/readyz")
    assert (answer.status_code, answer.text) == (503, "the first list was not seen yet\n")
    parts.missing = ""
    assert (ask("/readyz").status_code, ask("/readyz").text) == (200, "ok\n")


def test_what_is_missing_does_not_make_the_process_unhealthy(ask: Ask, parts: Parts) -> None:
    parts.missing = "the first list was not seen yet"
    assert ask("/healthz").status_code == 200


def test_metrics_are_those_of_prometheus(ask: Ask) -> None:
    answer = ask("/metrics")
    assert answer.status_code == 200
    assert answer.content_type.startswith("text/plain; version=")
    assert "# TYPE gdso_queue_depth gauge" in answer.text
    assert "# TYPE gdso_reconcile_total counter" in answer.text


@pytest.mark.parametrize("path", ["/healthz?verbose", "/readyz?x=y", "/metrics?name[]=x"])
def test_a_query_does_not_matter(ask: Ask, path: str) -> None:
    assert ask(path).status_code == 200


@pytest.mark.parametrize("path", ["/", "/health", "/healthz/", "/metrics/x", "/../etc/passwd"])
def test_nothing_else_is_there(ask: Ask, path: str) -> None:
    assert ask(path).status_code == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_can_be_changed(running: tuple[Endpoint, Parts], method: str) -> None:
    assert _ask(running[0].port, "/healthz", method).status_code == 501


def test_probes_leave_no_lines_in_the_log(ask: Ask, capfd: pytest.CaptureFixture[str]) -> None:
    ask("/healthz")
    ask("/nowhere")
    assert capfd.readouterr() == ("", "")


def test_a_port_that_is_taken_is_an_error_at_once(running: tuple[Endpoint, Parts]) -> None:
    with pytest.raises(OSError, match="in use"):
        Endpoint(f"127.0.0.1:{running[0].port}", Heartbeat(), lambda: "")


def test_a_stopped_endpoint_has_freed_its_port() -> None:
    endpoint = Endpoint("127.0.0.1:0", Heartbeat(), lambda: "")
    endpoint.start()
    endpoint.stop()
    with socket.create_server(("127.0.0.1", endpoint.port)) as server:
        assert server.getsockname()[1] == endpoint.port
