"""`dynaurora backfill stop` and `dynaurora reprocess stop`: end a run before it is done."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from backfill.commands.options import json_option, stack_option
from backfill.deployment.aws_errors import explained_errors
from backfill.deployment.clients import connect
from backfill.runs.executions import Execution, describe_execution
from backfill.runs.find import find_run
from backfill.runs.recorded import RowsUnknownError, describe_runs
from backfill.terminal.console import name_command, print_json, print_pairs, say
from dynaurora.runs import runs

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_stepfunctions import SFNClient

    from backfill.deployment.clients import Clients
    from backfill.deployment.deployments import Deployment
    from backfill.kinds import Kind

Found = TypeVar("Found")

STOP_SECONDS: Final = 60.0
"""How long an execution may take to be aborted."""
RECORD_SECONDS: Final = 30.0
"""How long the database may take to hear of it, through EventBridge."""
POLL_SECONDS: Final = 1.0


def make_stop_command(kind: Kind) -> click.Command:
    """Return the command for the runs of a kind."""
    run_id = f"{kind.run_prefix}20261123T081500Z"
    epilog = f"""\b
Examples:
  dynaurora {kind.name} stop {run_id}
  dynaurora {kind.name} stop {run_id} --json
"""

    @click.command(epilog=epilog)
    @click.argument("run")
    @stack_option
    @json_option
    def stop(run: str, stack: str | None, as_json: bool) -> None:
        """Stop RUN, and wait until it has stopped. Batches that are being imported may still be finished.

        What is imported stays, and starting again goes on from there. Exit status 1 where the run had ended.
        """
        stop_run(kind, run, stack, as_json=as_json)

    return stop


def stop_run(kind: Kind, run: str, stack: str | None, *, as_json: bool) -> None:
    """Stop a run and print how it stopped; end the command with status 1 where it had ended."""
    with explained_errors():
        clients = connect()
        found = find_run(clients, kind, run, stack)
        if found.execution is None or not found.execution.is_running:
            state = found.execution.state if found.execution else (found.row or {}).get("state")
            raise click.ClickException(f"Run {run} is not running: it ended as {state}. There is nothing to stop.")
        ended = stop_execution(clients.states, kind, found.execution.arn)
        if ended.state != runs.STOPPED:
            raise click.ClickException(f"Run {run} ended as {ended.state} before it could be stopped.")
        recorded = wait_for_record(clients, kind, found.deployment, run)
    if recorded != runs.STOPPED:
        answer = f"still says {recorded}" if recorded else "does not say so yet"
        say(f"The run has stopped, and the database {answer}; starting again puts it right.")
    next_command = name_command(*kind.start_words(found.deployment.mapping, run), stack=stack)
    print_stopped(run, ended, recorded, next_command, as_json=as_json)


def stop_execution(states: SFNClient, kind: Kind, arn: str) -> Execution:
    """Stop an execution and return it once it has ended. Raises ClickException where it does not end."""
    states.stop_execution(executionArn=arn, error="Stopped", cause=f"Stopped with `dynaurora {kind.name} stop`.")
    ended = wait_for(lambda: as_ended(describe_execution(states, arn)), STOP_SECONDS)
    if ended is None:
        raise click.ClickException(
            f"{arn} was told to stop, and has not within {STOP_SECONDS:.0f} s. Look again later."
        )
    return ended


def as_ended(execution: Execution | None) -> Execution | None:
    """Return an execution if it has ended."""
    return None if execution is None or execution.is_running else execution


def wait_for_record(clients: Clients, kind: Kind, deployment: Deployment, run: str) -> str | None:
    """Return the state that the database has of a run, once it has heard of its end; None where it does not answer."""
    try:
        wait_for(lambda: read_state(clients, kind, deployment, run) != runs.RUNNING, RECORD_SECONDS)
        return read_state(clients, kind, deployment, run)
    except RowsUnknownError:
        return None


def read_state(clients: Clients, kind: Kind, deployment: Deployment, run: str) -> str | None:
    """Return the state that the database has of a run; None where it has none. Raises RowsUnknownError."""
    rows = describe_runs(clients.functions, deployment, kind, run)
    return next((row["state"] for row in rows), None)


def wait_for(look: Callable[[], Found], seconds: float) -> Found | None:
    """Return what a look finds, once it finds something; None where it does not in time."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > deadline:
            return None
        time.sleep(POLL_SECONDS)
    return found


def print_stopped(run: str, ended: Execution, recorded: str | None, next_command: str, *, as_json: bool) -> None:
    """Print that a run has stopped, and how to go on."""
    if as_json:
        stopped: dict[str, Any] = {"run": run, "state": ended.state, "execution": ended.arn, "recorded": recorded}
        print_json({**stopped, "next": {"start": next_command}})
        return
    print_pairs([("run", run), ("state", ended.state), ("execution", ended.arn), ("go on with", next_command)])
