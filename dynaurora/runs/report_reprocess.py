"""The report of a reprocess: `reports/run=<mapping>-<run>/report.json`, described by reprocess_report.schema.json.

What became of each entry is in the results that Step Functions writes of the map's children; they are summed up here.
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from dynaurora.aws.executions import ExecutionHistory
from dynaurora.aws.objects import read_or_none
from dynaurora.batches.retry_notes import read_retry_causes
from dynaurora.errors import FailuresNotSettledError, remedy_for
from dynaurora.exports.pace import make_pace
from dynaurora.failures.failed_batches import MAX_SUBJECT, read_error
from dynaurora.failures.list_failures import BATCH, CONVERSION
from dynaurora.failures.refused_examples import read_refused_again
from dynaurora.failures.runbooks import FAILED_RECORDS_RUNBOOK
from dynaurora.runs.ends import is_own
from dynaurora.runs.phases import measure_phases
from dynaurora.runs.report_backfill import list_failed_batches

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dynaurora.aws.executions import History, Step
    from dynaurora.aws.objects import ObjectStore

Settled = tuple[str | None, dict[str, Any]]
"""When an entry was settled, in ISO 8601, and what became of it."""
COUNTS: Final = (
    *("records", "rows", "rows_changed", "records_parked", "records_superseded"),
    *("batches_imported", "batches_failed", "batches_parked"),
)
"""What settle_failures counts of an entry."""


def report_reprocess(
    state: dict[str, Any], run: str, execution: dict[str, str], store: ObjectStore, history: History | None = None
) -> tuple[dict[str, Any] | None, dict[str, str] | None]:
    """Return the report of a run, unless it is another execution's, and what it failed for, if it did."""
    settled, arn = read_settled(state, store), execution["id"]
    totals = None if settled is None else sum_up(state["plan"], [outcome for _, outcome in settled])
    failure = find_reprocess_failure(state, run, arn, totals, store)
    if not is_own(failure):
        return None, failure
    steps = (history or ExecutionHistory()).steps(arn)
    report = build_reprocess_report(state, run, arn, steps, totals, failure)
    if settled is None:
        return report, failure
    place = (store, state["plan"]["bucket"], state["mapping"], run)
    return report | {
        "pace": measure_pace(settled, report["started_at"]),
        "refused_examples": read_refused_again(*place) if totals and totals["rejected"] else [],
        "failures": list_failed_batches(*place, execution["started"], list_taken(store, state["plan"])),
        "retry_causes": read_retry_causes(*place),
    }, failure


def read_settled(state: dict[str, Any], store: ObjectStore) -> list[Settled] | None:
    """Return the outputs of the children that succeeded, each of which settled an entry, and when that was.

    None where the run did not come to that.
    """
    plan, details = state.get("plan"), (state.get("map") or {}).get("ResultWriterDetails")
    if plan is None or (details is None and plan["entries"]):
        return None
    children = read_children(store, details, "SUCCEEDED") if details else ()
    return [(child.get("StopDate"), json.loads(child["Output"])) for child in children]


