"""Settling failures: what becomes of failed objects once it is known whether their batch is in Aurora.

An object is replaced or deleted only when its good rows are committed, or each of its records has the failed attempt
counted on it. What has failed too often is parked. Settling that is killed anywhere is done again with the same end.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from dynaurora import keys
from dynaurora.aws.objects import aborting, is_there, read_or_none
from dynaurora.batches.conversion import read_converted
from dynaurora.dynamodb.packs import is_pack
from dynaurora.errors import ObjectMissingError
from dynaurora.escaping import escape_text
from dynaurora.failures.failed_batches import attempts_of, find_import, read_import_error, read_record
from dynaurora.failures.failed_records import IMPORT, FailedRecord, encode_failed_record, read_records, split_record
from dynaurora.failures.list_failures import BATCH, CONVERSION, RECORDS, SUPERSEDED, FailedObject
from dynaurora.failures.refused_changes import RefusedChange, keep_refused, remove_failed
from dynaurora.failures.runbooks import FAILED_BATCHES_RUNBOOK, FAILED_RECORDS_RUNBOOK
from dynaurora.failures.superseded import Superseded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dynaurora.aws.objects import ObjectStore
    from dynaurora.failures.notices import Notices
    from dynaurora.failures.superseded import Superseder

REASONS_TOLD: Final = 3
"""Of those that records of an entry were refused for, in a notice."""
PUT_BACK: Final = ("remainder", "parked")
"""Of what a settlement names, what has records that were refused again."""
DAMAGED: Final = "the object is not the record of a failed batch"


@dataclass(frozen=True)
class Settler:
    """Settles the objects of an entry once it is known whether its batch is in Aurora."""

    store: ObjectStore
    bucket: str
    max_attempts: int
    notices: Notices
    claimant: str
    """Who tells people of what was parked: the run and its entry."""
    superseder: Superseder | None = None
    """Tells which records are superseded of those that are to be put back."""

    def settle(self, entry: dict[str, Any]) -> dict[str, Any]:
        """Settle an entry whose import succeeded (`imported`) or failed (`error`); return what became of it, counted.

        Settling again does what was not done yet, and nothing else.
        """
        imported, outcome = entry.get("imported"), ""
        records_parked, superseded = int(entry.get("parked") or 0), Superseded()
        if entry["kind"] in {BATCH, CONVERSION}:
            outcome = self._settle_batch(entry, imported=imported is not None)
        elif entry["kind"] == SUPERSEDED:
            forget_superseded(self.store, self.bucket, FailedObject(**entry["objects"][0]))
        elif entry["kind"] == RECORDS and imported is not None:
            superseded = self._find_superseded(entry["settlements"])
            settle_records(self.store, self.bucket, self.notices.mapping, entry["settlements"], superseded)
            records_parked -= superseded.parked
            forget_batch(self.store, self.bucket, self.notices.mapping, imported["batch_id"])
        elif entry["kind"] == RECORDS:
            records_parked = self._settle_unimported(entry)
        counts = {
            "kind": entry["kind"],
            "records": int(entry.get("records") or 0),
            "rows": int((imported or {}).get("rows_staged") or 0),
            "rows_changed": int((imported or {}).get("rows_changed") or 0),
            "rejected": (entry.get("batch") or {}).get("rejected") or {} if entry["kind"] == RECORDS else {},
            "records_parked": records_parked,
            "records_superseded": superseded.records,
            "batches_imported": int(imported is not None and entry["kind"] != RECORDS),
            "batches_failed": int(imported is None and entry["kind"] != SUPERSEDED),
            "batches_parked": int(outcome == "parked"),
        }
        return {**counts, "notice": self._notice(counts, describe_reason(entry))}

    def _find_superseded(self, settlements: list[dict[str, Any]]) -> Superseded:
        """Return which of the records that are to be put back, or parked, are superseded."""
        if self.superseder is None or not any(each["remainder"] or each["parked"] for each in settlements):
            return Superseded()
        found = self.superseder.find(list_put_back(self.store, self.bucket, settlements))
        superseded = Superseded(found)
        for settlement in settlements:
            is_given_up = not settlement["key"].startswith(f"{keys.PARKED}/")
            for kind in ("remainder", "parked"):
                for record in list_put_back(self.store, self.bucket, [settlement], (kind,)) if found else ():
                    if superseded.covers(record):
                        superseded.records += len(split_record(record))
                        superseded.parked += len(split_record(record)) * (kind == "parked" and is_given_up)
        return superseded

    def _settle_unimported(self, entry: dict[str, Any]) -> int:
        """Count the failed import on each record of an entry; return how many of them are parked."""
        name, reason = read_import_error(entry.get("error"))
        return sum(self._fail_object(settlement, f"{IMPORT}{name}", reason) for settlement in entry["settlements"])

    def _fail_object(self, settlement: dict[str, Any], code: str, reason: str) -> int:
        """Put the records of an object back with one more attempt on each; return how many of them are parked.

        What failed too often is parked first, and found there by an attempt that comes after one that was cut off.
        """
        key, mapping = settlement["key"], self.notices.mapping
        place, parked_key = remainder_place(mapping, key), parked_place(mapping, settlement)
        if is_there(self.store, self.bucket, key, settlement["etag"]):
            with ExitStack() as stack:
                kept, parked = (
                    stack.enter_context(aborting(self.store.upload(self.bucket, target)))
                    for target in (place, parked_key)
                )
                for record in fail_records(self.store, self.bucket, settlement, code, reason):
                    is_given_up = record.failures >= self.max_attempts and not key.startswith(f"{keys.PARKED}/")
                    (parked if is_given_up else kept).write(encode_failed_record(record))
                for upload in (parked, kept):
                    if upload.size:
                        upload.complete()
            if not kept.size or place != key:
                remove_failed(self.store, self.bucket, mapping, key)
        return count_failed(self.store, self.bucket, parked_key)

    def _settle_batch(self, entry: dict[str, Any], *, imported: bool) -> str:
        source = FailedObject(**entry["objects"][0])
        mapping, limit = self.notices.mapping, self.max_attempts if is_importable(entry) else 0
        if not imported and is_recorded(self.store, self.bucket, mapping, entry):
            self.store.delete(self.bucket, source.key)  # it is converted; what failed is a batch with its own record
            return "kept"
        return settle_batch(self.store, self.bucket, mapping, source, imported=imported, max_attempts=limit)

    def _notice(self, counts: dict[str, Any], reason: str) -> dict[str, str] | None:
        """Return what people are to be told of what was parked; None where they are not, or were told lately."""
        parked = {"records": counts["records_parked"], "batches": counts["batches_parked"]}
        if not any(parked.values()) or not self.notices.claim("parked", self.claimant, datetime.now(UTC)):
            return None
        what = " and ".join(f"{count} {name}" for name, count in parked.items() if count)
        lines = [
            f"{what} of {self.notices.mapping} were parked.",
            f"Reason: {reason}",
            f"What fails {self.max_attempts} times, or cannot be read, is kept and not tried again by itself.",
            f"Kept in: s3://{self.bucket}/{keys.parked_prefix(self.notices.mapping)}",
            "Look: dynaurora failures list --parked",
            f"Then: dynaurora reprocess start {self.notices.mapping} --include-parked",
            f"Runbook: {FAILED_RECORDS_RUNBOOK if parked['records'] else FAILED_BATCHES_RUNBOOK}",
        ]
        return {"subject": f"dynaurora: {what} parked", "message": "\n".join(lines)}


def describe_reason(entry: dict[str, Any]) -> str:
    """Return why what is parked of an entry failed this time: its import's error, or what the mapping refused most."""
    if entry["kind"] == BATCH and not is_importable(entry):
        return DAMAGED
    if entry.get("imported") is None:
        return ": ".join(read_import_error(entry.get("error")))
    rejected: dict[str, int] = (entry.get("batch") or {}).get("rejected") or {}
    told = sorted(rejected, key=lambda reason: -rejected[reason])[:REASONS_TOLD]
    return escape_text(", ".join(told))  # an earlier release counted names as they were


