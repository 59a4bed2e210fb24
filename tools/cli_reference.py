"""The command reference: docs/cli.md, the `--help` of every command, in the order in which help lists them.

    python -m tools.cli_reference            prints it
    python -m tools.cli_reference --write    and puts it into docs/cli.md

Help is wrapped at a width of its own, whatever terminal this runs in, so that the same commands give the same page.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from backfill.cli import main

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "cli.md"
WIDTH: Final = 100
"""Characters of a line, the most that the command line itself uses."""
HEAD: Final = """\
# Commands

What `--help` says of every command. This page is generated: `make docs` writes it again.
"""


def render() -> str:
    """Return the page: a heading for each command, and its help below."""
    root = click.Context(main, info_name="dynaurora", terminal_width=WIDTH, **main.context_settings)
    return "\n".join([HEAD, *_sections(main, root)])


def _sections(command: click.Command, context: click.Context) -> Iterator[str]:
    help_text = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    yield f"## {context.command_path}\n\n```text\n{help_text}\n```\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            if inner := command.get_command(context, name):
                yield from _sections(inner, click.Context(inner, context, name, **inner.context_settings))


def run(arguments: Sequence[str]) -> None:
    """Print the page, or write it where `--write` is asked for."""
    if "--write" in arguments:
        PAGE.write_text(render(), "utf-8")
    else:
        sys.stdout.write(render())


if __name__ == "__main__":
    run(sys.argv[1:])
