"""Reading ahead: failures lie in many small objects, some of which are read before their turn.

    one change that the stream's mapping refuses    an object of its own, of a kilobyte
    records of a backfill, or of Firehose           an object of any size: read when its turn comes, record by record

So a hundred thousand objects take as long as a hundred thousand requests over ten connections, each is read once, and
memory does not grow with them.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from dynaurora.aws.objects import Listed

_One = TypeVar("_One")
_Found = TypeVar("_Found")
_Read = TypeVar("_Read")

READ_AT_ONCE: Final = 10
"""Objects that are read at the same time: as many connections as the SDK keeps."""
READ_BEFORE: Final = 30
"""Objects that are held before their turn."""
SMALL_BYTES: Final = 256 * 1024
"""Size up to which an object is held whole."""


def read_ahead(found: Iterable[_Found], read: Callable[[_Found], _Read]) -> Iterator[tuple[_Found, _Read]]:
    """Yield each of what was found with what reading it returned, in order. Raises what reading it does."""
    pool, waiting = ThreadPoolExecutor(READ_AT_ONCE), deque[tuple[_Found, Future[_Read]]]()
    try:
        for one in found:
            waiting.append((one, pool.submit(read, one)))
            if len(waiting) > READ_BEFORE:
                before, reading = waiting.popleft()
                yield before, reading.result()
        while waiting:
            before, reading = waiting.popleft()
            yield before, reading.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def hold_small(listed: Listed, contents: Iterator[_One]) -> Iterable[_One]:
    """Return what an object has: all of it where it is small, else as it is, to be read when its turn comes."""
    return list(contents) if listed.size <= SMALL_BYTES else contents
