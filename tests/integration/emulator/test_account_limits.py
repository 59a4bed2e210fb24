"""Lambda's account limit: what may be reserved of it, and how AWS refuses the rest."""

import json

import pytest
from botocore.exceptions import ClientError

pytestmark = pytest.mark.integration

HANDLER = "def handler(event, context): return 'here'"
REFUSAL = "decreases account's UnreservedConcurrentExecution below its minimum value of "


def reserve(emulator, function, count):
    emulator.client("lambda").put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=count)


def read_limit(emulator):
    limit = emulator.client("lambda").get_account_settings()["AccountLimit"]
    return limit["ConcurrentExecutions"], limit["UnreservedConcurrentExecutions"]


@pytest.mark.parametrize("limit", [10, 50])
def test_a_small_account_reserves_nothing(start_emulator, limit):
    emulator = start_emulator(DYNAURORA_LAMBDA_CONCURRENCY=str(limit))
    function = emulator.create_function(HANDLER)
    assert read_limit(emulator) == (limit, limit)
    with pytest.raises(ClientError, match=rf"{REFUSAL}\[{limit}\]") as refused:
        reserve(emulator, function, 1)
    assert refused.value.response["Error"]["Code"] == "InvalidParameterValueException"
    reserve(emulator, function, 0)
    assert read_limit(emulator) == (limit, limit)


def test_a_hundred_stay_unreserved(start_emulator):
    emulator = start_emulator()
    first, second = emulator.create_function(HANDLER), emulator.create_function(HANDLER)
    assert read_limit(emulator) == (1000, 1000)
    reserve(emulator, first, 890)
    with pytest.raises(ClientError, match=rf"{REFUSAL}\[100\]"):
        reserve(emulator, second, 11)
    reserve(emulator, second, 10)
    reserve(emulator, first, 890)
    assert read_limit(emulator) == (1000, 100)


def test_a_stack_that_reserves_too_much_fails_and_leaves_no_function(start_emulator):
    emulator = start_emulator(DYNAURORA_LAMBDA_CONCURRENCY="10")
    properties = {
        "FunctionName": "importer",
        "Runtime": "python3.13",
        "Handler": "index.handler",
        "Role": "arn:aws:iam::000000000000:role/anything",
        "Code": {"ZipFile": HANDLER},
    }
    cloudformation = emulator.client("cloudformation")

    def create(name, **changed):
        function = {"Type": "AWS::Lambda::Function", "Properties": properties | changed}
        cloudformation.create_stack(StackName=name, TemplateBody=json.dumps({"Resources": {"Function": function}}))
        return emulator.wait_until(
            lambda: next(
                (
                    stack["StackStatus"]
                    for stack in cloudformation.describe_stacks(StackName=name)["Stacks"]
                    if not stack["StackStatus"].endswith("IN_PROGRESS")
                ),
                None,
            )
        )

    assert create("reserving", ReservedConcurrentExecutions=5) == "ROLLBACK_COMPLETE"
    events = cloudformation.describe_stack_events(StackName="reserving")["StackEvents"]
    assert any(REFUSAL + "[10]" in event.get("ResourceStatusReason", "") for event in events)
    assert create("plain") == "CREATE_COMPLETE", "the name is free again"
