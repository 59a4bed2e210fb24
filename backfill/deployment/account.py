"""What `dynaurora doctor --account` asks before anything is made: limits, Region, zones, rights, names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from backfill.deployment.diagnosis import make_finding
from dynaurora.target.check_target import NO, WARNING, YES, Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

IDENTITY: Final = "the account"
CONCURRENCY: Final = "Lambda's limit"
VERSIONS: Final = "Aurora's version in this Region"
ZONES: Final = "the network's zones"
RIGHTS: Final = "rights of who deploys"
NAMES: Final = "the table's name"

ENGINE_VERSION: Final = "8.0.mysql_aurora.3.10.6"
"""DatabaseEngineVersion, unless it is given."""
ENDPOINTS: Final = ("secretsmanager", "states")
"""Services that the network has interface endpoints of."""
UNRESERVED: Final = 100
"""What Lambda keeps of a limit for functions that reserve nothing; of smaller limits, all (Lambda Developer Guide,
"Configuring reserved concurrency")."""
AT_ONCE: Final = {
    "forward_changes, of each of the stream's shards": 2,
    "transform_changes": 1,
    "import_batch": 5,
    "convert_export of a backfill": 2,
    "others": 2,
}
"""Invocations that a deployment with default parameters may have under way at the same time."""
QUOTA: Final = "aws service-quotas request-service-quota-increase --service-code lambda --quota-code L-B99A9384"

CREATING: Final = {
    "AWS::CloudFormation::Stack": "cloudformation:CreateStack",
    "AWS::CloudWatch::Alarm": "cloudwatch:PutMetricAlarm",
    "AWS::CloudWatch::Dashboard": "cloudwatch:PutDashboard",
    "AWS::DynamoDB::Table": "dynamodb:CreateTable",
    "AWS::EC2::Instance": "ec2:RunInstances",
    "AWS::EC2::RouteTable": "ec2:CreateRouteTable",
    "AWS::EC2::SecurityGroup": "ec2:CreateSecurityGroup",
    "AWS::EC2::SecurityGroupEgress": "ec2:AuthorizeSecurityGroupEgress",
    "AWS::EC2::Subnet": "ec2:CreateSubnet",
    "AWS::EC2::SubnetRouteTableAssociation": "ec2:AssociateRouteTable",
    "AWS::EC2::VPC": "ec2:CreateVpc",
    "AWS::EC2::VPCEndpoint": "ec2:CreateVpcEndpoint",
    "AWS::Events::Rule": "events:PutRule",
    "AWS::IAM::InstanceProfile": "iam:CreateInstanceProfile",
    "AWS::IAM::Role": "iam:CreateRole",
    "AWS::KMS::Key": "kms:CreateKey",
    "AWS::KinesisFirehose::DeliveryStream": "firehose:CreateDeliveryStream",
    "AWS::Lambda::EventInvokeConfig": "lambda:PutFunctionEventInvokeConfig",
    "AWS::Lambda::EventSourceMapping": "lambda:CreateEventSourceMapping",
    "AWS::Lambda::Permission": "lambda:AddPermission",
    "AWS::Logs::LogGroup": "logs:CreateLogGroup",
    "AWS::Logs::LogStream": "logs:CreateLogStream",
    "AWS::RDS::DBCluster": "rds:CreateDBCluster",
    "AWS::RDS::DBClusterParameterGroup": "rds:CreateDBClusterParameterGroup",
    "AWS::RDS::DBInstance": "rds:CreateDBInstance",
    "AWS::RDS::DBSubnetGroup": "rds:CreateDBSubnetGroup",
    "AWS::S3::Bucket": "s3:CreateBucket",
    "AWS::S3::BucketPolicy": "s3:PutBucketPolicy",
    "AWS::SNS::Subscription": "sns:Subscribe",
    "AWS::SNS::Topic": "sns:CreateTopic",
    "AWS::SNS::TopicPolicy": "sns:SetTopicAttributes",
    "AWS::SQS::Queue": "sqs:CreateQueue",
    "AWS::SQS::QueuePolicy": "sqs:SetQueueAttributes",
    "AWS::SSM::Parameter": "ssm:PutParameter",
    "AWS::Scheduler::Schedule": "scheduler:CreateSchedule",
    "AWS::Scheduler::ScheduleGroup": "scheduler:CreateScheduleGroup",
    "AWS::SecretsManager::RotationSchedule": "secretsmanager:RotateSecret",
    "AWS::SecretsManager::Secret": "secretsmanager:CreateSecret",
    "AWS::Serverless::Function": "lambda:CreateFunction",
    "AWS::Serverless::StateMachine": "states:CreateStateMachine",
}
"""The action that makes a resource of each type that the templates have (CloudFormation's schemas, handlers)."""
DEPLOYING: Final = (
    "cloudformation:CreateChangeSet",
    "cloudformation:ExecuteChangeSet",
    "iam:PassRole",
    "iam:PutRolePolicy",
)


@dataclass(frozen=True)
class Plan:
    """What is going to be deployed, as far as an account can refuse it."""

    engine_version: str = ENGINE_VERSION
    zones: tuple[str, ...] = ()
    """Of NetworkZones; empty for the Region's first two."""
    reserved: int = 0
    """ImportConcurrency, where ReserveImportConcurrency is "yes"."""
    table: str | None = None
    """SourceTableName, where the stack makes the table."""


def diagnose_account(connect: Callable[[str], Any], plan: Plan) -> Iterator[Finding]:
    """Yield what is found of the account and Region of the credentials; nothing is changed."""
    identity = connect("sts").get_caller_identity()
    region = connect("sts").meta.region_name
    yield Finding(IDENTITY, YES, f"{identity['Account']}, {region}, as {identity['Arn']}")
    yield from diagnose_concurrency(connect("lambda"), plan)
    yield from make_finding(VERSIONS, lambda: look_at_version(connect("rds"), region, plan))
    yield from make_finding(ZONES, lambda: look_at_zones(connect, region, plan))
    yield from make_finding(RIGHTS, lambda: look_at_rights(connect("iam"), str(identity["Arn"])))
    if plan.table is not None:
        table = plan.table
        yield from make_finding(NAMES, lambda: look_at_table(connect("dynamodb"), table))


def diagnose_concurrency(functions: Any, plan: Plan) -> Iterator[Finding]:
    """Yield whether the account's limit of concurrent executions takes the deployment."""
    limit = functions.get_account_settings()["AccountLimit"]
    total, left = limit["ConcurrentExecutions"], limit["UnreservedConcurrentExecutions"]
    needed, kept = sum(AT_ONCE.values()), min(UNRESERVED, total)
    need = f"the deployment needs {needed} invocations at once"
    if plan.reserved and left - plan.reserved < kept:
        problem = f"{left} of {total} are not reserved, and Lambda keeps {kept}: {plan.reserved} cannot be"
        yield Finding(
            CONCURRENCY, NO, problem, "Deploy with ReserveImportConcurrency=no, or ask for a higher limit: " + QUOTA
        )
    elif left < needed:
        remedy = f"It works, and waits for its turn where it has to. Ask for more: {QUOTA} --desired-value 1000"
        yield Finding(CONCURRENCY, WARNING, f"{left} of {total} are left, and {need}", remedy)
    else:
        yield Finding(CONCURRENCY, YES, f"{left} of {total} are left, and {need}")


def look_at_version(rds: Any, region: str, plan: Plan) -> Iterator[tuple[str, str]]:
    """Yield that the Region has no such version of Aurora MySQL, or none that is serverless."""
    asked = {"Engine": "aurora-mysql", "EngineVersion": plan.engine_version}
    if not rds.describe_db_engine_versions(**asked)["DBEngineVersions"]:
        listing = "aws rds describe-db-engine-versions --engine aurora-mysql --query 'DBEngineVersions[].EngineVersion'"
        yield f"{region} has no {plan.engine_version}", f"Give DatabaseEngineVersion one that it has: `{listing}`."
    elif not find_database_zones(rds, plan):
        yield f"{region} has no serverless instances of {plan.engine_version}", "Deploy in another Region."


def look_at_zones(connect: Callable[[str], Any], region: str, plan: Plan) -> Iterator[tuple[str, str]]:
    """Yield the zones of the network that lack the database's instances or the endpoints."""
    ec2 = connect("ec2")
    zones = ec2.describe_availability_zones(Filters=[{"Name": "zone-type", "Values": ["availability-zone"]}])
    known = sorted(zone["ZoneName"] for zone in zones["AvailabilityZones"])
    names = [f"com.amazonaws.{region}.{service}" for service in ENDPOINTS]
    services = ec2.describe_vpc_endpoint_services(ServiceNames=names)["ServiceDetails"]
    offering = {"Aurora Serverless v2": find_database_zones(connect("rds"), plan)}
    offering |= {service["ServiceName"]: set(service["AvailabilityZones"]) for service in services}
    suitable = [zone for zone in known if all(zone in found for found in offering.values())]
    other = f"Deploy with NetworkZones={','.join(suitable[:2])}." if len(suitable) > 1 else "Deploy in another Region."
    for zone in plan.zones or known[:2]:
        lacking = [what for what, found in offering.items() if zone not in found]
        if lacking:
            yield f"{zone} has no {', no '.join(lacking)}", other


def find_database_zones(rds: Any, plan: Plan) -> set[str]:
    """Return the zones that a serverless instance can be made in."""
    asked = {"Engine": "aurora-mysql", "EngineVersion": plan.engine_version, "DBInstanceClass": "db.serverless"}
    options = rds.describe_orderable_db_instance_options(**asked)["OrderableDBInstanceOptions"]
    return {zone["Name"] for option in options for zone in option["AvailabilityZones"]}


def look_at_rights(iam: Any, arn: str) -> Iterator[tuple[str, str]]:
    """Yield the actions of a deployment that the policies of who asks do not allow."""
    if arn.endswith(":root"):
        return  # may do everything, and cannot be asked about
    source = find_principal(iam, arn)
    actions = [*CREATING.values(), *DEPLOYING]
    pages = iam.get_paginator("simulate_principal_policy").paginate(PolicySourceArn=source, ActionNames=actions)
    results = [result for page in pages for result in page["EvaluationResults"]]
    denied = sorted(result["EvalActionName"] for result in results if result["EvalDecision"] != "allowed")
    if denied:
        yield f"{source} may not {', '.join(denied)}", "Deploy as somebody who may: a role of administrators, for one."


def find_principal(iam: Any, arn: str) -> str:
    """Return the user or role whose policies decide: of a session, the role that it has assumed."""
    kind, _, rest = arn.split(":", 5)[5].partition("/")
    if kind != "assumed-role":
        return arn
    return str(iam.get_role(RoleName=rest.partition("/")[0])["Role"]["Arn"])


def look_at_table(dynamodb: Any, table: str) -> Iterator[tuple[str, str]]:
    """Yield that a table of this name is there already, which the stack could not make again."""
    try:
        found = dynamodb.describe_table(TableName=table)["Table"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        return
    stream = found.get("LatestStreamArn") or "its LatestStreamArn, once its stream is on"
    yield (
        f"there is a table {table}",
        f"Adopt it with SourceStreamArn={stream}; or delete it, if a deployment that failed left it empty.",
    )
