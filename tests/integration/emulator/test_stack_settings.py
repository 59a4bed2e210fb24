"""What a template says of a resource holds for the resource; what it no longer says is taken back."""

import json
import uuid

import pytest

pytestmark = pytest.mark.integration

TABLE = {
    "Type": "AWS::DynamoDB::Table",
    "Properties": {
        "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "StreamSpecification": {"StreamViewType": "NEW_IMAGE"},
    },
}
FUNCTION = {
    "Type": "AWS::Lambda::Function",
    "Properties": {
        "Runtime": "python3.13",
        "Handler": "index.handler",
        "Role": "arn:aws:iam::000000000000:role/anything",
        "Code": {"ZipFile": "def handler(event, context): return 'here'"},
    },
}
BUCKET = {"Type": "AWS::S3::Bucket", "Properties": {}}


def merge(resource, **properties):
    return {**resource, "Properties": resource["Properties"] | properties}


class Stack:
    def __init__(self, emulator, **resources):
        self.emulator = emulator
        self.cloudformation = emulator.client("cloudformation")
        self.name = f"stack-{uuid.uuid4().hex[:8]}"
        self.cloudformation.create_stack(StackName=self.name, TemplateBody=self.template(resources))
        self.wait("stack_create_complete")

    @staticmethod
    def template(resources):
        return json.dumps({"Parameters": {"Count": {"Type": "Number", "Default": 3}}, "Resources": resources})

    def update(self, **resources):
        self.cloudformation.update_stack(StackName=self.name, TemplateBody=self.template(resources))
        self.wait("stack_update_complete")

    def delete(self):
        self.cloudformation.delete_stack(StackName=self.name)

    def wait(self, state):
        waiter = self.cloudformation.get_waiter(state)
        waiter.wait(StackName=self.name, WaiterConfig={"Delay": 0.1, "MaxAttempts": 100})

    def status(self):
        return self.cloudformation.describe_stacks(StackName=self.name)["Stacks"][0]["StackStatus"]

    def physical_id(self, logical_id):
        detail = self.cloudformation.describe_stack_resource(StackName=self.name, LogicalResourceId=logical_id)
        return detail["StackResourceDetail"]["PhysicalResourceId"]


def test_reserved_concurrency(emulator):
    stack = Stack(emulator, Function=merge(FUNCTION, ReservedConcurrentExecutions={"Ref": "Count"}))
    function = stack.physical_id("Function")
    get = emulator.client("lambda").get_function_concurrency
    assert get(FunctionName=function)["ReservedConcurrentExecutions"] == 3
    stack.update(Function=merge(FUNCTION, ReservedConcurrentExecutions=0))
    assert get(FunctionName=function)["ReservedConcurrentExecutions"] == 0
    stack.update(Function=merge(FUNCTION, MemorySize=256))
    assert "ReservedConcurrentExecutions" not in get(FunctionName=function)
    assert emulator.invoke(function) == ("here", None)


def test_table_settings(emulator):
    settings = {
        "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
        "TimeToLiveSpecification": {"Enabled": True, "AttributeName": "expires"},
        "SSESpecification": {"SSEEnabled": True},
    }
    stack = Stack(emulator, Table=merge(TABLE, **settings))
    table = {"TableName": stack.physical_id("Table")}
    dynamodb = emulator.client("dynamodb")

    def read():
        recovery = dynamodb.describe_continuous_backups(**table)["ContinuousBackupsDescription"]
        expiry = dynamodb.describe_time_to_live(**table)["TimeToLiveDescription"]
        status = recovery["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"]
        return status, expiry["TimeToLiveStatus"], expiry.get("AttributeName")

    assert read() == ("ENABLED", "ENABLED", "expires")
    description = dynamodb.describe_table(**table)["Table"]
    assert description["SSEDescription"]["Status"] == "ENABLED"
    assert description["LatestStreamArn"].endswith(f"/stream/{description['LatestStreamLabel']}")
    stack.update(Table=TABLE)
    assert read()[:2] == ("DISABLED", "DISABLED")


