"""The whole operator in virtual time: what Grafana holds, what status says, what it costs."""

import asyncio
from itertools import pairwise
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from grafana_datasource_operator.api.names import DATA_SOURCE, OWNER_KEY, ObjectKey
from tests.unit.grafana.wire import answer
from tests.unit.simulation import NAMESPACE, RESYNC_SECONDS, Grafana, Operator, an_operator
from tests.unit.virtual_time import in_virtual_time

Json = dict[str, Any]

UID = f"{NAMESPACE}_prometheus"
READY = ("True", "Synced")
TOKEN = {"token": {"secretKeyRef": {"name": "auth", "key": "token"}}}
HOUR = 3600.0


def _bad_gateway() -> httpx.Response:
    return answer(502, {"message": "nobody there"})


def _forbidden() -> httpx.Response:
    return answer(403, {"message": "Permissions needed: datasources:read"})


def _no_connection() -> httpx.Response:
    raise httpx.ConnectError("refused")


async def _in_sync(operator: Operator, **spec: Any) -> None:
    operator.kubernetes.apply("prometheus", **spec)
    await asyncio.sleep(5)
    assert operator.ready("prometheus") == READY


# --- creating and updating ----------------------------------------------------------------------


@in_virtual_time
async def test_a_new_resource_costs_one_request_and_two_writes() -> None:
    async with an_operator() as operator:
        await _in_sync(operator, jsonData={"httpMethod": "POST"})
        assert operator.grafana.requests == ["POST /api/datasources"]
        assert [write.endswith("/status") for write in operator.kubernetes.writes] == [False, True]
        held = operator.grafana.held[UID]
        assert held["name"] == "prometheus"
        assert held["jsonData"] == {
            "httpMethod": "POST",
            OWNER_KEY: f"owner-1/{NAMESPACE}/prometheus",
        }
        assert operator.event_reasons() == ["Created"]


@in_virtual_time
async def test_a_change_of_spec_costs_two_requests_and_one_write() -> None:
    async with an_operator() as operator:
        await _in_sync(operator)
        requests, writes = len(operator.grafana.requests), len(operator.kubernetes.writes)
        await _in_sync(operator, url="http://new:9090")
        assert operator.grafana.requests[requests:] == [
            f"GET /api/datasources/uid/{UID}",
            f"PUT /api/datasources/uid/{UID}",
        ]
        assert len(operator.kubernetes.writes) == writes + 1
        assert operator.grafana.held[UID]["url"] == "http://new:9090"
        assert operator.event_reasons()[-1] == "Updated"


@in_virtual_time
async def test_what_is_in_sync_is_only_read_and_at_least_once_a_resync() -> None:
    async with an_operator() as operator:
        await _in_sync(operator)
        requests, writes = len(operator.grafana.requests), len(operator.kubernetes.writes)
        await asyncio.sleep(24 * HOUR)
        looks = operator.grafana.requests[requests:]
        assert set(looks) == {f"GET /api/datasources/uid/{UID}"}
        assert 24 * HOUR / RESYNC_SECONDS <= len(looks) <= 24 * HOUR / RESYNC_SECONDS / 0.89
        assert len(operator.kubernetes.writes) == writes


@in_virtual_time
async def test_a_resource_may_ask_to_be_left_alone() -> None:
    async with an_operator() as operator:
        await _in_sync(operator, resyncInterval="0s")
        requests = len(operator.grafana.requests)
        await asyncio.sleep(24 * HOUR)
        assert len(operator.grafana.requests) == requests


@in_virtual_time
async def test_a_restart_writes_nothing() -> None:
    async with an_operator() as operator:
        operator.write_secret("auth", token="value-1")
        await _in_sync(operator, secureJsonData=TOKEN, resyncInterval="0s")
        requests, writes = len(operator.grafana.requests), len(operator.kubernetes.writes)
        await operator.restart()
        await asyncio.sleep(60)
        assert operator.grafana.requests[requests:] == [f"GET /api/datasources/uid/{UID}"]
        assert len(operator.kubernetes.writes) == writes


