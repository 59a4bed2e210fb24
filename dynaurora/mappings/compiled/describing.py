"""Describing, for people, how a mapping's records become rows: by compiled code or plainly, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dynaurora.mappings.compiled.column_code import WRITERS
from dynaurora.mappings.compiled.plans import is_searched, make_plan
from dynaurora.mappings.compiled.schemas import NotCompilableError, compile_schema
from dynaurora.mappings.compiled.shapes import has_any
from dynaurora.mappings.target_columns import CHANGED_AT_MS, UNMAPPED

if TYPE_CHECKING:
    from dynaurora.mappings.compiled.attribute_plans import Attribute
    from dynaurora.mappings.compiled.plans import FieldSource, RowPlan
    from dynaurora.mappings.mapping import Mapping

ENCODER = "by its column's encoder"


@dataclass(frozen=True)
class Description:
    """What becomes of a mapping's records."""

    why_plain: str
    """Why every record is mapped by the plain modules; empty where compiled code maps them."""
    why_jsonschema: str
    """Why refused records are judged by jsonschema; empty where the compiled schema judges them."""
    attributes: tuple[tuple[str, str], ...]
    """How each attribute is decoded, where compiled code does it."""
    columns: tuple[tuple[str, str, str, str], ...]
    """Each column's name, type and source, and how its field is written."""


def describe_mapping(mapping: Mapping) -> Description:
    """Return how a mapping's records become rows."""
    why_plain = why_jsonschema = ""
    plan: RowPlan | None = None
    try:
        plan = make_plan(mapping)
    except NotCompilableError as error:
        why_plain = str(error)
    try:
        compile_schema(mapping.schema)
    except NotCompilableError as error:
        why_jsonschema = str(error)
    attributes = [(each.name, describe_attribute(each)) for each in plan.attributes.values()] if plan else []
    how = [describe_source(plan, source) for source in plan.sources] if plan else [ENCODER] * len(mapping.columns)
    columns = [
        (column.name, column.type.sql, "what is left" if column.source == UNMAPPED else column.source, written)
        for column, written in zip(mapping.columns, how, strict=True)
    ]
    return Description(why_plain, why_jsonschema, tuple(attributes), tuple(columns))


def describe_attribute(attribute: Attribute) -> str:
    """Return how an attribute is decoded."""
    if attribute.how == "whole":
        return f"as a plain value: {attribute.why}"
    if attribute.how == "document":
        return "as a document, written as JSON while it is judged"
    judged = ", then judged by its schema" if attribute.check else ""
    if attribute.shape is not None:
        return "as embedded JSON" + (", in parts as plain values" if has_any(attribute.shape) else "")
    return f"as {attribute.how}{judged}"


def describe_source(plan: RowPlan, source: FieldSource) -> str:
    """Return how a column's field is written."""
    column = source.column
    if column.source == CHANGED_AT_MS:
        return "in place"
    if column.source == UNMAPPED:
        return "in place"
    if is_searched(column):
        return "by its expression, then by its column's encoder"
    kind = source.shape.kind if source.shape is not None else plan.attributes[source.attributes[0]].how
    if kind == "document":
        return "in place"
    return WRITERS[kind](column, "value", 0).how if kind in WRITERS else ENCODER
