"""The network and the database as CloudFormation makes them, as far as the emulator does.

Its networks carry nothing, and its clusters are described without a database in them, for which it takes Docker. Two of
the types in database.yaml it does not know, AWS::EC2::SecurityGroupEgress and AWS::EC2::Instance, and of a cluster not
the secret that RDS keeps: what is deployed of that template here is the rest of it. Those three, and all of it on AWS,
nobody has deployed yet.
"""

import re
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.infrastructure.deployment import read_template
from tests.workflows.account import INFRA, Account

pytestmark = pytest.mark.integration

CIDR = "10.60.0.0/24"
UNKNOWN_BLOCKS = {
    "AWS::EC2::SecurityGroupEgress": "ClientsSecurityGroupEgress",
    "MasterUserSecret.SecretArn": "DatabaseAdminSecretArn",
}
"""What the emulator does not know, and the resource or output of database.yaml that has it."""
DATABASE = {
    "Name": "shop",
    "LandingBucketName": "landing",
    "DatabaseEngineVersion": "8.0.mysql_aurora.3.10.6",
    "DatabaseMinCapacity": "0",
    "DatabaseMaxCapacity": "8",
    "DatabaseInstances": "2",
    "DatabaseBackupDays": "7",
    "DatabaseDeletionProtection": "true",
    "SessionAccess": "no",
    "PermissionsBoundaryArn": "",
}


def outputs_of(stack: dict[str, Any]) -> dict[str, str]:
    assert stack["StackStatus"] == "CREATE_COMPLETE", stack
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def list_endpoints(account: Account, vpc: str) -> list[dict[str, Any]]:
    """The endpoints of a network; the emulator takes no filters for them."""
    endpoints = account.client("ec2").describe_vpc_endpoints()["VpcEndpoints"]
    return [endpoint for endpoint in endpoints if endpoint["VpcId"] == vpc]


def create_network(account: Account, name: str, sessions: str) -> dict[str, str]:
    given = {"Name": name, "NetworkCidr": CIDR, "SessionAccess": sessions}
    return outputs_of(account.create_stack(name, (INFRA / "network.yaml").read_text(), given))


@pytest.fixture(scope="module")
def network(account: Account) -> dict[str, str]:
    return create_network(account, "network", "yes")


@pytest.fixture(scope="module")
def here(network: dict[str, str]) -> dict[str, Any]:
    """Narrow a description to what is in the network."""
    return {"Filters": [{"Name": "vpc-id", "Values": [network["VpcId"]]}]}


def test_a_network_has_two_private_subnets_in_two_zones(
    account: Account, network: dict[str, str], here: dict[str, Any]
) -> None:
    subnets = account.client("ec2").describe_subnets(**here)["Subnets"]
    assert {subnet["SubnetId"] for subnet in subnets} == set(network["SubnetIds"].split(","))
    assert {subnet["CidrBlock"] for subnet in subnets} == {"10.60.0.0/26", "10.60.0.64/26"}
    assert len({subnet["AvailabilityZone"] for subnet in subnets}) == 2
    assert not any(subnet["MapPublicIpOnLaunch"] for subnet in subnets)


def test_a_network_leads_nowhere_but_to_its_endpoints(
    account: Account, network: dict[str, str], here: dict[str, Any]
) -> None:
    ec2, subnets = account.client("ec2"), set(network["SubnetIds"].split(","))
    tables = ec2.describe_route_tables(**here)["RouteTables"]
    assert {route["GatewayId"] for table in tables for route in table["Routes"]} == {"local"}
    (private,) = (table for table in tables if subnets == {link.get("SubnetId") for link in table["Associations"]})
    endpoints = {
        endpoint["ServiceName"].removeprefix("com.amazonaws.us-east-1."): endpoint
        for endpoint in list_endpoints(account, network["VpcId"])
    }
    s3 = endpoints.pop("s3")
    assert (s3["VpcEndpointType"], s3["RouteTableIds"]) == ("Gateway", [private["RouteTableId"]])
    assert {endpoint["VpcEndpointType"] for endpoint in endpoints.values()} == {"Interface"}
    in_both = {name for name, endpoint in endpoints.items() if set(endpoint["SubnetIds"]) == subnets}
    assert in_both == {"secretsmanager", "states", "logs", "kms"}
    assert endpoints.keys() - in_both == {"ssm", "ssmmessages", "ec2messages"}, "for the instance, where it is"


def test_endpoints_are_reached_from_within_the_network_alone(account: Account, here: dict[str, Any]) -> None:
    groups = account.client("ec2").describe_security_groups(**here)["SecurityGroups"]
    (group,) = (group for group in groups if group["GroupName"] != "default")
    (rule,) = group["IpPermissions"]
    assert (rule["FromPort"], rule["ToPort"], [source["CidrIp"] for source in rule["IpRanges"]]) == (443, 443, [CIDR])
    (egress,) = group["IpPermissionsEgress"]
    assert [target["CidrIp"] for target in egress["IpRanges"]] == ["127.0.0.1/32"], "to nowhere"


