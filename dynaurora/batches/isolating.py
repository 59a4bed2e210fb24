"""Isolating: the rows of a batch that SQL refuses are found and set aside, and all others imported.

It begins where a load or a merge was refused for a row. Rows are numbered, and brought on in ranges of their numbers; a
range that is refused is halved, down to the rows at fault. No object is loaded in parts.

    load refused    the lines once more, as text, into a table that refuses none; from it in ranges into a typed one
    merge refused   the staged rows once more, in the order of the merge; from there in ranges into the replica, each
                    after a savepoint in the one transaction

How much is set aside is bounded, and so is the time that it takes: a mapping that does not fit its table is no matter
of single rows. Of a refused row its key is told, and never another value.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from dynaurora.aurora import raw_rows, sql
from dynaurora.aurora.connection import find_named_column, find_row_error
from dynaurora.batches.loading import Staged, check_warnings
from dynaurora.batches.merging import merge
from dynaurora.errors import DynauroraError, MalformedBatchError, RowsRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dynaurora.aurora.connection import Aurora
    from dynaurora.aurora.origins import Origin
    from dynaurora.batches.loading import PartSource
    from dynaurora.mappings.target_columns import Column

MAX_REFUSED: Final = 1000
"""Rows of a part that are set aside one by one."""
MAX_SECONDS: Final = 60.0
"""For finding them."""
RANGE_ROWS: Final = 500
"""Of a range, before it is halved."""


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that SQL refuses."""

    target: str
    keys: dict[str, str]
    """The item's key: attribute → text as the CSV has it, base64 where its column is binary."""
    version: int
    error: int
    """The server's number for the reason."""
    column: str | None
    """The column at fault, where the server names one."""
    length: int | None
    """Of that column's value, in bytes."""

    @property
    def reason(self) -> str:
        """What it is counted by: `city (SQL 1406)`."""
        return f"{self.column or 'row'} (SQL {self.error})"


class KeepRefused(Protocol):
    """What keeps refused rows, so that reprocessing finds them."""

    def __call__(self, mapping: str, ledger_id: str, rows: Sequence[RefusedRow], failures: int) -> None:
        """Keep the refused rows of a part of a batch, which failed so often before; a repeat replaces them."""
        ...


