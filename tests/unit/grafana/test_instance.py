"""One Grafana as the reconcilers use it: its organization, few at a time, told of recovery."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from prometheus_client import REGISTRY
from pydantic import SecretStr

from grafana_datasource_operator.grafana import errors
from grafana_datasource_operator.grafana.capabilities import Capability
from grafana_datasource_operator.grafana.client import GrafanaClient
from grafana_datasource_operator.grafana.connection import ConnectionSettings
from grafana_datasource_operator.grafana.credentials import Credentials, Token
from grafana_datasource_operator.grafana.instance import GrafanaInstance
from grafana_datasource_operator.grafana.pace import WriteSpacing
from tests.unit.grafana.wire import Wire, answer, client_on, data_source, is_of_probe, page
from tests.unit.virtual_time import in_virtual_time, let_others_run


class Server:
    """A Grafana behind a wire; each request takes as long as `gate` is closed."""

    def __init__(self, *, org_id: int = 1, has_uid_routes: bool = True) -> None:
        self.org_id = org_id
        self.has_uid_routes = has_uid_routes
        self.failing: httpx.Response | None = None
        self.failing_one: httpx.Response | None = None
        """What a request about a data source meets, and the probe does not."""
        self.gate = asyncio.Event()
        self.gate.set()
        self.in_flight = 0
        self.most_in_flight = 0
        self.wire = Wire(self._answer)

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/org":
            return self.failing or answer(200, {"id": self.org_id})
        if request.url.path == "/api/health":
            return answer(200, {"database": "ok", "version": "12.4.0"})
        if "gdso-probe" in request.url.path:
            return answer(500 if self.has_uid_routes else 404, {"message": "Not found"})
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await self.gate.wait()
        finally:
            self.in_flight -= 1
        return self.failing or self.failing_one or answer(200, data_source())

    @property
    def asked(self) -> list[str]:
        """Requests other than those of the probe."""
        return [line for line in self.wire.lines if not is_of_probe(line)]


class Recoveries:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self, usable: bool) -> None:
        self.count += usable


@asynccontextmanager
async def connected(
    server: Server,
    *,
    org_id: int | None = None,
    recoveries: Recoveries | None = None,
    name: str = "unit",
) -> AsyncIterator[GrafanaInstance]:
    credentials: Credentials = Token(SecretStr("glsa_1"))
    instance = GrafanaInstance(
        name,
        client_on(server.wire, credentials=credentials, name=name),
        credentials,
        settings=ConnectionSettings("http://grafana.example", org_id),
        spacing=WriteSpacing(asyncio.get_running_loop().time),
        on_change=recoveries or Recoveries(),
    )
    task = asyncio.create_task(instance.run())
    await let_others_run()
    try:
        yield instance
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _read(instance: GrafanaInstance) -> object:
    return await instance.read(lambda c: c.get_data_source("prom-a"))


async def _delete(client: GrafanaClient) -> None:
    await client.delete_data_source("prom-a")


async def _write(instance: GrafanaInstance, uid: str = "prom-a") -> None:
    await instance.write(uid, _delete)


# --- how many at a time -------------------------------------------------------------------------


@in_virtual_time
async def test_reads_run_four_at_a_time() -> None:
    server = Server()
    async with connected(server) as instance:
        server.gate.clear()
        reads = [asyncio.create_task(_read(instance)) for _ in range(20)]
        await let_others_run(200)
        assert server.in_flight == 4
        server.gate.set()
        await asyncio.gather(*reads)
        assert server.most_in_flight == 4
        assert len(server.asked) == 20


@in_virtual_time
async def test_writes_run_one_at_a_time() -> None:
    server = Server()
    async with connected(server) as instance:
        server.gate.clear()
        writes = [asyncio.create_task(_write(instance, f"ds-{n}")) for n in range(5)]
        await let_others_run(200)
        assert server.in_flight == 1
        server.gate.set()
        await asyncio.gather(*writes)
        assert server.most_in_flight == 1
        assert len(server.asked) == 5


@in_virtual_time
async def test_a_slow_write_does_not_hold_up_reads() -> None:
    server = Server()
    async with connected(server) as instance:
        server.gate.clear()
        write = asyncio.create_task(_write(instance))
        await let_others_run(200)
        reads = [asyncio.create_task(_read(instance)) for _ in range(4)]
        await let_others_run(200)
        assert server.in_flight == 5
        server.gate.set()
        await asyncio.gather(write, *reads)


@in_virtual_time
async def test_failing_requests_free_their_place() -> None:
    server = Server()
    async with connected(server) as instance:
        server.failing_one = answer(500, {"message": "locked"})
        for _ in range(10):
            with pytest.raises(errors.ServerFault):
                await _read(instance)
            with pytest.raises(errors.ServerFault):
                await _write(instance)
        assert len(server.asked) == 20


# --- which organization -------------------------------------------------------------------------


@pytest.mark.parametrize("org_id", [None, 3])
@in_virtual_time
async def test_the_right_organization_is_asked(org_id: int | None) -> None:
    server = Server(org_id=3)
    async with connected(server, org_id=org_id) as instance:
        await instance.check()
        assert await _read(instance) is not None


@in_virtual_time
async def test_credentials_of_another_organization_are_refused_before_anything_is_asked() -> None:
    server = Server(org_id=3)
    async with connected(server, org_id=1) as instance:
        for attempt in (instance.check(), _read(instance), _write(instance)):
            with pytest.raises(
                errors.PermissionDenied, match=r"organization 3 of Grafana, not in 1; use"
            ):
                await attempt
        assert server.asked == []


@in_virtual_time
async def test_an_organization_that_changes_during_an_outage_is_noticed() -> None:
    server = Server(org_id=1)
    async with connected(server, org_id=1) as instance:
        server.failing = answer(503)
        with pytest.raises(errors.Unavailable):
            await _read(instance)
        server.failing, server.org_id = None, 2
        await asyncio.sleep(10)
        with pytest.raises(errors.PermissionDenied):
            await instance.check()


# --- outages ------------------------------------------------------------------------------------


@in_virtual_time
async def test_during_an_outage_nothing_is_sent_but_the_probe() -> None:
    server = Server()
    async with connected(server) as instance:
        server.failing = answer(502)
        with pytest.raises(errors.Unavailable):
            await _read(instance)
        asked = len(server.asked)
        for _ in range(100):
            with pytest.raises(errors.Unavailable):
                await _read(instance)
            with pytest.raises(errors.Unavailable):
                await _write(instance)
            await asyncio.sleep(0.1)
        assert len(server.asked) == asked


@in_virtual_time
async def test_recovery_is_told_once() -> None:
    server, recoveries = Server(), Recoveries()
    async with connected(server, recoveries=recoveries) as instance:
        assert recoveries.count == 1
        server.failing = answer(502)
        for _ in range(8):
            with pytest.raises(errors.Unavailable):
                await _read(instance)
        await asyncio.sleep(20)
        assert recoveries.count == 1
        server.failing = None
        await asyncio.sleep(20)
        assert recoveries.count == 2
        assert await _read(instance) is not None


_OF_ONE_OR_OF_ALL = [
    answer(500, {"message": "Failed to update datasource"}),
    answer(502),
    page(413),
]


@pytest.mark.parametrize("failing", _OF_ONE_OR_OF_ALL, ids=lambda failing: failing.status_code)
@in_virtual_time
async def test_a_failure_of_one_request_alone_pauses_nothing(failing: httpx.Response) -> None:
    server, recoveries = Server(), Recoveries()
    async with connected(server, recoveries=recoveries) as instance:
        server.failing_one = failing
        with pytest.raises(errors.Unaskable):
            await _read(instance)
        await instance.check()
        server.failing_one = None
        assert await _read(instance) is not None
        assert recoveries.count == 1


@pytest.mark.parametrize("failing", _OF_ONE_OR_OF_ALL, ids=lambda failing: failing.status_code)
@in_virtual_time
async def test_a_failure_that_the_probe_meets_too_is_an_outage_that_ends(
    failing: httpx.Response,
) -> None:
    server, recoveries = Server(), Recoveries()
    async with connected(server, recoveries=recoveries) as instance:
        server.failing = failing
        with pytest.raises(errors.Unaskable):
            await _read(instance)
        with pytest.raises(errors.Unaskable):
            await instance.check()
        server.failing = None
        await asyncio.sleep(5)
        assert await _read(instance) is not None
        assert recoveries.count == 2


@pytest.mark.parametrize(
    ("status", "message"),
    [(404, "Data source not found"), (400, "bad"), (403, "Permission denied"), (409, "taken")],
)
@in_virtual_time
async def test_an_answer_about_one_data_source_pauses_nothing(status: int, message: str) -> None:
    server = Server()
    async with connected(server) as instance:
        server.failing = answer(status, {"message": message})
        with pytest.raises(errors.GrafanaError):
            await _write(instance)
        await instance.check()


@in_virtual_time
async def test_whether_an_instance_is_up_can_be_seen() -> None:
    def is_up() -> float | None:
        return REGISTRY.get_sample_value("gdso_instance_up", {"instance": "seen"})

    server = Server()
    async with connected(server, name="seen") as instance:
        assert is_up() == 1
        server.failing = answer(502)
        with pytest.raises(errors.Unavailable):
            await _read(instance)
        assert is_up() == 0
        server.failing = None
        await asyncio.sleep(10)
        assert is_up() == 1


# --- writes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("failing", [None, answer(500), answer(502), answer(400)])
@in_virtual_time
async def test_however_a_write_ended_the_next_one_waits(failing: httpx.Response | None) -> None:
    server = Server()
    async with connected(server) as instance:
        await asyncio.sleep(10)
        server.failing = failing
        await asyncio.gather(_write(instance), return_exceptions=True)
        assert round(instance.spacing.delay("prom-a"), 6) == 1.1
        assert instance.spacing.delay("other") == 0


@in_virtual_time
async def test_a_write_that_was_never_sent_delays_nothing() -> None:
    server = Server()
    async with connected(server) as instance:
        server.failing = answer(502)
        with pytest.raises(errors.Unavailable):
            await _read(instance)
        with pytest.raises(errors.Unavailable):
            await _write(instance)
        assert instance.spacing.delay("prom-a") == 0


@in_virtual_time
async def test_the_end_lets_finish_what_is_sent_and_nobody_waits_for_a_turn() -> None:
    server = Server()
    async with connected(server) as instance:
        server.gate.clear()
        first, *others = [asyncio.create_task(_write(instance, f"ds-{n}")) for n in range(5)]
        await let_others_run(200)
        instance.end()
        server.gate.set()
        await first
        for other in others:
            with pytest.raises(errors.Closed):
                await other
        assert len(server.asked) == 1


@in_virtual_time
async def test_series_go_with_the_instance_even_where_a_request_never_ends() -> None:
    server = Server()
    labels = {"instance": "gone", "method": "GET", "code": "none"}
    async with connected(server, name="gone") as instance:
        server.gate.clear()
        read = asyncio.create_task(_read(instance))
        await let_others_run(200)
    assert REGISTRY.get_sample_value("gdso_instance_up", {"instance": "gone"}) is None
    read.cancel()
    await asyncio.gather(read, return_exceptions=True)
    assert REGISTRY.get_sample_value("gdso_grafana_requests_total", labels) is None


@pytest.mark.parametrize("has_them", [True, False])
@in_virtual_time
async def test_the_routes_of_a_server_are_known_from_the_first_probe(has_them: bool) -> None:
    server = Server(has_uid_routes=has_them)
    async with connected(server) as instance:
        sent = len(server.wire.requests)
        assert await instance.supports(Capability.UPDATE_BY_UID) is has_them
        assert len(server.wire.requests) == sent


@in_virtual_time
async def test_a_stopped_instance_has_closed_its_connections() -> None:
    closed = []

    class Closing(Wire):
        async def aclose(self) -> None:
            closed.append(True)

    server = Server()
    server.wire = Closing(server._answer)
    async with connected(server):
        assert closed == []
    assert closed == [True]
