"""Gaps in a stream: the windows whose changes are exported to fill one, and the rows whose items are read afterwards.

    lost             |<------ gap ------>|
    exported    |<- 121 s                 121 s ->|        at least, in windows of 15 minutes to 24 hours
    then read   rows of versions from 120 s before the first window to the end of the last, by their keys

Of an item that was inserted and deleted within a window, an incremental export says nothing: therefore the reading.
Both ends of a window are taken to be no sharper than a minute, and clocks to differ by another; so windows overlap by
the margins of both ends. docs/correctness.md says why; the histories of its tests hold these very functions to it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from backfill.rereading import WantedKey
from dynaurora.dynamodb.versions import SNAPSHOT_MARGIN_SECONDS, make_version
from dynaurora.mappings.key_types import type_key
from dynaurora.runs.requests import WINDOW_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Mapping as ReadOnlyDict

    from dynaurora.mappings.mapping import Mapping
    from dynaurora.verification.function_lookup import FunctionLookup

SHORTEST, LONGEST = WINDOW_SECONDS
BEFORE_SECONDS: Final = SNAPSHOT_MARGIN_SECONDS + 1
"""By so much at least the first window begins before the gap: an end is exact to a minute, and what stamps of records
say of a gap to another one. (Of one that is told by the exports' clock 61 s are enough.)"""
AFTER_SECONDS: Final = SNAPSHOT_MARGIN_SECONDS + 1
"""By so much at least the last window ends after the gap, for the same reasons."""
OVERLAP_SECONDS: Final = 182
"""By so much at least windows overlap: what the end of one may lack, the next one has for sure and as final."""


@dataclass(frozen=True, slots=True)
class Window:
    """What one incremental export has the changes of, in seconds of Unix time."""

    start: int
    """Inclusive."""
    end: int
    """Exclusive."""

    @property
    def seconds(self) -> int:
        """How long it is."""
        return self.end - self.start

    @property
    def times(self) -> tuple[str, str]:
        """Both ends in ISO 8601."""
        return format_second(self.start), format_second(self.end)


def plan_windows(first: int, last: int, lengths: tuple[int, int] = (SHORTEST, LONGEST)) -> list[Window]:
    """Return the windows to export where records of the stream from one second to another were lost.

    `lengths` are the least and the most seconds of one, which are those that DynamoDB takes. Raises ValueError where
    the gap ends before it begins.
    """
    if last < first:
        raise ValueError("a gap ends no earlier than it begins")
    shortest, longest = lengths
    end = last + AFTER_SECONDS
    start = min(first - BEFORE_SECONDS, end - shortest)
    count = max(1, math.ceil((end - start - OVERLAP_SECONDS) / (longest - OVERLAP_SECONDS)))
    step = math.ceil((end - start - OVERLAP_SECONDS) / count)
    starts = [start + number * step for number in range(count)]
    return [Window(begin, min(begin + step + OVERLAP_SECONDS, end)) for begin in starts]


def bound_versions(windows: list[Window]) -> tuple[int, int]:
    """Return the first version of the rows whose items are to be read by key, and the first one that is too new."""
    return make_version(windows[0].start - SNAPSHOT_MARGIN_SECONDS, 0), make_version(windows[-1].end, 0)


def list_keys(
    lookup: FunctionLookup, mapping: Mapping, key_types: ReadOnlyDict[str, str], bounds: tuple[int, int]
) -> Iterator[WantedKey]:
    """Yield the keys of the rows, of each target, that exist and have versions within bounds, stretch by stretch."""
    names = mapping.key_attributes
    for target in mapping.targets:
        after, more = None, True
        while more:
            versions = [str(version) for version in bounds]
            found = lookup.ask("list_written_rows", table=target.table, after=after, versions=versions)
            for version, *fields in found["rows"]:
                yield WantedKey(type_key(mapping, key_types, dict(zip(names, fields, strict=True))), int(version))
            after, more = found["after"], found["after"] is not None


def name_run(windows: list[Window], number: int, digest: str) -> str:
    """Return the id of the run that exports a window: the same whenever the same gap is filled by the same mapping."""
    begin = datetime.fromtimestamp(windows[0].start, UTC)
    return f"gap-{begin:%Y%m%dT%H%M%SZ}-{windows[-1].end - windows[0].start}-{number + 1}-{digest[:6]}"


def format_second(second: int) -> str:
    """Return a second of Unix time in ISO 8601, in UTC."""
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%SZ}"
