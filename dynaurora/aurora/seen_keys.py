"""Seen keys: what a verification that runs remembers, so that in the end it can tell which rows no item was seen of.

    seen    digests of the keys of rows whose items were seen
    row     digests of the keys of rows that there are, stretch by stretch; `newer`, of those no older than a snapshot
    extra   digests of those of them that were not seen
    bounds  the stretches: by number, from which key to which, and the part that its digests are in

A row of `_dynaurora_seen` has the digests of many keys, eight bytes each, of one bucket: that is their first byte. So a
million keys take eight megabytes and some thousand rows; and rows that there are are compared with keys that were seen
bucket by bucket, each in little memory, however many there are.
"""

from __future__ import annotations

import secrets
import sys
from array import array
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from dynaurora.aurora.comparing import DIGEST_BYTES
from dynaurora.aurora.sql import quote
from dynaurora.aurora.system_tables import SEEN_KEYS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dynaurora.aurora.connection import Aurora
    from dynaurora.mappings.mapping import Mapping

BUCKETS: Final = 256
FORGOTTEN: Final = 10_000
"""Rows that one transaction forgets."""


class DigestKind(StrEnum):
    """What digests are of."""

    SEEN = "seen"
    ROW = "row"
    NEWER = "newer"
    EXTRA = "extra"
    BOUNDS = "bounds"


@dataclass(frozen=True)
class SeenKeys:
    """What one verification remembers of one target."""

    aurora: Aurora
    mapping: Mapping
    run: str

    def add(self, kind: DigestKind, digests: Iterable[int], part: int | None = None) -> None:
        """Remember digests, as one part: one of its own, unless it is named. Again, where it is there already."""
        buckets = [array("Q") for _ in range(BUCKETS)]
        for digest in digests:
            buckets[digest & 0xFF].append(digest)
        number = secrets.randbits(63) if part is None else part
        self._write([(kind.value, n, number, encode(some)) for n, some in enumerate(buckets) if some])

    def bound(self, number: int, document: bytes) -> None:
        """Remember a stretch, instead of the one of that number, if there is one."""
        self._write([(DigestKind.BOUNDS.value, 0, number, document)])

    def read(self, kind: DigestKind, buckets: range, part: int | None = None) -> Iterator[tuple[int, bytes]]:
        """Yield parts' numbers and digests, of some buckets; or of stretches their numbers and bounds."""
        statement = (
            f"SELECT `part`, `digests` FROM {_seen(self.mapping)}"
            " WHERE `run` = %s AND `target` = %s AND `kind` = %s AND `bucket` BETWEEN %s AND %s"
        )
        values = [self.run, self.mapping.table, kind.value, buckets.start, buckets.stop - 1]
        if part is not None:
            statement, values = f"{statement} AND `part` = %s", [*values, part]
        for number, digests in self.aurora.stream(statement, tuple(values)):
            yield int(number), bytes(digests)

    def list_parts(self, kind: DigestKind) -> set[int]:
        """Return the numbers of all parts that have digests of a kind."""
        where = "`run` = %s AND `target` = %s AND `kind` = %s"
        statement = f"SELECT DISTINCT `part` FROM {_seen(self.mapping)} WHERE {where}"
        return {int(part) for (part,) in self.aurora.query(statement, (self.run, self.mapping.table, kind.value))}

    def unbound(self, first: int) -> None:
        """Forget the stretches from a number on: an attempt that ended midway may have left them."""
        statement = (
            f"DELETE FROM {_seen(self.mapping)}"
            " WHERE `run` = %s AND `target` = %s AND `kind` = %s AND `bucket` = 0 AND `part` >= %s"
        )
        self.aurora.execute(statement, (self.run, self.mapping.table, DigestKind.BOUNDS.value, first))

    def _write(self, rows: list[tuple[Any, ...]]) -> None:
        if not rows:
            return
        places = ", ".join(["(%s, %s, %s, %s, %s, %s)"] * len(rows))
        statement = f"REPLACE INTO {_seen(self.mapping)} (`run`, `target`, `kind`, `bucket`, `part`, `digests`)"
        values = tuple(value for row in rows for value in (self.run, self.mapping.table, *row))
        self.aurora.execute(f"{statement} VALUES {places}", values)


def encode(digests: array[int]) -> bytes:
    """Return digests as they are stored, the first byte of each first."""
    if sys.byteorder == "big":
        digests = array("Q", digests)
        digests.byteswap()
    return digests.tobytes()


def decode(stored: bytes) -> array[int]:
    """Return digests that are stored so."""
    digests = array("Q", stored)
    if sys.byteorder == "big":
        digests.byteswap()
    return digests


def number_digest(digest: bytes) -> int:
    """Return a digest of the server's as a number, as it is remembered."""
    return int.from_bytes(digest, "little")


def digest_of(number: int) -> bytes:
    """Return the digest whose number it is."""
    return number.to_bytes(DIGEST_BYTES, "little")


def forget_seen(aurora: Aurora, mapping: Mapping, run: str) -> bool:
    """Forget some of what a run remembers, of all targets; return whether nothing is left."""
    with aurora.transaction():
        return aurora.execute(f"DELETE FROM {_seen(mapping)} WHERE `run` = %s LIMIT {FORGOTTEN}", (run,)) < FORGOTTEN


def _seen(mapping: Mapping) -> str:
    return f"{quote(mapping.database)}.{quote(SEEN_KEYS)}"
