"""What the preflight asks for is what the templates are going to need."""

import json
from pathlib import Path

import cfnlint
import pytest

from backfill.deployment.account import AT_ONCE, CREATING, ENDPOINTS, ENGINE_VERSION
from dynaurora.runs.costs import BATCHES_AT_ONCE
from tests.infrastructure.deployment import ROOTS, list_resources, read_template

SCHEMAS = Path(cfnlint.__file__).parent / "data" / "schemas" / "resources"
SAM = {
    "AWS::Serverless::Function": "AWS::Lambda::Function",
    "AWS::Serverless::StateMachine": "AWS::StepFunctions::StateMachine",
}
DEFAULTS = {
    name: given.get("Default") for root in reversed(ROOTS) for name, given in read_template(root)["Parameters"].items()
}


def read_creating():
    """The actions that CloudFormation needs to create a resource, by its type, as its schemas say."""
    schemas = (json.loads(path.read_text()) for path in SCHEMAS.glob("*.json"))
    return {
        schema["typeName"]: set(schema.get("handlers", {}).get("create", {}).get("permissions", []))
        for schema in schemas
        if "typeName" in schema
    }


def test_each_type_of_the_templates_has_its_action():
    types = {resource.type for resource in list_resources() if not resource.type.startswith("Custom::")}
    assert types == CREATING.keys()


def test_the_actions_are_those_of_cloudformations_schemas():
    needed = read_creating()
    for kind, action in CREATING.items():
        allowed = needed.get(SAM.get(kind, kind), set())
        assert not allowed or action.lower() in {name.lower() for name in allowed}, (kind, sorted(allowed))


def test_the_defaults_are_those_of_the_template():
    assert DEFAULTS["DatabaseEngineVersion"] == ENGINE_VERSION
    assert AT_ONCE["forward_changes, of each of the stream's shards"] == DEFAULTS["StreamParallelization"]
    assert AT_ONCE["import_batch"] == DEFAULTS["ImportConcurrency"]
    assert AT_ONCE["convert_export of a backfill"] == DEFAULTS["BackfillConcurrency"] == BATCHES_AT_ONCE


def test_the_endpoints_are_those_of_the_network():
    names = {
        endpoint.properties["ServiceName"]["Fn::Sub"].rpartition(".")[2]
        for endpoint in list_resources("AWS::EC2::VPCEndpoint")
        if endpoint.properties["VpcEndpointType"] == "Interface" and "Condition" not in endpoint.attributes
    }
    assert names == set(ENDPOINTS)


@pytest.mark.parametrize(
    "name", ["DatabaseEngineVersion", "NetworkZones", "ReserveImportConcurrency", "SourceTableName"]
)
def test_what_the_remedies_name_is_a_parameter(name):
    assert name in DEFAULTS
