"""`dynaurora cost`: what replicating a table costs in a month, by its size, its writes and the project's settings."""

from __future__ import annotations

from typing import Any, Final

import click

from backfill.calculating import BUFFER_SECONDS, NEVER, VERIFYING, Basis, Given, Number, find_basis
from backfill.commands.options import NumberRange, json_option
from backfill.costs.calculator import (
    BACKFILLS,
    CHANGES,
    RECOVERY_GB_USD,
    REST,
    VERIFICATIONS,
    Bill,
    Part,
    TableUsage,
    calculate,
)
from backfill.costs.traffic import MINUTE
from backfill.deployment.aws_errors import explained_errors
from backfill.deployment.plans import choose_templates, count_endpoint_zones
from backfill.deployment.written import MOST_DAYS
from backfill.project import FILE
from backfill.terminal.console import print_json, print_line, print_pairs, print_table
from backfill.terminal.formatting import format_seconds, format_time, format_usd
from infra.monthly_costs import count_platform

PRICES: Final = "list prices of us-east-1, November 2025, without free tiers; other Regions' differ"
MOST_ITEM_BYTES: Final = 400 * 1024
"""Of an item (DynamoDB Developer Guide, "Quotas in Amazon DynamoDB")."""
DAY: Final = 24 * 3600
CENT: Final = 0.005
"""Dollars that are shown as a cent, at least."""
MOST_NAMED: Final = 2
"""Services that are named of a part."""
NOT_INCLUDED: Final = (
    "Aurora's capacity, storage and backups",
    "DynamoDB's own reads and writes",
    "point-in-time recovery of the table",
    "taking up what failed",
    "objects kept in S3",
    "access to the database by sessions",
    "data transfer",
)
EPILOG: Final = """\b
Examples:
  dynaurora cost orders
  dynaurora cost orders --buffer-seconds 300 --verify-every 7d
  dynaurora cost --table Orders --days 3
  dynaurora cost --items 1e6 --item-bytes 500 --writes-per-second 100
  dynaurora cost orders --tables 10 --backfills 0
  dynaurora cost orders --json | jq .usd

It needs, and infra/read-policy.json allows, dynamodb:DescribeTable and cloudwatch:GetMetricData; nothing where --items,
--item-bytes and --writes-per-second are given.
"""


@click.command(epilog=EPILOG)
@click.argument("mapping", required=False)
@click.option("--table", metavar="T", help="A table that the project has no mapping of.")
@click.option("--items", type=NumberRange(1, 10**13), metavar="N", help="Items; DescribeTable's count unless told.")
@click.option(
    "--item-bytes",
    type=NumberRange(1, MOST_ITEM_BYTES),
    metavar="B",
    help="Bytes of an item, as DynamoDB counts them; by DescribeTable unless told.",
)
@click.option(
    "--writes-per-second",
    type=NumberRange(0, 10**7),
    metavar="R",
    help="Writes a second, all the time; those that CloudWatch counted unless told, minute by minute.",
)
@click.option(
    "--buffer-seconds",
    type=NumberRange(0, 900),
    metavar="S",
    help=f"For how long changes are collected; BufferSeconds in {FILE} unless told.",
)
@click.option(
    "--verify-every",
    metavar="TIME",
    help=f"How often the table is verified: 7d, 12h or {NEVER}; {VERIFYING} in {FILE} unless told.",
)
@click.option(
    "--backfills",
    type=NumberRange(0, 100_000),
    default=1,
    show_default=True,
    metavar="N",
    help="Backfills a month.",
)
@click.option(
    "--days",
    type=NumberRange(0.01, MOST_DAYS),
    metavar="D",
    help="How far back writes are looked at; 14 unless told, the most that is there by the minute.",
)
@click.option(
    "--tables",
    type=click.IntRange(1, 100_000),
    default=1,
    show_default=True,
    metavar="N",
    help="Tables like this one, on one platform.",
)
@json_option
def cost(
    mapping: str | None,
    table: str | None,
    items: float | None,
    item_bytes: float | None,
    writes_per_second: float | None,
    buffer_seconds: float | None,
    verify_every: str | None,
    backfills: float,
    days: float | None,
    tables: int,
    as_json: bool,
) -> None:
    """Calculate what replicating a table costs in a month, beside Aurora.

    Items are counted by DynamoDB, up to six hours ago. Writes are those of the last two weeks, or since the table was
    made, as CloudWatch has them: in write units, which are not writes. A write takes one for each KB of its item,
    rounded up, so units are divided by those of an item of mean size; transactions take twice as many, which makes
    writes of them seem two. What time to live has deleted is added. Changes cost more each where there are few, so each
    minute counts by its own rate, and one without a write costs nothing.

    All three can be given instead, and then nothing is asked of AWS. Settings are those of the project's
    dynaurora.toml. Items are taken to cost as the example's do, by their bytes. Prices are list prices of us-east-1.
    """
    given = Given(mapping, table, items, item_bytes, writes_per_second, buffer_seconds, verify_every, days)
    with explained_errors():
        basis = find_basis(given)
    settings = basis.settings
    usage = TableUsage(
        basis.items.value,
        basis.item_bytes.value,
        basis.traffic,
        backfills,
        settings.verifications.value,
        settings.looks.value,
    )
    platform = count_platform(choose_templates(settings.platform), count_endpoint_zones(settings.platform))
    bill = calculate(usage, platform, settings.assumptions, tables)
    if as_json:
        print_json(describe(basis, bill))
    else:
        show(basis, bill)


# For machines


