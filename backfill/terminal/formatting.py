"""Numbers and times as people read them: in a terminal as on a page, and times as machines do."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from dynaurora.pages.formatting import (
    NOT_KNOWN,
    format_bytes,
    format_count,
    format_quantity,
    format_rate,
    format_seconds,
    format_time,
    format_usd,
)

__all__ = [
    "UNKNOWN",
    "format_bytes",
    "format_count",
    "format_iso",
    "format_quantity",
    "format_rate",
    "format_seconds",
    "format_time",
    "format_usd",
    "parse_iso",
    "shorten",
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


def shorten(text: str, width: int) -> str:
    """Return a text of at most so many characters."""
    return text if len(text) <= width else f"{text[: width - 1]}…"
