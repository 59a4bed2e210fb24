"""Roles hold what is called, and nothing else: the code's calls and the states' tasks, against the statements."""

import fnmatch
import itertools
import json
import re

import pytest

from dynaurora import keys
from tests.infrastructure.called_actions import find_actions
from tests.infrastructure.deployment import (
    FUNCTION,
    STATE_MACHINE,
    Resource,
    get_resource,
    list_resources,
    list_states,
    list_templates,
    read_definition,
    substitute,
)
from tests.infrastructure.test_policies import DELIVERY_OF_LOGS, MAPPING, ROLES, as_list, list_statements
from tests.workflows import executions

FUNCTIONS = list_resources(FUNCTION)
STATE_MACHINES = list_resources(STATE_MACHINE)

LOGS = {"logs:CreateLogStream", "logs:PutLogEvents"}
TRACES = {"xray:PutTelemetryRecords", "xray:PutTraceSegments"}
SAMPLED_TRACES = TRACES | {"xray:GetSamplingRules", "xray:GetSamplingTargets"}
NETWORK_INTERFACES = {
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
}
STREAM = {"dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams"}
EXPORT_BUCKET = {"s3:AbortMultipartUpload", "s3:PutObject", "s3:PutObjectAcl"}
CHILD_EXECUTIONS = {"states:DescribeExecution", "states:StopExecution"}
EXECUTION_RULE = {"events:DescribeRule", "events:PutRule", "events:PutTargets"}
ENCRYPTED_TOPIC = {"kms:Decrypt", "kms:GenerateDataKey"}
PARTS = {"s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"}

ACTIONS_OF_TASKS = {
    "lambda:invoke": {"lambda:InvokeFunction"},
    "sns:publish": {"sns:Publish"} | ENCRYPTED_TOPIC,
    "states:startExecution": {"states:StartExecution"},
    "states:startExecution.sync:2": {"states:StartExecution"} | CHILD_EXECUTIONS | EXECUTION_RULE,
    "aws-sdk:dynamodb:describeExport": {"dynamodb:DescribeExport"},
    # DynamoDB decrypts a table that has a key of its own, and writes, with the rights of who asks for the export.
    "aws-sdk:dynamodb:exportTableToPointInTime": {"dynamodb:ExportTableToPointInTime", "kms:Decrypt"} | EXPORT_BUCKET,
    "s3:getObject": {"s3:GetObject"},
    "s3:putObject": {"s3:GetObject", "s3:PutObject"} | PARTS,
}
"""What a state machine's role needs for each integration (Step Functions Developer Guide, "IAM policies for integrated
services" and "IAM policies for using Distributed Map states"; Amazon DynamoDB Developer Guide, "Requesting a table
export in DynamoDB")."""

ACTIONS_OF_MAPS = {"states:StartExecution", "states:RedriveExecution"} | CHILD_EXECUTIONS

ACTIONS_OF_SERVICES = {
    "events.amazonaws.com": {"states:StartExecution"},
    "scheduler.amazonaws.com": {"states:StartExecution", "sqs:SendMessage"},
    "firehose.amazonaws.com": {
        "lambda:GetFunctionConfiguration",
        "lambda:InvokeFunction",
        "logs:PutLogEvents",
        "s3:AbortMultipartUpload",
        "s3:GetBucketLocation",
        "s3:GetObject",
        "s3:ListBucket",
        "s3:ListBucketMultipartUploads",
        "s3:PutObject",
    },
    "rds.amazonaws.com": {"s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket"},
    "ec2.amazonaws.com": {
        "ssm:UpdateInstanceInformation",
        "ssmmessages:CreateControlChannel",
        "ssmmessages:CreateDataChannel",
        "ssmmessages:OpenControlChannel",
        "ssmmessages:OpenDataChannel",
    },
}
"""What other services do with a role of ours (Amazon Data Firehose Developer Guide, "Grant Firehose access to an Amazon
S3 destination"; EventBridge User Guide, "Using dead-letter queues"; Amazon Aurora User Guide, "Creating an IAM policy
to access Amazon S3 resources"; AWS Systems Manager User Guide, "Create a custom IAM role for Session Manager")."""


def find_role(resource: Resource) -> Resource:
    """The role that a function or state machine has, by the template."""
    logical_id = resource.properties["Role"]["Fn::GetAtt"]
    (role,) = (role for role in ROLES if role.template == resource.template and role.id in logical_id)
    return role


