"""House rules of the roles: one for each function and service, each statement narrow and with its reason."""

import fnmatch
import re

import pytest

from dynaurora import keys
from tests.infrastructure.deployment import (
    FUNCTION,
    REPLICATION,
    STATE_MACHINE,
    find_references,
    get_resource,
    list_resources,
    list_states,
    list_templates,
    read_text,
    substitute,
)

ROLES = list_resources("AWS::IAM::Role")
MAPPING = "web_analytics"

UNNAMEABLE = {
    "ec2": "Lambda makes the network interfaces of a function in a VPC, before they have an ARN",
    "ssmmessages": "the Service Authorization Reference lists no resources for its actions",
    "logs": "log delivery of state machines; the Service Authorization Reference lists no resources for its actions",
    "xray": "the Service Authorization Reference lists no resources for its actions",
}
"""Services whose actions take no resource, with the reason; only they may be allowed on everything."""

OBJECT_ACTIONS = {
    *(
        "s3:DeleteObject",
        "s3:DeleteObjectVersion",
        "s3:GetObject",
        "s3:GetObjectVersion",
        "s3:PutObject",
        "s3:PutObjectAcl",
    ),
    *("s3:GetObjectTagging", "s3:PutObjectTagging"),
}
EXPORTED = "*AWSDynamoDB/*"
"""Where the files of an export are, whatever prefix it was made with."""

LOADED = {f"{keys.PROCESSED}/mapping=*", f"{keys.BATCHES}/*"}
"""What Aurora loads: the batches and manifests of every stack that shares the database."""
SERVICES_OF_NO_RESOURCE = {"ec2.amazonaws.com", "lambda.amazonaws.com"}
"""Services that take a role without saying for which function or instance."""

OWNERS_OF_RUN_KEYS = {
    "exports/run=*": {"BackfillTableStateMachineRole"},
    "batches/run=*/*.json": {"CheckReadinessRole", "FindUnimportedRole", "PlanBackfillRole"},
    "batches/run=*/batch-": {"ConvertExportRole", "SettleFailuresRole"},
    "batches/run=*/attempts-": {"ConvertExportRole"},
    "batches/run=*/batch-*.unmapped.json": {"ReportRunRole"},
    "batches/run=*/batch-*.refused.json": {"PlanSweepRole", "ReportRunRole"},
    "batches/run=*/sweep": {"BackfillTableStateMachineRole", "PlanSweepRole"},
    "batches/run=*/plan.json": {"BackfillTableStateMachineRole", "ReconcileRunRole"},
    "batches/mapping=*/judged-*.json": {"JudgeDifferencesRole"},
    "batches/run=*/planned.json": {"CloseRunRole", "JudgeDifferencesRole", "PurgeReplicasRole"},
    "batches/run=*/*.csv": {"FindUnimportedRole", "ImportBatchRole", "JudgeDifferencesRole", "PurgeReplicasRole"},
    "batches/reprocess/run=*/failures.json": {
        "ListFailuresRole",
        "ReportRunRole",
        "ReprocessFailuresStateMachineRole",
    },
    "batches/reprocess/run=*/again-*.refused.json": {"ReportRunRole"},
    "batches/reprocess/run=*/*": {"ConvertFailuresRole", "FindUnimportedRole", "SettleFailuresRole"},
    "reports/run=*/map/": {
        "BackfillTableStateMachineRole",
        "ReprocessFailuresStateMachineRole",
        "ReportRunRole",
    },
    "reports/run=*/sweep/": {"BackfillTableStateMachineRole"},
    "reports/run=*/report.html": {"CloseRunRole", "ReportRunRole"},
    "reports/run=*/report.json": {"CloseRunRole", "ReportRunRole"},
}
"""Who may touch which keys of runs, by how the keys begin: no run is known before it starts, nor is its mapping."""

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
def test_objects_are_allowed_by_prefix_and_mapping_or_run(role, statement):
    actions = set(as_list(statement["Action"])) & OBJECT_ACTIONS
    assert not {action for action in as_list(statement["Action"]) if "Object" in action} - OBJECT_ACTIONS
    for resource in as_list(substitute(statement["Resource"], Mapping=MAPPING)) if actions else []:
        bucket, key = re.fullmatch(r"arn:\$\{AWS::Partition\}:s3:::\$\{(\w+)\}/(.+)", resource).groups()
        if key == EXPORTED:
            assert actions == {"s3:GetObject"}, "exports are anyone's, and only read"
        elif role.id == "LoadRole":
            assert actions == {"s3:GetObject", "s3:GetObjectVersion"}
            assert key in LOADED
        else:
            assert bucket == "LandingBucketName"
            of_the_stream = key == f"{keys.unforwarded_prefix()}*"
            assert of_the_stream or is_of_the_mapping(key, role) or is_of_a_run(key, role)


