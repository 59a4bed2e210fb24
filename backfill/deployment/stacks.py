"""Stacks of CloudFormation: looked at, deployed and deleted, with what happens told as it happens."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event
from typing import TYPE_CHECKING, Any, Final

import click
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import StackEventTypeDef, StackTypeDef

CAPABILITIES: Final = ("CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND")
NEVER_MADE: Final = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "REVIEW_IN_PROGRESS")
"""Of a stack whose creation failed: it can only be deleted (CloudFormation User Guide, "Stack status codes")."""
STUCK: Final = {
    "UPDATE_ROLLBACK_FAILED": "Mend what its rollback failed on, then: aws cloudformation continue-update-rollback"
    " --stack-name {}; and deploy again once it is through.",
    "UPDATE_FAILED": "Undo its update, then deploy again: aws cloudformation rollback-stack --stack-name {}",
    "DELETE_FAILED": "Mend what its deletion failed on, then: aws cloudformation delete-stack --stack-name {};"
    " and deploy again once it is gone.",
}
"""What CloudFormation does not update (its User Guide, "Stack status codes"), and how it goes on."""
MOST_REASONS: Final = 5
UNCHANGED: Final = "No updates are to be performed"


class StackError(click.ClickException):
    """A stack could not be deployed or deleted; the message has CloudFormation's reasons and the next step."""


@dataclass(frozen=True)
class Stack:
    """A stack as it is."""

    name: str
    id: str
    status: str
    parameters: dict[str, str]
    outputs: dict[str, str]
    tags: dict[str, str]


@dataclass(frozen=True)
class Change:
    """What a stack is to become."""

    name: str
    template_url: str
    parameters: dict[str, str]
    """Those that are not named keep what they are, or take the template's defaults."""
    known: frozenset[str]
    """The names of the template's parameters."""
    tags: dict[str, str]
    brief: bool = False
    """Whether of its resources only those are told that fail: many stacks are deployed side by side."""


