"""Expectations: what Aurora should have of an item, in each target, as the mapping maps it now."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from dynaurora.dynamodb.changes import Change
from dynaurora.errors import InvalidBatchError, RejectedChange
from dynaurora.mappings.conditions import Condition, Route

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dynaurora.dynamodb.changes import TypedItem
    from dynaurora.errors import Reason
    from dynaurora.mappings.columns import Field
    from dynaurora.mappings.row_mapper import RowMapper

ANY_TIME: Final = 0
"""Of the change that an item is taken for: what it would put into a row is not compared."""


class WantedKind(StrEnum):
    """What there should be of a key."""

    ROW = "row"
    NOTHING = "nothing"
    """No row: there is no item, or the target does not take it."""
    ANYTHING = "anything"
    """The mapping refuses the item: a row is older by right, and there may be none."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """What there should be of one key in one target."""

    kind: WantedKind
    fields: tuple[Field, ...]
    """As they would be loaded, in the order of the columns; only those of the key where no row is expected."""

    def encode(self) -> list[Any]:
        """Return it as JSON has it."""
        return [self.kind.value, *self.fields]

    @classmethod
    def decode(cls, document: Any) -> Expectation:
        """Return the expectation that is encoded so. Raises InvalidBatchError."""
        try:
            kind, *fields = document
            if all(field is None or isinstance(field, str) for field in fields):
                return cls(WantedKind(kind), tuple(fields))
        except (TypeError, ValueError):
            pass
        raise InvalidBatchError("A row to compare is not of the form [kind, field, …].")


@dataclass(frozen=True, slots=True)
class Expected:
    """What there should be in one target, and why it is not more."""

    table: str
    expectation: Expectation | None
    """None where no row can have such a key."""
    is_skipped: bool = False
    """Whether there is an item, and the target does not take it."""
    reasons: tuple[Reason, ...] = ()
    """Why the mapping refuses the item."""


class Expecter:
    """Tells what there should be by one document of a mapping."""

    def __init__(self, mapper: RowMapper) -> None:
        """Take what maps for the first target."""
        self.mapping = mapper.mapping
        self._targets = [(each, Condition(each.mapping) if each.mapping.when else None) for each in mapper.targets]

    def take_key(self, item: TypedItem) -> TypedItem:
        """Return the key of an item."""
        return {name: item[name] for name in self.mapping.key_attributes if name in item}

    def expect(self, key: TypedItem, item: TypedItem | None, table: str | None = None) -> Iterator[Expected]:
        """Yield what there should be of a key, whose item is given if there is one: in each target, or in one."""
        for mapper, condition in self._targets:
            if table in {None, mapper.mapping.table}:
                yield _expect(mapper, condition, key, item)


def _expect(mapper: RowMapper, condition: Condition | None, key: TypedItem, item: TypedItem | None) -> Expected:
    table, change = mapper.mapping.table, Change(ANY_TIME, ANY_TIME, key, item)
    gone = Change(ANY_TIME, ANY_TIME, key, None)
    try:
        if item is None:
            return Expected(table, _of_key(mapper, gone, WantedKind.NOTHING))
        if condition is not None and condition.find_route(change) is not Route.TAKEN:
            return Expected(table, _of_key(mapper, gone, WantedKind.NOTHING), is_skipped=True)
        return Expected(table, Expectation(WantedKind.ROW, mapper.row(change).fields))
    except RejectedChange as error:
        return Expected(table, _of_key(mapper, gone, WantedKind.ANYTHING), reasons=error.reasons)


def _of_key(mapper: RowMapper, gone: Change, kind: WantedKind) -> Expectation | None:
    """Return what is expected of a key without an item; None where no row can have it."""
    with suppress(RejectedChange):
        return Expectation(kind, mapper.row(gone).fields)
    return None
