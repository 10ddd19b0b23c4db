"""A back end that answers every request with what it received, and remembers it.

It proves which address and which credentials a Grafana really uses: Grafana's own answers do not.
"""

import json
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tests.servers.http_server import Connection, HttpServer
from tests.servers.http_wire import Head, write_head


@dataclass(frozen=True)
class ReceivedRequest:
    """One request as it reached the back end."""

    time: float
    """time.monotonic()"""
    method: str
    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes = field(repr=False)


class EchoServer:
    """Runs from its making to `stop`."""

    def __init__(self) -> None:
        self.received: list[ReceivedRequest] = []
        self._server = HttpServer("echo", self._handle)
        self.url = self._server.url

    def last_header(self, name: str) -> str | None:
        """Of the request that came last; None if it had no such header, or none came."""
        return self.received[-1].headers.get(name.lower()) if self.received else None

    def headers(self, name: str) -> list[str | None]:
        """Of every request in turn."""
        return [request.headers.get(name.lower()) for request in self.received]

    def forget(self) -> None:
        self.received.clear()

    def stop(self) -> None:
        self._server.stop()

    async def _handle(self, client: Connection, head: Head, body: bytes) -> bool:
        method, path, _ = head.first_line.split(" ", 2)
        headers = {name.lower(): value for name, value in head.headers}
        self.received.append(ReceivedRequest(time.monotonic(), method, path, headers, body))
        answer = json.dumps({"method": method, "path": path, "headers": headers}).encode()
        answer_head = [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))]
        wanted = b"" if method == "HEAD" else answer
        await client.write(write_head("HTTP/1.1 200 OK", answer_head) + wanted)
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
