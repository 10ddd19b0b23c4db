"""Which Grafanas a test run is against: what is there, known before anything is started."""

import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.servers.grafana import (
    Grafana,
    GrafanaServer,
    Kind,
    Settings,
    given_grafana,
    given_grafana_url,
)
from tests.servers.grafana_databases import empty_database
from tests.servers.grafana_doubles import DOUBLE_VERSIONS, GrafanaDoubleServer
from tests.servers.grafana_homes import GrafanaHome, GrafanaMissingError, find_grafanas
from tests.servers.grafana_provisioning import PROVISIONED_YAML

_CHOICE_VARIABLE = "GDSO_TEST_GRAFANA"


@dataclass(frozen=True)
class GrafanaChoice:
    """One Grafana that a run may be against."""

    kind: Kind
    version: str
    """Empty for a given server, which has not been asked yet."""
    home: GrafanaHome | None = None

    def __str__(self) -> str:
        return f"{self.version}-{self.kind}" if self.version else self.kind


def real_choices() -> list[GrafanaChoice]:
    """The given server alone, else every home, oldest first."""
    if given_grafana_url():
        return [GrafanaChoice("given", "")]
    return [GrafanaChoice("server", home.version, home) for home in find_grafanas()]


def contract_choices() -> list[GrafanaChoice]:
    """Every real server and, so that it stays honest, every version of the double."""
    return [*real_choices(), *(GrafanaChoice("double", version) for version in DOUBLE_VERSIONS)]


def every_choice() -> list[GrafanaChoice]:
    """Every version once: every real server, and the double of each version that has none."""
    real = real_choices()
    missing = set(DOUBLE_VERSIONS) - {choice.version for choice in real}
    return [*real, *(GrafanaChoice("double", one) for one in DOUBLE_VERSIONS if one in missing)]


def main_choice() -> GrafanaChoice:
    """The one that `GDSO_TEST_GRAFANA` names, else the newest real server or double."""
    if named := os.environ.get(_CHOICE_VARIABLE):
        possible = {str(choice): choice for choice in contract_choices()}
        if named not in possible:
            raise GrafanaMissingError(f"{_CHOICE_VARIABLE} is none of {', '.join(possible)}")
        return possible[named]
    return [*(GrafanaChoice("double", version) for version in DOUBLE_VERSIONS), *real_choices()][-1]


class GrafanaPool:
    """The servers of a test run: one shared server per choice, and further ones for tests."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._made = 0
        self._shared: dict[GrafanaChoice, Grafana] = {}
        self._running = ExitStack()

    def shared(self, choice: GrafanaChoice) -> Grafana:
        """The same for every test of the run: a test leaves it as it found it."""
        if choice not in self._shared:
            self._shared[choice] = given_grafana() if choice.kind == "given" else self._run(choice)
        return self._shared[choice]

    def _run(self, choice: GrafanaChoice) -> GrafanaServer | GrafanaDoubleServer:
        server = self.make(choice)
        self._running.callback(server.stop)
        return server.start()

    def choice_of(self, grafana: Grafana) -> GrafanaChoice:
        """What a shared server was made for."""
        return next(choice for choice, shared in self._shared.items() if shared is grafana)

    def make(
        self,
        choice: GrafanaChoice,
        *,
        settings: Settings | None = None,
        provisioned: bool = False,
    ) -> GrafanaServer | GrafanaDoubleServer:
        """A server to start and stop, empty but for the one data source if `provisioned`."""
        self._made += 1
        directory = self._directory / f"{choice}-{self._made}"
        if choice.kind == "double":
            return GrafanaDoubleServer(choice.version, directory, settings, provisioned=provisioned)
        if choice.home is None:
            raise GrafanaMissingError("a given Grafana server cannot be started afresh")
        server = GrafanaServer(
            choice.home, directory, settings, database=empty_database(choice.home)
        )
        if provisioned:
            server.provision_datasources(PROVISIONED_YAML)
        return server

    def describe(self, choice: GrafanaChoice) -> str:
        """For the report of a test run."""
        version = choice.version or self.shared(choice).version
        return f"{version} ({choice.kind})"

    def stop(self) -> None:
        self._running.close()
        self._shared.clear()


if __name__ == "__main__":
    print(*contract_choices(), sep="\n")
