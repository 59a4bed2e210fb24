"""A standing as people read it: a line among others, or names and values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from backfill.deployment.stream_readers import PAUSED
from backfill.terminal.formatting import UNKNOWN, format_count, format_seconds, format_time, parse_iso

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backfill.overview.kept import Kept
    from backfill.overview.standing import Standing

HEADER: Final = ("MAPPING", "READER", "LAG", "ROWS", "FAILED", "PARKED", "BACKFILL", "VERIFIED", "TO DO")
NUMERIC: Final = frozenset({2, 3, 4, 5})
NOTHING: Final = "-"
"""What is not there, or was not measured."""


def summarize_standing(standing: Standing) -> tuple[str, ...]:
    """Return the cells of a line."""
    return (
        standing.deployment.mapping,
        tell_reader(standing),
        tell_lag(standing),
        tell_rows(standing),
        *(tell_kept(standing.kept, name) for name in ("failed", "parked")),
        tell_backfill(standing),
        tell_verification(standing),
        tell_todo(standing),
    )


def describe_standing(standing: Standing) -> Iterator[tuple[str, str]]:
    """Yield names and values, each with more than a line has room for; then what is to be done, one by one."""
    one, facts = standing.deployment, standing.facts
    yield "mapping", one.mapping
    yield "table", one.table
    yield "stack", f"{one.stack}, on the platform {one.platform}"
    yield "reader", describe_reader(standing)
    yield "lag", describe_lag(standing)
    yield "rows", tell_rows(standing)
    yield "last import", format_time(parse_iso(facts.get("last_import_at"))) if facts.get("last_import_at") else NOTHING
    yield "failed", tell_kept(standing.kept, "failed")
    yield "parked", tell_kept(standing.kept, "parked")
    yield "last backfill", describe_backfill(facts)
    yield "verified", describe_verification(facts)
    todo = standing.todo
    for number, each in enumerate(todo):
        yield "" if number else "to do", f"{each.problem}: {each.remedy}"
    if not todo:
        yield "to do", "nothing"


def tell_reader(standing: Standing) -> str:
    """Say whether a stream is read; of one that is paused, how long what changes is kept."""
    reader = standing.reader
    if reader is None:
        return UNKNOWN
    left = reader.seconds_left(standing.seen_at)
    if left is None:
        return "no stream" if standing.stream_problem else reader.state
    return f"{reader.state}, {format_seconds(left)} left" if left >= 0 else f"{reader.state}, too late"


def describe_reader(standing: Standing) -> str:
    """Say it, and since when."""
    reader = standing.reader
    told = tell_reader(standing)
    if reader is None or not reader.is_stopped:
        return told
    by = "" if reader.state == PAUSED else ", not by `dynaurora pause`"
    return f"{told}; since {format_time(reader.paused_at or reader.changed_at)}{by}"


def tell_lag(standing: Standing) -> str:
    """Say how late the last rows were; a reader that is behind tells more."""
    if standing.lag is None:
        return UNKNOWN
    known = [seconds for seconds in (standing.lag.rows, standing.lag.reader) if seconds is not None]
    return format_seconds(max(known)) if known else NOTHING


def describe_lag(standing: Standing) -> str:
    """Say it of rows and reader, each."""
    if standing.lag is None:
        return UNKNOWN
    of = {"rows": standing.lag.rows, "reader": standing.lag.reader}
    measured = [f"{name} {format_seconds(seconds)}" for name, seconds in of.items() if seconds is not None]
    return ", ".join(measured) or "nothing arrived in the last quarter of an hour"


def tell_rows(standing: Standing) -> str:
    """Say how many rows there are."""
    rows = standing.facts.get("rows")
    if rows is None:
        return UNKNOWN
    return format_count(rows["count"]) if rows["exact"] else f"about {format_count(rows['count'])}"


def tell_kept(kept: Kept | None, name: str) -> str:
    """Say how many failures there are, parked or not."""
    if kept is None:
        return UNKNOWN
    number: int = getattr(kept, name)
    return format_count(number) if kept.is_all else f"{format_count(number)}+"


def tell_backfill(standing: Standing) -> str:
    """Say what has become of the last backfill."""
    if "error" in standing.facts:
        return UNKNOWN
    backfill = standing.facts.get("backfill")
    return (
        f"{backfill['state'].lower()} {day_of(backfill['ended_at'] or backfill['started_at'])}" if backfill else NOTHING
    )


def describe_backfill(facts: dict[str, Any]) -> str:
    """Say it with its counts."""
    backfill = facts.get("backfill")
    if not backfill:
        return UNKNOWN if "error" in facts else "never"
    told = f"{backfill['run']} {backfill['state'].lower()}"
    when = format_time(parse_iso(backfill["ended_at"] or backfill["started_at"]))
    if backfill["rows_imported"] is None:
        return f"{told}, since {when}"
    rejected = format_count(backfill["rows_rejected"])
    return f"{told} at {when}: {format_count(backfill['rows_imported'], 'row')} imported, {rejected} rejected"


def tell_verification(standing: Standing) -> str:
    """Say what the last verification found."""
    if "error" in standing.facts:
        return UNKNOWN
    verified = standing.facts.get("verification")
    if not verified:
        return "never"
    differing: int = verified["unexplained"]
    mended_at = verified.get("mended_at") if verified.get("found") else None
    found = f"{differing:,} differ" if differing else "mended" if mended_at else "equal"
    return f"{found} {day_of(mended_at or verified['ended_at'])}"


def describe_verification(facts: dict[str, Any]) -> str:
    """Say it with its counts."""
    verified = facts.get("verification")
    if not verified:
        return UNKNOWN if "error" in facts else "never"
    result = f"{verified['unexplained']:,} without an explanation" if verified["unexplained"] else "equal"
    counts = ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in verified["counts"].items() if number)
    told = f"{result} at {format_time(parse_iso(verified['ended_at']))}"
    if verified.get("mended_by") and verified["found"]:
        when = format_time(parse_iso(verified["mended_at"]))
        told = f"{verified['found']:,} without an explanation at {format_time(parse_iso(verified['ended_at']))}"
        told += f", of which the repair {verified['mended_by']} has left {verified['unexplained']:,} at {when}"
    return ", ".join(filter(None, (told, counts, f"run {verified['run']}")))


def tell_todo(standing: Standing) -> str:
    """Return the first thing to do, and how many more there are."""
    todo = standing.todo
    if not todo:
        return NOTHING
    return todo[0].remedy + (f" (+{len(todo) - 1})" if todo[1:] else "")


def day_of(time: str) -> str:
    """Return the day of a time."""
    return time[:10]
