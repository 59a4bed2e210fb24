"""DynamoDB exports: their manifests, read as they are and held to their checksums.

    <prefix>/AWSDynamoDB/<ExportId>/manifest-summary.json    one JSON object, and its checksum beside it
    <prefix>/AWSDynamoDB/<ExportId>/manifest-files.json      JSON Lines, one for each data file
    <prefix>/AWSDynamoDB/<ExportId>/data/<name>.json.gz      JSON Lines, gzip: {"Item": {…}}

Keys in manifests are whole keys of the bucket. Checksums are base64 of the MD5; their objects are named `….md5`,
where the documentation prints `….checksum`, so both are looked for. (DynamoDB Developer Guide, "DynamoDB table
export output format".)
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from dynaurora.errors import ChecksumMismatchError, InvalidExportError
from dynaurora.objects import read_or_none

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dynaurora.objects import ObjectStore

CHECKSUM_SUFFIXES = (".md5", ".checksum")


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


def read_summary(store: ObjectStore, bucket: str, key: str) -> ExportSummary:
    """Return a full export's summary, its checksum verified.

    Raises ChecksumMismatchError, ObjectMissingError, or InvalidExportError where it is not the summary of a
    complete full export in DynamoDB JSON.
    """
    document = _object(read_verified(store, bucket, key), key)
    kind = document.get("exportType") or "FULL_EXPORT"  # version 2020-06-30 does not say it
    if kind != "FULL_EXPORT":
        raise InvalidExportError(f"{key} is of type {kind}, and a backfill needs a FULL_EXPORT.")
    if document.get("outputFormat", "DYNAMODB_JSON") != "DYNAMODB_JSON":
        raise InvalidExportError(f"{key} is in {document['outputFormat']}, and a backfill reads DYNAMODB_JSON.")
    try:
        return ExportSummary(
            export_arn=str(document["exportArn"]),
            table_arn=str(document["tableArn"]),
            export_second=int(datetime.fromisoformat(str(document["exportTime"])).timestamp()),
            bucket=str(document.get("s3Bucket") or bucket),
            files_key=str(document["manifestFilesS3Key"]),
            items=int(document["itemCount"]),
            billed_bytes=int(document.get("billedSizeBytes") or 0),
        )
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise InvalidExportError(f"{key} lacks a field of an export's summary, or has a wrong one: {error}.") from error


def read_data_files(store: ObjectStore, summary: ExportSummary) -> Iterator[DataFile]:
    """Yield the data files of an export, the checksum of their list verified.

    Raises ChecksumMismatchError, ObjectMissingError or InvalidExportError.
    """
    body = read_verified(store, summary.bucket, summary.files_key)
    for number, line in enumerate(body.splitlines(), 1):
        if not line.strip():
            continue
        place = f"{summary.files_key} line {number}"
        entry = _object(line, place)
        try:
            yield DataFile(str(entry["dataFileS3Key"]), int(entry["itemCount"]), str(entry["md5Checksum"]))
        except (KeyError, OverflowError, TypeError, ValueError) as error:
            raise InvalidExportError(f"{place} does not describe a data file: {error}.") from error


def read_verified(store: ObjectStore, bucket: str, key: str) -> bytes:
    """Return a manifest's bytes, held against the checksum beside it where there is one."""
    body = store.read(bucket, key)
    expected = _checksum(store, bucket, key)
    actual = md5_text(hashlib.md5(body, usedforsecurity=False).digest())
    if expected not in {None, actual}:
        raise ChecksumMismatchError(f"s3://{bucket}/{key} has the MD5 {actual}, and its checksum says {expected}.")
    return body


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
