"""What AWS and the database answer about runs, to vary in a test."""

import io
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from backfill.deployment.deployments import Deployment
from backfill.kinds import BACKFILL, Kind
from backfill.runs.executions import Execution
from backfill.runs.run_view import RunView

STARTED = datetime(2026, 11, 23, 8, 15, tzinfo=UTC)
RUN = "20261123T081500Z"
MACHINES = "arn:aws:states:us-east-1:000000000000:stateMachine:clicks"
DEPLOYMENT = Deployment(
    stack="clicks",
    platform="platform",
    mapping="web_analytics",
    table="web_analytics",
    bucket="landing",
    backfill_table_arn=f"{MACHINES}-backfill-table",
    reprocess_failures_arn=f"{MACHINES}-reprocess-failures",
    import_batch_arn=f"{MACHINES}-import-batch",
    describe_runs="clicks-describe-runs",
    check_target="clicks-check-target",
    event_source_mapping="14e0db71",
    failures_topic="arn:aws:sns:eu-west-1:123456789012:clicks-failures",
)
PLAN = {
    "export_arn": "arn:aws:dynamodb:us-east-1:000000000000:table/web_analytics/export/01700000000000-0123abcd",
    "items": 120_000,
    "files": 14,
    "files_empty": 2,
    "batches": 12,
}


def after(seconds: float) -> datetime:
    """Return a time so long after the start."""
    return STARTED + timedelta(seconds=seconds)


def make_execution(
    name: str = f"web_analytics-{RUN}", status: str = "RUNNING", kind: Kind = BACKFILL, **changed: Any
) -> Execution:
    """Return an execution of backfill_table, or of reprocess_failures."""
    fields: dict[str, Any] = {"arn": DEPLOYMENT.execution_arn(kind, name), "name": name, "started_at": STARTED}
    return Execution(**(fields | {"status": status} | changed))


def make_row(run: str = RUN, kind: Kind = BACKFILL, **changed: Any) -> dict[str, Any]:
    """Return a run as describe_runs has it."""
    progress = {
        "batches_imported": 3,
        "rows_staged": 30_000,
        "rows_changed": 29_990,
        "rows_rejected": 4,
        "retries": 2,
        "last_import_at": "2026-11-23T08:16:40Z",
    }
    row = {
        "run": run,
        "kind": kind.name,
        "mapping": "web_analytics",
        "state": "RUNNING",
        "execution": DEPLOYMENT.execution_arn(kind, f"web_analytics-{run}"),
        "options": {},
        "reason": None,
        "started_at": "2026-11-23T08:15:00Z",
        "ended_at": None,
        "items": None,
        "rows_imported": None,
        "rows_rejected": None,
        "progress": progress,
    }
    return row | changed


def make_view(**changed: Any) -> RunView:
    """Return a view of a run that has run for 75 s."""
    fields: dict[str, Any] = {
        "kind": BACKFILL,
        "run": RUN,
        "mapping": "web_analytics",
        "stack": "clicks",
        "bucket": "landing",
        "state": "RUNNING",
        "phase": "importing",
        "seen_at": after(75),
        "started_at": STARTED,
        "ended_at": None,
    }
    return RunView(**(fields | changed))


def entered(event_id: int, state: str, seconds: float = 0) -> dict[str, Any]:
    """Return the event of a state that is entered."""
    return {"id": event_id, "timestamp": after(seconds), "stateEnteredEventDetails": {"name": state, "input": "{}"}}


class ExecutionDoesNotExist(Exception):
    """What DescribeExecution answers of an execution that it does not know."""


class FakeStates:
    """Step Functions with these executions and, for each of them, these pages of Map Runs."""

    exceptions = SimpleNamespace(ExecutionDoesNotExist=ExecutionDoesNotExist)

    def __init__(self, executions: Iterable[Execution] = (), map_runs: Iterable[list[dict[str, Any]]] = ()) -> None:
        self.executions = {execution.arn: execution for execution in executions}
        self.map_runs = list(map_runs)
        self.described: list[str] = []

    def describe_execution(self, executionArn: str) -> dict[str, Any]:  # noqa: N803 (the SDK's name)
        """Answer all of an execution."""
        self.described.append(executionArn)
        if executionArn not in self.executions:
            raise ExecutionDoesNotExist
        found = self.executions[executionArn]
        answer = {"input": json.dumps(found.input), "output": json.dumps(found.output)}
        return self._list_one(found) | answer | {"error": found.error, "cause": found.cause}

    def describe_map_run(self, mapRunArn: str) -> dict[str, Any]:  # noqa: N803 (the SDK's name)
        """Answer the counts of a Map Run."""
        return next(found for page in self.map_runs for found in page if found["mapRunArn"] == mapRunArn)

    def get_paginator(self, operation: str) -> Any:
        """Answer what goes through the pages of a list."""
        executions = [{"executions": [self._list_one(found)]} for found in self.executions.values()]
        pages = {"list_executions": executions, "list_map_runs": [{"mapRuns": page} for page in self.map_runs]}
        return SimpleNamespace(paginate=lambda **_: pages[operation])

    def _list_one(self, found: Execution) -> dict[str, Any]:
        times = {"startDate": found.started_at, "stopDate": found.ended_at}
        return {"executionArn": found.arn, "name": found.name, "status": found.status, **times}


class FakeFunctions:
    """Lambda with a function describe_runs that answers these rows; None for one that fails."""

    def __init__(self, rows: Iterable[dict[str, Any]] | None = ()) -> None:
        self.rows = rows

    def invoke(self, Payload: bytes, **_: Any) -> dict[str, Any]:  # noqa: N803 (the SDK's name)
        """Answer the rows that are asked for."""
        if self.rows is None:
            answer = {"errorType": "DatabaseUnavailableError", "errorMessage": "Away."}
            return {"FunctionError": "Unhandled", "Payload": io.BytesIO(json.dumps(answer).encode())}
        run = json.loads(Payload)["run"]
        found = [row for row in self.rows if run in {None, row["run"]}]
        return {"Payload": io.BytesIO(json.dumps({"runs": found}).encode())}


def make_clients(executions: Iterable[Execution] = (), rows: Iterable[dict[str, Any]] | None = ()) -> Any:
    """Return clients of services that know these executions and rows."""
    return SimpleNamespace(states=FakeStates(executions), functions=FakeFunctions(rows), s3=None)


def make_refused(
    name: str = f"web_analytics-{RUN}-2", run: str = RUN, seconds: float = 60, **changed: Any
) -> Execution:
    """Return the execution of a backfill that was refused, because another one does its run."""
    fields: dict[str, Any] = {"error": "RunConflictError", "cause": "It is being worked on.", "input": {"run": run}}
    return make_execution(name, "FAILED", started_at=after(seconds), ended_at=after(seconds + 2), **(fields | changed))
