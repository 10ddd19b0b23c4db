"""A loopback HTTP/1.1 server in its own thread, made of one function per request.

The function gets the head and the whole body and writes the answer itself, so that it can also
answer badly, late or not at all.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

from tests.servers.http_wire import (
    BrokenMessageError,
    Head,
    WatchedReader,
    read_head,
    read_request_body,
)
from tests.servers.loop_thread import LoopThread
from tests.servers.ports import free_port


@dataclass(eq=False)
class Connection:
    """One client; the handler may keep what it needs per connection in `on_close`."""

    reader: WatchedReader
    writer: asyncio.StreamWriter
    on_close: list[Callable[[], object]] = field(default_factory=list)

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()


Handler = Callable[[Connection, Head, bytes], Awaitable[bool]]
"""Answers whether the connection may go on."""


class HttpServer:
    """Listens on one port from its making to `stop`, except while it refuses."""

    def __init__(self, name: str, handler: Handler, tls: ssl.SSLContext | None = None) -> None:
        self._handler = handler
        self._tls = tls
        self.port = free_port()
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self.failures: list[Exception] = []
        """What went wrong in the handler, other than that a side was gone."""
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = LoopThread(name)
        self.listen()

    def listen(self) -> None:
        self._thread.call(self._listen())

    def refuse(self) -> None:
        """Close the port and every connection."""
        self._thread.call(self._refuse())

    def cut_connections(self) -> None:
        """Those that are open; new ones are welcome."""
        self._thread.call(self._cut())

    def run(self, call: Callable[[], object]) -> None:
        """`call` in the server's thread."""
        self._thread.call(_called(call))

    def stop(self) -> None:
        self.refuse()
        self._thread.stop()

    async def _listen(self) -> None:
        if self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(
                self._protocol, "127.0.0.1", self.port, ssl=self._tls, backlog=1024
            )

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._cut()

    async def _cut(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _protocol(self) -> asyncio.StreamReaderProtocol:
        loop = asyncio.get_running_loop()
        reader = WatchedReader(loop)

        def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = loop.create_task(self._serve(Connection(reader, writer)))
            self._tasks.add(task)
            task.add_done_callback(partial(self._end, writer))
            # What a gone client asked for is not worth going on with; a real server does the same.
            reader.on_end = task.cancel

        return asyncio.StreamReaderProtocol(reader, connected, loop=loop)

    def _end(self, writer: asyncio.StreamWriter, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        # A task that was cancelled before its first step has closed nothing.
        writer.close()

    async def _serve(self, connection: Connection) -> None:
        try:
            while await self._serve_one(connection):
                pass
        except (ConnectionError, BrokenMessageError, ssl.SSLError):
            pass
        except Exception as error:  # noqa: BLE001 - shown by whoever owns the server
            self.failures.append(error)
        finally:
            for close in connection.on_close:
                close()
            connection.writer.close()

    async def _serve_one(self, connection: Connection) -> bool:
        head = await read_head(connection.reader)
        if head is None:
            return False
        if (head.get("expect") or "").lower() == "100-continue":
            connection.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await read_request_body(connection.reader, head)
        return await self._handler(connection, head, body) and head.keeps_alive


async def _called(call: Callable[[], object]) -> None:
    call()
