"""Attributes: how each attribute of an item is decoded, chosen by its schema and by the columns that take it.

text, digits, bytes, boolean   one type descriptor (or NULL, where the schema lets it): a struct of msgspec
embedded                       JSON inside of a string, by its shape (`dynaurora.mappings.compiled.shapes`)
document                       what a JSON column takes, by its schema (`dynaurora.mappings.compiled.documents`)
whole                          anything: decoded as it is and made a plain value by `dynaurora.dynamodb.attributes`
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta

from dynaurora.mappings.columns import INTEGER_BITS, TEXT_BYTES
from dynaurora.mappings.compiled.documents import Judged, make_document
from dynaurora.mappings.compiled.fields import characters_of
from dynaurora.mappings.compiled.schemas import NotCompilableError, compile_part
from dynaurora.mappings.compiled.shapes import (
    ANNOTATIONS,
    STRING_LIMITS,
    Shape,
    make_shape,
    make_struct,
    say_bounds,
    say_limits,
)

if TYPE_CHECKING:
    from dynaurora.mappings.compiled.documents import Node
    from dynaurora.mappings.compiled.schemas import Check
    from dynaurora.mappings.target_columns import Column

How = Literal["text", "digits", "bytes", "boolean", "embedded", "document", "whole"]

DESCRIPTORS = {"text": "S", "digits": "N", "bytes": "B", "boolean": "BOOL", "embedded": "S"}
DIGITS_KINDS = {*INTEGER_BITS, *TEXT_BYTES, "DECIMAL", "DOUBLE", "VARCHAR", "JSON"}
BYTES_KINDS = {"VARBINARY", "TINYBLOB", "BLOB", "MEDIUMBLOB", "LONGBLOB"}
TEXT_KINDS = {*TEXT_BYTES, *BYTES_KINDS, "VARCHAR", "CHAR", "ENUM", "DATE", "DATETIME", "TIMESTAMP", "TIME", "JSON"}
BOOLEAN_KINDS = {"BOOLEAN", "JSON"}


@dataclass
class Attribute:
    """One attribute of an item."""

    name: str
    how: How
    required: bool
    nullable: bool = False
    """Whether it may be NULL, which the struct then has beside its descriptor."""
    limits: dict[str, Any] = field(default_factory=dict)
    """Of a text: what msgspec's `Meta` is to say."""
    check: Check | None = None
    """What the struct does not say of its schema."""
    choices: frozenset[str] | None = None
    """Of a text: the only ones that its schema takes."""
    whole_numbers: bool = False
    """Of digits: whether the schema takes whole numbers only."""
    bounds: tuple[int | None, int | None] = None, None
    """Of whole numbers: the least and the greatest that the schema takes, where it says so."""
    shape: Shape | None = None
    """Of embedded JSON."""
    document: Node | None = None
    """Of a document."""
    why: str = ""
    """For people: what it is decoded whole for."""


def plan_attribute(
    root: Any, name: str, columns: list[Column], *, required: bool, is_json: bool, whole: str
) -> Attribute:
    """Return how an attribute is decoded; `columns` are those that take it as it is, `whole` says why it must be whole.

    Raises NotCompilableError.
    """
    properties = root.get("properties", {}) if isinstance(root, dict) else {}
    schema = properties.get(name, True)
    if is_json and not whole:
        shape = make_shape(root, schema)
        if shape.kind == "object":
            return Attribute(name, "embedded", required, shape=shape)
        whole = "its schema is not that of an object whose members are named"
    check = None if schema in (True, {}) else compile_part(root, schema)
    if whole or schema is False:
        return Attribute(name, "whole", required, check=check, why=whole or "its schema takes nothing")
    if columns and all(column.type.kind == "JSON" for column in columns):
        try:
            return Attribute(name, "document", required, document=make_document(root, schema))
        except NotCompilableError as error:
            whole = str(error)
    attribute = _plan_scalar(root, schema, name, columns, check, required=required)
    if attribute.how == "whole" and whole:
        attribute.why = whole
    return attribute


def plan_left(root: Any, name: str, *, required: bool) -> Attribute:
    """Return how an attribute is decoded that only the column for what is left takes. Raises NotCompilableError."""
    properties = root.get("properties", {}) if isinstance(root, dict) else {}
    schema = properties.get(name, True)
    try:
        document = make_document(root, schema)
    except NotCompilableError:
        document = Judged(compile_part(root, schema))
    return Attribute(name, "document", required, document=document)


