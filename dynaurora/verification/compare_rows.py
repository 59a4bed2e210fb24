"""Comparing rows: the rows of some keys against what there should be, column by column.

Rows are looked up by their keys, tombstones too. Which keys were seen is kept in the database, so that in the end the
rows are found that nobody has seen an item of: those are listed in steps, in the order of the keys.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from dynaurora.aurora import comparing
from dynaurora.aurora.fills import is_hidden
from dynaurora.aurora.generations import Generations
from dynaurora.aurora.verifications import FORGOTTEN
from dynaurora.batches.compare_staged import FUTURE_SECONDS, server_text
from dynaurora.dynamodb.versions import second_of
from dynaurora.verification.expectations import WantedKind
from dynaurora.verification.row_forms import RowReader
from dynaurora.verification.verdicts import Found, RowVerdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from dynaurora.aurora.connection import Aurora
    from dynaurora.mappings.columns import Field
    from dynaurora.mappings.mapping import Mapping
    from dynaurora.verification.expectations import Expectation

LOOKED_UP: Final = 200
"""Keys of one query."""
STEP_ROWS: Final = 20_000
"""Rows of a step, among which those that were not seen are found."""
MOST_UNSEEN: Final = 1_000
"""Rows that were not seen, of one answer."""
STEP_SECONDS: Final = 20
"""After which an answer says where to go on."""

Key = tuple[str, ...]
"""A row's key, as fields."""


@dataclass(slots=True)
class Unseen:
    """Rows of a stretch of a replica of which no item was seen."""

    rows: int = 0
    """Rows of the stretch that exist."""
    newer: int = 0
    """Those of them that were not seen, and are no older than what was."""
    keys: list[Key] = field(default_factory=list)
    after: Key | None = None
    """Where the next stretch begins; None where this was the last one."""


class Lookup(Protocol):
    """The way to the rows of a mapping's targets."""

    def compare(self, table: str, expectations: Sequence[Expectation]) -> list[Found]:
        """Return what is found of each key."""
        ...

    def list_unseen(self, table: str, after: Key | None, below: int | None = None) -> Unseen:
        """Return the rows of the next stretch of which no item was seen; those not below a version only by number."""
        ...

    def forget(self) -> None:
        """Forget which keys were seen."""
        ...


