"""Times: days, instants and times of day as people write them, and how MySQL writes them.

Text is taken in the forms of ISO 8601 and RFC 3339 that name one instant or one day: extended and basic form, days of a
month, of a week (`2026-W48-6`) and of a year (`2026-332`), seconds or not, a comma or a point before the fraction, `Z`,
`+02:00`, `+0200` and `+02`, with a hyphen or ISO 8601's own minus (U+2212), `24:00` as the end of a day, T and Z in
lower case, a space instead of the T or before the offset, and names in brackets behind an offset (RFC 9557).
Where a time has an offset its field is in UTC; where it has none it is written as it is. A day in a column of times is
its midnight. A time in a column of days has to be midnight.

Numbers are taken where a column says their unit (`epoch`): since 1970-01-01T00:00:00Z, without leap seconds.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, ROUND_FLOOR, Context, Decimal
from typing import Any, Final

from dynaurora.dynamodb.attributes import describe, exact_number
from dynaurora.mappings.misfits import misfit

REFUSE: Final = "refuse"
TRUNCATE: Final = "truncate"
ROUND: Final = "round"
DIGITS: Final = (REFUSE, TRUNCATE, ROUND)
"""What becomes of digits of a second that a column has no room for."""
EPOCH_DIGITS: Final = {"s": 0, "ms": 3, "us": 6, "ns": 9}
"""Of a unit: how many digits of a second it counts."""
TIMESTAMP_RANGE: Final = (datetime(1970, 1, 1, 0, 0, 1), datetime(2038, 1, 19, 3, 14, 7))  # noqa: DTZ001 (UTC, as MySQL keeps it)
EARLIEST_YEAR: Final = 1000
LATEST_YEAR: Final = 9999
EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 (UTC, as above)
DAY: Final = timedelta(days=1)
MIDNIGHT: Final = EPOCH.time()
LARGEST_EPOCH: Final = 25
"""Digits before the point of a number that may be a time: nanoseconds of the year 9999 have 21."""
MOST_PLACES: Final = 60
"""Digits behind the point of a number, or of a fraction of a minute, that is looked at as a time."""
EXACT: Final = Context(prec=MAX_PREC, Emin=MIN_EMIN, Emax=MAX_EMAX)

CLOCK: Final = (
    r"(?P<hour>\d{2})(?:(?P<colon>:?)(?P<minute>\d{2})(?:(?P=colon)(?P<second>\d{2}))?)?(?:[.,](?P<fraction>\d+))?"
)
CALENDAR: Final = (
    r"(?P<year>\d{4})(?P<hyphen>-?)(?:(?P<month>\d{2})(?P=hyphen)(?P<day>\d{2})"
    r"|[Ww](?P<week>\d{2})(?P=hyphen)(?P<weekday>[1-7])|(?P<ordinal>\d{3}))"
)
MINUS: Final = "-\N{MINUS SIGN}"
OFFSET: Final = rf"(?P<offset>[Zz]| ?(?P<sign>[+{MINUS}])(?P<hours>\d{{2}})(?::?(?P<minutes>\d{{2}}))?)?"
ZONES: Final = r"(?P<names>(?:\[[A-Za-z0-9_.+/=-]+\])*)"
MOMENT: Final = re.compile(rf"{CALENDAR}(?:[Tt ]{CLOCK}{OFFSET}{ZONES})?", re.ASCII)
TIME_OF_DAY: Final = re.compile(rf"[Tt]?{CLOCK}", re.ASCII)
USUAL: Final = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:T(\d{2}:\d{2}:\d{2})(?:\.(\d+))?(?:Z|([+-](?:[01]\d|2[0-3]):[0-5]\d))?)?", re.ASCII
)
"""As nearly all are written, which takes half as long to read."""
ONLY_DIGITS: Final = re.compile(r"-?\d{9,19}(?:\.\d+)?", re.ASCII)
WEEK: Final = re.compile(r"\d{4}-?[Ww]\d{2}", re.ASCII)
MONTH: Final = re.compile(r"\d{4}(?:-\d{2})?", re.ASCII)
LONG_YEAR: Final = re.compile(rf"[+{MINUS}]\d{{4,}}-?\d{{2}}-?\d{{2}}(?:[Tt ].*)?", re.ASCII)
BEGINS: Final = re.compile(rf"{CALENDAR}[Tt ]", re.ASCII)
NUMERIC: Final = re.compile(r"-?\d+(?:\.\d+)?", re.ASCII)

Instant = tuple[datetime, str]
"""A whole second, and the digits of the fraction that follow it, without zeros at their end."""


def encode_date(value: Any, *, digits: str = REFUSE, epoch: str | None = None) -> str:
    """Return a day, written as YYYY-MM-DD."""
    moment, figures = read_instant(value, "a day as YYYY-MM-DD", epoch, digits)
    if digits == REFUSE and (figures or moment.time() != MIDNIGHT):
        misfit("range", "has a time of day that is not midnight in UTC, and the column takes a day")
    check_year(moment)
    return moment.date().isoformat()


def encode_datetime(
    value: Any, *, fraction: int, timestamp: bool, digits: str = REFUSE, epoch: str | None = None
) -> str:
    """Return a date and time, in UTC where it has an offset, with at most `fraction` digits of a second."""
    moment, figures = read_instant(value, "a time as YYYY-MM-DDTHH:MM[:SS[.ffffff]][Z|±HH[:MM]]", epoch, digits)
    figures, carried = fit_digits(figures, fraction, digits)
    if carried:
        moment = shift(moment, timedelta(seconds=1), "range")
    if timestamp and not TIMESTAMP_RANGE[0] <= moment <= TIMESTAMP_RANGE[1]:
        misfit("range", f"is outside {TIMESTAMP_RANGE[0]} to {TIMESTAMP_RANGE[1]} UTC")
    check_year(moment)
    return moment.isoformat(" ") + (f".{figures}" if figures else "")


def encode_time(value: Any, *, fraction: int, digits: str = REFUSE) -> str:
    """Return a time of day, from 00:00:00 to 24:00:00, with at most `fraction` digits of a second."""
    match = TIME_OF_DAY.fullmatch(value) if type(value) is str else None
    if not match:
        misfit("format", f"is {describe(value)}, and the column takes a time of day as HH:MM[:SS[.ffffff]]")
    seconds, figures = read_clock(match)
    if match["second"] == "60":
        misfit("format", "names a second 60, which no day of MySQL has")
    figures, carried = fit_digits(figures, fraction, digits)
    minutes, second = divmod(seconds + carried, 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{second:02}" + (f".{figures}" if figures else "")


def read_instant(value: Any, wanted: str, epoch: str | None, digits: str) -> Instant:
    """Return what a column's value names; `wanted` says what the column takes."""
    if epoch is not None:
        return read_epoch(value, epoch)
    usual = read_usual(value) if type(value) is str else None
    if usual is not None:
        return usual
    match = MOMENT.fullmatch(value) if type(value) is str else None
    if not match:
        misfit("format", f"{explain_text(value)}, and the column takes {wanted}")
    return read_moment(match, digits)


