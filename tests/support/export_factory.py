"""Exports written by hand, as DynamoDB writes them: data files, manifests and their checksums."""

import base64
import gzip
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from tests.support.factories import EXPORT_ARN, TABLE_ARN
from tests.support.fakes import InMemoryObjects

BUCKET = "landing"


def md5_of(body: bytes) -> str:
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()


def data_file(items: list[dict[str, Any]]) -> bytes:
    """Return a data file of typed items."""
    return file_of([{"Item": item} for item in items])


def file_of(lines: list[dict[str, Any]]) -> bytes:
    """Return a data file of such lines."""
    return gzip.compress(b"".join(json.dumps(line).encode() + b"\n" for line in lines), mtime=0)


def incremental(start: str, end: str, view: str = "NEW_AND_OLD_IMAGES") -> dict[str, Any]:
    """Return what the summary of an incremental export says otherwise than a full one's."""
    return {
        "exportType": "INCREMENTAL_EXPORT",
        "exportTime": None,
        "exportFromTime": start,
        "exportToTime": end,
        "outputView": view,
    }


def changed(keys: dict[str, Any], image: dict[str, Any] | None, micros: int, **more: Any) -> dict[str, Any]:
    """Return a line of an incremental export: of a put, or of a delete where there is no image."""
    new = {} if image is None else {"NewImage": image}
    return {"Metadata": {"WriteTimestampMicros": {"N": str(micros)}}, "Keys": keys, **new, **more}


@dataclass
class Export:
    """An export in a store in memory; change its parts before `write`, or the store after it."""

    prefix: str = "exports/run=r1"
    checksum_suffix: str = ".md5"
    store: InMemoryObjects = field(default_factory=InMemoryObjects)
    files: dict[str, bytes] = field(default_factory=dict)
    """Name → the data file as it is, compressed."""
    counts: dict[str, int] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    """What the summary says otherwise than it would."""

    @property
    def folder(self) -> str:
        return "/".join(part for part in (self.prefix, "AWSDynamoDB", "01700000000000-abcdef12") if part)

    @property
    def summary_key(self) -> str:
        return f"{self.folder}/manifest-summary.json"

    def key(self, name: str) -> str:
        shared = self.summary.get("exportType") == "INCREMENTAL_EXPORT"
        return f"{self.folder.rpartition('/')[0] if shared else self.folder}/data/{name}.json.gz"

    def move(self, bucket: str, folder: str) -> str:
        """Move all of it to another bucket and folder; return its summary's key there."""
        top = self.folder.rpartition("/")[0]
        moved = {(bucket, folder + key.removeprefix(top)): body for (_, key), body in self.store.objects.items()}
        self.store.objects.clear()
        self.store.objects.update(moved)
        return folder + self.summary_key.removeprefix(top)

    def add(self, name: str, items: list[dict[str, Any]]) -> "Export":
        self.files[name], self.counts[name] = data_file(items), len(items)
        return self

    def add_changes(self, name: str, lines: list[dict[str, Any]]) -> "Export":
        self.files[name], self.counts[name] = file_of(lines), len(lines)
        return self

    def write(self) -> "Export":
        files_key = self.summary.get("manifestFilesS3Key", f"{self.folder}/manifest-files.json")
        lines = [
            {
                "itemCount": self.counts[name],
                "md5Checksum": md5_of(body),
                "etag": "e-1",
                "dataFileS3Key": self.key(name),
            }
            for name, body in self.files.items()
        ]
        summary = {
            "version": "2020-06-30",
            "exportArn": EXPORT_ARN,
            "startTime": "2023-11-14T22:13:21.000Z",
            "endTime": "2023-11-14T22:20:00.000Z",
            "tableArn": TABLE_ARN,
            "tableId": "0000",
            "exportTime": "2023-11-14T22:13:20.000Z",
            "s3Bucket": BUCKET,
            "s3Prefix": self.prefix or None,
            "s3SseAlgorithm": "AES256",
            "s3SseKmsKeyId": None,
            "manifestFilesS3Key": files_key,
            "billedSizeBytes": 1000,
            "itemCount": sum(self.counts.values()),
            "outputFormat": "DYNAMODB_JSON",
            **self.summary,
        }
        for name, body in self.files.items():
            self.store.write(BUCKET, self.key(name), body)
        self._write_manifest(files_key, b"".join(json.dumps(line).encode() + b"\n" for line in lines))
        self._write_manifest(self.summary_key, json.dumps(summary).encode())
        return self

    def _write_manifest(self, key: str, body: bytes) -> None:
        self.store.write(BUCKET, key, body)
        if self.checksum_suffix:
            self.store.write(BUCKET, key.removesuffix(".json") + self.checksum_suffix, md5_of(body).encode())
