"""The registry: each document that a mapping ever had, for good, and which of them is the current one.

    mappings/mapping=<m>/<digest>.json   a mapping file, by the digest of what it decides; never changed, never removed
    mappings/mapping=<m>/current.json    the pointer: {"digest": "…", "generation": 3}

A *generation* counts activations: a mapping that goes from A to B and back to A has three, and a digest stands for its
latest one. The order of a change is the tables, the document, its row in `_dynaurora_mappings`, the pointer: what the
pointer names is there. *Switch* is when the pointer was written.

Functions look at the pointer again once their copy is TAKE_UP_SECONDS old. One that cannot look fails, to be tried
again: going on with an old copy would write rows of an older mapping for longer than a backfill waits.
"""

from __future__ import annotations

import json
import re
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from dynaurora import keys
from dynaurora.aws.objects import read_or_none
from dynaurora.errors import (
    DynauroraError,
    InvalidMappingError,
    KeyUnavailableError,
    RegistryUnavailableError,
    UnknownMappingError,
    UnregisteredMappingError,
)
from dynaurora.mappings.mapping import NAME, build_mapping

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dynaurora.aws.objects import ObjectStore
    from dynaurora.mappings.mapping import Mapping

TAKE_UP_SECONDS: Final = 60
"""For so long a function may go on with its copy of the pointer."""
DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Pointer:
    """Which mapping is the current one."""

    digest: str
    generation: int
    """How many activations there have been."""

    def encode(self) -> bytes:
        """Return it as the registry keeps it."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, body: bytes) -> Pointer:
        """Return the pointer in a body. Raises ValueError where there is none."""
        document = json.loads(body)
        pointer = cls(document["digest"], document["generation"])
        if not (DIGEST.fullmatch(pointer.digest) and type(pointer.generation) is int):
            raise ValueError("the pointer is none")
        return pointer


@contextmanager
def _reading() -> Iterator[None]:
    """Have the registry be unavailable where its bucket is, but for its key: what to do then is another thing."""
    try:
        yield
    except KeyUnavailableError:
        raise
    except DynauroraError as error:
        raise RegistryUnavailableError(error.problem) from error


class Registry:
    """The registry of one mapping; made once in a process, it keeps what it has read."""

    def __init__(self, store: ObjectStore, bucket: str, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self._store = store
        self._bucket = bucket
        self._clock = clock
        self._pointer: Pointer | None = None
        self._read_at = 0.0
        self._mappings: dict[str, Mapping] = {}

    def find_pointer(self) -> Pointer:
        """Return which mapping is the current one, by a copy that is not older than TAKE_UP_SECONDS.

        Raises RegistryUnavailableError where it cannot be read.
        """
        now = self._clock()
        if self._pointer is None or now - self._read_at >= TAKE_UP_SECONDS:
            self._pointer, self._read_at = self._read_pointer(), now
        return self._pointer

    def is_activated(self) -> bool:
        """Tell whether any mapping is the current one. Raises RegistryUnavailableError where that cannot be read."""
        with _reading():
            return read_or_none(self._store, self._bucket, keys.mapping_pointer(self.name)) is not None

    def find_current(self) -> Mapping:
        """Return the current mapping. Raises what `find_pointer` and `find` do."""
        return self.find(self.find_pointer().digest)

    def find(self, digest: str) -> Mapping:
        """Return the mapping of a digest, whether it is the current one or not.

        Raises UnregisteredMappingError where the registry has none, InvalidMappingError where what it has is another,
        and RegistryUnavailableError where it cannot be read.
        """
        if digest not in self._mappings:
            self._mappings[digest] = self._read_mapping(digest)
        return self._mappings[digest]

    def find_recorded(self, digest: str | None) -> Mapping:
        """Return the mapping that something was recorded with; what names none is of the release before digests.

        That worked by the first mapping that was activated. Raises what `find` does.
        """
        return self.find(digest or self._find_first_digest())

    def find_short(self, short: str) -> Mapping:
        """Return the mapping of a digest of which a label has the first digits. Raises what `find` does."""
        if known := next((digest for digest in self._mappings if digest.startswith(short)), None):
            return self._mappings[known]
        folder = keys.mapping_documents(self.name)
        with _reading():
            listed = next(iter(self._store.list(self._bucket, folder + short)), None)
        return self.find(_digest_of_key(folder, listed.key) if listed else short)

    def find_switch(self) -> datetime:
        """Return when the pointer was written. Raises RegistryUnavailableError."""
        key = keys.mapping_pointer(self.name)
        with _reading():
            found = next((listed for listed in self._store.list(self._bucket, key) if listed.key == key), None)
        if found is None:
            raise RegistryUnavailableError(f"s3://{self._bucket}/{key} is not there: no mapping was ever activated.")
        return found.modified_at.astimezone(UTC) + timedelta(seconds=1)  # S3 tells whole seconds

    def _find_first_digest(self) -> str:
        """Return the digest of the document that was registered first: each is written once, before its activation."""
        folder = keys.mapping_documents(self.name)
        with _reading():
            documents = [
                listed
                for listed in self._store.list(self._bucket, folder)
                if DIGEST.fullmatch(_digest_of_key(folder, listed.key))
            ]
        if not documents:
            raise RegistryUnavailableError(f"s3://{self._bucket}/{folder} has no document: no mapping was registered.")
        return _digest_of_key(folder, min(documents, key=lambda listed: listed.modified_at).key)

    def _read_pointer(self) -> Pointer:
        key = keys.mapping_pointer(self.name)
        with _reading():
            body = read_or_none(self._store, self._bucket, key)
        if body is None:
            raise RegistryUnavailableError(f"s3://{self._bucket}/{key} is not there: no mapping was ever activated.")
        try:
            return Pointer.decode(body)
        except (KeyError, TypeError, ValueError) as error:
            raise RegistryUnavailableError(f"s3://{self._bucket}/{key} is no pointer.") from error

    def _read_mapping(self, digest: str) -> Mapping:
        key = keys.mapping_document(self.name, digest)
        with _reading():
            body = read_or_none(self._store, self._bucket, key)
        if body is None:
            raise UnregisteredMappingError(f"No mapping {self.name} of digest {digest} is in s3://{self._bucket}.")
        return load_document(self.name, body.decode(), digest)


class Registries:
    """The registries of all mappings, each made when it is first asked for; made once in a process."""

    def __init__(self, store: ObjectStore, bucket: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._bucket = bucket
        self._clock = clock
        self._made: dict[str, Registry] = {}

    def find(self, name: str) -> Registry:
        """Return the registry of a mapping. Raises UnknownMappingError where it cannot be the name of one."""
        if name not in self._made:
            self._made[name] = self.renew(name)
        return self._made[name]

    def renew(self, name: str) -> Registry:
        """Return a registry that has read nothing yet, for who may go by no copy. Raises what `find` does."""
        if not NAME.fullmatch(name):
            raise UnknownMappingError(f"No mapping can be named {name!r}.")
        return Registry(self._store, self._bucket, name, self._clock)


def _digest_of_key(folder: str, key: str) -> str:
    return key.removeprefix(folder).removesuffix(".json")


def load_document(name: str, text: str, digest: str) -> Mapping:
    """Return the mapping of a registered document. Raises InvalidMappingError where it is another than its digest says.

    A document was checked before it was registered.
    """
    try:
        document = json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise InvalidMappingError(f"The document of mapping {name} {digest} is no JSON: {error}.") from error
    mapping = build_mapping(name, document, is_checked=True, text=text)
    if mapping.digest != digest:
        raise InvalidMappingError(f"The document of mapping {name} {digest} has the digest {mapping.digest}.")
    return mapping


def publish_document(store: ObjectStore, bucket: str, mapping: Mapping) -> None:
    """Put a mapping's document into the registry, where it is not there yet."""
    store.create(bucket, keys.mapping_document(mapping.name, mapping.digest), mapping.text.encode())


def point_at(store: ObjectStore, bucket: str, name: str, pointer: Pointer) -> bool:
    """Make a registered mapping the current one; return False where it is so already, which moves no switch."""
    key = keys.mapping_pointer(name)
    if read_or_none(store, bucket, key) == pointer.encode():
        return False
    store.write(bucket, key, pointer.encode())
    return True
