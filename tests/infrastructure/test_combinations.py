"""Whatever exists already and whatever is created: each deployment refers to what is there."""

import itertools

import pytest

from tests.infrastructure.deployment import list_resources, list_templates, read_template
from tests.infrastructure.resolving import DanglingError, RefusedError, Stack

SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:"
NETWORKS = {
    "no network": {},
    "a network": {"SubnetIds": "subnet-0123456789abcdef0,subnet-0123456789abcdef1", "VpcId": "vpc-0123456789abcdef0"},
    "a network's groups": {"SubnetIds": "subnet-0123456789abcdef0", "SecurityGroupIds": "sg-0123456789abcdef0"},
    "subnets alone": {"SubnetIds": "subnet-0123456789abcdef0"},
    "a VPC alone": {"VpcId": "vpc-0123456789abcdef0"},
}
CLUSTER = {"DatabaseHost": "db.example"}
DATABASES = {
    "no database": {},
    "a database": CLUSTER | {"DatabaseAdminSecretArn": f"{SECRET}admin"},
    "a prepared database": CLUSTER | {"DatabaseSecretArn": f"{SECRET}loader"},
    "a database and its loader": CLUSTER
    | {"DatabaseAdminSecretArn": f"{SECRET}admin", "DatabaseSecretArn": f"{SECRET}loader"},
    "a database whose secrets have a key": CLUSTER
    | {
        "DatabaseAdminSecretArn": f"{SECRET}admin",
        "DatabaseSecretKeyArn": "arn:aws:kms:eu-west-1:123456789012:key/0f1e",
    },
    "a database without a user": CLUSTER,
    "a user without a database": {"DatabaseSecretArn": f"{SECRET}loader"},
}
BUCKETS = {"no bucket": {}, "a bucket": {"LandingBucketName": "shared-landing"}}
TABLES = {
    "no table": {},
    "a table": {
        "SourceStreamArn": "arn:aws:dynamodb:eu-west-1:123456789012:table/clicks/stream/2026-11-24T08:15:00.000",
        "SourceTableKeyArn": "arn:aws:kms:eu-west-1:123456789012:key/0f1e",
    },
}
SESSIONS = {"no sessions": {}, "sessions": {"SessionAccess": "yes"}}
REFUSED = {
    ("no database", "a network's groups"): "give both VpcId and SubnetIds",
    ("no database", "subnets alone"): "give both VpcId and SubnetIds",
    ("no database", "a VPC alone"): "give both VpcId and SubnetIds",
    ("a user without a database", "no network"): "leave SecurityGroupIds, DatabaseAdminSecretArn, DatabaseSecretArn",
    ("a user without a database", "a network"): "leave SecurityGroupIds, DatabaseAdminSecretArn, DatabaseSecretArn",
    ("a user without a database", "a network's groups"): "give both VpcId and SubnetIds",
    ("a user without a database", "subnets alone"): "give both VpcId and SubnetIds",
    ("a user without a database", "a VPC alone"): "give both VpcId and SubnetIds",
    **{("a database without a user", network): "needs DatabaseAdminSecretArn" for network in NETWORKS},
    **{
        (database, network): "needs SecurityGroupIds"
        for database in DATABASES
        if "DatabaseHost" in DATABASES[database] and database != "a database without a user"
        for network in ("a network", "subnets alone")
    },
}
"""What the root's rules say to which combinations."""

COMBINATIONS = [
    pytest.param(*names, id=", ".join(names))
    for names in itertools.product(DATABASES, NETWORKS, BUCKETS, TABLES, SESSIONS)
]


def make_stack(database, network, bucket="no bucket", table="no table", sessions="no sessions"):
    return Stack(
        given=DATABASES[database] | NETWORKS[network] | BUCKETS[bucket] | TABLES[table] | SESSIONS[sessions],
    )


@pytest.mark.parametrize(("database", "network", "bucket", "table", "sessions"), COMBINATIONS)
def test_a_deployment_refers_only_to_what_is_there(database, network, bucket, table, sessions):
    stack = make_stack(database, network, bucket, table, sessions)
    if refusal := REFUSED.get((database, network)):
        with pytest.raises(RefusedError, match=refusal):
            stack.check()
    else:
        stack.check()


