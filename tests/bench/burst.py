"""A burst of creates beside the best that a bare client reaches, however many it has in flight."""

import asyncio
import time
from dataclasses import dataclass

from tests.bench.measurements import bulk, make_secret, raw_body
from tests.bench.stage import Stage
from tests.integration.metrics import total

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
    """The operator's rate, and those of the bare client."""

    per_second: float
    failed: int
    raw: list[RawRate]

    @property
    def best(self) -> RawRate:
        return max(self.raw, key=lambda rate: rate.per_second)

    @property
    def ratio(self) -> float:
        """1 is as fast as the best width; below is slower."""
        return self.per_second / self.best.per_second


async def burst(stage: Stage) -> Burst:
    """The operator's turn comes in the middle, against drift."""
    await make_secret(stage, "auth", "a-secret-value")
    raw = [await _raw_rate(stage, width) for width in _WIDTHS[:2]]
    seconds = await bulk(stage, "burst", COUNT)
    failed = total(stage.operator, "gdso_grafana_requests_total", method="POST", code="500")
    raw += [await _raw_rate(stage, width) for width in _WIDTHS[2:]]
    return Burst(COUNT / seconds, int(failed), raw)


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
