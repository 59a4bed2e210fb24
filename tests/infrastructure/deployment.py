"""The templates and state machines as data, for the house rules."""

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from cfnlint.decode import decode

PROJECT = Path(__file__).resolve().parents[2]
INFRA = PROJECT / "infra"
STATE_MACHINES = PROJECT / "statemachines"
ROOT = "platform"
REPLICATION = "replication"
ROOTS = (ROOT, REPLICATION)
"""Templates that are deployed by themselves; all others are nested in the platform's."""

PAGE = re.compile(r"\bdocs/[\w/-]+\.md\b")

FUNCTION = "AWS::Serverless::Function"
STATE_MACHINE = "AWS::Serverless::StateMachine"


@dataclass(frozen=True)
class Resource:
    """One resource of a template, with the template's Globals merged in."""

    template: str
    id: str
    type: str
    properties: dict[str, Any]
    attributes: dict[str, Any]
    """Everything beside the properties: Condition, DeletionPolicy, Metadata…"""

    def __str__(self) -> str:
        return f"{self.template}.{self.id}"

    @property
    def phrase(self) -> str:
        """The id without its kind, in words: "import batch" for ImportBatchFunction and ImportBatchLogGroup."""
        return " ".join(re.findall(r"[A-Z][a-z0-9]*", self.id.removesuffix(KINDS[self.type]))).lower()

    @property
    def kebab(self) -> str:
        return self.phrase.replace(" ", "-")

    @property
    def snake(self) -> str:
        return self.phrase.replace(" ", "_")

    @property
    def has_database(self) -> bool:
        """Whether a function connects to Aurora."""
        return "DATABASE_HOST" in self.properties["Environment"]["Variables"]


KINDS = {
    "AWS::CloudFormation::Stack": "Stack",
    "AWS::CloudWatch::Alarm": "Alarm",
    "AWS::CloudWatch::Dashboard": "Dashboard",
    "AWS::DynamoDB::Table": "Table",
    "AWS::EC2::Instance": "Instance",
    "AWS::EC2::RouteTable": "RouteTable",
    "AWS::EC2::SecurityGroup": "SecurityGroup",
    "AWS::EC2::SecurityGroupEgress": "SecurityGroupEgress",
    "AWS::EC2::Subnet": "Subnet",
    "AWS::EC2::SubnetRouteTableAssociation": "RouteTableAssociation",
    "AWS::EC2::VPC": "Vpc",
    "AWS::EC2::VPCEndpoint": "Endpoint",
    "AWS::Events::Rule": "Rule",
    "AWS::IAM::InstanceProfile": "InstanceProfile",
    "AWS::IAM::Role": "Role",
    "AWS::KinesisFirehose::DeliveryStream": "DeliveryStream",
    "AWS::KMS::Key": "Key",
    "AWS::Lambda::EventInvokeConfig": "EventInvokeConfig",
    "AWS::Lambda::EventSourceMapping": "EventSourceMapping",
    "AWS::Lambda::Permission": "Permission",
    "AWS::Logs::LogGroup": "LogGroup",
    "AWS::Logs::LogStream": "LogStream",
    "AWS::RDS::DBCluster": "Cluster",
    "AWS::RDS::DBClusterParameterGroup": "ClusterParameterGroup",
    "AWS::RDS::DBInstance": "Instance",
    "AWS::RDS::DBSubnetGroup": "SubnetGroup",
    "AWS::S3::Bucket": "Bucket",
    "AWS::S3::BucketPolicy": "BucketPolicy",
    "AWS::Scheduler::Schedule": "Schedule",
    "AWS::Scheduler::ScheduleGroup": "ScheduleGroup",
    "AWS::SecretsManager::RotationSchedule": "RotationSchedule",
    "AWS::SecretsManager::Secret": "Secret",
    "AWS::SSM::Parameter": "Parameter",
    "AWS::SNS::Subscription": "Subscription",
    "AWS::SNS::Topic": "Topic",
    "AWS::SNS::TopicPolicy": "TopicPolicy",
    "AWS::SQS::Queue": "Queue",
    "AWS::SQS::QueuePolicy": "QueuePolicy",
    "Custom::PreparedLoader": "Loader",
    "Custom::PreparedTarget": "Target",
    "Custom::Replication": "Replication",
    FUNCTION: "Function",
    STATE_MACHINE: "StateMachine",
}
"""What a logical id ends with, by the resource's type."""