def list_created(stack, kind):
    found = [name for name, body in stack.resources.items() if body["Type"] == kind]
    for name, body in stack.resources.items():
        if body["Type"] == "AWS::CloudFormation::Stack":
            found += list_created(stack.nested(name), kind)
    return found


@pytest.mark.parametrize(
    ("database", "network", "bucket", "table", "created"),
    [
        (
            "no database",
            "no network",
            "no bucket",
            "no table",
            {"vpc", "cluster", "bucket", "table", "secret", "target"},
        ),
        ("no database", "a network", "no bucket", "no table", {"cluster", "bucket", "table", "secret", "target"}),
        ("a database", "no network", "a bucket", "a table", {"secret", "target"}),
        ("a database", "a network's groups", "a bucket", "no table", {"secret", "target", "table"}),
        ("a database and its loader", "no network", "no bucket", "a table", {"bucket", "target"}),
        ("a prepared database", "a network's groups", "a bucket", "a table", set()),
    ],
)
def test_what_is_there_is_not_created(database, network, bucket, table, created):
    stack = make_stack(database, network, bucket, table)
    kinds = {
        "vpc": "AWS::EC2::VPC",
        "cluster": "AWS::RDS::DBCluster",
        "bucket": "AWS::S3::Bucket",
        "table": "AWS::DynamoDB::Table",
        "secret": "AWS::SecretsManager::Secret",
        "target": "Custom::PreparedTarget",
    }
    assert {word for word, kind in kinds.items() if list_created(stack, kind)} == created
    is_rotated = bool(list_created(stack, "AWS::SecretsManager::RotationSchedule"))
    assert is_rotated == ("secret" in created), "by whoever made it"


def test_an_empty_account_takes_the_defaults():
    stack = make_stack("no database", "no network")
    stack.check()
    names = {name.removesuffix("Stack").lower() for name in stack.resources}
    assert names == set(list_templates()) - {"template"}


SHARED = (
    *("VpcId", "SubnetIds", "SecurityGroupIds", "LandingBucketName"),
    *("DatabaseHost", "DatabasePort", "DatabaseAdminSecretArn", "DatabaseSecretKeyArn"),
)


@pytest.mark.parametrize("network", ["no network", "a network"])
def test_a_second_stack_takes_the_outputs_of_the_first_one(network):
    first = make_stack("no database", network)
    outputs = {name: first.resolve(first.outputs[name]["Value"]) for name in SHARED}
    second = Stack(given=outputs)
    second.check()
    for kind in ("AWS::EC2::VPC", "AWS::RDS::DBCluster", "AWS::S3::Bucket", "AWS::EC2::SecurityGroup"):
        assert list_created(second, kind) == []
    assert list_created(second, "AWS::SecretsManager::Secret") == ["LoaderSecret"], "each stack has a user of its own"
    assert {name: second.resolve(second.outputs[name]["Value"]) for name in SHARED} == outputs, "and so a third one"


def test_what_is_not_there_is_noticed(monkeypatch):
    stack = make_stack("a database", "no network")
    stack.template = stack.template | {"Conditions": stack.template["Conditions"] | {"InVpc": {"Fn::Equals": ["", ""]}}}
    stack.template["Outputs"] = {"VpcId": {"Value": {"Fn::GetAtt": ["NetworkStack", "Outputs.VpcId"]}}}
    with pytest.raises(DanglingError, match="NetworkStack, which is not created"):
        stack.check()


def test_every_condition_is_used():
    for name in list_templates():
        template = read_template(name)
        text = str({key: value for key, value in template.items() if key != "Conditions"})
        between = str(template.get("Conditions", {}))
        for condition in template.get("Conditions", {}):
            assert f"'{condition}'" in text or f"{{'Condition': '{condition}'}}" in between, f"{name}.{condition}"


def test_every_nested_stack_is_one_of_the_roots():
    urls = {stack.properties["TemplateURL"] for stack in list_resources("AWS::CloudFormation::Stack")}
    assert urls == {f"{name}.yaml" for name in list_templates() if name != "template"}
