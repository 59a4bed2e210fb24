"""How large the report of a run of 1,000,000 items is as a page, and how long making and writing it takes.

    python -m benchmarks.report_run

The run has 1,000 batches, of which half a million items are refused for as many reasons as are counted, each with keys
of a kilobyte; of each batch something is ignored, a hundred failed, and imports were tried again twenty thousand times.
What report_run reads is in memory: S3's own time is not measured.
"""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from benchmarks.results import Result, is_quick, print_results
from benchmarks.timing import seconds_of
from dynaurora import keys
from dynaurora.aws.executions import Step
from dynaurora.aws.objects import Listed
from dynaurora.batches.retry_notes import MOST_NOTES, read_retry_causes
from dynaurora.exports.pace import MOST_PACE_STEPS
from dynaurora.exports.plan import Plan
from dynaurora.exports.reconcile_run import Totals
from dynaurora.failures.refused_examples import MOST_REFUSED_OBJECTS, read_refused_examples
from dynaurora.mappings.reasons import MAX_COUNTED_REASONS
from dynaurora.mappings.unmapped import Ignored, Unmapped
from dynaurora.runs.ignored_attributes import read_ignored
from dynaurora.runs.report_backfill import MAX_FAILURES, Memory, build_backfill_report, list_failed_batches
from dynaurora.runs.report_page import write_report

if TYPE_CHECKING:
    from collections.abc import Iterator

ITEMS, BATCHES = 1_000_000, 1_000
MOST_BYTES = 300_000
MOST_SECONDS, MOST_READING = 1, 3
"""Of a processor."""
BUCKET, MAPPING, RUN = "landing", "web_analytics", "r1"
EXECUTION = f"arn:aws:states:us-east-1:123456789012:execution:dynaurora-backfill-table:{MAPPING}-{RUN}"
STARTED = datetime(2026, 11, 23, 8, 15, tzinfo=UTC)
STATES = ("Open run", "Start export", "Plan backfill", "Backfill batches", "Reconcile run", "Report run")
ATTRIBUTES = 40
LINES_OF_A_BATCH = 1_000
REASONS = [f"payload.a_path_that_is_long[{number}] (maxLength)" for number in range(MAX_COUNTED_REASONS)]


class Objects:
    """The objects that a report is made of, and its own, in memory."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}

    def write(self, bucket: str, key: str, body: bytes) -> str:  # noqa: ARG002 (there is one bucket)
        """Put an object and return its ETag."""
        self.bodies[key] = body
        return ""

    def read(self, bucket: str, key: str) -> bytes:  # noqa: ARG002 (there is one bucket)
        """Return an object's bytes."""
        return self.bodies[key]

    def open(self, bucket: str, key: str) -> Any:  # noqa: ARG002 (there is one bucket)
        """Return an object's bytes as a stream."""
        return io.BytesIO(self.bodies[key])

    def list(self, bucket: str, prefix: str, after: str = "") -> Iterator[Listed]:  # noqa: ARG002 (there is one bucket)
        """Yield the objects under a prefix, in the order of their keys."""
        for key in sorted(key for key in self.bodies if key.startswith(prefix)):
            yield Listed(key, "", len(self.bodies[key]), STARTED + timedelta(hours=1))


