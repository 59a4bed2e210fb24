"""DynamoDB exports: their manifests, read as they are and held to their checksums.

    <prefix>/AWSDynamoDB/<ExportId>/manifest-summary.json    one JSON object, and its checksum beside it
    <prefix>/AWSDynamoDB/<ExportId>/manifest-files.json      JSON Lines, one for each data file
    <prefix>/AWSDynamoDB/<ExportId>/data/<name>.json.gz      of a full export: JSON Lines, gzip: {"Item": {…}}
    <prefix>/AWSDynamoDB/data/<name>.json.gz                 of all incremental ones: {"Metadata": {…}, "Keys": {…}, …}

Keys in manifests are whole keys of the bucket that DynamoDB wrote to. An export may have been copied to another bucket
or under another prefix since: it is read from where its summary was found, and its other files from beside that.
Checksums are base64 of the MD5; their objects are named `….md5`, where the documentation prints `….checksum`, so both
are looked for. An export that was copied may have lost them, which is a warning. (DynamoDB Developer Guide, "DynamoDB
table export output format".)
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import product
from typing import TYPE_CHECKING, Any, Final

from dynaurora.aws.objects import read_or_none
from dynaurora.dynamodb.versions import snapshot_version
from dynaurora.errors import ChecksumMismatchError, ExportIncompleteError, InvalidExportError, ObjectMissingError
from dynaurora.escaping import UNSHOWN, escape_text
from dynaurora.keys import is_object_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dynaurora.aws.objects import ObjectStore

    Warn = Callable[[str], None]

CHECKSUM_SUFFIXES = (".md5", ".checksum")
FILES_NAME: Final = "manifest-files.json"
FULL: Final = "FULL_EXPORT"
INCREMENTAL: Final = "INCREMENTAL_EXPORT"
VIEWS_OF_NEW_IMAGES: Final = frozenset({"NEW_AND_OLD_IMAGES", "NEW_IMAGE", "NEW_IMAGES"})
"""Views of an incremental export in which a record without a new image is a delete (DynamoDB API Reference,
`IncrementalExportSpecification`, whose text has the last name and whose values the second)."""
MAX_AWS_NAME: Final = 2048
"""Characters of a name in a manifest: an ARN has at most so many (IAM User Guide, "IAM and AWS STS quotas")."""
MAX_SHOWN: Final = 80
LOOKED_FOR: Final = 5
"""Data files of an export that are looked for beside its summary: one may have been taken away."""
MAX_COUNT: Final = 2**53
"""As large as a number of JSON is told exactly by whoever reads it as a double."""


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """What `manifest-summary.json` says of an export."""

    export_arn: str
    table_arn: str
    export_second: int
    """The point in time that was exported, in seconds of Unix time; of an incremental export, the end of its window."""
    bucket: str
    """Where the summary was found: there its other files are looked for."""
    files_key: str
    items: int
    billed_bytes: int
    window_from: int | None = None
    """Second that an incremental export's window begins at; None for a full export."""
    key: str = ""
    """Of the summary."""
    written_to: str = ""
    """The bucket that DynamoDB wrote the export to."""
    started_second: int | None = None
    """When the export was asked for, where the summary says it."""

    @property
    def is_incremental(self) -> bool:
        """Whether it has changes of a window, and not all items of a second."""
        return self.window_from is not None

    @property
    def folder(self) -> str:
        """The folder of the summary, without a slash at its end; empty for the bucket's root."""
        return self.key.rpartition("/")[0]

    @property
    def is_moved(self) -> bool:
        """Whether it is elsewhere than DynamoDB wrote it."""
        return self.written_to not in {"", self.bucket} or self.files_key.rpartition("/")[0] != self.folder


@dataclass(frozen=True, slots=True)
class DataFile:
    """One data file, as `manifest-files.json` lists it."""

    key: str
    items: int
    md5: str
    """Base64 of the MD5 of the file as it is, compressed."""


