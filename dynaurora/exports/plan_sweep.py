"""Sweeping: deletes that no stream carried, found by what a full export does not have.

A row that is still below the snapshot's version after everything of the snapshot was imported has no item in it: it
was deleted while nothing read the stream. Such rows become batches of tombstones at the snapshot's version, and go
through the same door as everything else, so a change that arrives meanwhile still wins.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import chain, count, islice
from typing import TYPE_CHECKING, Any

from dynaurora import keys
from dynaurora.aurora import sql
from dynaurora.aws.objects import aborting
from dynaurora.batches.batch import Batch, BatchObject, Share
from dynaurora.dynamodb.versions import snapshot_version
from dynaurora.errors import SweepRefusedError
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

        Raises SweepRefusedError where items of the export are not in the replica: they would be taken for deleted.
        """
        rejected = self._count_rejected(totals)
        if rejected or totals.batches_failed:
            raise SweepRefusedError(
                f"Of run {self.run} {rejected} items were rejected and {totals.batches_failed} batches failed:"
                " their rows could be taken for deleted."
            )
        batches = list(self._write_batches())
        key = keys.sweep_plan(self.mapping.name, self.run)
        self.store.write(self.bucket, key, json.dumps([batch.as_dict() for batch in batches]).encode())
        rows = sum(batch.rows or 0 for batch in batches)
        return Sweep(self.bucket, key, rows, len(batches), count_swept(self.aurora, self.mapping, self.run))

    @property
    def _swept(self) -> list[Mapping]:
        """The targets that are swept: not those that another one is about to replace, whatever they refuse."""
        replaced = {target.rebuilds for target in self.mapping.targets}
        return [target for target in self.mapping.targets if target.table not in replaced]

    def _count_rejected(self, totals: Totals) -> int:
        if totals.targets is None:
            return totals.rejected
        return sum(totals.targets[target.table]["rejected"] for target in self._swept)

    def _write_batches(self) -> Iterator[Batch]:
        numbers = count(1)
        for target in self._swept:
            tombstones = self._tombstones(target)
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

    def _tombstones(self, target: Mapping) -> Iterator[Row]:
        """Yield a tombstone for each row that exists and is older than the snapshot, in the order of the keys."""
        version = snapshot_version(self.export_second)
        positions = [target.columns.index(column) for column in target.key_columns]
        for found in self.aurora.stream(sql.select_older_keys(target), (version,)):
            fields: list[Field] = [None] * len(target.columns)
            for position, text in zip(positions, found, strict=True):
                fields[position] = _text(text)
            yield Row(deleted=True, version=version, fields=tuple(fields))


def _text(value: Any) -> str:
    """Return a key's field; the server gives some of them as bytes."""
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)
