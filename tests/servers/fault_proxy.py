"""A reverse proxy that counts requests and breaks them on demand, controlled by a test.

Towards its client it is plain HTTP (or TLS if told so), towards upstream what the URL says. Each
client connection has its own upstream connection, so that what upstream does to a connection
happens to the client's; where upstream cannot be reached the client's connection is cut.
Answers pass through in the pieces in which they come. Upgrades (WebSocket, SPDY) do not pass.
"""

import asyncio
import os
import signal
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tests.servers.faults import (
    Action,
    Answer,
    CutBody,
    Delay,
    DelayAnswer,
    Fault,
    Hang,
    KillAfter,
    KillBefore,
    Predicate,
    ProcessId,
    ProxiedRequest,
    every_request,
    requests_of,
)
from tests.servers.http_server import Connection, HttpServer
from tests.servers.http_wire import Head, write_head
from tests.servers.upstream import Upstream, UpstreamAnswer


class FaultProxy:
    """Runs from its making to `stop`; all methods may be called from any thread."""

    def __init__(
        self,
        upstream: str,
        ca: Path | bytes | None = None,
        *,
        record_bodies: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`ca` verifies an https upstream; `tls` makes the proxy itself serve https."""
        self._address = urlsplit(upstream)
        self._tls_upstream = _client_tls(ca) if self._address.scheme == "https" else None
        self._record_bodies = record_bodies
        self._faults: tuple[Fault, ...] = ()
        self._upstreams: dict[Connection, Upstream] = {}
        self._busy: set[Connection] = set()
        self.requests: list[ProxiedRequest] = []
        self._server = HttpServer("fault-proxy", self._handle, tls)
        self.url = self._server.url

    def stop(self) -> None:
        """Raises what went wrong in the proxy itself, such as in a predicate."""
        self._server.stop()
        if self._server.failures:
            raise ExceptionGroup("the fault proxy failed", self._server.failures)

    # What came through

    def mark(self) -> int:
        return len(self.requests)

    def since(self, mark: int) -> list[ProxiedRequest]:
        return self.requests[mark:]

    def matching(self, predicate: Predicate, since: int = 0) -> list[ProxiedRequest]:
        return [request for request in self.since(since) if predicate(request)]

    def count(self, method: str | None = None, path_prefix: str = "", since: int = 0) -> int:
        return len(self.matching(requests_of(method, path_prefix), since))

    # Faults of connections

    def refuse(self) -> None:
        """Close the port and all connections, until `accept`."""
        self._server.refuse()

    def accept(self) -> None:
        self._server.listen()

    @contextmanager
    def refusing(self) -> Iterator[None]:
        self.refuse()
        try:
            yield
        finally:
            self.accept()

    def cut_connections(self) -> None:
        """End those that are open, watches included; new ones are welcome."""
        self._server.cut_connections()

    # Faults of requests: each stays until its `times` are used up or it is removed.
    # All delays that match add up; of the other faults the one added first counts.

    def hang(self, matching: Predicate = every_request, times: int | None = None) -> Fault:
        """Never answer, nor ask upstream."""
        return self._add(Fault(Hang(), matching, times))

    @contextmanager
    def hanging(self, matching: Predicate = every_request) -> Iterator[Fault]:
        with self._adding(Hang(), matching) as fault:
            yield fault

    def delay(
        self, seconds: float, matching: Predicate = every_request, times: int | None = None
    ) -> Fault:
        """Ask upstream later: of a client that gave up meanwhile it hears nothing."""
        return self._add(Fault(Delay(seconds), matching, times))

    def delay_answer(
        self, seconds: float, matching: Predicate = every_request, times: int | None = None
    ) -> Fault:
        """Ask upstream at once and answer later: what a client gave up on has still happened."""
        return self._add(Fault(DelayAnswer(seconds), matching, times))

    @contextmanager
    def slow(self, seconds: float, matching: Predicate = every_request) -> Iterator[Fault]:
        """A slow upstream: each answer takes so much longer."""
        with self._adding(DelayAnswer(seconds), matching) as fault:
            yield fault

    def answer(
        self,
        status: int,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        *,
        matching: Predicate = every_request,
        times: int | None = None,
    ) -> Fault:
        return self._add(Fault(Answer(status, dict(headers or {}), body), matching, times))

    def cut_body(
        self,
        after_bytes: int = 0,
        matching: Predicate = every_request,
        times: int | None = None,
    ) -> Fault:
        return self._add(Fault(CutBody(after_bytes), matching, times))

    def kill_before(self, predicate: Predicate, pid: ProcessId, nth: int = 1) -> Fault:
        """When the nth matching request has arrived: kill, and do not forward it."""
        return self._add(Fault(KillBefore(pid), predicate, times=1, skip=nth - 1))

    def kill_after(self, predicate: Predicate, pid: ProcessId, nth: int = 1) -> Fault:
        """When upstream has answered the nth matching request: kill, and drop the answer."""
        return self._add(Fault(KillAfter(pid), predicate, times=1, skip=nth - 1))

    def remove(self, *faults: Fault) -> None:
        self._faults = tuple(fault for fault in self._faults if fault not in faults)
        for fault in faults:
            self._server.run(fault.removed.set)

    def clear(self) -> None:
        """Remove all faults of requests."""
        self.remove(*self._faults)

    @contextmanager
    def _adding(self, action: Action, matching: Predicate) -> Iterator[Fault]:
        fault = self._add(Fault(action, matching))
        try:
            yield fault
        finally:
            self.remove(fault)

    def _add(self, fault: Fault) -> Fault:
        self._faults = (*self._faults, fault)
        return fault

    # In the server's thread from here

    async def _handle(self, client: Connection, head: Head, body: bytes) -> bool:
        method, path, _ = head.first_line.split(" ", 2)
        headers = {name.lower(): value for name, value in head.headers}
        request = ProxiedRequest(time.monotonic(), method, path, headers, body)
        self.requests.append(request)
        self._busy.add(client)
        try:
            goes_on = await self._exchange(client, request, head, body)
            # It may have ended just now, when the client was not idle yet.
            upstream = self._upstreams.get(client)
            return goes_on and (upstream is None or not upstream.has_ended)
        finally:
            self._busy.discard(client)
            request.ended = time.monotonic()
            if not self._record_bodies:
                request.body = None

    async def _exchange(
        self, client: Connection, request: ProxiedRequest, head: Head, body: bytes
    ) -> bool:
        fault, seconds_held = await self._delayed_and_fault_of(request)
        action = fault.action if fault else None
        if isinstance(action, KillBefore):
            _kill(action.pid)
            return False
        if isinstance(action, Answer):
            return await _answer(client, request, action)
        if fault is not None and isinstance(action, Hang):
            await fault.removed.wait()
            return False
        answer = await self._upstream_of(client).ask(head, body)
        if seconds_held:
            await asyncio.sleep(seconds_held)
        if isinstance(action, KillAfter):
            await answer.read_all()
            _kill(action.pid)
            return False
        cut = action.after_bytes if isinstance(action, CutBody) else None
        return await _deliver(client, request, answer, cut)

    async def _delayed_and_fault_of(self, request: ProxiedRequest) -> tuple[Fault | None, float]:
        """Delay; then the fault, and how long to hold the answer back."""
        found: Fault | None = None
        seconds_held = 0.0
        for fault in self._faults:
            action = fault.action
            if isinstance(action, (Delay, DelayAnswer)):
                if not fault.claims(request):
                    continue
                if isinstance(action, Delay):
                    await asyncio.sleep(action.seconds)
                else:
                    seconds_held += action.seconds
            elif found is None and fault.claims(request):
                found = fault
        return found, seconds_held

    def _upstream_of(self, client: Connection) -> Upstream:
        upstream = self._upstreams.get(client)
        if upstream is None:
            upstream = Upstream(
                self._address, self._tls_upstream, lambda: self._close_if_idle(client)
            )
            self._upstreams[client] = upstream
            client.on_close += [upstream.close, lambda: self._upstreams.pop(client)]
        return upstream

    def _close_if_idle(self, client: Connection) -> None:
        if client not in self._busy:
            client.writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


async def _answer(client: Connection, request: ProxiedRequest, answer: Answer) -> bool:
    headers = [*answer.headers.items(), ("Content-Length", str(len(answer.body)))]
    request.status = answer.status
    body = b"" if request.method == "HEAD" else answer.body
    await client.write(write_head(_status_line(answer.status), headers) + body)
    return True


async def _deliver(
    client: Connection, request: ProxiedRequest, answer: UpstreamAnswer, cut: int | None
) -> bool:
    """With `cut`, only so many bytes of the body."""
    head = answer.head
    headers = head.end_to_end()
    if answer.has_body and head.is_chunked:
        headers.append(("Transfer-Encoding", "chunked"))
    request.status = head.status
    unsent = write_head(head.first_line, headers)
    if cut is not None or answer.waits_for_body:
        await client.write(unsent)
        unsent = b""
    async for piece in answer.pieces():
        if cut is not None and len(piece) >= cut:
            await client.write(piece[:cut])
            return False
        cut = None if cut is None else cut - len(piece)
        await client.write(unsent + piece)
        unsent = b""
    if unsent:
        await client.write(unsent)
    return cut is None and not answer.is_until_end


def _status_line(status: int) -> str:
    try:
        return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"HTTP/1.1 {status} Unknown"


def _kill(pid: ProcessId) -> None:
    os.kill(pid if isinstance(pid, int) else pid(), signal.SIGKILL)


def _client_tls(ca: Path | bytes | None) -> ssl.SSLContext:
    if isinstance(ca, Path):
        ca = ca.read_bytes()
    return ssl.create_default_context(cadata=ca.decode() if ca else None)
