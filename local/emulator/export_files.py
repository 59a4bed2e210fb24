"""The files of a DynamoDB export in S3: data files, both manifests and their checksums, under AWS's keys.

======================================================== ==============================================================
key                                                      content
======================================================== ==============================================================
``<prefix>/AWSDynamoDB/<export>/_started``               nothing: it shows that the bucket can be written to
``<prefix>/AWSDynamoDB/<export>/data/<name>.json.gz``    data of a full export: a line of JSON for each item
``<prefix>/AWSDynamoDB/data/<name>.json.gz``             data of all incremental exports: a line for each changed item
``<prefix>/AWSDynamoDB/<export>/manifest-files.json``    a line of JSON for each data file
``<prefix>/AWSDynamoDB/<export>/manifest-summary.json``  one JSON document
``manifest-files.md5``, ``manifest-summary.md5``         beside each manifest, its MD5 in base64
======================================================== ==============================================================

Source: developer guide, "DynamoDB table export output format". It calls the checksum files ``.checksum``; listings of
real exports show ``.md5``. Keys in manifests count from the bucket's root and include the prefix. Data files are
uploaded in parts, so their ETag is ``<hex>-1`` and no MD5 of the file. A slash at the prefix's end is dropped.
"""

import base64
import hashlib
import json
import os
import re
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any
from xml.etree.ElementTree import fromstring

from ministack import app
from ministack.services import s3

MIN_FILES = 4
"""Data files of a small table: a new on-demand table has four partitions, each of which becomes a file."""

_GZIP = 31
_COMPRESSION_LEVEL = 1
_LINES_AT_A_TIME = 64  # some 0.3 ms; compressing lets other threads run, so writes to the table hardly wait

_to_json = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


class ExportRefusedError(Exception):
    """S3 did not take a file. ``code`` and ``message`` are S3's own, as in ``NoSuchBucket``."""

    def __init__(self, code: str, message: str) -> None:
        self.code, self.message = code, message
        super().__init__(f"{code}: {message}")


@dataclass(frozen=True)
class DataFile:
    """One line of ``manifest-files.json``."""

    itemCount: int  # noqa: N815 - the names are the manifest's
    md5Checksum: str  # noqa: N815
    """MD5 of the compressed file, in base64."""
    etag: str
    dataFileS3Key: str  # noqa: N815


@dataclass(frozen=True)
class ExportKeys:
    """Where an export writes."""

    prefix: str | None
    export_id: str
    is_incremental: bool

    @property
    def _root(self) -> str:
        return f"{self.prefix.removesuffix('/')}/AWSDynamoDB" if self.prefix else "AWSDynamoDB"

    def of(self, name: str) -> str:
        """Return the key of a manifest, a checksum file or ``_started``."""
        return f"{self._root}/{self.export_id}/{name}"

    def make_data_key(self) -> str:
        """Return a new key for a data file."""
        name = base64.b32encode(os.urandom(16)).decode().rstrip("=").lower()
        folder = self._root if self.is_incremental else f"{self._root}/{self.export_id}"
        return f"{folder}/data/{name}.json.gz"


@dataclass(frozen=True)
class RecordForm:
    """How records of an export become lines of its files."""

    partition_of: Callable[[Any], str]
    """The value of a record's partition key, whose hash decides on the file."""
    line_of: Callable[[Any], dict[str, Any]]


