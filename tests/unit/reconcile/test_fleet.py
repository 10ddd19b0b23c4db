"""All Grafanas that there are, and who is told of them."""

import asyncio
from typing import Any

import pytest

from grafana_datasource_operator.api.instance import From, Mode
from grafana_datasource_operator.api.names import InstanceKey
from grafana_datasource_operator.reconcile.admission import Admission
from grafana_datasource_operator.reconcile.fleet import COMPLETE_SECONDS, Fleet, Member
from tests.unit.reconcile.pretended_grafana import a_connection
from tests.unit.virtual_time import in_virtual_time, let_others_run, now

A, B = InstanceKey("monitoring", "a"), InstanceKey("monitoring", "b")


def test_whatever_changes_is_told_and_what_stays_is_not() -> None:
    told: list[InstanceKey] = []
    fleet, connection = Fleet(told.append), a_connection()
    fleet.expect([])
    fleet.put(Member(A, connection=connection))
    fleet.put(Member(A, connection=connection))
    assert told == [A]
    for changed in (
        Member(A, connection=connection, labels={"tier": "prod"}),
        Member(A, connection=connection, users=Admission(From.ALL)),
        Member(A, connection=connection, adopters=Admission(From.ALL)),
        Member(A, connection=connection, mode=Mode.DRY_RUN),
        Member(A, connection=connection, is_leaving=True),
        Member(A, connection=connection, problem="is suspended"),
        Member(A, connection=a_connection()),
    ):
        told.clear()
        fleet.put(changed)
        assert told == [A]
        assert fleet.get(A) is changed
    told.clear()
    fleet.remove(A)
    fleet.remove(A)
    assert told == [A]
    assert fleet.get(A) is None
    assert list(fleet) == []


def test_a_member_without_a_connection_has_none_to_use() -> None:
    with pytest.raises(ValueError, match="monitoring/a"):
        _ = Member(A).usable_connection


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({}, {}, True),
        ({"url": "http://grafana.example/"}, {}, True),
        ({"url": "http://grafana.example/sub"}, {}, False),
        ({"url": "https://grafana.example"}, {}, False),
        ({"org_id": 2}, {}, False),
        ({"org_id": None}, {"org_id": None}, True),
    ],
)
def test_a_place_is_one_organization_of_one_grafana(one: Any, other: Any, same: bool) -> None:
    first, second = (
        Member(A, connection=a_connection(**one)),
        Member(B, connection=a_connection(**other)),
    )
    assert first.is_same_place(second) is same
    assert second.is_same_place(first) is same


def test_where_nobody_knows_the_place_it_is_not_the_same() -> None:
    assert not Member(A).is_same_place(Member(B))
    assert not Member(A).is_same_place(Member(B, connection=a_connection()))


# --- until all are known ------------------------------------------------------------------------


async def _is_complete(fleet: Fleet) -> bool:
    waiting = asyncio.ensure_future(fleet.wait_until_complete())
    await let_others_run()
    if waiting.done():
        return True
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    return False


@pytest.mark.parametrize("expected", [[], [A]])
@in_virtual_time
async def test_where_nothing_more_is_expected_nobody_waits(expected: list[InstanceKey]) -> None:
    fleet = Fleet(lambda _: None)
    fleet.put(Member(A))
    fleet.expect(expected)
    assert await _is_complete(fleet)


@in_virtual_time
async def test_everybody_waits_until_each_is_known_or_known_to_be_gone() -> None:
    fleet = Fleet(lambda _: None)
    fleet.expect([A, B])
    assert not await _is_complete(fleet)
    fleet.put(Member(A, problem="cannot be used"))
    assert not await _is_complete(fleet)
    fleet.remove(B)
    assert await _is_complete(fleet)


@in_virtual_time
async def test_one_that_cannot_be_looked_at_holds_up_the_others_for_so_long_and_only_once() -> None:
    fleet = Fleet(lambda _: None)
    fleet.expect([A, B])
    await asyncio.gather(*(fleet.wait_until_complete() for _ in range(5)))
    assert now() == COMPLETE_SECONDS
    await fleet.wait_until_complete()
    assert now() == COMPLETE_SECONDS