@in_virtual_time
async def test_many_changes_in_a_moment_become_few_writes_that_lie_far_enough_apart() -> None:
    async with an_operator() as operator:
        operator.write_secret("auth", token="value-0")
        await _in_sync(operator, secureJsonData=TOKEN)
        for number in range(1, 31):
            operator.write_secret("auth", token=f"value-{number}")
            operator.kubernetes.apply(
                "prometheus", secureJsonData=TOKEN, url=f"http://new-{number}"
            )
            await asyncio.sleep(0.1)
        await asyncio.sleep(5)
        written = operator.grafana.written_at[UID]
        assert all(later - earlier >= 1.1 - 1e-6 for earlier, later in pairwise(written))
        assert 3 <= len(written) <= 6
        assert operator.grafana.held[UID]["url"] == "http://new-30"
        assert operator.grafana.secrets[UID] == {"token": "value-30"}
        assert operator.ready("prometheus") == READY


@in_virtual_time
async def test_a_request_to_reconcile_is_followed_at_once_and_acknowledged() -> None:
    async with an_operator() as operator:
        await _in_sync(operator)
        requests = len(operator.grafana.requests)
        operator.kubernetes.annotate("prometheus", reconcile_requested_at="now")
        await asyncio.sleep(1)
        assert len(operator.grafana.requests) == requests + 1
        status = operator.kubernetes.objects["prometheus"]["status"]
        assert status["lastHandledReconcileAt"] == "now"


@in_virtual_time
async def test_a_server_of_before_9_0_is_served_by_id_and_left_alone_where_it_cannot_obey() -> None:
    async with an_operator(old_grafana=True) as operator:
        operator.write_secret("auth", token="value-1")
        await _in_sync(operator, secureJsonData=TOKEN, database="old")
        await _in_sync(operator, url="http://new")
        assert operator.grafana.requests[-1] == "PUT /api/datasources/1"
        held = operator.grafana.held[UID]
        assert (held["url"], held["database"]) == ("http://new", "old")
        assert operator.grafana.secrets[UID] == {"token": ""}
        assert "no update clears the old database" in operator.message("prometheus")
        written = len(operator.grafana.written_at[UID])
        await asyncio.sleep(3 * RESYNC_SECONDS)
        assert len(operator.grafana.written_at[UID]) == written


# --- what others do -----------------------------------------------------------------------------


@in_virtual_time
async def test_a_hand_edit_is_undone_within_a_resync() -> None:
    async with an_operator() as operator:
        await _in_sync(operator)
        operator.grafana.edit(UID, url="http://by-hand", jsonData={})
        await asyncio.sleep(RESYNC_SECONDS + 1)
        held = operator.grafana.held[UID]
        assert held["url"] == "http://prometheus:9090"
        assert held["jsonData"] == {OWNER_KEY: f"owner-1/{NAMESPACE}/prometheus"}
        assert operator.event_reasons()[-1] == "DriftCorrected"


def _corrections() -> float:
    labels = {"kind": "GrafanaDataSource"}
    return REGISTRY.get_sample_value("gdso_drift_corrected_total", labels) or 0


@in_virtual_time
async def test_corrections_are_counted_and_wishes_are_not() -> None:
    async with an_operator() as operator:
        before = _corrections()
        await _in_sync(operator)
        await _in_sync(operator, url="http://new")
        assert _corrections() == before
        operator.grafana.edit(UID, url="http://by-hand")
        await asyncio.sleep(RESYNC_SECONDS + 1)
        assert _corrections() == before + 1


@in_virtual_time
async def test_a_write_of_somebody_that_shows_in_the_version_alone_is_answered_once() -> None:
    async with an_operator() as operator:
        operator.write_secret("auth", token="value-1")
        await _in_sync(operator, secureJsonData=TOKEN)
        operator.grafana.secrets[UID]["token"] = "by hand"
        operator.grafana.edit(UID)
        await asyncio.sleep(5 * RESYNC_SECONDS)
        assert operator.grafana.secrets[UID] == {"token": "value-1"}
        assert len(operator.grafana.written_at[UID]) == 2


