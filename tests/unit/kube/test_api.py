"""Requests to the apiserver: what is sent, and errors that repeat nothing of what it says."""

import asyncio
import json
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client import Configuration

from grafana_datasource_operator.kube.api import MERGE_PATCH, METADATA_ONLY, KubeApi
from grafana_datasource_operator.kube.errors import (
    ConflictError,
    GoneError,
    KubeError,
    NotFoundError,
)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Connect = Callable[[Handler], Awaitable[KubeApi]]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """A client of an apiserver that is one function."""
    servers, clients = [], []

    async def connect(handler: Handler) -> KubeApi:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        server = TestServer(app)
        await server.start_server()
        servers.append(server)
        configuration = Configuration()
        configuration.host = str(server.make_url("/")).rstrip("/")
        client = KubeApi(configuration, "gdso/unit")
        clients.append(client)
        return client

    yield connect
    for client in clients:
        await client.close()
    for server in servers:
        await server.close()


async def test_a_request_is_json_and_says_who_we_are(connect: Connect) -> None:
    async def echo(request: web.Request) -> web.Response:
        return web.json_response(
            {
                "method": request.method,
                "path": request.path_qs,
                "type": request.headers["Content-Type"],
                "accept": request.headers["Accept"],
                "agent": request.headers["User-Agent"],
                "body": await request.json(),
            }
        )

    api = await connect(echo)
    answered = await api.request(
        "PATCH",
        "/apis/gdso.dev/v1beta1/namespaces/a/grafanadatasources/b",
        body={"metadata": {"finalizers": []}},
        query={"fieldManager": "gdso"},
        content_type=MERGE_PATCH,
        accept=METADATA_ONLY,
    )
    assert answered == {
        "method": "PATCH",
        "path": "/apis/gdso.dev/v1beta1/namespaces/a/grafanadatasources/b?fieldManager=gdso",
        "type": MERGE_PATCH,
        "accept": METADATA_ONLY,
        "agent": "gdso/unit",
        "body": {"metadata": {"finalizers": []}},
    }


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, KubeError),
        (401, KubeError),
        (403, KubeError),
        (404, NotFoundError),
        (409, ConflictError),
        (410, GoneError),
        (422, KubeError),
        (500, KubeError),
        (503, KubeError),
    ],
)
async def test_an_error_is_its_status_and_nothing_of_its_text(
    connect: Connect, status: int, kind: type[KubeError]
) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.json_response({"message": "quotes secret-value-1"}, status=status)

    api = await connect(refuse)
    with pytest.raises(KubeError) as failed:
        await api.request("GET", "/api/v1/secrets")
    assert type(failed.value) is kind
    assert failed.value.status == status
    assert str(failed.value) == f"GET /api/v1/secrets: HTTP {status}"
    assert "secret-value-1" not in "".join(traceback.format_exception(failed.value))


async def test_no_answer_is_an_error_too() -> None:
    configuration = Configuration()
    configuration.host = "http://127.0.0.1:1"
    api = KubeApi(configuration, "gdso/unit")
    try:
        with pytest.raises(KubeError, match="GET /version: no answer") as failed:
            await api.request("GET", "/version")
        assert failed.value.status == 0
    finally:
        await api.close()


async def _watched(api: KubeApi) -> list[object]:
    events = api.watch(
        "/api/v1/secrets", query={"resourceVersion": "7"}, accept=METADATA_ONLY, idle_timeout=5
    )
    return [event async for event in events]


async def test_a_watch_yields_whole_events_however_the_stream_is_cut(connect: Connect) -> None:
    events = [{"type": "ADDED", "object": {"n": n, "text": "é" * 300_000}} for n in range(3)]
    stream = b"\n".join(json.dumps(event, ensure_ascii=False).encode() for event in events) + b"\n"

    async def serve(request: web.Request) -> web.StreamResponse:
        assert request.query["watch"] == "true"
        assert request.query["resourceVersion"] == "7"
        response = web.StreamResponse()
        await response.prepare(request)
        for start in range(0, len(stream), 99_991):
            await response.write(stream[start : start + 99_991])
        return response

    assert await _watched(await connect(serve)) == events


@pytest.mark.parametrize(("status", "kind"), [(410, GoneError), (403, KubeError), (500, KubeError)])
async def test_a_watch_that_is_refused_is_an_error(
    connect: Connect, status: int, kind: type[KubeError]
) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=status)

    with pytest.raises(KubeError) as failed:
        await _watched(await connect(refuse))
    assert type(failed.value) is kind


async def test_a_watch_that_delivers_nonsense_is_an_error(connect: Connect) -> None:
    async def babble(_: web.Request) -> web.Response:
        return web.Response(text="<html>\n")

    with pytest.raises(KubeError, match="WATCH /api/v1/secrets: no answer"):
        await _watched(await connect(babble))


async def test_a_watch_that_breaks_off_is_an_error(connect: Connect) -> None:
    async def break_off(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"type": "ADDED"}\n')
        await asyncio.sleep(0)
        assert request.transport is not None
        request.transport.abort()
        return response

    with pytest.raises(KubeError):
        await _watched(await connect(break_off))