def read_usual(text: str) -> Instant | None:
    """Return what a text in the usual form names; None where it is in another, or names what no calendar has."""
    match = USUAL.fullmatch(text)
    if match is None:
        return None
    day, clock, fraction, offset = match.groups("")
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{offset}" if clock else day)
        if moment.tzinfo is not None:
            moment = moment.astimezone(UTC).replace(tzinfo=None)
    except (OverflowError, ValueError):  # the end of a day, and a leap second, too
        return None
    return moment, fraction.rstrip("0")


def explain_text(value: Any) -> str:
    """Return what is wrong with a value that is in no form of a time; never the value."""
    if type(value) is not str:
        hint = ' without an "epoch" that says its unit' if describe(value) == "a number" else ""
        return f"is {describe(value)}{hint}"
    for form, problem in (
        (ONLY_DIGITS, 'is text of digits without an "epoch" that says their unit'),
        (WEEK, "names a week and no day"),
        (MONTH, "names a year or a month and no day"),
        (LONG_YEAR, "has a year with a sign, as years before 0 and after 9999 are written"),
    ):
        if form.fullmatch(value):
            return problem
    if BEGINS.match(value):
        return "is a day and then no time, offset or name of a zone as ISO 8601 has them"
    return "is a string that is no date of ISO 8601" if value else "is an empty string"


def read_moment(match: re.Match[str], digits: str) -> Instant:
    """Return what a text of that form names."""
    day = read_day(match)
    if match["hour"] is None:
        return day, ""
    check_zone(match)
    seconds, figures = read_clock(match)
    moment = shift(day, timedelta(seconds=seconds) - read_offset(match))
    return add_leap_second(moment, figures, digits) if match["second"] == "60" else (moment, figures)


def read_day(match: re.Match[str]) -> datetime:
    """Return the midnight of the day that a text names: of a month, of a week or of a year."""
    year = int(match["year"])
    try:
        if match["week"]:
            return datetime.fromisocalendar(year, int(match["week"]), int(match["weekday"]))
        if match["ordinal"] is None:
            return datetime(year, int(match["month"]), int(match["day"]))  # noqa: DTZ001 (what it is in, its offset says)
        day = datetime(year, 1, 1) + timedelta(days=int(match["ordinal"]) - 1)  # noqa: DTZ001 (as above)
    except (ValueError, OverflowError):
        misfit("format", "names a day that no calendar has")
    if day.year != year:
        misfit("format", "names a day that no calendar has")
    return day


