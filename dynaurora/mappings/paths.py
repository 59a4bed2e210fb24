"""Paths into a plain item: what the columns of a mapping take, and what they leave.

Taken paths are a tree: `{"payload": {"Hits": {}, "session": {"start": {}}}}`. An empty tree takes all below it.
A column takes exactly its plain path; of any other JMESPath expression, the attributes that it starts from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jmespath

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Tree = dict[str, Any]

EVERY_CHILD = {
    "function_expression",
    "or_expression",
    "and_expression",
    "not_expression",
    "comparator",
    "multi_select_list",
    "multi_select_dict",
    "key_val_pair",
}
"""JMESPath nodes whose children all start from the item itself; in any other node only the first one does."""


def taken_paths(expressions: Iterable[str]) -> Tree:
    """Return the tree of what some JMESPath expressions take."""
    tree: Tree = {}
    for expression in expressions:
        for path in _starts(jmespath.compile(expression).parsed):
            _plant(tree, path)
    return tree


def find_untaken(item: dict[str, Any], taken: Tree) -> dict[str, Any]:
    """Return what of an item no path takes, in the item's own shape."""
    rest: dict[str, Any] = {}
    for name, value in item.items():
        if name not in taken:
            rest[name] = value
        elif taken[name]:
            left = find_untaken(value, taken[name]) if type(value) is dict and value else value
            if left != {} or value == {}:
                rest[name] = left
    return rest


def undeclared_paths(rest: dict[str, Any], schema: Any, prefix: str = "") -> Iterator[str]:
    """Yield the paths of what is left over and not named in the schema's `properties`.

    What the schema names and no column takes was left out by decision; a property that the schema names without
    saying what is inside is named as a whole.
    """
    declared = schema.get("properties", {}) if isinstance(schema, dict) else {}
    for name, value in rest.items():
        path = f"{prefix}{name}"
        if name not in declared:
            yield path
        elif type(value) is dict and isinstance(declared[name], dict) and "properties" in declared[name]:
            yield from undeclared_paths(value, declared[name], f"{path}.")


def _plant(tree: Tree, path: tuple[str, ...]) -> None:
    """Add a path to the tree; of two that overlap, the shorter one takes all."""
    for depth, name in enumerate(path, 1):
        known = name in tree
        if known and not tree[name]:
            return
        if depth == len(path):
            tree[name] = {}
        tree = tree.setdefault(name, {})


def _starts(node: Any) -> Iterator[tuple[str, ...]]:
    """Yield the paths from which a JMESPath syntax tree reads the item."""
    if node["type"] == "field":
        yield (node["value"],)
    elif node["type"] == "current":
        yield ()
    elif node["type"] == "expref":
        return  # what follows `&` starts from the elements of an array, not from the item
    elif node["type"] == "subexpression":
        path: tuple[str, ...] = ()
        for child in node["children"]:
            starts = list(_starts(child))
            if child["type"] not in {"field", "current"}:
                yield from (path + start for start in starts)
                return
            path += starts[0]
        yield path
    elif node["type"] in EVERY_CHILD:
        for child in node["children"]:
            yield from _starts(child)
    elif node["children"]:
        yield from _starts(node["children"][0])
