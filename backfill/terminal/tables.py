"""Tables that fit the terminal: folded between words, and laid out anew where that is not enough.

    MAPPING  ROWS  TO DO                         everything fits, or nobody looks: a line for each row
    MAPPING  ROWS                                the column that is told below the others
      → dynaurora backfill start orders
    MAPPING  orders                              names beside values, where words would not fit
    ROWS     1,000

Nothing is cut off: a word is broken only where it is longer than a whole line.
"""

from __future__ import annotations

import re
from itertools import zip_longest
from typing import TYPE_CHECKING, Final

from rich.cells import cell_len, chop_cells

from dynaurora.escaping import escape_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

GAPS: Final = (2, 1)
"""Blanks between columns, and where that is too wide."""
BELOW: Final = "  → "
MOST_LINES: Final = 4
"""Of one row; a higher one is harder to read than names beside values."""
NARROWEST: Final = 20
"""A terminal narrower than this breaks lines itself."""
WORDS: Final = re.compile(r"\s*\S+")
SEPARATED: Final = re.compile(r"(?s)(?=.{20}).{10,}[/:=,&?.@_-]")
"""The longest beginning of a part of a word that ends with a separator, not at its very beginning."""

Row = tuple[str, ...]


def format_table(
    rows: Sequence[Sequence[str]],
    numeric: frozenset[int] = frozenset(),
    width: int | None = None,
    *,
    header: bool = True,
    below: tuple[int, ...] = (),
) -> list[str]:
    """Return the lines of a table; the columns in `numeric` are aligned to the right.

    `width` is the terminal's, in cells: without one each row is one line. With `header` the first row names the
    columns; the columns `below` stand on lines of their own where the others would be squeezed.
    """
    table = [tuple(map(escape_text, row)) for row in rows]
    natural = _measure(table)
    if width is None or sum(natural) + GAPS[0] * (len(natural) - 1) <= width:
        return _lay_out(table, natural, numeric)
    width = max(NARROWEST, width)
    if below:
        return [*_put_below(table, numeric, width, below)]
    if (found := _fit(table, natural, width)) and _is_low(table, found[0]):
        return _lay_out(table, found[0], numeric, found[1])
    return [*_tell_rows(table, width)] if header else _lay_out(table, _squeeze(natural, width), numeric)


def fold(text: str, width: int) -> list[str]:
    """Return a text in lines of so many cells, broken between words.

    A word that is longer than a line is broken behind a `/`, `:`, `-` or the like, as ARNs have them, if one is near.
    """
    if len(text) <= width and cell_len(text) <= width:
        return [text]
    lines: list[str] = []
    line = ""
    for word in WORDS.findall(text):
        if len(line) + len(word) <= width and cell_len(line + word) <= width:
            line += word
            continue
        if line:
            lines.append(line)
        *whole, line = _break_word(word.lstrip(), width)
        lines += whole
    return [*lines, line]


def _break_word(word: str, width: int) -> Iterator[str]:
    """Yield the parts of a word, each of so many cells at most."""
    while len(word) > width or cell_len(word) > width:
        part = next(iter(chop_cells(word[:width], width)), "") or word[0]
        if found := SEPARATED.match(part):
            part = found[0]
        yield part
        word = word[len(part) :]
    yield word


def pad(text: str, width: int, *, right: bool = False) -> str:
    """Return a text with blanks up to so many cells: a wide character takes two."""
    blanks = " " * (width - cell_len(text))
    return blanks + text if right else text + blanks


def _measure(table: Sequence[Row]) -> list[int]:
    return [max(map(cell_len, column)) for column in zip_longest(*table, fillvalue="")]


def _fit(table: Sequence[Row], natural: list[int], width: int) -> tuple[list[int], int] | None:
    """Return the widths of columns that break no word, and the gap between them; None where there are none."""
    for gap in GAPS:
        if widths := _narrow(table, natural, width - gap * (len(natural) - 1)):
            return widths, gap
    return None


