"""The measurements: each with its floor, what a bare client reaches at the same Grafana."""

import asyncio
import base64
import statistics
import time
from dataclasses import dataclass
from typing import Any

from tests.bench.stage import NAMESPACE, Stage, send
from tests.bench.watching import ReadyWatch
from tests.servers.faults import requests_of
from tests.servers.polling import eventually_async

_APPLIES_IN_FLIGHT = 16
_REPEATS = 30


def spec_of(number: int) -> dict[str, Any]:
    return {
        "type": "prometheus",
        "url": f"http://prometheus-{number}:9090",
        "jsonData": {"httpMethod": "POST", "httpHeaderName1": "X-Token"},
        "secureJsonData": {"httpHeaderValue1": {"secretKeyRef": {"name": "auth", "key": "token"}}},
    }


def resource_of(name: str, number: int, **spec: object) -> dict[str, Any]:
    """Without checks of health, which would be something else to measure."""
    return {
        "apiVersion": "gdso.dev/v1beta1",
        "kind": "GrafanaDataSource",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {**spec_of(number), "healthCheck": {"enabled": False}, **spec},
    }


def raw_body(name: str, number: int) -> dict[str, Any]:
    spec = spec_of(number)
    return {
        **spec,
        "uid": name,
        "name": name,
        "access": "proxy",
        "jsonData": {**spec["jsonData"], "gdso.dev/owner": f"bench/{NAMESPACE}/{name}"},
        "secureJsonData": {"httpHeaderValue1": "a-secret-value"},
    }


async def make_secret(stage: Stage, name: str, value: str) -> None:
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "data": {"token": base64.b64encode(value.encode()).decode()},
    }
    await send(stage.kube, "POST", f"/api/v1/namespaces/{NAMESPACE}/secrets", body)


async def raw_posts(stage: Stage, prefix: str, count: int) -> list[float]:
    """Seconds of each of `count` POSTs, one after the other: one writer is SQLite's limit."""
    taken = []
    for number in range(count):
        started = time.monotonic()
        body = raw_body(f"{prefix}-{number}", number)
        await send(stage.raw_grafana, "POST", "/api/datasources", body)
        taken.append(time.monotonic() - started)
    return taken


async def raw_deletes(stage: Stage, prefix: str, count: int) -> None:
    """Leave Grafana as it was before `raw_posts`."""
    for number in range(count):
        path = f"/api/datasources/uid/{prefix}-{number}"
        await send(stage.raw_grafana, "DELETE", path, {})


async def bulk(stage: Stage, prefix: str, count: int, **spec: object) -> float:
    """Seconds from the first apply to the last Ready."""
    names = [f"{prefix}-{number}" for number in range(count)]
    gate = asyncio.Semaphore(_APPLIES_IN_FLIGHT)

    async def create(number: int) -> None:
        async with gate:
            await send(
                stage.kube, "POST", stage.sources, resource_of(names[number], number, **spec)
            )

    async with ReadyWatch(stage) as ready:
        started = time.monotonic()
        await asyncio.gather(*(create(number) for number in range(count)))
        return await ready.wait_for(names) - started


@dataclass(frozen=True)
class Pair:
    """Medians of interleaved samples, in milliseconds."""

    ours: float
    floor: float


async def single_applies(stage: Stage, prefix: str) -> Pair:
    """apply -> Ready of one more resource, in turn with one raw POST."""
    ours, floor = [], []
    async with ReadyWatch(stage) as ready:
        for number in range(_REPEATS):
            floor += await raw_posts(stage, f"{prefix}-raw-{number}", 1)
            name = f"{prefix}-{number}"
            started = time.monotonic()
            await send(stage.kube, "POST", stage.sources, resource_of(name, number))
            ours.append(await ready.wait(name, 1) - started)
    return Pair(statistics.median(ours) * 1000, statistics.median(floor) * 1000)


async def secret_changes(stage: Stage, prefix: str) -> float:
    """Median milliseconds from the change of a Secret to the PUT leaving the operator."""
    async with ReadyWatch(stage) as ready:
        for number in range(_REPEATS):
            secret, name = f"{prefix}-{number}", f"{prefix}-{number}"
            await make_secret(stage, secret, "before")
            resource = resource_of(name, number)
            resource["spec"]["secureJsonData"]["httpHeaderValue1"]["secretKeyRef"]["name"] = secret
            await send(stage.kube, "POST", stage.sources, resource)
            await ready.wait(name, 1)
        # Past the gap between two writes to one data source.
        await asyncio.sleep(1.2)
        taken = [await _one_change(stage, f"{prefix}-{number}") for number in range(_REPEATS)]
    return statistics.median(taken) * 1000


async def _one_change(stage: Stage, name: str) -> float:
    mark = stage.proxy.mark()
    is_put = requests_of("PUT", path_pattern=f"_{name}$")
    change = {"data": {"token": base64.b64encode(b"after").decode()}}
    started = time.monotonic()
    await send(stage.kube, "PATCH", f"/api/v1/namespaces/{NAMESPACE}/secrets/{name}", change)

    async def find() -> float | None:
        return next((r.time for r in stage.proxy.matching(is_put, mark)), None)

    sent = await eventually_async(find, lambda at: at is not None, 30, f"the PUT of {name}")
    return (sent or started) - started
