"""Workers: side by side, never two at one resource, and none that one resource can stop."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from prometheus_client import REGISTRY

from grafana_datasource_operator.api.names import ObjectKey
from grafana_datasource_operator.engine.engine import Engine
from grafana_datasource_operator.engine.queue import LANE_WIDTH
from grafana_datasource_operator.engine.view import View
from grafana_datasource_operator.engine.workers import BUSY_SECONDS, SLOW_SECONDS, Workers
from grafana_datasource_operator.kube.errors import ConflictError, KubeError, NotFoundError
from grafana_datasource_operator.kube.events import EventPoster
from grafana_datasource_operator.kube.resources import Resources
from grafana_datasource_operator.reconcile.verdict import Again, CheckUp, Verdict
from grafana_datasource_operator.status.events import Event
from tests.unit.builders import raw_resource
from tests.unit.kube.pretended import PretendedApi
from tests.unit.virtual_time import in_virtual_time, let_others_run, now

Json = dict[str, Any]
Look = Callable[[str], Awaitable[Verdict]]
Check = Callable[[str], Awaitable[CheckUp]]

KIND = "Worked"
DONE = Verdict("Unchanged", Again())


def _lane_of(raw: Json) -> Any:
    return raw["spec"].get("lane")


class Store(Resources):
    """Objects by name; a status is patched as the apiserver does it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.objects: dict[str, Json] = {}
        self.failing: KubeError | None = None
        self.seconds_per_patch = 0.0
        self.statuses: list[tuple[str, Json]] = []

    async def get(self, namespace: str, name: str) -> Json | None:
        if self.failing is not None:
            raise self.failing
        return self.objects.get(name)

    async def patch_status(self, raw: Json, status: Json) -> Json:
        name = raw["metadata"]["name"]
        self.statuses.append((name, status))
        if self.seconds_per_patch:
            await asyncio.sleep(self.seconds_per_patch)
        held = self.objects[name]
        version = str(int(held["metadata"]["resourceVersion"]) + 1)
        metadata = {**held["metadata"], "resourceVersion": version}
        gone = raw.get("status", {}).keys() - status.keys()
        merged = {**held.get("status", {}), **status}
        kept = {key: value for key, value in merged.items() if key not in gone}
        self.objects[name] = {**held, "metadata": metadata, "status": kept}
        self._engine.remember(self.objects[name])
        return self.objects[name]


class World:
    """Workers whose looks are one function."""

    def __init__(self, look: Look, delayed: Verdict | None = None) -> None:
        self._look = look
        self._delayed = delayed
        self.checking: Check | None = None
        self.checks: list[tuple[float, str]] = []
        self.looks: list[tuple[float, str]] = []
        self.engine = Engine(View(lambda _: []), lambda _: False, _lane_of)
        self.store = Store(self.engine)
        api = PretendedApi(lambda sent: sent.body or {})
        self.events = EventPoster(api, lambda: "2026-01-02T03:04:05Z")
        self.workers = Workers(
            self.engine, {KIND: self}, {KIND: self.store}, self.events, {KIND: self}
        )
        self.run = asyncio.create_task(self.workers.run())

    async def look(self, raw: Json) -> Verdict:
        name = raw["metadata"]["name"]
        self.looks.append((now(), name))
        return await self._look(name)

    async def check(self, raw: Json) -> CheckUp:
        name = raw["metadata"]["name"]
        self.checks.append((now(), name))
        assert self.checking is not None
        return await self.checking(name)

    def describe_delay(self, _: Json) -> Verdict | None:
        return self._delayed

    def add(self, name: str, **arguments: Any) -> Json:
        raw = raw_resource(kind=KIND, name=name, **arguments)
        self.store.objects[name] = raw
        self.engine.observe(raw)
        return raw

    async def close(self) -> None:
        self.workers.stop()
        await self.run
        for key in list(self.engine.view):
            raw = self.engine.view.get(key)
            assert raw is not None
            self.engine.observe(raw, deleted=True)
        self.engine.queue.close()
        self.engine.checks.close()


def _answering(verdict: Verdict) -> Look:
    async def look(_: str) -> Verdict:
        return verdict

    return look


def _failing(error: Exception) -> Look:
    async def look(name: str) -> Verdict:
        if name == "bad":
            raise error
        return DONE

    return look


@in_virtual_time
async def test_looks_run_side_by_side_up_to_the_width_of_a_lane() -> None:
    gate = asyncio.Event()

    async def wait(_: str) -> Verdict:
        await gate.wait()
        return DONE

    world = World(wait)
    for number in range(LANE_WIDTH + 5):
        world.add(f"ds-{number:02d}")
    await let_others_run(200)
    assert len(world.looks) == LANE_WIDTH
    gate.set()
    await asyncio.sleep(1)
    assert len(world.looks) == LANE_WIDTH + 5
    await world.close()


