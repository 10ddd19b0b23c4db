"""The operator as its own process, as a user runs it: `gdso run` with settings from variables."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from tests.servers.ports import free_port
from tests.servers.process import ServerProcess

USER_AGENT = "gdso/"
_ROOT = Path(__file__).parents[2]
_START_SECONDS = 60  # a loaded machine; it takes two on an idle one


class OperatorProcess:
    """One operator; start it again after `stop` or `kill` for a restart with the same log."""

    def __init__(
        self,
        kubeconfig: Path,
        log: Path,
        settings: Mapping[str, str],
        *,
        outlive: bool = False,
    ) -> None:
        """`settings` are GDSO_* variables; `outlive` as in ServerProcess."""
        self.settings = dict(settings)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "PYTHONPATH": str(_ROOT / "operator"),
            "KUBECONFIG": str(kubeconfig),
            "GDSO_HTTP_ADDRESS": f"127.0.0.1:{self.port}",
            "GDSO_LOG_LEVEL": "DEBUG",
            **settings,
        }
        self.process = ServerProcess(
            "operator",
            [sys.executable, "-m", "grafana_datasource_operator", "run"],
            log,
            env=environment,
            outlive=outlive,
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        return self.process.log.read_text(errors="replace") if self.process.log.exists() else ""

    def start(self) -> Self:
        """Return when /readyz says so."""
        self.process.start()
        with httpx.Client(trust_env=False, timeout=5) as client:
            self.process.wait_ready(
                lambda: client.get(f"{self.url}/readyz").status_code == 200, _START_SECONDS
            )
        return self

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        self.process.stop(within_seconds=40)
        return self.process.exit_code or 0

    def kill(self) -> None:
        """SIGKILL, as a crash."""
        self.process.kill()

    def restart(self) -> Self:
        self.stop()
        return self.start()

    def metrics(self) -> str:
        """The text of /metrics."""
        return httpx.get(f"{self.url}/metrics", trust_env=False, timeout=10).text

    def __enter__(self) -> Self:
        return self if self.process.running else self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
