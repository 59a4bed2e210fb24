"""Rows: what a change becomes in the target, or the reasons why it cannot.

A put is unwrapped, judged by the mapping's JSON Schema, and its columns filled; a delete has its key columns only.
All that is wrong with a record is told at once, so that it is mended once.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from jmespath.exceptions import JMESPathError, JMESPathTypeError

from dynaurora.dynamodb.attributes import is_same_key, plain_item
from dynaurora.errors import Reason, RejectedChange
from dynaurora.mappings.functions import NoValueError
from dynaurora.mappings.misfits import Misfit
from dynaurora.mappings.paths import find_untaken, taken_paths, undeclared_paths
from dynaurora.mappings.reasons import unforeseen
from dynaurora.mappings.rows import MISSING, Row, allowed_types, find_by_expression, find_by_names
from dynaurora.mappings.schema_judge import MAX_REASONS, make_judge
from dynaurora.mappings.target_columns import CHANGED_AT_MS, UNMAPPED
from dynaurora.mappings.unmapped import UnmappedCounter

if TYPE_CHECKING:
    from collections.abc import Callable

    from dynaurora.dynamodb.changes import Change, TypedItem
    from dynaurora.mappings.columns import Field
    from dynaurora.mappings.compiled.row_writer import RowWriter
    from dynaurora.mappings.mapping import Mapping
    from dynaurora.mappings.schema_judge import Judge
    from dynaurora.mappings.target_columns import Column


class RowMapper:
    """Maps changes to rows by one mapping; make it once and use it for every change."""

    def __init__(self, mapping: Mapping, judge: Judge | None = None) -> None:
        self.mapping = mapping
        self._judge = judge or make_judge(mapping)
        self._finders = [(column, _finder(mapping, column)) for column in mapping.columns if column.source != UNMAPPED]
        self._taken = taken_paths(column.source for column, _ in self._finders if column.source != CHANGED_AT_MS)
        self.unmapped = UnmappedCounter(mapping)
        """What no column took of the items that became rows, by this mapper and its writer."""
        self._key_positions = [mapping.columns.index(column) for column in mapping.key_columns]

    @cached_property
    def writer(self) -> RowWriter:
        """What writes the rows of many records at once, by code that is compiled for the mapping."""
        from dynaurora.mappings.compiled.row_writer import RowWriter  # which needs this module

        return RowWriter(self.mapping, self.unmapped)

    @cached_property
    def targets(self) -> tuple[RowMapper, ...]:
        """What maps for each target of the mapping's file; asked of the first one's."""
        return (self, *map(type(self), self.mapping.others))

    def row(self, change: Change) -> Row:
        """Return the row of a change.

        Raises RejectedChange with every reason why the mapping refuses it.
        """
        try:
            fields = self._key_fields(change.keys) if change.new_image is None else self._item_fields(change)
        except RejectedChange:
            raise
        except RecursionError:
            raise RejectedChange(Reason("depth", "", "is nested too deep")) from None
        except Exception as error:  # whatever it is, it is this record's: the others go on
            raise RejectedChange(unforeseen(error)) from error
        return Row(deleted=change.is_delete, version=change.version, fields=fields)

    def _item_fields(self, change: Change) -> tuple[Field, ...]:
        item = plain_item(change.new_image or {}, self.mapping.json_attributes)
        self._check_keys(item)
        self._check_same_key(item, change)
        self._check_schema(item)
        fields = self._fields(item, change.changed_at_ms)
        self.unmapped.look(item, change.keys)
        return fields

    def _check_schema(self, item: dict[str, Any]) -> None:
        try:
            reasons = self._judge(item)
        except ArithmeticError:
            raise RejectedChange(Reason("range", "", "has a number too large or small to be judged")) from None
        if reasons:
            raise RejectedChange(*reasons)

    def _check_keys(self, item: dict[str, Any]) -> None:
        missing = [name for name in self.mapping.key_attributes if item.get(name) is None]
        if missing:
            raise RejectedChange(*(Reason("key", name, "is a key of the table and is missing") for name in missing))

    def _check_same_key(self, item: dict[str, Any], change: Change) -> None:
        """Refuse an item under the key of another one: of the two rows, one would be wrong."""
        names, image = self.mapping.key_attributes, change.new_image or {}
        if all(change.keys.get(name) == image[name] for name in names):
            return
        keys = plain_item({name: change.keys[name] for name in names if name in change.keys})
        differing = [name for name in names if not is_same_key(keys.get(name), item[name])]
        if differing:
            raise RejectedChange(*(Reason("key", name, "is another in Keys than in NewImage") for name in differing))

    def _key_fields(self, typed_keys: TypedItem) -> tuple[Field, ...]:
        keys = plain_item(typed_keys)
        self._check_keys(keys)
        fields: list[Field] = [None] * len(self.mapping.columns)
        reasons: list[Reason] = []
        for position, name in zip(self._key_positions, self.mapping.key_attributes, strict=True):
            fields[position] = _encode(self.mapping.columns[position], keys[name], reasons)
        if reasons:
            raise RejectedChange(*reasons)
        return tuple(fields)

    def _fields(self, item: dict[str, Any], changed_at_ms: int) -> tuple[Field, ...]:
        reasons: list[Reason] = []
        fields: list[Field] = []
        for column, find in self._finders:
            if column.source == CHANGED_AT_MS:
                fields.append(_encode(column, changed_at_ms, reasons))
                continue
            try:
                value = find(item)
            except (JMESPathError, TypeError, ValueError, ArithmeticError) as error:
                reasons.append(Reason("expression", column.source, f"has no value: {_explain(error)}"))
                continue
            fields.append(_encode(column, value, reasons))
        if self.mapping.unmapped == "reject":
            reasons += self._unknown(item)
        elif self.mapping.unmapped == "column":
            rest = find_untaken(item, self._taken)
            fields.append(_encode(self.mapping.columns[-1], rest or MISSING, reasons))
        if reasons:
            raise RejectedChange(*reasons[:MAX_REASONS])
        return tuple(fields)

    def _unknown(self, item: dict[str, Any]) -> list[Reason]:
        message = "is taken by no column and named nowhere in the schema"
        unknown = undeclared_paths(find_untaken(item, self._taken), self.mapping.schema)
        return [Reason("unmapped", path, message) for path in unknown]


def _encode(column: Column, value: Any, reasons: list[Reason]) -> Field:
    if value is MISSING:
        return column.default
    if value is None and column.type.kind != "JSON":
        return None
    try:
        return column.type.encode(value)
    except Misfit as misfit:
        reasons.append(Reason(misfit.rule, column.source, f"column {column.name} {column.type.sql}: {misfit}"))
        return None


GIVEN: Final = {
    "null": "nothing",
    "dict": "an array with an object in it",
    "list": "an array with an array in it",
    "str": "an array with a string in it",
    "int": "an array with a number in it",
    "Decimal": "an array with a number in it",
    "bool": "an array with a boolean in it",
    "NoneType": "an array with null in it",
}
"""What JMESPath calls a value of the wrong type, where that is not JSON's name: a type of Python's is a member's."""


def _explain(error: Exception) -> str:
    """Return why an expression has no value, without the value that it met."""
    if isinstance(error, NoValueError):
        return str(error)
    if isinstance(error, JMESPathTypeError):
        given = GIVEN.get(error.actual_type, f"a value of type {error.actual_type}")
        expected = [each.replace("array-", "array of ") for each in error.expected_types]
        return f"{error.function_name}() takes {' or '.join(expected)}, and is given {given}"
    return type(error).__name__


def _finder(mapping: Mapping, column: Column) -> Callable[[dict[str, Any]], Any]:
    """Return what finds a column's value in a plain item: names followed one by one, or JMESPath."""
    if column.source == CHANGED_AT_MS:
        return lambda _item: MISSING
    if column.path is None:
        return find_by_expression(column.source)
    return find_by_names(column.path, allowed_types(mapping.schema, column.path))
