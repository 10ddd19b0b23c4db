"""How many writes are in flight: as many as serves the server best, whatever it is."""

import asyncio
import random
from bisect import bisect
from collections.abc import Coroutine
from dataclasses import dataclass, field
from statistics import mean
from typing import Any

import pytest

from grafana_datasource_operator.grafana import errors
from grafana_datasource_operator.grafana.width import LONGEST_HOLD_WRITES, WriteWidth
from tests.unit.virtual_time import VirtualTimeLoop, in_virtual_time, let_others_run, now

CEILING = 4
SEEDS = range(5)


@dataclass(frozen=True)
class Curve:
    """What was measured of a server, by writes in flight; straight lines in between."""

    rates: dict[int, float]
    failing: dict[int, float] = field(default_factory=lambda: {1: 0.0})


SQLITE = Curve({1: 38, 2: 46, 4: 44, 8: 42}, {1: 0.0, 2: 0.0, 4: 0.05, 8: 0.36})
SQLITE_UPDATES = Curve({1: 58, 2: 58, 4: 44, 8: 54}, {1: 0.0, 2: 0.02, 4: 0.07, 8: 0.13})
POSTGRESQL = Curve({1: 39, 2: 71, 4: 91, 8: 79})
POSTGRESQL_UPDATES = Curve({1: 48, 2: 94, 4: 125, 8: 106})


def _at(points: dict[int, float], in_flight: int) -> float:
    xs = sorted(points)
    right = bisect(xs, in_flight)
    if right == len(xs):
        return points[xs[-1]]
    low, high = xs[right - 1], xs[right]
    part = (in_flight - low) / (high - low)
    return points[low] + part * (points[high] - points[low])


class Server:
    """Takes writes, the longer the more are in flight, and fails some."""

    def __init__(self, curve: Curve, seed: int = 1) -> None:
        self.curve = curve
        self.in_flight = 0
        self.most_in_flight = 0
        self.failures = 0
        self._random = random.Random(seed)

    async def write(self) -> None:
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        seconds = self.in_flight / _at(self.curve.rates, self.in_flight)
        fails = self._random.random() < _at(self.curve.failing, self.in_flight)
        try:
            await asyncio.sleep(seconds * self._random.uniform(0.7, 1.3))
        finally:
            self.in_flight -= 1
        if fails:
            self.failures += 1
            raise errors.ServerFault("database is locked")


class Fixed:
    """The width that one would set by hand."""

    def __init__(self, width: int) -> None:
        self._places = asyncio.Semaphore(width)

    async def write(self, server: Server) -> None:
        async with self._places:
            await server.write()


class Found(WriteWidth):
    """The width under test."""

    def __init__(self, ceiling: int = CEILING) -> None:
        super().__init__(ceiling)

    async def write(self, server: Server) -> None:
        async with self.place() as measure:
            await measure(server.write())


async def _throughput(gate: Fixed | Found, server: Server, *, writes: int = 1000) -> float:
    """Writes a second of sixteen writers, each of which repeats what failed."""
    left, began = writes, now()

    async def keep_writing() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            try:
                await gate.write(server)
            except errors.ServerFault:
                left += 1

    await asyncio.gather(*(keep_writing() for _ in range(16)))
    return writes / (now() - began)


async def _throughput_of_fixed(width: int, server: Server) -> float:
    return await _throughput(Fixed(width), server)


async def _throughput_of_found(ceiling: int, server: Server) -> float:
    return await _throughput(Found(ceiling), server)


def _run(work: Coroutine[Any, Any, float]) -> float:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(work)


def _best_fixed(curve: Curve, ceiling: int) -> float:
    return max(
        mean(_run(_throughput_of_fixed(width, Server(curve, seed))) for seed in range(2))
        for width in range(1, ceiling + 1)
    )


# --- how much of the best is reached ------------------------------------------------------------


@pytest.mark.parametrize("ceiling", [4, 8])
@pytest.mark.parametrize(
    ("curve", "most_failures"),
    [(SQLITE, 5.0), (SQLITE_UPDATES, 5.0), (POSTGRESQL, 0.0), (POSTGRESQL_UPDATES, 0.0)],
    ids=["sqlite", "sqlite-updates", "postgresql", "postgresql-updates"],
)
def test_a_thousand_writes_are_about_as_fast_as_with_the_best_width(
    curve: Curve, most_failures: float, ceiling: int
) -> None:
    servers = [Server(curve, seed) for seed in SEEDS]
    reached = [_run(_throughput_of_found(ceiling, server)) for server in servers]
    best = _best_fixed(curve, ceiling)
    failures = [server.failures for server in servers]
    print(f"{mean(reached):.1f}/s, worst {min(reached):.1f}, best fixed {best:.1f}; {failures}")
    assert mean(reached) >= 0.95 * best
    assert min(reached) >= 0.90 * best
    assert mean(failures) <= most_failures


