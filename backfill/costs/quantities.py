"""What changes, a backfill and verifications use: quantities of what is billed, of measured figures and assumptions.

Prices of them are those of `dynaurora.runs.costs`, measured figures those of `backfill.costs.figures`, and what a
deployment uses at rest is in `infra.monthly_costs`. Everything else is a parameter here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil
from typing import Final

from backfill.costs.figures import Figures, read_figures
from dynaurora.dynamodb.packs import BILLED_BYTES, HEADER_BYTES, fill_packs
from dynaurora.failures.list_failures import MOST_LOOKED_AT, SETTLED
from dynaurora.mappings.readers import TOLD_SECONDS
from dynaurora.runs.costs import (
    JUDGED_SECONDS,
    JUDGING_MEMORY_MB,
    READS_OF_A_BATCH,
    TRANSITIONS_OF_A_BATCH,
    TRANSITIONS_OF_A_RUN,
    TRANSITIONS_OF_AN_IMPORT,
    WRITES_OF_A_BATCH,
    estimate_batches,
)
from dynaurora.settings import SECRET_SECONDS
from infra.monthly_costs import (
    CALL_SECONDS,
    HOURS_OF_A_MONTH,
    LOG_BYTES,
    METRICS_OF_A_TABLE,
    METRICS_OF_ALL_TABLES,
    TRACED_SHARE,
    count_replication,
)

MILLION: Final = 1_000_000
MEASURED_BYTES: Final = 386
"""Of an item that the figures were measured of, as DynamoDB counts it ("DynamoDB item sizes and formats")."""
HOURS_OF_A_WEEK: Final = 24 * 7
FIREHOSE_GB: Final = 1024**3
AURORA_WRITE: Final = 4096
"""Bytes of log that Aurora counts as one write (Amazon Aurora FAQs, "How are I/Os calculated?")."""
FULL_PROCESSOR_MB: Final = 1769
"""Memory at which a function has one processor (AWS Lambda Developer Guide, "Configure Lambda function memory")."""
CHANGES_OF_A_SHARD: Final = 1000
"""Writes per second that one partition of a table takes, of up to 1 KB (DynamoDB Developer Guide, partition limits)."""
POLL_SECONDS: Final = 0.25
"""From one reading of a shard to the next (AWS Lambda Developer Guide, "Using AWS Lambda with Amazon DynamoDB")."""
WRITES_OF_A_STREAMED_BATCH: Final = 3
"""Firehose's object, the manifest that Aurora loads it by, and the mark that it is imported."""
CHANGES_OF_A_MONTH: Final = MILLION
"""Of a busy table: 23 a minute, all the time, so that it has a batch each minute."""
STEPS_OF_JUDGING: Final = 4
"""Of a verification: collecting, judging, recording and closing; a large table takes some more."""


@dataclass(frozen=True)
class Assumptions:
    """What was not measured, and the stack's settings, at their defaults."""

    buffer_seconds: float = 60
    buffer_bytes: float = 16 * 2**20
    transform_seconds: float = 5
    transform_bytes: float = 2**20
    forward_records: float = 500
    forward_seconds: float = 5
    """For which changes are collected in the stream, where they are collected at all."""
    forward_memory_mb: int = 256
    transform_memory_mb: int = 1024
    convert_memory_mb: int = FULL_PROCESSOR_MB
    import_memory_mb: int = 256
    looks_of_an_hour: float = 1
    """For failures, and for batches that no import was started for: `ReprocessSchedule`."""
    call_seconds: float = CALL_SECONDS
    """Of a call of an AWS service by a function."""
    import_calls: int = 9
    """Calls of an import besides loading and merging: the secret, the connection, and those of S3."""
    log_bytes: float = LOG_BYTES
    """That an invocation logs which was not measured, its report and metrics included."""
    traced_share: float = TRACED_SHARE
    """Of invocations for a run: X-Ray takes the first of each second, and fewer of the others."""
    traced_stream_share: float = 0.0
    """The same of the stream's: `StreamTracing`. Where that is active, 1 for a slow table."""
    table_item_bytes: float = MEASURED_BYTES
    """Of an item, as DynamoDB counts it and bills its export: in an export's JSON it has more."""
    page_reads_of_a_row: float = 0.0
    """Pages that Aurora has to read for a row: 0 where the table's keys are in its memory, 1 where none is."""
    figures: Figures = field(default_factory=read_figures)

    @property
    def forwarded_seconds(self) -> float:
        """For how long changes are collected for a call of forward_changes: between two polls at least."""
        return max(POLL_SECONDS, self.forward_seconds if self.buffer_seconds else min(1, self.forward_seconds))

    @property
    def transformed_seconds(self) -> float:
        """For how long changes are collected for a call of the transformation: those forwarded together stay so."""
        return max(self.transform_seconds, self.forwarded_seconds)

    @property
    def collected_seconds(self) -> float:
        """The same for a batch: rows of one answer of the transformation stay together, without a buffer, too."""
        return max(self.buffer_seconds, self.transformed_seconds)


