"""Deployment: a platform and its replications in the local AWS, with this machine's package and the local Aurora.

    build the package → put the administrator's secret → package the templates → infra/platform.yaml, created or updated
    publish each mapping's document → infra/replication.yaml for each, created or updated

The platform makes the loader and its secret, and prepares the target of each replication, as it does on AWS.

Repeating it changes what has changed, and nothing where nothing has.
"""

from __future__ import annotations

import json
import platform as platform_module
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError, WaiterError

from dynaurora import keys
from dynaurora.aurora import sql
from dynaurora.aurora.connection import connect
from dynaurora.mappings.key_types import guess_key_types
from dynaurora.mappings.mapping import REPLICA_ENDING
from dynaurora.mappings.registry import Pointer, load_document
from infra.build_package import TEMPLATES_PACKAGE, Target, build_package
from infra.packaging import Packager
from infra.places import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_cloudformation.type_defs import StackTypeDef

    from dynaurora.aurora.connection import Credentials, Endpoint
    from dynaurora.mappings.mapping import Mapping
    from local.api import Api

STACK_NAME: Final = "dynaurora"
"""The platform's unless told; a replication's begins with it."""
TEMPLATES: Final = ROOT / "infra"
FROM_PLATFORM: Final = (
    *("LandingBucketName", "PrepareTargetFunctionArn", "PrepareTargetVersion", "RegisterReplicationFunctionArn"),
    *("ReprocessFailuresStateMachineArn", "ReprocessScheduleGroupName", "ReprocessScheduleRoleArn"),
    *("UnstartedReprocessesQueueArn", "BackfillTableStateMachineArn", "VerificationScheduleGroupName"),
    *("VerificationScheduleRoleArn", "FailuresTopicArn"),
)
"""Outputs of the platform that are a replication's parameters."""
BUCKET: Final = "LandingBucketName"
ARTIFACTS_BUCKET: Final = "dynaurora-artifacts"
SECRET_NAME: Final = "dynaurora/administrator"  # noqa: S105  # a name, no secret
LOADERS: Final = r"dynaurora\_" + "_" * 20
"""The names that infra/target.yaml gives to loaders, as LIKE takes them: twenty digits of a stack's id."""
LEFT_BEHIND: Final = (
    "SELECT table_schema, table_name FROM information_schema.tables"
    r" WHERE table_name LIKE '\_dynaurora\_%%' OR table_name LIKE '%%\_\_replica'"
)
BUFFER_SECONDS: Final = "1"
"""Firehose's intervals on this machine: a person watches, and there is nobody to pay for small files."""
WAIT_SECONDS: Final = 1
WAIT_ATTEMPTS: Final = 120


class DeploymentError(Exception):
    """The stack could not be created or updated; the message has CloudFormation's reasons."""


@dataclass(frozen=True)
class Database:
    """The local Aurora, as the deployment needs it."""

    endpoint: Endpoint
    administrator: Credentials


@dataclass(frozen=True)
class Platform:
    """What replications share."""

    name: str
    """The stack's."""
    outputs: dict[str, str]
    packager: Packager
    """With this machine's package."""


@dataclass(frozen=True)
class Deployment:
    """Names of what is deployed for one mapping."""

    mapping: Mapping
    """The one that is the current one when this is read."""
    table: str
    bucket: str
    delivery_stream: str
    import_batch_arn: str
    """ARN of the state machine that imports a batch."""
    import_streamed_batch_arn: str
    """ARN of the one that streamed batches begin in."""
    backfill_table_arn: str
    """ARN of the state machine that copies a whole table."""
    event_source_mapping: str
    """Id of the event source mapping that reads the table's stream."""


def deploy(
    api: Api,
    database: Database,
    mapping: Mapping,
    *,
    source_stream_arn: str = "",
    report: Callable[[str], None] = print,
) -> Deployment:
    """Deploy the platform and one replication; return what that is called. Raises what these two raise."""
    platform = deploy_platform(api, database, report=report)
    return deploy_replication(api, platform, mapping, source_stream_arn=source_stream_arn, report=report)


def deploy_platform(
    api: Api, database: Database, *, name: str = STACK_NAME, report: Callable[[str], None] = print
) -> Platform:
    """Deploy what replications share; `report` gets a line before each step that takes a while.

    One that is new begins with an empty database: nothing was replicated yet.

    Raises DeploymentError, or what building the package raises.
    """
    report("Building the functions' package")
    package = build_package(Target(f"{sys.version_info.major}.{sys.version_info.minor}", "local"))
    secret_arn = _put_secret(api, database.administrator)
    is_there = _find_stack(api, name) is not None
    if not is_there:
        _drop_left_behind(database)
    report(f"Deploying infra/platform.yaml as {name}")
    _ensure_bucket(api, ARTIFACTS_BUCKET)
    packager = Packager(api.s3, ARTIFACTS_BUCKET, {ROOT / "build" / TEMPLATES_PACKAGE: package.archive})
    template = packager.package(TEMPLATES / "platform.yaml")
    _create_or_update(api, name, template, _parameters(database.endpoint, secret_arn), exists=is_there)
    stack = _find_stack(api, name)
    return Platform(name, _read_outputs(stack) if stack else {}, packager)


