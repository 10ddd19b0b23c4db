"""Whose a data source with our uid is, as its resource is told: the first owner wins."""

from typing import Any

import pytest

from grafana_datasource_operator.api.datasource import AdoptionPolicy
from grafana_datasource_operator.api.names import FROM_SETTINGS, OWNER_KEY, InstanceKey
from grafana_datasource_operator.api.reasons import Reason
from grafana_datasource_operator.errors import STALLED_RECHECK_SECONDS, Stalled
from grafana_datasource_operator.payload.identity import Claimant
from grafana_datasource_operator.reconcile.claims import (
    is_adoption,
    require_first,
    require_first_for_name,
)
from tests.unit.builders import OWNER, UID, desired_of, resource, state
from tests.unit.reconcile.pretended_peers import PretendedPeers

PEERS = PretendedPeers(resource(name="loki"))
NEVER, IF_UNOWNED = AdoptionPolicy
OLD = frozenset({"old-1", "old-2"})
GONE = f"{OWNER.owner_id}/monitoring/gone"


def _judge(
    *,
    recorded_id: int | None = None,
    mark: Any = None,
    policy: AdoptionPolicy = NEVER,
    may_adopt: bool = False,
    accepted: frozenset[str] = frozenset(),
    **fields: Any,
) -> bool:
    held = state(jsonData={} if mark is None else {OWNER_KEY: mark}, **fields)
    claimant = Claimant(OWNER, recorded_id, accepted)
    return is_adoption(held, claimant, PEERS, policy=policy, may_adopt=may_adopt)


def _refusal(**arguments: Any) -> Stalled:
    with pytest.raises(Stalled) as refused:
        _judge(**arguments)
    assert f'uid "{UID}"' in refused.value.message
    assert "choose another uid" in refused.value.message
    return refused.value


@pytest.mark.parametrize("recorded_id", [None, 7, 8])
def test_what_has_our_mark_may_be_written(recorded_id: int | None) -> None:
    assert _judge(id=7, recorded_id=recorded_id, mark=str(OWNER)) is False


def test_what_lost_its_mark_may_be_written_by_whoever_recorded_its_id() -> None:
    assert _judge(id=7, recorded_id=7) is False


@pytest.mark.parametrize("recorded_id", [None, 8])
def test_what_has_no_mark_is_somebody_s_whom_we_do_not_know(recorded_id: int | None) -> None:
    refusal = _refusal(recorded_id=recorded_id)
    assert refusal.reason is Reason.UID_CONFLICT
    assert "did not create" in refusal.message


def test_what_is_provisioned_from_a_file_is_told_first() -> None:
    for mark in (None, str(OWNER), "owner-2/a/b"):
        refusal = _refusal(mark=mark, recorded_id=7, readOnly=True)
        assert refusal.reason is Reason.READ_ONLY_IN_GRAFANA
        assert "provisioned from a file" in refusal.message


def test_a_sibling_that_exists_owns_it() -> None:
    refusal = _refusal(mark=f"{OWNER.owner_id}/monitoring/loki", recorded_id=7)
    assert refusal.reason is Reason.OWNERSHIP_CONFLICT
    assert "owned by GrafanaDataSource monitoring/loki;" in refusal.message


def test_a_sibling_that_is_gone_owns_nothing() -> None:
    refusal = _refusal(mark=f"{OWNER.owner_id}/monitoring/gone", recorded_id=7)
    assert refusal.reason is Reason.UID_CONFLICT


def test_another_operator_owns_it_even_if_we_know_no_such_resource() -> None:
    for name in ("loki", "gone"):
        refusal = _refusal(mark=f"owner-2/monitoring/{name}", recorded_id=7)
        assert refusal.reason is Reason.OWNERSHIP_CONFLICT
        assert f"monitoring/{name} of another operator (owner id owner-2)" in refusal.message


@pytest.mark.parametrize("mark", ["terraform", "a/b/c/d", 7])
def test_another_tool_s_mark_is_respected(mark: Any) -> None:
    refusal = _refusal(mark=mark, recorded_id=7)
    assert refusal.reason is Reason.OWNERSHIP_CONFLICT
    assert "owned by another tool" in refusal.message


@pytest.mark.parametrize(
    ("mark", "read_only"), [(None, False), (None, True), ("owner-2/a/b", False)]
)
def test_what_only_grafana_can_resolve_is_looked_at_again_by_itself(
    mark: str | None, read_only: bool
) -> None:
    assert _refusal(mark=mark, readOnly=read_only).retry_after == STALLED_RECHECK_SECONDS


# --- former owner ids ---------------------------------------------------------------------------


@pytest.mark.parametrize("owner_id", sorted(OLD))
def test_a_mark_with_a_former_owner_id_is_ours(owner_id: str) -> None:
    assert _judge(mark=f"{owner_id}/monitoring/prometheus", accepted=OLD) is False
    assert _refusal(mark=f"{owner_id}/monitoring/prometheus").reason is Reason.OWNERSHIP_CONFLICT


def test_a_sibling_under_a_former_owner_id_owns_it_while_it_exists() -> None:
    refusal = _refusal(mark="old-1/monitoring/loki", accepted=OLD)
    assert refusal.reason is Reason.OWNERSHIP_CONFLICT
    assert "owned by GrafanaDataSource monitoring/loki;" in refusal.message
    assert _refusal(mark="old-1/monitoring/gone", accepted=OLD).reason is Reason.UID_CONFLICT


