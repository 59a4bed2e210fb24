"""A model of DynamoDB: what was written to a table, and what streams, exports and scans may say of it.

It has two clocks. Writes happen at a true time; the table stamps them, in its stream and in incremental exports, with
a time that may be off by up to a minute from the clock by which exports and scans are asked for. A view of the
table (a full export, a page of a scan, either end of an incremental export's window) shows each key as it was at some
moment within a minute of what was asked for: that is what AWS documents of full exports, and it is taken to be no
better of the others.
"""

import random
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from tests.integration.convergence.things import Key, Thing, typed_key

SECOND: Final = 1_000_000
"""In microseconds, the unit of all times here."""
UNDEFINED: Final = 60 * SECOND
"""How far before and after its time a view's cut may be."""
MAX_SKEW: Final = 60 * SECOND


@dataclass(frozen=True)
class Write:
    """One write that changed something."""

    number: int
    at: int
    """True time."""
    stamped_at: int
    """The table's time."""
    key: Key
    thing: Thing | None
    """None for a delete."""
    replaces: bool
    """Whether there was an item before."""
    sequence: int

    @property
    def stamped_second(self) -> int:
        return self.stamped_at // SECOND


@dataclass(frozen=True)
class IncrementalRecord:
    """One line of an incremental export."""

    key: Key
    thing: Thing | None
    write_timestamp_micros: int
    replaced: Thing | None = None
    """What there was when the window began."""

    def line(self, view: str) -> dict[str, Any]:
        """Return it as a data file has it, with the old image where the export's view has those."""
        images = {"NewImage": self.thing, "OldImage": self.replaced if view == "NEW_AND_OLD_IMAGES" else None}
        return {
            "Metadata": {"WriteTimestampMicros": {"N": str(self.write_timestamp_micros)}},
            "Keys": typed_key(self.key),
            **{name: thing.typed(self.key) for name, thing in images.items() if thing is not None},
        }


class Table:
    """The writes of one history."""

    def __init__(self, writes: Iterable[Write]) -> None:
        self.writes = list(writes)
        self._by_key: dict[Key, list[Write]] = defaultdict(list)
        for write in self.writes:
            self._by_key[write.key].append(write)
        self._times = {key: [write.at for write in writes] for key, writes in self._by_key.items()}

    @property
    def keys(self) -> list[Key]:
        return list(self._by_key)

    def last_write(self, key: Key, at: int) -> Write | None:
        """Return the last write of a key up to a moment."""
        count = bisect_right(self._times[key], at)
        return self._by_key[key][count - 1] if count else None

    def item(self, key: Key, at: int) -> Thing | None:
        write = self.last_write(key, at)
        return write.thing if write else None

    def items(self) -> dict[Key, Thing]:
        """Return what is in the table in the end."""
        last = {key: writes[-1].thing for key, writes in self._by_key.items()}
        return {key: thing for key, thing in last.items() if thing is not None}

    def draw_cut(self, draw: random.Random, key: Key, asked_for: int) -> int:
        """Return a moment that a view asked for then may show a key at: most often one beside a write."""
        earliest, latest = asked_for - UNDEFINED, asked_for + UNDEFINED
        near = [at for at in self._times[key] if earliest <= at < latest]
        return draw.choice([earliest, latest - 1, *near, *(at - 1 for at in near if at > earliest)])

    def view(self, draw: random.Random, keys: Iterable[Key], asked_for: int) -> dict[Key, Thing]:
        """Return the items of a full export, or of a page of a scan."""
        seen = {key: self.item(key, self.draw_cut(draw, key, asked_for)) for key in keys}
        return {key: thing for key, thing in seen.items() if thing is not None}

    def incremental_export(self, draw: random.Random, start: int, end: int) -> list[IncrementalRecord]:
        """Return the last state of each item that was written to within a window.

        Of an item that was inserted and deleted within the window there is no record.
        """
        records = []
        for key in self.keys:
            first, last = self.draw_cut(draw, key, start), self.draw_cut(draw, key, end)
            write = self.last_write(key, last)
            if first >= last or write is None or write.at <= first:
                continue
            replaced = self.item(key, first)
            if write.thing is not None or replaced is not None:
                records.append(IncrementalRecord(key, write.thing, write.stamped_at, replaced))
        return records


def stream_record(write: Write, *, exact: bool) -> dict[str, Any]:
    """Return the stream's record of a write, as Lambda receives it.

    DynamoDB gives its time in whole seconds; `exact` gives it with its fraction, which must not matter.
    """
    data: dict[str, Any] = {
        "ApproximateCreationDateTime": write.stamped_at / SECOND if exact else write.stamped_second,
        "Keys": typed_key(write.key),
        "SequenceNumber": str(write.sequence),
    }
    if write.thing is not None:
        data["NewImage"] = write.thing.typed(write.key)
    name = "REMOVE" if write.thing is None else "MODIFY" if write.replaces else "INSERT"
    return {"eventID": str(write.number), "eventName": name, "eventSource": "aws:dynamodb", "dynamodb": data}
