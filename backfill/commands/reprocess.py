"""`dynaurora reprocess …`: take up what failed, and look at the runs that do."""

from __future__ import annotations

import click

from backfill.commands.list import make_list_command
from backfill.commands.reprocess_start import start
from backfill.commands.run_status import make_status_command
from backfill.commands.stop import make_stop_command
from backfill.commands.watch import make_watch_command
from backfill.kinds import REPROCESS

EPILOG = """\b
Examples:
  dynaurora reprocess start --dry-run                  what would be taken up, and what of it would pass
  dynaurora reprocess start --watch
  dynaurora reprocess status                           the run that was started last
  dynaurora reprocess watch reprocess-20261123T081500Z
  dynaurora reprocess stop reprocess-20261123T081500Z
  dynaurora reprocess list
"""


@click.group("reprocess", epilog=EPILOG)
def reprocess_group() -> None:
    """Map refused records again, and import failed batches again.

    The stack does so by itself, every hour unless it is told otherwise; these commands do it now, and look at it.
    Records keep their version: one that passes at last never takes the place of a newer row. What still fails stays
    where it is, with one attempt more and the reason of today; what has failed too often is parked.

    Talks to the account, region and endpoint that the AWS SDK is configured for. Results go to standard output,
    progress and messages to standard error. Exit status 0 succeeded, 1 failed, 2 wrong use.

    They need what `dynaurora backfill` needs, and --dry-run s3:ListBucket and s3:GetObject of what failed.
    """


reprocess_group.add_command(start)
for make_command in (make_status_command, make_watch_command, make_stop_command, make_list_command):
    reprocess_group.add_command(make_command(REPROCESS))