def _narrow(table: Sequence[Row], natural: list[int], room: int) -> list[int] | None:
    words = [tuple(max(cell.split(), key=cell_len, default="") for cell in row) for row in table]
    least = _measure(words)
    widths = [min(full, max(room, low)) for full, low in zip(natural, least, strict=True)]
    while sum(widths) > room:
        wider = [index for index, low in enumerate(least) if widths[index] > low]
        if not wider:
            return None
        widths[max(wider, key=widths.__getitem__)] -= 1
    return widths


def _is_low(table: Sequence[Row], widths: list[int]) -> bool:
    """Whether no row is too high. One long text beside short ones may take more: it has most of the width."""
    room = sum(widths)
    return all(
        len(fold(cell, width)) <= MOST_LINES or 2 * width >= room
        for row in table
        for cell, width in zip(row, widths, strict=False)
    )


def _squeeze(natural: list[int], width: int) -> list[int]:
    """Return widths that fit, the widest column's taken from, whatever words it has."""
    room = width - GAPS[0] * (len(natural) - 1)
    widths = [min(width, room) for width in natural]
    while sum(widths) > room and max(widths) > 1:
        widths[widths.index(max(widths))] -= 1
    return widths


def _lay_out(table: Sequence[Row], widths: list[int], numeric: frozenset[int], gap: int = GAPS[0]) -> list[str]:
    return [line for row in table for line in _lay_out_row(row, widths, numeric, gap)]


def _lay_out_row(row: Row, widths: list[int], numeric: frozenset[int], gap: int) -> Iterator[str]:
    folded = [fold(cell, width) for cell, width in zip(row, widths, strict=False)]
    for cells in zip_longest(*folded, fillvalue=""):
        padded = (pad(cell, widths[index], right=index in numeric) for index, cell in enumerate(cells))
        yield (" " * gap).join(padded).rstrip()


def _put_below(table: Sequence[Row], numeric: frozenset[int], width: int, below: tuple[int, ...]) -> Iterator[str]:
    """Yield a table without some of its columns, which are told below each row."""
    kept = [index for index in range(len(table[0])) if index not in below]
    others = [tuple(row[index] for index in kept) for row in table]
    moved = frozenset(number for number, index in enumerate(kept) if index in numeric)
    found = _fit(others, _measure(others), width)
    if found is None:
        yield from _tell_rows(table, width)
        return
    for number, (row, other) in enumerate(zip(table, others, strict=True)):
        yield from _lay_out_row(other, found[0], moved, found[1])
        if number:
            yield from _tell_below([row[index] for index in below if row[index].strip("- ")], width - len(BELOW))


def _tell_below(cells: Sequence[str], room: int) -> Iterator[str]:
    """Yield cells, as many in a line as it has room for."""
    told: list[str] = []
    for cell in cells:
        if told and cell_len(f"{told[-1]}  {cell}") <= room:
            told[-1] += f"  {cell}"
        else:
            told.append(cell)
    for text in told:
        first, *more = fold(text, room)
        yield f"{BELOW}{first}"
        yield from (f"{'':<{len(BELOW)}}{line}" for line in more)


def _tell_rows(table: Sequence[Row], width: int) -> Iterator[str]:
    """Yield each row as names beside values, a blank line between two."""
    names, *rows = table
    beside = max(map(cell_len, names))
    for number, row in enumerate(rows):
        if number:
            yield ""
        for name, value in zip(names, row, strict=False):
            yield from tell_pair(name, value, beside, width)


def tell_pair(name: str, value: str, beside: int, width: int | None) -> Iterator[str]:
    """Yield the lines of a value beside its name, which has so many cells."""
    beside = max(beside, cell_len(name))
    room = None if width is None else max(NARROWEST, width - beside - 1)
    for number, line in enumerate([value] if room is None else fold(value, room)):
        yield f"{pad('' if number else name, beside)} {line}".rstrip()
