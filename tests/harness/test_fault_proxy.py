"""The fault proxy passes on, counts, and breaks exactly those requests that it is told to."""

import asyncio
import contextlib
import json
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.conftest import StartProxy
from tests.servers.echo import EchoServer
from tests.servers.fault_proxy import FaultProxy
from tests.servers.faults import every_request, requests_of
from tests.servers.http_server import Connection, HttpServer
from tests.servers.http_wire import Head
from tests.servers.kubectl import Kubectl, KubectlError
from tests.servers.kubernetes import KubernetesServer
from tests.servers.polling import eventually


@pytest.fixture
def proxy(echo: EchoServer, fault_proxy_to: StartProxy) -> FaultProxy:
    return fault_proxy_to(echo.url)


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=proxy.url, timeout=5, trust_env=False) as client:
        yield client


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"]) as process:
        yield process
        process.kill()


@contextlib.contextmanager
def raw_server(answer: bytes, keeps: bool) -> Iterator[tuple[str, set[Connection]]]:
    """Its URL and its clients so far; it always gives this answer, then keeps the connection."""
    connections = set()

    async def handle(client: Connection, _head: Head, _body: bytes) -> bool:
        connections.add(client)
        await client.write(answer)
        return keeps

    server = HttpServer("raw", handle)
    try:
        yield server.url, connections
    finally:
        server.stop()


def test_a_request_reaches_upstream_unchanged_but_for_the_connection(
    proxy: FaultProxy, echo: EchoServer, client: httpx.Client
) -> None:
    answer = client.put("/a/b?c=%20d", content=b"body", headers={"X-One": "1", "TE": "trailers"})
    assert answer.json()["path"] == "/a/b?c=%20d"
    (received,) = echo.received
    assert (received.method, received.body) == ("PUT", b"body")
    assert received.headers["x-one"] == "1"
    assert "te" not in received.headers
    assert received.headers["host"] == httpx.URL(echo.url).netloc.decode()


def test_a_chunked_request_arrives_whole(echo: EchoServer, client: httpx.Client) -> None:
    client.post("/", content=iter([b"first, ", b"second"]))
    assert echo.received[0].body == b"first, second"


def test_an_answer_that_ends_with_its_connection_is_passed_whole(
    fault_proxy_to: StartProxy,
) -> None:
    with raw_server(b"HTTP/1.1 200 OK\r\n\r\nuntil the end", keeps=False) as (url, _):
        proxy = fault_proxy_to(url)
        assert [httpx.get(proxy.url, trust_env=False).text for _ in range(2)] == [
            "until the end",
            "until the end",
        ]


def test_an_upstream_connection_said_to_be_closed_is_not_used_again(
    fault_proxy_to: StartProxy,
) -> None:
    farewell = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    with raw_server(farewell, keeps=True) as (url, connections):
        with httpx.Client(base_url=fault_proxy_to(url).url, trust_env=False) as client:
            assert [client.get("/").status_code for _ in range(2)] == [200, 200]
        assert len(connections) == 2


