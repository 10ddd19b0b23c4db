"""The work queue: each key at most once, in order, with delays that grow."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grafana_datasource_operator.engine.queue import (
    FIRST_BACKOFF_SECONDS,
    LONGEST_BACKOFF_SECONDS,
    Priority,
    WorkQueue,
)
from tests.unit.virtual_time import in_virtual_time, let_others_run, now

USER, DEPENDENCY, RESYNC = Priority


@asynccontextmanager
async def a_queue() -> AsyncIterator[WorkQueue[str]]:
    queue = WorkQueue[str]()
    try:
        yield queue
    finally:
        queue.close()


async def _next(queue: WorkQueue[str]) -> str | None:
    """The key that a worker would get now, if any."""
    getting = asyncio.ensure_future(queue.get())
    await let_others_run(5)
    if getting.done():
        return getting.result()
    getting.cancel()
    await asyncio.gather(getting, return_exceptions=True)
    return None


async def _drain(queue: WorkQueue[str]) -> list[str]:
    keys = []
    while (key := await _next(queue)) is not None:
        keys.append(key)
        queue.done(key)
    return keys


# --- order --------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_key_that_is_wanted_often_is_looked_at_once() -> None:
    async with a_queue() as queue:
        for _ in range(5):
            queue.add("a", USER)
        assert len(queue) == 1
        assert await _drain(queue) == ["a"]
        assert len(queue) == 0


@in_virtual_time
async def test_users_go_before_dependencies_and_these_before_resyncs() -> None:
    async with a_queue() as queue:
        for key, priority in [("r", RESYNC), ("d", DEPENDENCY), ("u", USER), ("v", USER)]:
            queue.add(key, priority)
        assert await _drain(queue) == ["u", "v", "d", "r"]


@in_virtual_time
async def test_within_one_priority_the_first_comes_first() -> None:
    async with a_queue() as queue:
        keys = [f"{number:03d}" for number in range(100)]
        for key in reversed(keys):
            queue.add(key, RESYNC)
        assert await _drain(queue) == keys[::-1]


@in_virtual_time
async def test_a_waiting_key_rises_and_never_falls() -> None:
    async with a_queue() as queue:
        for key in ("a", "b", "c"):
            queue.add(key, RESYNC)
        queue.add("c", USER)
        queue.add("c", RESYNC)
        assert len(queue) == 3
        assert await _drain(queue) == ["c", "a", "b"]


@in_virtual_time
async def test_a_key_that_rose_once_waits_its_turn_the_next_time() -> None:
    async with a_queue() as queue:
        queue.add("a", RESYNC)
        queue.add("a", USER)
        assert await _next(queue) == "a"
        queue.done("a")
        queue.add("b", RESYNC)
        queue.add("a", RESYNC)
        assert await _drain(queue) == ["b", "a"]


@in_virtual_time
async def test_a_worker_that_waits_gets_what_comes() -> None:
    async with a_queue() as queue:
        workers = [asyncio.ensure_future(queue.get()) for _ in range(3)]
        await let_others_run()
        for key in ("a", "b", "c"):
            queue.add(key, USER)
        assert sorted(await asyncio.gather(*workers)) == ["a", "b", "c"]


@in_virtual_time
async def test_a_worker_that_stops_waiting_takes_nothing_with_it() -> None:
    async with a_queue() as queue:
        getting = asyncio.ensure_future(queue.get())
        await let_others_run()
        queue.add("a", USER)
        getting.cancel()
        await asyncio.gather(getting, return_exceptions=True)
        assert await _drain(queue) == ["a"]


# --- one look at a time -------------------------------------------------------------------------


@in_virtual_time
async def test_a_key_is_never_looked_at_twice_at_the_same_time() -> None:
    async with a_queue() as queue:
        queue.add("a", USER)
        assert await _next(queue) == "a"
        queue.add("a", USER)
        assert await _next(queue) is None
        queue.done("a")
        assert await _next(queue) == "a"


@in_virtual_time
async def test_what_was_wanted_during_a_look_leads_to_exactly_one_more() -> None:
    async with a_queue() as queue:
        queue.add("a", USER)
        assert await _next(queue) == "a"
        for priority in (RESYNC, USER, DEPENDENCY):
            queue.add("a", priority)
        queue.add("b", DEPENDENCY)
        queue.done("a")
        assert await _drain(queue) == ["a", "b"]


@in_virtual_time
async def test_a_look_that_nobody_wanted_again_is_over() -> None:
    async with a_queue() as queue:
        queue.add("a", USER)
        assert await _drain(queue) == ["a"]
        await asyncio.sleep(3600)
        assert await _next(queue) is None


# --- later --------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_delayed_key_comes_in_its_time() -> None:
    async with a_queue() as queue:
        queue.add_after("a", 10, RESYNC)
        assert len(queue) == 0
        await asyncio.sleep(9.9)
        assert await _next(queue) is None
        await asyncio.sleep(0.2)
        assert await _drain(queue) == ["a"]


@pytest.mark.parametrize(("first", "second"), [(10, 5), (5, 10), (5, 5)])
@in_virtual_time
async def test_of_two_delays_the_earlier_one_counts(first: float, second: float) -> None:
    async with a_queue() as queue:
        queue.add_after("a", first, RESYNC)
        queue.add_after("a", second, RESYNC)
        assert await queue.get() == "a"
        assert now() == 5
        queue.done("a")
        await asyncio.sleep(60)
        assert await _next(queue) is None


@in_virtual_time
async def test_wanting_a_key_now_cuts_its_delay_short() -> None:
    async with a_queue() as queue:
        queue.add("a", USER)
        await _next(queue)
        queue.back_off("a", DEPENDENCY)
        queue.done("a")
        queue.add("a", USER)
        assert await _drain(queue) == ["a"]
        await asyncio.sleep(3600)
        assert await _next(queue) is None


@in_virtual_time
async def test_a_key_that_waits_for_a_worker_needs_no_delay() -> None:
    async with a_queue() as queue:
        queue.add("a", USER)
        queue.add_after("a", 10, RESYNC)
        assert await _drain(queue) == ["a"]
        await asyncio.sleep(60)
        assert await _next(queue) is None


@in_virtual_time
async def test_a_delay_that_ends_during_a_look_leads_to_another_look() -> None:
    async with a_queue() as queue:
        queue.add("a", USER)
        assert await _next(queue) == "a"
        queue.add_after("a", 1, RESYNC)
        await asyncio.sleep(2)
        assert await _next(queue) is None
        queue.done("a")
        assert await _drain(queue) == ["a"]


@in_virtual_time
async def test_a_closed_queue_has_no_timers_left() -> None:
    queue = WorkQueue[str]()
    queue.add_after("a", 10, RESYNC)
    queue.back_off("b", RESYNC)
    queue.close()
    await asyncio.sleep(3600)
    assert await _next(queue) is None


# --- backoff ------------------------------------------------------------------------------------


@in_virtual_time
async def test_delays_double_up_to_a_limit_give_or_take_a_fifth() -> None:
    async with a_queue() as queue:
        for number in range(60):
            delay = queue.back_off("a", DEPENDENCY)
            ideal = min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2**number)
            assert 0.8 * ideal <= delay <= 1.2 * ideal
            started = now()
            assert await queue.get() == "a"
            assert now() - started == pytest.approx(delay)
            queue.done("a")


@in_virtual_time
async def test_keys_that_fail_together_do_not_come_back_together() -> None:
    async with a_queue() as queue:
        delays = {queue.back_off(f"{number}", DEPENDENCY) for number in range(50)}
        assert len(delays) > 40
        assert max(delays) - min(delays) > 0.05


@in_virtual_time
async def test_each_key_has_failures_of_its_own_and_success_forgives_them() -> None:
    async with a_queue() as queue:
        for _ in range(10):
            queue.back_off("a", DEPENDENCY)
        assert queue.back_off("b", DEPENDENCY) <= 0.6
        queue.reset_backoff("a")
        assert queue.back_off("a", DEPENDENCY) <= 0.6
        queue.reset_backoff("never failed")


# --- forgetting ---------------------------------------------------------------------------------


def _want_now(queue: WorkQueue[str]) -> None:
    queue.add("a", USER)


def _want_later(queue: WorkQueue[str]) -> None:
    queue.add_after("a", 1, USER)


def _fail(queue: WorkQueue[str]) -> None:
    queue.back_off("a", USER)


@pytest.mark.parametrize("want", [_want_now, _want_later, _fail])
@in_virtual_time
async def test_a_forgotten_key_does_not_come(want: Callable[[WorkQueue[str]], None]) -> None:
    async with a_queue() as queue:
        want(queue)
        queue.forget("a")
        assert len(queue) == 0
        await asyncio.sleep(60)
        assert await _next(queue) is None


@in_virtual_time
async def test_a_key_that_is_forgotten_during_its_look_comes_back_only_when_wanted() -> None:
    async with a_queue() as queue:
        queue.add("a", USER)
        await _next(queue)
        queue.add("a", USER)
        queue.forget("a")
        queue.done("a")
        assert await _next(queue) is None
        queue.add("a", USER)
        assert await _drain(queue) == ["a"]


@in_virtual_time
async def test_a_forgotten_key_has_no_failures_left() -> None:
    async with a_queue() as queue:
        for _ in range(10):
            queue.back_off("a", USER)
        queue.forget("a")
        assert queue.back_off("a", USER) <= 0.6


# --- against a model ----------------------------------------------------------------------------


@dataclass
class Model:
    """What the queue promises, without its heap and timers."""

    wanted: dict[str, tuple[Priority, int]] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)
    timers: dict[str, tuple[float, Priority]] = field(default_factory=dict)
    clock: int = 0

    def add(self, key: str, priority: Priority) -> None:
        self.timers.pop(key, None)
        self.clock += 1
        if key not in self.wanted or priority < self.wanted[key][0]:
            self.wanted[key] = (priority, self.clock)

    def add_after(self, key: str, due: float, priority: Priority) -> None:
        if key not in self.wanted and self.timers.get(key, (due + 1, USER))[0] > due:
            self.timers[key] = (due, priority)

    def forget(self, key: str) -> None:
        self.timers.pop(key, None)
        self.wanted.pop(key, None)

    def pass_to(self, time: float) -> None:
        for key, (due, priority) in sorted(self.timers.items(), key=lambda item: item[1][0]):
            if due <= time:
                self.add(key, priority)

    def next(self) -> str | None:
        ready = [key for key in self.wanted if key not in self.running]
        return min(ready, key=lambda key: self.wanted[key], default=None)

    def take(self, key: str) -> None:
        del self.wanted[key]
        self.running.add(key)

    def done(self, key: str) -> None:
        self.running.discard(key)
        if key in self.wanted:
            self.clock += 1
            self.wanted[key] = (self.wanted[key][0], self.clock)


_keys = st.sampled_from("abc")
_priorities = st.sampled_from(Priority)
_operations = st.one_of(
    st.tuples(st.just("add"), _keys, _priorities),
    st.tuples(st.just("add_after"), _keys, st.integers(1, 9), _priorities),
    st.tuples(st.just("forget"), _keys),
    st.tuples(st.just("get")),
    st.tuples(st.just("get")),
    st.tuples(st.just("done"), _keys),
    st.tuples(st.just("wait"), st.integers(1, 5)),
)


@settings(max_examples=150)
@given(st.lists(_operations, max_size=40))
def test_the_queue_does_what_its_model_does(operations: list[tuple[object, ...]]) -> None:
    _compare_with_model(operations)


@in_virtual_time
async def _compare_with_model(operations: list[tuple[object, ...]]) -> None:
    model = Model()
    async with a_queue() as queue:
        for operation in operations:
            match operation:
                case ("add", str(key), Priority() as priority):
                    queue.add(key, priority)
                    model.add(key, priority)
                case ("add_after", str(key), int(delay), Priority() as priority):
                    # Never two timers at the same instant: their order is nobody's promise.
                    due = now() + delay + {"a": 0.1, "b": 0.2, "c": 0.3}[key]
                    queue.add_after(key, due - now(), priority)
                    model.add_after(key, due, priority)
                case ("forget", str(key)):
                    queue.forget(key)
                    model.forget(key)
                case ("get",):
                    expected = model.next()
                    assert await _next(queue) == expected
                    if expected is not None:
                        model.take(expected)
                case ("done", str(key)) if key in model.running:
                    queue.done(key)
                    model.done(key)
                case ("wait", int(seconds)):
                    await asyncio.sleep(seconds)
                    model.pass_to(now())
            assert len(queue) == len(model.wanted)
