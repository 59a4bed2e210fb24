"""Unseen rows: which rows no item was seen of, once all items were compared; in steps, each goes on where one ended.

    rows    the replica is walked through in the order of its keys, a stretch at a time: the digests of its rows' keys
            are divided among the buckets that those of seen keys are in
    passes  some buckets at a time, digests of rows are compared with those that were seen
    keys    stretches that have rows of which no item was seen are walked through again, for the keys of those

Each step reads what it needs a second time at most, and holds some hundred thousand digests.
"""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass, field
from itertools import chain, compress
from typing import TYPE_CHECKING, Any, Final

from dynaurora.aurora import comparing
from dynaurora.aurora.seen_keys import BUCKETS, DigestKind, SeenKeys, decode, digest_of
from dynaurora.batches.compare_staged import FUTURE_SECONDS, as_bytes, server_text
from dynaurora.dynamodb.versions import make_version
from dynaurora.errors import RowCountError

if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable, Iterator, Sequence

    from dynaurora.aurora.connection import Aurora
    from dynaurora.mappings.mapping import Mapping

STEP_ROWS: Final = 20_000
"""Rows of a stretch."""
MOST_UNSEEN: Final = 1_000
"""Rows that were not seen, after which an answer says where to go on."""
STEP_SECONDS: Final = 20
"""After which it does, too."""
PASS_ROWS: Final = 60_000
"""Rows whose digests are compared at a time, of a table of up to 256 times as many; of a larger one, in proportion."""
MOST_PASS_ROWS: Final = 1_000_000
"""But no more than these: a digest takes some ninety bytes while it is compared."""
NOT: Final = bytes([1]) + bytes(255)
"""Translates 0 to 1, and 1 to 0."""

Key = tuple[str, ...]
"""A row's key, as fields; or where to go on, which begins with what comes next."""


@dataclass(slots=True)
class Unseen:
    """Rows of a replica of which no item was seen, as far as a step came."""

    rows: int = 0
    """Rows that exist, of the stretches of this step."""
    newer: int = 0
    """Those of them that were not seen, and are no older than what was."""
    keys: list[Key] = field(default_factory=list)
    after: Key | None = None
    """Where the next step goes on; None where this was the last one."""


@dataclass(frozen=True)
class KeyStretch:
    """A stretch of the replica: after a key, up to another."""

    number: int
    part: int
    """That the digests of its rows are in."""
    after: Key | None
    upto: Key | None

    def encode(self) -> bytes:
        """Return it as it is stored."""
        return json.dumps([self.part, self.after, self.upto]).encode()

    @classmethod
    def decode(cls, number: int, stored: bytes) -> KeyStretch:
        """Return the one that is stored so."""
        part, after, upto = json.loads(stored)
        return cls(number, part, tuple(after) if after else None, tuple(upto) if upto else None)


