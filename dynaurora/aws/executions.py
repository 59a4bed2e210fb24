"""Executions of state machines, as far as the functions ask about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from botocore.exceptions import ClientError

from dynaurora.aws import sdk

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

EXECUTIONS_PAGE: Final = 1000
"""The most that ListExecutions answers at once; unasked, it answers a hundred."""


class StepFunctionsExecutions:
    """The real ones."""

    def is_running(self, arn: str) -> bool:
        """Tell whether an execution still runs; one that is not known does not."""
        try:
            with sdk.translated_errors():
                status: str = sdk.client("stepfunctions").describe_execution(executionArn=arn)["status"]
        except ClientError as error:
            if error.response["Error"]["Code"] == "ExecutionDoesNotExist":
                return False
            raise
        return status in {"RUNNING", "PENDING_REDRIVE"}

    def count_running(self, machine_arn: str, before: datetime) -> int:
        """Return how many executions of a state machine have been running since before a time."""
        with sdk.translated_errors():
            pages = (
                sdk.client("stepfunctions")
                .get_paginator("list_executions")
                .paginate(
                    stateMachineArn=machine_arn, statusFilter="RUNNING", PaginationConfig={"PageSize": EXECUTIONS_PAGE}
                )
            )
            return sum(execution["startDate"] < before for page in pages for execution in page["executions"])


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
class ExecutionHistory:
    """The real one."""

    def steps(self, execution: str) -> Iterator[Step]:
        """Yield the states that an execution has entered, in their order."""
        with sdk.translated_errors():
            pages = sdk.client("stepfunctions").get_paginator("get_execution_history")
            for page in pages.paginate(executionArn=execution, includeExecutionData=False):
                for event in page["events"]:
                    details = event.get("stateEnteredEventDetails")
                    if details:
                        yield Step(details["name"], event["timestamp"])