def deploy_replication(
    api: Api,
    platform: Platform,
    mapping: Mapping,
    *,
    source_stream_arn: str = "",
    report: Callable[[str], None] = print,
) -> Deployment:
    """Publish a mapping's document and deploy its replication; return what it is called.

    It creates the table, or adopts the one with the stream that is given, and stays with that one when it is deployed
    again. Raises DeploymentError.
    """
    _publish(api, platform.outputs["LandingBucketName"], mapping)
    name = name_replication(mapping.name, platform.name)
    report(f"Deploying infra/replication.yaml as {name}")
    stack = _find_stack(api, name)
    stream_arn = source_stream_arn or (_read_parameters(stack)["SourceStreamArn"] if stack else "")
    given = {output: platform.outputs.get(output, "") for output in FROM_PLATFORM}
    parameters = given | {"Name": name} | _replication_parameters(mapping, stream_arn)
    template = platform.packager.package(TEMPLATES / "replication.yaml")
    _create_or_update(api, name, template, parameters, exists=stack is not None)
    return read_deployment(api, mapping.name)


def name_replication(mapping: str, platform: str = STACK_NAME) -> str:
    """Return the name of the stack that replicates by a mapping."""
    return f"{platform}-{mapping.replace('_', '-')}"


def find_deployment(api: Api, mapping: str) -> Deployment | None:
    """Return what is deployed for a mapping, or None."""
    return next((one for one in read_deployments(api) if one.mapping.name == mapping), None)


def read_deployment(api: Api, mapping: str) -> Deployment:
    """Return what is deployed for a mapping. Raises DeploymentError where nothing is."""
    found = find_deployment(api, mapping)
    if found is None:
        raise DeploymentError(f"No stack replicates the mapping {mapping}")
    return found


def read_deployments(api: Api) -> list[Deployment]:
    """Return what is deployed, by mapping."""
    pages = api.cloudformation.get_paginator("describe_stacks").paginate()
    stacks = [stack for page in pages for stack in page["Stacks"]]
    platforms = [_read_outputs(stack) for stack in stacks if "ChangeMappingFunctionName" in _read_outputs(stack)]
    shared = {outputs[BUCKET]: outputs for outputs in platforms if BUCKET in outputs}
    found = [stack for stack in stacks if {"DeliveryStreamName", BUCKET} <= _read_outputs(stack).keys()]
    deployed = [_read_replication(api, stack, shared[_read_outputs(stack)[BUCKET]]) for stack in found]
    return sorted(deployed, key=lambda one: one.mapping.name)


def _read_replication(api: Api, stack: StackTypeDef, shared: dict[str, str]) -> Deployment:
    outputs = _read_outputs(stack)
    return Deployment(
        mapping=_read_mapping(api, shared["LandingBucketName"], _read_parameters(stack)["Mapping"]),
        table=outputs["SourceTableName"],
        bucket=shared["LandingBucketName"],
        delivery_stream=outputs["DeliveryStreamName"],
        import_batch_arn=shared["ImportBatchStateMachineArn"],
        import_streamed_batch_arn=shared["ImportStreamedBatchStateMachineArn"],
        backfill_table_arn=shared["BackfillTableStateMachineArn"],
        event_source_mapping=outputs["ForwardChangesEventSourceMappingId"],
    )


def _publish(api: Api, bucket: str, mapping: Mapping) -> None:
    """Put a mapping's document into the platform's registry."""
    key = keys.mapping_document(mapping.name, mapping.digest)
    api.s3.put_object(Bucket=bucket, Key=key, Body=mapping.text.encode())


def _read_mapping(api: Api, bucket: str, name: str) -> Mapping:
    """Return the mapping that the registry has as the current one."""

    def read(key: str) -> bytes:
        return api.s3.get_object(Bucket=bucket, Key=key)["Body"].read()

    digest = Pointer.decode(read(keys.mapping_pointer(name))).digest
    return load_document(name, read(keys.mapping_document(name, digest)).decode(), digest)


