"""The proxy's side towards the real server: one connection, kept alive and opened again."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from urllib.parse import SplitResult

from tests.servers.http_wire import (
    BrokenMessageError,
    Head,
    WatchedReader,
    chunks,
    parts,
    read_head,
    write_head,
)

_PORTS = {"http": 80, "https": 443}
_BODYLESS = frozenset({204, 304})


@dataclass(frozen=True)
class UpstreamAnswer:
    """An answer whose body is still on its way."""

    head: Head
    reader: asyncio.StreamReader
    has_body: bool

    @property
    def is_until_end(self) -> bool:
        """Whether only the end of the connection ends the body."""
        return self.has_body and not self.head.is_chunked and self.head.content_length is None

    @property
    def waits_for_body(self) -> bool:
        """Whether the first piece may take long, as of a watch."""
        return self.has_body and self.head.content_length is None

    async def pieces(self) -> AsyncIterator[bytes]:
        """As they arrive, chunk framing included."""
        if not self.has_body:
            return
        if self.head.is_chunked:
            async for wire, _ in chunks(self.reader):
                yield wire
        else:
            async for part in parts(self.reader, self.head.content_length):
                yield part

    async def read_all(self) -> None:
        async for _ in self.pieces():
            pass


class Upstream:
    """Asks the real server, one request at a time."""

    def __init__(
        self, address: SplitResult, tls: ssl.SSLContext | None, on_end: Callable[[], object]
    ) -> None:
        self._address = address
        self._tls = tls
        self._on_end = on_end
        self._connection: tuple[WatchedReader, asyncio.StreamWriter] | None = None
        self._is_spent = False

    async def ask(self, head: Head, body: bytes) -> UpstreamAnswer:
        reader, writer = await self._connected()
        method = head.first_line.split(" ", 1)[0]
        writer.write(self._request_head(head, body) + body)
        await writer.drain()
        answer = await read_head(reader)
        while answer is not None and 100 <= answer.status < 200:
            answer = await read_head(reader)
        if answer is None:
            raise BrokenMessageError("upstream ended instead of answering")
        has_body = method != "HEAD" and answer.status not in _BODYLESS
        self._is_spent = not answer.keeps_alive
        return UpstreamAnswer(answer, reader, has_body)

    @property
    def has_ended(self) -> bool:
        """The real server ended the connection without having said so."""
        connection = self._connection
        return connection is not None and not self._is_spent and connection[0].at_eof()

    def close(self) -> None:
        if self._connection is not None:
            self._connection[1].transport.abort()
            self._connection = None

    async def _connected(self) -> tuple[WatchedReader, asyncio.StreamWriter]:
        if self._connection and not self._is_spent and not self._connection[0].at_eof():
            return self._connection
        self.close()
        loop = asyncio.get_running_loop()
        reader = WatchedReader(loop)
        reader.on_end = self._on_end
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        host = self._address.hostname or "127.0.0.1"
        port = self._address.port or _PORTS[self._address.scheme]
        transport, _ = await loop.create_connection(lambda: protocol, host, port, ssl=self._tls)
        self._connection = reader, asyncio.StreamWriter(transport, protocol, reader, loop)
        self._is_spent = False
        return self._connection

    def _request_head(self, head: Head, body: bytes) -> bytes:
        method, path, _ = head.first_line.split(" ", 2)
        headers = [("Host", self._address.netloc)]
        headers += [
            (name, value)
            for name, value in head.end_to_end()
            if name.lower() not in {"host", "content-length", "expect"}
        ]
        if body or head.content_length is not None or head.is_chunked:
            headers.append(("Content-Length", str(len(body))))
        prefix = self._address.path.rstrip("/")
        return write_head(f"{method} {prefix}{path} HTTP/1.1", headers)
