"""What a million changes and a million backfilled items cost: the tables and the plot of docs/cost.md.

    python -m benchmarks.cost_model            prints the tables of docs/cost.md
    python -m benchmarks.cost_model --write    and puts them, and the plot, into docs/

Quantities are those of `backfill.costs.quantities` and `infra.monthly_costs`, prices those of `dynaurora.runs.costs`.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from backfill.costs.quantities import (
    MILLION,
    Assumptions,
    cost_backfill,
    cost_changes,
    cost_tables,
    cost_verifications,
    count_batches,
)
from benchmarks.documents import to_table, write_marked
from dynaurora.pages.plots import draw_lines, make_file
from dynaurora.runs.costs import PRICES
from infra.monthly_costs import count_platform, count_replication, list_templates, price_all

if TYPE_CHECKING:
    from collections.abc import Iterable

DOCS = Path(__file__).resolve().parent.parent / "docs"
RATES = (1, 10, 100, 1_000, 10_000)
"""Changes per second that the tables and the plot have."""
COUNTS = (1, 10, 100)
"""Tables of a platform."""
BUFFERS = ((0, 0), (0, 5), (60, 5), (300, 5))
"""BufferSeconds and TransformBufferSeconds that are held beside each other."""


def tables(assumed: Assumptions | None = None) -> dict[str, str]:
    """Return the tables of docs/cost.md, by their marks."""
    assumed = assumed or Assumptions()
    uncached = replace(assumed, page_reads_of_a_row=1.0)
    return {
        "changes": _by_column(
            "a million changes, at so many a second", {f"{rate:,}": cost_changes(rate, assumed) for rate in RATES}
        ),
        "latency": _by_buffer(assumed),
        "backfill": _by_column(
            "a million items, of a table of so many",
            {f"{items:,}": cost_backfill(items, assumed) for items in (10_000, MILLION, 10**9)},
        ),
        "verifications": _by_column(
            "a month, verified each week, of a table of so many items",
            {f"{items:,}": cost_verifications(items, assumed) for items in (10_000, MILLION, 100 * MILLION)},
        ),
        "rest": _by_column(
            "a month at rest", {"the platform": count_platform(list_templates()), "each table": count_replication()}
        ),
        "tables": _by_count(assumed),
        "busy": _by_column(
            "a month, of so many busy tables",
            {f"{count}": cost_tables(count, busy=True, assumed=assumed) for count in COUNTS},
        ),
        "reads": to_table(
            ("where no key is in Aurora's memory", "a million, dollars"),
            [
                ("changes, at 100 a second", f"{price_all(cost_changes(100, uncached)):.3f}"),
                ("items of a backfill of a million", f"{price_all(cost_backfill(MILLION, uncached)):.3f}"),
            ],
        ),
        "prices": to_table(
            ("what", "dollars", "for one"),
            [(what, f"{usd:.10f}".rstrip("0"), unit) for what, (usd, unit) in PRICES.items()],
        ),
    }


def _by_count(assumed: Assumptions) -> str:
    platform = price_all(count_platform(list_templates()))
    rows = []
    for name, is_busy in (("at rest", False), ("busy", True)):
        costs = [price_all(cost_tables(count, busy=is_busy, assumed=assumed)) for count in COUNTS]
        rows += [
            (f"tables {name}", *(f"{cost:,.2f}" for cost in costs)),
            (f"**with the platform, {name}**", *(f"**{platform + cost:,.2f}**" for cost in costs)),
        ]
    batches = ("batches of busy ones", *(f"{count_batches(count, assumed):,.0f}" for count in COUNTS))
    return to_table(("dollars a month, of so many tables", *(f"{count}" for count in COUNTS)), [*rows, batches])


def _by_buffer(assumed: Assumptions) -> str:
    rates = RATES[:4]
    rows = []
    for seconds, transform_seconds in BUFFERS:
        buffered = replace(assumed, buffer_seconds=seconds, transform_seconds=transform_seconds)
        costs = (price_all(cost_changes(rate, buffered)) for rate in rates)
        rows.append((f"{seconds} and {transform_seconds}", *(f"{cost:,.3f}" for cost in costs)))
    title = "dollars for a million changes, at so many a second, by `BufferSeconds` and `TransformBufferSeconds`"
    return to_table((title, *(f"{rate:,}" for rate in rates)), rows)


def _by_column(title: str, columns: dict[str, dict[str, float]]) -> str:
    whats = sorted(
        {what for quantities in columns.values() for what in quantities},
        key=lambda what: (-max(quantities.get(what, 0) * PRICES[what][0] for quantities in columns.values()), what),
    )
    rows = [
        (what, *(f"{quantities.get(what, 0) * PRICES[what][0]:.3f}" for quantities in columns.values()))
        for what in whats
    ]
    rows.append(("**together**", *(f"**{price_all(quantities):.3f}**" for quantities in columns.values())))
    return to_table((title, *columns), rows)


def plot(assumed: Assumptions | None = None) -> str:
    """Return the plot of docs/cost.md, as SVG: dollars for a million changes, by their rate."""
    assumed = assumed or Assumptions()
    costs = {rate: cost_changes(rate, assumed) for rate in RATES}
    lines = {"together": [price_all(costs[rate]) for rate in RATES]}
    for what in ("Firehose", "Step Functions", "Lambda compute"):
        lines[what] = [costs[rate][what] * PRICES[what][0] for rate in RATES]
    labels = [f"{rate:,}" for rate in RATES]
    return make_file(draw_lines("US dollars for a million changes", "changes per second", labels, lines))


def main(arguments: Iterable[str] | None = None) -> None:
    """Print the tables, and write them where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put tables and plot into docs/")
    options = parser.parse_args(None if arguments is None else list(arguments))
    print("\n\n".join(tables().values()))
    if options.write:
        write_marked(DOCS / "cost.md", tables())
        (DOCS / "cost.svg").write_text(plot(), "utf-8")


if __name__ == "__main__":
    main()
