import pytest

from backfill.deployment.deployments import (
    PlatformStack,
    choose_deployment,
    find_deployments,
    find_platform,
    read_stacks,
    require_any,
)
from backfill.kinds import BACKFILL, REPROCESS
from backfill.terminal.console import WrongUseError
from tests.support.backfill_factories import DEPLOYMENT

PLATFORM_OUTPUTS = {
    "LandingBucketName": "landing",
    "BackfillTableStateMachineArn": DEPLOYMENT.backfill_table_arn,
    "ReprocessFailuresStateMachineArn": DEPLOYMENT.reprocess_failures_arn,
    "ImportBatchStateMachineArn": DEPLOYMENT.import_batch_arn,
    "DescribeRunsFunctionName": "clicks-describe-runs",
    "CheckTargetFunctionName": "clicks-check-target",
    "FailuresTopicArn": DEPLOYMENT.failures_topic,
}
REPLICATION_OUTPUTS = {
    "LandingBucketName": "landing",
    "SourceTableName": "web_analytics",
    "ForwardChangesEventSourceMappingId": "14e0db71",
}


def to_outputs(outputs):
    return [{"OutputKey": key, "OutputValue": value} for key, value in outputs.items()]


def describe_platform(name="platform", **outputs):
    return {"StackName": name, "Outputs": to_outputs(PLATFORM_OUTPUTS | outputs)}


def describe_stack(name="clicks", mapping="web_analytics", **changed):
    parameters = [{"ParameterKey": "Mapping", "ParameterValue": mapping}, {"ParameterKey": "Secret"}]
    return {"StackName": name, "Parameters": parameters, "Outputs": to_outputs(REPLICATION_OUTPUTS)} | changed


def read_stack(description, **outputs):
    """The replication that a stack is, where there is a platform; None where it is none."""
    found = read_stacks([describe_platform(**outputs), description])
    return found[0] if found else None


def test_a_replication_and_its_platform_are_a_deployment():
    assert read_stack(describe_stack()) == DEPLOYMENT


def test_a_replication_is_found_with_the_platform_of_its_bucket():
    others = describe_platform("other", LandingBucketName="others")
    orders = describe_stack(
        "other-orders", "orders", Outputs=to_outputs(REPLICATION_OUTPUTS | {"LandingBucketName": "others"})
    )
    found = read_stacks([orders, describe_stack(), others, describe_platform()])
    assert [(one.mapping, one.stack, one.platform) for one in found] == [
        ("orders", "other-orders", "other"),
        ("web_analytics", "clicks", "platform"),
    ]
    assert read_stacks([orders, describe_platform()]) == []


def test_the_cluster_that_a_platform_made_is_known():
    assert read_stack(describe_stack(), DatabaseClusterId="clicks-cluster").cluster == "clicks-cluster"
    assert DEPLOYMENT.cluster == ""


@pytest.mark.parametrize(
    "other",
    [
        {"StackName": "theirs"},
        describe_stack(Parameters=[]),
        describe_stack(Outputs=[]),
        describe_stack(ParentId="arn:root", RootId="arn:root"),
        describe_stack(Outputs=describe_stack()["Outputs"][:2]),
    ],
    ids=["someone else's", "no mapping", "no outputs yet", "nested", "without a reader"],
)
def test_other_stacks_are_none(other):
    assert read_stack(other) is None


class Stacks:
    """CloudFormation, with these stacks."""

    def __init__(self, *stacks):
        self.stacks = stacks

    def get_paginator(self, _):
        return self

    def paginate(self):
        return [{"Stacks": [stack]} for stack in self.stacks]


ALL = Stacks(describe_platform(), describe_stack(), describe_stack("clicks-orders", "orders"), {"StackName": "theirs"})


@pytest.mark.parametrize(
    ("stack", "mappings"),
    [
        (None, ["web_analytics", "orders"]),
        ("platform", ["web_analytics", "orders"]),
        ("clicks-orders", ["orders"]),
    ],
    ids=["all", "a platform's", "one"],
)
def test_deployments_are_named_by_the_stack_of_a_replication_or_of_a_platform(stack, mappings):
    assert [found.mapping for found in find_deployments(ALL, stack)] == mappings


