"""House rules of what stacks share: the network, the database, the bucket's key; and of the target in it."""

import json
import re
import uuid
from pathlib import Path

import cfnlint
import pytest

from dynaurora.aurora.connection import LOAD_ROLE
from dynaurora.aurora.users import LOADER_PRIVILEGES
from dynaurora.aws.custom_resources import ANSWER_ATTEMPTS, ANSWER_SECONDS, FIRST_ANSWER_PAUSE_SECONDS, PUT_SECONDS
from local.emulator.cluster_parameters import find_family_problem, find_parameter_problem
from tests.infrastructure.called_actions import find_actions
from tests.infrastructure.deployment import FUNCTION, find_references, get_resource, list_resources, read_template
from tests.infrastructure.resolving import PSEUDO, Stack

ENDPOINTS = list_resources("AWS::EC2::VPCEndpoint")
INSTANCES = list_resources("AWS::RDS::DBInstance")
KEYS = list_resources("AWS::KMS::Key")


def services(*, condition):
    return {
        endpoint.properties["ServiceName"]["Fn::Sub"].rpartition(".")[2]
        for endpoint in ENDPOINTS
        if endpoint.attributes.get("Condition") == condition
    }


# The network


def test_the_network_is_private():
    kinds = {resource.type for resource in list_resources() if resource.template == "network"}
    assert not kinds & {"AWS::EC2::InternetGateway", "AWS::EC2::NatGateway", "AWS::EC2::Route", "AWS::EC2::EIP"}
    subnets = list_resources("AWS::EC2::Subnet")
    assert [subnet.properties["MapPublicIpOnLaunch"] for subnet in subnets] == [False, False]
    assert [subnet.properties["CidrBlock"]["Fn::Select"][0] for subnet in subnets] == [0, 1]


def test_the_services_that_functions_in_the_network_call_are_reached_by_endpoints_and_no_others_are_paid():
    inside = [function for function in list_resources(FUNCTION) if "VpcConfig" in function.properties]
    assert len(inside) > 5
    called = {action.partition(":")[0] for function in inside for action in find_actions(function.snake)}
    assert services(condition=None) == called
    assert services(condition="HasSessionAccess") == {"ssm", "ssmmessages", "ec2messages"}


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=str)
def test_an_endpoint_is_used_by_the_services_own_name(endpoint):
    if endpoint.properties["VpcEndpointType"] == "Gateway":
        assert endpoint.properties["RouteTableIds"] == [{"Ref": "PrivateRouteTable"}]
        assert endpoint.properties["ServiceName"]["Fn::Sub"].endswith(".s3")
    else:
        assert endpoint.properties["PrivateDnsEnabled"] is True
        assert endpoint.properties["SecurityGroupIds"] == [{"Ref": "EndpointsSecurityGroup"}]
        first, *second = endpoint.properties["SubnetIds"]
        in_both = {"Fn::If": ["HasEndpointsInBothZones", {"Ref": "SecondSubnet"}, {"Ref": "AWS::NoValue"}]}
        assert first == {"Ref": "FirstSubnet"}
        assert second == ([] if "Condition" in endpoint.attributes else [in_both])
    vpc = get_resource("PrivateVpc").properties
    assert vpc["EnableDnsSupport"] is vpc["EnableDnsHostnames"] is True


def test_a_custom_resource_can_answer_out_of_the_network():
    statements = {
        statement["Sid"]: statement
        for statement in get_resource("S3Endpoint").properties["PolicyDocument"]["Statement"]
    }
    answers = statements["AllowAnswersToCloudFormation"]
    assert answers["Action"] == "s3:PutObject"
    bucket, names = answers["Resource"]["Fn::Sub"]
    assert bucket == "arn:${AWS::Partition}:s3:::cloudformation-custom-resource-response-${RegionWithoutHyphens}/*"
    assert names == {"RegionWithoutHyphens": {"Fn::Join": ["", {"Fn::Split": ["-", {"Ref": "AWS::Region"}]}]}}


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=str)
def test_an_endpoint_lets_through_what_is_of_this_account(endpoint):
    """One without a policy is a way out for whoever has credentials of their own, and a bucket or a secret."""
    account = {"Ref": "AWS::AccountId"}
    for statement in endpoint.properties["PolicyDocument"]["Statement"]:
        if statement.get("Sid") == "AllowAnswersToCloudFormation":
            continue
        allowed = statement["Condition"]["StringEquals"]
        assert allowed["aws:PrincipalAccount"] == account
        assert allowed.get("aws:ResourceAccount") == (None if "Condition" in endpoint.attributes else account)


