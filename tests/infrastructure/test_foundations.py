"""House rules of what stacks share: the network, the database, the bucket's key; and of the target in it."""

import json
import re
import uuid

import pytest

from dynaurora.aurora import LOAD_ROLE
from dynaurora.custom_resources import ANSWER_SECONDS, ATTEMPTS, FIRST_PAUSE_SECONDS, PUT_SECONDS
from dynaurora.users import LOADER_PRIVILEGES
from tests.infrastructure.deployment import find_references, get_resource, list_resources, read_template
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
    zones = [subnet.properties["AvailabilityZone"]["Fn::Select"][0] for subnet in subnets]
    blocks = [subnet.properties["CidrBlock"]["Fn::Select"][0] for subnet in subnets]
    assert zones == blocks == [0, 1]


def test_the_services_are_reached_by_endpoints():
    assert services(condition=None) == {"s3", "secretsmanager", "states", "logs", "kms"}
    assert services(condition="HasSessionAccess") == {"ssm", "ssmmessages", "ec2messages"}


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=str)
def test_an_endpoint_is_used_by_the_services_own_name(endpoint):
    if endpoint.properties["VpcEndpointType"] == "Gateway":
        assert endpoint.properties["RouteTableIds"] == [{"Ref": "PrivateRouteTable"}]
        assert endpoint.properties["ServiceName"]["Fn::Sub"].endswith(".s3")
    else:
        assert endpoint.properties["PrivateDnsEnabled"] is True
        assert endpoint.properties["SecurityGroupIds"] == [{"Ref": "EndpointsSecurityGroup"}]
        assert len(endpoint.properties["SubnetIds"]) == (1 if "Condition" in endpoint.attributes else 2)
    vpc = get_resource("PrivateVpc").properties
    assert vpc["EnableDnsSupport"] is vpc["EnableDnsHostnames"] is True


def test_a_custom_resource_can_answer_out_of_the_network():
    statements = {
        statement["Sid"]: statement
        for statement in get_resource("S3Endpoint").properties["PolicyDocument"]["Statement"]
    }
    answers = statements["AllowAnswersToCloudFormation"]
    assert answers["Action"] == "s3:PutObject"
    assert answers["Resource"] == {"Fn::Sub": "arn:${AWS::Partition}:s3:::cloudformation-custom-resource-response-*/*"}
    assert statements["AllowOwnBuckets"]["Condition"] == {
        "StringEquals": {"aws:ResourceAccount": {"Ref": "AWS::AccountId"}}
    }


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
    defaults = {name: value.get("Default") for name, value in read_template("template")["Parameters"].items()}
    assert (defaults["DatabaseMinCapacity"], defaults["DatabaseDeletionProtection"]) == (0, "true")
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
    assert group["Family"] == "aurora-mysql8.0"
    assert group["Parameters"] == {
        "aws_default_s3_role": role,
        "activate_all_roles_on_login": "ON",
        "require_secure_transport": "ON",
    }
    assert get_resource("DatabaseCluster").properties["DBClusterParameterGroupName"] == {
        "Ref": "DatabaseClusterParameterGroup"
    }


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
    policies = {key.attributes["DeletionPolicy"], key.attributes["UpdateReplacePolicy"]}
    assert policies == ({"Retain"} if keeps_data else {"Delete"})


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
    properties = target.properties
    assert properties["ServiceToken"] == {"Fn::GetAtt": [function.id, "Arn"]}
    assert properties["Package"] == {"Ref": f"{function.id}.Version"}
    assert "AutoPublishAlias" in function.properties
    given = function.properties["Environment"]["Variables"]
    for name in ("Mapping", "DatabaseHost", "DatabasePort"):
        assert properties[name] == {"Ref": name}
    assert properties["LoaderSecretArn"] == given["DATABASE_SECRET_ARN"]
    assert properties["AdminSecretArn"] == given["DATABASE_ADMIN_SECRET_ARN"]


def test_cloudformation_waits_for_longer_than_the_function_takes_and_repeats():
    timeout = get_resource("PrepareTargetFunction").properties["Timeout"]
    assert get_resource("PreparedTarget").properties["ServiceTimeout"] >= 2 * timeout + 60
    assert timeout / 2 > ANSWER_SECONDS
    assert ANSWER_SECONDS >= ATTEMPTS * PUT_SECONDS + FIRST_PAUSE_SECONDS * (2 ** (ATTEMPTS - 1) - 1)


def test_changes_are_not_read_before_there_is_a_target():
    assert set(get_resource("StreamingStack").attributes["DependsOn"]) == {"WorkflowsStack", "TargetStack"}


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
