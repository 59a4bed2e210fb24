"""The templates as CloudFormation makes them: what each setting becomes, and what an object under processed/ starts."""

import json

import pytest
from botocore.exceptions import ClientError

from dynaurora import keys
from dynaurora.mappings.replications import Replication
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

MAPPING = "web_analytics"


@pytest.fixture(scope="module")
def platform(account):
    return account.deploy("clicks")


@pytest.fixture(scope="module")
def deployed(account, platform):
    return account.replicate("clicks-web-analytics", platform)


def test_everything_is_named_after_the_platform_or_the_replication(deployed):
    names = {key: value for key, value in deployed.items() if key.endswith(("FunctionName", "StreamName"))}
    assert names == {
        "DeliveryStreamName": "clicks-web-analytics-changes",
        "ForwardChangesFunctionName": "clicks-web-analytics-forward-changes",
        "TransformChangesFunctionName": "clicks-web-analytics-transform-changes",
        "ImportBatchFunctionName": "clicks-import-batch",
        "RecordFailedBatchFunctionName": "clicks-record-failed-batch",
        "OpenRunFunctionName": "clicks-open-run",
        "CheckReadinessFunctionName": "clicks-check-readiness",
        "PlanBackfillFunctionName": "clicks-plan-backfill",
        "ConvertExportFunctionName": "clicks-convert-export",
        "ReconcileRunFunctionName": "clicks-reconcile-run",
        "PlanSweepFunctionName": "clicks-plan-sweep",
        "ReportRunFunctionName": "clicks-report-run",
        "CloseRunFunctionName": "clicks-close-run",
        "DescribeRunsFunctionName": "clicks-describe-runs",
        "ListFailuresFunctionName": "clicks-list-failures",
        "ConvertFailuresFunctionName": "clicks-convert-failures",
        "SettleFailuresFunctionName": "clicks-settle-failures",
        "CheckTargetFunctionName": "clicks-check-target",
        "CompareRowsFunctionName": "clicks-compare-rows",
        "JudgeDifferencesFunctionName": "clicks-judge-differences",
        "PurgeReplicasFunctionName": "clicks-purge-replicas",
        "FindUnimportedFunctionName": "clicks-find-unimported",
        "MeasureHealthFunctionName": "clicks-measure-health",
        "RegisterReplicationFunctionName": "clicks-register-replication",
    }
    assert deployed["ImportBatchStateMachineArn"].endswith(":stateMachine:clicks-import-batch")
    assert deployed["BackfillTableStateMachineArn"].endswith(":stateMachine:clicks-backfill-table")
    assert deployed["ReprocessFailuresStateMachineArn"].endswith(":stateMachine:clicks-reprocess-failures")


def test_the_table_can_be_replicated_and_exported(account, deployed):
    dynamodb = account.client("dynamodb")
    table = dynamodb.describe_table(TableName=deployed["SourceTableName"])["Table"]
    backups = dynamodb.describe_continuous_backups(TableName=deployed["SourceTableName"])[
        "ContinuousBackupsDescription"
    ]
    assert table["LatestStreamArn"] == deployed["SourceStreamArn"]
    assert table["StreamSpecification"] == {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}
    assert backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"


def test_the_stream_mapping_and_the_concurrency_are_as_the_template_says(account, deployed):
    client = account.client("lambda")
    mapping = client.get_event_source_mapping(UUID=deployed["ForwardChangesEventSourceMappingId"])
    concurrency = client.get_function_concurrency(FunctionName=deployed["ImportBatchFunctionName"])
    assert mapping["BisectBatchOnFunctionError"] is True
    assert mapping["MaximumRetryAttempts"] == 100
    assert mapping["DestinationConfig"]["OnFailure"]["Destination"].endswith(deployed["LandingBucketName"])
    assert concurrency["ReservedConcurrentExecutions"] == 3