@pytest.mark.parametrize("group", list_resources("AWS::EC2::SecurityGroup"), ids=str)
def test_a_group_lets_in_one_port_from_within(group):
    for rule in group.properties.get("SecurityGroupIngress", []):
        assert rule["FromPort"] == rule["ToPort"]
        assert "SourceSecurityGroupId" in rule or rule["CidrIp"] == {"Ref": "NetworkCidr"}
    assert group.properties["SecurityGroupEgress"], "without a rule, a group lets everything out"
    for rule in group.properties["SecurityGroupEgress"]:
        assert (rule.get("FromPort"), rule.get("ToPort")) == (443, 443) or rule["CidrIp"] == "127.0.0.1/32"


# The database


def test_the_cluster_pauses_grows_and_keeps_what_it_has():
    cluster = get_resource("DatabaseCluster")
    properties = cluster.properties
    assert properties["Engine"] == "aurora-mysql"
    scaling = properties["ServerlessV2ScalingConfiguration"]
    assert scaling["SecondsUntilAutoPause"]["Fn::If"][0] == "PausesWhenIdle"
    assert properties["DeletionProtection"] == {"Ref": "DatabaseDeletionProtection"}
    assert properties["BackupRetentionPeriod"] == {"Ref": "DatabaseBackupDays"}
    assert cluster.attributes["DeletionPolicy"] == cluster.attributes["UpdateReplacePolicy"] == "Snapshot"
    defaults = {name: value.get("Default") for name, value in read_template("platform")["Parameters"].items()}
    assert defaults["DatabaseMinCapacity"] == 0
    assert defaults["DatabaseDeletionProtection"] == "false", "a first deployment can be rolled back"
    major, minor = defaults["DatabaseEngineVersion"].split(".")[3:5]
    assert (int(major), int(minor)) >= (3, 8), "the first version that can pause"


def test_the_cluster_is_encrypted_and_its_password_nobodys():
    properties = get_resource("DatabaseCluster").properties
    key = {"Fn::GetAtt": ["DatabaseKey", "Arn"]}
    assert properties["StorageEncrypted"] is properties["ManageMasterUserPassword"] is True
    assert properties["KmsKeyId"] == properties["MasterUserSecret"]["KmsKeyId"] == key
    assert "MasterUserPassword" not in properties


def test_the_cluster_loads_from_s3_and_takes_tls_only():
    role = {"Fn::GetAtt": ["LoadRole", "Arn"]}
    assert get_resource("DatabaseCluster").properties["AssociatedRoles"] == [{"RoleArn": role}]
    group = get_resource("DatabaseClusterParameterGroup").properties
    assert group["Parameters"] == {"aws_default_s3_role": role, "require_secure_transport": "ON"}
    assert get_resource("DatabaseCluster").properties["DBClusterParameterGroupName"] == {
        "Ref": "DatabaseClusterParameterGroup"
    }


@pytest.mark.parametrize("group", list_resources("AWS::RDS::DBClusterParameterGroup"), ids=str)
def test_a_parameter_of_the_cluster_is_one_that_rds_takes(group):
    assert group.properties["Parameters"]
    for name, value in group.properties["Parameters"].items():
        text = "arn:aws:iam::123456789012:role/load" if isinstance(value, dict) else value
        assert find_parameter_problem(name, text) is None, "see local/emulator/cluster_parameters.py"


VERSIONS = {
    "8.0.mysql_aurora.3.07.1": None,
    "8.0.mysql_aurora.3.08.0": "aurora-mysql8.0",
    "8.0.mysql_aurora.3.10.6": "aurora-mysql8.0",
    "8.4.mysql_aurora.8.4.7": "aurora-mysql8.4",
    "8.4.mysql_aurora.8.4.10": "aurora-mysql8.4",
    "8.4.mysql_aurora.3.10.6": None,
    "5.7.mysql_aurora.2.12.6": None,
}
"""Engine versions, and the family of their cluster parameter group; None where they cannot be created."""


@pytest.mark.parametrize(("version", "family"), VERSIONS.items())
def test_the_parameter_groups_family_is_that_of_the_version(version, family):
    patterns = {
        read_template(name)["Parameters"]["DatabaseEngineVersion"]["AllowedPattern"]
        for name in ("platform", "database")
    }
    (pattern,) = patterns
    assert bool(re.fullmatch(pattern, version)) == (family is not None)
    if family is not None:
        stack = Stack("database", {"DatabaseEngineVersion": version})
        found = stack.resolve(get_resource("DatabaseClusterParameterGroup").properties["Family"])
        assert found == family
        assert find_family_problem(version, "group", found) is None


def test_every_version_that_the_linter_knows_is_taken_or_too_old():
    (pattern,) = {read_template("platform")["Parameters"]["DatabaseEngineVersion"]["AllowedPattern"]}
    schema = Path(cfnlint.__file__).parent / "data/schemas/extensions/aws_rds_dbcluster/engine_version.json"
    known = set(re.findall(r"\d\.\d\.mysql_aurora\.[\d.]+", schema.read_text()))
    refused = {version for version in known if not re.fullmatch(pattern, version)}
    assert known - refused >= {"8.4.mysql_aurora.8.4.7"}
    assert {version.partition(".mysql_aurora.")[2][:4] for version in refused} <= {
        *(f"2.{minor:02}" for minor in range(13)),
        *(f"3.{minor:02}" for minor in range(8)),
    }


