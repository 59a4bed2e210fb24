"""`dynaurora backfill list` and `dynaurora reprocess list`: the runs there were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from backfill.commands.options import json_option, stack_option
from backfill.commands.several import do_to_each
from backfill.deployment.aws_errors import explained_errors
from backfill.deployment.clients import connect
from backfill.deployment.deployments import choose_deployments, find_deployments
from backfill.kinds import BACKFILL
from backfill.runs.listing import LISTED_MOST, ListedRun, list_runs
from backfill.terminal.console import name_command, print_json, print_table, say

if TYPE_CHECKING:
    from backfill.deployment.deployments import Deployment
    from backfill.kinds import Kind

HEADER: Final = ("RUN", "MAPPING", "STATE", "STARTED", "TOOK", "ROWS", "REJECTED", "ITEMS")
"""The last one is of exports, and left out where there are none."""
NUMERIC: Final = frozenset({4, 5, 6, 7})
DEFAULT_LISTED: Final = 20


def make_list_command(kind: Kind) -> click.Command:
    """Return the command for the runs of a kind."""
    epilog = f"""\b
Examples:
  dynaurora {kind.name} list
  dynaurora {kind.name} list web_analytics --limit 100
  dynaurora {kind.name} list --json | jq -r '.[] | select(.state == "FAILED").run'
"""

    @click.command("list", epilog=epilog)
    @click.argument("mapping", required=False)
    @click.option(
        "--limit",
        type=click.IntRange(1, LISTED_MOST),
        default=DEFAULT_LISTED,
        show_default=True,
        metavar="N",
        help="How many runs to list.",
    )
    @stack_option
    @json_option
    def list_command(mapping: str | None, limit: int, stack: str | None, as_json: bool) -> None:
        """List the runs of MAPPING, or of all replications, newest first.

        A run that was started several times is one line, with the execution that runs, or its last. "-" is what is not
        known: of older runs the counts are in the database only.
        """
        print_runs(kind, mapping, limit, stack, as_json=as_json)

    return list_command


def print_runs(kind: Kind, mapping: str | None, limit: int, stack: str | None, *, as_json: bool) -> None:
    """Print the newest runs of a kind."""
    with explained_errors():
        clients = connect()
        known = find_deployments(clients.cloudformation, stack)
        deployments, names = choose_deployments(known, mapping), frozenset(one.mapping for one in known)
        listed = list[ListedRun]()

        def read(one: Deployment) -> list[ListedRun]:
            return list_runs(clients, kind, one, limit, names - {one.mapping})

        for _, found in do_to_each(deployments, read):
            if isinstance(found, str):
                raise click.ClickException(found)
            listed += found
    newest = sorted(listed, key=lambda run: run.started_at, reverse=True)[:limit]
    if as_json:
        print_json([run.as_dict() for run in newest])
    elif newest:
        shown = len(HEADER) if kind is BACKFILL else len(HEADER) - 1
        print_table([cells[:shown] for cells in (HEADER, *(run.as_cells() for run in newest))], NUMERIC)
    else:
        command = name_command(kind.name, "start", deployments[0].mapping)
        say(f"No {kind.name} was started yet. Start one with: {command}")
