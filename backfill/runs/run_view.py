"""A run as it is now: what Step Functions, the database and the report say of it, in one view.

Step Functions' status is the truth for a run's state. The database adds the rows; where it does not answer, the view is
made without them, and says so.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from backfill.kinds import BACKFILL, CHECKING, DONE, REPORTING, name_phase
from backfill.runs.executions import (
    REFUSED,
    Execution,
    Export,
    History,
    MapCounts,
    Retrying,
    count_map_items,
    describe_execution,
    find_retrying,
    read_history,
)
from backfill.runs.progress import Batches, RateMeter, Rows, compute_rate, estimate_seconds_left
from backfill.runs.recorded import RecordedRun, Row
from backfill.runs.reports import read_report
from backfill.runs.run_ids import name_execution
from backfill.terminal.formatting import format_iso, parse_iso
from dynaurora.aws.executions import Step
from dynaurora.errors import RunConflictError, remedy_for
from dynaurora.runs import runs
from dynaurora.runs.ends import find_remedy
from dynaurora.runs.phases import measure_phases

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backfill.deployment.clients import Clients
    from backfill.deployment.deployments import Deployment
    from backfill.kinds import Kind
    from backfill.runs.reports import Report

SWEEP_MAP: Final = "Sweep batches"
SWEEP_LABEL: Final = "SweepBatches"
OPENING_AND_CLOSING: Final = frozenset({CHECKING, REPORTING, DONE})
"""Phases in which the database's row is not yet, or no longer, in step with a running execution."""
START_AGAIN: Final = "Mend the cause, then start again: what is done is not repeated."
LET_IT_END: Final = "Nothing was begun. Watch or stop the run that it names, then start again."


@dataclass(frozen=True, slots=True)
class Failure:
    """What a run ended with, and what to do about it."""

    error: str
    reason: str
    remedy: str


@dataclass(frozen=True, slots=True)
class RunView:
    """A run at one time; None is what is not known, or not yet."""

    kind: Kind
    run: str
    mapping: str
    stack: str
    bucket: str
    state: str
    """RUNNING, SUCCEEDED, FAILED, STOPPED or REFUSED."""
    phase: str
    """What it is at, or was when it ended."""
    seen_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    execution: str | None = None
    """The ARN of the execution that stands for it."""
    status: str | None = None
    """That execution's, in the words of Step Functions."""
    plan: dict[str, Any] | None = None
    """What planning answered."""
    batches: Batches | None = None
    """Or entries, of a reprocess: what its map goes through."""
    sweep: Batches | None = None
    """The batches of tombstones."""
    rows: Rows | None = None
    rows_per_second: float | None = None
    """In the last minute; once it has ended, on average."""
    seconds_left: float | None = None
    """Of importing."""
    retries: int | None = None
    """Of the batches that were imported."""
    retrying: tuple[Retrying, ...] = ()
    """What batches that are being imported now have met."""
    recorded: Row | None = None
    """The run's row in the database."""
    notes: tuple[str, ...] = ()
    """What a reader has to know to read this right."""
    failure: Failure | None = None
    report: Report | None = None
    phases: dict[str, float] = field(default_factory=dict)
    """Seconds in each phase so far, in the order in which it came to them."""
    export: Export | None = None
    """As DynamoDB last told of it."""

    @property
    def is_running(self) -> bool:
        """Whether the run has not ended."""
        return self.state == runs.RUNNING

    @property
    def is_good(self) -> bool:
        """Whether the run goes on, or succeeded."""
        return self.state in {runs.RUNNING, runs.SUCCEEDED}

    @property
    def seconds(self) -> float | None:
        """How long it took, or has taken so far."""
        return ((self.ended_at or self.seen_at) - self.started_at).total_seconds() if self.started_at else None

    def as_dict(self) -> dict[str, Any]:
        """Return the view for machines."""
        return {
            "kind": self.kind.name,
            "run": self.run,
            "mapping": self.mapping,
            "stack": self.stack,
            "state": self.state,
            "final": not self.is_running,
            "phase": self.phase,
            "phases": [{"name": name, "seconds": round(seconds, 1)} for name, seconds in self.phases.items()],
            "execution": {"arn": self.execution, "status": self.status} if self.execution else None,
            "seen_at": format_iso(self.seen_at),
            "started_at": format_iso(self.started_at),
            "ended_at": format_iso(self.ended_at),
            "seconds": self.seconds,
            **(self._describe_backfill() if self.kind is BACKFILL else self._describe_reprocess()),
            "rows": asdict(self.rows) if self.rows else None,
            "rows_per_second": self.rows_per_second,
            "seconds_left": self.seconds_left,
            "retries": self.retries,
            "retrying": [asdict(retrying) for retrying in self.retrying],
            "recorded": self.recorded,
            "notes": list(self.notes),
            "failure": asdict(self.failure) if self.failure else None,
            "report": self.report,
        }

    def _describe_backfill(self) -> dict[str, Any]:
        plan = self.plan or {}
        return {
            "export_arn": plan.get("export_arn"),
            "export_status": self.export.status if self.export else None,
            "items": plan.get("items"),
            "files": plan.get("files"),
            "batches": asdict(self.batches) if self.batches else None,
            "sweep": asdict(self.sweep) if self.sweep else None,
        }

    def _describe_reprocess(self) -> dict[str, Any]:
        entries = asdict(self.batches) if self.batches else None
        if entries:
            entries = {"planned": entries.pop("planned"), "settled": entries.pop("imported"), **entries}
        return {"objects": (self.plan or {}).get("objects"), "entries": entries}


