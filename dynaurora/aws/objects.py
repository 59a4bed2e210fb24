"""The objects of the landing bucket: the few calls that this project makes of S3."""

from __future__ import annotations

import io
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlencode

from botocore.exceptions import ClientError

from dynaurora.aws import sdk
from dynaurora.errors import AccessDeniedError, DynauroraError, ObjectMissingError, ThrottledError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from typing import BinaryIO

PART_BYTES = 8 * 1024 * 1024
"""Of one part of an upload; S3 takes at least 5 MiB (Amazon S3 User Guide, "Multipart upload limits")."""
HTML = "text/html; charset=utf-8"
READ_BYTES = 128 * 1024
"""What is read of a stream at a time."""


@dataclass(frozen=True, slots=True)
class Tail:
    """What an object is now: its ETag, its size in bytes, and its last byte."""

    etag: str
    size: int
    last_byte: bytes


@dataclass(frozen=True, slots=True)
class Listed:
    """An object of a listing."""

    key: str
    etag: str
    size: int
    """In bytes."""
    modified_at: datetime


class ObjectStore(Protocol):
    """What the core needs of S3; tests hand it one in memory."""

    def tail(self, bucket: str, key: str) -> Tail:
        """Return an object's ETag, size and last byte. Raises ObjectMissingError."""
        ...

    def read(self, bucket: str, key: str) -> bytes:
        """Return an object's bytes. Raises ObjectMissingError."""
        ...

    def open(self, bucket: str, key: str) -> BinaryIO:
        """Return an object's bytes as a stream, for what may be large. Raises ObjectMissingError."""
        ...

    def fetch(self, bucket: str, key: str) -> tuple[str, BinaryIO]:
        """Return an object's ETag and, as a stream, the bytes that it names. Raises ObjectMissingError."""
        ...

    def write(self, bucket: str, key: str, body: bytes) -> str:
        """Put an object and return its ETag."""
        ...

    def write_tagged(self, bucket: str, key: str, body: bytes, tags: dict[str, str]) -> str:
        """Put an object with these tags, at once, and return its ETag."""
        ...

    def tag(self, bucket: str, key: str, tags: dict[str, str]) -> None:
        """Give an object these tags and no others. Raises ObjectMissingError."""
        ...

    def read_tags(self, bucket: str, key: str) -> dict[str, str]:
        """Return an object's tags. Raises ObjectMissingError."""
        ...

    def list(self, bucket: str, prefix: str, after: str = "") -> Iterator[Listed]:
        """Yield the objects whose keys begin with a prefix, and come after a key, in the order of the keys' bytes."""
        ...

    def create(self, bucket: str, key: str, body: bytes) -> bool:
        """Put an object where there is none; return False where there is one. Raises ThrottledError."""
        ...

    def copy(self, bucket: str, source: str, target: str) -> None:
        """Copy an object within its bucket. Raises ObjectMissingError."""
        ...

    def delete(self, bucket: str, key: str) -> None:
        """Delete an object, whether it is there or not; in a versioned bucket its versions stay."""
        ...

    def erase(self, bucket: str, key: str) -> None:
        """Delete an object with all its versions, so that nothing is left of it. Raises AccessDeniedError."""
        ...

    def upload(self, bucket: str, key: str) -> Upload:
        """Return an upload that is written piece by piece, for what may be large."""
        ...


class Upload(Protocol):
    """An object that is being written: it exists once it is completed, and not at all if it is aborted."""

    size: int
    """Bytes written so far."""

    def write(self, data: bytes) -> None:
        """Add to the object."""
        ...

    def complete(self) -> str:
        """Make the object of what was written and return its ETag."""
        ...

    def abort(self) -> None:
        """Leave nothing behind."""
        ...