@pytest.mark.parametrize(
    ("before", "after"), [(SQLITE, POSTGRESQL), (POSTGRESQL, SQLITE)], ids=["wider", "narrower"]
)
def test_a_server_that_changes_is_found_out(before: Curve, after: Curve) -> None:
    servers = [Server(before, seed) for seed in SEEDS]

    async def change(server: Server) -> float:
        gate = Found()
        await _throughput(gate, server, writes=2 * LONGEST_HOLD_WRITES)
        server.curve, server.failures = after, 0
        await _throughput(gate, server, writes=2 * LONGEST_HOLD_WRITES)
        return await _throughput(gate, server)

    reached = [_run(change(server)) for server in servers]
    best = _best_fixed(after, CEILING)
    print(f"{mean(reached):.1f}/s, worst {min(reached):.1f}, best fixed {best:.1f}")
    assert mean(reached) >= 0.97 * best
    assert max(server.failures for server in servers) <= 15


@in_virtual_time
async def test_a_server_that_becomes_slow_is_relieved_and_found_back() -> None:
    gate, server = Found(), Server(POSTGRESQL)
    await _throughput(gate, server)
    assert gate.width >= 3
    server.curve = Curve({1: 20, 2: 20, 4: 5, 8: 1})
    await _throughput(gate, server, writes=200)
    assert gate.width <= 2
    server.curve = POSTGRESQL
    assert await _throughput(gate, server) >= 0.9 * 91


# --- one after the other ------------------------------------------------------------------------


@in_virtual_time
async def test_it_begins_with_one_at_a_time() -> None:
    gate, server = Found(), Server(POSTGRESQL)
    await _throughput(gate, server, writes=10)
    assert server.most_in_flight == 1


@pytest.mark.parametrize("ceiling", [1, 2, 3])
@in_virtual_time
async def test_it_never_exceeds_its_ceiling(ceiling: int) -> None:
    gate, server = Found(ceiling), Server(POSTGRESQL)
    await _throughput(gate, server)
    assert server.most_in_flight == ceiling


@in_virtual_time
async def test_where_nobody_waits_nothing_is_learned() -> None:
    gate, server = Found(), Server(POSTGRESQL)
    for _ in range(500):
        await gate.write(server)
        assert gate.width == 1


@in_virtual_time
async def test_first_come_first_served() -> None:
    gate, server, served = Found(), Server(POSTGRESQL), list[int]()

    async def write(number: int) -> None:
        async with gate.place() as measure:
            served.append(number)
            await measure(server.write())
            # By now the width may have grown: that place is for who has waited longest.
            await asyncio.sleep(0.01)

    writes = []
    for number in range(600):
        writes.append(asyncio.create_task(write(number)))
        await asyncio.sleep(0.004)
    await asyncio.gather(*writes)
    assert served == list(range(600))
    assert gate.width > 1


@in_virtual_time
async def test_a_transient_failure_halves_the_width_once_however_many_fail_together() -> None:
    gate, server = Found(8), Server(Curve({1: 40, 8: 320}))
    await _throughput(gate, server)
    assert gate.width == 8
    server.curve = Curve({1: 40, 8: 320}, {1: 1.0})
    writes = [asyncio.create_task(gate.write(server)) for _ in range(8)]
    await asyncio.gather(*writes, return_exceptions=True)
    assert gate.width == 4


@pytest.mark.parametrize("error", [errors.Rejected("no"), errors.VersionConflict("late")])
@in_virtual_time
async def test_an_answer_about_the_write_itself_narrows_nothing(error: Exception) -> None:
    gate, server = Found(), Server(POSTGRESQL)
    await _throughput(gate, server)
    before = gate.width

    async def refuse() -> None:
        raise error

    for _ in range(20):
        with pytest.raises(type(error)):
            async with gate.place() as measure:
                await measure(refuse())
    assert gate.width == before > 1


# --- places are not lost ------------------------------------------------------------------------


@in_virtual_time
async def test_whoever_gives_up_waiting_leaves_the_others_their_places() -> None:
    gate, server, chance = Found(), Server(POSTGRESQL), random.Random(5)
    for _ in range(50):
        tasks = [asyncio.create_task(gate.write(server)) for _ in range(12)]
        await asyncio.sleep(chance.uniform(0, 0.2))
        for task in chance.sample(tasks, 6):
            task.cancel()
        async with asyncio.timeout(60):
            await asyncio.gather(*tasks, return_exceptions=True)
        assert server.in_flight == 0
    assert await _throughput(gate, server) >= 0.9 * 91


@in_virtual_time
async def test_whoever_is_cancelled_just_when_its_turn_has_come_passes_it_on() -> None:
    gate = Found(1)

    async def pass_through() -> None:
        async with gate.place():
            await asyncio.sleep(0)

    async with gate.place():
        second, third = (asyncio.create_task(pass_through()) for _ in range(2))
        await let_others_run()
    # It is the second's turn now, but it has not run yet.
    second.cancel()
    async with asyncio.timeout(1):
        await asyncio.gather(second, third, return_exceptions=True)
        await pass_through()
    assert second.cancelled()
    assert not third.cancelled()
