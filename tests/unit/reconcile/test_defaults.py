"""Who becomes the default of an organization: the holder, then the oldest, then by name."""

from typing import Any

import pytest

from grafana_datasource_operator.api.datasource import DataSource
from grafana_datasource_operator.api.names import FROM_SETTINGS, OWNER_KEY, InstanceKey
from grafana_datasource_operator.api.reasons import Reason
from grafana_datasource_operator.errors import STALLED_RECHECK_SECONDS
from grafana_datasource_operator.reconcile.contest import Contest
from grafana_datasource_operator.reconcile.defaults import Defaults, give_way
from grafana_datasource_operator.reconcile.fleet import Fleet
from grafana_datasource_operator.reconcile.targets import Targets
from tests.unit.builders import SPEC, desired_of, resource, state
from tests.unit.reconcile.pretended_peers import PretendedPeers
from tests.unit.virtual_time import in_virtual_time

Json = dict[str, Any]

EARLY, MIDDLE, LATE = (f"2026-01-0{day}T00:00:00Z" for day in (1, 2, 3))
OURS = resource(
    name="ours", creationTimestamp=MIDDLE, spec={**SPEC, "isDefault": True, "uid": "ours"}
)


async def _no_labels(_: str) -> dict[str, str]:
    return {}


async def _judge(
    *peers: DataSource, holder: Json | None = None, out_of_sight: tuple[str, ...] = ()
) -> str | None:
    """Why ours may not become the default of the instance from the settings."""
    listed = [state(uid="bystander", name="bystander")]
    if holder is not None:
        listed.append(state(**{"uid": "held", "name": "Held", "isDefault": True, **holder}))
    targets = Targets(Fleet(lambda _: None), FROM_SETTINGS, _no_labels)
    everybody = PretendedPeers(OURS, *peers, out_of_sight=out_of_sight)
    contest = Contest(everybody, targets)
    defaults = Defaults(everybody, contest, frozenset({"owner-1", "old-1"}))
    refused = await defaults.judge(OURS, FROM_SETTINGS, "ours", listed)
    if refused is None:
        return None
    assert (refused.reason, refused.retry_after) == (
        Reason.DEFAULT_CONFLICT,
        STALLED_RECHECK_SECONDS,
    )
    assert "written as not default" in refused.message
    return refused.message


def _peer(name: str, created: str = LATE, **arguments: Any) -> DataSource:
    spec = {**SPEC, "isDefault": True, "uid": name, **arguments.pop("spec", {})}
    return resource(name=name, creationTimestamp=created, spec=spec, **arguments)


def _mark(name: str, owner_id: str = "owner-1") -> Json:
    return {"jsonData": {OWNER_KEY: f"{owner_id}/monitoring/{name}"}}


@pytest.mark.parametrize(
    ("holder", "said"),
    [
        (None, None),
        ({"jsonData": {}}, None),
        ({"readOnly": True, "jsonData": {}}, '"Held" is, and is provisioned from a file'),
        ({"readOnly": True, **_mark("gone")}, "provisioned from a file"),
        ({"jsonData": {OWNER_KEY: "terraform"}}, 'another tool ("terraform")'),
        (_mark("any", "owner-2"), "monitoring/any of another operator (owner id owner-2)"),
        (_mark("gone"), None),
        ({"uid": "ours", **_mark("ours")}, None),
        ({"uid": "ours", "readOnly": True}, None),
    ],
)
@in_virtual_time
async def test_the_present_holder_stays_if_anybody_cares_for_it(
    holder: Json | None, said: str | None
) -> None:
    found = await _judge(holder=holder)
    assert (found is None) is (said is None)
    assert said is None or said in (found or "")


@pytest.mark.parametrize("owner_id", ["owner-1", "old-1"])
@pytest.mark.parametrize("created", [EARLY, LATE])
@in_virtual_time
async def test_one_of_ours_that_holds_it_and_claims_it_keeps_it(
    owner_id: str, created: str
) -> None:
    found = await _judge(_peer("held", created), holder=_mark("held", owner_id))
    assert found is not None
    assert "GrafanaDataSource monitoring/held holds it" in found


