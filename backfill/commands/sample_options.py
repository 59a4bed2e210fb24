"""Options that say which items are read, and how many of them."""

from __future__ import annotations

from typing import Final

import click

from backfill.commands.options import NumberRange
from backfill.samples import FILE_SAMPLE, MOST_SAMPLE, TABLE_SAMPLE

export_option: Final = click.option(
    "--export", metavar="ARN", help="An export's ARN, or s3://BUCKET/…/manifest-summary.json."
)
items_option: Final = click.option(
    "--items", metavar="FILE", help='A file of typed items, one {"Item": …} a line; - is standard input.'
)
sample_option: Final = click.option(
    "--sample",
    type=click.IntRange(1, MOST_SAMPLE),
    metavar="N",
    help=f"How many items to read; {TABLE_SAMPLE:,} of a table, {FILE_SAMPLE:,} of an export or file unless given.",
)
rate_option: Final = click.option(
    "--rate",
    type=NumberRange(0.5, 40_000),
    default=100.0,
    show_default=True,
    metavar="UNITS",
    help="Read units a second that a table is read with, at most.",
)