def cost_changes(rate: float, assumed: Assumptions) -> dict[str, float]:
    """Return the quantities of what a million changes use, at so many changes per second."""
    figures = assumed.figures
    shards = ceil(rate / CHANGES_OF_A_SHARD)
    forwards = MILLION / max(1, min(assumed.forward_records, rate / shards * assumed.forwarded_seconds))
    in_transform = min(assumed.transform_bytes / figures.change_bytes, rate * assumed.transformed_seconds)
    transforms = MILLION / max(1, in_transform)
    batches = MILLION / max(1, min(assumed.buffer_bytes / figures.row_bytes, rate * assumed.collected_seconds))
    invocations = forwards + transforms + batches
    looked_at = count_looks(batches / MILLION * rate * 3600, assumed)
    forward_seconds = forwards * assumed.call_seconds + cpu(figures.forward_cpu_us, assumed.forward_memory_mb)
    transform_seconds = cpu(figures.transform_cpu_us, assumed.transform_memory_mb)
    import_seconds = batches * assumed.import_calls * assumed.call_seconds
    import_seconds += MILLION / figures.import_existing_rows_per_second
    seconds = MILLION / rate
    importers = max(1.0, import_seconds / seconds)
    logged = forwards * figures.forward_log_bytes + transforms * figures.transform_log_bytes
    return {
        "Firehose": forwards * count_billed(MILLION / forwards, figures.change_bytes) / FIREHOSE_GB,
        "Lambda compute": gigabytes(assumed.forward_memory_mb) * forward_seconds
        + gigabytes(assumed.transform_memory_mb) * transform_seconds
        + gigabytes(assumed.import_memory_mb) * import_seconds,
        "Lambda requests": invocations,
        "Step Functions": batches * TRANSITIONS_OF_AN_IMPORT,
        "S3 writes": batches * WRITES_OF_A_STREAMED_BATCH + shards * seconds / TOLD_SECONDS,
        "S3 reads": batches * (READS_OF_A_BATCH + looked_at),
        "EventBridge": batches,
        "Secrets Manager": min(batches, importers * seconds / SECRET_SECONDS),
        "Aurora I/O": MILLION * (figures.redo_bytes_existing / AURORA_WRITE + assumed.page_reads_of_a_row),
        "CloudWatch Logs": (logged + batches * figures.import_log_bytes) / 1e9,
        "X-Ray": invocations * assumed.traced_stream_share,
    }


def count_billed(changes: float, change_bytes: float) -> float:
    """Return the bytes that Firehose bills for changes that are forwarded together: of each pack, rounded up."""
    whole = max(1, round(changes))
    sizes = (HEADER_BYTES + count * (change_bytes + 1) for count in fill_packs([ceil(change_bytes)] * whole))
    return changes / whole * sum(ceil(size / BILLED_BYTES) * BILLED_BYTES for size in sizes)


