"""Wait for something to become true, and say what was seen last when it does not."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

_SHOWN_CHARACTERS = 2000


def eventually(
    probe: Callable[[], T],
    until: Callable[[T], bool],
    within_seconds: float,
    what: str,
    *,
    every_seconds: float = 0.05,
    retry_on: tuple[type[Exception], ...] = (),
) -> T:
    """Call `probe` until `until` accepts its result; return that result.

    Exceptions of `retry_on` count as "not yet"; any other one ends the wait at once.
    """
    wait = _Wait(within_seconds, what)
    while True:
        try:
            if until(seen := probe()):
                return seen
            wait.look(seen)
        except retry_on as error:
            wait.look(error)
        time.sleep(every_seconds)


async def eventually_async(
    probe: Callable[[], Awaitable[T]],
    until: Callable[[T], bool],
    within_seconds: float,
    what: str,
    *,
    every_seconds: float = 0.05,
    retry_on: tuple[type[Exception], ...] = (),
) -> T:
    """`eventually` for a probe that is awaited."""
    wait = _Wait(within_seconds, what)
    while True:
        try:
            if until(seen := await probe()):
                return seen
            wait.look(seen)
        except retry_on as error:
            wait.look(error)
        await asyncio.sleep(every_seconds)


class _Wait:
    def __init__(self, within_seconds: float, what: str) -> None:
        self._within_seconds = within_seconds
        self._what = what
        self._started = time.monotonic()
        self._looks = 0

    def look(self, seen: object) -> None:
        self._looks += 1
        if time.monotonic() - self._started < self._within_seconds:
            return
        shown = repr(seen)
        if len(shown) > _SHOWN_CHARACTERS:
            shown = f"{shown[:_SHOWN_CHARACTERS]}… ({len(shown)} characters)"
        raise AssertionError(
            f"waited {self._within_seconds:g} s for {self._what}; "
            f"looked {self._looks} times, saw last: {shown}"
        )
