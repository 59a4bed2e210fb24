"""Rows: what a change becomes in the target, and how a column's value is found in an item."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dynaurora.mappings.expressions import compile_expression

if TYPE_CHECKING:
    from collections.abc import Callable

    from dynaurora.mappings.columns import Field


class _Missing:
    """The value of an attribute that is not there, which a JSON column tells from null."""


MISSING = _Missing()


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a batch: the system fields, then one field for each of the mapping's columns."""

    deleted: bool
    version: int
    fields: tuple[Field, ...]
    """Text as `LOAD DATA` reads it before escaping; None is NULL. Binary is base64."""


def find_by_names(path: tuple[str, ...]) -> Callable[[dict[str, Any]], Any]:
    """Return what follows names from object to object; MISSING where one is not there."""
    first, *rest = path
    if not rest:
        return lambda item: item.get(first, MISSING)

    def find(item: dict[str, Any]) -> Any:
        value = item.get(first, MISSING)
        for name in rest:
            if type(value) is not dict:
                return MISSING
            value = value.get(name, MISSING)
        return value

    return find


def find_by_expression(expression: str) -> Callable[[dict[str, Any]], Any]:
    """Return what finds the value of a JMESPath expression; MISSING where it has none."""
    search = compile_expression(expression)

    def find(item: dict[str, Any]) -> Any:
        value = search(item)
        return MISSING if value is None else value  # JMESPath has one answer for null and for nothing there

    return find