class RunReader:
    """Looks at the execution of a run, again and again."""

    def __init__(self, clients: Clients, kind: Kind, deployment: Deployment, run: str, execution: str) -> None:
        self._clients = clients
        self._kind = kind
        self._deployment = deployment
        self._run = run
        self._execution = execution
        self._history = History(kind.plan_state)
        self._recorded = RecordedRun(clients.functions, deployment, kind, run)
        self._meter = RateMeter()

    def look(self) -> RunView | None:
        """Return the run as it is now; None where Step Functions does not know its execution (yet)."""
        execution = describe_execution(self._clients.states, self._execution)
        if execution is None:
            return None
        read_history(self._clients.states, execution.arn, self._history)
        self._recorded.look()
        return self._view(execution)

    def _view(self, execution: Execution) -> RunView:
        now = datetime.now(UTC)
        history, row = self._history, self._recorded.row
        phase = name_phase(self._kind, history.state)
        batches, sweep = split_maps(self._kind, history, self._count_maps())
        rows = read_rows(row)
        return RunView(
            kind=self._kind,
            run=self._run,
            mapping=self._deployment.mapping,
            stack=self._deployment.stack,
            bucket=self._deployment.bucket,
            state=execution.state,
            phase=phase,
            seen_at=now,
            started_at=execution.started_at,
            ended_at=execution.ended_at,
            execution=execution.arn,
            status=execution.status,
            plan=history.plan,
            batches=batches,
            sweep=sweep,
            rows=rows,
            rows_per_second=self._measure_rate(execution, now, rows),
            seconds_left=self._estimate_left(execution, batches, now),
            retries=row["progress"]["retries"] if row else None,
            retrying=self._find_retrying(execution),
            recorded=row,
            notes=tuple(self._make_notes(execution, phase)),
            failure=name_failure(execution, history.plan),
            report=None if execution.is_running else self._read_report(execution),
            export=history.export,
            phases=measure_phases([Step(*entered) for entered in history.entered], execution.ended_at or now),
        )

    def _count_maps(self) -> dict[str, MapCounts]:
        entered = {state for state, _ in self._history.entered}
        maps = {self._kind.map_state, SWEEP_MAP}
        return count_map_items(self._clients.states, self._execution) if entered & maps else {}

    def _measure_rate(self, execution: Execution, now: datetime, rows: Rows | None) -> float | None:
        if rows is None or (execution.is_running and self._history.state != self._kind.map_state):
            return None
        if not execution.is_running:
            return self._average_rate(execution, rows)
        self._meter.add(now, rows.all)
        measured = self._meter.per_second
        return self._average_rate(execution, rows) if measured is None else measured

    def _average_rate(self, execution: Execution, rows: Rows) -> float | None:
        """Return the rate since importing began; unknown where some rows are of an earlier execution."""
        since = self._history.find_entered_at(self._kind.map_state)
        last = parse_iso((self._recorded.row or {}).get("progress", {}).get("last_import_at"))
        if since is None or last is None or execution.name != name_execution(self._deployment.mapping, self._run):
            return None
        return compute_rate(rows.all, (last - since).total_seconds())

    def _estimate_left(self, execution: Execution, batches: Batches | None, now: datetime) -> float | None:
        state = self._kind.map_state
        if not execution.is_running or self._history.state != state or batches is None:
            return None
        return estimate_seconds_left(batches, self._history.find_entered_at(state), now)

    def _find_retrying(self, execution: Execution) -> tuple[Retrying, ...]:
        if not execution.is_running or self._history.state not in {self._kind.map_state, SWEEP_MAP}:
            return ()
        return tuple(find_retrying(self._clients.states, self._deployment.import_batch_arn, self._run))

    def _make_notes(self, execution: Execution, phase: str) -> list[str]:
        notes = []
        if self._recorded.problem:
            what = "not known" if self._recorded.row is None else "not news"
            notes.append(f"The rows are {what}: {self._recorded.problem}")
        recorded = (self._recorded.row or {}).get("state")
        is_settled = not execution.is_running or phase not in OPENING_AND_CLOSING
        if recorded and recorded != execution.state and is_settled:
            notes.append(f"The database says {recorded}.")
        return notes

    def _read_report(self, execution: Execution) -> Report | None:
        report = read_report(self._clients.s3, self._deployment.bucket, self._deployment.mapping, self._run)
        return report if report and is_of_execution(report, execution) else None


