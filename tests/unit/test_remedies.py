"""Remedies tell the truth: the commands that they name are understood, and those that change nothing are run."""

import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from backfill.cli import main
from dynaurora.errors import DynauroraError, remedy_for, subclasses
from dynaurora.target.check_target import REMEDIES, REMEDIES_OF_ERRORS

COMMAND = re.compile(r"`dynaurora (?P<words>[^`]+)`")
PROJECT = Path(__file__).parents[2]
STANDING_FOR = {
    "MAPPING": "web_analytics",
    "RUN": "20261123T081500Z",
    "FILE": str(PROJECT / "examples/web_analytics/mappings/web_analytics.json"),
    "CA": str(PROJECT / "setup.cfg"),
}
"""What a reader puts in the place of a name, where its value has a form."""
HARMLESS = re.compile(r"mapping check .*|.* --help")


def list_texts():
    yield from (cls.remedy for cls in subclasses(DynauroraError))
    yield from (remedy_for(name) for name in ("States.Timeout", "Unknown"))
    yield from (*REMEDIES.values(), *REMEDIES_OF_ERRORS.values())


COMMANDS = sorted({found["words"] for text in list_texts() for found in COMMAND.finditer(text)})


def read_words(command):
    return [STANDING_FOR.get(word, word) for word in shlex.split(command)]


def test_there_are_commands_in_remedies():
    assert len(COMMANDS) > 5
    assert any(map(HARMLESS.fullmatch, COMMANDS))


@pytest.mark.parametrize("words", COMMANDS)
def test_a_command_of_a_remedy_is_understood(words):
    command, rest = main, read_words(words)
    context = click.Context(main, **main.context_settings)
    while isinstance(command, click.Group):
        name, command, rest = command.resolve_command(context, rest)
        assert command, name
    if "--help" not in rest:
        command.make_context(name, rest, parent=context)


@pytest.mark.parametrize("words", [*filter(HARMLESS.fullmatch, COMMANDS)])
def test_a_command_that_changes_nothing_does_what_it_says(words):
    assert CliRunner().invoke(main, read_words(words)).exit_code == 0


@pytest.mark.parametrize("text", sorted({*list_texts()} - {""}))
def test_every_word_in_capitals_has_a_place_in_a_command(text):
    """A remedy that says MAPPING outside of a command would be filled in by nobody."""
    outside = COMMAND.sub("", text)
    assert not re.search(r"\b(MAPPING|RUN|FILE|HOST|CA)\b", outside)