@in_virtual_time
async def test_one_resource_is_never_looked_at_twice_at_a_time() -> None:
    gate = asyncio.Event()

    async def wait(_: str) -> Verdict:
        await gate.wait()
        return DONE

    world = World(wait)
    world.add("a")
    await let_others_run()
    for version in range(2, 10):
        world.add("a", version=version, generation=version)
        await let_others_run()
    assert len(world.looks) == 1
    gate.set()
    await asyncio.sleep(1)
    assert len(world.looks) == 2
    await world.close()


@in_virtual_time
async def test_stopping_finishes_what_was_begun_and_begins_nothing() -> None:
    async def take_long(_: str) -> Verdict:
        await asyncio.sleep(3)
        return Verdict("Created", Again(), status={"observedGeneration": 1})

    world = World(take_long)
    world.add("a")
    await asyncio.sleep(1)
    world.workers.stop()
    await let_others_run()
    world.add("b")
    await world.run
    assert now() == 3
    assert [name for _, name in world.looks] == ["a"]
    assert world.store.statuses == [("a", {"observedGeneration": 1})]
    await world.close()


@in_virtual_time
async def test_a_status_is_stored_only_where_it_differs() -> None:
    status = {"observedGeneration": 1}
    world = World(_answering(Verdict("Unchanged", Again(), status=status)))
    world.add("same", status=status)
    world.add("other", status={"observedGeneration": 0})
    await asyncio.sleep(1)
    assert world.store.statuses == [("other", status)]
    await world.close()


@in_virtual_time
async def test_events_are_posted_about_the_resource() -> None:
    world = World(_answering(Verdict("Created", Again(), events=[Event("Normal", "Created", "x")])))
    world.add("a")
    await asyncio.sleep(1)
    event = world.events._waiting.get_nowait()
    assert (event["involvedObject"]["name"], event["reason"]) == ("a", "Created")
    await world.close()


@pytest.mark.parametrize(
    ("again", "times"),
    [
        (Again(), [0]),
        (Again(after=100), [0, 100, 200]),
        (Again(on_recovery=frozenset({"main"})), [0]),
    ],
)
@in_virtual_time
async def test_a_verdict_says_when_to_look_again(again: Again, times: list[float]) -> None:
    world = World(_answering(Verdict("Unchanged", again)))
    world.add("a")
    await asyncio.sleep(250)
    assert [at for at, _ in world.looks] == times
    await world.close()


@in_virtual_time
async def test_looks_that_back_off_become_rare_until_something_changes() -> None:
    world = World(_answering(Verdict("GrafanaError", Again(backoff=True))))
    world.add("a")
    await asyncio.sleep(3600)
    assert 15 <= len(world.looks) <= 30
    looks = len(world.looks)
    world.add("a", version=2, generation=2)
    await asyncio.sleep(10)
    assert len(world.looks) - looks >= 4
    await world.close()


@in_virtual_time
async def test_recovery_brings_those_back_who_wait_for_it() -> None:
    world = World(
        _answering(Verdict("GrafanaError", Again(backoff=True, on_recovery=frozenset({"main"}))))
    )
    world.add("a")
    await asyncio.sleep(3000)
    looks = len(world.looks)
    world.engine.recover("other")
    await asyncio.sleep(0.1)
    assert len(world.looks) == looks
    world.engine.recover("main")
    await asyncio.sleep(0.1)
    assert len(world.looks) == looks + 1
    await world.close()


@pytest.mark.parametrize("error", [LookupError("quotes secret-value-1"), KubeError("GET", 503)])
@in_virtual_time
async def test_a_resource_whose_look_fails_is_tried_again_and_stops_no_other(
    error: Exception,
) -> None:
    world = World(_failing(error))
    for name in ("bad", "good", "better"):
        world.add(name)
    await asyncio.sleep(100)
    names = [name for _, name in world.looks]
    assert 5 <= names.count("bad") <= 12
    assert (names.count("good"), names.count("better")) == (1, 1)
    assert not world.run.done()
    await world.close()


def test_of_an_error_that_nobody_foresaw_only_kind_and_place_are_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @in_virtual_time
    async def fail_once() -> None:
        world = World(_failing(LookupError("quotes secret-value-1")))
        world.add("bad")
        await asyncio.sleep(0.1)
        await world.close()

    with caplog.at_level(logging.DEBUG):
        fail_once()
    assert "unforeseen LookupError at look:" in caplog.text
    assert "Worked monitoring/bad" in caplog.text
    assert "secret-value-1" not in caplog.text


