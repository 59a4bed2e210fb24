"""What Step Functions knows of a run: its executions, their history, and their Distributed Maps."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from dynaurora.errors import InvalidRunError, RunConflictError
from dynaurora.failures.failed_batches import read_error
from dynaurora.runs import runs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from mypy_boto3_stepfunctions import SFNClient

STATES: Final = {
    "RUNNING": runs.RUNNING,
    "PENDING_REDRIVE": runs.FAILED,
    "SUCCEEDED": runs.SUCCEEDED,
    "FAILED": runs.FAILED,
    "TIMED_OUT": runs.FAILED,
    "ABORTED": runs.STOPPED,
}
"""A run's state by its execution's status."""
FAILURES: Final = {
    "TaskFailed": "taskFailedEventDetails",
    "TaskTimedOut": "taskTimedOutEventDetails",
    "TaskStartFailed": "taskStartFailedEventDetails",
    "TaskSubmitFailed": "taskSubmitFailedEventDetails",
}
"""Events of an attempt that failed, and where their error is."""
REFUSED: Final = "REFUSED"
"""The state of a run that was not begun, because another one is under way; its execution ends as if nothing were."""
REFUSALS: Final = frozenset({RunConflictError.__name__, InvalidRunError.__name__})
"""Errors of an execution that was not let do its run, whatever becomes of that run."""
EVENTS_PAGE: Final = 500
EXECUTIONS_PAGE: Final = 1000
LISTED_MOST: Final = 10_000
EXPORT_STATES: Final = frozenset({"Start export", "Start incremental export", "Describe export"})
"""States whose output has what DynamoDB says of the export."""
RETRIES_READ: Final = 10
"""Most histories that are read to see what is being retried."""


@dataclass(frozen=True, slots=True)
class Execution:
    """One execution, as DescribeExecution has it; without input and output where it is only listed."""

    arn: str
    name: str
    status: str
    started_at: datetime
    ended_at: datetime | None = None
    input: dict[str, Any] = field(default_factory=dict)
    output: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    cause: str | None = None

    @property
    def state(self) -> str:
        """The run's state, in the words of `dynaurora.runs.runs`, or REFUSED."""
        return REFUSED if self.refusal else STATES[self.status]

    @property
    def refusal(self) -> str | None:
        """Why the run was not begun, where that is how it ended."""
        error, reason = read_error(self.output)
        return reason if error == RunConflictError.__name__ else None

    @property
    def was_refused(self) -> bool:
        """Whether it did nothing of its run, because it was not let; known of one that was described."""
        return self.refusal is not None or (self.status == "FAILED" and self.error in REFUSALS)

    @property
    def found_nothing(self) -> bool:
        """Whether it opened no run, since nothing had failed; known of one that was described."""
        return self.output.get("look") == {"anything": False}

    def is_of(self, mapping: str) -> bool:
        """Tell whether its run is one of a mapping, as far as is known: a platform's machines serve all of them."""
        return bool(self.input.get("mapping", mapping) == mapping)

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self.state == runs.RUNNING

    @classmethod
    def from_answer(cls, answer: Mapping[str, Any]) -> Execution:
        """Return the execution that DescribeExecution answers, or that ListExecutions lists."""
        return cls(
            arn=answer["executionArn"],
            name=answer["name"],
            status=answer["status"],
            started_at=answer["startDate"],
            ended_at=answer.get("stopDate"),
            input=_read_object(answer.get("input")),
            output=_read_object(answer.get("output")),
            error=answer.get("error"),
            cause=answer.get("cause"),
        )


@dataclass(frozen=True, slots=True)
class Export:
    """An export as DynamoDB answered when the state machine last asked, once a minute."""

    status: str
    """IN_PROGRESS, COMPLETED or FAILED; of its size nothing is told before it has ended."""
    asked_at: datetime


