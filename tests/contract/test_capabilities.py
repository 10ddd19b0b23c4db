"""What a server can do is found by asking, without writing anything, also where it hides itself."""

import pytest
from pydantic import SecretStr

from grafana_datasource_operator.grafana.capabilities import Capability
from grafana_datasource_operator.grafana.client import GrafanaClient
from grafana_datasource_operator.grafana.credentials import Token
from tests.contract.clients import Organization, body, open_client
from tests.servers.grafana import Grafana
from tests.servers.grafana_choice import GrafanaPool, contract_choices
from tests.servers.grafana_homes import GrafanaMissingError

_SINCE = {
    Capability.UPDATE_BY_UID: (9, 0),
    Capability.HEALTH_BY_UID: (9, 0),
    Capability.CORRELATIONS: (9, 1),
    Capability.CORRELATION_READS: (9, 2),
}


def _expected(grafana: Grafana) -> set[Capability]:
    major, minor, *_ = grafana.version.split(".")
    return {one for one, since in _SINCE.items() if (int(major), int(minor)) >= since}


@pytest.mark.parametrize("role", ["Admin", "Editor", "Viewer"])
async def test_a_server_is_asked_what_it_can(organization: Organization, role: str) -> None:
    token = organization.token(role)
    async with open_client(organization.grafana.url, token, organization.id) as client:
        assert await client.ask_capabilities() == _expected(organization.grafana)


async def test_asking_changes_nothing_even_where_someone_has_the_uid_of_the_question(
    client: GrafanaClient, organization: Organization
) -> None:
    await client.create_data_source(body("gdso-probe", type="no-such-plugin"))
    before = await client.list_data_sources()
    await client.ask_capabilities()
    assert await client.list_data_sources() == before
    assert await client.get_data_source("gdso-probe") is not None
    if Capability.CORRELATION_READS in _expected(organization.grafana):
        answer = await client._request("GET", "datasources/uid/gdso-probe/correlations")
        assert (answer.status, answer.content) == (200, [])
    await client.delete_data_source("gdso-probe")


async def test_the_version_is_told(client: GrafanaClient, organization: Organization) -> None:
    assert await client.get_version() == organization.grafana.version


async def test_a_hidden_version_is_found_elsewhere_and_hides_no_capability(
    grafana_pool: GrafanaPool, contract_grafana: Grafana
) -> None:
    (choice,) = [
        choice
        for choice in contract_choices()
        if (choice.kind, choice.version) == (contract_grafana.kind, contract_grafana.version)
    ]
    try:
        server = grafana_pool.make(choice, settings={"auth.anonymous": {"hide_version": "true"}})
    except GrafanaMissingError as error:
        pytest.skip(str(error))
    with server:
        token = Token(SecretStr(server.create_token()))
        async with open_client(server.url, token, 1) as client:
            health = await client._request("GET", "health")
            assert "version" not in health.content
            assert await client.get_version() == server.version
            assert await client.ask_capabilities() == _expected(server)