def is_of_the_mapping(key, role):
    """Whether a key is one mapping's, or of any where the role is shared."""
    name = MAPPING if role.template == REPLICATION else "*"
    prefixes = (
        keys.PROCESSED,
        keys.FAILED_RECORDS,
        keys.BATCHES,
        keys.REPROCESSED_BATCHES,
        keys.FAILED_BATCHES,
        keys.PARKED,
        keys.ARCHIVED,
        keys.NOTICES,
        keys.MAPPINGS,
    )
    return any(key.startswith(f"{prefix}/mapping={name}/") for prefix in prefixes)


def is_of_a_run(key, role):
    """Whether a key is one that a run has, and the role's owner one that has to do with such keys."""
    return any(key.startswith(begin) and role.id in owners for begin, owners in OWNERS_OF_RUN_KEYS.items())


@pytest.mark.parametrize(
    ("begin", "key"),
    [
        ("exports/run=*", keys.export_prefix(MAPPING, "r")),
        ("batches/run=*/*.json", keys.export_request(MAPPING, "r")),
        ("batches/run=*/*.json", keys.planned(MAPPING, "r")),
        ("batches/run=*/plan.json", keys.plan(MAPPING, "r")),
        ("batches/run=*/planned.json", keys.planned(MAPPING, "r")),
        ("batches/mapping=*/judged-*.json", keys.judging(MAPPING, "r")),
        ("batches/run=*/batch-", keys.backfill_batch(MAPPING, "r", 1)),
        ("batches/run=*/batch-", keys.backfill_descriptor(MAPPING, "r", 1)),
        ("batches/run=*/attempts-", keys.backfill_attempts(MAPPING, "r", 1)),
        ("batches/run=*/batch-*.unmapped.json", keys.backfill_unmapped(MAPPING, "r", 1)),
        ("batches/run=*/sweep", keys.sweep_plan(MAPPING, "r")),
        ("batches/run=*/sweep", keys.sweep_batch(MAPPING, "r", 1)),
        ("batches/run=*/*.csv", keys.backfill_batch(MAPPING, "r", 1)),
        ("batches/run=*/*.csv", keys.sweep_batch(MAPPING, "r", 1)),
        ("reports/run=*/report.html", keys.report_page(MAPPING, "r")),
        ("reports/run=*/report.json", keys.report(MAPPING, "r")),
        ("batches/reprocess/run=*/failures.json", keys.reprocess_plan(MAPPING, "r")),
        ("batches/reprocess/run=*/again-*.refused.json", keys.reprocess_refused(MAPPING, "r", 1)),
        ("batches/reprocess/run=*/*", keys.remainder(MAPPING, "r", 1, 1)),
        ("batches/reprocess/run=*/*", keys.parked_remainder(MAPPING, "r", 1, 1)),
    ],
)
def test_the_keys_of_runs_are_those_that_are_allowed(begin, key):
    assert begin in OWNERS_OF_RUN_KEYS
    assert fnmatch.fnmatchcase(key, f"{begin}*")


