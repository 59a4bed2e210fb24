"""The network and the database as CloudFormation makes them, as far as the emulator does.

Its networks carry nothing, and what it says of a cluster is a description: the endpoint leads to the local Aurora,
whatever capacity, parameters and groups are described. One of the types in database.yaml it does not know,
AWS::EC2::Instance: the template is deployed without SessionAccess, which alone makes one. With it, and all of it on
AWS, nobody has deployed it yet.
"""

import json
import re
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.stack import AURORA
from tests.infrastructure.deployment import read_template
from tests.workflows.account import INFRA, Account

pytestmark = pytest.mark.integration

TEMPLATE = INFRA / "database.yaml"
CIDR = "10.60.0.0/24"
AURORA_HERE = {"host": "127.0.0.9", "port": 3399, "username": "someone", "password": "secret"}
"""What clusters lead to."""
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


def outputs_of(stack: dict[str, Any], status: str = "CREATE_COMPLETE") -> dict[str, str]:
    assert stack["StackStatus"] == status, stack
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def list_endpoints(account: Account, vpc: str) -> list[dict[str, Any]]:
    """The endpoints of a network; the emulator takes no filters for them."""
    endpoints = account.client("ec2").describe_vpc_endpoints()["VpcEndpoints"]
    return [endpoint for endpoint in endpoints if endpoint["VpcId"] == vpc]


def create_network(account: Account, name: str, sessions: str, zones: str = "1") -> dict[str, str]:
    given = {"Name": name, "NetworkCidr": CIDR, "NetworkZones": "", "SessionAccess": sessions, "EndpointZones": zones}
    return outputs_of(account.create_stack(name, (INFRA / "network.yaml").read_text(), given))


@pytest.fixture(scope="module")
def network(account: Account) -> dict[str, str]:
    return create_network(account, "network", "yes", zones="2")


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
    assert in_both == {"secretsmanager", "states"}
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
    interfaces = [found for found in list_endpoints(account, vpc) if found["VpcEndpointType"] == "Interface"]
    assert len(list_endpoints(account, vpc)) == len(interfaces) + 1 == 3
    assert {len(found["SubnetIds"]) for found in interfaces} == {1}, "in one zone, where two are not asked for"
    cloudformation.delete_stack(StackName="plain")
    cloudformation.get_waiter("stack_delete_complete").wait(StackName="plain", WaiterConfig={"Delay": 1})
    assert vpc not in {found["VpcId"] for found in account.client("ec2").describe_vpcs()["Vpcs"]}
    assert list_endpoints(account, vpc) == []


# The database


@pytest.fixture(scope="module")
def database(account: Account, network: dict[str, str]) -> dict[str, str]:
    (account.package.parent / "files" / AURORA).write_text(json.dumps(AURORA_HERE))
    return outputs_of(account.create_stack("database", TEMPLATE.read_text(), {**network, **DATABASE}))


def test_the_emulator_refuses_the_instance_for_sessions_and_nothing_else(
    account: Account, network: dict[str, str]
) -> None:
    """Once it knows the type, this fails, and the database can be deployed with sessions above."""
    with pytest.raises(ClientError, match="Unrecognized resource types") as refused:
        account.create_stack("refused", TEMPLATE.read_text(), {**network, **DATABASE, "SessionAccess": "yes"})
    assert re.findall(r"AWS::\w+::\w+", str(refused.value)) == ["AWS::EC2::Instance"]


def test_a_cluster_leads_to_the_local_aurora_and_rds_keeps_its_secret(
    account: Account, database: dict[str, str]
) -> None:
    secrets = account.client("secretsmanager")
    assert (database["DatabaseHost"], database["DatabasePort"]) == ("127.0.0.9", "3399")
    kept = json.loads(secrets.get_secret_value(SecretId=database["DatabaseAdminSecretArn"])["SecretString"])
    assert kept == {"username": "someone", "password": "secret"}
    (cluster,) = account.client("rds").describe_db_clusters()["DBClusters"]
    assert cluster["MasterUserSecret"]["SecretArn"] == database["DatabaseAdminSecretArn"]
    assert cluster["MasterUserSecret"]["KmsKeyId"] == database["DatabaseSecretKeyArn"]


def test_a_cluster_that_is_updated_keeps_its_secret_and_takes_it_along(
    account: Account, database: dict[str, str], network: dict[str, str]
) -> None:
    cloudformation, given = (
        account.client("cloudformation"),
        {**network, **DATABASE, "DatabaseDeletionProtection": "false"},
    )
    second = outputs_of(account.create_stack("second", TEMPLATE.read_text(), given))
    cloudformation.update_stack(
        StackName="second",
        TemplateBody=TEMPLATE.read_text(),
        Parameters=[
            {"ParameterKey": name, "ParameterValue": value}
            for name, value in {**given, "DatabaseMaxCapacity": "16"}.items()
        ],
        Capabilities=["CAPABILITY_IAM"],
    )
    cloudformation.get_waiter("stack_update_complete").wait(StackName="second", WaiterConfig={"Delay": 1})
    assert outputs_of(cloudformation.describe_stacks(StackName="second")["Stacks"][0], "UPDATE_COMPLETE") == second
    cloudformation.delete_stack(StackName="second")
    cloudformation.get_waiter("stack_delete_complete").wait(StackName="second", WaiterConfig={"Delay": 1})
    kept = {secret["ARN"] for secret in account.client("secretsmanager").list_secrets()["SecretList"]}
    assert database["DatabaseAdminSecretArn"] in kept
    assert second["DatabaseAdminSecretArn"] not in kept


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
    assert set_here["require_secure_transport"] == "ON"
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
    (clients,) = account.client("ec2").describe_security_groups(GroupIds=[database["SecurityGroupIds"]])[
        "SecurityGroups"
    ]
    to_services, to_database = clients["IpPermissionsEgress"]
    assert (to_services["FromPort"], to_services["UserIdGroupPairs"]) == (443, [])
    assert to_database["FromPort"] == int(database["DatabasePort"])
    assert [target["GroupId"] for target in to_database["UserIdGroupPairs"]] == [group["VpcSecurityGroupId"]]


def test_everything_but_the_instance_for_sessions_is_deployed(account: Account, database: dict[str, str]) -> None:
    template = read_template("database")
    optional = {name for name, body in template["Resources"].items() if body.get("Condition") == "HasSessionAccess"}
    made = account.client("cloudformation").describe_stack_resources(StackName="database")["StackResources"]
    assert {resource["LogicalResourceId"] for resource in made} == template["Resources"].keys() - optional
    assert template["Outputs"].keys() - database.keys() == {"SessionInstanceId"}
