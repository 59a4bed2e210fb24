"""Step Functions: Map states in distributed mode, as Map Runs with child executions.

- **Limits from the input**: MaxConcurrencyPath, ToleratedFailurePercentagePath and ToleratedFailureCountPath select
  numbers from the state's input; anything but a whole number in its range fails with States.Runtime.
- **Tolerated failures**: once there are more, no further child is started, running ones end as ABORTED, the Map Run is
  FAILED and the state fails with States.ExceedToleratedFailureThreshold. Items that were not started stay pending.
- **Stopping**: when the execution ends, its Map Run and the children end as ABORTED.
- **ItemReader**: an object that is missing or no dataset, and an item that is larger than a state's input may be, fail
  with States.ItemReaderFailed.
- **Children** have their own execution in the context object (``$$.Execution.Id`` is the child's), and a history that
  begins and ends; the ItemSelector still sees the parent's.
- **ResultWriter**: see ``result_files``.

Sources: Step Functions developer guide, "Distributed mode", "Setting failure thresholds for Distributed Map states";
API reference, "DescribeMapRun".

Differences: 64 children at once at most; UpdateMapRun is noted, but changes nothing of a Map Run that is under way;
``$$.StateMachine`` is the parent's in a child too; a child's history has its tasks, but not its states; children
publish no status on the event bus; ItemBatcher is not supported.
"""

import contextvars
import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

from ministack.services import stepfunctions

from local.emulator import executions, payload_limits, result_files
from local.emulator.executions import Execution
from local.emulator.objects import require_objects
from local.emulator.replacements import Replacements

logger = logging.getLogger("dynaurora.map_runs")

MOST_CHILDREN_AT_ONCE = 64
"""Threads for one Map Run. AWS runs 10,000 children at once."""

COUNTS = (
    "pending", "running", "succeeded", "failed", "timedOut", "aborted", "total", "resultsWritten",
    "failuresNotRedrivable", "pendingRedrive",
)  # fmt: skip
"""What DescribeMapRun counts, both items and executions: without batches they are the same."""

LIMITS: dict[str, tuple[str, Callable[[int | float], bool]]] = {
    "MaxConcurrency": ("a non-negative integer", lambda value: value >= 0 and value == int(value)),
    "ToleratedFailurePercentage": ("a number from 0 to 100", lambda value: 0 <= value <= 100),
    "ToleratedFailureCount": ("a non-negative integer", lambda value: value >= 0 and value == int(value)),
}
"""Fields of a Map state that may be paths into its input: what the path must select, in words and as a check."""

OUTCOMES = {"SUCCEEDED": "succeeded", "FAILED": "failed", "TIMED_OUT": "timedOut", "ABORTED": "aborted"}


def install(emulator: Replacements) -> None:
    """Plan the replacements of this behaviour."""
    module = stepfunctions.__name__
    require_objects(emulator)
    emulator.require(module, "_run_sub_machine", "(states, start_at, input_data, execution, ctx)")
    emulator.require(module, "_resolve_params_obj", "(template, data, ctx=None)")
    emulator.require(module, "_resolve_path_or_ctx", "(path, data, ctx)")
    emulator.require(module, "_apply_input_path", "(state_def, data, ctx=None)")
    emulator.require(module, "_apply_result_selector", "(state_def, data)")
    emulator.require(module, "_apply_result_path", "(state_def, original, result)")
    emulator.require(module, "_apply_output_path", "(state_def, data, ctx=None)")
    emulator.wrap(module, "_run_map_items", "(state_def, raw_input, execution, ctx)", _read_limits_first)
    emulator.wrap(module, "_read_map_items", "(reader, effective, ctx)", _check_items)
    signature = "(state_def, raw_input, effective, iterator, execution, ctx)"
    emulator.replace(module, "_run_distributed_map", signature, run_distributed_map)


