"""`dynaurora destroy`: the replication of a mapping ends; what holds data stays, unless told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from botocore.exceptions import BotoCoreError, ClientError

from backfill.commands.deploy import explained_deployment, make_deployer
from backfill.commands.options import check_needs_no_answer, json_option, yes_option
from backfill.deployment.aws_errors import explain_failure
from backfill.deployment.changing import ByFunction
from backfill.deployment.clients import connect_to
from backfill.project import current_project
from backfill.terminal.console import (
    WrongUseError,
    name_command,
    print_json,
    print_line,
    print_lines,
    say,
    telling_at_interrupt,
)
from backfill.terminal.formatting import format_count
from dynaurora import keys
from dynaurora.aurora import sql

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from backfill.deployment.stacks import Stack, Stacks
    from dynaurora.mappings.mapping import Mapping

DELETED_AT_ONCE = 1000
BEING_DELETED = "DELETE_IN_PROGRESS"
"""The status of a stack whose deletion was begun, by this command before it was interrupted, or by somebody."""


@click.command(
    epilog="""\b
Examples:
  dynaurora destroy orders --dry-run
  dynaurora destroy orders
  dynaurora destroy orders --delete-data --yes
"""
)
@click.argument("name")
@click.option(
    "--delete-data",
    is_flag=True,
    help="Delete the mapping's files in the landing bucket too, and the DynamoDB table if the replication created it.",
)
@yes_option
@click.option("--dry-run", is_flag=True, help="Show what would go and what would stay, and do nothing.")
@json_option
def destroy(name: str, delete_data: bool, yes: bool, dry_run: bool, as_json: bool) -> None:
    """End the replication of the mapping NAME: its stack goes, and no other.

    What holds data stays, unless told: the DynamoDB table, what is in the landing bucket, and always the tables in
    Aurora, also those that rebuilds have left, for which the statements are printed that drop them. Safe to repeat.

    Exit status 0 done, 1 it failed, 2 wrong use.
    """
    check_needs_no_answer(as_json=as_json, is_answered=yes or dry_run)
    with explained_deployment():
        from backfill.deployment.plans import BUCKET, name_replication

        project = current_project()
        mapping = project.load_mapping(name)
        deployer = make_deployer(project)
        stacks = deployer.stacks
        stack_name = name_replication(project.stack, name)
        stack, platform = find_stack(stacks, stack_name), stacks.find(project.stack)
        if stack is None and not delete_data:
            raise WrongUseError(f"There is no stack {stack_name}: the mapping {name} is not replicated.")
        if stack is not None:
            deployer.require_replication(stack, name, None)
        created = bool(stack and not stack.parameters.get("SourceStreamArn"))
        bucket = platform.outputs.get(BUCKET, "") if platform else ""
        gone = stack_name if stack else ""
        left = list_left(platform, mapping)
        fate = describe_fate(mapping, gone, bucket, left, created=created, delete_data=delete_data)
        if not as_json:
            print_fate(fate)
        if dry_run:
            finish(fate, as_json=as_json)
            return
        if not yes:
            click.confirm(f"Destroy the replication {stack_name}?", abort=True)
        if stack is not None:
            with telling_at_interrupt(tell_way_back(mapping, stack_name, created=created, delete_data=delete_data)):
                stacks.delete(stack_name)
        if delete_data:
            delete_everything(mapping, bucket, deployer.dynamodb if created else None)
    finish(fate, as_json=as_json)


def find_stack(stacks: Stacks, name: str) -> Stack | None:
    """Return a stack once nothing changes it any more, but one that is being deleted while it still tells its table."""
    stack = stacks.find(name)
    return stack if stack and stack.status == BEING_DELETED else stacks.wait(name)


def tell_way_back(mapping: Mapping, stack: str, *, created: bool, delete_data: bool) -> str:
    """Return how one comes back to a deletion that goes on by itself; of data nothing is deleted by itself."""
    goes_on = f"CloudFormation goes on deleting {stack}."
    if not delete_data:
        return f"{goes_on} To wait for it: aws cloudformation wait stack-delete-complete --stack-name {stack}"
    again = f"{goes_on} No data is deleted yet. To go on: {name_command('destroy', mapping.name, '--delete-data')}"
    by_hand = f"aws dynamodb delete-table --table-name {mapping.source_table}"
    return f"{again}; for the table, once the stack is gone: {by_hand}" if created else again


def list_left(platform: Stack | None, mapping: Mapping) -> list[dict[str, Any]]:
    """Return the tables that rebuilds have left; none where the database cannot be asked, which is told."""
    function = platform.outputs.get("ChangeMappingFunctionName") if platform else None
    if not function:
        return []
    try:
        left: list[dict[str, Any]] = ByFunction(function).list_replicas(mapping, drop=False)["left"]
    except (click.ClickException, BotoCoreError, ClientError) as error:
        say(f"Which tables rebuilds have left in Aurora is not known: {explain_failure(error)}")
        return []
    return left


def describe_fate(
    mapping: Mapping, stack: str, bucket: str, left: Sequence[dict[str, Any]], *, created: bool, delete_data: bool
) -> dict[str, Any]:
    """Return what goes and what stays, also what rebuilds have `left`; `stack` is empty where it is gone already."""
    table, files = f"the DynamoDB table {mapping.source_table}", f"the files of {mapping.name} in s3://{bucket}"
    goes = [f"the stack {stack}"] if stack else []
    stays = [f"the tables of {target.database}.{target.table} in Aurora" for target in mapping.targets]
    stays += [f"{each['replica']} in Aurora, of a rebuild, about {format_count(each['rows'], 'row')}" for each in left]
    (goes if delete_data and bucket else stays).append(files)
    (goes if delete_data and created else stays).append(table)
    return {"mapping": mapping.name, "goes": goes, "stays": stays, "statements": list(list_statements(mapping, left))}


def list_statements(mapping: Mapping, left: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the statements that drop what a mapping has in Aurora."""
    schema = sql.quote(mapping.database)
    replicas = [target.replica for target in mapping.targets]
    for target in mapping.targets:
        yield f"DROP VIEW IF EXISTS {schema}.{sql.quote(target.table)};"
    for replica in [*replicas, *(each["replica"].removeprefix(f"{mapping.database}.") for each in left)]:
        yield f"DROP TABLE IF EXISTS {schema}.{sql.quote(replica)};"


