"""A PostgreSQL server on loopback from the programs of this machine, for a Grafana to use."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.servers.ports import free_port
from tests.servers.process import ServerProcess

_START_SECONDS = 60
_USER = "grafana"


def find_postgres() -> Path | None:
    """The directory of its programs, the newest version's; None where there is none."""
    if (found := shutil.which("initdb")) is not None:
        return Path(found).resolve().parent
    # Debian's packages put only clients on the PATH.
    installed = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = max(installed, key=lambda path: int(path.parts[-3]), default=None)
    return newest.parent if newest else None


class PostgresServer:
    """Below a temporary directory of its own; it refuses to run as root, so root gives it away."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self._directory = Path(tempfile.mkdtemp(prefix="gdso-postgres-"))
        self._data = self._directory / "data"
        self.port = free_port()
        self._prefix: list[str] = []
        if os.geteuid() == 0:
            self._give_away()
        self.process = ServerProcess(
            "PostgreSQL",
            [
                *self._prefix,
                programs / "postgres",
                *("-D", self._data),
                *("-h", "127.0.0.1"),
                *("-p", str(self.port)),
                *("-k", self._directory),
            ],
            self._directory / "postgres.log",
            cwd=self._directory,
        )

    @property
    def version(self) -> str:
        told = subprocess.run(
            [str(self._programs / "postgres"), "--version"],
            check=True,
            capture_output=True,
            text=True,
        )
        return told.stdout.split()[2]

    def grafana_settings(self) -> dict[str, dict[str, str]]:
        """Ini sections of a Grafana that keeps its data here."""
        return {
            "database": {
                "type": "postgres",
                "host": f"127.0.0.1:{self.port}",
                "name": "postgres",
                "user": _USER,
                "ssl_mode": "disable",
            }
        }

    def start(self) -> Self:
        initdb = [*self._prefix, str(self._programs / "initdb"), "-D", str(self._data)]
        subprocess.run(
            [*initdb, "-U", _USER, "--auth=trust", "--no-sync"],
            check=True,
            capture_output=True,
            cwd=self._directory,
        )
        self.process.start()
        asking = [str(self._programs / "pg_isready"), "-h", "127.0.0.1", "-p", str(self.port)]
        self.process.wait_ready(
            lambda: subprocess.run(asking, check=False, capture_output=True).returncode == 0,
            _START_SECONDS,
        )
        return self

    def stop(self) -> None:
        self.process.stop()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _give_away(self) -> None:
        user = "postgres"
        shutil.chown(self._directory, user, user)
        # A process that changes its user loses the guard that ends it with its parent.
        self._prefix = [
            *("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"),
            *("--pdeathsig", "KILL"),
        ]

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
