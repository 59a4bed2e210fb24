"""What is kept as failed: records that were refused and batches that Aurora did not take, read from S3 as they are.

A failure has a short id: of a record, a digest of its bytes, which stays when it is tried again, moved or parked; of a
batch, the beginning of its own id. Records of the same bytes are the same failure, wherever they are kept.

What an item holds is never part of a message: values that a database or a parser quotes are masked.
"""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from backfill.failures.verdicts import PASSES, READ_AGAIN
from backfill.terminal.console import WrongUseError
from backfill.terminal.formatting import format_iso, parse_iso
from dynaurora import keys
from dynaurora.errors import InvalidRunError, ObjectMissingError
from dynaurora.failures.archive_failures import list_archived
from dynaurora.failures.failed_records import (
    IMPORT,
    UNFORWARDED_CODE,
    UNREADABLE_CODE,
    FailedRecord,
    read_named,
    read_records,
    split_record,
)
from dynaurora.failures.list_failures import (
    BATCH,
    UNSTARTED,
    Place,
    kind_of_batch,
    list_failures,
    unstarted_batch,
)
from dynaurora.failures.read_ahead import hold_small, read_ahead
from dynaurora.failures.settle_failures import DAMAGED
from dynaurora.mappings.reasons import name_reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from backfill.failures.verdicts import Judge, Verdict
    from dynaurora.aws.objects import Listed, ObjectStore
    from dynaurora.errors import Reason

