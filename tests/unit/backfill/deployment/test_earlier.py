"""A stack of release 0.1 becomes the platform only where that is asked for, and its reader stays until it is ended."""

import json
from types import SimpleNamespace

import click
import pytest

from backfill.commands import upgrade
from backfill.deployment.earlier import READER, find_reader
from backfill.deployment.plans import KEEP, UPDATE, Deployer
from backfill.deployment.stacks import Stack
from backfill.project import Project
from backfill.terminal.console import WrongUseError
from dynaurora.mappings.mapping import build_mapping
from dynaurora.mappings.replications import Replication, read_replication, register_replication
from tests.support.factories import column, mapping_document
from tests.support.fakes import InMemoryObjects

TABLE = "arn:aws:dynamodb:us-east-1:123456789012:table/things"
PARAMETERS = {"LandingBucketName": "landing", "ImportConcurrency": "5", "DatabaseHost": ""}
GIVEN = {"Mapping": "things", "SourceStreamArn": f"{TABLE}/stream/1", "LandingBucketName": "landing"}
NESTED = Stack(
    name="shop-StreamingStack",
    id="arn:nested",
    status="CREATE_COMPLETE",
    parameters=GIVEN | {"TtlDeletes": "ignore", "BufferSeconds": "30", "SourceTableKeyArn": ""},
    outputs={"ForwardChangesEventSourceMappingId": "reader-1", "TransformChangesFunctionName": "shop-transform"},
    tags={},
)
MACHINES = {"BackfillTableStateMachineArn": "arn:backfill", "ReprocessFailuresStateMachineArn": "arn:reprocess"}
MAPPING = build_mapping("things", mapping_document(column("total", "INT")), text="{}")


def make_root(*, is_platform, status="CREATE_COMPLETE"):
    own = {"RegisterReplicationFunctionArn": "arn:register"} if is_platform else NESTED.outputs
    outputs = MACHINES | {"LandingBucketName": "landing"} | own
    parameters = PARAMETERS if is_platform else PARAMETERS | GIVEN | {"ReprocessSchedule": "rate(2 hours)"}
    return Stack("shop", "arn:shop", status, parameters, outputs, {})


class Stacks:
    """A root stack with what reads the stream by release 0.1, and the changes that were asked for."""

    def __init__(self, root, nested=NESTED):
        self.root, self.nested, self.changes = root, nested, []

    def find(self, name):
        return self.root if self.root and name == self.root.name else None

    wait = find

    def find_nested(self, _name, logical_id):
        return self.nested if logical_id == READER else None

    def read_template(self, _name):
        return "Resources: {}"

    def require_own(self, *_):
        pass

    def deploy(self, change):
        self.changes.append(change)
        return True


class Uploads:
    account, region, is_local, architecture, package = "123456789012", "us-east-1", False, "arm64", "s3://a/package"

    def __init__(self):
        self.more = []

    def ensure_bucket(self):
        pass

    def upload_template(self, name, _package, more=None):
        self.more.append((name, more))
        return f"https://a/{name}"

    def upload_text(self, template):
        return f"https://a/{len(template)}"


class DynamoDB:
    def describe_table(self, TableName):  # noqa: ARG002, N803
        return {
            "Table": {
                "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
                "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
                "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
                "LatestStreamArn": f"{TABLE}/stream/1",
            }
        }


def make_deployer(tmp_path, root, step="", nested=NESTED):
    project = Project(tmp_path, stack="shop")
    return Deployer(project, Stacks(root, nested), Uploads(), DynamoDB(), InMemoryObjects(), step)


def test_a_deployment_refuses_it_and_names_the_command(tmp_path):
    with pytest.raises(WrongUseError, match=r"shop is of release 0\.1, one table's whole: .*dynaurora upgrade"):
        make_deployer(tmp_path, make_root(is_platform=False)).plan([MAPPING], everything=True)


def test_it_becomes_the_platform_with_its_reader_which_is_known_before(tmp_path):
    deployer = make_deployer(tmp_path, make_root(is_platform=False), "begin")
    plan = deployer.plan([MAPPING], everything=False)
    assert (plan.platform.action, plan.replications[0].action) == (UPDATE, "create")
    outcome = deployer.carry_out(plan, lambda _: None)
    assert (outcome.deployed, outcome.failed) == (["shop", "shop-things"], {})
    (name, more), _ = deployer.uploads.more
    assert (name, more[READER]["Properties"]["Parameters"]) == ("platform.yaml", NESTED.parameters)
    found = read_replication(deployer.store, "landing", "things")
    assert found == Replication("things", "shop-things", TABLE, ("reader-1",), "ignore")


