"""Whatever exists already and whatever is created: each deployment refers to what is there."""

import itertools

import pytest

from local.deployment import FROM_PLATFORM
from tests.infrastructure.deployment import REPLICATION, ROOTS, list_resources, list_templates, read_template
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
    "no table": {"SourceTableName": "clicks", "PartitionKey": "page_id"},
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
    pytest.param(*names, id=", ".join(names)) for names in itertools.product(DATABASES, NETWORKS, BUCKETS, SESSIONS)
]


def make_stack(database, network, bucket="no bucket", sessions="no sessions"):
    return Stack(given=DATABASES[database] | NETWORKS[network] | BUCKETS[bucket] | SESSIONS[sessions])


def make_replication(platform, table, **given):
    """The replication of a table on a platform, which it is given the outputs of."""
    names = platform.outputs.keys() & set(FROM_PLATFORM)
    outputs = {name: platform.resolve(platform.outputs[name]["Value"]) for name in names}
    return Stack(REPLICATION, outputs | TABLES[table] | {"Name": "clicks-orders", "Mapping": "orders"} | given)


@pytest.mark.parametrize(("database", "network", "bucket", "sessions"), COMBINATIONS)
def test_a_deployment_refers_only_to_what_is_there(database, network, bucket, sessions):
    stack = make_stack(database, network, bucket, sessions)
    if refusal := REFUSED.get((database, network)):
        with pytest.raises(RefusedError, match=refusal):
            stack.check()
    else:
        stack.check()


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("database", ["no database", "a database", "a prepared database"])
def test_a_replication_refers_only_to_what_is_there(database, table):
    platform = make_stack(database, "a network's groups" if "prepared" in database else "no network")
    is_prepared = "PrepareTargetFunctionArn" in platform.outputs
    make_replication(platform, table, MappingDigest="0" * 64).check()
    if is_prepared:
        with pytest.raises(RefusedError, match="give MappingDigest"):
            make_replication(platform, table).check()
    else:
        make_replication(platform, table, ReprocessSchedule="").check()


def list_created(stack, kind):
    found = [name for name, body in stack.resources.items() if body["Type"] == kind]
    for name, body in stack.resources.items():
        if body["Type"] == "AWS::CloudFormation::Stack":
            found += list_created(stack.nested(name), kind)
    return found


@pytest.mark.parametrize(
    ("database", "network", "bucket", "created"),
    [
        ("no database", "no network", "no bucket", {"vpc", "cluster", "bucket", "secret", "loader"}),
        ("no database", "a network", "no bucket", {"cluster", "bucket", "secret", "loader"}),
        ("a database", "no network", "a bucket", {"secret", "loader"}),
        ("a database", "a network's groups", "a bucket", {"secret", "loader"}),
        ("a database and its loader", "no network", "no bucket", {"bucket", "loader"}),
        ("a prepared database", "a network's groups", "a bucket", set()),
    ],
)
def test_what_is_there_is_not_created(database, network, bucket, created):
    stack = make_stack(database, network, bucket)
    kinds = {
        "vpc": "AWS::EC2::VPC",
        "cluster": "AWS::RDS::DBCluster",
        "bucket": "AWS::S3::Bucket",
        "secret": "AWS::SecretsManager::Secret",
        "loader": "Custom::PreparedLoader",
    }
    assert {word for word, kind in kinds.items() if list_created(stack, kind)} == created
    is_rotated = bool(list_created(stack, "AWS::SecretsManager::RotationSchedule"))
    assert is_rotated == ("secret" in created), "by whoever made it"
    for table in TABLES:
        replication = make_replication(stack, table)
        assert bool(list_created(replication, "AWS::DynamoDB::Table")) == (table == "no table")
        assert bool(list_created(replication, "Custom::PreparedTarget")) == ("loader" in created)


def test_an_empty_account_takes_the_defaults():
    stack = make_stack("no database", "no network")
    stack.check()
    names = {name.removesuffix("Stack").lower() for name in stack.resources}
    assert names == set(list_templates()) - set(ROOTS)


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
    assert urls == {f"{name}.yaml" for name in list_templates() if name not in ROOTS}