def read_summary(
    store: ObjectStore, bucket: str, key: str, warn: Warn, *, takes_incremental: bool = False
) -> ExportSummary:
    """Return an export's summary, its checksum verified; `warn` is told where it has none.

    Raises ChecksumMismatchError, ExportIncompleteError, or InvalidExportError where it is not the summary of a
    complete export in DynamoDB JSON, or of an incremental one that is not taken.
    """
    try:
        document = _object(read_verified(store, bucket, key, warn), key)
    except ObjectMissingError as error:
        raise ExportIncompleteError(error.problem) from error
    kind = document.get("exportType") or FULL  # version 2020-06-30 does not say it
    if kind != FULL and not (kind == INCREMENTAL and takes_incremental):
        raise InvalidExportError(f"{key} is of type {tell_found(kind)}, and this needs a {FULL}.")
    written = document.get("outputFormat", "DYNAMODB_JSON")
    if written != "DYNAMODB_JSON":
        raise InvalidExportError(f"{key} is in {tell_found(written)}, and a backfill reads DYNAMODB_JSON.")
    try:
        window_from, export_second = _read_times(document, kind)
        return ExportSummary(
            export_arn=_name(document, "exportArn"),
            table_arn=_name(document, "tableArn"),
            export_second=export_second,
            bucket=bucket,
            files_key=_key(document, "manifestFilesS3Key"),
            items=_count(document, "itemCount"),
            billed_bytes=_count(document, "billedSizeBytes") if document.get("billedSizeBytes") else 0,
            window_from=window_from,
            key=key,
            written_to=_name(document, "s3Bucket") if document.get("s3Bucket") else "",
            started_second=_second(document, "startTime") if document.get("startTime") else None,
        )
    except ValueError as error:
        raise InvalidExportError(f"{key} lacks a field of an export's summary, or has a wrong one: {error}.") from error


def _read_times(document: dict[str, Any], kind: str) -> tuple[int | None, int]:
    """Return the second that an export's window begins at, None for a full export, and the one that it shows."""
    if kind == FULL:
        return None, _second(document, "exportTime")
    view = document.get("outputView")
    if view not in VIEWS_OF_NEW_IMAGES:
        raise ValueError(f"outputView is {tell_found(view)}, and changes are read of NEW_IMAGE or NEW_AND_OLD_IMAGES")
    start, end = _second(document, "exportFromTime"), _second(document, "exportToTime")
    if start >= end:
        raise ValueError("exportFromTime is not before exportToTime")
    return start, end


def read_data_files(store: ObjectStore, summary: ExportSummary, warn: Warn) -> Iterator[DataFile]:
    """Yield the data files of an export where they are, the checksum of their list verified; `warn` is told if none.

    Raises ChecksumMismatchError, ExportIncompleteError or InvalidExportError.
    """
    place, body = _read_files(store, summary, warn)
    listed = list(_list_files(body, place))
    find = _locate_files(store, summary, listed)
    for file in listed:
        yield replace(file, key=find(file.key))


def _list_files(body: bytes, files_key: str) -> Iterator[DataFile]:
    for number, line in enumerate(body.splitlines(), 1):
        if not line.strip():
            continue
        place = f"{files_key} line {number}"
        entry = _object(line, place)
        try:
            yield DataFile(_key(entry, "dataFileS3Key"), _count(entry, "itemCount"), _name(entry, "md5Checksum"))
        except ValueError as error:
            raise InvalidExportError(f"{place} does not describe a data file: {error}.") from error


def _read_files(store: ObjectStore, summary: ExportSummary, warn: Warn) -> tuple[str, bytes]:
    """Return the list of an export's files and its key: the one beside the summary, or the one that it names."""
    places = tuple(dict.fromkeys((_join(summary.folder, FILES_NAME), summary.files_key)))
    for key in places:
        with suppress(ObjectMissingError):
            return key, read_verified(store, summary.bucket, key, warn)
    raise _missing(summary, FILES_NAME, places)


def _locate_files(store: ObjectStore, summary: ExportSummary, files: list[DataFile]) -> Callable[[str], str]:
    """Return what tells the key of a data file from that in the manifest, as it is true of one of the first with items.

    Of an export that is where DynamoDB wrote it, files that are not there are missed when they are read.
    Raises ExportIncompleteError where a moved export has none of the first ones.
    """
    first = [file.key for file in files if file.items][:LOOKED_FOR]
    if not summary.is_moved or not first:
        return str
    own, shared = _join(summary.folder, "data"), _join(summary.folder.rpartition("/")[0], "data")
    folders = (shared, own, summary.folder) if summary.is_incremental else (own, shared, summary.folder)
    ways: list[Callable[[str], str]] = [*map(_in_folder, folders), str]
    for key, way in product(first, ways):
        if _exists(store, summary.bucket, way(key)):
            return way
    raise _missing(summary, "first data file", tuple(way(first[0]) for way in ways))


