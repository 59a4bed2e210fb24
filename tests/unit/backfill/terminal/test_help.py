import shlex

import click
import pytest

from backfill.cli import main
from backfill.terminal.help import EXAMPLE, FURTHER, IS_TYPED, FoldedHelp


def write(line, width=80):
    formatter = FoldedHelp(width=width)
    formatter.write(line)
    return formatter.getvalue().split("\n")


def list_commands(width=80, command=main, parent=None, name="dynaurora"):
    settings = {} if parent else {**main.context_settings, "terminal_width": width}
    context = click.Context(command, parent, name, **settings)
    yield context
    for child in command.list_commands(context) if isinstance(command, click.Group) else ():
        yield from list_commands(width, command.get_command(context, child), context, child)


def list_examples(help_text):
    """Return the commands of the examples as a shell reads them; what they do is below them where it does not fit."""
    lines = help_text.partition("Examples:\n")[2].replace("\\\n", "\0").split("\n")
    found = [EXAMPLE.fullmatch(line) for line in lines if not line.startswith(f"    {FURTHER}")]
    typed = [each[0].replace("\0", "") if "\0" in each[0] else each["command"] for each in found if each]
    return [shlex.split(command) for command in typed if IS_TYPED.search(command)]


@pytest.mark.parametrize("context", [*list_commands()], ids=lambda context: context.command_path)
def test_no_help_is_wider_than_the_terminal(context):
    assert [line for line in context.get_help().split("\n") if len(line) > 80] == []


@pytest.mark.parametrize("width", [80, 60, 50])
def test_every_example_can_be_typed_as_it_is_folded(width):
    shown = {context.command_path: context.get_help() for context in list_commands(width)}
    unfolded = {context.command_path: context.get_help() for context in list_commands(1000)}
    assert sum(" \\\n" in text for text in shown.values()) > 5
    for name, text in shown.items():
        assert list_examples(text) == list_examples(unfolded[name])


@pytest.mark.parametrize("width", [100, 80, 60])
def test_no_name_is_broken_at_a_hyphen(width):
    broken = [line for context in list_commands(width) for line in context.get_help().split("\n") if line[-1:] == "-"]
    assert broken == []


def test_what_is_quoted_and_a_word_that_is_too_long_stay_whole():
    assert write("  eval \"$(dynaurora completion bash)\" > '/a b/c' # it's", 30) == [
        "  eval \\",
        '      "$(dynaurora completion bash)" \\',
        "      > '/a b/c' # it's",
    ]


def test_what_fits_stays_as_it_is():
    assert write("  dynaurora status    see how all replications stand") == [
        "  dynaurora status    see how all replications stand"
    ]


def test_what_a_command_does_stands_below_it_where_both_do_not_fit():
    assert write("  dynaurora status    see how all replications stand", 30) == [
        "  dynaurora status",
        "      see how all replications",
        "      stand",
    ]


def test_a_command_that_is_folded_can_be_typed_as_it_is_shown():
    assert write("  dynaurora mapping infer --items orders.jsonl --table orders", 40) == [
        "  dynaurora mapping infer --items \\",
        "      orders.jsonl --table orders",
    ]


def test_what_is_no_command_is_folded_alone():
    assert write("    GRANT SELECT, INSERT ON Demo.* TO loader;", 30) == [
        "    GRANT SELECT, INSERT",
        "        ON Demo.* TO loader;",
    ]
