"""What the commands of the local AWS have in common: their options, their words for errors, and where they print."""

from __future__ import annotations

import shutil
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from backfill.project import current_project
from backfill.terminal import console
from backfill.terminal.console import errors
from dynaurora.escaping import escape_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local.state import State

ENGINES = ("mariadb", "mysql")
DEFAULT_TIMEOUT_SECONDS = 600.0
PAIR_WIDTH = 18

with_engine = click.option(
    "--engine",
    type=click.Choice(ENGINES),
    envvar="DYNAURORA_ENGINE",
    show_envvar=True,
    help="Database server that stands for Aurora; mariadb unless told.",
)


def with_timeout(what: str) -> Callable[[Any], Any]:
    """Return the option that bounds how long a command waits for something."""
    return click.option(
        "--timeout",
        type=click.FloatRange(1),
        default=DEFAULT_TIMEOUT_SECONDS,
        show_default=True,
        metavar="SECONDS",
        help=f"How long to wait for {what}.",
    )


@contextmanager
def explained_errors() -> Iterator[None]:
    """End the command with status 1 and an error's message, for those that say what to do."""
    from local.expected_errors import EXPECTED

    try:
        yield
    except EXPECTED as error:
        raise click.ClickException(str(error)) from error


def find_running() -> State:
    """Return the state of the running local AWS, or end the command."""
    from local.state import read_state

    state = read_state(current_project().state_directory)
    if state is None:
        raise click.ClickException(f"The local AWS is not running; start it with: {name_command()} local up")
    return state


def say(line: str) -> None:
    """Tell of a step, on standard error."""
    errors.print(Text(f"{escape_text(line)} …", style="dim"))


def print_pairs(pairs: dict[str, Any]) -> None:
    """Print names and values in two columns."""
    console.print_pairs(((name, str(value)) for name, value in pairs.items()), PAIR_WIDTH)


def name_command() -> str:
    """Return what a person types for this command: its path, where it is not on the PATH."""
    called = Path(sys.argv[0])
    if shutil.which(called.name) == str(called.absolute()):
        return called.name
    here = Path.cwd()
    return str(called.absolute().relative_to(here) if called.absolute().is_relative_to(here) else called)
