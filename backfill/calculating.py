"""What the calculation of a table's cost rests on: its size, its writes and its settings, given or found out.

Nothing is asked of AWS where all numbers of the table are given.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from backfill.costs.quantities import Assumptions
from backfill.costs.traffic import choose_stretch, count_write_units, make_traffic, steady
from backfill.deployment.clients import connect_to
from backfill.deployment.written import choose_period, read_table_size, read_written
from backfill.project import FILE, find_current, load_mapping
from backfill.terminal.console import WrongUseError
from backfill.terminal.formatting import format_iso
from infra.schedules import HOURLY, REPROCESSING, count_starts

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from backfill.costs.traffic import Traffic
    from backfill.deployment.written import TableSize


@dataclass(frozen=True, slots=True)
class Buffer:
    """A parameter that says for how long, or for how much, changes are collected."""

    assumption: str
    """The model's name of it."""
    default: float
    least: float
    most: float
    unit: int = 1
    """Of the model's, in one of the parameter's."""


DAYS: Final = 14.0
"""That CloudWatch is asked of, unless told."""
GIVEN: Final = "as given"
DEFAULT: Final = "by default"
DESCRIBED: Final = "DescribeTable, up to six hours old"
BUFFERS: Final = {
    "BufferSeconds": Buffer("buffer_seconds", 60, 0, 900),
    "BufferMegabytes": Buffer("buffer_bytes", 16, 1, 128, 2**20),
    "TransformBufferSeconds": Buffer("transform_seconds", 5, 0, 900),
    "StreamBufferSeconds": Buffer("forward_seconds", 5, 0, 60),
}
"""Parameters of a replication that say for how long changes are collected, as its template has them."""
BUFFER_SECONDS: Final = "BufferSeconds"
"""The one of them that may be given."""
VERIFYING: Final = "VerificationSchedule"
EVERY: Final = re.compile(r"(?P<rate>rate\()?([1-9]\d{0,5}) ?(?:(minute|hour|day)s?|([hd]))(?(rate)\))")
LETTERS: Final = {"h": "hour", "d": "day"}
NEVER: Final = "never"


@dataclass(frozen=True, slots=True)
class Number:
    """A number that the calculation rests on, and where it is from."""

    value: float
    source: str
    at: datetime | None = None
    """Until when it was looked at; None where it was not."""

    def as_dict(self) -> dict[str, Any]:
        """Return it for machines."""
        at = {"at": format_iso(self.at)} if self.at else {}
        return {"value": self.value, "source": self.source, **at}


@dataclass(frozen=True, slots=True)
class Given:
    """What is given; None where it is to be found out."""

    mapping: str | None = None
    table: str | None = None
    items: float | None = None
    item_bytes: float | None = None
    writes_per_second: float | None = None
    buffer_seconds: float | None = None
    verify_every: str | None = None
    days: float | None = None

    @property
    def missing(self) -> list[str]:
        """Options that were not given, without which a table has to be looked at."""
        options = {
            "--items": self.items,
            "--item-bytes": self.item_bytes,
            "--writes-per-second": self.writes_per_second,
        }
        return [name for name, value in options.items() if value is None]

    def check(self) -> None:
        """Raise WrongUseError where it cannot be meant."""
        if self.mapping and self.table:
            raise WrongUseError(f"The mapping {self.mapping} says which table it is of: leave out --table, or MAPPING.")
        if self.missing and not (self.mapping or self.table):
            raise WrongUseError(f"Name a MAPPING or a --table to look at, or give {', '.join(self.missing)} too.")
        if self.days is not None and self.writes_per_second is not None:
            raise WrongUseError(
                "--days says how far back to look at writes, and --writes-per-second gives them: leave out one."
            )


@dataclass(frozen=True, slots=True)
class Settings:
    """What a project says of a replication, as far as it has a price."""

    buffers: dict[str, Number]
    """By the names of BUFFERS."""
    verifications: Number
    """In a month."""
    looks: Number
    """For what failed, in a month."""
    ignores_expiries: bool
    """Whether what time to live deletes is no change."""
    is_traced: bool
    """Whether X-Ray is told of changes: of all of a slow table's, to which those of a fast one are taken too."""
    platform: dict[str, str]
    """Parameters of the platform."""

    @property
    def assumptions(self) -> Assumptions:
        """The model's assumptions, with these settings."""
        given = {BUFFERS[name].assumption: number.value * BUFFERS[name].unit for name, number in self.buffers.items()}
        return Assumptions(**given, traced_stream_share=1.0 if self.is_traced else 0.0)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Basis:
    """All that the calculation rests on."""

    table: str | None
    items: Number
    item_bytes: Number
    writes: Number
    """A second, on the mean."""
    traffic: Traffic
    seconds: float | None
    """Which the traffic is of; None where it was given."""
    stretch_seconds: int | None
    """Whose writes count together; None likewise."""
    settings: Settings


