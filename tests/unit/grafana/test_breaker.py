"""The circuit breaker: one probe asks for all, and not too often."""

import asyncio
import itertools
import traceback
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from itertools import pairwise

import httpx
import pytest

from grafana_datasource_operator.grafana.breaker import CircuitBreaker
from grafana_datasource_operator.grafana.errors import (
    Closed,
    GrafanaError,
    PermissionDenied,
    ServerFault,
    Unaskable,
    Unauthorized,
    Unavailable,
    Unreachable,
)
from tests.unit.virtual_time import in_virtual_time, let_others_run, now

AWAY = Unreachable("no connection")
REFUSED = Unauthorized("bad token")


class Key:
    """Credentials that can be exchanged."""

    refused_pause = 60.0

    def __init__(self) -> None:
        self.edition = 1

    def authorization(self) -> httpx.Auth:
        return httpx.Auth()

    def fingerprint(self) -> object:
        return self.edition


class Grafana:
    """What the probe meets: one answer after the other, the last one for good."""

    def __init__(self, *answers: GrafanaError | None) -> None:
        self.probes: list[float] = []
        self.told: list[bool] = []
        self.key = Key()
        self.answers = [*answers]
        self.breaker = CircuitBreaker(self._probe, self.key, self.told.append)

    async def _probe(self) -> None:
        self.probes.append(now())
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is not None:
            raise answer

    @property
    def gaps(self) -> list[float]:
        return [later - earlier for earlier, later in pairwise(self.probes)]

    async def trouble(self) -> GrafanaError | None:
        try:
            await self.breaker.check()
        except GrafanaError as error:
            return error
        return None


@asynccontextmanager
async def running(grafana: Grafana) -> AsyncIterator[Grafana]:
    task = asyncio.create_task(grafana.breaker.run())
    await let_others_run()
    try:
        yield grafana
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _all_at_least(gaps: Iterable[float], seconds: float) -> bool:
    return all(gap >= seconds - 1e-9 for gap in gaps)


@in_virtual_time
async def test_nothing_may_be_sent_before_the_first_probe_has_answered() -> None:
    grafana = Grafana(None)
    waiting = asyncio.create_task(grafana.breaker.check())
    await asyncio.sleep(3600)
    assert not waiting.done()
    async with running(grafana):
        await waiting
        assert grafana.probes == [3600]
        assert grafana.told == [True]


@in_virtual_time
async def test_a_grafana_that_answers_is_not_probed_again() -> None:
    async with running(Grafana(None)) as grafana:
        await asyncio.sleep(3600)
        assert await grafana.trouble() is None
        assert grafana.probes == [0]


@in_virtual_time
async def test_whoever_waits_for_the_first_probe_is_told_why_it_failed() -> None:
    grafana = Grafana(AWAY)
    waiting = asyncio.create_task(grafana.trouble())
    async with running(grafana):
        assert await waiting is AWAY
        assert grafana.told == [False]


@pytest.mark.parametrize("trouble", [AWAY, Unavailable("502"), ServerFault("locked")])
@in_virtual_time
async def test_while_grafana_is_down_it_is_probed_at_most_once_a_second_and_found_back_soon(
    trouble: GrafanaError,
) -> None:
    async with running(Grafana(trouble)) as grafana:
        await asyncio.sleep(600)
        assert _all_at_least(grafana.gaps, 1)
        assert max(grafana.gaps) <= 6
        assert len(grafana.probes) > 90


@in_virtual_time
async def test_a_thousand_failing_requests_cause_no_more_probes_than_one() -> None:
    async with running(Grafana(None, AWAY)) as grafana:
        for _ in range(1000):
            grafana.breaker.trip(AWAY)
            await asyncio.sleep(0.01)
        assert _all_at_least(grafana.gaps, 1)
        assert len(grafana.probes) <= 11


@in_virtual_time
async def test_flapping_does_not_cause_more_than_one_probe_a_second() -> None:
    async with running(Grafana(None)) as grafana:
        for _ in range(100):
            grafana.breaker.trip(AWAY)
            await asyncio.sleep(0.3)
        assert _all_at_least(grafana.gaps, 1)


