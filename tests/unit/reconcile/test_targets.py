"""Which Grafanas a resource is to live on, and what is told where it may not."""

from typing import Any

import pytest

from grafana_datasource_operator.api.datasource import DataSource
from grafana_datasource_operator.api.instance import From, LabelSelector
from grafana_datasource_operator.api.names import FROM_SETTINGS, InstanceKey
from grafana_datasource_operator.api.reasons import Reason
from grafana_datasource_operator.errors import (
    STALLED_RECHECK_SECONDS,
    ReconcileError,
    Retrying,
    Stalled,
)
from grafana_datasource_operator.reconcile.admission import Admission
from grafana_datasource_operator.reconcile.fleet import Fleet, Member
from grafana_datasource_operator.reconcile.targets import MOST_INSTANCES, Targets
from tests.unit.builders import SPEC, resource
from tests.unit.reconcile.pretended_grafana import a_connection
from tests.unit.virtual_time import in_virtual_time

Json = dict[str, Any]

HOME, FAR = "monitoring", "grafana"
LABELS = {"monitoring": {"team": "a"}}
PROD = {"tier": "prod"}


async def _read_labels(namespace: str) -> dict[str, str]:
    return LABELS.get(namespace, {})


def _member(namespace: str, name: str, **fields: Any) -> Member:
    admission = Admission(From.SAME, namespace)
    return Member(
        **{
            "key": InstanceKey(namespace, name),
            "users": admission,
            "connection": a_connection(),
            **fields,
        }
    )


def _targets(*members: Member, default: InstanceKey | None = None) -> Targets:
    fleet = Fleet(lambda _: None)
    for member in members:
        fleet.put(member)
    return Targets(fleet, default, _read_labels)


def _referring(**spec: Any) -> DataSource:
    status = spec.pop("status", None)
    return resource(spec={**SPEC, **spec}, status=status)


def _selecting(**more: Any) -> DataSource:
    return _referring(instanceSelector={"matchLabels": PROD, **more})


async def _refusal(targets: Targets, wanted: DataSource) -> ReconcileError:
    """Why a resource does not get where it is to live."""
    with pytest.raises(ReconcileError) as refused:
        await _allowed(targets, wanted)
    return refused.value


async def _allowed(targets: Targets, wanted: DataSource) -> list[InstanceKey]:
    return [(await targets.member(key, wanted)).key for key in await targets.find(wanted)]


# --- the default --------------------------------------------------------------------------------


def _default(*names: str) -> Member:
    admission = Admission(From.ALL, names=frozenset(names))
    return Member(FROM_SETTINGS, users=admission, adopters=admission, connection=a_connection())


@in_virtual_time
async def test_everybody_may_use_the_default_instance_unless_somebody_is_named() -> None:
    targets = _targets(_default(), default=FROM_SETTINGS)
    assert await _allowed(targets, resource(namespace="any")) == [FROM_SETTINGS]


@in_virtual_time
async def test_where_namespaces_are_named_only_these_may_use_it() -> None:
    targets = _targets(_default("monitoring"), default=FROM_SETTINGS)
    assert await _allowed(targets, resource(namespace="monitoring")) == [FROM_SETTINGS]
    refused = await _refusal(targets, resource(namespace="other"))
    assert isinstance(refused, Stalled)
    assert 'namespace "other" may not use' in refused.message
    assert refused.reason is Reason.INSTANCE_NOT_ALLOWED
    assert "GDSO_GRAFANA_ALLOWED_NAMESPACES" in refused.message


@in_virtual_time
async def test_what_is_no_longer_allowed_is_still_known_for_cleaning_up() -> None:
    targets = _targets(_default("monitoring"), default=FROM_SETTINGS)
    assert targets.keys_of(resource(namespace="other")) == [FROM_SETTINGS]
    assert targets.fleet.get(FROM_SETTINGS) is not None


@in_virtual_time
async def test_without_a_default_instance_a_resource_waits_for_one() -> None:
    refused = await _refusal(_targets(_member(HOME, "main")), resource())
    assert isinstance(refused, Retrying)
    assert refused.reason is Reason.WAITING_FOR_INSTANCE
    for said in ("spec.instanceRef", "GDSO_DEFAULT_INSTANCE", "GDSO_GRAFANA_URL"):
        assert said in refused.message


