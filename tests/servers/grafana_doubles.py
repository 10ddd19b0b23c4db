"""The double of Grafana behind the protocol that the real servers have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from tests.servers.grafana_provisioning import reload_datasources, write_datasources
from tests.servers.grafana_tokens import create_token
from tests.servers.ports import free_port

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from tests.grafana_double.process import GrafanaDouble
    from tests.servers.grafana import Settings
    from tests.servers.process import ServerProcess

DOUBLE_VERSIONS = ("8.5.9", "9.4.0-pre", "12.4.0")


class NotInDoubleError(Exception):
    """Only a real server can do that."""


class GrafanaDoubleServer:
    """One process of tests.grafana_double."""

    kind: Literal["double"] = "double"

    def __init__(
        self,
        version: str,
        directory: Path,
        settings: Settings | None = None,
        *,
        provisioned: bool = False,
        outlive: bool = False,
    ) -> None:
        """Of Grafana's `settings` it knows data source limit, quota and hidden version."""
        self.version = version
        self.directory = directory
        self._limit, self._quota, self._hide_version = _read(settings or {})
        self._provisioned = provisioned
        self._outlive = outlive
        self._double: GrafanaDouble | None = None

    def start(self) -> Self:
        """Again after `stop` or a kill: on the same port with the same data."""
        if self._double is not None:
            self._double.start_again()
            return self
        # Unit tests load this module too, and should not wait for an HTTP server's import.
        from tests.grafana_double.process import GrafanaDouble

        self._double = GrafanaDouble.start(
            self.version,
            port=free_port(),
            datasource_limit=self._limit,
            quota=self._quota,
            hide_version=self._hide_version,
            provisioned=self._provisioned,
            directory=self.directory,
            outlive=self._outlive,
        )
        return self

    def stop(self) -> None:
        if self._double is not None:
            self._double.stop()

    def kill(self) -> None:
        """SIGKILL, as a crash."""
        self.process.kill()

    def provision_datasources(self, yaml: str) -> None:
        """As a file that it reads at its start, and at `reload_datasources`."""
        write_datasources(self.directory / "provisioning", yaml)

    def reload_datasources(self) -> None:
        """See tests.servers.grafana_provisioning."""
        reload_datasources(self.url, self.admin)

    @property
    def process(self) -> ServerProcess:
        return self._started().process

    @property
    def url(self) -> str:
        return self._started().url

    @property
    def admin(self) -> tuple[str, str]:
        return self._started().admin

    @property
    def pid(self) -> int:
        return self._started().pid

    def create_token(self, role: str = "Admin", org_id: int = 1) -> str:
        return create_token(self.url, self.admin, role, org_id)

    def _started(self) -> GrafanaDouble:
        if self._double is None:
            raise RuntimeError("the double was not started")
        return self._double

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _read(settings: Settings) -> tuple[int | None, int | None, bool]:
    left = {
        (section, key): value for section, keys in settings.items() for key, value in keys.items()
    }
    limit = left.pop(("datasources", "datasource_limit"), None)
    enabled = left.pop(("quota", "enabled"), "false") == "true"
    quota = left.pop(("quota", "org_data_source"), None) if enabled else None
    hides_version = left.pop(("auth.anonymous", "hide_version"), "false") == "true"
    if left:
        raise NotInDoubleError(f"the double has no setting {sorted(left)}")
    return (int(limit) if limit else None, int(quota) if quota else None, hides_version)
