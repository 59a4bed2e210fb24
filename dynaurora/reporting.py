"""The report of a run, for good and bad ends alike: `reports/run=<mapping>-<run>/report.json`.

report.schema.json describes it.

What the report says comes from the run's own state, from the history of its execution, which has the times, and from
the records of the batches that failed.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Protocol

from dynaurora import aws, keys
from dynaurora.costs import Usage, estimate_cost
from dynaurora.errors import BatchesFailedError, InvalidRunError, RunConflictError, remedy_for
from dynaurora.failed_batches import MAX_SUBJECT, read_error
from dynaurora.objects import read_or_none
from dynaurora.planning import Plan
from dynaurora.runbooks import BACKFILL
from dynaurora.runs import is_run_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dynaurora.objects import ObjectStore

PHASES: Final = {
    "Open run": "checking",
    "Check readiness": "checking",
    "Ready to export?": "checking",
    "Wait for margin": "waiting for margin",
    "Export given?": "exporting",
    "Take given export": "exporting",
    "Start export": "exporting",
    "Wait for export": "exporting",
    "Describe export": "exporting",
    "Export finished?": "exporting",
    "Describe failed export": "exporting",
    "Plan backfill": "planning",
    "Anything to import?": "planning",
    "Backfill batches": "importing",
    "Reconcile run": "reconciling",
    "Sweep wanted?": "reconciling",
    "Plan sweep": "sweeping",
    "Anything to sweep?": "sweeping",
    "Sweep batches": "sweeping",
    "Look first?": "listing",
    "Look for failures": "listing",
    "Anything failed?": "listing",
    "List failures": "listing",
    "Anything to reprocess?": "listing",
    "Reprocess failures": "reprocessing",
}
"""What a run, of either kind, is doing in each state; in those that are not here it is being reported and closed."""
LAST_PHASE: Final = "reporting"
NAMES: Final = {"States.ExceedToleratedFailureThreshold": BatchesFailedError.__name__}
"""Names for errors of Step Functions' own: an execution may not fail with a name that begins with `States.` (Amazon
States Language specification, "Errors")."""
NOT_MENDED_BY_REPEATING: Final = frozenset(
    {
        *("ExportFailedError", "InvalidRunError", "RunConflictError", "SweepRefusedError"),
        *("DynamoDb.ExportConflictException", "DynamoDb.InvalidExportTimeException"),
    }
)
"""Errors that the same run would only have again: DynamoDB, for one, answers its token with the export that failed."""
FIELDS_OF_A_FAILURE: Final = {"batch": "batch_id", "error": "error", "reason": "reason", "remedy": "remedy"}
MAX_FAILURES: Final = 100
"""Failed batches that a report names; the others are only counted."""


@dataclass(frozen=True, slots=True)
class Step:
    """A state that an execution entered."""

    state: str
    entered_at: datetime


class History(Protocol):
    """What the report needs of Step Functions."""

    def steps(self, execution: str) -> Iterable[Step]:
        """Yield the states that an execution has entered, in their order."""
        ...


@dataclass(frozen=True)
class Memory:
    """The functions' memory in MB, for the estimate of costs."""

    convert_mb: int
    import_mb: int


def find_failure(state: dict[str, Any], execution: str) -> dict[str, str] | None:
    """Return what a run failed for, with the message for people; None where it did not fail.

    What came first counts: an error that stopped the run, then one of the accounting after it.
    """
    caught = state.get("error") or state.get("unreconciled")
    if caught is None:
        return None
    run = name_run(state, "unnamed")  # what else an input may have is no part of a subject, which takes no newline
    error, reason = read_error(caught)
    error = NAMES.get(error, error.replace("States.", "StepFunctions.", 1))
    remedy = remedy_for(error).replace("then import the batch again", "then start the run again")
    again = [
        f"Start it again with: dynaurora backfill start {state.get('mapping')} --run {run}",
        "What it has done is not repeated.",
    ]
    lines = [
        f"Run {run} of {state.get('mapping')} failed.",
        f"Error: {error}",
        f"Reason: {reason}",
        f"Next: {remedy}",
        *([] if error in NOT_MENDED_BY_REPEATING else again),
        f"Execution: {execution}",
        f"Runbook: {BACKFILL}",
    ]
    subject = f"dynaurora: run {run} failed: {error}"[:MAX_SUBJECT]
    return {"error": error, "reason": reason, "remedy": remedy, "subject": subject, "message": "\n".join(lines)}


def name_run(state: dict[str, Any], otherwise: str) -> str:
    """Return the run's id, or where its input has none that could be part of a key, another name."""
    run = state.get("run")
    return str(run) if is_run_id(run) else otherwise


def is_own(failure: dict[str, str] | None) -> bool:
    """Tell whether the report is this execution's to write: a run that it was refused has another's."""
    return failure is None or failure["error"] not in {RunConflictError.__name__, InvalidRunError.__name__}


