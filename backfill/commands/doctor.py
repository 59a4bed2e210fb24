"""`dynaurora doctor`: whether everything that replication needs is there, and what to do where it is not."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import click
from botocore.exceptions import BotoCoreError, ClientError

from backfill.commands.options import json_option, stack_option
from backfill.commands.several import do_to_each
from backfill.deployment.account import ENGINE_VERSION, Plan, diagnose_account
from backfill.deployment.aws_errors import explain_any, explained_errors
from backfill.deployment.clients import connect_functions, connect_objects, connect_to
from backfill.deployment.deployments import choose_deployments, find_deployments
from backfill.deployment.diagnosis import (
    diagnose_bucket,
    diagnose_cluster,
    diagnose_expiry,
    diagnose_people,
    diagnose_stack,
    diagnose_table,
    diagnose_target,
    read_statuses,
)
from backfill.deployment.lags import Lag, read_lags
from backfill.deployment.losses import diagnose_losses
from backfill.overview.facts import Facts, group_by_function, read_facts
from backfill.overview.findings import diagnose_failures, diagnose_lag, diagnose_reader, diagnose_verifying
from backfill.terminal.console import WrongUseError, print_folded, print_json, print_line
from dynaurora.aws import sdk
from dynaurora.dynamodb.source import AwsSource
from dynaurora.target.check_target import NO, UNKNOWN, WARNING, YES, Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from backfill.deployment.deployments import Deployment

Subject = dict[str, str | None]

MARKS: Final = {YES: "✓", NO: "✗", WARNING: "!", UNKNOWN: "?"}

EPILOG: Final = """\b
Examples:
  dynaurora doctor                                    all replications
  dynaurora doctor web_analytics --json
  dynaurora doctor web_analytics --table clicks       a table that no stack replicates yet
  dynaurora doctor --account                          an account that is to be deployed to

It needs cloudformation:DescribeStacks; dynamodb:DescribeTable and DescribeContinuousBackups;
lambda:GetEventSourceMapping and ListTags, and lambda:InvokeFunction of check-target and describe-runs;
cloudwatch:GetMetricData;
sns:ListSubscriptionsByTopic; of the landing bucket s3:GetBucketNotification, GetBucketVersioning,
GetBucketPublicAccessBlock, GetLifecycleConfiguration, ListBucket and GetObject; and rds:DescribeDBClusters.
With --account: sts:GetCallerIdentity; lambda:GetAccountSettings;
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
    """Check what the replication of MAPPING needs, or of all.

    Of everything that is missing it is said what to do. The table's recovery, its stream and what reads it; the landing
    bucket; who is told of failures; and from within the stack's network the loader's secret, its connection, tables,
    rights, and a load of one line from S3. Nothing is changed. With "!" replication works, and something is wrong all
    the same: something failed, rows are late, or rows and items were never compared, not as they are to be, or differ.

    With --account, before anything is made: Lambda's limit, and how many invocations a deployment needs at once; the
    version of Aurora and the zones of the Region; the rights of who deploys; and that no table has the name of --table.

    Exit status 0 where everything is there, 1 where something is missing or cannot be seen, 2 for wrong use. With
    --json there is an object on a line for each replication.
    """
    with explained_errors():
        plan = read_plan(engine_version, zones, reserve, table)
        if of_account:
            examined = [examine_account(mapping, stack, plan)]
        elif engine_version or zones or reserve:
            raise WrongUseError("--engine-version, --zones and --reserve go with --account.")
        else:
            examined = [examine_table(mapping, table, stack)] if table else [*examine_stacks(mapping, stack)]
    for subject, findings in examined:
        if as_json:
            document = {"healthy": is_healthy(findings), "findings": [asdict(finding) for finding in findings]}
            print_json({**subject, **document})
        else:
            if len(examined) > 1:
                print_line(f"{subject['mapping']} (stack {subject['stack']})")
            print_findings(findings)
    if not all(is_healthy(findings) for _, findings in examined):
        raise SystemExit(1)


def is_healthy(findings: Iterable[Finding]) -> bool:
    """Tell whether everything was found that replication needs."""
    return all(finding.state in {YES, WARNING} for finding in findings)


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


