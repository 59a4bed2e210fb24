"""Tables that models put into documents, between marks: `<!-- table: name -->` and `<!-- end -->`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

MARKED = re.compile(r"<!-- table: (\w+) -->\n(.*?)\n?<!-- end -->", re.DOTALL)


def to_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def read_marked(path: Path) -> dict[str, str]:
    """Return the tables of a document, by their marks."""
    return {match[1]: match[2] for match in MARKED.finditer(path.read_text("utf-8"))}


def write_marked(path: Path, tables: Mapping[str, str]) -> None:
    """Put tables into a document, in place of what is between their marks. Raises KeyError for an unknown mark."""
    text = MARKED.sub(
        lambda match: f"<!-- table: {match[1]} -->\n{tables[match[1]]}\n<!-- end -->", path.read_text("utf-8")
    )
    path.write_text(text, "utf-8")
