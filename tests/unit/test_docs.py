"""The commands in docs/ exist as they are written there."""

import re
import shlex

import click
import pytest

from backfill.cli import main
from dynaurora.costs import PRICES
from tests.reader import DOCS, list_pages, read_blocks

COMMAND = re.compile(r"(?<![\w=/])dynaurora (?P<words>[^)|\n]+)")
"""One of ours, also where it is in `$(…)` or before a pipe."""


def list_documented():
    for page in list_pages():
        for block in read_blocks(page):
            yield from ((page, command["words"].strip()) for command in COMMAND.finditer(block.commands))


@pytest.mark.parametrize(("_page", "words"), [*list_documented()])
def test_a_documented_command_is_understood(_page, words):
    words = shlex.split(words, comments=True)
    context = click.Context(main)
    command: click.Command = main
    while isinstance(command, click.Group):
        name, command, words = command.resolve_command(context, words)
        assert command, name
    command.make_context(name, words)


PRICE = re.compile(r"\| (?P<what>[^|]+) \| (?P<usd>[0-9.]+) \| (?P<unit>[^|]+) \|")


def test_the_documented_prices_are_those_of_the_estimate():
    text = (DOCS / "backfill.md").read_text("utf-8")
    documented = {row["what"]: (float(row["usd"]), row["unit"]) for row in PRICE.finditer(text)}
    assert documented == {what: (pytest.approx(usd), unit) for what, (usd, unit) in PRICES.items()}


def test_there_are_commands_in_the_docs():
    assert len(list(list_documented())) > 10