@in_virtual_time
async def test_a_failure_that_others_would_share_stops_them_until_a_probe_succeeds() -> None:
    async with running(Grafana(None)) as grafana:
        grafana.breaker.trip(AWAY)
        assert await grafana.trouble() is AWAY
        await asyncio.sleep(0.9)
        assert await grafana.trouble() is AWAY
        await asyncio.sleep(0.4)
        assert await grafana.trouble() is None


@in_virtual_time
async def test_recovery_is_told_once_and_so_is_each_outage() -> None:
    async with running(Grafana(None, AWAY, AWAY, AWAY, None)) as grafana:
        for _ in range(5):
            grafana.breaker.trip(AWAY)
        assert grafana.told == [True, False]
        await asyncio.sleep(60)
        assert grafana.told == [True, False, True]
        grafana.breaker.trip(AWAY)
        await asyncio.sleep(60)
        assert grafana.told == [True, False, True, False, True]


@in_virtual_time
async def test_an_outage_from_the_start_is_told_once_and_so_is_its_end() -> None:
    async with running(Grafana(AWAY, AWAY, AWAY, None)) as grafana:
        await asyncio.sleep(60)
        assert grafana.told == [False, True]
        assert await grafana.trouble() is None


@in_virtual_time
async def test_the_trouble_that_is_told_is_the_latest() -> None:
    later = Unavailable("HTTP 503")
    async with running(Grafana(AWAY, later)) as grafana:
        assert await grafana.trouble() is AWAY
        await asyncio.sleep(3)
        assert await grafana.trouble() is later


@pytest.mark.parametrize("asked", [0.0, 0.1, 7.0, 120.0])
@in_virtual_time
async def test_a_wish_to_come_back_later_is_honored(asked: float) -> None:
    busy = Unavailable("HTTP 429", retry_after=asked)
    async with running(Grafana(None)) as grafana:
        grafana.breaker.trip(busy)
        await asyncio.sleep(1000)
        (gap,) = grafana.gaps
        assert max(1, asked) <= gap <= max(1, asked) * 1.2


@in_virtual_time
async def test_a_wish_that_the_probe_itself_is_told_is_honored_too() -> None:
    busy = Unavailable("HTTP 429", retry_after=30)
    async with running(Grafana(None, busy, busy, None)) as grafana:
        grafana.breaker.trip(AWAY)
        await asyncio.sleep(1000)
        assert len(grafana.gaps) == 3
        assert _all_at_least(grafana.gaps[1:], 30)


@pytest.mark.parametrize("trouble", [REFUSED, PermissionDenied("wrong organization")])
@pytest.mark.parametrize("pause", [60.0, 300.0])
@in_virtual_time
async def test_refused_credentials_are_tried_again_only_after_a_long_pause(
    trouble: GrafanaError, pause: float
) -> None:
    grafana = Grafana(trouble)
    grafana.key.refused_pause = pause
    async with running(grafana):
        await asyncio.sleep(pause * 5 + 1)
        assert _all_at_least(grafana.gaps, pause)
        assert len(grafana.probes) == 6


@pytest.mark.parametrize("trouble", [REFUSED, PermissionDenied("wrong organization")])
@in_virtual_time
async def test_new_credentials_end_the_pause(trouble: GrafanaError) -> None:
    async with running(Grafana(trouble, None)) as grafana:
        await asyncio.sleep(10.5)
        assert await grafana.trouble() is trouble
        grafana.key.edition = 2
        await asyncio.sleep(2)
        assert await grafana.trouble() is None
        assert len(grafana.probes) == 2


@in_virtual_time
async def test_new_credentials_that_are_refused_too_begin_a_new_pause() -> None:
    async with running(Grafana(REFUSED)) as grafana:
        await asyncio.sleep(10)
        grafana.key.edition = 2
        await asyncio.sleep(50)
        assert len(grafana.probes) == 2
        await asyncio.sleep(15)
        assert len(grafana.probes) == 3


