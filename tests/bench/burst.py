"""A burst of creates beside the best that a bare client reaches, however many it has in flight."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from pydantic import SecretStr

from grafana_datasource_operator.api.grafana_json import DataSourceBody
from grafana_datasource_operator.engine.queue import LANE_WIDTH
from grafana_datasource_operator.grafana.client import GrafanaClient
from grafana_datasource_operator.grafana.connection import ConnectionSettings
from grafana_datasource_operator.grafana.credentials import Token
from grafana_datasource_operator.grafana.errors import Unaskable
from grafana_datasource_operator.grafana.instance import GrafanaInstance
from tests.bench.measurements import bulk, make_secret, raw_body
from tests.bench.stage import Stage, remove
from tests.integration.metrics import total

COUNT = 300
_WIDTHS = (1, 2, 4, 8)
_ROUNDS = 4


@dataclass(frozen=True)
class Rate:
    """Of POSTs that succeeded; a failed one is a failure of the server, with 500."""

    per_second: float
    failed: int

    def __str__(self) -> str:
        failed = f" ({self.failed})" if self.failed else ""
        return f"{self.per_second:.0f}/s{failed}"


@dataclass(frozen=True)
class Burst:
    """Rates of a bare client by requests in flight, of the operator's width, and of all of it."""

    raw: dict[int, Rate]
    width: Rate
    operator: Rate

    @property
    def best(self) -> Rate:
        return max(self.raw.values(), key=lambda rate: rate.per_second)


Create = Callable[[str], Awaitable[bool]]
"""Creates a data source of this name; whether it did."""


@dataclass
class _Contender:
    in_flight: int
    create: Create
    seconds: float = 0.0
    failed: int = 0

    @property
    def rate(self) -> Rate:
        return Rate((COUNT - self.failed) / self.seconds, self.failed)


async def burst(stage: Stage) -> Burst:
    """In rounds, and the operator's turn in the middle, against drift."""
    await make_secret(stage, "auth", "a-secret-value")
    raw = {width: _Contender(width, _creating_raw(stage)) for width in _WIDTHS}
    async with _instance(stage) as instance:
        width = _Contender(LANE_WIDTH, _creating_on(instance))
        contenders = [*raw.values(), width]
        await _run(stage, contenders, range(_ROUNDS // 2))
        seconds = await bulk(stage, "burst", COUNT)
        failed = total(stage.operator, "gdso_grafana_requests_total", method="POST", code="500")
        await remove(stage, lambda _: True)
        await _run(stage, contenders, range(_ROUNDS // 2, _ROUNDS))
    rates = {in_flight: contender.rate for in_flight, contender in raw.items()}
    return Burst(rates, width.rate, Rate(COUNT / seconds, int(failed)))


async def _run(stage: Stage, contenders: list[_Contender], rounds: Iterable[int]) -> None:
    for number in rounds:
        for place, contender in enumerate(contenders):
            await _measure(stage, contender, f"round-{number}-{place}")


async def _measure(stage: Stage, contender: _Contender, prefix: str) -> None:
    """Grafana is left as it was: it slows down with the number of its data sources."""
    gate, done = asyncio.Semaphore(contender.in_flight), list[str]()

    async def create(name: str) -> None:
        async with gate:
            if await contender.create(name):
                done.append(name)

    count = COUNT // _ROUNDS
    started = time.monotonic()
    await asyncio.gather(*(create(f"{prefix}-{number}") for number in range(count)))
    contender.seconds += time.monotonic() - started
    contender.failed += count - len(done)
    for name in done:
        async with stage.raw_grafana.delete(f"/api/datasources/uid/{name}") as answer:
            await answer.read()


def _creating_raw(stage: Stage) -> Create:
    async def create(name: str) -> bool:
        body = raw_body(name, 0)
        async with stage.raw_grafana.post("/api/datasources", json=body) as answer:
            await answer.read()
            return answer.status == 200

    return create


def _creating_on(instance: GrafanaInstance) -> Create:
    async def create(name: str) -> bool:
        body = _body(name)
        try:
            await instance.write(name, lambda c: c.create_data_source(body))
        except Unaskable:
            return False
        return True

    return create


@asynccontextmanager
async def _instance(stage: Stage) -> AsyncIterator[GrafanaInstance]:
    """The operator's own, with nothing of Kubernetes around it."""
    settings = ConnectionSettings(stage.grafana.url)
    token = Token(SecretStr(stage.grafana.create_token()))
    client = GrafanaClient(settings, token, name="bench", user_agent="gdso-bench")
    instance = GrafanaInstance("bench", client, token, settings=settings, on_change=lambda _: None)
    running = asyncio.create_task(instance.run())
    try:
        yield instance
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def _body(name: str) -> DataSourceBody:
    raw = raw_body(name, 0)
    return DataSourceBody(
        uid=name,
        name=name,
        type=raw["type"],
        access=raw["access"],
        url=raw["url"],
        user="",
        database="",
        basic_auth=False,
        basic_auth_user="",
        with_credentials=False,
        is_default=False,
        json_data=raw["jsonData"],
        secure_json_data={"httpHeaderValue1": SecretStr("a-secret-value")},
    )