def _plan_scalar(
    root: Any, schema: Any, name: str, columns: list[Column], check: Check | None, *, required: bool
) -> Attribute:
    names = schema.get("type") if isinstance(schema, dict) else None
    types = {names} if isinstance(names, str) else set(names or ())
    rest = schema.keys() - ANNOTATIONS - {"type"} if isinstance(schema, dict) else set()
    nullable = not types or "null" in types
    kinds = {column.type.kind if column.type.epoch is None else "EPOCH" for column in columns}
    # Only a column of JSON or with a default tells null from nothing there.
    is_whole = types == {"null"} or (nullable and any(map(tells_null, columns)))
    how: How = "whole" if is_whole else _choose(types - {"null"}, kinds)
    attribute = Attribute(name, how, required, nullable and how != "whole", check=check)
    if how == "whole":
        attribute.why = "values of several types may be in it"
    elif how == "text":
        attribute.limits, rest = say_limits(schema, STRING_LIMITS, rest)
        if "enum" in rest and not nullable:
            attribute.choices = frozenset(choice for choice in schema["enum"] if type(choice) is str)
            rest -= {"enum"}
    elif how == "bytes" and rest:
        return Attribute(name, "whole", required, check=check, why="its schema says more of it than its type")
    attribute.whole_numbers = how == "digits" and types - {"null"} == {"integer"}
    if attribute.whole_numbers:
        attribute.bounds, rest = say_bounds(schema, rest)
    if not rest:
        attribute.check = attribute.check if how == "whole" else None
    elif nullable and how != "whole":
        return Attribute(name, "whole", required, check=check, why="its schema says more of it than its type")
    elif how != "whole":
        attribute.check = compile_part(root, {keyword: schema[keyword] for keyword in rest})
    return attribute


def _choose(types: set[str], kinds: set[str]) -> How:
    """Return how to decode what has one of these JSON types, empty for any, for columns of these kinds."""
    if types <= {"string"} and kinds and kinds <= BYTES_KINDS:
        return "bytes"
    if types == {"string"} and kinds <= TEXT_KINDS:
        return "text"
    if types and types <= {"number", "integer"} and kinds <= DIGITS_KINDS:
        return "digits"
    if types == {"boolean"} and kinds <= BOOLEAN_KINDS:
        return "boolean"
    if types or not kinds:
        return "whole"
    if kinds <= DIGITS_KINDS - TEXT_KINDS:
        return "digits"
    if kinds <= TEXT_KINDS - {"JSON"}:
        return "text"
    return "boolean" if kinds == {"BOOLEAN"} else "whole"


def tells_null(column: Column) -> bool:
    """Return whether a column's field of null is another than that of nothing there."""
    return column.type.kind == "JSON" or column.default is not None


def limit_text(limits: dict[str, Any], columns: list[Column]) -> None:
    """Add to the limits of a text those of the columns that take it."""
    sizes = [size for column in columns if (size := characters_of(column)) is not None]
    if sizes:
        limits["max_length"] = min([*sizes, limits.get("max_length", sizes[0])])


def type_and_default(attribute: Attribute) -> tuple[Any, Any]:
    """Return the type that msgspec decodes an attribute to, and what stands for an absent one."""
    if attribute.document is not None or attribute.how == "whole":
        kind = Any if attribute.document is None else attribute.document.kind()
        return kind, msgspec.NODEFAULT if attribute.required else UNSET
    bare: Any = {"digits": str, "bytes": bytes, "boolean": bool}.get(attribute.how, str)
    if attribute.how == "text" and attribute.limits:
        bare = Annotated[bare, Meta(**attribute.limits)]
    descriptor = DESCRIPTORS[attribute.how]
    if attribute.nullable:
        kind = make_struct([(descriptor, "value", bare, None), ("NULL", "null", bool, None)])
        absent = kind(None, True)
    else:
        kind = make_struct([(descriptor, "value", bare, msgspec.NODEFAULT)])
        absent = kind(None)
    return kind, msgspec.NODEFAULT if attribute.required else absent