def run_distributed_map(
    state_def: dict[str, Any],
    raw_input: Any,
    effective: Any,
    iterator: dict[str, Any],
    execution: Execution,
    ctx: dict[str, Any],
) -> tuple[Any, str | None]:
    """Run a Map Run; what the state hands on, and the state that follows."""
    state = MapState(state_def, effective, iterator, execution, ctx)
    writer = result_files.read_writer(state_def, effective, ctx)
    items = _read_items(state)
    stepfunctions._add_event(execution, "MapStateStarted", {"mapStateStartedEventDetails": {"length": 0}})
    run = MapRun(state, items)
    run.run()
    if writer is not None:
        run.write_results(writer)
    result = run.conclude(writer)
    payload_limits.check_result(ctx["State"]["Name"], result)
    stepfunctions._add_event(execution, "MapStateSucceeded")
    selected = stepfunctions._apply_result_selector(state_def, result)
    output = stepfunctions._apply_result_path(state_def, raw_input, selected)
    return stepfunctions._apply_output_path(state_def, output, ctx), stepfunctions._next_or_end(state_def)


@dataclass(frozen=True)
class MapState:
    """A Map state that is being executed."""

    definition: dict[str, Any]
    effective_input: Any
    processor: dict[str, Any]
    execution: Execution
    context: dict[str, Any]

    def select_input(self, index: int, item: Any) -> Any:
        """Return the input of the child for an item."""
        selector = self.definition.get("ItemSelector") or self.definition.get("Parameters")
        context = {**self.context, "Map": {"Item": {"Index": index, "Value": item}}}
        return stepfunctions._resolve_params_obj(selector, self.effective_input, context) if selector else item

    def name_parts(self) -> tuple[str, str]:
        """Return the beginning of the ARNs, ``arn:aws:states:<region>:<account>``, and ``<state machine>/<label>``."""
        *prefix, _, machine = self.execution["stateMachineArn"].split(":", 6)
        return ":".join(prefix), f"{machine}/{self.definition.get('Label') or stepfunctions.new_uuid()}"


