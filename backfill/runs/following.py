"""Following a run until it ends, whatever AWS is like meanwhile."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import click
from botocore.exceptions import BotoCoreError, ClientError

from backfill.deployment.aws_errors import explain_error, is_passing

if TYPE_CHECKING:
    from backfill.deployment.clients import Clients
    from backfill.runs.find import FoundRun
    from backfill.runs.run_view import RunReader, RunView
    from backfill.runs.screens import Screen

PATIENCE: Final = 20
"""Looks in a row that may fail before a watch gives up."""


def follow(clients: Clients, found: FoundRun, screen: Screen, every: float) -> RunView:
    """Look at a run until it has ended, show each look but the last, and return that."""
    if found.execution is None:
        return found.look(clients)
    reader = found.make_reader(clients, found.execution)
    while (view := look_patiently(reader, screen, every)).is_running:
        screen.show(view)
        time.sleep(every)
    return view


def look_patiently(reader: RunReader, screen: Screen, every: float) -> RunView:
    """Return the run as it is now. AWS may throttle, or be out of reach for a while.

    Raises the SDK's errors once they have gone on for long, and such as do not pass.
    """
    for _ in range(PATIENCE):
        try:
            if view := reader.look():
                return view
            screen.tell("Step Functions does not show the execution yet")
        except (BotoCoreError, ClientError) as error:
            if not is_passing(error):
                raise
            screen.tell(f"{explain_error(error)} Trying again")
        time.sleep(every)
    raise click.ClickException(f"The run could not be seen {PATIENCE} times in a row; it may go on all the same.")