def allowed_actions(role: Resource) -> set[str]:
    return {action for statement in list_statements(role) for action in as_list(statement["Action"])}


def implied_actions(function: Resource) -> set[str]:
    """What Lambda does for a function with the function's role, and what a call needs beside its own action."""
    actions = LOGS | TRACES
    called = find_actions(function.snake)
    if function.properties.get("VpcConfig"):
        actions |= NETWORK_INTERFACES
    if "secretsmanager:GetSecretValue" in called:
        actions |= {"kms:Decrypt"}  # of a secret that has a key of its own
    if "secretsmanager:PutSecretValue" in called:
        actions |= {"kms:GenerateDataKey"}
    if "dynamodb:GetItem" in called:
        actions |= {"kms:Decrypt"}  # of a table that has a key of its own
    if "s3:GetObject" in called:
        actions |= {"s3:ListBucket"}  # without it S3 says of an object that is missing that it is forbidden
    if reads_a_stream(function):
        actions |= STREAM | {"kms:Decrypt", "s3:ListBucket", "s3:PutObject"}  # the last two for what Lambda gives up on
    if is_kept_in_a_queue(function):
        actions |= {"sqs:SendMessage"}
    return actions


def reads_a_stream(function: Resource) -> bool:
    mappings = list_resources("AWS::Lambda::EventSourceMapping")
    return any(function.id in str(mapping.properties["FunctionName"]) for mapping in mappings)


def is_kept_in_a_queue(function: Resource) -> bool:
    configurations = list_resources("AWS::Lambda::EventInvokeConfig")
    return any(function.id in str(config.properties["FunctionName"]) for config in configurations)


@pytest.mark.parametrize("function", FUNCTIONS, ids=str)
def test_a_function_may_do_what_its_code_calls_and_nothing_else(function: Resource) -> None:
    needed = find_actions(function.snake) | implied_actions(function)
    assert allowed_actions(find_role(function)) == needed


@pytest.mark.parametrize("state_machine", STATE_MACHINES, ids=str)
def test_a_state_machine_may_do_what_its_states_do_and_nothing_else(state_machine: Resource) -> None:
    needed = DELIVERY_OF_LOGS | SAMPLED_TRACES
    for _, state in list_states(state_machine.snake):
        if state["Type"] == "Map":
            needed |= ACTIONS_OF_MAPS
        for part in (state, state.get("ItemReader", {}), state.get("ResultWriter", {})):
            if "Resource" in part:
                needed |= ACTIONS_OF_TASKS[part["Resource"].removeprefix("arn:aws:states:::")]
    assert allowed_actions(find_role(state_machine)) == needed


@pytest.mark.parametrize("state_machine", STATE_MACHINES, ids=str)
def test_a_state_machine_may_call_the_functions_of_its_states_once_each(state_machine: Resource) -> None:
    called = set(re.findall(r'"\$\{(\w+FunctionArn)\}', str(read_definition(state_machine.snake)).replace("'", '"')))
    substitutions = state_machine.properties["DefinitionSubstitutions"]
    arns = [str(substitutions[name]) for name in called]
    allowed = [
        str(resource)
        for statement in list_statements(find_role(state_machine))
        if "lambda:InvokeFunction" in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    ]
    assert called
    assert sorted(allowed) == sorted(arns)


@pytest.mark.parametrize("role", [role for role in ROLES if not role.id.endswith("StateMachineRole")], ids=str)
def test_another_service_may_do_what_it_is_there_for(role: Resource) -> None:
    (statement,) = role.properties["AssumeRolePolicyDocument"]["Statement"]
    service = statement["Principal"]["Service"]
    if service == "lambda.amazonaws.com":
        assert any(find_role(function) is role for function in FUNCTIONS), "each function has a role, each role one"
        return
    assert allowed_actions(role) == ACTIONS_OF_SERVICES[service]


# Exactly one statement allows a thing. Which objects two patterns share is asked of keys that there are.

