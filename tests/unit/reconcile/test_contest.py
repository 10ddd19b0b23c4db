"""Who is in the running for what only one can have on an instance."""

from typing import Any

import pytest

from grafana_datasource_operator.api.datasource import DataSource
from grafana_datasource_operator.api.instance import From
from grafana_datasource_operator.api.names import InstanceKey
from grafana_datasource_operator.api.reasons import STALLED_REASONS, Reason
from grafana_datasource_operator.reconcile.admission import Admission
from grafana_datasource_operator.reconcile.contest import Contest
from grafana_datasource_operator.reconcile.fleet import Fleet, Member
from grafana_datasource_operator.reconcile.targets import Targets
from tests.unit.builders import SPEC, resource
from tests.unit.reconcile.pretended_grafana import a_connection
from tests.unit.reconcile.pretended_peers import PretendedPeers
from tests.unit.virtual_time import in_virtual_time

Json = dict[str, Any]

MAIN, OTHER = InstanceKey("monitoring", "main"), InstanceKey("monitoring", "other")
UID, NAME = "shared", "Shared"


def _one(namespace: str = "monitoring", *, status: Json | None = None, **spec: Any) -> DataSource:
    on_main = {"instanceRef": {"name": "main", "namespace": "monitoring"}}
    wanted = {**SPEC, **on_main, "uid": UID, "name": NAME, "isDefault": True, **spec}
    return resource(namespace=namespace, name="one", spec=wanted, status=status)


def _contest(*peers: DataSource, **member: Any) -> Contest:
    async def read_labels(_: str) -> dict[str, str]:
        return {}

    fleet = Fleet(lambda _: None)
    admission = Admission(From.SAME, "monitoring")
    for key in (MAIN, OTHER):
        there = {"users": admission, "adopters": admission, "connection": a_connection()}
        fleet.put(Member(key, **{**there, **member}))
    return Contest(PretendedPeers(*peers), Targets(fleet, None, read_labels))


async def _counts(one: DataSource, instance: InstanceKey = MAIN, **member: Any) -> bool:
    """Whether it is in the running: the same for a uid, a name and the default."""
    contest = _contest(one, **member)
    found = [
        await contest.for_uid(UID, instance),
        await contest.for_name(NAME, instance),
        await contest.for_default(instance),
    ]
    assert found in ([[one]] * 3, [[]] * 3)
    return found[0] == [one]


@in_virtual_time
async def test_whoever_wants_it_there_is_in_the_running() -> None:
    assert await _counts(_one())
    assert not await _counts(_one(), OTHER)
    assert await _counts(_one(instanceRef={"name": "other"}), OTHER)


@in_virtual_time
async def test_whoever_is_not_admitted_is_not() -> None:
    assert not await _counts(_one("team"))
    assert await _counts(_one("team"), users=Admission(From.ALL))


_IN_THE_QUEUE = {
    Reason.UID_CONFLICT,
    Reason.OWNERSHIP_CONFLICT,
    Reason.NAME_CONFLICT,
    Reason.DEFAULT_CONFLICT,
}


@pytest.mark.parametrize("reason", sorted(set(Reason) - {Reason.SYNCED}))
@pytest.mark.parametrize("where", ["there", "elsewhere", "nowhere"])
@in_virtual_time
async def test_whoever_needs_a_person_is_not_unless_it_only_waits_for_its_turn(
    reason: Reason, where: str
) -> None:
    told = {"synced": "False", "reason": reason.value}
    name = "main" if where == "there" else "other"
    ready = {
        "type": "Ready",
        "status": "False",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
        "reason": reason.value,
        "message": "why",
    }
    instances = [] if where == "nowhere" else [{"namespace": "monitoring", "name": name, **told}]
    status = {"observedGeneration": 1, "conditions": [ready], "instances": instances}
    is_out = reason in STALLED_REASONS - _IN_THE_QUEUE
    assert await _counts(_one(status=status)) is not is_out


@in_virtual_time
async def test_a_spec_that_nobody_has_looked_at_yet_may_come_true() -> None:
    ready = {
        "type": "Ready",
        "status": "False",
        "observedGeneration": 0,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
        "reason": "InvalidSpec",
        "message": "why",
    }
    assert await _counts(_one(status={"observedGeneration": 0, "conditions": [ready]}))


@pytest.mark.parametrize(
    ("policy", "adopters", "counts"),
    [
        ("IfUnowned", Admission(From.SAME, "monitoring"), True),
        ("IfUnowned", Admission(From.NONE), False),
        ("Never", Admission(From.ALL), False),
    ],
)
@in_virtual_time
async def test_for_an_adoption_only_those_are_who_want_it_and_may(
    policy: str, adopters: Admission, counts: bool
) -> None:
    one = _one(adoptionPolicy=policy)
    contest = _contest(one, adopters=adopters)
    assert await contest.for_adoption(UID, MAIN) == ([one] if counts else [])
    assert await contest.for_adoption("another", MAIN) == []