def print_fate(fate: dict[str, Any]) -> None:
    """Print what goes and what stays, for people."""
    for word in ("goes", "stays"):
        for thing in fate[word]:
            print_line(f"{word:<6} {thing}")
    for statement in fate["statements"]:
        print_lines(f"       {statement}")


def finish(fate: dict[str, Any], *, as_json: bool) -> None:
    """Print the end."""
    if as_json:
        print_json(fate)


def delete_everything(mapping: Mapping, bucket: str, dynamodb: Any) -> None:
    """Delete a mapping's files, all versions of them, and its table where a client for that is given."""
    if bucket:
        say(f"Deleting the files of {mapping.name} in s3://{bucket}")
        for prefix in keys.mapping_prefixes(mapping.name):
            delete_versions(bucket, prefix)
    if dynamodb is not None:
        say(f"Deleting the table {mapping.source_table}")
        try:
            dynamodb.delete_table(TableName=mapping.source_table)
        except dynamodb.exceptions.ResourceNotFoundException:
            return


def delete_versions(bucket: str, prefix: str) -> None:
    """Delete all versions of the objects under a prefix."""
    s3 = connect_to("s3")
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
        found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        objects = [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in found]
        for start in range(0, len(objects), DELETED_AT_ONCE):
            some = objects[start : start + DELETED_AT_ONCE]
            answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": some, "Quiet": True})
            if answer.get("Errors"):
                error = answer["Errors"][0]
                raise click.ClickException(f"s3://{bucket}/{error['Key']} was not deleted: {error['Message']}")
