"""Numbers, durations and times as people read them, on pages and in terminals."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

NOT_KNOWN: Final = "unknown"


def format_count(number: int | None, noun: str = "", plural: str = "") -> str:
    """Return a number with its noun: `1,000 rows`, `1 batch`, `unknown`."""
    if number is None:
        return NOT_KNOWN
    word = noun if number == 1 else plural or (f"{noun}s" if noun else "")
    return f"{number:,} {word}".rstrip()


def format_seconds(seconds: float | None) -> str:
    """Return a duration in its two largest units: `0.4 s`, `2 min 5 s`, `1 h 2 min`."""
    if seconds is None:
        return NOT_KNOWN
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def format_rate(per_second: float | None) -> str:
    """Return rows per second: `35,000 rows/s`, `0.4 rows/s`."""
    if per_second is None:
        return NOT_KNOWN
    return f"{per_second:,.0f} rows/s" if per_second >= 10 else f"{per_second:.1f} rows/s"


def format_bytes(size: float) -> str:
    """Return a size in binary units: `512 B`, `1.5 MiB`."""
    units = ["B", "KiB", "MiB", "GiB", "TiB"]
    while size >= 1024 and len(units) > 1:
        size /= 1024
        units.pop(0)
    return f"{size:,.0f} B" if units[0] == "B" else f"{size:,.1f} {units[0]}"


def format_quantity(number: float) -> str:
    """Return how much of something was used: `12,345`, `34.55`, `under 0.001`."""
    if 0 < number < 0.001:
        return "under 0.001"
    text = f"{number:,.0f}" if number >= 1000 else f"{number:,.2f}" if number >= 1 else f"{number:,.3f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def format_usd(amount: float) -> str:
    """Return a price; small ones with as many digits as they need to be told apart from nothing."""
    if amount == 0 or amount >= 1:
        return f"${amount:,.2f}"
    return f"${amount:.4f}" if amount >= 0.0001 else "under $0.0001"


def format_time(time: datetime | None) -> str:
    """Return a time in UTC, to the second."""
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ") if time else NOT_KNOWN