def split_maps(kind: Kind, history: History, maps: Mapping[str, MapCounts]) -> tuple[Batches | None, Batches | None]:
    """Return the batches that are imported, and those that are swept, from the maps by their labels."""
    planned = history.plan[kind.units] if history.plan else None
    batches = _count_batches(maps.get(kind.map_label), planned)
    if batches is None and planned is not None:
        batches = Batches(planned)
    return batches, _count_batches(maps.get(SWEEP_LABEL), None)


def _count_batches(counts: MapCounts | None, planned: int | None) -> Batches | None:
    if counts is None:
        return None
    return Batches(
        planned=counts.total if planned is None else planned,
        imported=counts.succeeded,
        failed=counts.failed,
        running=counts.running,
        stopped=counts.stopped,
    )


def read_rows(row: Row | None) -> Rows | None:
    """Return the rows that the ledger has of a run."""
    if row is None:
        return None
    progress = row["progress"]
    changed = progress["rows_changed"]
    return Rows(changed, progress["rows_staged"] - changed, progress["rows_rejected"])


def name_failure(execution: Execution, plan: dict[str, Any] | None = None) -> Failure | None:
    """Return what an execution failed with; None where it did not. What to do depends on whether it had a plan."""
    if execution.state == REFUSED:
        return Failure(RunConflictError.__name__, execution.refusal or "", LET_IT_END)
    if execution.status == "TIMED_OUT":
        return Failure("States.Timeout", "The run took longer than its state machine allows.", START_AGAIN)
    if execution.status != "FAILED":
        return None
    error, cause = execution.error or "unknown", execution.cause or "Step Functions names no cause."
    known = find_remedy(error, {"options": execution.input, "plan": plan})
    return Failure(error, cause, START_AGAIN if remedy_for(error) == remedy_for("") else known)


def is_of_execution(report: Report, execution: Execution) -> bool:
    """Tell whether a report is of this execution, and not of an earlier one of the same run."""
    return report.get("execution") in {execution.arn, execution.name}


def view_row(kind: Kind, deployment: Deployment, row: Row, report: Report | None) -> RunView:
    """Return the view of a run whose executions Step Functions has forgotten."""
    return RunView(
        kind=kind,
        run=row["run"],
        mapping=deployment.mapping,
        stack=deployment.stack,
        bucket=deployment.bucket,
        state=row["state"],
        phase=DONE,
        seen_at=datetime.now(UTC),
        started_at=parse_iso(row["started_at"]),
        ended_at=parse_iso(row["ended_at"]),
        rows=read_rows(row),
        retries=row["progress"]["retries"],
        recorded=row,
        notes=("Step Functions does not know this run's execution any more.",),
        report=report,
    )
