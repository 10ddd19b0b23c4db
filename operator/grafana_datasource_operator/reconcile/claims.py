"""Refuse a data source that has our uid but is not ours: the first owner wins."""

from collections.abc import Callable

from ..api.grafana_json import DataSourceState
from ..api.reasons import Reason
from ..errors import STALLED_RECHECK_SECONDS, Stalled
from ..payload.identity import Claim, Claimant, Owner, judge_claim, read_mark

Exists = Callable[[str, str], bool]
"""Whether the resource (namespace, name) exists, as far as this operator can know."""


def require_ours(state: DataSourceState, claimant: Claimant, exists: Exists) -> None:
    """Return if the data source may be written.

    Raises:
        Stalled: ReadOnlyInGrafana, UidConflict or OwnershipConflict.
    """
    match judge_claim(state, claimant):
        case Claim.READ_ONLY:
            raise _stalled(
                Reason.READ_ONLY_IN_GRAFANA,
                f'the data source with uid "{state.uid}" is provisioned from a file on the Grafana'
                " server; remove it there, or choose another uid",
            )
        case Claim.UNOWNED:
            raise _unowned(state)
        case Claim.FOREIGN:
            raise _foreign(state, claimant, exists)


def _foreign(state: DataSourceState, claimant: Claimant, exists: Exists) -> Stalled:
    mark = read_mark(state)
    if not isinstance(mark, Owner):
        whose = "another tool"
    elif mark.owner_id != claimant.owner.owner_id:
        whose = f"{mark.namespace}/{mark.name} of another operator (owner id {mark.owner_id})"
    elif exists(mark.namespace, mark.name):
        whose = f"GrafanaDataSource {mark.namespace}/{mark.name}"
    else:
        return _unowned(state)
    return _stalled(
        Reason.OWNERSHIP_CONFLICT,
        f'the data source with uid "{state.uid}" is owned by {whose}; choose another uid',
    )


def _unowned(state: DataSourceState) -> Stalled:
    return _stalled(
        Reason.UID_CONFLICT,
        f'Grafana already has a data source with uid "{state.uid}" that this resource did not'
        " create; remove it there, or choose another uid",
    )


def _stalled(reason: Reason, message: str) -> Stalled:
    return Stalled(reason, message, retry_after=STALLED_RECHECK_SECONDS)
