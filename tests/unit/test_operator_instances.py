"""The whole operator with several Grafanas in virtual time: who lives where, at what cost."""

import asyncio
from typing import Any

import httpx
import pytest

from grafana_datasource_operator.api.names import INSTANCE, OWNER_KEY, ObjectKey
from tests.unit.grafana.wire import answer
from tests.unit.simulation import (
    NAMESPACE,
    RESYNC_SECONDS,
    Grafana,
    Operator,
    an_operator,
    url_of,
)
from tests.unit.virtual_time import in_virtual_time, now

Json = dict[str, Any]

UID = f"{NAMESPACE}_prometheus"
READY = ("True", "Synced")
SYNCED = ("True", "Synced")
PROD = {"tier": "prod"}
SELECTOR = {"matchLabels": PROD}
HOUR = 3600.0


def _no_connection() -> httpx.Response:
    raise httpx.ConnectError("refused")


def _on(name: str, **more: Any) -> Json:
    return {"instanceRef": {"name": name, **more}}


async def _in_sync(operator: Operator, **spec: Any) -> None:
    await asyncio.sleep(1)
    operator.kubernetes.apply("prometheus", **spec)
    await asyncio.sleep(5)
    assert operator.ready("prometheus") == READY


def _instance(operator: Operator, name: str = "main") -> tuple[str, str] | None:
    return operator.ready(name, of=INSTANCE)


# --- a GrafanaInstance --------------------------------------------------------------------------


@in_virtual_time
async def test_an_instance_connects_says_what_it_found_and_serves() -> None:
    async with an_operator() as operator:
        grafana = operator.add_grafana("main")
        await asyncio.sleep(1)
        assert _instance(operator) == READY
        status = operator.kubernetes.instances["main"]["status"]
        assert (status["version"], status["orgId"]) == ("12.4.0", 1)
        assert {"UpdateByUID", "HealthByUID"} <= set(status["capabilities"])
        await _in_sync(operator, **_on("main"))
        assert grafana.held[UID]["url"] == "http://prometheus:9090"
        assert grafana.requests == ["POST /api/datasources"]
        assert operator.grafana.requests == []
        assert operator.kubernetes.objects["prometheus"]["status"]["instanceSummary"] == "main"
        assert operator.synced("prometheus") == {"main": SYNCED}


@in_virtual_time
async def test_an_instance_in_use_costs_nothing_while_nothing_happens() -> None:
    async with an_operator() as operator:
        operator.add_grafana("main")
        await _in_sync(operator, **_on("main"))
        writes = len(operator.kubernetes.writes)
        await asyncio.sleep(24 * HOUR)
        assert len(operator.kubernetes.writes) == writes
        assert operator.event_reasons("main") == ["Synced"]


@pytest.mark.parametrize("first", ["instance", "resource"])
@in_virtual_time
async def test_the_order_in_which_they_are_made_does_not_matter(first: str) -> None:
    async with an_operator() as operator:
        if first == "resource":
            operator.kubernetes.apply("prometheus", **_on("main"))
            await asyncio.sleep(60)
            assert operator.ready("prometheus") == ("False", "WaitingForInstance")
        grafana = operator.add_grafana("main")
        operator.kubernetes.apply("prometheus", **_on("main"))
        await asyncio.sleep(2)
        assert operator.ready("prometheus") == READY
        assert UID in grafana.held


@in_virtual_time
async def test_an_instance_without_its_secret_is_waited_for() -> None:
    async with an_operator() as operator:
        operator.add_grafana("main")
        operator.delete_secret("main-token")
        operator.kubernetes.apply("prometheus", **_on("main"))
        await asyncio.sleep(5)
        assert _instance(operator) == ("False", "WaitingForSecret")
        assert 'spec.auth.tokenSecretRef: Secret "main-token" does not exist' in operator.message(
            "main", of=INSTANCE
        )
        assert operator.ready("prometheus") == ("False", "WaitingForInstance")
        operator.write_secret("main-token", token="glsa_main")
        await asyncio.sleep(2)
        assert _instance(operator) == READY
        assert operator.ready("prometheus") == READY


@in_virtual_time
async def test_credentials_that_change_are_used_without_a_restart() -> None:
    async with an_operator() as operator:
        grafana = operator.add_grafana("main")
        await _in_sync(operator, **_on("main"))
        grafana.token = "glsa_new"
        operator.write_secret("main-token", token="glsa_new")
        await asyncio.sleep(2)
        assert _instance(operator) == READY
        await _in_sync(operator, url="http://new", **_on("main"))
        assert grafana.held[UID]["url"] == "http://new"
        assert not any("Unauthorized" in reason for reason in operator.event_reasons())


