"""Step Functions: mocked service integrations, one response per attempt.

The configuration is AWS Step Functions Local's own (developer guide, "Using mocked service integrations"): a test
case names, for each state, a list of responses by attempt ("0", "1-3"). The emulator reads it, but looks up one
response per state: a retried task would meet the same error for ever. Here every attempt has its own.

An attempt that the configuration has no response for fails with States.Runtime, instead of calling the real service.
"""

import contextvars
from dataclasses import dataclass
from typing import Any

from ministack.services import stepfunctions

from local.emulator.replacements import Replacements


@dataclass(frozen=True)
class MockedTask:
    """The task that is being executed, if a test case mocks it."""

    machine: str
    test_case: str
    state: str
    attempts: dict[str, int]


_task: contextvars.ContextVar[MockedTask | None] = contextvars.ContextVar("mocked_task", default=None)


def install(emulator: Replacements) -> None:
    """Plan the replacements of this behaviour."""
    module = stepfunctions.__name__
    emulator.wrap(module, "_execute_task", "(state_def, raw_input, execution, ctx)", _note_task)
    emulator.wrap(
        module,
        "_get_mock_response",
        "(sm_name: str, test_case: str, state_name: str, attempt: int) -> dict | None",
        _leave_to_attempts,
    )
    emulator.wrap(module, "_invoke_resource", "(resource, input_data)", _answer_attempt)
    emulator.wrap(module, "_invoke_with_callback", "(resource, input_data, token, state_def)", _answer_attempt)


def _note_task(original: Any) -> Any:
    def execute(state_def: dict[str, Any], raw_input: Any, execution: dict[str, Any], ctx: dict[str, Any]) -> Any:
        token = _task.set(_find_mocked_task(execution, ctx))
        try:
            return original(state_def, raw_input, execution, ctx)
        finally:
            _task.reset(token)

    return execute


def _leave_to_attempts(original: Any) -> Any:
    def get_mock_response(sm_name: str, test_case: str, state_name: str, attempt: int) -> Any:
        return None if _task.get() is not None else original(sm_name, test_case, state_name, attempt)

    return get_mock_response


def _answer_attempt(original: Any) -> Any:
    def invoke(*arguments: Any) -> Any:
        task = _task.get()
        return original(*arguments) if task is None else _take_response(task)

    return invoke


def _find_mocked_task(execution: dict[str, Any] | None, ctx: dict[str, Any]) -> MockedTask | None:
    machine, state = ctx["StateMachine"]["Name"], ctx["State"]["Name"]
    test_case = (execution or {}).get("testCase") or ""
    configured = stepfunctions._sfn_mock_config.get("StateMachines", {}).get(machine, {}).get("TestCases", {})
    if execution is None or state not in configured.get(test_case, {}):
        return None
    return MockedTask(machine, test_case, state, execution["mockAttempts"])


def _take_response(task: MockedTask) -> Any:
    """Return what the next attempt returns, or raise what it throws."""
    attempt = task.attempts.get(task.state, 0)
    task.attempts[task.state] = attempt + 1
    machine = stepfunctions._sfn_mock_config["StateMachines"][task.machine]
    name = machine["TestCases"][task.test_case][task.state]
    response = _find_response(stepfunctions._sfn_mock_config["MockedResponses"].get(name, {}), attempt)
    if response is None:
        raise stepfunctions._ExecutionError(
            "States.Runtime", f"{name} has no response for attempt {attempt} of state {task.state!r}."
        )
    if "Throw" in response:
        raise stepfunctions._ExecutionError(response["Throw"]["Error"], response["Throw"].get("Cause", ""))
    return response["Return"]


def _find_response(responses: dict[str, Any], attempt: int) -> dict[str, Any] | None:
    for attempts, response in responses.items():
        first, _, last = attempts.partition("-")
        if int(first) <= attempt <= int(last or first):
            found: dict[str, Any] = response
            return found
    return None