@in_virtual_time
async def test_what_was_deleted_by_hand_is_made_again() -> None:
    async with an_operator() as operator:
        await _in_sync(operator)
        operator.grafana.remove(UID)
        await asyncio.sleep(RESYNC_SECONDS + 1)
        assert operator.grafana.held[UID]["url"] == "http://prometheus:9090"
        assert operator.ready("prometheus") == READY


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "UidConflict"),
        ({"jsonData": {OWNER_KEY: "owner-2/a/b"}}, "OwnershipConflict"),
        ({"jsonData": {OWNER_KEY: "owner-1/monitoring/gone"}}, "UidConflict"),
        ({"readOnly": True}, "ReadOnlyInGrafana"),
    ],
)
@in_virtual_time
async def test_what_belongs_to_others_is_never_written_and_taken_once_it_is_gone(
    fields: Json, reason: str
) -> None:
    async with an_operator() as operator:
        operator.grafana.add(UID, **fields)
        before = dict(operator.grafana.held[UID])
        operator.kubernetes.apply("prometheus")
        await asyncio.sleep(HOUR)
        assert operator.ready("prometheus") == ("False", reason)
        assert operator.grafana.held[UID] == before
        operator.grafana.remove(UID)
        await asyncio.sleep(61)
        assert operator.ready("prometheus") == READY


@in_virtual_time
async def test_what_belongs_to_others_outlives_the_resource() -> None:
    async with an_operator() as operator:
        operator.grafana.add(UID)
        operator.kubernetes.apply("prometheus")
        await asyncio.sleep(5)
        operator.kubernetes.delete("prometheus")
        await asyncio.sleep(5)
        assert operator.kubernetes.objects == {}
        assert UID in operator.grafana.held


@in_virtual_time
async def test_a_name_that_is_taken_is_a_conflict_until_it_is_free() -> None:
    async with an_operator() as operator:
        operator.grafana.add("somebody", name="prometheus")
        operator.kubernetes.apply("prometheus")
        await asyncio.sleep(5)
        assert operator.ready("prometheus") == ("False", "NameConflict")
        operator.grafana.held["somebody"]["name"] = "other"
        await asyncio.sleep(61)
        assert operator.ready("prometheus") == READY


@pytest.mark.parametrize("old_grafana", [False, True])
@in_virtual_time
async def test_a_new_name_that_is_taken_is_a_conflict_whatever_the_server_calls_it(
    old_grafana: bool,
) -> None:
    async with an_operator(old_grafana=old_grafana) as operator:
        await _in_sync(operator)
        operator.grafana.add("somebody", name="taken")
        operator.kubernetes.apply("prometheus", name="taken", url="http://new")
        await asyncio.sleep(5)
        assert operator.ready("prometheus") == ("False", "NameConflict")
        operator.kubernetes.apply("prometheus", url="http://new")
        await asyncio.sleep(5)
        assert operator.ready("prometheus") == READY


@in_virtual_time
async def test_a_locked_database_is_no_conflict_of_names() -> None:
    async with an_operator(old_grafana=True) as operator:
        await _in_sync(operator)
        operator.grafana.faults = 1000
        operator.kubernetes.apply("prometheus", name="free")
        await asyncio.sleep(5)
        assert operator.ready("prometheus") == ("False", "GrafanaError")
        operator.grafana.faults = 0
        await asyncio.sleep(20)
        assert operator.ready("prometheus") == READY
        assert operator.grafana.held[UID]["name"] == "free"


@in_virtual_time
async def test_a_finalizer_that_somebody_took_off_comes_back() -> None:
    async with an_operator() as operator:
        await _in_sync(operator)
        key = ObjectKey(DATA_SOURCE.kind, NAMESPACE, "prometheus")
        operator.kubernetes.edit_metadata(key, finalizers=[])
        await asyncio.sleep(5)
        metadata = operator.kubernetes.objects["prometheus"]["metadata"]
        assert metadata["finalizers"] == ["gdso.dev/finalizer"]


