"""With AUTH=true a function may do what its own role allows; the services between functions go on working."""

import json

import pytest

from tests.integration.emulator.machines import Machine

pytestmark = pytest.mark.integration

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"},
    ],
}

FORWARD = """
import boto3, os
firehose = boto3.client("firehose")
def handler(event, context):
    records = [{"Data": record["dynamodb"]["Keys"]["id"]["S"].encode()} for record in event["Records"]]
    return firehose.put_record_batch(DeliveryStreamName="STREAM", Records=records)["FailedPutCount"]
"""

TRANSFORM = "def handler(event, context): return {'records': [r | {'result': 'Ok'} for r in event['records']]}"


@pytest.fixture(scope="module")
def emulator(tmp_path_factory, run_emulator):
    with run_emulator(tmp_path_factory.mktemp("authorized"), AUTH="true") as running:
        yield running


def create_role(emulator, name, *statements):
    iam = emulator.client("iam")
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    if statements:
        policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement} for statement in statements]}
        iam.put_role_policy(RoleName=name, PolicyName="allowed", PolicyDocument=json.dumps(policy))
    return arn


def test_a_function_may_do_what_its_role_allows_and_nothing_else(emulator):
    bucket = emulator.create_bucket()
    role = create_role(emulator, "reader", {"Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"})
    emulator.client("s3").put_object(Bucket=bucket, Key="key")
    name = emulator.create_function(
        """
        import boto3, botocore.exceptions
        def handler(event, context):
            try:
                getattr(boto3.client("s3"), event["operation"])(Bucket=event["bucket"], Key="key")
            except botocore.exceptions.ClientError as error:
                return error.response["Error"]["Code"]
        """,
        Role=role,
    )
    assert emulator.invoke(name, {"operation": "get_object", "bucket": bucket}) == (None, None)
    assert emulator.invoke(name, {"operation": "put_object", "bucket": bucket}) == ("AccessDenied", None)


