"""`destroy` names what stays, what rebuilds have left too, and goes on with a deletion that was interrupted."""

import json

import click
import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner

from backfill.cli import main
from backfill.commands import destroy
from backfill.commands.destroy import describe_fate, list_left
from backfill.deployment.plans import Deployer
from backfill.deployment.stacks import Stack, Stacks
from backfill.project import read_project
from tests.support.factories import mapping_document
from tests.support.several_targets import several, target

MAPPING = several(target("Orders", "", {"name": "total", "type": "INT", "from": "total"}))
LEFT = [{"replica": f"{MAPPING.database}.Orders__replica_2", "rows": 1200, "bytes": 16384}]


def make_platform(**outputs):
    return Stack("shop", "arn:shop", "CREATE_COMPLETE", {}, outputs, {})


@pytest.fixture
def answer(monkeypatch):
    """Have the function change_mapping answer with tables, or fail; by its name."""

    def set_answer(left):
        class Function:
            def __init__(self, name):
                assert name == "shop-change-mapping"

            def list_replicas(self, _mapping, *, drop):
                assert drop is False
                if isinstance(left, Exception):
                    raise left
                return {"left": left, "wait_seconds": 0}

        monkeypatch.setattr(destroy, "ByFunction", Function)

    return set_answer


def test_what_a_rebuild_left_is_named_with_the_statement_that_drops_it(answer):
    answer(LEFT)
    left = list_left(make_platform(ChangeMappingFunctionName="shop-change-mapping"), MAPPING)
    fate = describe_fate(MAPPING, "shop-app", "landing", left, created=False, delete_data=False)
    assert f"{MAPPING.database}.Orders__replica_2 in Aurora, of a rebuild, about 1,200 rows" in fate["stays"]
    assert fate["statements"] == [
        f"DROP VIEW IF EXISTS `{MAPPING.database}`.`Orders`;",
        f"DROP TABLE IF EXISTS `{MAPPING.database}`.`Orders__replica`;",
        f"DROP TABLE IF EXISTS `{MAPPING.database}`.`Orders__replica_2`;",
    ]


def test_a_database_that_cannot_be_asked_is_told_and_stops_nothing(answer, capsys):
    answer(click.ClickException("ConnectionLostError: Aurora is away"))
    assert list_left(make_platform(ChangeMappingFunctionName="shop-change-mapping"), MAPPING) == []
    assert "Which tables rebuilds have left in Aurora is not known: ConnectionLostError" in capsys.readouterr().err
    assert list_left(make_platform(), MAPPING) == list_left(None, MAPPING) == []


class CloudFormation:
    """The stack of one replication: a deletion that was begun ends at its third look, or Ctrl-C comes at its first."""

    def __init__(self, status, *, interrupt=False):
        self.status, self.interrupt, self.looks = status, interrupt, 0

    def describe_stacks(self, StackName):  # noqa: N803
        self.looks += self.status == "DELETE_IN_PROGRESS"
        if StackName != "dynaurora-orders" or self.looks > 3 or not self.status:
            raise ClientError({"Error": {"Code": "ValidationError"}}, "DescribeStacks")
        has = {"Mapping": "orders", "SourceStreamArn": ""}
        parameters = [{"ParameterKey": name, "ParameterValue": value} for name, value in has.items()]
        parameters.append({"ParameterKey": "LandingBucketName", "ParameterValue": "landing"})
        return {"Stacks": [{"StackName": StackName, "StackStatus": self.status, "Parameters": parameters}]}

    def delete_stack(self, StackName):  # noqa: N803
        assert StackName == "dynaurora-orders"
        self.status = "DELETE_IN_PROGRESS"
        if self.interrupt:
            raise KeyboardInterrupt

    def get_paginator(self, _operation):
        return self

    def paginate(self, **_):
        return []


class DynamoDB:
    """Tables, of which those are known that were deleted."""

    def __init__(self):
        self.deleted = []

    def delete_table(self, TableName):  # noqa: N803
        self.deleted.append(TableName)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run `destroy orders` where CloudFormation has its stack; return the answer, and which tables were deleted."""
    (tmp_path / "dynaurora.toml").write_text("")
    (tmp_path / "mappings").mkdir()
    (tmp_path / "mappings/orders.json").write_text(json.dumps(mapping_document()))

    def run_destroy(cloudformation, *options):
        dynamodb = DynamoDB()
        stacks = Stacks(cloudformation, lambda _line: None, 0)
        deployer = Deployer(read_project(tmp_path), stacks, None, dynamodb, None)
        monkeypatch.setattr(destroy, "make_deployer", lambda _project: deployer)
        answer = CliRunner().invoke(main, ["--project", str(tmp_path), "destroy", "orders", "--yes", *options])
        return answer, dynamodb.deleted

    return run_destroy


@pytest.mark.parametrize("status", ["CREATE_COMPLETE", "DELETE_IN_PROGRESS"])
def test_a_deletion_that_was_begun_before_is_seen_through_with_its_data(run, status):
    answer, deleted = run(CloudFormation(status), "--delete-data")
    assert (answer.exit_code, deleted) == (0, [mapping_document()["source"]["table"]])
    answer, deleted = run(CloudFormation(status))
    assert (answer.exit_code, deleted) == (0, [])


def test_at_an_interrupt_what_waits_for_the_deletion_is_named_that_holds_once_it_is_through(run):
    answer, _ = run(CloudFormation("CREATE_COMPLETE", interrupt=True))
    assert "deleting dynaurora-orders. To wait for it: aws cloudformation wait stack-delete-complete" in answer.stderr
    answer, deleted = run(CloudFormation("CREATE_COMPLETE", interrupt=True), "--delete-data")
    assert "No data is deleted yet. To go on: " in answer.stderr
    assert " destroy orders --delete-data; for the table, once the stack is gone: aws dynamodb delete-" in answer.stderr
    assert deleted == []
