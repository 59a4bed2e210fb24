"""Stacks are deployed whatever they were left as, and what failed is told with its reason, nested stacks' too."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ClientError

from backfill.deployment.stacks import Change, StackError, Stacks

CHANGE = Change("shop", "https://bucket/template", {"A": "1"}, frozenset({"A", "B"}), {"tag": "x"})


class CloudFormation:
    """One stack, which takes the states that it is told after each request; describing it goes on to the next."""

    def __init__(self, *states, then=("CREATE_COMPLETE",), refusal=None, events=()):
        self.states, self.then, self.refusal, self.events = [*states], [*then], refusal, events
        self.requests = []

    def describe_stacks(self, StackName):  # noqa: N803
        state = self.states[0] if self.states else None
        if len(self.states) > 1:
            del self.states[0]
        if state is None:
            raise ClientError({"Error": {"Code": "ValidationError", "Message": "does not exist"}}, "DescribeStacks")
        parameters = [{"ParameterKey": key, "ParameterValue": "old"} for key in ("A", "B", "Gone")]
        return {"Stacks": [{"StackName": StackName, "StackStatus": state, "Parameters": parameters}]}

    def _change(self, kind, request):
        self.requests.append((kind, request))
        if self.refusal:
            raise ClientError({"Error": {"Code": "ValidationError", "Message": self.refusal}}, "UpdateStack")
        self.states = [*self.then]

    def create_stack(self, **request):
        self._change("create", request)

    def update_stack(self, **request):
        self._change("update", request)

    def delete_stack(self, StackName):  # noqa: N803
        self.requests.append(("delete", StackName))
        self.states = self.states if self.states == ["DELETE_FAILED"] else []

    def get_paginator(self, _operation):
        return self

    def paginate(self, StackName):  # noqa: N803
        found = [event for event in self.events if event["StackId"] == StackName]
        return [{"StackEvents": [*reversed(found)]}]


def make_event(status, resource, reason="", stack="shop", nested=None, age=0):
    made = {"ResourceType": "AWS::CloudFormation::Stack", "PhysicalResourceId": nested} if nested else {}
    return made | {
        "EventId": f"{stack}{resource}{status}",
        "StackId": stack,
        "Timestamp": datetime.now(UTC) - timedelta(seconds=age),
        "LogicalResourceId": resource,
        "ResourceStatus": status,
        "ResourceStatusReason": reason,
    }


def make_stacks(cloudformation):
    told = []
    return Stacks(cloudformation, told.append, 0), told


def test_a_stack_that_is_not_there_is_created_and_what_happens_is_told():
    aws = CloudFormation(
        then=("CREATE_IN_PROGRESS", "CREATE_COMPLETE"),
        events=[
            make_event("CREATE_COMPLETE", "Earlier", age=3600),
            make_event("CREATE_IN_PROGRESS", "Bucket"),
            make_event("CREATE_COMPLETE", "Bucket"),
        ],
    )
    stacks, told = make_stacks(aws)
    assert stacks.deploy(CHANGE)
    ((kind, request),) = aws.requests
    assert (kind, request["Parameters"]) == ("create", [{"ParameterKey": "A", "ParameterValue": "1"}])
    assert request["Tags"] == [{"Key": "tag", "Value": "x"}]
    assert told == ["  shop: CREATE_COMPLETE Bucket"]


def test_of_many_side_by_side_only_what_fails_is_told():
    events = [make_event("CREATE_COMPLETE", "Bucket"), make_event("CREATE_FAILED", "Topic", "no such key")]
    stacks, told = make_stacks(CloudFormation(events=events))
    assert stacks.deploy(replace(CHANGE, brief=True))
    assert told == ["  shop: CREATE_FAILED Topic"]


def test_who_waits_for_a_stack_leaves_it_when_told():
    stacks, _ = make_stacks(CloudFormation(then=("CREATE_IN_PROGRESS",)))
    stacks.leave()
    with pytest.raises(StackError, match="shop is CREATE_IN_PROGRESS, and goes on without being looked at"):
        stacks.deploy(CHANGE)


def test_a_stack_that_is_there_keeps_the_parameters_that_its_template_still_has():
    aws = CloudFormation("CREATE_COMPLETE", then=("UPDATE_COMPLETE",))
    assert make_stacks(aws)[0].deploy(CHANGE)
    ((kind, request),) = aws.requests
    kept = {"ParameterKey": "B", "UsePreviousValue": True}
    assert (kind, request["Parameters"]) == ("update", [{"ParameterKey": "A", "ParameterValue": "1"}, kept])


def test_a_stack_that_is_as_it_should_be_is_unchanged():
    aws = CloudFormation("CREATE_COMPLETE", refusal="No updates are to be performed.")
    assert make_stacks(aws)[0].deploy(CHANGE) is False


def test_a_change_that_was_cut_short_is_waited_for_first():
    aws = CloudFormation("CREATE_IN_PROGRESS", "CREATE_IN_PROGRESS", "CREATE_COMPLETE", then=("UPDATE_COMPLETE",))
    stacks, told = make_stacks(aws)
    assert stacks.deploy(CHANGE)
    assert [kind for kind, _ in aws.requests] == ["update"]
    assert told == ["shop is CREATE_IN_PROGRESS; waiting for its end"]


@pytest.mark.parametrize("state", ["ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "REVIEW_IN_PROGRESS"])
def test_a_stack_that_was_never_made_is_made_anew(state):
    aws = CloudFormation(state)
    assert make_stacks(aws)[0].deploy(CHANGE)
    assert [kind for kind, _ in aws.requests] == ["delete", "create"]


@pytest.mark.parametrize(
    ("state", "command"),
    [
        ("UPDATE_ROLLBACK_FAILED", "continue-update-rollback"),
        ("UPDATE_FAILED", "rollback-stack"),
        ("DELETE_FAILED", "delete-stack"),
    ],
)
def test_a_stack_that_is_stuck_is_left_to_a_person_with_the_reason_and_the_next_step(state, command):
    aws = CloudFormation(state, events=[make_event("UPDATE_FAILED", "Topic", "no such key", age=86400)])
    with pytest.raises(StackError) as caught:
        make_stacks(aws)[0].deploy(CHANGE)
    first, second = str(caught.value).splitlines()
    assert first.startswith(f"The stack shop is {state}.")
    assert f"aws cloudformation {command} --stack-name shop" in first
    assert second == "  Topic: no such key"
    assert aws.requests == []


@pytest.mark.parametrize("marks", [{"Mapping": None}, {"A": "new"}])
def test_a_stack_of_somebody_else_is_known_by_its_parameters(marks):
    stacks, _ = make_stacks(CloudFormation("CREATE_COMPLETE"))
    found = stacks.find("shop")
    stacks.require_own(found, "a platform", {"A": "old", "B": None})
    (name,) = marks
    with pytest.raises(StackError, match=f"stack shop which is not a platform, by its {name}: it is left as it is"):
        stacks.require_own(found, "a platform", marks)


def test_a_template_that_is_refused_is_told():
    with pytest.raises(StackError, match=r"CloudFormation refused the stack shop: .*Parameter B must have a value"):
        make_stacks(CloudFormation(refusal="Parameter B must have a value"))[0].deploy(CHANGE)


def test_why_a_change_was_rolled_back_is_told_of_nested_stacks_too():
    aws = CloudFormation(
        "CREATE_COMPLETE",
        then=("UPDATE_ROLLBACK_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE"),
        events=[
            make_event("CREATE_FAILED", "Old", "long ago", age=3600),
            make_event("CREATE_FAILED", "Queue", "no such key", stack="nested"),
            make_event("UPDATE_FAILED", "WorkflowsStack", "Embedded stack failed", nested="nested"),
        ],
    )
    with pytest.raises(StackError) as caught:
        make_stacks(aws)[0].deploy(CHANGE)
    assert str(caught.value).splitlines() == [
        "The stack shop is UPDATE_ROLLBACK_COMPLETE. Mend this, then deploy again:",
        "  Queue: no such key",
        "  WorkflowsStack: Embedded stack failed",
    ]


def test_a_stack_that_cannot_be_deleted_is_told_with_the_reason():
    aws = CloudFormation("DELETE_FAILED", events=[make_event("DELETE_FAILED", "Bucket", "not empty")])
    with pytest.raises(StackError, match=r"(?s)shop is DELETE_FAILED, and not deleted.*Bucket: not empty"):
        make_stacks(aws)[0].delete("shop")
