"""Converting an export's data files into one CSV batch, as a stream: memory does not grow with the files.

    object → gunzip → lines → rows → CSV, sorted and uploaded in parts
                         │      └──▶ records that the mapping refuses → the failed prefix
                         └──▶ what no column takes, counted by name → beside the batch

A file counts only if its MD5 and its number of items are the manifest's; otherwise nothing of the batch is left
behind, and nothing of it is imported. A batch is converted once: its descriptor is written beside it when it is
whole, and whoever converts that batch again is given it.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from dynaurora import keys
from dynaurora.aws.objects import aborting, read_or_none
from dynaurora.batches.attempts import DEADLY, Attempts, attempting
from dynaurora.batches.batch import BACKFILL, VERIFY, Batch, BatchObject, Share
from dynaurora.dynamodb.changes import Change, encode_change
from dynaurora.dynamodb.versions import snapshot_version
from dynaurora.errors import ChecksumMismatchError, InvalidExportError, ObjectMissingError, RejectedChange
from dynaurora.exports.export_lines import read_change_line, read_item
from dynaurora.exports.gzip_lines import MAX_LINE_BYTES, GzipError, TextTooLongError, read_lines
from dynaurora.exports.manifests import md5_text
from dynaurora.exports.rejects import Rejects
from dynaurora.exports.sorted_rows import SortedRows
from dynaurora.failures.failed_records import REJECTED, FailedRecord, now_ms
from dynaurora.mappings.csv_format import row_label
from dynaurora.mappings.reasons import count_apart, name_reason
from dynaurora.mappings.routing import Refusals, Router, write_rows
from dynaurora.mappings.sandbox import SandboxedRowMapper
from dynaurora.mappings.unmapped import Unmapped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    from dynaurora.aws.objects import ObjectStore
    from dynaurora.exports.manifests import DataFile
    from dynaurora.exports.plan import PlannedBatch
    from dynaurora.mappings.mapping import Mapping
    from dynaurora.mappings.row_mapper import RowMapper
    from dynaurora.mappings.rows import Row

ITEM_BYTES = 8 * 1024 * 1024
"""Of a data file's text for each item of its manifest, most: an item has 400 KB, and its JSON up to twelve times that,
where it is attributes of one byte. A file as small as it may be has a thousand times its size in text (RFC 1951)."""
BLANK_LINES = 1000
"""In a data file, besides its items: DynamoDB writes none, and a few are nobody's fault."""
LINES_IN_HAND = 1000
"""Of a data file, that are converted at a time after an attempt has died; each is noted before."""


@dataclass(slots=True)
class RoutedShare:
    """What one target has so far."""

    rows: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    def close(self, items: int) -> Share:
        """Return what it has of so many items; what is neither a row nor refused, it does not take."""
        return Share(self.rows, count_apart(self.reasons), items - self.rows - self.reasons.total())


@dataclass(slots=True)
class Converted:
    """What converting has done so far."""

    attempts: Attempts = field(default_factory=Attempts)
    lines: int = 0
    """Lines of all files, blank ones too."""
    items: int = 0
    rows: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    """Refused items, by the first reason of each; those that several targets refuse, for each."""
    shares: dict[str, RoutedShare] = field(default_factory=dict)
    """What each target has of the items, by table, where the mapping routes."""

    def take(self, lines: int) -> Iterator[tuple[range, bool]]:
        """Yield which of the next lines to convert at a time, from 0, and whether that is one not to be touched."""
        first = self.lines
        self.lines += lines
        for hand, is_condemned in self.attempts.divide(range(first, self.lines), LINES_IN_HAND):
            yield range(hand.start - first, hand.stop - first), is_condemned

    @property
    def rejected(self) -> dict[str, int]:
        """The refused items by reason: the most frequent ones, and all others as one."""
        return count_apart(self.reasons)


