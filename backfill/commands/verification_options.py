"""Options that commands have which compare items with rows, and read them."""

from __future__ import annotations

from typing import Final

import click

from backfill.commands.options import NumberRange
from dynaurora.verification.judging import PATIENCE_SECONDS
from dynaurora.verification.watermark import TRANSIT_SECONDS

read_units_option: Final = click.option(
    "--read-units",
    type=NumberRange(1, 1_000_000),
    default=200.0,
    show_default=True,
    metavar="N",
    help="Read units a second that reading items may use.",
)
settle_option: Final = click.option(
    "--settle",
    type=NumberRange(1, 86400),
    default=float(TRANSIT_SECONDS),
    show_default=True,
    envvar="DYNAURORA_SETTLE_SECONDS",
    show_envvar=True,
    metavar="SECONDS",
    help="What a change takes at most until it is in the bucket: a difference younger than that may be on its way.",
)
patience_option: Final = click.option(
    "--patience",
    type=NumberRange(1, 86400),
    default=PATIENCE_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="For how long differences, and batches that wait, are looked at again.",
)