@in_virtual_time
async def test_credentials_that_are_revoked_on_the_way_are_not_hammered_either() -> None:
    async with running(Grafana(None, REFUSED)) as grafana:
        grafana.breaker.trip(REFUSED)
        await asyncio.sleep(50)
        assert grafana.probes == [0]
        assert await grafana.trouble() is REFUSED


@in_virtual_time
async def test_credentials_renewed_just_before_a_refusal_are_tried_soon() -> None:
    async with running(Grafana(None)) as grafana:
        grafana.key.edition = 2
        grafana.breaker.trip(REFUSED)
        await asyncio.sleep(2)
        assert await grafana.trouble() is None
        assert len(grafana.probes) == 2


@in_virtual_time
async def test_credentials_that_are_renewed_during_a_probe_are_tried_soon() -> None:
    grafana = Grafana(None)
    answers: list[GrafanaError | None] = [REFUSED, None]

    async def probe() -> None:
        if error := answers.pop(0):
            grafana.key.edition = 2
            raise error

    grafana.breaker = CircuitBreaker(probe, grafana.key, grafana.told.append)
    async with running(grafana):
        await asyncio.sleep(2)
        assert await grafana.trouble() is None


@in_virtual_time
async def test_an_error_that_is_told_a_thousand_times_keeps_no_traces() -> None:
    async with running(Grafana(AWAY)) as grafana:
        for _ in range(1000):
            assert await grafana.trouble() is AWAY
    assert len(traceback.extract_tb(AWAY.__traceback__)) < 10


@in_virtual_time
async def test_after_the_end_everybody_is_told_so() -> None:
    closed = Unreachable("closed")
    grafana = Grafana(None)
    waiting = asyncio.create_task(grafana.trouble())
    await let_others_run()
    assert (grafana.breaker.probed, grafana.breaker.trouble) == (False, None)
    grafana.breaker.end(closed)
    assert await waiting is closed
    assert await grafana.trouble() is closed
    assert grafana.breaker.probed
    assert grafana.told == []


@in_virtual_time
async def test_many_failures_in_a_row_never_stop_the_probing() -> None:
    kinds: list[GrafanaError] = [AWAY, Unavailable("502"), ServerFault("500")]
    grafana = Grafana(*itertools.islice(itertools.cycle(kinds), 300), None)
    async with running(grafana):
        await asyncio.sleep(3600)
        assert grafana.told.count(True) == 1
        assert await grafana.trouble() is None


@pytest.mark.parametrize(
    ("later", "told"), [(Unreachable("no answer"), [False]), (REFUSED, [False, False])]
)
@in_virtual_time
async def test_another_kind_of_trouble_is_news(later: GrafanaError, told: list[bool]) -> None:
    async with running(Grafana(AWAY, later)) as grafana:
        await asyncio.sleep(10)
        assert grafana.told == told


@in_virtual_time
async def test_a_long_outage_gathers_nothing_of_those_who_were_told() -> None:
    async with running(Grafana(AWAY)) as grafana:
        for _ in range(100):
            assert await grafana.trouble() is AWAY
        assert len(list(traceback.walk_tb(AWAY.__traceback__))) < 5


@in_virtual_time
async def test_the_end_is_final() -> None:
    closed = Closed("closed")
    async with running(Grafana(AWAY, None)) as grafana:
        grafana.breaker.end(closed)
        await asyncio.sleep(10)
        assert len(grafana.probes) == 2
        assert await grafana.trouble() is closed
        told = len(grafana.told)
        grafana.breaker.trip(AWAY)
        assert len(grafana.told) == told


@in_virtual_time
async def test_late_failures_of_the_last_outage_cost_one_probe_and_no_more() -> None:
    async with running(Grafana(None)) as grafana:
        grafana.breaker.trip(AWAY)
        await asyncio.sleep(2)
        late: Unaskable = AWAY
        for _ in range(10):
            grafana.breaker.trip(late)
        await asyncio.sleep(2)
        assert await grafana.trouble() is None
        assert len(grafana.probes) == 3
