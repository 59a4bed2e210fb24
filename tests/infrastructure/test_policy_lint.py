"""Every policy as an independent linter sees it: actions that exist, resources that they take, known conditions."""

import json
import re
import warnings

import pytest

from tests.infrastructure.deployment import Resource, list_resources
from tests.infrastructure.test_policies import MAPPING, ROLES, as_list, list_statements

with warnings.catch_warnings():
    warnings.simplefilter("ignore", ResourceWarning)  # it leaves the files of its data open
    from parliament import analyze_policy_string

PSEUDO_PARAMETERS = {
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::Region": "eu-west-1",
    "AWS::StackName": "clicks",
    "AWS::URLSuffix": "amazonaws.com",
    "Mapping": MAPPING,
    "SourceTableKeysArn": "arn:aws:kms:eu-west-1:123456789012:key/*",
}
PLACE = "eu-west-1:123456789012"
ARNS = {
    "ClusterArn": f"arn:aws:rds:{PLACE}:cluster:name",
    "DeliveryStream": f"arn:aws:firehose:{PLACE}:deliverystream/name",
    "FunctionArn": f"arn:aws:lambda:{PLACE}:function:name",
    "Function": f"arn:aws:lambda:{PLACE}:function:name",
    "KeyArn": f"arn:aws:kms:{PLACE}:key/12345678-1234-1234-1234-123456789012",
    "Key": f"arn:aws:kms:{PLACE}:key/12345678-1234-1234-1234-123456789012",
    "LogGroup": f"arn:aws:logs:{PLACE}:log-group:name:*",
    "Queue": f"arn:aws:sqs:{PLACE}:name",
    "QueueArn": f"arn:aws:sqs:{PLACE}:name",
    "SecretArn": f"arn:aws:secretsmanager:{PLACE}:secret:name-abcdef",
    "Secret": f"arn:aws:secretsmanager:{PLACE}:secret:name-abcdef",
    "StateMachineArn": f"arn:aws:states:{PLACE}:stateMachine:name",
    "StateMachine": f"arn:aws:states:{PLACE}:stateMachine:name",
    # A real stream has colons in its label, at which the linter would split.
    "StreamArn": f"arn:aws:dynamodb:{PLACE}:table/name/stream/label",
    "TableArn": f"arn:aws:dynamodb:{PLACE}:table/name",
    "Table": f"arn:aws:dynamodb:{PLACE}:table/name",
    "TopicArn": f"arn:aws:sns:{PLACE}:name",
    "Topic": f"arn:aws:sns:{PLACE}:name",
}
"""What a reference stands for, by how its name ends."""

EXCUSED = {
    ("RESOURCE_MISMATCH", "dynamodb:ListStreams"): (
        "narrowed as AWS does (Amazon DynamoDB Developer Guide, 'IAM policy to allow an AWS Lambda function to access"
        " DynamoDB stream records')"
    ),
    ("RESOURCE_MISMATCH", "states:DescribeExecution"): "a standard execution's ARN begins with execution, not express",
    ("RESOURCE_MISMATCH", "states:ListExecutions"): "of a state machine; those of a map run are not listed",
    ("RESOURCE_STAR", "ec2:AssignPrivateIpAddresses"): "Lambda makes interfaces before they have an ARN to name",
    ("RESOURCE_STAR", "ec2:CreateNetworkInterface"): "Lambda makes interfaces before they have an ARN to name",
    ("RESOURCE_STAR", "ec2:DeleteNetworkInterface"): "Lambda makes interfaces before they have an ARN to name",
    ("RESOURCE_STAR", "ec2:UnassignPrivateIpAddresses"): "Lambda makes interfaces before they have an ARN to name",
}
"""What the linter finds and we keep, with the reason."""


def resolve(value):
    """A part of a policy as IAM gets it, with references made up."""
    if isinstance(value, list):
        return [resolve(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"Ref"}:
        return arn_of(value["Ref"])
    if value.keys() == {"Fn::GetAtt"}:
        target = value["Fn::GetAtt"]
        if target[-1] == "StreamArn":
            return arn_of("StreamArn")
        return arn_of(target[0] if isinstance(target, list) else target.split(".")[0])
    if value.keys() == {"Fn::If"}:
        return resolve(value["Fn::If"][1])
    if value.keys() == {"Fn::Sub"}:
        text = value["Fn::Sub"] if isinstance(value["Fn::Sub"], str) else value["Fn::Sub"][0]
        return re.sub(r"\$\{([\w.:]+)\}", lambda found: name_of(found[1]), text)
    return {name: resolve(item) for name, item in value.items()}


def name_of(reference: str) -> str:
    """What stands in a text for a reference: its ARN where that is asked for, else a name."""
    if reference.endswith("Arn"):
        return arn_of(reference.removesuffix(".Arn"))
    return PSEUDO_PARAMETERS.get(reference, "name")


def arn_of(reference: str) -> str:
    if reference in PSEUDO_PARAMETERS:
        return PSEUDO_PARAMETERS[reference]
    (longest,) = sorted((end for end in ARNS if reference.endswith(end)), key=len)[-1:] or [""]
    assert longest, f"say in ARNS what {reference} stands for"
    return ARNS[longest]


def find_problems(statement: dict) -> set[tuple[str, str]]:
    """What the linter says of a statement: its issues, each with the action that it is about."""
    policy = {"Version": "2012-10-17", "Statement": [resolve(statement)]}
    problems = set()
    for finding in analyze_policy_string(json.dumps(policy)).findings:
        for detail in as_list(finding.detail):
            problems.add((finding.issue, detail["action"] if isinstance(detail, dict) else str(detail)))
    return problems


@pytest.mark.parametrize("role", ROLES, ids=str)
def test_the_linter_has_nothing_against_a_policy(role: Resource) -> None:
    statements = [statement for statement in list_statements(role) if statement["Action"] != "sts:AssumeRole"]
    found = {problem for statement in statements for problem in find_problems(statement)}
    assert found - EXCUSED.keys() == set()


def test_what_is_excused_is_found() -> None:
    found = {problem for role in ROLES for statement in list_statements(role) for problem in find_problems(statement)}
    assert EXCUSED.keys() - found == set()


@pytest.mark.parametrize(
    ("statement", "issue"),
    [
        ({"Action": "s3:GetObjects", "Resource": "arn:aws:s3:::name/*"}, "UNKNOWN_ACTION"),
        ({"Action": "s3:GetObject", "Resource": "arn:aws:s3:::name"}, "RESOURCE_MISMATCH"),
        ({"Action": "s3:GetObject", "Resource": "name"}, "INVALID_ARN"),
    ],
)
def test_the_linter_finds_what_is_wrong(statement: dict, issue: str) -> None:
    assert issue in {found for found, _ in find_problems({"Effect": "Allow", **statement})}


def test_every_role_has_policies_to_lint() -> None:
    assert [role.id for role in list_resources("AWS::IAM::Role") if not list(list_statements(role))] == []
