"""In-memory gateways: one class for each protocol of the core, with the failures that the real ones have."""

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from dynaurora.errors import ObjectMissingError, ThrottledError
from dynaurora.objects import Tail


@dataclass
class InMemoryObjects:
    """An ObjectStore: objects by bucket and key."""

    objects: dict[tuple[str, str], bytes] = field(default_factory=dict)

    def tail(self, bucket: str, key: str) -> Tail:
        body = self.read(bucket, key)
        return Tail(etag_of(body), len(body), body[-1:])

    def read(self, bucket: str, key: str) -> bytes:
        try:
            return self.objects[bucket, key]
        except KeyError:
            raise ObjectMissingError(f"s3://{bucket}/{key} does not exist.") from None

    def write(self, bucket: str, key: str, body: bytes) -> None:
        self.objects[bucket, key] = body

    def keys(self, bucket: str, prefix: str) -> Iterator[str]:
        return (key for owner, key in sorted(self.objects) if owner == bucket and key.startswith(prefix))


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
