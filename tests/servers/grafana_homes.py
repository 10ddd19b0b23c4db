"""Find Grafana servers on this machine: directories with a program and its home files."""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from tests.servers.cache import cache_directory

_HOMES_VARIABLE = "GDSO_TEST_GRAFANA_HOMES"


class GrafanaMissingError(Exception):
    """A Grafana was asked for by name and is not there."""


@dataclass(frozen=True)
class GrafanaHome:
    """Where a Grafana version lives: its program and its home path."""

    path: Path
    version: str

    @property
    def order(self) -> tuple[int, ...]:
        """Sorts 9.4.0-pre before 9.4.0 before 12.4.0."""
        numbers = [int(part) for part in re.findall(r"\d+", self.version.partition("-")[0])]
        return (*numbers, 0 if "-" in self.version else 1)

    @property
    def major(self) -> int:
        return self.order[0]

    def command(self) -> list[str]:
        """The program up to its options; `grafana-server` is the name of 9.3 and older."""
        if (program := self.path / "bin" / "grafana").is_file():
            return [str(program), "server"]
        return [str(self.path / "bin" / "grafana-server")]


def find_grafanas() -> list[GrafanaHome]:
    """Oldest first; of the homes that `GDSO_TEST_GRAFANA_HOMES` names none may be missing."""
    if named := os.environ.get(_HOMES_VARIABLE):
        paths = [Path(part) for part in named.split(os.pathsep) if part]
        if not_homes := [str(path) for path in paths if not _is_home(path)]:
            raise GrafanaMissingError(
                f"{_HOMES_VARIABLE} names {', '.join(not_homes)}: no bin/grafana (or "
                "bin/grafana-server) with conf/defaults.ini there"
            )
    else:
        paths = [path for path in (cache_directory() / "grafana").glob("*") if _is_home(path)]
    homes = [GrafanaHome(path.absolute(), _version(path)) for path in paths]
    return sorted(homes, key=lambda home: home.order)


def _is_home(path: Path) -> bool:
    programs = (path / "bin" / "grafana", path / "bin" / "grafana-server")
    return (path / "conf" / "defaults.ini").is_file() and any(map(Path.is_file, programs))


def _version(path: Path) -> str:
    for source in (path / "VERSION", path / "package.json"):
        if not source.is_file():
            continue
        text = source.read_text()
        found = json.loads(text)["version"] if source.suffix == ".json" else text
        return str(found).strip().removeprefix("v")
    if found_in_name := re.search(r"\d+\.\d+\.\d+(-\w+)?", path.name):
        return found_in_name[0]
    raise GrafanaMissingError(f"{path} has no VERSION file and no version in its name")
