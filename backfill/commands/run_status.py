"""`dynaurora backfill status` and `dynaurora reprocess status`: a run as it is now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from backfill.commands.options import json_option, stack_option
from backfill.deployment.aws_errors import explained_errors
from backfill.deployment.clients import connect
from backfill.runs.describe import describe_view
from backfill.runs.find import find_run
from backfill.terminal.console import print_json, print_pairs

if TYPE_CHECKING:
    from backfill.kinds import Kind


def make_status_command(kind: Kind) -> click.Command:
    """Return the command for the runs of a kind."""
    epilog = f"""\b
Examples:
  dynaurora {kind.name} status
  dynaurora {kind.name} status {kind.run_prefix}20261123T081500Z
  dynaurora {kind.name} status --json | jq .{kind.units}
"""

    @click.command(epilog=epilog)
    @click.argument("run", required=False)
    @stack_option
    @json_option
    def status(run: str | None, stack: str | None, as_json: bool) -> None:
        """Show RUN, or the one that was started last.

        While it runs that is its progress, and once it has ended its report. Exit status 0 while it runs and where it
        succeeded, 1 where it failed, was stopped or refused.
        """
        show_run(kind, run, stack, as_json=as_json)

    return status


def show_run(kind: Kind, run: str | None, stack: str | None, *, as_json: bool) -> None:
    """Print a run, or the newest; end the command with status 1 where it ended badly."""
    with explained_errors():
        clients = connect()
        view = find_run(clients, kind, run, stack).look(clients)
    if as_json:
        print_json(view.as_dict())
    else:
        print_pairs(describe_view(view))
    if not view.is_good:
        raise SystemExit(1)
