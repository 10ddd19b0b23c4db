"""What Grafana's own check of a data source means, on each real server and each double."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from grafana_datasource_operator.api.reasons import ConditionStatus
from grafana_datasource_operator.grafana.client import GrafanaClient
from grafana_datasource_operator.grafana.health import Health, read_health
from tests.contract.clients import Organization, body

_NOBODY = "http://127.0.0.1:2"


async def _check(client: GrafanaClient, uid: str, type_: str, url: str = _NOBODY) -> Health:
    created = await client.create_data_source(body(uid, type=type_, url=url))
    return read_health(await client.check_health(uid, created.id), type_)


@pytest.fixture
async def silent_url() -> AsyncIterator[str]:
    """A back end that takes connections and never says a word."""
    connections = list[asyncio.StreamWriter]()
    server = await asyncio.start_server(lambda _, writer: connections.append(writer), "127.0.0.1")
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in connections:
            writer.close()


def _require_plugins(organization: Organization) -> None:
    if organization.major < 10:
        pytest.skip("the builds of 8.5 and 9.4 that are recorded lack most plugins")


async def test_what_works_is_healthy(
    client: GrafanaClient, organization: Organization, uid: str
) -> None:
    _require_plugins(organization)
    health = await _check(client, uid, "grafana-testdata-datasource")
    assert health == Health(ConditionStatus.TRUE, "OK", "Data source is working")


@pytest.mark.parametrize(
    ("type_", "word"), [("prometheus", "ERROR"), ("loki", "ERROR"), ("elasticsearch", "UNKNOWN")]
)
async def test_a_back_end_that_nobody_serves_is_not_healthy_in_the_words_of_grafana(
    client: GrafanaClient, organization: Organization, uid: str, type_: str, word: str
) -> None:
    health = await _check(client, uid, type_)
    if organization.major < 10:
        # Some builds have no check for it: then nobody knows.
        assert health.status is not ConditionStatus.TRUE
        return
    assert (health.status, health.word) == (ConditionStatus.FALSE, word)
    assert health.message


@pytest.mark.parametrize("type_", ["no-such-plugin", "alertmanager"])
async def test_what_grafana_cannot_check_is_unknown_and_names_the_plugin(
    client: GrafanaClient, uid: str, type_: str
) -> None:
    health = await _check(client, uid, type_)
    assert (health.status, health.word) == (ConditionStatus.UNKNOWN, "")
    assert f'"{type_}"' in health.message


async def test_a_missing_data_source_is_unknown(client: GrafanaClient, uid: str) -> None:
    health = read_health(await client.check_health(uid, 987_654), "prometheus")
    assert health.status is ConditionStatus.UNKNOWN
    assert "Unable to load datasource metadata" in health.message


async def test_a_back_end_that_hangs_has_no_answer(
    client: GrafanaClient, organization: Organization, uid: str, silent_url: str
) -> None:
    _require_plugins(organization)
    created = await client.create_data_source(body(uid, url=silent_url))
    assert await client.check_health(uid, created.id, within=1.0) is None
    # Grafana itself is well.
    assert await client.get_org_id() == organization.id
