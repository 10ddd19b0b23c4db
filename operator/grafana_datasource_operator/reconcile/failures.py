"""What an error of Grafana means for a resource: reason, message, and when to look again."""

from pydantic import ValidationError

from ..api.reasons import Reason
from ..errors import STALLED_RECHECK_SECONDS, ReconcileError, Retrying, Stalled, invalid_spec
from ..grafana import errors
from ..payload.datasource import DesiredDataSource

PERMISSION_RECHECK_SECONDS = 30.0

READ_ONLY_WAY_OUT = (
    "to hand it over, set spec.adoptionPolicy: IfUnowned here and editable: true there, let Grafana"
    " reload, and take it out of the file once this resource is Ready; else choose another uid"
)
"""Without `editable: true` first, Grafana keeps what left the file read-only (measured)."""


def unreadable(error: ValidationError) -> Stalled:
    """The installed CRD let through what these models do not know."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    path = ".".join(str(part) for part in first["loc"])
    return invalid_spec(path, f"{first['msg']}; is the CRD of this release installed?")


def explain(error: errors.GrafanaError, desired: DesiredDataSource | None = None) -> ReconcileError:
    """The error as the resource's status tells it."""
    match error:
        case errors.Unreachable():
            return Retrying(Reason.GRAFANA_UNREACHABLE, error.message)
        case errors.Unauthorized():
            return Retrying(Reason.GRAFANA_UNAUTHORIZED, error.message)
        case errors.Unaskable():
            return Retrying(Reason.GRAFANA_ERROR, error.message, retry_after=error.retry_after)
        case errors.PermissionDenied():
            return Retrying(
                Reason.GRAFANA_UNAUTHORIZED,
                error.message,
                retry_after=PERMISSION_RECHECK_SECONDS,
            )
        case errors.ReadOnly():
            return _stalled(
                Reason.READ_ONLY_IN_GRAFANA,
                f"{error.message}; {READ_ONLY_WAY_OUT}",
            )
        case errors.QuotaReached():
            return _stalled(
                Reason.QUOTA_REACHED, f"{error.message}; raise the quota, or remove others"
            )
        case errors.AlreadyExists():
            name = f" {desired.shown_name}" if desired else ""
            return _stalled(
                Reason.NAME_CONFLICT,
                f"spec.name: another data source of the organization has the name{name};"
                " choose another name, or rename that one in Grafana",
            )
        case errors.Rejected():
            return _stalled(Reason.GRAFANA_REJECTED, error.message)
        case _:
            return Retrying(Reason.GRAFANA_ERROR, error.message)


def _stalled(reason: Reason, message: str) -> Stalled:
    return Stalled(reason, message, retry_after=STALLED_RECHECK_SECONDS)
