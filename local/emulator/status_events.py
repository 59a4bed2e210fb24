"""Step Functions: the event "Step Functions Execution Status Change", with the fields that AWS gives it.

The emulator's own leaves out the error and cause of a stopped execution, and calls neither a stopped nor a timed out
one redrivable. ``input`` and ``output`` are JSON text; one that is too long for an event is left out, and its details
say so. Children of a Map Run publish no event here.

Source: Step Functions developer guide, "Automating Step Functions event delivery with EventBridge".
"""

import json
import logging
from typing import Any

from ministack.services import eventbridge, stepfunctions

from local.emulator.replacements import Replacements

logger = logging.getLogger("dynaurora.executions")

LONGEST_PAYLOAD_BYTES = 248 * 1024
"""Input and output, escaped as they are in the event, must fit into this together; an output also alone."""

REDRIVABLE = frozenset({"FAILED", "ABORTED", "TIMED_OUT"})


def install(emulator: Replacements) -> None:
    """Plan the replacements of this behaviour."""
    module = stepfunctions.__name__
    emulator.require(module, "_iso_to_epoch_ms", "(iso)")
    emulator.require(eventbridge.__name__, "_put_events", "(data, allow_aws_source=False)")
    emulator.replace(module, "_emit_execution_status_event", "(execution) -> None", publish_status)


def publish_status(execution: dict[str, Any]) -> None:
    """Put an execution's status on the default bus. A synchronous (Express) execution publishes none."""
    if execution.get("sync"):
        return
    entry = {
        "Source": "aws.states",
        "DetailType": "Step Functions Execution Status Change",
        "Detail": json.dumps(describe_status(execution)),
        "Resources": [execution["executionArn"]],
    }
    try:
        eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)
    except Exception:  # AWS delivers these events with best effort: none of them fails an execution
        logger.exception("The status of %s was not published", execution["executionArn"])


def describe_status(execution: dict[str, Any]) -> dict[str, Any]:
    """Return the event's ``detail``."""
    status = execution["status"]
    output = execution.get("output") if status == "SUCCEEDED" else None
    redrivable = status in REDRIVABLE
    includes_output = output is not None and _escaped_length(output) <= LONGEST_PAYLOAD_BYTES
    length = _escaped_length(execution["input"]) + (_escaped_length(output) if output is not None else 0)
    includes_input = length <= LONGEST_PAYLOAD_BYTES
    return {
        "executionArn": execution["executionArn"],
        "stateMachineArn": execution["stateMachineArn"],
        "name": execution["name"],
        "status": status,
        "startDate": stepfunctions._iso_to_epoch_ms(execution["startDate"]),
        "stopDate": stepfunctions._iso_to_epoch_ms(execution["stopDate"]),
        "input": execution["input"] if includes_input else None,
        "inputDetails": {"included": includes_input},
        "output": output if includes_output else None,
        "outputDetails": None if output is None else {"included": includes_output},
        "stateMachineVersionArn": None,
        "stateMachineAliasArn": None,
        "redriveCount": 0,
        "redriveDate": None,
        "redriveStatus": "REDRIVABLE" if redrivable else "NOT_REDRIVABLE",
        "redriveStatusReason": None if redrivable else f"Execution is {status} and cannot be redriven",
        "error": execution.get("error"),
        "cause": execution.get("cause"),
    }


def _escaped_length(text: str) -> int:
    return len(json.dumps(text, ensure_ascii=False).encode())
