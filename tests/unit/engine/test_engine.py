"""From observations to looks: who is wanted, how urgently, and who is counted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client import REGISTRY

from grafana_datasource_operator.api.names import FINALIZER, ObjectKey
from grafana_datasource_operator.engine.engine import Engine
from grafana_datasource_operator.engine.queue import LANE_WIDTH, Priority
from grafana_datasource_operator.engine.view import Reference, View
from tests.unit.builders import raw_resource
from tests.unit.virtual_time import in_virtual_time, let_others_run

Json = dict[str, Any]

KIND = "Observed"
"""A kind of its own: metrics are those of the whole process."""

DELETED = "2026-01-02T03:04:05Z"


def _references(raw: Json) -> list[Reference]:
    spec = raw["spec"]
    return [
        *(Reference("Secret", "monitoring", name) for name in spec.get("secrets", [])),
        *(Reference(KIND, "monitoring", name) for name in spec.get("others", [])),
        *(Reference("uid", "", uid, is_contested=True) for uid in spec.get("uids", [])),
    ]


@asynccontextmanager
async def an_engine(*, settled: bool = False, **more: Any) -> AsyncIterator[Engine]:
    engine = Engine(View(_references), lambda _: settled, **more)
    try:
        yield engine
    finally:
        engine.queue.close()
        engine.checks.close()
        for key in list(engine.view):
            raw = engine.view.get(key)
            assert raw is not None
            engine.observe(raw, deleted=True)
    assert _counted() == 0


def _raw(name: str = "prometheus", **arguments: Any) -> Json:
    return raw_resource(kind=KIND, name=name, **arguments)


def _key(name: str = "prometheus") -> ObjectKey:
    return ObjectKey(KIND, "monitoring", name)


async def _wanted(engine: Engine) -> list[str]:
    """Names in the order in which workers would get them now."""
    names = []
    while len(engine.queue):
        key = await engine.queue.get()
        engine.queue.done(key)
        names.append(key.name)
    return names


def _counted() -> float:
    return sum(
        sample.value
        for metric in REGISTRY.collect()
        if metric.name == "gdso_resources"
        for sample in metric.samples
        if sample.labels["kind"] == KIND
    )


@in_virtual_time
async def test_a_resource_is_looked_at_when_it_appears_and_when_it_changes() -> None:
    async with an_engine() as engine:
        engine.observe(_raw())
        assert await _wanted(engine) == ["prometheus"]
        engine.observe(_raw(version=2))
        assert await _wanted(engine) == []
        engine.observe(_raw(version=3, generation=2))
        assert await _wanted(engine) == ["prometheus"]


@in_virtual_time
async def test_after_a_restart_those_in_sync_wait_behind_those_that_somebody_changes() -> None:
    async with an_engine(settled=True) as engine:
        engine.observe(_raw("a"))
        engine.observe(_raw("b"))
        engine.queue.add(_key("c"), Priority.DEPENDENCY)
        engine.observe(_raw("b", version=2, generation=2))
        assert await _wanted(engine) == ["b", "c", "a"]


@in_virtual_time
async def test_new_ones_do_not_wait_behind_resyncs() -> None:
    async with an_engine(settled=False) as engine:
        engine.queue.add(_key("resync"), Priority.RESYNC)
        engine.observe(_raw("new"))
        assert await _wanted(engine) == ["new", "resync"]


@in_virtual_time
async def test_a_change_of_a_secret_leads_to_a_look_at_those_that_use_it() -> None:
    async with an_engine() as engine:
        for name, secret in [("a", "auth"), ("b", "other"), ("c", "auth")]:
            engine.observe(_raw(name, spec={"secrets": [secret]}))
        await _wanted(engine)
        engine.notice(Reference("Secret", "monitoring", "auth"))
        assert sorted(await _wanted(engine)) == ["a", "c"]
        engine.notice(Reference("Secret", "monitoring", "nobody-s"))
        assert await _wanted(engine) == []


@in_virtual_time
async def test_what_somebody_changed_goes_before_what_a_secret_changed() -> None:
    async with an_engine() as engine:
        engine.observe(_raw("a", spec={"secrets": ["auth"]}))
        engine.observe(_raw("b"))
        await _wanted(engine)
        engine.notice(Reference("Secret", "monitoring", "auth"))
        engine.observe(_raw("b", version=2, generation=2))
        assert await _wanted(engine) == ["b", "a"]


@pytest.mark.parametrize("cause", ["edit", "secret"])
@in_virtual_time
async def test_a_change_ends_the_patience_with_a_failing_resource(cause: str) -> None:
    async with an_engine() as engine:
        engine.observe(_raw(spec={"secrets": ["auth"]}))
        await _wanted(engine)
        for _ in range(12):
            engine.queue.back_off(_key(), Priority.DEPENDENCY)
        if cause == "edit":
            engine.observe(_raw(version=2, generation=2, spec={"secrets": ["auth"]}))
        else:
            engine.notice(Reference("Secret", "monitoring", "auth"))
        assert await _wanted(engine) == ["prometheus"]
        assert engine.queue.back_off(_key(), Priority.DEPENDENCY) < 1


@in_virtual_time
async def test_those_that_wait_for_grafana_are_looked_at_once_when_it_is_back() -> None:
    async with an_engine() as engine:
        for name in ("a", "b"):
            engine.observe(_raw(name))
        await _wanted(engine)
        engine.await_recovery(_key("a"), "main")
        engine.await_recovery(_key("a"), "main")
        engine.recover("main")
        assert await _wanted(engine) == ["a"]
        engine.recover("main")
        assert await _wanted(engine) == []


@in_virtual_time
async def test_a_grafana_that_came_back_during_the_look_is_not_waited_for() -> None:
    async with an_engine() as engine:
        engine.observe(_raw())
        await _wanted(engine)
        since = engine.recoveries
        engine.recover("other")
        engine.await_recovery(_key(), "main", since)
        assert await _wanted(engine) == []
        engine.recover("main")
        assert await _wanted(engine) == ["prometheus"]
        engine.await_recovery(_key(), "main", since)
        assert await _wanted(engine) == ["prometheus"]


@in_virtual_time
async def test_what_went_meanwhile_is_not_looked_at_when_grafana_is_back() -> None:
    async with an_engine() as engine:
        engine.observe(_raw())
        await _wanted(engine)
        engine.await_recovery(_key(), "main")
        engine.observe(_raw(), deleted=True)
        engine.recover("main")
        assert await _wanted(engine) == []


@in_virtual_time
async def test_a_resource_that_is_gone_is_not_looked_at() -> None:
    async with an_engine() as engine:
        engine.observe(_raw())
        engine.observe(_raw(), deleted=True)
        assert await _wanted(engine) == []
        engine.queue.add_after(_key(), 1, Priority.RESYNC)
        engine.observe(_raw(version=2))
        await _wanted(engine)
        engine.observe(_raw(version=2), deleted=True)
        await asyncio.sleep(60)
        assert await _wanted(engine) == []


@in_virtual_time
async def test_the_answer_to_our_own_write_is_as_good_as_an_event_and_causes_no_look() -> None:
    async with an_engine() as engine:
        engine.observe(_raw())
        await _wanted(engine)
        written = _raw(version=2, finalizers=[FINALIZER])
        engine.remember(written)
        assert engine.view.get(_key()) is written
        assert await _wanted(engine) == []


@pytest.mark.parametrize(
    ("finalizers", "stays"), [([], False), (["other/finalizer"], True), ([FINALIZER], True)]
)
@in_virtual_time
async def test_a_deleted_resource_goes_with_its_last_finalizer(
    finalizers: list[str], stays: bool
) -> None:
    async with an_engine() as engine:
        engine.observe(_raw(deletionTimestamp=DELETED, finalizers=[FINALIZER]))
        engine.remember(_raw(version=2, deletionTimestamp=DELETED, finalizers=finalizers))
        assert (engine.view.get(_key()) is not None) is stays


@in_virtual_time
async def test_resources_are_counted_while_they_are_there() -> None:
    async with an_engine() as engine:
        engine.observe(_raw("a"))
        engine.observe(_raw("b"))
        engine.observe(_raw("b", version=2))
        assert _counted() == 2
        engine.observe(_raw("a"), deleted=True)
        assert _counted() == 1


@in_virtual_time
async def test_a_deletion_that_is_told_twice_counts_nothing_back_in() -> None:
    async with an_engine() as engine:
        engine.observe(_raw(deletionTimestamp=DELETED, finalizers=[FINALIZER]))
        gone = _raw(version=2, deletionTimestamp=DELETED)
        engine.remember(gone)
        assert _counted() == 0
        engine.observe(gone, deleted=True)
        assert _counted() == 0


@in_virtual_time
async def test_the_depth_of_the_queue_can_be_seen() -> None:
    async with an_engine() as engine:
        for name in ("a", "b", "c"):
            engine.observe(_raw(name))
        await let_others_run()
        assert REGISTRY.get_sample_value("gdso_queue_depth") == 3
        await _wanted(engine)


# --- contention and references ------------------------------------------------------------------


@pytest.mark.parametrize("way", ["changed", "gone", "unreadable"])
@in_virtual_time
async def test_what_only_one_can_have_wakes_those_who_want_it_when_it_is_given_up(
    way: str,
) -> None:
    async with an_engine() as engine:
        for name in ("holder", "waiting", "other"):
            engine.observe(_raw(name, spec={"uids": ["o" if name == "other" else "u"]}))
        await _wanted(engine)
        given_up = _raw("holder", version=2, generation=2, spec={"uids": ["new"]})
        if way == "gone":
            engine.observe(_raw("holder", version=2), deleted=True)
            assert await _wanted(engine) == ["waiting"]
        else:
            engine.observe(given_up if way == "changed" else {**given_up, "spec": {}})
            assert await _wanted(engine) == ["holder", "waiting"]


@in_virtual_time
async def test_what_is_only_referred_to_wakes_nobody_when_one_refers_to_it_no_more() -> None:
    async with an_engine() as engine:
        for name in ("a", "b"):
            engine.observe(_raw(name, spec={"secrets": ["auth"]}))
        await _wanted(engine)
        engine.observe(_raw("a"), deleted=True)
        assert await _wanted(engine) == []


@in_virtual_time
async def test_a_change_wakes_those_who_refer_to_it() -> None:
    async with an_engine() as engine:
        engine.observe(_raw("user", spec={"others": ["subject"]}))
        await _wanted(engine)
        engine.observe(_raw("subject"))
        assert await _wanted(engine) == ["subject", "user"]
        engine.observe(_raw("subject", version=2, status={"observedGeneration": 1}))
        assert await _wanted(engine) == []
        engine.observe(_raw("subject", version=2), deleted=True)
        assert await _wanted(engine) == ["user"]


@pytest.mark.parametrize("way", ["gone", "let go"])
@in_virtual_time
async def test_what_is_being_deleted_is_looked_at_when_a_user_lets_go_of_it(way: str) -> None:
    async with an_engine() as engine:
        leaving = {"deletionTimestamp": DELETED, "finalizers": [FINALIZER]}
        engine.observe(_raw("leaving", **leaving))
        engine.observe(_raw("staying"))
        engine.observe(_raw("user", spec={"others": ["leaving", "staying"]}))
        await _wanted(engine)
        if way == "gone":
            engine.observe(_raw("user"), deleted=True)
        else:
            # As our own write of status does, which is no change of what is wanted.
            engine.remember(_raw("user", version=2, spec={"others": []}))
        assert await _wanted(engine) == ["leaving"]


# --- recovery -----------------------------------------------------------------------------------


@in_virtual_time
async def test_each_grafana_brings_back_its_own() -> None:
    async with an_engine() as engine:
        for name in ("a", "b", "both"):
            engine.observe(_raw(name))
        await _wanted(engine)
        for name, grafanas in [("a", "1"), ("b", "2"), ("both", "12")]:
            for grafana in grafanas:
                engine.await_recovery(_key(name), grafana)
        engine.recover("1")
        assert sorted(await _wanted(engine)) == ["a", "both"]
        engine.recover("3")
        assert await _wanted(engine) == []
        engine.recover("2")
        assert sorted(await _wanted(engine)) == ["b", "both"]


# --- goodbye ------------------------------------------------------------------------------------


@in_virtual_time
async def test_whoever_wants_to_know_is_told_of_what_is_gone() -> None:
    gone: list[ObjectKey] = []
    async with an_engine(on_gone=gone.append) as engine:
        engine.observe(_raw("a", deletionTimestamp=DELETED, finalizers=[FINALIZER]))
        engine.observe(_raw("b"))
        assert gone == []
        engine.remember(_raw("a", version=2, deletionTimestamp=DELETED))
        assert gone == [_key("a")]


@in_virtual_time
async def test_a_namesake_made_since_is_not_said_goodbye_to() -> None:
    gone: list[ObjectKey] = []
    async with an_engine(on_gone=gone.append) as engine:
        engine.observe(_raw(uid="new", version=5))
        engine.observe(_raw(version=4), deleted=True)
        assert gone == []


@in_virtual_time
async def test_no_check_of_what_is_gone_is_left() -> None:
    async with an_engine() as engine:
        engine.observe(_raw())
        await _wanted(engine)
        engine.checks.add_after(_key(), 5, Priority.RESYNC)
        engine.observe(_raw(), deleted=True)
        await asyncio.sleep(60)
        assert len(engine.checks) == 0


@in_virtual_time
async def test_looks_run_in_the_lanes_of_their_objects() -> None:
    async with an_engine(lane_of=lambda raw: raw["spec"]["lane"]) as engine:
        for number in range(LANE_WIDTH + 3):
            engine.observe(_raw(f"slow-{number}", spec={"lane": "slow"}))
        engine.observe(_raw("healthy", spec={"lane": "healthy"}))
        got = [(await engine.queue.get()).name for _ in range(LANE_WIDTH + 1)]
        assert got[-1] == "healthy"
        engine.observe(_raw(f"slow-{LANE_WIDTH}", version=2, spec={"lane": "healthy"}))
        engine.want(_key(f"slow-{LANE_WIDTH}"), Priority.USER)
        assert (await engine.queue.get()).name == f"slow-{LANE_WIDTH}"
