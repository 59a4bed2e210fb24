import pytest

from backfill.deployment.deployments import choose_deployment, read_stack, require_any
from backfill.kinds import BACKFILL, REPROCESS
from backfill.terminal.console import WrongUseError
from tests.support.backfill_factories import DEPLOYMENT


def describe_stack(name="clicks", mapping="web_analytics", **changed):
    outputs = {
        "SourceTableName": "web_analytics",
        "LandingBucketName": "landing",
        "BackfillTableStateMachineArn": DEPLOYMENT.backfill_table_arn,
        "ReprocessFailuresStateMachineArn": DEPLOYMENT.reprocess_failures_arn,
        "ImportBatchStateMachineArn": DEPLOYMENT.import_batch_arn,
        "DescribeRunsFunctionName": "clicks-describe-runs",
        "CheckTargetFunctionName": "clicks-check-target",
        "ForwardChangesEventSourceMappingId": "14e0db71",
        "FailuresTopicArn": DEPLOYMENT.failures_topic,
    }
    return {
        "StackName": name,
        "Parameters": [{"ParameterKey": "Mapping", "ParameterValue": mapping}, {"ParameterKey": "Secret"}],
        "Outputs": [{"OutputKey": key, "OutputValue": value} for key, value in outputs.items()],
    } | changed


def test_a_root_stack_is_a_deployment():
    assert read_stack(describe_stack()) == DEPLOYMENT


def test_the_cluster_that_a_stack_made_is_known():
    made = {"OutputKey": "DatabaseClusterId", "OutputValue": "clicks-cluster"}
    assert read_stack(describe_stack(Outputs=[*describe_stack()["Outputs"], made])).cluster == "clicks-cluster"
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
    ids=["someone else's", "no mapping", "no outputs yet", "nested", "without backfill"],
)
def test_other_stacks_are_none(other):
    assert read_stack(other) is None


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
    assert "sam deploy" in caught.value.message


def test_a_mapping_in_several_stacks_asks_for_one():
    with pytest.raises(WrongUseError, match=r"clicks, other\. Name one with --stack"):
        choose_deployment([read_stack(describe_stack("other")), DEPLOYMENT], "web_analytics")


def test_where_nothing_is_deployed_it_is_said_how_to():
    with pytest.raises(WrongUseError, match=r"Nothing is deployed .*sam deploy.*local up"):
        require_any([])
    with pytest.raises(WrongUseError, match="Nothing is deployed"):
        choose_deployment([], "web_analytics")
    require_any([DEPLOYMENT])
