"""Where benchmarks of converting and of the stream write to."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from dynaurora import keys
from dynaurora.aws.objects import PART_BYTES
from dynaurora.errors import ObjectMissingError
from dynaurora.mappings.registry import Pointer

if TYPE_CHECKING:
    from dynaurora.mappings.mapping import Mapping


class Sink:
    """An upload that holds a part at a time, as the real one, and forgets it."""

    def __init__(self) -> None:
        self.size = 0
        self._part = io.BytesIO()

    def write(self, data: bytes) -> None:
        """Hold what is written until there is a part of it."""
        self._part.write(data)
        self.size += len(data)
        if self._part.tell() >= PART_BYTES:
            self._part.seek(0)
            self._part.truncate()

    def complete(self) -> str:
        """Return an ETag."""
        return "etag"

    def abort(self) -> None:
        """Forget it."""


class TakingStream:
    """A delivery stream that takes everything."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []

    def put(self, records: list[bytes]) -> list[str | None]:
        """Take a batch, and refuse nothing."""
        self.taken += records
        return [None] * len(records)


class RegistryStore:
    """Objects with the registry of one mapping, which takes everything else and forgets it."""

    def __init__(self, mapping: Mapping) -> None:
        self._objects = {
            keys.mapping_pointer(mapping.name): Pointer(mapping.digest, 1).encode(),
            keys.mapping_document(mapping.name, mapping.digest): mapping.text.encode(),
        }

    def read(self, _bucket: str, key: str) -> bytes:
        """Return what the registry has."""
        if key not in self._objects:
            raise ObjectMissingError(f"{key} is not of the registry.")
        return self._objects[key]

    def create(self, _bucket: str, _key: str, _body: bytes) -> bool:
        """Take an object."""
        return True
