"""Databases that a Grafana has already set up: its first start takes seconds, a second one less."""

import hashlib
import tempfile
from pathlib import Path

from tests.servers.cache import cache_directory, only_maker
from tests.servers.grafana import GrafanaServer
from tests.servers.grafana_homes import GrafanaHome


def empty_database(home: GrafanaHome) -> Path:
    """As this very program left it after its first start; made once and kept in the cache."""
    kept = cache_directory() / "grafana-databases" / f"{home.version}-{_digest(home)}.db"
    with only_maker(kept) as to_make:
        if to_make:
            with tempfile.TemporaryDirectory(dir=kept.parent) as scratch:
                server = GrafanaServer(home, Path(scratch))
                server.start()
                server.stop()
                server.database.rename(kept)
    return kept


def _digest(home: GrafanaHome) -> str:
    program = Path(home.command()[0])
    built = program.stat()
    described = f"{program}\n{built.st_size}\n{built.st_mtime_ns}"
    return hashlib.sha256(described.encode()).hexdigest()[:12]
