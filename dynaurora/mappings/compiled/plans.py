"""Plans: how the items of a mapping are decoded and where each column takes its value from.

A mapping has a plan where its schema speaks of the item's attributes one by one. Otherwise each item is mapped by the
plain modules, which judge it as a whole.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from dynaurora.dynamodb.attributes import JSON, parse_json, plain_item
from dynaurora.errors import RejectedChange
from dynaurora.mappings.columns import INTEGER_BITS
from dynaurora.mappings.compiled.attribute_plans import (
    Attribute,
    limit_text,
    plan_attribute,
    plan_left,
    tells_null,
)
from dynaurora.mappings.compiled.documents import Guess
from dynaurora.mappings.compiled.fields import MAX_INT64, bounds_of
from dynaurora.mappings.compiled.schemas import NotCompilableError
from dynaurora.mappings.compiled.shapes import ANNOTATIONS, Shape, find_member, is_nameable, learn
from dynaurora.mappings.paths import taken_paths
from dynaurora.mappings.rows import dotted_names
from dynaurora.mappings.target_columns import CHANGED_AT_MS, UNMAPPED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dynaurora.mappings.mapping import Mapping
    from dynaurora.mappings.paths import Tree
    from dynaurora.mappings.target_columns import Column

OF_THE_ITEM = frozenset({"type", "properties", "required", "additionalProperties"})
"""Keywords of the whole item that a plan keeps; any other has to see all of it."""
MAX_LEARNT = 500
"""Names that a mapping leaves open and that are learnt, in all."""


@dataclass
class FieldSource:
    """Where a column takes its value from."""

    column: Column
    attributes: tuple[str, ...]
    """The attributes that it needs."""
    shape: Shape | None = None
    """What is at its path in embedded JSON."""
    path: tuple[str, ...] = ()
    """Its path there."""
    rest: tuple[str, ...] = ()
    """What of its path leads on into what is decoded as anything."""


@dataclass
class RowPlan:
    """How a mapping's items become rows."""

    mapping: Mapping
    attributes: dict[str, Attribute]
    sources: list[FieldSource]
    is_open: bool
    """Whether an item may have attributes that nothing names: they are learnt."""
    dotted: frozenset[str] = frozenset()
    """Names with points in them that are not learnt: an item that has one may be refused for it."""
    learnt: int = field(default=0)

    def learn(self, item: Any) -> bool:
        """Learn the names that an item has and the plan does not know; return whether there were any."""
        before = self.learnt
        with suppress(AttributeError, RejectedChange, RecursionError):
            plain = plain_item(item)
            if self.is_open:
                unknown = plain.keys() - self.attributes.keys() - self.dotted
                for name in islice(filter(is_nameable, unknown), self._left()):
                    self.attributes[name] = self._make_learnt(name, plain[name])
                    self.learnt += 1
            for attribute in self.attributes.values():
                if attribute.name not in plain:  # which says nothing of what it is where it is there
                    continue
                value = plain[attribute.name]
                if attribute.document is not None and self._left():
                    self.learnt += attribute.document.learn(value)
                elif attribute.shape is not None and type(value) is str and self.mapping.unmapped == "ignore":
                    self.learnt += learn(attribute.shape, parse_json(value, ""), self._left(), self.dotted)
        return self.learnt > before  # also of an item that is broken further on: the plan is another one

    def _make_learnt(self, name: str, value: Any) -> Attribute:
        if self.mapping.unmapped == "column" and name not in self.mapping.json_attributes:
            return Attribute(name, "document", required=False, document=Guess(value))
        return Attribute(name, "whole", required=False, why="nothing names it")

    def _left(self) -> int:
        return max(0, MAX_LEARNT - self.learnt)


def make_plan(mapping: Mapping) -> RowPlan:
    """Return a mapping's plan.

    Raises NotCompilableError, saying why, where its items have to be mapped by the plain modules.
    """
    root: Any = mapping.schema
    check_root(root)
    properties: dict[str, Any] = root.get("properties", {}) if isinstance(root, dict) else {}
    needed = set(root.get("required", ())) if isinstance(root, dict) else set()
    needed |= set(mapping.key_attributes)
    starts = {column.name: _starts(column) for column in mapping.columns}
    taken = taken_by(mapping)
    names = [*mapping.key_attributes, *properties, *needed, *(name for tops in starts.values() for name in tops)]
    dotted = frozenset(name for column in mapping.columns for name in dotted_names(column.path or ()))
    named = json.dumps(root, default=str)
    if dotted.intersection(names) or any(f'"{name}"' in named for name in dotted):
        raise NotCompilableError("from", "$.target", "has a path that is the name of an attribute, too")
    attributes = {}
    for name in dict.fromkeys(names):
        if not is_nameable(name):
            raise NotCompilableError("the item", "$", f"has the name {name!r}, which compiled code cannot have")
        if name not in properties and isinstance(root, dict) and root.get("additionalProperties") is False:
            raise NotCompilableError("additionalProperties", "$", f"does not allow {name}, which is needed")
        takers = [column for column in mapping.columns if name in starts[column.name]]
        is_json, required = name in mapping.json_attributes, name in needed
        whole = _whole_for(mapping, name, takers, is_json=is_json)
        if mapping.unmapped == "column" and name not in taken and not is_json:
            attributes[name] = plan_left(root, name, required=required)
            continue
        if mapping.unmapped == "column" and taken.get(name) != {}:
            whole = f"column {mapping.columns[-1].name} takes what is left of it"
        attributes[name] = plan_attribute(root, name, takers, required=required, is_json=is_json, whole=whole)
    plan = RowPlan(mapping, attributes, [], _is_open(mapping), dotted)
    # What a column takes as a whole, or tells null in, is known before others look at it.
    shortest = sorted(mapping.columns, key=lambda column: (len(column.path or ()), not tells_null(column)))
    sources = {column.name: _source(root, plan, column, starts[column.name]) for column in shortest}
    plan.sources = [sources[column.name] for column in mapping.columns]
    for name in mapping.key_attributes:
        attributes[name].nullable = False
    _finish(plan)
    return plan


