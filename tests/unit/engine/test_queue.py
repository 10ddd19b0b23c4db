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
    LANE_WIDTH,
    LONGEST_BACKOFF_SECONDS,
    Priority,
    WorkQueue,
)
from tests.unit.virtual_time import in_virtual_time, let_others_run, now

USER, DEPENDENCY, RESYNC = Priority


@asynccontextmanager
async def a_queue(width: int = LANE_WIDTH) -> AsyncIterator[WorkQueue[str]]:
    queue = WorkQueue[str](lambda key: lane_of(key), width)
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


# --- lanes --------------------------------------------------------------------------------------


class Lanes:
    """A queue whose keys name their lane with their first letter, until they move."""

    def __init__(self, width: int = 2) -> None:
        self.moved: dict[str, str] = {}
        self.queue = WorkQueue[str](lambda key: self.moved.get(key, key[0]), width)

    async def take(self, *keys: str) -> None:
        """Workers get these, in this order, and no more."""
        for key in keys:
            assert await _next(self.queue) == key
        assert await _next(self.queue) is None


@in_virtual_time
async def test_a_full_lane_does_not_hold_up_the_others() -> None:
    lanes = Lanes()
    for key in ("a1", "a2", "a3", "a4", "b1", "c1"):
        lanes.queue.add(key, USER)
    await lanes.take("a1", "a2", "b1", "c1")
    assert len(lanes.queue) == 2


@in_virtual_time
async def test_who_waits_in_a_lane_goes_on_as_soon_as_there_is_room_and_in_order() -> None:
    lanes = Lanes()
    for key in ("a1", "a2", "a3", "a4", "a5"):
        lanes.queue.add(key, RESYNC)
    lanes.queue.add("a6", USER)
    await lanes.take("a6", "a1")
    lanes.queue.done("a6")
    await lanes.take("a2")
    lanes.queue.add("a7", USER)
    await lanes.take()
    lanes.queue.done("a1")
    await lanes.take("a7")
    lanes.queue.done("a2")
    lanes.queue.done("a7")
    await lanes.take("a3", "a4")


@in_virtual_time
async def test_a_lane_has_its_width_whoever_comes_and_goes() -> None:
    lanes = Lanes(width=3)
    running: list[str] = []
    for number in range(20):
        lanes.queue.add(f"a{number}", USER)
    while len(lanes.queue) or running:
        while (key := await _next(lanes.queue)) is not None:
            running.append(key)
        assert len(running) == min(3, len(running) + len(lanes.queue))
        lanes.queue.done(running.pop(0))
    assert lanes.queue._lanes == {}


@pytest.mark.parametrize("what", ["forget", "raise"])
@in_virtual_time
async def test_what_is_forgotten_or_raised_in_a_lane_blocks_nobody_behind_it(what: str) -> None:
    lanes = Lanes(width=1)
    for key in ("a1", "a2", "a3", "a4"):
        lanes.queue.add(key, RESYNC)
    await lanes.take("a1")
    if what == "forget":
        lanes.queue.forget("a2")
        lanes.queue.forget("a3")
        lanes.queue.done("a1")
        await lanes.take("a4")
    else:
        lanes.queue.add("a3", USER)
        lanes.queue.add("a4", DEPENDENCY)
        lanes.queue.done("a1")
        for key in ("a3", "a4", "a2"):
            await lanes.take(key)
            lanes.queue.done(key)
    assert len(lanes.queue) == 0


@in_virtual_time
async def test_what_is_forgotten_in_a_lane_and_wanted_again_goes_behind_the_others() -> None:
    lanes = Lanes(width=1)
    for key in ("a1", "a2", "a3"):
        lanes.queue.add(key, USER)
    await lanes.take("a1")
    lanes.queue.forget("a2")
    lanes.queue.add("a2", USER)
    lanes.queue.done("a1")
    await lanes.take("a3")
    lanes.queue.done("a3")
    await lanes.take("a2")