def test_event_source_mapping(emulator):
    mapping = {
        "Type": "AWS::Lambda::EventSourceMapping",
        "Properties": {
            "EventSourceArn": {"Fn::GetAtt": ["Table", "StreamArn"]},
            "FunctionName": {"Ref": "Function"},
            "StartingPosition": "TRIM_HORIZON",
        },
    }
    settings = {
        "BatchSize": 500,
        "MaximumBatchingWindowInSeconds": 1,
        "BisectBatchOnFunctionError": True,
        "MaximumRetryAttempts": {"Ref": "Count"},
        "MaximumRecordAgeInSeconds": 3600,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "DestinationConfig": {"OnFailure": {"Destination": "arn:aws:s3:::somewhere"}},
    }
    stack = Stack(emulator, Table=TABLE, Function=FUNCTION, Mapping=mapping)
    get = emulator.client("lambda").get_event_source_mapping
    identifier = stack.physical_id("Mapping")
    defaults = get(UUID=identifier)
    assert (defaults["BatchSize"], defaults["MaximumRetryAttempts"]) == (100, -1)
    stack.update(Table=TABLE, Function=FUNCTION, Mapping=merge(mapping, **settings))
    updated = get(UUID=identifier)
    assert {key: updated[key] for key in settings} == settings | {
        "MaximumRetryAttempts": updated["MaximumRetryAttempts"]
    }
    assert int(updated["MaximumRetryAttempts"]) == 3
    stack.update(Table=TABLE, Function=FUNCTION, Mapping=mapping)
    assert get(UUID=identifier)["MaximumRetryAttempts"] == -1


