"""House rules of the templates."""

import json
import re

import pytest

from dynaurora import keys, settings
from dynaurora.batches.batch import IMPORTED, VERIFY, Batch
from dynaurora.failures.refused_changes import REFUSED_SETTLED
from dynaurora.mappings.mapping import NAME
from dynaurora.runs.close_run import STATES_OF_STATUSES
from dynaurora.runs.requests import Limits, ReprocessOptions, ReprocessRequest, RunRequest
from local.deployment import FROM_PLATFORM
from tests.infrastructure.deployment import (
    FUNCTION,
    KINDS,
    PROJECT,
    REPLICATION,
    ROOT,
    ROOTS,
    STATE_MACHINE,
    get_resource,
    list_resources,
    list_templates,
    read_template,
    read_text,
    substitute,
)

FUNCTIONS = list_resources(FUNCTION)
RULES = list_resources("AWS::Events::Rule")
LOG_GROUPS = list_resources("AWS::Logs::LogGroup")
NESTED = [name for name in list_templates() if name not in ROOTS]
MAPPING = "web_analytics"

OF_THE_STREAM = {"forward_changes", "transform_changes", "import_batch"}
LAMBDA_MEMORY = range(128, 10241)
STREAM_RETENTION_SECONDS = 24 * 3600
WAKING_SECONDS = 60
"""What a database takes to come back from a long pause, twice (Amazon Aurora User Guide, "Scaling to Zero ACUs with
automatic pause and resume": 30 seconds or longer after a day)."""
FIREHOSE_TRANSFORM_SECONDS = 300
PUT_RECORD_BATCH_RECORDS = 500
REPROCESS_MACHINE_ARN = (
    "arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}:stateMachine:${Name}-reprocess-failures"
)
"""Made from its name: its template waits for the one of the rule."""
CHOOSING = {
    *("VpcId", "SubnetIds", "SecurityGroupIds", "LandingBucketName"),
    *("DatabaseHost", "DatabaseAdminSecretArn", "DatabaseSecretArn", "DatabaseSecretKeyArn"),
}
"""Parameters of the root that, where they are empty, have something created instead."""
OUTPUTS_FOR_OTHER_STACKS = {
    "FailuresTopicKeyArn",
    "LandingBucketKeyArn",
    "OpenRunFunctionArn",
    "ReportRunFunctionArn",
    "CloseRunFunctionArn",
    "JudgeDifferencesFunctionArn",
}


# Names


@pytest.mark.parametrize("resource", list_resources(), ids=str)
def test_a_logical_id_ends_with_its_kind(resource):
    assert resource.type in KINDS, f"Name the kind of {resource.type} in deployment.KINDS."
    assert resource.id.endswith(KINDS[resource.type])


@pytest.mark.parametrize("function", FUNCTIONS, ids=str)
def test_a_function_is_deployed_under_its_own_phrase(function):
    assert function.properties["FunctionName"] == {"Fn::Sub": f"${{Name}}-{function.kebab}"}
    assert function.properties["Handler"] == f"lambdas.{function.snake}.lambda_handler"


@pytest.mark.parametrize("machine", list_resources(STATE_MACHINE), ids=str)
def test_a_state_machine_is_deployed_under_its_own_phrase(machine):
    assert machine.properties["Name"] == {"Fn::Sub": f"${{Name}}-{machine.kebab}"}
    assert machine.properties["DefinitionUri"] == f"../statemachines/{machine.snake}.asl.json"


def test_every_function_has_its_file_and_every_file_its_function():
    files = {path.stem for path in (PROJECT / "lambdas").glob("*.py")} - {"__init__"}
    assert files == {function.snake for function in FUNCTIONS}


def test_the_root_stack_gives_its_name_to_the_nested_ones_that_name_things():
    for stack in list_resources("AWS::CloudFormation::Stack"):
        nested = stack.properties["TemplateURL"].removesuffix(".yaml")
        if "Name" in read_template(nested)["Parameters"]:
            assert stack.properties["Parameters"]["Name"] == {"Ref": "AWS::StackName"}


# Functions


