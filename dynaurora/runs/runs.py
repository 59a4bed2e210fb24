"""Runs: an execution of backfill_table or reprocess_failures each, and its row in `_dynaurora_runs`, true to every end.

The row is opened as RUNNING and closed once, as SUCCEEDED, FAILED or STOPPED. Starting the same run again opens the
row again: what the run has done is found done, and not repeated. That holds as long as its mapping and its export are
the same. A run that would have others is refused.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Protocol

from dynaurora.aurora.sql import quote
from dynaurora.aurora.system_tables import GENERATIONS, IMPORTS, RUNS
from dynaurora.batches.batch import REPROCESS
from dynaurora.errors import AccessDeniedError, LockWaitError, RetryableError, RunConflictError
from dynaurora.runs.requests import Request, is_run_id

if TYPE_CHECKING:
    from dynaurora.aurora.connection import Aurora
    from dynaurora.mappings.mapping import Mapping

RUNNING: Final = "RUNNING"
SUCCEEDED: Final = "SUCCEEDED"
FAILED: Final = "FAILED"
STOPPED: Final = "STOPPED"

MAX_RUN_REASON = 2000
MAX_LISTED = 50
LOCK_SECONDS = 10


class Executions(Protocol):
    """What the runs need of Step Functions."""

    def is_running(self, arn: str) -> bool:
        """Tell whether an execution still runs; one that is not known does not."""
        ...


class Runs:
    """The runs in one database."""

    def __init__(self, aurora: Aurora, database: str) -> None:
        self._aurora = aurora
        self._table = f"{quote(database)}.{quote(RUNS)}"
        self._ledger = f"{quote(database)}.{quote(IMPORTS)}"
        self._generations = f"{quote(database)}.{quote(GENERATIONS)}"

    def count_batches_of_others(self, request: Request, executions: Executions) -> int:
        """Return how many batches other runs that are under way may work on at the same time, whatever their mapping.

        A run that was not closed, but whose execution has ended or is of another stack, works on none.
        """
        others = self._aurora.query(
            f"SELECT execution, options FROM {self._table} WHERE state = %s AND NOT (mapping = %s AND run = %s)",
            (RUNNING, request.mapping, request.run),
        )
        taken = 0
        for execution, options in others:
            with suppress(AccessDeniedError):
                taken += int(json.loads(options)["max_concurrency"]) if executions.is_running(execution) else 0
        return taken

    def open(self, request: Request, mapping: Mapping, execution: str, executions: Executions) -> None:
        """Open a run for an execution, or open it again.

        Raises RunConflictError where another execution works on it, or where it was begun with another mapping or
        export.
        """
        options = json.dumps(asdict(request.options))
        if request.kind == REPROCESS:
            self._check_alone(request.run, mapping, executions)
        with self._aurora.transaction():
            # Of executions that open a run at once, all but the first wait here, and then find the first one's row.
            self._aurora.execute(
                f"INSERT INTO {self._table} (run, kind, mapping, mapping_digest, state, execution, options, started_at)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s, UTC_TIMESTAMP(6)) ON DUPLICATE KEY UPDATE run = run",
                (request.run, request.kind, mapping.name, mapping.digest, RUNNING, execution, options),
            )
            (found,) = self._aurora.query(
                "SELECT state, execution, kind, mapping_digest, options, items"
                f" FROM {self._table} WHERE run = %s AND mapping = %s",
                (request.run, mapping.name),
            )
            self._check_repeat(request, mapping, execution, executions, *found)
            self._aurora.execute(
                f"UPDATE {self._table} SET state = %s, execution = %s, options = %s, mapping_digest = %s,"
                " reason = NULL, ended_at = NULL WHERE run = %s AND mapping = %s",
                (RUNNING, execution, options, mapping.digest, request.run, mapping.name),
            )
        with suppress(RetryableError, AccessDeniedError):  # where nobody answers, the run goes on
            if not executions.is_running(execution):
                self.close(request.run, execution, STOPPED, None, "It was stopped while it was being opened.")

    def _check_alone(self, run: str, mapping: Mapping, executions: Executions) -> None:
        """Refuse a reprocess beside another one: both would take up the same objects.

        The lock, which the connection keeps to its end, lets one of those that start at once look and enter its row.
        """
        name = f"dynaurora/{mapping.digest[:32]}"
        ((locked,),) = self._aurora.query("SELECT GET_LOCK(%s, %s)", (name, LOCK_SECONDS))
        if not locked:
            raise LockWaitError(f"Another reprocess of {mapping.name} is being started.")
        others = self._aurora.query(
            f"SELECT run, execution FROM {self._table} WHERE kind = %s AND mapping = %s AND state = %s AND run <> %s",
            (REPROCESS, mapping.name, RUNNING, run),
        )
        for other, execution in others:
            if executions.is_running(execution):
                raise RunConflictError(f"Run {other} is reprocessing the failures of {mapping.name}: {execution}.")
            self.close(other, execution, FAILED, None, "Its execution ended without closing it.")

    def _check_repeat(
        self,
        request: Request,
        mapping: Mapping,
        execution: str,
        executions: Executions,
        state: str,
        earlier: str,
        its_kind: str,
        its_digest: str,
        its_options: str,
        its_items: int | None,
    ) -> None:
        """Refuse to repeat what is not the same run, or has not ended; a dead execution's run is taken over."""
        if its_kind != request.kind:
            raise RunConflictError(f"Run {request.run} is a {its_kind} of {mapping.name}, and not a {request.kind}.")
        is_planned = its_items is not None
        request.check_repeat(mapping, its_digest, json.loads(its_options), is_planned=is_planned)
        # One that was stopped may have been redriven.
        if state in {RUNNING, STOPPED} and earlier != execution and executions.is_running(earlier):
            raise RunConflictError(f"Run {request.run} is worked on by {earlier}.")

    def close(self, run: str, execution: str, state: str, plan: dict[str, Any] | None, reason: str | None) -> bool:
        """Close a run with what the ledger says of it; return False where this execution does not have it open."""
        if not is_run_id(run):
            return False
        export_second = (plan or {}).get("export_second")
        of_run = f"WHERE i.run = %s AND i.mapping = {self._table}.mapping AND i.source = kind"
        with self._aurora.transaction():
            changed = self._aurora.execute(
                f"UPDATE {self._table} SET state = %s, reason = %s, ended_at = UTC_TIMESTAMP(6),"
                " export_arn = COALESCE(%s, export_arn), export_time = COALESCE(%s, export_time),"
                " items = COALESCE(%s, items),"
                f" rows_imported = (SELECT COALESCE(SUM(rows_changed), 0) FROM {self._ledger} AS i {of_run}),"
                f" rows_rejected = (SELECT COALESCE(SUM(rows_rejected), 0) FROM {self._ledger} AS i {of_run})"
                " WHERE run = %s AND execution = %s AND state IN (%s, %s)",
                (
                    state,
                    reason[:MAX_RUN_REASON] if reason else None,
                    (plan or {}).get("export_arn"),
                    datetime.fromtimestamp(export_second, UTC).replace(tzinfo=None) if export_second else None,
                    (plan or {}).get("items"),
                    *(run, run, run, execution, RUNNING, STOPPED),  # one that was stopped may have been redriven
                ),
            )
        return changed > 0

    def describe(self, mapping: str, run: str | None = None, kind: str | None = None) -> list[dict[str, Any]]:
        """Return one run, or the newest of a mapping and kind, newest first, each with its progress by the ledger."""
        if not (run is None or is_run_id(run)):
            return []
        rows = self._aurora.query(
            f"SELECT {', '.join(ROW)}, {', '.join(PROGRESS.values())}"
            f" FROM (SELECT *, (SELECT MAX(g.generation) FROM {self._generations} AS g WHERE g.mapping = s.mapping"
            f" AND g.digest = s.mapping_digest) AS generation FROM {self._table} AS s WHERE mapping = %s"
            " AND (%s IS NULL OR run = %s) AND (%s IS NULL OR kind = %s)"
            f" ORDER BY started_at DESC LIMIT {MAX_LISTED}) AS r"
            f" LEFT JOIN {self._ledger} AS i ON i.run = r.run AND i.mapping = r.mapping AND i.source = r.kind"
            " GROUP BY r.run ORDER BY r.started_at DESC",
            (mapping, run, run, kind, kind),
        )
        return [_describe(*row) for row in rows]

    def summarize(self, mapping: str, kind: str) -> dict[str, Any] | None:
        """Return the newest run of a mapping and kind, by its row alone; None where there was none."""
        columns = ("run", "state", "reason", "started_at", "ended_at", "items", "rows_imported", "rows_rejected")
        rows = self._aurora.query(
            f"SELECT {', '.join(columns)} FROM {self._table} WHERE mapping = %s AND kind = %s"
            " ORDER BY started_at DESC LIMIT 1",
            (mapping, kind),
        )
        return dict(zip(columns, map(_plain, rows[0]), strict=True)) if rows else None

    def find_last_import(self, mapping: str) -> str | None:
        """Return when the last batch of a mapping was imported, by the ledger; None where none was."""
        rows = self._aurora.query(
            f"SELECT finished_at FROM {self._ledger} WHERE mapping = %s AND finished_at IS NOT NULL"
            " ORDER BY finished_at DESC LIMIT 1",
            (mapping,),
        )
        return str(_plain(rows[0][0])) if rows else None


