"""/healthz, /readyz and /metrics, in a thread of their own: they answer while the loop is busy."""

import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

STUCK_SECONDS = 30.0
"""An event loop that did not turn for so long does not come back: let the kubelet restart it."""


class Heartbeat:
    """When the event loop last turned."""

    def __init__(self) -> None:
        self._at = time.monotonic()

    def beat(self) -> None:
        """The loop turned."""
        self._at = time.monotonic()

    @property
    def is_alive(self) -> bool:
        """Whether the loop turned lately."""
        return time.monotonic() - self._at < STUCK_SECONDS


class Endpoint:
    """HTTP server for probes and metrics."""

    def __init__(
        self, address: str, heartbeat: Heartbeat, why_not_ready: Callable[[], str]
    ) -> None:
        """Listen, but do not answer yet.

        Args:
            address: `host:port`; an empty host is all of them, port 0 any free one.
            heartbeat: of the event loop.
            why_not_ready: what is still missing, or "".

        Raises:
            OSError: the address is in use or not ours.
        """
        host, _, port = address.rpartition(":")
        answers = {
            "/healthz": lambda: _verdict("" if heartbeat.is_alive else "the event loop is stuck"),
            "/readyz": lambda: _verdict(why_not_ready()),
            "/metrics": lambda: (200, CONTENT_TYPE_LATEST, generate_latest()),
        }
        self._server = ThreadingHTTPServer((host.strip("[]"), int(port)), _handler(answers))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def port(self) -> int:
        """Port that is listened on."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering and free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


_Response = tuple[int, str, bytes]


def _verdict(problem: str) -> _Response:
    return (503 if problem else 200, "text/plain; charset=utf-8", f"{problem or 'ok'}\n".encode())


def _handler(answers: dict[str, Callable[[], _Response]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = answers.get(self.path.partition("?")[0])
            status, content_type, body = (
                answer() if answer else (404, "text/plain; charset=utf-8", b"not found\n")
            )
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - of the base
            """Say nothing: probes come every few seconds."""

    return Handler
