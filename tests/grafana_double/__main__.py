"""Run the double: `python -m tests.grafana_double --version 12.4.0 --port 0 --port-file FILE`."""

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

from aiohttp import web

from tests.grafana_double.accounts import Accounts
from tests.grafana_double.app import make_app
from tests.grafana_double.auth import Credentials
from tests.grafana_double.provisioning import provision
from tests.grafana_double.provisioning_files import ProvisioningError
from tests.grafana_double.state import Grafana, Limits
from tests.grafana_double.storage import Storage
from tests.grafana_double.versions import VERSIONS


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.grafana_double", description=__doc__)
    parser.add_argument("--version", choices=sorted(VERSIONS), required=True)
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--port-file", type=Path, help="is written when requests are answered")
    parser.add_argument("--admin-password", default="admin")
    parser.add_argument("--datasource-limit", type=int, default=5000, metavar="N")
    parser.add_argument("--quota", type=int, metavar="N", help="data sources per organisation")
    parser.add_argument("--hide-version", action="store_true", help="from /api/health")
    parser.add_argument("--provisioning", type=Path, metavar="FOLDER", help="of data source files")
    parser.add_argument("--state", type=Path, metavar="FILE", help="keeps everything for a restart")
    parser.add_argument("--seed", type=int, help="of the uids that are made up")
    return parser.parse_args()


async def _serve(arguments: argparse.Namespace) -> None:
    version = VERSIONS[arguments.version]
    limits = Limits(arguments.datasource_limit, arguments.quota, arguments.hide_version)
    storage = Storage(arguments.state)
    grafana = Grafana(
        version, limits, arguments.seed, storage=storage, files=arguments.provisioning
    )
    try:
        provision(grafana)
    except ProvisioningError as error:
        sys.exit(f"Datasource provisioning error: {error}")
    credentials = Credentials(version, arguments.admin_password, storage)
    app = make_app(grafana, credentials, Accounts(storage))
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", arguments.port, shutdown_timeout=1)
    await site.start()
    port = runner.addresses[0][1]
    _announce(port, arguments.port_file)
    await _until_told_to_end()
    await runner.cleanup()


def _announce(port: int, port_file: Path | None) -> None:
    if port_file is None:
        print(port, flush=True)
        return
    written = port_file.with_name(port_file.name + ".part")
    written.write_text(str(port))
    written.rename(port_file)


async def _until_told_to_end() -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    await ended.wait()


def main() -> None:
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s")
    asyncio.run(_serve(_arguments()))


main()
