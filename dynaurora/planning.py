"""Planning a backfill: an export's data files, grouped into batches of bounded size.

The plan is one JSON array in S3, an object for each batch, which the Distributed Map reads:

    {"number": 1, "items": 18000, "files": [{"key": "…", "items": 9000, "md5": "…"}, …]}

Files are never split, and taken in the order of the manifest: planning again gives the same batches.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from dynaurora import keys
from dynaurora.errors import InvalidExportError
from dynaurora.exports import DataFile, read_data_files, read_summary

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dynaurora.objects import ObjectStore

MAX_BATCH_ITEMS = 50_000
"""Of one batch. A file with more is a batch of its own."""
MAX_BATCH_FILES = 100
"""Keeps a plan's entry, and with it a state's input, to a few KiB of the 256 that Step Functions allows."""


@dataclass(frozen=True, slots=True)
class PlannedBatch:
    """One batch of a plan: one convert and one import."""

    number: int
    items: int
    files: tuple[DataFile, ...]

    @classmethod
    def from_dict(cls, document: Any) -> PlannedBatch:
        """Return the batch that an entry of a plan describes. Raises InvalidExportError."""
        try:
            files = tuple(
                DataFile(str(file["key"]), int(file["items"]), str(file["md5"])) for file in document["files"]
            )
            return cls(int(document["number"]), int(document["items"]), files)
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidExportError(f"An entry of the plan lacks a field, or has a wrong one: {error}.") from error


@dataclass(frozen=True, slots=True)
class Plan:
    """What a plan comes to; the batches themselves are in its object."""

    bucket: str
    key: str
    export_arn: str
    export_second: int
    items: int
    billed_bytes: int
    files: int
    files_empty: int
    batches: int


def plan_backfill(store: ObjectStore, bucket: str, run: str, summary_key: str, table_arn: str) -> Plan:
    """Write the plan of a run and return what it comes to.

    Raises InvalidExportError where the export is of another table, or its manifests contradict each other.
    """
    summary = read_summary(store, bucket, summary_key)
    if summary.table_arn != table_arn:
        raise InvalidExportError(f"The export {summary.export_arn} is of {summary.table_arn}, and not of {table_arn}.")
    files = list(read_data_files(store, summary))
    items = sum(file.items for file in files)
    if items != summary.items:
        raise InvalidExportError(f"The export's files have {items} items, and its summary says {summary.items}.")
    batches = list(group_files(file for file in files if file.items))
    key = keys.plan(run)
    store.write(bucket, key, json.dumps([asdict(batch) for batch in batches], separators=(",", ":")).encode())
    return Plan(
        bucket=bucket,
        key=key,
        export_arn=summary.export_arn,
        export_second=summary.export_second,
        items=items,
        billed_bytes=summary.billed_bytes,
        files=len(files),
        files_empty=sum(not file.items for file in files),
        batches=len(batches),
    )


def group_files(files: Iterable[DataFile]) -> Iterator[PlannedBatch]:
    """Yield the files in batches of at most MAX_BATCH_ITEMS items and MAX_BATCH_FILES files, numbered from 1."""
    number, items, group = 1, 0, list[DataFile]()
    for file in files:
        if group and (items + file.items > MAX_BATCH_ITEMS or len(group) == MAX_BATCH_FILES):
            yield PlannedBatch(number, items, tuple(group))
            number, items, group = number + 1, 0, []
        group.append(file)
        items += file.items
    if group:
        yield PlannedBatch(number, items, tuple(group))
