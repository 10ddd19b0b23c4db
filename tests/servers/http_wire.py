"""HTTP/1.1 messages on asyncio streams, as they are on the wire: heads and framed bodies."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

STREAM_LIMIT = 1 << 20  # of one head or one chunk's size line
_PART_BYTES = 1 << 16

# Meant for one connection, not for the message (RFC 9110, 7.6.1), or replaced by our own framing.
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


class BrokenMessageError(Exception):
    """The other side ended within a message or did not speak HTTP/1.1."""


class WatchedReader(asyncio.StreamReader):
    """Tells at once when the other side is gone, also while nobody reads."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(limit=STREAM_LIMIT, loop=loop)
        self.on_end: Callable[[], object] = lambda: None

    def feed_eof(self) -> None:
        super().feed_eof()
        self.on_end()

    def set_exception(self, exc: Exception) -> None:
        super().set_exception(exc)
        self.on_end()


@dataclass
class Head:
    """The first line and the headers of a request or an answer, names as they came."""

    first_line: str
    headers: list[tuple[str, str]]

    def get(self, name: str) -> str | None:
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)

    def end_to_end(self) -> list[tuple[str, str]]:
        """Without what is for one connection only."""
        named = {token.strip().lower() for token in (self.get("connection") or "").split(",")}
        dropped = _HOP_BY_HOP | named
        return [pair for pair in self.headers if pair[0].lower() not in dropped]

    @property
    def keeps_alive(self) -> bool:
        connection = (self.get("connection") or "").lower()
        if "HTTP/1.0" in self.first_line:
            return "keep-alive" in connection
        return "close" not in connection

    @property
    def is_chunked(self) -> bool:
        return "chunked" in (self.get("transfer-encoding") or "").lower()

    @property
    def content_length(self) -> int | None:
        length = self.get("content-length")
        return int(length) if length is not None else None

    @property
    def status(self) -> int:
        """Of an answer."""
        return int(self.first_line.split(" ", 2)[1])


async def read_head(reader: asyncio.StreamReader) -> Head | None:
    """None where the other side ended before it began one."""
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            return None
        raise BrokenMessageError("ended within a head") from error
    first_line, *lines = raw[:-4].decode("latin-1").split("\r\n")
    headers = []
    for line in lines:
        name, _, value = line.partition(":")
        headers.append((name, value.strip()))
    return Head(first_line, headers)


def write_head(first_line: str, headers: list[tuple[str, str]]) -> bytes:
    lines = [first_line, *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode("latin-1")


async def read_request_body(reader: asyncio.StreamReader, head: Head) -> bytes:
    """Whole, without its framing."""
    if head.is_chunked:
        return b"".join([data async for _, data in chunks(reader)])
    return await _exactly(reader, head.content_length or 0)


async def chunks(reader: asyncio.StreamReader) -> AsyncIterator[tuple[bytes, bytes]]:
    """Each chunk as it arrives: on the wire, and its data (empty for the last)."""
    while True:
        size_line = await _line(reader)
        size = int(size_line.split(b";")[0], 16)
        if size == 0:
            trailer = size_line
            while (line := await _line(reader)) != b"\r\n":
                trailer += line
            yield trailer + b"\r\n", b""
            return
        data = await _exactly(reader, size + 2)
        yield size_line + data, data[:-2]


async def parts(reader: asyncio.StreamReader, length: int | None) -> AsyncIterator[bytes]:
    """A body that is not chunked, in pieces as they arrive; until the end if `length` is None."""
    left = length
    while left is None or left > 0:
        part = await reader.read(_PART_BYTES if left is None else min(left, _PART_BYTES))
        if not part:
            if left is None:
                return
            raise BrokenMessageError(f"ended {left} bytes before the end of a body")
        if left is not None:
            left -= len(part)
        yield part


async def _line(reader: asyncio.StreamReader) -> bytes:
    line = await reader.readline()
    if not line.endswith(b"\r\n"):
        raise BrokenMessageError("ended within the framing of a chunk")
    return line


async def _exactly(reader: asyncio.StreamReader, count: int) -> bytes:
    try:
        return await reader.readexactly(count)
    except asyncio.IncompleteReadError as error:
        raise BrokenMessageError(f"ended {count - len(error.partial)} bytes early") from error