class S3Objects:
    """The real one."""

    def tail(self, bucket: str, key: str) -> Tail:
        """Return an object's ETag, size and last byte. Raises ObjectMissingError."""
        with naming(bucket, key):
            head = sdk.client("s3").head_object(Bucket=bucket, Key=key)
            if head["ContentLength"] == 0:
                return Tail(head["ETag"].strip('"'), 0, b"")
            # If-Match: the byte belongs to the very object whose size was read.
            last = sdk.client("s3").get_object(Bucket=bucket, Key=key, Range="bytes=-1", IfMatch=head["ETag"])
            return Tail(head["ETag"].strip('"'), head["ContentLength"], last["Body"].read())

    def read(self, bucket: str, key: str) -> bytes:
        """Return an object's bytes. Raises ObjectMissingError."""
        with naming(bucket, key):
            body: bytes = sdk.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
            return body

    def open(self, bucket: str, key: str) -> BinaryIO:
        """Return an object's bytes as a stream, for what may be large. Raises ObjectMissingError."""
        return self.fetch(bucket, key)[1]

    def fetch(self, bucket: str, key: str) -> tuple[str, BinaryIO]:
        """Return an object's ETag and, as a stream, the bytes that it names. Raises ObjectMissingError."""
        with naming(bucket, key):
            answer = sdk.client("s3").get_object(Bucket=bucket, Key=key)
        return answer["ETag"].strip('"'), io.BufferedReader(S3Stream(answer["Body"], bucket, key), READ_BYTES)

    def write(self, bucket: str, key: str, body: bytes) -> str:
        """Put an object and return its ETag."""
        kind = {"ContentType": HTML} if key.endswith(".html") else {}
        with naming(bucket, key):
            answer = sdk.client("s3").put_object(Bucket=bucket, Key=key, Body=body, **kind)
        return str(answer["ETag"]).strip('"')

    def write_tagged(self, bucket: str, key: str, body: bytes, tags: dict[str, str]) -> str:
        """Put an object with these tags, at once, and return its ETag."""
        with naming(bucket, key):
            answer = sdk.client("s3").put_object(Bucket=bucket, Key=key, Body=body, Tagging=urlencode(tags))
        return str(answer["ETag"]).strip('"')

    def tag(self, bucket: str, key: str, tags: dict[str, str]) -> None:
        """Give an object these tags and no others. Raises ObjectMissingError."""
        tag_set = [{"Key": name, "Value": value} for name, value in tags.items()]
        with naming(bucket, key):
            sdk.client("s3").put_object_tagging(Bucket=bucket, Key=key, Tagging={"TagSet": tag_set})

    def read_tags(self, bucket: str, key: str) -> dict[str, str]:
        """Return an object's tags. Raises ObjectMissingError."""
        with naming(bucket, key):
            answer = sdk.client("s3").get_object_tagging(Bucket=bucket, Key=key)
        return {tag["Key"]: tag["Value"] for tag in answer["TagSet"]}

    def list(self, bucket: str, prefix: str, after: str = "") -> Iterator[Listed]:
        """Yield the objects whose keys begin with a prefix, and come after a key, in the order of the keys' bytes."""
        asked = {"Bucket": bucket, "Prefix": prefix, **({"StartAfter": after} if after else {})}
        pages = iter(sdk.client("s3").get_paginator("list_objects_v2").paginate(**asked))
        while True:
            with sdk.translated_errors():
                page = next(pages, None)
            if page is None:
                return
            for entry in page.get("Contents", []):
                yield Listed(entry["Key"], entry["ETag"].strip('"'), entry["Size"], entry["LastModified"])

    def create(self, bucket: str, key: str, body: bytes) -> bool:
        """Put an object where there is none; return False where there is one.

        Raises ThrottledError where another is being put, which may fail (Amazon S3 User Guide, "Conditional writes").
        """
        try:
            with naming(bucket, key):
                sdk.client("s3").put_object(Bucket=bucket, Key=key, Body=body, IfNoneMatch="*")
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code == "ConditionalRequestConflict":
                raise ThrottledError(f"s3://{bucket}/{key}: another is being put there.") from error
            if code == "PreconditionFailed":
                return False
            raise
        return True

    def copy(self, bucket: str, source: str, target: str) -> None:
        """Copy an object within its bucket, up to 5 GB. Raises ObjectMissingError."""
        with naming(bucket, source):
            sdk.client("s3").copy_object(Bucket=bucket, Key=target, CopySource={"Bucket": bucket, "Key": source})

    def delete(self, bucket: str, key: str) -> None:
        """Delete an object, whether it is there or not; in a versioned bucket its versions stay."""
        with naming(bucket, key):
            sdk.client("s3").delete_object(Bucket=bucket, Key=key)

    def erase(self, bucket: str, key: str) -> None:
        """Delete an object with all its versions, so that nothing is left of it. Raises AccessDeniedError."""
        with naming(bucket, key):
            pages = sdk.client("s3").get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=key)
            for page in pages:
                kept = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
                versions = [{"Key": key, "VersionId": one["VersionId"]} for one in kept if one["Key"] == key]
                if not versions:
                    continue
                answer = sdk.client("s3").delete_objects(Bucket=bucket, Delete={"Objects": versions, "Quiet": True})
                for error in answer.get("Errors", []):
                    raise AccessDeniedError(f"A version of s3://{bucket}/{key} stays: {error.get('Code')}.")

    def upload(self, bucket: str, key: str) -> S3Upload:
        """Return an upload that is written piece by piece, for what may be large."""
        return S3Upload(self, bucket, key)