def _in_folder(folder: str) -> Callable[[str], str]:
    """Return what tells the key that a file of some key has in a folder."""
    return lambda key: _join(folder, key.rpartition("/")[2])


def _exists(store: ObjectStore, bucket: str, key: str) -> bool:
    try:
        store.tail(bucket, key)
    except ObjectMissingError:
        return False
    return True


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _missing(summary: ExportSummary, what: str, looked_at: tuple[str, ...]) -> ExportIncompleteError:
    """Return the error of an export whose files are not beside its summary."""
    places = ", ".join(f"s3://{summary.bucket}/{escape_text(key, MAX_AWS_NAME)}" for key in dict.fromkeys(looked_at))
    moved = f" DynamoDB wrote it to s3://{summary.written_to}: it was moved or copied." if summary.is_moved else ""
    return ExportIncompleteError(
        f"The {what} of the export s3://{summary.bucket}/{summary.key} is at none of {places}.{moved}"
    )


def read_verified(store: ObjectStore, bucket: str, key: str, warn: Warn) -> bytes:
    """Return a manifest's bytes, held against the checksum beside it.

    Raises ChecksumMismatchError or ObjectMissingError.
    """
    body = store.read(bucket, key)
    expected = _checksum(store, bucket, key)
    actual = md5_text(hashlib.md5(body, usedforsecurity=False).digest())
    if expected is None:
        warn(f"s3://{bucket}/{key} has no checksum beside it, so it was not verified.")
    elif expected != actual:
        raise ChecksumMismatchError(f"s3://{bucket}/{key} has the MD5 {actual}, and its checksum says {expected}.")
    return body


def tell_found(value: Any) -> str:
    """Return what a manifest has somewhere as messages tell it: in one line, and not all where it is long."""
    return escape_text(str(value), MAX_SHOWN)


def md5_text(digest: bytes) -> str:
    """Return an MD5 as manifests write it."""
    return base64.b64encode(digest).decode("ascii")


def _checksum(store: ObjectStore, bucket: str, key: str) -> str | None:
    stem = key.removesuffix(".json")
    for suffix in CHECKSUM_SUFFIXES:
        found = read_or_none(store, bucket, stem + suffix)
        if found is not None:
            return found.decode("ascii", "replace").strip()
    return None


def _object(text: bytes, place: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidExportError(f"{place} is not JSON: {error}.") from error
    if not isinstance(document, dict):
        raise InvalidExportError(f"{place} is not a JSON object.")
    return document


def _text(document: dict[str, Any], name: str) -> str:
    value = document.get(name)
    if type(value) is not str or not value:
        raise ValueError(f"{name} is missing, or no text")
    return value


def _name(document: dict[str, Any], name: str) -> str:
    """Return an ARN or a bucket's name: a text that messages can tell as it is."""
    value = _text(document, name)
    if len(value) > MAX_AWS_NAME or UNSHOWN.search(value):
        raise ValueError(f"{name} is no name that AWS gives: {tell_found(value)}")
    return value


def _key(document: dict[str, Any], name: str) -> str:
    key = _text(document, name)
    if not is_object_key(key):
        raise ValueError(f"{name} is no key that an object can have")
    return key


def _count(document: dict[str, Any], name: str) -> int:
    value = document.get(name)
    if type(value) is not int or not 0 <= value <= MAX_COUNT:
        raise ValueError(f"{name} is missing, or no count")
    return value


def _second(document: dict[str, Any], name: str) -> int:
    """Return the second that a time in ISO 8601 lies in, and rows can be of; one without an offset is UTC."""
    try:
        time = datetime.fromisoformat(_text(document, name))
        second = math.floor((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp())
        snapshot_version(second)
        return second
    except (OverflowError, ValueError) as error:
        raise ValueError(f"{name} is missing, or no time") from error
