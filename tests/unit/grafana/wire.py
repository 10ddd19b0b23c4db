"""The far end of the Grafana client: answers as told, and remembers what arrived."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
from pydantic import SecretStr

from grafana_datasource_operator.grafana.client import GrafanaClient
from grafana_datasource_operator.grafana.connection import ConnectionSettings
from grafana_datasource_operator.grafana.credentials import Credentials, Token

Json = dict[str, Any]

TOKEN = "glsa_token-of-the-tests"

Answering = Callable[[httpx.Request], httpx.Response | Awaitable[httpx.Response]]


class Wire(httpx.AsyncBaseTransport):
    """Takes the place of the network."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering
        self.requests: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.requests.append(request)
        answer = self._answering(request)
        return answer if isinstance(answer, httpx.Response) else await answer

    @property
    def lines(self) -> list[str]:
        """Method and path of each request, as they are on the wire."""
        return [f"{r.method} {r.url.raw_path.decode()}" for r in self.requests]


def is_of_probe(line: str) -> bool:
    """Whether one of `Wire.lines` asks about the server, not about a data source."""
    return line.endswith((" /api/org", " /api/health")) or "/gdso-probe/" in line


def answer(status: int, content: Any = None, **headers: str) -> httpx.Response:
    """An answer of Grafana: JSON."""
    return httpx.Response(
        status,
        content=json.dumps({} if content is None else content),
        headers={
            "Content-Type": "application/json; charset=UTF-8",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        },
    )


def page(status: int, text: str = "<html>Bad gateway</html>") -> httpx.Response:
    """An answer of something else on the way."""
    return httpx.Response(status, text=text, headers={"Content-Type": "text/html"})


def client_on(
    wire: httpx.AsyncBaseTransport | None,
    *,
    url: str = "http://grafana.example",
    credentials: Credentials | None = None,
    name: str = "unit",
    **settings: Any,
) -> GrafanaClient:
    """A client whose network is `wire` (None: the real one), with a connection of `settings`."""
    return GrafanaClient(
        ConnectionSettings(url, **settings),
        credentials or Token(SecretStr(TOKEN)),
        name=name,
        user_agent="gdso/unit",
        transport=wire,
    )


def data_source(**fields: Any) -> Json:
    """A data source as Grafana shows it."""
    return {
        "id": 7,
        "uid": "prom-a",
        "orgId": 1,
        "name": "Prom A",
        "type": "prometheus",
        "typeLogoUrl": "public/plugins/prometheus/img/prometheus_logo.svg",
        "access": "proxy",
        "url": "http://127.0.0.1:1",
        "jsonData": {},
        "secureJsonFields": {},
        "version": 1,
        "readOnly": False,
        **fields,
    }