def list_templates() -> list[str]:
    return sorted(path.stem for path in INFRA.glob("*.yaml"))


@cache
def read_template(name: str) -> dict[str, Any]:
    template, problems = decode(str(INFRA / f"{name}.yaml"))
    assert not problems, problems
    return dict(json.loads(json.dumps(template)))


def read_text(name: str) -> str:
    return (INFRA / f"{name}.yaml").read_text()


@cache
def list_resources(kind: str | None = None) -> list[Resource]:
    """Every resource of every template, or those of one type."""
    return [
        resource
        for name in list_templates()
        for logical_id, body in read_template(name)["Resources"].items()
        if (resource := _read_resource(name, logical_id, body)).type == (kind or resource.type)
    ]


def get_resource(logical_id: str) -> Resource:
    (found,) = (resource for resource in list_resources() if resource.id == logical_id)
    return found


def _read_resource(template: str, logical_id: str, body: dict[str, Any]) -> Resource:
    common = read_template(template).get("Globals", {}).get("Function", {}) if body["Type"] == FUNCTION else {}
    attributes = {name: value for name, value in body.items() if name not in {"Type", "Properties"}}
    return Resource(template, logical_id, body["Type"], _merge(common, body.get("Properties", {})), attributes)


def _merge(common: Any, own: Any) -> Any:
    """What SAM makes of Globals and a resource's own properties: maps are merged, anything else is the resource's."""
    if isinstance(common, dict) and isinstance(own, dict):
        return {
            name: _merge(common.get(name), own[name]) if name in own else common[name] for name in {**common, **own}
        }
    return own


def find_references(value: Any) -> list[str]:
    """The logical ids and parameters that a value is made of."""
    if isinstance(value, list):
        return [name for item in value for name in find_references(item)]
    if not isinstance(value, dict):
        return []
    found = []
    for key, item in value.items():
        if key == "Ref":
            found.append(item)
        elif key == "Fn::GetAtt":
            found.append(item[0] if isinstance(item, list) else item.split(".")[0])
        elif key == "Fn::Sub":
            text = item if isinstance(item, str) else item[0]
            found += [name.split(".")[0] for name in re.findall(r"\$\{([\w.:]+)\}", text)]
            found += find_references(item[1]) if isinstance(item, list) else []
        else:
            found += find_references(item)
    return found


def substitute(value: Any, **names: str) -> Any:
    """A value with some references made: `{"Fn::Sub": "a-${Name}"}` and `{"Ref": "Name"}` become text."""
    if isinstance(value, list):
        return [substitute(item, **names) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"Ref"} and value["Ref"] in names:
        return names[value["Ref"]]
    if value.keys() == {"Fn::Sub"} and isinstance(value["Fn::Sub"], str):
        return re.sub(r"\$\{(\w+)\}", lambda found: names.get(found[1], found[0]), value["Fn::Sub"])
    return {key: substitute(item, **names) for key, item in value.items()}


def list_state_machines() -> list[str]:
    return sorted(path.name.removesuffix(".asl.json") for path in STATE_MACHINES.glob("*.asl.json"))


@cache
def read_definition(name: str) -> dict[str, Any]:
    return dict(json.loads((STATE_MACHINES / f"{name}.asl.json").read_text()))


def list_workflows(name: str) -> list[dict[str, Any]]:
    """What has states of its own: a state machine, and after it the item processors of its maps."""
    definition = read_definition(name)
    return [definition, *(state["ItemProcessor"] for state in definition["States"].values() if state["Type"] == "Map")]


def list_states(name: str) -> list[tuple[str, dict[str, Any]]]:
    """Every state of a state machine with its name, those of a map after it."""
    states: list[tuple[str, dict[str, Any]]] = []
    for label, state in read_definition(name)["States"].items():
        states += [(label, state), *state.get("ItemProcessor", {}).get("States", {}).items()]
    return states


def find_page(text: str) -> str | None:
    """Return the page of docs/ that a text for people leads to; None where it names none that is there."""
    found = PAGE.search(text)
    return found[0] if found and (PROJECT / found[0]).is_file() else None
