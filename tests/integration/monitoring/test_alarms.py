"""Each alarm of a platform and of a replication, in a stack of nothing else: it rings where it should, and not before.

The metrics are put as AWS and the functions put them. Buffers are 60 and 5 seconds, the connections to tell of 72.
"""

import re
import uuid
import zipfile
from collections.abc import Iterator

import boto3
import pytest

from infra.build_package import TEMPLATES_PACKAGE
from infra.packaging import Packager
from infra.places import ROOT as PROJECT
from local.api import ACCESS_KEY_ID, SECRET_ACCESS_KEY, Api
from local.stack import REGION, Stack
from tests.integration.monitoring.alarms import Alarms

pytestmark = pytest.mark.integration

TEMPLATE = PROJECT / "infra" / "monitoring.yaml"
REPLICATION = PROJECT / "infra" / "replication.yaml"
OF_REPLICATION = ("Mapping", "BufferSeconds", "TransformBufferSeconds", "StreamBufferSeconds", "SourceTableName")
"""Parameters that the alarms of a replication have beside the platform's."""
PATIENCE_SECONDS = 30
PARAMETERS = {
    "SourceTables": "*",
    "ConnectionsThreshold": "72",
    "BufferSeconds": "60",
    "TransformBufferSeconds": "5",
    "StreamBufferSeconds": "5",
    "FailuresTopicArn": "arn:aws:sns:us-east-1:000000000000:failures",
    "Architecture": "arm64",
    "LogLevel": "INFO",
    "PermissionsBoundaryArn": "",
    "LogRetentionDays": "30",
}
QUIET, RINGS, UNKNOWN = "OK", "ALARM", "INSUFFICIENT_DATA"
MESSAGES = [
    ({"ApproximateNumberOfMessagesVisible": [0]}, QUIET),
    ({"ApproximateNumberOfMessagesVisible": [1]}, RINGS),
]
EXECUTIONS = [
    ({}, QUIET),
    ({"ExecutionsFailed": [0], "ExecutionsTimedOut": [0]}, QUIET),
    ({"ExecutionsFailed": [1]}, RINGS),
]
CASES: dict[str, list[tuple[dict[str, list[float | None]], str]]] = {
    "old-iterator": [
        ({"IteratorAge": [900, 299_000, 299_000, 299_000, 299_000]}, QUIET),
        ({"IteratorAge": [None, 301_000, 301_000, 301_000, 301_000]}, QUIET),
        ({"IteratorAge": [301_000, None, None, None, None]}, RINGS),
    ],
    "unread-stream": [
        ({}, QUIET),
        ({"StreamsUnread": [0, 1]}, QUIET),
        ({"StreamsUnread": [1, 1]}, RINGS),
    ],
    "near-loss": [({}, QUIET), ({"StreamsNearLoss": [0]}, QUIET), ({"StreamsNearLoss": [1]}, RINGS)],
    "unforwarded-changes": [
        ({}, QUIET),
        ({"ConsumedWriteCapacityUnits": [5, 5, None]}, QUIET),
        ({"ConsumedWriteCapacityUnits": [None, None, 5]}, RINGS),
        ({"Invocations": [None, 1, None]}, QUIET),
    ],
    "reversed-stamps": [({}, QUIET), ({"StampsReversed": [0]}, QUIET), ({"StampsReversed": [1]}, RINGS)],
    "differences": [({}, QUIET), ({"Differences": [0]}, QUIET), ({"Differences": [1]}, RINGS)],
    "transform-changes-errors": [({"Errors": [0, 0, 9]}, QUIET), ({"Errors": [1, 0, 0]}, RINGS)],
    "old-delivery": [
        ({"DeliveryToS3DataFreshness": [364] * 5}, QUIET),
        ({"DeliveryToS3DataFreshness": [366] * 5}, RINGS),
    ],
    "rejected-changes": [
        ({}, QUIET),
        ({"ChangesRejected": [10] * 3, "ChangesTransformed": [90] * 3}, QUIET),
        ({"ChangesRejected": [2] * 3}, RINGS),
        ({"ChangesTransformed": [None, 900, None]}, QUIET),
    ],
    "stopped-imports": [
        ({}, QUIET),
        ({"StreamsForwarded": [None, 1, 1, 1, 1, 1]}, QUIET),
        ({"StreamsForwarded": [1, None, None, None, None, None]}, RINGS),
        ({"BatchesImported": [None, None, None, None, 1, None]}, QUIET),
    ],
    "waiting-imports": [
        ({}, QUIET),
        ({"BatchesWaiting": [0, 1]}, QUIET),
        ({"BatchesWaiting": [1, 1]}, RINGS),
    ],
    "late-rows": [
        ({}, QUIET),
        ({"ReplicationLag": [669, 669, 900]}, QUIET),
        ({"ReplicationLag": [671, None, None]}, RINGS),
    ],
    "import-batch-errors": [({"Errors": [0, 50, 50]}, QUIET), ({"Errors": [1, 0, 0]}, RINGS)],
    "import-batch-duration": [({"Duration": [239_999]}, QUIET), ({"Duration": [240_001]}, RINGS)],
    "altered-target": [({}, QUIET), ({"TargetsAltered": [0]}, QUIET), ({"TargetsAltered": [1]}, RINGS)],
    "failed-batches": EXECUTIONS,
    "failed-reprocesses": EXECUTIONS,
    "failed-backfills": [*EXECUTIONS[:2], ({"ExecutionsTimedOut": [1]}, RINGS)],
    "unstarted-imports": MESSAGES,
    "unstarted-reprocesses": MESSAGES,
    "unclosed-runs": MESSAGES,
    "unshown-targets": MESSAGES,
    "kept-failures": [
        ({}, UNKNOWN),
        ({"FailuresKept": [None, *[3] * 11]}, QUIET),
        ({"FailuresKept": [1, *[None] * 11]}, RINGS),
        ({"FailuresKept": [*[None] * 6, 0, *[None] * 5]}, QUIET),
    ],
    "parked-failures": [({}, QUIET), ({"FailuresParked": [0]}, QUIET), ({"FailuresParked": [1]}, RINGS)],
    "unmeasured-health": [({}, UNKNOWN), ({"FailuresKept": [None, 0, None]}, QUIET)],
    "rotate-loader-secret-errors": [({"Errors": [0]}, QUIET), ({"Errors": [1]}, RINGS)],
    "purge-replicas-errors": [({"Errors": [0]}, QUIET), ({"Errors": [1]}, RINGS)],
    "database-connections": [({"DatabaseConnections": [72, 90]}, QUIET), ({"DatabaseConnections": [73, 0]}, RINGS)],
    "database-load": [({"CPUUtilization": [90] * 3}, QUIET), ({"CPUUtilization": [91] * 3}, RINGS)],
    "database-capacity": [({"ACUUtilization": [90] * 3}, QUIET), ({"ACUUtilization": [91] * 3}, RINGS)],
}
"""By the alarm's name, what is put, one value for each period and the newest last, and what state that leads to.
What was put stays: a later value joins the earlier ones of its period."""