class MapRun:
    """A Map Run: its children, what they come to, and its description, which DescribeMapRun answers."""

    def __init__(self, state: MapState, items: list[Any]) -> None:
        self._state = state
        self._items = items
        self._prefix, self._name = state.name_parts()
        self._children: list[Execution] = []
        self._results: list[Any] = [None] * len(items)
        self._next = 0
        self._lock = threading.Lock()
        self._settled = threading.Event()
        self.id = stepfunctions.new_uuid()
        self.description = self._describe()
        stepfunctions._map_runs[self.arn] = self.description

    @property
    def arn(self) -> str:
        """The Map Run's ARN."""
        return f"{self._prefix}:mapRun:{self._name}:{self.id}"

    def run(self) -> None:
        """Run children until all have ended, too many have failed, or the execution has ended."""
        parent = self._state.execution
        stepfunctions._add_event(parent, "MapRunStarted", {"mapRunStartedEventDetails": {"mapRunArn": self.arn}})
        if not self._items:
            self._settle("SUCCEEDED")
        wanted = self.description["maxConcurrency"] or MOST_CHILDREN_AT_ONCE
        with executions.watch(parent, lambda: self._settle("ABORTED")):
            for _ in range(min(wanted, MOST_CHILDREN_AT_ONCE, len(self._items))):
                run = contextvars.copy_context().run
                threading.Thread(target=run, args=(self._work,), name="map-run", daemon=True).start()
            self._settled.wait()

    def write_results(self, writer: result_files.ResultWriter) -> None:
        """Write the result files. Raises States.ResultWriterFailed."""
        pending = [self._select_input(index)[0] for index in range(self._next, len(self._items))]
        written = writer.write(self.arn, self.id, self._children, pending)
        for counts in self._counts():
            counts["resultsWritten"] = written

    def conclude(self, writer: result_files.ResultWriter | None) -> Any:
        """Return the state's result. Raises States.ExceedToleratedFailureThreshold, or ExecutionEndedError."""
        executions.check_running()
        if self.description["status"] == "FAILED":
            self._fail()
        stepfunctions._add_event(self._state.execution, "MapRunSucceeded")
        return self._results if writer is None else writer.describe(self.arn, self.id)

    def _fail(self) -> NoReturn:
        error = "States.ExceedToleratedFailureThreshold"
        cause = "The specified tolerated failure threshold was exceeded"
        details = {"mapRunFailedEventDetails": {"error": error, "cause": cause}}
        stepfunctions._add_event(self._state.execution, "MapRunFailed", details)
        stepfunctions._add_event(self._state.execution, "MapStateFailed")
        raise stepfunctions._ExecutionError(error, cause)

    def _describe(self) -> dict[str, Any]:
        definition, count = self._state.definition, len(self._items)
        counts = dict.fromkeys(COUNTS, 0) | {"total": count, "pending": count}
        return {
            "mapRunArn": self.arn,
            "executionArn": self._state.execution["executionArn"],
            "status": "RUNNING",
            "startDate": stepfunctions.now_iso(),
            "maxConcurrency": int(definition.get("MaxConcurrency") or 0),
            "toleratedFailurePercentage": float(definition.get("ToleratedFailurePercentage") or 0),
            "toleratedFailureCount": int(definition.get("ToleratedFailureCount") or 0),
            "itemCounts": dict(counts),
            "executionCounts": dict(counts),
            "redriveCount": 0,
            "_stateMachineArn": f"{self._prefix}:stateMachine:{self._name}",
        }

    def _counts(self) -> tuple[dict[str, int], dict[str, int]]:
        return self.description["itemCounts"], self.description["executionCounts"]

    def _work(self) -> None:
        """Run one child after another, in one of the Map Run's threads."""
        while (index := self._take()) is not None:
            self._run_child(index)

    def _take(self) -> int | None:
        """Return the index of the next item to start with; None when there is none, or the Map Run is over."""
        with self._lock:
            if self.description["status"] != "RUNNING" or self._next == len(self._items):
                return None
            self._next += 1
            for counts in self._counts():
                counts["pending"] -= 1
                counts["running"] += 1
            return self._next - 1

    def _run_child(self, index: int) -> None:
        child_input, refused = self._select_input(index)
        child = self._create_child(child_input)
        with executions.watch(child, partial(self._count, child)), executions.work_for(child):
            if refused is None:
                self._walk(index, child, child_input)
            else:
                _fail_child(child, refused)

    def _select_input(self, index: int) -> tuple[Any, Exception | None]:
        """Return the input of an item's child; the item itself, and the error, if the ItemSelector fails for it."""
        item = self._items[index]
        try:
            return self._state.select_input(index, item), None
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the child's
            return item, error

    def _walk(self, index: int, child: Execution, child_input: Any) -> None:
        """Walk a child through its states, to its end."""
        processor = self._state.processor
        context = self._state.context | {
            "Execution": {
                "Id": child["executionArn"],
                "Input": child_input,
                "Name": child["name"],
                "StartTime": child["startDate"],
            },
            "Map": {"Item": {"Index": index, "Value": self._items[index]}},
            "variables": {},
        }
        try:
            output = stepfunctions._run_sub_machine(
                processor.get("States", {}), processor.get("StartAt"), child_input, child, context
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the child's
            _fail_child(child, error)
        else:
            self._results[index] = output
            executions.end(child, "SUCCEEDED", output=json.dumps(output))

    def _create_child(self, child_input: Any) -> Execution:
        name, started, text = stepfunctions.new_uuid(), stepfunctions.now_iso(), json.dumps(child_input)
        parent = self._state.execution
        child: Execution = {
            "executionArn": f"{self._prefix}:execution:{self._name}:{name}",
            "stateMachineArn": self.description["_stateMachineArn"],
            "name": name,
            "status": executions.RUNNING,
            "startDate": started,
            "stopDate": None,
            "input": text,
            "inputDetails": {"included": True},
            "output": None,
            "outputDetails": {"included": True},
            "mapRunArn": self.arn,
            "testCase": parent.get("testCase"),
            "mockAttempts": {},
            "events": [],
        }
        stepfunctions._add_event(child, "ExecutionStarted", {"executionStartedEventDetails": {"input": text}})
        stepfunctions._executions[child["executionArn"]] = child
        with self._lock:
            self._children.append(child)
        if self.description["status"] != "RUNNING":  # it has been settled since the item was taken
            executions.end(child, "ABORTED")
        return child

    def _count(self, child: Execution) -> None:
        """Count a child that has ended, and see what that means for the Map Run."""
        with self._lock:
            for counts in self._counts():
                counts["running"] -= 1
                counts[OUTCOMES[child["status"]]] += 1
            exceeded = self._is_exceeded()
            finished = not counts["pending"] and not counts["running"]
        if exceeded:
            self._settle("FAILED")
        elif finished:
            self._settle("SUCCEEDED")
        self._announce_end()

    def _is_exceeded(self) -> bool:
        """Whether more items have failed or timed out than are tolerated. With no limit set, none are."""
        counts, definition = self.description["itemCounts"], self._state.definition
        failed = counts["failed"] + counts["timedOut"]
        limits = []
        if "ToleratedFailureCount" in definition:
            limits.append(failed > self.description["toleratedFailureCount"])
        if "ToleratedFailurePercentage" in definition:
            limits.append(failed * 100 > self.description["toleratedFailurePercentage"] * counts["total"])
        return any(limits) if limits else failed > 0

    def _settle(self, status: str) -> None:
        """End the Map Run, unless it has ended: start no further child, and abort those that are running."""
        with self._lock:
            if self.description["status"] != "RUNNING":
                return
            self.description |= {"status": status, "stopDate": stepfunctions.now_iso()}
            children = list(self._children)
        for child in children:
            executions.end(child, "ABORTED")
        self._announce_end()

    def _announce_end(self) -> None:
        """Let the Map state go on once the Map Run has ended and all its children have: nothing changes any more."""
        with self._lock:
            if self.description["status"] != "RUNNING" and not self.description["itemCounts"]["running"]:
                self._settled.set()


def _fail_child(child: Execution, error: Exception) -> None:
    """Fail a child, unless the error only says that it has ended."""
    if isinstance(error, stepfunctions._ExecutionError):
        executions.end(child, "FAILED", error=error.error, cause=error.cause)
    else:
        logger.error("Child %s failed", child["executionArn"], exc_info=error)
        executions.end(child, "FAILED", error="States.Runtime", cause=str(error))


def _read_items(state: MapState) -> list[Any]:
    """Return the items that the state maps."""
    definition = state.definition
    if definition.get("ItemReader"):
        items = stepfunctions._read_map_items(definition["ItemReader"], state.effective_input, state.context)
    else:
        path = definition.get("ItemsPath", "$")
        items = stepfunctions._resolve_path_or_ctx(path, state.effective_input, state.context)
    return items if isinstance(items, list) else [items]


def _check_items(original: Any) -> Any:
    def read(reader: dict[str, Any], effective: Any, ctx: dict[str, Any]) -> Any:
        try:
            items = original(reader, effective, ctx)
        except stepfunctions._ExecutionError:
            raise
        except Exception as error:  # not JSON, not UTF-8, not of the shape that the reader's settings say
            raise _reader_error(f"The dataset cannot be read: {type(error).__name__}: {error}") from error
        if not isinstance(items, list | dict):
            raise _reader_error("The dataset is neither an array nor an object.")
        if isinstance(items, list):
            for index, item in enumerate(items):
                if not payload_limits.fits(item):
                    raise _reader_error(f"Item {index} is larger than {payload_limits.LARGEST_PAYLOAD_BYTES} bytes.")
        return items

    return read


def _reader_error(cause: str) -> Exception:
    error: Exception = stepfunctions._ExecutionError("States.ItemReaderFailed", cause)
    return error


def _read_limits_first(original: Any) -> Any:
    def run(state_def: dict[str, Any], raw_input: Any, execution: Execution, ctx: dict[str, Any]) -> Any:
        if any(f"{name}Path" in state_def for name in LIMITS):
            effective = stepfunctions._apply_input_path(state_def, raw_input, ctx)
            state_def = state_def | read_limits(state_def, effective, ctx)
        return original(state_def, raw_input, execution, ctx)

    return run


def read_limits(state_def: dict[str, Any], effective: Any, ctx: dict[str, Any]) -> dict[str, Any]:
    """Return the limits that a Map state takes from its input. Raises States.Runtime for what is none."""
    limits = {}
    for name, (wanted, is_valid) in LIMITS.items():
        path = state_def.get(f"{name}Path")
        if path is None:
            continue
        value = stepfunctions._resolve_path_or_ctx(path, effective, ctx)
        if isinstance(value, bool) or not isinstance(value, int | float) or not is_valid(value):
            raise stepfunctions._ExecutionError(
                "States.Runtime",
                f"The {name}Path parameter must select {wanted}, but {path} is {json.dumps(value)}.",
            )
        limits[name] = value
    return limits
