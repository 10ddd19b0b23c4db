"""Names that are taken: told, waited for, or passed round in a circle."""

import json
from typing import Any

import httpx
import pytest

from grafana_datasource_operator.api.names import OWNER_KEY
from grafana_datasource_operator.api.reasons import Reason
from grafana_datasource_operator.errors import STALLED_RECHECK_SECONDS, ReconcileError
from grafana_datasource_operator.payload.datasource import parked_name
from grafana_datasource_operator.reconcile.display_names import SOON_SECONDS, DisplayNames
from tests.unit.builders import SPEC, desired_of, resource, state
from tests.unit.grafana.wire import answer
from tests.unit.reconcile.pretended_grafana import a_connection, running
from tests.unit.reconcile.pretended_peers import PretendedPeers
from tests.unit.virtual_time import in_virtual_time

Json = dict[str, Any]


class World:
    """Data sources by uid (also the name of their resource): name held, and name wanted."""

    def __init__(self, limit: int | None = None, **names: tuple[str, str | None]) -> None:
        self._limit = limit
        self.held = {
            uid: state(
                uid=uid,
                name=held,
                jsonData={OWNER_KEY: f"owner-1/monitoring/{uid}"} if wanted else {},
            )
            for uid, (held, wanted) in names.items()
        }
        self.resources = {
            uid: resource(name=uid, spec={**SPEC, "uid": uid, "name": wanted})
            for uid, (_, wanted) in names.items()
            if wanted
        }

    def _answer(self, request: httpx.Request) -> httpx.Response:
        shown = [json.loads(one.model_dump_json(by_alias=True)) for one in self.held.values()]
        if request.url.path == "/api/org":
            return answer(200, {"id": 1})
        if request.url.path == "/api/datasources":
            return answer(200, shown[: self._limit])
        name = request.url.path.rpartition("/")[2]
        found = [one for one in shown if one["name"] == name]
        return answer(200, found[0]) if found else answer(404, {"message": "Data source not found"})

    async def resolve(self, uid: str, name: str | None = None) -> str | ReconcileError | None:
        """The way out for a data source of ours; one that is not held is to be created."""
        wanted = self.resources.get(uid)
        desired = desired_of(uid=uid, name=name or (wanted.spec.name if wanted else None))
        names = DisplayNames(PretendedPeers(*self.resources.values()), frozenset({"owner-1"}))
        async with running(a_connection(self._answer)) as grafana:
            return await names.resolve(desired, self.held.get(uid), grafana)


def _told(found: str | ReconcileError | None) -> tuple[Reason, float | None]:
    assert isinstance(found, ReconcileError)
    return found.reason, found.retry_after


WAITS = (Reason.NAME_CONFLICT, SOON_SECONDS)
CONFLICT = (Reason.NAME_CONFLICT, STALLED_RECHECK_SECONDS)


@in_virtual_time
async def test_a_name_that_is_free_by_now_needs_no_way_out() -> None:
    world = World(a=("A", "B"), b=("X", "X"))
    assert await world.resolve("a") is None


@in_virtual_time
async def test_a_name_that_we_hold_ourselves_is_free() -> None:
    world = World(a=("A", "A"))
    assert await world.resolve("a") is None


@pytest.mark.parametrize("limit", [None, 1])
@in_virtual_time
async def test_a_name_that_somebody_else_has_is_a_conflict_list_or_no_list(
    limit: int | None,
) -> None:
    world = World(limit, a=("A", "B"), foreign=("B", None))
    found = await world.resolve("a")
    assert _told(found) == CONFLICT
    assert isinstance(found, ReconcileError)
    assert '"B"' in found.message


@in_virtual_time
async def test_one_of_ours_that_is_to_keep_the_name_is_a_conflict() -> None:
    assert _told(await World(a=("A", "B"), b=("B", "B")).resolve("a")) == CONFLICT


@in_virtual_time
async def test_of_two_that_swap_names_one_steps_aside_and_one_waits() -> None:
    world = World(a=("A", "B"), b=("B", "A"))
    assert await world.resolve("a") == parked_name("B", "a")
    assert _told(await world.resolve("b")) == WAITS


@in_virtual_time
async def test_of_three_in_a_circle_exactly_one_steps_aside() -> None:
    world = World(a=("A", "B"), b=("B", "C"), c=("C", "A"))
    assert await world.resolve("a") == parked_name("B", "a")
    assert _told(await world.resolve("b")) == WAITS
    assert _told(await world.resolve("c")) == WAITS


@in_virtual_time
async def test_in_a_chain_nobody_steps_aside() -> None:
    world = World(a=("A", "B"), b=("B", "C"), c=("C", "D"))
    assert _told(await world.resolve("a")) == WAITS
    assert _told(await world.resolve("b")) == WAITS
    assert await world.resolve("c") is None


@in_virtual_time
async def test_in_a_chain_that_ends_at_somebody_else_all_but_the_last_wait() -> None:
    world = World(a=("A", "B"), b=("B", "C"), foreign=("C", None))
    assert _told(await world.resolve("a")) == WAITS
    assert _told(await world.resolve("b")) == CONFLICT


@in_virtual_time
async def test_whoever_waits_for_a_circle_that_it_is_not_in_does_not_step_aside() -> None:
    world = World(a=("A", "B"), b=("B", "C"), c=("C", "B"))
    assert _told(await world.resolve("a")) == WAITS
    assert await world.resolve("b") == parked_name("C", "b")


@in_virtual_time
async def test_what_does_not_exist_yet_waits_and_does_not_step_aside() -> None:
    world = World(b=("B", "A"))
    assert _told(await world.resolve("new", "B")) == WAITS


@pytest.mark.parametrize("what", [{"suspend": True}, {"deletionTimestamp": "2026-01-01T00:00:00Z"}])
@in_virtual_time
async def test_a_holder_that_will_not_move_is_a_conflict(what: Json) -> None:
    world = World(a=("A", "B"), b=("B", "A"))
    spec = {**SPEC, "uid": "b", "name": "A", "suspend": what.get("suspend")}
    metadata = {key: value for key, value in what.items() if key != "suspend"}
    world.resources["b"] = resource(name="b", spec=spec, **metadata)
    assert _told(await world.resolve("a")) == CONFLICT