@pytest.fixture(scope="module")
def template(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where the template is, as it is deployed; its function does nothing, and is not called."""
    archive = tmp_path_factory.mktemp("package") / "functions.zip"
    with zipfile.ZipFile(archive, "w") as package:
        package.writestr("empty.txt", "")
    api = Api(stack.endpoint_url, REGION)
    api.s3.create_bucket(Bucket="monitoring-artifacts")
    packager = Packager(api.s3, "monitoring-artifacts", {PROJECT / "build" / TEMPLATES_PACKAGE: archive})
    body = add_alarms(packager.package(TEMPLATE), REPLICATION.read_text("utf-8")).encode()
    api.s3.put_object(Bucket="monitoring-artifacts", Key="monitoring.yaml", Body=body)
    return f"{stack.endpoint_url}/monitoring-artifacts/monitoring.yaml"


def add_alarms(platform: str, replication: str) -> str:
    """Return the platform's template of alarms with those of a replication, whose table is there already."""
    _, _, after = replication.partition("  # Alarms: from the table to Aurora.")
    alarms = after.partition("\n\n")[2].partition("\nOutputs:")[0]
    alarms = re.sub(r"!If \[CreatesTable, !Ref SourceTable, .*\]", "!Ref SourceTableName", alarms)
    parameters = "".join(f"  {name}:\n    Type: String\n" for name in OF_REPLICATION)
    whole = platform.replace("\nParameters:\n", f"\nParameters:\n{parameters}", 1)
    return whole.replace("\nOutputs:\n", f"\n{alarms}\nOutputs:\n", 1)


@pytest.fixture
def alarms(stack: Stack, template: str) -> Iterator[Alarms]:
    api, name = Api(stack.endpoint_url, REGION), f"w{uuid.uuid4().hex[:8]}"
    values = PARAMETERS | {
        "Name": name,
        "Mapping": f"mapping_{name}",
        "LandingBucketName": f"landing-{name}",
        "SourceTableName": f"table-{name}",
        "DatabaseHost": f"{name}.cluster-abc.us-east-1.rds.amazonaws.com",
    }
    parameters = [{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()]
    api.cloudformation.create_stack(
        StackName=name,
        TemplateURL=template,
        Parameters=parameters,  # type: ignore[arg-type]
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    )
    waiter = api.cloudformation.get_waiter("stack_create_complete")
    waiter.wait(StackName=name, WaiterConfig={"Delay": 0.2, "MaxAttempts": PATIENCE_SECONDS * 5})  # type: ignore[typeddict-item]
    session = boto3.Session(ACCESS_KEY_ID, SECRET_ACCESS_KEY, region_name=REGION)
    yield Alarms(session.client("cloudwatch", endpoint_url=stack.endpoint_url), name)
    api.cloudformation.delete_stack(StackName=name)


def test_every_alarm_has_its_cases(alarms: Alarms) -> None:
    assert alarms.describe().keys() == CASES.keys()


@pytest.mark.parametrize("name", CASES)
def test_an_alarm_rings_where_it_should_and_not_before(alarms: Alarms, name: str) -> None:
    for step, (series, state) in enumerate(CASES[name]):
        alarms.put(name, **series)
        described = alarms.describe()[name]
        assert described["StateValue"] == state, (step, described["StateReason"])