def test_a_later_deployment_of_the_platform_keeps_the_reader(tmp_path):
    deployer = make_deployer(tmp_path, make_root(is_platform=True))
    assert deployer.plan([MAPPING], everything=False).platform.action == KEEP
    deployer.carry_out(deployer.plan([MAPPING], everything=True), lambda _: None)
    assert READER in deployer.uploads.more[0][1]


def test_a_replication_that_has_its_own_reader_by_then_keeps_it_first(tmp_path):
    deployer = make_deployer(tmp_path, make_root(is_platform=True))
    own = Replication("things", "shop-things", TABLE, ("reader-2", "reader-1"), "ignore")
    register_replication(deployer.store, "landing", own)
    deployer.carry_out(deployer.plan([MAPPING], everything=True), lambda _: None)
    assert read_replication(deployer.store, "landing", "things") == own


def test_in_the_end_the_reader_is_not_kept(tmp_path):
    deployer = make_deployer(tmp_path, make_root(is_platform=True), "finish")
    plan = deployer.plan([MAPPING], everything=False)
    assert (plan.platform.action, plan.platform.kept_reader) == (UPDATE, None)


def test_a_replication_is_given_what_the_stack_was_given():
    reader = find_reader(Stacks(None), make_root(is_platform=False))
    assert reader.replication_parameters == {
        "TtlDeletes": "ignore",
        "BufferSeconds": "30",
        "ReprocessSchedule": "rate(2 hours)",
    }


@pytest.fixture
def find(monkeypatch, tmp_path):
    """What finds what is there of release 0.1, with a project of these mappings and runs under way."""

    def find_earlier(root, running=(), mapping=None, nested=NESTED):
        listed = {"executions": [{"name": name} for name in running]}
        states = SimpleNamespace(list_executions=lambda **_: listed)
        monkeypatch.setattr(upgrade, "make_deployer", lambda _: make_deployer(tmp_path, root, nested=nested))
        monkeypatch.setattr(upgrade, "connect_to", lambda _: states)
        monkeypatch.setattr(upgrade, "read_packaged_mapping", lambda *_: MAPPING)
        if mapping:
            (tmp_path / "mappings").mkdir()
            (tmp_path / "mappings" / "things.json").write_text(json.dumps(mapping))
        return upgrade.find_earlier(Project(tmp_path, stack="shop"))

    return find_earlier


def test_what_is_there_is_found(find):
    assert find(make_root(is_platform=False)).mapping is MAPPING
    assert find(make_root(is_platform=True), running=["things-r1"]).reader.mapping == "things"
    assert find(make_root(is_platform=True), nested=None) is None


@pytest.mark.parametrize(
    ("root", "more", "says"),
    [
        (None, {}, "There is no stack shop: name the one to upgrade"),
        (
            Stack("shop", "", "CREATE_COMPLETE", {}, {}, {}),
            {"nested": None},
            "shop is no platform, and none of release",
        ),
        (make_root(is_platform=False), {"running": ["things-r1"]}, "The backfill things-r1 is under way: wait"),
        (
            make_root(is_platform=False),
            {"mapping": mapping_document(column("other", "INT"))},
            "things.json is another mapping than shop was deployed with: put it aside",
        ),
    ],
)
def test_what_cannot_be_upgraded_is_named(find, root, more, says):
    with pytest.raises(click.ClickException, match=says):
        find(root, **more)


def test_nothing_ends_before_its_successor_reads(monkeypatch, tmp_path):
    deployer = make_deployer(tmp_path, make_root(is_platform=True), "finish")
    plan = deployer.plan([MAPPING], everything=False)
    with pytest.raises(WrongUseError, match="shop-things is not there yet: upgrade first"):
        upgrade.require_taken_over(plan)
    taken = SimpleNamespace(action=KEEP, stack="shop-things", mapping=MAPPING, outputs=NESTED.outputs)
    reader = {"State": "Enabled", "LastProcessingResult": "PROBLEM: Function call failed"}
    monkeypatch.setattr(
        upgrade, "connect_to", lambda _: SimpleNamespace(get_event_source_mapping=lambda **_: dict(reader))
    )
    with pytest.raises(WrongUseError, match="shop-things is Enabled, PROBLEM: Function call failed: the earlier one"):
        upgrade.require_taken_over(SimpleNamespace(replications=[taken]))
    reader["LastProcessingResult"] = "OK"
    upgrade.require_taken_over(SimpleNamespace(replications=[taken]))
    reader["State"] = "Disabled"
    with pytest.raises(WrongUseError, match="is Disabled"):
        upgrade.require_taken_over(SimpleNamespace(replications=[taken]))
