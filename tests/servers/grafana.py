"""Grafanas to test against: a real server started here, or an existing one."""

import configparser
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol, Self

import httpx

from tests.servers.grafana_homes import GrafanaHome, GrafanaMissingError
from tests.servers.grafana_provisioning import reload_datasources, write_datasources
from tests.servers.grafana_tokens import create_token
from tests.servers.ports import free_port
from tests.servers.process import ServerProcess

Settings = Mapping[str, Mapping[str, str]]
Kind = Literal["server", "double", "given"]

_START_SECONDS = 180  # the first start migrates the database; seconds on an idle machine
_URL_VARIABLE = "GDSO_TEST_GRAFANA_URL"


class Grafana(Protocol):
    """What every test may use, whatever answers."""

    @property
    def url(self) -> str: ...
    @property
    def admin(self) -> tuple[str, str]:
        """User and password of a server administrator."""
        ...

    @property
    def version(self) -> str: ...
    @property
    def kind(self) -> Kind: ...

    def create_token(self, role: str = "Admin", org_id: int = 1) -> str: ...


class GrafanaServer:
    """A Grafana with SQLite below one directory; it calls nobody outside."""

    kind: Literal["server"] = "server"
    admin = ("admin", "test-only")

    def __init__(
        self,
        home: GrafanaHome,
        directory: Path,
        settings: Settings | None = None,
        *,
        database: Path | None = None,
        outlive: bool = False,
    ) -> None:
        """`settings` are ini sections over ours; `outlive` as in ServerProcess.

        It begins with a copy of `database`, from a server with the same administrator.
        """
        self.home = home
        self.version = home.version
        self.directory = directory
        self.database = directory / "data" / "grafana.db"
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._ini = _merged(_base_settings(directory, port, self.admin, home), settings or {})
        self._write_files()
        if database is not None:
            shutil.copy(database, self.database)
        self.process = ServerProcess(
            f"Grafana {home.version}",
            [
                *home.command(),
                f"-homepath={home.path}",
                f"-config={directory / 'grafana.ini'}",
            ],
            directory / "grafana.log",
            env=_environment(),
            cwd=home.path,
            outlive=outlive,
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def start(self) -> Self:
        """Again after `stop` or a kill: on the same port with the same data."""
        try:
            self.process.start()
            self.process.wait_ready(self._is_ready, _START_SECONDS)
        except BaseException:
            self.process.kill()
            raise
        return self

    def stop(self) -> None:
        self.process.stop()

    def kill(self) -> None:
        """SIGKILL, as a crash."""
        self.process.kill()

    def provision_datasources(self, yaml: str) -> None:
        """As a file that it reads at its start, and at `reload_datasources`."""
        write_datasources(self.directory / "provisioning" / "datasources", yaml)

    def reload_datasources(self) -> None:
        """See tests.servers.grafana_provisioning."""
        reload_datasources(self.url, self.admin)

    def create_token(self, role: str = "Admin", org_id: int = 1) -> str:
        return create_token(self.url, self.admin, role, org_id)

    def _is_ready(self) -> bool:
        answer = httpx.get(f"{self.url}/api/health", timeout=5, trust_env=False)
        return answer.status_code == httpx.codes.OK and answer.json().get("database") == "ok"

    def _write_files(self) -> None:
        for folder in ("datasources", "plugins", "dashboards", "alerting", "notifiers"):
            (self.directory / "provisioning" / folder).mkdir(parents=True, exist_ok=True)
        for folder in ("data", "plugins"):
            (self.directory / folder).mkdir(exist_ok=True)
        ini = configparser.RawConfigParser()
        ini.read_dict(self._ini)
        with (self.directory / "grafana.ini").open("w") as file:
            ini.write(file)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


class GivenGrafana:
    """The server that `GDSO_TEST_GRAFANA_URL` names."""

    kind: Literal["given"] = "given"

    def __init__(self, url: str, admin: tuple[str, str]) -> None:
        self.url = url.rstrip("/")
        self.admin = admin
        try:
            answer = httpx.get(f"{self.url}/api/health", timeout=10)
            health = answer.raise_for_status().json()
        except (httpx.HTTPError, ValueError) as error:
            raise GrafanaMissingError(f"{_URL_VARIABLE} is {url}, but {error!r}") from error
        # Anonymous callers may be refused the version.
        self.version: str = health.get("version") or self._version_for_admin()

    def create_token(self, role: str = "Admin", org_id: int = 1) -> str:
        return create_token(self.url, self.admin, role, org_id)

    def _version_for_admin(self) -> str:
        settings = httpx.get(f"{self.url}/api/frontend/settings", auth=self.admin, timeout=10)
        return str(settings.raise_for_status().json()["buildInfo"]["version"])


def given_grafana_url() -> str | None:
    return os.environ.get(_URL_VARIABLE) or None


def given_grafana() -> GivenGrafana:
    url = given_grafana_url()
    if url is None:
        raise GrafanaMissingError(f"{_URL_VARIABLE} is not set")
    user = os.environ.get("GDSO_TEST_GRAFANA_USER", "admin")
    return GivenGrafana(url, (user, os.environ.get("GDSO_TEST_GRAFANA_PASSWORD", "admin")))


def _environment() -> dict[str, str]:
    # Not ours: GF_ variables of the caller would win over the ini.
    return {"PATH": os.environ.get("PATH", os.defpath)}


def _merged(base: Settings, over: Settings) -> dict[str, dict[str, str]]:
    sections = [*base, *(section for section in over if section not in base)]
    return {name: {**base.get(name, {}), **over.get(name, {})} for name in sections}


def _base_settings(
    directory: Path, port: int, admin: tuple[str, str], home: GrafanaHome
) -> dict[str, dict[str, str]]:
    settings = {
        "paths": {
            "data": f"{directory}/data",
            "logs": f"{directory}/logs",
            "plugins": f"{directory}/plugins",
            "provisioning": f"{directory}/provisioning",
        },
        "server": {"http_addr": "127.0.0.1", "http_port": str(port)},
        "database": {"type": "sqlite3", "path": f"{directory}/data/grafana.db"},
        "security": {
            "admin_user": admin[0],
            "admin_password": admin[1],
            "disable_gravatar": "true",
        },
        "auth.anonymous": {"enabled": "false"},
        "analytics": {
            "reporting_enabled": "false",
            "check_for_updates": "false",
            "check_for_plugin_updates": "false",
            "feedback_links_enabled": "false",
        },
        "news": {"news_feed_enabled": "false"},
        "unified_alerting": {"enabled": "false"},
        # Before 9.0 one of the two alerting engines must run.
        "alerting": {"enabled": "false" if home.major >= 9 else "true"},
        "log": {"mode": "console", "level": "warn"},
    }
    if home.major >= 10:
        settings["plugins"] = {
            "preinstall_disabled": "true",
            "preinstall_auto_update": "false",
            "public_key_retrieval_disabled": "true",
        }
    return settings