# --- Secrets ------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_missing_secret_is_waited_for_without_a_word_to_grafana() -> None:
    async with an_operator() as operator:
        operator.kubernetes.apply("prometheus", secureJsonData=TOKEN)
        await asyncio.sleep(HOUR)
        assert operator.ready("prometheus") == ("False", "WaitingForSecret")
        assert operator.grafana.requests == []
        assert operator.kubernetes.objects["prometheus"]["metadata"].get("finalizers") is None
        operator.write_secret("auth", token="value-1")
        await asyncio.sleep(1)
        assert operator.ready("prometheus") == READY


@in_virtual_time
async def test_a_rotation_is_one_write() -> None:
    async with an_operator() as operator:
        operator.write_secret("auth", token="value-1")
        await _in_sync(operator, secureJsonData=TOKEN)
        operator.write_secret("auth", token="value-2")
        await asyncio.sleep(5)
        assert operator.grafana.secrets[UID] == {"token": "value-2"}
        assert len(operator.grafana.written_at[UID]) == 2
        assert operator.event_reasons() == ["Created", "SecretChanged"]


@in_virtual_time
async def test_a_secret_that_goes_leaves_grafana_as_it_is_and_is_waited_for() -> None:
    async with an_operator() as operator:
        operator.write_secret("auth", token="value-1")
        await _in_sync(operator, secureJsonData=TOKEN)
        operator.delete_secret("auth")
        await asyncio.sleep(HOUR)
        assert operator.ready("prometheus") == ("False", "WaitingForSecret")
        assert operator.grafana.secrets[UID] == {"token": "value-1"}


@in_virtual_time
async def test_a_key_that_left_the_spec_is_blanked() -> None:
    async with an_operator() as operator:
        operator.write_secret("auth", token="value-1")
        await _in_sync(operator, secureJsonData=TOKEN)
        await _in_sync(operator)
        assert operator.grafana.secrets[UID] == {"token": ""}


# --- outages ------------------------------------------------------------------------------------


@pytest.mark.parametrize("failing", [_bad_gateway, _no_connection])
@in_virtual_time
async def test_an_outage_is_quiet_hides_behind_the_last_look_and_ends_by_itself(
    failing: Any,
) -> None:
    async with an_operator() as operator:
        await _in_sync(operator)
        writes, requests = len(operator.kubernetes.writes), len(operator.grafana.requests)
        operator.grafana.failing = failing
        await asyncio.sleep(RESYNC_SECONDS - 10)
        assert operator.ready("prometheus") == READY
        assert len(operator.kubernetes.writes) == writes
        await asyncio.sleep(RESYNC_SECONDS)
        assert operator.ready("prometheus") in [
            ("Unknown", "GrafanaError"),
            ("Unknown", "GrafanaUnreachable"),
        ]
        await asyncio.sleep(2 * HOUR)
        assert len(operator.kubernetes.writes) == writes + 1
        assert len(operator.grafana.requests) <= requests + 2
        operator.grafana.failing = None
        await asyncio.sleep(10)
        assert operator.ready("prometheus") == READY


@in_virtual_time
async def test_what_somebody_wants_during_an_outage_is_told_at_once_and_done_after_it() -> None:
    async with an_operator() as operator:
        await _in_sync(operator)
        operator.grafana.failing = _bad_gateway
        operator.kubernetes.apply("prometheus", url="http://new")
        await asyncio.sleep(5)
        assert operator.ready("prometheus") == ("False", "GrafanaError")
        writes = len(operator.kubernetes.writes)
        await asyncio.sleep(HOUR)
        assert len(operator.kubernetes.writes) == writes
        operator.grafana.failing = None
        await asyncio.sleep(10)
        assert operator.grafana.held[UID]["url"] == "http://new"
        assert operator.ready("prometheus") == READY


@in_virtual_time
async def test_an_outage_at_the_start_is_told_and_ends_by_itself() -> None:
    async with an_operator() as operator:
        operator.grafana.failing = _no_connection
        operator.kubernetes.apply("prometheus")
        await asyncio.sleep(60)
        assert operator.ready("prometheus") == ("False", "GrafanaUnreachable")
        operator.grafana.failing = None
        await asyncio.sleep(10)
        assert operator.ready("prometheus") == READY


