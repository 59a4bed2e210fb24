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
ONCE: Final = re.compile(r"L|LW|L-\d+|\d+W|\w+L|\w+#[1-5]")
"""Days that a month has one of: its last, the weekday nearest to one, its last or second Friday."""

MONTHS: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
WEEKDAYS: Final = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
DAYS_OF_A_MONTH: Final = HOURS_OF_A_MONTH / 24


def count_starts(schedule: str) -> float | None:
    """Return how often in a month a schedule starts something; never where it is empty, None for what is none."""
    if not schedule:
        return 0.0
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
    return minutes * hours * _count_days(cron["day"], cron["weekday"]) * months / len(MONTHS)


def _count_days(day: str, weekday: str) -> float:
    """Return how many days of a month two fields name, of which one names days and the other any."""
    if day in ANY and weekday in ANY:
        return DAYS_OF_A_MONTH
    if weekday == "L":
        weekday = WEEKDAYS[-1]  # the last of each week
    field, least, most, names = (weekday, 1, 7, WEEKDAYS) if day in ANY else (day, 1, 31, ())
    once = [part for part in field.split(",") if ONCE.fullmatch(part)]
    others = ",".join(part for part in field.split(",") if not ONCE.fullmatch(part))
    each = DAYS_OF_A_MONTH / len(WEEKDAYS) if names else 1
    return len(once) + len(list_chosen(others, least, most, names)) * each if others else len(once)


def list_chosen(field: str, least: int, most: int, names: tuple[str, ...] = ()) -> set[int]:
    """Return the numbers that a field chooses of those from `least` to `most`, which may have names.

    Raises ValueError for what chooses none of them.
    """

    def find(text: str) -> int:
        number = least + names.index(text.upper()) if text.upper() in names else int(text)
        if not least <= number <= most:
            raise ValueError(f"{text} is not from {least} to {most}")
        return number

    chosen, count = set[int](), most - least + 1
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        begin = least if span in ANY else find(first)
        end = find(last) if last else most if span in ANY or step else begin
        places = range(0, (end - begin) % count + 1, int(step or 1))  # FRI-MON goes over the end
        chosen |= {least + (begin - least + place) % count for place in places}
    return chosen