# --- adoption -----------------------------------------------------------------------------------


@pytest.mark.parametrize("mark", [None, GONE])
def test_what_nobody_owns_is_taken_over_where_the_resource_and_the_instance_agree(
    mark: str | None,
) -> None:
    assert _judge(mark=mark, policy=IF_UNOWNED, may_adopt=True) is True


@pytest.mark.parametrize(
    ("policy", "may_adopt", "said"),
    [
        (NEVER, True, "set spec.adoptionPolicy: IfUnowned"),
        (NEVER, False, "set spec.adoptionPolicy: IfUnowned"),
        (IF_UNOWNED, False, "spec.allowedAdopters of the GrafanaInstance"),
    ],
)
@pytest.mark.parametrize("mark", [None, GONE])
def test_where_one_of_them_does_not_it_is_a_conflict_that_says_which(
    policy: AdoptionPolicy, may_adopt: bool, said: str, mark: str | None
) -> None:
    refusal = _refusal(mark=mark, policy=policy, may_adopt=may_adopt)
    assert refusal.reason is Reason.UID_CONFLICT
    assert said in refusal.message


@pytest.mark.parametrize(
    ("mark", "read_only"),
    [
        (f"{OWNER.owner_id}/monitoring/loki", False),
        ("owner-2/monitoring/gone", False),
        ("terraform", False),
        (None, True),
        (str(OWNER), True),
    ],
)
def test_what_somebody_owns_is_never_taken_over(mark: str | None, read_only: bool) -> None:
    refusal = _refusal(mark=mark, readOnly=read_only, policy=IF_UNOWNED, may_adopt=True)
    assert refusal.reason is (
        Reason.READ_ONLY_IN_GRAFANA if read_only else Reason.OWNERSHIP_CONFLICT
    )


def test_a_sibling_that_is_out_of_sight_may_exist_and_owns_it() -> None:
    with pytest.raises(Stalled) as refused:
        is_adoption(
            state(jsonData={OWNER_KEY: f"{OWNER.owner_id}/elsewhere/any"}),
            Claimant(OWNER, None),
            PretendedPeers(out_of_sight=["elsewhere"]),
            policy=IF_UNOWNED,
            may_adopt=True,
        )
    assert refused.value.reason is Reason.OWNERSHIP_CONFLICT


# --- who goes first -----------------------------------------------------------------------------

EARLY, LATE = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"


@pytest.mark.parametrize(
    "other",
    [
        {"name": "z", "creationTimestamp": EARLY},
        {"name": "a", "creationTimestamp": LATE},
        {"name": "z", "namespace": "apps", "creationTimestamp": LATE},
    ],
)
def test_of_several_that_want_a_uid_the_oldest_goes_first_then_by_name(other: Any) -> None:
    ours = resource(name="m", creationTimestamp=LATE)
    require_first(resource(**other), UID, [ours], FROM_SETTINGS)
    younger = resource(name="y", creationTimestamp=LATE)
    with pytest.raises(Stalled) as refused:
        require_first(ours, UID, [younger, resource(**other)], FROM_SETTINGS)
    assert refused.value.reason is Reason.OWNERSHIP_CONFLICT
    assert refused.value.retry_after == STALLED_RECHECK_SECONDS
    named = f"{other.get('namespace', 'monitoring')}/{other['name']}"
    assert f'GrafanaDataSource {named} has the uid "{UID}", too,' in refused.value.message


def test_who_had_a_data_source_before_goes_before_older_ones() -> None:
    recorded = {"instances": [{"namespace": "-", "name": "default", "id": 7}]}
    had_it = resource(name="z", creationTimestamp=LATE, status=recorded)
    older = resource(name="a", creationTimestamp=EARLY)
    require_first(had_it, UID, [older], FROM_SETTINGS)
    with pytest.raises(Stalled):
        require_first(older, UID, [had_it], FROM_SETTINGS)
    require_first(older, UID, [had_it], InstanceKey("grafana", "another"))


def test_of_several_that_want_a_name_the_oldest_goes_first() -> None:
    older = resource(name="z", creationTimestamp=EARLY)
    ours = resource(name="a", creationTimestamp=LATE)
    require_first_for_name(older, desired_of(name="Loki"), [ours])
    with pytest.raises(Stalled) as refused:
        require_first_for_name(ours, desired_of(name="Loki"), [older])
    assert refused.value.reason is Reason.NAME_CONFLICT
    assert 'GrafanaDataSource monitoring/z is older and wants the name "Loki"' in (
        refused.value.message
    )


def test_a_former_owner_id_is_told_how_to_become_ours_again() -> None:
    with pytest.raises(Stalled, match="GDSO_OWNER_ID_ACCEPT"):
        is_adoption(
            state(jsonData={OWNER_KEY: f"former/{OWNER.namespace}/{OWNER.name}"}),
            Claimant(OWNER, None),
            PretendedPeers(),
            policy=IF_UNOWNED,
            may_adopt=True,
        )


def test_without_rivals_everybody_is_first() -> None:
    require_first(resource(), UID, [], FROM_SETTINGS)