def find_basis(given: Given) -> Basis:
    """Return what is given, and find out what is not.

    Raises WrongUseError, what `load_mapping` raises, and the SDK's errors.
    """
    given.check()
    settings = read_settings(given)
    table = load_mapping(given.mapping).source_table if given.mapping else given.table
    size = read_table_size(connect_to("dynamodb"), table) if table and given.missing else None
    items, item_bytes = find_size(given, size)
    if size is None or given.writes_per_second is not None:
        rate = given.writes_per_second or 0.0
        return Basis(table, items, item_bytes, Number(rate, GIVEN), steady(rate), None, None, settings)
    days = given.days or DAYS
    stretch = choose_stretch(settings.assumptions.collected_seconds, choose_period(days))
    written = read_written(connect_to("cloudwatch"), size, days, stretch)
    units = count_write_units(item_bytes.value)
    changes = Counter({begin: each / units for begin, each in written.units.items()})
    if not settings.ignores_expiries:
        changes.update(written.expired)
    traffic = make_traffic(changes, written.since, written.until, stretch)
    mean = Number(traffic.mean, f"CloudWatch, {units} of its write units for each", written.until)
    return Basis(table, items, item_bytes, mean, traffic, written.seconds, stretch, settings)


def find_size(given: Given, size: TableSize | None) -> tuple[Number, Number]:
    """Return the items of a table and the bytes of one, as given or as DynamoDB has them.

    Raises WrongUseError for a table of which DynamoDB does not have them yet.
    """
    has_all = given.items is not None and given.item_bytes is not None
    if size and not has_all and not (size.items and size.size_bytes):
        raise WrongUseError(
            f"DynamoDB has counted no items in the table {size.table}, which it does every six hours: give --items and"
            " --item-bytes."
        )
    counted, mean = (size.items, round(size.size_bytes / max(1, size.items), 1)) if size else (0, 0.0)
    items = Number(counted, DESCRIBED) if given.items is None else Number(given.items, GIVEN)
    return items, Number(mean, DESCRIBED) if given.item_bytes is None else Number(given.item_bytes, GIVEN)


def read_settings(given: Given) -> Settings:
    """Return what the project says of a mapping, or what a template does; what is given counts before both.

    Raises WrongUseError where it does not hold.
    """
    project = find_current()
    own = project.replications.get(given.mapping or "", {}) if project else {}
    buffers = {name: read_buffer(name, own, given.mapping) for name in BUFFERS}
    if given.buffer_seconds is not None:
        buffers[BUFFER_SECONDS] = Number(given.buffer_seconds, GIVEN)
    return Settings(
        buffers,
        count_verifications(given.verify_every, own),
        count_scheduled(REPROCESSING, own, HOURLY),
        own.get("TtlDeletes") == "ignore",
        own.get("StreamTracing") == "Active",
        project.parameters if project else {},
    )


def read_buffer(name: str, own: Mapping[str, str], mapping: str | None) -> Number:
    """Return one of BUFFERS of a replication's parameters. Raises WrongUseError where it does not hold."""
    buffer = BUFFERS[name]
    if name not in own:
        return Number(buffer.default, DEFAULT)
    try:
        value = float(own[name])
    except ValueError:
        value = -1.0
    if not buffer.least <= value <= buffer.most:
        raise WrongUseError(
            f"{name} in [replications.{mapping}] of {FILE} is a number from {buffer.least} to {buffer.most}, not"
            f" {own[name]!r}."
        )
    return Number(value, FILE)


def count_verifications(every: str | None, own: Mapping[str, str]) -> Number:
    """Return how often in a month a table is verified, as given or by the schedule of its replication's parameters.

    Raises WrongUseError where what is given is no time, or the schedule is none.
    """
    if every is None:
        return count_scheduled(VERIFYING, own)
    if every == NEVER:
        return Number(0, GIVEN)
    found = EVERY.fullmatch(every)
    starts = count_starts(f"rate({found[2]} {found[3] or LETTERS[found[4]]}s)") if found else None
    if starts is None:
        raise WrongUseError(f"--verify-every takes a time, as 7d, 12h or rate(1 day), or {NEVER}, not {every!r}.")
    return Number(starts, GIVEN)


def count_scheduled(name: str, own: Mapping[str, str], default: str = "") -> Number:
    """Return how often in a month a schedule among a replication's parameters starts something.

    Raises WrongUseError where it is none.
    """
    schedule = own.get(name, default)
    starts = count_starts(schedule)
    if starts is None:
        raise WrongUseError(f"{name} of {FILE} is rate(…) or cron(…) of EventBridge Scheduler, not {schedule!r}.")
    return Number(starts, FILE if name in own else DEFAULT)
