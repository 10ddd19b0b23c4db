"""Connections stay while nothing about them changed, and are replaced where something did."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from grafana_datasource_operator.api.names import InstanceKey
from grafana_datasource_operator.grafana.client import GrafanaClient
from grafana_datasource_operator.grafana.connection import (
    ConnectionSettings,
    InvalidTlsError,
    Tls,
)
from grafana_datasource_operator.grafana.credentials import Credentials, Token
from grafana_datasource_operator.grafana.errors import Closed
from grafana_datasource_operator.reconcile.connections import Connections
from grafana_datasource_operator.reconcile.resync import Resync, Sightings
from tests.unit.grafana.wire import answer
from tests.unit.reconcile.pretended_grafana import URL, a_client
from tests.unit.virtual_time import in_virtual_time, now

Json = dict[str, Any]

MAIN, OTHER = InstanceKey("monitoring", "main"), InstanceKey("monitoring", "other")
SETTINGS = ConnectionSettings(URL, 1)
CREDENTIALS = Token(SecretStr("glsa_1"))


class World:
    """Connections to a Grafana that only answers which organization it is."""

    def __init__(self) -> None:
        self.tasks: list[asyncio.Task[None]] = []
        self.changes: list[tuple[InstanceKey, bool]] = []
        self.seen: list[str] = []
        resync = Resync(Sightings(), interval=100, on_suspicion=lambda _: None)
        self.connections = Connections(
            dial=self._dial,
            background=self._begin,
            resync=resync,
            on_change=lambda key, usable: self.changes.append((key, usable)),
            clock=asyncio.get_running_loop().time,
        )

    def _begin(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        self.tasks.append(asyncio.create_task(work, name=name))
        return self.tasks[-1]

    def _dial(
        self, settings: ConnectionSettings, credentials: Credentials, name: str
    ) -> GrafanaClient:
        return a_client(settings, credentials, name, self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(f"{request.headers['Authorization']} {request.url.path}")
        return answer(200, {"id": 1} if request.url.path == "/api/org" else [])

    @property
    def running(self) -> int:
        return sum(not task.done() for task in self.tasks)


@asynccontextmanager
async def a_world() -> AsyncIterator[World]:
    world = World()
    try:
        yield world
    finally:
        for task in world.tasks:
            task.cancel()
        await asyncio.gather(*world.tasks, return_exceptions=True)


@in_virtual_time
async def test_a_connection_connects_and_is_listed_by_itself() -> None:
    async with a_world() as world:
        connection = world.connections.open(MAIN, "f", SETTINGS, CREDENTIALS)
        assert world.connections.present(MAIN) is connection
        await asyncio.sleep(1)
        assert world.changes == [(MAIN, True)]
        assert connection.name == "monitoring/main"
        await asyncio.sleep(1000)
        assert world.seen.count("Bearer glsa_1 /api/datasources") >= 9


@in_virtual_time
async def test_the_same_again_is_the_same_connection() -> None:
    async with a_world() as world:
        opened = [world.connections.open(MAIN, ("f", 1), SETTINGS, CREDENTIALS) for _ in range(3)]
        assert opened[0] is opened[1] is opened[2]
        await asyncio.sleep(1)
        assert world.running == 2
        assert world.seen == ["Bearer glsa_1 /api/org"]


@in_virtual_time
async def test_another_fingerprint_is_another_connection_and_the_old_one_ends() -> None:
    async with a_world() as world:
        old = world.connections.open(MAIN, ("f", 1), SETTINGS, CREDENTIALS)
        await asyncio.sleep(1)
        new = world.connections.open(MAIN, ("f", 2), SETTINGS, Token(SecretStr("glsa_2")))
        assert new is not old
        assert world.connections.present(MAIN) is new
        await asyncio.sleep(1)
        assert world.running == 2
        assert world.seen == ["Bearer glsa_1 /api/org", "Bearer glsa_2 /api/org"]
        with pytest.raises(Closed, match="has been closed"):
            await old.check()
        await new.check()


@in_virtual_time
async def test_what_was_written_a_moment_ago_over_the_old_one_still_counts() -> None:
    async with a_world() as world:
        old = world.connections.open(MAIN, 1, SETTINGS, CREDENTIALS)
        await asyncio.sleep(5)
        old.spacing.note("uid")
        new = world.connections.open(MAIN, 2, SETTINGS, CREDENTIALS)
        assert new.spacing.delay("uid") > 1
        fresh = world.connections.open(OTHER, 1, SETTINGS, CREDENTIALS)
        assert fresh.spacing.delay("uid") == 0
        assert now() == 5


@in_virtual_time
async def test_each_instance_has_a_connection_of_its_own() -> None:
    async with a_world() as world:
        main = world.connections.open(MAIN, "f", SETTINGS, CREDENTIALS)
        other = world.connections.open(OTHER, "f", SETTINGS, CREDENTIALS)
        assert main is not other
        world.connections.close(MAIN)
        await asyncio.sleep(1)
        assert world.connections.present(MAIN) is None
        assert world.connections.present(OTHER) is other
        assert world.changes == [(OTHER, True)]
        assert world.running == 2


@in_virtual_time
async def test_at_the_end_nothing_more_is_sent_anywhere() -> None:
    async with a_world() as world:
        opened = [world.connections.open(key, 1, SETTINGS, CREDENTIALS) for key in (MAIN, OTHER)]
        await asyncio.sleep(1)
        world.connections.end()
        for connection in opened:
            with pytest.raises(Closed):
                await connection.check()


@in_virtual_time
async def test_closing_what_is_not_open_is_no_error() -> None:
    async with a_world() as world:
        world.connections.close(MAIN)
        assert world.connections.present(MAIN) is None


@in_virtual_time
async def test_certificates_that_cannot_be_used_leave_the_present_connection() -> None:
    async with a_world() as world:
        present = world.connections.open(MAIN, 1, SETTINGS, CREDENTIALS)
        broken = replace(SETTINGS, url="https://grafana.example", tls=Tls(ca_pem=b"nonsense"))
        with pytest.raises(InvalidTlsError):
            world.connections.open(MAIN, 2, broken, CREDENTIALS)
        await asyncio.sleep(1)
        assert world.connections.present(MAIN) is present
        await present.check()
