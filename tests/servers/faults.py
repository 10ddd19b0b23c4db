"""What a FaultProxy can do to requests, and to which."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field

ProcessId = int | Callable[[], int]
"""A function where the process is known only when the request comes."""


@dataclass(eq=False)
class ProxiedRequest:
    """One request that reached the proxy."""

    time: float
    """When it had arrived: time.monotonic()."""
    method: str
    path: str
    """With the query."""
    headers: dict[str, str] = field(repr=False)
    """Names in lower case."""
    body: bytes | None = field(default=None, repr=False)
    """None once answered, unless the proxy records bodies."""
    status: int | None = None
    """As the client got it; None where no answer began."""
    ended: float | None = None
    """When the exchange was over, whatever way."""

    @property
    def user_agent(self) -> str:
        return self.headers.get("user-agent", "")


Predicate = Callable[[ProxiedRequest], bool]


def requests_of(
    method: str | None = None, path_prefix: str = "", path_pattern: str | None = None
) -> Predicate:
    """A predicate; `path_pattern` is a regular expression that the path contains."""
    pattern = re.compile(path_pattern or "")

    def matches(request: ProxiedRequest) -> bool:
        return (
            (method is None or request.method == method)
            and request.path.startswith(path_prefix)
            and pattern.search(request.path) is not None
        )

    return matches


def every_request(_: ProxiedRequest) -> bool:
    return True


@dataclass(frozen=True)
class Delay:
    """Forward, but later."""

    seconds: float


@dataclass(frozen=True)
class DelayAnswer:
    """Forward at once, and hold back the answer."""

    seconds: float


@dataclass(frozen=True)
class Hang:
    """Never answer; the connection is cut when the fault is removed."""


@dataclass(frozen=True)
class Answer:
    """Answer without asking upstream."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class CutBody:
    """Forward, and cut the connection after so many bytes of the answer's body."""

    after_bytes: int


@dataclass(frozen=True)
class KillBefore:
    """SIGKILL the process; upstream never sees the request."""

    pid: ProcessId


@dataclass(frozen=True)
class KillAfter:
    """SIGKILL the process when upstream has answered; nobody sees the answer."""

    pid: ProcessId


Action = Delay | DelayAnswer | Hang | Answer | CutBody | KillBefore | KillAfter


@dataclass(eq=False)
class Fault:
    """An action for some requests: after the first `skip` of them, for the next `times`."""

    action: Action
    matching: Predicate
    times: int | None = None
    skip: int = 0
    hits: int = 0
    """How many requests it has met."""
    removed: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    def claims(self, request: ProxiedRequest) -> bool:
        """Whether this request meets the fault; counts it."""
        if self.times is not None and self.hits >= self.times:
            return False
        if not self.matching(request):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.hits += 1
        return True
