"""Connections that nothing is sent over, or that answer as a test says."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
from pydantic import SecretStr

from grafana_datasource_operator.grafana.client import GrafanaClient
from grafana_datasource_operator.grafana.connection import ConnectionSettings
from grafana_datasource_operator.grafana.credentials import Credentials, Token
from grafana_datasource_operator.grafana.instance import GrafanaInstance
from grafana_datasource_operator.grafana.pace import WriteSpacing
from tests.unit.grafana.wire import Wire, answer

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
    client = a_client(settings, credentials, "unit", answering)
    return GrafanaInstance(
        "unit",
        client,
        credentials,
        settings=settings,
        spacing=WriteSpacing(_now),
        on_change=lambda _: None,
    )


def _now() -> float:
    """Virtual seconds; 0 outside of a loop."""
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        return 0.0


def a_client(
    settings: ConnectionSettings,
    credentials: Credentials,
    name: str,
    answering: Callable[[httpx.Request], httpx.Response] = _nobody,
) -> GrafanaClient:
    """A client whose far end is a function, which need not know what a probe asks."""

    def serve(request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if "gdso-probe" in path or path in ("/api/health", "/api/frontend/settings"):
            return answer(500, {"message": "Unable to load"})
        return answering(request)

    return GrafanaClient(
        settings, credentials, name=name, user_agent="gdso/unit", transport=Wire(serve)
    )


@asynccontextmanager
async def running(connection: GrafanaInstance) -> AsyncIterator[GrafanaInstance]:
    """The connection, at work."""
    task = asyncio.create_task(connection.run())
    try:
        yield connection
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
