"""Tombstones that conditions leave which keys alone do not decide: how many at most, and what they cost to keep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from backfill.deployment.clients import connect_to

if TYPE_CHECKING:
    from dynaurora.mappings.mapping import Mapping

ROW_BYTES: Final = 200
"""Of a tombstone, roughly: its key, version and generation, with InnoDB's own; NULL takes a bit."""
STORAGE_USD: Final = 0.10
"""A GB of Aurora Standard a month in us-east-1 (aws.amazon.com/rds/aurora/pricing, as of November 2025)."""


def estimate_tombstones(plan: dict[str, Any], mapping: Mapping) -> dict[str, Any] | None:
    """Return how many rows there may be at most, and what they cost; None where every condition is decided by keys.

    Each item of the table may leave one in each target that its keys do not exclude.
    """
    undecided = plan.get("undecided") or []
    if not undecided:
        return None
    items = count_items(mapping.source_table)
    known = plan["rows"] if items is None else items
    rows = known * len(undecided)
    usd = rows * ROW_BYTES / 1e9 * STORAGE_USD
    return {"targets": undecided, "items": items, "rows_at_most": rows, "usd_a_month": round(usd, 2)}


def count_items(table: str) -> int | None:
    """Return how many items a table has, as of some hours ago; None where it cannot be asked.

    (DynamoDB API Reference, `TableDescription`: `ItemCount` is updated approximately every six hours.)
    """
    try:
        return int(connect_to("dynamodb").describe_table(TableName=table)["Table"]["ItemCount"])
    except (BotoCoreError, ClientError):
        return None


def tell_tombstones(tombstones: dict[str, Any]) -> str:
    """Say it to people."""
    tables = ", ".join(tombstones["targets"])
    items = tombstones["items"]
    basis = "going by the replicas' rows" if items is None else f"of {items:,} items"
    cost = f"about ${tombstones['usd_a_month']:.2f} a month of storage"
    return (
        f"{tables}: a row nobody sees for each item that it does not take and whose keys do not tell so, at most"
        f" {tombstones['rows_at_most']:,} {basis}, {cost}; name the key in `when` to have fewer"
    )
