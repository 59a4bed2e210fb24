"""Planning a backfill: an export's data files, grouped into batches of bounded size.

The plan is one JSON array in S3, an object for each batch, which the Distributed Map reads:

    {"number": 1, "items": 18000, "files": [{"key": "…", "items": 9000, "md5": "…"}, …]}

Files are never split, and taken in the order of the manifest. Batches have about so many items that as many as may be
worked on at a time have all of a small table, and a larger one in whole rounds. A run is planned once: what the plan
comes to is written beside it when it is whole, and whoever plans that run again is given it, or makes batches of the
same size.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from dynaurora import keys
from dynaurora.dynamodb.versions import SNAPSHOT_MARGIN_SECONDS
from dynaurora.errors import InvalidExportError, NotReadyError
from dynaurora.exports.manifests import DataFile, read_data_files, read_summary
from dynaurora.exports.plan import MAX_BATCH_ITEMS, Plan, PlannedBatch, read_plan, share_items

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dynaurora.aws.objects import ObjectStore
    from dynaurora.exports.manifests import ExportSummary

MAX_BATCH_BYTES = 512 * 1024 * 1024
"""Of one batch's items, by their average size: so much is converted and loaded well within the functions' time."""
MAX_BATCH_FILES = 64
"""Keeps a plan's entry, and with it a state's input, to a few KiB of the 256 that Step Functions allows; with the
longest keys that S3 takes, to 192."""

MAX_AHEAD_SECONDS: Final = 60
"""That an export's time may be ahead of this clock: clocks differ."""


@dataclass(frozen=True, slots=True)
class StreamTimes:
    """Since when the table's changes have been on their way, in seconds of Unix time; None where nobody said."""

    enabled_at: float | None = None
    """When the stream was switched on."""
    mapping_changed_at: float | None = None
    """When the event source mapping was last changed, enabled or disabled."""
    has_margin: bool = False
    """Whether the export was made when the stream had been on for long enough."""


@dataclass(frozen=True, slots=True)
class ExportToPlan:
    """The export to plan, and what it must fit."""

    bucket: str
    summary_key: str
    table_arn: str
    """The table that is replicated."""
    stream: StreamTimes = StreamTimes()
    compares: bool = False
    """Whether its items are only compared with their rows."""
    sweeps: bool = False
    """Whether rows that it does not have are deleted in the end."""
    keeps_expired: bool = False
    """Whether the rows of expired items are kept, whose deletes an incremental export has like others."""
    at_once: int = 1
    """How many of its batches may be worked on at the same time."""


def plan_backfill(store: ObjectStore, bucket: str, mapping: str, run: str, export: ExportToPlan) -> Plan:
    """Write the plan of a run to the landing bucket and return what it comes to.

    Raises InvalidExportError where the export is of another table, or its manifests contradict each other, or an
    incremental one cannot do what is asked for, and NotReadyError where it is older than the stream.
    """
    warnings = list[str]()
    summary = read_summary(store, export.bucket, export.summary_key, warnings.append, takes_incremental=True)
    if summary.table_arn != export.table_arn:
        problem = f"The export {summary.export_arn} is of {summary.table_arn}, and not of {export.table_arn}."
        raise InvalidExportError(
            f"{problem} One of a table that was copied to this one is taken with --source-table-arn."
        )
    if summary.is_incremental:
        check_incremental(summary, export)
    warnings += check_times(summary, export.stream)
    files = list(read_data_files(store, summary, warnings.append))
    items = sum(file.items for file in files)
    if items != summary.items:
        raise InvalidExportError(f"The export's files have {items} items, and its summary says {summary.items}.")
    if len({file.key for file in files}) < len(files):
        raise InvalidExportError(f"{summary.files_key} lists a data file twice.")
    max_items, earlier = bound_items(items, summary.billed_bytes), read_plan(store, bucket, mapping, run)
    batch_items = earlier.batch_items if earlier else share_items(items, max_items, export.at_once)
    groups = group_files((file for file in files if file.items), max_items, batch_items)
    batches = [replace(one, compares=export.compares, incremental=summary.is_incremental) for one in groups]
    key = keys.plan(mapping, run)
    store.write(bucket, key, json.dumps([batch.as_dict() for batch in batches], separators=(",", ":")).encode())
    plan = Plan(
        bucket=bucket,
        key=key,
        export_arn=summary.export_arn,
        export_second=summary.export_second,
        export_bucket=summary.bucket,
        items=items,
        billed_bytes=summary.billed_bytes,
        files=len(files),
        files_empty=sum(not file.items for file in files),
        batches=len(batches),
        warnings=warnings,
        window_from=summary.window_from,
        batch_items=batch_items,
    )
    store.write(bucket, keys.planned(mapping, run), json.dumps(asdict(plan)).encode())
    return plan


