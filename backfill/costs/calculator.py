"""What tables cost in a month, part by part, by their size, their traffic and their settings.

Quantities are those of `backfill.costs.quantities` and `infra.monthly_costs`, of items as web_analytics has them;
others are taken to cost by their bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING, Any, Final

from backfill.costs.quantities import (
    HOURS_OF_A_WEEK,
    MEASURED_BYTES,
    MILLION,
    Assumptions,
    cost_backfill,
    cost_changes,
    cost_verifications,
)
from dynaurora.runs.costs import price
from infra.monthly_costs import (
    HOURS_OF_A_MONTH,
    METRICS_OF_A_TABLE,
    METRICS_OF_ALL_TABLES,
    count_replication,
    price_all,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backfill.costs.figures import Figures
    from backfill.costs.traffic import Traffic

RECOVERY_GB_USD: Final = 0.20
"""Point-in-time recovery, a month (aws.amazon.com/dynamodb/pricing/on-demand, us-east-1)."""
SECONDS_OF_A_MONTH: Final = HOURS_OF_A_MONTH * 3600
STARTS_OF_A_WEEKLY: Final = HOURS_OF_A_MONTH / HOURS_OF_A_WEEK
"""Of what starts each week, in a month."""

PLATFORM: Final = "platform"
REST: Final = "table at rest"
LOOKS: Final = "looks for failures"
CHANGES: Final = "changes"
BACKFILLS: Final = "backfills"
VERIFICATIONS: Final = "verifications"


@dataclass(frozen=True)
class TableUsage:
    """A table, and what is done with it in a month."""

    items: float
    item_bytes: float
    """Of an item, as DynamoDB counts it."""
    traffic: Traffic
    backfills: float = 1.0
    verifications: float = 0.0
    looks: float = float(HOURS_OF_A_MONTH)
    """For what failed."""

    @property
    def changes(self) -> float:
        """In a month."""
        return self.traffic.mean * SECONDS_OF_A_MONTH

    @property
    def gigabytes(self) -> float:
        """Of the table."""
        return self.items * self.item_bytes / 1e9


@dataclass(frozen=True)
class Part:
    """One part of what is paid in a month."""

    name: str
    quantities: Mapping[str, float]

    @property
    def usd(self) -> float:
        """What it costs, in US dollars."""
        return price_all(self.quantities)

    @property
    def services(self) -> dict[str, float]:
        """Dollars by what is paid for, the most first; what costs nothing is left out."""
        costs = {what: price_all({what: quantity}) for what, quantity in self.quantities.items()}
        return dict(sorted(((what, usd) for what, usd in costs.items() if usd), key=lambda pair: (-pair[1], pair[0])))

    def as_dict(self) -> dict[str, Any]:
        """Return it for machines."""
        lines = [vars(line) for line in price({what: self.quantities[what] for what in self.services})]
        return {"part": self.name, "usd": round(self.usd, 4), "services": lines}


@dataclass(frozen=True)
class Bill:
    """What is paid in a month."""

    usage: TableUsage
    """Of one table."""
    tables: int
    parts: tuple[Part, ...]
    """A platform's, then those of all tables."""
    backfill: Part
    """One, of one table."""
    verification: Part
    """One, of one table."""

    @property
    def together(self) -> Part:
        """All parts."""
        return Part("together", reduce(add, (part.quantities for part in self.parts), {}))


def calculate(
    usage: TableUsage, platform: Mapping[str, float], assumed: Assumptions | None = None, tables: int = 1
) -> Bill:
    """Return what is paid in a month: for a platform's own quantities at rest, and for so many tables like one."""
    assumed = replace(assumed or Assumptions(), looks_of_an_hour=usage.looks / HOURS_OF_A_MONTH)
    figures = fit_figures(assumed.figures, usage.item_bytes)
    assumed = replace(assumed, figures=figures, table_item_bytes=usage.item_bytes)
    rest = count_replication(0)
    looks = {what: quantity - rest[what] for what, quantity in count_replication(usage.looks).items()}
    backfill = multiply(cost_backfill(usage.items, assumed), usage.items / MILLION)
    verification = multiply(cost_verifications(usage.items, assumed), 1 / STARTS_OF_A_WEEKLY)
    of_each = {
        REST: rest,
        LOOKS: looks,
        CHANGES: count_changes(usage.traffic, assumed),
        BACKFILLS: multiply(backfill, usage.backfills),
        VERIFICATIONS: multiply(verification, usage.verifications),
    }
    of_all = {name: multiply(quantities, tables) for name, quantities in of_each.items()}
    shared = {"CloudWatch metrics": len(METRICS_OF_ALL_TABLES) * usage.traffic.busy_hours}
    of_all[CHANGES] = add(of_all[CHANGES], shared)
    parts = tuple(Part(name, quantities) for name, quantities in {PLATFORM: platform, **of_all}.items())
    return Bill(usage, tables, parts, Part("backfill", backfill), Part("verification", verification))


def count_changes(traffic: Traffic, assumed: Assumptions) -> dict[str, float]:
    """Return the quantities of a table's changes in a month, each stretch by its own rate, with its metrics."""
    used = {"CloudWatch metrics": len(METRICS_OF_A_TABLE) * traffic.busy_hours}
    for rate, share in traffic.shares.items():
        millions = rate * share * SECONDS_OF_A_MONTH / MILLION
        used = add(used, multiply(cost_changes(rate, assumed), millions))
    return used


def fit_figures(figures: Figures, item_bytes: float) -> Figures:
    """Return the figures for items of so many bytes: what is sent and written grows and shrinks with them.

    Time only grows: a smaller item takes what it takes.
    """
    ratio = item_bytes / MEASURED_BYTES
    slower = max(1.0, ratio)
    envelope = figures.change_bytes - figures.item_bytes
    return replace(
        figures,
        convert_cpu_us=figures.convert_cpu_us * slower,
        forward_cpu_us=figures.forward_cpu_us * slower,
        transform_cpu_us=figures.transform_cpu_us * slower,
        import_new_rows_per_second=figures.import_new_rows_per_second / slower,
        import_existing_rows_per_second=figures.import_existing_rows_per_second / slower,
        redo_bytes_new=figures.redo_bytes_new + figures.row_bytes * (ratio - 1),
        redo_bytes_existing=figures.redo_bytes_existing + figures.row_bytes * (slower - 1),
        item_bytes=figures.item_bytes * ratio,
        change_bytes=envelope + figures.item_bytes * ratio,
        row_bytes=figures.row_bytes * ratio,
    )


def multiply(quantities: Mapping[str, float], times: float) -> dict[str, float]:
    """Return so many times as much of everything."""
    return {what: quantity * times for what, quantity in quantities.items()}


def add(some: Mapping[str, float], others: Mapping[str, float]) -> dict[str, float]:
    """Return both together."""
    return {what: some.get(what, 0.0) + others.get(what, 0.0) for what in {**some, **others}}
