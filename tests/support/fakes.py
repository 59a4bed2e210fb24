"""In-memory gateways: one class for each protocol of the core, with the failures that the real ones have."""

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO

from dynaurora.aws.objects import Listed, Tail
from dynaurora.errors import ObjectMissingError, ThrottledError

WRITTEN_AT = datetime(2026, 11, 23, 8, 15, tzinfo=UTC)


@dataclass
class InMemoryObjects:
    """An ObjectStore: objects by bucket and key."""

    objects: dict[tuple[str, str], bytes] = field(default_factory=dict)
    tags: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    written_at: datetime = WRITTEN_AT
    """When all of them were last written, but for those of `times`."""
    times: dict[tuple[str, str], datetime] = field(default_factory=dict)

    def tail(self, bucket: str, key: str) -> Tail:
        body = self.read(bucket, key)
        return Tail(etag_of(body), len(body), body[-1:])

    def read(self, bucket: str, key: str) -> bytes:
        try:
            return self.objects[bucket, key]
        except KeyError:
            raise ObjectMissingError(f"s3://{bucket}/{key} does not exist.") from None

    def open(self, bucket: str, key: str) -> BytesIO:
        return BytesIO(self.read(bucket, key))

    def fetch(self, bucket: str, key: str) -> tuple[str, BytesIO]:
        body = self.read(bucket, key)
        return etag_of(body), BytesIO(body)

    def write(self, bucket: str, key: str, body: bytes) -> str:
        self.objects[bucket, key] = body
        self.tags.pop((bucket, key), None)
        return etag_of(body)

    def write_tagged(self, bucket: str, key: str, body: bytes, tags: dict[str, str]) -> str:
        etag = self.write(bucket, key, body)
        self.tags[bucket, key] = tags
        return etag

    def tag(self, bucket: str, key: str, tags: dict[str, str]) -> None:
        self.read(bucket, key)
        self.tags[bucket, key] = tags

    def read_tags(self, bucket: str, key: str) -> dict[str, str]:
        self.read(bucket, key)
        return self.tags.get((bucket, key), {})

    def list(self, bucket: str, prefix: str, after: str = "") -> Iterator[Listed]:
        for key in sorted(key for place, key in self.objects if place == bucket and key.startswith(prefix)):
            if key <= after:
                continue
            body = self.objects[bucket, key]
            yield Listed(key, etag_of(body), len(body), self.times.get((bucket, key), self.written_at))

    def create(self, bucket: str, key: str, body: bytes) -> bool:
        if (bucket, key) in self.objects:
            return False
        self.write(bucket, key, body)
        return True

    def copy(self, bucket: str, source: str, target: str) -> None:
        self.write(bucket, target, self.read(bucket, source))

    def delete(self, bucket: str, key: str) -> None:
        self.objects.pop((bucket, key), None)

    def erase(self, bucket: str, key: str) -> None:
        self.delete(bucket, key)

    def upload(self, bucket: str, key: str) -> "InMemoryUpload":
        return InMemoryUpload(self, bucket, key)


@dataclass
class InMemoryUpload:
    """An Upload."""

    store: InMemoryObjects
    bucket: str
    key: str
    pieces: list[bytes] = field(default_factory=list)

    @property
    def size(self) -> int:
        return sum(map(len, self.pieces))

    def write(self, data: bytes) -> None:
        self.pieces.append(data)

    def complete(self) -> str:
        return self.store.write(self.bucket, self.key, b"".join(self.pieces))

    def abort(self) -> None:
        self.pieces.clear()


def etag_of(body: bytes) -> str:
    """Return the ETag that S3 gives an object uploaded in one part."""
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


THROTTLED = "throttled"


@dataclass
class InMemoryStream:
    """A DeliveryStream.

    Each call follows the next entry of `script`: THROTTLED refuses the call, a set of records (their data) refuses
    those. After the script, `always` is followed.
    """

    script: deque[object] = field(default_factory=deque)
    always: object = frozenset()
    taken: list[bytes] = field(default_factory=list)
    calls: list[list[bytes]] = field(default_factory=list)

    def put(self, records: list[bytes]) -> list[str | None]:
        self.calls.append(records)
        step = self.script.popleft() if self.script else self.always
        if step == THROTTLED:
            raise ThrottledError("PutRecordBatch answered ServiceUnavailableException.")
        assert isinstance(step, Iterable)
        refused = set(step)
        self.taken += [data for data in records if data not in refused]
        return ["ServiceUnavailableException" if data in refused else None for data in records]


@dataclass
class Pauses:
    """Stands for `time.sleep`: remembers the seconds."""

    seconds: list[float] = field(default_factory=list)

    def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


@dataclass
class InMemoryExecutions:
    """An Executions: those that run, by ARN, and what was asked about."""

    running: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    error: Exception | None = None
    """What it answers instead."""

    def is_running(self, arn: str) -> bool:
        self.asked.append(arn)
        if self.error:
            raise self.error
        return arn in self.running

    def count_running(self, _machine_arn: str, _before: datetime) -> int:
        return len(self.running)