def build_report(
    state: dict[str, Any], execution: str, steps: Iterable[Step], failures: list[dict[str, Any]], memory: Memory
) -> dict[str, Any]:
    """Return the report of a run, as its schema describes it."""
    taken = list(steps)
    now = datetime.now(UTC)
    started = taken[0].entered_at if taken else now
    done = state if "options" in state else {}  # of a run that was not opened there is only its input
    plan = Plan.from_dict(done["plan"]) if done.get("plan") else None
    failure = find_failure(state, execution)
    phases = measure_phases(taken, now)
    return {
        "run": _text_or_none(state.get("run")),
        "mapping": _text_or_none(state.get("mapping")),
        "execution": execution,
        "state": "FAILED" if failure else "SUCCEEDED",
        "started_at": _iso(started),
        "ended_at": _iso(now),
        "seconds": round((now - started).total_seconds(), 1),
        "options": done.get("options"),
        "export": describe_export(plan) if plan else None,
        "totals": done.get("totals"),
        "sweep": done.get("sweep"),
        "failures": failures,
        "failure": {name: failure[name] for name in ("error", "reason", "remedy")} if failure else None,
        "phases": [{"name": name, "seconds": round(seconds, 1)} for name, seconds in phases.items()],
        "cost": estimate_cost(plan, _usage(done, plan, phases, memory)),
        "warnings": plan.warnings if plan else [],
    }


def describe_export(plan: Plan) -> dict[str, Any]:
    """Return what was exported, and how it was planned."""
    return {
        "arn": plan.export_arn,
        "time": _iso(datetime.fromtimestamp(plan.export_second, UTC)),
        "items": plan.items,
        "billed_bytes": plan.billed_bytes,
        "files": plan.files,
        "files_empty": plan.files_empty,
        "batches": plan.batches,
    }


def measure_phases(steps: list[Step], now: datetime) -> dict[str, float]:
    """Return how many seconds a run spent in each phase, in the order in which it came to them."""
    phases: dict[str, float] = {}
    times = pairwise([*(step.entered_at for step in steps), now])
    for step, (entered_at, left_at) in zip(steps, times, strict=True):
        phase = PHASES.get(step.state, LAST_PHASE)
        phases[phase] = phases.get(phase, 0.0) + (left_at - entered_at).total_seconds()
    return phases


def list_failures(store: ObjectStore, bucket: str, mapping: str, run: str, started: str) -> list[dict[str, Any]]:
    """Return the batches of a run that have failed since its execution was started, the first hundred of them.

    What failed in an earlier execution of the run was tried again by this one, and may have succeeded.
    """
    failures = list[dict[str, Any]]()
    since = datetime.fromisoformat(started).replace(microsecond=0)
    for listed in store.list(bucket, keys.failed_batches_prefix(mapping)):
        if listed.modified_at < since or len(failures) == MAX_FAILURES:
            continue
        with suppress(
            AttributeError, KeyError, TypeError, ValueError
        ):  # what was dealt with meanwhile, or is no record at all
            record = json.loads(read_or_none(store, bucket, listed.key) or b"{}")
            if run_of(record) == run and datetime.fromisoformat(record["last_failed_at"]) >= since:
                failures.append(
                    {name: record[field] for name, field in FIELDS_OF_A_FAILURE.items()} | {"key": listed.key}
                )
    return failures


def run_of(record: dict[str, Any]) -> Any:
    """Return the run of a failed batch; None where it is of none, or what is kept is no descriptor."""
    descriptor = record.get("batch") or record.get("conversion")
    return descriptor.get("run") if isinstance(descriptor, dict) else None


@dataclass(frozen=True)
class ExecutionHistory:
    """The real one."""

    def steps(self, execution: str) -> Iterator[Step]:
        """Yield the states that an execution has entered, in their order."""
        with aws.translated_errors():
            pages = aws.client("stepfunctions").get_paginator("get_execution_history")
            for page in pages.paginate(executionArn=execution, includeExecutionData=False):
                for event in page["events"]:
                    details = event.get("stateEnteredEventDetails")
                    if details:
                        yield Step(details["name"], event["timestamp"])


def _usage(done: dict[str, Any], plan: Plan | None, phases: dict[str, float], memory: Memory) -> Usage:
    options, totals, sweep = done.get("options") or {}, done.get("totals") or {}, done.get("sweep") or {}
    most_batches = max(plan.batches if plan else 1, int(sweep.get("batches") or 0))
    was_there = options.get("export_arn") or (done.get("readiness") or {}).get("planned")
    return Usage(
        exported_bytes=plan.billed_bytes if plan and not was_there else 0,
        batches=int(totals.get("batches_imported") or 0) + int(sweep.get("batches") or 0),
        retries=int(totals.get("retries") or 0),
        importing_seconds=phases.get("importing", 0.0) + (phases.get("sweeping", 0.0) if sweep else 0.0),
        concurrency=min(int(options.get("max_concurrency") or 1), most_batches),
        convert_memory_mb=memory.convert_mb,
        import_memory_mb=memory.import_mb,
    )


def _text_or_none(value: Any) -> str | None:
    """Return what an input says, which may be refused for not being text."""
    return value if isinstance(value, str) else None


def _iso(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
