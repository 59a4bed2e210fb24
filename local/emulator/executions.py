"""Step Functions: executions that end before their last state, and what ends with them.

The emulator only looks at an execution's status between two states: what a stopped execution has started goes on,
a wait is sat out, a failing task turns ABORTED into FAILED, and a state machine's TimeoutSeconds is ignored.

- StopExecution ends an execution at once. A wait ends with it, no further state is entered, and nothing of what is
  still under way changes its status or its history.
- What failed has an error and a cause, and no output.
- What depends on an execution ends with it: a Map Run's children, an execution that a task awaits
  (``watch`` tells them). AWS makes a best-effort attempt to cancel the same.
- TimeoutSeconds of a state machine ends its executions as TIMED_OUT.
- StartExecution with the name and the input of a running execution answers that one; its input must be JSON.

Sources: Step Functions developer guide, "Run a Job (.sync)" and "State machine structure"; API reference,
"StartExecution", "StopExecution" and "DescribeExecution".

Difference: a Lambda invocation that is under way runs to its end, as on AWS, but so does any other call of a service.
"""

import contextlib
import contextvars
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from ministack.core import responses
from ministack.services import stepfunctions

from local.emulator.replacements import Replacements

Execution = dict[str, Any]

RUNNING = "RUNNING"
FINAL_EVENTS = {
    "SUCCEEDED": "ExecutionSucceeded",
    "FAILED": "ExecutionFailed",
    "ABORTED": "ExecutionAborted",
    "TIMED_OUT": "ExecutionTimedOut",
}
"""The last event in the history of an execution, by its status."""

_lock = threading.Lock()
_watchers: dict[str, list[Callable[[], None]]] = {}
_current: contextvars.ContextVar[Execution | None] = contextvars.ContextVar("execution", default=None)


class ExecutionEndedError(stepfunctions._ExecutionError):  # type: ignore[misc]  # the emulator has no types
    """Unwinds the thread of an execution that has been ended; no retrier or catcher for all errors is for it."""

    def __init__(self) -> None:
        super().__init__("States.Runtime", "The execution has ended.")


def install(emulator: Replacements) -> None:
    """Plan the replacements of this behaviour."""
    module = stepfunctions.__name__
    emulator.wrap(module, "_start_execution", "(data)", _check_request)
    emulator.wrap(module, "_run_execution", "(exec_arn)", _limit_time)
    emulator.replace(module, "_fail_execution", "(execution, error, cause)", fail)
    emulator.wrap(module, "_emit_execution_status_event", "(execution) -> None", _tell_after)
    emulator.wrap(module, "_add_event", "(execution, event_type, details=None)", _write_history)
    emulator.replace(module, "_scaled_sleep", "(seconds)", sleep)
    for name in ("pass", "choice", "wait"):
        emulator.wrap(module, f"_execute_{name}", "(state_def, raw_input, ctx=None)", _enter_running)
    for name in ("task", "parallel", "map"):
        emulator.wrap(module, f"_execute_{name}", "(state_def, raw_input, execution, ctx)", _enter_running)


def find_current() -> Execution | None:
    """Return the execution that the calling thread works for."""
    return _current.get()


def check_running() -> None:
    """Raise ExecutionEndedError if the execution that the calling thread works for has ended."""
    execution = _current.get()
    if execution is not None and execution["status"] != RUNNING:
        raise ExecutionEndedError


@contextlib.contextmanager
def work_for(execution: Execution) -> Iterator[None]:
    """Let the calling thread, and those it starts with its context, work for an execution."""
    token = _current.set(execution)
    try:
        yield
    finally:
        _current.reset(token)


@contextlib.contextmanager
def watch(execution: Execution, tell: Callable[[], None]) -> Iterator[None]:
    """Within it, ``tell`` is called once when the execution ends; at once, if it has ended.

    It is called by whichever thread ends the execution, the one that serves requests among them: it must not wait.
    """
    arn = execution["executionArn"]
    with _lock:
        over = _is_over(execution)
        if not over:
            _watchers.setdefault(arn, []).append(tell)
    try:
        if over:
            tell()
        yield
    finally:
        with _lock:
            if tell in _watchers.get(arn, []):
                _watchers[arn].remove(tell)
                if not _watchers[arn]:
                    del _watchers[arn]


def wait_for(execution: Execution) -> None:
    """Wait until an execution has ended. Raises ExecutionEndedError when the one that waits ends first."""
    done = threading.Event()
    with contextlib.ExitStack() as stack:
        stack.enter_context(watch(execution, done.set))
        if (waiting := _current.get()) is not None:
            stack.enter_context(watch(waiting, done.set))
        done.wait()
    check_running()


def sleep(seconds: float) -> None:
    """Wait, scaled as all of Step Functions' waiting, unless the execution ends: then raise ExecutionEndedError."""
    check_running()
    seconds *= stepfunctions._SFN_WAIT_SCALE
    execution = _current.get()
    if execution is None:
        time.sleep(max(0.0, seconds))
    elif seconds > 0:
        done = threading.Event()
        with watch(execution, done.set):
            done.wait(seconds)
        check_running()