def make_objects(batches: int) -> Objects:
    """Return what a run of so many batches has left in the landing bucket."""
    objects, failed_at = Objects(), (STARTED + timedelta(hours=1)).isoformat()
    for number in range(1, batches + 1):
        refused = (
            json.dumps(
                {
                    "Target": "WebAnalytics",
                    "Keys": {"page_id": {"S": f"{'k' * 900}{number}-{line}"}, "activity_dt": {"S": "t" * 100}},
                    "Reason": REASONS[(number + line) % len(REASONS)],
                }
            )
            for line in range(LINES_OF_A_BATCH if number <= MOST_REFUSED_OBJECTS else 1)  # more than that nobody reads
        )
        objects.write(BUCKET, keys.backfill_refused(MAPPING, RUN, number), "\n".join(refused).encode())
        names = (f"attribute_that_no_column_takes_{attribute}" for attribute in range(ATTRIBUTES))
        unmapped = Unmapped({name: Ignored(items=ITEMS // BATCHES) for name in names})
        objects.write(BUCKET, keys.backfill_unmapped(MAPPING, RUN, number), json.dumps(unmapped.as_dict()).encode())
    for number in range(MAX_FAILURES):
        record = {"batch_id": f"r1-{number}", "error": "RowCountError", "reason": "r" * 4_000, "remedy": "m" * 1_000}
        document = record | {"last_failed_at": failed_at, "batch": {"run": RUN}}
        objects.write(BUCKET, keys.failed_batch(MAPPING, f"r1-{number}"), json.dumps(document).encode())
    for number in range(MOST_NOTES):
        error = ("SlotsTakenError", "DeadlockError", "ConnectionLostError")[number % 3]
        objects.write(BUCKET, keys.retry_note(MAPPING, RUN, error, f"r1-{number % batches}", number // batches), b"")
    return objects


def make_state() -> dict[str, Any]:
    """Return the state of a run as its machine hands it to report_run."""
    refused = ITEMS // 2
    totals = Totals(
        exported=ITEMS,
        imported=ITEMS - refused,
        already_newer=0,
        rejected=refused,
        rejected_reasons=dict.fromkeys(REASONS, refused // len(REASONS)),
        unaccounted=0,
        batches_planned=BATCHES,
        batches_imported=BATCHES,
        batches_failed=0,
        retries=MOST_NOTES,
        import_seconds=5_000.0,
        pace={
            "since": "2026-11-23T08:15:00Z",
            "step_seconds": 60,
            "rows": [ITEMS // MOST_PACE_STEPS] * MOST_PACE_STEPS,
        },
    )
    arn = "arn:aws:dynamodb:us-east-1:123456789012:table/web_analytics/export/01700000000000-abcdef12"
    plan = Plan(BUCKET, keys.plan(MAPPING, RUN), arn, 1_795_420_800, BUCKET, ITEMS, 10**9, BATCHES, 0, BATCHES)
    options = {"max_concurrency": 8, "tolerated_rejected_percentage": 100, "sweep": False}
    return {
        "mapping": MAPPING,
        "run": RUN,
        "options": options,
        "digest": "0123456789abcdef" * 4,
        "generation": 1,
        "plan": asdict(plan),
        "totals": asdict(totals),
    }


def read_and_build(objects: Any, state: dict[str, Any]) -> dict[str, Any]:
    """Return the report of a run, made of all that it has left, as report_run makes it."""
    of_run = (objects, BUCKET, MAPPING, RUN)
    failures = list_failed_batches(*of_run, STARTED.isoformat())
    steps = [Step(name, STARTED + timedelta(minutes=5 * number)) for number, name in enumerate(STATES)]
    found = (read_ignored(*of_run), read_refused_examples(*of_run), read_retry_causes(*of_run))
    return build_backfill_report(state, EXECUTION, steps, failures, Memory(1769, 256), *found)


def write(objects: Any, document: dict[str, Any]) -> None:
    """Write a report and its page, as report_run does."""
    if problem := write_report(objects, BUCKET, MAPPING, RUN, document):
        raise RuntimeError(problem)


def measure() -> list[Result]:
    """Return how large the page is, and how long it takes."""
    objects, state = make_objects(50 if is_quick() else BATCHES), make_state()
    document = read_and_build(objects, state)
    first = seconds_of(lambda: write(objects, document))  # compiles the template, as a cold function does
    building = seconds_of(lambda: read_and_build(objects, state))
    size = len(objects.bodies[keys.report_page(MAPPING, RUN)])
    run = f"the report of a run of {ITEMS:,} items, half of them refused"
    return [
        Result(f"{run}: its page", "–", f"≤ {MOST_BYTES:,} bytes", f"{size:,} bytes", size <= MOST_BYTES),
        Result(f"{run}: writing both", "–", f"≤ {MOST_SECONDS} s", f"{first:.2f} s", first <= MOST_SECONDS),
        Result(
            f"{run}: reading what it is of", "–", f"≤ {MOST_READING} s", f"{building:.2f} s", building <= MOST_READING
        ),
    ]


if __name__ == "__main__":
    print_results(measure)