RECORD: Final = "record"
UNSTARTED_CODE: Final = "dynaurora.Unstarted"
ID_LENGTH: Final = 12
DIGEST: Final = re.compile(r"[0-9a-f]{40}")
QUOTED: Final = re.compile(
    r"""(?P<before>\bvalue:?\s|\bentry\s|\bwith\ base\ \d+:\s|\bto\ float:\s)(?P<quote>['"])
    (?:.*(?P=quote)(?=\sfor\s(?:column|key)\s)|.*(?P=quote)|.*)""",
    re.VERBOSE | re.DOTALL,
)
"""Values that MySQL's messages quote (`Incorrect integer value: '…' for column`, `Duplicate entry '…' for key`), and
those of Python's parsers. A value may have quotes itself, so all up to the last one goes; names of columns and keys
are left."""
MASK: Final = "'…'"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which failures are meant."""

    prefix: str | None = None
    include_parked: bool = False
    only_parked: bool = False
    reason: str | None = None
    """Part of what it is counted as, in either case."""
    archived: bool = False
    """Those that are archived, and no others."""

    def prefix_of(self, mapping: str) -> str | None:
        """Return the prefix to look under."""
        if self.only_parked and not (self.prefix or "").startswith(f"{keys.PARKED}/"):
            return keys.parked(mapping, self.prefix or "")
        return self.prefix

    def takes(self, failure: Failure) -> bool:
        """Tell whether a failure has the reason."""
        wanted = (self.reason or "").casefold()
        return not wanted or any(wanted in label.casefold() for label in failure.labels)


@dataclass(frozen=True)
class Failure:
    """One record or batch that is kept."""

    kind: str
    """RECORD, or of a batch, how a reprocess takes it up."""
    bucket: str
    key: str
    """Of the object."""
    number: int
    """Of the record in the object, from 1; the changes of a pack are counted one by one."""
    first_seen_at: datetime
    last_tried_at: datetime
    attempts: int
    reprocessed: int
    error: str
    message: str
    """The error of the time."""
    data: bytes
    """The record as it was sent; of a batch, what is known of it."""
    judge: Judge | None = None
    target: str | None = None
    """The one target that a record is missing in, where its mapping has several."""
    reasons: tuple[Reason, ...] = ()
    """Why a record was refused when it was kept; none of one that an earlier release kept, or that failed otherwise."""
    mapping: str = ""
    """Whose failure it is."""

    @cached_property
    def id(self) -> str:
        """What the failure is addressed by."""
        if self.kind == RECORD:
            return name_record(self.data)
        return self.batch_id[:ID_LENGTH] if DIGEST.fullmatch(self.batch_id) else self.batch_id

    @cached_property
    def batch(self) -> dict[str, Any]:
        """What is known of a batch; of a record, nothing."""
        return {} if self.kind == RECORD else read_object(self.data)

    @property
    def batch_id(self) -> str:
        """The batch's id, or where its record is damaged, the object's name."""
        return str(self.batch.get("batch_id") or self.key.rpartition("/")[2].removesuffix(".json"))

    @property
    def is_parked(self) -> bool:
        """Whether it failed too often to be taken up by itself."""
        return self.key.startswith(f"{keys.PARKED}/")

    @property
    def archived(self) -> str | None:
        """Why it is archived, SUPERSEDED or DISCARDED; None where it is not."""
        return keys.archived_why(self.key)

    @property
    def names_records(self) -> bool:
        """Whether it only names records of the stream, which nobody has kept."""
        return self.kind == RECORD and read_named(self.data) is not None

    def as_record(self) -> FailedRecord:
        """Return what tells the record from others of its object."""
        return FailedRecord(self.data, self.error, self.message, self.attempts, 0, "", target=self.target)

    @cached_property
    def verdict(self) -> Verdict | None:
        """What the mapping says of a record now; None for batches, and where there is no mapping."""
        return self.judge.judge(self.data, self.target) if self.judge and self.kind == RECORD else None

    @property
    def import_error(self) -> str | None:
        """What the import of a record that is mapped now failed with; None for any other failure."""
        is_mapped = self.verdict is not None and self.verdict.outcome == PASSES
        return self.error.removeprefix(IMPORT) if is_mapped and self.error.startswith(IMPORT) else None

    @property
    def labels(self) -> tuple[str, ...]:
        """What it is counted as, the first one foremost."""
        if self.import_error:
            return (f"{self.import_error} (import)",)
        if self.verdict and self.verdict.outcome != READ_AGAIN:
            return self.verdict.labels
        return tuple(map(name_reason, self.reasons)) or (self.verdict.labels if self.verdict else (self.error,))

    @property
    def masked_message(self) -> str:
        """The error of the time without values that it quotes."""
        return mask_values(self.message)

    @property
    def names(self) -> frozenset[str]:
        """What it may be called: its id, and of a batch the whole one too."""
        return frozenset({self.id} if self.kind == RECORD else {self.id, self.batch_id})

    def is_called(self, name: str) -> bool:
        """Tell whether a name is this failure's."""
        return name in self.names

    def as_dict(self, *, reveal: bool = False) -> dict[str, Any]:
        """Return the failure for machines; what it holds only where it is to be revealed."""
        verdict = self.verdict
        document = {
            "id": self.id,
            "kind": self.kind,
            "parked": self.is_parked,
            "archived": self.archived,
            "item": verdict.key if verdict else None,
            "version": None if verdict is None or verdict.version is None else str(verdict.version),
            "batch_id": None if self.kind == RECORD else self.batch_id,
            "first_seen_at": format_iso(self.first_seen_at),
            "last_tried_at": format_iso(self.last_tried_at),
            "attempts": self.attempts,
            "reprocessed": self.reprocessed,
            "mapping": self.mapping,
            "reasons": [reason._asdict() for reason in self.reasons],
            "error": {"code": self.error, "message": self.message if reveal else self.masked_message},
            "verdict": verdict.as_dict() if verdict else None,
            "bucket": self.bucket,
            "key": self.key,
            "number": self.number,
        }
        return {**document, **self._reveal()} if reveal and self.kind == RECORD else document

    def _reveal(self) -> dict[str, Any]:
        try:
            return {"record": json.loads(self.data)}
        except (ValueError, RecursionError):
            return {"record": self.data.decode("utf-8", "backslashreplace")}


