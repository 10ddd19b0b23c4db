"""Start the double for a test: `with GrafanaDouble.start("12.4.0") as grafana: grafana.url`."""

import shutil
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.grafana_double.auth import ADMIN_LOGIN
from tests.servers.process import ServerProcess

_PROJECT = Path(__file__).resolve().parents[2]
_START_SECONDS = 30.0


class GrafanaDouble:
    """A running double; the state ends with it."""

    def __init__(self, version: str, server: ServerProcess, port: int, password: str) -> None:
        self.version = version
        self.url = f"http://127.0.0.1:{port}"
        self.admin = (ADMIN_LOGIN, password)
        self.process = server
        self._to_remove: Path | None = None

    @classmethod
    def start(
        cls,
        version: str,
        *,
        port: int = 0,
        admin_password: str = "admin",
        datasource_limit: int | None = None,
        quota: int | None = None,
        provisioned: bool = False,
        seed: int | None = None,
        directory: Path | None = None,
        outlive: bool = False,
    ) -> Self:
        """Return when it answers.

        Its log goes to `directory`, by default one of its own that goes when it stops; `outlive`
        as in ServerProcess.
        """
        folder = directory or Path(tempfile.mkdtemp(prefix="grafana-double-"))
        folder.mkdir(parents=True, exist_ok=True)
        port_file = folder / "port"
        port_file.unlink(missing_ok=True)
        options = {
            "--version": version,
            "--port": port,
            "--port-file": port_file,
            "--admin-password": admin_password,
            "--datasource-limit": datasource_limit,
            "--quota": quota,
            "--seed": seed,
        }
        given = [f"{name}={value}" for name, value in options.items() if value is not None]
        if provisioned:
            given.append("--provisioned")
        argv = [sys.executable, "-m", "tests.grafana_double", *given]
        server = ServerProcess(
            f"grafana double {version}", argv, folder / "log", cwd=_PROJECT, outlive=outlive
        )
        server.start()
        try:
            server.wait_ready(port_file.exists, _START_SECONDS)
            double = cls(version, server, int(port_file.read_text()), admin_password)
        except BaseException:
            server.stop()
            raise
        if directory is None:
            double._to_remove = folder
        return double

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log_path(self) -> Path:
        return self.process.log

    def stop(self) -> None:
        self.process.stop()
        if self._to_remove is not None:
            shutil.rmtree(self._to_remove)
            self._to_remove = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
