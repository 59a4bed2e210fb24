"""`dynaurora backfill …`: copy whole tables, and look at the runs that do."""

from __future__ import annotations

import click

from backfill.commands.backfill_start import start
from backfill.commands.list import make_list_command
from backfill.commands.run_status import make_status_command
from backfill.commands.stop import make_stop_command
from backfill.commands.watch import make_watch_command
from backfill.kinds import BACKFILL

EPILOG = """\b
Examples:
  dynaurora backfill start web_analytics --watch
  dynaurora backfill status                            the run that was started last
  dynaurora backfill watch 20261123T081500Z
  dynaurora backfill stop 20261123T081500Z
  dynaurora backfill list
"""


@click.group("backfill", epilog=EPILOG)
def backfill_group() -> None:
    """Copy every item that is already in a table into Aurora, while its stream keeps flowing.

    Talks to the account, region and endpoint that the AWS SDK is configured for. Results go to standard output,
    progress and messages to standard error. Exit status 0 succeeded, 1 failed, 2 wrong use.

    They need cloudformation:DescribeStacks; of states: StartExecution, StopExecution, DescribeExecution,
    GetExecutionHistory, ListExecutions, ListMapRuns and DescribeMapRun; lambda:InvokeFunction of describe-runs; and
    s3:GetObject of reports/ in the landing bucket.
    """


backfill_group.add_command(start)
for make_command in (make_status_command, make_watch_command, make_stop_command, make_list_command):
    backfill_group.add_command(make_command(BACKFILL))
