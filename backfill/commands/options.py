"""Options that several commands have."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import click

from backfill.terminal.console import WrongUseError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class NumberRange(click.FloatRange):
    """A range of numbers. Python reads "nan" as one too, and it is neither above nor below any bound."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number. Raises BadParameter where it is none, or out of the range."""
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


class PercentRange(NumberRange):
    """A range of percentages, which people write with a sign or without."""

    name = "percentage"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number. Raises BadParameter where it is none, or out of the range."""
        return super().convert(value.removesuffix("%") if isinstance(value, str) else value, param, ctx)


stack_option: Final = click.option(
    "--stack", metavar="NAME", help="The CloudFormation stack to ask, where several are deployed."
)
json_option: Final = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON, for scripts.")
dry_run_option: Final = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
yes_option: Final = click.option("--yes", is_flag=True, help="Do not ask.")
every_option: Final = click.option(
    "--every",
    type=NumberRange(0.2, 600),
    default=3.0,
    show_default=True,
    metavar="SECONDS",
    help="How often a watch looks.",
)
watch_option: Final = click.option(
    "--watch", "watching", is_flag=True, help="Watch the run until it ends; Ctrl-C leaves it running."
)
concurrency_option: Final = click.option(
    "--max-concurrency",
    type=click.IntRange(1, 1000),
    metavar="N",
    help="Batches at the same time, at most; the deployment bounds it below the importer's own concurrency.",
)
prefix_option: Final = click.option(
    "--prefix", metavar="P", help="Only what is under this prefix of the landing bucket, or this key."
)


def several_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command that is about some replications, or all, its arguments."""
    several = (
        click.argument("mappings", metavar="[MAPPING…]", nargs=-1),
        click.option("--all", "everything", is_flag=True, help="Every replication of the project."),
        dry_run_option,
        stack_option,
        json_option,
    )
    return apply_options(command, several)


def apply_options(command: Callable[..., None], options: Sequence[Callable[..., Any]]) -> Callable[..., None]:
    """Give a command options, in the order in which its help tells of them."""
    for option in reversed(options):
        command = option(command)
    return command


def check_needs_no_answer(*, as_json: bool, is_answered: bool) -> None:
    """Raise WrongUseError where scripts would be asked a question: their standard output is JSON alone."""
    if as_json and not is_answered:
        raise WrongUseError("--json asks nothing: give --yes or --dry-run too.")
