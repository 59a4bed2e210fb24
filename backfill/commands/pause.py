"""`dynaurora pause`: the stream of a table is not read for a while, and nothing is lost."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final

import click

from backfill.commands.options import several_options
from backfill.commands.several import Complaints, check_named, choose_named, do_to_each, name_replication_of
from backfill.deployment.aws_errors import explained_errors
from backfill.deployment.clients import connect_to
from backfill.deployment.deployments import find_deployments
from backfill.deployment.lags import Lag, read_lags
from backfill.deployment.stream_readers import PAUSED, StreamReader, look_at_reader, pause_reader
from backfill.terminal.console import name_command, print_json, print_line
from backfill.terminal.formatting import format_seconds, format_time

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

    from backfill.deployment.deployments import Deployment

EPILOG: Final = """\b
Examples:
  dynaurora pause orders
  dynaurora pause orders devices --dry-run
  dynaurora pause --all --json | jq -r .resume_by

It needs cloudformation:DescribeStacks; cloudwatch:GetMetricData; and of the event source mapping
lambda:GetEventSourceMapping, UpdateEventSourceMapping, ListTags and TagResource.
"""


@click.command(epilog=EPILOG)
@several_options
def pause(mappings: tuple[str, ...], everything: bool, dry_run: bool, stack: str | None, as_json: bool) -> None:
    """Pause replications: their tables' streams are not read.

    That lasts until `dynaurora resume`. What changes meanwhile is kept by the stream for 24 hours, and arrives once it
    is read on; until when that has to be is said. What is on its way already still arrives. Backfills are refused while
    it lasts, and the alarm of streams that are not read rings. A replication that is paused stays so when it is
    deployed again. Pausing it again changes nothing, not the time either.

    Exit status 0 where all of them are paused, 1 where one could not be, 2 for wrong use. With --json there is an
    object on a line for each.
    """
    check_named(mappings, everything=everything)
    with explained_errors():
        deployments = find_deployments(connect_to("cloudformation"), stack)
        chosen = choose_named(deployments, mappings)
        lags, functions = read_lags(connect_to("cloudwatch"), chosen), connect_to("lambda")
    act = look if dry_run else do
    complaints = Complaints("not paused")
    for deployment, result in do_to_each(chosen, partial(act, functions, lags)):
        if isinstance(result, str):
            complaints.add(deployment, result)
        tell(deployment, result, dry_run=dry_run, as_json=as_json)
    complaints.tell()
    if complaints:
        raise SystemExit(1)


def look(functions: LambdaClient, _lags: dict[str, Lag], deployment: Deployment) -> tuple[StreamReader, bool]:
    """Return a reader as it is, and whether it would be paused."""
    reader = look_at_reader(functions, deployment.event_source_mapping)
    return reader, reader.state != PAUSED


def do(functions: LambdaClient, lags: dict[str, Lag], deployment: Deployment) -> tuple[StreamReader, bool]:
    """Pause a reader; return it, and whether it was not paused before."""
    before = look_at_reader(functions, deployment.event_source_mapping)
    behind = lags.get(deployment.stack, Lag()).reader or 0.0
    return pause_reader(functions, deployment, behind), before.state != PAUSED


def tell(deployment: Deployment, result: tuple[StreamReader, bool] | str, *, dry_run: bool, as_json: bool) -> None:
    """Print what came of one."""
    resume = name_command("resume", deployment.mapping)
    if isinstance(result, str):
        if as_json:
            print_json({**name_replication_of(deployment), "error": result})
        return
    reader, changes = result
    now = datetime.now(UTC)
    if as_json:
        answer = {**reader.as_dict(now), "changed": changes and not dry_run, "dry_run": dry_run, "next": resume}
        print_json({**name_replication_of(deployment), **answer})
    elif dry_run and changes:
        print_line(f"{deployment.mapping}: would be paused; its reader is {reader.state}. Then, within 24 h: {resume}")
    else:
        how = "paused" if changes else f"is paused already, since {format_time(reader.paused_at)}"
        print_line(f"{deployment.mapping}: {how}. {describe_deadline(reader, now)}: {resume}")


def describe_deadline(reader: StreamReader, now: datetime) -> str:
    """Say until when a reader has to read again."""
    left = reader.seconds_left(now) or 0.0
    if left < 0:
        return f"Since {format_time(reader.resume_by)} the stream loses changes. Resume it now"
    return f"Resume it by {format_time(reader.resume_by)}, within {format_seconds(left)}"
