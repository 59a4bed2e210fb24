"""`dynaurora deploy`: a project's platform and replications, planned, asked for and carried out."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click
from botocore.exceptions import BotoCoreError, ClientError

from backfill.commands.mapping_change import describe_steps, estimate_backfill
from backfill.commands.options import check_needs_no_answer, json_option, yes_option
from backfill.deployment.aws_errors import explain_any
from backfill.deployment.clients import CONFIG, connect_objects, connect_to, open_session
from backfill.deployment.stacks import Stacks
from backfill.deployment.stream_readers import PAUSED, StreamReader, look_at_reader
from backfill.project import current_project
from backfill.terminal.console import (
    WrongUseError,
    name_command,
    print_json,
    print_line,
    print_pairs,
    say,
    telling_at_interrupt,
)
from backfill.terminal.formatting import format_time
from dynaurora.errors import DynauroraError, UnknownMappingError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backfill.deployment.plans import Deployer, Outcome, Plan, ReplicationStep
    from backfill.deployment.schedules import ScheduledVerification
    from backfill.project import Project
    from dynaurora.mappings.mapping import Mapping

MOST_COLUMNS = 12
READER = "ForwardChangesEventSourceMappingId"
"""The output of a replication's stack that names what reads the stream."""
LOCAL_HOSTS = {"127.0.0.1", "localhost", "::1"}
LOOK_SECONDS, LOCAL_LOOK_SECONDS = 3.0, 0.5


