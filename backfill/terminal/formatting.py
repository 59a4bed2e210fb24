"""Numbers, times and tables as people read them: in a terminal as on a page, and times as machines do."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import zip_longest
from typing import TYPE_CHECKING, Final

from dynaurora.pages.formatting import (
    NOT_KNOWN,
    format_bytes,
    format_count,
    format_rate,
    format_seconds,
    format_time,
    format_usd,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "UNKNOWN",
    "format_bytes",
    "format_count",
    "format_iso",
    "format_rate",
    "format_seconds",
    "format_table",
    "format_time",
    "format_usd",
    "parse_iso",
]
UNKNOWN: Final = NOT_KNOWN


def format_iso(time: datetime | None) -> str | None:
    """Return a time for machines: ISO 8601, UTC, with Z."""
    if time is None:
        return None
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_iso(text: str | None) -> datetime | None:
    """Return the time that a text in ISO 8601 names, in UTC; None for None."""
    if text is None:
        return None
    time = datetime.fromisoformat(text)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def format_table(rows: Sequence[Sequence[str]], numeric: frozenset[int] = frozenset()) -> list[str]:
    """Return lines in which the columns of the rows are aligned; those in `numeric` to the right."""
    widths = [max(map(len, column)) for column in zip_longest(*rows, fillvalue="")]
    return [
        "  ".join(
            cell.rjust(width) if index in numeric else cell.ljust(width)
            for index, (cell, width) in enumerate(zip_longest(row, widths[: len(row)]))
        ).rstrip()
        for row in rows
    ]
