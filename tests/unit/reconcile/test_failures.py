"""What an error of Grafana means for a resource: its reason, and what to do about it."""

import inspect

import pytest

from grafana_datasource_operator.api.reasons import Reason
from grafana_datasource_operator.errors import STALLED_RECHECK_SECONDS, Retrying, Stalled
from grafana_datasource_operator.grafana import errors
from grafana_datasource_operator.reconcile.failures import PERMISSION_RECHECK_SECONDS, explain
from tests.unit.builders import desired_of

_CASES: list[tuple[errors.GrafanaError, Reason, bool, float | None, str]] = [
    (
        errors.Unreachable("no connection to Grafana"),
        Reason.GRAFANA_UNREACHABLE,
        False,
        None,
        "no connection to Grafana",
    ),
    (errors.Unauthorized("check it"), Reason.GRAFANA_UNAUTHORIZED, False, None, "check it"),
    (errors.Unavailable("HTTP 502"), Reason.GRAFANA_ERROR, False, None, "HTTP 502"),
    (
        errors.Unavailable("HTTP 429", retry_after=17),
        Reason.GRAFANA_ERROR,
        False,
        17,
        "HTTP 429",
    ),
    (errors.ServerFault("HTTP 500"), Reason.GRAFANA_ERROR, False, None, "HTTP 500"),
    (errors.Throttled("HTTP 429", retry_after=9), Reason.GRAFANA_ERROR, False, 9, "HTTP 429"),
    (errors.TimedOut("no answer"), Reason.GRAFANA_UNREACHABLE, False, None, "no answer"),
    (errors.Closed("closed"), Reason.GRAFANA_ERROR, False, None, "closed"),
    (errors.Unaskable("something"), Reason.GRAFANA_ERROR, False, None, "something"),
    (
        errors.PermissionDenied("needs datasources:create; give it Admin"),
        Reason.GRAFANA_UNAUTHORIZED,
        False,
        PERMISSION_RECHECK_SECONDS,
        "needs datasources:create; give it Admin",
    ),
    (
        errors.ReadOnly("provisioned from a file"),
        Reason.READ_ONLY_IN_GRAFANA,
        True,
        STALLED_RECHECK_SECONDS,
        "editable: true there, let Grafana reload, and take it out of the file once",
    ),
    (
        errors.QuotaReached("quota is reached"),
        Reason.QUOTA_REACHED,
        True,
        STALLED_RECHECK_SECONDS,
        "raise the quota, or remove others",
    ),
    (
        errors.AlreadyExists("taken"),
        Reason.NAME_CONFLICT,
        True,
        STALLED_RECHECK_SECONDS,
        "choose another name, or rename that one",
    ),
    (
        errors.Rejected('HTTP 400: "bad url"'),
        Reason.GRAFANA_REJECTED,
        True,
        STALLED_RECHECK_SECONDS,
        'HTTP 400: "bad url"',
    ),
    (errors.NotFound("gone"), Reason.GRAFANA_ERROR, False, None, "gone"),
    (errors.VersionConflict("too late"), Reason.GRAFANA_ERROR, False, None, "too late"),
    (errors.GrafanaError("whatever"), Reason.GRAFANA_ERROR, False, None, "whatever"),
]


@pytest.mark.parametrize(
    ("error", "reason", "stalls", "retry_after", "said"),
    _CASES,
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_each_error_has_its_reason_its_remedy_and_its_next_look(
    error: errors.GrafanaError,
    reason: Reason,
    stalls: bool,
    retry_after: float | None,
    said: str,
) -> None:
    told = explain(error)
    assert type(told) is (Stalled if stalls else Retrying)
    assert (told.reason, told.retry_after) == (reason, retry_after)
    assert said in told.message


def test_no_kind_of_error_was_left_out() -> None:
    kinds = {
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.GrafanaError)
    }
    assert {type(error) for error, *_ in _CASES} == kinds


def test_a_name_that_is_taken_is_named() -> None:
    told = explain(errors.AlreadyExists("taken"), desired_of(name="Prometheus EU"))
    assert told.message.startswith("spec.name: ")
    assert '"Prometheus EU"' in told.message
