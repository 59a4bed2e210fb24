"""`dynaurora backfill start`: start a backfill, or go on with one that ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from backfill.commands.options import (
    PercentRange,
    concurrency_option,
    every_option,
    json_option,
    stack_option,
    watch_option,
)
from backfill.commands.starting import print_plan, print_started, watch_started
from backfill.deployment.aws_errors import explained_errors
from backfill.deployment.clients import connect
from backfill.deployment.deployments import choose_deployment, find_deployments
from backfill.kinds import BACKFILL
from backfill.runs.run_ids import check_export_arn, check_export_summary, check_run, check_table_arn
from backfill.runs.start import Wanted, leave_out_unknown, plan_start, start_execution
from backfill.terminal.console import WrongUseError, say
from dynaurora.runs.requests import TOLERATED_REJECTED_PERCENTAGE

if TYPE_CHECKING:
    from backfill.deployment.deployments import Deployment

PERCENTAGES: Final = ("tolerated_failure_percentage", "tolerated_rejected_percentage")
DEFAULTS: Final = {
    "export_arn": None,
    "export_summary": None,
    "source_table_arn": None,
    "window_from": None,
    "window_to": None,
    "max_concurrency": None,
    "tolerated_failure_percentage": 0,
    "tolerated_rejected_percentage": TOLERATED_REJECTED_PERCENTAGE,
    "sweep": False,
}


@click.command(
    epilog="""\b
Examples:
  dynaurora backfill start web_analytics --watch
  dynaurora backfill start web_analytics --dry-run
  dynaurora backfill start web_analytics --export-arn ARN --max-concurrency 8
  dynaurora backfill start web_analytics --export s3://BUCKET/AWSDynamoDB/ID/manifest-summary.json
  dynaurora backfill start web_analytics --run 20261123T081500Z        go on with a run that ended
  dynaurora backfill start web_analytics --json | jq -r .run
"""
)
@click.argument("mapping")
@click.option("--run", metavar="RUN", help="Id of the run; by default the time. That of an ended run goes on with it.")
@click.option("--export-arn", metavar="ARN", help="A full export of the table to import, instead of making one.")
@click.option(
    "--export",
    "export_summary",
    metavar="S3",
    help="The same by s3://BUCKET/…/AWSDynamoDB/…/manifest-summary.json, where it was copied to another bucket, prefix "
    "or account, or is incremental. The bucket is the platform's or its ExportsBucketName.",
)
@click.option(
    "--source-table-arn",
    metavar="ARN",
    help="With --export: the table that it is of, where that is another than MAPPING's, as in another account.",
)
@click.option(
    "--new-export",
    is_flag=True,
    help="Make an export after all, where the run was given one; as long as nothing of that is planned.",
)
@concurrency_option
@click.option(
    "--tolerated-failure-percentage",
    type=PercentRange(0, 100),
    metavar="P",
    help="Percentage of the batches that may fail before the run does; 0 by default.",
)
@click.option(
    "--tolerated-rejected-percentage",
    type=PercentRange(0, 100),
    metavar="P",
    help="Percentage of the items that the mapping may refuse before the run fails; "
    f"{TOLERATED_REJECTED_PERCENTAGE} by default. What was imported stays, and what was refused is kept.",
)
@click.option(
    "--sweep/--no-sweep",
    default=None,
    help="In the end, delete rows whose items the export does not have; refused if anything was rejected or failed, "
    "and where the stack keeps expired items' rows (TtlDeletes=ignore).",
)
@click.option("--dry-run", is_flag=True, help="Print the execution's name and input, and start nothing.")
@watch_option
@every_option
@stack_option
@json_option
def start(
    mapping: str,
    run: str | None,
    new_export: bool,
    dry_run: bool,
    watching: bool,
    every: float,
    stack: str | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Copy the whole table of MAPPING into Aurora.

    Its stream keeps flowing meanwhile. Starts a run and returns. A run that ended, well or badly, is started again by
    giving its id: what is done is not repeated, and what is not given here is as it was. Exit status 0 where it was
    started; with --watch, where it succeeded, or the watch was left. With --watch and --json each change is one line
    of JSON, the last one final.
    """
    with explained_errors():
        clients = connect()
        deployment = choose_deployment(find_deployments(clients.cloudformation, stack), mapping)
        check_start(deployment, run, **given)
        wanted = Wanted(BACKFILL, deployment, run, read_options(given, new_export=new_export), DEFAULTS)
        if dry_run:
            print_plan(wanted, plan_start(clients.states, wanted), (), {}, as_json)
            return
        started, arn = start_execution(clients.states, wanted)
        if started.earlier:
            say(
                f"Run {started.run} ended as {started.earlier.state}; it goes on as {started.name}. "
                "What is done is not repeated."
            )
        if watching:
            watch_started(clients, wanted, started, arn, every=every, stack=stack, as_json=as_json)
        else:
            print_started(wanted, started, arn, stack, as_json)


def check_start(
    deployment: Deployment,
    run: str | None,
    *,
    export_arn: str | None,
    export_summary: str | None,
    source_table_arn: str | None,
    **_others: Any,
) -> None:
    """Raise WrongUseError where this cannot be started."""
    if run is not None:
        check_run(deployment.mapping, run)
    if export_arn is not None:
        check_export_arn(export_arn, deployment.table)
    if export_summary is not None:
        check_export_summary(export_summary)
        check_takes_windows(deployment)
    if source_table_arn is not None:
        check_table_arn(source_table_arn)


def check_takes_windows(deployment: Deployment) -> None:
    """Raise WrongUseError where the platform would pass over what is new in the input, and export all of the table."""
    if not deployment.compare_rows:
        raise WrongUseError(
            f"The platform {deployment.platform} is of a release that takes no export by its summary, and makes none of"
            " a window. Deploy it: dynaurora deploy"
        )


def read_options(given: dict[str, Any], *, new_export: bool) -> dict[str, Any]:
    """Return the run's options that were given. Raises WrongUseError where they contradict each other."""
    if given.get("export_arn") and given.get("export_summary"):
        raise WrongUseError("--export-arn and --export name an export each. Give one of the two.")
    if new_export and (given.get("export_arn") or given.get("export_summary")):
        raise WrongUseError("--new-export makes an export, --export-arn or --export names one. Give one of the two.")
    options = leave_out_unknown(given)
    if options.keys() & {"export_arn", "export_summary"} or new_export:  # of a run that had another
        options = {"export_arn": None, "export_summary": None, "source_table_arn": None, **options}
    for name in PERCENTAGES:
        if (percentage := options.get(name)) is not None and percentage == int(percentage):
            options[name] = int(percentage)
    return options
