"""Waiting ends with what was waited for, or says what was seen instead."""

import itertools

import pytest

from tests.servers.polling import eventually, eventually_async


def test_answers_what_was_accepted() -> None:
    numbers = itertools.count()
    assert eventually(lambda: next(numbers), lambda n: n == 3, 5, "three", every_seconds=0) == 3


def test_the_deadline_names_the_wish_and_what_was_seen_last() -> None:
    with pytest.raises(AssertionError, match=r"waited 0.1 s for the sun; .*saw last: 'rain'"):
        eventually(lambda: "rain", lambda seen: seen == "sun", 0.1, "the sun")


def test_an_expected_exception_is_not_yet_and_is_what_was_seen_last() -> None:
    def probe() -> None:
        raise LookupError("nobody there")

    with pytest.raises(AssertionError, match="nobody there"):
        eventually(probe, lambda _: True, 0.1, "somebody", retry_on=(LookupError,))


def test_an_unexpected_exception_ends_the_wait() -> None:
    with pytest.raises(ZeroDivisionError):
        eventually(lambda: 1 / 0, lambda _: True, 60, "infinity")


async def test_waits_for_an_awaited_probe_too() -> None:
    numbers = itertools.count()

    async def probe() -> int:
        return next(numbers)

    assert await eventually_async(probe, lambda n: n == 3, 5, "three") == 3
    with pytest.raises(AssertionError, match=r"saw last: \d+"):
        await eventually_async(probe, lambda n: n < 0, 0.1, "less than nothing")