@pytest.mark.parametrize("function", FUNCTIONS, ids=str)
def test_a_function_runs_the_shared_package_as_all_do(function):
    assert function.properties["Runtime"] == "python3.13"
    assert function.properties["Architectures"] == [{"Ref": "Architecture"}]
    assert function.properties["CodeUri"] == "../build/functions.zip"
    assert function.attributes["Metadata"] == {"SkipBuild": True}, "`sam build` must leave the built package alone"


@pytest.mark.parametrize("name", NESTED)
def test_paths_are_where_sam_build_corrects_them(name):
    assert "CodeUri" not in read_template(name).get("Globals", {}).get("Function", {}), (
        "in Globals a path is left as it is"
    )


@pytest.mark.parametrize("function", FUNCTIONS, ids=str)
def test_a_function_has_bounds_a_description_and_tracing(function):
    assert (WAKING_SECONDS if function.has_database else 0) < function.properties["Timeout"] <= 900
    assert function.properties["MemorySize"] in LAMBDA_MEMORY
    assert function.properties["Description"].endswith(".")
    assert function.properties["Tracing"] == ({"Ref": "StreamTracing"} if function.snake in OF_THE_STREAM else "Active")


@pytest.mark.parametrize("function", FUNCTIONS, ids=str)
def test_a_function_has_a_role_and_a_log_group_of_its_own(function):
    name = function.id.removesuffix("Function")
    assert function.properties["Role"] == {"Fn::GetAtt": [f"{name}Role", "Arn"]}
    logged = {"LogGroup": {"Ref": f"{name}LogGroup"}}
    if function.snake in OF_THE_STREAM:  # a metric is a line without a level, and Lambda takes it for INFO
        level = {"Fn::If": ["IsDebugged", "DEBUG", "INFO"]}
        logged |= {"LogFormat": "JSON", "SystemLogLevel": "WARN", "ApplicationLogLevel": level}
    assert function.properties["LoggingConfig"] == logged
    assert "Policies" not in function.properties, "its permissions are in its role, each with its reason"
    log_group = get_resource(f"{name}LogGroup")
    assert log_group.properties["LogGroupName"] == {"Fn::Sub": f"/aws/lambda/${{Name}}-{function.kebab}"}


@pytest.mark.parametrize("log_group", LOG_GROUPS, ids=str)
def test_a_log_group_forgets_after_the_days_that_are_asked_for(log_group):
    assert log_group.properties["RetentionInDays"] == {"Ref": "LogRetentionDays"}


@pytest.mark.parametrize("function", FUNCTIONS, ids=str)
def test_a_function_is_given_the_settings_it_reads_and_no_others(function):
    name = function.id.removesuffix("Function")
    fields = {field.upper() for field in getattr(settings, f"{name}Settings").list_fields()}
    given = function.properties["Environment"]["Variables"]
    assert {variable for variable in given if not variable.startswith("POWERTOOLS_")} == fields
    assert given["POWERTOOLS_SERVICE_NAME"] == function.snake
    assert given["POWERTOOLS_METRICS_NAMESPACE"] == "dynaurora"


def test_functions_with_a_database_are_in_the_vpc_and_only_the_importer_is_limited():
    for function in FUNCTIONS:
        assert ("VpcConfig" in function.properties) == function.has_database
    limited = [function.snake for function in FUNCTIONS if "ReservedConcurrentExecutions" in function.properties]
    assert limited == ["import_batch"]


def test_the_report_knows_the_memory_that_it_puts_a_price_on():
    given = get_resource("ReportRunFunction").properties["Environment"]["Variables"]
    for variable, name in (("CONVERT_MEMORY_MB", "ConvertExport"), ("IMPORT_MEMORY_MB", "ImportBatch")):
        assert given[variable] == str(get_resource(f"{name}Function").properties["MemorySize"])


# The stream