@in_virtual_time
async def test_credentials_that_are_refused_pause_the_instance_until_their_secret_changes() -> None:
    async with an_operator() as operator:
        grafana = operator.add_grafana("main")
        await _in_sync(operator, **_on("main"))
        grafana.token = "glsa_new"
        operator.kubernetes.apply("prometheus", url="http://new", **_on("main"))
        await asyncio.sleep(10)
        assert _instance(operator) == ("False", "GrafanaUnauthorized")
        assert operator.ready("prometheus") == ("False", "GrafanaUnauthorized")
        requests = len(grafana.wire.lines)
        await asyncio.sleep(HOUR)
        assert len(grafana.wire.lines) - requests <= 61
        operator.write_secret("main-token", token="glsa_new")
        await asyncio.sleep(2)
        assert operator.ready("prometheus") == READY
        assert _instance(operator) == READY
        assert grafana.held[UID]["url"] == "http://new"


@in_virtual_time
async def test_an_instance_in_another_organization_than_told_is_not_used() -> None:
    async with an_operator() as operator:
        grafana = operator.add_grafana("main", orgId=3)
        operator.kubernetes.apply("prometheus", **_on("main"))
        await asyncio.sleep(5)
        assert _instance(operator) == ("False", "GrafanaUnauthorized")
        assert "organization 1" in operator.message("main", of=INSTANCE)
        assert grafana.requests == []
        operator.kubernetes.apply_instance("main", orgId=1)
        await asyncio.sleep(5)
        assert operator.ready("prometheus") == READY


@in_virtual_time
async def test_an_outage_shows_on_the_instance_at_once_and_on_resources_later() -> None:
    async with an_operator() as operator:
        grafana = operator.add_grafana("main")
        await _in_sync(operator, **_on("main"))
        grafana.failing = _no_connection
        operator.kubernetes.apply("other", name="other", **_on("main"))
        await asyncio.sleep(5)
        assert _instance(operator) == ("False", "GrafanaUnreachable")
        assert operator.ready("other") == ("False", "GrafanaUnreachable")
        assert operator.ready("prometheus") == READY
        writes = len(operator.kubernetes.writes)
        await asyncio.sleep(RESYNC_SECONDS + 5)
        assert operator.ready("prometheus") == ("Unknown", "GrafanaUnreachable")
        assert len(operator.kubernetes.writes) == writes + 1
        grafana.failing = None
        await asyncio.sleep(10)
        assert _instance(operator) == operator.ready("other") == READY
        assert operator.ready("prometheus") == READY


@in_virtual_time
async def test_a_default_instance_serves_those_who_name_none() -> None:
    async with an_operator(
        grafana_url=None,
        grafana_token=None,
        grafana_org_id=None,
        default_instance=f"{NAMESPACE}/main",
    ) as operator:
        operator.kubernetes.apply("prometheus")
        await asyncio.sleep(5)
        assert operator.ready("prometheus") == ("False", "WaitingForInstance")
        grafana = operator.add_grafana("main")
        await asyncio.sleep(2)
        assert operator.ready("prometheus") == READY
        assert UID in grafana.held


@in_virtual_time
async def test_without_a_default_instance_one_has_to_be_named() -> None:
    async with an_operator(grafana_url=None, grafana_token=None, grafana_org_id=None) as operator:
        operator.add_grafana("main")
        operator.kubernetes.apply("prometheus")
        await asyncio.sleep(60)
        assert operator.ready("prometheus") == ("False", "WaitingForInstance")
        assert "spec.instanceRef" in operator.message("prometheus")
        await _in_sync(operator, **_on("main"))


@in_virtual_time
async def test_an_instance_that_cannot_be_read_touches_only_those_on_it() -> None:
    async with an_operator() as operator:
        operator.add_grafana("main")
        operator.kubernetes.apply_instance("odd", url="ftp://nowhere")
        operator.kubernetes.apply("misplaced", name="misplaced", **_on("odd"))
        await _in_sync(operator, **_on("main"))
        assert _instance(operator, "odd") == ("False", "InvalidSpec")
        assert operator.ready("misplaced") == ("False", "WaitingForInstance")
        operator.add_grafana("odd")
        await asyncio.sleep(5)
        assert operator.ready("misplaced") == READY


