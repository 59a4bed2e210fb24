"""Newest entries: of each name the entry of the highest version, on disk, so that memory does not grow with them.

A temporary database of SQLite, which is deleted when it is closed; it spills to the folder for temporary files (SQLite,
"Temporary Files Used By SQLite").
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

ON_DISK: Final = ""
"""The name of a database that is on disk, and nobody else's."""
CACHE_KIB: Final = 16 * 1024
"""Of the database's pages, which are looked up at random: the names of some hundred thousand entries."""
VERSION_DIGITS: Final = 60
"""Of a version as text, padded: those of changes have at most 50."""
PUT_AT_ONCE: Final = 100
"""Entries that are put by one statement: for each, threads that read beside it would be waited for."""
PUT: Final = (
    "INSERT INTO entries VALUES {} ON CONFLICT (name) DO UPDATE SET times = times + 1,"
    " entry = CASE WHEN excluded.version > version THEN excluded.entry ELSE entry END,"
    " version = max(excluded.version, version)"
)


@dataclass
class NewestEntries:
    """Entries by name; used as a context, and read once all are put."""

    _database: sqlite3.Connection = field(
        default_factory=lambda: sqlite3.connect(ON_DISK, isolation_level=None, check_same_thread=False)
    )
    _waiting: list[tuple[bytes, str, str]] = field(default_factory=list)
    """Entries that are not put yet."""

    def __enter__(self) -> Self:
        """Begin with none."""
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        self._database.execute("CREATE TABLE entries (name BLOB PRIMARY KEY, version TEXT, times INT, entry TEXT)")
        self._database.execute("BEGIN")
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing behind."""
        self._database.close()

    def put(self, name: str, version: int, entry: Any) -> None:
        """Take an entry, which is JSON, where no newer one of its name was put; of two as new, the first stays."""
        self._waiting.append((digest_entry_name(name), f"{version:0{VERSION_DIGITS}}", json.dumps(entry)))
        if len(self._waiting) == PUT_AT_ONCE:
            self._put_waiting()

    def __len__(self) -> int:
        """Return how many names there are."""
        ((count,),) = self._query("SELECT COUNT(*) FROM entries")
        return int(count)

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        """Yield version and newest entry of each name, in the order in which the names were put first."""
        for version, _, entry in self.read_times():
            yield version, entry

    def read_times(self) -> Iterator[tuple[int, int, Any]]:
        """Yield the same, with how often an entry of the name was put between the two."""
        for version, times, entry in self._query("SELECT version, times, entry FROM entries ORDER BY rowid"):
            yield int(version), int(times), json.loads(entry)

    def has(self, name: str) -> bool:
        """Tell whether an entry of a name was put."""
        return self._find(name) is not None

    def find_version(self, name: str) -> int:
        """Return the version of a name's newest entry; 0 where there is none."""
        return self._find(name) or 0

    def _find(self, name: str) -> int | None:
        found = self._query("SELECT version FROM entries WHERE name = ?", digest_entry_name(name)).fetchone()
        return int(found[0]) if found else None

    def _query(self, statement: str, *values: bytes) -> sqlite3.Cursor:
        """Return what a statement answers, once all entries are put."""
        if self._waiting:
            self._put_waiting()
        return self._database.execute(statement, values)

    def _put_waiting(self) -> None:
        places = ", ".join(["(?, ?, 1, ?)"] * len(self._waiting))
        self._database.execute(PUT.format(places), [each for entry in self._waiting for each in entry])
        self._waiting.clear()


def digest_entry_name(name: str) -> bytes:
    """Return what a name is looked up by."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
