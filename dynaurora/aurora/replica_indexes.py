"""Indexes and comments of a replica: what a mapping asks for, what is there, and what of it this project made.

An index that a mapping asked for has a comment that says so. Those go only when they are asked to, as columns do; an
index of people's own, which has no such comment, is left alone. None is unique: the merge relies on the primary key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dynaurora.aurora import sql

if TYPE_CHECKING:
    from dynaurora.aurora.connection import Aurora
    from dynaurora.aurora.replica_columns import FoundColumn
    from dynaurora.mappings.mapping import Mapping
    from dynaurora.mappings.target_columns import Column, Index


@dataclass(frozen=True)
class FoundIndex:
    """An index as the server tells it."""

    name: str
    columns: tuple[str, ...]
    """In lower case; of a column's beginning, with its length behind it."""
    is_unique: bool
    is_made_here: bool

    def fits(self, index: Index) -> bool:
        """Tell whether it is what a mapping asks for."""
        return self.columns == tuple(name.lower() for name in index.columns)


@dataclass(frozen=True)
class IndexPlan:
    """What would be done to the indexes and comments of a replica."""

    adds: tuple[Index, ...] = ()
    replaces: tuple[str, ...] = ()
    """Indexes of those names that go first: the mapping has them of other columns now."""
    drops: tuple[str, ...] = ()
    keeps: tuple[str, ...] = ()
    """Indexes that an earlier mapping asked for and this one does not."""
    comments: tuple[tuple[Column, FoundColumn], ...] = ()
    """Columns that get another comment."""
    refusals: tuple[str, ...] = ()

    @property
    def alters(self) -> bool:
        """Whether the replica changes."""
        return bool(self.adds or self.drops or self.comments)


NO_INDEXES: Final = IndexPlan()


def plan_indexes(
    mapping: Mapping,
    found: dict[str, FoundIndex],
    comments: tuple[tuple[Column, FoundColumn], ...] = (),
    *,
    drop: bool = False,
) -> IndexPlan:
    """Return what a mapping asks of a replica with those indexes, by their names in lower case."""
    wanted = {index.name.lower(): index for index in mapping.indexes}
    lacking = [index for name, index in wanted.items() if name not in found or not found[name].fits(index)]
    taken = [found[index.name.lower()] for index in lacking if index.name.lower() in found]
    surplus = tuple(each.name for name, each in found.items() if each.is_made_here and name not in wanted)
    return IndexPlan(
        adds=tuple(lacking),
        replaces=tuple(each.name for each in taken if each.is_made_here),
        drops=surplus if drop else (),
        keeps=() if drop else surplus,
        comments=comments,
        refusals=tuple(
            f"index {each.name} is of {', '.join(each.columns)}, and no mapping made it: give yours another name"
            for each in taken
            if not each.is_made_here
        ),
    )


def read_indexes(aurora: Aurora, mapping: Mapping) -> dict[str, FoundIndex]:
    """Return the replica's indexes by their names in lower case."""
    rows: dict[str, list[tuple[bool, str, str]]] = {}
    for _, is_other, key, _, column, _, _, prefix, _, _, _, _, comment, *_ in aurora.query(
        sql.show_indexes(mapping, mapping.replica)
    ):
        name = (column or "an expression").lower()
        rows.setdefault(key, []).append((not int(is_other), f"{name}({prefix})" if prefix else name, comment))
    return {
        key.lower(): FoundIndex(key, tuple(name for _, name, _ in parts), parts[0][0], parts[0][2] == sql.MADE_BY)
        for key, parts in rows.items()
    }
