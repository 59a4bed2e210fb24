"""`dynaurora doctor`: whether everything that replication needs is there, and what to do where it is not."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import boto3
import click

from backfill.commands.options import json_option, stack_option
from backfill.deployment.account import ENGINE_VERSION, Plan, diagnose_account
from backfill.deployment.aws_errors import explained_errors
from backfill.deployment.clients import connect, connect_functions, connect_to, connect_topics
from backfill.deployment.deployments import choose_deployment, find_deployments
from backfill.deployment.diagnosis import (
    diagnose_bucket,
    diagnose_cluster,
    diagnose_people,
    diagnose_reader,
    diagnose_stack,
    diagnose_table,
    diagnose_target,
)
from backfill.terminal.console import WrongUseError, print_json, print_line
from dynaurora.dynamodb.source import AwsSource
from dynaurora.escaping import escape_text
from dynaurora.target.check_target import NO, UNKNOWN, WARNING, YES, Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from backfill.deployment.clients import Clients
    from backfill.deployment.deployments import Deployment

Subject = dict[str, str | None]

MARKS: Final = {YES: "✓", NO: "✗", WARNING: "!", UNKNOWN: "?"}

EPILOG: Final = """\b
Examples:
  dynaurora doctor                                    the stack that is deployed
  dynaurora doctor web_analytics --json
  dynaurora doctor web_analytics --table clicks       a table that no stack replicates yet
  dynaurora doctor --account                          an account that is to be deployed to

\b
It needs cloudformation:DescribeStacks; dynamodb:DescribeTable and DescribeContinuousBackups;
lambda:GetEventSourceMapping, and lambda:InvokeFunction of check-target; sns:ListSubscriptionsByTopic;
of the landing bucket s3:GetBucketNotification, GetBucketVersioning, GetBucketPublicAccessBlock and
GetLifecycleConfiguration; and rds:DescribeDBClusters. With --account: sts:GetCallerIdentity; lambda:GetAccountSettings;
rds:DescribeDBEngineVersions and DescribeOrderableDBInstanceOptions; ec2:DescribeAvailabilityZones and
DescribeVpcEndpointServices; iam:SimulatePrincipalPolicy and GetRole; and dynamodb:DescribeTable. What it may not see it
says it does not know.
"""


@click.command(epilog=EPILOG)
@click.argument("mapping", required=False)
@click.option("--table", metavar="TABLE", help="Look only at this table, which MAPPING is to replicate.")
@click.option(
    "--account", "of_account", is_flag=True, help="Look at the account and Region that are to be deployed to."
)
@click.option("--engine-version", metavar="V", help="With --account: DatabaseEngineVersion, if it is to be given.")
@click.option("--zones", metavar="A,B", help="With --account: NetworkZones, if they are to be given.")
@click.option(
    "--reserve", type=click.IntRange(1, 1000), metavar="N", help="With --account: ImportConcurrency, if it is reserved."
)
@stack_option
@json_option
def doctor(
    mapping: str | None,
    table: str | None,
    of_account: bool,
    engine_version: str | None,
    zones: str | None,
    reserve: int | None,
    stack: str | None,
    as_json: bool,
) -> None:
    """Check what the replication of MAPPING needs, and say of everything that is missing what to do.

    The table's recovery, its stream and what reads it; the landing bucket; who is told of failures; and from within the
    stack's network the loader's secret, its connection, tables, rights, and a load of one line from S3. Nothing is
    changed. With "!" replication works, and something is wrong all the same.

    With --account, before anything is made: Lambda's limit, and how many invocations a deployment needs at once; the
    version of Aurora and the zones of the Region; the rights of who deploys; and that no table has the name of --table.

    Exit status 0 where everything is there, 1 where something is missing or cannot be seen, 2 for wrong use.
    """
    with explained_errors():
        if region := os.environ.get("AWS_REGION"):
            boto3.setup_default_session(region_name=region)
        plan = read_plan(engine_version, zones, reserve, table)
        if of_account:
            subject, findings = examine_account(mapping, stack, plan)
        elif engine_version or zones or reserve:
            raise WrongUseError("--engine-version, --zones and --reserve go with --account.")
        else:
            subject, findings = examine_table(mapping, table, stack) if table else examine_stack(mapping, stack)
    is_healthy = all(finding.state in {YES, WARNING} for finding in findings)
    if as_json:
        print_json({**subject, "healthy": is_healthy, "findings": [asdict(finding) for finding in findings]})
    else:
        print_findings(findings)
    if not is_healthy:
        raise SystemExit(1)


def read_plan(engine_version: str | None, zones: str | None, reserve: int | None, table: str | None) -> Plan:
    """Return what is going to be deployed."""
    named = tuple(zones.split(",")) if zones else ()
    return Plan(engine_version or ENGINE_VERSION, named, reserve or 0, table)


def examine_account(mapping: str | None, stack: str | None, plan: Plan) -> tuple[Subject, list[Finding]]:
    """Return what is found of an account that nothing is deployed to yet."""
    if mapping is not None or stack is not None:
        raise WrongUseError(
            "--account looks at what is there before a stack is: it goes without a mapping and a stack."
        )
    return {"stack": None, "mapping": None, "table": plan.table}, list(diagnose_account(connect_to, plan))


def examine_table(mapping: str | None, table: str, stack: str | None) -> tuple[Subject, list[Finding]]:
    """Return what is found of a table that a mapping is to replicate."""
    if mapping is None or stack is not None:
        raise WrongUseError("--table goes with a mapping and without a stack: dynaurora doctor MAPPING --table TABLE.")
    findings = list(diagnose_table(AwsSource(table, ""), mapping))
    return {"stack": None, "mapping": mapping, "table": table}, findings


def examine_stack(mapping: str | None, stack: str | None) -> tuple[Subject, list[Finding]]:
    """Return what is found of a deployment."""
    clients = connect()
    deployments = find_deployments(clients.cloudformation, stack)
    deployment = choose_deployment(deployments, mapping)
    findings = list(diagnose(clients, deployment))
    return {"stack": deployment.stack, "mapping": deployment.mapping, "table": deployment.table}, findings


def diagnose(clients: Clients, deployment: Deployment) -> Iterator[Finding]:
    """Yield what is found of a deployment."""
    yield from diagnose_stack(clients.cloudformation, deployment.platform, deployment.stack)
    source = AwsSource(deployment.table, deployment.event_source_mapping)
    yield from diagnose_table(source, deployment.mapping)
    yield from diagnose_reader(source, deployment.mapping)
    yield from diagnose_bucket(clients.s3, deployment.bucket, deployment.mapping)
    yield from diagnose_people(connect_topics(), deployment.failures_topic)
    if deployment.cluster:
        yield from diagnose_cluster(connect_to("rds"), deployment.cluster)
    yield from diagnose_target(connect_functions(), deployment)


def print_findings(findings: Iterable[Finding]) -> None:
    """Print each finding on a line, and below it what to do, if anything."""
    for finding in findings:
        told = f"{finding.check}: {finding.detail}" if finding.detail else finding.check
        print_line(f"{MARKS[finding.state]} {escape_text(told)}")
        if finding.remedy:
            print_line(f"    {escape_text(finding.remedy)}")
