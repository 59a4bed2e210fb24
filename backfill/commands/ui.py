"""`dynaurora ui`: a status page in the browser."""

from __future__ import annotations

from typing import Final

import click

from backfill.commands.options import json_option, stack_option
from backfill.deployment.aws_errors import explained_errors
from backfill.terminal.console import print_json, print_line, say

EPILOG: Final = """\b
Examples:
  dynaurora ui
  dynaurora ui --no-open --port 8080
  dynaurora ui --json | jq -r .url

It needs, and infra/read-policy.json allows, cloudformation:DescribeStacks; lambda:GetEventSourceMapping,
ListEventSourceMappings and ListTags, and lambda:InvokeFunction of describe-runs; dynamodb:DescribeTable;
cloudwatch:GetMetricData; states:ListExecutions, DescribeExecution, GetExecutionHistory, ListMapRuns and
DescribeMapRun; and of the landing bucket s3:ListBucket and s3:GetObject.
"""


@click.command(epilog=EPILOG)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, metavar="N", help="Where to listen; a free port unless told."
)
@click.option(
    "--open/--no-open",
    "opens",
    default=None,
    help="Whether to open it in the browser; by default where there is a display, and not with --json.",
)
@stack_option
@json_option
def ui(port: int, opens: bool | None, stack: str | None, as_json: bool) -> None:
    """Show how replications stand in the browser, read-only, until Ctrl-C.

    All tables, each with its lag, runs, batches, failures and mapping; runs as they go. What items hold is shown on
    request only. The page says what the commands say, changes nothing, and loads nothing from elsewhere.

    It listens on 127.0.0.1 alone. Its address has a token, and is printed on standard output; who has it may look.
    """
    from backfill.ui.looks import Looks  # takes a second
    from backfill.ui.serving import has_display, leave, opening, serve

    with explained_errors():
        looks = Looks(stack)
        looks.find_all()
    is_opened = has_display() and not as_json if opens is None else opens
    with opening() as open_address:

        def tell(url: str) -> None:
            if as_json:
                print_json({"url": url})
            else:
                print_line(url)
                say("Ctrl-C ends it.")
            if is_opened:
                open_address(url)

        is_reading = serve(looks, port, tell)
    if is_reading:
        leave()