class HashingReader(io.RawIOBase):
    """A stream that hashes what is read from it."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self._stream: Any = stream
        self._digest = hashlib.md5(usedforsecurity=False)

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what fits into a buffer, hash it, and return how much it was."""
        size: int = self._stream.readinto(buffer)
        self._digest.update(memoryview(buffer)[:size])
        return size

    def finish(self) -> str:
        """Read what is left and return the MD5 of everything, as manifests write it."""
        buffer = bytearray(1 << 16)
        while self.readinto(buffer):
            pass
        return md5_text(self._digest.digest())


@dataclass(frozen=True)
class Converter:
    """Converts the batches of one run."""

    mapper: RowMapper
    store: ObjectStore
    bucket: str
    """The landing bucket."""
    export_bucket: str
    run: str
    export_second: int
    function_arn: str
    unmapped: Unmapped = field(default_factory=Unmapped)
    """What no column took of what was converted here."""
    incremental: bool = False
    """Whether the files have changes of a window that ends at `export_second`, and not items."""
    make_careful: Callable[[Mapping], RowMapper] = SandboxedRowMapper
    """Makes what maps where an attempt at the same batch ended without a word."""

    def convert_once(self, planned: PlannedBatch) -> Batch:
        """Return the batch of a planned one, as it was converted before or is converted now.

        Raises what `convert` raises.
        """
        fingerprint = self._fingerprint(planned)
        key = keys.backfill_descriptor(self.mapper.mapping.name, self.run, planned.number)
        earlier = self._read_earlier(key, fingerprint)
        if earlier is not None:
            return earlier
        batch = self.convert(planned)
        self.store.write(self.bucket, key, json.dumps({"fingerprint": fingerprint, "batch": batch.as_dict()}).encode())
        return batch

    def _fingerprint(self, planned: PlannedBatch) -> str:
        """Return a digest of all that decides what a planned batch becomes."""
        parts = [self.mapper.mapping.digest, self.export_second, self.export_bucket, planned.as_dict()]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def _read_earlier(self, key: str, fingerprint: str) -> Batch | None:
        """Return the batch that was converted from the very same before, if all of it is still there."""
        document = json.loads(read_or_none(self.store, self.bucket, key) or b"{}")
        if document.get("fingerprint") != fingerprint:
            return None
        batch = replace(Batch.from_event(document), digest=self.mapper.mapping.digest)  # one of before names none
        try:
            whole = all(self.store.tail(item.bucket, item.key).etag == item.etag for item in batch.objects)
        except ObjectMissingError:
            return None  # it has expired: what is imported may
        return batch if whole else None

    def convert(self, planned: PlannedBatch) -> Batch:
        """Write a planned batch's CSV and its refused records; return the batch to import.

        Converting again writes the same objects. Raises ChecksumMismatchError, InvalidExportError or
        ObjectMissingError, naming the file.
        """
        name = self.mapper.mapping.name
        with attempting(self.store, self.bucket, keys.backfill_attempts(name, self.run, planned.number)) as attempts:
            mapper = self.make_careful(self.mapper.mapping) if attempts.is_careful else self.mapper
            return replace(self, mapper=mapper, incremental=planned.incremental)._convert(planned, attempts)

    def _convert(self, planned: PlannedBatch, attempts: Attempts) -> Batch:
        tables = [each.table for each in self.mapper.mapping.targets] if self.mapper.mapping.routes else []
        converted = Converted(attempts, shares={table: RoutedShare() for table in tables})
        for target in self.mapper.targets:
            target.unmapped.take()  # what is left of a batch that failed
        self.mapper.writer.widths.take(0)
        name = self.mapper.mapping.name
        csv_key = keys.backfill_batch(name, self.run, planned.number)
        rejected_key = keys.backfill_rejects(name, self.run, planned.number)
        refused_key = keys.backfill_refused(name, self.run, planned.number)
        with aborting(self.store.upload(self.bucket, csv_key)) as csv:
            rows = SortedRows(csv, self.mapper.mapping, incremental=self.incremental)
            with (
                aborting(self.store.upload(self.bucket, rejected_key)) as records,
                aborting(self.store.upload(self.bucket, refused_key)) as refused,
            ):
                rejects = Rejects(records, refused)
                for file in planned.files:
                    self._convert_file(file, rows, rejects, converted)
                if converted.reasons and not planned.compares:  # what is only compared has failed nowhere
                    rejects.complete()
            rows.flush()
            etag = csv.complete()
        self._keep_unmapped(keys.backfill_unmapped(name, self.run, planned.number))
        widths = self.mapper.writer.widths.take(converted.rows)
        item = BatchObject(self.bucket, csv_key, etag, csv.size, widths)
        digest = self.mapper.mapping.digest
        shares = {table: share.close(converted.items) for table, share in converted.shares.items()}
        source = VERIFY if planned.compares else BACKFILL
        return Batch(name, source, self.run, converted.rows, (item,), converted.rejected, digest, targets=shares)

    def _keep_unmapped(self, key: str) -> None:
        """Write what no column took beside the batch, where there is anything: for the report of its run."""
        unmapped, of_targets = Unmapped(), {}
        for target in self.mapper.targets:
            found = target.unmapped.take()
            of_targets[target.mapping.table] = found.as_dict()
            unmapped.merge(found)
        if unmapped.total:
            apart = {"targets": of_targets} if self.mapper.mapping.others else {}
            self.store.write(self.bucket, key, json.dumps(unmapped.as_dict() | apart).encode())
        self.unmapped.merge(unmapped)

    def _convert_file(self, file: DataFile, rows: SortedRows, rejects: Rejects, converted: Converted) -> None:
        place = f"s3://{self.export_bucket}/{file.key}"
        source = HashingReader(self.store.open(self.export_bucket, file.key))
        before, read = converted.items, 0
        try:
            for lines in read_lines(source, MAX_LINE_BYTES + file.items * ITEM_BYTES):
                if read + len(lines) > file.items + BLANK_LINES:  # before more is read: its count is wrong in any case
                    raise InvalidExportError(f"{place} has more lines than the {file.items} items of its manifest.")
                for hand, is_condemned in converted.take(len(lines)):
                    part, number = lines[hand.start : hand.stop], read + hand.start + 1
                    convert = self._refuse_unseen if is_condemned else self._convert_lines
                    rows.write(convert(part, f"{place} line", number, rejects, converted))
                read += len(lines)
                if read - (converted.items - before) > BLANK_LINES:
                    raise InvalidExportError(f"{place} has {BLANK_LINES:,} blank lines by line {read}, and no items.")
        except (EOFError, gzip.BadGzipFile, GzipError) as error:
            raise InvalidExportError(f"{place} is not gzip, or is cut off, after line {read}: {error}.") from error
        except TextTooLongError as error:
            raise InvalidExportError(f"{place} has no items after line {read}: {error}.") from error
        md5, items = source.finish(), converted.items - before
        if md5 != file.md5:
            raise ChecksumMismatchError(f"{place} has the MD5 {md5}, and its manifest says {file.md5}.")
        if items != file.items:
            raise InvalidExportError(f"{place} has {items} items, and its manifest says {file.items}.")

    def _refuse_unseen(
        self, lines: list[bytes], place: str, first: int, rejects: Rejects, converted: Converted
    ) -> bytes:
        """Refuse the item that attempts died of: for each target, since nobody knows whose it is."""
        converted.items += 1
        change, error = self._read(lines[0], f"{place} {first}"), RejectedChange(DEADLY)
        if not self.mapper.mapping.routes:
            self._reject(change, error, rejects, converted)
        for target in self.mapper.mapping.targets if self.mapper.mapping.routes else ():
            self._reject_routed(change, error, target, rejects, converted)
        return b""

    def _convert_lines(
        self, lines: list[bytes], place: str, first: int, rejects: Rejects, converted: Converted
    ) -> bytes:
        """Return the CSV of some lines of a data file; blank ones are no items: if any are missing, the count tells."""
        if self.mapper.mapping.routes:
            return self._route_lines(lines, place, first, rejects, converted)
        if self.incremental:
            return self._write_changes(lines, place, first, rejects, converted)

        def map_plainly(index: int) -> Row | None:
            if not lines[index].strip():
                converted.items -= 1
                converted.rows -= 1
                return None
            row = self._map_item(read_item(lines[index], f"{place} {first + index}"), rejects, converted)
            converted.rows -= row is None
            return row

        converted.items += len(lines)
        converted.rows += len(lines)
        version = snapshot_version(self.export_second)
        return self.mapper.writer.write_items(lines, version, self.export_second * 1000, map_plainly)

    def _route_lines(self, lines: list[bytes], place: str, first: int, rejects: Rejects, converted: Converted) -> bytes:
        """Return the labelled CSV of some lines of a data file, for each target of the mapping."""
        changes = self._read_all(lines, place, first)
        converted.items += len(changes)
        rows = list[bytes]()
        for routed in Router(self.mapper).route_changes(changes).targets:
            label, mapping = row_label(routed.mapper.mapping), routed.mapper.mapping
            lines_or_none, refusals = routed.write()
            written = [label + row for row in lines_or_none if row is not None]
            rows += written
            converted.shares[mapping.table].rows += len(written)
            converted.rows += len(written)
            for index, (_, reasons) in sorted(refusals.items()):
                self._reject_routed(changes[index], RejectedChange(*reasons), mapping, rejects, converted)
        return b"".join(rows)

    def _write_changes(
        self, lines: list[bytes], place: str, first: int, rejects: Rejects, converted: Converted
    ) -> bytes:
        """Return the CSV of some lines of an incremental export's file: of puts and deletes."""
        changes, refusals = self._read_all(lines, place, first), Refusals()
        written = write_rows([encode_change(change) for change in changes], self.mapper, refusals)
        rows = [row for row in written if row is not None]
        converted.items += len(changes)
        converted.rows += len(rows)
        for index, (_, reasons) in sorted(refusals.items()):
            self._reject(changes[index], RejectedChange(*reasons), rejects, converted)
        return b"".join(rows)

    def _read_all(self, lines: list[bytes], place: str, first: int) -> list[Change]:
        """Return the changes that some lines of a data file are."""
        return [self._read(line, f"{place} {first + index}") for index, line in enumerate(lines) if line.strip()]

    def _read(self, line: bytes, place: str) -> Change:
        """Return the change that a line of a data file is. Raises InvalidExportError where it is none."""
        if self.incremental:
            return read_change_line(line, place, self.export_second, self.mapper.mapping.key_attributes)
        return self._change(read_item(line, place))

    def _change(self, item: dict[str, Any]) -> Change:
        """Return the change that an item of the export is."""
        names, version = self.mapper.mapping.key_attributes, snapshot_version(self.export_second)
        return Change(version, self.export_second * 1000, {name: item[name] for name in names if name in item}, item)

    def _map_item(self, item: dict[str, Any], rejects: Rejects, converted: Converted) -> Row | None:
        """Return the row of an item, or None where the mapping refuses it, which is written down."""
        change = self._change(item)
        try:
            return self.mapper.row(change)
        except RejectedChange as error:
            self._reject(change, error, rejects, converted)
            return None

    def _reject(self, change: Change, error: RejectedChange, rejects: Rejects, converted: Converted) -> None:
        converted.reasons[name_reason(error.reasons[0])] += 1
        rejects.write(change, self._failed_record(change, error), self.mapper.mapping.table)

    def _reject_routed(
        self, change: Change, error: RejectedChange, target: Mapping, rejects: Rejects, converted: Converted
    ) -> None:
        """Keep a change as refused by one target."""
        reason = name_reason(error.reasons[0])
        converted.shares[target.table].reasons[reason] += 1
        converted.reasons[reason] += 1
        record = replace(self._failed_record(change, error), target=target.target_name)
        rejects.write(change, record, target.table)

    def _failed_record(self, change: Change, error: RejectedChange) -> FailedRecord:
        return FailedRecord(
            data=encode_change(change),
            error_code=REJECTED,
            error_message=error.problem,
            attempts=0,
            failed_at_ms=now_ms(),
            function_arn=self.function_arn,
            reasons=error.reasons,
        )
