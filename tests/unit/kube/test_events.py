"""Events: the same one is counted, and losing one holds nothing up."""

import asyncio
import re
from typing import Any

import pytest

from grafana_datasource_operator.kube.errors import ConflictError, KubeError
from grafana_datasource_operator.kube.events import EventPoster
from tests.unit.builders import raw_resource
from tests.unit.kube.pretended import PretendedApi, Sent
from tests.unit.virtual_time import in_virtual_time, let_others_run

Json = dict[str, Any]


class Store:
    """Events as the apiserver keeps them."""

    def __init__(self) -> None:
        self.held: dict[str, Json] = {}
        self.is_down = False
        self.api = PretendedApi(self._serve)

    def _serve(self, sent: Sent) -> Json:
        if self.is_down:
            raise KubeError("POST", 503)
        if sent.method == "POST":
            assert sent.body is not None
            name = sent.body["metadata"]["name"]
            if name in self.held:
                raise ConflictError("POST", 409)
            self.held[name] = sent.body
            return sent.body
        event = self.held[sent.path.rpartition("/")[2]]
        event |= sent.body or {}
        return event


async def _posted(store: Store, *events: tuple[Json, str, str, str]) -> list[Json]:
    times = iter(f"2026-01-02T03:04:{second:02d}Z" for second in range(60))
    poster = EventPoster(store.api, lambda: next(times))
    task = asyncio.create_task(poster.run())
    for event in events:
        poster.post(*event)
    await poster.flush(within=5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return list(store.held.values())


@in_virtual_time
async def test_an_event_is_about_its_object() -> None:
    (event,) = await _posted(Store(), (raw_resource(), "Warning", "InvalidSpec", "spec.url: no"))
    assert event["involvedObject"] == {
        "apiVersion": "gdso.dev/v1beta1",
        "kind": "GrafanaDataSource",
        "namespace": "monitoring",
        "name": "prometheus",
        "uid": "11111111-0000-0000-0000-000000000000",
    }
    assert (event["type"], event["reason"], event["message"], event["count"]) == (
        "Warning",
        "InvalidSpec",
        "spec.url: no",
        1,
    )
    assert event["metadata"]["namespace"] == "monitoring"


@in_virtual_time
async def test_the_same_event_is_counted_and_not_repeated() -> None:
    told = (raw_resource(), "Normal", "Updated", "Updated it")
    (event,) = await _posted(Store(), told, told, told)
    assert event["count"] == 3
    assert event["firstTimestamp"] == "2026-01-02T03:04:00Z"
    assert event["lastTimestamp"] == "2026-01-02T03:04:02Z"


@pytest.mark.parametrize(
    "other",
    [
        (raw_resource(uid="2"), "Normal", "Updated", "Updated it"),
        (raw_resource(), "Warning", "Updated", "Updated it"),
        (raw_resource(), "Normal", "Created", "Updated it"),
        (raw_resource(), "Normal", "Updated", "Updated that"),
    ],
)
@in_virtual_time
async def test_another_event_is_an_event_of_its_own(other: tuple[Json, str, str, str]) -> None:
    first = (raw_resource(), "Normal", "Updated", "Updated it")
    assert len(await _posted(Store(), first, other)) == 2


@pytest.mark.parametrize(
    "name", ["a", "a" * 253, f"{'a' * 235}.{'b' * 17}", f"{'a' * 235}-{'b' * 17}", "a.b-c"]
)
@in_virtual_time
async def test_the_name_of_an_event_is_one_that_kubernetes_takes(name: str) -> None:
    (event,) = await _posted(Store(), (raw_resource(name=name), "Normal", "Updated", "x"))
    label = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
    assert re.fullmatch(rf"{label}(\.{label})*", event["metadata"]["name"])
    assert len(event["metadata"]["name"]) <= 253


@in_virtual_time
async def test_an_event_that_cannot_be_posted_is_lost_and_the_next_one_is_not() -> None:
    store = Store()
    poster = EventPoster(store.api, lambda: "2026-01-02T03:04:05Z")
    task = asyncio.create_task(poster.run())
    store.is_down = True
    poster.post(raw_resource(), "Normal", "Updated", "first")
    await let_others_run()
    store.is_down = False
    poster.post(raw_resource(), "Normal", "Updated", "second")
    await poster.flush(within=5)
    assert [event["message"] for event in store.held.values()] == ["second"]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@in_virtual_time
async def test_waiting_for_the_rest_of_the_events_ends() -> None:
    poster = EventPoster(Store().api, lambda: "2026-01-02T03:04:05Z")
    poster.post(raw_resource(), "Normal", "Updated", "nobody posts it")
    started = asyncio.get_running_loop().time()
    await poster.flush(within=2)
    assert asyncio.get_running_loop().time() - started == pytest.approx(2)


def test_a_flood_of_events_takes_no_more_memory_than_its_bound() -> None:
    poster = EventPoster(Store().api, lambda: "2026-01-02T03:04:05Z")
    for number in range(10_050):
        poster.post(raw_resource(), "Normal", "Updated", f"{number}")
    assert poster._waiting.qsize() == 10_000
