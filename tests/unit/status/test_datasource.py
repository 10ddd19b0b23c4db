"""From outcome to status: the rules of kstatus, and no write where nothing changed."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grafana_datasource_operator.api.conditions import MAX_MESSAGE
from grafana_datasource_operator.api.datasource import DataSource, DataSourceStatus
from grafana_datasource_operator.api.names import (
    FROM_SETTINGS,
    RECONCILE_REQUESTED_AT,
    InstanceKey,
)
from grafana_datasource_operator.api.reasons import (
    GRAFANA_FAILURES,
    STALLED_REASONS,
    ConditionStatus,
    ConditionType,
    Reason,
)
from grafana_datasource_operator.status.conditions import find_condition, shorten
from grafana_datasource_operator.status.datasource import build_status
from grafana_datasource_operator.status.outcome import (
    Action,
    Deferred,
    Facts,
    NotSynced,
    Outcome,
    Released,
    Report,
    Synced,
    Unseen,
)
from tests.kstatus import broken_rules
from tests.unit.builders import raw_resource

Json = dict[str, Any]

MORNING, NOON, EVENING = (f"2026-01-02T{hour}:00:00Z" for hour in ("06", "12", "18"))

FACTS = Facts(id=7, version=3, secrets_revision="5c1f")
SUSPENDED = Report(is_suspended=True)
_NOT_READY = sorted(set(Reason) - {Reason.PENDING, Reason.SYNCED, Reason.SUSPENDED, Reason.DRY_RUN})


def _report(outcome: Outcome | Report) -> Report:
    """A look at a resource that lives on the instance from the settings alone."""
    if isinstance(outcome, Report):
        return outcome
    gone = isinstance(outcome, Released)
    return Report({FROM_SETTINGS: outcome}, summary="default", is_released=gone)


class Story:
    """A resource whose status is stored after every look, as the workers do."""

    def __init__(self, **metadata: Any) -> None:
        self.raw: Json = raw_resource(**metadata)

    @property
    def resource(self) -> DataSource:
        return DataSource.model_validate(self.raw)

    @property
    def status(self) -> DataSourceStatus:
        return self.resource.status

    def edit(self) -> "Story":
        """Somebody changes the spec."""
        self.raw["metadata"]["generation"] += 1
        return self

    def look(self, outcome: Outcome | Report, now: str = MORNING) -> "Story":
        status = build_status(self.resource, _report(outcome), now)
        if status is not None:
            stored = status.model_dump(mode="json", by_alias=True, exclude_none=True)
            self.raw = {**self.raw, "status": stored}
        return self

    def condition(self, kind: ConditionType) -> tuple[str, str, int, str]:
        """status, reason, observedGeneration, lastTransitionTime."""
        found = find_condition(self.status.conditions, kind)
        assert found is not None
        return (
            found.status.value,
            found.reason.value,
            found.observed_generation,
            found.last_transition_time,
        )

    @property
    def types(self) -> list[str]:
        return [c.type.value for c in self.status.conditions]


def _trouble(reason: Reason = Reason.GRAFANA_REJECTED) -> NotSynced:
    return NotSynced(reason, "What is wrong and what to do")


_outcomes: st.SearchStrategy[Outcome | Report] = st.one_of(
    st.builds(
        Synced,
        st.builds(Facts, st.integers(1, 9), st.integers(1, 9), st.none() | st.just("5c1f")),
        st.none() | st.sampled_from(Action),
        st.just("") | st.just("except that no update clears the old url"),
    ),
    st.builds(NotSynced, st.sampled_from(_NOT_READY), st.text(min_size=1, max_size=2000)),
    st.builds(
        Unseen, st.sampled_from(sorted(GRAFANA_FAILURES)), st.just("Gone fishing"), st.booleans()
    ),
    st.just(SUSPENDED),
    st.just(Deferred(1.0)),
    st.just(Released(None, "Gone")),
)
_steps = st.lists(st.tuples(st.booleans(), _outcomes), min_size=1, max_size=6)


# --- rules that always hold ---------------------------------------------------------------------


@given(_steps)
def test_every_status_on_the_way_keeps_the_rules_of_kstatus(
    steps: list[tuple[bool, Outcome | Report]],
) -> None:
    story = Story().look(_trouble())
    for edited, outcome in steps:
        if edited:
            story.edit()
        story.look(outcome)
        assert broken_rules(story.raw) == []


@given(_steps, _outcomes)
def test_the_same_outcome_again_changes_nothing(
    steps: list[tuple[bool, Outcome | Report]], last: Outcome | Report
) -> None:
    story = Story()
    for edited, outcome in steps:
        if edited:
            story.edit()
        story.look(outcome, MORNING)
    once = story.look(last, NOON).raw
    assert story.look(last, EVENING).raw == once


@given(_steps)
def test_a_time_moves_exactly_when_the_status_of_its_condition_flips(
    steps: list[tuple[bool, Outcome | Report]],
) -> None:
    story = Story()
    for number, (edited, outcome) in enumerate(steps):
        if edited:
            story.edit()
        before = {c.type: c for c in story.status.conditions}
        now = f"2026-01-02T00:00:{number:02d}Z"
        for condition in story.look(outcome, now).status.conditions:
            old = before.get(condition.type)
            flipped = old is None or old.status is not condition.status
            time = now if flipped or old is None else old.last_transition_time
            assert condition.last_transition_time == time


# --- one by one ---------------------------------------------------------------------------------


def test_a_resource_in_sync_is_ready_and_nothing_else() -> None:
    story = Story(generation=4).look(Synced(FACTS))
    assert story.types == ["Ready"]
    assert story.condition(ConditionType.READY) == ("True", "Synced", 4, MORNING)
    status = story.status
    assert (status.observed_generation, status.uid, status.instance_summary) == (
        4,
        "monitoring_prometheus",
        "default",
    )
    (instance,) = status.instances
    assert (instance.namespace, instance.name) == ("-", "default")
    assert (instance.id, instance.version, instance.secrets_revision) == (7, 3, "5c1f")
    assert (instance.synced, instance.reason, instance.message) == (
        ConditionStatus.TRUE,
        Reason.SYNCED,
        "",
    )


def test_what_no_update_can_bring_about_is_said_although_ready() -> None:
    note = "except that no update clears the old url"
    story = Story().look(Synced(FACTS, note=note))
    ready = find_condition(story.status.conditions, ConditionType.READY)
    assert ready is not None
    assert ready.message == f"Grafana holds this state; {note}"
    assert story.status.instances[0].message == note


@pytest.mark.parametrize("reason", _NOT_READY)
def test_trouble_is_not_ready_and_says_whether_a_person_is_needed(reason: Reason) -> None:
    story = Story().look(Synced(FACTS)).edit().look(_trouble(reason), NOON)
    beside = "Stalled" if reason in STALLED_REASONS else "Reconciling"
    assert story.types == ["Ready", beside]
    assert story.condition(ConditionType.READY) == ("False", reason.value, 2, NOON)
    assert story.condition(ConditionType(beside)) == ("True", reason.value, 2, NOON)
    assert {c.message for c in story.status.conditions} == {"What is wrong and what to do"}
    assert story.status.observed_generation == 2


def test_trouble_keeps_what_is_known_of_the_data_source() -> None:
    (instance,) = Story().look(Synced(FACTS)).look(_trouble()).status.instances
    assert (instance.id, instance.version, instance.secrets_revision) == (7, 3, "5c1f")
    assert (instance.synced, instance.reason) == (
        ConditionStatus.FALSE,
        Reason.GRAFANA_REJECTED,
    )


def test_stalled_gives_way_to_reconciling_and_both_to_ready() -> None:
    story = Story().look(_trouble(Reason.INVALID_SPEC))
    assert story.types == ["Ready", "Stalled"]
    story.look(_trouble(Reason.GRAFANA_UNREACHABLE), NOON)
    assert story.types == ["Ready", "Reconciling"]
    assert story.condition(ConditionType.READY)[3] == MORNING
    assert story.condition(ConditionType.RECONCILING)[3] == NOON
    assert story.look(Synced(FACTS), EVENING).types == ["Ready"]


@pytest.mark.parametrize("reason", sorted(GRAFANA_FAILURES))
def test_an_outage_that_hides_nothing_pending_leaves_the_status_alone_for_a_resync(
    reason: Reason,
) -> None:
    story = Story().look(Synced(FACTS))
    before = story.raw
    assert story.look(Unseen(reason, "No connection", expired=False), NOON).raw is before


@pytest.mark.parametrize("reason", sorted(GRAFANA_FAILURES))
def test_after_a_resync_without_a_look_nobody_knows(reason: Reason) -> None:
    story = Story().look(Synced(FACTS)).look(Unseen(reason, "No connection", expired=True), NOON)
    assert story.types == ["Ready", "Reconciling"]
    assert story.condition(ConditionType.READY) == ("Unknown", reason.value, 1, NOON)
    assert story.status.instances[0].synced is ConditionStatus.UNKNOWN
    assert story.status.instances[0].id == 7


@pytest.mark.parametrize("outcome", [Deferred(0.5), Released(Action.DELETED, "Deleted")])
def test_some_outcomes_leave_the_status_as_it_is(outcome: Outcome) -> None:
    assert build_status(Story().look(Synced(FACTS)).resource, _report(outcome), NOON) is None


@pytest.mark.parametrize(
    ("before", "ready"),
    [
        ([Synced(FACTS)], "True"),
        ([Synced(FACTS), _trouble()], "False"),
        ([Synced(FACTS), Unseen(Reason.GRAFANA_ERROR, "Away", expired=True)], "Unknown"),
        ([], "Unknown"),
        ([_trouble(Reason.WAITING_FOR_SECRET)], "Unknown"),
    ],
)
def test_suspended_is_as_ready_as_before_if_it_was_ever_in_sync(
    before: list[Outcome], ready: str
) -> None:
    story = Story()
    for outcome in before:
        story.look(outcome)
    seen = story.status.observed_generation
    story.edit().look(SUSPENDED, NOON)
    assert story.types == ["Ready"]
    assert story.condition(ConditionType.READY)[:3] == (ready, "Suspended", seen)
    assert story.status.observed_generation == seen


def test_suspending_and_resuming_does_not_move_the_time_of_a_ready_resource() -> None:
    story = Story().look(Synced(FACTS)).look(SUSPENDED, NOON).look(Synced(FACTS), EVENING)
    assert story.condition(ConditionType.READY) == ("True", "Synced", 1, MORNING)


@pytest.mark.parametrize(
    "outcome", [Synced(FACTS), _trouble(), SUSPENDED, Unseen(Reason.GRAFANA_ERROR, "!", True)]
)
def test_health_is_nobody_s_business_here_and_is_kept(outcome: Outcome | Report) -> None:
    story = Story().look(Synced(FACTS))
    healthy = {
        **story.raw["status"]["conditions"][0],
        "type": "Healthy",
        "status": "False",
        "message": "connection refused",
    }
    story.raw["status"]["conditions"].append(healthy)
    story.look(outcome, NOON)
    assert story.raw["status"]["conditions"][-1] == healthy


@pytest.mark.parametrize("outcome", [Synced(FACTS), _trouble(), SUSPENDED])
def test_a_request_to_reconcile_is_acknowledged(outcome: Outcome | Report) -> None:
    story = Story(annotations={RECONCILE_REQUESTED_AT: "2026-07-07"}).look(outcome)
    assert story.status.last_handled_reconcile_at == "2026-07-07"
    del story.raw["metadata"]["annotations"]
    assert story.look(outcome).status.last_handled_reconcile_at == "2026-07-07"


def test_an_endless_request_is_acknowledged_as_far_as_the_schema_admits() -> None:
    story = Story(annotations={RECONCILE_REQUESTED_AT: "x" * 1000}).look(Synced(FACTS))
    assert story.status.last_handled_reconcile_at == "x" * 253


def test_the_uid_of_the_spec_is_shown() -> None:
    story = Story(spec={"type": "cloudwatch", "uid": "Mine"}).look(Synced(FACTS))
    assert story.status.uid == "Mine"


@pytest.mark.parametrize("length", [0, 1, MAX_MESSAGE - 1, MAX_MESSAGE])
def test_a_message_that_fits_stays_whole(length: int) -> None:
    assert shorten("m" * length) == "m" * length


@pytest.mark.parametrize("length", [MAX_MESSAGE + 1, 100_000])
def test_a_message_that_does_not_fit_is_cut_where_it_can_be_seen(length: int) -> None:
    assert shorten("m" * length) == "m" * (MAX_MESSAGE - 1) + "…"
    status = Story().look(NotSynced(Reason.GRAFANA_REJECTED, "m" * length)).status
    messages = [c.message for c in status.conditions] + [i.message for i in status.instances]
    assert {len(message) for message in messages} == {MAX_MESSAGE}


# --- several instances --------------------------------------------------------------------------

A, B, C = (InstanceKey("monitoring", name) for name in "abc")
SUMMARY = "2/3"


def _several(**more: Any) -> Report:
    outcomes: dict[InstanceKey, Outcome] = {A: Synced(FACTS), B: Synced(FACTS), C: Synced(FACTS)}
    return Report(outcomes | {_KEYS[name]: one for name, one in more.items()}, summary=SUMMARY)


_KEYS = {"a": A, "b": B, "c": C}


def _message(story: Story, kind: ConditionType = ConditionType.READY) -> str:
    found = find_condition(story.status.conditions, kind)
    assert found is not None
    return found.message


def test_all_in_sync_is_ready_and_says_how_many() -> None:
    story = Story().look(_several())
    assert story.condition(ConditionType.READY)[:2] == ("True", "Synced")
    assert _message(story) == "All 3 instances hold this state"
    assert story.status.instance_summary == SUMMARY
    assert [one.key for one in story.status.instances] == [A, B, C]


def test_a_note_of_one_is_told_with_its_name() -> None:
    story = Story().look(_several(b=Synced(FACTS, note="except the old url")))
    assert _message(story) == ("All 3 instances hold this state; monitoring/b: except the old url")


_DRY = NotSynced(Reason.DRY_RUN, "would create the data source")
_AWAY = NotSynced(Reason.GRAFANA_UNREACHABLE, "no connection")
_UNKNOWN = Unseen(Reason.GRAFANA_ERROR, "HTTP 502", expired=True)


@pytest.mark.parametrize(
    ("outcomes", "worst"),
    [
        ({"a": _trouble(), "b": _AWAY, "c": _UNKNOWN}, "a"),
        ({"a": _AWAY, "b": _trouble(), "c": _UNKNOWN}, "b"),
        ({"a": _UNKNOWN, "b": _AWAY}, "b"),
        ({"b": _UNKNOWN}, "b"),
        ({"c": _DRY}, "c"),
        ({"a": _DRY, "b": _AWAY}, "b"),
        ({"a": _trouble(Reason.NAME_CONFLICT), "b": _trouble(Reason.UID_CONFLICT)}, "a"),
    ],
)
def test_the_worst_wins_with_its_reason_and_its_name(
    outcomes: dict[str, NotSynced | Unseen], worst: str
) -> None:
    story = Story().look(_several()).look(_several(**outcomes), NOON)
    outcome = outcomes[worst]
    assert story.condition(ConditionType.READY)[1] == outcome.reason.value
    assert _message(story) == f"{_KEYS[worst]}: {outcome.message}"
    assert broken_rules(story.raw) == []
    synced = {one.key: one.synced for one in story.status.instances}
    for name, key in _KEYS.items():
        assert (synced[key] is ConditionStatus.TRUE) is (name not in outcomes)


def test_dry_run_is_unknown_and_nobody_is_at_work() -> None:
    story = Story().look(NotSynced(Reason.DRY_RUN, "would create the data source"))
    assert story.types == ["Ready"]
    assert story.condition(ConditionType.READY)[:2] == ("Unknown", "DryRun")
    assert story.status.instances[0].synced is ConditionStatus.UNKNOWN


def test_where_one_is_not_decided_yet_what_was_written_elsewhere_is_remembered() -> None:
    story = Story().look(_several())
    before = story.status
    new = Facts(8, 9, "new")
    story.edit().look(_several(a=Synced(new, Action.UPDATED), b=Deferred(1.0)), NOON)
    after = story.status
    assert [(one.key, one.id, one.version) for one in after.instances] == [
        (A, 8, 9),
        (B, 7, 3),
        (C, 7, 3),
    ]
    assert after.conditions == before.conditions
    assert after.observed_generation == before.observed_generation == 1


def test_where_none_is_decided_yet_nothing_changes() -> None:
    resource = Story().look(_several()).resource
    report = Report({A: Deferred(1.0), B: Unseen(Reason.GRAFANA_ERROR, "away", expired=False)})
    assert build_status(resource, report, NOON) is None


def test_an_instance_that_was_cleaned_up_is_forgotten() -> None:
    story = Story().look(_several()).look(_several(b=Released(Action.DELETED, "Gone")), NOON)
    assert [one.key for one in story.status.instances] == [A, C]
    assert _message(story) == "All 2 instances hold this state"


def test_an_instance_that_nothing_is_told_of_stays_as_it_was() -> None:
    story = Story().look(_several()).look(Report({A: _trouble(), B: Synced(FACTS)}), NOON)
    recorded = story.resource.recorded(C)
    assert recorded is not None
    assert (recorded.synced, recorded.id) == (ConditionStatus.TRUE, 7)


def test_trouble_of_the_whole_counts_for_every_instance_and_keeps_what_is_known() -> None:
    report = Report(trouble=_trouble(Reason.WAITING_FOR_SECRET), summary="0/3")
    story = Story().look(_several()).look(report, NOON)
    assert _message(story) == "What is wrong and what to do"
    assert {one.reason for one in story.status.instances} == {Reason.WAITING_FOR_SECRET}
    assert {(one.id, one.version) for one in story.status.instances} == {(7, 3)}


def test_a_conflict_of_defaults_remembers_what_was_written() -> None:
    conflict = NotSynced(
        Reason.DEFAULT_CONFLICT, "b holds it", Facts(8, 1, "x"), action=Action.CREATED
    )
    story = Story().look(conflict)
    assert story.types == ["Ready", "Stalled"]
    (instance,) = story.status.instances
    assert (instance.id, instance.version, instance.secrets_revision) == (8, 1, "x")
    assert (instance.synced, instance.reason) == (ConditionStatus.FALSE, Reason.DEFAULT_CONFLICT)


def test_an_outage_of_one_hides_behind_its_last_look_and_does_not_hide_the_others() -> None:
    unseen = Unseen(Reason.GRAFANA_UNREACHABLE, "away", expired=False)
    story = Story().look(_several()).look(_several(b=unseen, c=_trouble()), NOON)
    recorded = story.resource.recorded(B)
    assert recorded is not None
    assert recorded.synced is ConditionStatus.TRUE
    assert _message(story).startswith("monitoring/c: ")


_reports = st.builds(
    lambda outcomes, trouble: Report(outcomes, trouble, "1/2"),
    st.dictionaries(
        st.sampled_from([A, B, C]),
        _outcomes.filter(lambda one: not isinstance(one, Report | Released)),
        min_size=1,
    ),
    st.none() | st.just(_trouble(Reason.WAITING_FOR_INSTANCE)),
)


@given(st.lists(st.tuples(st.booleans(), _reports), min_size=1, max_size=6))
def test_with_several_instances_every_status_keeps_the_rules_and_settles(
    steps: list[tuple[bool, Report]],
) -> None:
    story = Story().look(_trouble())
    for edited, report in steps:
        if edited:
            story.edit()
        once = story.look(report).raw
        assert broken_rules(once) == []
        assert story.look(report, NOON).raw == once
