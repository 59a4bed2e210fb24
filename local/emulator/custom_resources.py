"""CloudFormation: answers to custom resources are held to what CloudFormation takes; a failed creation is cleaned up.

The emulator takes any answer: without a physical id, without what it has to repeat of the request, longer than 4096
bytes. CloudFormation fails the resource then, and its events say what of the answer was wrong, or the reason that a
failed one gives (AWS CloudFormation User Guide, "CloudFormation custom resource request and response reference").

A resource that could not be created is asked to be deleted, by the id that it has answered with or one that is made;
the emulator asks that of none. AWS does so while it rolls the stack back; here it is at once.
"""

import json
import logging
from typing import Any

from ministack.services.cloudformation import custom_resource

from local.emulator.replacements import Replacements

logger = logging.getLogger("dynaurora.stacks")

MAX_BYTES = 4096
MAX_ID_BYTES = 1024
REPEATED = ("StackId", "RequestId", "LogicalResourceId")

Answer = dict[str, Any]

_failed_ids: dict[tuple[str, str], str] = {}
"""The physical ids of failed answers, by stack and logical id, until the resource has been deleted."""


def install(emulator: Replacements) -> None:
    """Plan the replacements of this behaviour."""
    module = custom_resource.__name__
    emulator.wrap(module, "deliver_response", "(token: str, response: dict) -> bool", _deliver_checked)
    emulator.wrap(
        module,
        "invoke_custom_resource",
        "(request_type: str, logical_id: str, props: dict, stack_name: str, stack_id: str, resource_type: str, "
        "physical_id: str | None = None, old_props: dict | None = None) -> tuple",
        _tell_as_cloudformation,
    )


def find_problem(answer: Answer) -> str | None:
    """Return what CloudFormation would not take of an answer; None where it is all right."""
    if len(json.dumps(answer, ensure_ascii=False).encode(errors="replace")) > MAX_BYTES:
        return "Response object is too long."
    if answer.get("Status") not in {"SUCCESS", "FAILED"}:
        return "Invalid response status: it must be SUCCESS or FAILED"
    if answer["Status"] == "FAILED" and not answer.get("Reason"):
        return "Response with status FAILED has no Reason"
    physical_id = answer.get("PhysicalResourceId")
    if not isinstance(physical_id, str) or not 0 < len(physical_id.encode()) <= MAX_ID_BYTES:
        return "Invalid PhysicalResourceId"
    missing = [name for name in REPEATED if not answer.get(name)]
    return f"Response lacks {', '.join(missing)}" if missing else None


def _deliver_checked(original: Any) -> Any:
    def deliver(token: str, response: Answer) -> bool:
        problem = find_problem(response)
        if problem is None and response["Status"] == "FAILED":
            _failed_ids[response["StackId"], response["LogicalResourceId"]] = response["PhysicalResourceId"]
        delivered: bool = original(token, {"Status": "FAILED", "Reason": problem} if problem else response)
        return delivered

    return deliver


def _tell_as_cloudformation(original: Any) -> Any:
    def invoke(
        request_type: str,
        logical_id: str,
        props: dict[str, Any],
        stack_name: str,
        stack_id: str,
        resource_type: str,
        physical_id: str | None = None,
        old_props: dict[str, Any] | None = None,
    ) -> Any:
        named = (logical_id, props, stack_name, stack_id, resource_type)
        try:
            return original(request_type, *named, physical_id, old_props)
        except (RuntimeError, TimeoutError) as error:
            answered = _failed_ids.pop((stack_id, logical_id), f"{stack_name}-{logical_id}")
            if request_type == "Create":
                _clean_up(original, answered, *named)
            if isinstance(error, TimeoutError):
                said = "CloudFormation did not receive a response from your Custom Resource. Please check your logs."
                raise TimeoutError(said) from error
            said = f"Received response status [FAILED] from custom resource. Message returned: {error}"
            raise RuntimeError(said) from error

    return invoke


def _clean_up(original: Any, physical_id: str, *named: Any) -> None:
    """Ask for the deletion of what may have been created in part."""
    try:
        original("Delete", *named, physical_id)
    except (RuntimeError, TimeoutError):
        logger.exception("%s was not cleaned up", physical_id)
