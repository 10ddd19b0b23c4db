"""One list per interval: what it shows otherwise is looked at."""

import asyncio
import json
from typing import Any

import httpx
from hypothesis import given

from grafana_datasource_operator.api.grafana_json import DataSourceState
from grafana_datasource_operator.api.names import FROM_SETTINGS, InstanceKey, ObjectKey
from grafana_datasource_operator.reconcile.resync import Resync, Sightings
from tests.strategies import grafana_states
from tests.unit.builders import state
from tests.unit.grafana.wire import answer
from tests.unit.reconcile.pretended_grafana import a_connection, running
from tests.unit.virtual_time import in_virtual_time, now

Json = dict[str, Any]

MAIN = InstanceKey("monitoring", "main")
A, B = (ObjectKey("GrafanaDataSource", "monitoring", name) for name in "ab")


def _held(name: str, **fields: Any) -> DataSourceState:
    return state(uid=name, name=name, **fields)


def _seen(*names: str) -> Sightings:
    sightings = Sightings()
    for key in (A, B):
        if key.name in names:
            sightings.note(MAIN, key, _held(key.name))
    return sightings


def test_what_looks_as_it_did_is_not_suspect() -> None:
    sightings = _seen("a", "b")
    assert sightings.compare(MAIN, [_held("b"), _held("a"), _held("foreign")]) == []


def test_what_looks_otherwise_or_is_not_there_is_suspect() -> None:
    sightings = _seen("a", "b")
    assert sightings.compare(MAIN, [_held("a", url="http://by-hand"), _held("b")]) == [A]
    assert sightings.compare(MAIN, [_held("a")]) == [B]
    assert sorted(sightings.compare(MAIN, [])) == [A, B]


def test_what_the_list_never_shows_is_not_suspect_for_that() -> None:
    sightings = Sightings()
    full = {
        "basicAuthUser": "me",
        "withCredentials": True,
        "secureJsonFields": {"token": True},
        "version": 7,
    }
    sightings.note(MAIN, A, _held("a", **full))
    lacking = _held("a", version=0)
    assert sightings.compare(MAIN, [lacking]) == []


@given(grafana_states())
def test_nothing_that_is_as_it_was_is_suspect(held: DataSourceState) -> None:
    sightings = Sightings()
    sightings.note(MAIN, A, held)
    shown = json.loads(held.model_dump_json(by_alias=True))
    for lacking in ("secureJsonFields", "version", "basicAuthUser", "withCredentials"):
        del shown[lacking]
    assert sightings.compare(MAIN, [DataSourceState.model_validate(shown)]) == []


def test_what_was_noted_last_counts() -> None:
    sightings = _seen("a")
    sightings.note(MAIN, A, _held("a", url="http://new"))
    assert sightings.compare(MAIN, [_held("a")]) == [A]
    assert sightings.compare(MAIN, [_held("a", url="http://new")]) == []


def test_each_instance_has_sightings_of_its_own() -> None:
    sightings = _seen("a")
    sightings.note(FROM_SETTINGS, A, _held("a", url="http://other"))
    assert sightings.compare(MAIN, [_held("a")]) == []
    assert sightings.compare(FROM_SETTINGS, [_held("a")]) == [A]


def test_what_is_forgotten_is_not_missed() -> None:
    sightings = _seen("a", "b")
    sightings.note(FROM_SETTINGS, A, _held("a"))
    sightings.forget(A, MAIN)
    assert sightings.compare(MAIN, []) == [B]
    assert sightings.compare(FROM_SETTINGS, []) == [A]
    sightings.forget(A)
    sightings.forget(B)
    assert sightings.compare(MAIN, []) == sightings.compare(FROM_SETTINGS, []) == []


def test_an_instance_that_is_gone_is_forgotten_whole() -> None:
    sightings = _seen("a")
    sightings.compare(MAIN, [_held("a")])
    sightings.forget_instance(MAIN)
    sightings.forget_instance(FROM_SETTINGS)
    assert not sightings.was_listed(MAIN, "a")
    assert sightings.compare(MAIN, []) == []


def test_what_the_last_list_showed_is_known() -> None:
    sightings = Sightings()
    assert not sightings.was_listed(MAIN, "a")
    sightings.compare(MAIN, [_held("a")])
    assert sightings.was_listed(MAIN, "a")
    assert not sightings.was_listed(FROM_SETTINGS, "a")
    sightings.compare(MAIN, [_held("b")])
    assert not sightings.was_listed(MAIN, "a")


class World:
    """A Grafana that is listed, and who was suspected when."""

    def __init__(self, interval: float) -> None:
        self.sightings = _seen("a")
        self.listed_at: list[float] = []
        self.suspected: list[ObjectKey] = []
        self.held = [_held("a")]
        self.failing = False
        self.resync = Resync(self.sightings, interval=interval, on_suspicion=self.suspected.append)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/org":
            return answer(200, {"id": 1})
        if request.url.path != "/api/datasources":
            return answer(404, {"message": "Not found"})
        self.listed_at.append(now())
        if self.failing:
            return answer(500, {"message": "locked"})
        return answer(200, [json.loads(one.model_dump_json(by_alias=True)) for one in self.held])

    async def run(self, seconds: float) -> None:
        async with running(a_connection(self._answer)) as grafana:
            task = asyncio.create_task(self.resync.run(MAIN, grafana))
            await asyncio.sleep(seconds)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@in_virtual_time
async def test_each_interval_has_one_list_and_those_in_doubt_are_told() -> None:
    world = World(100)
    await world.run(1000)
    assert 9 <= len(world.listed_at) <= 11
    assert world.suspected == []
    world.held = [_held("a", url="http://by-hand")]
    await world.run(101)
    assert world.suspected == [A]


@in_virtual_time
async def test_a_list_that_fails_is_followed_by_the_next() -> None:
    world = World(100)
    world.failing = True
    await world.run(250)
    assert world.suspected == []
    world.failing = False
    world.held = []
    await world.run(101)
    assert world.suspected == [A]


@in_virtual_time
async def test_an_interval_of_nothing_lists_never() -> None:
    world = World(0)
    await world.run(100_000)
    assert world.listed_at == []
