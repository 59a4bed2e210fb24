"""`dynaurora deploy` in an account that has nothing: the platform with its cluster, then each table by itself."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from local.api import ACCESS_KEY_ID, SECRET_ACCESS_KEY
from local.stack import REGION, Stack
from tests.e2e.conftest import DYNAURORA, run_dynaurora
from tests.support.factories import column, mapping_document

pytestmark = pytest.mark.timeout(300)


class Account:
    """An account of the local AWS with an empty project, whose commands reach it."""

    def __init__(self, stack: Stack, project: Path) -> None:
        self.stack, self.project = stack, project
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        keys = {"AWS_ACCESS_KEY_ID": ACCESS_KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY, "AWS_REGION": REGION}
        self.environment = inherited | keys | {"AWS_ENDPOINT_URL": stack.endpoint_url}
        project.mkdir()
        self.run("init")
        settings, ca = project / "dynaurora.toml", stack.certificates.ca_file.read_text("ascii")
        heading = "[platform.parameters]"
        settings.write_text(settings.read_text().replace(f"# {heading}", f'{heading}\nDatabaseCa = """\n{ca}"""'))

    def add(self, table: str) -> None:
        """Write the mapping of a table."""
        document = mapping_document(column("total", "INT"))
        target = {"database": "Shop", "table": table.title(), "columns": [column("id", "VARCHAR(40)")]}
        document |= {"source": {"table": table, "partition_key": "id"}, "target": document["target"] | target}
        (self.project / "mappings" / f"{table}.json").write_text(json.dumps(document))

    def schedule(self, table: str, schedule: str) -> None:
        """Have the project verify a table by the clock."""
        settings = self.project / "dynaurora.toml"
        with settings.open("a") as file:
            file.write(f'\n[replications.{table}]\nVerificationSchedule = "{schedule}"\n')

    def schedules(self) -> dict[str, str]:
        """When tables are verified, by the stack's name."""
        client, group = self.client("scheduler"), "dynaurora-verify-table"
        names = [schedule["Name"] for schedule in client.list_schedules(GroupName=group)["Schedules"]]
        found = (client.get_schedule(Name=name, GroupName=group) for name in names)
        return {one["Name"].removesuffix("-verify-table"): one["ScheduleExpression"] for one in found}

    def run(self, *arguments: str, status: int = 0) -> str:
        return run_dynaurora(self.project, self.environment, *arguments, status=status)

    def run_until(self, text: str, *arguments: str) -> None:
        """Kill a command once it has told something."""
        with subprocess.Popen(
            [DYNAURORA, *arguments],
            cwd=self.project,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stderr
            assert any(text in line for line in process.stderr)
            process.kill()

    def client(self, service: str) -> Any:
        session = boto3.Session(ACCESS_KEY_ID, SECRET_ACCESS_KEY, region_name=REGION)
        return session.client(service, endpoint_url=self.stack.endpoint_url)

    def execute(self, statement: str) -> None:
        with self.stack.server.connect() as connection, connection.cursor() as cursor:
            cursor.execute(statement)

    def statuses(self) -> dict[str, str]:
        """Of root stacks, by their names."""
        stacks = self.client("cloudformation").describe_stacks()["Stacks"]
        return {stack["StackName"]: stack["StackStatus"] for stack in stacks if "Stack-" not in stack["StackName"]}


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Account]:
    with Stack(tmp_path / "aws") as stack:
        yield Account(stack, tmp_path / "shop")


def test_a_project_is_deployed_from_nothing_and_no_table_stands_in_the_way_of_another(account: Account) -> None:
    account.add("orders")
    account.schedule("orders", "rate(7 days)")
    planned = account.run("deploy", "--dry-run")
    for line in (
        f"account 000000000000, region {REGION}",
        "platform dynaurora: create, it is not there",
        "create the table orders (id S)",
        "Shop.Orders: id VARCHAR(40)",
        "rate(7 days), each time about $ 0.00",
        "Together about $ ",
    ):
        assert line in planned
    assert account.statuses() == {}
    account.run_until("dynaurora: CREATE_COMPLETE StorageStack", "deploy", "--yes")
    account.run("deploy", "--yes")
    assert account.statuses() == {"dynaurora": "CREATE_COMPLETE", "dynaurora-orders": "CREATE_COMPLETE"}
    assert "Nothing to do." in account.run("deploy")
    assert account.schedules() == {"dynaurora-orders": "rate(7 days)"}

    topic = "Resources: {Topic: {Type: AWS::SNS::Topic}}"
    account.client("cloudformation").create_stack(StackName="dynaurora-foreign", TemplateBody=topic)
    account.execute("CREATE TABLE Shop.Beta__replica (a INT PRIMARY KEY)")
    for table in ("beta", "foreign", "gamma"):
        account.add(table)
    told = account.run("deploy", "--yes", status=1)
    assert "There is a stack dynaurora-foreign which is not the replication of foreign" in told
    assert "beta: The stack dynaurora-beta is ROLLBACK_COMPLETE" in told
    assert "ColumnsRefusedError: Shop.Beta__replica cannot become what mapping beta has" in told
    assert account.statuses() == {
        "dynaurora": "CREATE_COMPLETE",
        "dynaurora-orders": "CREATE_COMPLETE",
        "dynaurora-beta": "ROLLBACK_COMPLETE",
        "dynaurora-foreign": "CREATE_COMPLETE",
        "dynaurora-gamma": "CREATE_COMPLETE",
    }
    assert "stack dynaurora-foreign which is not" in account.run("destroy", "foreign", "--yes", status=1)

    account.execute("DROP TABLE Shop.Beta__replica")
    (account.project / "mappings" / "foreign.json").unlink()
    account.schedule("gamma", "cron(0 3 ? * SUN *)")
    outcome = json.loads(account.run("deploy", "--all", "--yes", "--json"))
    assert (outcome["deployed"], outcome["failed"]) == (["dynaurora-beta", "dynaurora-gamma"], {})
    verified = {step["mapping"]: step["verification"] for step in outcome["replications"]}
    assert (verified["beta"], verified["gamma"]["schedule"]) == (None, "cron(0 3 ? * SUN *)")
    assert account.schedules() == {"dynaurora-orders": "rate(7 days)", "dynaurora-gamma": "cron(0 3 ? * SUN *)"}
