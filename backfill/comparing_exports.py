"""Verifying by an export: a run of backfill_table that compares its batches instead of importing them.

No read capacity is used, and no row passes through here: what the run leaves for each of its batches is how many rows
are what, and the keys of those that are not equal.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import click

from backfill.kinds import BACKFILL
from backfill.runs.executions import describe_execution
from backfill.runs.start import Wanted, start_execution
from backfill.terminal.console import name_command

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_stepfunctions import SFNClient

    from backfill.deployment.deployments import Deployment

COMPARE: Final = {"compare": True}
POLL_SECONDS: Final = 2.0


def compare_export(
    states: SFNClient, deployment: Deployment, run: str, tell: Callable[[str], None], poll_seconds: float = POLL_SECONDS
) -> None:
    """Have a run export the table and compare it, and wait for its end. Raises ClickException where it fails."""
    wanted = Wanted(BACKFILL, deployment, run, COMPARE, {"sweep": False})
    started, arn = start_execution(states, wanted)
    tell(f"Run {started.run} exports {deployment.table} and compares it: {arn}")
    while True:
        execution = describe_execution(states, arn)
        if execution is not None and not execution.is_running:
            break
        time.sleep(poll_seconds)
    if execution.status != "SUCCEEDED":
        status = name_command("backfill", "status", run)
        raise click.ClickException(
            f"Run {run} could not be compared: {execution.error or execution.status}: {execution.cause or ''}"
            f" See: {status}. To go on with it: {name_command('verify', deployment.mapping, '--run', run)}"
        )
