"""`dynaurora resume`: the stream of a table is read on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import click

from backfill.commands.options import several_options
from backfill.commands.several import Complaints, check_named, choose_named, do_to_each, name_replication_of
from backfill.deployment.aws_errors import explained_errors
from backfill.deployment.clients import connect_to
from backfill.deployment.deployments import find_deployments
from backfill.deployment.losses import name_mending
from backfill.deployment.stream_readers import KEPT, StreamReader, look_at_reader, resume_reader
from backfill.terminal.console import print_json, print_line
from backfill.terminal.formatting import format_iso, format_seconds, format_time

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

    from backfill.deployment.deployments import Deployment

STARTING: Final = timedelta(minutes=15)
"""What a reader may take until it reads: so long the stream goes on losing what it has not read."""
EPILOG: Final = """\b
Examples:
  dynaurora resume orders
  dynaurora resume orders devices
  dynaurora resume --all --json | jq -c 'select(.lost_from)'

It needs cloudformation:DescribeStacks; and of the event source mapping lambda:GetEventSourceMapping,
UpdateEventSourceMapping, ListTags and UntagResource.
"""


@click.command(epilog=EPILOG)
@several_options
def resume(mappings: tuple[str, ...], everything: bool, dry_run: bool, stack: str | None, as_json: bool) -> None:
    """Resume replications: their tables' streams are read on.

    Whoever has switched their readers off. What changed since arrives now, unless that is longer ago than the 24 hours
    for which a stream keeps it: then it is said of which time changes are gone, and what brings them back. Of a reader
    that reads nothing is changed.

    Exit status 0 where all of them read and nothing is gone, 1 where one could not be resumed or was resumed too late,
    2 for wrong use. With --json there is an object on a line for each.
    """
    check_named(mappings, everything=everything)
    with explained_errors():
        deployments = find_deployments(connect_to("cloudformation"), stack)
        chosen = choose_named(deployments, mappings)
        functions = connect_to("lambda")
    act = look if dry_run else resume_reader
    is_well, complaints = True, Complaints("not resumed")
    for deployment, result in do_to_each(chosen, partial(act, functions)):
        if isinstance(result, str):
            complaints.add(deployment, result)
        is_well = tell(deployment, result, dry_run=dry_run, as_json=as_json) and is_well
    complaints.tell()
    if not is_well:
        raise SystemExit(1)


def look(functions: LambdaClient, deployment: Deployment) -> StreamReader:
    """Return a reader as it is."""
    return look_at_reader(functions, deployment.event_source_mapping)


def tell(deployment: Deployment, result: StreamReader | str, *, dry_run: bool, as_json: bool) -> bool:
    """Print what came of one; return whether nothing is left to do."""
    name, now = deployment.mapping, datetime.now(UTC)
    if isinstance(result, str):
        if as_json:
            print_json({**name_replication_of(deployment), "error": result})
        return False
    lost_until = find_lost(result, now)
    lost_from = result.resume_by - KEPT if lost_until and result.resume_by else None
    lost = (int(lost_from.timestamp()), int(lost_until.timestamp())) if lost_from and lost_until else None
    mend = name_mending(deployment, lost) if lost else None
    if as_json:
        document: dict[str, Any] = {
            **name_replication_of(deployment),
            "reader": result.state if dry_run else "on",
            "was": result.state,
            "paused_at": format_iso(result.paused_at),
            "lost_from": format_iso(lost_from),
            "lost_until": format_iso(lost_until),
            "changed": result.is_stopped and not dry_run,
            "dry_run": dry_run,
            "next": mend,
        }
        print_json(document)
        return mend is None
    if not result.is_stopped:
        print_line(f"{name}: it reads; there is nothing to resume")
        return True
    print_line(f"{name}: {'would be resumed' if dry_run else 'resumed'}. {describe_pause(result, now)}")
    if mend:
        print_line(
            f"    Changes from {format_time(lost_from)} to {format_time(lost_until)} may be gone: the stream keeps"
        )
        print_line(f"    24 hours. What brings them back: {mend}")
    return mend is None


def describe_pause(reader: StreamReader, now: datetime) -> str:
    """Say for how long a reader has read nothing."""
    since = reader.paused_at or reader.changed_at or now
    how = "paused" if reader.paused_at else "switched off, not by `dynaurora pause`,"
    return f"It was {how} since {format_time(since)}, {format_seconds((now - since).total_seconds())}"


def find_lost(reader: StreamReader, now: datetime) -> datetime | None:
    """Return until when changes may be gone that a reader has not read; None where none are."""
    return now - KEPT + STARTING if reader.resume_by and now + STARTING > reader.resume_by else None
