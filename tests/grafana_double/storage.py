"""Rows by kind and key, in a file that outlives the process, however it ends."""

import pickle
import sqlite3
from pathlib import Path


class Storage:
    """What is put is there after a restart, in the order in which its keys came."""

    def __init__(self, file: Path | None = None) -> None:
        """Without a file the rows end with this process."""
        self._rows = sqlite3.connect(file or ":memory:", isolation_level=None)
        # Safe when the process is killed, which is all that happens here.
        self._rows.execute("PRAGMA journal_mode = WAL")
        self._rows.execute("PRAGMA synchronous = OFF")
        self._rows.execute(
            "CREATE TABLE IF NOT EXISTS kept (kind TEXT, key TEXT, value BLOB, UNIQUE (kind, key))"
        )

    def put(self, kind: str, key: object, value: object) -> None:
        self._rows.execute(
            "INSERT INTO kept VALUES (?, ?, ?)"
            " ON CONFLICT (kind, key) DO UPDATE SET value = excluded.value",
            (kind, str(key), pickle.dumps(value)),
        )

    def remove(self, kind: str, key: object) -> None:
        self._rows.execute("DELETE FROM kept WHERE kind = ? AND key = ?", (kind, str(key)))

    def all(self, kind: str) -> list[object]:
        """Every value of a kind."""
        found = self._rows.execute("SELECT value FROM kept WHERE kind = ? ORDER BY rowid", (kind,))
        return [pickle.loads(value) for (value,) in found]
