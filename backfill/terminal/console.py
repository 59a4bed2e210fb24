"""What the commands print with, and the errors that they end with.

Results go to standard output, progress and messages to standard error. Exit status: 0 done, 1 it failed (the reason is
on standard error), 2 the command named something that does not exist, or a value that cannot be.
"""

from __future__ import annotations

import json
import shutil
import sys
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from rich.console import Console

from dynaurora.escaping import escape_lines, escape_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

NAME: Final = "dynaurora"
PAIR_WIDTH: Final = 15

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


def print_line(line: str = "") -> None:
    """Print one line of the command's result."""
    output.print(escape_lines(line), markup=False)


def print_json(document: Any) -> None:
    """Print the command's result for machines, on one line."""
    click.echo(json.dumps(document))


def print_pairs(pairs: Iterable[tuple[str, str]]) -> None:
    """Print names and values in two columns, each pair on a line of its own, whatever is in it."""
    for name, value in pairs:
        print_line(escape_text(f"{name:<{PAIR_WIDTH}} {value}".rstrip()))


def name_command(*words: str, stack: str | None = None) -> str:
    """Return a command as a person types it: by its path where it is not on the PATH, with the stack that was named."""
    return " ".join([_name_program(), *words, *(["--stack", stack] if stack else [])])


def _name_program() -> str:
    called = Path(sys.argv[0])
    if called.name != NAME or shutil.which(NAME) == str(called.absolute()):
        return NAME
    here = Path.cwd()
    return str(called.absolute().relative_to(here) if called.absolute().is_relative_to(here) else called)
