"""`dynaurora completion`: what a shell completes words of a command with, names of mappings and runs among them.

Names of mappings are those of the project's files. Ids of runs are asked of AWS, for a moment; who cannot be asked is
passed over in silence, since a prompt is no place for an error.
"""

from __future__ import annotations

from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

import click
from click.shell_completion import CompletionItem, get_completion_class

from backfill.project import find_project, use_project
from backfill.terminal.console import NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from backfill.kinds import Kind

SHELLS: Final = ("bash", "zsh", "fish")
VARIABLE: Final = f"_{NAME.upper()}_COMPLETE"
"""By which the shell's script asks for words; click reads it."""
SECONDS: Final = 3.0
"""How long a prompt waits for AWS."""
RUNS_OFFERED: Final = 30
GROUPS_OF_RUNS: Final = frozenset({"backfill", "reprocess", "verify"})
"""What stands before `--run` where it is a run's id."""
IN_ORDER: Final = "complete --keep-order --no-files"
"""How fish is told to offer words as they come, the newest run first, as bash and zsh do."""
STOPPING: Final = "stop"
"""The command that only a run which goes on is given to."""
OF_MAPPINGS: Final = frozenset({"mapping", "mappings", "name", "names"})
"""What arguments are called that take a mapping."""
TAKING_FILES: Final = "mapping"
"""The group of commands that take a mapping's file, too."""
OF_RUNS: Final = frozenset({"run"})
EPILOG: Final = """\b
Examples:
  eval "$(dynaurora completion bash)"              in ~/.bashrc
  eval "$(dynaurora completion zsh)"               in ~/.zshrc, after compinit
  dynaurora completion fish > ~/.config/fish/completions/dynaurora.fish
"""


@click.command(epilog=EPILOG)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script by which SHELL completes commands, options, names of mappings and ids of runs.

    Bash has to be 4.4 or newer. Mappings are the project's; runs are asked of AWS, for at most three seconds.
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise click.ClickException(f"The installed click completes nothing for {shell}: upgrade it.")
    script = kind(context.find_root().command, {}, NAME, VARIABLE).source()
    click.echo(script.replace("complete --no-files", IN_ORDER))


class Completed(click.types.StringParamType):
    """A text that is completed from names that a function finds."""

    def __init__(self, find: Callable[[click.Context], Iterator[str]], *, or_file: bool = False) -> None:
        self._find = find
        self._or_file = or_file

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the names that begin so; where there are none, files may, if the command takes them."""
        given = ctx.params.get(param.name or "") or ()
        names = [name for name in find_briefly(ctx, self._find) if name.startswith(incomplete) and name not in given]
        if not names and self._or_file:
            return [CompletionItem(incomplete, type="file")]
        return [CompletionItem(name) for name in names]


def add_completions(command: click.Command, path: tuple[str, ...] = ()) -> None:
    """Have the words that name mappings and runs be completed, of a command and of all below it."""
    for parameter in command.params:
        if not isinstance(parameter.type, click.types.StringParamType):
            continue
        is_mapping = isinstance(parameter, click.Argument) or parameter.opts == ["--mapping"]
        if is_mapping and parameter.name in OF_MAPPINGS:
            parameter.type = Completed(find_mappings, or_file=TAKING_FILES in path)
        elif parameter.name in OF_RUNS and (isinstance(parameter, click.Argument) or GROUPS_OF_RUNS & set(path)):
            parameter.type = Completed(find_runs)
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            add_completions(inner, (*path, name))


def find_briefly(context: click.Context, find: Callable[[click.Context], Iterator[str]]) -> list[str]:
    """Return what is found within SECONDS, without a word where that fails."""
    found: list[str] = []

    def look() -> None:
        with suppress(Exception), context.scope(cleanup=False):
            found.extend(name for name in find(context) if name.isprintable() and " " not in name)

    worker = Thread(target=look, daemon=True)
    worker.start()
    worker.join(SECONDS)
    return list(dict.fromkeys(found))


def find_mappings(context: click.Context) -> Iterator[str]:
    """Yield the names of the project's mappings."""
    if project := find_project(_name_project(context)):
        yield from project.mapping_names()


def find_runs(context: click.Context) -> Iterator[str]:
    """Yield the ids of the newest runs of the kind that a command is of, or of both, the newest first."""
    from backfill.deployment.clients import connect_briefly  # these take a while, and few commands ask for them
    from backfill.deployment.deployments import find_deployments
    from backfill.runs.executions import list_executions
    from backfill.runs.run_ids import read_run

    kinds = _find_kinds(context)
    use_project(context.find_root(), _name_project(context))
    clients = connect_briefly()
    deployments = find_deployments(clients.cloudformation, context.params.get("stack"))
    listed = {
        execution.arn: (execution, run)
        for deployment in deployments
        for kind in kinds
        for execution in list_executions(clients.states, deployment.machine_arn(kind), RUNS_OFFERED)
        if (run := read_run(execution.name, deployment.mapping))
    }
    newest = sorted(listed.values(), key=lambda pair: pair[0].started_at, reverse=True)
    yield from (run for execution, run in newest if execution.is_running or context.info_name != STOPPING)


def _find_kinds(context: click.Context) -> list[Kind]:
    from backfill.kinds import BACKFILL, REPROCESS

    kinds = [BACKFILL, REPROCESS]
    names = context.command_path.split()
    return [kind for kind in kinds if kind.name in names] or kinds


def _name_project(context: click.Context) -> Any:
    return context.find_root().params.get("named")