@dataclass
class Isolation:
    """The search for the refused rows of one part of a batch."""

    origin: Origin
    aurora: Aurora
    source: PartSource
    refused: list[RefusedRow] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    @property
    def reasons(self) -> Counter[str]:
        """How many rows are refused, by reason."""
        return Counter(row.reason for row in self.refused)

    def stage(self, table: str) -> Staged:
        """Load the lines as text, and bring them on into a typed table; return it, without what is refused.

        Raises MalformedBatchError where lines do not say which row they are, or what loading them raises.
        """
        mapping, raw = self.origin.mapping, raw_rows.name_raw_beside(table)
        with self.aurora.transaction():
            self._load_raw(raw)
            count, first, last = self._read_bounds(raw)
            self.source.check_rows(count)
            ((malformed,),) = self.aurora.query(raw_rows.count_malformed(mapping, raw))
            if malformed:
                raise MalformedBatchError(
                    f"{malformed} of {count} lines of batch {self.source.ledger_id} have no key, no version or no mark."
                )
            self._make(raw_rows.TYPED)
            describe = raw_rows.describe_raw_row
            self._bring(range(first, last + 1), self._type_rows(raw), lambda *row: describe(mapping, raw, *row))
        self._drop(raw)
        return Staged(raw_rows.TYPED, self._read_bounds(raw_rows.TYPED)[0])

    def sort(self, staged: Staged) -> Staged:
        """Bring staged rows into a table of their own, numbered in the order of the merge."""
        with self.aurora.transaction():
            self._make(raw_rows.SORTED)
            self.aurora.execute(raw_rows.sort_rows(self.origin.mapping, staged.table))
        return Staged(raw_rows.SORTED, staged.rows)

    def merge(self, staged: Staged) -> int:
        """Merge sorted rows, in the transaction of whoever calls; return how many rows of the replica changed."""
        _, first, last = self._read_bounds(staged.table)
        return self._bring(
            range(first, last + 1),
            lambda rows: merge(self.origin, self.aurora, staged.table, rows),
            lambda *row: raw_rows.describe_typed_row(self.origin.mapping, staged.table, *row),
        )

    def _load_raw(self, raw: str) -> None:
        mapping = self.origin.mapping
        if raw == raw_rows.RAW:
            self.aurora.execute(raw_rows.drop_temporary(mapping, raw))
            self.aurora.execute(raw_rows.create_raw(mapping))
        else:
            self.aurora.execute(sql.empty_staged(mapping, raw))
        self.aurora.execute(raw_rows.load_raw(mapping, raw, self.source.label), (self.source.manifest_uri,))
        check_warnings(self.source.ledger_id, self.aurora)

    def _type_rows(self, raw: str) -> Callable[[range], int]:
        def type_rows(rows: range) -> int:
            typed = self.aurora.execute(raw_rows.type_rows(self.origin.mapping, raw, rows))
            if self.aurora.has_warned:
                check_warnings(self.source.ledger_id, self.aurora)
            return typed

        return type_rows

    def _bring(
        self, numbers: range, work: Callable[[range], int], describe: Callable[[int, Column | None], str]
    ) -> int:
        """Do the work for ranges of rows, halving those that are refused; return what the others came to.

        What is refused leaves nothing behind: it is one statement, or undone to a savepoint.
        """
        done = 0
        pending = [numbers[start : start + RANGE_ROWS] for start in range(0, len(numbers), RANGE_ROWS)][::-1]
        while pending:
            rows = pending.pop()
            try:
                done += work(rows)
            except DynauroraError as error:
                number = find_row_error(error)
                if number is None:
                    raise
                if len(rows) > 1:
                    middle = len(rows) // 2
                    pending += [rows[middle:], rows[:middle]]
                else:
                    self._refuse(rows[0], number, self._find_column(error), describe)
                self._check_bounds()
        return done

    def _refuse(
        self, row: int, number: int, column: Column | None, describe: Callable[[int, Column | None], str]
    ) -> None:
        mapping = self.origin.mapping
        ((version, length, *texts),) = self.aurora.query(describe(row, column))
        keys = dict(zip(mapping.key_attributes, map(str, texts), strict=True))
        name = column.name if column else None
        size = None if length is None else int(length)
        self.refused.append(RefusedRow(mapping.table, keys, int(version), number, name, size))

    def _find_column(self, error: DynauroraError) -> Column | None:
        """Return the mapping's column that a server's message names, if any; a value is never taken for it."""
        named = {column.name.lower(): column for column in self.origin.mapping.columns}
        return named.get((find_named_column(error) or "").lower())

    def _check_bounds(self) -> None:
        """Raise RowsRefusedError where there are too many refused rows, or it takes too long to find them."""
        seconds = time.monotonic() - self.began
        if len(self.refused) <= MAX_REFUSED and seconds <= MAX_SECONDS:
            return
        reasons = ", ".join(f"{count} {reason}" for reason, count in self.reasons.most_common(3))
        raise RowsRefusedError(
            f"Aurora refuses rows of batch {self.source.ledger_id}: {len(self.refused)} were found in {seconds:.0f} s,"
            f" of {reasons or 'none'}, where {MAX_REFUSED} rows and {MAX_SECONDS:.0f} s are the most."
        ) from None

    def _make(self, table: str) -> None:
        mapping = self.origin.mapping
        self.aurora.execute(raw_rows.drop_temporary(mapping, table))
        self.aurora.execute(raw_rows.create_typed(mapping, sql.key_collation(self.aurora.server_version), table))

    def _drop(self, raw: str) -> None:
        mapping = self.origin.mapping
        with self.aurora.transaction():
            if raw == raw_rows.RAW:
                self.aurora.execute(raw_rows.drop_temporary(mapping, raw))
            else:
                self.aurora.execute(sql.empty_staged(mapping, raw))

    def _read_bounds(self, table: str) -> tuple[int, int, int]:
        ((count, first, last),) = self.aurora.query(raw_rows.select_bounds(self.origin.mapping, table))
        return int(count), int(first), int(last)