@pytest.mark.parametrize("used", [True, False])
@in_virtual_time
async def test_an_instance_that_cannot_be_read_any_more_can_be_deleted(used: bool) -> None:
    async with an_operator() as operator:
        grafana = operator.add_grafana("main")
        if used:
            await _in_sync(operator, **_on("main"))
        operator.kubernetes.apply_instance("main", url="ftp://nowhere")
        await asyncio.sleep(2)
        operator.kubernetes.delete("main", kind=INSTANCE)
        await asyncio.sleep(2)
        if used:
            assert _instance(operator) == ("False", "DeletionBlocked")
            operator.kubernetes.delete("prometheus")
            await asyncio.sleep(5)
        assert operator.kubernetes.stored == {}
        assert grafana.held == {}


@pytest.mark.parametrize("where", ["spec", "status"])
@in_virtual_time
async def test_an_instance_from_another_release_stops_nobody(where: str) -> None:
    async with an_operator() as operator:
        operator.add_grafana("main")
        operator.add_grafana("odd")
        await asyncio.sleep(2)
        key = ObjectKey(INSTANCE.kind, NAMESPACE, "odd")
        raw = operator.kubernetes.stored[key]
        if where == "spec":
            raw["spec"]["auth"] = {"newWay": {"name": "x"}}
        else:
            raw["status"]["conditions"][0]["reason"] = "NewReason"
        raw["metadata"]["generation"] += 1
        operator.kubernetes.edit_metadata(key, labels={"a": "b"})
        await _in_sync(operator, **_on("main"))
        if where == "spec":
            assert _instance(operator, "odd") == ("False", "InvalidSpec")
        else:
            assert _instance(operator, "odd") == READY


# --- who may use it -----------------------------------------------------------------------------


@in_virtual_time
async def test_another_namespace_is_served_once_it_is_admitted_and_no_longer_when_not() -> None:
    async with an_operator(namespaces=()) as operator:
        grafana = operator.add_grafana("main")
        reference = _on("main", namespace=NAMESPACE)
        operator.kubernetes.apply("loki", home="team", **reference)
        await asyncio.sleep(5)
        assert operator.ready("loki", home="team") == ("False", "InstanceNotAllowed")
        operator.kubernetes.apply_instance("main", allowedNamespaces={"from": "All"})
        await asyncio.sleep(5)
        assert operator.ready("loki", home="team") == READY
        operator.kubernetes.apply_instance("main")
        await asyncio.sleep(5)
        assert operator.ready("loki", home="team") == ("False", "InstanceNotAllowed")
        assert "team_loki" in grafana.held
        operator.kubernetes.delete("loki", home="team")
        await asyncio.sleep(5)
        assert grafana.held == {}


@in_virtual_time
async def test_a_namespace_is_admitted_by_its_labels() -> None:
    async with an_operator(namespaces=()) as operator:
        operator.kubernetes.namespaces["team"] = {"labels": {"team": "a"}}
        rule = {
            "from": "Selector",
            "selector": {"matchExpressions": [{"key": "team", "operator": "Exists"}]},
        }
        operator.add_grafana("main", allowedNamespaces=rule)
        reference = _on("main", namespace=NAMESPACE)
        for home in ("team", "other"):
            operator.kubernetes.apply("loki", name=home, home=home, **reference)
        await asyncio.sleep(5)
        assert operator.ready("loki", home="team") == READY
        assert operator.ready("loki", home="other") == ("False", "InstanceNotAllowed")
        operator.kubernetes.namespaces["other"] = {"labels": {"team": "b"}}
        await asyncio.sleep(61)
        assert operator.ready("loki", home="other") == READY


@in_virtual_time
async def test_only_those_adopt_who_may_adopt_there() -> None:
    async with an_operator(namespaces=()) as operator:
        grafana = operator.add_grafana("main", allowedNamespaces={"from": "All"})
        for uid in ("team_loki", UID):
            grafana.add(uid, url="http://found:9090")
        found = dict(grafana.held["team_loki"])
        await asyncio.sleep(1)
        for home, name in [("team", "loki"), (NAMESPACE, "prometheus")]:
            reference = _on("main", namespace=NAMESPACE)
            operator.kubernetes.apply(name, home=home, adoptionPolicy="IfUnowned", **reference)
        await asyncio.sleep(5)
        assert operator.ready("prometheus") == READY
        assert operator.event_reasons("prometheus") == ["Adopted"]
        assert operator.ready("loki", home="team") == ("False", "UidConflict")
        assert grafana.held["team_loki"] == found