class ExportBucket:
    """Writes to a bucket as DynamoDB does, in the current account and region. For use off the event loop."""

    def __init__(self, name: str, algorithm: str, kms_key_id: str | None) -> None:
        self._name = name
        self._encryption = {"x-amz-server-side-encryption": "aws:kms" if algorithm == "KMS" else algorithm}
        if kms_key_id:
            self._encryption["x-amz-server-side-encryption-aws-kms-key-id"] = kms_key_id

    def put(self, key: str, body: bytes) -> None:
        """Write a small object. Raises ExportRefusedError."""
        self._call("PUT", key, body, {}, self._encryption)

    def upload(self, key: str, body: bytes) -> str:
        """Write an object in one part; its ETag. Raises ExportRefusedError."""
        _, started = self._call("POST", key, b"", {"uploads": ""}, self._encryption)
        upload = {"uploadId": _read_element(started, "UploadId")}
        headers, _ = self._call("PUT", key, body, {"partNumber": "1", **upload}, {})
        etag = next(value for name, value in headers.items() if name.lower() == "etag")
        parts = (
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber>"
            f"<ETag>{etag}</ETag></Part></CompleteMultipartUpload>"
        )
        _, completed = self._call("POST", key, parts.encode(), upload, {})
        return _read_element(completed, "ETag").strip('"')

    def _call(
        self, method: str, key: str, body: bytes, query: dict[str, str], headers: dict[str, str]
    ) -> tuple[dict[str, str], bytes]:
        defaults = {
            "content-type": "application/octet-stream",
            "content-length": str(len(body)),
            "host": "s3.localhost",
        }
        status, answered, content = app.call_service_handler_sync(
            _handle_internally, method, f"/{self._name}/{key}", defaults | headers, body, query
        )
        content = content if isinstance(content, bytes) else str(content).encode()
        if status >= 300:
            raise ExportRefusedError(_read_error(content, "Code"), _read_error(content, "Message"))
        return answered, content


def write_data_files(
    bucket: ExportBucket, keys: ExportKeys, records: list[Any], form: RecordForm, file_bytes: int
) -> tuple[list[DataFile], int]:
    """Write data files and a last one that is empty; what the manifest says of them, and the bytes before compression.

    A partition key's records are all in one file. There are as many files as it takes to have about ``file_bytes``
    uncompressed bytes in each, and never fewer than MIN_FILES.
    """
    count = _count_files(records, form, file_bytes)
    partitions: list[list[Any]] = [[] for _ in range(count)]
    for record in records:
        partitions[zlib.crc32(form.partition_of(record).encode(errors="replace")) % count].append(record)
    files, total = [], 0
    for partition in [*partitions, []]:
        file, size = _write_data_file(bucket, keys.make_data_key(), partition, form)
        files.append(file)
        total += size
    return files, total


def write_manifests(bucket: ExportBucket, keys: ExportKeys, files: list[DataFile], summary: dict[str, Any]) -> None:
    """Write both manifests, each followed by its checksum; the summary is last."""
    lines = "".join(f"{_to_json(asdict(file))}\n" for file in files)
    for name, content in (("manifest-files", lines), ("manifest-summary", _to_json(summary))):
        bucket.put(keys.of(f"{name}.json"), content.encode())
        bucket.put(keys.of(f"{name}.md5"), _checksum(content.encode()).encode())


def _count_files(records: list[Any], form: RecordForm, file_bytes: int) -> int:
    sample = records[:: max(1, len(records) // 100)]
    mean = sum(len(_to_json(form.line_of(record))) for record in sample) / max(1, len(sample))
    return max(MIN_FILES, -int(-mean * len(records) // file_bytes))


def _write_data_file(bucket: ExportBucket, key: str, records: list[Any], form: RecordForm) -> tuple[DataFile, int]:
    compressor = zlib.compressobj(_COMPRESSION_LEVEL, zlib.DEFLATED, _GZIP)
    parts, size = [], 0
    for start in range(0, len(records), _LINES_AT_A_TIME):
        lines = [f"{_to_json(form.line_of(record))}\n" for record in records[start : start + _LINES_AT_A_TIME]]
        chunk = "".join(lines).encode(errors="replace")
        size += len(chunk)
        parts.append(compressor.compress(chunk))
    content = b"".join([*parts, compressor.flush()])
    return DataFile(len(records), _checksum(content), bucket.upload(key, content), key), size


def _checksum(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()


def _read_element(document: bytes, name: str) -> str:
    return next(element.text or "" for element in fromstring(document).iter() if element.tag.endswith(name))  # noqa: S314


def _read_error(document: bytes, name: str) -> str:
    match = re.search(rf"<{name}>(.*?)</{name}>", document.decode(errors="replace"), re.DOTALL)
    return match[1] if match else "Unknown"


async def _handle_internally(
    method: str, path: str, headers: dict[str, str], body: bytes, query_params: dict[str, Any]
) -> Any:
    return await s3.handle_request(method, path, headers, body, query_params, internal=True)