@in_virtual_time
async def test_the_default_may_be_a_grafana_instance() -> None:
    main = InstanceKey(FAR, "main")
    open_to_all = _member(FAR, "main", users=Admission(From.ALL))
    assert await _allowed(_targets(open_to_all, default=main), resource()) == [main]
    refused = await _refusal(_targets(default=main), resource())
    assert refused.reason is Reason.WAITING_FOR_INSTANCE
    assert "does not exist" in refused.message


@in_virtual_time
async def test_whoever_names_an_instance_does_not_get_the_default() -> None:
    targets = _targets(_default(), _member(HOME, "main"), default=FROM_SETTINGS)
    named = _referring(instanceRef={"name": "main"})
    assert await _allowed(targets, named) == [InstanceKey(HOME, "main")]


# --- a reference --------------------------------------------------------------------------------


@in_virtual_time
async def test_an_instance_of_our_own_namespace_admits_us() -> None:
    targets = _targets(_member(HOME, "main"), _member(FAR, "main"))
    for reference in ({"name": "main"}, {"name": "main", "namespace": HOME}):
        found = await _allowed(targets, _referring(instanceRef=reference))
        assert found == [InstanceKey(HOME, "main")]


@in_virtual_time
async def test_an_instance_of_our_own_namespace_that_is_missing_is_waited_for() -> None:
    refused = await _refusal(_targets(), _referring(instanceRef={"name": "main"}))
    assert isinstance(refused, Retrying)
    assert refused.reason is Reason.WAITING_FOR_INSTANCE
    assert refused.message == ('GrafanaInstance "main" in namespace "monitoring" does not exist')


@in_virtual_time
async def test_an_instance_of_another_namespace_admits_whom_it_says() -> None:
    targets = _targets(
        _member(FAR, "all", users=Admission(From.ALL)),
        _member(
            FAR,
            "some",
            users=Admission(From.SELECTOR, FAR, LabelSelector(match_labels={"team": "a"})),
        ),
    )
    for name in ("all", "some"):
        wanted = _referring(instanceRef={"name": name, "namespace": FAR})
        assert await _allowed(targets, wanted) == [InstanceKey(FAR, name)]


_DENYING = [
    Admission(From.SAME, FAR),
    Admission(From.NONE, FAR),
    Admission(From.SELECTOR, FAR, LabelSelector(match_labels={"team": "b"})),
]


@pytest.mark.parametrize("users", _DENYING)
@pytest.mark.parametrize("problem", ["", "is suspended"])
@in_virtual_time
async def test_whoever_is_not_admitted_is_not_told_whether_there_is_an_instance(
    users: Admission, problem: str
) -> None:
    wanted = _referring(instanceRef={"name": "main", "namespace": FAR})
    there = _member(FAR, "main", users=users, problem=problem, is_leaving=bool(problem))
    denied, missing = [await _refusal(_targets(*them), wanted) for them in ([there], [])]
    assert denied.message == missing.message
    assert (denied.reason, denied.retry_after) == (missing.reason, missing.retry_after)
    assert type(denied) is type(missing) is Stalled
    assert denied.reason is Reason.INSTANCE_NOT_ALLOWED
    assert denied.retry_after == STALLED_RECHECK_SECONDS
    assert "spec.allowedNamespaces" in denied.message


@pytest.mark.parametrize("default", [None, FROM_SETTINGS, InstanceKey(FAR, "other")])
@in_virtual_time
async def test_nor_does_a_default_change_that(default: InstanceKey | None) -> None:
    wanted = _referring(instanceRef={"name": "main", "namespace": FAR})
    members = [_member(FAR, "main")]
    denied, missing = [
        await _refusal(_targets(*them, default=default), wanted) for them in (members, [])
    ]
    assert denied.message == missing.message


# --- what cannot be used ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "state",
    [
        {"problem": "is suspended", "connection": None},
        {"problem": "cannot be used (WaitingForSecret)", "connection": None},
        {"problem": "cannot be used (WaitingForSecret)"},
    ],
)
@in_virtual_time
async def test_an_instance_with_a_problem_is_waited_for(state: Json) -> None:
    refused = await _refusal(
        _targets(_member(HOME, "main", **state)), _referring(instanceRef={"name": "main"})
    )
    assert isinstance(refused, Retrying)
    assert refused.reason is Reason.WAITING_FOR_INSTANCE
    assert refused.message.endswith(str(state["problem"]))