# --- what becomes of users of an instance -------------------------------------------------------


@in_virtual_time
async def test_a_suspended_instance_is_left_alone_and_its_users_wait() -> None:
    async with an_operator() as operator:
        grafana = operator.add_grafana("main")
        await _in_sync(operator, **_on("main"))
        operator.kubernetes.apply_instance("main", suspend=True)
        await asyncio.sleep(2)
        assert _instance(operator) == ("True", "Suspended")
        assert operator.ready("prometheus") == ("False", "WaitingForInstance")
        assert "is suspended" in operator.message("prometheus")
        requests = len(grafana.wire.lines)
        operator.kubernetes.apply("prometheus", url="http://new", **_on("main"))
        await asyncio.sleep(HOUR)
        assert len(grafana.wire.lines) == requests
        operator.kubernetes.apply_instance("main")
        await asyncio.sleep(5)
        assert operator.ready("prometheus") == _instance(operator) == READY
        assert grafana.held[UID]["url"] == "http://new"


@in_virtual_time
async def test_a_deletion_waits_while_the_instance_is_suspended() -> None:
    async with an_operator() as operator:
        grafana = operator.add_grafana("main")
        await _in_sync(operator, **_on("main"))
        operator.kubernetes.apply_instance("main", suspend=True)
        operator.kubernetes.delete("prometheus")
        await asyncio.sleep(HOUR)
        assert operator.ready("prometheus") == ("False", "DeletionBlocked")
        assert "is suspended" in operator.message("prometheus")
        assert UID in grafana.held
        operator.kubernetes.apply_instance("main")
        await asyncio.sleep(5)
        assert (operator.kubernetes.objects, grafana.held) == ({}, {})


@in_virtual_time
async def test_a_suspended_instance_that_is_deleted_stays_suspended() -> None:
    async with an_operator() as operator:
        grafana = operator.add_grafana("main")
        await _in_sync(operator, **_on("main"))
        operator.kubernetes.apply_instance("main", suspend=True)
        await asyncio.sleep(2)
        requests = len(grafana.wire.lines)
        operator.kubernetes.delete("main", kind=INSTANCE)
        operator.kubernetes.delete("prometheus")
        await asyncio.sleep(HOUR)
        assert len(grafana.wire.lines) == requests
        assert operator.ready("prometheus") == ("False", "DeletionBlocked")
        operator.kubernetes.apply_instance("main")
        await asyncio.sleep(5)
        assert operator.kubernetes.stored == {}
        assert grafana.held == {}


@in_virtual_time
async def test_an_instance_that_is_deleted_stays_until_its_last_user_is_cleaned_up() -> None:
    async with an_operator() as operator:
        grafana = operator.add_grafana("main")
        operator.kubernetes.apply("other", name="other", **_on("main"))
        await _in_sync(operator, **_on("main"))
        operator.kubernetes.delete("main", kind=INSTANCE)
        await asyncio.sleep(60)
        assert _instance(operator) == ("False", "DeletionBlocked")
        assert f"{NAMESPACE}/other, {NAMESPACE}/prometheus" in operator.message("main", of=INSTANCE)
        operator.kubernetes.delete("prometheus")
        await asyncio.sleep(5)
        assert list(grafana.held) == [f"{NAMESPACE}_other"]
        assert f"GrafanaDataSource {NAMESPACE}/other:" in operator.message("main", of=INSTANCE)
        operator.kubernetes.delete("other")
        await asyncio.sleep(5)
        assert operator.kubernetes.stored == {}
        assert grafana.held == {}


@in_virtual_time
async def test_users_of_an_instance_that_is_being_deleted_are_still_served_and_no_new_ones() -> (
    None
):
    async with an_operator() as operator:
        grafana = operator.add_grafana("main")
        await _in_sync(operator, **_on("main"))
        operator.kubernetes.delete("main", kind=INSTANCE)
        await asyncio.sleep(5)
        await _in_sync(operator, url="http://new", **_on("main"))
        assert grafana.held[UID]["url"] == "http://new"
        operator.kubernetes.apply("late", name="late", **_on("main"))
        await asyncio.sleep(60)
        assert operator.ready("late") == ("False", "WaitingForInstance")
        assert list(grafana.held) == [UID]


