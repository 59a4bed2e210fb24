"""Step Functions: ``states:startExecution.sync`` and ``.sync:2``, the task that awaits another execution.

- What is started is an execution like any other: it publishes its status and can be stopped by itself.
- Once it has ended in any other way than well, the task fails with ``States.TaskFailed``, whatever the execution's own
  error is; the cause is its description as JSON: Error, Cause, ExecutionArn, Input (as text), Status and so on.
- When the awaiting execution ends first, the awaited one is stopped.
- An execution that cannot be started fails the task with ``StepFunctions.`` and the API's exception.

Source: Step Functions developer guide, "Start a new AWS Step Functions state machine from a running execution" and
"Run a Job (.sync)". That the error is always States.TaskFailed was observed on AWS by others, for every ending.
"""

import json
from typing import Any

from ministack.services import stepfunctions

from local.emulator import executions
from local.emulator.replacements import Replacements


def install(emulator: Replacements) -> None:
    """Plan the replacements of this behaviour."""
    module = stepfunctions.__name__
    emulator.require(module, "_nested_start_execution_request", "(input_data)")
    emulator.replace(module, "_invoke_nested_start_execution_sync", "(resource, input_data)", run_nested)


def run_nested(resource: str, input_data: dict[str, Any]) -> dict[str, Any]:
    """Start an execution and await its end; its description."""
    nested = start_nested(input_data)
    awaiting = executions.find_current()
    if awaiting is None:
        executions.wait_for(nested)
    else:
        with executions.watch(awaiting, lambda: stop_nested(nested)):
            executions.wait_for(nested)
    description = executions.describe(nested, stepfunctions._iso_to_epoch_ms)
    if nested["status"] != "SUCCEEDED":
        raise stepfunctions._ExecutionError("States.TaskFailed", json.dumps(description, separators=(",", ":")))
    if resource.endswith(".sync:2"):
        description |= {name: json.loads(description[name]) for name in ("Input", "Output")}
    return description


def start_nested(input_data: dict[str, Any]) -> dict[str, Any]:
    """Start an execution; it. A refusal fails the task by the name that AWS gives to it."""
    status, _, body = stepfunctions._start_execution(stepfunctions._nested_start_execution_request(input_data))
    answer = json.loads(body)
    if status >= 400:
        name = answer["__type"].removesuffix("Exception")
        raise stepfunctions._ExecutionError(f"StepFunctions.{name}Exception", answer.get("message", ""))
    execution: dict[str, Any] = stepfunctions._executions[answer["executionArn"]]
    return execution


def stop_nested(execution: dict[str, Any]) -> None:
    """Stop an execution that is no longer awaited."""
    executions.end(execution, "ABORTED", error=None, cause=None)
