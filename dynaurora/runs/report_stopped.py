"""The report of a run that was stopped, or took too long: none of its states could write one.

EventBridge tells of its end, with the times; its plan and the ledger say how far it had come. How long its phases took,
what it cost and which batches failed, nobody looks up.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from dynaurora.batches.batch import BACKFILL, VERIFY
from dynaurora.exports.plan import Plan
from dynaurora.exports.read_pace import read_pace
from dynaurora.exports.reconcile_run import RunInTarget, add_totals
from dynaurora.runs.close_run import REPROCESS_FAILURES
from dynaurora.runs.report_backfill import Memory, build_backfill_report
from dynaurora.runs.report_reprocess import build_reprocess_report
from dynaurora.runs.runs import STOPPED

if TYPE_CHECKING:
    from dynaurora.aurora.connection import Aurora
    from dynaurora.mappings.mapping import Mapping
    from dynaurora.runs.close_run import Ending
    from dynaurora.runs.runs import Runs

UNREPORTED: Final = frozenset({"ABORTED", "TIMED_OUT"})
"""Statuses of executions that end without coming to the state that reports."""
STOPPED_ERROR, TIMEOUT_ERROR = "Stopped", "StepFunctions.Timeout"
STOPPED_REMEDY: Final = "What was done stays. Start it again for the rest: what is done is not repeated."


@dataclass(frozen=True)
class RunSoFar:
    """What the database has of a run."""

    aurora: Aurora
    mapping: Mapping
    runs: Runs

    def find_options(self, run: str, execution: str) -> dict[str, Any] | None:
        """Return what an execution of a run was asked for; None where it was not opened."""
        for row in self.runs.describe(self.mapping.name, run):
            if row["execution"] == execution:
                return dict(row["options"])
        return None

    def is_anothers(self, run: str, execution: str) -> bool:
        """Tell whether another execution has gone on with a run: its report is that one's to write."""
        return any(row["execution"] != execution for row in self.runs.describe(self.mapping.name, run))

    def count(self, run: str, plan: Plan, *, compares: bool) -> dict[str, Any]:
        """Return what a run has come to by the ledger, as its report has it: what is left has no account yet."""
        kind = VERIFY if compares else BACKFILL
        totals = [RunInTarget(self.aurora, each, run, plan, kind).read_totals() for each in self.mapping.targets]
        pace = read_pace(self.aurora, self.mapping, run, kind)
        return asdict(replace(add_totals(totals, self.mapping), pace=pace))


def build_stopped_report(ending: Ending, detail: dict[str, Any], so_far: RunSoFar) -> dict[str, Any]:
    """Return the report of the run whose end EventBridge tells of in `detail`."""
    error = STOPPED_ERROR if ending.state == STOPPED else TIMEOUT_ERROR
    failure = {"error": error, "reason": ending.reason or "", "remedy": STOPPED_REMEDY}
    options = so_far.find_options(ending.run, ending.execution)
    state: dict[str, Any] = {"run": ending.run, "mapping": ending.mapping, "options": options}
    if str(detail.get("stateMachineArn")).endswith(REPROCESS_FAILURES):
        report = build_reprocess_report(state, ending.run, ending.execution, (), None, failure)
    else:
        plan = Plan.from_dict(ending.plan) if ending.plan else None
        totals = so_far.count(ending.run, plan, compares=bool((options or {}).get("compare"))) if plan else None
        state |= {"plan": ending.plan, "totals": totals}
        report = build_backfill_report(state, ending.execution, (), [], Memory(0, 0)) | {"cost": None}
    started, ended = (detail[name] / 1000 for name in ("startDate", "stopDate"))
    times = {"started_at": _iso(started), "ended_at": _iso(ended), "seconds": round(ended - started, 1)}
    return report | times | {"state": ending.state, "failure": failure, "phases": []}


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
