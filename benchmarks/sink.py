"""Where benchmarks of converting write to."""

from __future__ import annotations

import io

from dynaurora.aws.objects import PART_BYTES


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
