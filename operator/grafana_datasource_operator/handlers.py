"""kopf registration: kopf is informer and process frame, and writes nothing of its own."""

import asyncio
import logging
import os
import random
from collections.abc import Iterator
from typing import Any, cast

import kopf

from .api.names import DATA_SOURCE, GROUP, INSTANCE, VERSION
from .kube.connection import Configuration
from .runtime import Runtime

_LOG = logging.getLogger(__name__)

UNUSED_FINALIZER = f"{GROUP}/kopf-unused"
"""kopf strips the finalizer of this name from whatever it watches: it must be nobody's."""


KOPF_END_SECONDS = 8.0
"""Longer than kopf gives its tasks, once ours have ended (5 s)."""


class NoMemory(kopf.DiffBaseStorage):
    """kopf's memory of handled states, for change handlers only: we have none, and it is costly."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        """Nothing is worth comparing."""
        return cast("kopf.BodyEssence", {})

    def fetch(self, **_: Any) -> kopf.BodyEssence | None:
        """Nothing is remembered."""
        return None

    def store(self, **_: Any) -> None:
        """Nothing is kept."""


class Backoffs:
    """Delays between kopf's retries of a request: about ten minutes, then the process goes."""

    def __iter__(self) -> Iterator[float]:
        yield from (0.1, 0.2, 0.5, 1.0)
        for _ in range(300):
            yield 2 * random.uniform(0.8, 1.2)  # noqa: S311 - jitter


def configure_kopf(settings: kopf.OperatorSettings) -> None:
    """Set what keeps kopf from writing, from waiting, and from dying."""
    settings.peering.standalone = True
    settings.posting.enabled = False
    # Its watch of CRDs asks discovery too early for one that was applied again, and goes blind;
    # without it, a CRD that goes ends the process. Where CRDs may not be watched, it costs 54 s.
    settings.scanning.disabled = True
    settings.queueing.worker_limit = None
    settings.queueing.idle_timeout = 1.0
    settings.queueing.exit_timeout = 2.0
    settings.queueing.error_delays = (0.1, 0.5, 1, 2, 5, 10, 30)
    settings.watching.inactivity_timeout = 70.0
    settings.watching.server_timeout = 290
    settings.watching.connect_timeout = 10
    settings.watching.reconnect_backoff = 0.1
    # Loses objects when the first stream is cut (kopf 1.45.2).
    settings.watching.initial_streaming = False
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    settings.networking.error_backoffs = cast("Any", Backoffs())
    settings.persistence.finalizer = UNUSED_FINALIZER
    settings.persistence.consistency_timeout = 0
    settings.persistence.diffbase_storage = NoMemory()
    settings.process.ultimate_exiting_timeout = 45


def register(
    registry: kopf.OperatorRegistry,
    runtime: Runtime,
    configuration: Configuration,
    stop_flag: asyncio.Event,
) -> None:
    """Connect kopf's watches and life cycle with the runtime."""

    @kopf.on.login(registry=registry)  # type: ignore[arg-type, unused-ignore]
    async def login(**_: Any) -> kopf.ConnectionInfo:
        return await connect(configuration)

    async def end() -> None:
        await runtime.stop()
        asyncio.get_running_loop().call_later(KOPF_END_SECONDS, _leave)
        # kopf waits 5 s for its own waiter for this flag, which nothing else ends.
        stop_flag.set()

    @kopf.on.startup(registry=registry)
    async def start(**_: Any) -> None:
        try:
            await runtime.start()
        except asyncio.CancelledError:
            await end()  # kopf cleans up only where the start was complete
            raise

    @kopf.on.cleanup(registry=registry)
    async def stop(**_: Any) -> None:
        await end()

    @kopf.on.event(GROUP, VERSION, INSTANCE.plural, registry=registry)
    @kopf.on.event(GROUP, VERSION, DATA_SOURCE.plural, registry=registry)
    async def observe(event: kopf.RawEvent, **_: Any) -> None:
        raw = cast("dict[str, Any]", event["object"])
        runtime.observe(raw, deleted=event["type"] == "DELETED")


def _leave() -> None:
    """End the process, of which nothing of ours is left.

    Where one watch fails, kopf closes the connections, and another watch may wait for a login that
    nobody makes any more: for ever (kopf 1.45.2).
    """
    _LOG.error("Ended without kopf, which still waits for a watch")
    logging.shutdown()
    os._exit(1)


async def connect(configuration: Configuration) -> kopf.ConnectionInfo:
    """Kopf's connection, the same as ours; asked for anew when its token is refused."""
    headers = (await configuration.auth_settings()).get("BearerToken", {})
    scheme, _, token = str(headers.get("value", "")).partition(" ")
    return kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
        scheme=scheme.capitalize() if token else None,
        token=token or None,
    )
