"""The error tree: what stalls, what resolves by itself, and what it says."""

import pytest

from grafana_datasource_operator.api.reasons import GRAFANA_FAILURES, STALLED_REASONS, Reason
from grafana_datasource_operator.errors import ReconcileError, Retrying, Stalled, invalid_spec


@pytest.mark.parametrize("reason", sorted(STALLED_REASONS))
def test_a_reason_that_needs_a_person_stalls(reason: Reason) -> None:
    error = Stalled(reason, "Do this", retry_after=60)
    assert isinstance(error, ReconcileError)
    assert (error.reason, error.message, error.retry_after, str(error)) == (
        reason,
        "Do this",
        60,
        "Do this",
    )


@pytest.mark.parametrize("reason", sorted(set(Reason) - STALLED_REASONS))
def test_a_reason_that_resolves_by_itself_cannot_stall(reason: Reason) -> None:
    with pytest.raises(ValueError, match="is not a reason that stalls"):
        Stalled(reason, "Wait")
    assert Retrying(reason, "Wait").retry_after is None


def test_that_grafana_cannot_be_asked_needs_nobody_at_the_resource() -> None:
    assert not GRAFANA_FAILURES & STALLED_REASONS


def test_an_invalid_spec_is_told_by_its_path() -> None:
    error = invalid_spec("spec.url", "must be set")
    assert (error.reason, error.message) == (Reason.INVALID_SPEC, "spec.url: must be set")
