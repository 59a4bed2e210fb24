"""The objects of the landing bucket: the few calls that this project makes of S3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from dynaurora import aws
from dynaurora.errors import ObjectMissingError

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Tail:
    """What an object is now: its ETag, its size in bytes, and its last byte."""

    etag: str
    size: int
    last_byte: bytes


class ObjectStore(Protocol):
    """What the core needs of S3; tests hand it one in memory."""

    def tail(self, bucket: str, key: str) -> Tail:
        """Return an object's ETag, size and last byte. Raises ObjectMissingError."""
        ...

    def read(self, bucket: str, key: str) -> bytes:
        """Return an object's bytes. Raises ObjectMissingError."""
        ...

    def write(self, bucket: str, key: str, body: bytes) -> None:
        """Put an object."""
        ...

    def keys(self, bucket: str, prefix: str) -> Iterator[str]:
        """Yield the keys below a prefix."""
        ...


class S3Objects:
    """The real one."""

    def tail(self, bucket: str, key: str) -> Tail:
        """Return an object's ETag, size and last byte. Raises ObjectMissingError."""
        with aws.translated_errors():
            head = aws.client("s3").head_object(Bucket=bucket, Key=key)
            if head["ContentLength"] == 0:
                return Tail(head["ETag"].strip('"'), 0, b"")
            # If-Match: the byte belongs to the very object whose size was read.
            last = aws.client("s3").get_object(Bucket=bucket, Key=key, Range="bytes=-1", IfMatch=head["ETag"])
            return Tail(head["ETag"].strip('"'), head["ContentLength"], last["Body"].read())

    def read(self, bucket: str, key: str) -> bytes:
        """Return an object's bytes. Raises ObjectMissingError."""
        with aws.translated_errors():
            body: bytes = aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
            return body

    def write(self, bucket: str, key: str, body: bytes) -> None:
        """Put an object."""
        with aws.translated_errors():
            aws.client("s3").put_object(Bucket=bucket, Key=key, Body=body, ContentType="application/json")

    def keys(self, bucket: str, prefix: str) -> Iterator[str]:
        """Yield the keys below a prefix."""
        with aws.translated_errors():
            for page in aws.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
                yield from (entry["Key"] for entry in page.get("Contents", ()))


def read_or_none(store: ObjectStore, bucket: str, key: str) -> bytes | None:
    """Return an object's bytes, or None where there is no such object."""
    try:
        return store.read(bucket, key)
    except ObjectMissingError:
        return None
