"""Refuse a data source that has our uid but is not ours: the first owner wins."""

from ..api.datasource import AdoptionPolicy, DataSource
from ..api.grafana_json import DataSourceState
from ..api.names import InstanceKey
from ..api.reasons import STALLED_REASONS, ConditionStatus, ConditionType, Reason
from ..errors import STALLED_RECHECK_SECONDS, Stalled
from ..payload.identity import Claim, Claimant, Owner, judge_claim, read_mark
from ..status.conditions import find_condition
from .failures import READ_ONLY_WAY_OUT
from .peers import Peers

_OUT = STALLED_REASONS - {Reason.DEFAULT_CONFLICT}


def is_adoption(
    state: DataSourceState,
    claimant: Claimant,
    peers: Peers,
    *,
    policy: AdoptionPolicy,
    may_adopt: bool,
) -> bool:
    """Return whether the data source may be written: False, it is ours; True, it is taken over.

    Args:
        state: what Grafana holds under our uid.
        claimant: who asks.
        peers: the other resources.
        policy: of the resource.
        may_adopt: whether the instance admits us as adopters.

    Raises:
        Stalled: ReadOnlyInGrafana, UidConflict or OwnershipConflict.
    """
    match judge_claim(state, claimant):
        case Claim.OURS:
            return False
        case Claim.READ_ONLY:
            raise _stalled(
                Reason.READ_ONLY_IN_GRAFANA,
                f'the data source with uid "{state.uid}" is provisioned from a file on the Grafana'
                f" server; {READ_ONLY_WAY_OUT}",
            )
        case Claim.FOREIGN if whose := _owner_of(state, claimant, peers):
            raise _stalled(
                Reason.OWNERSHIP_CONFLICT,
                f'the data source with uid "{state.uid}" is owned by {whose}; choose another uid',
            )
    if policy is AdoptionPolicy.IF_UNOWNED and may_adopt:
        return True
    raise _stalled(Reason.UID_CONFLICT, _unowned(state, policy))


def require_first(resource: DataSource, uid: str, rivals: list[DataSource]) -> None:
    """Let who is oldest create the data source, where several resources want the same uid.

    Raises:
        Stalled: OwnershipConflict, naming the one that goes first.
    """
    ours = seniority(resource)
    first = min(rivals, key=seniority, default=resource)
    if seniority(first) < ours:
        meta = first.metadata
        raise _stalled(
            Reason.OWNERSHIP_CONFLICT,
            f'GrafanaDataSource {meta.namespace}/{meta.name} is older and has the uid "{uid}", too;'
            " choose another uid",
        )


def is_out(rival: DataSource, instance: InstanceKey) -> bool:
    """Whether a rival waits for a person there: it is not to hold up the others.

    One that only lost the default still wants it.
    """
    recorded = rival.recorded(instance)
    if recorded is not None:
        return recorded.synced is ConditionStatus.FALSE and recorded.reason in _OUT
    ready = find_condition(rival.status.conditions, ConditionType.READY)
    return (
        ready is not None
        and ready.status is ConditionStatus.FALSE
        and ready.reason in _OUT
        and ready.observed_generation == rival.metadata.generation
    )


def seniority(resource: DataSource) -> tuple[str, str, str]:
    """The lower, the older: who is first where nothing else decides."""
    meta = resource.metadata
    return meta.creation_timestamp, meta.namespace, meta.name


def _owner_of(state: DataSourceState, claimant: Claimant, peers: Peers) -> str:
    """Who the mark says it is, or "" where that is a resource of ours that no longer exists."""
    mark = read_mark(state)
    if not isinstance(mark, Owner):
        return "another tool"
    if mark.owner_id not in {claimant.owner.owner_id, *claimant.accepted}:
        return f"{mark.namespace}/{mark.name} of another operator (owner id {mark.owner_id})"
    if peers.may_exist(mark.namespace, mark.name):
        return f"GrafanaDataSource {mark.namespace}/{mark.name}"
    return ""


def _unowned(state: DataSourceState, policy: AdoptionPolicy) -> str:
    text = (
        f'Grafana already has a data source with uid "{state.uid}" that this resource did not'
        " create; "
    )
    if policy is AdoptionPolicy.NEVER:
        return text + "to take it over, set spec.adoptionPolicy: IfUnowned; else choose another uid"
    return text + (
        "spec.allowedAdopters of the GrafanaInstance does not let this namespace take it over;"
        " choose another uid"
    )


def _stalled(reason: Reason, message: str) -> Stalled:
    return Stalled(reason, message, retry_after=STALLED_RECHECK_SECONDS)