@in_virtual_time
async def test_a_permission_that_was_lost_hides_behind_the_last_look_too() -> None:
    async with an_operator() as operator:
        await _in_sync(operator)
        writes = len(operator.kubernetes.writes)
        operator.grafana.failing = _forbidden
        await asyncio.sleep(RESYNC_SECONDS - 10)
        assert operator.ready("prometheus") == READY
        await asyncio.sleep(3 * RESYNC_SECONDS)
        assert operator.ready("prometheus") == ("Unknown", "GrafanaUnauthorized")
        assert len(operator.kubernetes.writes) == writes + 1
        operator.grafana.failing = None
        await asyncio.sleep(RESYNC_SECONDS)
        assert operator.ready("prometheus") == READY


@pytest.mark.parametrize("made", ["edit", "removal"])
@in_virtual_time
async def test_a_difference_that_was_seen_and_cannot_be_corrected_is_not_ready(made: str) -> None:
    async with an_operator() as operator:
        await _in_sync(operator)
        operator.grafana.faults = 10_000
        if made == "edit":
            operator.grafana.edit(UID, url="http://by-hand")
        else:
            operator.grafana.remove(UID)
        await asyncio.sleep(RESYNC_SECONDS)
        assert operator.ready("prometheus") == ("False", "GrafanaError")
        operator.grafana.faults = 0
        await asyncio.sleep(RESYNC_SECONDS)
        assert operator.ready("prometheus") == READY
        assert operator.grafana.held[UID]["url"] == "http://prometheus:9090"


@in_virtual_time
async def test_one_data_source_that_cannot_be_read_for_long_is_not_given_up() -> None:
    async with an_operator() as operator:
        await _in_sync(operator)
        operator.grafana.faulty_reads = True
        await asyncio.sleep(3 * RESYNC_SECONDS)
        assert operator.ready("prometheus") == ("Unknown", "GrafanaError")
        operator.grafana.faulty_reads = False
        operator.grafana.edit(UID, url="http://by-hand")
        await asyncio.sleep(RESYNC_SECONDS + 5)
        assert operator.ready("prometheus") == READY
        assert operator.grafana.held[UID]["url"] == "http://prometheus:9090"


@in_virtual_time
async def test_bad_input_touches_only_its_own_resource() -> None:
    async with an_operator() as operator:
        operator.kubernetes.apply("bad", url="")
        operator.kubernetes.apply("odd", access="server")
        await _in_sync(operator)
        assert operator.ready("bad") == ("False", "InvalidSpec")
        assert operator.ready("odd") == ("False", "InvalidSpec")
        assert list(operator.grafana.held) == [UID]


@in_virtual_time
async def test_a_create_whose_answer_was_lost_is_recognized_as_ours() -> None:
    async with an_operator() as operator:
        await asyncio.sleep(1)
        operator.grafana.lost_answers = 1
        operator.kubernetes.apply("prometheus")
        await asyncio.sleep(10)
        assert operator.ready("prometheus") == READY
        assert operator.grafana.requests.count("POST /api/datasources") == 1


@in_virtual_time
async def test_a_write_that_failed_on_a_locked_database_is_repeated_soon() -> None:
    async with an_operator() as operator:
        operator.grafana.faults = 2
        operator.kubernetes.apply("prometheus")
        await asyncio.sleep(10)
        assert operator.ready("prometheus") == READY


# --- the end ------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_deletion_costs_two_requests_and_one_write() -> None:
    async with an_operator() as operator:
        await _in_sync(operator)
        requests, writes = len(operator.grafana.requests), len(operator.kubernetes.writes)
        operator.kubernetes.delete("prometheus")
        await asyncio.sleep(5)
        assert operator.kubernetes.objects == {}
        assert operator.grafana.held == {}
        assert operator.grafana.requests[requests:] == [
            f"GET /api/datasources/uid/{UID}",
            f"DELETE /api/datasources/uid/{UID}",
        ]
        assert len(operator.kubernetes.writes) == writes + 1
        assert operator.event_reasons() == ["Created", "Deleted"]


