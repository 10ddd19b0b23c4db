"""Connections that nothing is sent over, or that answer as a test says."""

from collections.abc import Callable

import httpx
from pydantic import SecretStr

from grafana_datasource_operator.grafana.client import GrafanaClient
from grafana_datasource_operator.grafana.connection import ConnectionSettings
from grafana_datasource_operator.grafana.credentials import Token
from grafana_datasource_operator.grafana.instance import GrafanaInstance
from tests.unit.grafana.wire import Wire

URL = "http://grafana.example"


def _nobody(request: httpx.Request) -> httpx.Response:
    raise AssertionError(f"{request.method} {request.url.path} was not to be sent")


def a_connection(
    answering: Callable[[httpx.Request], httpx.Response] = _nobody,
    *,
    url: str = URL,
    org_id: int | None = 1,
) -> GrafanaInstance:
    """A connection that is not running yet."""
    settings, credentials = ConnectionSettings(url, org_id), Token(SecretStr("glsa_unit"))
    client = GrafanaClient(
        settings, credentials, name="unit", user_agent="gdso/unit", transport=Wire(answering)
    )
    return GrafanaInstance("unit", client, credentials, settings=settings, on_change=lambda _: None)
