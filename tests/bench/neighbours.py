"""How much slower one instance is beside one that hangs and one that is gone."""

import asyncio
import statistics
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass

from tests.bench.measurements import make_secret, resource_of
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
class Latency:
    """Medians of apply to Ready, in milliseconds."""

    alone: float
    beside: float


async def neighbours(stage: Stage) -> Latency:
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
    return Latency(statistics.median(alone) * 1000, statistics.median(beside) * 1000)


async def _samples(stage: Stage, prefix: str) -> list[float]:
    """Each is deleted again: Grafana slows down with the number of its data sources."""
    taken = []
    async with ReadyWatch(stage) as ready:
        for number in range(_SAMPLES):
            name = f"{prefix}-{number}"
            started = time.monotonic()
            await _make(stage, name, "healthy")
            taken.append(await ready.wait(name, 1) - started)
            await send(stage.kube, "DELETE", f"{stage.sources}/{name}", {})
            await asyncio.sleep(0.05)
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
    body = resource_of(name, 0, instanceRef={"name": instance}, healthCheck={"enabled": False})
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