def test_an_object_starts_an_import_of_exactly_that_object(account, deployed):
    bucket, key = deployed["LandingBucketName"], keys.processed_prefix(MAPPING) + "2026/11/23/08/a name+with é=1"
    s3, stepfunctions = account.client("s3"), account.client("stepfunctions")
    s3.put_object(Bucket=bucket, Key="processed/object", Body=b"nobody's")
    s3.put_object(Bucket=bucket, Key=keys.failed_batch(MAPPING, "0f1e"), Body=b"no batch")
    etag = s3.put_object(Bucket=bucket, Key=key, Body=b"0,1,a,b\n")["ETag"].strip('"')
    machine = deployed["ImportStreamedBatchStateMachineArn"]
    (started,) = wait_until(lambda: stepfunctions.list_executions(stateMachineArn=machine)["executions"])
    given = stepfunctions.describe_execution(executionArn=started["executionArn"])["input"]
    assert json.loads(given) == {
        "batch": {  # its key says which mapping it is for
            "source": "stream",
            "run": None,
            "rows": None,
            "objects": [{"bucket": bucket, "key": key, "etag": etag, "size": 8}],
        }
    }


def test_a_replication_is_known_by_its_table_and_its_reader(account, deployed):
    place = {"Bucket": deployed["LandingBucketName"], "Key": keys.replication(MAPPING)}
    found = Replication.decode(account.client("s3").get_object(**place)["Body"].read())
    table = account.client("dynamodb").describe_table(TableName=deployed["SourceTableName"])["Table"]
    reader = deployed["ForwardChangesEventSourceMappingId"]
    assert found == Replication(MAPPING, "clicks-web-analytics", table["TableArn"], (reader,), "replicate")


def test_a_backfill_is_given_its_bounds_and_its_importer(account, deployed):
    client = account.client("lambda")

    def read_settings(name):
        return client.get_function_configuration(FunctionName=deployed[name])["Environment"]["Variables"]

    run = read_settings("OpenRunFunctionName")
    assert (run["IMPORT_CONCURRENCY"], run["BACKFILL_CONCURRENCY"]) == ("3", "2")
    machine = account.client("stepfunctions").describe_state_machine(
        stateMachineArn=deployed["BackfillTableStateMachineArn"]
    )
    assert deployed["ImportBatchStateMachineArn"] in machine["definition"]
    assert "${" not in machine["definition"]


def test_the_end_of_a_run_is_handed_to_the_function_that_closes_it_and_kept_if_that_fails(account, deployed):
    events, client = account.client("events"), account.client("lambda")
    (target,) = events.list_targets_by_rule(Rule="clicks-close-run")["Targets"]
    assert target["Arn"].endswith(":function:clicks-close-run")
    config = client.get_function_event_invoke_config(
        FunctionName=deployed["CloseRunFunctionName"],
        Qualifier="$LATEST",  # the local Lambda tells it from none
    )
    queue = target["DeadLetterConfig"]["Arn"]
    assert config["DestinationConfig"]["OnFailure"]["Destination"] == queue
    assert queue.endswith(":" + deployed["UnclosedRunsQueueUrl"].rsplit("/", 1)[1])


def test_what_failed_is_taken_up_every_hour(account, deployed):
    schedule = account.client("scheduler").get_schedule(
        Name="clicks-web-analytics-reprocess-failures", GroupName="clicks-reprocess-failures"
    )
    assert schedule["ScheduleExpression"] == "rate(1 hour)"
    assert schedule["Target"]["Arn"] == deployed["ReprocessFailuresStateMachineArn"]
    assert json.loads(schedule["Target"]["Input"]) == {"mapping": MAPPING, "look": True}
    queue = schedule["Target"]["DeadLetterConfig"]["Arn"]
    assert queue.endswith(":" + deployed["UnstartedReprocessesQueueUrl"].rsplit("/", 1)[1])


def test_a_table_is_verified_by_the_clock_where_a_schedule_is_given(account, platform, deployed):
    scheduler = account.client("scheduler")
    assert scheduler.list_schedules(GroupName="clicks-verify-table")["Schedules"] == []
    account.replicate(
        "verified",
        platform,
        Mapping="verified",
        SourceStreamArn=deployed["SourceStreamArn"],
        SourceTableName="",
        VerificationSchedule="cron(0 3 ? * SUN *)",
    )
    schedule = scheduler.get_schedule(Name="verified-verify-table", GroupName="clicks-verify-table")
    assert schedule["ScheduleExpression"] == "cron(0 3 ? * SUN *)"
    assert schedule["FlexibleTimeWindow"] == {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 15}
    assert schedule["Target"]["Arn"] == deployed["BackfillTableStateMachineArn"]
    assert json.loads(schedule["Target"]["Input"]) == {"mapping": "verified", "compare": True, "judge": True}
    assert schedule["Target"]["RoleArn"] == platform["VerificationScheduleRoleArn"]