def examine_stacks(mapping: str | None, stack: str | None) -> Iterator[tuple[Subject, list[Finding]]]:
    """Yield what is found of each deployment, in the order of their mappings."""
    cloudformation = connect_to("cloudformation")
    deployments = choose_deployments(find_deployments(cloudformation, stack), mapping)
    ways = Ways(read_statuses(cloudformation), read_lags_or_why(deployments))
    for some in group_by_function(deployments):
        ways.facts |= read_facts(ways.invoked, some)
    for deployment in {one.platform: one for one in deployments}.values():
        ways.shared[deployment.platform] = diagnose_platform(ways, deployment)
    for deployment, findings in do_to_each(deployments, lambda one: [*diagnose(ways, one)]):
        subject: Subject = {"stack": deployment.stack, "mapping": deployment.mapping, "table": deployment.table}
        if isinstance(findings, str):
            raise click.ClickException(findings)
        yield subject, findings


def read_lags_or_why(deployments: Sequence[Deployment]) -> dict[str, Lag] | str:
    """Return how late rows are, by stack, or why that cannot be seen."""
    try:
        return read_lags(connect_to("cloudwatch"), deployments)
    except (BotoCoreError, ClientError) as error:
        return explain_any(error)


class Ways:
    """What all deployments are looked at by."""

    def __init__(self, statuses: dict[str, str], lags: dict[str, Lag] | str) -> None:
        self.statuses = statuses
        self.lags = lags
        self.s3 = connect_to("s3")
        self.functions = connect_to("lambda")
        self.invoked = connect_functions()
        self.store = connect_objects()
        self.shared: dict[str, tuple[list[Finding], list[Finding]]] = {}
        """What is found of each platform: its bucket, and the rest."""
        self.facts: dict[str, Facts] = {}
        """What the database knows, by stack."""
        for service in ("dynamodb", "lambda", "s3"):
            sdk.client(service)  # made before threads do, each for itself

    def find_lag(self, deployment: Deployment) -> Lag | str:
        """Return how late a deployment's rows are, or why that cannot be seen."""
        return self.lags if isinstance(self.lags, str) else self.lags[deployment.stack]


def diagnose_platform(ways: Ways, deployment: Deployment) -> tuple[list[Finding], list[Finding]]:
    """Return what is found of a deployment's platform, whatever is replicated by it."""
    rest = [*diagnose_people(connect_to("sns"), deployment.failures_topic)]
    if deployment.cluster:
        rest += diagnose_cluster(connect_to("rds"), deployment.cluster)
    return [*diagnose_bucket(ways.s3, deployment.bucket)], rest


def diagnose(ways: Ways, deployment: Deployment) -> Iterator[Finding]:
    """Yield what is found of a deployment."""
    of_bucket, rest = ways.shared[deployment.platform]
    yield from diagnose_stack(ways.statuses, deployment.platform, deployment.stack)
    source = AwsSource(deployment.table, deployment.event_source_mapping)
    yield from diagnose_table(source, deployment.mapping)
    yield from diagnose_reader(ways.functions, source, deployment.mapping)
    yield from diagnose_losses(ways.store, deployment, time.time())
    yield from diagnose_lag(deployment, ways.find_lag(deployment))
    yield from of_bucket
    yield from diagnose_expiry(ways.s3, deployment.bucket, deployment.mapping)
    yield from diagnose_failures(deployment, ways.store)
    yield from diagnose_verifying(deployment, ways.facts[deployment.stack])
    yield from rest
    yield from diagnose_target(ways.invoked, deployment)


def print_findings(findings: Iterable[Finding]) -> None:
    """Print each finding, and below it what to do, if anything; checks that fail for one cause together."""
    for checks, finding in merge_findings(findings):
        told = f"{', '.join(checks)}: {finding.detail}" if finding.detail else ", ".join(checks)
        print_folded(f"{MARKS[finding.state]} ", told)
        if finding.remedy:
            print_folded("    ", finding.remedy)


def merge_findings(findings: Iterable[Finding]) -> Iterator[tuple[list[str], Finding]]:
    """Yield each finding with its check, where the first of one cause stands with the checks of all of them.

    A function that does not answer is why none of what it would look at is known: that is one error, and not thirteen.
    """
    merged: dict[tuple[str, ...], tuple[list[str], Finding]] = {}
    for finding in findings:
        cause = (finding.state, finding.detail, finding.remedy)
        is_alone = finding.state == YES or not finding.detail
        checks, _ = merged.setdefault((*cause, finding.check) if is_alone else cause, ([], finding))
        checks.append(finding.check)
    yield from merged.values()