def test_an_idle_connection_that_upstream_ends_is_ended_for_the_client_too(
    fault_proxy_to: StartProxy,
) -> None:
    """Or a restart of upstream would look different from behind the proxy."""
    with raw_server(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", keeps=False) as (url, _):
        port = httpx.URL(fault_proxy_to(url).url).port
        with socket.create_connection(("127.0.0.1", port or 0), timeout=5) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: any\r\n\r\n")
            received = b"".join(iter(lambda: client.recv(1000), b""))
    assert received.startswith(b"HTTP/1.1 200 OK")


def test_requests_are_counted_by_method_path_and_mark(
    proxy: FaultProxy, client: httpx.Client
) -> None:
    client.get("/api/a", headers={"User-Agent": "gdso/1"})
    mark = proxy.mark()
    client.get("/api/b")
    client.post("/api/b")
    assert (proxy.count(), proxy.count("GET"), proxy.count(path_prefix="/api/b")) == (3, 2, 2)
    assert proxy.count("GET", since=mark) == 1
    assert proxy.requests[0].user_agent == "gdso/1"
    assert [request.status for request in proxy.since(mark)] == [200, 200]


def test_bodies_are_recorded_only_when_asked_for(proxy: FaultProxy, echo: EchoServer) -> None:
    with FaultProxy(echo.url, record_bodies=True) as recording:
        httpx.post(f"{recording.url}/", content=b"kept", trust_env=False)
        httpx.post(f"{proxy.url}/", content=b"not kept", trust_env=False)
        assert recording.requests[0].body == b"kept"
    assert proxy.requests[0].body is None


def test_answers_in_place_of_upstream_as_often_as_told(
    proxy: FaultProxy, echo: EchoServer, client: httpx.Client
) -> None:
    fault = proxy.answer(
        429, {"Retry-After": "7"}, b"slow down", matching=requests_of("POST", "/api/"), times=2
    )
    assert client.get("/api/x").status_code == 200
    assert client.post("/other").status_code == 200
    refused = [client.post("/api/x") for _ in range(3)]
    assert [answer.status_code for answer in refused] == [429, 429, 200]
    assert (refused[0].headers["Retry-After"], refused[0].text) == ("7", "slow down")
    assert (fault.hits, len(echo.received)) == (2, 3)


def test_refuses_connections_until_it_accepts_again(
    proxy: FaultProxy, client: httpx.Client
) -> None:
    client.get("/")
    with proxy.refusing(), pytest.raises(httpx.ConnectError):
        client.get("/")
    assert client.get("/").status_code == 200


def test_hangs_until_the_fault_is_removed(
    proxy: FaultProxy, echo: EchoServer, client: httpx.Client
) -> None:
    fault = proxy.hang(requests_of(path_prefix="/slow"))
    with pytest.raises(httpx.ReadTimeout):
        client.get("/slow", timeout=0.2)
    assert client.get("/fast").status_code == 200
    with ThreadPoolExecutor(1) as other:
        hanging = other.submit(httpx.get, f"{proxy.url}/slow", timeout=10, trust_env=False)
        eventually(lambda: fault.hits, lambda hits: hits == 2, 5, "the second request to hang")
        proxy.remove(fault)
        assert isinstance(hanging.exception(), httpx.RemoteProtocolError)
    assert [received.path for received in echo.received] == ["/fast"]


def test_delays_an_answer(proxy: FaultProxy, client: httpx.Client) -> None:
    proxy.delay(0.3, times=1)
    started = time.monotonic()
    client.get("/")
    assert time.monotonic() - started >= 0.3


def test_a_slow_upstream_has_done_what_its_client_gave_up_on(
    proxy: FaultProxy, echo: EchoServer, client: httpx.Client
) -> None:
    with proxy.slow(0.5, requests_of("POST")) as fault:
        started = time.monotonic()
        assert client.post("/waited-for").status_code == 200
        assert time.monotonic() - started >= 0.5
        with pytest.raises(httpx.ReadTimeout):
            client.post("/given-up", timeout=0.2)
        assert client.get("/others").status_code == 200
        assert fault.hits == 2
    assert [received.path for received in echo.received] == ["/waited-for", "/given-up", "/others"]
    assert client.post("/again").status_code == 200
    assert fault.hits == 2


def test_a_delayed_request_of_a_client_that_gave_up_never_reaches_upstream(
    proxy: FaultProxy, echo: EchoServer, client: httpx.Client
) -> None:
    proxy.delay(30)
    with pytest.raises(httpx.ReadTimeout):
        client.post("/given-up", timeout=0.2)
    eventually(
        lambda: proxy.requests[0].ended,
        lambda ended: ended is not None,
        within_seconds=5,
        what="the proxy to notice",
    )
    assert echo.received == []


def test_hangs_for_as_long_as_told(proxy: FaultProxy, client: httpx.Client) -> None:
    with proxy.hanging(), pytest.raises(httpx.ReadTimeout):
        client.get("/", timeout=0.2)
    assert client.get("/").status_code == 200


def test_cuts_an_answer_in_its_body(
    proxy: FaultProxy, echo: EchoServer, client: httpx.Client
) -> None:
    proxy.cut_body(after_bytes=5, times=1)
    with pytest.raises(httpx.RemoteProtocolError, match="received 5 bytes"):
        client.get("/")
    assert len(echo.received) == 1
    assert client.get("/").status_code == 200


def test_kills_before_upstream_sees_the_nth_request(
    proxy: FaultProxy,
    echo: EchoServer,
    client: httpx.Client,
    victim: subprocess.Popen[bytes],
) -> None:
    proxy.kill_before(requests_of("POST"), victim.pid, nth=2)
    client.post("/first")
    assert victim.poll() is None
    with pytest.raises(httpx.RemoteProtocolError):
        client.post("/second")
    assert victim.wait(5) == -signal.SIGKILL
    assert [received.path for received in echo.received] == ["/first"]


def test_kills_after_upstream_has_answered_and_drops_the_answer(
    proxy: FaultProxy,
    echo: EchoServer,
    client: httpx.Client,
    victim: subprocess.Popen[bytes],
) -> None:
    proxy.kill_after(requests_of("POST"), lambda: victim.pid)
    with pytest.raises(httpx.RemoteProtocolError):
        client.post("/only")
    assert victim.wait(5) == -signal.SIGKILL
    assert [received.path for received in echo.received] == ["/only"]
    assert proxy.requests[0].status is None


def test_kills_only_after_the_whole_answer_has_come(
    victim: subprocess.Popen[bytes], fault_proxy_to: StartProxy
) -> None:
    alive_within_the_answer = []

    async def handle(client: Connection, _head: Head, _body: bytes) -> bool:
        await client.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhe")
        await asyncio.sleep(0.3)  # time for a proxy that would kill too early
        alive_within_the_answer.append(victim.poll() is None)
        await client.write(b"re")
        return True

    server = HttpServer("slow", handle)
    proxy = fault_proxy_to(server.url)
    proxy.kill_after(every_request, victim.pid)
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(proxy.url, trust_env=False)
    server.stop()
    assert alive_within_the_answer == [True]
    assert victim.wait(5) == -signal.SIGKILL


def test_an_upstream_that_is_down_looks_like_a_lost_connection() -> None:
    with EchoServer() as gone:
        url = gone.url
    with FaultProxy(url) as proxy, pytest.raises(httpx.RemoteProtocolError):
        httpx.get(proxy.url, trust_env=False)


def test_a_failing_predicate_fails_the_test(echo: EchoServer) -> None:
    proxy = FaultProxy(echo.url)
    proxy.hang(lambda request: request.headers["absent"] == "")
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(proxy.url, trust_env=False)
    with pytest.raises(ExceptionGroup, match="fault proxy failed"):
        proxy.stop()


def test_a_watch_passes_event_by_event_and_can_be_cut(
    kubernetes_server: KubernetesServer, fault_proxy_to: StartProxy
) -> None:
    """Through TLS towards the apiserver, over plain HTTP towards the watcher."""
    cluster = kubernetes_server
    proxy = fault_proxy_to(cluster.url, cluster.ca)
    bearer = {"Authorization": f"Bearer {cluster.admin_token}"}
    watch = "/api/v1/namespaces/default/secrets?watch=true"
    names = [f"watched-{secrets.token_hex(4)}" for _ in range(2)]
    with (
        httpx.Client(base_url=proxy.url, headers=bearer, timeout=10, trust_env=False) as client,
        client.stream("GET", watch) as stream,
    ):
        events = stream.iter_lines()
        for name in names:
            cluster.kubectl("create", "secret", "generic", name)
            seen = json.loads(next(events))
            assert (seen["type"], seen["object"]["metadata"]["name"]) == ("ADDED", name)
        proxy.cut_connections()
        with pytest.raises(httpx.RemoteProtocolError):
            next(events)
    cluster.kubectl("delete", "secret", *names)


def test_kubectl_works_through_a_proxy_that_serves_tls(
    kubernetes_server: KubernetesServer, fault_proxy_to: StartProxy, tmp_path: Path
) -> None:
    cluster = kubernetes_server
    proxy = fault_proxy_to(cluster.url, cluster.ca, tls=cluster.server_context())
    kubeconfig = cluster.write_kubeconfig(tmp_path / "kubeconfig", server=proxy.url)
    kubectl = Kubectl(cluster.kubectl.program, kubeconfig, tmp_path)
    assert "kube-system" in kubectl("get", "namespaces")
    proxy.answer(503, matching=requests_of("DELETE"))
    with pytest.raises(KubectlError, match="unable to handle the request"):
        kubectl("delete", "namespace", "kube-public")
    assert proxy.count("DELETE", "/api/v1/namespaces/kube-public") == 1


def test_a_watcher_that_goes_away_is_gone_upstream_too(
    proxy: FaultProxy, fault_proxy_to: StartProxy
) -> None:
    front = fault_proxy_to(proxy.url)
    proxy.hang()
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(front.url, timeout=0.3, trust_env=False)
    eventually(
        lambda: proxy.requests[0].ended,
        lambda ended: ended is not None,
        within_seconds=5,
        what="the inner proxy to lose its client",
    )


def test_passes_at_least_500_requests_a_second(proxy: FaultProxy) -> None:
    """Chaos and benchmarks must measure the operator, not the proxy."""
    seconds = _seconds_for_requests(proxy, count=1000)
    assert proxy.count() == 1000
    assert 1000 / seconds >= 500


def _seconds_for_requests(proxy: FaultProxy, count: int) -> float:
    """Raw sockets in another process: a Python HTTP client is slower than the proxy."""
    host = httpx.URL(proxy.url).netloc.decode()
    load = f"""
import asyncio, time
async def one(count):
    reader, writer = await asyncio.open_connection(*"{host}".split(":"))
    for _ in range(count):
        writer.write(b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
        head = await reader.readuntil(b"\\r\\n\\r\\n")
        await reader.readexactly(int(head.split(b"Content-Length: ")[1].split(b"\\r")[0]))
    writer.close()
async def main():
    started = time.monotonic()
    await asyncio.gather(*(one({count} // 4) for _ in range(4)))
    print(time.monotonic() - started)
asyncio.run(main())
"""
    answer = subprocess.run(
        [sys.executable, "-c", load], capture_output=True, text=True, check=True, timeout=60
    )
    print(f"{count / float(answer.stdout):.0f} requests/s")
    return float(answer.stdout)