@pytest.mark.parametrize("error", [ConflictError("PATCH", 409), NotFoundError("PATCH", 404)])
@in_virtual_time
async def test_a_look_at_what_has_changed_meanwhile_begins_anew_with_the_present_object(
    error: KubeError,
) -> None:
    failing = [error]

    async def conflict_once(_: str) -> Verdict:
        if failing:
            raise failing.pop()
        return DONE

    world = World(conflict_once)
    world.add("a")
    world.store.objects["a"] = raw_resource(kind=KIND, name="a", version=9)
    await asyncio.sleep(5)
    seen = world.engine.view.get(ObjectKey(KIND, "monitoring", "a"))
    assert seen is not None
    assert seen["metadata"]["resourceVersion"] == "9"
    first, second = (at for at, _ in world.looks)
    assert 0.4 <= second - first <= 0.6
    await world.close()


@in_virtual_time
async def test_an_apiserver_that_goes_away_in_the_middle_is_asked_again() -> None:
    world = World(_failing(ConflictError("PATCH", 409)))
    world.store.failing = KubeError("GET", 0)
    world.add("bad")
    await asyncio.sleep(100)
    assert 5 <= len(world.looks) <= 12
    await world.close()


@in_virtual_time
async def test_a_look_at_what_is_gone_meanwhile_ends_there() -> None:
    world = World(_failing(NotFoundError("PATCH", 404)))
    world.add("bad")
    world.store.objects.clear()
    await asyncio.sleep(60)
    assert len(world.looks) == 1
    assert list(world.engine.view) == []
    await world.close()


@pytest.mark.parametrize(("seconds", "told"), [(SLOW_SECONDS - 1, 0), (SLOW_SECONDS + 1, 1)])
@in_virtual_time
async def test_a_look_that_takes_long_is_told_where_that_helps(seconds: float, told: int) -> None:
    async def take(_: str) -> Verdict:
        await asyncio.sleep(seconds)
        return DONE

    status = {"observedGeneration": 1, "note": "takes long"}
    events = [Event("Normal", "Deleting", "takes long")]
    world = World(take, Verdict("Deleting", Again(), status=status, events=events))
    world.add("a")
    await asyncio.sleep(20)
    assert world.store.statuses == [("a", status)] * told
    assert world.events._waiting.qsize() == told
    await world.close()


@in_virtual_time
async def test_looks_are_counted_by_what_they_came_to() -> None:
    def counted(result: str) -> float:
        labels = {"kind": KIND, "result": result}
        return REGISTRY.get_sample_value("gdso_reconcile_total", labels) or 0

    before = {result: counted(result) for result in ("Unchanged", "Failed")}
    world = World(_failing(LookupError()))
    world.add("good")
    world.add("bad")
    await asyncio.sleep(0.1)
    assert {result: counted(result) - before[result] for result in before} == {
        "Unchanged": 1,
        "Failed": 1,
    }
    await world.close()


# --- lanes --------------------------------------------------------------------------------------


@in_virtual_time
async def test_looks_that_hang_in_one_lane_hold_up_no_other() -> None:
    async def hang(name: str) -> Verdict:
        if name.startswith("slow"):
            await asyncio.sleep(1000)
        return DONE

    world = World(hang)
    for number in range(3 * LANE_WIDTH):
        world.add(f"slow-{number}", spec={"lane": "slow"})
    for number in range(50):
        world.add(f"quick-{number}", spec={"lane": "quick"})
    await asyncio.sleep(1)
    names = [name for _, name in world.looks]
    assert sum(name.startswith("quick") for name in names) == 50
    assert len(names) == 50 + LANE_WIDTH
    await world.close()


# --- checks -------------------------------------------------------------------------------------

_NAMED = {"namespace": "-", "name": "default"}


def _with_health(word: str) -> Callable[[Json], Json]:
    """What a check makes of a status: health beside all that is there."""

    def update(status: Json) -> Json:
        healthy = {"type": "Healthy", "status": "True", "message": word}
        others = [c for c in status.get("conditions", []) if c["type"] != "Healthy"]
        instances = [{**one, "health": word} for one in status.get("instances", [])]
        return {**status, "conditions": [*others, healthy], "instances": instances}

    return update


def _status(ready: str, **more: Any) -> Json:
    return {
        "observedGeneration": 1,
        "conditions": [{"type": "Ready", "status": "True", "message": ready}],
        "instances": [{**_NAMED, "message": ready, **more}],
    }


@in_virtual_time
async def test_a_check_comes_when_the_look_says_and_again_when_the_check_says() -> None:
    async def look(_: str) -> Verdict:
        return Verdict("Unchanged", Again(), check_after=6)

    async def check(_: str) -> CheckUp:
        return CheckUp(lambda status: status, 10)

    world = World(look)
    world.checking = check
    world.add("a")
    await asyncio.sleep(40)
    assert [at for at, _ in world.checks] == [6, 16, 26, 36]
    assert world.store.statuses == []
    await world.close()