def _put_secret(api: Api, administrator: Credentials) -> str:
    """Write the administrator's credentials to Secrets Manager and return the secret's ARN."""
    text = json.dumps({"username": administrator.username, "password": administrator.password})
    with suppress(api.secretsmanager.exceptions.ResourceExistsException):
        return api.secretsmanager.create_secret(Name=SECRET_NAME, SecretString=text)["ARN"]
    return api.secretsmanager.put_secret_value(SecretId=SECRET_NAME, SecretString=text)["ARN"]


def _drop_left_behind(database: Database) -> None:
    """Drop what earlier platforms left in the database; the emulator has forgotten them."""
    with connect(database.endpoint, database.administrator) as aurora:
        for schema, table in aurora.query(LEFT_BEHIND):
            quoted = sql.quote(schema)
            if table.endswith(REPLICA_ENDING):
                aurora.execute(f"DROP VIEW IF EXISTS {quoted}.{sql.quote(table.removesuffix(REPLICA_ENDING))}")
            aurora.execute(f"DROP TABLE IF EXISTS {quoted}.{sql.quote(table)}")
        for (user,) in aurora.query("SELECT User FROM mysql.user WHERE User LIKE %s", (LOADERS,)):
            aurora.execute("DROP USER %s@'%%'", (user,))


def _parameters(endpoint: Endpoint, secret_arn: str) -> dict[str, str]:
    return {
        "DatabaseHost": endpoint.host,
        "DatabasePort": str(endpoint.port),
        "DatabaseAdminSecretArn": secret_arn,
        "DatabaseCa": endpoint.ca_pem,
        "ReserveImportConcurrency": "yes",  # the account of this machine has it
        "StreamTracing": "Active",
        "Architecture": _find_architecture(),
    }


def _replication_parameters(mapping: Mapping, stream_arn: str) -> dict[str, str]:
    types = guess_key_types(mapping)
    return {
        "Mapping": mapping.name,
        "MappingDigest": mapping.digest,
        "SourceStreamArn": stream_arn,
        "SourceTableName": mapping.source_table,
        "PartitionKey": mapping.partition_key,
        "PartitionKeyType": types[mapping.partition_key],
        "SortKey": mapping.sort_key or "",
        "SortKeyType": types[mapping.sort_key] if mapping.sort_key else "S",
        "BufferSeconds": BUFFER_SECONDS,
        "TransformBufferSeconds": BUFFER_SECONDS,
        "StreamBufferSeconds": BUFFER_SECONDS,
        "StreamTracing": "Active",
        "Architecture": _find_architecture(),
    }


def _find_architecture() -> str:
    return "arm64" if platform_module.machine() in {"arm64", "aarch64"} else "x86_64"


def _ensure_bucket(api: Api, name: str) -> None:
    with suppress(api.s3.exceptions.BucketAlreadyOwnedByYou):
        api.s3.create_bucket(Bucket=name)


def _find_stack(api: Api, name: str) -> StackTypeDef | None:
    try:
        (stack,) = api.cloudformation.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError":  # CloudFormation's answer for an unknown stack
            return None
        raise
    return stack


def _read_parameters(stack: StackTypeDef) -> dict[str, str]:
    return {given["ParameterKey"]: given["ParameterValue"] for given in stack.get("Parameters", [])}


def _read_outputs(stack: StackTypeDef) -> dict[str, str]:
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def _create_or_update(api: Api, name: str, template: str, parameters: dict[str, str], *, exists: bool) -> None:
    """Create a stack, or update it; return when CloudFormation has finished. Raises DeploymentError."""
    cloudformation = api.cloudformation
    change, waiter = (
        (cloudformation.update_stack, cloudformation.get_waiter("stack_update_complete"))
        if exists
        else (cloudformation.create_stack, cloudformation.get_waiter("stack_create_complete"))
    )
    try:
        change(
            StackName=name,
            TemplateBody=template,
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        )
        waiter.wait(StackName=name, WaiterConfig={"Delay": WAIT_SECONDS, "MaxAttempts": WAIT_ATTEMPTS})
    except ClientError as error:
        if "No updates are to be performed" not in str(error):
            raise DeploymentError(f"CloudFormation refused the templates: {error}") from error
    except WaiterError as error:
        raise DeploymentError(_describe_failure(api, name)) from error


def _describe_failure(api: Api, failed: str) -> str:
    """Return the reasons that CloudFormation gives for its newest failures, those of nested stacks included."""
    stacks = [stack["StackName"] for stack in api.cloudformation.describe_stacks()["Stacks"]]
    reasons = [
        f"{event.get('LogicalResourceId')}: {event.get('ResourceStatusReason')}"
        for name in stacks
        if name == failed or name.startswith(f"{failed}-")
        for event in api.cloudformation.describe_stack_events(StackName=name)["StackEvents"]
        if event.get("ResourceStatus", "").endswith("FAILED")
    ]
    return "\n".join(["The stack could not be deployed.", *reasons])