@dataclass(frozen=True)
class FailureReader:
    """Reads failures one by one; none is held once the next is read."""

    place: Place
    store: ObjectStore
    judge: Judge | None

    def read(self, selection: Selection) -> Iterator[Failure]:
        """Yield the failures that are meant, in the order of their objects. Raises WrongUseError for a wrong prefix."""
        for _, failures in self.read_objects(self.list_objects(selection)):
            yield from filter(selection.takes, failures)

    def read_objects(
        self, objects: Iterable[tuple[str, Listed]]
    ) -> Iterator[tuple[tuple[str, Listed], Iterable[Failure]]]:
        """Yield some objects, each with its failures, which are to be read before the next one's."""
        return read_ahead(objects, lambda found: hold_small(found[1], self.read_object(*found)))

    def list_objects(self, selection: Selection) -> Iterator[tuple[str, Listed]]:
        """Yield the objects that are meant, each with its kind. Raises WrongUseError for a wrong prefix."""
        if selection.archived:
            yield from self._list_archived(selection.prefix or "")
            return
        prefix = selection.prefix_of(self.place.mapping)
        try:
            yield from list_failures(self.place, self.store, prefix=prefix, parked=selection.include_parked)
        except InvalidRunError as error:
            raise WrongUseError(error.problem) from error

    def _list_archived(self, prefix: str) -> Iterator[tuple[str, Listed]]:
        """Yield the archived objects that are under a prefix, or were."""
        for kind, listed in list_archived(self.place, self.store):
            if any(key.startswith(prefix) for key in (listed.key, keys.unarchived(self.place.mapping, listed.key))):
                yield kind, listed

    def read_object(self, kind: str, listed: Listed) -> Iterator[Failure]:
        """Yield the failures in an object; none where it is gone, because a run has settled it meanwhile."""
        with suppress(ObjectMissingError):
            if kind == UNSTARTED:
                yield self._make_batch(listed, describe_unstarted(self.place, listed))
                return
            if kind == BATCH:
                yield self._make_batch(listed, self.store.read(self.place.bucket, listed.key))
                return
            records = read_records(self.store, self.place.bucket, listed.key)
            for number, record in enumerate(chain.from_iterable(map(split_record, records)), 1):
                yield self._make_record(listed, number, record)

    def _make_record(self, listed: Listed, number: int, record: FailedRecord) -> Failure:
        # Those that never went through Firehose have no times of their own, and were read just now.
        untimed = record.error_code in {UNFORWARDED_CODE, UNREADABLE_CODE} and not record.reprocessed
        arrived_at_ms = 0 if untimed else record.arrived_at_ms or record.failed_at_ms
        return Failure(
            kind=RECORD,
            bucket=self.place.bucket,
            key=listed.key,
            number=number,
            first_seen_at=read_time(arrived_at_ms) or listed.modified_at,
            last_tried_at=read_time(0 if untimed else record.failed_at_ms) or listed.modified_at,
            attempts=record.attempts,
            reprocessed=record.reprocessed,
            error=record.error_code,
            message=record.error_message,
            data=record.data,
            judge=self.judge,
            target=record.target,
            reasons=record.reasons,
            mapping=self.place.mapping,
        )

    def _make_batch(self, listed: Listed, body: bytes) -> Failure:
        record = read_object(body)
        attempts = record.get("attempts")
        return Failure(
            kind=UNSTARTED if record.get("error") == UNSTARTED_CODE else kind_of_batch(record),
            bucket=self.place.bucket,
            key=listed.key,
            number=1,
            first_seen_at=read_iso(record.get("first_failed_at")) or listed.modified_at,
            last_tried_at=read_iso(record.get("last_failed_at")) or listed.modified_at,
            attempts=attempts if isinstance(attempts, int) else 0,
            reprocessed=0,
            error=str(record.get("error") or UNREADABLE_CODE),
            message=str(record.get("reason") or DAMAGED),
            data=body,
            mapping=self.place.mapping,
        )


def name_record(data: bytes) -> str:
    """Return the id of a record, by its bytes."""
    return hashlib.sha256(data).hexdigest()[:ID_LENGTH]


def describe_unstarted(place: Place, listed: Listed) -> bytes:
    """Return what is known of a batch that no import was started for, as the record of a failed one has it."""
    batch = unstarted_batch(place, listed)
    record = {
        "batch_id": batch.id,
        "batch": batch.as_dict(),
        "error": UNSTARTED_CODE,
        "reason": "it is not marked as imported, and no failure of it is recorded",
        "remedy": "Nothing has to be mended: take it up. If it is imported already, that changes nothing.",
    }
    return json.dumps(record).encode()


def mask_values(message: str) -> str:
    """Return a message without the values that it quotes."""
    return QUOTED.sub(rf"\g<before>{MASK}", message)


def name_prefix(place: Place, key: str) -> str:
    """Return the prefix that a failed object is counted under; a run takes it as it is."""
    if key.startswith(place.processed):
        return place.processed
    under = max((prefix for prefix in place.prefixes(parked=True) if key.startswith(prefix)), key=len, default="")
    parts = key.removeprefix(under).split("/")[:-1]
    if not under.endswith(keys.failed_records_prefix(place.mapping)):
        return under
    # A backfill's are told apart by run, Firehose's and the others by how they came here.
    return under + "".join(f"{part}/" for part in parts[: 2 if parts[:1] == ["backfill"] else 1])


def read_time(milliseconds: int) -> datetime | None:
    """Return the time that milliseconds of Unix time are; None for zero and for what is no time."""
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds > 0 else None
    except (OverflowError, OSError, ValueError):
        return None


def read_iso(text: Any) -> datetime | None:
    """Return the time of a text; None where it has none."""
    with suppress(TypeError, ValueError):
        return parse_iso(text)
    return None


def read_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object of some bytes; an empty one where they hold none."""
    with suppress(ValueError, RecursionError):
        document = json.loads(body)
        return document if isinstance(document, dict) else {}
    return {}