@dataclass
class UnseenRows:
    """Finds the rows of one target of which no item was seen."""

    aurora: Aurora
    mapping: Mapping
    run: str
    below: int | None = None
    """The version of the snapshot that items were of; None where they were as they are now."""
    clock: Callable[[], float] = time.time

    def look_on(self, after: Key | None) -> Unseen:
        """Return what is found from there on, as far as a step goes."""
        self.aurora.execute(comparing.ALLOW_LONG_VALUES)
        unseen, until = Unseen(after=after or ("rows", "0")), self.clock() + STEP_SECONDS
        steps = {"rows": self._walk, "passes": self._compare, "keys": self._name_keys}
        while unseen.after is not None:
            kind, *place = unseen.after
            steps[kind](unseen, place)
            if len(unseen.keys) >= MOST_UNSEEN or self.clock() >= until:
                break
        return unseen

    @property
    def _seen(self) -> SeenKeys:
        return SeenKeys(self.aurora, self.mapping, self.run)

    def _walk(self, unseen: Unseen, place: Sequence[str]) -> None:
        """Remember the digests of the next stretch's rows."""
        number, first = int(place[0]), tuple(place[1:]) or None
        ends = comparing.select_boundary(self.mapping, is_first=first is None)
        boundary = self.aurora.query(ends, (*comparing.range_parameters(self.mapping, first, None), STEP_ROWS - 1))
        stretch = KeyStretch(
            number, secrets.randbits(63), first, tuple(map(server_text, boundary[0])) if boundary else None
        )
        newer, digests = self._read_digests(stretch)
        with self.aurora.transaction():
            self._seen.add(DigestKind.ROW, compress(digests, newer.translate(NOT)), stretch.part)
            self._seen.add(DigestKind.NEWER, compress(digests, newer), stretch.part)
            self._seen.bound(number, stretch.encode())
            if stretch.upto is None:
                self._seen.unbound(number + 1)
        unseen.rows += len(newer)
        unseen.after = ("passes", "0") if stretch.upto is None else ("rows", str(number + 1), *stretch.upto)

    def _read_digests(self, stretch: KeyStretch) -> tuple[bytes, array[int]]:
        """Return of each row whether it is no older than the snapshot, 1 or 0, and the digest of its key."""
        is_of_snapshot = self.below is not None
        statement = comparing.tell_digests(self.mapping, **self._ends(stretch), of_snapshot=is_of_snapshot)
        future = make_version(int(self.clock()) + FUTURE_SECONDS, 0)
        versions = () if self.below is None else (self.below, future)
        ((newer, told),) = self.aurora.query(statement, (*versions, *self._bounds(stretch)))
        digests = decode(as_bytes(told))
        if len(newer or "") != len(digests):
            raise RowCountError(f"Of {len(newer or '')} rows of {self.mapping.replica}, {len(digests)} have a digest.")
        return as_bytes(newer), digests

    def _compare(self, unseen: Unseen, place: Sequence[str]) -> None:
        """Compare the digests of some buckets."""
        number, stretches = int(place[0]), self._read_stretches()
        parts = {stretch.part for stretch in stretches.values()}
        some = choose_pass(number, len(stretches) * STEP_ROWS)
        seen = set(
            chain.from_iterable(some.choose(digests) for _, digests in self._seen.read(DigestKind.SEEN, some.buckets))
        )
        extra: dict[int, set[int]] = {}
        for part, digests in self._seen.read(DigestKind.ROW, some.buckets):
            if part in parts and (found := set(some.choose(digests)) - seen):
                extra.setdefault(part, set()).update(found)
        for part, digests in self._seen.read(DigestKind.EXTRA, some.buckets):  # of another share of this bucket
            if part in extra:
                extra[part].update(decode(digests))
        for part, digests in self._seen.read(DigestKind.NEWER, some.buckets):
            if part in parts:
                unseen.newer += len(set(some.choose(digests)) - seen)
        with self.aurora.transaction():
            for part, its in extra.items():
                self._seen.add(DigestKind.EXTRA, its, part)
        unseen.after = ("keys", "0") if number + 1 >= some.passes else ("passes", str(number + 1))

    def _name_keys(self, unseen: Unseen, place: Sequence[str]) -> None:
        """List the keys of the next stretch that has rows of which no item was seen."""
        first, parts = int(place[0]), self._seen.list_parts(DigestKind.EXTRA)
        stretches = sorted(self._read_stretches().items())
        left = [stretch for number, stretch in stretches if number >= first and stretch.part in parts]
        if not left:
            unseen.after = None
            return
        stretch, *more = left
        stored = self._seen.read(DigestKind.EXTRA, range(BUCKETS), stretch.part)
        digests = sorted(chain.from_iterable(decode(some) for _, some in stored))
        statement = comparing.select_by_digests(self.mapping, len(digests), **self._ends(stretch))
        listed = self.aurora.query(statement, (*self._bounds(stretch), *map(digest_of, digests)))
        unseen.keys += [tuple(map(server_text, key)) for key in listed]
        unseen.after = ("keys", str(more[0].number)) if more else None

    def _read_stretches(self) -> dict[int, KeyStretch]:
        stored = self._seen.read(DigestKind.BOUNDS, range(1))
        return {number: KeyStretch.decode(number, document) for number, document in stored}

    def _bounds(self, stretch: KeyStretch) -> tuple[Any, ...]:
        return comparing.range_parameters(self.mapping, stretch.after, stretch.upto)

    @staticmethod
    def _ends(stretch: KeyStretch) -> dict[str, bool]:
        return {"is_first": stretch.after is None, "is_last": stretch.upto is None}


@dataclass(frozen=True)
class Pass:
    """One of so many passes: some buckets, or a share of one."""

    passes: int
    buckets: range
    share: int = 1
    rest: int = 0
    """Of digests divided by `share`, which are of this pass."""

    def choose(self, stored: bytes) -> Iterator[int]:
        """Yield those digests that are of this pass."""
        digests = decode(stored)
        if self.share == 1:
            return iter(digests)
        return (digest for digest in digests if (digest >> 8) % self.share == self.rest)


def choose_pass(number: int, rows: int) -> Pass:
    """Return a pass by its number, of a table that has about so many rows."""
    most = min(max(PASS_ROWS, rows // BUCKETS), MOST_PASS_ROWS)
    wanted = max(1, -(-rows // most))
    if wanted <= BUCKETS:
        return Pass(wanted, range(BUCKETS * number // wanted, BUCKETS * (number + 1) // wanted))
    share = -(-wanted // BUCKETS)
    bucket, rest = divmod(number, share)
    return Pass(BUCKETS * share, range(bucket, bucket + 1), share, rest)