@pytest.mark.parametrize("mapping", list_resources("AWS::Lambda::EventSourceMapping"), ids=str)
def test_a_stream_is_read_without_losing_or_blocking(mapping):
    properties = mapping.properties
    assert properties["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert properties["BisectBatchOnFunctionError"] is True
    assert properties["StartingPosition"] == "TRIM_HORIZON"
    assert properties["BatchSize"] <= PUT_RECORD_BATCH_RECORDS
    assert 0 < properties["MaximumRetryAttempts"] <= 10_000
    assert 0 < properties["MaximumRecordAgeInSeconds"] < STREAM_RETENTION_SECONDS
    assert ":s3:::" in str(properties["DestinationConfig"]["OnFailure"]["Destination"]), (
        "only S3 gets the records whole"
    )


def test_the_table_has_a_stream_recovery_and_encryption():
    table = get_resource("SourceTable")
    assert table.properties["StreamSpecification"] == {"StreamViewType": "NEW_IMAGE"}
    assert table.properties["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table.properties["SSESpecification"] == {"SSEEnabled": True}
    assert table.attributes["DeletionPolicy"] == "RetainExceptOnCreate"


def test_a_table_is_created_where_no_stream_is_given_and_by_no_default():
    parameters = read_template(REPLICATION)["Parameters"]
    assert parameters["SourceStreamArn"]["Default"] == parameters["SourceTableName"]["Default"] == ""
    assert get_resource("SourceTable").attributes["Condition"] == "CreatesTable"


# Delivery


@pytest.fixture
def destination():
    return get_resource("ChangesDeliveryStream").properties["ExtendedS3DestinationConfiguration"]


def test_delivery_writes_below_the_keys_that_the_code_reads(destination):
    prefix, errors = (substitute(destination[name], Mapping=MAPPING) for name in ("Prefix", "ErrorOutputPrefix"))
    assert prefix == keys.processed_prefix(MAPPING) + "!{timestamp:yyyy/MM/dd/HH}/"
    assert errors.startswith(keys.failed_records_prefix(MAPPING))
    assert "!{firehose:error-output-type}" in errors
    assert "firehose" not in prefix


def test_delivery_transforms_logs_encrypts_and_does_not_compress(destination):
    processing = destination["ProcessingConfiguration"]
    (processor,) = processing["Processors"]
    parameters = {entry["ParameterName"]: entry["ParameterValue"] for entry in processor["Parameters"]}
    assert processing["Enabled"] is True
    assert parameters["LambdaArn"] == {"Fn::GetAtt": ["TransformChangesFunction", "Arn"]}
    assert 0.2 <= float(parameters["BufferSizeInMBs"]) <= 3
    assert destination["CloudWatchLoggingOptions"]["Enabled"] is True
    assert destination["CompressionFormat"] == "UNCOMPRESSED"
    stream = get_resource("ChangesDeliveryStream")
    assert stream.properties["DeliveryStreamEncryptionConfigurationInput"] == {"KeyType": "AWS_OWNED_CMK"}


def test_the_transformation_ends_before_firehose_stops_waiting():
    assert get_resource("TransformChangesFunction").properties["Timeout"] < FIREHOSE_TRANSFORM_SECONDS


# The bucket


def test_the_bucket_is_private_encrypted_versioned_and_tells_eventbridge():
    bucket = get_resource("LandingBucket")
    assert set(bucket.properties["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket.properties["VersioningConfiguration"] == {"Status": "Enabled"}
    assert bucket.properties["BucketEncryption"]
    notification = bucket.properties["NotificationConfiguration"]
    assert notification["EventBridgeConfiguration"] == {"EventBridgeEnabled": True}
    assert bucket.attributes["DeletionPolicy"] == "RetainExceptOnCreate"


def list_expiries():
    """The bucket's rules that delete objects, by prefix, each with the tags that it asks for."""
    rules = get_resource("LandingBucket").properties["LifecycleConfiguration"]["Rules"]
    return {
        rule.get("Prefix"): {tag["Key"]: tag["Value"] for tag in rule.get("TagFilters", [])}
        for rule in rules
        if any(name.startswith("Expiration") for name in rule)
    }


def test_only_what_is_imported_or_can_be_had_again_expires():
    assert list_expiries() == {
        f"{keys.PROCESSED}/": IMPORTED,
        f"{keys.BATCHES}/run=": IMPORTED,
        f"{keys.REPROCESSED_BATCHES}/mapping=": IMPORTED,
        f"{keys.BATCHES}/mapping=": {},
        f"{keys.EXPORTS}/run=": {},
        f"{keys.REPROCESSED_BATCHES}/run=": {},
        f"{keys.NOTICES}/": {},
        f"{keys.FAILED_RECORDS}/": REFUSED_SETTLED,
    }


def test_what_expires_by_age_alone_is_manifests_exports_lists_copies_and_notices():
    assert keys.manifest(MAPPING, "0f1e").startswith(f"{keys.BATCHES}/mapping=")
    assert keys.backfill_batch(MAPPING, "20261123T081500Z", 1).startswith(f"{keys.BATCHES}/run=")
    assert keys.export_prefix(MAPPING, "20261123T081500Z").startswith(f"{keys.EXPORTS}/run=")
    assert keys.reprocessed_batch(MAPPING, "0f1e").startswith(f"{keys.REPROCESSED_BATCHES}/mapping=")
    for key in (
        keys.reprocess_plan(MAPPING, "r"),
        keys.remainder(MAPPING, "r", 1, 1),
        keys.parked_remainder(MAPPING, "r", 1, 1),
        keys.refused_remainder(MAPPING, "r", 1, 1),
    ):
        assert key.startswith(f"{keys.REPROCESSED_BATCHES}/run=")
    assert keys.notice(MAPPING, "parked", 1).startswith(f"{keys.NOTICES}/")


def test_what_failed_never_expires():
    kept = (
        keys.failed_records_prefix(MAPPING),
        keys.failed_batches_prefix(MAPPING),
        keys.parked_prefix(MAPPING),
        keys.unforwarded_prefix(),
    )
    untagged = tuple(prefix for prefix, tags in list_expiries().items() if not tags)
    assert not any(key.startswith(untagged) for key in kept)


def test_earlier_versions_of_whatever_was_deleted_go():
    rules = get_resource("LandingBucket").properties["LifecycleConfiguration"]["Rules"]
    (rule,) = (rule for rule in rules if not rule.get("Prefix") and not rule.get("TagFilters"))
    assert rule["Status"] == "Enabled"
    assert rule["NoncurrentVersionExpiration"]["NoncurrentDays"]
    assert rule["ExpiredObjectDeleteMarker"] is True
    assert "ExpirationInDays" not in rule


def test_what_is_settled_is_known_for_longer_than_it_is_delivered_again():
    (rule,) = (
        rule
        for rule in get_resource("LandingBucket").properties["LifecycleConfiguration"]["Rules"]
        if rule.get("Prefix") == f"{keys.FAILED_RECORDS}/"
    )
    mapping = get_resource("ForwardChangesEventSourceMapping").properties
    assert rule["ExpirationInDays"] * 86400 > mapping["MaximumRecordAgeInSeconds"] + 2 * 86400


def test_a_notice_is_kept_for_longer_than_the_longest_interval():
    rules = get_resource("LandingBucket").properties["LifecycleConfiguration"]["Rules"]
    (rule,) = (rule for rule in rules if rule.get("Prefix") == f"{keys.NOTICES}/")
    longest = read_template(ROOT)["Parameters"]["NoticeIntervalSeconds"]["MaxValue"]
    assert int(rule["ExpirationInDays"]) * 86400 > longest


@pytest.mark.parametrize(
    "policy",
    ["LandingBucketPolicy", "FailuresTopicPolicy", *(policy.id for policy in list_resources("AWS::SQS::QueuePolicy"))],
)
def test_nothing_is_reached_without_tls(policy):
    statements = get_resource(policy).properties["PolicyDocument"]["Statement"]
    (denied,) = (statement for statement in statements if statement["Sid"] == "DenyPlainHttp")
    assert denied["Effect"] == "Deny"
    assert denied["Principal"] == "*"
    assert denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


# The rule


def test_an_object_event_becomes_the_batch_that_the_importer_reads():
    (target,) = get_resource("ImportBatchRule").properties["Targets"]
    event = {
        "$.detail.bucket.name": "landing",
        "$.detail.object.key": keys.processed_prefix(MAPPING) + "2026/11/23/08/changes-1",
        "$.detail.object.etag": "9e107d9d372bb6826bd81d3542a419d6",
        "$.detail.object.size": "1234",
    }
    transformer = target["InputTransformer"]
    text = substitute(transformer["InputTemplate"], Mapping=MAPPING)
    for name, path in transformer["InputPathsMap"].items():
        text = text.replace(f"<{name}>", event[path])
    batch = Batch.from_event(json.loads(text))
    assert (batch.mapping, batch.source, batch.run, batch.rows) == (MAPPING, "stream", None, None)
    (item,) = batch.objects
    assert (item.bucket, item.key, item.etag, item.size) == (*list(event.values())[:3], 1234)


def test_only_batches_of_a_mapping_start_imports():
    pattern = get_resource("ImportBatchRule").properties["EventPattern"]
    assert pattern["source"] == ["aws.s3"]
    assert pattern["detail-type"] == ["Object Created"]
    assert pattern["detail"]["object"]["key"] == [{"prefix": keys.processed_prefix("")[:-1]}]


def test_the_end_of_a_run_that_did_not_close_itself_closes_it():
    rule = get_resource("CloseRunRule").properties
    assert rule["EventPattern"] == {
        "source": ["aws.states"],
        "detail-type": ["Step Functions Execution Status Change"],
        "detail": {
            "stateMachineArn": [{"Ref": "BackfillTableStateMachine"}, {"Fn::Sub": REPROCESS_MACHINE_ARN}],
            "status": sorted(STATES_OF_STATUSES),
        },
    }
    (target,) = rule["Targets"]
    assert target["Arn"] == {"Fn::GetAtt": ["CloseRunFunction", "Arn"]}
    assert get_resource("CloseRunPermission").properties == {
        "FunctionName": {"Ref": "CloseRunFunction"},
        "Action": "lambda:InvokeFunction",
        "Principal": "events.amazonaws.com",
        "SourceArn": {"Fn::GetAtt": ["CloseRunRule", "Arn"]},
    }


def test_the_clock_starts_a_reprocess_of_everything():
    schedule, machine = get_resource("ReprocessFailuresSchedule"), get_resource("ReprocessFailuresStateMachine")
    target = schedule.properties["Target"]
    assert target["Arn"] == {"Ref": f"{machine.id}Arn"}
    document = json.loads(substitute(target["Input"], Mapping=MAPPING))
    request = ReprocessRequest.from_input(document, Limits(2, 5), "2026-11-23T08:15:00.123Z")
    assert (request.run, request.options) == ("reprocess-20261123T081500Z", ReprocessOptions(None, False, 2))
    assert read_template(REPLICATION)["Conditions"][schedule.attributes["Condition"]] == {
        "Fn::Not": [{"Fn::Equals": [{"Ref": "ReprocessSchedule"}, ""]}]
    }


def test_the_clock_starts_a_verification_that_is_judged_where_a_schedule_is_given():
    schedule, machine = get_resource("VerifyTableSchedule"), get_resource("BackfillTableStateMachine")
    target, parameter = schedule.properties["Target"], read_template(REPLICATION)["Parameters"]["VerificationSchedule"]
    assert target["Arn"] == {"Ref": f"{machine.id}Arn"}
    document = json.loads(substitute(target["Input"], Mapping=MAPPING))
    request = RunRequest.from_input(document, Limits(2, 5), "2026-11-23T08:15:00.123Z")
    assert (request.run, request.kind) == ("verify-20261123T081500Z", VERIFY)
    assert (request.options.compare, request.options.judge, request.options.sweep) == (True, True, False)
    assert (schedule.attributes["Condition"], parameter["Default"]) == ("HasVerificationSchedule", "")
    others = get_resource("ReprocessFailuresSchedule").properties["FlexibleTimeWindow"]
    assert schedule.properties["FlexibleTimeWindow"] == others
    assert read_template(REPLICATION)["Conditions"]["HasVerificationSchedule"] == {
        "Fn::Not": [{"Fn::Equals": [{"Ref": "VerificationSchedule"}, ""]}]
    }


@pytest.mark.parametrize("schedule", list_resources("AWS::Scheduler::Schedule"), ids=str)
def test_a_start_that_fails_is_kept(schedule):
    target = schedule.properties["Target"]
    assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 3600, "MaximumRetryAttempts": 185}
    shared = read_template("reprocess")["Outputs"] | read_template("upkeep")["Outputs"]
    queue = shared[target["DeadLetterConfig"]["Arn"]["Ref"]]["Value"]["Fn::GetAtt"][0]
    assert get_resource(queue).type == "AWS::SQS::Queue"
    group = get_resource(shared[schedule.properties["GroupName"]["Ref"]]["Value"]["Ref"])
    role = get_resource(shared[target["RoleArn"]["Ref"]]["Value"]["Fn::GetAtt"][0])
    (trust,) = role.properties["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Condition"]["ArnLike"]["aws:SourceArn"]["Fn::Sub"].endswith(
        ":schedule-group/" + group.properties["Name"]["Fn::Sub"]
    )


@pytest.mark.parametrize("config", list_resources("AWS::Lambda::EventInvokeConfig"), ids=str)
def test_an_event_that_a_function_gives_up_on_is_kept(config):
    destination = config.properties["DestinationConfig"]["OnFailure"]["Destination"]["Fn::GetAtt"][0]
    assert get_resource(destination).type == "AWS::SQS::Queue"
    assert (config.properties["MaximumRetryAttempts"], config.properties["MaximumEventAgeInSeconds"]) == (2, 21600)


@pytest.mark.parametrize("rule", [rule for rule in RULES if "EventPattern" in rule.properties], ids=str)
def test_an_event_that_starts_nothing_is_kept(rule):
    for target in rule.properties["Targets"]:
        assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 86400, "MaximumRetryAttempts": 185}
        assert get_resource(target["DeadLetterConfig"]["Arn"]["Fn::GetAtt"][0]).type == "AWS::SQS::Queue"


@pytest.mark.parametrize(
    "policy", ["FailuresTopicPolicy.PolicyDocument", "FailuresTopicKey.KeyPolicy", "LandingBucketKey.KeyPolicy"]
)
def test_alarms_may_publish_to_the_failures_topic_and_encrypt_with_its_key(policy):
    resource, _, document = policy.partition(".")
    statements = {statement["Sid"]: statement for statement in get_resource(resource).properties[document]["Statement"]}
    allowed = statements["AllowAlarms"]
    assert allowed["Effect"] == "Allow"
    assert allowed["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert allowed["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    own, buckets = {"Fn::GetAtt": ["FailuresTopicKey", "Arn"]}, {"Ref": "LandingBucketKeyArn"}
    assert get_resource("FailuresTopic").properties["KmsMasterKeyId"] == {"Fn::If": ["MakesTopicKey", own, buckets]}


# Encryption, logging and tracing of the rest


def test_queues_and_topics_are_encrypted():
    assert all(queue.properties["SqsManagedSseEnabled"] is True for queue in list_resources("AWS::SQS::Queue"))
    assert all(topic.properties["KmsMasterKeyId"] for topic in list_resources("AWS::SNS::Topic"))


@pytest.mark.parametrize("machine", list_resources(STATE_MACHINE), ids=str)
def test_a_state_machine_is_logged_and_traced(machine):
    assert machine.properties["Type"] == "STANDARD"
    traced = {"Fn::If": ["TracesStream", True, False]} if machine.snake == "import_streamed_batch" else True
    assert machine.properties["Tracing"] == {"Enabled": traced}
    assert machine.properties["Logging"]["Level"] in {"ERROR", "ALL"}
    (destination,) = machine.properties["Logging"]["Destinations"]
    log_group = get_resource(destination["CloudWatchLogsLogGroup"]["LogGroupArn"]["Fn::GetAtt"][0])
    assert log_group.properties["LogGroupName"]["Fn::Sub"].startswith("/aws/vendedlogs/states/")


# Parameters and outputs


@pytest.mark.parametrize("name", list_templates())
def test_every_parameter_and_output_is_described_and_every_parameter_bounded(name):
    template = read_template(name)
    for parameter in template["Parameters"].values():
        assert parameter["Description"].endswith(".")
    for output in template["Outputs"].values():
        assert output["Description"].endswith(".")
    bounds = {"AllowedPattern", "AllowedValues", "MinValue", "MaxLength"}
    unbounded = [
        key
        for key, value in template["Parameters"].items()
        if value["Type"] in {"String", "Number"} and not bounds & value.keys()
    ]
    assert unbounded == []


def test_the_mapping_may_have_any_name_that_a_mapping_can_have():
    assert read_template(REPLICATION)["Parameters"]["Mapping"]["AllowedPattern"] == NAME.pattern


def test_a_backfill_leaves_room_for_the_stream():
    parameters = read_template(ROOT)["Parameters"]
    assert parameters["BackfillConcurrency"]["Default"] < parameters["ImportConcurrency"]["Default"]


@pytest.mark.parametrize("name", NESTED)
def test_a_nested_template_gets_all_its_parameters_from_the_root(name):
    (stack,) = (
        stack
        for stack in list_resources("AWS::CloudFormation::Stack")
        if stack.properties["TemplateURL"] == f"{name}.yaml"
    )
    parameters = read_template(name)["Parameters"]
    assert stack.properties["Parameters"].keys() == parameters.keys()
    assert [key for key, value in parameters.items() if "Default" in value] == [], "defaults are the root's"


@pytest.mark.parametrize("name", NESTED)
def test_a_parameter_has_the_same_bounds_everywhere(name):
    root, same = (
        read_template(ROOT)["Parameters"],
        ("Type", "AllowedPattern", "AllowedValues", "MinValue", "MaxValue", "MaxLength"),
    )
    for key, parameter in read_template(name)["Parameters"].items():
        if key not in root:
            continue
        bounds, roots = ({field: value.get(field) for field in same} for value in (parameter, root[key]))
        if key in CHOOSING:
            # Empty at the root, where it chooses, and never where it is read.
            assert bounds["AllowedPattern"] in {None, roots["AllowedPattern"], roots["AllowedPattern"][3:]}
            assert bounds["Type"] == ("CommaDelimitedList" if bounds["AllowedPattern"] is None else "String")
        else:
            assert bounds == roots


def test_a_replication_is_given_outputs_of_the_platform_that_say_so():
    given = read_template(REPLICATION)["Parameters"]
    named = {name for name, parameter in given.items() if "output of this name" in parameter["Description"]}
    assert named | {"LandingBucketName"} | {"PrepareTargetFunctionArn"} == set(FROM_PLATFORM)
    outputs = read_template(ROOT)["Outputs"]
    assert outputs.keys() >= set(FROM_PLATFORM)
    for name in FROM_PLATFORM:
        assert ("Default" in given[name]) == ("Condition" in outputs[name]), "one that may be missing has a default"


def test_a_replication_imports_nothing_and_exports_nothing():
    assert "ImportValue" not in read_text(REPLICATION)
    assert all("Export" not in output for output in read_template(ROOT)["Outputs"].values())


def test_a_replication_is_a_small_stack_and_works_with_an_older_platform():
    template = read_template(REPLICATION)
    assert len([body for body in template["Resources"].values() if body["Type"] != "AWS::CloudWatch::Alarm"]) <= 18
    needed = {name for name, parameter in template["Parameters"].items() if "Default" not in parameter}
    assert needed - set(FROM_PLATFORM) == {"Name", "Mapping"}


@pytest.mark.parametrize("root", ROOTS)
def test_every_parameter_of_a_root_is_passed_on_and_grouped(root):
    template = read_template(root)
    passed = re.findall(r"!Ref (\w+)\b(?!:)|\$\{(\w+)\}", read_text(root).split("\nConditions:")[1])
    passed = {name for pair in passed for name in pair}
    grouped = [
        name
        for group in template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
        for name in group["Parameters"]
    ]
    assert set(template["Parameters"]) <= passed
    assert sorted(grouped) == sorted(template["Parameters"])


def test_the_root_passes_on_every_output():
    outputs = {name for nested in NESTED for name in read_template(nested)["Outputs"]} - OUTPUTS_FOR_OTHER_STACKS
    assert outputs == set(read_template(ROOT)["Outputs"])


@pytest.mark.parametrize("name", list_templates())
def test_no_lint_rule_is_switched_off_without_a_reason(name):
    switched_off = [line for line in read_text(name).splitlines() if "ignore_checks" in line and "#" not in line]
    assert switched_off == []


def test_a_lint_rule_that_is_switched_off_in_every_template_has_its_reason_above_it():
    (settings,) = PROJECT.glob(".cfnlintrc*")
    lines = settings.read_text("utf-8").splitlines()
    switched_off = lines[lines.index("ignore_checks:") + 1 :]
    reasons, rules = switched_off[::2], switched_off[1::2]
    assert len(reasons) == len(rules)
    assert all(reason.strip().startswith("# ") for reason in reasons)
    assert all(re.fullmatch(r" +- [EIW]\d{4}", rule) for rule in rules)