@in_virtual_time
async def test_a_check_that_is_the_last_one_is_the_last_one() -> None:
    async def look(_: str) -> Verdict:
        return Verdict("Unchanged", Again(), check_after=6)

    async def check(_: str) -> CheckUp:
        return CheckUp(_with_health("OK"), None)

    world = World(look)
    world.checking = check
    world.add("a", status=_status("fine"))
    await asyncio.sleep(1000)
    assert [at for at, _ in world.checks] == [6]
    assert world.store.statuses == [("a", _with_health("OK")(_status("fine")))]
    await world.close()


@pytest.mark.parametrize("first", ["look", "check"])
@pytest.mark.parametrize("seconds_per_patch", [0.0, 0.5])
@in_virtual_time
async def test_a_check_and_a_look_that_end_at_a_time_lose_nothing_of_each_other(
    first: str, seconds_per_patch: float
) -> None:
    looks = 0

    async def look(_: str) -> Verdict:
        nonlocal looks
        looks += 1
        if looks == 1:
            return Verdict("Created", Again(after=5), _status("old"), check_after=5)
        # Its view of health is that of before the check.
        await asyncio.sleep(0.9 if first == "look" else 1.1)
        return Verdict("Updated", Again(), _status("new", health="stale"))

    async def check(_: str) -> CheckUp:
        await asyncio.sleep(1)
        return CheckUp(_with_health("OK"), None)

    world = World(look)
    world.checking = check
    world.store.seconds_per_patch = seconds_per_patch
    world.add("a")
    await asyncio.sleep(30)
    status = world.store.objects["a"]["status"]
    assert {c["type"]: c["message"] for c in status["conditions"]} == {
        "Ready": "new",
        "Healthy": "OK",
    }
    assert status["instances"] == [{**_NAMED, "message": "new", "health": "OK"}]
    await world.close()


@in_virtual_time
async def test_a_check_waits_while_looks_wait_in_its_lane_and_not_for_those_of_others() -> None:
    gate = asyncio.Event()

    async def wait(name: str) -> Verdict:
        if name.startswith("slow"):
            await gate.wait()
        return Verdict("Unchanged", Again(), check_after=3)

    async def check(_: str) -> CheckUp:
        return CheckUp(lambda status: status, None)

    world = World(wait)
    world.checking = check
    world.add("mine", spec={"lane": "slow"})
    world.add("other", spec={"lane": "quick"})
    await asyncio.sleep(1)
    for number in range(LANE_WIDTH + 1):
        world.add(f"slow-{number}", spec={"lane": "slow"})
    await asyncio.sleep(20)
    assert [name for _, name in world.checks] == ["other"]
    gate.set()
    await asyncio.sleep(BUSY_SECONDS + 0.1)
    assert [name for _, name in world.checks] == ["other", "mine"]
    await world.close()


@pytest.mark.parametrize("error", [LookupError("quotes secret-value-1"), KubeError("GET", 503)])
def test_a_check_that_fails_is_tried_again_stops_no_other_and_quotes_nothing(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    @in_virtual_time
    async def fail() -> None:
        async def look(_: str) -> Verdict:
            return Verdict("Unchanged", Again(), check_after=1)

        async def check(name: str) -> CheckUp:
            if name == "bad":
                raise error
            return CheckUp(lambda status: status, None)

        world = World(look)
        world.checking = check
        for name in ("bad", "good"):
            world.add(name)
        await asyncio.sleep(100)
        names = [name for _, name in world.checks]
        assert 5 <= names.count("bad") <= 12
        assert names.count("good") == 1
        assert not world.run.done()
        await world.close()

    with caplog.at_level(logging.DEBUG):
        fail()
    assert "Could not check Worked monitoring/bad" in caplog.text
    assert "secret-value-1" not in caplog.text


@in_virtual_time
async def test_a_look_that_says_nothing_of_checks_leaves_them_as_planned() -> None:
    async def look(_: str) -> Verdict:
        planned = 10.0 if len(world.looks) == 1 else None
        return Verdict("Unchanged", Again(after=3), check_after=planned)

    async def check(_: str) -> CheckUp:
        return CheckUp(lambda status: status, None)

    world = World(look)
    world.checking = check
    world.add("a")
    await asyncio.sleep(60)
    assert [at for at, _ in world.checks] == [10]
    await world.close()


@in_virtual_time
async def test_what_a_status_told_meanwhile_is_taken_back_by_the_end_of_the_look() -> None:
    async def take_long(_: str) -> Verdict:
        await asyncio.sleep(SLOW_SECONDS + 1)
        return Verdict("Unchanged", Again(), {"observedGeneration": 2})

    world = World(take_long, Verdict("Deleting", Again(), {"observedGeneration": 1, "uid": "u"}))
    world.add("a")
    await asyncio.sleep(20)
    assert len(world.store.statuses) == 2
    assert world.store.objects["a"]["status"] == {"observedGeneration": 2}
    await world.close()
