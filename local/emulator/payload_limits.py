"""Step Functions: no input and no result above 262,144 bytes.

- A state's input, a task's result, and what a state hands on: the execution fails with States.DataLimitExceeded.
  A task's result can be caught, but only by that name: States.ALL does not match it.
- The input of StartExecution: ValidationException.

Source: Step Functions developer guide, "Quotas related to state machine executions" (the size is that of the JSON as
UTF-8 text) and "Handling errors in Step Functions workflows"; API reference, "StartExecution".
"""

import json
from typing import Any

from ministack.core import responses
from ministack.services import stepfunctions

from local.emulator.replacements import Replacements

LARGEST_PAYLOAD_BYTES = 262_144


def install(emulator: Replacements) -> None:
    """Plan the replacements of this behaviour."""
    module = stepfunctions.__name__
    emulator.wrap(module, "_start_execution", "(data)", _refuse_large_input)
    emulator.wrap(module, "_start_sync_execution", "(data)", _refuse_large_input)
    emulator.wrap(module, "_invoke_resource", "(resource, input_data)", _check_task)
    for name in ("pass", "choice", "wait"):
        emulator.wrap(module, f"_execute_{name}", "(state_def, raw_input, ctx=None)", _check_state)
    for name in ("task", "parallel", "map"):
        emulator.wrap(module, f"_execute_{name}", "(state_def, raw_input, execution, ctx)", _check_state)


def fits(value: Any) -> bool:
    """Whether a value may be an input or a result."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()) <= LARGEST_PAYLOAD_BYTES


def check_result(name: str, value: Any) -> None:
    """Raise States.DataLimitExceeded, naming a state or the service of a task, if its result is too large."""
    if not fits(value):
        raise stepfunctions._ExecutionError(
            "States.DataLimitExceeded",
            f"The state/task '{name}' returned a result with a size exceeding the maximum number of bytes service "
            "limit.",
        )


def _check_input(name: str, value: Any) -> None:
    if not fits(value):
        raise stepfunctions._ExecutionError(
            "States.DataLimitExceeded",
            f"The state/task '{name}' was given an input with a size exceeding the maximum number of bytes service "
            "limit.",
        )


def _check_state(original: Any) -> Any:
    def execute(state_def: dict[str, Any], raw_input: Any, *rest: Any) -> Any:
        name = rest[-1]["State"]["Name"] if rest and rest[-1] else state_def["Type"]
        _check_input(name, raw_input)
        output, following = original(state_def, raw_input, *rest)
        check_result(name, output)
        return output, following

    return execute


def _check_task(original: Any) -> Any:
    def invoke(resource: str, input_data: Any) -> Any:
        service = _name_service(resource)
        _check_input(service, input_data)
        result = original(resource, input_data)
        check_result(service, result)
        return result

    return invoke


def _name_service(resource: str) -> str:
    """Return what AWS calls a task's resource type: ``lambda``, ``states``, ``aws-sdk:dynamodb``."""
    parts = resource.split(":")
    if parts[2:3] == ["states"] and len(parts) > 6:
        return ":".join(parts[5:-1]) if parts[5] == "aws-sdk" else parts[5]
    return parts[2] if len(parts) > 2 else resource


def _refuse_large_input(original: Any) -> Any:
    def start(data: dict[str, Any]) -> Any:
        if len(data.get("input", "").encode()) > LARGEST_PAYLOAD_BYTES:
            return responses.error_response_json(
                "ValidationException",
                "1 validation error detected: Value at 'input' failed to satisfy constraint: Member must have length "
                f"less than or equal to {LARGEST_PAYLOAD_BYTES}",
                400,
            )
        return original(data)

    return start
