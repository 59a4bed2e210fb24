"""Replications are deployed side by side, so many at once; what fails or ends them stops no other that is under way."""

import threading

import pytest

from backfill.deployment.plans import AT_ONCE, CREATE, Deployer, Plan, PlatformStep, ReplicationStep
from backfill.deployment.sources import Source
from backfill.deployment.stacks import Stack, StackError
from backfill.project import Project
from dynaurora.mappings.mapping import build_mapping
from dynaurora.mappings.replications import Replication, register_replication
from tests.support.factories import column, mapping_document
from tests.support.fakes import InMemoryObjects
from tests.support.registries import activate

SECONDS = 20.0
PLATFORM = Stack("shop", "arn:shop", "CREATE_COMPLETE", {}, {"LandingBucketName": "landing"}, {})
TABLE = {
    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    "LatestStreamArn": "arn:aws:dynamodb:us-east-1:123456789012:table/things/stream/1",
}


class Stacks:
    """The platform, and stacks whose deployment is `deploying`'s; which are under way together is counted."""

    def __init__(self, deploying):
        self.deploying, self.begun, self.left = deploying, [], threading.Event()
        self.now = self.most = 0
        self._lock = threading.Lock()

    def wait(self, _name):
        return PLATFORM

    def find(self, name):
        return PLATFORM if name == PLATFORM.name else None

    def find_nested(self, _name, _logical_id):
        return None

    def require_own(self, *_):
        pass

    def deploy(self, change):
        with self._lock:
            self.begun.append(change)
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            return self.deploying(change.name)
        finally:
            with self._lock:
                self.now -= 1

    def leave(self):
        self.left.set()


class Uploads:
    account, region, is_local, architecture, package = "123456789012", "us-east-1", False, "arm64", "s3://a/package"

    def __init__(self):
        self.uploaded = []

    def ensure_bucket(self):
        pass

    def upload_template(self, name, _package):
        self.uploaded.append(name)
        return f"https://a/{name}"


class DynamoDB:
    def describe_table(self, TableName):  # noqa: ARG002, N803
        return {"Table": TABLE}


def make_step(number):
    mapping = build_mapping(f"t{number:02}", mapping_document(column("total", "INT")), text="{}")
    source = Source("things", exists=True, stream_arn=TABLE["LatestStreamArn"], key_types={"id": "S"})
    return ReplicationStep(f"shop-t{number:02}", CREATE, mapping, source, None, 1.0)


def carry_out(tmp_path, deploying, count, tell):
    stacks, uploads = Stacks(deploying), Uploads()
    deployer = Deployer(Project(tmp_path, stack="shop"), stacks, uploads, DynamoDB(), InMemoryObjects())
    steps = [make_step(number) for number in range(count)]
    plan = Plan("123456789012", "us-east-1", PlatformStep("shop", "keep", "", 1.0), steps)
    return stacks, uploads, lambda: deployer.carry_out(plan, tell)


def test_so_many_go_at_once_and_no_more_and_the_template_is_uploaded_once(tmp_path):
    together, told = threading.Barrier(AT_ONCE), []

    def deploying(_name):
        together.wait(SECONDS)  # which fails where fewer than so many come together
        return True

    stacks, uploads, run = carry_out(tmp_path, deploying, 3 * AT_ONCE, told.append)
    outcome = run()
    assert outcome.deployed == [f"shop-t{number:02}" for number in range(3 * AT_ONCE)]
    assert (outcome.failed, stacks.most, uploads.uploaded) == ({}, AT_ONCE, ["replication.yaml"])
    assert [line.split(":")[0] for line in told] == [f"{number} of 24" for number in range(1, 25)]


def test_one_that_fails_is_told_in_the_end_and_stops_no_other(tmp_path):
    told = []

    def deploying(name):
        if name == "shop-t03":
            raise StackError("no room")
        return name != "shop-t04"

    _, _, run = carry_out(tmp_path, deploying, 2 * AT_ONCE, told.append)
    outcome = run()
    assert outcome.failed == {"t03": "no room"}
    assert outcome.deployed == [f"shop-t{number:02}" for number in range(2 * AT_ONCE) if number not in {3, 4}]
    assert sum("shop-t03 was not deployed" in line for line in told) == 1
    assert sum("shop-t04 is as it was" in line for line in told) == 1


def test_of_many_only_what_fails_is_told_of_their_resources_and_of_one_all(tmp_path):
    for count in (1, 2):
        stacks, _, run = carry_out(tmp_path, lambda _name: True, count, lambda _line: None)
        run()
        assert {change.brief for change in stacks.begun} == {count > 1}


def test_what_is_cut_short_begins_no_other_and_leaves_those_under_way(tmp_path):
    def deploying(name):
        if name != "shop-t00":
            assert stacks.left.wait(SECONDS), "it is still waited for"
            raise StackError("left")
        return True

    def interrupt(_line):
        raise KeyboardInterrupt

    stacks, _, run = carry_out(tmp_path, deploying, 3 * AT_ONCE, interrupt)
    with pytest.raises(KeyboardInterrupt):
        run()
    assert len(stacks.begun) <= AT_ONCE + 1, "no other begins"


def test_a_mapping_whose_table_another_replication_writes_is_refused_by_the_plan(tmp_path):
    store = InMemoryObjects()
    orders, other = (build_mapping(name, mapping_document(column("total", "INT"))) for name in ("t01", "t02"))
    activate(store, orders, 1, "landing")
    register_replication(store, "landing", Replication("t01", "other-t01", TABLE["LatestStreamArn"], ("r",), "ignore"))
    deployer = Deployer(Project(tmp_path, stack="shop"), Stacks(None), Uploads(), DynamoDB(), store)
    plan = deployer.plan([other, orders], everything=False)
    assert "as mapping t01 of stack other-t01 does" in plan.refused["t02"]
    assert ([*plan.refused], [step.mapping.name for step in plan.wanted]) == (["t02"], ["t01"])
