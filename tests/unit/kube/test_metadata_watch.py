"""The watch of Secrets or ConfigMaps: every change is told, whatever happens to the stream."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from grafana_datasource_operator.kube.errors import GoneError, KubeError
from grafana_datasource_operator.kube.metadata_watch import MetadataWatch
from tests.unit.kube.pretended import PretendedApi, Sent
from tests.unit.virtual_time import in_virtual_time, now

Json = dict[str, Any]
Stream = Callable[[dict[str, str]], AsyncIterator[Json]]


def _meta(name: str, version: int) -> Json:
    return {"metadata": {"namespace": "monitoring", "name": name, "resourceVersion": str(version)}}


def _event(kind: str, name: str, version: int) -> Json:
    return {"type": kind, "object": _meta(name, version)}


class Apiserver:
    """Lists one after the other (the last for good), and streams; then a quiet stream for good."""

    def __init__(
        self,
        *lists: list[Json] | Exception | None,
        version: int = 100,
        plural: str = "secrets",
        namespace: str | None = "monitoring",
    ) -> None:
        self.lists = [*lists]
        self.version = version
        self.streams: list[list[Json] | Exception] = []
        self.positions: list[str] = []
        self.queries: list[dict[str, str]] = []
        self.told: list[str] = []
        self.requests_at: list[float] = []
        self.api = PretendedApi(self._list, self._watch)
        self.watch = MetadataWatch(
            self.api, plural, namespace, lambda _, name: self.told.append(name)
        )

    def _list(self, _: Sent) -> Json:
        self.requests_at.append(now())
        answer = self.lists.pop(0) if len(self.lists) > 1 else self.lists[0]
        if isinstance(answer, Exception):
            raise answer
        self.version += 1
        return {"metadata": {"resourceVersion": str(self.version)}, "items": answer}

    async def _watch(self, query: dict[str, str]) -> AsyncIterator[Json]:
        self.requests_at.append(now())
        self.queries.append(query)
        self.positions.append(query["resourceVersion"])
        await asyncio.sleep(0)
        if not self.streams:
            await asyncio.sleep(290)
            return
        stream = self.streams.pop(0)
        if isinstance(stream, Exception):
            raise stream
        for event in stream:
            yield event

    async def run(self, seconds: float = 60) -> None:
        task = asyncio.create_task(self.watch.run())
        await asyncio.sleep(seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@in_virtual_time
async def test_what_is_there_at_the_start_is_no_change() -> None:
    server = Apiserver([_meta("a", 1), _meta("b", 2)])
    assert not server.watch.listed.is_set()
    await server.run()
    assert server.watch.listed.is_set()
    assert server.told == []
    assert server.positions[0] == "101"


@pytest.mark.parametrize("items", [None, []])
@in_virtual_time
async def test_a_scope_without_secrets_is_fine(items: list[Json] | None) -> None:
    server = Apiserver(items)
    server.streams = [[_event("ADDED", "a", 102)]]
    await server.run()
    assert server.told == ["a"]


@in_virtual_time
async def test_every_change_is_told_once() -> None:
    server = Apiserver([_meta("a", 1)])
    server.streams = [
        [
            _event("ADDED", "b", 102),
            _event("MODIFIED", "a", 103),
            _event("MODIFIED", "a", 103),
            _event("ADDED", "b", 102),
            _event("DELETED", "b", 104),
            _event("ADDED", "b", 105),
        ]
    ]
    await server.run()
    assert server.told == ["b", "a", "b", "b"]


@in_virtual_time
async def test_a_stream_that_ends_goes_on_where_it_was_and_not_in_a_frenzy() -> None:
    server = Apiserver([_meta("a", 1)])
    server.streams = [
        [_event("MODIFIED", "a", 110)],
        [{"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "150"}}}],
        *([[]] * 20),
    ]
    await server.run()
    assert server.positions[:4] == ["101", "110", "150", "150"]
    assert server.told == ["a"]
    assert len(server.requests_at) == len(set(server.requests_at)) + 1


@pytest.mark.parametrize(
    "gone",
    [
        GoneError("WATCH", 410),
        [{"type": "ERROR", "object": {"kind": "Status", "code": 410}}],
    ],
)
@in_virtual_time
async def test_after_a_position_that_is_too_old_the_lists_are_compared(
    gone: list[Json] | Exception,
) -> None:
    server = Apiserver(
        [_meta("same", 1), _meta("changed", 2), _meta("gone", 3)],
        [_meta("same", 1), _meta("changed", 9), _meta("new", 4)],
    )
    server.streams = [gone]
    await server.run()
    assert sorted(server.told) == ["changed", "gone", "new"]
    assert server.positions[-1] == "102"


@in_virtual_time
async def test_what_the_stream_told_is_not_told_again_by_the_list() -> None:
    server = Apiserver([_meta("a", 1)], [_meta("a", 102)])
    server.streams = [[_event("MODIFIED", "a", 102)], GoneError("WATCH", 410)]
    await server.run()
    assert server.told == ["a"]


@pytest.mark.parametrize(
    "failure",
    [KubeError("WATCH", 0), KubeError("WATCH", 500), KubeError("WATCH", 403)],
)
@in_virtual_time
async def test_a_stream_that_breaks_is_taken_up_again_with_growing_patience(
    failure: KubeError,
) -> None:
    server = Apiserver([_meta("a", 1)])
    server.streams = [failure] * 30
    await server.run(600)
    assert len(server.positions) >= 31
    assert set(server.positions) == {"101"}
    assert server.requests_at[31] > 60


@in_virtual_time
async def test_without_a_first_list_it_goes_on_trying() -> None:
    server = Apiserver(KubeError("LIST", 403), KubeError("LIST", 0), [_meta("a", 1)])
    await server.run()
    assert server.watch.listed.is_set()


@pytest.mark.parametrize("plural", ["secrets", "configmaps"])
@pytest.mark.parametrize(
    ("namespace", "scope"), [("monitoring", "/namespaces/monitoring"), (None, "")]
)
@in_virtual_time
async def test_one_kind_in_one_scope_is_listed_and_watched(
    plural: str, namespace: str | None, scope: str
) -> None:
    server = Apiserver([_meta("a", 1)], plural=plural, namespace=namespace)
    server.streams = [[_event("MODIFIED", "a", 110)]]
    await server.run()
    assert server.told == ["a"]
    (listed,) = server.api.sent
    assert listed.path == f"/api/v1{scope}/{plural}"


@pytest.mark.parametrize(("plural", "all_"), [("secrets", False), ("configmaps", True)])
@in_virtual_time
async def test_only_releases_of_helm_are_left_out(plural: str, all_: bool) -> None:
    server = Apiserver([_meta("a", 1)], plural=plural)
    await server.run()
    (listed,) = server.api.sent
    for query in (listed.query or {}, server.queries[0]):
        assert ("fieldSelector" not in query) is all_
        assert all_ or query["fieldSelector"] == "type!=helm.sh/release.v1"
