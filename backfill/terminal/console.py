"""What the commands print with, and the errors that they end with.

Results go to standard output, progress and messages to standard error. Exit status: 0 done, 1 it failed (the reason is
on standard error), 2 the command named something that does not exist, or a value that cannot be.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from rich.console import Console

from backfill.terminal.tables import format_table, tell_pair
from dynaurora.escaping import escape_lines, escape_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

NAME: Final = "dynaurora"
PAIR_WIDTH: Final = 15
GIVEN: Final = "dynaurora.given"
"""Where a command's context has the account's options that were given, as --region, by their names."""

errors: Final = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
output: Final = Console(highlight=False, soft_wrap=True, emoji=False)  # `:secret:` in an ARN is none


class WrongUseError(click.ClickException):
    """The command cannot mean what it says; the message names the thing, the reason and the next step."""

    exit_code = 2


_heard: ContextVar[list[str] | None] = ContextVar("heard", default=None)


@contextmanager
def hearing() -> Iterator[list[str]]:
    """Yield a list that takes what is said meanwhile, in place of standard error; how far something is goes nowhere."""
    heard: list[str] = []
    token = _heard.set(heard)
    try:
        yield heard
    finally:
        _heard.reset(token)


def say(line: str, *, is_progress: bool = False) -> None:
    """Tell something that is not the command's result."""
    heard = _heard.get()
    if heard is None:
        errors.print(escape_lines(line), markup=False)
    elif not is_progress:
        heard.append(line)


@contextmanager
def telling_at_interrupt(line: str) -> Iterator[None]:
    """Where Ctrl-C ends a command, say what goes on without it, and how one comes back."""
    try:
        yield
    except KeyboardInterrupt:
        say(line)
        raise


def print_line(line: str = "") -> None:
    """Print one line of the command's result, whatever is in it."""
    output.print(escape_text(line), markup=False)


def print_lines(text: str) -> None:
    """Print a text of some lines, which all are the command's own."""
    output.print(escape_lines(text), markup=False)


def print_folded(beginning: str, text: str) -> None:
    """Print a text behind its beginning; on a terminal it goes on below itself, and no word is broken that fits."""
    width = find_width()
    for line in tell_pair(beginning.rstrip(), escape_text(text), len(beginning) - 1, width):
        print_line(line)


def print_json(document: Any) -> None:
    """Print the command's result for machines, on one line."""
    click.echo(json.dumps(document))


def print_pairs(pairs: Iterable[tuple[str, str]], beside: int = PAIR_WIDTH) -> None:
    """Print names and values in two columns, whatever is in them; a value goes on below itself on a terminal."""
    width = find_width()
    for name, value in pairs:
        for line in tell_pair(escape_text(name), escape_text(value), beside, width):
            print_line(line)


def print_table(
    rows: Sequence[Sequence[str]],
    numeric: frozenset[int] = frozenset(),
    *,
    header: bool = True,
    below: tuple[int, ...] = (),
    indent: int = 0,
) -> None:
    """Print a table as wide as the terminal; a line for each row where nobody looks (see `format_table`)."""
    width = find_width()
    room = None if width is None else width - indent
    for line in format_table(rows, numeric, room, header=header, below=below):
        print_line(" " * indent + line if line else "")


def find_width() -> int | None:
    """Return how many cells a line of the result may have: the terminal's, or COLUMNS where that is set.

    None where the result goes to a file or another program: its lines are not folded.
    """
    return output.width if is_seen(output) or os.environ.get("COLUMNS", "").isdigit() else None


def is_seen(console: Console) -> bool:
    """Tell whether a person looks, so that what is shown may change in place. FORCE_COLOR asks for colour alone."""
    return console.is_terminal and console.file.isatty() and not console.is_dumb_terminal


def name_command(*words: str, stack: str | None = None) -> str:
    """Return a command as a person types it, with the stack, region and profile that were named.

    By its path where it is not on the PATH.
    """
    context = click.get_current_context(silent=True)
    given: dict[str, str] = context.find_root().meta.get(GIVEN, {}) if context else {}
    options = {"--stack": stack, **given} if stack else given
    return " ".join([_name_program(), *words, *(shlex.quote(word) for pair in options.items() for word in pair)])


def _name_program() -> str:
    called = Path(sys.argv[0])
    if called.name != NAME or shutil.which(NAME) == str(called.absolute()):
        return NAME
    here = Path.cwd()
    return str(called.absolute().relative_to(here) if called.absolute().is_relative_to(here) else called)