ROW = (
    *("r.run", "r.kind", "r.mapping", "r.state", "r.execution", "r.options", "r.reason", "r.started_at", "r.ended_at"),
    *("r.export_arn", "r.export_time", "r.items", "r.rows_imported", "r.rows_rejected"),
    *("r.mapping_digest", "r.generation"),
)
PROGRESS = {
    "batches_imported": "COUNT(i.batch_id)",
    "rows_staged": "COALESCE(SUM(i.rows_staged), 0)",
    "rows_changed": "COALESCE(SUM(i.rows_changed), 0)",
    "rows_rejected": "COALESCE(SUM(i.rows_rejected), 0)",
    "retries": "COALESCE(SUM(i.retries), 0)",
    "last_import_at": "MAX(i.finished_at)",
}


def _describe(*values: Any) -> dict[str, Any]:
    row = dict(zip((name.removeprefix("r.") for name in ROW), map(_plain, values), strict=False))
    progress = dict(zip(PROGRESS, map(_plain, values[len(ROW) :]), strict=True))
    return {**row, "options": json.loads(row["options"]), "progress": progress}


def _plain(value: Any) -> Any:
    """Return a value of the database as JSON has it: sums as integers, times, which are UTC, in ISO 8601."""
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds") + "Z"
    return int(value) if isinstance(value, Decimal) else value