def describe(basis: Basis, bill: Bill) -> dict[str, Any]:
    """Return a bill and what it rests on, for machines: of all tables, but for what says that it is of one."""
    settings, usage = basis.settings, bill.usage
    return {
        "table": basis.table,
        "tables": bill.tables,
        "prices": PRICES,
        "usd": round(bill.together.usd, 4),
        "usd_of_a_backfill": round(bill.backfill.usd, 4),
        "usd_of_a_verification": round(bill.verification.usd, 4),
        "usd_of_recovery": round(usage.gigabytes * RECOVERY_GB_USD * bill.tables, 4),
        "parts": [part.as_dict() for part in bill.parts],
        "services": bill.together.as_dict()["services"],
        "items": basis.items.as_dict(),
        "item_bytes": basis.item_bytes.as_dict(),
        "writes_per_second": {
            **basis.writes.as_dict(),
            "peak": basis.traffic.peak,
            "busy_share": round(basis.traffic.busy, 6),
            "seconds": basis.seconds and round(basis.seconds),
            "stretch_seconds": basis.stretch_seconds,
        },
        "changes": round(usage.changes * bill.tables),
        "settings": {
            "buffers": {name: number.as_dict() for name, number in settings.buffers.items()},
            "verifications": settings.verifications.as_dict(),
            "looks_for_failures": settings.looks.as_dict(),
        },
        "backfills": usage.backfills * bill.tables,
        "not_included": list(NOT_INCLUDED),
    }


# For people


def show(basis: Basis, bill: Bill) -> None:
    """Print a bill, and what it rests on."""
    together = bill.together
    rows = [(name_part(part, bill), f"{part.usd:,.2f}", name_services(part)) for part in bill.parts]
    print_table([("PART", "$ A MONTH", "MOST OF IT"), *rows, ("together", f"{together.usd:,.2f}", "")], frozenset({1}))
    print_line()
    services = [(what, f"{usd:,.2f}", f"{usd / together.usd:.0%}") for what, usd in sum_small(together.services)]
    print_table([("SERVICE", "$ A MONTH", "SHARE"), *services], frozenset({1, 2}))
    print_line()
    print_pairs(list_basis(basis, bill))


def name_part(part: Part, bill: Bill) -> str:
    """Return a part's name, with how much there is of it in all tables."""
    usage = bill.usage
    counts = {CHANGES: usage.changes, BACKFILLS: usage.backfills, VERIFICATIONS: usage.verifications}
    if part.name == REST and bill.tables > 1:
        return f"{bill.tables:,} tables at rest"
    if part.name not in counts:
        return part.name
    count = counts[part.name] * bill.tables
    if count == 1:
        return f"1 {part.name.removesuffix('s')}"
    return f"{count:,.0f} {part.name}" if count >= 100 or count == int(count) else f"{count:.1f} {part.name}"


def sum_small(services: dict[str, float]) -> list[tuple[str, float]]:
    """Return dollars by what is paid for, with what is less than a cent together in the end."""
    small = {what: usd for what, usd in services.items() if usd < CENT}
    small = small if len(small) > 1 else {}
    some = [pair for pair in services.items() if pair[0] not in small]
    return [*some, (f"{len(small)} others", sum(small.values()))] if small else some


def name_services(part: Part) -> str:
    """Return what most of a part is paid for."""
    return ", ".join(f"{what} {usd:,.2f}" for what, usd in [*part.services.items()][:MOST_NAMED] if usd >= CENT)


def list_basis(basis: Basis, bill: Bill) -> list[tuple[str, str]]:
    """Return what a bill rests on, and what is not in it, as names and values."""
    settings, usage = basis.settings, bill.usage
    recovery = f"{format_usd(usage.gigabytes * RECOVERY_GB_USD * bill.tables)} a month, by its bytes"
    seconds = settings.buffers[BUFFER_SECONDS]
    return [
        *([("table", basis.table)] if basis.table else []),
        *([("tables", f"{bill.tables:,} like this one, on one platform")] if bill.tables > 1 else []),
        ("items", f"{basis.items.value:,.0f}, {basis.items.source}"),
        ("bytes of one", f"{basis.item_bytes.value:,.0f}, {basis.item_bytes.source}"),
        ("writes", describe_writes(basis)),
        ("collected for", f"{seconds.value:g} s, {seconds.source}"),
        ("verified", describe_verifications(settings.verifications)),
        ("a backfill", f"{format_usd(bill.backfill.usd)} each time"),
        ("a verification", f"{format_usd(bill.verification.usd)} each time"),
        ("prices", PRICES),
        ("not included", "; ".join(NOT_INCLUDED)),
        ("recovery", f"{recovery}: without it there is no export for a backfill"),
    ]


def describe_writes(basis: Basis) -> str:
    """Return how many writes there are, and how that is known."""
    writes, traffic = basis.writes, basis.traffic
    if basis.seconds is None or basis.stretch_seconds is None:
        return f"{writes.value:g} a second all the time, {writes.source}"
    until = f"the {format_seconds(basis.seconds)} until {format_time(writes.at)}"
    if not traffic.shares:
        return f"none in {until}, {writes.source}"
    stretches = "minute" if basis.stretch_seconds == MINUTE else f"{format_seconds(basis.stretch_seconds)}"
    short = "; less than a day tells little of a month" if basis.seconds < DAY else ""
    return (
        f"{traffic.mean:.3g} a second on the mean of {until}, {traffic.peak:.3g} in the busiest {stretches}, none in"
        f" {1 - traffic.busy:.0%} of the time; {writes.source}{short}"
    )


def describe_verifications(number: Number) -> str:
    """Return how often a table is verified, and how that is known."""
    return f"{number.value:.3g} times a month, {number.source}" if number.value else f"never, {number.source}"
