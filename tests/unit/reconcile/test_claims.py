"""Whose a data source with our uid is, as its resource is told: the first owner wins."""

from typing import Any

import pytest

from grafana_datasource_operator.api.names import OWNER_KEY
from grafana_datasource_operator.api.reasons import Reason
from grafana_datasource_operator.errors import STALLED_RECHECK_SECONDS, Stalled
from grafana_datasource_operator.payload.identity import Claimant
from grafana_datasource_operator.reconcile.claims import require_ours
from tests.unit.builders import OWNER, UID, state

EXISTING = {("monitoring", "loki")}


def _exists(namespace: str, name: str) -> bool:
    return (namespace, name) in EXISTING


def _refusal(*, recorded_id: int | None = None, mark: Any = None, **fields: Any) -> Stalled:
    json_data = {} if mark is None else {OWNER_KEY: mark}
    with pytest.raises(Stalled) as refused:
        require_ours(state(jsonData=json_data, **fields), Claimant(OWNER, recorded_id), _exists)
    assert f'uid "{UID}"' in refused.value.message
    assert "choose another uid" in refused.value.message
    return refused.value


@pytest.mark.parametrize("recorded_id", [None, 7, 8])
def test_what_has_our_mark_may_be_written(recorded_id: int | None) -> None:
    require_ours(state(id=7), Claimant(OWNER, recorded_id), _exists)


def test_what_lost_its_mark_may_be_written_by_whoever_recorded_its_id() -> None:
    require_ours(state(id=7, jsonData=None), Claimant(OWNER, 7), _exists)


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