def test_bucket_settings(emulator):
    settings = {
        "BucketEncryption": {
            "ServerSideEncryptionConfiguration": [{"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
        },
        "VersioningConfiguration": {"Status": "Enabled"},
        "PublicAccessBlockConfiguration": {"BlockPublicAcls": True, "RestrictPublicBuckets": True},
        "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
        "NotificationConfiguration": {"EventBridgeConfiguration": {"EventBridgeEnabled": True}},
        "LifecycleConfiguration": {
            "Rules": [
                {
                    "Id": "expire",
                    "Status": "Enabled",
                    "Prefix": "processed/",
                    "ExpirationInDays": 30,
                    "NoncurrentVersionExpiration": {"NoncurrentDays": 7},
                    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
                },
                {
                    "Id": "expire-tagged",
                    "Status": "Enabled",
                    "Prefix": "batches/",
                    "TagFilters": [{"Key": "state", "Value": "done"}],
                    "ExpirationInDays": 1,
                },
            ]
        },
        "Tags": [{"Key": "purpose", "Value": "landing"}],
    }
    stack = Stack(emulator, Bucket=merge(BUCKET, **settings))
    s3, bucket = emulator.client("s3"), {"Bucket": stack.physical_id("Bucket")}
    (rule,) = s3.get_bucket_encryption(**bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    assert s3.get_bucket_versioning(**bucket)["Status"] == "Enabled"
    block = s3.get_public_access_block(**bucket)["PublicAccessBlockConfiguration"]
    assert block == {
        "BlockPublicAcls": True,
        "IgnorePublicAcls": False,
        "BlockPublicPolicy": False,
        "RestrictPublicBuckets": True,
    }
    (ownership,) = s3.get_bucket_ownership_controls(**bucket)["OwnershipControls"]["Rules"]
    assert ownership == {"ObjectOwnership": "BucketOwnerEnforced"}
    assert "EventBridgeConfiguration" in s3.get_bucket_notification_configuration(**bucket)
    lifecycle, tagged = s3.get_bucket_lifecycle_configuration(**bucket)["Rules"]
    assert (lifecycle["ID"], lifecycle["Filter"]["Prefix"]) == ("expire", "processed/")
    assert lifecycle["Expiration"] == {"Days": 30}
    assert lifecycle["NoncurrentVersionExpiration"] == {"NoncurrentDays": 7}
    assert lifecycle["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}
    both = tagged["Filter"]["And"]
    assert (both["Prefix"], both["Tags"]) == ("batches/", [{"Key": "state", "Value": "done"}])
    assert {"Key": "purpose", "Value": "landing"} in s3.get_bucket_tagging(**bucket)["TagSet"]
    stack.update(Bucket=merge(BUCKET, VersioningConfiguration={"Status": "Suspended"}))
    assert s3.get_bucket_versioning(**bucket)["Status"] == "Suspended"
    with pytest.raises(s3.exceptions.ClientError, match="NoSuchLifecycleConfiguration"):
        s3.get_bucket_lifecycle_configuration(**bucket)


@pytest.mark.parametrize("versioned", [False, True])
def test_a_bucket_that_is_not_empty_stops_the_deletion_of_its_stack(emulator, versioned):
    settings = {"VersioningConfiguration": {"Status": "Enabled"}} if versioned else {}
    stack = Stack(emulator, Bucket=merge(BUCKET, **settings))
    bucket = stack.physical_id("Bucket")
    s3 = emulator.client("s3")
    version = s3.put_object(Bucket=bucket, Key="kept").get("VersionId")
    if versioned:
        marker = s3.delete_object(Bucket=bucket, Key="kept")["VersionId"]
    stack.delete()
    emulator.wait_until(lambda: stack.status() == "DELETE_FAILED")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == (0 if versioned else 1)
    for identifier in (version, marker) if versioned else (None,):
        s3.delete_object(Bucket=bucket, Key="kept", **({"VersionId": identifier} if identifier else {}))
    stack.delete()
    stack.wait("stack_delete_complete")


def test_a_delivery_stream_from_a_template_transforms(emulator):
    source = "def handler(event, context): return {'records': [r | {'result': 'Ok'} for r in event['records']]}"
    stream = {
        "Type": "AWS::KinesisFirehose::DeliveryStream",
        "Properties": {
            "DeliveryStreamType": "DirectPut",
            "ExtendedS3DestinationConfiguration": {
                "BucketARN": {"Fn::GetAtt": ["Bucket", "Arn"]},
                "RoleARN": "arn:aws:iam::000000000000:role/anything",
                "Prefix": "good/!{timestamp:yyyy}/",
                "ErrorOutputPrefix": "bad/!{firehose:error-output-type}/",
                "BufferingHints": {"SizeInMBs": {"Ref": "Count"}, "IntervalInSeconds": "0"},
                "ProcessingConfiguration": {
                    "Enabled": "true",
                    "Processors": [
                        {
                            "Type": "Lambda",
                            "Parameters": [
                                {"ParameterName": "LambdaArn", "ParameterValue": {"Fn::GetAtt": ["Function", "Arn"]}},
                                {"ParameterName": "BufferIntervalInSeconds", "ParameterValue": "0"},
                            ],
                        }
                    ],
                },
            },
        },
    }
    stack = Stack(emulator, Bucket=BUCKET, Function=merge(FUNCTION, Code={"ZipFile": source}), Stream=stream)
    name, bucket = stack.physical_id("Stream"), stack.physical_id("Bucket")
    emulator.client("firehose").put_record(DeliveryStreamName=name, Record={"Data": b"a"})
    assert list(emulator.wait_until(lambda: emulator.objects(bucket, "good/")).values()) == [b"a"]


def test_a_nested_stack_with_a_serverless_function_is_created_and_updated(emulator):
    bucket = emulator.create_bucket()
    package = emulator.make_package({"index.py": "import os\ndef handler(event, context): return os.environ['SIZE']"})
    emulator.client("s3").put_object(Bucket=bucket, Key="package.zip", Body=package)
    child = {
        "Transform": "AWS::Serverless-2016-10-31",
        "Parameters": {"Size": {"Type": "Number"}},
        "Resources": {
            "Group": {"Type": "AWS::Logs::LogGroup"},
            "Function": {
                "Type": "AWS::Serverless::Function",
                "Properties": {
                    "Runtime": "python3.13",
                    "Handler": "index.handler",
                    "CodeUri": f"s3://{bucket}/package.zip",
                    "Environment": {"Variables": {"SIZE": {"Ref": "Size"}, "GROUP": {"Fn::GetAtt": ["Group", "Arn"]}}},
                },
            },
        },
        "Outputs": {"Function": {"Value": {"Ref": "Function"}}},
    }
    emulator.client("s3").put_object(Bucket=bucket, Key="child.json", Body=json.dumps(child))
    nested = {
        "Type": "AWS::CloudFormation::Stack",
        "Properties": {"TemplateURL": f"{emulator.endpoint}/{bucket}/child.json", "Parameters": {"Size": 1}},
    }
    reader = {"Type": "AWS::SSM::Parameter"}
    reader["Properties"] = {"Type": "String", "Value": {"Fn::GetAtt": ["Nested", "Outputs.Function"]}}
    stack = Stack(emulator, Nested=nested, Reader=reader)
    name = emulator.client("ssm").get_parameter(Name=stack.physical_id("Reader"))["Parameter"]["Value"]
    assert emulator.invoke(name) == ("1", None)
    nested["Properties"]["Parameters"]["Size"] = 2
    stack.update(Nested=nested, Reader=reader)
    assert emulator.invoke(name) == ("2", None)


def test_a_nested_stack_is_deleted_but_for_what_it_retains(emulator):
    templates, s3 = emulator.create_bucket(), emulator.client("s3")
    child = {
        "Resources": {
            "Retained": TABLE | {"DeletionPolicy": "Retain"},
            "Deleted": TABLE,
            "Full": BUCKET,
        },
        "Outputs": {name: {"Value": {"Ref": name}} for name in ("Retained", "Deleted", "Full")},
    }
    s3.put_object(Bucket=templates, Key="child.json", Body=json.dumps(child))
    url = {"TemplateURL": f"{emulator.endpoint}/{templates}/child.json"}
    stack = Stack(emulator, Nested={"Type": "AWS::CloudFormation::Stack", "Properties": url})
    described = stack.cloudformation.describe_stacks(StackName=stack.physical_id("Nested"))["Stacks"][0]
    names = {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}
    s3.put_object(Bucket=names["Full"], Key="kept")
    stack.delete()
    emulator.wait_until(lambda: stack.status() == "DELETE_FAILED")
    tables = emulator.client("dynamodb").list_tables()["TableNames"]
    assert names["Retained"] in tables
    assert names["Deleted"] not in tables
    assert list(emulator.objects(names["Full"])) == ["kept"]
    s3.delete_object(Bucket=names["Full"], Key="kept")
    stack.delete()
    stack.wait("stack_delete_complete")
    assert names["Retained"] in emulator.client("dynamodb").list_tables()["TableNames"]


def test_what_a_rolled_back_creation_made_is_retained_only_by_retain(emulator):
    """In a nested stack that was there already, and in the one that failed."""
    templates, s3, cloudformation = emulator.create_bucket(), emulator.client("s3"), emulator.client("cloudformation")
    named = uuid.uuid4().hex[:8]
    emulator.client("ssm").put_parameter(Name=f"taken-{named}", Type="String", Value="a")
    broken = {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": "a", "Name": f"taken-{named}"}}

    def make_child(prefix, **more):
        tables = {
            policy: merge(TABLE, TableName=f"{prefix}-{policy}-{named}") | {"DeletionPolicy": policy}
            for policy in ("Retain", "RetainExceptOnCreate", "Delete")
        }
        s3.put_object(Bucket=templates, Key=f"{prefix}.json", Body=json.dumps({"Resources": tables | more}))
        url = {"TemplateURL": f"{emulator.endpoint}/{templates}/{prefix}.json"}
        return {"Type": "AWS::CloudFormation::Stack", "Properties": url}

    broken["DependsOn"] = ["Retain", "RetainExceptOnCreate", "Delete"]
    resources = {"First": make_child("first"), "Second": make_child("second", Broken=broken) | {"DependsOn": "First"}}
    name = f"stack-{named}"
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps({"Resources": resources}))

    def look():
        status = cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]
        return None if status.endswith("IN_PROGRESS") else status

    assert emulator.wait_until(look) == "ROLLBACK_COMPLETE"
    left = {table for table in emulator.client("dynamodb").list_tables()["TableNames"] if table.endswith(named)}
    assert {table for table in left if table.startswith("first")} == {f"first-Retain-{named}"}
    assert "second-RetainExceptOnCreate-" + named not in left
    assert "second-Delete-" + named not in left
