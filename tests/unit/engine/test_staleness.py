"""List and compare: readiness at the start, ghosts, and a watch that died in silence."""

import asyncio
from typing import Any

import pytest

from grafana_datasource_operator.api.names import DATA_SOURCE, ObjectKey
from grafana_datasource_operator.engine.engine import Engine
from grafana_datasource_operator.engine.staleness import (
    LONGEST_PERIOD_SECONDS,
    SHORTEST_PERIOD_SECONDS,
    TOLERATED_LAG_SECONDS,
    StalenessGuard,
    StaleViewError,
)
from grafana_datasource_operator.engine.view import View
from grafana_datasource_operator.kube.errors import KubeError, NotFoundError
from grafana_datasource_operator.kube.resources import Resources
from tests.unit.builders import raw_resource
from tests.unit.virtual_time import in_virtual_time, now

Json = dict[str, Any]


class Apiserver(Resources):
    """Objects by name; lists them, or fails."""

    def __init__(self) -> None:
        self.objects: dict[str, Json] = {}
        self.failing: KubeError | None = None
        self.hidden = set[str]()
        """Objects that lists do not show yet."""
        self.listed_at: list[float] = []

    async def list_metadata(self, namespace: str | None) -> list[Json]:
        self.listed_at.append(now())
        if self.failing is not None:
            raise self.failing
        everything = [self.objects[name]["metadata"] for name in self.objects.keys() - self.hidden]
        return [meta for meta in everything if namespace in (None, meta["namespace"])]

    async def get(self, namespace: str, name: str) -> Json | None:
        return self.objects.get(name)


class World:
    """A view, and the truth."""

    def __init__(self, *namespaces: str) -> None:
        self.engine = Engine(View(lambda _: []), lambda _: True)
        self.apiserver = Apiserver()
        self.guard = StalenessGuard(self.engine, DATA_SOURCE, self.apiserver, namespaces)

    def store(self, name: str, *, seen: bool = True, **arguments: Any) -> None:
        raw = raw_resource(name=name, **arguments)
        self.apiserver.objects[name] = raw
        if seen:
            self.engine.observe(raw)

    @property
    def viewed(self) -> list[str]:
        return sorted(key.name for key in self.engine.view)

    def close(self) -> None:
        for key in list(self.engine.view):
            raw = self.engine.view.get(key)
            assert raw is not None
            self.engine.observe(raw, deleted=True)
        self.engine.queue.close()


@pytest.fixture
def world() -> Any:
    world = World()
    yield world
    world.close()


async def _run_for(world: World, seconds: float) -> BaseException | None:
    """What ended the guard, if anything did."""
    task = asyncio.create_task(world.guard.run())
    await asyncio.wait({task}, timeout=seconds)
    if task.done():
        return task.exception()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return None


@in_virtual_time
async def test_an_empty_cluster_is_ready_as_soon_as_that_is_known(world: World) -> None:
    assert "was not seen yet" in world.guard.why_not_ready()
    await _run_for(world, 1)
    assert world.guard.why_not_ready() == ""


@in_virtual_time
async def test_ready_is_when_the_watch_has_delivered_what_a_list_holds(world: World) -> None:
    world.store("a")
    world.store("b", seen=False)
    await _run_for(world, 5)
    assert world.guard.why_not_ready() == "1 GrafanaDataSource not seen yet"
    world.engine.observe(world.apiserver.objects["b"])
    await _run_for(world, 5)
    assert world.guard.why_not_ready() == ""


@in_virtual_time
async def test_what_goes_before_it_was_seen_does_not_hold_up_readiness(world: World) -> None:
    world.store("a", seen=False)
    await _run_for(world, 1)
    world.apiserver.objects.clear()
    await _run_for(world, 5)
    assert world.guard.why_not_ready() == ""


@pytest.mark.parametrize(
    ("failing", "said"),
    [
        (NotFoundError("GET", 404), "kubectl apply -f crds/"),
        (KubeError("GET /apis", 403), "cannot be listed (GET /apis: HTTP 403)"),
    ],
)
@in_virtual_time
async def test_why_nothing_can_be_listed_is_said_until_it_can(
    world: World, failing: KubeError, said: str
) -> None:
    world.apiserver.failing = failing
    await _run_for(world, 10)
    assert said in world.guard.why_not_ready()
    world.apiserver.failing = None
    await _run_for(world, 10)
    assert world.guard.why_not_ready() == ""


@in_virtual_time
async def test_a_view_that_is_right_is_compared_every_few_minutes_for_ever(world: World) -> None:
    world.store("a")
    assert await _run_for(world, 24 * 3600) is None
    gaps = [
        later - earlier
        for earlier, later in zip(
            world.apiserver.listed_at[1:], world.apiserver.listed_at[2:], strict=False
        )
    ]
    assert all(SHORTEST_PERIOD_SECONDS <= gap <= LONGEST_PERIOD_SECONDS for gap in gaps)


@in_virtual_time
async def test_a_ghost_whose_deletion_was_not_delivered_goes(world: World) -> None:
    world.store("a")
    world.store("ghost")
    del world.apiserver.objects["ghost"]
    await world.guard.compare()
    assert world.viewed == ["a"]


@in_virtual_time
async def test_what_was_made_after_the_list_is_no_ghost(world: World) -> None:
    world.store("new")
    world.apiserver.hidden.add("new")
    await world.guard.compare()
    assert world.viewed == ["new"]


@in_virtual_time
async def test_a_watch_that_catches_up_in_time_is_fine(world: World) -> None:
    world.store("a", version=1)
    world.store("a", version=2, seen=False)
    loop = asyncio.get_running_loop()
    late = world.apiserver.objects["a"]
    loop.call_later(TOLERATED_LAG_SECONDS - 1, world.engine.observe, late)
    await world.guard.compare()
    assert world.viewed == ["a"]


@in_virtual_time
async def test_what_is_deleted_while_the_watch_is_behind_is_fine_too(world: World) -> None:
    world.store("a", seen=False)
    asyncio.get_running_loop().call_later(10, world.apiserver.objects.clear)
    await world.guard.compare()


@in_virtual_time
async def test_a_watch_that_stays_behind_ends_the_process(world: World) -> None:
    world.store("a", version=1)
    world.store("a", version=2, seen=False)
    with pytest.raises(StaleViewError, match="1 objects behind"):
        await world.guard.compare()


@in_virtual_time
async def test_a_list_that_fails_says_nothing_about_the_view(world: World) -> None:
    world.store("a")
    assert await _run_for(world, 10) is None
    world.apiserver.failing = KubeError("GET", 503)
    assert await _run_for(world, 24 * 3600) is None
    assert world.viewed == ["a"]


@in_virtual_time
async def test_only_the_watched_namespaces_are_compared() -> None:
    world = World("monitoring", "other")
    world.store("a")
    world.store("b", namespace="elsewhere", seen=False)
    await world.guard.compare()
    assert len(world.apiserver.listed_at) == 2
    assert world.viewed == ["a"]
    assert list(world.engine.view) == [ObjectKey(DATA_SOURCE.kind, "monitoring", "a")]
    world.close()