_ON_IT: Json = {"namespace": HOME, "name": "main", "id": 7}


@in_virtual_time
async def test_nothing_new_begins_on_an_instance_that_is_being_deleted() -> None:
    targets = _targets(_member(HOME, "main", is_leaving=True))
    reference = {"name": "main"}
    for instances in ([], [{**_ON_IT, "id": None}]):
        wanted = _referring(instanceRef=reference, status={"instances": instances})
        refused = await _refusal(targets, wanted)
        assert refused.reason is Reason.WAITING_FOR_INSTANCE
        assert "is being deleted" in refused.message
    there = _referring(instanceRef=reference, status={"instances": [_ON_IT]})
    assert await _allowed(targets, there) == [InstanceKey(HOME, "main")]


# --- a selector ---------------------------------------------------------------------------------


@in_virtual_time
async def test_a_selector_takes_all_of_one_namespace_with_these_labels_and_more() -> None:
    targets = _targets(
        _member(HOME, "b", labels={**PROD, "more": "x"}),
        _member(HOME, "a", labels=PROD),
        _member(HOME, "other", labels={"tier": "dev"}),
        _member(HOME, "bare"),
        _member(FAR, "a", labels=PROD, users=Admission(From.ALL)),
    )
    assert await _allowed(targets, _selecting()) == [
        InstanceKey(HOME, "a"),
        InstanceKey(HOME, "b"),
    ]
    assert await _allowed(targets, _selecting(namespace=FAR)) == [InstanceKey(FAR, "a")]


@in_virtual_time
async def test_of_another_namespace_only_those_count_that_admit_us() -> None:
    targets = _targets(
        _member(FAR, "open", labels=PROD, users=Admission(From.ALL)),
        _member(FAR, "closed", labels=PROD),
    )
    assert await _allowed(targets, _selecting(namespace=FAR)) == [InstanceKey(FAR, "open")]


@in_virtual_time
async def test_a_selector_without_a_match_is_waited_for() -> None:
    refused = await _refusal(_targets(_member(HOME, "main")), _selecting())
    assert isinstance(refused, Retrying)
    assert refused.reason is Reason.WAITING_FOR_INSTANCE
    assert f'no GrafanaInstance in namespace "{HOME}" has these labels' in refused.message


@in_virtual_time
async def test_a_selector_does_not_tell_instances_that_do_not_admit_from_none() -> None:
    closed = _member(FAR, "closed", labels=PROD)
    texts = {
        (await _refusal(_targets(*them), _selecting(namespace=FAR))).message
        for them in ([closed], [])
    }
    assert len(texts) == 1


@in_virtual_time
async def test_more_instances_than_status_can_hold_are_refused() -> None:
    members = [_member(HOME, f"i-{number:02d}", labels=PROD) for number in range(64)]
    assert len(await _allowed(_targets(*members), _selecting())) == MOST_INSTANCES
    refused = await _refusal(_targets(*members, _member(HOME, "more", labels=PROD)), _selecting())
    assert refused.reason is Reason.INVALID_SPEC
    assert "selects 65 instances, at most 64" in refused.message


@in_virtual_time
async def test_instances_that_do_not_admit_us_do_not_count_towards_that_limit() -> None:
    members = [
        _member(FAR, f"i-{number:02d}", labels=PROD, users=Admission(From.ALL))
        for number in range(64)
    ]
    closed = [_member(FAR, f"closed-{number}", labels=PROD) for number in range(5)]
    targets = _targets(*members, *closed)
    assert len(await targets.find(_selecting(namespace=FAR))) == MOST_INSTANCES


# --- adoption -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("adopters", "may"),
    [
        (Admission(From.NONE), False),
        (Admission(From.SAME, HOME), True),
        (Admission(From.SAME, FAR), False),
        (Admission(From.ALL), True),
    ],
)
@in_virtual_time
async def test_who_may_adopt_is_a_rule_of_its_own(adopters: Admission, may: bool) -> None:
    member = _member(HOME, "main", users=Admission(From.ALL), adopters=adopters)
    assert await _targets(member).may_adopt(member, HOME) is may
