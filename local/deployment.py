"""Deployment: infra/template.yaml in the local AWS, with this machine's package and the local Aurora.

    build the package → put the administrator's secret → package the templates → create or update

The stack makes the loader and its secret, and prepares the target, as it does on AWS.

Repeating it changes what has changed, and nothing where nothing has.
"""

from __future__ import annotations

import json
import platform
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError, WaiterError

from dynaurora.aurora import sql
from dynaurora.aurora.connection import connect
from dynaurora.aurora.migrations import GENERATIONS, IMPORTS, MIGRATIONS_TABLE, RUNS
from infra.build_package import TEMPLATES_PACKAGE, Target, build_package
from infra.places import EXAMPLE, ROOT
from local.packaging import Packager

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mypy_boto3_cloudformation.type_defs import ParameterTypeDef, StackTypeDef

    from dynaurora.aurora.connection import Credentials, Endpoint
    from dynaurora.mappings.mapping import Mapping
    from local.api import Api

STACK_NAME: Final = "dynaurora"
TEMPLATE: Final = ROOT / "infra" / "template.yaml"
ARTIFACTS_BUCKET: Final = "dynaurora-artifacts"
SECRET_NAME: Final = "dynaurora/administrator"  # noqa: S105  # a name, no secret
LOADERS: Final = r"dynaurora\_" + "_" * 20
"""The names that infra/target.yaml gives to loaders, as LIKE takes them: twenty digits of a stack's id."""
BUFFER_SECONDS: Final = "1"
"""Firehose's intervals on this machine: a person watches, and there is nobody to pay for small files."""
ROOT_PARAMETERS: Final = {"Mapping", "SourceStreamArn", "DatabaseAdminSecretArn"}
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
class Deployment:
    """Names of what is deployed for a mapping."""

    stack: str
    mapping: str
    table: str
    bucket: str
    delivery_stream: str
    import_batch_arn: str
    """ARN of the state machine that imports a batch."""
    backfill_table_arn: str
    """ARN of the state machine that copies the whole table."""
    event_source_mapping: str
    """Id of the event source mapping that reads the table's stream."""


def deploy(
    api: Api,
    database: Database,
    mapping: Mapping,
    *,
    mappings: Path = EXAMPLE / "mappings",
    platform: str = STACK_NAME,
    source_stream_arn: str = "",
    report: Callable[[str], None] = print,
) -> Deployment:
    """Deploy a mapping of a folder of them and return what it is called; `report` gets a line before each long step.

    The first mapping's stack is called as the platform, every other one's by its mapping too.

    A stack that is new begins with a target that is: nothing of its table was replicated yet. It creates the table, or
    adopts the one with the stream that is given, and stays with that one when it is deployed again.

    Raises DeploymentError, or what building the package and preparing the target raise.
    """
    report("Building the functions' package")
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    package = build_package(Target(python, "local"), mappings=mappings)
    secret_arn = _put_secret(api, database.administrator)
    stacks = _find_stacks(api)
    stack = stacks.get(mapping.name)
    if stack is None:
        _drop_target(database, mapping, others=bool(stacks))
    name = stack["StackName"] if stack else _name_stack(platform, mapping, stacks)
    report(f"Deploying infra/template.yaml as {name}")
    _ensure_bucket(api, ARTIFACTS_BUCKET)
    packager = Packager(api.s3, ARTIFACTS_BUCKET, {ROOT / "build" / TEMPLATES_PACKAGE: package.archive})
    stream_arn = source_stream_arn or (_read_parameters(stack)["SourceStreamArn"] if stack else "")
    parameters = _parameters(mapping, database.endpoint, secret_arn, stream_arn)
    _create_or_update(api, name, packager.package(TEMPLATE), parameters, exists=stack is not None)
    return read_deployment(api, mapping.name)


def read_deployments(api: Api) -> list[Deployment]:
    """Return what is deployed, by the names of mappings."""
    stacks = _find_stacks(api)
    return [_read_stack(stacks[name]) for name in sorted(stacks)]


def find_deployment(api: Api, mapping: str) -> Deployment | None:
    """Return what is deployed for a mapping, or None."""
    stack = _find_stacks(api).get(mapping)
    return _read_stack(stack) if stack else None


def read_deployment(api: Api, mapping: str) -> Deployment:
    """Return what is deployed for a mapping. Raises DeploymentError where nothing is."""
    found = find_deployment(api, mapping)
    if found is None:
        raise DeploymentError(f"No stack replicates the mapping {mapping}")
    return found


def _read_stack(stack: StackTypeDef) -> Deployment:
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
    return Deployment(
        stack=stack["StackName"],
        mapping=_read_parameters(stack)["Mapping"],
        table=outputs["SourceTableName"],
        bucket=outputs["LandingBucketName"],
        delivery_stream=outputs["DeliveryStreamName"],
        import_batch_arn=outputs["ImportBatchStateMachineArn"],
        backfill_table_arn=outputs["BackfillTableStateMachineArn"],
        event_source_mapping=outputs["ForwardChangesEventSourceMappingId"],
    )