def test_nothing_but_what_is_settled_or_archived_the_probe_and_what_is_known_of_a_replication_can_be_deleted():
    deleting = [
        (role.id, resource)
        for role, statement in (entry.values for entry in STATEMENTS)
        if "s3:DeleteObject" in as_list(statement["Action"])
        for resource in as_list(substitute(statement["Resource"], Mapping=MAPPING))
    ]
    deleted = {
        "SettleFailuresRole": (keys.FAILED_RECORDS, keys.UNFORWARDED, keys.FAILED_BATCHES, keys.PARKED),
        "PrepareTargetRole": (f"{keys.BATCHES}/mapping=*/probe.",),  # a line of its own
        "RegisterReplicationRole": (keys.replication("*"),),
        "PurgeReplicasRole": (keys.ARCHIVED,),
    }
    assert {role for role, _ in deleting} == deleted.keys()
    assert all(resource.partition("}/")[2].startswith(deleted[role]) for role, resource in deleting)


def test_event_source_mappings_are_looked_at_where_they_are_of_readers_of_streams():
    looking = [
        (role.id, statement["Condition"]["ArnLikeIfExists"]["lambda:FunctionArn"]["Fn::Sub"].rpartition(":")[2])
        for role in ROLES
        for statement in list_statements(role)
        if "lambda:GetEventSourceMapping" in as_list(statement["Action"])
    ]
    name = get_resource("ForwardChangesFunction").properties["FunctionName"]["Fn::Sub"].replace("${Name}", "*")
    assert looking == [("CheckReadinessRole", name), ("MeasureHealthRole", name), ("JudgeDifferencesRole", name)]


@pytest.mark.parametrize("role", ROLES, ids=str)
def test_a_role_has_no_managed_policies(role):
    assert "ManagedPolicyArns" not in role.properties
    assert list(list_statements(role))


@pytest.mark.parametrize("role", ROLES, ids=str)
def test_a_role_has_the_boundary_that_the_account_asks_for(role):
    bounded = ["HasPermissionsBoundary", {"Ref": "PermissionsBoundaryArn"}, {"Ref": "AWS::NoValue"}]
    assert role.properties["PermissionsBoundary"] == {"Fn::If": bounded}


@pytest.mark.parametrize("role", ROLES, ids=str)
def test_a_service_takes_a_role_for_its_own_resource_only(role):
    (statement,) = role.properties["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Action"] == "sts:AssumeRole"
    if statement["Principal"]["Service"] in SERVICES_OF_NO_RESOURCE:
        return
    assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    for source in as_list(statement["Condition"]["ArnLike"]["aws:SourceArn"]):
        # A cluster's parameter group names the role, so the cluster has no name yet.
        assert source["Fn::Sub"].endswith(":cluster:*") if role.id == "LoadRole" else "${Name}-" in source["Fn::Sub"]


@pytest.mark.parametrize("machine", list_resources(STATE_MACHINE), ids=str)
def test_step_functions_takes_a_role_for_the_children_of_distributed_maps_too(machine):
    """They are executions of `stateMachine:NAME/LABEL`, a qualified ARN (API reference of StartExecution)."""
    role = get_resource(machine.properties["Role"]["Fn::GetAtt"][0])
    (statement,) = role.properties["AssumeRolePolicyDocument"]["Statement"]
    trusted = [source["Fn::Sub"] for source in as_list(statement["Condition"]["ArnLike"]["aws:SourceArn"])]
    own = "arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}:stateMachine:${Name}-" + machine.kebab
    has_children = any(
        state.get("ItemProcessor", {}).get("ProcessorConfig", {}).get("Mode") == "DISTRIBUTED"
        for _, state in list_states(machine.snake)
    )
    assert trusted == [own, f"{own}/*"] if has_children else [own]


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
