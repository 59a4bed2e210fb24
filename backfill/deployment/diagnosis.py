"""What `dynaurora doctor` looks at: the stack, the source table, the landing bucket, and the target by its function."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from backfill.deployment.aws_errors import explain_any, explain_error
from backfill.project import load_mapping
from dynaurora import keys
from dynaurora.dynamodb.source import find_table_problems
from dynaurora.errors import DynauroraError
from dynaurora.target.check_target import CHECKS, NO, UNKNOWN, WARNING, YES, Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sns import SNSClient

    from backfill.deployment.deployments import Deployment
    from dynaurora.dynamodb.source import AwsSource, SourceState

STACK: Final = "the stack"
TABLE: Final = "the table"
KEYS: Final = "the table's keys"
EVENTS: Final = "the bucket's events"
VERSIONS: Final = "the bucket's versions"
PRIVATE: Final = "the bucket's privacy"
EXPIRY: Final = "what failed is kept"
PEOPLE: Final = "who is told of failures"
PROTECTION: Final = "the cluster's protection"
STEADY: Final = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE")


def make_finding(
    check: str, look: Callable[[], Iterator[tuple[str, str]]], *, problem_is: str = NO
) -> Iterator[Finding]:
    """Yield a finding for each problem that a look finds; where there is none, that all is well.

    What AWS does not let this user see is unknown, and so is what a mapping says that is not on this machine.
    """
    try:
        problems = list(look())
    except (DynauroraError, BotoCoreError, ClientError) as error:
        yield Finding(check, UNKNOWN, explain_any(error))
        return
    yield from (Finding(check, problem_is, problem, remedy) for problem, remedy in problems)
    if not problems:
        yield Finding(check, YES)


# The stack


def read_statuses(cloudformation: CloudFormationClient) -> dict[str, str]:
    """Return how the last deployments of all stacks ended, by their names."""
    pages = cloudformation.get_paginator("describe_stacks").paginate()
    return {found["StackName"]: found["StackStatus"] for page in pages for found in page["Stacks"]}


def diagnose_stack(statuses: Mapping[str, str], *stacks: str) -> Iterator[Finding]:
    """Yield whether the last deployments of a platform and of a replication ended well."""

    def look() -> Iterator[tuple[str, str]]:
        for stack in stacks:
            if statuses[stack] not in STEADY:
                events = f"aws cloudformation describe-stack-events --stack-name {stack}"
                yield f"{stack} is {statuses[stack]}", f"Read why with `{events}`, then deploy again."

    return make_finding(STACK, look)


# The table


def diagnose_table(source: AwsSource, mapping: str) -> Iterator[Finding]:
    """Yield whether a table can be replicated: recovery, stream and view, and the keys that the mapping names."""
    seen: list[SourceState] = []

    def look() -> Iterator[tuple[str, str]]:
        seen.append(source.describe_table())
        return split(find_table_problems(seen[0], None))

    yield from make_finding(TABLE, look)
    if seen and seen[0].table_arn:
        yield from make_finding(KEYS, lambda: compare_keys(seen[0], mapping))
    else:
        yield Finding(KEYS, UNKNOWN, "there is no table to look at")


def split(problems: Iterator[str]) -> Iterator[tuple[str, str]]:
    """Yield problems that name their remedy behind a colon as both."""
    for problem in problems:
        what, _, remedy = problem.partition(": ")
        yield what, f"{remedy[:1].upper()}{remedy[1:]}."


def compare_keys(state: SourceState, name: str) -> Iterator[tuple[str, str]]:
    """Yield where the table's keys are not those of the mapping, by name or by type. Raises UnknownMappingError."""
    from dynaurora.linting.lint_mapping import find_key_problems  # takes a second

    mapping = load_mapping(name)
    wanted = tuple(filter(None, (mapping.partition_key, mapping.sort_key)))
    if state.keys and state.keys != wanted:
        yield (
            f"they are {' and '.join(state.keys)}, and the mapping {name} has {' and '.join(wanted)}",
            f"Correct partition_key and sort_key in mappings/{name}.json, then deploy again.",
        )
    elif len(state.key_types) == len(state.keys):
        key_types = dict(zip(state.keys, state.key_types, strict=True))
        for found in find_key_problems(json.loads(mapping.text), key_types):
            yield found.message, found.remedy


# The bucket


def diagnose_bucket(s3: S3Client, bucket: str) -> Iterator[Finding]:
    """Yield whether the landing bucket tells of objects, keeps versions and is private."""
    yield from make_finding(EVENTS, lambda: look_at_events(s3, bucket))
    yield from make_finding(VERSIONS, lambda: look_at_versions(s3, bucket))
    yield from make_finding(PRIVATE, lambda: look_at_privacy(s3, bucket))


def diagnose_expiry(s3: S3Client, bucket: str, mapping: str) -> Iterator[Finding]:
    """Yield whether the landing bucket keeps what failed of a mapping."""
    return make_finding(EXPIRY, lambda: look_at_expiry(s3, bucket, mapping))


