"""Executions of state machines, as far as the functions ask about them."""

from __future__ import annotations

from botocore.exceptions import ClientError

from dynaurora import aws


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
