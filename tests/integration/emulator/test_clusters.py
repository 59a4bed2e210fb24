"""Clusters: what RDS refuses of one is refused, by a stack and by its own API."""

import json
import uuid

import pytest
from botocore.exceptions import ClientError

pytestmark = pytest.mark.integration

TLS = {"require_secure_transport": "ON"}


def create(emulator, *, version="8.0.mysql_aurora.3.10.6", family="aurora-mysql8.0", parameters=None, protected=False):
    """A stack of a cluster and its parameter group: its name and its end."""
    group = {"Family": family, "Description": "of a test", "Parameters": TLS if parameters is None else parameters}
    cluster = {
        "Engine": "aurora-mysql",
        "EngineVersion": version,
        "DBClusterParameterGroupName": {"Ref": "Group"},
        "DeletionProtection": protected,
        "MasterUsername": "admin",
        "MasterUserPassword": "of a test",
    }
    resources = {
        "Group": {"Type": "AWS::RDS::DBClusterParameterGroup", "Properties": group},
        "Cluster": {"Type": "AWS::RDS::DBCluster", "DeletionPolicy": "Delete", "Properties": cluster},
    }
    name, cloudformation = f"stack-{uuid.uuid4().hex[:8]}", emulator.client("cloudformation")
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps({"Resources": resources}))
    return name, wait_for_end(emulator, name)


def wait_for_end(emulator, name):
    def look():
        status = emulator.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]
        return None if status.endswith("IN_PROGRESS") else status

    return emulator.wait_until(look)


def reasons_of(emulator, name):
    events = emulator.client("cloudformation").describe_stack_events(StackName=name)["StackEvents"]
    return " ".join(
        event.get("ResourceStatusReason", "") for event in events if event["ResourceStatus"].endswith("_FAILED")
    )


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        (
            {"activate_all_roles_on_login": "ON"},
            "Invalid parameter value: ON for: activate_all_roles_on_login allowed values are: 0,1",
        ),
        ({"require_secure_transport": "yes"}, "Invalid parameter value: yes for: require_secure_transport"),
        ({"aws_default_s3_role": "load"}, "Invalid parameter value: load for: aws_default_s3_role"),
        ({"no_such_parameter": "1"}, "Could not find parameter with name: no_such_parameter"),
    ],
)
def test_a_parameter_that_rds_does_not_take_fails_the_stack(emulator, parameters, reason):
    name, status = create(emulator, parameters=parameters)
    assert status == "ROLLBACK_COMPLETE"
    assert reason in reasons_of(emulator, name)


def test_the_api_refuses_it_too(emulator):
    rds, group = emulator.client("rds"), f"group-{uuid.uuid4().hex[:8]}"
    rds.create_db_cluster_parameter_group(
        DBClusterParameterGroupName=group, DBParameterGroupFamily="aurora-mysql8.0", Description="of a test"
    )

    def set_roles(value):
        parameter = {"ParameterName": "activate_all_roles_on_login", "ParameterValue": value}
        parameters = [{**parameter, "ApplyMethod": "immediate"}]
        rds.modify_db_cluster_parameter_group(DBClusterParameterGroupName=group, Parameters=parameters)

    set_roles("1")
    with pytest.raises(ClientError, match="allowed values are: 0,1"):
        set_roles("ON")


@pytest.mark.parametrize("version", ["8.0.mysql_aurora.3.10.6", "8.4.mysql_aurora.8.4.8"])
@pytest.mark.parametrize("family", ["aurora-mysql8.0", "aurora-mysql8.4"])
def test_a_parameter_group_of_another_family_than_the_version_is_refused(emulator, version, family):
    name, status = create(emulator, version=version, family=family)
    if version[:3] == family[-3:]:
        assert status == "CREATE_COMPLETE"
    else:
        assert status == "ROLLBACK_COMPLETE"
        assert f"Please use a Parameter Group with DBParameterGroupFamily aurora-mysql{version[:3]}" in reasons_of(
            emulator, name
        )


def test_a_protected_cluster_is_not_deleted_with_its_stack(emulator):
    name, status = create(emulator, protected=True)
    assert status == "CREATE_COMPLETE"
    cloudformation, rds = emulator.client("cloudformation"), emulator.client("rds")
    (cluster,) = (
        resource["PhysicalResourceId"]
        for resource in cloudformation.describe_stack_resources(StackName=name)["StackResources"]
        if resource["LogicalResourceId"] == "Cluster"
    )
    cloudformation.delete_stack(StackName=name)
    assert wait_for_end(emulator, name) == "DELETE_FAILED"
    assert "Cannot delete protected Cluster, please disable deletion protection" in reasons_of(emulator, name)
    rds.modify_db_cluster(DBClusterIdentifier=cluster, DeletionProtection=False)
    cloudformation.delete_stack(StackName=name)
    cloudformation.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig={"Delay": 0.1})
    assert cluster not in {found["DBClusterIdentifier"] for found in rds.describe_db_clusters()["DBClusters"]}