def settle_records(
    store: ObjectStore,
    bucket: str,
    mapping: str,
    settlements: Iterable[dict[str, Any]],
    superseded: Superseded | None = None,
) -> int:
    """Put what was refused again into the place of each object, once its rows are committed; return how many.

    What is superseded is archived first, what was refused too often parked. Single changes of packs each get a place of
    their own, where they are not kept there already. An object that was replaced meanwhile is left for the next run.
    """
    settled = 0
    for settlement in settlements:
        key = settlement["key"]
        place = remainder_place(mapping, key)
        if not is_there(store, bucket, key, settlement["etag"]):
            continue
        split = separate_superseded(store, bucket, mapping, settlement, superseded)
        if split["parked"]:
            store.copy(bucket, split["parked"], parked_place(mapping, settlement))
        if settlement.get("refused"):  # a run that began under the release before has none
            lines = store.read(bucket, settlement["refused"]).splitlines()
            keep_refused(store, bucket, mapping, list(map(RefusedChange.decode, lines)))
        if split["remainder"]:
            store.copy(bucket, split["remainder"], place)
        if not split["remainder"] or place != key:
            remove_failed(store, bucket, mapping, key)
        settled += 1
    return settled


def separate_superseded(
    store: ObjectStore, bucket: str, mapping: str, settlement: dict[str, Any], superseded: Superseded | None
) -> dict[str, str | None]:
    """Return the keys of what is to be put back of an object, and to be parked, without what is superseded.

    That is archived, under a name of what it comes from, so that separating it again writes the same.
    """
    split: dict[str, str | None] = {kind: settlement[kind] for kind in PUT_BACK}
    if not superseded or not superseded.reasons:
        return split
    place = remainder_place(mapping, settlement["key"])
    for kind in PUT_BACK:
        records = list(list_put_back(store, bucket, [settlement], (kind,)))
        overtaken = [record for record in records if superseded.covers(record)]
        if overtaken:
            own = keys.archived(mapping, SUPERSEDED, f"{place}.{kind}", settlement["etag"])
            store.write(bucket, own, b"".join(map(encode_failed_record, overtaken)))
            kept = b"".join(encode_failed_record(record) for record in records if not superseded.covers(record))
            split[kind] = f"{settlement[kind]}.kept" if kept else None
            if kept:
                store.write(bucket, f"{settlement[kind]}.kept", kept)
    return split