@in_virtual_time
async def test_what_never_reached_grafana_goes_without_a_word_to_it() -> None:
    async with an_operator() as operator:
        operator.kubernetes.apply("prometheus", secureJsonData=TOKEN)
        await asyncio.sleep(5)
        operator.kubernetes.delete("prometheus")
        await asyncio.sleep(5)
        assert operator.kubernetes.objects == {}
        assert operator.grafana.requests == []


@in_virtual_time
async def test_an_orphan_stays_without_our_mark() -> None:
    async with an_operator() as operator:
        await _in_sync(operator, deletionPolicy="Orphan", jsonData={"httpMethod": "POST"})
        operator.kubernetes.delete("prometheus")
        await asyncio.sleep(5)
        assert operator.kubernetes.objects == {}
        assert operator.grafana.held[UID]["jsonData"] == {"httpMethod": "POST"}
        assert operator.event_reasons()[-1] == "Orphaned"


@in_virtual_time
async def test_a_suspended_resource_is_left_alone_and_still_cleaned_up() -> None:
    async with an_operator() as operator:
        await _in_sync(operator)
        operator.kubernetes.apply("prometheus", url="http://new", suspend=True)
        await asyncio.sleep(HOUR)
        assert operator.ready("prometheus") == ("True", "Suspended")
        assert operator.grafana.held[UID]["url"] == "http://prometheus:9090"
        operator.kubernetes.delete("prometheus")
        await asyncio.sleep(5)
        assert (operator.kubernetes.objects, operator.grafana.held) == ({}, {})


@in_virtual_time
async def test_a_deletion_during_an_outage_says_why_it_waits_and_how_to_let_go() -> None:
    async with an_operator() as operator:
        await _in_sync(operator)
        operator.grafana.failing = _no_connection
        operator.kubernetes.delete("prometheus")
        await asyncio.sleep(HOUR)
        assert operator.ready("prometheus") == ("False", "DeletionBlocked")
        assert "gdso.dev/force-delete=true" in operator.message("prometheus")
        operator.grafana.failing = None
        await asyncio.sleep(10)
        assert (operator.kubernetes.objects, operator.grafana.held) == ({}, {})


@in_virtual_time
async def test_a_forced_deletion_leaves_grafana_alone() -> None:
    async with an_operator() as operator:
        await _in_sync(operator)
        operator.grafana.failing = _no_connection
        operator.kubernetes.annotate("prometheus", force_delete="true")
        await asyncio.sleep(60)
        assert "prometheus" in operator.kubernetes.objects
        operator.kubernetes.delete("prometheus")
        await asyncio.sleep(5)
        assert operator.kubernetes.objects == {}
        assert UID in operator.grafana.held


@pytest.mark.parametrize(("policy", "stays"), [("Delete", False), ("Orphan", True)])
@in_virtual_time
async def test_a_resource_whose_spec_cannot_be_read_any_more_is_cleaned_up_all_the_same(
    policy: str, stays: bool
) -> None:
    async with an_operator() as operator:
        await _in_sync(operator, deletionPolicy=policy)
        operator.kubernetes.apply("prometheus", deletionPolicy=policy, access="server")
        await asyncio.sleep(5)
        assert operator.ready("prometheus") == ("False", "InvalidSpec")
        operator.kubernetes.delete("prometheus")
        await asyncio.sleep(5)
        assert operator.kubernetes.objects == {}
        assert (UID in operator.grafana.held) is stays


@in_virtual_time
async def test_a_deletion_that_takes_long_is_told() -> None:
    async with an_operator() as operator:
        await _in_sync(operator)
        operator.grafana.seconds_per_request = 4
        operator.kubernetes.delete("prometheus")
        await asyncio.sleep(6)
        assert operator.ready("prometheus") == ("False", "Deleting")
        requests = len(operator.grafana.requests)
        await asyncio.sleep(6)
        assert (operator.kubernetes.objects, operator.grafana.held) == ({}, {})
        assert operator.grafana.requests[requests:] == []
        assert operator.event_reasons() == ["Created", "Deleting", "Deleted"]


