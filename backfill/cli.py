"""The operator's command line: `dynaurora …`.

Exit status: 0 done, 1 it could not be done (the reason is on standard error), 2 the command was not understood. With
--json the reason is on standard output too: {"error": "…", "exit_status": 1}, the last line where there are several.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

import click

from backfill.commands.account_options import add_account_options
from backfill.commands.completion import add_completions
from backfill.project import FILE, VARIABLE, use_project
from backfill.terminal.console import print_json
from backfill.terminal.help import FoldedHelp
from dynaurora import __version__
from dynaurora.escaping import escape_lines

COMMANDS: Final = {
    "backfill": "backfill_group",
    "completion": "completion",
    "cost": "cost",
    "deploy": "deploy",
    "destroy": "destroy",
    "doctor": "doctor",
    "failures": "failures_group",
    "init": "init",
    "local": "local_group",
    "mapping": "mapping_group",
    "pause": "pause",
    "prepare": "prepare",
    "purge": "purge",
    "repair": "repair",
    "replay": "replay",
    "report": "report",
    "reprocess": "reprocess_group",
    "resume": "resume",
    "status": "status",
    "ui": "ui",
    "upgrade": "upgrade",
    "verify": "verify",
}
"""By its name, what a command is called in its module, `backfill/commands/NAME.py`. Each is imported when it is
asked for: all of them together take longer than most commands do."""
NEEDS_NO_PROJECT: Final = "init"
AS_JSON: Final = "--json"
HELP: Final = "dynaurora.help"
"""Whether help is asked for, which is there in a project that does not hold, too."""
EXAMPLES: Final = """\b
Examples:
  dynaurora local demo                 watch a table being replicated on this machine
  dynaurora init shop                  make a project for tables of your own
  dynaurora deploy --dry-run           see what a deployment of the project would do
  dynaurora cost --help                see what a table costs a month, before or after
  dynaurora upgrade --dry-run          see what becomes of a stack of release 0.1
  dynaurora local up                   start an AWS on this machine and deploy to it
  dynaurora prepare --help             create a mapping's tables in Aurora
  dynaurora status                     see how all replications stand, and what is to be done
  dynaurora ui                         the same in the browser, with plots, runs and failures
  dynaurora pause orders               have a table's stream not be read for a while, and lose nothing
  dynaurora doctor                     see whether everything that replication needs is there
  dynaurora mapping check --help       see whether a mapping holds, and how fast it will be
  dynaurora backfill start --help      copy a whole table into Aurora
  dynaurora report --open              see what a run did, as a page
  dynaurora verify --help              see whether a table and its rows are equal
  dynaurora repair --help              make equal what is not
  dynaurora purge --dry-run            see what no import needs any more
  dynaurora replay --help              import again what a restored database lacks
  dynaurora failures count             see what could not be mapped or imported, and why
  dynaurora reprocess start --dry-run  see what of it would pass now
  eval "$(dynaurora completion bash)"  have a shell complete commands, mappings and runs
  eval "$(dynaurora local env)"        let aws, boto3 and mysql reach it
"""


class Commands(click.Group):
    """Commands whose scripts read standard output: who asks for JSON is told in JSON what went wrong."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, imported or not."""
        return sorted({*COMMANDS, *super().list_commands(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, imported where nobody has asked for it yet."""
        if cmd_name in COMMANDS and cmd_name not in self.commands:
            command = getattr(import_module(f"backfill.commands.{cmd_name}"), COMMANDS[cmd_name])
            add_account_options(command, cmd_name, is_first=False)
            add_completions(command, (cmd_name,))
            self.add_command(command)
        return super().get_command(ctx, cmd_name)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, and note whether any command is asked for JSON."""
        ctx.obj = AS_JSON in args
        ctx.meta[HELP] = not {*ctx.help_option_names}.isdisjoint(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; click prints its error on standard error."""
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            vars(error)["message"] = escape_lines(error.message)  # final for subclasses; click prints it
            if ctx.obj:
                print_json({"error": error.format_message(), "exit_status": error.exit_code})
            raise


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=EXAMPLES,
)
@click.option(
    "--project",
    "named",
    metavar="DIR",
    envvar=VARIABLE,
    show_envvar=True,
    help=f"The project to work in; unless told, the nearest folder upwards that has a {FILE}.",
)
@click.version_option(__version__, prog_name="dynaurora", message="%(prog)s %(version)s")
@click.pass_context
def main(context: click.Context, named: str | None) -> None:
    """Replicate DynamoDB tables into Aurora MySQL.

    Commands work in a project: a folder with a dynaurora.toml and a mapping for each table, which `dynaurora init`
    makes.
    """
    if not context.meta[HELP] and context.invoked_subcommand != NEEDS_NO_PROJECT:
        use_project(context, named)


add_account_options(main)
click.Context.formatter_class = FoldedHelp

if __name__ == "__main__":
    main()