def list_put_back(
    store: ObjectStore, bucket: str, settlements: Iterable[dict[str, Any]], kinds: tuple[str, ...] = PUT_BACK
) -> Iterator[FailedRecord]:
    """Yield the records that were written aside to be put back, or to be parked."""
    for settlement in settlements:
        for kind in kinds:
            if settlement[kind]:
                yield from read_records(store, bucket, settlement[kind])


def fail_records(
    store: ObjectStore, bucket: str, settlement: dict[str, Any], code: str, reason: str
) -> Iterator[FailedRecord]:
    """Yield the records of an object whose import failed, each with one more attempt on it.

    Those that the mapping refused were not part of the batch: they are told from the others by their bytes, and have
    its reason. A pack, which may have been refused in part, stays whole.
    """
    refused = set[bytes]()
    for key in filter(None, (settlement["remainder"], settlement["parked"])):
        for record in read_records(store, bucket, key):
            if is_pack(record.data):
                continue
            refused.add(hashlib.sha256(record.data).digest())
            yield record
    for record in read_records(store, bucket, settlement["key"]):
        if hashlib.sha256(record.data).digest() not in refused:
            yield record.again(code, reason, record.function_arn)


def count_failed(store: ObjectStore, bucket: str, key: str) -> int:
    """Return how many failed changes an object has; none where there is no such object."""
    try:
        return sum(len(split_record(record)) for record in read_records(store, bucket, key))
    except ObjectMissingError:
        return 0


