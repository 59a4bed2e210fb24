"""Left out: the refused items of a run by their keys, so that a sweep does not take their rows for deleted.

    batches/run=<m>-<run>/batch-000001.refused.json   the items of a batch that the mapping refuses, by convert_export
    batches/mapping=<m>/refused-<id>.json             the rows of it that Aurora refuses, by import_batch

    {"Target": "WebAnalytics", "Keys": {"page_id": {"S": "/a"}, "activity_dt": {"S": "2026-11-23 08:15:00"}}}

What the mapping refuses has its "Reason" too, as it is counted: the report takes examples of it. Both stay as they are,
whatever becomes of the failures: one that is settled, parked or discarded before the sweep is left out all the same.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from dynaurora import keys
from dynaurora.aurora.comparing import as_parameter
from dynaurora.aws.objects import read_or_none
from dynaurora.errors import SweepRefusedError
from dynaurora.exports.reconcile_run import list_rejecting
from dynaurora.failures.failed_records import read_line
from dynaurora.failures.refused_rows import decode_refused_row
from dynaurora.failures.superseded import map_key
from dynaurora.mappings.row_mapper import RowMapper

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dynaurora.aurora.connection import Aurora
    from dynaurora.aws.objects import ObjectStore
    from dynaurora.mappings.columns import Field
    from dynaurora.mappings.mapping import Mapping

MOST_LEFT_OUT: Final = 100_000
"""Refused items of a run that a sweep leaves out by name: their digests are held in memory, some 10 MB."""


@dataclass
class LeftOut:
    """The keys of refused items, for each target by its table; they are the same where the server has them as equal."""

    mapping: Mapping
    counts: Counter[str] = field(default_factory=Counter)
    """Refused items by target, those too that no row can have the key of."""
    _digests: dict[str, set[bytes]] = field(default_factory=dict)

    def has(self, target: Mapping, fields: Sequence[Field]) -> bool:
        """Tell whether a row's item was refused; `fields` are its key's, as a batch would have them."""
        return digest_fields(target, fields) in self._digests.get(target.table, ())

    def add(self, target: Mapping, fields: Sequence[Field] | None) -> None:
        """Take the key of a refused item; None where no row can have it."""
        self.counts[target.table] += 1
        if fields is not None:
            self._digests.setdefault(target.table, set()).add(digest_fields(target, fields))


def digest_fields(target: Mapping, fields: Sequence[Field]) -> bytes:
    """Return what tells a key from others of its table: by value, since a server writes numbers in its own way."""
    values = list[str]()
    for column, text in zip(target.key_columns, fields, strict=True):
        value = as_parameter(column.type, text)
        if isinstance(value, Decimal):
            value = value.normalize()
        if column.type.kind == "CHAR":
            value = str(value).rstrip(" ")  # which the server takes off
        values.append(repr(value))
    return hashlib.blake2b("\0".join(values).encode("utf-8", "surrogatepass"), digest_size=16).digest()


@dataclass(frozen=True)
class LeftOutReader:
    """Reads what was refused of one run."""

    mapping: Mapping
    aurora: Aurora
    store: ObjectStore
    bucket: str
    run: str

    def read(self, rejected: dict[str, int]) -> LeftOut:
        """Return the refused items of a run, of which targets have rejected so many, by table.

        Raises SweepRefusedError where they are too many, or fewer are found: each has to be known by its key.
        """
        if sum(rejected.values()) > MOST_LEFT_OUT:
            raise SweepRefusedError(
                f"Of run {self.run} {sum(rejected.values()):,} items were rejected, and a sweep leaves out"
                f" {MOST_LEFT_OUT:,} by name at most: the rows of the others could be taken for deleted."
            )
        left_out = LeftOut(self.mapping)
        self._read_refused_items(left_out)
        self._read_refused_rows(left_out)
        for table, count in rejected.items():
            if left_out.counts[table] < count:
                raise SweepRefusedError(
                    f"Of run {self.run} {count} items were rejected by {table}, and only {left_out.counts[table]} of"
                    " them are known by their keys: the rows of the others could be taken for deleted."
                )
        return left_out

    def _read_refused_items(self, left_out: LeftOut) -> None:
        """Take what the mapping refused."""
        mappers = {target.table: RowMapper(target) for target in self.mapping.targets}
        for listed in self.store.list(self.bucket, keys.backfill_batches_prefix(self.mapping.name, self.run)):
            if not listed.key.endswith(keys.REFUSED_ENDING):
                continue
            with self.store.open(self.bucket, listed.key) as lines:
                for line in lines:
                    refused: dict[str, Any] = json.loads(line)
                    if mapper := mappers.get(refused["Target"]):
                        left_out.add(mapper.mapping, map_key(mapper, refused["Keys"]))

    def _read_refused_rows(self, left_out: LeftOut) -> None:
        """Take what Aurora refused of the batches that the ledger has of the run."""
        for ledger_id in list_rejecting(self.aurora, self.mapping, self.run):
            body = read_or_none(self.store, self.bucket, keys.refused_rows_copy(self.mapping.name, ledger_id))
            for line in (body or b"").splitlines():
                row = decode_refused_row(read_line(line).data)
                if row and (target := self.mapping.find_target(row.target)):
                    left_out.add(target, [row.keys[name] for name in target.key_attributes])