@dataclass
class RowComparer:
    """Compares rows of a mapping's targets, over one connection."""

    aurora: Aurora
    mapping: Mapping
    run: str
    clock: Callable[[], float] = time.time
    _older: Callable[[int], bool] | None = None
    _readers: dict[str, RowReader] = field(default_factory=dict)
    _hidden: dict[str, bool] = field(default_factory=dict)

    def compare(self, table: str, expectations: Sequence[Expectation]) -> list[Found]:
        """Return what is found of each key; those whose rows exist are kept as seen."""
        target = self._find(table)
        if self._is_hidden(target):
            return [Found(RowVerdict.SKIPPED)] * len(expectations)
        found: list[Found] = []
        for start in range(0, len(expectations), LOOKED_UP):
            some = expectations[start : start + LOOKED_UP]
            keys = [self._key(target, each.fields) for each in some]
            parameters = tuple(value for key in keys for value in key)
            reader = self._reader(target)
            size = len(comparing.SYSTEM_FIELDS)
            statement = comparing.select_by_keys(target, len(keys))
            rows = {reader.value_key(row[size:]): row for row in self.aurora.query(statement, parameters)}
            found += [self._judge(target, each, rows.get(reader.field_key(each.fields))) for each in some]
            self._mark(
                target, [key for key, each in zip(keys, some, strict=True) if each.kind is not WantedKind.NOTHING]
            )
        return found

    def list_unseen(self, table: str, after: Key | None, below: int | None = None) -> Unseen:
        """Return the rows of the next stretch of which no item was seen; those not below a version only by number."""
        target, unseen, until = self._find(table), Unseen(after=after), self.clock() + STEP_SECONDS
        if self._is_hidden(target):
            return Unseen()
        while True:
            self._look_on(target, unseen, below)
            if unseen.after is None or len(unseen.keys) >= MOST_UNSEEN or self.clock() >= until:
                return unseen

    def read_columns(
        self, table: str, expectation: Expectation, columns: Sequence[str]
    ) -> Iterator[tuple[str, Any, Any]]:
        """Yield some columns of a key, each with its value in the item and in the row, in comparable form."""
        target = self._find(table)
        reader, size = self._reader(target), len(comparing.SYSTEM_FIELDS)
        rows = self.aurora.query(comparing.select_by_keys(target, 1), self._key(target, expectation.fields))
        found = reader.values(rows[0][size:]) if rows else (None,) * len(reader.columns)
        for column, wanted, value in zip(reader.columns, reader.fields(expectation.fields), found, strict=True):
            if column.name in columns:
                yield column.name, wanted, value

    def forget(self) -> None:
        """Forget which keys were seen."""
        while not self.forget_some():
            pass

    def forget_some(self) -> bool:
        """Forget some of the keys that were seen; return whether none is left."""
        until = self.clock() + STEP_SECONDS
        while self.clock() < until:
            with self.aurora.transaction():
                if self.aurora.execute(comparing.forget_seen(self.mapping), (self.run, FORGOTTEN)) < FORGOTTEN:
                    return True
        return False

    def _look_on(self, target: Mapping, unseen: Unseen, below: int | None) -> None:
        """Look at the next step's rows."""
        first = unseen.after
        ends = comparing.select_boundary(target, is_first=first is None)
        boundary = self.aurora.query(ends, (*comparing.range_parameters(target, first, None), STEP_ROWS - 1))
        upto = tuple(map(server_text, boundary[0])) if boundary else None
        bounds = comparing.range_parameters(target, first, upto)
        is_first, is_last = first is None, upto is None
        counted = self.aurora.query(comparing.count_rows(target, is_first=is_first, is_last=is_last), bounds)
        unseen.rows += int(counted[0][0])
        statement = comparing.select_unseen(target, is_first=is_first, is_last=is_last)
        listed = self.aurora.query(statement, (self.run, target.table, *bounds))
        older = [key for version, *key in listed if below is None or version < below]
        unseen.keys += [tuple(map(server_text, key)) for key in older]
        unseen.newer += len(listed) - len(older)
        unseen.after = upto

    def _judge(self, target: Mapping, expected: Expectation, row: tuple[Any, ...] | None) -> Found:
        """Return what there is of a key: a row, a tombstone, or None."""
        if expected.kind is WantedKind.ANYTHING:
            return Found(RowVerdict.FAILED)
        deleted, version, generation = row[:3] if row else (True, 0, 0)
        if row and second_of(int(version)) > self.clock() + FUTURE_SECONDS:
            return Found(RowVerdict.IMPOSSIBLE)
        if row is None or deleted:
            return Found(RowVerdict.IDENTICAL if expected.kind is WantedKind.NOTHING else RowVerdict.MISSING)
        if expected.kind is WantedKind.NOTHING:
            return Found(RowVerdict.EXTRA)
        reader = self._reader(target)
        values, wanted = reader.values(row[len(comparing.SYSTEM_FIELDS) :]), reader.fields(expected.fields)
        if values == wanted:
            return Found(RowVerdict.IDENTICAL)
        columns = tuple(
            column.name for column, one, other in zip(reader.columns, values, wanted, strict=True) if one != other
        )
        return Found(RowVerdict.OLDER_MAPPING if self._is_older(int(generation)) else RowVerdict.DIFFERING, columns)

    def _mark(self, target: Mapping, keys: list[tuple[Any, ...]]) -> None:
        if keys:
            parameters = (self.run, target.table, *(value for key in keys for value in key))
            with self.aurora.transaction():
                self.aurora.execute(comparing.mark_seen(target, len(keys)), parameters)

    def _is_older(self, generation: int) -> bool:
        """Tell whether an older mapping than the current one wrote a row."""
        if self._older is None:
            generations = Generations(self.aurora, self.mapping.database, self.mapping.name)
            same = {one.number for one in generations.all if one.digest == self.mapping.digest}
            latest = max(same, default=0)
            self._older = lambda number: latest > 1 and number < latest and number not in same
        return self._older(generation)

    def _is_hidden(self, target: Mapping) -> bool:
        """Tell whether a backfill fills a target that nobody sees yet: it is not complete."""
        if target.table not in self._hidden:
            self._hidden[target.table] = is_hidden(self.aurora, target)
        return self._hidden[target.table]

    def _find(self, table: str) -> Mapping:
        target = self.mapping.find_target(table)
        if target is None:
            raise KeyError(table)
        return target

    def _reader(self, target: Mapping) -> RowReader:
        if target.table not in self._readers:
            self._readers[target.table] = RowReader(target)
        return self._readers[target.table]

    def _key(self, target: Mapping, fields: tuple[Field, ...]) -> tuple[Any, ...]:
        return tuple(
            comparing.as_parameter(column.type, fields[target.columns.index(column)]) for column in target.key_columns
        )
