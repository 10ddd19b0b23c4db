"""A burst of creates beside the best that a bare client reaches, however many it has in flight."""

import asyncio
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass

from tests.bench.measurements import bulk, make_secret, raw_body
from tests.bench.neighbours import make_instance
from tests.bench.stage import Stage
from tests.integration.metrics import total
from tests.servers.target import Target

COUNT = 300
_WIDTHS = (1, 2, 4, 8)


@dataclass(frozen=True)
class RawRate:
    """Of POSTs with so many in flight; only those that succeeded count."""

    width: int
    per_second: float
    failed: int


@dataclass(frozen=True)
class Burst:
    """The operator's rates, with the ceiling of one write and of four, and the bare client's."""

    with_one: float
    with_four: float
    failed: int
    raw: list[RawRate]

    @property
    def best(self) -> RawRate:
        return max(self.raw, key=lambda rate: rate.per_second)

    @property
    def ratio(self) -> float:
        """1 is as fast as the best width; below is slower."""
        return self.with_four / self.best.per_second


async def burst(stage: Stage) -> Burst:
    """The operator's turns come in the middle, against drift; each organization is empty."""
    await make_secret(stage, "auth", "a-secret-value")
    with ExitStack() as targets:
        for ceiling in (1, 4):
            target = targets.enter_context(closing(Target(stage.grafana)))
            await make_instance(
                stage,
                f"ceiling-{ceiling}",
                target,
                maxConcurrentRequests=ceiling,
                url=stage.grafana.url,
            )
        raw = [await _raw_rate(stage, width) for width in _WIDTHS[:2]]
        with_one = await _our_rate(stage, 1)
        with_four = await _our_rate(stage, 4)
        raw += [await _raw_rate(stage, width) for width in _WIDTHS[2:]]
        failed = total(stage.operator, "gdso_grafana_requests_total", method="POST", code="500")
    return Burst(with_one, with_four, int(failed), raw)


async def _our_rate(stage: Stage, ceiling: int) -> float:
    instance = {"name": f"ceiling-{ceiling}"}
    checks = {"enabled": False}
    prefix = f"burst-{ceiling}"
    seconds = await bulk(stage, prefix, COUNT, instanceRef=instance, healthCheck=checks)
    return COUNT / seconds


async def _raw_rate(stage: Stage, width: int) -> RawRate:
    gate, done = asyncio.Semaphore(width), list[str]()

    async def create(number: int) -> None:
        name = f"raw-{width}-{number}"
        async with (
            gate,
            stage.raw_grafana.post("/api/datasources", json=raw_body(name, number)) as answer,
        ):
            await answer.read()
            if answer.status == 200:
                done.append(name)

    started = time.monotonic()
    await asyncio.gather(*(create(number) for number in range(COUNT)))
    seconds = time.monotonic() - started
    for name in done:
        async with stage.raw_grafana.delete(f"/api/datasources/uid/{name}") as answer:
            await answer.read()
    return RawRate(width, len(done) / seconds, COUNT - len(done))