@in_virtual_time
async def test_nothing_new_begins_on_an_instance_that_somebody_else_holds_back() -> None:
    async with an_operator() as operator:
        grafana = operator.add_grafana("main")
        await asyncio.sleep(2)
        key = ObjectKey(INSTANCE.kind, NAMESPACE, "main")
        ours = operator.kubernetes.stored[key]["metadata"]["finalizers"]
        operator.kubernetes.edit_metadata(key, finalizers=[*ours, "other/finalizer"])
        operator.kubernetes.delete("main", kind=INSTANCE)
        await asyncio.sleep(2)
        operator.kubernetes.apply("prometheus", **_on("main"))
        await asyncio.sleep(60)
        assert operator.ready("prometheus") == ("False", "WaitingForInstance")
        assert "is being deleted" in operator.message("prometheus")
        assert grafana.held == {}


@pytest.mark.parametrize("way", ["deletionPolicy", "force-delete"])
@in_virtual_time
async def test_an_instance_may_be_let_go_with_what_is_on_it(way: str) -> None:
    async with an_operator() as operator:
        grafana = operator.add_grafana("main")
        await _in_sync(operator, **_on("main"))
        if way == "deletionPolicy":
            operator.kubernetes.apply_instance("main", deletionPolicy="Orphan")
        else:
            operator.kubernetes.annotate("main", kind=INSTANCE, force_delete="true")
        await asyncio.sleep(1)
        operator.kubernetes.delete("main", kind=INSTANCE)
        await asyncio.sleep(5)
        assert operator.kubernetes.instances == {}
        assert operator.ready("prometheus") == ("False", "WaitingForInstance")
        assert UID in grafana.held
        operator.kubernetes.delete("prometheus")
        await asyncio.sleep(5)
        assert operator.kubernetes.objects == {}
        assert UID in grafana.held
        assert operator.event_reasons("prometheus")[-1] == "Orphaned"


@in_virtual_time
async def test_an_instance_that_is_made_again_finds_its_users_again() -> None:
    async with an_operator() as operator:
        grafana = operator.add_grafana("main", deletionPolicy="Orphan")
        await _in_sync(operator, **_on("main"))
        operator.kubernetes.delete("main", kind=INSTANCE)
        await asyncio.sleep(5)
        written = list(grafana.written_at[UID])
        operator.add_grafana("main")
        await asyncio.sleep(5)
        assert operator.ready("prometheus") == READY
        assert grafana.written_at[UID] == written


@in_virtual_time
async def test_a_resource_whose_namespace_goes_with_the_credentials_is_let_go_after_a_while() -> (
    None
):
    async with an_operator() as operator:
        grafana = operator.add_grafana("main")
        await _in_sync(operator, **_on("main"))
        operator.delete_secret("main-token")
        await operator.restart()
        operator.kubernetes.namespaces[NAMESPACE] = {"phase": "Terminating"}
        operator.kubernetes.delete("prometheus")
        operator.kubernetes.delete("main", kind=INSTANCE)
        await asyncio.sleep(590)
        assert operator.ready("prometheus") == ("False", "DeletionBlocked")
        assert "WaitingForSecret" in operator.message("prometheus")
        await asyncio.sleep(400)
        assert operator.kubernetes.stored == {}
        assert UID in grafana.held
        assert operator.event_reasons("prometheus")[-1] == "Orphaned"


@in_virtual_time
async def test_credentials_that_were_read_before_serve_for_cleaning_up() -> None:
    async with an_operator() as operator:
        grafana = operator.add_grafana("main")
        await _in_sync(operator, **_on("main"))
        operator.delete_secret("main-token")
        await asyncio.sleep(5)
        assert operator.ready("prometheus") == ("False", "WaitingForInstance")
        operator.kubernetes.delete("main", kind=INSTANCE)
        operator.kubernetes.delete("prometheus")
        await asyncio.sleep(5)
        assert operator.kubernetes.stored == {}
        assert grafana.held == {}


@in_virtual_time
async def test_in_dry_run_nothing_is_written_and_what_would_be_is_told() -> None:
    async with an_operator() as operator:
        grafana = operator.add_grafana("main", mode="DryRun")
        operator.kubernetes.apply("prometheus", **_on("main"))
        await asyncio.sleep(5)
        assert operator.ready("prometheus") == ("Unknown", "DryRun")
        assert "would create the data source" in operator.message("prometheus")
        operator.kubernetes.apply_instance("main")
        await asyncio.sleep(5)
        assert operator.ready("prometheus") == READY
        operator.kubernetes.apply_instance("main", mode="DryRun")
        await asyncio.sleep(1)
        operator.kubernetes.apply("prometheus", url="http://new", **_on("main"))
        await asyncio.sleep(5)
        assert operator.ready("prometheus") == ("Unknown", "DryRun")
        assert "would update /url" in operator.message("prometheus")
        grafana.edit(UID, jsonData={})
        operator.kubernetes.delete("prometheus")
        await asyncio.sleep(HOUR)
        assert operator.ready("prometheus") == ("False", "DeletionBlocked")
        assert "DryRun" in operator.message("prometheus")
        assert grafana.writes == 1
        operator.kubernetes.apply_instance("main")
        await asyncio.sleep(5)
        assert (operator.kubernetes.objects, grafana.held) == ({}, {})


