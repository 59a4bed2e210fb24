"""`dynaurora backfill watch` and `dynaurora reprocess watch`: a run as it goes, until it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from botocore.exceptions import BotoCoreError, ClientError

from backfill.commands.options import every_option, json_option, stack_option
from backfill.deployment.aws_errors import explained_errors
from backfill.deployment.clients import connect
from backfill.runs.describe import describe_view
from backfill.runs.find import find_run
from backfill.runs.following import follow
from backfill.runs.screens import choose_screen
from backfill.terminal.console import name_command, print_json, print_pairs, say
from dynaurora.runs import runs

if TYPE_CHECKING:
    from backfill.deployment.clients import Clients
    from backfill.kinds import Kind
    from backfill.runs.find import FoundRun


def make_watch_command(kind: Kind) -> click.Command:
    """Return the command for the runs of a kind."""
    run_id = f"{kind.run_prefix}20261123T081500Z"
    epilog = f"""\b
Examples:
  dynaurora {kind.name} watch {run_id}
  dynaurora {kind.name} watch {run_id} --json | jq -c .{kind.units}
"""

    @click.command(epilog=epilog)
    @click.argument("run")
    @every_option
    @stack_option
    @json_option
    def watch(run: str, every: float, stack: str | None, as_json: bool) -> None:
        """Watch RUN until it ends, then show its report. With --json each change is one line, the last one final.

        Exit status 0 where the run succeeded, 1 where it failed, was stopped or refused. Ctrl-C leaves the run as it
        is, and the watch with exit status 0.
        """
        with explained_errors():
            clients = connect()
            watch_run(clients, find_run(clients, kind, run, stack), every=every, stack=stack, as_json=as_json)

    return watch


def watch_run(clients: Clients, found: FoundRun, *, every: float, stack: str | None, as_json: bool) -> None:
    """Show a run until it ends or the person has seen enough; end the command with status 1 where it ended badly."""
    again = f"come back with: {name_command(found.kind.name, 'watch', found.run, stack=stack)}"
    try:
        with choose_screen(as_json=as_json) as screen:
            view = follow(clients, found, screen, every)
    except KeyboardInterrupt:
        say(f"The run goes on; {again}")
        return
    except (BotoCoreError, ClientError):  # as where a sign-in is over, which ends no run
        say(f"The run may go on without this; {again}")
        raise
    if as_json:
        print_json(view.as_dict())
    else:
        print_pairs(describe_view(view))
    if view.state != runs.SUCCEEDED:
        raise SystemExit(1)
