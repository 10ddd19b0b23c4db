"""The whole operator in virtual time: Grafana's own health checks, and what is told of them."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from prometheus_client import REGISTRY

from tests.unit.builders import config_map_key, secret_key, value_from
from tests.unit.grafana.wire import answer
from tests.unit.simulation import NAMESPACE, Operator, an_operator
from tests.unit.virtual_time import in_virtual_time, now

Json = dict[str, Any]

UID = f"{NAMESPACE}_prometheus"
READY = ("True", "Synced")
CHECKED: Json = {"healthCheck": {}}
DOWN = {"status": "ERROR", "message": "dial tcp: connection refused"}
INTERVAL = 600.0
HOUR = 3600.0


async def _in_sync(operator: Operator, resource: str = "prometheus", /, **spec: Any) -> None:
    operator.kubernetes.apply(resource, **{**CHECKED, **spec})
    await asyncio.sleep(5)
    assert operator.ready(resource) == READY


def _healthy(operator: Operator, name: str = "prometheus") -> tuple[str, str] | None:
    return operator.condition("Healthy", name)


def _metric(name: str = "prometheus") -> float | None:
    return REGISTRY.get_sample_value(
        "gdso_datasource_healthy", {"namespace": NAMESPACE, "name": name}
    )


# --- when ---------------------------------------------------------------------------------------


@in_virtual_time
async def test_health_is_asked_six_seconds_after_a_write_and_then_on_its_interval() -> None:
    async with an_operator() as operator:
        await _in_sync(operator)
        assert operator.grafana.checked_at == {}
        await asyncio.sleep(24 * HOUR)
        written, (first, *later) = (
            operator.grafana.written_at[UID][0],
            operator.grafana.checked_at[UID],
        )
        assert 6.0 <= first - written <= 6.5
        gaps = [after - before for before, after in pairwise([first, *later])]
        assert len(gaps) >= 24 * HOUR / INTERVAL - 1
        assert all(0.9 <= gap / INTERVAL <= 1.01 for gap in gaps)


@pytest.mark.parametrize("pause", [1.5, 5.9, 300.0, 599.0])
@in_virtual_time
async def test_no_check_lies_within_six_seconds_after_a_write(pause: float) -> None:
    async with an_operator() as operator:
        await _in_sync(operator)
        for number in range(5):
            await asyncio.sleep(pause)
            operator.kubernetes.apply("prometheus", url=f"http://{number}", **CHECKED)
        await asyncio.sleep(2 * INTERVAL)
        checks, writes = operator.grafana.checked_at[UID], operator.grafana.written_at[UID]
        assert all(not 0 <= check - write < 6.0 - 1e-6 for check in checks for write in writes)
        assert any(6.0 - 1e-6 <= check - writes[-1] <= 6.5 for check in checks)


@in_virtual_time
async def test_an_interval_of_its_own_counts() -> None:
    async with an_operator() as operator:
        await _in_sync(operator, healthCheck={"interval": "1m"})
        await asyncio.sleep(HOUR)
        assert 58 <= len(operator.grafana.checked_at[UID]) <= 68


@in_virtual_time
async def test_an_interval_of_nothing_asks_only_after_a_write() -> None:
    async with an_operator() as operator:
        once = {"healthCheck": {"interval": "0s"}}
        await _in_sync(operator, **once)
        await asyncio.sleep(24 * HOUR)
        assert len(operator.grafana.checked_at[UID]) == 1
        await operator.restart()
        await asyncio.sleep(24 * HOUR)
        assert len(operator.grafana.checked_at[UID]) == 1
        await _in_sync(operator, url="http://new", **once)
        await asyncio.sleep(24 * HOUR)
        assert len(operator.grafana.checked_at[UID]) == 2


@in_virtual_time
async def test_checks_run_two_at_a_time_on_an_instance() -> None:
    async with an_operator() as operator:
        operator.grafana.seconds_per_check = 10
        for number in range(12):
            operator.kubernetes.apply(f"ds-{number}", name=f"ds-{number}", **CHECKED)
        await asyncio.sleep(120)
        assert operator.grafana.most_checks == 2
        assert len(operator.grafana.checked_at) == 12


@in_virtual_time
async def test_after_a_restart_there_is_no_rush_of_checks() -> None:
    async with an_operator() as operator:
        for number in range(40):
            operator.kubernetes.apply(f"ds-{number}", name=f"ds-{number}", **CHECKED)
        await asyncio.sleep(60)
        await operator.restart()
        started = now()
        await asyncio.sleep(INTERVAL + 10)
        checks = sorted(
            next(at for at in times if at > started)
            for times in operator.grafana.checked_at.values()
        )
        assert len(checks) == 40
        assert sum(at < started + INTERVAL / 4 for at in checks) <= 20


@in_virtual_time
async def test_a_backlog_of_one_instance_does_not_hold_up_the_checks_on_another() -> None:
    async with an_operator() as operator:
        slow = operator.add_grafana("slow")
        await _in_sync(operator)
        slow.seconds_per_request = 9.0
        for number in range(60):
            operator.kubernetes.apply(f"ds-{number}", instanceRef={"name": "slow"})
        await asyncio.sleep(5)
        assert len(operator.grafana.checked_at[UID]) == 1


# --- what is told -------------------------------------------------------------------------------


@in_virtual_time
async def test_health_becomes_a_condition_and_no_part_of_ready() -> None:
    async with an_operator() as operator:
        await _in_sync(operator)
        await asyncio.sleep(5)
        assert _healthy(operator) == ("True", "Healthy")
        assert operator.message("prometheus", kind="Healthy") == "all fine"
        operator.grafana.health = DOWN
        await asyncio.sleep(INTERVAL)
        assert _healthy(operator) == ("False", "Unhealthy")
        assert "connection refused" in operator.message("prometheus", kind="Healthy")
        assert operator.ready("prometheus") == READY
        (instance,) = operator.kubernetes.objects["prometheus"]["status"]["instances"]
        assert instance["health"] == "ERROR"


@in_virtual_time
async def test_health_that_stays_as_it_is_costs_no_write() -> None:
    async with an_operator() as operator:
        await _in_sync(operator)
        await asyncio.sleep(5)
        writes = len(operator.kubernetes.writes)
        await asyncio.sleep(24 * HOUR)
        assert len(operator.kubernetes.writes) == writes


@in_virtual_time
async def test_a_look_does_not_forget_health_nor_a_check_the_rest() -> None:
    async with an_operator() as operator:
        await _in_sync(operator)
        await asyncio.sleep(5)
        await _in_sync(operator, url="http://new")
        assert _healthy(operator) == ("True", "Healthy")
        operator.grafana.health = DOWN
        operator.kubernetes.apply("prometheus", url="", **CHECKED)
        await asyncio.sleep(INTERVAL)
        assert operator.ready("prometheus") == ("False", "InvalidSpec")
        assert _healthy(operator) == ("False", "Unhealthy")
        await _in_sync(operator)
        assert _healthy(operator) == ("False", "Unhealthy")


@in_virtual_time
async def test_whoever_wants_no_check_has_neither_check_nor_condition_nor_metric() -> None:
    async with an_operator() as operator:
        await _in_sync(operator)
        await asyncio.sleep(5)
        assert _metric() == 1
        checks = len(operator.grafana.checked_at[UID])
        await _in_sync(operator, healthCheck={"enabled": False})
        assert _healthy(operator) is None
        assert _metric() is None
        await asyncio.sleep(24 * HOUR)
        assert len(operator.grafana.checked_at[UID]) == checks
        (instance,) = operator.kubernetes.objects["prometheus"]["status"]["instances"]
        assert "health" not in instance
        await _in_sync(operator)
        await asyncio.sleep(5)
        assert _healthy(operator) == ("True", "Healthy")


@in_virtual_time
async def test_the_worst_of_several_instances_is_told_with_its_name() -> None:
    async with an_operator() as operator:
        for name in ("a", "b"):
            operator.add_grafana(name, labels={"tier": "prod"})
        operator.grafanas["http://b.example"].health = DOWN
        await asyncio.sleep(1)
        await _in_sync(operator, instanceSelector={"matchLabels": {"tier": "prod"}})
        await asyncio.sleep(5)
        assert _healthy(operator) == ("False", "Unhealthy")
        assert operator.message("prometheus", kind="Healthy").startswith(f"{NAMESPACE}/b: ")
        said = {
            one["name"]: one["health"]
            for one in operator.kubernetes.objects["prometheus"]["status"]["instances"]
        }
        assert said == {"a": "OK", "b": "ERROR"}
        assert _metric() == 0


@in_virtual_time
async def test_an_instance_that_is_away_says_nothing_about_health() -> None:
    async with an_operator() as operator:
        await _in_sync(operator)
        await asyncio.sleep(5)
        operator.grafana.failing = lambda: answer(502, {"message": "nobody there"})
        await asyncio.sleep(24 * HOUR)
        assert _healthy(operator) == ("True", "Healthy")
        operator.grafana.failing = None
        operator.grafana.health = DOWN
        await asyncio.sleep(INTERVAL + 10)
        assert _healthy(operator) == ("False", "Unhealthy")


@in_virtual_time
async def test_a_plugin_that_is_missing_is_named() -> None:
    async with an_operator() as operator:
        await _in_sync(operator, type="my-plugin")
        operator.grafana.health_answer = lambda: answer(
            404, {"messageId": "plugin.notRegistered", "message": "Plugin not registered"}
        )
        await asyncio.sleep(5)
        assert _healthy(operator) == ("Unknown", "HealthUnknown")
        assert '"my-plugin" is not installed' in operator.message("prometheus", kind="Healthy")
        assert _metric() is None


@pytest.mark.parametrize("kind", ["Secret", "ConfigMap"])
@in_virtual_time
async def test_what_grafana_says_is_not_repeated_where_it_may_quote_a_secret(kind: str) -> None:
    async with an_operator() as operator:
        is_secret = kind == "Secret"
        write = operator.write_secret if is_secret else operator.write_config_map
        source = secret_key("urls", "url") if is_secret else config_map_key("urls", "url")
        write("urls", url="http://hidden-host:9090")
        operator.grafana.health = {
            "status": "ERROR",
            "message": 'Get "http://hidden-host:9090/api/v1/query": no such host hidden-host',
        }
        await asyncio.sleep(1)
        await _in_sync(operator, valuesFrom=[value_from("/url", source)])
        await asyncio.sleep(5)
        assert _healthy(operator) == ("False", "Unhealthy")
        told = operator.message("prometheus", kind="Healthy")
        assert ("hidden-host" in told) is not is_secret
        assert "no such host" in told


@in_virtual_time
async def test_nor_is_what_it_says_instead_of_a_verdict() -> None:
    async with an_operator() as operator:
        operator.write_secret("urls", url="http://hidden-host:9090")
        operator.grafana.health_answer = lambda: answer(
            500, {"message": "plugin unavailable: hidden-host"}
        )
        source = secret_key("urls", "url")
        await asyncio.sleep(1)
        await _in_sync(operator, valuesFrom=[value_from("/url", source)])
        await asyncio.sleep(5)
        assert _healthy(operator) == ("Unknown", "HealthUnknown")
        told = operator.message("prometheus", kind="Healthy")
        assert told == (
            'the plugin of type "prometheus" is not available to Grafana\'s server'
            ' ("plugin unavailable: …")'
        )


@in_virtual_time
async def test_what_is_gone_is_not_asked_about() -> None:
    async with an_operator() as operator:
        await _in_sync(operator)
        await asyncio.sleep(5)
        operator.kubernetes.delete("prometheus")
        await asyncio.sleep(24 * HOUR)
        assert len(operator.grafana.checked_at[UID]) == 1
        assert _metric() is None


@in_virtual_time
async def test_what_never_got_to_grafana_is_not_asked_about() -> None:
    async with an_operator() as operator:
        operator.kubernetes.apply("prometheus", url="", **CHECKED)
        await asyncio.sleep(HOUR)
        assert operator.grafana.checked_at == {}
        assert _healthy(operator) is None


@in_virtual_time
async def test_a_back_end_that_hangs_is_unhealthy_and_holds_up_no_look() -> None:
    async with an_operator() as operator:
        operator.grafana.seconds_per_check = 100.0
        await _in_sync(operator)
        await asyncio.sleep(5)
        await _in_sync(operator, url="http://new")
        await asyncio.sleep(60)
        assert _healthy(operator) == ("False", "Unhealthy")
        assert "no answer" in operator.message("prometheus", kind="Healthy")
