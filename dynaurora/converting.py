"""Converting an export's data files into one CSV batch, as a stream: memory does not grow with the files.

    object → gunzip → lines → rows → CSV, uploaded in parts
                                └──▶ records that the mapping refuses → the failed prefix

A file counts only if its MD5 and its number of items are the manifest's; otherwise nothing of the batch is left
behind, and nothing of it is imported.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, cast

from dynaurora import keys
from dynaurora.batches import Batch, BatchObject
from dynaurora.changes import Change, encode_change
from dynaurora.csv_batches import encode_row
from dynaurora.errors import ChecksumMismatchError, InvalidExportError, RejectedChange
from dynaurora.exports import md5_text
from dynaurora.failed_records import FailedRecord, encode_failed_record, now_ms
from dynaurora.observability import count_reasons
from dynaurora.versions import snapshot_version

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from dynaurora.exports import DataFile
    from dynaurora.objects import ObjectStore, Upload
    from dynaurora.planning import PlannedBatch
    from dynaurora.rows import RowMapper

REJECTED = "dynaurora.Rejected"
"""The errorCode of a record of a backfill that its mapping refuses."""


@dataclass(slots=True)
class Converted:
    """What converting has done so far."""

    items: int = 0
    rows: int = 0
    rejected: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


class HashingReader:
    """A stream that hashes what is read from it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._digest = hashlib.md5(usedforsecurity=False)

    def read(self, size: int = -1) -> bytes:
        """Read, and hash what was read."""
        data = self._stream.read(size)
        self._digest.update(data)
        return data

    def finish(self) -> str:
        """Read what is left and return the MD5 of everything, as manifests write it."""
        while self.read(1 << 20):
            pass
        return md5_text(self._digest.digest())


@dataclass(frozen=True)
class Converter:
    """Converts the batches of one run."""

    mapper: RowMapper
    store: ObjectStore
    bucket: str
    run: str
    export_second: int
    function_arn: str

    def convert(self, planned: PlannedBatch) -> tuple[Batch, Converted]:
        """Write a planned batch's CSV and its refused records; return the batch to import and the counts.

        Converting again writes the same objects. Raises ChecksumMismatchError, InvalidExportError or
        ObjectMissingError, naming the file.
        """
        converted = Converted()
        csv_key = keys.backfill_batch(self.run, planned.number)
        rejected_key = keys.backfill_rejects(self.mapper.mapping.name, self.run, planned.number)
        with aborting(self.store.upload(self.bucket, csv_key)) as csv:
            with aborting(self.store.upload(self.bucket, rejected_key)) as rejects:
                for file in planned.files:
                    self._convert_file(file, csv, rejects, converted)
                if converted.rejected:
                    rejects.complete()
            etag = csv.complete()
        item = BatchObject(self.bucket, csv_key, etag, csv.size)
        return Batch(self.mapper.mapping.name, "backfill", self.run, converted.rows, (item,)), converted

    def _convert_file(self, file: DataFile, csv: Upload, rejects: Upload, converted: Converted) -> None:
        place = f"s3://{self.bucket}/{file.key}"
        source = HashingReader(self.store.open(self.bucket, file.key))
        before = converted.items
        for item in read_items(source, place):
            converted.items += 1
            self._convert_item(item, csv, rejects, converted)
        md5, items = source.finish(), converted.items - before
        if md5 != file.md5:
            raise ChecksumMismatchError(f"{place} has the MD5 {md5}, and its manifest says {file.md5}.")
        if items != file.items:
            raise InvalidExportError(f"{place} has {items} items, and its manifest says {file.items}.")

    def _convert_item(self, item: dict[str, Any], csv: Upload, rejects: Upload, converted: Converted) -> None:
        names = self.mapper.mapping.key_attributes
        version = snapshot_version(self.export_second)
        change = Change(version, self.export_second * 1000, {name: item[name] for name in names if name in item}, item)
        try:
            csv.write(encode_row(self.mapper.row(change)))
            converted.rows += 1
        except RejectedChange as error:
            converted.rejected += 1
            converted.reasons.update(count_reasons(error.reasons[:1]))
            rejects.write(encode_failed_record(self._failed_record(change, error)))

    def _failed_record(self, change: Change, error: RejectedChange) -> FailedRecord:
        return FailedRecord(
            data=encode_change(change),
            error_code=REJECTED,
            error_message=error.problem,
            attempts=0,
            failed_at_ms=now_ms(),
            function_arn=self.function_arn,
        )


def read_items(source: HashingReader, place: str) -> Iterator[dict[str, Any]]:
    """Yield the items of a data file, one line at a time.

    Raises InvalidExportError where it is not gzip, is cut off, or has a line that is not an item.
    """
    lines = gzip.GzipFile(fileobj=cast("IO[bytes]", source))
    number = 0
    try:
        for number, line in enumerate(lines, 1):  # noqa: B007 (named in the error)
            item = json.loads(line)["Item"]
            if type(item) is not dict:
                raise TypeError("Item is no object")
            yield item
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InvalidExportError(f"{place} is not gzip, or is cut off, after line {number}: {error}.") from error
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise InvalidExportError(f"{place} line {number} is not an item: {type(error).__name__} {error}.") from error


@contextmanager
def aborting(upload: Upload) -> Iterator[Upload]:
    """Yield an upload, and abort it where what is done with it fails."""
    try:
        yield upload
    except BaseException:
        upload.abort()
        raise
