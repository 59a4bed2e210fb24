"""`dynaurora reprocess start`: take up what failed, or tell what would be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from backfill.commands.options import (
    concurrency_option,
    every_option,
    json_option,
    prefix_option,
    stack_option,
    watch_option,
)
from backfill.commands.starting import print_plan, print_started, watch_started
from backfill.deployment.aws_errors import explained_errors
from backfill.deployment.clients import connect, connect_objects
from backfill.deployment.deployments import choose_deployment, find_deployments
from backfill.failures.preview import describe_preview, preview_reprocess
from backfill.failures.reader import FailureReader, Selection
from backfill.failures.verdicts import load_judge
from backfill.kinds import REPROCESS
from backfill.runs.executions import find_running
from backfill.runs.run_ids import find_run_id
from backfill.runs.start import RunIsRunningError, Wanted, leave_out_unknown, plan_start, start_execution
from backfill.terminal.console import WrongUseError, name_command, say
from dynaurora.errors import InvalidRunError

if TYPE_CHECKING:
    from backfill.deployment.clients import Clients
    from backfill.deployment.deployments import Deployment

DEFAULTS: Final = {"prefix": None, "include_parked": False, "max_concurrency": None}


@click.command(
    epilog="""\b
Examples:
  dynaurora reprocess start --dry-run
  dynaurora reprocess start web_analytics --watch
  dynaurora reprocess start --prefix failed_batches/mapping=web_analytics/
  dynaurora reprocess start --include-parked
  dynaurora reprocess start --json | jq -r .run
"""
)
@click.argument("mapping", required=False)
@prefix_option
@click.option("--include-parked", is_flag=True, help="Take up what was parked too.")
@concurrency_option
@click.option("--dry-run", is_flag=True, help="Tell what would be taken up, and what of it would pass; start nothing.")
@watch_option
@every_option
@stack_option
@json_option
def start(
    mapping: str | None,
    dry_run: bool,
    watching: bool,
    every: float,
    stack: str | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Take up what failed of MAPPING, which may be left out where one stack is deployed.

    Starts a run and returns. Exit status 0 where it was started, 1 where another one is under way; with --watch, 0
    where it succeeded, or the watch was left. With --watch and --json each change is one line of JSON, the last one
    final.

    --dry-run maps each record with the mapping as it is on this machine, so a correction can be tried before it is
    deployed.

    A run without --prefix also imports streamed batches that no import was started for. --prefix processed/mapping=…/
    takes up these alone, however old or young.
    """
    with explained_errors():
        clients = connect()
        deployment = choose_deployment(find_deployments(clients.cloudformation, stack), mapping)
        check_prefix(deployment, given["prefix"])
        wanted = Wanted(REPROCESS, deployment, None, leave_out_unknown(given), DEFAULTS)
        if dry_run:
            print_preview(clients, wanted, as_json=as_json)
            return
        check_alone(clients, deployment, stack)
        started, arn = start_execution(clients.states, wanted)
        if watching:
            watch_started(clients, wanted, started, arn, every=every, stack=stack, as_json=as_json)
        else:
            print_started(wanted, started, arn, stack, as_json)


def check_prefix(deployment: Deployment, prefix: str | None) -> None:
    """Raise WrongUseError where nothing of this stack's can be under a prefix."""
    try:
        deployment.place.check_prefix(prefix)
    except InvalidRunError as error:
        raise WrongUseError(error.problem) from error


def check_alone(clients: Clients, deployment: Deployment, stack: str | None) -> None:
    """Raise RunIsRunningError where another reprocess is under way: it would refuse this one."""
    other = find_running(clients.states, deployment.machine_arn(REPROCESS), deployment.mapping)
    if other:
        run = find_run_id(REPROCESS, other)
        raise RunIsRunningError(
            f"Run {run} is reprocessing the failures of {deployment.mapping} already, as {other.arn}. "
            f"Watch it with: {name_command(REPROCESS.name, 'watch', run, stack=stack)}"
        )


def print_preview(clients: Clients, wanted: Wanted, *, as_json: bool) -> None:
    """Print what would be started, what it would take up, and what of that would pass."""
    planned = plan_start(clients.states, wanted)
    reader = FailureReader(wanted.deployment.place, connect_objects(), load_judge(wanted.deployment))
    selection = Selection(planned.input["prefix"], include_parked=planned.input["include_parked"])
    preview = preview_reprocess(reader, selection)
    print_plan(wanted, planned, describe_preview(preview), {"preview": preview.as_dict()}, as_json)
    if preview.failures:
        say("Records were judged by the mapping on this machine; the run takes the one that is deployed.")