@in_virtual_time
async def test_a_cleanup_does_not_bring_an_instance_out_of_sight_into_use() -> None:
    async with an_operator(namespaces=()) as operator:
        far = operator.add_grafana("far", home="elsewhere", allowedNamespaces={"from": "All"})
        await _in_sync(operator, **_on("far", namespace="elsewhere"))
        await operator.restart(namespaces=(NAMESPACE,))
        operator.kubernetes.delete("prometheus")
        await asyncio.sleep(60)
        assert operator.ready("prometheus") == ("False", "DeletionBlocked")
        assert "out of the operator's sight" in operator.message("prometheus")
        key = ObjectKey(INSTANCE.kind, "elsewhere", "far")
        assert operator.engine.view.get(key) is None
        assert UID in far.held


# --- several at a time --------------------------------------------------------------------------


def _add_three(operator: Operator) -> dict[str, Grafana]:
    return {name: operator.add_grafana(name, labels=PROD) for name in ("a", "b", "c")}


@in_virtual_time
async def test_a_selector_fans_out_and_each_instance_has_a_status_of_its_own() -> None:
    async with an_operator() as operator:
        grafanas = _add_three(operator)
        operator.add_grafana("other", labels={"tier": "dev"})
        await _in_sync(operator, instanceSelector=SELECTOR)
        assert all(UID in grafana.held for grafana in grafanas.values())
        assert operator.grafanas[url_of("other")].held == {}
        assert operator.synced("prometheus") == dict.fromkeys("abc", SYNCED)
        status = operator.kubernetes.objects["prometheus"]["status"]
        assert status["instanceSummary"] == "3/3"
        grafanas["b"].failing = _no_connection
        operator.kubernetes.apply("prometheus", url="http://new", instanceSelector=SELECTOR)
        await asyncio.sleep(5)
        assert operator.ready("prometheus") == ("False", "GrafanaUnreachable")
        assert operator.message("prometheus").startswith(f"{NAMESPACE}/b: ")
        assert operator.synced("prometheus") == {
            "a": SYNCED,
            "b": ("False", "GrafanaUnreachable"),
            "c": SYNCED,
        }
        status = operator.kubernetes.objects["prometheus"]["status"]
        assert status["instanceSummary"] == "2/3"
        assert grafanas["a"].held[UID]["url"] == grafanas["c"].held[UID]["url"] == "http://new"
        grafanas["b"].failing = None
        await asyncio.sleep(10)
        assert operator.ready("prometheus") == READY
        assert grafanas["b"].held[UID]["url"] == "http://new"


@in_virtual_time
async def test_a_label_that_comes_or_goes_moves_the_data_source() -> None:
    async with an_operator() as operator:
        grafanas = _add_three(operator)
        await _in_sync(operator, instanceSelector=SELECTOR)
        operator.kubernetes.apply_instance("b", labels={"tier": "dev"})
        await asyncio.sleep(5)
        assert grafanas["b"].held == {}
        assert operator.synced("prometheus") == dict.fromkeys("ac", SYNCED)
        assert operator.kubernetes.objects["prometheus"]["status"]["instanceSummary"] == "2/2"
        operator.kubernetes.apply_instance("b", labels=PROD)
        await asyncio.sleep(5)
        assert UID in grafanas["b"].held
        assert operator.ready("prometheus") == READY


@in_virtual_time
async def test_a_label_that_goes_while_another_instance_is_away_is_followed_all_the_same() -> None:
    async with an_operator() as operator:
        grafanas = _add_three(operator)
        await _in_sync(operator, instanceSelector=SELECTOR)
        grafanas["c"].failing = _no_connection
        operator.kubernetes.apply_instance("b", labels={"tier": "dev"})
        await asyncio.sleep(5)
        assert grafanas["b"].held == {}
        assert sorted(operator.synced("prometheus")) == ["a", "c"]


