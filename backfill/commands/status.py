"""`dynaurora status`: how replications stand, and what is to be done."""

from __future__ import annotations

import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Final

import click
from rich.console import Group
from rich.live import Live
from rich.text import Text

from backfill.commands.options import every_option, json_option, stack_option
from backfill.deployment.aws_errors import explained_errors
from backfill.deployment.clients import connect_to
from backfill.deployment.deployments import choose_deployments, find_deployments
from backfill.overview.looking import Lookout
from backfill.overview.telling import HEADER, NUMERIC, describe_standing, summarize_standing
from backfill.terminal.console import PAIR_WIDTH, find_width, is_seen, output, print_json, print_line
from backfill.terminal.formatting import format_count
from backfill.terminal.tables import format_table, tell_pair
from dynaurora.escaping import escape_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backfill.overview.standing import Standing

EPILOG: Final = """\b
Examples:
  dynaurora status
  dynaurora status orders
  dynaurora status --watch --every 30
  dynaurora status --json | jq -c 'select(.well | not) | {mapping, todo}'

It needs cloudformation:DescribeStacks; lambda:GetEventSourceMapping, ListEventSourceMappings and ListTags, and
lambda:InvokeFunction of describe-runs; dynamodb:DescribeTable; cloudwatch:GetMetricData; and of the landing bucket
s3:ListBucket and s3:GetObject. What it may not see it says it does not know.
"""


@click.command(epilog=EPILOG)
@click.argument("mapping", required=False)
@click.option("--watch", "watching", is_flag=True, help="Look again and again, until Ctrl-C.")
@every_option
@stack_option
@json_option
def status(mapping: str | None, watching: bool, every: float, stack: str | None, as_json: bool) -> None:
    """Show how replications stand, and what to do next.

    Each has a line; of the one of MAPPING more is shown. The reader of the stream is on, paused or off, and how long
    what changes meanwhile is kept; the lag is how late the last rows were; failed is what the next reprocess takes up,
    parked what nobody takes up by himself; then how the last backfill ended, what the last verification of all items
    found, and the command to run next. "-" is what is not there or was not measured in the last quarter of an hour;
    "about" and "+" mark what was not counted to its end.

    Exit status 0 where all is well, 1 where something is to be done or cannot be seen, 2 for wrong use. With --json
    there is an object on a line for each replication, with everything that is to be done.
    """
    with explained_errors():
        deployments = choose_deployments(find_deployments(connect_to("cloudformation"), stack), mapping)
        lookout = Lookout(deployments)
        is_one = mapping is not None
        standings = watch(lookout, every, is_one=is_one, as_json=as_json) if watching else lookout.look()
    if not watching:
        show(standings, is_one=is_one, as_json=as_json)
    if any(standing.todo for standing in standings):
        raise SystemExit(1)


def watch(lookout: Lookout, every: float, *, is_one: bool, as_json: bool) -> list[Standing]:
    """Look until Ctrl-C, and return the last look."""
    standings: list[Standing] = []
    is_live = is_seen(output) and not as_json
    try:
        with Live(console=output, auto_refresh=False) if is_live else nullcontext() as live:
            while True:
                standings = lookout.look()
                if live is None:
                    show(standings, is_one=is_one, as_json=as_json)
                else:
                    live.update(Group(*map(Text, render(standings, is_one=is_one))), refresh=True)
                time.sleep(every)
    except KeyboardInterrupt:
        return standings


def show(standings: Sequence[Standing], *, is_one: bool, as_json: bool) -> None:
    """Print a look."""
    if as_json:
        for standing in standings:
            print_json(standing.as_dict())
        return
    for line in render(standings, is_one=is_one):
        print_line(line)


def render(standings: Sequence[Standing], *, is_one: bool) -> list[str]:
    """Return a look as lines that fit the terminal."""
    width = find_width()
    if is_one:
        return [
            line
            for standing in standings
            for name, value in describe_standing(standing)
            for line in tell_pair(escape_text(name), escape_text(value), PAIR_WIDTH, width)
        ]
    rows = [HEADER, *map(summarize_standing, standings)]
    to_do = sum(bool(standing.todo) for standing in standings)
    how = f"{to_do:,} with something to do" if to_do else "all well"
    return [
        *format_table(rows, NUMERIC, width, below=(len(HEADER) - 1,)),
        f"{format_count(len(standings), 'replication')}, {how}",
    ]
