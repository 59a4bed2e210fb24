"""Refused changes: what a mapping refuses of the stream, each kept as an object of its own.

    transformation_failed_data_backup/mapping=<m>/refused/<id>.json     one failed record, in Firehose's error envelope

The id is a digest of target and item, and one of those and the version: changes of one item stand together in a
listing, and each is kept once, whatever pack it came in and however often. It is written only where nothing is: a
repeat neither doubles it nor takes its attempts back. What is settled leaves an empty object behind, so that a repeat
does not revive it; all that reads failures passes over those, and the bucket's lifecycle expires them by their tag.
"""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from dynaurora import keys
from dynaurora.dynamodb.attributes import respell_numbers
from dynaurora.failures.failed_records import decode_failed_record, encode_failed_record

if TYPE_CHECKING:
    from collections.abc import Collection

    from dynaurora.aws.objects import Listed, ObjectStore
    from dynaurora.dynamodb.changes import Change
    from dynaurora.failures.failed_records import FailedRecord

REFUSED_SETTLED: Final = {"dynaurora": "settled"}
"""Tag of the empty object that a settled change leaves; the landing bucket's lifecycle expires no other of its kind."""
HALF: Final = 32
"""Hexadecimal digits of each half of an id."""
MAX_WRITERS: Final = 10
"""Objects that are written at the same time: as many connections as the SDK keeps."""


@dataclass(frozen=True, slots=True)
class RefusedChange:
    """A change that a mapping refuses."""

    id: str
    record: FailedRecord
    """Its data is the one change, as `encode_change` wrote it."""

    def encode(self) -> bytes:
        """Return it as a line of those that are to be kept once their batch is imported, its newline included."""
        return self.id.encode() + b" " + encode_failed_record(self.record)

    @classmethod
    def decode(cls, line: bytes) -> RefusedChange:
        """Return the refused change that `encode` wrote."""
        identity, _, envelope = line.partition(b" ")
        return cls(identity.decode(), decode_failed_record(envelope))


def refused_id(target: str, change: Change | None, data: bytes) -> str:
    """Return what a refused change is kept under: the same for each delivery; by its bytes, where it is no change."""
    if change is not None:
        with suppress(RecursionError):  # a key that is none may be nested as deep as anything
            item = [target, respell_numbers(change.keys)]
            return digest_named(item) + digest_named([*item, str(change.version)])
    return hashlib.sha256(b"\0".join((target.encode(), data))).hexdigest()


def digest_named(named: list[Any]) -> str:
    """Return half of an id: a digest of what it names."""
    return hashlib.sha256(_write_named(named).encode()).hexdigest()[:HALF]


_write_named = json.JSONEncoder(sort_keys=True, default=str).encode
"""Made once: `json.dumps` makes one for each text."""


def keep_refused(store: ObjectStore, bucket: str, mapping: str, refused: Collection[RefusedChange]) -> int:
    """Write each change that is not kept yet, several at a time; return how many that were.

    Raises what writing any of them does. Those that were written stay, and are passed over the next time.
    """
    if not refused:
        return 0

    def keep(change: RefusedChange) -> bool:
        return store.create(bucket, keys.refused_change(mapping, change.id), encode_failed_record(change.record))

    if len(refused) == 1:
        return sum(map(keep, refused))
    writing = [writers().submit(keep, change) for change in refused]
    try:
        return sum(each.result() for each in writing)
    finally:  # nothing goes on behind an error
        for each in writing:
            each.cancel()
        wait(writing)


@cache
def writers() -> ThreadPoolExecutor:
    """Return the threads that write, which stay: starting one takes as long as mapping thirty changes."""
    return ThreadPoolExecutor(MAX_WRITERS, "refused")


def is_refused_change(mapping: str, key: str) -> bool:
    """Tell whether a key is that of a single refused change."""
    return key.startswith(keys.refused_changes_prefix(mapping))


def is_settled(mapping: str, listed: Listed) -> bool:
    """Tell whether an object is what a settled change leaves behind."""
    return listed.size == 0 and is_refused_change(mapping, listed.key)


def remove_failed(store: ObjectStore, bucket: str, mapping: str, key: str) -> None:
    """Remove a failed object that is settled; a single refused change leaves an empty one, which expires."""
    if is_refused_change(mapping, key):
        store.write_tagged(bucket, key, b"", REFUSED_SETTLED)
    else:
        store.delete(bucket, key)
