"""Slots: how many imports there are at once, of all replications of a platform, and whose turn it is.

    common     for every import
    reserved   a quarter of all, at least one of two: for streams, and of each replication for one import at a time

Each is a named lock of the database. So a backfill, or the backlog of a stream, never takes what the stream of another
replication needs: an import of that finds a reserved slot, as long as no more replications than those import at once.
Where more do, it waits in line. The first import of each replication may wait, of its stream and of its runs; the
server hands a lock over to who waits for it, before it answers any newcomer, so a wait ends with an import of another
replication, never with the second one of the same. No more wait than there are slots. Whoever neither has a slot nor
may wait closes its connection, and is tried again.
"""

from __future__ import annotations

import zlib
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dynaurora.aurora.locks import holding, holding_one, name_lock
from dynaurora.errors import LockWaitError, SlotsTakenError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dynaurora.aurora.connection import Aurora

WAIT_SECONDS: Final = 15
"""In line, of the five minutes that an import has; then it is tried again as any other."""


def count_reserved(slots: int) -> int:
    """Return how many of so many slots are for streams: runs take the others at most."""
    return max(1, slots // 4) if slots > 1 else 0


@dataclass(frozen=True, slots=True)
class Slots:
    """The slots of a platform, which its landing bucket tells from those of other platforms on the same server."""

    bucket: str
    count: int
    """0 for any number of imports at once."""

    @property
    def reserved(self) -> list[str]:
        """The locks that are for streams."""
        return self._name_locks("slots", count_reserved(self.count))

    @property
    def common(self) -> list[str]:
        """The locks that are for every import."""
        return self._name_locks("slots", self.count)[count_reserved(self.count) :]

    @property
    def places(self) -> list[str]:
        """The locks that are needed to wait in line."""
        return self._name_locks("places", self.count)

    def name_share(self, mapping: str, kind: str) -> str:
        """Return the lock of the first import of a replication, of its stream or of its runs."""
        return name_lock("import-shares", self.bucket, mapping, kind)

    def _name_locks(self, kind: str, count: int) -> list[str]:
        return [name_lock(f"import-{kind}", self.bucket, str(number)) for number in range(1, count + 1)]


@contextmanager
def claim_slot(aurora: Aurora, slots: Slots, mapping: str, *, is_streamed: bool) -> Iterator[None]:
    """Hold a slot for what is done inside, an import of a batch of a mapping's stream or of one of its runs.

    Raises SlotsTakenError where other imports have all that it may take, and its turn did not come.
    """
    if not slots.count:
        yield
        return
    share = slots.name_share(mapping, "stream" if is_streamed else "runs")
    with ExitStack() as held:
        is_first = held.enter_context(holding_one(aurora, [share])) is not None
        # A reserved one first: it leaves the common ones to those who may take no other.
        allowed = [*(slots.reserved if is_streamed and is_first else ()), *slots.common]
        if held.enter_context(holding_one(aurora, allowed)) is None:
            line = (is_streamed and slots.reserved) or slots.common
            if not is_first or not _wait(aurora, slots, line[zlib.crc32(mapping.encode()) % len(line)], held):
                raise SlotsTakenError(f"All {slots.count} slots for imports are taken, or for streams of others.")
        yield


def _wait(aurora: Aurora, slots: Slots, name: str, held: ExitStack) -> bool:
    """Take a slot once who has it leaves it; tell whether that came about in time."""
    with holding_one(aurora, slots.places) as place:
        if place is None:
            return False
        try:
            held.enter_context(holding(aurora, name, WAIT_SECONDS))
        except LockWaitError:
            return False
    return True