@in_virtual_time
async def test_a_new_instance_is_filled_by_those_who_select_it() -> None:
    async with an_operator() as operator:
        operator.add_grafana("a", labels=PROD)
        await _in_sync(operator, instanceSelector=SELECTOR)
        late = operator.add_grafana("late", labels=PROD)
        await asyncio.sleep(5)
        assert UID in late.held
        assert operator.synced("prometheus") == {"a": SYNCED, "late": SYNCED}


@in_virtual_time
async def test_a_deletion_cleans_all_of_them_up_and_waits_for_the_one_that_is_away() -> None:
    async with an_operator() as operator:
        grafanas = _add_three(operator)
        await _in_sync(operator, instanceSelector=SELECTOR)
        grafanas["b"].failing = _no_connection
        operator.kubernetes.delete("prometheus")
        await asyncio.sleep(60)
        assert operator.ready("prometheus") == ("False", "DeletionBlocked")
        assert grafanas["a"].held == grafanas["c"].held == {}
        assert list(operator.synced("prometheus")) == ["b"]
        grafanas["b"].failing = None
        await asyncio.sleep(10)
        assert operator.kubernetes.objects == {}
        assert grafanas["b"].held == {}


@in_virtual_time
async def test_events_name_the_instance_where_there_are_several() -> None:
    async with an_operator() as operator:
        _add_three(operator)
        await _in_sync(operator, instanceSelector=SELECTOR)
        told = [
            event["message"]
            for event in operator.kubernetes.events
            if event["involvedObject"]["name"] == "prometheus"
        ]
        assert sorted(told) == [
            f"Created the data source in Grafana ({NAMESPACE}/{name})" for name in "abc"
        ]


# --- moving -------------------------------------------------------------------------------------


@in_virtual_time
async def test_moving_creates_at_the_new_place_and_cleans_up_the_old_one() -> None:
    async with an_operator() as operator:
        old, new = operator.add_grafana("old"), operator.add_grafana("new")
        await _in_sync(operator, **_on("old"))
        await _in_sync(operator, **_on("new"))
        assert (list(old.held), list(new.held)) == ([], [UID])
        assert operator.synced("prometheus") == {"new": SYNCED}
        assert new.written_at[UID][0] < old.written_at[UID][-1]
        assert operator.event_reasons("prometheus") == ["Created", "Created", "Deleted"]


@pytest.mark.parametrize("trouble", ["away", "missing", "suspended", "taken", "dry"])
@in_virtual_time
async def test_the_old_place_is_kept_until_the_new_one_was_seen_good(trouble: str) -> None:
    async with an_operator() as operator:
        old, new = operator.add_grafana("old"), Grafana()
        if trouble != "missing":
            settings: Json = {
                "suspend": trouble == "suspended",
                "mode": "DryRun" if trouble == "dry" else "Enforce",
            }
            new = operator.add_grafana("new", **settings)
        if trouble == "away":
            new.failing = _no_connection
        if trouble == "taken":
            new.add(UID, jsonData={OWNER_KEY: "another/a/b"})
        await _in_sync(operator, **_on("old"))
        operator.kubernetes.apply("prometheus", url="http://new", **_on("new"))
        await asyncio.sleep(120)
        ready = operator.ready("prometheus")
        assert ready is not None
        assert ready[0] != "True"
        assert UID in old.held
        assert "old" in operator.synced("prometheus")
        new = operator.add_grafana("new")
        new.failing = None
        if trouble == "taken":
            new.remove(UID)
        await asyncio.sleep(70)
        assert operator.ready("prometheus") == READY
        assert (list(old.held), list(new.held)) == ([], [UID])


@in_virtual_time
async def test_moving_away_from_an_instance_that_is_away_is_done_once_it_is_back() -> None:
    async with an_operator() as operator:
        old, new = operator.add_grafana("old"), operator.add_grafana("new")
        await _in_sync(operator, **_on("old"))
        old.failing = _no_connection
        operator.kubernetes.apply("prometheus", **_on("new"))
        await asyncio.sleep(60)
        assert operator.ready("prometheus") == ("False", "DeletionBlocked")
        assert UID in new.held
        old.failing = None
        await asyncio.sleep(10)
        assert operator.ready("prometheus") == READY
        assert old.held == {}