def count_looks(batches_of_an_hour: float, assumed: Assumptions) -> float:
    """Return how often the tags of a streamed batch are read by looks for unstarted ones.

    By each look from when it is overdue until one notes that all of its time are imported, and that some time later.
    """
    hours = SETTLED.total_seconds() / 3600
    return min(1 + assumed.looks_of_an_hour * hours, assumed.looks_of_an_hour * MOST_LOOKED_AT / batches_of_an_hour)


def cost_tables(count: int, *, busy: bool, assumed: Assumptions) -> dict[str, float]:
    """Return the quantities of what so many tables use in a month, at rest or changed all the time; no platform's."""
    used = count_replication()
    if busy:
        for what, quantity in cost_changes(CHANGES_OF_A_MONTH / HOURS_OF_A_MONTH / 3600, assumed).items():
            used[what] = used.get(what, 0) + quantity * CHANGES_OF_A_MONTH / MILLION
        used["CloudWatch metrics"] = len(METRICS_OF_A_TABLE)
    of_all = {"CloudWatch metrics": len(METRICS_OF_ALL_TABLES)} if busy else {}
    return {what: quantity * count + of_all.get(what, 0) for what, quantity in used.items()}


def count_batches(count: int, assumed: Assumptions) -> float:
    """Return how many streamed batches so many busy tables make in a month."""
    rate = CHANGES_OF_A_MONTH / HOURS_OF_A_MONTH / 3600
    return count * cost_changes(rate, assumed)["EventBridge"] * CHANGES_OF_A_MONTH / MILLION


def cost_backfill(items: float, assumed: Assumptions) -> dict[str, float]:
    """Return the quantities of what a million items use, in a backfill of so many."""
    figures = assumed.figures
    batches = estimate_batches(items)
    shared = MILLION / items
    convert_seconds = cpu(figures.convert_cpu_us, assumed.convert_memory_mb) / MILLION * items
    convert_seconds += batches * 6 * assumed.call_seconds
    import_seconds = items / figures.import_new_rows_per_second + batches * assumed.import_calls * assumed.call_seconds
    invocations = 2 * batches + TRANSITIONS_OF_A_RUN
    quantities = {
        "DynamoDB export": items * assumed.table_item_bytes / 1e9,
        "Lambda compute": gigabytes(assumed.convert_memory_mb) * convert_seconds
        + gigabytes(assumed.import_memory_mb) * import_seconds,
        "Lambda requests": invocations,
        "Step Functions": batches * TRANSITIONS_OF_A_BATCH + TRANSITIONS_OF_A_RUN,
        "S3 writes": batches * (WRITES_OF_A_BATCH + 1),
        "S3 reads": batches * (READS_OF_A_BATCH + 1),
        "Secrets Manager": batches,
        "Aurora I/O": items * (figures.redo_bytes_new / AURORA_WRITE + assumed.page_reads_of_a_row),
        "CloudWatch Logs": invocations * assumed.log_bytes / 1e9,
        "X-Ray": invocations * assumed.traced_share,
    }
    return {what: quantity * shared for what, quantity in quantities.items()}


def cost_verifications(items: float, assumed: Assumptions) -> dict[str, float]:
    """Return the quantities of what verifying a table of so many items each week uses in a month.

    What comparing reads and stages in Aurora is left out, as its capacity is: nothing is written to the replica.
    """
    used = {what: each * items / MILLION for what, each in cost_backfill(items, assumed).items()}
    del used["Aurora I/O"]
    used["Lambda compute"] += gigabytes(JUDGING_MEMORY_MB) * JUDGED_SECONDS
    used["Lambda requests"] += 2 * STEPS_OF_JUDGING
    used["Step Functions"] += 2 * STEPS_OF_JUDGING
    used["Scheduler"] = 1
    return {what: quantity * HOURS_OF_A_MONTH / HOURS_OF_A_WEEK for what, quantity in used.items()}


def cpu(microseconds: float, memory_mb: int) -> float:
    """Return how many seconds a function of that memory takes for a million times so much CPU time."""
    return microseconds / min(1.0, memory_mb / FULL_PROCESSOR_MB)


def gigabytes(memory_mb: int) -> float:
    """Return memory as Lambda bills it."""
    return memory_mb / 1024
