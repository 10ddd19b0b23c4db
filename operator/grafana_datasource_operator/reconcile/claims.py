"""Refuse a data source that has our uid but is not ours: the first owner wins."""

from ..api.datasource import AdoptionPolicy, DataSource
from ..api.grafana_json import DataSourceState
from ..api.names import InstanceKey
from ..api.reasons import Reason
from ..errors import STALLED_RECHECK_SECONDS, Stalled
from ..payload.datasource import DesiredDataSource
from ..payload.identity import Claim, Claimant, Owner, judge_claim, read_mark
from .failures import READ_ONLY_WAY_OUT
from .peers import Peers

_FORMER_ID = (
    ": if that is a former owner id of this one, ask who runs it to name it in GDSO_OWNER_ID_ACCEPT"
)


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


def require_first(
    resource: DataSource, uid: str, rivals: list[DataSource], instance: InstanceKey
) -> None:
    """Let one go first, where several want the data source: who had it before, else the oldest.

    Raises:
        Stalled: OwnershipConflict, naming the one that goes first.
    """

    def rank(one: DataSource) -> tuple[object, ...]:
        recorded = one.recorded(instance)
        return recorded is None or recorded.id is None, *seniority(one)

    first = min([resource, *rivals], key=rank)
    if rank(first) < rank(resource):
        raise _stalled(
            Reason.OWNERSHIP_CONFLICT,
            f'{named(first)} has the uid "{uid}", too, and goes first: who had it before, then'
            " the oldest; choose another uid",
        )


def require_first_for_name(
    resource: DataSource, desired: DesiredDataSource, rivals: list[DataSource]
) -> None:
    """Let the oldest go first, where several want a display name that nobody has.

    Raises:
        Stalled: NameConflict, naming the one that goes first.
    """
    first = min([resource, *rivals], key=seniority)
    if seniority(first) < seniority(resource):
        raise _stalled(
            Reason.NAME_CONFLICT,
            f"spec.name: {named(first)} is older and wants the name {desired.shown_name}, too;"
            " choose another name",
        )


def seniority(resource: DataSource) -> tuple[str, str, str]:
    """The lower, the older: who is first where nothing else decides."""
    meta = resource.metadata
    return meta.creation_timestamp, meta.namespace, meta.name


def named(resource: DataSource) -> str:
    """The resource as messages name it."""
    return f"GrafanaDataSource {resource.metadata.namespace}/{resource.metadata.name}"


def _owner_of(state: DataSourceState, claimant: Claimant, peers: Peers) -> str:
    """Who the mark says it is, or "" where that is a resource of ours that no longer exists."""
    mark = read_mark(state)
    if not isinstance(mark, Owner):
        return "another tool"
    if mark.owner_id not in {claimant.owner.owner_id, *claimant.accepted}:
        whose = f"{mark.namespace}/{mark.name} of another operator (owner id {mark.owner_id})"
        return whose + (_FORMER_ID if mark[1:] == claimant.owner[1:] else "")
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
