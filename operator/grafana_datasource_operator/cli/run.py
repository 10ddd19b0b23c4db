"""`gdso run`: the operator process."""

import argparse
import asyncio
import logging
import sys
from typing import Any

import kopf
from pydantic import SecretStr

from ..handlers import configure_kopf, register
from ..kube.connection import NoClusterError, load_configuration
from ..runtime import Runtime
from ..settings import PREFIX, Settings, SettingsError, load_settings
from ..telemetry.endpoint import Endpoint, Heartbeat
from ..telemetry.logs import configure_logging

_LOG = logging.getLogger(__name__)

_RECURSION_LIMIT = 50_000
"""The apiserver takes objects that are nested 10,000 levels deep. One that Python cannot parse
would end kopf's watch, and with it the operator, again after every restart."""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command: a flag for each setting that is no secret."""
    parser = commands.add_parser(
        "run",
        help="run the operator",
        # Else --grafana-token would be taken for --grafana-token-file.
        allow_abbrev=False,
        epilog=f"Each flag is also a variable: --log-level is {PREFIX}LOG_LEVEL. Secrets are"
        f" variables only: {', '.join(_secret_variables())}.",
    )
    for name, field in Settings.model_fields.items():
        if not _is_secret(name):
            parser.add_argument(f"--{name.replace('_', '-')}", help=field.description)
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT; 2 for wrong settings, 1 when a part died."""
    given = {name: getattr(options, name, None) for name in Settings.model_fields}
    try:
        settings = load_settings({k: v for k, v in given.items() if v is not None})
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    configure_logging(settings.log_level, settings.log_format)
    sys.setrecursionlimit(_RECURSION_LIMIT)
    try:
        return asyncio.run(_run(settings))
    except NoClusterError as error:
        sys.stderr.write(f"{error}\n")
        return 2


async def _run(settings: Settings) -> int:
    configuration = await load_configuration()
    stop = asyncio.Event()
    heartbeat = Heartbeat()
    runtime = Runtime(settings, configuration, heartbeat, on_failure=stop.set)
    try:
        endpoint = Endpoint(settings.http_address, heartbeat, runtime.why_not_ready)
    except OSError as error:
        sys.stderr.write(f"{PREFIX}HTTP_ADDRESS: cannot listen there ({error.strerror})\n")
        return 2
    endpoint.start()
    _LOG.info("Listening on port %d for probes and metrics", endpoint.port)
    try:
        await _run_kopf(settings, runtime, configuration, stop)
    finally:
        await runtime.stop()
        endpoint.stop()
    return 1 if runtime.failed else 0


async def _run_kopf(
    settings: Settings, runtime: Runtime, configuration: Any, stop: asyncio.Event
) -> None:
    registry, kopf_settings = kopf.OperatorRegistry(), kopf.OperatorSettings()
    configure_kopf(kopf_settings)
    register(registry, runtime, configuration, stop)
    await kopf.operator(
        registry=registry,
        settings=kopf_settings,
        standalone=True,
        clusterwide=not settings.watched_namespaces,
        namespaces=settings.watched_namespaces,
        stop_flag=stop,
    )


def _is_secret(name: str) -> bool:
    return SecretStr in getattr(Settings.model_fields[name].annotation, "__args__", ())


def _secret_variables() -> list[str]:
    return [f"{PREFIX}{name.upper()}" for name in Settings.model_fields if _is_secret(name)]
