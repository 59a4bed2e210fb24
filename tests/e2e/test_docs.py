"""The pages of docs/ on a deployment's life: it is made, looked at, removed, and another one adopts its table.

And a look around the local AWS, from its beginning to its end.
"""

import json
from pathlib import Path

import pytest

from local.deployment import LOADERS, deploy
from local.running import find_database
from tests.e2e.conftest import PROJECT, LocalAws, make_reader
from tests.e2e.runbook_faults import make_payload
from tests.reader import Reader
from tests.support.example import load_example


@pytest.fixture
def newcomer(idle_aws: LocalAws, tmp_path: Path) -> Reader:
    """Somebody for whom a stack is deployed, in a checkout: what `sam deploy` and a session do for them is done."""
    idle_aws.run("up")
    reader = make_reader(idle_aws, tmp_path)
    reader.state.write_text(idle_aws.run("env"), "utf-8")
    reader.go_to(PROJECT)
    return reader


def test_a_look_around_the_local_aws(idle_aws: LocalAws, tmp_path: Path) -> None:
    reader = make_reader(idle_aws, tmp_path)
    with reader.follow("docs/local.md") as walk:
        walk.through("Look around")
    assert idle_aws.processes() == {}


def add_items(aws: LocalAws) -> None:
    """Write nine items that the mapping takes, and one that it refuses."""
    for number in range(10):
        payload = json.dumps(make_payload("many" if number == 9 else number))
        item = {"page_id": f"/{number}", "activity_dt": "2026-11-24T08:15:00Z", "payload": payload}
        texts = {name: {"S": value} for name, value in item.items()}
        aws.api.dynamodb.put_item(TableName="web_analytics", Item=texts)


def test_a_deployment_from_its_beginning_to_its_end(newcomer: Reader, idle_aws: LocalAws, tmp_path: Path) -> None:
    with newcomer.follow("docs/deploy.md") as walk:
        walk.through("Before anything is made")
        walk.through("Build the package")
        walk.through("Look at what there is")
        walk.through("The first row")
    with newcomer.follow("docs/security.md") as walk:
        walk.through("Look at a deployment")
    newcomer.go_to(tmp_path)
    newcomer.export(BUFFER_SECONDS="2")
    with newcomer.follow("docs/remove.md") as walk:
        walk.through("Delete the stacks")
        assert idle_aws.query("SELECT COUNT(*) FROM Demo.WebAnalytics") == [(0,)]
        walk.through("Delete what stays")
    assert idle_aws.query(f"SELECT User FROM mysql.user WHERE User LIKE '{LOADERS}'") == []
    with newcomer.follow("docs/adopt-existing-table.md") as walk:
        add_items(idle_aws)
        walk.through("Look at the table")
        assert "9 taken, 1 refused" in walk.through("Write its mapping")
        walk.through("Switch stream and recovery on")
        stream = idle_aws.api.dynamodb.describe_table(TableName="web_analytics")["Table"]["LatestStreamArn"]
        database, mapping = find_database(idle_aws.state), load_example()
        deploy(idle_aws.api, database, mapping, source_stream_arn=stream, report=lambda _: None)
        walk.through("Bring what is there")
        assert "1 record" in walk.through("Compare")
    assert idle_aws.query("SELECT COUNT(*) FROM Demo.WebAnalytics") == [(9,)]
    idle_aws.run("down")