def end(execution: Execution, status: str, **outcome: Any) -> bool:
    """End an execution that is running. ``outcome`` is its output, or its error and cause. False if it has ended."""
    with _lock:
        if execution["status"] != RUNNING:
            return False
        execution |= outcome
        execution["stopDate"] = stepfunctions.now_iso()
        execution["status"] = status
    event = FINAL_EVENTS[status]
    details = {name: value for name, value in outcome.items() if value is not None}
    stepfunctions._add_event(execution, event, {f"{event[0].lower()}{event[1:]}EventDetails": details})
    if "mapRunArn" in execution:  # a child of a Map Run changes its status without an event on the bus
        _tell(execution)
    else:
        stepfunctions._emit_execution_status_event(execution)
    return True


def fail(execution: Execution, error: str, cause: str) -> None:
    """Fail an execution, unless it has ended."""
    end(execution, "FAILED", error=error, cause=cause)


def describe(execution: Execution, write_time: Callable[[str], Any]) -> dict[str, Any]:
    """Describe an ended execution as Step Functions hands it on to states and writes it to result files."""
    succeeded = execution["status"] == "SUCCEEDED"
    description = {
        "Cause": execution.get("cause"),
        "Error": execution.get("error"),
        "ExecutionArn": execution["executionArn"],
        "Input": execution["input"],
        "InputDetails": {"Included": True},
        "Name": execution["name"],
        "Output": execution["output"] if succeeded else None,
        "OutputDetails": {"Included": True} if succeeded else None,
        "RedriveCount": 0,
        "RedriveStatus": "NOT_REDRIVABLE" if succeeded else "REDRIVABLE",
        "RedriveStatusReason": "Execution is SUCCEEDED and cannot be redriven" if succeeded else None,
        "StartDate": write_time(execution["startDate"]),
        "StateMachineArn": execution["stateMachineArn"],
        "Status": execution["status"],
        "StopDate": write_time(execution["stopDate"]),
    }
    return {name: value for name, value in description.items() if value is not None}


def _is_over(execution: Execution) -> bool:
    """Whether an execution has ended and everything about its end is written: its last event comes last."""
    return execution["status"] != RUNNING and execution["events"][-1]["type"] in FINAL_EVENTS.values()


def _tell(execution: Execution) -> None:
    with _lock:
        watchers = _watchers.pop(execution["executionArn"], [])
    for tell in watchers:
        tell()


def _check_request(original: Any) -> Any:
    def start(data: dict[str, Any]) -> Any:
        try:
            json.loads(data.get("input", "{}"))
        except ValueError as error:
            return responses.error_response_json(
                "InvalidExecutionInput", f"Invalid State Machine Execution Input: '{error}'", 400
            )
        answer = original(data)
        same = _find_same_running(data) if answer[0] == 400 else None
        if same is None:
            return answer
        return responses.json_response({"executionArn": same["executionArn"], "startDate": same["startDate"]})

    return start


def _find_same_running(data: dict[str, Any]) -> Execution | None:
    """Return the running execution that a request for another of the same name and input stands for."""
    machine = stepfunctions._resolve_state_machine_arn(data.get("stateMachineArn", "").partition("#")[0])
    if machine is None or not data.get("name"):
        return None
    arn = f"{machine.replace(':stateMachine:', ':execution:')}:{data['name']}"
    execution: Execution | None = stepfunctions._executions.get(arn)
    if execution is None or (execution["status"], execution["input"]) != (RUNNING, data.get("input", "{}")):
        return None
    return execution


def _limit_time(original: Any) -> Any:
    def run(exec_arn: str) -> None:
        execution = stepfunctions._executions.get(exec_arn)
        if execution is None:
            return
        with work_for(execution), _time_limit(execution):
            original(exec_arn)

    return run


@contextlib.contextmanager
def _time_limit(execution: Execution) -> Iterator[None]:
    """End the execution when it takes longer than its state machine's TimeoutSeconds."""
    seconds = _read_timeout(execution)
    if seconds is None:
        yield
        return
    run = contextvars.copy_context().run
    timer = threading.Timer(seconds, run, args=(end, execution, "TIMED_OUT"))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _read_timeout(execution: Execution) -> float | None:
    machine = stepfunctions._state_machines.get(execution["stateMachineArn"]) or {}
    try:
        seconds = json.loads(machine.get("definition", "{}")).get("TimeoutSeconds")
    except ValueError:
        return None  # the emulator fails the execution for it
    return None if seconds is None else float(seconds)


def _tell_after(original: Any) -> Any:
    def emit(execution: Execution) -> None:
        original(execution)
        if execution["status"] != RUNNING:
            _tell(execution)

    return emit


def _write_history(original: Any) -> Any:
    def add(execution: Execution, event_type: str, details: dict[str, Any] | None = None) -> Any:
        ended = execution["status"] != RUNNING and event_type not in FINAL_EVENTS.values()
        return None if ended else original(execution, event_type, details)

    return add


def _enter_running(original: Any) -> Any:
    def execute(*arguments: Any) -> Any:
        check_running()
        return original(*arguments)

    return execute
