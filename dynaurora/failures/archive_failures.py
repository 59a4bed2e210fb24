"""Archiving failures: what nothing is to come of any more leaves the failed prefixes, and can be brought back.

    archived/mapping=<m>/superseded/<failed key>.<etag>     what is newer has overtaken it
    archived/mapping=<m>/discarded/<failed key>.<etag>      somebody has decided so

What is kept there is as its own prefix had it. The copy is written first: killed anywhere, a failure is in one place or
in both, and never in none.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from dynaurora import keys
from dynaurora.aws.objects import is_there, read_or_none
from dynaurora.dynamodb.packs import decode_pack, encode_pack
from dynaurora.failures.failed_records import FailedRecord, encode_failed_record, read_records, split_record
from dynaurora.failures.list_failures import BATCH, RECORDS
from dynaurora.failures.refused_changes import remove_failed
from dynaurora.failures.settle_failures import PUT_BACK, remainder_place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from dynaurora.aws.objects import Listed, ObjectStore
    from dynaurora.failures.list_failures import Place

DISCARDED: Final = "discarded"
"""Why somebody's decision is archived."""


def archive_failures(
    store: ObjectStore,
    bucket: str,
    mapping: str,
    kind: str,
    listed: Listed,
    why: str,
    is_meant: Callable[[FailedRecord], bool],
) -> int:
    """Archive those records of a failed object that are meant, or its batch; return how many changes or batches.

    Nothing is done where the object was replaced since it was listed, or is gone.
    """
    if not is_there(store, bucket, listed.key, listed.etag):
        return 0

    def leave(others: list[FailedRecord]) -> None:
        target = remainder_place(mapping, listed.key)
        if others:
            store.write(bucket, target, encode_records(others))
        if not others or target != listed.key:
            remove_failed(store, bucket, mapping, listed.key)

    place = keys.archived(mapping, why, listed.key, listed.etag)
    return move_failures(store, bucket, kind, listed, place, is_meant, leave)


def restore_failures(
    store: ObjectStore, bucket: str, mapping: str, kind: str, listed: Listed, is_meant: Callable[[FailedRecord], bool]
) -> int:
    """Bring those records of an archived object back that are meant, or its batch; return how many.

    They get the key that they had, or where something else has it by now, one beside it.
    """

    def leave(others: list[FailedRecord]) -> None:
        if others:
            store.write(bucket, listed.key, encode_records(others))
        else:
            store.delete(bucket, listed.key)

    place = name_restored(mapping, listed.key)
    if read_or_none(store, bucket, place):
        place = f"{place}.{listed.etag[:12]}"
    return move_failures(store, bucket, kind, listed, place, is_meant, leave)


def move_failures(
    store: ObjectStore,
    bucket: str,
    kind: str,
    listed: Listed,
    place: str,
    is_meant: Callable[[FailedRecord], bool],
    leave: Callable[[list[FailedRecord]], None],
) -> int:
    """Write what is meant of an object to its new place, then leave the others; return how many are meant."""
    if kind != RECORDS:
        store.copy(bucket, listed.key, place)
        store.delete(bucket, listed.key)
        return 1
    meant, others = separate_records(read_records(store, bucket, listed.key), is_meant)
    if not meant:
        return 0
    store.write(bucket, place, encode_records(meant))
    leave(others)
    return count_archived(meant)


def list_archived(place: Place, store: ObjectStore) -> Iterator[tuple[str, Listed]]:
    """Yield the archived objects of a mapping, each with its kind: its key says where it was."""
    batches = keys.failed_batches_prefix(place.mapping)
    for listed in store.list(place.bucket, keys.archived_prefix(place.mapping)):
        failed_key = keys.unarchived(place.mapping, listed.key).removeprefix(keys.parked_prefix(place.mapping))
        yield (BATCH if failed_key.startswith(batches) else RECORDS), listed


def name_restored(mapping: str, key: str) -> str:
    """Return the failed key that something archived had."""
    place = keys.unarchived(mapping, key)
    for kind in PUT_BACK:
        place = place.removesuffix(f".{kind}")
    return remainder_place(mapping, place)


def separate_records(
    records: Iterable[FailedRecord], is_meant: Callable[[FailedRecord], bool]
) -> tuple[list[FailedRecord], list[FailedRecord]]:
    """Return the records that are meant, and the others; a pack is taken apart where some of its changes are."""
    meant, others = list[FailedRecord](), list[FailedRecord]()
    for record in records:
        singles = split_record(record)
        chosen = [single for single in singles if is_meant(single)]
        if len(chosen) in {0, len(singles)}:
            (meant if chosen else others).append(record)
            continue
        digest = decode_pack(record.data).digest or ""
        left = [single.data for single in singles if single not in chosen]
        meant += chosen
        others.append(replace(record, data=encode_pack(digest, left)))
    return meant, others


def encode_records(records: Iterable[FailedRecord]) -> bytes:
    """Return records as the lines of an object."""
    return b"".join(map(encode_failed_record, records))


def count_archived(records: Iterable[FailedRecord]) -> int:
    """Return how many changes records have: of a pack, each."""
    return sum(len(split_record(record)) for record in records)