def check_incremental(summary: ExportSummary, export: ExportToPlan) -> None:
    """Raise InvalidExportError where changes of a window are not what is asked for."""
    problem = (
        f"The export {summary.export_arn} is incremental: it has what was changed in its window, and nothing else."
    )
    if export.sweeps:
        raise InvalidExportError(f"{problem} A sweep would take all other rows for deleted.")
    if export.compares:
        raise InvalidExportError(f"{problem} A verification would take all other rows for extra.")
    if export.keeps_expired:
        raise InvalidExportError(
            f"{problem} This stack keeps the rows of expired items (TtlDeletes=ignore), and it has their deletes too."
        )


def check_times(summary: ExportSummary, stream: StreamTimes) -> Iterator[str]:
    """Yield what is doubtful about an export's time.

    Raises NotReadyError where changes are certainly missing, InvalidExportError where it is yet to come.
    """
    exported, started = summary.export_second, summary.started_second
    if exported > time.time() + MAX_AHEAD_SECONDS:
        raise InvalidExportError(
            f"The export {summary.export_arn} is of {show(exported)}, which is yet to come: no change before then would"
            " be newer than its rows."
        )
    if started is not None and exported > started + MAX_AHEAD_SECONDS:
        raise InvalidExportError(
            f"The export {summary.export_arn} is of {show(exported)}, and was started at {show(started)}, before that:"
            " its rows would beat changes that it cannot have."
        )
    if summary.is_incremental:  # what its window does not reach, other windows do, or the stream
        return
    if stream.enabled_at is not None and exported < int(stream.enabled_at):
        raise NotReadyError(
            f"The export {summary.export_arn} is of {show(exported)}, before the table's stream was switched on at"
            f" {show(stream.enabled_at)}: changes made in between are in neither. Export again."
        )
    if stream.has_margin:
        return
    if stream.enabled_at is not None and exported < stream.enabled_at + SNAPSHOT_MARGIN_SECONDS:
        yield (
            f"The export is of {show(exported)}, and the stream was switched on at {show(stream.enabled_at)}: an item"
            " that was changed within the minute before that may be missing."
        )
    if stream.mapping_changed_at is not None and exported < stream.mapping_changed_at:
        yield (
            f"The export is of {show(exported)}, and the event source mapping was changed at"
            f" {show(stream.mapping_changed_at)}: if it had been disabled for more than a day, changes are missing."
        )


def show(second: float) -> str:
    """Return a time as messages write it."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def bound_items(items: int, billed_bytes: int) -> int:
    """Return how many items a batch may have: fewer than MAX_BATCH_ITEMS where they are large on average."""
    if not items or not billed_bytes:
        return MAX_BATCH_ITEMS
    return max(1, min(MAX_BATCH_ITEMS, MAX_BATCH_BYTES * items // billed_bytes))


def group_files(
    files: Iterable[DataFile], max_items: int = MAX_BATCH_ITEMS, batch_items: int | None = None
) -> Iterator[PlannedBatch]:
    """Yield the files in batches of at most `max_items` items and MAX_BATCH_FILES files, numbered from 1.

    Each has about `batch_items`, where that is told: what one has more or less, for files are whole, the next ones have
    less or more, so that no small one is left in the end. Where that is half a batch, nothing is made up for.
    """
    wanted = batch_items or max_items
    number, items, total, due, group = 1, 0, 0, wanted, list[DataFile]()
    for file in files:
        is_full = items + file.items > max_items or total + file.items // 2 > due or len(group) == MAX_BATCH_FILES
        if group and is_full:
            yield PlannedBatch(number, items, tuple(group))
            number, items, group = number + 1, 0, []
            due = (due if abs(due - total) <= wanted // 2 else total) + wanted
        group.append(file)
        items += file.items
        total += file.items
    if group:
        yield PlannedBatch(number, items, tuple(group))