def test_the_way_from_a_stream_to_a_bucket(emulator):
    bucket = emulator.create_bucket()
    table, stream = emulator.create_table()
    put = {"Action": "firehose:PutRecordBatch", "Resource": "*"}
    transform = emulator.create_function(TRANSFORM, Role=create_role(emulator, "transforms"))
    parameters = {"LambdaArn": emulator.function_arn(transform), "BufferIntervalInSeconds": "0"}
    emulator.client("firehose").create_delivery_stream(
        DeliveryStreamName="changes",
        ExtendedS3DestinationConfiguration={
            "BucketARN": f"arn:aws:s3:::{bucket}",
            "RoleARN": create_role(emulator, "delivers"),
            "BufferingHints": {"SizeInMBs": 1, "IntervalInSeconds": 0},
            "Prefix": "good/",
            "ProcessingConfiguration": {
                "Enabled": True,
                "Processors": [
                    {
                        "Type": "Lambda",
                        "Parameters": [{"ParameterName": k, "ParameterValue": v} for k, v in parameters.items()],
                    }
                ],
            },
        },
    )
    mappings = {}
    for name, statements in {"forwards": [put], "forbidden": []}.items():
        function = emulator.create_function(
            FORWARD.replace("STREAM", "changes"), Role=create_role(emulator, name, *statements)
        )
        mappings[name] = emulator.client("lambda").create_event_source_mapping(
            FunctionName=function,
            EventSourceArn=stream,
            StartingPosition="TRIM_HORIZON",
            MaximumRetryAttempts=0,
            DestinationConfig={"OnFailure": {"Destination": f"arn:aws:s3:::{bucket}"}},
        )["UUID"]
    emulator.put_items(table, "a")
    assert list(emulator.wait_until(lambda: emulator.objects(bucket, "good/")).values()) == [b"a"]
    (document,) = emulator.wait_until(lambda: emulator.objects(bucket, f"aws/lambda/{mappings['forbidden']}")).values()
    assert json.loads(document)["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert not emulator.objects(bucket, f"aws/lambda/{mappings['forwards']}")


def test_a_bucket_that_denies_plain_http_can_be_read_locally(emulator):
    bucket = emulator.create_bucket()
    role = create_role(emulator, "reads", {"Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"})
    deny = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": f"arn:aws:s3:::{bucket}/*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    policy = {"Version": "2012-10-17", "Statement": [deny]}
    emulator.client("s3").put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    emulator.client("s3").put_object(Bucket=bucket, Key="key", Body=b"content")
    name = emulator.create_function(
        f"""
        import boto3
        def handler(event, context):
            return boto3.client("s3").get_object(Bucket="{bucket}", Key="key")["Body"].read().decode()
        """,
        Role=role,
    )
    assert emulator.invoke(name) == ("content", None)


def test_a_function_may_look_at_the_map_runs_of_its_own_state_machine(emulator):
    source = """
        import boto3, botocore.exceptions
        def handler(event, context):
            client, codes = boto3.client("stepfunctions"), {}
            for operation, arguments in event.items():
                try:
                    getattr(client, operation)(**arguments)
                    codes[operation] = None
                except botocore.exceptions.ClientError as error:
                    codes[operation] = error.response["Error"]["Code"]
            return codes
        """
    role = create_role(emulator, "machine")
    processor = {"StartAt": "Pass", "States": {"Pass": {"Type": "Pass", "End": True}}}
    processor["ProcessorConfig"] = {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
    machine = Machine(emulator, {"Task": {"Type": "Map", "ItemProcessor": processor, "End": True}}, role=role)
    execution = machine.start(["item"])
    machine.finish(execution)
    map_run = machine.map_run(execution)["mapRunArn"]
    actions = ("DescribeExecution", "GetExecutionHistory", "ListMapRuns", "DescribeMapRun", "ListExecutions")
    own = [machine.arn.replace(":stateMachine:", f":{kind}:") for kind in ("execution", "mapRun")]
    statement = {"Action": [f"states:{a}" for a in actions], "Resource": [f"{own[0]}:*", f"{own[1]}/*"]}
    function = emulator.create_function(source, Role=create_role(emulator, "reporter", statement))
    calls = {
        **{
            name: {"executionArn": execution}
            for name in ("describe_execution", "get_execution_history", "list_map_runs")
        },
        **{name: {"mapRunArn": map_run} for name in ("describe_map_run", "list_executions")},
    }
    assert set(emulator.invoke(function, calls)[0].values()) == {None}
    refused = {"stop_execution": {"executionArn": execution}, "list_executions": {"stateMachineArn": machine.arn}}
    assert set(emulator.invoke(function, refused)[0].values()) == {"AccessDeniedException"}


def of_function(pattern):
    condition = {"ArnLike": {"lambda:FunctionArn": pattern}}
    return {"Action": "lambda:GetEventSourceMapping", "Resource": "*", "Condition": condition}


def test_an_event_source_mapping_is_read_with_the_action_of_reading_one(emulator):
    _, stream = emulator.create_table()
    function = emulator.create_function(TRANSFORM, Role=create_role(emulator, "reads-nothing"))
    mapping = emulator.client("lambda").create_event_source_mapping(
        FunctionName=function,
        EventSourceArn=stream,
        Enabled=False,
        StartingPosition="TRIM_HORIZON",
    )["UUID"]
    arn = f"arn:aws:lambda:us-east-1:000000000000:event-source-mapping:{mapping}"
    code = """
    import boto3, botocore.exceptions
    def handler(event, context):
        try:
            return boto3.client("lambda").get_event_source_mapping(UUID=event["uuid"])["UUID"]
        except botocore.exceptions.ClientError as error:
            return error.response["Error"]["Code"]
    """
    answers = [
        emulator.invoke(emulator.create_function(code, Role=create_role(emulator, name, statement)), {"uuid": mapping})
        for name, statement in {
            "reads-a-mapping": {"Action": "lambda:GetEventSourceMapping", "Resource": arn},
            "lists-mappings": {"Action": "lambda:ListEventSourceMappings", "Resource": "*"},
            "reads-those-of-a-function": of_function(emulator.function_arn(function)),
            "reads-those-of-others": of_function("arn:aws:lambda:us-east-1:000000000000:function:*-another"),
        }.items()
    ]
    assert answers == [(mapping, None), ("AccessDeniedException", None)] * 2
