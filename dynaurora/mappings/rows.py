"""Rows: what a change becomes in the target, and how a column's value is found in an item."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dynaurora.dynamodb.attributes import TYPE_NAMES, describe
from dynaurora.mappings.expressions import compile_expression
from dynaurora.mappings.functions import NoValueError

if TYPE_CHECKING:
    from collections.abc import Callable

    from dynaurora.mappings.columns import Field

Allowed = tuple[frozenset[str], ...]
"""Of each name of a path but the last: the JSON types besides objects that a schema names for what is there."""


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


def find_by_names(path: tuple[str, ...], allowed: Allowed = (), depth: int = 0) -> Callable[[Any], Any]:
    """Return what follows names from object to object; MISSING where one is not there.

    It begins with what the first `depth` names lead to. It raises NoValueError where a value is there and the path
    cannot go into it, unless its type is `allowed`: NULL would hide it.
    """
    first, *rest = path[depth:]
    if not rest and not depth:
        return lambda item: item.get(first, MISSING)

    def find(start: Any) -> Any:
        if type(start) is not dict:
            return _explain(start, path, allowed, depth)
        value = start.get(first, MISSING)
        for name in rest:
            if type(value) is not dict:
                return _explain(start, path, allowed, depth)
            value = value.get(name, MISSING)
        return _explain(start, path, allowed, depth) if value is MISSING and rest else value

    return find


def _explain(value: Any, path: tuple[str, ...], allowed: Allowed, depth: int) -> Any:
    """Return MISSING where nothing is at a path's end. Raises NoValueError where something is in its way."""
    while type(value) is dict and path[depth] in value:
        value = value[path[depth]]
        depth += 1
    place = ".".join(path[:depth])
    if type(value) is not dict:
        if depth and value is not None and value is not MISSING and not _is_allowed(value, allowed, depth):
            raise NoValueError(f"{place} is {describe(value)}, which has no {path[depth]}")
        return MISSING
    for end in range(depth + 2, len(path) + 1):
        name = ".".join(path[depth:end])
        if name in value:
            raise NoValueError(f'an attribute has the points in its own name: it is written "{name}", with quotes')
    return MISSING


def _is_allowed(value: Any, allowed: Allowed, depth: int) -> bool:
    kind = "string" if isinstance(value, str) else TYPE_NAMES.get(type(value), "")
    return depth <= len(allowed) and kind in allowed[depth - 1]


def allowed_types(schema: Any, path: tuple[str, ...]) -> Allowed:
    """Return what a schema says may be on the way to a path's end besides objects: it names the type beside object."""
    allowed = []
    for name in path[:-1]:
        properties = schema.get("properties", {}) if isinstance(schema, dict) else {}
        schema = properties.get(name, True)
        named = schema.get("type", ()) if isinstance(schema, dict) else ()
        types = {"number" if each == "integer" else each for each in named} if isinstance(named, list) else set()
        allowed.append(frozenset(types - {"object"} if "object" in types else ()))
    return tuple(allowed)


def dotted_names(path: tuple[str, ...]) -> set[str]:
    """Return the names with points in them that an attribute may have where a path means several names."""
    return {".".join(path[start:end]) for start in range(len(path)) for end in range(start + 2, len(path) + 1)}


def find_by_expression(expression: str) -> Callable[[dict[str, Any]], Any]:
    """Return what finds the value of a JMESPath expression; MISSING where it has none."""
    search = compile_expression(expression)

    def find(item: dict[str, Any]) -> Any:
        value = search(item)
        return MISSING if value is None else value  # JMESPath has one answer for null and for nothing there

    return find
