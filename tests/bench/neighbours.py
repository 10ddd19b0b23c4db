"""How much slower one instance is beside one that hangs and one that is gone."""

import asyncio
import statistics
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Self

from tests.bench.measurements import make_secret, raw_deletes, raw_posts, resource_of
from tests.bench.stage import NAMESPACE, Stage, send
from tests.bench.watching import ReadyWatch
from tests.servers.faults import requests_of
from tests.servers.polling import eventually_async
from tests.servers.target import Target

CROWD = 200
_SAMPLES = 40
_ABOUT_DATA_SOURCES = requests_of(path_pattern=r"^/api/datasources(?!/uid/gdso-probe)")
_FORCE_DELETE = {"gdso.dev/force-delete": "true"}


@dataclass(frozen=True)
class Sample:
    """Seconds of one apply to Ready, and of the same two writes by a bare client just before."""

    ours: float
    floor: float


@dataclass(frozen=True)
class Latency:
    """Medians of samples."""

    ours: float
    floor: float

    @classmethod
    def of(cls, samples: list[Sample]) -> Self:
        return cls(
            statistics.median(sample.ours for sample in samples),
            statistics.median(sample.floor for sample in samples),
        )


@dataclass(frozen=True)
class Neighbours:
    """The latency on a healthy instance, alone and beside bad ones."""

    alone: Latency
    beside: Latency

    @property
    def ratio(self) -> float:
        """The load of a shared machine changes meanwhile: the bare client tells by how much."""
        drift = self.beside.floor / self.alone.floor
        return self.beside.ours / self.alone.ours / drift


async def neighbours(stage: Stage) -> Neighbours:
    """On one healthy instance: alone, beside two bad ones with a crowd on each, and alone again."""
    with ExitStack() as targets:
        healthy, hanging, dead = (
            targets.enter_context(closing(Target(stage.grafana))) for _ in range(3)
        )
        for name, target in (("healthy", healthy), ("hanging", hanging), ("dead", dead)):
            target.make_by_hand("first")
            await make_instance(stage, name, target)
        alone = await _samples(stage, "before")
        hanging.proxy.hang(_ABOUT_DATA_SOURCES)
        dead.proxy.refuse()
        crowds = [f"{name}-{number}" for name in ("hanging", "dead") for number in range(CROWD)]
        for name in crowds:
            await _make(stage, name, name.partition("-")[0], annotations=_FORCE_DELETE)
        # What an outage costs at its beginning is told by the tests; this is what it costs after.
        await eventually_async(
            lambda: _told(stage, "dead"), lambda told: told == CROWD, 120, "the dead to be told"
        )
        beside = await _samples(stage, "beside")
        for name in crowds:
            await send(stage.kube, "DELETE", f"{stage.sources}/{name}", {})
        hanging.proxy.clear()
        dead.proxy.accept()
        alone += await _samples(stage, "after")
    return Neighbours(Latency.of(alone), Latency.of(beside))


async def _samples(stage: Stage, prefix: str) -> list[Sample]:
    """Each is deleted again: Grafana slows down with the number of its data sources."""
    taken = []
    async with ReadyWatch(stage) as ready:
        for number in range(_SAMPLES):
            name = f"{prefix}-{number}"
            floor = await _floor(stage, name)
            started = time.monotonic()
            await _make(stage, name, "healthy")
            taken.append(Sample(await ready.wait(name, 1) - started, floor))
            await send(stage.kube, "DELETE", f"{stage.sources}/{name}", {})
            await asyncio.sleep(0.05)
    return taken


async def _floor(stage: Stage, name: str) -> float:
    started = time.monotonic()
    await make_secret(stage, f"floor-{name}", "a-secret-value")
    await raw_posts(stage, f"floor-{name}", 1)
    taken = time.monotonic() - started
    await raw_deletes(stage, f"floor-{name}", 1)
    return taken


async def _told(stage: Stage, instance: str) -> int:
    """How many resources of an instance tell that it is gone."""
    async with stage.kube.get(stage.sources) as answer:
        found = (await answer.json())["items"]
    return sum(
        1
        for raw in found
        if raw["spec"]["instanceRef"]["name"] == instance
        and raw["status"]["conditions"][0]["reason"] == "GrafanaUnreachable"
    )


async def _make(
    stage: Stage, name: str, instance: str, annotations: dict[str, str] | None = None
) -> None:
    body = resource_of(name, 0, instanceRef={"name": instance})
    body["metadata"]["annotations"] = annotations or {}
    await send(stage.kube, "POST", stage.sources, body)


async def make_instance(stage: Stage, name: str, target: Target, **spec: object) -> None:
    """A GrafanaInstance for one organization."""
    await make_secret(stage, f"{name}-token", target.token)
    body = {
        "apiVersion": "gdso.dev/v1beta1",
        "kind": "GrafanaInstance",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "url": target.url,
            "orgId": target.org_id,
            "auth": {"tokenSecretRef": {"name": f"{name}-token", "key": "token"}},
            **spec,
        },
    }
    await send(stage.kube, "POST", stage.sources.replace("datasources", "instances"), body)