EXPORT = f"{keys.export_prefix(MAPPING, 'r')}AWSDynamoDB/01-a"
KEYS = [
    f"{EXPORT}/manifest-summary.json",
    f"{EXPORT}/data/a.json.gz",
    keys.export_request(MAPPING, "r"),
    keys.plan(MAPPING, "r"),
    keys.planned(MAPPING, "r"),
    keys.backfill_batch(MAPPING, "r", 1),
    keys.backfill_descriptor(MAPPING, "r", 1),
    keys.backfill_unmapped(MAPPING, "r", 1),
    keys.backfill_rejects(MAPPING, "r", 1),
    keys.sweep_plan(MAPPING, "r"),
    keys.sweep_batch(MAPPING, "r", 1),
    keys.manifest(MAPPING, "b"),
    keys.reprocess_plan(MAPPING, "r"),
    keys.reprocessed_batch(MAPPING, "d"),
    keys.remainder(MAPPING, "r", 1, 1),
    keys.parked_remainder(MAPPING, "r", 1, 1),
    keys.failed_batch(MAPPING, "b"),
    keys.parked(MAPPING, keys.failed_batch(MAPPING, "b")),
    keys.report(MAPPING, "r"),
    keys.oversize_record(MAPPING, "1"),
    keys.unforwardable_records(MAPPING, "1"),
    keys.refused_change(MAPPING, "1"),
    keys.refused_remainder(MAPPING, "r", 1, 1),
    keys.mapping_document(MAPPING, "d"),
    keys.mapping_pointer(MAPPING),
    keys.notice(MAPPING, "c", 1),
    f"{keys.processed_prefix(MAPPING)}x",
    f"{keys.unforwarded_prefix()}x",
]


def shares_resources(first: str, second: str) -> bool:
    """Whether two resources of statements have something in common."""
    if first == second:
        return True
    patterns = [resource.partition(":s3:::") for resource in (first, second)]
    if not all(separator for _, separator, _ in patterns):
        return fnmatch.fnmatchcase(first, second) or fnmatch.fnmatchcase(second, first)
    (first_bucket, _, first_key), (second_bucket, _, second_key) = (p[2].partition("/") for p in patterns)
    if first_bucket != second_bucket:
        return False
    return any(fnmatch.fnmatchcase(key, first_key) and fnmatch.fnmatchcase(key, second_key) for key in KEYS)


@pytest.mark.parametrize("role", ROLES, ids=str)
def test_what_is_allowed_is_allowed_by_one_statement(role: Resource) -> None:
    for first, second in itertools.combinations(list_statements(role), 2):
        twice = set(as_list(first["Action"])) & set(as_list(second["Action"]))
        resources = [as_list(substitute(statement["Resource"], Mapping=MAPPING)) for statement in (first, second)]
        if twice and first.get("Condition") == second.get("Condition"):
            shared = [pair for pair in itertools.product(*resources) if shares_resources(*map(str, pair))]
            assert (sorted(twice), shared) == (sorted(twice), [])


def test_every_template_with_roles_is_looked_at() -> None:
    assert {role.template for role in ROLES} <= set(list_templates())
    assert {role.id for role in ROLES} >= {find_role(resource).id for resource in FUNCTIONS + STATE_MACHINES}


# The reader of calls, by calls that are known


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("transform_changes", {"s3:GetObject", "s3:PutObject"}),
        ("describe_runs", {"s3:GetObject", "secretsmanager:GetSecretValue"}),
        ("forward_changes", {"firehose:PutRecordBatch", "s3:GetObject", "s3:PutObject"}),
        (
            "settle_failures",
            {
                *("s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:PutObject"),
                *("s3:PutObjectTagging", "secretsmanager:GetSecretValue"),
            },
        ),
    ],
)
def test_calls_are_found_through_methods_protocols_and_modules(function: str, expected: set[str]) -> None:
    assert find_actions(function) == expected


def test_an_empty_schedule_calls_no_function_of_the_network():
    """A table that rests lets the database pause: what looks for failures reaches S3 alone."""
    case = executions.Case("reprocess_failures", "NothingFailed")
    schedule = get_resource("ReprocessFailuresSchedule").properties["Target"]["Input"]["Fn::Sub"]
    started_with = json.loads(schedule.replace("${Mapping}", "web_analytics"))
    assert json.loads(case.input).items() >= started_with.items()
    states = executions.list_states(case.machine)
    called = [
        states[label]["Parameters"]["FunctionName"] for label in case.expected["states"] if "Resource" in states[label]
    ]
    assert len(called) == 1
    function = get_resource("ListFailuresFunction")
    assert not {"VpcConfig"} & function.properties.keys()
    assert not function.has_database
    assert {action.partition(":")[0] for action in find_actions(function.snake)} == {"s3"}
