"""What a run costs, roughly: its own quantities at the list prices of us-east-1; and the prices of all else.

Prices are in US dollars, of the first tier, without free tiers (aws.amazon.com/dynamodb/pricing/on-demand,
/lambda/pricing, /step-functions/pricing, /s3/pricing, /firehose/pricing, /eventbridge/pricing,
/secrets-manager/pricing, /rds/aurora/pricing, /cloudwatch/pricing, /xray/pricing, /kms/pricing and
/privatelink/pricing, as of November 2025). What Aurora does for the imports is not in a run's cost: it is billed by
capacity, not by run.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import ceil
from typing import TYPE_CHECKING, Any, Final

from dynaurora.exports.plan import MAX_BATCH_ITEMS, share_items

if TYPE_CHECKING:
    from dynaurora.exports.plan import Plan

PRICES: Final = {
    "DynamoDB export": (0.10, "GB"),
    "Lambda compute": (0.0000133334, "GB-second"),
    "Lambda requests": (0.20 / 1e6, "request"),
    "Step Functions": (0.025 / 1e3, "state transition"),
    "S3 writes": (0.005 / 1e3, "request"),
    "S3 reads": (0.0004 / 1e3, "request"),
    "Firehose": (0.029, "GB"),
    "EventBridge": (1.00 / 1e6, "event"),
    "Secrets Manager": (0.05 / 1e4, "call"),
    "Aurora I/O": (0.20 / 1e6, "I/O request"),
    "CloudWatch Logs": (0.50, "GB"),
    "X-Ray": (5.00 / 1e6, "trace"),
    "KMS": (0.03 / 1e4, "request"),
    "Scheduler": (1.00 / 1e6, "invocation"),
    "CloudWatch alarms": (0.10, "metric of an alarm, a month"),
    "CloudWatch metrics": (0.30, "metric, a month"),
    "CloudWatch dashboards": (3.00, "dashboard, a month"),
    "KMS keys": (1.00, "key, a month"),
    "Secrets": (0.40, "secret, a month"),
    "Interface endpoints": (7.30, "endpoint in a zone, a month"),
}
"""US dollars for one unit; Lambda's are those of arm64, and a month has 730 hours. The model in
backfill/costs uses all of them, the plan of a deployment what is there at rest, and an estimate of a run what is the
run's own."""

BATCHES_AT_ONCE: Final = 2
"""Of a run that is not started with another number: `BackfillConcurrency`."""
TRANSITIONS_OF_AN_IMPORT: Final = 2
"""Of a streamed batch that goes well: start and task."""
TRANSITIONS_OF_A_BATCH: Final = 3 + 5
"""Of a batch of an export: start, task and end in the map; then its import: start, choice, two tasks and end."""
TRANSITIONS_OF_A_RUN: Final = 30
"""The states of a run without its batches, and some rounds of waiting."""
WRITES_OF_A_BATCH: Final = 6
"""CSV, descriptor, refused records, manifest, tag, and the map's result."""
READS_OF_A_BATCH: Final = 6
"""Descriptor and objects checked before conversion, import and tagging, and Aurora's own of manifest and CSV."""
COMPARED_SECONDS: Final = 1e-4
"""Of a function, for an item that is converted and compared: some ten thousand a second."""
COMPARING_MEMORY_MB: Final = 2048
"""Of the function that converts."""
JUDGING_MEMORY_MB: Final = 1024
"""Of the one that judges, and the one that it asks for rows, which it waits for."""
JUDGED_SECONDS: Final = 240.0
"""For which suspects of a scheduled verification are looked at again: until changes have settled, and a little more."""


@dataclass(frozen=True)
class CostLine:
    """One part of a run's cost."""

    what: str
    quantity: float
    unit: str
    usd: float


@dataclass(frozen=True)
class Usage:
    """What a run used, besides what its plan says."""

    exported_bytes: int
    """0 where the export was there already, given or made by an earlier execution of the run."""
    batches: int
    """Batches that were imported, those of the sweep included."""
    retries: int
    importing_seconds: float
    """From the first batch to the last."""
    concurrency: int
    convert_memory_mb: int
    import_memory_mb: int
    judging_seconds: float = 0.0
    """That what comparing found was judged for, waiting included."""


def estimate_cost(plan: Plan | None, usage: Usage) -> dict[str, Any]:
    """Return `{"total_usd": …, "lines": [{"what", "quantity", "unit", "usd"}, …]}`.

    Lambda's part is an upper bound: each of the map's places is taken to convert or import, at the larger memory of the
    two, from the first batch to the last; and to judge, each of two functions works all the time.
    """
    memory_gb = max(usage.convert_memory_mb, usage.import_memory_mb) / 1024
    files = plan.files if plan else 0
    quantities = {
        "DynamoDB export": usage.exported_bytes / 1e9,
        "Lambda compute": usage.importing_seconds * usage.concurrency * memory_gb
        + usage.judging_seconds * JUDGING_MEMORY_MB / 1024,
        "Lambda requests": 2 * usage.batches + usage.retries + TRANSITIONS_OF_A_RUN,
        "Step Functions": TRANSITIONS_OF_A_BATCH * usage.batches + usage.retries + TRANSITIONS_OF_A_RUN,
        "S3 writes": WRITES_OF_A_BATCH * usage.batches + files,
        "S3 reads": READS_OF_A_BATCH * usage.batches + files,
    }
    lines = price(quantities)
    return {"total_usd": round(sum(line.usd for line in lines), 6), "lines": [asdict(line) for line in lines]}


def estimate_verification(items: int, size_bytes: int, judged_seconds: float = 0.0) -> float:
    """Return what verifying a table of so many items by an export costs, in US dollars.

    That is the export, and a run that converts and compares its batches; and judging them, where a function does that
    and not a command. What Aurora does is billed by capacity.
    """
    batches, seconds = estimate_batches(items), items * COMPARED_SECONDS
    usage = Usage(size_bytes, batches, 0, seconds, 1, COMPARING_MEMORY_MB, COMPARING_MEMORY_MB, judged_seconds)
    return float(estimate_cost(None, usage)["total_usd"])


def estimate_batches(items: float) -> int:
    """Return how many batches a run of so many items has, where these are not large and their files are small."""
    return max(1, ceil(items / share_items(ceil(items), MAX_BATCH_ITEMS, BATCHES_AT_ONCE)))


def price(quantities: dict[str, float]) -> list[CostLine]:
    """Return what quantities of things in PRICES cost."""
    return [
        CostLine(what, round(quantity, 6), PRICES[what][1], round(quantity * PRICES[what][0], 6))
        for what, quantity in quantities.items()
    ]