@in_virtual_time
async def test_a_key_that_moves_to_another_lane_waits_no_more_for_room_in_the_old_one() -> None:
    lanes = Lanes(width=1)
    for key in ("a1", "a2", "a3"):
        lanes.queue.add(key, USER)
    await lanes.take("a1")
    lanes.moved["a2"] = "b"
    lanes.queue.add("a2", USER)
    await lanes.take("a2")
    lanes.queue.done("a1")
    await lanes.take("a3")


@in_virtual_time
async def test_a_key_that_moved_without_a_word_leaves_its_room_to_the_next() -> None:
    lanes = Lanes(width=1)
    for key in ("a1", "a2", "a3"):
        lanes.queue.add(key, USER)
    await lanes.take("a1")
    lanes.moved["a2"] = "b"
    lanes.queue.done("a1")
    assert {await _next(lanes.queue), await _next(lanes.queue)} == {"a2", "a3"}
    assert await _next(lanes.queue) is None


@in_virtual_time
async def test_wanting_a_waiting_key_again_does_not_send_it_to_the_end() -> None:
    lanes = Lanes(width=1)
    for key in ("a1", "a2", "a3", "a2", "a2"):
        lanes.queue.add(key, USER)
    await lanes.take("a1")
    lanes.queue.add("a2", USER)
    lanes.queue.done("a1")
    await lanes.take("a2")


@in_virtual_time
async def test_a_lane_is_crowded_while_others_wait_for_room_in_it() -> None:
    lanes = Lanes(width=1)
    for key in ("a1", "b1"):
        lanes.queue.add(key, USER)
    await lanes.take("a1", "b1")
    assert not lanes.queue.is_crowded("a9")
    lanes.queue.add("a2", USER)
    await lanes.take()
    assert lanes.queue.is_crowded("a9")
    assert not lanes.queue.is_crowded("b9")
    assert not lanes.queue.is_crowded("c9")
    lanes.queue.forget("a2")
    assert not lanes.queue.is_crowded("a9")


# --- against a model ----------------------------------------------------------------------------


def lane_of(key: str) -> str:
    return "a" if key in "abc" else "d"


@dataclass
class Model:
    """What the queue promises, without its heap and timers."""

    wanted: dict[str, tuple[Priority, int]] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)
    timers: dict[str, tuple[float, Priority]] = field(default_factory=dict)
    clock: int = 0
    width: int = LANE_WIDTH

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

    def has_room(self, key: str) -> bool:
        return sum(lane_of(other) == lane_of(key) for other in self.running) < self.width

    def next(self) -> str | None:
        ready = [key for key in self.wanted if key not in self.running and self.has_room(key)]
        return min(ready, key=lambda key: self.wanted[key], default=None)

    def take(self, key: str) -> None:
        del self.wanted[key]
        self.running.add(key)

    def done(self, key: str) -> None:
        self.running.discard(key)
        if key in self.wanted:
            self.clock += 1
            self.wanted[key] = (self.wanted[key][0], self.clock)


_keys = st.sampled_from("abcde")
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


@settings(max_examples=300)
@given(st.lists(_operations, max_size=50), st.integers(1, 3))
def test_the_queue_does_what_its_model_does(
    operations: list[tuple[object, ...]], width: int
) -> None:
    _compare_with_model(operations, width)


@in_virtual_time
async def _compare_with_model(operations: list[tuple[object, ...]], width: int) -> None:
    model = Model(width=width)
    async with a_queue(width) as queue:
        for operation in operations:
            match operation:
                case ("add", str(key), Priority() as priority):
                    queue.add(key, priority)
                    model.add(key, priority)
                case ("add_after", str(key), int(delay), Priority() as priority):
                    # Never two timers at the same instant: their order is nobody's promise.
                    due = now() + delay + "abcde".index(key) / 10 + 0.1
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
