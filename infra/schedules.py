"""Schedules of EventBridge Scheduler, and how often one starts something in a month.

    rate(7 days)             730 hours, by those of the rate
    cron(0 3 ? * MON-FRI *)  its minutes, times its hours, times the days that it names

Of days that not every month has, a schedule is taken to start in each: it starts so often at most.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from infra.monthly_costs import HOURS_OF_A_MONTH

if TYPE_CHECKING:
    from collections.abc import Mapping

REPROCESSING: Final = "ReprocessSchedule"
"""The parameter of a replication that says when what failed is looked for."""
HOURLY: Final = "rate(1 hour)"
"""Its default, as the template has it."""

RATE: Final = re.compile(r"rate\(([1-9]\d*) (minute|hour|day)s?\)")
"""As EventBridge Scheduler takes it (its User Guide, "Schedule types")."""
HOURS_OF_UNITS: Final = {"minute": 1 / 60, "hour": 1, "day": 24}
CRON: Final = re.compile(
    r"cron\((?P<minute>\S+) (?P<hour>\S+) (?P<day>\S+) (?P<month>\S+) (?P<weekday>\S+) (?P<year>\S+)\)"
)
"""The fields of a cron (EventBridge Scheduler User Guide, "Cron-based schedules")."""
ANY: Final = frozenset("*?")
"""What a field says that names nothing."""
PART: Final = re.compile(r"(?:\*|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>\d+))?")
"""Of a field, between commas."""

MONTHS: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
WEEKDAYS: Final = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
ONCE_OF_DAYS: Final = re.compile(r"LW?|L-([1-9]|[12]\d|30)|([1-9]|[12]\d|3[01])W")
"""Days that a month has one of: its last, one before that, the weekday nearest to one."""
ONCE_OF_WEEKDAYS: Final = re.compile(rf"([1-7]|(?i:{'|'.join(WEEKDAYS)}))(L|#[1-5])")
"""The same, by weekdays: its last or second Friday."""
DAYS_OF_A_MONTH: Final = HOURS_OF_A_MONTH / 24


def count_starts(schedule: str) -> float | None:
    """Return how often in a month a schedule starts something; never where it is empty, None for what is none."""
    if not schedule:
        return 0.0
    if not schedule.isascii():  # which has other digits, and letters that are these in capitals
        return None
    if rate := RATE.fullmatch(schedule):
        return HOURS_OF_A_MONTH / (int(rate[1]) * HOURS_OF_UNITS[rate[2]])
    cron = CRON.fullmatch(schedule)
    try:
        return _count_cron(cron) if cron else None
    except ValueError:
        return None


def count_reprocesses(parameters: Mapping[str, str]) -> float | None:
    """Return how often in a month a replication of these parameters looks for what failed; None as above."""
    return count_starts(parameters.get(REPROCESSING, HOURLY))


def _count_cron(cron: re.Match[str]) -> float:
    """Return how often in a month the fields of a cron come together. Raises ValueError for a field that is none."""
    minutes = len(list_chosen(cron["minute"], 0, 59))
    hours = len(list_chosen(cron["hour"], 0, 23))
    months = len(list_chosen(cron["month"], 1, 12, MONTHS))
    list_chosen(cron["year"], 1970, 2199)
    return minutes * hours * _count_days(cron["day"], cron["weekday"]) * months / len(MONTHS)


def _count_days(day: str, weekday: str) -> float:
    """Return how many days of a month two fields name, of which one is `?`. Raises ValueError as above."""
    if (day == "?") == (weekday == "?"):
        raise ValueError("either the days or the weekdays are `?`")
    if weekday == "L":
        weekday = WEEKDAYS[-1]  # the last of each week
    field, once = (day, ONCE_OF_DAYS) if weekday == "?" else (weekday, ONCE_OF_WEEKDAYS)
    if field == "*":
        return DAYS_OF_A_MONTH
    parts = field.split(",")
    others = ",".join(part for part in parts if not once.fullmatch(part))
    singles = sum(1 for part in parts if once.fullmatch(part))
    if not others:
        return singles
    if weekday == "?":
        return singles + len(list_chosen(others, 1, 31))
    return singles + len(list_chosen(others, 1, 7, WEEKDAYS)) * DAYS_OF_A_MONTH / len(WEEKDAYS)


def list_chosen(field: str, least: int, most: int, names: tuple[str, ...] = ()) -> set[int]:
    """Return the numbers that a field chooses of those from `least` to `most`, which may have names.

    Raises ValueError for what chooses none of them.
    """

    def find(text: str) -> int:
        number = least + names.index(text.upper()) if text.upper() in names else int(text) if text.isdecimal() else -1
        if not least <= number <= most:
            raise ValueError(f"{text} is not from {least} to {most}")
        return number

    chosen, count = set[int](), most - least + 1
    for part in field.split(","):
        if not (found := PART.fullmatch(part)):
            raise ValueError(f"{part} chooses nothing")
        begin = find(found["first"]) if found["first"] else least
        goes_on = found["step"] or not found["first"]
        end = find(found["last"]) if found["last"] else most if goes_on else begin
        places = range(0, (end - begin) % count + 1, int(found["step"] or 1))  # FRI-MON goes over the end
        chosen |= {least + (begin - least + place) % count for place in places}
    return chosen