def forget_batch(store: ObjectStore, bucket: str, mapping: str, batch_id: str) -> None:
    """Remove what is kept of a batch of records that failed before and is imported now."""
    failed_key = keys.failed_batch(mapping, batch_id)
    for key in (failed_key, keys.parked(mapping, failed_key)):
        if read_or_none(store, bucket, key) is not None:  # else the bucket's versions would gain a marker each time
            store.delete(bucket, key)


def forget_superseded(store: ObjectStore, bucket: str, source: FailedObject) -> None:
    """Remove the record of a superseded batch, unless the same batch has failed once more since it was listed."""
    if is_there(store, bucket, source.key, source.etag):
        store.delete(bucket, source.key)


def is_recorded(store: ObjectStore, bucket: str, mapping: str, entry: dict[str, Any]) -> bool:
    """Tell whether a conversion that succeeded has become a failed batch, which is recorded by itself.

    The import that failed has recorded the one or the other, under its own name.
    """
    execution = find_import(entry.get("error"))
    if entry["kind"] != CONVERSION or execution is None:
        return False
    asked = entry["batch"]
    converted = read_converted(store, bucket, mapping, asked["run"], asked["batch"]["number"])
    if converted is None:
        return False
    record = read_record(read_or_none(store, bucket, keys.failed_batch(mapping, converted.id)) or b"")
    return record.get("execution") == execution


def remainder_place(mapping: str, key: str) -> str:
    """Return where the refused records of an object go: into its place, but for the records of an invocation."""
    return keys.unforwarded_records(mapping, key) if key.startswith(f"{keys.UNFORWARDED}/") else key


def parked_place(mapping: str, settlement: dict[str, Any]) -> str:
    """Return where the records of an object are parked.

    Named by the contents they come from: records of one object may be parked in different runs.
    """
    return f"{keys.parked(mapping, remainder_place(mapping, settlement['key']))}.{settlement['etag'][:12]}"


def is_importable(entry: dict[str, Any]) -> bool:
    """Tell whether a failed batch can be tried again: nothing that was tried counts attempts on a damaged record."""
    return "batch" in entry


def settle_batch(
    store: ObjectStore, bucket: str, mapping: str, source: FailedObject, *, imported: bool, max_attempts: int
) -> str:
    """Remove the record of a batch that was imported, or park it where it failed too often.

    Returns `imported`, `kept` or `parked`.
    """
    if imported:
        store.delete(bucket, source.key)
        return "imported"
    failed_key = source.key.removeprefix(keys.parked_prefix(mapping))
    if failed_key != source.key:
        return keep_parked(store, bucket, failed_key, source.key)
    parked_key, body = keys.parked(mapping, failed_key), read_or_none(store, bucket, failed_key)
    if body is None:  # parked by an attempt whose answer was lost, or dealt with by somebody
        return "kept" if read_or_none(store, bucket, parked_key) is None else "parked"
    if (attempts_of(read_record(body)) or max_attempts) < max_attempts:
        return "kept"
    store.write(bucket, parked_key, body)
    store.delete(bucket, failed_key)
    return "parked"


def keep_parked(store: ObjectStore, bucket: str, failed_key: str, parked_key: str) -> str:
    """Keep a parked batch parked that failed once more, and was recorded as if for the first time."""
    again, earlier = (read_record(read_or_none(store, bucket, key) or b"") for key in (failed_key, parked_key))
    if not again:
        return "kept"
    if again.get("execution") != earlier.get("execution"):  # else it is written already, by an attempt that was cut off
        attempts = attempts_of(again) + attempts_of(earlier)
        first = earlier.get("first_failed_at") or again.get("first_failed_at")
        record = again | {"attempts": attempts, "first_failed_at": first}
        store.write(bucket, parked_key, json.dumps(record, indent=2).encode())
    store.delete(bucket, failed_key)
    return "kept"
