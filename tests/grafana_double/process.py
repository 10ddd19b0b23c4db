"""Start the double for a test: `with GrafanaDouble.start("12.4.0") as grafana: grafana.url`."""

import shutil
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.grafana_double.auth import ADMIN_LOGIN
from tests.servers.grafana_provisioning import PROVISIONED_YAML, write_datasources
from tests.servers.ports import free_port
from tests.servers.process import ServerProcess

_PROJECT = Path(__file__).resolve().parents[2]
_START_SECONDS = 30.0
_PORT_FILE, _PROVISIONING = "port", "provisioning"


class GrafanaDouble:
    """A running double, or one that was stopped and keeps what it held in its directory."""

    def __init__(
        self, version: str, server: ServerProcess, folder: Path, port: int, password: str
    ) -> None:
        self.version = version
        self.folder = folder
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
        hide_version: bool = False,
        provisioned: bool = False,
        seed: int | None = None,
        directory: Path | None = None,
        outlive: bool = False,
    ) -> Self:
        """Return when it answers.

        It holds what it left in `directory`, by default a new one that goes when it stops.
        `outlive` as in ServerProcess.
        """
        folder = directory or Path(tempfile.mkdtemp(prefix="grafana-double-"))
        port = port or free_port()
        options = {
            "--version": version,
            "--port": port,
            "--port-file": folder / _PORT_FILE,
            "--state": folder / "state.db",
            "--provisioning": folder / _PROVISIONING,
            "--admin-password": admin_password,
            "--datasource-limit": datasource_limit,
            "--quota": quota,
            "--seed": seed,
        }
        given = [f"{name}={value}" for name, value in options.items() if value is not None]
        if hide_version:
            given.append("--hide-version")
        argv = [sys.executable, "-m", "tests.grafana_double", *given]
        server = ServerProcess(
            f"grafana double {version}", argv, folder / "log", cwd=_PROJECT, outlive=outlive
        )
        double = cls(version, server, folder, port, admin_password)
        if provisioned:
            double.provision_datasources(PROVISIONED_YAML)
        double.start_again()
        if directory is None:
            double._to_remove = folder
        return double

    def start_again(self) -> None:
        """After `stop` or a kill: on the same port with what it held; return when it answers."""
        (self.folder / _PROVISIONING).mkdir(parents=True, exist_ok=True)
        port_file = self.folder / _PORT_FILE
        port_file.unlink(missing_ok=True)
        self.process.start()
        try:
            self.process.wait_ready(port_file.exists, _START_SECONDS)
        except BaseException:
            self.process.stop()
            raise

    def provision_datasources(self, yaml: str) -> None:
        """As a file that is read at the start, and when the API says so."""
        write_datasources(self.folder / _PROVISIONING, yaml)

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
