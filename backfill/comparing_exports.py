"""Verifying by an export: a run of backfill_table that compares its batches instead of importing them.

No read capacity is used, and no row passes through here: what the run leaves for each of its batches is how many rows
are what, and the keys of those that are not equal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from backfill.kinds import BACKFILL
from backfill.runs.executions import Execution, describe_execution
from backfill.runs.find import FoundRun
from backfill.runs.following import follow
from backfill.runs.screens import choose_screen
from backfill.runs.start import Wanted, now, start_execution
from backfill.terminal.console import name_command, say, telling_at_interrupt

if TYPE_CHECKING:
    from backfill.deployment.clients import Clients
    from backfill.deployment.deployments import Deployment

COMPARE: Final = {"compare": True}
POLL_SECONDS: Final = 2.0


def compare_export(clients: Clients, deployment: Deployment, run: str, every: float = POLL_SECONDS) -> None:
    """Have a run export the table and compare it, and show it until it ends.

    Raises ClickException where it fails. Ctrl-C leaves it running, and says how to come back.
    """
    states, again = clients.states, name_command("verify", deployment.mapping, "--run", run)
    wanted = Wanted(BACKFILL, deployment, run, COMPARE, {"sweep": False})
    started, arn = start_execution(states, wanted)
    say(f"Run {started.run} exports {deployment.table} and compares it: {arn}")
    found = FoundRun(BACKFILL, deployment, run, Execution(arn, started.name, "RUNNING", now()))
    with telling_at_interrupt(f"The run goes on. To go on with it: {again}"), choose_screen(as_json=False) as screen:
        follow(clients, found, screen, every)
    execution = describe_execution(states, arn)
    if execution is None or execution.status != "SUCCEEDED":
        status = name_command("backfill", "status", run)
        raise click.ClickException(
            f"Run {run} could not be compared: {describe_failure(execution)} See: {status}. To go on with it: {again}"
        )


def describe_failure(execution: Execution | None) -> str:
    """Return, as a sentence, how a run ended that did not succeed."""
    if execution is None:
        return "it is not there."
    told = ": ".join(part for part in (execution.error or execution.status, execution.cause) if part)
    return f"{told.rstrip('.')}."
