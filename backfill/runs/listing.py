"""Listing runs: one line for each, of its execution and its row, newest first."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from backfill.kinds import BACKFILL
from backfill.runs.executions import LISTED_MOST as EXECUTIONS_LISTED
from backfill.runs.executions import Execution, choose_standing, describe_execution, list_executions
from backfill.runs.recorded import Row, RowsUnknownError, describe_runs
from backfill.runs.run_ids import find_run_id, is_named_after, read_run
from backfill.terminal.console import say
from backfill.terminal.formatting import format_count, format_iso, format_seconds, format_time, parse_iso
from dynaurora.runs import runs

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from backfill.deployment.clients import Clients
    from backfill.deployment.deployments import Deployment
    from backfill.kinds import Kind

LISTED_MOST: Final = 200
"""Runs that may be listed: most of their executions have to be described, one by one."""


@dataclass(frozen=True, slots=True)
class ListedRun:
    """One line of the list; None is what is not known."""

    run: str
    mapping: str
    stack: str
    state: str
    started_at: datetime
    ended_at: datetime | None
    items: int | None = None
    rows: int | None = None
    rejected: int | None = None

    @property
    def seconds(self) -> float:
        """How long it took, or has taken so far."""
        return ((self.ended_at or datetime.now(UTC)) - self.started_at).total_seconds()

    def as_dict(self) -> dict[str, Any]:
        """Return the line for machines."""
        times = {"started_at": format_iso(self.started_at), "ended_at": format_iso(self.ended_at)}
        return {**asdict(self), **times, "seconds": self.seconds}

    def as_cells(self) -> tuple[str, ...]:
        """Return the line for people."""
        counts = ("-" if count is None else format_count(count) for count in (self.rows, self.rejected, self.items))
        return (
            self.run,
            self.mapping,
            self.state,
            format_time(self.started_at),
            format_seconds(self.seconds),
            *counts,
        )


def list_runs(
    clients: Clients, kind: Kind, deployment: Deployment, limit: int, others: Collection[str] = ()
) -> list[ListedRun]:
    """Return the runs of a deployment, beside other mappings' ones.

    Without their counts where the database does not answer, which is told.
    """
    rows = read_rows(clients, kind, deployment)
    most = EXECUTIONS_LISTED if rows is not None else LISTED_MOST
    listed_by_states = list_executions(clients.states, deployment.machine_arn(kind), most)
    executions = (execution for execution in listed_by_states if not is_named_after(execution.name, others))
    of_runs = (execution for execution in executions if not is_without_run(kind, deployment, execution, rows))
    described = (describe_listed(clients, kind, deployment, execution, rows or ()) for execution in of_runs)
    own = ((run, execution) for run, execution in described if execution.is_of(deployment.mapping))
    begun = ((run, execution) for run, execution in own if not execution.found_nothing)
    listed = merge_runs(deployment, take_runs(begun, limit), rows or ())
    uncounted = sum(run.state == runs.SUCCEEDED and run.rows is None for run in listed)
    if uncounted and rows is not None:
        say(f"{format_count(uncounted, 'run')} of {deployment.stack} without counts: only of the newest are they told.")
    return listed


def read_rows(clients: Clients, kind: Kind, deployment: Deployment) -> list[Row] | None:
    """Return the rows of the newest runs of a deployment; None, which is told, where the database does not answer."""
    try:
        return describe_runs(clients.functions, deployment, kind)
    except RowsUnknownError as error:
        say(f"The rows of {deployment.stack} are missing: {error}")
        return None


def is_without_run(kind: Kind, deployment: Deployment, execution: Execution, rows: Sequence[Row] | None) -> bool:
    """Tell of an execution that was only listed whether it opened no run: one by the clock that had nothing to do.

    It succeeded, is not named after a run, and has no row among the newest. Not known where there are no rows to tell.
    """
    if kind is BACKFILL or rows is None or execution.state != runs.SUCCEEDED:
        return False
    begun = [started for row in rows if (started := parse_iso(row["started_at"]))]
    is_covered = len(rows) < runs.MAX_LISTED or execution.started_at > min(begun)
    is_known = read_run(execution.name, deployment.mapping) or any(row["execution"] == execution.arn for row in rows)
    return is_covered and not is_known


def describe_listed(
    clients: Clients, kind: Kind, deployment: Deployment, execution: Execution, rows: Sequence[Row]
) -> tuple[str, Execution]:
    """Return an execution with the run that it does: by its row or name where they tell, else as it describes itself.

    One without a row may have been refused, which only its own description tells.
    """
    for row in rows:
        if row["execution"] == execution.arn:
            return row["run"], execution
    may_be_refused = kind is not BACKFILL or execution.status == "FAILED"
    if not may_be_refused and (run := read_run(execution.name, deployment.mapping)):
        return run, execution
    described = describe_execution(clients.states, execution.arn) or execution
    return find_run_id(kind, described), described


def take_runs(executions: Iterable[tuple[str, Execution]], limit: int) -> Iterator[tuple[str, Execution]]:
    """Yield the executions of so many runs, as they come."""
    seen: set[str] = set()
    for run, execution in executions:
        if run not in seen and len(seen) == limit:
            return
        seen.add(run)
        yield run, execution


def merge_runs(
    deployment: Deployment, executions: Iterable[tuple[str, Execution]], rows: Sequence[Row]
) -> list[ListedRun]:
    """Return one line for each run, of the execution that stands for it and its row.

    One that was refused stands for a run only where nothing else is known of it.
    """
    by_run: dict[str, list[Execution]] = {row["run"]: [] for row in rows}
    row_of = {row["run"]: row for row in rows}
    for run, execution in executions:
        if not (execution.was_refused and run in row_of):
            by_run.setdefault(run, []).append(execution)
    return [merge_run(deployment, run, choose_standing(done), row_of.get(run)) for run, done in by_run.items()]


def merge_run(deployment: Deployment, run: str, execution: Execution | None, row: Row | None) -> ListedRun:
    """Return a run's line. Its state and times are its execution's, as long as Step Functions has it."""
    if execution:
        state, started_at, ended_at = execution.state, execution.started_at, execution.ended_at
    else:
        state, started_at, ended_at = _read_times(row or {})
    return ListedRun(run, deployment.mapping, deployment.stack, state, started_at, ended_at, **_read_counts(row))


def _read_times(row: Row) -> tuple[str, datetime, datetime | None]:
    started_at = parse_iso(row["started_at"])
    return row["state"], started_at or datetime.now(UTC), parse_iso(row["ended_at"])


def _read_counts(row: Row | None) -> dict[str, int | None]:
    """Return a row's counts: those it was closed with, or while it runs the ledger's."""
    if row is None:
        return {}
    progress = row["progress"]
    is_running = row["state"] == runs.RUNNING
    return {
        "items": row["items"],
        "rows": progress["rows_changed"] if is_running else row["rows_imported"],
        "rejected": progress["rows_rejected"] if is_running else row["rows_rejected"],
    }