class Stacks:
    """The stacks of an account and region. Safe for several threads, each with stacks of its own."""

    def __init__(self, cloudformation: CloudFormationClient, tell: Callable[[str], None], seconds: float = 2.0) -> None:
        """Look at stacks; `tell` is told of what happens to them, `seconds` are between two looks."""
        self._cloudformation = cloudformation
        self._tell = tell
        self._seconds = seconds
        self._left = Event()

    def leave(self) -> None:
        """Have those who wait for a stack end with StackError: what is under way goes on without being looked at."""
        self._left.set()

    def find(self, name: str) -> Stack | None:
        """Return a stack, or None where there is none of the name."""
        try:
            (found,) = self._cloudformation.describe_stacks(StackName=name)["Stacks"]
        except ClientError as error:
            if error.response["Error"]["Code"] == "ValidationError":  # CloudFormation's answer for an unknown stack
                return None
            raise
        return None if found["StackStatus"] == "DELETE_COMPLETE" else _read(found)

    def find_nested(self, name: str, logical_id: str) -> Stack | None:
        """Return a stack that a root stack has by a logical id, or None."""
        pages = self._cloudformation.get_paginator("list_stack_resources").paginate(StackName=name)
        for each in (each for page in pages for each in page["StackResourceSummaries"]):
            if each["LogicalResourceId"] == logical_id and each["ResourceStatus"] != "DELETE_COMPLETE":
                return self.find(each["PhysicalResourceId"])
        return None

    def read_template(self, name: str) -> str:
        """Return a stack's template, as it was given."""
        answer = self._cloudformation.get_template(StackName=name, TemplateStage="Original")
        body: Any = answer["TemplateBody"]
        return body if isinstance(body, str) else json.dumps(body)  # the SDK parses one that is JSON

    def deploy(self, change: Change) -> bool:
        """Create a stack, or update it; tell whether anything was changed.

        One that is being changed is waited for, and one that was never made is made anew: what was cut short goes on.
        Raises StackError.
        """
        stack = self.wait(change.name)
        if stack is not None and stack.status in NEVER_MADE:
            self.delete(change.name)
            stack = None
        if stack is not None:
            self._require_changeable(stack)
        began = datetime.now(UTC)
        try:
            if stack is None:
                self._cloudformation.create_stack(**self._request(change, {}))
            else:
                self._cloudformation.update_stack(**self._request(change, stack.parameters))
        except ClientError as error:
            if UNCHANGED in str(error):
                return False
            raise StackError(f"CloudFormation refused the stack {change.name}: {error}") from error
        self._follow(change, began)
        return True

    def require_own(self, stack: Stack, what: str, marks: Mapping[str, str | None]) -> None:
        """Raise StackError for a stack that is not to be changed: somebody else's, or one that is stuck.

        `what` it has to be, which is told by `marks`: parameters that it has, with their values, None for any.
        """
        has = stack.parameters
        differing = [name for name, value in marks.items() if name not in has or value not in {None, has[name]}]
        if differing and stack.status != "REVIEW_IN_PROGRESS":  # which has nothing yet, its parameters neither
            raise StackError(
                f"There is a stack {stack.name} which is not {what}, by its {', '.join(differing)}: it is left as it"
                " is. Name another platform in dynaurora.toml, [platform] stack; or another region or account."
            )
        self._require_changeable(stack)

    def _require_changeable(self, stack: Stack) -> None:
        """Raise StackError, with the reasons and the next step, for a stack that is stuck."""
        if stack.status in STUCK:
            reasons = list(self._list_failures(stack.name, datetime.fromtimestamp(0, UTC)))[:MOST_REASONS]
            step = STUCK[stack.status].format(stack.name)
            raise StackError("\n".join([f"The stack {stack.name} is {stack.status}. {step}", *reasons]))

    def delete(self, name: str) -> None:
        """Delete a stack, and return once it is gone. Raises StackError."""
        began = datetime.now(UTC)
        self._cloudformation.delete_stack(StackName=name)
        stack = self._watch(name, began)
        if stack is not None:
            reasons = "\n".join(self._list_failures(name, began))
            raise StackError(f"The stack {name} is {stack.status}, and not deleted. Mend this, then again:\n{reasons}")

    def wait(self, name: str) -> Stack | None:
        """Return a stack once nothing changes it any more."""
        stack = self.find(name)
        if stack is None or not stack.status.endswith("_IN_PROGRESS") or stack.status in NEVER_MADE:
            return stack
        self._tell(f"{name} is {stack.status}; waiting for its end")
        return self._watch(name, datetime.now(UTC))

    def _request(self, change: Change, earlier: Mapping[str, str]) -> Any:
        """Return the request; parameters that are kept are taken over, those that are gone left out."""
        kept = change.known & earlier.keys() - change.parameters.keys()
        given = [{"ParameterKey": name, "ParameterValue": value} for name, value in sorted(change.parameters.items())]
        previous: list[Any] = [{"ParameterKey": name, "UsePreviousValue": True} for name in sorted(kept)]
        return {
            "StackName": change.name,
            "TemplateURL": change.template_url,
            "Parameters": [*given, *previous],
            "Capabilities": CAPABILITIES,
            "Tags": [{"Key": key, "Value": value} for key, value in sorted(change.tags.items())],
        }

    def _follow(self, change: Change, began: datetime) -> None:
        """Return once a change is through. Raises StackError where it is rolled back."""
        name = change.name
        stack = self._watch(name, began, brief=change.brief)
        status = stack.status if stack else "DELETE_COMPLETE"
        if status not in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}:
            reasons = "\n".join(self._list_failures(name, began))
            raise StackError(f"The stack {name} is {status}. Mend this, then deploy again:\n{reasons}")

    def _watch(self, name: str, began: datetime, *, brief: bool = False) -> Stack | None:
        """Tell of a stack's events until nothing changes it any more, and return it; None where it is gone."""
        seen: set[str] = set()
        while True:
            stack = self.find(name)
            for event in reversed(list(self._read_events(name, began))):
                status = event.get("ResourceStatus", "")
                if event["EventId"] not in seen and not status.endswith("_IN_PROGRESS"):
                    seen.add(event["EventId"])
                    if not brief or status.endswith("FAILED"):
                        self._tell(f"  {name}: {status} {event.get('LogicalResourceId', '')}")
            if stack is None or not stack.status.endswith("_IN_PROGRESS"):
                return stack
            if self._left.wait(self._seconds):
                raise StackError(f"The stack {name} is {stack.status}, and goes on without being looked at.")

    def _read_events(self, name: str, began: datetime) -> Iterator[StackEventTypeDef]:
        """Yield a stack's events since a time, the newest first."""
        with suppress(ClientError):  # it is gone
            for page in self._cloudformation.get_paginator("describe_stack_events").paginate(StackName=name):
                for event in page["StackEvents"]:
                    if event["Timestamp"] < began.replace(microsecond=0):
                        return
                    yield event

    def _list_failures(self, name: str, began: datetime) -> Iterator[str]:
        """Yield why resources failed, those of nested stacks too."""
        for event in self._read_events(name, began):
            if not event.get("ResourceStatus", "").endswith("FAILED"):
                continue
            nested = event.get("PhysicalResourceId", "")
            if event.get("ResourceType") == "AWS::CloudFormation::Stack" and nested and nested != event["StackId"]:
                yield from self._list_failures(nested, began)
            yield f"  {event.get('LogicalResourceId')}: {event.get('ResourceStatusReason', 'no reason given')}"


def _read(description: StackTypeDef) -> Stack:
    return Stack(
        name=description["StackName"],
        id=description.get("StackId", ""),
        status=description["StackStatus"],
        parameters={each["ParameterKey"]: each.get("ParameterValue", "") for each in description.get("Parameters", [])},
        outputs={each["OutputKey"]: each["OutputValue"] for each in description.get("Outputs", [])},
        tags={each["Key"]: each["Value"] for each in description.get("Tags", [])},
    )
