"""Notice the moment at which resources become Ready, by a watch."""

import asyncio
import json
import time
from typing import Any

from tests.bench.stage import Stage


def is_ready(raw: dict[str, Any]) -> bool:
    """Ready is True for the present generation."""
    status = raw.get("status", {})
    return status.get("observedGeneration") == raw["metadata"]["generation"] and any(
        c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", [])
    )


class ReadyWatch:
    """Remembers when each resource was first seen Ready in a generation."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._seen: dict[tuple[str, int], float] = {}
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "ReadyWatch":
        started = asyncio.Event()
        self._task = asyncio.create_task(self._watch_on(started))
        self._task.add_done_callback(lambda _: self._news.set())
        await started.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def wait(self, name: str, generation: int) -> float:
        """time.monotonic() at which it was seen."""
        while (name, generation) not in self._seen:
            if self._task is not None and self._task.done():
                raise RuntimeError("the watch of the measurement ended") from self._task.exception()
            self._news.clear()
            await self._news.wait()
        return self._seen[name, generation]

    async def wait_for(self, names: list[str]) -> float:
        """When the last of them was, in its first generation."""
        return max([await self.wait(name, 1) for name in names])

    async def _watch_on(self, started: asyncio.Event) -> None:
        """An apiserver ends a watch when it likes to; a new one begins with what there is."""
        while True:
            await self._watch(started)

    async def _watch(self, started: asyncio.Event) -> None:
        async with self._stage.kube.get(
            self._stage.sources, params={"watch": "true"}, timeout=None
        ) as answer:
            started.set()
            rest = b""
            async for chunk in answer.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                now = time.monotonic()
                for line in lines:
                    self._note(json.loads(line)["object"], now)

    def _note(self, raw: dict[str, Any], now: float) -> None:
        if is_ready(raw):
            meta = raw["metadata"]
            self._seen.setdefault((meta["name"], meta["generation"]), now)
            self._news.set()