def test_retained_resources_do_not_stand_in_the_way_of_a_second_deployment():
    """What a first deployment made and rolled back is gone, whatever its name: no DeletionPolicy is Retain."""
    kept = {resource.id: resource.attributes.get("DeletionPolicy") for resource in list_resources()}
    assert "Retain" not in kept.values()
    excepted = {name for name, policy in kept.items() if policy == "RetainExceptOnCreate"}
    assert excepted == {"SourceTable", "LandingBucket", "LandingBucketKey", "DatabaseKey"}
    for name in excepted:
        assert get_resource(name).attributes["UpdateReplacePolicy"] == "Retain"


@pytest.mark.parametrize("given", ["", "eu-west-1b,eu-west-1c"])
def test_the_subnets_are_in_the_zones_that_are_given_or_the_first_two(given):
    stack = Stack(
        "network",
        {
            "Name": "clicks",
            "NetworkCidr": "10.60.0.0/24",
            "SessionAccess": "no",
            "EndpointZones": "1",
            "NetworkZones": given,
        },
    )
    zones = [stack.resolve(subnet.properties["AvailabilityZone"]) for subnet in list_resources("AWS::EC2::Subnet")]
    assert zones == (given.split(",") if given else ["eu-west-1a", "eu-west-1b"])


@pytest.mark.parametrize("instance", INSTANCES, ids=str)
def test_an_instance_is_serverless_and_private(instance):
    assert instance.properties["DBInstanceClass"] == "db.serverless"
    assert instance.properties["PubliclyAccessible"] is False
    assert instance.properties["DBClusterIdentifier"] == {"Ref": "DatabaseCluster"}


def test_only_clients_reach_the_database():
    (rule,) = get_resource("DatabaseSecurityGroup").properties["SecurityGroupIngress"]
    assert rule["SourceSecurityGroupId"] == {"Ref": "ClientsSecurityGroup"}
    assert "SecurityGroupIngress" not in get_resource("ClientsSecurityGroup").properties
    way = get_resource("ClientsSecurityGroupEgress").properties
    assert way["GroupId"] == {"Ref": "ClientsSecurityGroup"}
    assert way["DestinationSecurityGroupId"] == {"Ref": "DatabaseSecurityGroup"}


def test_sessions_go_through_an_instance_that_nobody_reaches():
    session = [
        resource
        for resource in list_resources()
        if resource.template == "database" and resource.attributes.get("Condition") == "HasSessionAccess"
    ]
    assert {resource.id for resource in session} == {"SessionInstance", "SessionInstanceProfile", "SessionRole"}
    instance = get_resource("SessionInstance").properties
    assert instance["SecurityGroupIds"] == [{"Ref": "ClientsSecurityGroup"}]
    assert instance["MetadataOptions"]["HttpTokens"] == "required"
    assert instance["BlockDeviceMappings"][0]["Ebs"]["Encrypted"] is True
    assert not {"KeyName", "NetworkInterfaces"} & instance.keys()


# Keys


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_a_key_is_rotated_and_kept_with_what_it_encrypts(key):
    assert key.properties["EnableKeyRotation"] is True
    keeps_data = key.id in {"DatabaseKey", "LandingBucketKey"}
    policies = (key.attributes["DeletionPolicy"], key.attributes["UpdateReplacePolicy"])
    assert policies == (("RetainExceptOnCreate", "Retain") if keeps_data else ("Delete", "Delete"))


def test_the_buckets_key_is_used_through_s3_by_this_account_only():
    encryption = get_resource("LandingBucket").properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert encryption == [
        {
            "ServerSideEncryptionByDefault": {
                "SSEAlgorithm": "aws:kms",
                "KMSMasterKeyID": {"Fn::GetAtt": ["LandingBucketKey", "Arn"]},
            },
            "BucketKeyEnabled": True,
        }
    ]
    statements = {
        statement["Sid"]: statement
        for statement in get_resource("LandingBucketKey").properties["KeyPolicy"]["Statement"]
    }
    through = statements["AllowThroughS3"]
    assert set(through["Action"]) == {"kms:Decrypt", "kms:GenerateDataKey"}
    assert through["Condition"]["StringEquals"] == {
        "kms:CallerAccount": {"Ref": "AWS::AccountId"},
        "kms:ViaService": {"Fn::Sub": "s3.${AWS::Region}.${AWS::URLSuffix}"},
    }