def test_sessions_alone_need_endpoints_of_their_own_and_everything_goes_with_the_stack(account: Account) -> None:
    vpc = create_network(account, "plain", "no")["VpcId"]
    cloudformation = account.client("cloudformation")
    assert len(list_endpoints(account, vpc)) == 5
    cloudformation.delete_stack(StackName="plain")
    cloudformation.get_waiter("stack_delete_complete").wait(StackName="plain", WaiterConfig={"Delay": 1})
    assert vpc not in {found["VpcId"] for found in account.client("ec2").describe_vpcs()["Vpcs"]}
    assert list_endpoints(account, vpc) == []


# The database


def read_known() -> str:
    """Return database.yaml without what the emulator does not know."""
    text = (INFRA / "database.yaml").read_text()
    for name in UNKNOWN_BLOCKS.values():
        text, count = re.subn(rf"^  {name}:\n(?: {{4,}}.*\n|\n)+", "", text, flags=re.MULTILINE)
        assert count == 1, name
    return text


@pytest.fixture(scope="module")
def database(account: Account, network: dict[str, str]) -> dict[str, str]:
    return outputs_of(account.create_stack("database", read_known(), {**network, **DATABASE}))


@pytest.mark.parametrize(
    ("sessions", "unknown"),
    [("no", {"AWS::EC2::SecurityGroupEgress"}), ("yes", {"AWS::EC2::SecurityGroupEgress", "AWS::EC2::Instance"})],
)
def test_the_emulator_refuses_the_types_that_are_left_out_and_no_others(
    account: Account, network: dict[str, str], sessions: str, unknown: set[str]
) -> None:
    """Once it knows one of them, this fails, and the type can be taken in above."""
    text = (INFRA / "database.yaml").read_text()
    with pytest.raises(ClientError, match="Unrecognized resource types") as refused:
        account.create_stack("refused", text, {**network, **DATABASE, "SessionAccess": sessions})
    assert set(re.findall(r"AWS::\w+::\w+", str(refused.value))) == unknown


def test_a_cluster_is_serverless_protected_encrypted_and_backed_up(account: Account, database: dict[str, str]) -> None:
    (cluster,) = account.client("rds").describe_db_clusters()["DBClusters"]
    assert cluster["Endpoint"] == database["DatabaseHost"]
    assert cluster["DBClusterIdentifier"] == database["DatabaseClusterId"]
    assert (cluster["Engine"], cluster["EngineVersion"]) == ("aurora-mysql", DATABASE["DatabaseEngineVersion"])
    assert cluster["ServerlessV2ScalingConfiguration"] == {"MinCapacity": 0, "MaxCapacity": 8}
    assert cluster["StorageEncrypted"]
    assert cluster["DeletionProtection"]
    assert cluster["IAMDatabaseAuthenticationEnabled"]
    assert cluster["BackupRetentionPeriod"] == 7
    assert len(cluster["DBClusterMembers"]) == 2


def test_a_cluster_requires_tls_and_loads_with_its_role(account: Account, database: dict[str, str]) -> None:
    rds, iam = account.client("rds"), account.client("iam")
    (group,) = (
        found["DBClusterParameterGroupName"]
        for found in rds.describe_db_cluster_parameter_groups()["DBClusterParameterGroups"]
        if found["DBClusterParameterGroupName"].startswith("database-")
    )
    pages = rds.describe_db_cluster_parameters(DBClusterParameterGroupName=group)["Parameters"]
    set_here = {entry["ParameterName"]: entry["ParameterValue"] for entry in pages if "ParameterValue" in entry}
    assert set_here.items() >= {"require_secure_transport": "ON", "activate_all_roles_on_login": "ON"}.items()
    role = set_here["aws_default_s3_role"].rpartition("/")[2]
    policy = iam.get_role_policy(RoleName=role, PolicyName="load-batches")["PolicyDocument"]
    assert {resource.partition(":::")[2].partition("/")[0] for resource in list_resources(policy)} == {"landing"}


def list_resources(policy: dict[str, Any]) -> list[str]:
    named = [statement["Resource"] for statement in policy["Statement"]]
    return [resource for names in named for resource in ([names] if isinstance(names, str) else names)]


def test_the_database_lets_its_clients_in_and_nobody_else(account: Account, database: dict[str, str]) -> None:
    (cluster,) = account.client("rds").describe_db_clusters()["DBClusters"]
    (group,) = cluster["VpcSecurityGroups"]
    (described,) = account.client("ec2").describe_security_groups(GroupIds=[group["VpcSecurityGroupId"]])[
        "SecurityGroups"
    ]
    (rule,) = described["IpPermissions"]
    assert (rule["FromPort"], rule["ToPort"], rule["IpRanges"]) == (3306, 3306, [])
    assert [source["GroupId"] for source in rule["UserIdGroupPairs"]] == [database["SecurityGroupIds"]]


def test_everything_else_of_the_template_is_deployed(account: Account, database: dict[str, str]) -> None:
    template = read_template("database")
    optional = {name for name, body in template["Resources"].items() if body.get("Condition") == "HasSessionAccess"}
    made = account.client("cloudformation").describe_stack_resources(StackName="database")["StackResources"]
    expected = template["Resources"].keys() - optional - set(UNKNOWN_BLOCKS.values())
    assert {resource["LogicalResourceId"] for resource in made} == expected
    assert template["Outputs"].keys() - database.keys() == {"DatabaseAdminSecretArn", "SessionInstanceId"}
