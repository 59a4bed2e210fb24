import click
import pytest

from backfill.cli import main
from backfill.terminal.help import FoldedHelp


def write(line, width=80):
    formatter = FoldedHelp(width=width)
    formatter.write(line)
    return formatter.getvalue().split("\n")


def list_commands(command=main, parent=None, name="dynaurora"):
    settings = {} if parent else {**main.context_settings, "terminal_width": 80}
    context = click.Context(command, parent, name, **settings)
    yield context
    for child in command.list_commands(context) if isinstance(command, click.Group) else ():
        yield from list_commands(command.get_command(context, child), context, child)


@pytest.mark.parametrize("context", [*list_commands()], ids=lambda context: context.command_path)
def test_no_help_is_wider_than_the_terminal(context):
    assert [line for line in context.get_help().split("\n") if len(line) > 80] == []


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
