"""Options that several commands have."""

from __future__ import annotations

import math
from typing import Any, Final

import click


class NumberRange(click.FloatRange):
    """A range of numbers. Python reads "nan" as one too, and it is neither above nor below any bound."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number. Raises BadParameter where it is none, or out of the range."""
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


stack_option: Final = click.option(
    "--stack", metavar="NAME", help="The CloudFormation stack to ask, where several are deployed."
)
json_option: Final = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON, for scripts.")
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
