"""Run all measurements and print them as Markdown; `--write FILE` keeps them."""

import argparse
import asyncio
import os
import platform
import sys
import tempfile
from pathlib import Path

from tests.bench.measurements import (
    bulk,
    make_secret,
    raw_deletes,
    raw_posts,
    secret_changes,
    single_applies,
)
from tests.bench.stage import Stage, set_up


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


async def _measure_bulk(stage: Stage, count: int) -> str:
    """One row; half of the floor is measured before and half after, against drift."""
    half = count // 2
    _say(f"{count} resources: floor ...")
    floor = sum(await raw_posts(stage, f"floor-a-{count}", half))
    await raw_deletes(stage, f"floor-a-{count}", half)
    _say(f"{count} resources: operator ...")
    ours = await bulk(stage, f"bulk-{count}", count)
    _say(f"{count} resources: floor again ...")
    floor += sum(await raw_posts(stage, f"floor-b-{count}", count - half))
    await raw_deletes(stage, f"floor-b-{count}", count - half)
    return (
        f"| {count} resources, first apply to last Ready | {ours:.1f} s | {floor:.1f} s"
        f" | {ours / floor:.2f} |"
    )


async def _measure(directory: Path) -> list[str]:
    rows = []
    async with set_up(directory / "direct", through_proxy=False) as stage:
        await make_secret(stage, "auth", "a-secret-value")
        header = (
            f"Grafana {stage.grafana.version} ({stage.grafana.kind}),"
            f" kube-apiserver {stage.kubernetes.version}, Python {platform.python_version()},"
            f" {os.cpu_count()} cores shared by all of them and the client."
        )
        rows.append(await _measure_bulk(stage, 300))
        few = await single_applies(stage, "few")
        rows.append(await _measure_bulk(stage, 1000))
        many = await single_applies(stage, "many")
        memory = stage.resident_mebibytes()
    for present, pair in (("300", few), ("1,300", many)):
        rows.append(
            f"| one apply to Ready, {present} present (p50) | {pair.ours:.0f} ms"
            f" | {pair.floor:.0f} ms | + {pair.ours - pair.floor:.0f} ms |"
        )
    rows.append(f"| memory of the operator with 1,360 resources (RSS) | {memory:.0f} MiB | | |")
    async with set_up(directory / "proxied", through_proxy=True) as stage:
        await make_secret(stage, "auth", "a-secret-value")
        _say("Secret changes ...")
        rows.append(
            f"| Secret changed to PUT sent (p50) | {await secret_changes(stage, 'rot'):.0f} ms"
            " | | |"
        )
    return [
        header,
        "",
        "| | operator | raw API, one request at a time | ratio or difference |",
        "|---|---|---|---|",
        *rows,
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--write", type=Path, help="also write the result to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gdso-bench-") as directory:
        text = "\n".join(asyncio.run(_measure(Path(directory)))) + "\n"
    print(text)
    if options.write:
        options.write.write_text(text)


main()
