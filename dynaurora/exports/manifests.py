"""DynamoDB exports: their manifests, read as they are and held to their checksums.

    <prefix>/AWSDynamoDB/<ExportId>/manifest-summary.json    one JSON object, and its checksum beside it
    <prefix>/AWSDynamoDB/<ExportId>/manifest-files.json      JSON Lines, one for each data file
    <prefix>/AWSDynamoDB/<ExportId>/data/<name>.json.gz      JSON Lines, gzip: {"Item": {…}}

Keys in manifests are whole keys of the bucket. Checksums are base64 of the MD5; their objects are named `….md5`,
where the documentation prints `….checksum`, so both are looked for. An export that was copied may have lost them,
which is a warning. (DynamoDB Developer Guide, "DynamoDB table export output format".)
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from dynaurora.aws.objects import read_or_none
from dynaurora.dynamodb.versions import snapshot_version
from dynaurora.errors import ChecksumMismatchError, InvalidExportError, ObjectMissingError
from dynaurora.escaping import UNSHOWN, escape_text
from dynaurora.keys import is_object_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dynaurora.aws.objects import ObjectStore

    Warn = Callable[[str], None]

CHECKSUM_SUFFIXES = (".md5", ".checksum")
MAX_AWS_NAME: Final = 2048
"""Characters of a name in a manifest: an ARN has at most so many (IAM User Guide, "IAM and AWS STS quotas")."""
MAX_SHOWN: Final = 80
MAX_COUNT: Final = 2**53
"""As large as a number of JSON is told exactly by whoever reads it as a double."""


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """What `manifest-summary.json` says of a full export."""

    export_arn: str
    table_arn: str
    export_second: int
    """The point in time that was exported, in seconds of Unix time."""
    bucket: str
    files_key: str
    items: int
    billed_bytes: int


@dataclass(frozen=True, slots=True)
class DataFile:
    """One data file, as `manifest-files.json` lists it."""

    key: str
    items: int
    md5: str
    """Base64 of the MD5 of the file as it is, compressed."""


def read_summary(store: ObjectStore, bucket: str, key: str, warn: Warn) -> ExportSummary:
    """Return a full export's summary, its checksum verified; `warn` is told where it has none.

    Raises ChecksumMismatchError, ObjectMissingError, or InvalidExportError where it is not the summary of a
    complete full export in DynamoDB JSON.
    """
    document = _object(read_verified(store, bucket, key, warn), key)
    kind = document.get("exportType") or "FULL_EXPORT"  # version 2020-06-30 does not say it
    if kind != "FULL_EXPORT":
        raise InvalidExportError(f"{key} is of type {tell_found(kind)}, and a backfill needs a FULL_EXPORT.")
    written = document.get("outputFormat", "DYNAMODB_JSON")
    if written != "DYNAMODB_JSON":
        raise InvalidExportError(f"{key} is in {tell_found(written)}, and a backfill reads DYNAMODB_JSON.")
    try:
        return ExportSummary(
            export_arn=_name(document, "exportArn"),
            table_arn=_name(document, "tableArn"),
            export_second=_second(document, "exportTime"),
            bucket=_name(document, "s3Bucket") if document.get("s3Bucket") else bucket,
            files_key=_key(document, "manifestFilesS3Key"),
            items=_count(document, "itemCount"),
            billed_bytes=_count(document, "billedSizeBytes") if document.get("billedSizeBytes") else 0,
        )
    except ValueError as error:
        raise InvalidExportError(f"{key} lacks a field of an export's summary, or has a wrong one: {error}.") from error


def read_data_files(store: ObjectStore, summary: ExportSummary, warn: Warn) -> Iterator[DataFile]:
    """Yield the data files of an export, the checksum of their list verified; `warn` is told where it has none.

    Raises ChecksumMismatchError, ObjectMissingError or InvalidExportError.
    """
    body = read_verified(store, summary.bucket, summary.files_key, warn)
    for number, line in enumerate(body.splitlines(), 1):
        if not line.strip():
            continue
        place = f"{summary.files_key} line {number}"
        entry = _object(line, place)
        try:
            yield DataFile(_key(entry, "dataFileS3Key"), _count(entry, "itemCount"), _name(entry, "md5Checksum"))
        except ValueError as error:
            raise InvalidExportError(f"{place} does not describe a data file: {error}.") from error


def read_verified(store: ObjectStore, bucket: str, key: str, warn: Warn) -> bytes:
    """Return a manifest's bytes, held against the checksum beside it.

    Raises ChecksumMismatchError or ObjectMissingError.
    """
    try:
        body = store.read(bucket, key)
    except ObjectMissingError as error:
        raise ObjectMissingError(
            f"{error.problem} An export is read where DynamoDB wrote it: one that was moved or copied is not."
        ) from error
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
