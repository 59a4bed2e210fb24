"""Writing the rows of many records in a sandbox: some together, and by itself each that those do not do for."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from dynaurora.mappings.compiled.row_writer import CHANGES, RowWriter
from dynaurora.mappings.csv_format import encode_row
from dynaurora.mappings.sandboxed import Records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dynaurora.mappings.compiled.row_writer import Exactly, Purpose
    from dynaurora.mappings.mapping import Mapping
    from dynaurora.mappings.unmapped import Unmapped, UnmappedCounter

    WriteTogether = Callable[[Records, str], "tuple[list[bytes | None], Unmapped] | None"]
    """`Sandbox.write`."""

WRITTEN_TOGETHER: Final = 50
WRITTEN_BYTES: Final = 256 * 1024
"""Of records that are written together, at most, but for one that has more by itself."""


class SandboxedRowWriter(RowWriter):
    """Writes the rows of one mapping in a sandbox; `exactly` maps there too."""

    def __init__(self, mapping: Mapping, unmapped: UnmappedCounter, write_together: WriteTogether) -> None:
        super().__init__(mapping, unmapped)
        self._place = mapping.place
        self._told = unmapped
        self._ask = write_together

    def write_items(self, lines: list[bytes], version: int, changed_at_ms: int, exactly: Exactly) -> bytes:
        """Return the CSV of an export's lines, each an item of that version; those without a row are left out."""
        rows = self.write_lines(lines, ("Item", version, changed_at_ms), exactly)
        return b"".join(row for row in rows if row is not None)

    def write_changes(self, changes: list[bytes], exactly: Exactly) -> list[bytes | None]:
        """Return the row of each change, None where it has none."""
        return self.write_lines(changes, CHANGES, exactly)

    def write_lines(self, records: list[bytes], purpose: Purpose, exactly: Exactly) -> list[bytes | None]:
        """Return the row of each record of a kind, None where it has none."""
        rows: list[bytes | None] = []
        for some in divide(records) if self.plan else ():
            rows += self._write_together(Records(purpose, some))
        rows += [None] * (len(records) - len(rows))
        for index, written in enumerate(rows):
            if written is None and (row := exactly(index)) is not None:
                rows[index] = encode_row(row)
        return rows

    def _write_together(self, records: Records) -> list[bytes | None]:
        """Return the rows of records that the sandbox writes together; None for each that it does not."""
        written = self._ask(records, self._place)
        if written is None:
            return [None] * len(records.lines)
        rows, unmapped = written
        self._told.add(unmapped)
        return rows


def divide(records: list[bytes]) -> Iterator[list[bytes]]:
    """Yield records some at a time, as many as a sandbox is given together."""
    left = iter(records)
    while some := list(islice(left, WRITTEN_TOGETHER)):
        while len(some) > 1 and sum(map(len, some)) > WRITTEN_BYTES:
            middle = len(some) // 2
            yield from divide(some[:middle])
            some = some[middle:]
        yield some
