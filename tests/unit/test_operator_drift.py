"""The whole operator in virtual time: what others do in Grafana, and what several contend for."""

import asyncio
from itertools import pairwise, permutations
from typing import Any

import pytest

from grafana_datasource_operator.api.names import OWNER_KEY
from tests.unit.builders import config_map_key, data_source_ref, secret_key, value_from
from tests.unit.simulation import NAMESPACE, RESYNC_SECONDS, Operator, an_operator
from tests.unit.virtual_time import in_virtual_time, now

Json = dict[str, Any]

UID = f"{NAMESPACE}_prometheus"
READY = ("True", "Synced")
HOUR = 3600.0
REPORT: Json = {"driftPolicy": "Report"}


async def _in_sync(operator: Operator, resource: str = "prometheus", /, **spec: Any) -> None:
    operator.kubernetes.apply(resource, **spec)
    await asyncio.sleep(5)
    assert operator.ready(resource) == READY


def _gaps(times: list[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(times)]


# --- resync -------------------------------------------------------------------------------------


@in_virtual_time
async def test_there_is_one_list_per_instance_and_interval_however_many_there_are() -> None:
    async with an_operator() as operator:
        other = operator.add_grafana("other")
        for number in range(30):
            reference: Json = {"instanceRef": {"name": "other"}} if number % 2 else {}
            operator.kubernetes.apply(f"ds-{number}", name=f"ds-{number}", **reference)
        await asyncio.sleep(6 * HOUR)
        for grafana in (operator.grafana, other):
            assert all(0.9 <= gap / RESYNC_SECONDS <= 1.001 for gap in _gaps(grafana.listed_at))
            assert len(grafana.listed_at) >= 6 * HOUR / RESYNC_SECONDS - 1


@in_virtual_time
async def test_an_instance_that_is_let_go_is_listed_no_more() -> None:
    async with an_operator() as operator:
        grafana = operator.add_grafana("main")
        await asyncio.sleep(HOUR)
        operator.kubernetes.apply_instance("main", suspend=True)
        await asyncio.sleep(5)
        lists = grafana.lists
        assert lists >= 5
        await asyncio.sleep(HOUR)
        assert grafana.lists == lists


@in_virtual_time
async def test_a_foreign_edit_is_seen_by_the_list_one_interval_later_at_the_latest() -> None:
    async with an_operator() as operator:
        # No look of its own would find it.
        await _in_sync(operator, resyncInterval="0s")
        for number in range(5):
            await asyncio.sleep(7.3 * RESYNC_SECONDS)
            operator.grafana.edit(UID, url=f"http://by-hand-{number}")
            await asyncio.sleep(RESYNC_SECONDS + 1)
            assert operator.grafana.held[UID]["url"] == "http://prometheus:9090"
        assert operator.event_reasons() == ["Created", *["DriftCorrected"] * 5]


@in_virtual_time
async def test_what_the_list_does_not_show_is_seen_by_a_look_of_its_own() -> None:
    async with an_operator() as operator:
        await _in_sync(operator, withCredentials=True, basicAuth=True, basicAuthUser="me")
        for fields in ({"withCredentials": False}, {"basicAuthUser": "you"}):
            operator.grafana.edit(UID, **fields)
            await asyncio.sleep(RESYNC_SECONDS + 1)
            held = operator.grafana.held[UID]
            assert (held["withCredentials"], held["basicAuthUser"]) == (True, "me")


@in_virtual_time
async def test_absence_from_a_list_makes_nothing_anew_while_it_is_still_there() -> None:
    async with an_operator() as operator:
        for number in range(6):
            await _in_sync(operator, f"ds-{number}", name=f"ds-{number}", resyncInterval="0s")
        held = dict(operator.grafana.held)
        writes = operator.grafana.writes
        operator.grafana.list_limit = 3
        await asyncio.sleep(3 * RESYNC_SECONDS)
        assert operator.grafana.held == held
        assert operator.grafana.writes == writes
        operator.grafana.remove(f"{NAMESPACE}_ds-5")
        await asyncio.sleep(RESYNC_SECONDS + 1)
        assert operator.grafana.held.keys() == held.keys()


@in_virtual_time
async def test_after_a_restart_looks_are_spread_over_the_interval() -> None:
    async with an_operator() as operator:
        names = [f"ds-{number:02d}" for number in range(60)]
        for name in names:
            operator.kubernetes.apply(name, name=name)
        await asyncio.sleep(30)
        await operator.restart()
        await asyncio.sleep(30)
        started = now()
        await asyncio.sleep(2 * RESYNC_SECONDS)
        reads = sorted(
            next(at for at in times if at > started) for times in operator.grafana.read_at.values()
        )
        assert len(reads) == 60
        assert reads[-1] - started <= RESYNC_SECONDS
        for tenth in range(10):
            begin = started + tenth * RESYNC_SECONDS / 10
            inside = [at for at in reads if begin <= at < begin + RESYNC_SECONDS / 10]
            assert len(inside) <= 20


_FIELDS: list[Json] = [
    {"url": "http://by-hand"},
    {"name": "by hand"},
    {"type": "loki"},
    {"access": "direct"},
    {"user": "by hand"},
    {"database": "by hand"},
    {"basicAuth": False},
    {"basicAuthUser": "by hand"},
    {"withCredentials": True},
    {"isDefault": False},
    {"jsonData": {}},
    {"jsonData": {"httpMethod": "GET", "more": {"deep": [1]}}},
]


@pytest.mark.parametrize("fields", _FIELDS, ids=lambda fields: "".join(fields))
@in_virtual_time
async def test_each_field_is_corrected_by_one_write_in_three_resyncs(fields: Json) -> None:
    async with an_operator() as operator:
        spec: Json = {
            "user": "me",
            "database": "metrics",
            "basicAuth": True,
            "basicAuthUser": "me",
            "withCredentials": False,
            "isDefault": True,
            "jsonData": {"httpMethod": "POST"},
        }
        await _in_sync(operator, **spec)
        held = {**operator.grafana.held[UID]}
        operator.grafana.edit(UID, **fields)
        await asyncio.sleep(3 * RESYNC_SECONDS)
        assert len(operator.grafana.written_at[UID]) == 2
        corrected = operator.grafana.held[UID]
        assert {**corrected, "version": 0} == {**held, "version": 0}
        assert operator.ready("prometheus") == READY


@in_virtual_time
async def test_what_is_ignored_stays_and_costs_no_write() -> None:
    async with an_operator() as operator:
        await _in_sync(operator, ignoreFields=["/jsonData/timeout"], jsonData={"a": 1})
        operator.grafana.edit(
            UID, jsonData={**operator.grafana.held[UID]["jsonData"], "timeout": 7}
        )
        # Its version tells of a write, which may have been to a secret.
        await asyncio.sleep(3 * RESYNC_SECONDS)
        assert len(operator.grafana.written_at[UID]) <= 2
        assert operator.grafana.held[UID]["jsonData"]["timeout"] == 7


# --- driftPolicy Report -------------------------------------------------------------------------


@in_virtual_time
async def test_under_report_a_foreign_edit_is_told_and_left() -> None:
    async with an_operator() as operator:
        await _in_sync(operator, **REPORT)
        operator.grafana.edit(UID, url="http://by-hand")
        await asyncio.sleep(5 * RESYNC_SECONDS)
        assert operator.ready("prometheus") == ("False", "DriftDetected")
        assert "others changed /url" in operator.message("prometheus")
        assert len(operator.grafana.written_at[UID]) == 1
        assert operator.event_reasons() == ["Created", "DriftDetected"]
        operator.grafana.edit(UID, url="http://prometheus:9090")
        await asyncio.sleep(RESYNC_SECONDS + 1)
        assert operator.ready("prometheus") == READY
        assert len(operator.grafana.written_at[UID]) == 1


@in_virtual_time
async def test_under_report_a_foreign_edit_survives_a_restart() -> None:
    async with an_operator() as operator:
        await _in_sync(operator, **REPORT)
        operator.grafana.edit(UID, url="http://by-hand")
        await asyncio.sleep(RESYNC_SECONDS + 1)
        await operator.restart()
        await asyncio.sleep(3 * RESYNC_SECONDS)
        assert operator.ready("prometheus") == ("False", "DriftDetected")
        assert operator.grafana.held[UID]["url"] == "http://by-hand"


@in_virtual_time
async def test_under_report_our_own_changes_are_written_with_the_whole_state() -> None:
    async with an_operator() as operator:
        operator.write_secret("auth", token="value-1")
        token = {"token": secret_key("auth", "token")}
        await _in_sync(operator, secureJsonData=token, **REPORT)
        operator.grafana.edit(UID, url="http://by-hand")
        await asyncio.sleep(RESYNC_SECONDS + 1)
        operator.write_secret("auth", token="value-2")
        await asyncio.sleep(5)
        assert operator.ready("prometheus") == READY
        assert operator.grafana.secrets[UID] == {"token": "value-2"}
        assert operator.grafana.held[UID]["url"] == "http://prometheus:9090"
        operator.grafana.edit(UID, url="http://by-hand")
        await _in_sync(operator, secureJsonData=token, user="me", **REPORT)
        held = operator.grafana.held[UID]
        assert (held["url"], held["user"]) == ("http://prometheus:9090", "me")


@in_virtual_time
async def test_under_report_a_write_that_only_the_version_tells_is_an_event() -> None:
    async with an_operator() as operator:
        await _in_sync(operator, **REPORT)
        operator.grafana.edit(UID)
        await asyncio.sleep(5 * RESYNC_SECONDS)
        assert operator.ready("prometheus") == READY
        assert operator.event_reasons() == ["Created", "DriftDetected"]
        assert len(operator.grafana.written_at[UID]) == 1
        (recorded,) = operator.kubernetes.objects["prometheus"]["status"]["instances"]
        assert recorded["version"] == operator.grafana.held[UID]["version"]


@in_virtual_time
async def test_under_report_what_others_deleted_is_not_made_again() -> None:
    async with an_operator() as operator:
        await _in_sync(operator, **REPORT)
        operator.grafana.remove(UID)
        await asyncio.sleep(3 * RESYNC_SECONDS)
        assert operator.ready("prometheus") == ("False", "DriftDetected")
        assert "others deleted the data source" in operator.message("prometheus")
        assert operator.grafana.held == {}
        await _in_sync(operator)
        assert UID in operator.grafana.held


@in_virtual_time
async def test_from_report_to_correct_what_was_only_told_is_put_right() -> None:
    async with an_operator() as operator:
        await _in_sync(operator, **REPORT)
        operator.grafana.edit(UID, url="http://by-hand")
        await asyncio.sleep(RESYNC_SECONDS + 1)
        await _in_sync(operator)
        assert operator.grafana.held[UID]["url"] == "http://prometheus:9090"


# --- who is the default -------------------------------------------------------------------------


@in_virtual_time
async def test_of_several_that_claim_the_default_the_oldest_gets_it_and_the_next_after_it() -> None:
    async with an_operator() as operator:
        await _in_sync(operator, "first")
        for name in ("b", "a", "c"):
            operator.kubernetes.apply(name, name=name, isDefault=True)
            await asyncio.sleep(2)
        await asyncio.sleep(60)
        assert operator.grafana.default == f"{NAMESPACE}_b"
        assert operator.ready("b") == READY
        for loser in ("a", "c"):
            assert operator.ready(loser) == ("False", "DefaultConflict")
            assert f"{NAMESPACE}_{loser}" in operator.grafana.held
        operator.kubernetes.apply("b", name="b")
        await asyncio.sleep(10)
        operator.kubernetes.delete("b")
        await asyncio.sleep(10)
        assert operator.grafana.default == f"{NAMESPACE}_a"
        assert operator.ready("a") == READY
        assert operator.ready("c") == ("False", "DefaultConflict")


@in_virtual_time
async def test_the_default_changes_hands_without_a_quarrel() -> None:
    async with an_operator() as operator:
        await _in_sync(operator, "a", name="a", isDefault=True)
        await _in_sync(operator, "b", name="b")
        operator.kubernetes.apply("b", name="b", isDefault=True)
        await asyncio.sleep(60)
        assert operator.ready("b") == ("False", "DefaultConflict")
        await _in_sync(operator, "a", name="a", isDefault=False)
        await asyncio.sleep(5)
        assert operator.ready("b") == READY
        assert operator.grafana.default == f"{NAMESPACE}_b"
        writes = operator.grafana.writes
        await asyncio.sleep(3 * RESYNC_SECONDS)
        assert operator.grafana.writes == writes


@pytest.mark.parametrize(
    ("holder", "wins"),
    [
        ({}, True),
        ({"readOnly": True}, False),
        ({"jsonData": {OWNER_KEY: "owner-2/a/b"}}, False),
        ({"jsonData": {OWNER_KEY: "terraform"}}, False),
        ({"jsonData": {OWNER_KEY: f"owner-1/{NAMESPACE}/gone"}}, True),
    ],
)
@in_virtual_time
async def test_what_others_made_default_is_unseated_unless_somebody_cares_for_it(
    holder: Json, wins: bool
) -> None:
    async with an_operator() as operator:
        operator.grafana.add("held", isDefault=True, **holder)
        operator.kubernetes.apply("prometheus", isDefault=True)
        await asyncio.sleep(60)
        assert operator.ready("prometheus") == (READY if wins else ("False", "DefaultConflict"))
        assert operator.grafana.default == (UID if wins else "held")
        assert UID in operator.grafana.held


@pytest.mark.parametrize(
    "spoiled",
    [
        {"url": ""},
        {"jsonData": {"big": 2**63}},
        {"secureJsonData": {"x": secret_key("missing", "x")}},
    ],
)
@in_virtual_time
async def test_only_a_claim_that_can_come_true_holds_up_others(spoiled: Json) -> None:
    async with an_operator() as operator:
        await _in_sync(operator, "first")
        operator.kubernetes.apply("older", name="older", isDefault=True, **spoiled)
        await asyncio.sleep(2)
        operator.kubernetes.apply("prometheus", isDefault=True)
        await asyncio.sleep(70)
        waits = "secureJsonData" in spoiled
        assert operator.ready("prometheus") == (("False", "DefaultConflict") if waits else READY)


@in_virtual_time
async def test_who_may_not_use_an_instance_claims_nothing_there() -> None:
    async with an_operator(namespaces=()) as operator:
        grafana = operator.add_grafana("main")
        await asyncio.sleep(1)
        reference: Json = {"instanceRef": {"name": "main", "namespace": NAMESPACE}}
        operator.kubernetes.apply(
            "intruder", home="team", uid="shared", isDefault=True, **reference
        )
        await asyncio.sleep(2)
        operator.kubernetes.apply("prometheus", uid="shared", isDefault=True, **reference)
        await asyncio.sleep(70)
        assert operator.ready("intruder", home="team") == ("False", "InstanceNotAllowed")
        assert operator.ready("prometheus") == READY
        assert grafana.default == "shared"


# --- who has the uid ----------------------------------------------------------------------------


@in_virtual_time
async def test_of_several_that_want_a_uid_the_first_keeps_it_until_it_goes() -> None:
    async with an_operator() as operator:
        for name in ("b", "a"):
            operator.kubernetes.apply(name, uid="shared", url=f"http://{name}")
            await asyncio.sleep(2)
        await asyncio.sleep(3 * RESYNC_SECONDS)
        assert operator.ready("b") == READY
        assert operator.ready("a") == ("False", "OwnershipConflict")
        assert f"GrafanaDataSource {NAMESPACE}/b" in operator.message("a")
        assert len(operator.grafana.written_at["shared"]) == 1
        operator.kubernetes.delete("b")
        await asyncio.sleep(5)
        assert operator.ready("a") == READY
        assert operator.grafana.held["shared"]["url"] == "http://a"


@in_virtual_time
async def test_rivals_that_come_at_a_time_do_not_take_turns() -> None:
    async with an_operator() as operator:
        for name in "cba":
            operator.kubernetes.apply(name, uid="shared", url=f"http://{name}")
        await asyncio.sleep(3 * RESYNC_SECONDS)
        assert [operator.ready(name) for name in "abc"].count(READY) == 1
        assert operator.ready("a") == READY
        assert len(operator.grafana.written_at["shared"]) == 1


@in_virtual_time
async def test_a_rival_that_is_wrong_in_itself_holds_up_nobody() -> None:
    async with an_operator() as operator:
        operator.kubernetes.apply("older", uid="shared", url="")
        await asyncio.sleep(2)
        operator.kubernetes.apply("prometheus", uid="shared")
        await asyncio.sleep(70)
        assert operator.ready("older") == ("False", "InvalidSpec")
        assert operator.ready("prometheus") == READY


# --- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize("old_grafana", [False, True])
@pytest.mark.parametrize("number", [2, 3, 4])
@in_virtual_time
async def test_resources_that_pass_their_names_round_end_with_the_right_ones(
    number: int, old_grafana: bool
) -> None:
    async with an_operator(old_grafana=old_grafana) as operator:
        names = [f"ds-{index}" for index in range(number)]
        for name in names:
            operator.kubernetes.apply(name, name=f"name of {name}")
        await asyncio.sleep(5)
        for name, other in zip(names, names[1:] + names[:1], strict=True):
            operator.kubernetes.apply(name, name=f"name of {other}")
        await asyncio.sleep(30)
        for name, other in zip(names, names[1:] + names[:1], strict=True):
            assert operator.grafana.held[f"{NAMESPACE}_{name}"]["name"] == f"name of {other}"
            assert operator.ready(name) == READY
        times = operator.grafana.written_at.values()
        assert all(gap >= 1.1 - 1e-6 for written in times for gap in _gaps(written))


@pytest.mark.parametrize("order", list(permutations(range(3))))
@in_virtual_time
async def test_a_chain_of_names_moves_up_whatever_the_order(order: tuple[int, ...]) -> None:
    async with an_operator() as operator:
        for index in range(3):
            operator.kubernetes.apply(f"ds-{index}", name=f"name {index}")
        await asyncio.sleep(5)
        for index in order:
            operator.kubernetes.apply(f"ds-{index}", name=f"name {index + 1}")
            await asyncio.sleep(0.05)
        await asyncio.sleep(30)
        for index in range(3):
            held = operator.grafana.held[f"{NAMESPACE}_ds-{index}"]
            assert held["name"] == f"name {index + 1}"
            assert operator.ready(f"ds-{index}") == READY


@in_virtual_time
async def test_a_name_that_somebody_else_has_is_told_even_where_the_list_is_cut() -> None:
    async with an_operator() as operator:
        operator.grafana.add("first")
        operator.grafana.add("somebody", name="prometheus")
        operator.grafana.list_limit = 1
        operator.kubernetes.apply("prometheus")
        await asyncio.sleep(50)
        assert operator.ready("prometheus") == ("False", "NameConflict")
        assert operator.grafana.requests.count("POST /api/datasources") <= 2


# --- what wakes a resource ----------------------------------------------------------------------


@in_virtual_time
async def test_a_reference_waits_for_its_data_source_and_follows_its_uid() -> None:
    async with an_operator() as operator:
        links = {"tracesToLogs": {"datasourceUid": data_source_ref("loki")}}
        operator.kubernetes.apply("prometheus", jsonData=links)
        await asyncio.sleep(60)
        assert operator.ready("prometheus") == ("False", "WaitingForDataSource")
        assert operator.grafana.requests == []
        operator.kubernetes.apply("loki", name="loki", uid="the-loki")
        await asyncio.sleep(3)
        assert operator.ready("prometheus") == READY
        held = operator.grafana.held[UID]["jsonData"]
        assert held["tracesToLogs"] == {"datasourceUid": "the-loki"}


@in_virtual_time
async def test_two_that_refer_to_each_other_need_no_order() -> None:
    async with an_operator() as operator:
        for name, other in [("tempo", "loki"), ("loki", "tempo")]:
            operator.kubernetes.apply(name, name=name, jsonData={"link": data_source_ref(other)})
        await asyncio.sleep(3)
        for name, other in [("tempo", "loki"), ("loki", "tempo")]:
            held = operator.grafana.held[f"{NAMESPACE}_{name}"]
            assert held["jsonData"]["link"] == f"{NAMESPACE}_{other}"
            assert operator.ready(name) == READY


@in_virtual_time
async def test_a_reference_that_lost_its_data_source_keeps_what_grafana_has() -> None:
    async with an_operator() as operator:
        await _in_sync(operator, "loki", name="loki")
        await _in_sync(operator, jsonData={"link": data_source_ref("loki")})
        operator.kubernetes.delete("loki")
        await asyncio.sleep(5)
        assert operator.ready("prometheus") == ("False", "WaitingForDataSource")
        assert operator.grafana.held[UID]["jsonData"]["link"] == f"{NAMESPACE}_loki"
        await _in_sync(operator, "loki", name="loki")
        assert operator.ready("prometheus") == READY


@pytest.mark.parametrize("kind", ["Secret", "ConfigMap"])
@in_virtual_time
async def test_a_value_from_elsewhere_wakes_its_users_and_is_one_write(kind: str) -> None:
    async with an_operator() as operator:
        write = operator.write_secret if kind == "Secret" else operator.write_config_map
        source = secret_key("urls", "url") if kind == "Secret" else config_map_key("urls", "url")
        operator.kubernetes.apply("prometheus", valuesFrom=[value_from("/url", source)])
        await asyncio.sleep(60)
        assert operator.ready("prometheus") == ("False", f"WaitingFor{kind}")
        assert operator.grafana.requests == []
        write("urls", url="http://one:9090")
        await asyncio.sleep(3)
        assert operator.ready("prometheus") == READY
        assert operator.grafana.held[UID]["url"] == "http://one:9090"
        write("urls", url="http://two:9090")
        await asyncio.sleep(3)
        assert operator.grafana.held[UID]["url"] == "http://two:9090"
        assert len(operator.grafana.written_at[UID]) == 2
        assert operator.event_reasons()[-1] == "SecretChanged"