def _put_secret(api: Api, administrator: Credentials) -> str:
    """Write the administrator's credentials to Secrets Manager and return the secret's ARN."""
    text = json.dumps({"username": administrator.username, "password": administrator.password})
    with suppress(api.secretsmanager.exceptions.ResourceExistsException):
        return api.secretsmanager.create_secret(Name=SECRET_NAME, SecretString=text)["ARN"]
    return api.secretsmanager.put_secret_value(SecretId=SECRET_NAME, SecretString=text)["ARN"]


def _drop_target(database: Database, mapping: Mapping, *, others: bool) -> None:
    """Drop what earlier stacks left in the database; the emulator has forgotten them. `others` are deployed there."""
    schema = sql.quote(mapping.database)
    system = () if others else (IMPORTS, RUNS, GENERATIONS, MIGRATIONS_TABLE)
    with connect(database.endpoint, database.administrator) as aurora:
        aurora.execute(f"DROP VIEW IF EXISTS {schema}.{sql.quote(mapping.table)}")
        for table in (mapping.replica, *system):
            aurora.execute(f"DROP TABLE IF EXISTS {schema}.{sql.quote(table)}")
        if others:
            return
        for (user,) in aurora.query("SELECT User FROM mysql.user WHERE User LIKE %s", (LOADERS,)):
            aurora.execute("DROP USER %s@'%%'", (user,))


def _parameters(mapping: Mapping, endpoint: Endpoint, secret_arn: str, stream_arn: str) -> list[ParameterTypeDef]:
    values = {
        "Mapping": mapping.name,
        "SourceStreamArn": stream_arn,
        "SourceTableName": mapping.source_table,
        "PartitionKey": mapping.partition_key,
        "SortKey": mapping.sort_key or "",
        "DatabaseHost": endpoint.host,
        "DatabasePort": str(endpoint.port),
        "DatabaseAdminSecretArn": secret_arn,
        "DatabaseCa": endpoint.ca_pem,
        "ReserveImportConcurrency": "yes",  # the account of this machine has it
        "BufferSeconds": BUFFER_SECONDS,
        "TransformBufferSeconds": BUFFER_SECONDS,
        "Architecture": "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64",
    }
    return [{"ParameterKey": name, "ParameterValue": value} for name, value in values.items()]


def _ensure_bucket(api: Api, name: str) -> None:
    with suppress(api.s3.exceptions.BucketAlreadyOwnedByYou):
        api.s3.create_bucket(Bucket=name)


def _find_stacks(api: Api) -> dict[str, StackTypeDef]:
    """Return the root stacks that replicate a mapping, by its name; they alone have all of these parameters."""
    pages = api.cloudformation.get_paginator("describe_stacks").paginate()
    stacks = [stack for page in pages for stack in page["Stacks"] if stack["StackStatus"] != "DELETE_COMPLETE"]
    given = [(_read_parameters(stack), stack) for stack in stacks]
    return {found["Mapping"]: stack for found, stack in given if found.keys() >= ROOT_PARAMETERS}


def _name_stack(platform: str, mapping: Mapping, stacks: dict[str, StackTypeDef]) -> str:
    """Return what a mapping's new stack is called."""
    taken = {stack["StackName"] for stack in stacks.values()}
    return f"{platform}-{mapping.name.replace('_', '-')}" if platform in taken else platform


def _read_parameters(stack: StackTypeDef) -> dict[str, str]:
    return {given["ParameterKey"]: given["ParameterValue"] for given in stack.get("Parameters", [])}


def _create_or_update(api: Api, stack: str, template: str, parameters: list[ParameterTypeDef], *, exists: bool) -> None:
    """Create the stack, or update it; return when CloudFormation has finished. Raises DeploymentError."""
    cloudformation = api.cloudformation
    change, waiter = (
        (cloudformation.update_stack, cloudformation.get_waiter("stack_update_complete"))
        if exists
        else (cloudformation.create_stack, cloudformation.get_waiter("stack_create_complete"))
    )
    try:
        change(
            StackName=stack,
            TemplateBody=template,
            Parameters=parameters,
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        )
        waiter.wait(StackName=stack, WaiterConfig={"Delay": WAIT_SECONDS, "MaxAttempts": WAIT_ATTEMPTS})
    except ClientError as error:
        if "No updates are to be performed" not in str(error):
            raise DeploymentError(f"CloudFormation refused the templates: {error}") from error
    except WaiterError as error:
        raise DeploymentError(_describe_failure(api, stack)) from error


def _describe_failure(api: Api, stack: str) -> str:
    """Return the reasons that CloudFormation gives for its newest failures, those of nested stacks included."""
    stacks = [found["StackName"] for found in api.cloudformation.describe_stacks()["Stacks"]]
    reasons = [
        f"{event.get('LogicalResourceId')}: {event.get('ResourceStatusReason')}"
        for name in stacks
        if name.startswith(stack)
        for event in api.cloudformation.describe_stack_events(StackName=name)["StackEvents"]
        if event.get("ResourceStatus", "").endswith("FAILED")
    ]
    return "\n".join([f"The stack {stack} could not be deployed.", *reasons])
