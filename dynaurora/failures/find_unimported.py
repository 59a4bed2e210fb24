"""Finding what a restored database lacks: batches that were imported, by their mark, and are not in its ledger.

A database that is restored to an earlier time goes back with its ledger; the landing bucket does not. What is there:

    processed/                        streamed batches, each an object
    batches/run=<m>-<run>/            converted batches of backfills, and their sweeps, by their descriptors
    batches/reprocess/run=<m>-<run>/  descriptors of records that were mapped again

A batch without the mark is none of these: it waits, is kept as failed, or was never imported, and is taken up as such.
"""

from __future__ import annotations

import json
import re
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from dynaurora import keys
from dynaurora.aws.objects import read_or_none
from dynaurora.batches.batch import VERIFY, Batch, BatchObject
from dynaurora.batches.ledger import Ledger
from dynaurora.batches.parts import UNLABELLED, count_labels
from dynaurora.batches.writers import Writers
from dynaurora.errors import InvalidBatchError, MalformedBatchError, ObjectChangedError, ObjectMissingError
from dynaurora.failures.list_failures import is_imported
from dynaurora.mappings.csv_format import make_label

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from dynaurora.aurora.connection import Aurora
    from dynaurora.aws.objects import Listed, ObjectStore
    from dynaurora.mappings.mapping import Mapping

ASKED_AT_ONCE: Final = 500
"""Batches that one query asks for."""
FIND_SECONDS: Final = 20.0
"""After which an answer says where to go on."""
MOST_FOUND: Final = 2_000
"""Batches of an answer, which may have 6 MB."""
PARTS_SECONDS: Final = 3600
"""Before the time that the database was restored to: of a batch of then, some parts may be in, and not all."""
DESCRIBED: Final = re.compile(r"(batch-[0-9]{6}|sweep)\.json")
"""What the names of objects end with that have descriptors."""


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Where to look on: the number of the prefix, and the last key that was looked at."""

    prefix: int = 0
    after: str = ""


@dataclass(slots=True)
class Unimported:
    """What was found in a stretch."""

    batches: list[dict[str, Any]] = field(default_factory=list)
    """Descriptors."""
    looked_at: int = 0
    stretch: Bookmark | None = None
    """Where the next one begins; None where this was the last one."""


@dataclass(frozen=True)
class UnimportedFinder:
    """Finds what a database lacks of one mapping."""

    mapping: Mapping
    aurora: Aurora
    store: ObjectStore
    bucket: str
    since: float
    """Unix time that the database was restored to."""
    clock: Callable[[], float] = time.monotonic

    @property
    def prefixes(self) -> tuple[str, ...]:
        """Return the prefixes that are looked through."""
        name = self.mapping.name
        return keys.processed_prefix(name), keys.runs_prefix(name), keys.reprocess_runs_prefix(name)

    def find(self, stretch: Bookmark) -> Unimported:
        """Return what there is from a place on, as far as there is time."""
        found, until, place = Unimported(), self.clock() + FIND_SECONDS, stretch
        while place.prefix < len(self.prefixes):
            for some in self._list(place):
                found.looked_at += len(some)
                found.batches += [batch.as_dict() for batch in self._choose(some)]
                place = Bookmark(place.prefix, some[-1].key)
                if len(found.batches) >= MOST_FOUND or self.clock() >= until:
                    found.stretch = place
                    return found
            place = Bookmark(place.prefix + 1)
        return found

    def _list(self, place: Bookmark) -> Iterator[list[Listed]]:
        """Yield what is listed from a place on, some at a time."""
        some: list[Listed] = []
        for listed in self.store.list(self.bucket, self.prefixes[place.prefix], after=place.after):
            some.append(listed)
            if len(some) == ASKED_AT_ONCE:
                yield some
                some = []
        if some:
            yield some

    def _choose(self, listed: Iterable[Listed]) -> Iterator[Batch]:
        """Yield the batches among objects that were imported, and are not in the ledger."""
        batches = [(one, batch) for one in listed for batch in self._read(one)]
        labels = Writers(self.aurora, self.mapping).list_labels()
        ids = {batch.id: _ledger_ids(batch, labels) for _, batch in batches}
        ledger, there = Ledger(self.aurora, self.mapping.database), set[str]()
        asked = [ledger_id for each in ids.values() for ledger_id in each]
        for start in range(0, len(asked), ASKED_AT_ONCE):
            there |= ledger.find(asked[start : start + ASKED_AT_ONCE]).keys()
        for one, batch in batches:
            if not self._is_known(batch, one, there.intersection(ids[batch.id])) and self._was_imported(batch):
                yield batch

    def _is_known(self, batch: Batch, listed: Listed, found: set[str]) -> bool:
        """Tell whether all of a batch is in the ledger, of which these ids are.

        A streamed one is looked into where it landed within the hour before the time that the database is of: some of
        its parts may have been imported then, and others not. In the ledger of any other time, it is whole or missing.
        """
        if batch.targets:
            return len(found) >= len(batch.targets)
        if not found or batch.id in found or not 0 <= self.since - listed.modified_at.timestamp() < PARTS_SECONDS:
            return bool(found)
        with suppress(MalformedBatchError, ObjectChangedError, ObjectMissingError):
            (item,) = batch.objects
            labels = count_labels(item, make_label(self.mapping.table, self.mapping.digest), self.store)
            return all(batch.id in found if label == UNLABELLED else batch.part_id(label) in found for label in labels)
        return True  # what cannot be read cannot be imported either

    def _read(self, listed: Listed) -> Iterator[Batch]:
        """Yield the batches that an object is, or describes."""
        name = self.mapping.name
        if listed.key.startswith(keys.processed_prefix(name)):
            item = BatchObject(self.bucket, listed.key, listed.etag, listed.size)
            yield Batch(name, "stream", None, None, (item,))
        elif DESCRIBED.fullmatch(listed.key.rpartition("/")[2]):
            with suppress(AttributeError, InvalidBatchError, ValueError):
                read = json.loads(read_or_none(self.store, self.bucket, listed.key) or b"[]")
                for descriptor in read if isinstance(read, list) else [read]:
                    batch = Batch.from_event({"batch": descriptor.get("batch", descriptor)})  # with its fingerprint
                    if batch.source != VERIFY:
                        yield batch

    def _was_imported(self, batch: Batch) -> bool:
        """Tell whether all objects of a batch are there as it names them, and marked as imported."""
        with suppress(ObjectMissingError):
            return all(
                self.store.tail(item.bucket, item.key).etag == item.etag
                and is_imported(self.store, item.bucket, item.key)
                for item in batch.objects
            )
        return False


def _ledger_ids(batch: Batch, labels: list[str]) -> list[str]:
    """Return the ids that the ledger may have of a batch and its parts; `labels` are those of all mappings' rows."""
    if batch.targets:
        labels = [make_label(table, batch.digest or "") for table in batch.targets]
    elif batch.source != "stream":
        labels = []
    return [batch.id, *map(batch.part_id, labels)]