@dataclass(slots=True)
class History:
    """What an execution's events tell; `add` takes those that are new."""

    plan_state: str
    """The state that plans."""
    last_id: int = 0
    entered: list[tuple[str, datetime]] = field(default_factory=list)
    """Names of the states that were entered, and when, in order."""
    plan: dict[str, Any] | None = None
    """What that answered."""
    export: Export | None = None

    @property
    def state(self) -> str | None:
        """The state that was entered last."""
        return self.entered[-1][0] if self.entered else None

    def add(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Take the next events, oldest first."""
        for event in events:
            self.last_id = event["id"]
            if entered := event.get("stateEnteredEventDetails"):
                self.entered.append((entered["name"], event["timestamp"]))
            exited = event.get("stateExitedEventDetails")
            if exited and exited["name"] == self.plan_state:
                self.plan = _read_object(exited.get("output")).get("plan", self.plan)
            if exited and exited["name"] in EXPORT_STATES:
                self._take_export(_read_object(exited.get("output")), event["timestamp"])

    def _take_export(self, output: dict[str, Any], asked_at: datetime) -> None:
        description = (output.get("export") or {}).get("ExportDescription") or {}
        if status := description.get("ExportStatus"):
            self.export = Export(str(status), asked_at)

    def find_entered_at(self, state: str) -> datetime | None:
        """Return when a state was entered first; None where it was not."""
        return next((time for name, time in self.entered if name == state), None)


@dataclass(frozen=True, slots=True)
class MapCounts:
    """How many items a Distributed Map has, by what became of them."""

    total: int
    running: int
    succeeded: int
    failed: int
    stopped: int
    """Aborted with the execution, or when too many had failed."""

    @classmethod
    def from_answer(cls, answer: Mapping[str, Any]) -> MapCounts:
        """Return the counts that DescribeMapRun answers."""
        counts = answer["itemCounts"]
        failed = counts["failed"] + counts["timedOut"]
        return cls(counts["total"], counts["running"], counts["succeeded"], failed, counts["aborted"])


@dataclass(frozen=True, slots=True)
class Retrying:
    """An error that imports which are running now have met, and are being retried after."""

    error: str
    times: int
    batches: int


def describe_execution(states: SFNClient, arn: str) -> Execution | None:
    """Return an execution; None where Step Functions does not know it."""
    try:
        return Execution.from_answer(states.describe_execution(executionArn=arn))
    except states.exceptions.ExecutionDoesNotExist:
        return None


def list_executions(states: SFNClient, machine_arn: str, most: int = LISTED_MOST) -> list[Execution]:
    """Return the executions of a state machine, newest first, without their inputs."""
    pages = states.get_paginator("list_executions").paginate(
        stateMachineArn=machine_arn, PaginationConfig={"MaxItems": most, "PageSize": EXECUTIONS_PAGE}
    )
    found = [Execution.from_answer(listed) for page in pages for listed in page["executions"]]
    return sorted(found, key=lambda execution: execution.started_at, reverse=True)


def choose_standing(executions: Iterable[Execution]) -> Execution | None:
    """Return, of the described executions of one run, the one that stands for it; None where there is none.

    That is the one that runs; of two, the older one, for the other is about to be refused. Where none runs it is the
    newest, but one that was refused only where all were.
    """
    newest_first = sorted(executions, key=lambda execution: execution.started_at, reverse=True)
    running = [execution for execution in newest_first if execution.is_running]
    done = [execution for execution in newest_first if not execution.was_refused]
    return next(iter(running[-1:] or done or newest_first), None)


def find_running(states: SFNClient, machine_arn: str, mapping: str) -> Execution | None:
    """Return an execution of a state machine that runs for a mapping, the newest; None where none does."""
    return next((found for found in read_running(states, machine_arn) if found.is_of(mapping)), None)


def read_running(states: SFNClient, machine_arn: str) -> Iterator[Execution]:
    """Yield the executions of a state machine that run, described, newest first."""
    listed = states.list_executions(stateMachineArn=machine_arn, statusFilter="RUNNING", maxResults=EXECUTIONS_PAGE)
    newest = sorted(map(Execution.from_answer, listed["executions"]), key=lambda found: found.started_at, reverse=True)
    yield from filter(None, (describe_execution(states, found.arn) for found in newest))


def read_history(states: SFNClient, arn: str, history: History) -> None:
    """Add the events to a history that it does not have yet."""
    pages = states.get_paginator("get_execution_history").paginate(
        executionArn=arn, reverseOrder=True, PaginationConfig={"PageSize": EVENTS_PAGE}
    )
    new: list[Mapping[str, Any]] = []
    for page in pages:
        unseen = [event for event in page["events"] if event["id"] > history.last_id]
        new += unseen
        if len(unseen) < len(page["events"]):
            break
    history.add(reversed(new))


def count_map_items(states: SFNClient, arn: str) -> dict[str, MapCounts]:
    """Return the counts of an execution's Distributed Maps by their labels.

    A map that was retried as a whole has several Map Runs; the newest counts.
    """
    pages = states.get_paginator("list_map_runs").paginate(executionArn=arn)
    listed = [found for page in pages for found in page["mapRuns"]]
    newest = {read_label(found["mapRunArn"]): found for found in sorted(listed, key=lambda found: found["startDate"])}
    return {
        label: MapCounts.from_answer(states.describe_map_run(mapRunArn=found["mapRunArn"]))
        for label, found in newest.items()
    }


def read_label(map_run_arn: str) -> str:
    """Return the label in a Map Run's ARN: `arn:aws:states:…:mapRun:<state machine>/<label>:<id>`."""
    return map_run_arn.rpartition("/")[2].partition(":")[0]


def find_retrying(states: SFNClient, import_batch_arn: str, run: str) -> list[Retrying]:
    """Return what the imports of a run that are running now are being retried after, the most frequent first.

    Reads the histories of those that have run for longest, RETRIES_READ at most.
    """
    listed = states.list_executions(
        stateMachineArn=import_batch_arn, statusFilter="RUNNING", maxResults=EXECUTIONS_PAGE
    )["executions"]
    oldest = sorted(listed, key=lambda found: found["startDate"])[:RETRIES_READ]
    histories = [
        states.get_execution_history(executionArn=found["executionArn"], maxResults=EVENTS_PAGE)["events"]
        for found in oldest
    ]
    return count_retried(histories, run)


def count_retried(histories: Iterable[Iterable[Mapping[str, Any]]], run: str) -> list[Retrying]:
    """Return the errors in the histories of imports of a run, the most frequent first."""
    times, batches = Counter[str](), Counter[str]()
    for history in histories:
        events = list(history)
        if _read_batch_run(events) == run:
            failures = Counter(filter(None, map(_read_error, events)))
            times.update(failures)
            batches.update(failures.keys())
    return [Retrying(error, count, batches[error]) for error, count in times.most_common()]


def _read_batch_run(events: list[Mapping[str, Any]]) -> str | None:
    """Return the run that an import's batch belongs to; None for one of the stream."""
    started = events[0].get("executionStartedEventDetails", {}) if events else {}
    batch = _read_object(started.get("input")).get("batch")
    return batch.get("run") if isinstance(batch, dict) else None


def _read_error(event: Mapping[str, Any]) -> str | None:
    details = FAILURES.get(event["type"])
    return event.get(details, {}).get("error") or event["type"] if details else None


def _read_object(text: str | None) -> dict[str, Any]:
    """Return the JSON object in a text; an empty one where it holds none."""
    try:
        document = json.loads(text or "{}")
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
