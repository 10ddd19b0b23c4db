"""One Grafana as the reconcilers use it: its organization, few at a time, told of recovery."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY
from pydantic import SecretStr

from grafana_datasource_operator.api.reasons import ConditionStatus
from grafana_datasource_operator.grafana import errors
from grafana_datasource_operator.grafana.capabilities import Capability
from grafana_datasource_operator.grafana.client import GrafanaClient
from grafana_datasource_operator.grafana.connection import ConnectionSettings
from grafana_datasource_operator.grafana.credentials import Credentials, Token
from grafana_datasource_operator.grafana.health import HEALTH_TIMEOUT_SECONDS, Health
from grafana_datasource_operator.grafana.instance import GrafanaInstance, ServerFacts
from grafana_datasource_operator.grafana.pace import WriteSpacing
from tests.unit.grafana.wire import Wire, answer, client_on, data_source, is_of_probe, page
from tests.unit.virtual_time import in_virtual_time, let_others_run, now


class Server:
    """A Grafana behind a wire; each request takes as long as `gate` is closed."""

    def __init__(
        self,
        *,
        org_id: int = 1,
        has_uid_routes: bool = True,
        version: str = "12.4.0",
        seconds: float = 0.0,
    ) -> None:
        self.version = version
        self.seconds = seconds
        self.health = answer(200, {"status": "OK", "message": "works"})
        self.hangs = False
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
            return answer(200, {"database": "ok", "version": self.version})
        if "gdso-probe" in request.url.path:
            return answer(500 if self.has_uid_routes else 404, {"message": "Not found"})
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await self.gate.wait()
            await asyncio.sleep(self.seconds)
            if request.url.path.endswith("/health") and self.hangs:
                await asyncio.sleep(3600)
        finally:
            self.in_flight -= 1
        if self.failing is not None:
            return self.failing
        if request.url.path.endswith("/health"):
            return self.health
        return self.failing_one or answer(200, data_source())

    @property
    def asked(self) -> list[str]:
        """Requests other than those of the probe."""
        return [line for line in self.wire.lines if not is_of_probe(line)]


class Recoveries:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self, usable: bool) -> None:
        self.count += usable


def instance_on(
    server: Server,
    *,
    org_id: int | None = None,
    recoveries: Recoveries | None = None,
    name: str = "unit",
    max_concurrent_requests: int = 4,
) -> GrafanaInstance:
    credentials: Credentials = Token(SecretStr("glsa_1"))
    settings = ConnectionSettings(
        "http://grafana.example", org_id, max_concurrent_requests=max_concurrent_requests
    )
    return GrafanaInstance(
        name,
        client_on(server.wire, credentials=credentials, name=name),
        credentials,
        settings=settings,
        spacing=WriteSpacing(asyncio.get_running_loop().time),
        on_change=recoveries or Recoveries(),
    )


@asynccontextmanager
async def running(instance: GrafanaInstance) -> AsyncIterator[GrafanaInstance]:
    task = asyncio.create_task(instance.run())
    await let_others_run()
    try:
        yield instance
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def connected(server: Server, **arguments: Any) -> AsyncIterator[GrafanaInstance]:
    async with running(instance_on(server, **arguments)) as instance:
        yield instance


async def _read(instance: GrafanaInstance) -> object:
    return await instance.read(lambda c: c.get_data_source("prom-a"))


async def _delete(client: GrafanaClient) -> None:
    await client.delete_data_source("prom-a")


async def _write(instance: GrafanaInstance, uid: str = "prom-a") -> None:
    await instance.write(uid, _delete)


# --- how many at a time -------------------------------------------------------------------------


@pytest.mark.parametrize("most", [1, 4, 16])
@in_virtual_time
async def test_reads_run_as_many_at_a_time_as_they_may(most: int) -> None:
    server = Server()
    async with connected(server, max_concurrent_requests=most) as instance:
        server.gate.clear()
        reads = [asyncio.create_task(_read(instance)) for _ in range(20)]
        await let_others_run(200)
        assert server.in_flight == most
        server.gate.set()
        await asyncio.gather(*reads)
        assert server.most_in_flight == most
        assert len(server.asked) == 20


@in_virtual_time
async def test_writes_begin_with_one_at_a_time() -> None:
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


@in_virtual_time
async def test_writes_find_their_width_up_to_the_ceiling() -> None:
    server = Server(seconds=0.02)
    async with connected(server, max_concurrent_requests=3) as instance:
        await asyncio.gather(*(_write(instance, f"ds-{n}") for n in range(300)))
        assert server.most_in_flight == 3
        assert len(server.asked) == 300


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


# --- what is known of the server ----------------------------------------------------------------


@pytest.mark.parametrize("has_them", [True, False])
@in_virtual_time
async def test_what_a_server_can_do_is_known_from_the_first_probe(has_them: bool) -> None:
    server = Server(has_uid_routes=has_them)
    async with connected(server) as instance:
        sent = len(server.wire.requests)
        assert await instance.supports(Capability.UPDATE_BY_UID) is has_them
        assert len(server.wire.requests) == sent
        capabilities = frozenset(Capability) if has_them else frozenset()
        assert instance.facts == ServerFacts(1, "12.4.0", capabilities)


@in_virtual_time
async def test_before_the_first_probe_nothing_is_known() -> None:
    server = Server()
    server.failing = answer(503)
    instance = instance_on(server)
    assert (instance.facts, instance.trouble, instance.probed) == (None, None, False)
    async with running(instance):
        assert (instance.facts, instance.probed) == (None, True)
        assert isinstance(instance.trouble, errors.Unavailable)
        server.failing = None
        await asyncio.sleep(10)
        assert instance.facts is not None
        assert instance.trouble is None


@in_virtual_time
async def test_an_upgrade_during_an_outage_is_noticed_and_until_then_the_old_facts_stay() -> None:
    server = Server(has_uid_routes=False, version="8.5.9")
    async with connected(server) as instance:
        old = instance.facts
        server.failing = answer(502)
        with pytest.raises(errors.Unavailable):
            await _read(instance)
        assert instance.facts == old == ServerFacts(1, "8.5.9", frozenset())
        server.failing, server.has_uid_routes, server.version = None, True, "12.4.0"
        await asyncio.sleep(10)
        assert instance.facts == ServerFacts(1, "12.4.0", frozenset(Capability))
        assert await instance.supports(Capability.UPDATE_BY_UID)


@pytest.mark.parametrize("response", [page(403), page(502), answer(500), None])
@in_virtual_time
async def test_a_version_that_cannot_be_asked_keeps_nobody_from_work(
    response: httpx.Response | None,
) -> None:
    server = Server()

    async def serve(request: httpx.Request) -> httpx.Response:
        if request.url.path in ("/api/health", "/api/frontend/settings"):
            if response is None:
                raise httpx.ConnectError("refused")
            return response
        return await server._answer(request)

    server.wire = Wire(serve)
    async with connected(server) as instance:
        assert instance.facts == ServerFacts(1, None, frozenset(Capability))
        assert await _read(instance) is not None


@in_virtual_time
async def test_a_probe_costs_four_requests() -> None:
    server = Server()
    async with connected(server):
        await asyncio.sleep(3600)
        assert len(server.wire.requests) == 4


# --- health of data sources ---------------------------------------------------------------------


async def _check_health(instance: GrafanaInstance, **arguments: Any) -> Health:
    return await instance.check_health("prom-a", 7, **arguments)


@pytest.mark.parametrize(
    ("by_uid", "line"),
    [
        (True, "GET /api/datasources/uid/prom-a/health"),
        (False, "GET /api/datasources/7/health"),
    ],
)
@in_virtual_time
async def test_health_is_asked_by_uid_where_the_server_can(by_uid: bool, line: str) -> None:
    server = Server(has_uid_routes=by_uid)
    async with connected(server) as instance:
        health = await _check_health(instance)
        assert (health.status, health.message) == (ConditionStatus.TRUE, "works")
        assert server.asked == [line]
        assert "X-Grafana-NoCache" not in server.wire.requests[-1].headers


@in_virtual_time
async def test_health_is_asked_two_at_a_time_and_holds_up_nobody_else() -> None:
    server = Server()
    async with connected(server) as instance:
        server.hangs = True
        checks = [asyncio.create_task(_check_health(instance)) for _ in range(6)]
        await let_others_run(200)
        assert server.in_flight == 2
        async with asyncio.timeout(1):
            await asyncio.gather(*(_read(instance) for _ in range(8)), _write(instance))
        await asyncio.gather(*checks)


@in_virtual_time
async def test_a_back_end_that_hangs_is_a_finding_and_no_outage() -> None:
    server, recoveries = Server(), Recoveries()
    async with connected(server, recoveries=recoveries) as instance:
        server.hangs = True
        began = now()
        health = await _check_health(instance, type_="prometheus")
        assert health == Health(ConditionStatus.FALSE, "", "no answer in 20 s")
        assert now() - began == HEALTH_TIMEOUT_SECONDS == 20
        await instance.check()
        assert recoveries.count == 1


@pytest.mark.parametrize("response", [page(502), page(504), answer(500, {"message": "x"})])
@in_virtual_time
async def test_what_stands_between_and_fails_at_one_back_end_is_no_outage(
    response: httpx.Response,
) -> None:
    server = Server()
    async with connected(server) as instance:
        server.health = response
        health = await _check_health(instance)
        assert health.status is ConditionStatus.UNKNOWN
        await instance.check()


@pytest.mark.parametrize("hangs", [True, False])
@in_virtual_time
async def test_where_grafana_itself_is_away_no_data_source_is_blamed(hangs: bool) -> None:
    server = Server()
    async with connected(server) as instance:
        server.hangs, server.failing = hangs, page(502)
        with pytest.raises(errors.Unavailable):
            await _check_health(instance)
        with pytest.raises(errors.Unavailable):
            await instance.check()


@pytest.mark.parametrize(
    ("failing", "kind"),
    [
        (answer(401, {"message": "Invalid API key"}), errors.Unauthorized),
        (answer(500, {"message": "invalid API key"}), errors.Unauthorized),
        (answer(429, {"message": "slow down"}, Retry_After="7"), errors.Unavailable),
    ],
)
@in_virtual_time
async def test_what_concerns_every_request_pauses_the_instance_from_a_check_too(
    failing: httpx.Response, kind: type[errors.Unaskable]
) -> None:
    server = Server()
    async with connected(server) as instance:
        server.health = failing
        with pytest.raises(kind) as raised:
            await _check_health(instance)
        assert instance.trouble is raised.value


@in_virtual_time
async def test_a_refused_connection_is_no_finding_about_the_back_end() -> None:
    server = Server()
    async with connected(server) as instance:

        async def refuse(_: httpx.Request) -> httpx.Response:
            raise httpx.ConnectError("refused")

        server.wire._answering = refuse
        with pytest.raises(errors.Unreachable):
            await _check_health(instance)
        assert isinstance(instance.trouble, errors.Unreachable)


@in_virtual_time
async def test_a_check_names_the_type_and_hides_what_is_hidden() -> None:
    server = Server()
    async with connected(server) as instance:
        server.health = answer(400, {"status": "ERROR", "message": "no host-1.example"})
        health = await _check_health(instance, hidden=[SecretStr("host-1.example")])
        assert health.message == "no …"
        server.health = answer(501, {"message": "Method not implemented"})
        assert '"zipkin"' in (await _check_health(instance, type_="zipkin")).message


# --- the end ------------------------------------------------------------------------------------


@in_virtual_time
async def test_requests_in_flight_end_and_later_ones_are_refused() -> None:
    server = Server(seconds=5.0)
    async with connected(server) as instance:
        running_write = asyncio.create_task(_write(instance))
        waiting_write = asyncio.create_task(_write(instance, "other"))
        await let_others_run()
    await running_write
    for late in (waiting_write, _read(instance), _write(instance), _check_health(instance)):
        with pytest.raises(errors.Closed):
            await late
    assert len(server.asked) == 1


@in_virtual_time
async def test_the_end_does_not_wait_for_ever() -> None:
    server = Server()
    async with connected(server, name="stuck") as instance:
        server.gate.clear()
        stuck = asyncio.create_task(_read(instance))
        await let_others_run()
        began = now()
    assert now() - began == pytest.approx(10)
    # What comes to its end only now brings no series back.
    server.gate.set()
    await asyncio.gather(stuck, return_exceptions=True)
    assert _series("stuck") == set()


@in_virtual_time
async def test_an_end_without_requests_is_immediate() -> None:
    server = Server()
    async with connected(server):
        began = now()
    assert now() == began


@in_virtual_time
async def test_whoever_waits_for_the_first_probe_is_told_of_the_end() -> None:
    server = Server()
    server.failing = answer(503)
    instance = instance_on(server)
    waiting = asyncio.create_task(_read(instance))
    await let_others_run()
    task = asyncio.create_task(instance.run())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    with pytest.raises(errors.GrafanaError):
        await waiting


def _series(name: str) -> set[str]:
    return {
        sample.name
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if sample.labels.get("instance") == name
    }


@in_virtual_time
async def test_the_series_of_an_instance_go_with_it() -> None:
    server = Server()
    async with connected(server, name="passing") as instance:
        await _write(instance)
        assert _series("passing") >= {
            "gdso_instance_up",
            "gdso_grafana_requests_total",
            "gdso_grafana_request_seconds_count",
        }
    assert _series("passing") == set()
    instance.forget()


@in_virtual_time
async def test_the_series_of_another_instance_stay() -> None:
    async with connected(Server(), name="staying"):
        async with connected(Server(), name="passing"):
            pass
        assert "gdso_instance_up" in _series("staying")


@in_virtual_time
async def test_an_instance_that_takes_the_place_of_another_keeps_its_series() -> None:
    old_server, new_server = Server(seconds=5.0), Server()
    old = asyncio.create_task(_hold(old_server))
    await let_others_run()
    async with connected(new_server, name="renewed") as instance:
        old.cancel()
        await asyncio.gather(old, return_exceptions=True)
        assert REGISTRY.get_sample_value("gdso_instance_up", {"instance": "renewed"}) == 1
        await _write(instance)
        assert "gdso_grafana_requests_total" in _series("renewed")
    assert _series("renewed") == set()


async def _hold(server: Server) -> None:
    async with connected(server, name="renewed"):
        await asyncio.Event().wait()


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
