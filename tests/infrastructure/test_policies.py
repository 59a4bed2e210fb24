"""House rules of the roles: one for each function and service, each statement narrow and with its reason."""

import re

import pytest

from dynaurora import keys
from tests.infrastructure.deployment import (
    FUNCTION,
    find_references,
    list_resources,
    list_templates,
    read_text,
    substitute,
)

ROLES = list_resources("AWS::IAM::Role")
MAPPING = "web_analytics"

UNNAMEABLE = {
    "ec2": "Lambda makes the network interfaces of a function in a VPC, before they have an ARN",
    "logs": "log delivery of state machines; the Service Authorization Reference lists no resources for its actions",
    "xray": "the Service Authorization Reference lists no resources for its actions",
}
"""Services whose actions take no resource, with the reason; only they may be allowed on everything."""

DELIVERY_OF_LOGS = {
    "logs:CreateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:DescribeLogGroups",
    "logs:DescribeResourcePolicies",
    "logs:GetLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:UpdateLogDelivery",
}


def list_statements(role):
    """The statements of a role's policies, conditional ones included."""
    for policy in role.properties.get("Policies", []):
        for statement in policy["PolicyDocument"]["Statement"]:
            yield statement["Fn::If"][1] if "Fn::If" in statement else statement


def as_list(value):
    return value if isinstance(value, list) else [value]


STATEMENTS = [
    pytest.param(role, statement, id=f"{role}-{number}")
    for role in ROLES
    for number, statement in enumerate(list_statements(role))
]


@pytest.mark.parametrize(("role", "statement"), STATEMENTS)
def test_a_statement_names_its_actions(role, statement):
    assert statement["Effect"] == "Allow"
    assert all(re.fullmatch(r"[a-z0-9]+:[A-Za-z]+", action) for action in as_list(statement["Action"]))


@pytest.mark.parametrize(("role", "statement"), STATEMENTS)
def test_a_statement_names_its_resources_where_there_are_any(role, statement):
    if statement["Resource"] != "*":
        return
    services = {action.split(":")[0] for action in as_list(statement["Action"])}
    assert services <= UNNAMEABLE.keys()
    if "logs" in services:
        assert set(as_list(statement["Action"])) <= DELIVERY_OF_LOGS


@pytest.mark.parametrize(("role", "statement"), STATEMENTS)
def test_objects_are_allowed_by_prefix_and_mapping(role, statement):
    actions = [action for action in as_list(statement["Action"]) if re.fullmatch("s3:.*Object(Tagging)?", action)]
    if not actions:
        return
    for resource in as_list(substitute(statement["Resource"], Mapping=MAPPING)):
        key = resource.split("${LandingBucketName}/")[1]
        own = any(
            key.startswith(f"{prefix}/mapping={MAPPING}/")
            for prefix in (keys.PROCESSED, keys.FAILED_RECORDS, keys.BATCHES, keys.FAILED_BATCHES)
        )
        assert own or key == f"{keys.UNFORWARDED}/*"


@pytest.mark.parametrize("role", ROLES, ids=str)
def test_a_role_has_no_managed_policies(role):
    assert "ManagedPolicyArns" not in role.properties
    assert list(list_statements(role))


@pytest.mark.parametrize("role", ROLES, ids=str)
def test_a_service_takes_a_role_for_its_own_resource_only(role):
    (statement,) = role.properties["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Action"] == "sts:AssumeRole"
    if statement["Principal"] == {"Service": "lambda.amazonaws.com"}:
        return  # a function's ARN is not in the request when Lambda takes its role
    assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    assert "${Name}-" in statement["Condition"]["ArnLike"]["aws:SourceArn"]["Fn::Sub"]


@pytest.mark.parametrize("function", list_resources(FUNCTION), ids=str)
def test_a_function_may_write_its_own_log_only(function):
    name = function.id.removesuffix("Function")
    (role,) = (role for role in ROLES if role.id == f"{name}Role")
    logs = [statement for statement in list_statements(role) if "logs:PutLogEvents" in as_list(statement["Action"])]
    assert [find_references(statement["Resource"]) for statement in logs] == [[f"{name}LogGroup"]]


@pytest.mark.parametrize("name", list_templates())
def test_every_allowance_has_its_reason_beside_it(name):
    lines = [line for line in read_text(name).splitlines() if "Effect: Allow" in line]
    assert [line for line in lines if not re.search(r"Effect: Allow  # \w.{10,}", line)] == []