@click.command(
    epilog="""\b
Examples:
  dynaurora deploy --dry-run
  dynaurora deploy
  dynaurora deploy orders devices --yes
  dynaurora deploy --all               after an upgrade of dynaurora
"""
)
@click.argument("names", metavar="[NAME…]", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Bring platform and all replications to this release, too.")
@yes_option
@click.option("--dry-run", is_flag=True, help="Show the plan, and do nothing.")
@json_option
def deploy(names: tuple[str, ...], everything: bool, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Deploy the project: its platform where it is not there, and a replication for each mapping, or for those named.

    What would be done is shown first, with what it costs a month, and asked for. A replication is a stack of its own:
    adding or changing one touches no other, and builds no package. A table that is not there is created. One that fails
    or is refused stops no other. What was cut short goes on when it is done again.

    Exit status 0 done or nothing to do, 1 something failed or was refused, 2 wrong use.
    """
    project = current_project()
    check_needs_no_answer(as_json=as_json, is_answered=yes or dry_run)
    if everything and names:
        raise WrongUseError("--all goes without names.")
    with explained_deployment():
        mappings = project.load_mappings(names)
        deployer = make_deployer(project)
        plan = deployer.plan(mappings, everything=everything)
        paused = find_paused(plan)
        if not as_json:
            print_plan(plan)
            tell_paused(paused)
        if not plan.changes:
            refuse(plan)
        outcome = None
        if plan.changes and not dry_run:
            if not yes:
                click.confirm("Deploy the others?" if plan.refused else "Deploy it?", abort=True)
            again = name_command("deploy", *(["--all"] if everything else names))
            with telling_at_interrupt(f"What CloudFormation has begun goes on. To go on with the rest: {again}"):
                outcome = deployer.carry_out(plan, say)
            tell_resumed(plan, paused)
    if outcome and not as_json:
        tell_next(plan, outcome)
    finish(plan, outcome, as_json=as_json)


@contextmanager
def explained_deployment() -> Iterator[None]:
    """End the command with status 1 and an error's message, for those that say what to do."""
    from infra.build_package import PackageError
    from infra.certificate_bundle import BundleMissingError
    from infra.packaging import PackagingError

    try:
        yield
    except UnknownMappingError as error:
        raise WrongUseError(str(error)) from error
    except (PackageError, BundleMissingError, PackagingError) as error:
        raise click.ClickException(str(error)) from error
    except (DynauroraError, BotoCoreError, ClientError) as error:
        raise click.ClickException(explain_any(error)) from error


def make_deployer(project: Project) -> Deployer:
    """Return what deploys a project, to the account and region that the AWS SDK is configured for."""
    from backfill.deployment.plans import Deployer  # builds packages, which nothing else here does
    from infra.deployable import Uploads

    session = open_session()
    is_local = urlsplit(os.environ.get("AWS_ENDPOINT_URL", "")).hostname in LOCAL_HOSTS
    stacks = Stacks(
        session.client("cloudformation", config=CONFIG), say, LOCAL_LOOK_SECONDS if is_local else LOOK_SECONDS
    )
    account = session.client("sts", config=CONFIG).get_caller_identity()["Account"]  # without a region, too
    uploads = Uploads(session.client("s3", config=CONFIG), account, session.region_name, is_local)
    return Deployer(project, stacks, uploads, session.client("dynamodb", config=CONFIG), connect_objects())


def print_plan(plan: Plan) -> None:
    """Print a plan for people."""
    platform = plan.platform
    usd = format_usd(platform.monthly_usd)
    print_line(f"account {plan.account}, region {plan.region}")
    print_line(f"platform {platform.stack}: {platform.action}, {platform.why}; {usd} at rest")
    for step in plan.replications:
        action = "refused" if step.refused else step.action
        print_line(f"replication {step.stack}: {action}; {format_usd(step.monthly_usd)} at rest")
        print_pairs((f"  {name}", text) for name, text in describe_replication(step))
    print_line(
        f"Together {format_usd(plan.monthly_usd)} at rest, at prices of us-east-1. Beside that costs what is stored"
    )
    print_line("and what is done; see docs/cost.md.")


def describe_replication(step: ReplicationStep) -> Iterator[tuple[str, str]]:
    """Yield what is to be known of a step, name and text."""
    mapping = step.mapping
    if step.problem:
        yield "refused", step.problem
    elif step.source:
        yield "table", step.source.step
        for target in mapping.targets:
            yield "target", f"{target.database}.{target.table}: {list_columns(target)}"
    elif step.columns:
        yield from describe_steps(step.columns | {"backfill": estimate_backfill(step.columns)}, None)
    if step.verification:
        yield "verified", describe_schedule(step.verification)


def describe_schedule(verification: ScheduledVerification) -> str:
    """Return when a table is verified, and what that costs."""
    each, monthly = verification.usd_each, verification.usd_monthly
    together = "" if monthly is None else f", {format_usd(monthly)} as the table is now"
    return f"{verification.schedule}, each time about $ {each:.4f}{together}"


def list_columns(mapping: Mapping) -> str:
    """Return the columns of a mapping on one line, the first of many."""
    columns = [f"{column.name} {column.type.sql}" for column in mapping.columns]
    more = [f"and {len(columns) - MOST_COLUMNS} more"] if len(columns) > MOST_COLUMNS else []
    return ", ".join([*columns[:MOST_COLUMNS], *more])


def refuse(plan: Plan) -> None:
    """Raise ClickException where there is nothing to do but what is refused."""
    if plan.refused:
        raise click.ClickException(f"Nothing was deployed. Refused: {describe_failures(plan.refused)}")


def describe_failures(failed: dict[str, str]) -> str:
    """Return why mappings were not deployed."""
    return "; ".join(f"{name}: {reason}" for name, reason in failed.items())


def finish(plan: Plan, outcome: Outcome | None, *, as_json: bool) -> None:
    """Print the end of a deployment, and what comes next; end the command with status 1 where something failed."""
    deployed, failed = (outcome.deployed, outcome.failed) if outcome else ([], plan.refused)
    if as_json:
        print_json(plan.as_dict() | {"deployed": deployed, "failed": failed})
    elif not plan.changes:
        print_line("Nothing to do.")
    elif deployed:
        print_line(f"Deployed: {', '.join(deployed)}.")
    if failed and as_json:
        raise SystemExit(1)
    if failed:
        word = "Not deployed" if outcome else "Refused"
        again = name_command("deploy", *failed)
        raise click.ClickException(f"{word}: {describe_failures(failed)}\nOnce that is mended: {again}")


def find_paused(plan: Plan) -> dict[str, StreamReader]:
    """Return the readers of a plan's replications that are paused, by their mappings."""
    readers = {step.mapping.name: step.outputs.get(READER) for step in plan.replications}
    functions = connect_to("lambda")
    looked_at = {name: look_at_reader(functions, reader) for name, reader in readers.items() if reader}
    return {name: reader for name, reader in looked_at.items() if reader.state == PAUSED}


def tell_paused(paused: dict[str, StreamReader]) -> None:
    """Say which replications are paused, and stay so."""
    for name, reader in paused.items():
        since, resume = format_time(reader.paused_at), name_command("resume", name)
        print_line(f"{name} is paused since {since}, and stays so until: {resume}")


def tell_resumed(plan: Plan, paused: dict[str, StreamReader]) -> None:
    """Say which replications read again that were paused: a reader may have been made anew."""
    still = find_paused(plan) if paused else {}
    for name in paused.keys() - still.keys():
        say(f"{name} was paused; this deployment has it read again. To pause it: {name_command('pause', name)}")


def tell_next(plan: Plan, outcome: Outcome) -> None:
    """Say how what tables have already is copied."""
    for step in plan.replications:
        name = step.mapping.name
        if step.source and step.source.exists and name not in outcome.failed:
            say(f"Copy what is in its table already: {name_command('backfill', 'start', name, '--watch')}")


def format_usd(usd: float) -> str:
    """Return an amount a month."""
    return f"about $ {usd:.2f} a month"
