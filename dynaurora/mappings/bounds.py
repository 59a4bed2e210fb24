"""Bounds of a mapping's work: what of it takes so long that one item could keep it busy for half a minute, or for ever.

It takes more than linear time, or a thousand steps for each character. All else is linear in the item: patterns that
RE2 takes and whose states are few, keywords that are compiled, expressions that give back no more than a few times what
they are given. A mapping that has any of this is mapped in a sandbox.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import jmespath

from dynaurora.mappings.compiled.schemas import NotCompilableError, compile_schema
from dynaurora.mappings.expressions import MAX_GROWTH, measure_growth
from dynaurora.mappings.patterns import find_many_states, find_unbounded
from dynaurora.mappings.target_columns import CHANGED_AT_MS, UNMAPPED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dynaurora.mappings.mapping import Mapping


class Costly(NamedTuple):
    """A part of a mapping whose work nothing bounds, or a large factor only."""

    place: str
    """In the mapping's file."""
    keyword: str
    why: str

    def __str__(self) -> str:
        return f"{self.keyword} at {self.place} {self.why}"


def find_costly(mapping: Mapping) -> Iterator[Costly]:
    """Yield what of a mapping takes so long, with its place in the file."""
    schema_place = "$.schema" if mapping.place == "$.target" else f"{mapping.place}.schema"
    for place, pattern in find_unbounded(mapping.schema):
        why = f"has {pattern!r}, which RE2 does not take: look-around, a reference back, or a count above 1,000"
        yield Costly(f"{schema_place}{place.removeprefix('schema')}", place.rpartition(".")[2], why)
    for place, pattern in find_many_states(mapping.schema):
        why = f"has {pattern!r}, which may begin anew with each character that it counts"
        yield Costly(f"{schema_place}{place.removeprefix('schema')}", place.rpartition(".")[2], why)
    try:
        compile_schema(mapping.schema)
    except NotCompilableError as error:
        place = f"{schema_place}{error.place[1:].replace('/', '.')}".removesuffix(f".{error.keyword}")
        problem = f"{error.problem}: jsonschema may judge one value again and again"
        yield Costly(f"{place}.{error.keyword}", error.keyword, problem)
    for index, column in enumerate(mapping.columns):
        if column.source not in {CHANGED_AT_MS, UNMAPPED} and column.path is None:
            tree: Any = jmespath.compile(column.source).parsed
            growth = measure_growth(tree)
            if growth > MAX_GROWTH:
                yield Costly(
                    f"{mapping.place}.columns[{index}]", "from", f"may have {growth} times the size of its item"
                )
