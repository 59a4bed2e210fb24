"""Rotations of secrets: which steps a rotation function is asked for, when again, and what begins a rotation."""

import json
import uuid

import pytest

pytestmark = pytest.mark.integration

ROTATING = """
    import json, os, boto3

    def handler(event, context):
        secrets, place = boto3.client("secretsmanager"), {"SecretId": event["SecretId"]}
        print(json.dumps(event))
        if event["Step"] == "createSecret":
            try:
                secrets.get_secret_value(**place, VersionStage="AWSPENDING")
            except secrets.exceptions.ResourceNotFoundException:
                pass
            else:
                return
            token = event["ClientRequestToken"]
            secrets.put_secret_value(
                **place, ClientRequestToken=token, SecretString="new", VersionStages=["AWSPENDING"]
            )
        if event["Step"] == os.environ["FAILING"] and not os.path.exists("/tmp/" + event["ClientRequestToken"]):
            open("/tmp/" + event["ClientRequestToken"], "w").close()
            raise RuntimeError("once")
        if event["Step"] == "finishSecret":
            stages = secrets.describe_secret(**place)["VersionIdsToStages"]
            (current,) = [version for version in stages if "AWSCURRENT" in stages[version]]
            secrets.update_secret_version_stage(
                **place, VersionStage="AWSCURRENT", MoveToVersionId=event["ClientRequestToken"],
                RemoveFromVersionId=current,
            )
"""
STEPS = ["createSecret", "setSecret", "testSecret", "finishSecret"]


@pytest.fixture
def secret(emulator):
    name = f"secret-{uuid.uuid4().hex[:8]}"
    return {"SecretId": emulator.client("secretsmanager").create_secret(Name=name, SecretString="old")["ARN"]}


def create_function(emulator, failing=""):
    name = emulator.create_function(ROTATING, Environment={"Variables": {"FAILING": failing}})
    return name, emulator.function_arn(name)


def asked(emulator, function):
    """The events that a rotation function was called with."""
    return [json.loads(line) for line in emulator.logged(function) if line.startswith('{"Step"')]


def wait_for(emulator, secret, value):
    secrets = emulator.client("secretsmanager")
    emulator.wait_until(lambda: secrets.get_secret_value(**secret)["SecretString"] == value)


def test_a_rotation_asks_for_four_steps_and_ends_with_another_version(emulator, secret):
    secrets, (function, arn) = emulator.client("secretsmanager"), create_function(emulator)
    version = secrets.rotate_secret(**secret, RotationLambdaARN=arn)["VersionId"]
    wait_for(emulator, secret, "new")
    emulator.wait_until(lambda: len(asked(emulator, function)) == 4)
    expected = [{"Step": step, **secret, "ClientRequestToken": version} for step in STEPS]
    assert asked(emulator, function) == expected
    described = emulator.wait_until(
        lambda: (found := secrets.describe_secret(**secret)).get("RotationEnabled") and found
    )
    assert "AWSCURRENT" in described["VersionIdsToStages"][version]
    assert secrets.get_secret_value(**secret, VersionStage="AWSPREVIOUS")["SecretString"] == "old"


def test_a_step_that_fails_has_the_rotation_begin_again_with_the_same_version(emulator, secret):
    secrets, (function, arn) = emulator.client("secretsmanager"), create_function(emulator, failing="testSecret")
    version = secrets.rotate_secret(**secret, RotationLambdaARN=arn)["VersionId"]
    wait_for(emulator, secret, "new")
    emulator.wait_until(lambda: len(asked(emulator, function)) == 7)
    assert [event["Step"] for event in asked(emulator, function)] == STEPS[:3] + STEPS
    assert {event["ClientRequestToken"] for event in asked(emulator, function)} == {version}


def test_an_unfinished_rotation_has_an_empty_version_and_lets_no_other_begin(emulator, secret, error_of):
    secrets = emulator.client("secretsmanager")
    assert error_of(secrets.rotate_secret, **secret) == "InvalidRequestException", "no function is known"
    nobody = "arn:aws:lambda:us-east-1:000000000000:function:nobody"
    version = secrets.rotate_secret(**secret, RotationLambdaARN=nobody)["VersionId"]
    assert error_of(secrets.get_secret_value, **secret, VersionStage="AWSPENDING") == "ResourceNotFoundException"
    assert secrets.describe_secret(**secret)["VersionIdsToStages"][version] == ["AWSPENDING"]
    assert error_of(secrets.rotate_secret, **secret) == "InvalidRequestException"
    assert secrets.get_secret_value(**secret)["SecretString"] == "old"


def template(secret, arn, **properties):
    schedule = {
        "Type": "AWS::SecretsManager::RotationSchedule",
        "Properties": {
            **secret,
            "RotationLambdaARN": arn,
            "RotationRules": {"AutomaticallyAfterDays": "30"},
            **properties,
        },
    }
    return json.dumps({"Resources": {"Schedule": schedule}})


def test_a_schedule_of_cloudformation_rotates_at_once_unless_told(emulator, secret):
    secrets, cloudformation = emulator.client("secretsmanager"), emulator.client("cloudformation")
    (function, arn), name = create_function(emulator), f"stack-{uuid.uuid4().hex[:8]}"
    body = template(secret, arn, RotateImmediatelyOnUpdate=False)
    cloudformation.create_stack(StackName=name, TemplateBody=body)
    cloudformation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    assert secrets.get_secret_value(**secret)["SecretString"] == "old"
    assert asked(emulator, function) == []
    cloudformation.update_stack(StackName=name, TemplateBody=template(secret, arn))
    wait_for(emulator, secret, "new")
    described = secrets.describe_secret(**secret)
    assert (described["RotationEnabled"], described["RotationLambdaARN"]) == (True, arn)
    assert described["RotationRules"] == {"AutomaticallyAfterDays": 30}
    cloudformation.delete_stack(StackName=name)
    emulator.wait_until(lambda: not secrets.describe_secret(**secret)["RotationEnabled"])
