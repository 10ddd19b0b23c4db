"""Clients of an organization of their own on each Grafana, and what they send."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from grafana_datasource_operator.api.grafana_json import DataSourceBody
from grafana_datasource_operator.grafana.client import GrafanaClient
from grafana_datasource_operator.grafana.connection import ConnectionSettings
from grafana_datasource_operator.grafana.credentials import Credentials, Token
from tests.servers.grafana import Grafana


@dataclass(frozen=True)
class Organization:
    """One of its own on each Grafana, shared by the tests of a module."""

    grafana: Grafana
    id: int

    @property
    def major(self) -> int:
        """Of the version."""
        return int(self.grafana.version.partition(".")[0])

    @property
    def has_uid_routes(self) -> bool:
        return self.major >= 9

    def token(self, role: str = "Admin") -> Token:
        return Token(SecretStr(self.grafana.create_token(role, self.id)))


def open_client(url: str, credentials: Credentials, org_id: int) -> GrafanaClient:
    settings = ConnectionSettings(url, org_id, timeout=30)
    return GrafanaClient(settings, credentials, name="contract", user_agent="gdso/contract")


def body(uid: str, **changes: Any) -> DataSourceBody:
    plain = DataSourceBody(
        uid=uid,
        name=f"name of {uid}",
        type="prometheus",
        access="proxy",
        url="http://prometheus:9090",
        user="",
        database="",
        basic_auth=False,
        basic_auth_user="",
        with_credentials=False,
        is_default=False,
        json_data={},
    )
    return dataclasses.replace(plain, **changes)


def hidden(**values: str) -> dict[str, SecretStr]:
    return {key: SecretStr(value) for key, value in values.items()}
