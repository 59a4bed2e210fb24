"""Tables on one platform: each has its own changes, and one that would write another's target is refused by name."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import boto3
import pytest

from dynaurora import keys
from dynaurora.aurora.connection import Credentials, Endpoint
from dynaurora.mappings.mapping import Mapping, build_mapping
from infra.build_package import TEMPLATES_PACKAGE
from infra.packaging import Packager
from infra.places import ROOT
from local.api import ACCESS_KEY_ID, SECRET_ACCESS_KEY, Api
from local.deployment import (
    ARTIFACTS_BUCKET,
    Database,
    DeploymentError,
    Platform,
    deploy_platform,
    deploy_replication,
    name_replication,
    read_deployments,
)
from local.running import describe_replication
from local.stack import REGION, Stack
from tests.support.earlier_release import unpack_release
from tests.support.example import load_example
from tests.support.factories import click, click_item
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration


def make_mapping(name: str, table: str, database: str = "Demo", **more: str) -> Mapping:
    """Return the mapping of a table with a key and a number, and further columns by their types."""
    columns = {"id": "VARCHAR(64)", "amount": "INT", **more}
    document = {
        "source": {"table": name, "partition_key": "id"},
        "schema": True,
        "target": {
            "database": database,
            "table": table,
            "columns": [{"name": column, "type": kind, "from": column} for column, kind in columns.items()],
        },
    }
    return build_mapping(name, document, text=json.dumps(document))


ORDERS, DEVICES = make_mapping("orders", "Orders"), make_mapping("devices_of_all", "Devices", "Plants", serial="INT")


@dataclass(frozen=True)
class Deployed:
    """A platform with two replications."""

    stack: Stack
    api: Api
    platform: Platform

    def client(self, service: str) -> Any:
        session = boto3.Session(ACCESS_KEY_ID, SECRET_ACCESS_KEY, region_name=REGION)
        return session.client(service, endpoint_url=self.stack.endpoint_url)

    def put(self, mapping: Mapping, key: str, **numbers: int) -> None:
        item = {"id": {"S": key}, **{name: {"N": str(number)} for name, number in numbers.items()}}
        self.api.dynamodb.put_item(TableName=mapping.source_table, Item=item)  # type: ignore[arg-type]

    def rows(self, mapping: Mapping) -> dict[str, int]:
        return self.query(f"SELECT id, amount FROM `{mapping.database}`.`{mapping.table}`")

    def query(self, statement: str) -> dict[str, int]:
        with self.stack.server.connect() as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return dict(cursor.fetchall())

    def run(self, output: str, name: str, **document: str) -> str:
        """Have a state machine do a run, and return how it ended."""
        states, machine = self.client("stepfunctions"), self.platform.outputs[output]
        arn = states.start_execution(stateMachineArn=machine, name=name, input=json.dumps(document))["executionArn"]

        def find_end() -> str:
            status = str(states.describe_execution(executionArn=arn)["status"])
            return "" if status == "RUNNING" else status

        return wait_until(find_end, seconds=120)

    def executions(self, output: str) -> list[dict[str, Any]]:
        machine = self.platform.outputs[output]
        return list(self.client("stepfunctions").list_executions(stateMachineArn=machine)["executions"])


def run_quietly(_: str) -> None:
    pass


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    with Stack(tmp_path_factory.mktemp("many")) as stack:
        user = stack.server.users.administrator
        endpoint = Endpoint(stack.gateway.host, stack.gateway.port, stack.certificates.ca_file.read_text("ascii"))
        api, database = Api(stack.endpoint_url, REGION), Database(endpoint, Credentials(user.username, user.password))
        platform = deploy_platform(api, database, report=run_quietly)
        for mapping in (ORDERS, DEVICES):
            deploy_replication(api, platform, mapping, report=run_quietly)
        yield Deployed(stack, api, platform)


def wait_for(find: Callable[[], Any], expected: Any) -> None:
    wait_until(lambda: find() == expected)


def test_each_replication_has_its_own_changes(deployed: Deployed) -> None:
    for number in range(5):
        deployed.put(ORDERS, f"order-{number}", amount=number)
        deployed.put(DEVICES, f"device-{number}", amount=10 * number, serial=number)
    wait_for(lambda: deployed.rows(ORDERS), {f"order-{number}": number for number in range(5)})
    wait_for(lambda: deployed.rows(DEVICES), {f"device-{number}": 10 * number for number in range(5)})


def test_each_is_described_by_its_mapping(deployed: Deployed) -> None:
    found = {one.mapping.name: describe_replication(one) for one in read_deployments(deployed.api)}
    assert found == {
        "orders": {
            "table": "orders",
            "targets": [{"database": "Demo", "table": "Orders"}],
            "delivery_stream": "dynaurora-orders-changes",
        },
        "devices_of_all": {
            "table": "devices_of_all",
            "targets": [{"database": "Plants", "table": "Devices"}],
            "delivery_stream": "dynaurora-devices-of-all-changes",
        },
    }


def test_both_are_backfilled_at_once_by_the_same_machine(deployed: Deployed) -> None:
    machine = deployed.platform.outputs["BackfillTableStateMachineArn"]
    states = deployed.client("stepfunctions")
    for mapping in (ORDERS, DEVICES):
        document = {"mapping": mapping.name, "run": "r1", "sweep": True}
        states.start_execution(stateMachineArn=machine, name=f"{mapping.name}-r1", input=json.dumps(document))
    statuses = wait_until(
        lambda: (
            [found["status"] for found in deployed.executions("BackfillTableStateMachineArn")]
            if not any(found["status"] == "RUNNING" for found in deployed.executions("BackfillTableStateMachineArn"))
            else None
        ),
        seconds=120,
    )
    assert statuses == ["SUCCEEDED", "SUCCEEDED"]
    assert len(deployed.rows(ORDERS)) == len(deployed.rows(DEVICES)) == 5


def test_a_mapping_that_changes_is_taken_up_by_its_own_replication_only(deployed: Deployed) -> None:
    changed = make_mapping("orders", "Orders", paid="INT")
    deploy_replication(deployed.api, deployed.platform, changed, report=run_quietly)
    found = {one.mapping.name: one.mapping.digest for one in read_deployments(deployed.api)}
    assert found == {"orders": changed.digest, "devices_of_all": DEVICES.digest}


def test_a_second_mapping_of_one_table_is_refused_by_name_and_touches_nothing(deployed: Deployed) -> None:
    before = deployed.rows(ORDERS)
    with pytest.raises(DeploymentError, match=r"Mapping thieves writes Demo\.orders, as mapping orders of stack"):
        deploy_replication(deployed.api, deployed.platform, make_mapping("thieves", "orders"), report=run_quietly)
    assert "thieves" not in deployed.api.dynamodb.list_tables()["TableNames"]
    assert deployed.rows(ORDERS) == before


def test_a_replication_of_the_release_before_works_on_the_platform_of_now(deployed: Deployed, tmp_path: Path) -> None:
    """Its functions are those of release 0.1: changes one by one, without stamps, and rows without labels."""
    package = unpack_release(tmp_path).parent / "build" / TEMPLATES_PACKAGE
    earlier = Packager(deployed.api.s3, ARTIFACTS_BUCKET, {ROOT / "build" / TEMPLATES_PACKAGE: package})
    platform, clicks = replace(deployed.platform, packager=earlier), load_example()
    replication = deploy_replication(deployed.api, platform, clicks, report=run_quietly)
    items = [click_item(click(Hits=number), f"page-{number}") for number in range(5)]
    refused = click_item("no JSON", "page-5")
    for item in [*items, refused]:
        deployed.api.dynamodb.put_item(TableName=clicks.source_table, Item=item)
    gone = {name: items[0][name] for name in clicks.key_attributes}
    deployed.api.dynamodb.delete_item(TableName=clicks.source_table, Key=gone)
    query = "SELECT page_id, hits FROM Demo.WebAnalytics"
    wait_for(lambda: deployed.query(query), {f"page-{number}": number for number in range(1, 5)})
    reprocessed = deployed.run("ReprocessFailuresStateMachineArn", "web_analytics-r1", mapping=clicks.name, run="r1")
    assert reprocessed == "SUCCEEDED"
    kept = deployed.api.s3.list_objects_v2(Bucket=replication.bucket, Prefix=keys.failed_records_prefix(clicks.name))
    assert kept["KeyCount"] == 1


def test_a_replication_goes_and_the_others_stay_with_its_rows(deployed: Deployed) -> None:
    name = name_replication(ORDERS.name)
    deployed.api.cloudformation.delete_stack(StackName=name)
    waiter = deployed.api.cloudformation.get_waiter("stack_delete_complete")
    waiter.wait(StackName=name, WaiterConfig={"Delay": 1})
    assert ORDERS.name not in {one.mapping.name for one in read_deployments(deployed.api)}
    assert len(deployed.rows(ORDERS)) == 5
    deployed.put(DEVICES, "device-9", amount=9, serial=9)
    wait_until(lambda: deployed.rows(DEVICES).get("device-9") == 9)


def make_target(state: str) -> dict[str, Any]:
    columns = {"id": "VARCHAR(64)", "amount": "INT"}
    listed = [{"name": name, "type": kind, "from": name} for name, kind in columns.items()]
    table = f"{state.title()}Tasks"
    return {"database": "Demo", "table": table, "when": f"state == '{state}'", "schema": True, "columns": listed}


TASKS = build_mapping(
    "tasks",
    {
        "source": {"table": "tasks", "partition_key": "id"},
        "targets": [make_target("open"), make_target("shut")],
    },
)
"""Which of its targets an item belongs to, its key does not tell."""
MOVES = 12
KEPT = 8
"""Keys that are written so often, of which some are deleted in the end."""


def test_items_that_move_within_a_second_are_in_one_target_through_one_delivery_stream(deployed: Deployed) -> None:
    deploy_replication(deployed.api, deployed.platform, TASKS, report=run_quietly)
    table, expected = deployed.api.dynamodb, {"open": {}, "shut": {}}
    for move in range(MOVES):
        for key in range(KEPT + 2):
            state = ("open", "shut", "neither")[(move + key) % 3]
            item = {"id": {"S": f"task-{key}"}, "amount": {"N": str(move)}, "state": {"S": state}}
            table.put_item(TableName="tasks", Item=item)  # type: ignore[arg-type]
            if move == MOVES - 1 and key < KEPT and state in expected:
                expected[state][f"task-{key}"] = move
    for key in range(KEPT, KEPT + 2):
        table.delete_item(TableName="tasks", Key={"id": {"S": f"task-{key}"}})
    table.put_item(TableName="tasks", Item={"id": {"S": "last"}, "amount": {"N": "1"}, "state": {"S": "open"}})
    expected["open"]["last"] = 1
    opened, shut = TASKS.targets
    wait_for(lambda: (deployed.rows(opened), deployed.rows(shut)), (expected["open"], expected["shut"]))
    assert min(map(len, expected.values())) > 1

    with deployed.stack.server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT _version DIV POW(10, 40), COUNT(*) FROM Demo.OpenTasks__replica GROUP BY 1")
        assert max(count for _, count in cursor.fetchall()) > 1, "several were written in one second"
        of_objects = "FROM Demo._dynaurora_imports WHERE mapping = 'tasks' GROUP BY objects"
        cursor.execute(f"SELECT COUNT(DISTINCT target) {of_objects}")
        assert (2,) in cursor.fetchall(), "one object of the one delivery stream has rows of both"
    streams = deployed.client("firehose").list_delivery_streams()["DeliveryStreamNames"]
    assert [name for name in streams if "tasks" in name] == [f"{name_replication('tasks')}-changes"]
