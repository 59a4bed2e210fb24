"""Sweeping: deletes that no stream carried, found by what a full export does not have.

A row that is still below the snapshot's version after everything of the snapshot was imported has no item in it: it
was deleted while nothing read the stream. Or its item was refused: those are known by their keys, and left out. The
others become batches of tombstones at the snapshot's version, and go through the same door as everything else, so a
change that arrives meanwhile still wins.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import chain, count, islice
from typing import TYPE_CHECKING, Any

from dynaurora import keys
from dynaurora.aurora import sql
from dynaurora.aurora.fills import read_fills
from dynaurora.aws.objects import aborting
from dynaurora.batches.batch import Batch, BatchObject, Share
from dynaurora.dynamodb.versions import snapshot_version
from dynaurora.errors import SweepRefusedError
from dynaurora.exports.left_out import LeftOut, LeftOutReader
from dynaurora.exports.plan import MAX_BATCH_ITEMS
from dynaurora.exports.reconcile_run import count_swept
from dynaurora.mappings.csv_format import encode_row, row_label
from dynaurora.mappings.rows import Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dynaurora.aurora.connection import Aurora
    from dynaurora.aws.objects import ObjectStore
    from dynaurora.exports.reconcile_run import Totals
    from dynaurora.mappings.columns import Field
    from dynaurora.mappings.mapping import Mapping


@dataclass(frozen=True)
class Sweep:
    """What is to be swept; the batches' descriptors are a JSON array in S3."""

    bucket: str
    key: str
    rows: int
    batches: int
    rows_before: int = 0
    """Rows that an earlier execution of the run has swept."""
    left_out: int = 0
    """Refused items, whose rows, if they have any, stay as they are."""


@dataclass(frozen=True)
class Sweeper:
    """Sweeps the replicas of one mapping's targets after one run."""

    mapping: Mapping
    aurora: Aurora
    store: ObjectStore
    bucket: str
    run: str
    export_second: int

    def plan(self, totals: Totals) -> Sweep:
        """Write the batches of tombstones and their plan, and return what they come to.

        Raises SweepRefusedError where a batch failed, where too many items were rejected, or not all of them are known,
        and where a target rejected any that is to be filled: it would be taken for complete.
        """
        rejected = self._count_rejected(totals)
        if totals.batches_failed:
            raise SweepRefusedError(
                f"Of run {self.run} {sum(rejected.values())} items were rejected and {totals.batches_failed} batches"
                " failed: the rows of their items could be taken for deleted."
            )
        left_out = self._find_left_out(rejected)
        batches = list(self._write_batches(left_out))
        key = keys.sweep_plan(self.mapping.name, self.run)
        self.store.write(self.bucket, key, json.dumps([batch.as_dict() for batch in batches]).encode())
        rows = sum(batch.rows or 0 for batch in batches)
        before = count_swept(self.aurora, self.mapping, self.run)
        return Sweep(self.bucket, key, rows, len(batches), before, sum(rejected.values()))

    @property
    def _swept(self) -> list[Mapping]:
        """The targets that are swept: not those that another one is about to replace, whatever they refuse."""
        replaced = {target.rebuilds for target in self.mapping.targets}
        return [target for target in self.mapping.targets if target.table not in replaced]

    def _count_rejected(self, totals: Totals) -> dict[str, int]:
        """Return how many items each swept target rejected, by table, of those that rejected any."""
        if totals.targets is None:
            return {self.mapping.table: totals.rejected} if totals.rejected else {}
        counts = {target.table: int(totals.targets[target.table]["rejected"]) for target in self._swept}
        return {table: rejected for table, rejected in counts.items() if rejected}

    def _find_left_out(self, rejected: dict[str, int]) -> LeftOut:
        """Return the refused items of the run."""
        if not rejected:
            return LeftOut(self.mapping)
        filled = {fill.target for fill in read_fills(self.aurora, self.mapping) if fill.run is None}
        for target in self._swept:
            if target.table in rejected and (target.rebuilds or target.table in filled):
                raise SweepRefusedError(
                    f"Of run {self.run} {rejected[target.table]} items were rejected by {target.table}, which is filled"
                    " by this run: without them it would be taken for complete."
                )
        return LeftOutReader(self.mapping, self.aurora, self.store, self.bucket, self.run).read(rejected)

    def _write_batches(self, left_out: LeftOut) -> Iterator[Batch]:
        numbers = count(1)
        for target in self._swept:
            tombstones = self._tombstones(target, left_out)
            for first in tombstones:
                some = chain([first], islice(tombstones, MAX_BATCH_ITEMS - 1))
                yield self._write_batch(next(numbers), target, some)

    def _write_batch(self, number: int, target: Mapping, tombstones: Iterable[Row]) -> Batch:
        key = keys.sweep_batch(self.mapping.name, self.run, number)
        rows, label = 0, row_label(target) if self.mapping.routes else b""
        with aborting(self.store.upload(self.bucket, key)) as csv:
            for tombstone in tombstones:
                csv.write(label + encode_row(tombstone))
                rows += 1
            etag = csv.complete()
        item = BatchObject(self.bucket, key, etag, csv.size)
        shares = {target.table: Share(rows)} if self.mapping.routes else {}
        return Batch(self.mapping.name, "sweep", self.run, rows, (item,), digest=self.mapping.digest, targets=shares)

    def _tombstones(self, target: Mapping, left_out: LeftOut) -> Iterator[Row]:
        """Yield a tombstone for each row that exists and is older than the snapshot, in the order of the keys.

        Rows of items that were refused are passed over: the snapshot has them.
        """
        version = snapshot_version(self.export_second)
        positions = [target.columns.index(column) for column in target.key_columns]
        for found in self.aurora.stream(sql.select_older_keys(target), (version,)):
            texts = [_text(text) for text in found]
            if left_out.has(target, texts):
                continue
            fields: list[Field] = [None] * len(target.columns)
            for position, text in zip(positions, texts, strict=True):
                fields[position] = text
            yield Row(deleted=True, version=version, fields=tuple(fields))


def _text(value: Any) -> str:
    """Return a key's field; the server gives some of them as bytes."""
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)
