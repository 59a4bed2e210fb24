"""Origins: what wrote the rows of a part of a batch, as the merge has to know it.

A row is as the mapping that wrote it maps the item. So a row of an older mapping that beats one of a newer mapping by
its version takes away what only the newer one wrote: it would be of an earlier version. And a row that a newer
mapping made of the same item, to complete it, keeps the time of the change; whether it is the same is seen by the
columns that both generations write, each defined the same ever since.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from dynaurora.mappings.target_columns import CHANGED_AT_MS, UNMAPPED

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from dynaurora.mappings.mapping import Mapping
    from dynaurora.mappings.target_columns import Column

NEVER: Final = 2**32 - 1
"""A generation that no row is of."""


@dataclass(frozen=True)
class Origin:
    """A mapping, its generation, and how its columns are related to those of other generations."""

    mapping: Mapping
    generation: int = 0
    """The latest of the mapping's activations; 0 where it never had any."""
    since: dict[str, int] = field(default_factory=dict)
    """Of each column the generation since which it is defined as in this mapping, without interruption; 0 is since
    before there were generations."""
    later: tuple[str, ...] = ()
    """Columns that newer generations of the same target write and this mapping does not."""

    def within(self, columns: Collection[str]) -> Origin:
        """Return it for a replica that has these columns, whose names know no case."""
        there = {name.lower() for name in columns}
        return replace(self, later=tuple(name for name in self.later if name.lower() in there))


def trace_origin(mapping: Mapping, generation: int, history: Sequence[tuple[int, Mapping]]) -> Origin:
    """Return the origin of a mapping's rows; `history` has the mapping of each generation, the first of them first.

    Of the generation 0, which was registered only to read what it once wrote, nothing is known of the others.
    """
    older = [(number, other) for number, other in reversed(history) if number < generation]
    since = {column.name: _find_start(mapping, column, generation, older) for column in mapping.columns}
    own = {column.name.lower() for column in mapping.columns}
    later = {
        column.name.lower(): column.name
        for number, other in history
        if number > generation and other.replica == mapping.replica
        for column in other.columns
        if column.name.lower() not in own
    }
    return Origin(mapping, generation, since, tuple(later.values()))


def _find_start(mapping: Mapping, column: Column, generation: int, older: list[tuple[int, Mapping]]) -> int:
    """Return the first generation since which a column is defined the same; `older` begins with the newest."""
    if not generation:
        return NEVER
    wanted, start = _definition(mapping, column), generation
    for number, other in older:
        definitions = {one.name.lower(): _definition(other, one) for one in other.columns}
        if other.replica != mapping.replica or definitions.get(column.name.lower()) != wanted:
            return start
        start = number
    return 0


def _definition(mapping: Mapping, column: Column) -> tuple[Any, ...]:
    """Return all that decides what an item's value in a column is."""
    if column.source == CHANGED_AT_MS:
        return column.definition
    others = sorted(one.source for one in mapping.columns) if column.source == UNMAPPED else []
    return *column.definition, sorted(mapping.json_attributes.items()), others