def look_at_events(s3: S3Client, bucket: str) -> Iterator[tuple[str, str]]:
    """Yield that EventBridge is not told: no streamed batch would be imported before a reprocess finds it."""
    if "EventBridgeConfiguration" not in s3.get_bucket_notification_configuration(Bucket=bucket):
        command = f"aws s3api put-bucket-notification-configuration --bucket {bucket} --notification-configuration"
        switch_on = f"{command} '{{\"EventBridgeConfiguration\": {{}}}}'"
        yield (
            f"{bucket} does not tell EventBridge of its objects",
            f"Switch it on: `{switch_on}`, which replaces the notifications there are.",
        )


def look_at_versions(s3: S3Client, bucket: str) -> Iterator[tuple[str, str]]:
    """Yield that what is overwritten or deleted by mistake is gone."""
    if s3.get_bucket_versioning(Bucket=bucket).get("Status") != "Enabled":
        command = "aws s3api put-bucket-versioning"
        yield (
            f"{bucket} keeps no versions",
            f"Switch them on: `{command} --bucket {bucket} --versioning-configuration Status=Enabled`.",
        )


def look_at_privacy(s3: S3Client, bucket: str) -> Iterator[tuple[str, str]]:
    """Yield that the bucket could be made public."""
    try:
        blocked: Mapping[str, Any] = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchPublicAccessBlockConfiguration":
            raise
        blocked = {}
    names = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
    missing = [name for name in names if not blocked.get(name)]
    if missing:
        yield (
            f"{bucket} does not have {', '.join(missing)}",
            "Block public access: `aws s3api put-public-access-block`, with all four of them true.",
        )


def look_at_expiry(s3: S3Client, bucket: str, mapping: str) -> Iterator[tuple[str, str]]:
    """Yield the lifecycle rules by which the only copy of what failed would expire."""
    try:
        rules = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchLifecycleConfiguration":
            raise
        return
    kept = (
        keys.failed_records_prefix(mapping),
        keys.failed_batches_prefix(mapping),
        keys.parked_prefix(mapping),
        keys.unforwarded_prefix(),
        keys.processed_prefix(mapping),
    )
    for rule in rules:
        prefix = find_expiring_prefix(rule)
        reached = [] if prefix is None else [key for key in kept if key.startswith(prefix) or prefix.startswith(key)]
        if reached:
            yield (
                f"the lifecycle rule {rule.get('ID', 'without a name')} of {bucket} lets {', '.join(reached)} expire",
                "Narrow it to other prefixes, or to objects with the tag dynaurora=imported.",
            )


def find_expiring_prefix(rule: Mapping[str, Any]) -> str | None:
    """Return under which prefix a rule lets objects expire by their age alone; None where it does not."""
    if rule.get("Status") != "Enabled" or not {"Days", "Date"} & rule.get("Expiration", {}).keys():
        return None
    narrowed = rule.get("Filter") or {}
    both = narrowed.get("And") or {}
    if narrowed.get("Tag") or both.get("Tags"):
        return None
    return str(both.get("Prefix") or narrowed.get("Prefix") or rule.get("Prefix") or "")


# People


def diagnose_people(sns: SNSClient, topic_arn: str) -> Iterator[Finding]:
    """Yield whether anybody is told of alarms and of what failed."""

    def look() -> Iterator[tuple[str, str]]:
        pages = sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic_arn)
        arns = [subscription["SubscriptionArn"] for page in pages for subscription in page["Subscriptions"]]
        if not any(arn.startswith("arn:") for arn in arns):
            waiting = "who was asked has not confirmed it" if arns else "nobody is subscribed"
            yield (
                f"nobody: {waiting}",
                f"Deploy with FailuresEmail, confirm what AWS sends; or `aws sns subscribe --topic-arn {topic_arn}`.",
            )

    return make_finding(PEOPLE, look, problem_is=WARNING)


# The cluster


def diagnose_cluster(rds: Any, cluster: str) -> Iterator[Finding]:
    """Yield whether the cluster that the stack made refuses to be deleted."""

    def look() -> Iterator[tuple[str, str]]:
        (found,) = rds.describe_db_clusters(DBClusterIdentifier=cluster)["DBClusters"]
        if not found.get("DeletionProtection"):
            yield (
                f"{cluster} can be deleted, with the stack too, of which a snapshot is kept",
                "Protect it, now that it is there: deploy again with DatabaseDeletionProtection=true.",
            )

    return make_finding(PROTECTION, look, problem_is=WARNING)


# The target


def diagnose_target(functions: LambdaClient, deployment: Deployment) -> Iterator[Finding]:
    """Yield what the stack's own function finds of the database, from within its network."""
    asked = json.dumps({"mapping": deployment.mapping}).encode()
    try:
        answer = functions.invoke(FunctionName=deployment.check_target, Payload=asked)
        document = json.loads(answer["Payload"].read())
        if answer.get("FunctionError"):
            raise ValueError(f"{document.get('errorType')}: {document.get('errorMessage')}")
        findings = [Finding(**finding) for finding in document["findings"]]
    except (BotoCoreError, ClientError) as error:
        findings = [Finding(check, UNKNOWN, explain_error(error)) for check in CHECKS]
    except (KeyError, TypeError, ValueError) as error:
        problem = f"The function {deployment.check_target} failed: {error}"
        findings = [Finding(check, UNKNOWN, problem) for check in CHECKS]
    for finding in findings:
        remedy = finding.remedy.replace("MAPPING", deployment.mapping)
        yield Finding(finding.check, finding.state, finding.detail, remedy)