@in_virtual_time
async def test_moving_there_and_back_again_cleans_up_what_was_begun() -> None:
    async with an_operator() as operator:
        old, new = operator.add_grafana("old"), operator.add_grafana("new")
        await _in_sync(operator, **_on("old"))
        new.failing = _no_connection
        operator.kubernetes.apply("prometheus", **_on("new"))
        await asyncio.sleep(30)
        operator.kubernetes.apply("prometheus", **_on("old"))
        await asyncio.sleep(30)
        new.failing = None
        await asyncio.sleep(30)
        assert operator.ready("prometheus") == READY
        assert operator.synced("prometheus") == {"old": SYNCED}
        assert (list(old.held), list(new.held)) == ([UID], [])


@pytest.mark.parametrize("wait", [0.0, 5.0])
@in_virtual_time
async def test_the_same_place_under_another_name_is_not_cleaned_up(wait: float) -> None:
    async with an_operator() as operator:
        grafana = operator.add_grafana("old")
        await _in_sync(operator, **_on("old"))
        held = dict(grafana.held[UID])
        operator.write_secret("new-token", token="glsa_old")
        operator.kubernetes.apply_instance("new", url=url_of("old"))
        await asyncio.sleep(wait)
        await _in_sync(operator, **_on("new"))
        assert grafana.held[UID] == held
        assert len(grafana.written_at[UID]) == 1
        assert operator.synced("prometheus") == {"new": SYNCED}


@in_virtual_time
async def test_another_organization_of_the_same_grafana_is_another_place() -> None:
    async with an_operator() as operator:
        grafana = operator.add_grafana("old", orgId=1)
        await _in_sync(operator, **_on("old"))
        operator.write_secret("new-token", token="glsa_new")
        new = operator.grafanas["http://new.example"] = Grafana()
        new.org_id = 2
        operator.kubernetes.apply_instance("new", orgId=2)
        await _in_sync(operator, **_on("new"))
        assert grafana.held == {}
        assert UID in new.held


# --- one does not slow another ------------------------------------------------------------------


async def _until_ready(operator: Operator, names: list[str]) -> float:
    """Virtual seconds until all are in sync."""
    started = now()
    while any(operator.ready(name) != READY for name in names):
        await asyncio.sleep(0.05)
        assert now() - started < HOUR
    return now() - started


async def _fill(operator: Operator, instance: str, number: int) -> list[str]:
    names = [f"{instance}-{index:03d}" for index in range(number)]
    for name in names:
        operator.kubernetes.apply(name, **_on(instance))
    return names


async def _seconds_of_the_healthy_one(*, alone: bool) -> float:
    async with an_operator() as operator:
        operator.add_grafana("healthy")
        if not alone:
            dead, slow = operator.add_grafana("dead"), operator.add_grafana("slow")
            await asyncio.sleep(2)
            dead.failing = _no_connection
            slow.seconds_per_request = 5.0
            await _fill(operator, "dead", 60)
            await _fill(operator, "slow", 60)
        await asyncio.sleep(30)
        return await _until_ready(operator, await _fill(operator, "healthy", 100))


def test_a_dead_and_a_slow_instance_do_not_slow_a_healthy_one() -> None:
    seconds: dict[bool, float] = {}

    @in_virtual_time
    async def measure(alone: bool) -> None:
        seconds[alone] = await _seconds_of_the_healthy_one(alone=alone)

    measure(alone=True)
    measure(alone=False)
    assert seconds[False] <= seconds[True] * 1.05 + 0.1


@in_virtual_time
async def test_a_resource_leaves_a_slow_instance_without_waiting_for_it() -> None:
    async with an_operator() as operator:
        slow, healthy = operator.add_grafana("slow"), operator.add_grafana("healthy")
        await asyncio.sleep(2)
        slow.seconds_per_request = 9.0
        await _fill(operator, "slow", 60)
        await asyncio.sleep(1)
        operator.kubernetes.apply("prometheus", **_on("slow"))
        await asyncio.sleep(1)
        operator.kubernetes.apply("prometheus", **_on("healthy"))
        await asyncio.sleep(1)
        assert UID in healthy.held


@in_virtual_time
async def test_an_instance_that_cannot_be_looked_at_does_not_hold_up_the_others_for_long() -> None:
    async with an_operator() as operator:
        operator.add_grafana("main")
        await _in_sync(operator, **_on("main"))
        operator.grafanas[url_of("main")].failing = lambda: answer(502, {"message": "away"})
        await operator.restart()
        operator.kubernetes.apply("other", name="other")
        await asyncio.sleep(3)
        assert operator.ready("other") == READY
