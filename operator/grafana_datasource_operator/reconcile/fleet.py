"""All Grafanas that resources may live on: their connections, and whom they admit."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ..api.instance import Mode
from ..api.names import InstanceKey
from ..grafana.instance import GrafanaInstance
from .admission import Admission

COMPLETE_SECONDS = 15.0
"""How long one instance that cannot be looked at may hold up the resources on all others."""


@dataclass(slots=True)
class Member:
    """One instance, as its GrafanaInstance or the settings say.

    Attributes:
        key: as references and status name it.
        labels: of the GrafanaInstance, for selectors.
        users: who may refer to it.
        adopters: who may take over there what nobody owns.
        mode: whether Grafana is written.
        is_leaving: it is being deleted: nothing new begins there.
        is_suspended: it is left alone for as long as somebody wants that.
        problem: why nothing can be done there now; "" where something can.
        connection: to its Grafana. There may be one beside a problem: for cleaning up, credentials
            that were read serve even where their Secret is gone.
    """

    key: InstanceKey
    labels: dict[str, str] = field(default_factory=dict)
    users: Admission = field(default_factory=Admission)
    adopters: Admission = field(default_factory=Admission)
    mode: Mode = Mode.ENFORCE
    is_leaving: bool = False
    is_suspended: bool = False
    problem: str = ""
    connection: GrafanaInstance | None = None

    @property
    def usable_connection(self) -> GrafanaInstance:
        """The connection of a member without a problem."""
        if self.connection is None:
            raise ValueError(f"instance {self.key} is said to be usable without a connection")
        return self.connection

    def is_same_place(self, other: "Member") -> bool:
        """Whether both are the same organization of the same Grafana."""
        ours, theirs = self.connection, other.connection
        return ours is not None and theirs is not None and ours.place == theirs.place


Background = Callable[[str, Coroutine[Any, Any, None]], asyncio.Task[None]]
"""Starts a named task that must not die in silence."""


class Fleet:
    """The members by key. Not thread-safe."""

    def __init__(self, on_change: Callable[[InstanceKey], None]) -> None:
        """Start empty.

        Args:
            on_change: told of each member that came, went, or changed.
        """
        self._on_change = on_change
        self._members: dict[InstanceKey, Member] = {}
        self._unknown: set[InstanceKey] = set()
        self._complete = asyncio.Event()

    def __iter__(self) -> Iterator[Member]:
        return iter(list(self._members.values()))

    def get(self, key: InstanceKey) -> Member | None:
        """The member, if there is one."""
        return self._members.get(key)

    def put(self, member: Member) -> None:
        """Add a member, or replace what is known of it."""
        if self._members.get(member.key) != member:
            self._members[member.key] = member
            self._tell(member.key)
        self._know(member.key)

    def remove(self, key: InstanceKey) -> None:
        """The instance no longer exists."""
        if self._members.pop(key, None) is not None:
            self._tell(key)
        self._know(key)

    def expect(self, keys: Iterable[InstanceKey]) -> None:
        """These exist: resources wait until each of them is known."""
        self._unknown = {key for key in keys if key not in self._members}
        if not self._unknown:
            self._complete.set()

    async def wait_until_complete(self) -> None:
        """Return when every instance that was there at the start is known, or is not to be."""
        try:
            await asyncio.wait_for(self._complete.wait(), COMPLETE_SECONDS)
        except TimeoutError:
            self._complete.set()

    def _tell(self, key: InstanceKey) -> None:
        """Until the fleet is complete, every look waits and finds the change by itself."""
        if self._complete.is_set():
            self._on_change(key)

    def _know(self, key: InstanceKey) -> None:
        self._unknown.discard(key)
        if not self._unknown:
            self._complete.set()
