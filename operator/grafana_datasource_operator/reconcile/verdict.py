"""What the engine is to do after one look at a resource."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from ..api.model import Json
from ..status.events import Event


@dataclass(frozen=True, slots=True)
class Again:
    """When to look again, unless something changes before.

    Attributes:
        after: seconds; None is never.
        backoff: after the queue's own growing delay instead.
        on_recovery: as soon as one of these Grafanas can be asked again.
    """

    after: float | None = None
    backoff: bool = False
    on_recovery: frozenset[Hashable] = frozenset()


@dataclass(frozen=True, slots=True)
class Verdict:
    """Result of one look.

    Attributes:
        result: one word for metrics and logs.
        again: when to look again.
        status: the whole status to store; None leaves it.
        events: to post.
        message: for the log.
        check_after: seconds until the next check, unless one is due before; None: as planned.
    """

    result: str
    again: Again
    status: Json | None = None
    events: list[Event] = field(default_factory=list)
    message: str = ""
    check_after: float | None = None


@dataclass(frozen=True, slots=True)
class CheckUp:
    """Result of one check.

    Attributes:
        update: the present status -> the status with what was found.
        after: seconds until the next one; None is never.
    """

    update: Callable[[Json], Json]
    after: float | None
