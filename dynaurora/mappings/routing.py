"""Routing: the changes of a mapping's table, to each of its targets.

What becomes of a change is found for each target by itself: it is its row, a tombstone, nothing, or refused. With one
target that takes all there is nothing to find, and no change is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dynaurora.dynamodb.changes import Change, decode_change, encode_change
from dynaurora.errors import Reason, RejectedChange
from dynaurora.mappings.conditions import Condition, Route
from dynaurora.mappings.reasons import unforeseen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dynaurora.mappings.row_mapper import RowMapper
    from dynaurora.mappings.rows import Row

Refusals = dict[int, tuple[Change | None, tuple[Reason, ...]]]
"""What is refused and why, by position; None for what is no change."""


@dataclass(slots=True)
class Routed:
    """What one target gets of some changes."""

    mapper: RowMapper
    indexes: list[int] = field(default_factory=list)
    """Of the changes, their positions among all."""
    changes: list[bytes] = field(default_factory=list)
    """Those that are its rows, and deletes of those that are not."""
    refusals: Refusals = field(default_factory=dict)
    """Those of which its condition has no value, by their positions among all."""

    def add(self, index: int, data: bytes) -> None:
        """Have a change be one of the target's."""
        self.indexes.append(index)
        self.changes.append(data)

    def write(self) -> tuple[list[bytes | None], Refusals]:
        """Return the row of each of the target's changes, None for one that is refused; and all refusals, by position.

        Its condition's are among them.
        """
        refused = Refusals()
        rows = write_rows(self.changes, self.mapper, refused)
        return rows, self.refusals | {self.indexes[position]: refusal for position, refusal in refused.items()}


@dataclass(slots=True)
class Routing:
    """What became of some changes."""

    targets: list[Routed]
    skipped: set[int] = field(default_factory=set)
    """Positions of the changes that no target takes."""


class Router:
    """Routes changes by one document."""

    def __init__(self, mapper: RowMapper) -> None:
        """Take what maps for the first target."""
        self.mappers = mapper.targets
        self._conditions = [Condition(each.mapping) if each.mapping.when else None for each in self.mappers]
        self._is_plain = not mapper.mapping.routes

    def begin(self) -> Routing:
        """Return the routing of no changes yet."""
        return Routing([Routed(mapper) for mapper in self.mappers])

    def find_mapper(self, table: str) -> RowMapper | None:
        """Return what maps for the target that is called so; None where there is none."""
        return next((each for each in self.mappers if each.mapping.table == table), None)

    def route(self, changes: list[bytes]) -> Routing:
        """Return what each target gets of changes. What is no change is the first target's, which refuses it."""
        if self._is_plain:
            return Routing([Routed(self.mappers[0], [*range(len(changes))], changes)])
        routing = self.begin()
        for index, data in enumerate(changes):
            try:
                change = decode_change(data)
            except RejectedChange:
                routing.targets[0].add(index, data)
            else:
                self.route_change(routing, index, change, data)
        return routing

    def route_changes(self, changes: Sequence[Change]) -> Routing:
        """Return what each target gets of changes that are decoded already."""
        routing = self.begin()
        for index, change in enumerate(changes):
            self.route_change(routing, index, change, encode_change(change))
        return routing

    def route_change(
        self, routing: Routing, index: int, change: Change, data: bytes, only: RowMapper | None = None
    ) -> None:
        """Find what one change, which is written as `data`, is in each target, or in one only."""
        is_skipped = True
        for routed, condition in zip(routing.targets, self._conditions, strict=True):
            if only is not None and routed.mapper is not only:
                continue
            try:
                route = Route.TAKEN if condition is None else condition.find_route(change)
                if route is not Route.EXCLUDED:
                    routed.add(index, data if route is Route.TAKEN else encode_delete(change))
            except RejectedChange as error:
                routed.refusals[index] = change, error.reasons
                is_skipped = False
                continue
            is_skipped &= route is Route.EXCLUDED or (route is Route.LEFT and not change.is_delete)
        if is_skipped:
            routing.skipped.add(index)


def encode_delete(change: Change) -> bytes:
    """Return the delete that a change is in a target that does not take its item, as one line of JSON."""
    return encode_change(Change(change.version, change.changed_at_ms, change.keys, None))


def write_rows(changes: list[bytes], mapper: RowMapper, refusals: Refusals) -> list[bytes | None]:
    """Return the row of each change, or None for one that is refused; why, and what it is, goes into the refusals."""

    def map_plainly(index: int) -> Row | None:
        change = None
        try:
            change = decode_change(changes[index])
            return mapper.row(change)
        except Exception as error:  # noqa: BLE001 (whatever it is, it is this change's: the others go on)
            refusals[index] = change, reasons_of(error)
            return None

    return mapper.writer.write_changes(changes, map_plainly)


def reasons_of(error: Exception) -> tuple[Reason, ...]:
    """Return why a record failed; an error that nobody foresaw is named by its type."""
    if isinstance(error, RejectedChange):
        return error.reasons
    return (unforeseen(error),)
