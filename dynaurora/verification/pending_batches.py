"""Pending batches: what has landed or was converted, and is not in Aurora: waiting for its import, or kept as failed.

A change in one concerns the rows of its own keys, and no others. So their keys are read, each object once, and are
known to be *behind*; all other keys can be judged meanwhile. Where nobody can tell the keys of a batch (it was not
converted, another mapping wrote it, it is very large), it may concern every key since it landed, or failed first.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import chain
from math import inf
from typing import TYPE_CHECKING, Final

from dynaurora import keys
from dynaurora.aws.objects import read_or_none
from dynaurora.batches.batch import VERIFY, Batch
from dynaurora.errors import InvalidBatchError, ObjectMissingError
from dynaurora.failures.failed_batches import read_record
from dynaurora.failures.list_failures import SUPERSEDED, is_imported, kind_of_batch
from dynaurora.mappings.csv_format import LABEL, escape, make_label

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dynaurora.aws.objects import Listed, ObjectStore
    from dynaurora.failures.list_failures import Place
    from dynaurora.mappings.mapping import Mapping
    from dynaurora.verification.expectations import Expectation

LOOKED_BACK_FOR: Final = timedelta(hours=2)
"""For batches that are not imported: what failed is kept as failed by then."""
MOST_PENDING_KEYS: Final = 500_000
"""That are remembered at a time, some hundred bytes each."""
FIELD_BYTES: Final = re.compile(rb"(?:[^\\,\n]|\\.)*", re.DOTALL)
"""A field of a line, as it is escaped."""

RowKey = tuple[str, tuple[bytes, ...]]
"""A target's table, and the fields of a key as lines have them, escaped."""


class Pending(StrEnum):
    """Why a change of a key is not in Aurora."""

    WAITING = "waiting"
    FAILED = "failed"


@dataclass
class PendingBatches:
    """The pending batches of one replication, as they were looked at last."""

    place: Place
    store: ObjectStore
    mapping: Mapping
    """The current one: lines of others are not read."""
    unknown_since: float = inf
    """The Unix time from which on changes of any key may be pending."""
    landed: tuple[Listed, ...] = ()
    """The streamed batches of the last two hours, the newest last."""
    _keys: dict[str, frozenset[RowKey] | None] = field(default_factory=dict)
    """By object, those of its lines; None where nobody can tell them."""
    _pending: dict[str, Pending] = field(default_factory=dict)
    _imported: set[str] = field(default_factory=set)

    def look(self, now: float) -> None:
        """Look at what is pending now."""
        begin = datetime.fromtimestamp(now, UTC) - LOOKED_BACK_FOR
        hour = f"{self.place.processed}{begin:%Y/%m/%d/%H}"  # as the delivery stream names its folders
        listed = self.store.list(self.place.bucket, self.place.processed, after=hour)
        self.landed = tuple(sorted(listed, key=lambda one: one.modified_at))
        self.unknown_since, self._pending = inf, {}
        for key, since in self._list_failed():
            self._take(key, Pending.FAILED, since)
        for each in self.landed:
            if each.key not in self._pending and not self._is_imported(each.key):
                self._take(each.key, Pending.WAITING, each.modified_at)
        self._keys = {key: found for key, found in self._keys.items() if key in self._pending}

    def find(self, table: str, expectation: Expectation | None) -> Pending | None:
        """Return why a change of a key may not be in Aurora; None where none is known."""
        if expectation is None:
            return None
        target = self.mapping.find_target(table) or self.mapping
        positions = [target.columns.index(column) for column in target.key_columns]
        wanted = table, tuple(escape(expectation.fields[place] or "").encode() for place in positions)
        found = {why for key, why in self._pending.items() if wanted in (self._keys.get(key) or ())}
        return Pending.FAILED if Pending.FAILED in found else next(iter(found), None)

    def _take(self, key: str | None, why: Pending, since: datetime) -> None:
        if key is not None and key not in self._keys:
            left = MOST_PENDING_KEYS - sum(len(found or ()) for found in self._keys.values())
            self._keys[key] = self._read(key, left)
        if key is None or self._keys[key] is None:
            self.unknown_since = min(self.unknown_since, since.timestamp())
        else:
            self._pending[key] = why

    def _read(self, key: str, most: int) -> frozenset[RowKey] | None:
        try:
            with self.store.open(self.place.bucket, key) as lines:
                found = frozenset(read_row_keys(lines, self.mapping, most))
        except ObjectMissingError:
            return frozenset()
        except ValueError:
            return None
        return found

    def _is_imported(self, key: str) -> bool:
        if key not in self._imported and is_imported(self.store, self.place.bucket, key):
            self._imported.add(key)
        return key in self._imported

    def _list_failed(self) -> Iterator[tuple[str | None, datetime]]:
        """Yield the objects of batches that are kept as failed, parked ones too, each with when it failed first."""
        failed = keys.failed_batches_prefix(self.place.mapping)
        prefixes = (failed, keys.parked(self.place.mapping, failed))
        for listed in chain.from_iterable(self.store.list(self.place.bucket, prefix) for prefix in prefixes):
            body = read_or_none(self.store, self.place.bucket, listed.key)
            record, failed_at = read_record(body or b""), listed.modified_at
            if body is None or kind_of_batch(record) == SUPERSEDED:  # whose records are kept themselves
                continue
            with suppress(KeyError, TypeError, ValueError):
                failed_at = min(failed_at, datetime.fromisoformat(record["first_failed_at"]))
            yield from ((key, failed_at) for key in list_objects(record))


def list_objects(record: dict[str, object]) -> Iterable[str | None]:
    """Return the objects of a failed batch; None among them where nobody can tell."""
    try:
        batch = Batch.from_event(record)
    except InvalidBatchError:
        return [None]
    return [] if batch.source == VERIFY else [item.key for item in batch.objects]


def read_row_keys(lines: Iterable[bytes], mapping: Mapping, most: int) -> Iterator[RowKey]:
    """Yield the key of each line. Raises ValueError where one is of another mapping, or there are more than so many."""
    labels = {make_label(each.table, mapping.digest).encode(): each for each in mapping.targets}
    places = {each.table: [each.columns.index(column) + 2 for column in each.key_columns] for each in mapping.targets}
    for number, line in enumerate(lines):
        match = LABEL.match(line)
        target = labels.get(match[1]) if match else mapping if len(mapping.targets) == 1 else None
        if target is None or number >= most or not line.endswith(b"\n"):
            raise ValueError
        wanted = places[target.table]
        fields, start = list[bytes](), match.end() if match else 0
        while len(fields) <= max(wanted):
            found = FIELD_BYTES.match(line, start)
            if found is None or (not match and not fields and found[0] not in {b"0", b"1"}):
                raise ValueError
            fields.append(found[0])
            start = found.end() + 1
        yield target.table, tuple(fields[place] for place in wanted)