def test_a_reprocess_is_given_its_bounds(account, deployed):
    client = account.client("lambda")

    def read_settings(name):
        return client.get_function_configuration(FunctionName=deployed[name])["Environment"]["Variables"]

    assert read_settings("ConvertFailuresFunctionName")["MAX_ATTEMPTS"] == "5"
    settling = read_settings("SettleFailuresFunctionName")
    assert (settling["MAX_ATTEMPTS"], settling["NOTICE_INTERVAL_SECONDS"]) == ("5", "3600")
    machine = account.client("stepfunctions").describe_state_machine(
        stateMachineArn=deployed["ReprocessFailuresStateMachineArn"]
    )
    assert "${" not in machine["definition"]


def test_an_existing_table_is_adopted(account, platform, deployed):
    adopted = account.replicate(
        "clicks-adopted", platform, Mapping="adopted", SourceStreamArn=deployed["SourceStreamArn"], SourceTableName=""
    )
    assert adopted["SourceTableName"] == deployed["SourceTableName"]
    assert adopted["SourceStreamArn"] == deployed["SourceStreamArn"]
    assert adopted["DeliveryStreamName"] != deployed["DeliveryStreamName"]


def test_without_a_schedule_people_take_up_what_failed(account, platform, deployed):
    stream = deployed["SourceStreamArn"]
    account.replicate("unscheduled", platform, Mapping="unscheduled", SourceStreamArn=stream, ReprocessSchedule="")
    listed = account.client("scheduler").list_schedules(GroupName="clicks-reprocess-failures")["Schedules"]
    assert "unscheduled-reprocess-failures" not in {schedule["Name"] for schedule in listed}


def test_a_replication_that_is_deleted_is_known_no_more(account, platform):
    account.replicate("leaving", platform, Mapping="leaving", SourceTableName="leaving")
    s3, place = account.client("s3"), {"Bucket": platform["LandingBucketName"], "Key": keys.replication("leaving")}
    assert s3.get_object(**place)
    cloudformation = account.client("cloudformation")
    cloudformation.delete_stack(StackName="leaving")
    cloudformation.get_waiter("stack_delete_complete").wait(StackName="leaving", WaiterConfig={"Delay": 1})
    with pytest.raises(ClientError, match="NoSuchKey"):
        s3.get_object(**place)


def test_a_contradiction_of_parameters_is_refused_before_anything_is_made(account):
    with pytest.raises(ClientError, match="give both VpcId and SubnetIds"):
        account.deploy("nowhere", DatabaseHost="", DatabaseSecretArn="", SubnetIds="subnet-0123456789abcdef0")
    stacks = account.client("cloudformation").describe_stacks()["Stacks"]
    assert "nowhere" not in {stack["StackName"] for stack in stacks}


CLAIM = "OneStackOfMappingAndBucketParameter"


def test_two_stacks_do_not_replicate_by_one_mapping_through_one_bucket(account, platform):
    """The second one makes nothing, leaves the first one alone, and is let in once the first one is gone."""
    cloudformation, parameters = account.client("cloudformation"), account.client("ssm")
    account.replicate("first", platform, Mapping="shared", SourceTableName="firsts")
    claim = {"Name": f"/dynaurora/one-stack-only/{platform['LandingBucketName']}/shared"}
    second = account.create_replication("second", platform, Mapping="shared", SourceTableName="seconds")
    assert second["StackStatus"] == "ROLLBACK_COMPLETE"
    assert any(reason.startswith(f"{CLAIM}: ") for reason in account.find_reasons())
    assert "seconds" not in account.client("dynamodb").list_tables()["TableNames"]
    assert parameters.get_parameter(**claim)["Parameter"]["Value"] == "first"
    for name in ("second", "first"):
        cloudformation.delete_stack(StackName=name)
        cloudformation.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    account.replicate("second", platform, Mapping="shared", SourceTableName="thirds")
    assert parameters.get_parameter(**claim)["Parameter"]["Value"] == "second"


def test_two_platforms_do_not_import_from_one_bucket(account, platform):
    given = {"LandingBucketName": platform["LandingBucketName"]}
    with pytest.raises(AssertionError, match="ROLLBACK_COMPLETE"):
        account.deploy("another", **given)
    assert any(reason.startswith("OnePlatformOfBucketParameter: ") for reason in account.find_reasons())