@pytest.mark.parametrize(
    ("stacks", "name", "problem"),
    [
        (ALL, "nowhere", "There is no stack nowhere"),
        (ALL, "theirs", "it lacks the output SourceTableName"),
        (Stacks(describe_stack()), "clicks", "it lacks a platform with the bucket landing"),
    ],
)
def test_a_stack_that_is_none_of_these_is_told_what_it_lacks(stacks, name, problem):
    with pytest.raises(WrongUseError, match=problem):
        find_deployments(stacks, name)


@pytest.mark.parametrize("mapping", ["orders", "nobodys_yet"])
@pytest.mark.parametrize("stack", [None, "platform", "clicks-orders"])
def test_a_mapping_that_nobody_replicates_by_yet_has_a_platform_all_the_same(mapping, stack):
    assert find_platform(ALL, stack, mapping) == PlatformStack("platform", "landing", "")


def test_of_several_platforms_one_is_named_or_replicates_by_the_mapping():
    other = describe_platform("other", LandingBucketName="others", ChangeMappingFunctionName="other-change-mapping")
    stacks = Stacks(*ALL.stacks, other)
    assert find_platform(stacks, None, "orders").stack == "platform"
    assert find_platform(stacks, "other", "orders").change_mapping == "other-change-mapping"
    with pytest.raises(WrongUseError, match="Several platforms are deployed: other, platform"):
        find_platform(stacks, None, "nobodys_yet")
    with pytest.raises(WrongUseError, match="No platform is deployed as nowhere"):
        find_platform(stacks, "nowhere", "orders")
    with pytest.raises(WrongUseError, match="Nothing is deployed"):
        find_platform(Stacks(), None, "orders")


@pytest.mark.parametrize(("kind", "machine"), [(BACKFILL, "backfill-table"), (REPROCESS, "reprocess-failures")])
def test_an_executions_arn(kind, machine):
    assert DEPLOYMENT.execution_arn(kind, "web_analytics-a") == (
        f"arn:aws:states:us-east-1:000000000000:execution:clicks-{machine}:web_analytics-a"
    )


def test_whether_expiries_are_replicated_is_a_parameter():
    assert not DEPLOYMENT.ignores_expiries
    parameters = [*describe_stack()["Parameters"], {"ParameterKey": "TtlDeletes", "ParameterValue": "ignore"}]
    assert read_stack(describe_stack(Parameters=parameters)).ignores_expiries


def test_without_a_mapping_the_one_deployment_is_meant():
    assert choose_deployment([DEPLOYMENT], None) is DEPLOYMENT
    with pytest.raises(WrongUseError, match=r"Several stacks are deployed: .*Name one with --stack"):
        choose_deployment([read_stack(describe_stack("other", "orders")), DEPLOYMENT], None)
    with pytest.raises(WrongUseError, match="Nothing is deployed"):
        choose_deployment([], None)


def test_a_mapping_is_found_in_its_stack():
    others = [read_stack(describe_stack("orders", "orders")), DEPLOYMENT]
    assert choose_deployment(others, "web_analytics") is DEPLOYMENT


def test_an_unknown_mapping_is_told_what_is_deployed():
    deployed = [DEPLOYMENT, read_stack(describe_stack("orders", "orders"))]
    with pytest.raises(WrongUseError) as caught:
        choose_deployment(deployed, "nope")
    assert "'nope'" in caught.value.message
    assert "orders (stack orders), web_analytics (stack clicks)" in caught.value.message
    assert "deploy` in a project" in caught.value.message


def test_a_mapping_in_several_stacks_asks_for_one():
    with pytest.raises(WrongUseError, match=r"clicks, other\. Name one with --stack"):
        choose_deployment([read_stack(describe_stack("other")), DEPLOYMENT], "web_analytics")


def test_where_nothing_is_deployed_it_is_said_how_to():
    with pytest.raises(WrongUseError, match=r"Nothing is deployed .*deploy` in a project.*local up"):
        require_any([])
    with pytest.raises(WrongUseError, match="Nothing is deployed"):
        choose_deployment([], "web_analytics")
    require_any([DEPLOYMENT])
