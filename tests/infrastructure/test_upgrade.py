"""What a stack of release 0.1 has of data stays the same resource when it becomes a platform.

CloudFormation replaces a resource whose logical id is another one, or of which a property changes that "requires
replacement" (CloudFormation template reference, each resource's properties).
"""

import tarfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cfnlint.decode import decode

from backfill.deployment.earlier import READER
from tests.infrastructure.deployment import INFRA
from tests.recorded import RELEASE_0_1

REPLACING = {
    "AWS::RDS::DBCluster": (
        *("DBClusterIdentifier", "DBSubnetGroupName", "DatabaseName", "Engine", "EngineMode", "KmsKeyId"),
        *("MasterUsername", "StorageEncrypted", "SnapshotIdentifier", "AvailabilityZones"),
    ),
    "AWS::RDS::DBSubnetGroup": ("DBSubnetGroupName",),
    "AWS::S3::Bucket": ("BucketName",),
    "AWS::KMS::Key": ("KeySpec", "KeyUsage", "MultiRegion"),
    "AWS::SecretsManager::Secret": ("Name",),
    "AWS::EC2::VPC": ("CidrBlock", "InstanceTenancy"),
    "AWS::EC2::Subnet": ("VpcId", "CidrBlock"),
    "AWS::EC2::SecurityGroup": ("GroupName", "GroupDescription", "VpcId"),
}
"""What holds data, or is reached by its address; and the properties that may not change. A subnet's zone became a
choice, which unless taken is the zone that it was."""
KEPT_STACKS = ("storage", "database", "network", "target")


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("release")
    with tarfile.open(RELEASE_0_1 / "release.tar.gz") as archive:
        archive.extractall(directory, filter="data")
    return directory / "infra"


@cache
def read_resources(template: Path) -> dict[str, Any]:
    parsed, problems = decode(str(template))
    assert not problems
    return dict(parsed["Resources"])


@pytest.mark.parametrize("template", KEPT_STACKS)
def test_what_holds_data_is_the_same_resource(earlier: Path, template: str) -> None:
    before, now = (read_resources(folder / f"{template}.yaml") for folder in (earlier, INFRA))
    compared = 0
    for name, resource in before.items():
        for key in REPLACING.get(resource["Type"], ()):
            assert now[name]["Type"] == resource["Type"]
            properties = resource.get("Properties", {})
            assert now[name].get("Properties", {}).get(key) == properties.get(key), f"{template}.{name}.{key}"
            compared += 1
    assert compared


def test_nested_stacks_are_the_same_but_for_the_reader(earlier: Path) -> None:
    before, now = read_resources(earlier / "template.yaml"), read_resources(INFRA / "platform.yaml")
    assert before.keys() - now.keys() == {READER}
    for name in now.keys() & before.keys():
        assert before[name]["Properties"]["TemplateURL"] == now[name]["Properties"]["TemplateURL"]


def test_the_table_is_retained_when_it_leaves_the_stack(earlier: Path) -> None:
    before, now = (read_resources(folder / "storage.yaml") for folder in (earlier, INFRA))
    gone = {name: resource for name, resource in before.items() if name not in now}
    assert {name: resource["DeletionPolicy"] for name, resource in gone.items()} == {
        "SourceTable": "Retain",
        "OneStackOfMappingAndBucketParameter": "Delete",
    }