@in_virtual_time
async def test_one_of_ours_that_holds_it_and_claims_it_no_more_gives_way() -> None:
    holder = _peer("held", EARLY, spec={"isDefault": False})
    assert await _judge(holder, holder=_mark("held")) is None


@in_virtual_time
async def test_one_that_is_out_of_sight_is_believed_to_claim_it() -> None:
    held = {"jsonData": {OWNER_KEY: "owner-1/elsewhere/x"}}
    assert await _judge(holder=held) is None
    found = await _judge(holder=held, out_of_sight=("elsewhere",))
    assert found is not None
    assert "elsewhere/x holds it" in found


@pytest.mark.parametrize(
    ("name", "created", "first"),
    [
        ("z", EARLY, True),
        ("a", MIDDLE, True),
        ("z", MIDDLE, False),
        ("a", LATE, False),
    ],
)
@in_virtual_time
async def test_of_several_that_claim_it_the_oldest_goes_first_then_by_name(
    name: str, created: str, first: bool
) -> None:
    found = await _judge(_peer(name, created), _peer("zz"))
    assert (found is not None) is first
    assert not first or f"monitoring/{name} is older" in (found or "")


_DEAD: Json = {"namespace": "-", "name": "default", "synced": "False"}


@pytest.mark.parametrize(
    ("status", "counts"),
    [
        ({}, True),
        ({"instances": [{**_DEAD, "reason": "InvalidSpec"}]}, False),
        ({"instances": [{**_DEAD, "reason": "InstanceNotAllowed"}]}, False),
        ({"instances": [{**_DEAD, "reason": "QuotaReached"}]}, False),
        ({"instances": [{**_DEAD, "reason": "NameConflict"}]}, True),
        ({"instances": [{**_DEAD, "reason": "OwnershipConflict"}]}, True),
        ({"instances": [{**_DEAD, "reason": "DefaultConflict"}]}, True),
        ({"instances": [{**_DEAD, "reason": "WaitingForSecret"}]}, True),
        ({"instances": [{**_DEAD, "reason": "GrafanaUnreachable"}]}, True),
        ({"instances": [{**_DEAD, "namespace": "far", "reason": "InvalidSpec"}]}, True),
    ],
)
@in_virtual_time
async def test_an_older_claim_that_waits_for_a_person_holds_up_nobody(
    status: Json, counts: bool
) -> None:
    assert (await _judge(_peer("older", EARLY, status=status)) is not None) is counts


@pytest.mark.parametrize(("observed", "counts"), [(1, False), (0, True)])
@in_virtual_time
async def test_a_claim_that_never_got_anywhere_counts_until_it_was_looked_at(
    observed: int, counts: bool
) -> None:
    ready = {
        "type": "Ready",
        "status": "False",
        "observedGeneration": observed,
        "lastTransitionTime": EARLY,
        "reason": "InvalidSpec",
        "message": "bad",
    }
    status = {"observedGeneration": observed, "conditions": [ready]}
    assert (await _judge(_peer("older", EARLY, status=status)) is not None) is counts


@in_virtual_time
async def test_a_claim_on_another_instance_is_no_rival() -> None:
    elsewhere = {"instanceRef": {"name": "other"}}
    assert await _judge(_peer("older", EARLY, spec=elsewhere)) is None
    targets = Targets(Fleet(lambda _: None), FROM_SETTINGS, _no_labels)
    peers = PretendedPeers(OURS, _peer("older", EARLY, spec=elsewhere))
    other = InstanceKey("monitoring", "other")
    defaults = Defaults(peers, Contest(peers, targets), frozenset())
    assert await defaults.judge(OURS, other, "ours", []) is not None


def test_whoever_gives_way_is_written_as_not_default() -> None:
    desired = desired_of(isDefault=True)
    given = give_way(desired)
    assert given.is_default is False
    assert given.name == desired.name