class S3Stream(io.RawIOBase):
    """An object's bytes as they come; a connection that breaks on the way is an error of ours too."""

    def __init__(self, body: Any, bucket: str, key: str) -> None:
        super().__init__()
        self._body = body
        self._place = bucket, key

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what fits and return how much that was. Raises ThrottledError where the connection breaks."""
        with naming(*self._place):
            data = self._body.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class S3Upload:
    """An object written in parts, of which one at a time is held; one small enough is put in a single call."""

    def __init__(self, store: S3Objects, bucket: str, key: str) -> None:
        self.size = 0
        self._store = store
        self._place = {"Bucket": bucket, "Key": key}
        self._part = io.BytesIO()
        self._upload_id = ""
        self._parts: list[dict[str, Any]] = []

    def write(self, data: bytes) -> None:
        """Add to the object."""
        self._part.write(data)
        self.size += len(data)
        if self._part.tell() >= PART_BYTES:
            self._send_part()

    def complete(self) -> str:
        """Make the object of what was written and return its ETag."""
        if not self._upload_id:
            return self._store.write(self._place["Bucket"], self._place["Key"], self._part.getvalue())
        if self._part.tell():
            self._send_part()
        with sdk.translated_errors():
            answer = sdk.client("s3").complete_multipart_upload(
                **self._place, UploadId=self._upload_id, MultipartUpload={"Parts": self._parts}
            )
        self._upload_id = ""  # an upload that is complete is none any more: there is nothing to abort
        return str(answer["ETag"]).strip('"')

    def abort(self) -> None:
        """Leave nothing behind; what cannot be removed now, the bucket's lifecycle removes."""
        if self._upload_id:
            with sdk.translated_errors():
                sdk.client("s3").abort_multipart_upload(**self._place, UploadId=self._upload_id)

    def _send_part(self) -> None:
        number = len(self._parts) + 1
        self._part.seek(0)  # sent from where it is: a copy would be as large
        with sdk.translated_errors():
            if not self._upload_id:
                self._upload_id = sdk.client("s3").create_multipart_upload(**self._place)["UploadId"]
            answer = sdk.client("s3").upload_part(
                **self._place, UploadId=self._upload_id, PartNumber=number, Body=self._part
            )
        self._parts.append({"PartNumber": number, "ETag": answer["ETag"]})
        self._part.seek(0)
        self._part.truncate()


@contextmanager
def naming(bucket: str, key: str) -> Iterator[None]:
    """Turn the SDK's errors into ours, each with the object that it is about: S3 itself does not name it."""
    try:
        with sdk.translated_errors():
            yield
    except DynauroraError as error:
        raise type(error)(f"s3://{bucket}/{key}: {error.problem}") from error


def read_or_none(store: ObjectStore, bucket: str, key: str) -> bytes | None:
    """Return an object's bytes, or None where there is no such object."""
    try:
        return store.read(bucket, key)
    except ObjectMissingError:
        return None


@contextmanager
def aborting(upload: Upload) -> Iterator[Upload]:
    """Yield an upload, and abort it where what is done with it fails."""
    try:
        yield upload
    except BaseException:
        upload.abort()
        raise


def is_there(store: ObjectStore, bucket: str, key: str, etag: str) -> bool:
    """Tell whether an object is there, at the contents that its ETag names."""
    try:
        return store.tail(bucket, key).etag == etag
    except ObjectMissingError:
        return False
