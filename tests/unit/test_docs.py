"""The commands in docs/ exist as they are written there."""

import re
import shlex
from pathlib import Path

import click
import pytest

from backfill.cli import main

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^(?P<indent> *)```console\n(?P<body>.*?)^ *```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?<![\w=/])dynaurora (?P<words>[^)|\n]+)")
"""One of ours, also where it is in `$(…)` or before a pipe."""


def list_documented():
    for path in sorted(DOCS.rglob("*.md")):
        for block in BLOCK.finditer(path.read_text("utf-8")):
            yield from ((path.name, command["words"].strip()) for command in COMMAND.finditer(block["body"]))


@pytest.mark.parametrize(("_page", "words"), [*list_documented()])
def test_a_documented_command_is_understood(_page, words):
    words = shlex.split(words, comments=True)
    context = click.Context(main)
    command: click.Command = main
    while isinstance(command, click.Group):
        name, command, words = command.resolve_command(context, words)
        assert command, name
    command.make_context(name, words)


def test_there_are_commands_in_the_docs():
    assert len(list(list_documented())) > 10
