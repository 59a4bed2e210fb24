"""Closing a run: which run ended how, told by its state machine or, where that was stopped, by EventBridge.

EventBridge sends "Step Functions Execution Status Change" when an execution is stopped, timed out or failed; only then
nobody else may have closed the run (Step Functions Developer Guide, "Automating Step Functions event delivery with
EventBridge").
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from dynaurora.batches.batch import REPROCESS
from dynaurora.dynamodb.versions import SNAPSHOT_MARGIN_SECONDS
from dynaurora.errors import InvalidRunError
from dynaurora.runs.ends import find_failure
from dynaurora.runs.requests import is_mapping_name, name_reprocess, name_verification
from dynaurora.runs.runs import FAILED, STOPPED, SUCCEEDED

if TYPE_CHECKING:
    from dynaurora.runs.runs import Runs

REPROCESS_FAILURES: Final = "-reprocess-failures"
"""What the ARN of its state machine ends with."""
STATES_OF_STATUSES: Final = {"ABORTED": STOPPED, "TIMED_OUT": FAILED, "FAILED": FAILED}


@dataclass(frozen=True)
class Ending:
    """How a run ended."""

    mapping: str
    run: str
    execution: str
    state: str
    reason: str | None
    plan: dict[str, Any] | None
    generation: int | None = None
    """Of the mapping whose rows are all there and no others, once it is swept; None where items were left out."""
    swept: bool = False
    shows_until: int | None = None
    """Second of Unix time until which all changes are in the rows, deletes if it is swept; None where some may not."""


def read_ending(event: Any) -> Ending:
    """Return the end that an event tells of: `{"input": …, "execution": …}`, or EventBridge's own.

    Raises InvalidRunError where it names no run.
    """
    try:
        return _from_eventbridge(event["detail"]) if "detail" in event else _from_state_machine(event)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidRunError(f"The event names no run that ended: {type(error).__name__} {error}.") from error


def close_run(runs: Runs, ending: Ending) -> bool:
    """Close the run, and tell whether this did it: a run that is closed, or another execution's, stays as it is."""
    return runs.close(ending.run, ending.execution, ending.state, ending.plan, ending.reason)


def read_mapping_name(asked_for: dict[str, Any]) -> str:
    """Return the mapping that an input names. Raises ValueError where it could not be the name of one."""
    if not is_mapping_name(asked_for["mapping"]):
        raise ValueError("mapping")
    return str(asked_for["mapping"])


def _from_state_machine(event: dict[str, Any]) -> Ending:
    state, execution = event["input"], str(event["execution"]["id"])
    name = name_reprocess if event.get("kind") == REPROCESS else name_verification
    run = name(state, event["execution"]["started"])
    failure = (state.get("report") or {}).get("failure") or find_failure(state, execution)
    reason = f"{failure['error']}: {failure['reason']}" if failure else None
    end = FAILED if failure else SUCCEEDED
    ending = Ending(read_mapping_name(state), str(run), execution, end, reason, state.get("plan"))
    totals, options = state.get("totals") or {}, state.get("options") or {}
    swept = bool(options.get("sweep"))  # a target that is filled lacks none that was refused
    if failure or options.get("compare") or not totals.get("complete"):  # a verification brings nothing
        return ending
    ending = replace(ending, shows_until=find_shown(ending.plan or {}, totals))
    if not (swept or totals["rejected"] + totals["batches_failed"] == 0):
        return ending
    return replace(ending, generation=state.get("generation"), swept=swept)


def find_shown(plan: dict[str, Any], totals: dict[str, Any]) -> int | None:
    """Return until which second an import shows all changes; None where it is of a window, or lacks a batch."""
    is_whole = plan.get("window_from") is None and totals["batches_failed"] == 0
    second = plan.get("export_second")
    return second - SNAPSHOT_MARGIN_SECONDS if is_whole and second is not None else None


def _from_eventbridge(detail: dict[str, Any]) -> Ending:
    state, error, cause = STATES_OF_STATUSES[detail["status"]], detail.get("error"), detail.get("cause")
    said = ": ".join(part for part in (error, cause) if part)
    reason = said or ("It was stopped" if state == STOPPED else f"Its execution ended as {detail['status']}") + "."
    asked_for = json.loads(detail["input"])
    name = name_reprocess if str(detail.get("stateMachineArn")).endswith(REPROCESS_FAILURES) else name_verification
    run = name(asked_for, datetime.fromtimestamp(detail["startDate"] // 1000, UTC).isoformat())
    return Ending(read_mapping_name(asked_for), str(run), detail["executionArn"], state, reason, None)
