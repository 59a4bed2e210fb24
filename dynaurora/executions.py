"""Executions of state machines, as far as the functions ask about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

from dynaurora import aws

if TYPE_CHECKING:
    from datetime import datetime

EXECUTIONS_PAGE: Final = 1000
"""The most that ListExecutions answers at once; unasked, it answers a hundred."""


class StepFunctionsExecutions:
    """The real ones."""

    def is_running(self, arn: str) -> bool:
        """Tell whether an execution still runs; one that is not known does not."""
        try:
            with aws.translated_errors():
                status: str = aws.client("stepfunctions").describe_execution(executionArn=arn)["status"]
        except ClientError as error:
            if error.response["Error"]["Code"] == "ExecutionDoesNotExist":
                return False
            raise
        return status in {"RUNNING", "PENDING_REDRIVE"}

    def count_running(self, machine_arn: str, before: datetime) -> int:
        """Return how many executions of a state machine have been running since before a time."""
        with aws.translated_errors():
            pages = (
                aws.client("stepfunctions")
                .get_paginator("list_executions")
                .paginate(
                    stateMachineArn=machine_arn, statusFilter="RUNNING", PaginationConfig={"PageSize": EXECUTIONS_PAGE}
                )
            )
            return sum(execution["startDate"] < before for page in pages for execution in page["executions"])
