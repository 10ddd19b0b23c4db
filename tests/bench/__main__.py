"""Run all measurements and print them as Markdown; `--write FILE` keeps them."""

import argparse
import asyncio
import os
import platform
import sys
import tempfile
from pathlib import Path

from tests.bench.burst import COUNT, Burst, burst
from tests.bench.measurements import (
    bulk,
    make_secret,
    raw_deletes,
    raw_posts,
    secret_changes,
    single_applies,
)
from tests.bench.neighbours import CROWD, neighbours
from tests.bench.resync import INTERVAL_SECONDS, Cost, restart_and_resync
from tests.bench.stage import Stage, remove, set_up
from tests.integration.sandbox import NO_DEFAULT_INSTANCE
from tests.servers.postgres import PostgresServer, find_postgres

Parts = frozenset[str]
PARTS = ("apply", "resync", "secrets", "neighbours", "burst")


_LARGEST_PART_OF_FLOOR = 200
"""POSTs before and after, from which those of all are told."""


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


async def _measure_bulk(stage: Stage, count: int) -> str:
    """One row; half of the floor is measured before and half after, against drift."""
    part = min(count // 2, _LARGEST_PART_OF_FLOOR)
    _say(f"{count} resources: floor ...")
    floor = sum(await raw_posts(stage, f"floor-a-{count}", part))
    await raw_deletes(stage, f"floor-a-{count}", part)
    _say(f"{count} resources: operator ...")
    ours = await bulk(stage, f"bulk-{count}", count)
    _say(f"{count} resources: floor again ...")
    floor += sum(await raw_posts(stage, f"floor-b-{count}", part))
    await raw_deletes(stage, f"floor-b-{count}", part)
    floor *= count / (2 * part)
    return (
        f"| {count} resources, first apply to last Ready | {ours:.1f} s | {floor:.1f} s"
        f" | {ours / floor:.2f} |"
    )


async def _measure_applies(directory: Path, parts: Parts) -> list[str]:
    rows, costs = [], []
    async with set_up(directory, through_proxy=False) as stage:
        await make_secret(stage, "auth", "a-secret-value")
        rows.append(await _measure_bulk(stage, 300))
        few = await single_applies(stage, "few")
        rows.append(await _measure_bulk(stage, 1000))
        many = await single_applies(stage, "many")
        memory = stage.resident_mebibytes()
        if "resync" in parts:
            _say("A restart and a resync ...")
            await remove(stage, lambda name: not name.startswith("bulk-1000-"))
            restart, resync = await restart_and_resync(stage, directory, 1000)
            costs = [
                _cost_row("restart with 1,000 resources, until each was read", restart),
                _cost_row(f"one resync of 1,000 resources ({INTERVAL_SECONDS} s)", resync),
            ]
    for present, pair in (("300", few), ("1,300", many)):
        rows.append(
            f"| one apply to Ready, {present} present (p50) | {pair.ours:.0f} ms"
            f" | {pair.floor:.0f} ms | + {pair.ours - pair.floor:.0f} ms |"
        )
    rows.append(f"| memory of the operator with 1,360 resources (RSS) | {memory:.0f} MiB | | |")
    return [
        "| | operator | raw API, one request at a time | ratio or difference |",
        "|---|---|---|---|",
        *rows,
        *(_COST_HEAD if costs else ()),
        *costs,
    ]


_COST_HEAD = (
    "",
    "| | lists | reads by uid | most reads in a second | writes to Grafana"
    " | writes to Kubernetes |",
    "|---|---|---|---|---|---|",
)


def _cost_row(what: str, cost: Cost) -> str:
    return (
        f"| {what} | {cost.lists} | {cost.reads} | {cost.most_in_a_second}"
        f" | {cost.grafana_writes} | {cost.kubernetes_writes} |"
    )


async def _measure_secrets(directory: Path, _: Parts) -> list[str]:
    async with set_up(directory, through_proxy=True) as stage:
        await make_secret(stage, "auth", "a-secret-value")
        _say("Secret changes ...")
        taken = await secret_changes(stage, "rot")
    return [f"Secret changed to PUT sent (p50): {taken:.0f} ms."]


async def _measure_neighbours(directory: Path, _: Parts) -> list[str]:
    _say("Beside a hanging and a dead instance ...")
    async with set_up(directory, through_proxy=False, **NO_DEFAULT_INSTANCE) as stage:
        await make_secret(stage, "auth", "a-secret-value")
        found = await neighbours(stage)
    rows = (
        ("alone", found.alone),
        (f"beside one that hangs and one that is gone, {CROWD} resources on each", found.beside),
    )
    return [
        "| apply to Ready on one instance (p50) | operator | one raw write to each API |",
        "|---|---|---|",
        *(f"| {what} | {x.ours * 1000:.0f} ms | {x.floor * 1000:.0f} ms |" for what, x in rows),
        f"| ratio, the change of the raw writes taken out | {found.ratio:.2f} | |",
    ]


async def _measure_bursts(directory: Path, _: Parts) -> list[str]:
    rows = []
    _say(f"A burst of {COUNT} on SQLite ...")
    async with set_up(directory / "sqlite", through_proxy=False) as stage:
        rows.append(_burst_row("SQLite", await burst(stage)))
    if (programs := find_postgres()) is not None:
        with PostgresServer(programs) as postgres:
            _say(f"A burst of {COUNT} on PostgreSQL {postgres.version} ...")
            settings = postgres.grafana_settings()
            async with set_up(
                directory / "postgres", through_proxy=False, grafana_settings=settings
            ) as stage:
                rows.append(_burst_row(f"PostgreSQL {postgres.version}", await burst(stage)))
    return [
        f"| {COUNT} creates at once, Grafana on | raw POSTs by requests in flight (answered 500)"
        " | with the operator's width alone | ratio to the best | the whole operator | ratio |",
        "|---|---|---|---|---|---|",
        *rows,
    ]


def _burst_row(database: str, found: Burst) -> str:
    raw = ", ".join(f"{width}: {rate}" for width, rate in found.raw.items())
    best = found.best.per_second
    return (
        f"| {database} | {raw} | {found.width} | {found.width.per_second / best:.2f}"
        f" | {found.operator} | {found.operator.per_second / best:.2f} |"
    )


_MEASUREMENTS = {
    "apply": _measure_applies,
    "secrets": _measure_secrets,
    "neighbours": _measure_neighbours,
    "burst": _measure_bursts,
}


async def _measure(directory: Path, parts: Parts) -> list[str]:
    sections = []
    for name, measure in _MEASUREMENTS.items():
        if name in parts:
            sections += ["", *await measure(directory / name, parts)]
    return [await _describe(directory / "versions"), *sections]


async def _describe(directory: Path) -> str:
    async with set_up(directory, through_proxy=False) as stage:
        return (
            f"Grafana {stage.grafana.version} ({stage.grafana.kind}),"
            f" kube-apiserver {stage.kubernetes.version}, Python {platform.python_version()},"
            f" {os.cpu_count()} cores shared by all of them and the client;"
            f" load of the machine at the end {os.getloadavg()[1]:.1f}."
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--write", type=Path, help="also write the result to this file")
    parser.add_argument(
        "--only", nargs="+", choices=PARTS, default=PARTS, help="default: all; resync needs apply"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gdso-bench-") as directory:
        lines = asyncio.run(_measure(Path(directory), frozenset(options.only)))
    text = "\n".join(lines) + "\n"
    print(text)
    if options.write:
        options.write.write_text(text)


main()
