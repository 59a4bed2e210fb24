"""Custom resources: what CloudFormation asks, which answers it takes, and what it says of the others."""

import json
import uuid

import pytest

pytestmark = pytest.mark.integration

SOURCE = """
    import json, urllib.request

    def handler(event, context):
        print(json.dumps({name: value for name, value in event.items() if name != "ResponseURL"}))
        wanted = json.loads(event["ResourceProperties"]["Answer"])
        if wanted is None or event["RequestType"] == "Delete":
            wanted = wanted and {}
        if wanted is None:
            return
        answer = {name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")}
        answer |= {"Status": "SUCCESS", "PhysicalResourceId": "made", "Data": {"Colour": "blue"}} | wanted
        body = json.dumps({name: value for name, value in answer.items() if value is not None}).encode()
        request = urllib.request.Request(event["ResponseURL"], body, {"Content-Type": ""}, method="PUT")
        urllib.request.urlopen(request).close()
"""


@pytest.fixture
def function(emulator):
    name = emulator.create_function(SOURCE)
    emulator.arn = emulator.function_arn(name)
    return name


def template(emulator, answer, **properties):
    resource = {
        "Type": "Custom::Thing",
        "Properties": {
            "ServiceToken": emulator.arn,
            "ServiceTimeout": 2,
            "Answer": json.dumps(answer),
            **properties,
        },
    }
    outputs = {"Colour": {"Value": {"Fn::GetAtt": ["Thing", "Colour"]}}, "Id": {"Value": {"Ref": "Thing"}}}
    return json.dumps({"Resources": {"Thing": resource}, "Outputs": outputs})


def create(emulator, answer, **properties):
    """Create a stack with one custom resource, whose function answers this; its name and how it ended."""
    cloudformation, name = emulator.client("cloudformation"), f"stack-{uuid.uuid4().hex[:8]}"
    cloudformation.create_stack(StackName=name, TemplateBody=template(emulator, answer, **properties))
    return name, wait(emulator, name)


def wait(emulator, name):
    def ended():
        (stack,) = emulator.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
        return None if stack["StackStatus"].endswith("IN_PROGRESS") else stack

    return emulator.wait_until(ended)


def requests(emulator, function):
    return [json.loads(line) for line in emulator.logged(function)]


def test_a_resource_is_created_updated_and_deleted_by_requests(emulator, function):
    cloudformation = emulator.client("cloudformation")
    name, stack = create(emulator, {}, Size=3)
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    assert outputs == {"Colour": "blue", "Id": "made"}
    cloudformation.update_stack(StackName=name, TemplateBody=template(emulator, {}, Size=4))
    assert wait(emulator, name)["StackStatus"] == "UPDATE_COMPLETE"
    cloudformation.delete_stack(StackName=name)
    created, updated, deleted = emulator.wait_until(lambda: len(found := requests(emulator, function)) == 3 and found)
    assert [created["RequestType"], updated["RequestType"], deleted["RequestType"]] == ["Create", "Update", "Delete"]
    assert "PhysicalResourceId" not in created
    assert updated["PhysicalResourceId"] == deleted["PhysicalResourceId"] == "made"
    assert (updated["ResourceProperties"]["Size"], updated["OldResourceProperties"]["Size"]) == ("4", "3")
    assert created["ResourceType"] == "Custom::Thing"


def test_a_resource_that_stays_as_it_is_is_not_asked_for_again(emulator, function):
    name, _ = create(emulator, {})
    body = json.loads(template(emulator, {}))
    body["Outputs"]["More"] = {"Value": "more"}
    emulator.client("cloudformation").update_stack(StackName=name, TemplateBody=json.dumps(body))
    assert wait(emulator, name)["StackStatus"] == "UPDATE_COMPLETE"
    assert len(requests(emulator, function)) == 1


@pytest.mark.parametrize(
    ("answer", "deleted"),
    [
        ({"Status": "FAILED", "Reason": "It is raining.", "PhysicalResourceId": "half"}, "half"),
        ({"Status": "DONE"}, "{stack}-Thing"),
    ],
    ids=["by its id", "by another"],
)
def test_a_resource_that_could_not_be_created_is_deleted(emulator, function, answer, deleted):
    name, stack = create(emulator, answer, Size=3)
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    asked = [
        (request["RequestType"], request.get("PhysicalResourceId"), request["ResourceProperties"]["Size"])
        for request in requests(emulator, function)
    ]
    assert asked == [("Create", None, "3"), ("Delete", deleted.format(stack=name), "3")]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        pytest.param({"Status": "FAILED", "Reason": "It is raining."}, "It is raining.", id="a failure's reason"),
        pytest.param({"Status": "FAILED", "Reason": None}, "no Reason", id="a failure without a reason"),
        pytest.param({"Status": "DONE"}, "Invalid response status", id="another status"),
        pytest.param({"PhysicalResourceId": None}, "Invalid PhysicalResourceId", id="no physical id"),
        pytest.param({"PhysicalResourceId": "x" * 1025}, "Invalid PhysicalResourceId", id="long physical id"),
        pytest.param({"RequestId": None}, "lacks RequestId", id="not what was asked"),
        pytest.param({"Data": {"Colour": "x" * 5000}}, "Response object is too long", id="too long"),
        pytest.param(None, "did not receive a response", id="no answer"),
    ],
)
def test_another_answer_fails_the_stack_and_says_why(emulator, function, answer, says):
    name, stack = create(emulator, answer)
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    events = emulator.client("cloudformation").describe_stack_events(StackName=name)["StackEvents"]
    reasons = [event.get("ResourceStatusReason", "") for event in events if event["ResourceStatus"] == "CREATE_FAILED"]
    assert any(says in reason for reason in reasons), reasons
