"""The operator's command line: `dynaurora …`.

Exit status: 0 done, 1 it could not be done (the reason is on standard error), 2 the command was not understood.
"""

from __future__ import annotations

import click

from backfill.backfill_commands import backfill_group
from backfill.failures_commands import failures_group
from backfill.local_commands import local_group
from backfill.prepare import prepare
from backfill.reprocess_commands import reprocess_group
from dynaurora import __version__

EXAMPLES = """\b
Examples:
  dynaurora local demo                 watch a table being replicated on this machine
  dynaurora local up                   start an AWS on this machine and deploy to it
  dynaurora prepare --help             create a mapping's tables in Aurora
  dynaurora backfill start --help      copy a whole table into Aurora
  dynaurora failures count             see what could not be mapped or imported, and why
  dynaurora reprocess start --dry-run  see what of it would pass now
  eval "$(dynaurora local env)"        let aws, boto3 and mysql reach it
"""


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=EXAMPLES,
)
@click.version_option(__version__, prog_name="dynaurora", message="%(prog)s %(version)s")
def main() -> None:
    """Replicate a DynamoDB table into Aurora MySQL."""


main.add_command(backfill_group)
main.add_command(failures_group)
main.add_command(local_group)
main.add_command(prepare)
main.add_command(reprocess_group)

if __name__ == "__main__":
    main()