@in_virtual_time
async def test_a_resource_that_is_made_again_is_in_sync_again_under_the_same_uid() -> None:
    async with an_operator() as operator:
        await _in_sync(operator)
        operator.kubernetes.delete("prometheus")
        await asyncio.sleep(0.3)
        assert operator.kubernetes.objects == {}
        operator.kubernetes.apply("prometheus", url="http://again")
        await asyncio.sleep(5)
        assert operator.ready("prometheus") == READY
        assert operator.grafana.held[UID]["url"] == "http://again"


# --- any history --------------------------------------------------------------------------------

_steps = st.lists(
    st.one_of(
        st.tuples(st.just("apply"), st.sampled_from(["http://a", "http://b"]), st.booleans()),
        st.tuples(st.just("secret"), st.sampled_from(["value-1", "value-2", ""])),
        st.tuples(st.just("delete secret")),
        st.tuples(st.just("edit by hand"), st.sampled_from(["name", "url", "jsonData"])),
        st.tuples(st.just("remove by hand")),
        st.tuples(st.just("outage"), st.booleans()),
        st.tuples(st.just("lose answers"), st.integers(1, 3)),
        st.tuples(st.just("fail writes"), st.integers(1, 3)),
        st.tuples(st.just("delete")),
        st.tuples(st.just("restart")),
        st.tuples(st.just("wait"), st.sampled_from([0.001, 0.01, 0.5, 1.2, 30.0, 700.0])),
    ),
    max_size=14,
)


@settings(max_examples=40)
@given(_steps)
def test_after_any_history_grafana_comes_to_hold_what_the_spec_says(
    steps: list[tuple[Any, ...]],
) -> None:
    _live_through(steps)


@in_virtual_time
async def _live_through(steps: list[tuple[Any, ...]]) -> None:
    async with an_operator() as operator:
        for step in steps:
            await _take(operator, step)
        await _take(operator, ("outage", False))
        # What is being deleted goes first.
        await asyncio.sleep(30)
        await _take(operator, ("apply", "http://last", True))
        await _take(operator, ("secret", "last-value"))
        await asyncio.sleep(2 * RESYNC_SECONDS)
        assert operator.ready("prometheus") == READY
        held = operator.grafana.held[UID]
        assert (held["name"], held["url"]) == ("prometheus", "http://last")
        assert held["jsonData"] == {OWNER_KEY: f"owner-1/{NAMESPACE}/prometheus"}
        assert operator.grafana.secrets[UID]["token"] == "last-value"
        writes = len(operator.kubernetes.writes), len(operator.grafana.written_at[UID])
        await asyncio.sleep(2 * RESYNC_SECONDS)
        assert writes == (len(operator.kubernetes.writes), len(operator.grafana.written_at[UID]))
        operator.kubernetes.delete("prometheus")
        await asyncio.sleep(10)
        assert (operator.kubernetes.objects, operator.grafana.held) == ({}, {})


async def _take(operator: Operator, step: tuple[Any, ...]) -> None:
    match step:
        case ("apply", url, with_secret):
            more: Json = {"secureJsonData": TOKEN} if with_secret else {}
            operator.kubernetes.apply("prometheus", url=url, **more)
        case ("secret", value):
            operator.write_secret("auth", token=value)
        case ("delete secret",):
            operator.delete_secret("auth")
        case ("delete",) if "prometheus" in operator.kubernetes.objects:
            operator.kubernetes.delete("prometheus")
        case ("restart",):
            await operator.restart()
        case ("wait", seconds):
            await asyncio.sleep(seconds)
        case _:
            _disturb(operator.grafana, step)


def _disturb(grafana: Grafana, step: tuple[Any, ...]) -> None:
    match step:
        case ("edit by hand", field) if UID in grafana.held:
            values: Json = {"name": "by hand", "url": "http://by-hand", "jsonData": {"a": 1}}
            grafana.edit(UID, **{field: values[field]})
        case ("remove by hand",):
            grafana.remove(UID)
        case ("outage", begins):
            grafana.failing = _bad_gateway if begins else None
        case ("lose answers", number):
            grafana.lost_answers = number
        case ("fail writes", number):
            grafana.faults = number