def check_zone(match: re.Match[str]) -> None:
    """Refuse the name of a zone that would decide: only the offset does."""
    if match["names"] and match["offset"] is None:
        misfit("format", "has the name of a zone and no offset, so it may name two instants")


def read_clock(match: re.Match[str]) -> tuple[int, str]:
    """Return the seconds since midnight, that of a leap second not counted, and the digits of the fraction."""
    hour, minute, second = (int(match[name] or 0) for name in ("hour", "minute", "second"))
    figures = (match["fraction"] or "").rstrip("0")
    is_end = hour == 24 and not (minute or second or figures)
    if (hour > 23 and not is_end) or minute > 59 or second > 60:
        misfit("format", "names a time that no clock has")
    seconds = hour * 3600 + minute * 60 + min(second, 59)
    if figures and match["second"] is None:  # of a minute, or an hour
        return read_part(seconds, figures, 3600 if match["minute"] is None else 60)
    return seconds, figures


def read_part(seconds: int, figures: str, unit: int) -> tuple[int, str]:
    """Return seconds and the fraction of a unit as seconds and their fraction."""
    if len(figures) > MOST_PLACES:
        misfit("range", f"has {len(figures)} digits of a minute or an hour")
    whole, rest = divmod(int(figures) * unit, 10 ** len(figures))
    return seconds + whole, str(rest).zfill(len(figures)).rstrip("0") if rest else ""


def read_offset(match: re.Match[str]) -> timedelta:
    """Return how far ahead of UTC a time is; nothing where it does not say."""
    hours, minutes = int(match["hours"] or 0), int(match["minutes"] or 0)
    if hours > 23 or minutes > 59:
        misfit("format", "has an offset that no clock has")
    return timedelta(hours=hours, minutes=minutes) * (1 if match["sign"] == "+" else -1)


def add_leap_second(moment: datetime, figures: str, digits: str) -> Instant:
    """Return what stands for the second after 23:59:59, which MySQL does not have."""
    if (moment.hour, moment.minute) != (23, 59):
        misfit("format", "names a second 60 that is not at the end of a day in UTC")
    if digits == REFUSE:
        misfit("format", "names a leap second, which MySQL does not have")
    return (moment, "9" * MOST_PLACES) if digits == TRUNCATE else (shift(moment, timedelta(seconds=1)), figures)


def read_epoch(value: Any, unit: str) -> Instant:
    """Return what a number of units since 1970 names; text of digits is a number, too."""
    number = value
    if type(value) is str and len(value) <= LARGEST_EPOCH + MOST_PLACES and NUMERIC.fullmatch(value):
        number = exact_number(value)
    if type(number) is not int and type(number) is not Decimal:
        misfit("type", f"is {describe(value)}, and the column takes a number of {unit} since 1970")
    number = Decimal(number)
    _, _, exponent = number.as_tuple()
    assert isinstance(exponent, int)  # noqa: S101 (a number, never NaN or infinite)
    if number and (number.adjusted() >= LARGEST_EPOCH or exponent < -MOST_PLACES):
        misfit("range", f"is a number of {unit} since 1970 that is no time")
    seconds = EXACT.scaleb(number, -EPOCH_DIGITS[unit])
    whole = seconds.to_integral_value(ROUND_FLOOR, EXACT)
    figures = format(EXACT.subtract(seconds, whole), "f").partition(".")[2].rstrip("0")
    try:
        return EPOCH + timedelta(seconds=int(whole)), figures
    except OverflowError:
        misfit("range", f"is a number of {unit} since 1970 outside the years {EARLIEST_YEAR} to {LATEST_YEAR}")


def fit_digits(figures: str, places: int, digits: str) -> tuple[str, int]:
    """Return the digits of a fraction that a column keeps, and the seconds that they were rounded up by."""
    if len(figures) <= places:
        return figures, 0
    if digits == REFUSE:
        took = f"has {len(figures)} digits of a second, and the column takes {places}"
        misfit("range", f'{took}: "digits" says what becomes of more')
    kept = figures[:places]
    if digits == ROUND and figures[places] >= "5":
        rounded = str(int(f"1{kept}") + 1)
        return rounded[1:].rstrip("0"), int(rounded[0]) - 1
    return kept.rstrip("0"), 0


def shift(moment: datetime, by: timedelta, rule: str = "format") -> datetime:
    """Return a time so much later; `rule` is what is broken where no calendar has it."""
    try:
        return moment + by
    except OverflowError:
        misfit(rule, "names a time that no calendar has")


def check_year(moment: datetime) -> None:
    """Refuse what is before the years that MySQL says it supports."""
    if moment.year < EARLIEST_YEAR:
        misfit("range", f"is before the year {EARLIEST_YEAR}")
