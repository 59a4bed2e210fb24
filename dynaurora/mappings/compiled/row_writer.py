"""Writing the rows of many records at once: by compiled code where a mapping has a plan, plainly where it is unsure."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dynaurora.dynamodb.attributes import load_json
from dynaurora.mappings.compiled.codegen import compile_changes, compile_items
from dynaurora.mappings.compiled.plans import make_plan
from dynaurora.mappings.compiled.row_text import ROW_END, finish_rows, mark_row
from dynaurora.mappings.compiled.schemas import NotCompilableError
from dynaurora.mappings.compiled.unmapped_lines import add_up
from dynaurora.mappings.csv_format import encode_row
from dynaurora.mappings.field_widths import FieldWidths

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dynaurora.mappings.compiled.plans import RowPlan
    from dynaurora.mappings.mapping import Mapping
    from dynaurora.mappings.rows import Row
    from dynaurora.mappings.unmapped import UnmappedCounter

Exactly = Callable[[int], "Row | None"]
"""Maps a record plainly, by its position; None where it has no row. It is asked once for each."""

MAX_VAIN_LESSONS = 100
"""How many refused records are looked at for names to learn, without finding any."""


class RowWriter:
    """Writes the rows of one mapping; make it once and use it for every record."""

    def __init__(self, mapping: Mapping, unmapped: UnmappedCounter | None = None) -> None:
        self._columns = len(mapping.columns)
        self._unmapped = unmapped
        """Is told what no column takes of what is mapped here; what is mapped plainly is told it there."""
        self.widths = FieldWidths(mapping)
        """Of the rows of items that were written."""
        self._vain_lessons = 0
        self._made: dict[Any, Any] = {}
        """Compiled code, by what it is for."""
        self.plan: RowPlan | None = None
        self.why_plain = ""
        """Why the mapping has no plan; empty where it has one."""
        try:
            self.plan = make_plan(mapping)
        except NotCompilableError as error:
            self.why_plain = str(error)

    def prepare(self, snapshot: tuple[int, int] | None) -> None:
        """Compile what writes an export's items of a version and a time, or changes, unless it is there already."""
        if self.plan is not None:
            self._function(("NewImage",) if snapshot is None else ("Item", *snapshot), escaped=False)

    def write_items(self, lines: list[bytes], version: int, changed_at_ms: int, exactly: Exactly) -> bytes:
        """Return the CSV of an export's lines, each an item of that version; those without a row are left out."""
        if self.plan is None:
            rows = [row for row in map(exactly, range(len(lines))) if row is not None]
            self.widths.see_rows(rows)
            return b"".join(map(encode_row, rows))
        csv, _ = self._write(lines, ("Item", version, changed_at_ms), exactly)
        return csv

    def write_changes(self, changes: list[bytes], exactly: Exactly) -> list[bytes | None]:
        """Return the row of each change, None where it has none."""
        if self.plan is None:
            rows = map(exactly, range(len(changes)))
            return [None if row is None else encode_row(row) for row in rows]
        csv, plain = self._write(changes, ("NewImage",), exactly)
        lines: list[bytes | None] = [*csv.splitlines(keepends=True)]  # what would end a line is escaped: each is a row
        for index in sorted(plain):
            if plain[index] is None:
                lines.insert(index, None)
        return lines

    def _write(self, records: list[bytes], purpose: Any, exactly: Exactly) -> tuple[bytes, dict[int, Row | None]]:
        """Return the CSV of records, and the rows of those that were mapped plainly."""
        plain: dict[int, Row | None] = {}

        def map_plainly(index: int) -> list[str]:
            row = plain[index] = exactly(index)
            return [] if row is None else [mark_row(row)]

        function = self._function(purpose, escaped=False)
        marked, nulls, counts, seen, widths = function(records, map_plainly)
        if self._unmapped is not None and (counts or seen):
            self._unmapped.add_counts(add_up(function.paths, counts, seen), records, purpose[0])
        rows = [row for row in plain.values() if row is not None]
        nulls += sum(row.fields.count(None) for row in rows)
        text = ROW_END.join([*marked, ""])
        csv = finish_rows(text, len(records) - len(plain) + len(rows), self._columns, nulls)
        if purpose[0] == "Item" and csv is not None:  # else where a field ends cannot be told from what is in it
            self._measure(text, len(records) - len(plain), widths, rows)
        if csv is None:
            csv = self._write_escaped(records, purpose, plain, exactly)
        if plain:
            self._learn([records[index] for index in plain], purpose[0])
        return csv, plain

    def _measure(self, text: str, compiled: int, widths: list[int], rows: list[Row]) -> None:
        """Note how wide fields are: of so many rows `widths` has the most characters, and `rows` are the others."""
        if text.isascii():
            self.widths.see(compiled, widths)
            self.widths.see_rows(rows)
        elif widths:
            self.widths.see_marked(compiled + len(rows), text.encode())

    def _write_escaped(
        self, records: list[bytes], purpose: Any, plain: dict[int, Row | None], exactly: Exactly
    ) -> bytes:
        """Return the CSV of records in whose texts are the characters that rows are joined with."""

        def remember(index: int) -> list[str]:
            if index not in plain:
                plain[index] = exactly(index)
            row = plain[index]
            return [] if row is None else [encode_row(row).decode().removesuffix("\n")]

        written, *_ = self._function(purpose, escaped=True)(records, remember)
        return "\n".join([*written, ""]).encode()

    def _function(self, purpose: Any, *, escaped: bool) -> Any:
        assert self.plan is not None  # noqa: S101 (both callers have one)
        key = (*purpose, escaped)
        if key not in self._made:
            if purpose[0] == "Item":
                self._made[key] = compile_items(
                    self.plan, *purpose[1:], escaped=escaped, measured=() if escaped else self.widths.measured
                )
            else:
                self._made[key] = compile_changes(self.plan, escaped=escaped)
        return self._made[key]

    def _learn(self, refused: Iterable[bytes], member: str) -> None:
        """Look at refused records for names that the plan does not know; the next records are decoded with them."""
        for record in refused:
            if self._vain_lessons >= MAX_VAIN_LESSONS:
                return
            try:
                item = load_json(record)[member]
            except (KeyError, TypeError, ValueError, RecursionError):
                item = None
            if self.plan is not None and item is not None and self.plan.learn(item):
                self._made.clear()
                self._vain_lessons = 0
            else:
                self._vain_lessons += 1