def sum_up(plan: dict[str, Any], settled: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what became of all that a run took up.

    An entry that was not settled is known by its missing among those that were.
    """
    reasons: Counter[str] = Counter()
    for entry in settled:
        reasons.update(entry["rejected"])
    return {
        **{name: sum(int(entry.get(name, 0)) for entry in settled) for name in COUNTS},
        "rejected": reasons.total(),
        "rejected_reasons": dict(reasons.most_common()),
        "entries": plan["entries"],
        "entries_failed": plan["entries"] - len(settled),
    }


def measure_pace(settled: Iterable[Settled], started_at: str) -> dict[str, Any] | None:
    """Return how many rows were in Aurora after each step of time, as `make_pace` does."""
    done = [(time, int(outcome.get("rows") or 0)) for time, outcome in settled if time]
    since = datetime.fromisoformat(started_at)
    return make_pace([(datetime.fromisoformat(time), rows) for time, rows in done if rows], since)


def list_taken(store: ObjectStore, plan: dict[str, Any]) -> frozenset[str]:
    """Return the keys of the failed batches that a run has taken up."""
    entries = json.loads(read_or_none(store, plan["bucket"], plan["key"]) or b"[]")
    batches = (entry for entry in entries if entry["kind"] in {BATCH, CONVERSION})
    return frozenset(item["key"] for entry in batches for item in entry["objects"])


def read_children(store: ObjectStore, details: dict[str, str], status: str) -> Iterator[dict[str, Any]]:
    """Yield the children of a map that ended so, as its result writer wrote them.

    The manifest that the map's result names lists the files of each status (Step Functions Developer Guide,
    "ResultWriter").
    """
    manifest = json.loads(store.read(details["Bucket"], details["Key"]))
    for file in manifest["ResultFiles"][status]:
        yield from json.loads(store.read(manifest["DestinationBucket"], file["Key"]))


def find_reprocess_failure(
    state: dict[str, Any], run: str, execution: str, totals: dict[str, Any] | None, store: ObjectStore
) -> dict[str, str] | None:
    """Return what a run failed for, with the message for people; None where it did not fail.

    A batch that failed again is none of the run's failures: it is kept, and people were told of it.
    """
    if state.get("error"):
        error, reason = read_error(state["error"])
    elif totals and totals["entries_failed"]:
        error, reason = FailuresNotSettledError.__name__, describe_unsettled(state, totals, store)
    else:
        return None
    remedy = remedy_for(error)
    lines = [
        f"The reprocess {run} of {state.get('mapping')} failed.",
        f"Error: {error}",
        f"Reason: {reason}",
        f"Next: {remedy}",
        f"Then: dynaurora reprocess start {state.get('mapping') or ''}".rstrip(),
        "What failed is still kept, and what was done is not repeated.",
        f"Execution: {execution}",
        f"Runbook: {FAILED_RECORDS_RUNBOOK}",
    ]
    subject = f"dynaurora: run {run} failed: {error}"[:MAX_SUBJECT]
    return {"error": error, "reason": reason, "remedy": remedy, "subject": subject, "message": "\n".join(lines)}


def describe_unsettled(state: dict[str, Any], totals: dict[str, Any], store: ObjectStore) -> str:
    """Say how many entries were not settled, and what the first of them failed for."""
    problem = f"{totals['entries_failed']} of {totals['entries']} entries could not be settled"
    failed = next(read_children(store, state["map"]["ResultWriterDetails"], "FAILED"), None)
    return f"{problem}, the first for: {read_error(failed)[1]}" if failed else f"{problem}."


def build_reprocess_report(
    state: dict[str, Any],
    run: str,
    execution: str,
    steps: Iterable[Step],
    totals: dict[str, Any] | None,
    failure: dict[str, str] | None,
) -> dict[str, Any]:
    """Return the report of a run, as its schema describes it."""
    taken, now = list(steps), datetime.now(UTC)
    started = taken[0].entered_at if taken else now
    return {
        "run": run,
        "mapping": state.get("mapping"),
        "execution": execution,
        "state": "FAILED" if failure else "SUCCEEDED",
        "started_at": _iso(started),
        "ended_at": _iso(now),
        "seconds": round((now - started).total_seconds(), 1),
        "digest": state.get("digest"),
        "generation": state.get("generation"),
        "options": state.get("options"),
        "objects": (state.get("plan") or {}).get("objects"),
        "totals": totals,
        "pace": None,
        "refused_examples": [],
        "retry_causes": [],
        "failures": [],
        "failure": {name: failure[name] for name in ("error", "reason", "remedy")} if failure else None,
        "phases": [
            {"name": name, "seconds": round(seconds, 1)} for name, seconds in measure_phases(taken, now).items()
        ],
    }


def _iso(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
