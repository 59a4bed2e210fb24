"""Comparing rows: the rows of some keys against what there should be, column by column.

Rows are looked up by their keys, tombstones too. Which keys were seen is kept in the database, so that in the end the
rows are found that nobody has seen an item of (`dynaurora.verification.unseen_rows`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from dynaurora.aurora import comparing
from dynaurora.aurora.fills import is_hidden
from dynaurora.aurora.generations import Generations
from dynaurora.aurora.seen_keys import DigestKind, SeenKeys, forget_seen, number_digest
from dynaurora.batches.compare_staged import FUTURE_SECONDS
from dynaurora.dynamodb.versions import second_of
from dynaurora.verification.expectations import WantedKind
from dynaurora.verification.row_forms import RowReader
from dynaurora.verification.unseen_rows import STEP_SECONDS, Unseen, UnseenRows
from dynaurora.verification.verdicts import Found, RowVerdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from dynaurora.aurora.connection import Aurora
    from dynaurora.mappings.columns import Field
    from dynaurora.mappings.mapping import Mapping
    from dynaurora.verification.expectations import Expectation
    from dynaurora.verification.unseen_rows import Key

LOOKED_UP: Final = 200
"""Keys of one query."""


class Lookup(Protocol):
    """The way to the rows of a mapping's targets."""

    def compare(self, table: str, expectations: Sequence[Expectation]) -> list[Found]:
        """Return what is found of each key."""
        ...

    def list_unseen(self, table: str, after: Key | None, below: int | None = None) -> Unseen:
        """Return the next of the rows of which no item was seen; those not below a version only by number."""
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
        found, seen = list[Found](), list[int]()
        reader = self._reader(target)
        for start in range(0, len(expectations), LOOKED_UP):
            some = expectations[start : start + LOOKED_UP]
            keys = [self._key(target, each.fields) for each in some]
            statement = comparing.select_by_keys(target, len(keys))
            listed = self.aurora.query(statement, tuple(value for key in keys for value in key))
            rows = {reader.value_key(row[comparing.SYSTEM_FIELDS :]): row for row in listed}
            for each in some:
                row = rows.get(reader.field_key(each.fields))
                found.append(replace(self._judge(target, each, row), age=self._age(row)))
                if row is not None and not row[0] and each.kind is not WantedKind.NOTHING:
                    seen.append(number_digest(row[3]))
        if seen:
            with self.aurora.transaction():
                SeenKeys(self.aurora, target, self.run).add(DigestKind.SEEN, seen)
        return found

    def list_unseen(self, table: str, after: Key | None, below: int | None = None) -> Unseen:
        """Return the next of the rows of which no item was seen; those not below a version only by number."""
        target = self._find(table)
        if self._is_hidden(target):
            return Unseen()
        return UnseenRows(self.aurora, target, self.run, below, self.clock).look_on(after)

    def read_columns(
        self, table: str, expectation: Expectation, columns: Sequence[str]
    ) -> Iterator[tuple[str, Any, Any]]:
        """Yield some columns of a key, each with its value in the item and in the row, in comparable form."""
        target = self._find(table)
        reader, size = self._reader(target), comparing.SYSTEM_FIELDS
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
            if forget_seen(self.aurora, self.mapping, self.run):
                return True
        return False

    def _judge(self, target: Mapping, expected: Expectation, row: tuple[Any, ...] | None) -> Found:
        """Return what there is of a key: a row, a tombstone, or None."""
        if expected.kind is WantedKind.ANYTHING:
            return Found(RowVerdict.FAILED)
        deleted, version, generation = row[:3] if row else (True, 0, 0)
        if self._is_of_future(int(version)):
            return Found(RowVerdict.IMPOSSIBLE)
        if row is None or deleted:
            return Found(RowVerdict.IDENTICAL if expected.kind is WantedKind.NOTHING else RowVerdict.MISSING)
        if expected.kind is WantedKind.NOTHING:
            return Found(RowVerdict.EXTRA)
        reader = self._reader(target)
        values, wanted = reader.values(row[comparing.SYSTEM_FIELDS :]), reader.fields(expected.fields)
        if values == wanted:
            return Found(RowVerdict.IDENTICAL)
        columns = tuple(
            column.name for column, one, other in zip(reader.columns, values, wanted, strict=True) if one != other
        )
        return Found(RowVerdict.OLDER_MAPPING if self._is_older(int(generation)) else RowVerdict.DIFFERING, columns)

    def _is_of_future(self, version: int) -> bool:
        return second_of(version) > self.clock() + FUTURE_SECONDS

    def _age(self, row: tuple[Any, ...] | None) -> int | None:
        """Return how many seconds ago a row was changed, by its version; None where nothing says."""
        if row is None or self._is_of_future(int(row[1])):
            return None
        return int(self.clock()) - second_of(int(row[1]))

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