def taken_by(mapping: Mapping) -> Tree:
    """Return what the columns of a mapping take of an item, without the one that takes what is left."""
    sources = (column.source for column in mapping.columns)
    return taken_paths(source for source in sources if source not in {CHANGED_AT_MS, UNMAPPED})


def check_root(root: Any) -> None:
    """Refuse a schema that has to see the item as a whole. Raises NotCompilableError."""
    if root is False:
        raise NotCompilableError("the schema", "$", "takes nothing")
    if root is True:
        return
    for keyword in root:
        if keyword not in OF_THE_ITEM | ANNOTATIONS:
            raise NotCompilableError(keyword, "$", "judges the item as a whole")
    types = root.get("type", "object")
    if "object" not in ([types] if isinstance(types, str) else types):
        raise NotCompilableError("type", "$", "takes no objects")
    if type(root.get("additionalProperties", True)) is not bool:
        raise NotCompilableError("additionalProperties", "$", "judges attributes that nothing names")


def _is_open(mapping: Mapping) -> bool:
    is_closed = isinstance(mapping.schema, dict) and mapping.schema.get("additionalProperties") is False
    return mapping.unmapped != "reject" and not is_closed


def _starts(column: Column) -> tuple[str, ...]:
    """Return the attributes that a column starts from."""
    if column.source in {CHANGED_AT_MS, UNMAPPED}:
        return ()
    if column.path is not None:
        return (column.path[0],)
    if column.attribute is not None:
        return (column.attribute,)
    tops = taken_paths([column.source])
    if "@" in column.source or "*" in column.source or not tops:
        raise NotCompilableError("from", f"column {column.name}", "may look at the item as a whole")
    return tuple(tops)


def is_searched(column: Column) -> bool:
    """Return whether only JMESPath can find a column's value: its null is nothing there, also for a JSON column."""
    return column.path is None and (column.attribute is None or tells_null(column))


def _whole_for(mapping: Mapping, name: str, takers: Iterable[Column], *, is_json: bool) -> str:
    """Return why an attribute has to be decoded whole; nothing where it has not."""
    if is_json and mapping.json_attributes[name] != JSON:
        return "its JSON is encoded otherwise than as text"
    for column in takers:
        if is_searched(column):
            return f"column {column.name} is from an expression"
        if is_json and len(column.path or ()) <= 1:
            return f"column {column.name} takes all of it"
        if not is_json and len(column.path or ()) > 1:
            return f"column {column.name} is from inside of it"
    if is_json and mapping.unmapped == "reject":
        return "what no column takes is looked for in it"
    return ""


def _source(root: Any, plan: RowPlan, column: Column, starts: tuple[str, ...]) -> FieldSource:
    source = FieldSource(column, starts)
    if len(starts) == 1 and plan.attributes[starts[0]].shape is not None:
        shape = plan.attributes[starts[0]].shape
        assert shape is not None  # noqa: S101 (as the condition says)
        source.path = (column.path or starts)[1:]
        source.shape, source.rest = find_member(root, shape, source.path, tells_null=tells_null(column))
        source.path = source.path[: len(source.path) - len(source.rest)]
    return source


def _finish(plan: RowPlan) -> None:
    """Let the types say what columns take, where they can."""
    for source in plan.sources:
        shape, column = source.shape, source.column
        if shape is not None and shape.kind == "string":
            limit_text(shape.limits, [column])
        elif shape is not None and shape.kind == "integer" and column.type.kind in INTEGER_BITS:
            low, high = bounds_of(column)
            if high <= MAX_INT64:
                shape.limits["ge"] = max(low, shape.limits.get("ge", low))
                shape.limits["le"] = min(high, shape.limits.get("le", high))
        elif shape is None and len(source.attributes) == 1:
            attribute = plan.attributes[source.attributes[0]]
            if attribute.how == "text":
                limit_text(attribute.limits, [column])
