"""What the replica has to be after every step: what the batches in the ledger make of it, and nothing else.

The lines of the batches are read again by the tests' own reader and folded by the rule "the highest version of a key
wins"; the result is held against the database's rows, tombstones included, and against what is known of the writes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from dynaurora.aurora import sql
from dynaurora.aurora.connection import Aurora
from dynaurora.aurora.migrations import IMPORTS
from dynaurora.batches.parts import MARK
from dynaurora.mappings.mapping import Mapping
from dynaurora.verification.row_forms import comparable_field, comparable_value
from tests.integration.convergence.moments import moment
from tests.integration.convergence.things import VIEW, Key, Thing, ViewRow, read_view_row
from tests.support.csv_reader import read_line

TIME, N = 2, 3
"""Where the time of the change and the number of the write are in a row's columns."""
SEQUENCE_RANGE: Final = 10**40
"""Of a version: as documented, and not the constant under test."""


@dataclass(frozen=True)
class ReplicaRow:
    """A row of the replica."""

    version: int
    deleted: bool
    columns: tuple[Any, ...]

    @property
    def key(self) -> Key:
        return self.columns[0], self.columns[1]

    @property
    def timeless(self) -> "ReplicaRow":
        """Return the row without the time of its change where a view of the table tells it.

        A view that brings nothing else that is new leaves the time as it was; which times are right, the end tells.
        """
        if self.version % SEQUENCE_RANGE:
            return self
        return replace(self, columns=(*self.columns[:TIME], None, *self.columns[TIME + 1 :]))

    @property
    def n(self) -> int:
        """Return the number of the write whose state the row shows; 0 where it shows none."""
        return int(self.columns[N] or 0)


def parse_line(mapping: Mapping, line: bytes) -> ReplicaRow:
    """Return the row that a line of CSV is to become."""
    deleted, version, *fields = read_line(line.partition(b",")[2] if line.startswith(MARK) else line)
    columns = tuple(comparable_field(column.type, text) for column, text in zip(mapping.columns, fields, strict=True))
    return ReplicaRow(int(version or ""), deleted == "1", columns)


class LedgerRow(NamedTuple):
    """What the ledger has of a batch: written once, with the batch's rows."""

    rows_staged: int
    rows_changed: int
    retries: int
    started_at: Any
    finished_at: Any


@dataclass
class Snapshot:
    """The database at one moment."""

    ledger: dict[str, LedgerRow]
    """By batch id."""
    rows: dict[Key, ReplicaRow]


def read_snapshot(aurora: Aurora, mapping: Mapping) -> Snapshot:
    """Read the ledger and the replica as they are at the same moment."""
    names = ", ".join(
        sql.quote(name) for name in ("_version", "_deleted", *(column.name for column in mapping.columns))
    )
    replica = f"{sql.quote(mapping.database)}.{sql.quote(mapping.replica)}"
    ledger = f"{sql.quote(mapping.database)}.{sql.quote(IMPORTS)}"
    with moment(aurora):
        entries = aurora.query(f"SELECT batch_id, {', '.join(LedgerRow._fields)} FROM {ledger}")
        found = aurora.query(f"SELECT {names} FROM {replica}")
    rows = [read_row(mapping, row) for row in found]
    return Snapshot({name: LedgerRow(*rest) for name, *rest in entries}, {row.key: row for row in rows})


def read_row(mapping: Mapping, row: tuple[Any, ...]) -> ReplicaRow:
    version, deleted, *values = row
    columns = (comparable_value(column.type, value) for column, value in zip(mapping.columns, values, strict=True))
    return ReplicaRow(int(version), bool(deleted), tuple(columns))


def read_view(aurora: Aurora, mapping: Mapping) -> dict[Key, ViewRow]:
    """Read what people see, by key."""
    with moment(aurora):
        return dict(read_view_row(row) for row in aurora.query(VIEW.format(database=mapping.database)))


@dataclass
class ExpectedReplica:
    """The replica that the batches in the ledger make, and what is known of the changes in them."""

    rows: dict[Key, list[ReplicaRow]] = field(default_factory=dict)
    """The rows of a key's highest version: more than one only where two views of the table have the same, and were
    imported since the replica was looked at."""
    newest_told: dict[Key, int] = field(default_factory=dict)
    """The newest write that anything imported shows."""
    newest_delete: dict[Key, int] = field(default_factory=dict)
    """The newest delete of the stream that was imported."""
    _seen: set[Key] = field(default_factory=set)
    """The keys whose rows were found in the replica: another row of the same version comes too late."""

    def apply(self, row: ReplicaRow, deleted_by: int | None) -> None:
        """Bring one imported line in; `deleted_by` is the number of the stream's delete that it is, if it is one."""
        known = self.rows.setdefault(row.key, [row])
        if row.version > known[0].version:
            known[:] = [row]
            self._seen.discard(row.key)
        elif row.version == known[0].version and row not in known and row.key not in self._seen:
            known.append(row)
        if not row.deleted:
            self.newest_told[row.key] = max(row.n, self.newest_told.get(row.key, 0))
        if deleted_by is not None:
            self.newest_delete[row.key] = max(deleted_by, self.newest_delete.get(row.key, 0))

    def versions(self) -> dict[Key, int]:
        """Return the version of each row."""
        return {key: rows[0].version for key, rows in self.rows.items()}

    def find_faults(self, found: dict[Key, ReplicaRow]) -> Iterator[tuple[Key, str]]:
        """Yield the keys whose rows are not what they have to be, and what is wrong with them."""
        for key in self.rows.keys() - found.keys():
            yield key, f"there is no row, and {describe(self.rows[key][0])} was imported"
        for key, row in found.items():
            problem = self._find_fault(key, row)
            if problem:
                yield key, problem
            else:
                self.rows[key] = [row]
                self._seen.add(key)

    def _find_fault(self, key: Key, row: ReplicaRow) -> str | None:
        expected = self.rows.get(key)
        if not expected:
            return f"there is {describe(row)}, of which nothing was imported"
        if not row.deleted and row.n > self.newest_told.get(key, 0):
            return f"write {row.n} is shown, which is newer than all that was delivered"
        if not row.deleted and row.n < self.newest_delete.get(key, 0):
            return f"write {row.n} is shown, and its delete, write {self.newest_delete[key]}, was imported"
        if row not in expected and row.timeless not in [one.timeless for one in expected]:
            return f"there is {describe(row)}, and the newest that was imported is {describe(expected[0])}"
        return None


def find_differences(
    items: dict[Key, Thing], times: dict[Key, set[int]], view: dict[Key, ViewRow]
) -> Iterator[tuple[Key, str]]:
    """Yield the keys of which people see something else than the table's item, and what.

    `times` are those that the item's change was told at, each right.
    """
    for key in items.keys() | view.keys():
        expected, found = items[key].row() if key in items else None, view.get(key)
        if expected != (found and found.values):
            yield key, f"people see {found} in the end, and the item is {expected}"
        elif found and found.changed_at_ms not in times[key]:
            yield key, f"people see that it changed at {found.changed_at_ms}, and it was told at {times[key]}"


def describe(row: ReplicaRow) -> str:
    state = "a tombstone" if row.deleted else f"write {row.n}"
    return f"{state} at version {row.version}"
