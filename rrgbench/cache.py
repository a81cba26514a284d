"""The call cache: one SQLite file for whatever is slow or paid.

The key is the part's whole signature (the model included), the digest of the input (image bytes included) and the
replicate. A failure is never stored. The file is readable by its owner only, for it may hold derived patient data.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rrgbench.errors import RunError


def digest(*pieces: Any) -> str:
    """A SHA-256 of JSON-able values; the same on every machine."""
    return hashlib.sha256(canonical(pieces).encode()).hexdigest()


def canonical(value: Any) -> str:
    """JSON with sorted keys and no white space, in ASCII: a lone surrogate in a reply can be kept, too."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)


def file_digest(path: Path) -> str:
    """The SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Cache:
    """A key-value store of JSON values that survives ``kill -9`` and is safe to share between processes."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        for ending in ("", "-wal", "-shm", "-journal"):  # SQLite gives new ones the permissions of the database
            if (file := path.with_name(path.name + ending)).exists():
                file.chmod(0o600)
        self._db = sqlite3.connect(path, timeout=60, check_same_thread=False)
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            # A checkpoint waits for the disk, and calls in flight wait with it (.3 s was seen): one each 40 MB, not 4.
            self._db.execute("PRAGMA wal_autocheckpoint=10000")
            self._db.execute("CREATE TABLE IF NOT EXISTS calls (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID")
        except sqlite3.DatabaseError as error:
            raise RunError(f"The call cache {path} is damaged ({error}): delete it and run again.") from error

    def get(self, key: str) -> dict[str, Any] | None:
        """The value of a key, or None."""
        row = self._db.execute("SELECT value FROM calls WHERE key = ?", (key,)).fetchone()
        return json.loads(row[0]) if row else None

    def starting(self, prefix: str) -> dict[str, dict[str, Any]]:
        """The values of all keys that begin so, by key."""
        span = (prefix, f"{prefix}\U0010ffff")
        rows = self._db.execute("SELECT key, value FROM calls WHERE key >= ? AND key < ?", span)
        return {key: json.loads(value) for key, value in rows}

    def put(self, values: Mapping[str, Mapping[str, Any]]) -> None:
        """Store values by key, all or none."""
        rows = [(key, canonical(value)) for key, value in values.items()]
        with self._db:
            self._db.executemany("INSERT OR REPLACE INTO calls VALUES (?, ?)", rows)

    def close(self) -> None:
        """Close the file."""
        self._db.close()
