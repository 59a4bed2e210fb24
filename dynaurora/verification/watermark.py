"""The watermark: until which second all changes of a table have been imported, as far as can be seen.

A change is in the landing bucket some time after it was made, and in Aurora once its batch is marked as imported. How
long it takes to land is what it takes at most where nothing is late, or more: as late as the changes were that landed
meanwhile, when they landed. (A reader that is late lands something all the while; where nothing has, it has caught up.)
Of a stream that is not read, or whose reader fails, nothing counts as landed that was made
since then. Changes in batches that are pending are no matter of time, but of their keys
(`dynaurora.verification.pending_batches`).
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from dynaurora.dynamodb.versions import second_of
from dynaurora.errors import ObjectMissingError
from dynaurora.mappings.csv_format import LABEL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dynaurora.verification.pending_batches import PendingBatches

TRANSIT_SECONDS: Final = 180
"""What a change takes at most until it is in the bucket, unless the stream is late: a minute in Firehose, and what it
takes to be forwarded and mapped."""
SAMPLED: Final = 5
"""Objects that landed last, of which each shard's should be one: the latest reader counts."""
SAMPLED_BYTES: Final = 64 * 1024
"""Of each: what came first is the oldest."""


@dataclass
class Watermark:
    """The watermark of one replication."""

    batches: PendingBatches
    transit_seconds: float = TRANSIT_SECONDS
    is_read: Callable[[], bool] = lambda: True
    """Tells whether the table's stream is being read, and without failing."""
    clock: Callable[[], float] = time.time
    _seconds: dict[str, int | None] = field(default_factory=dict)
    """By object, that of its oldest change."""

    def find(self) -> float:
        """Return it in Unix time, and have looked at what is pending."""
        is_read, now = self.is_read(), self.clock()
        self.batches.look(now)
        landed = [*self._sample()]
        late = [at - second for at, second in landed if at >= now - self.transit_seconds]
        lag = max(late, default=0.0)
        until = min(now, self.batches.unknown_since) - max(self.transit_seconds, lag)
        return until if is_read else min(until, landed[-1][1] if landed else 0.0)

    def _sample(self) -> Iterator[tuple[float, int]]:
        """Yield of each of the objects that landed last when it did, and the second of its oldest change."""
        for listed in self.batches.landed[-SAMPLED:]:
            second = self._read(listed.key)
            if second is not None:
                yield listed.modified_at.timestamp(), second

    def _read(self, key: str) -> int | None:
        if key not in self._seconds:
            seconds = list[int]()
            with suppress(ObjectMissingError), self.batches.store.open(self.batches.place.bucket, key) as body:
                seconds = [*read_seconds(body.read(SAMPLED_BYTES))]
            self._seconds[key] = min(seconds, default=None)
        return self._seconds[key]


def read_seconds(lines: bytes) -> Iterator[int]:
    """Yield the second of each whole line's change; lines that are none of a batch are passed over."""
    for line in lines.split(b"\n")[:-1]:
        match = LABEL.match(line)
        with suppress(IndexError, ValueError):
            yield second_of(int(line[match.end() if match else 0 :].split(b",", 2)[1]))
