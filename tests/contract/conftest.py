"""An organization of its own for each module, on each Grafana."""

import secrets
from collections.abc import AsyncIterator

import httpx
import pytest

from grafana_datasource_operator.grafana.client import GrafanaClient
from grafana_datasource_operator.grafana.credentials import Token
from tests.contract.clients import Organization, open_client
from tests.servers.grafana import Grafana


@pytest.fixture(scope="module")
def organization(contract_grafana: Grafana) -> Organization:
    with httpx.Client(
        base_url=contract_grafana.url, auth=contract_grafana.admin, trust_env=False
    ) as admin:
        made = admin.post("/api/orgs", json={"name": secrets.token_hex(8)}).raise_for_status()
    return Organization(contract_grafana, int(made.json()["orgId"]))


@pytest.fixture(scope="module")
def admin_token(organization: Organization) -> Token:
    return organization.token()


@pytest.fixture
async def client(organization: Organization, admin_token: Token) -> AsyncIterator[GrafanaClient]:
    async with open_client(organization.grafana.url, admin_token, organization.id) as client:
        yield client


@pytest.fixture
def uid() -> str:
    return secrets.token_hex(6)
