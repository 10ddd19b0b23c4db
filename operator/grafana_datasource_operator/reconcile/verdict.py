"""What the engine is to do after one look at a resource."""

from dataclasses import dataclass, field

from ..api.model import Json
from ..status.events import Event


@dataclass(frozen=True, slots=True)
class Again:
    """When to look again, unless something changes before.

    Attributes:
        after: seconds; None is never.
        backoff: after the queue's own growing delay instead.
        on_recovery: as soon as a Grafana can be asked again.
    """

    after: float | None = None
    backoff: bool = False
    on_recovery: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """Result of one look.

    Attributes:
        result: one word for metrics and logs.
        again: when to look again.
        status: the whole status to store; None leaves it.
        events: to post.
        message: for the log.
    """

    result: str
    again: Again
    status: Json | None = None
    events: list[Event] = field(default_factory=list)
    message: str = ""