def test_what_a_shared_bucket_has_is_made_with_it():
    made = {resource.id for resource in list_resources() if resource.attributes.get("Condition") == "CreatesBucket"}
    assert made == {"LandingBucket", "LandingBucketKey", "LandingBucketPolicy"}


# The target


def test_the_target_is_prepared_again_when_anything_of_it_changes():
    target, function = get_resource("PreparedTarget"), get_resource("PrepareTargetFunction")
    properties, outputs = target.properties, read_template("target")["Outputs"]
    assert properties["ServiceToken"] == {"Ref": "PrepareTargetFunctionArn"}
    assert outputs["PrepareTargetFunctionArn"]["Value"] == {"Fn::GetAtt": [function.id, "Arn"]}
    assert properties["Package"] == {"Ref": "PrepareTargetVersion"}
    assert outputs["PrepareTargetVersion"]["Value"] == {"Ref": f"{function.id}.Version"}
    assert "AutoPublishAlias" in function.properties
    for name in ("Mapping", "MappingDigest"):
        assert properties[name] == {"Ref": name}


def test_the_loader_is_prepared_again_when_anything_of_it_changes():
    properties, function = get_resource("PreparedLoader").properties, get_resource("PrepareTargetFunction")
    given = function.properties["Environment"]["Variables"]
    for name in ("DatabaseHost", "DatabasePort"):
        assert properties[name] == {"Ref": name}
    assert properties["LoaderSecretArn"] == given["DATABASE_SECRET_ARN"]
    assert properties["AdminSecretArn"] == given["DATABASE_ADMIN_SECRET_ARN"]
    assert properties["Network"] == given["DATABASE_NETWORK"] == {"Ref": "DatabaseNetwork"}
    assert "Mapping" not in properties


def test_the_loader_comes_from_the_network_that_the_platform_makes_and_from_anywhere_in_another():
    given = get_resource("TargetStack").properties["Parameters"]["DatabaseNetwork"]
    assert given == {"Fn::If": ["CreatesNetwork", {"Ref": "NetworkCidr"}, ""]}


def test_cloudformation_waits_for_longer_than_the_function_takes_and_repeats():
    timeout = get_resource("PrepareTargetFunction").properties["Timeout"]
    for prepared in ("PreparedLoader", "PreparedTarget"):
        assert get_resource(prepared).properties["ServiceTimeout"] >= 2 * timeout + 60
    assert timeout / 2 > ANSWER_SECONDS
    assert ANSWER_SECONDS >= ANSWER_ATTEMPTS * PUT_SECONDS + FIRST_ANSWER_PAUSE_SECONDS * (
        2 ** (ANSWER_ATTEMPTS - 1) - 1
    )


def test_changes_are_not_read_before_there_is_a_target():
    reader, function = get_resource("ForwardChangesEventSourceMapping"), get_resource("ForwardChangesFunction")
    assert function.id in find_references(reader.properties)
    assert "PreparedTarget" in find_references(function.properties)


def test_a_replication_is_known_once_its_stream_is_read():
    assert "ForwardChangesEventSourceMapping" in find_references(get_resource("RegisteredReplication").properties)
    timeout = get_resource("RegisterReplicationFunction").properties["Timeout"]
    assert get_resource("RegisteredReplication").properties["ServiceTimeout"] >= 2 * timeout + 60


def test_a_loader_is_one_stacks_and_may_do_no_more_than_import():
    secret = get_resource("LoaderSecret").properties["GenerateSecretString"]
    assert set(find_references(secret["SecretStringTemplate"])) >= {"AWS::StackId"}
    assert secret["GenerateStringKey"] == "password"
    assert secret["PasswordLength"] >= 32
    assert LOADER_PRIVILEGES.split(", ") == ["SELECT", "INSERT", "UPDATE", "DELETE", "CREATE TEMPORARY TABLES"]
    assert LOAD_ROLE.endswith("AWS_LOAD_S3_ACCESS")


def test_stacks_that_one_machine_made_in_one_second_have_loaders_of_their_own(monkeypatch):
    """CloudFormation's stack ids end in a UUID of version 1, whose last part is the machine's."""
    template = get_resource("LoaderSecret").properties["GenerateSecretString"]["SecretStringTemplate"]
    users = set()
    for number in range(100):
        stack_id = uuid.uuid1(node=0x0A1B2C3D4E5F, clock_seq=number // 50)
        monkeypatch.setitem(PSEUDO, "AWS::StackId", f"arn:aws:cloudformation:eu-west-1:123456789012:stack/s/{stack_id}")
        users.add(json.loads(Stack("target").resolve(template))["username"])
    assert len(users) == 100
    assert all(re.fullmatch(r"dynaurora_[0-9a-f]{20}", user) for user in users)
    assert max(map(len, users)) <= 32, "characters that MySQL's user names may have (MySQL 8.0, Account Names)"
