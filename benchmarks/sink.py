"""Where benchmarks of converting write to."""

from __future__ import annotations

from dynaurora.objects import PART_BYTES


class Sink:
    """An upload that holds a part at a time, as the real one, and forgets it."""

    def __init__(self) -> None:
        self.size = 0
        self._pieces: list[bytes] = []
        self._held = 0

    def write(self, data: bytes) -> None:
        """Hold a piece until there is a part of them."""
        self._pieces.append(data)
        self.size += len(data)
        self._held += len(data)
        if self._held >= PART_BYTES:
            b"".join(self._pieces)
            self._pieces, self._held = [], 0

    def complete(self) -> str:
        """Return an ETag."""
        return "etag"

    def abort(self) -> None:
        """Forget it."""
