"""Shapes: what embedded JSON looks like by its schema, as types that msgspec decodes to.

A value that a shape's type accepts, and that passes the shape's check where it has one, is a value that the schema
takes. What a type refuses may still be right (`1.0` is an integer): then the plain modules decide.

Nothing of a text is skipped: a name that a type does not know is refused, so that all of the text was looked at. Names
that a schema leaves open are learnt from the first items that have them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta

from dynaurora.mappings.compiled.schemas import NotCompilableError, compile_part, holds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dynaurora.mappings.compiled.schemas import Check

Kind = Literal["object", "string", "integer", "boolean", "null", "array", "any"]

ANNOTATIONS = frozenset(
    {
        "$schema",
        "$comment",
        "$defs",
        "title",
        "description",
        "default",
        "examples",
        "deprecated",
        "readOnly",
        "writeOnly",
    }
)
"""Keywords that say nothing about a value."""
STRING_LIMITS = {"minLength": "min_length", "maxLength": "max_length"}
"""Keywords that msgspec's types can say, in the same words: code points. Its patterns are Python's."""
ARRAY_LIMITS = {"minItems": "min_length", "maxItems": "max_length"}
MAX_NAME = 1_000
"""Characters of a name; JSON columns take 65,535 bytes."""
MAX_LENGTH = 2**31
"""No text or list is as long; msgspec has a bound for its own bounds."""


@dataclass
class Shape:
    """One place of embedded JSON."""

    kind: Kind
    nullable: bool = False
    limits: dict[str, Any] = field(default_factory=dict)
    """What msgspec's `Meta` is to say of it."""
    check: Check | None = None
    """What its type does not say of the schema; judges the plain value."""
    members: dict[str, Member] = field(default_factory=dict)
    """Of an object."""
    element: Shape | None = None
    """Of an array."""
    open: bool = False
    """Whether an object may have other members."""

    def is_pure(self) -> bool:
        """Return whether its type says all that the schema says."""
        inner = [member.shape for member in self.members.values()] + ([self.element] if self.element else [])
        return self.check is None and self.kind != "any" and all(shape.is_pure() for shape in inner)


@dataclass
class Member:
    """One member of an object."""

    shape: Shape
    required: bool
    schema: Any
    name: str
    """The attribute's name in Python."""


def any_shape(root: Any, schema: Any) -> Shape:
    """Return the shape of anything that a schema takes, as a plain value.

    Raises NotCompilableError.
    """
    return Shape("any", check=None if schema in (True, {}) else compile_part(root, schema))


def make_shape(root: Any, schema: Any) -> Shape:
    """Return the shape of what a schema takes; `root` is the schema that it is part of.

    Raises NotCompilableError.
    """
    if not isinstance(schema, dict):
        return any_shape(root, schema)
    names = schema.get("type")
    types = {names} if isinstance(names, str) else set(names or ())
    rest = schema.keys() - ANNOTATIONS - {"type"}
    nullable = "null" in types and len(types) > 1
    kinds = types - {"null"} if nullable else types
    if len(kinds) != 1:
        return any_shape(root, schema)
    shape = _shape_of_kind(root, schema, kinds.pop(), rest)
    if shape is None or (shape.check is not None and nullable and not holds(shape.check, None)):
        return any_shape(root, schema)
    shape.nullable = nullable
    return shape


def _shape_of_kind(root: Any, schema: dict[str, Any], kind: str, rest: set[str]) -> Shape | None:
    if kind == "object":
        return _object(root, schema) if rest <= {"properties", "required", "additionalProperties"} else None
    if kind == "array":
        return _array(root, schema) if rest <= {"items", "minItems", "maxItems"} else None
    if kind == "string":
        limits, more = say_limits(schema, STRING_LIMITS, rest)
        return Shape("string", limits=limits, check=compile_part(root, schema) if more else None)
    if kind in {"integer", "boolean", "null"}:
        return Shape(kind, check=compile_part(root, schema) if rest else None)  # type: ignore[arg-type]
    return None


def say_limits(schema: Any, words: dict[str, str], keywords: set[str]) -> tuple[dict[str, Any], set[str]]:
    """Return what of some keywords msgspec's `Meta` can say, in its words, and the keywords that it cannot."""
    said = {name for name in keywords & words.keys() if _is_length(schema[name])}
    return {words[name]: schema[name] for name in said}, keywords - said


def _is_length(limit: object) -> bool:
    return type(limit) is int and limit < MAX_LENGTH  # JSON Schema allows 2.0, too


def say_bounds(schema: Any, keywords: set[str]) -> tuple[tuple[int | None, int | None], set[str]]:
    """Return what of some keywords bounds whole numbers, least and greatest, and the keywords that do not."""
    said = {name for name in keywords & {"minimum", "maximum"} if _is_bound(schema[name])}
    low, high = (schema[name] if name in said else None for name in ("minimum", "maximum"))
    return (low, high), keywords - said


def _is_bound(bound: object) -> bool:
    return type(bound) is int and bound.bit_length() <= 128  # JSON Schema allows 1.5, too


def _object(root: Any, schema: dict[str, Any]) -> Shape | None:
    others, properties = schema.get("additionalProperties", True), schema.get("properties", {})
    required = set(schema.get("required", ()))
    if type(others) is not bool or not required <= properties.keys() or not all(map(is_nameable, properties)):
        return None
    shape = Shape("object", open=others)
    for name, inner in properties.items():
        add_member(shape, name, make_shape(root, inner), required=name in required, schema=inner)
    return shape


def _array(root: Any, schema: dict[str, Any]) -> Shape | None:
    element = make_shape(root, schema.get("items", True))
    limits, more = say_limits(schema, ARRAY_LIMITS, schema.keys() & ARRAY_LIMITS)
    return Shape("array", limits=limits, element=element) if element.is_pure() and not more else None


def add_member(shape: Shape, name: str, inner: Shape, *, required: bool = False, schema: Any = True) -> Member:
    """Add a member to an object's shape and return it. Raises NotCompilableError where it cannot be named."""
    if not is_nameable(name):
        raise NotCompilableError("from", name, "has a name that compiled code cannot have")
    member = Member(inner, required, schema, f"f{len(shape.members)}")
    shape.members[name] = member
    return member


def find_member(root: Any, shape: Shape, path: tuple[str, ...], *, tells_null: bool) -> tuple[Shape, tuple[str, ...]]:
    """Return the shape that a path of names leads to and what is left of the path where the shape is no object.

    What the schema does not name is added, as anything. An object or array that the path ends in becomes a plain value,
    and what may be null does too where a column `tells_null` from nothing there.
    """
    for depth, name in enumerate(path):
        if shape.kind != "object":
            return shape, path[depth:]
        if name not in shape.members:
            if not shape.open:
                return Shape("null"), path[depth:]
            add_member(shape, name, Shape("any"))
        member = shape.members[name]
        if depth == len(path) - 1 and _is_plain(member.shape, tells_null=tells_null):
            member.shape = any_shape(root, member.schema)
        shape = member.shape
    return shape, ()


def _is_plain(shape: Shape, *, tells_null: bool) -> bool:
    return shape.kind in {"object", "array"} or (tells_null and (shape.nullable or shape.kind == "null"))


def learn(shape: Shape, value: Any, most: int, never: frozenset[str] = frozenset()) -> int:
    """Add members that a plain value has and the schema leaves open, `most` of them at most; return how many.

    Members whose names are in `never` are not added.
    """
    if shape.kind != "object" or type(value) is not dict:
        return 0
    known = [(shape.members[name].shape, member) for name, member in value.items() if name in shape.members]
    added = 0
    if shape.open:
        for name in islice(filter(is_nameable, value.keys() - shape.members.keys() - never), most):
            add_member(shape, name, Shape("any"))
            added += 1
    for inner, member in known:
        added += learn(inner, member, most - added, never)
    return added


def has_any(shape: Shape) -> bool:
    """Return whether anything may be in some place of a shape, and so nested however deep."""
    inner = [member.shape for member in shape.members.values()] + ([shape.element] if shape.element else [])
    return shape.kind == "any" or any(has_any(each) for each in inner)


def make_type(shape: Shape) -> Any:
    """Return the type that msgspec decodes a shape to."""
    bare = _bare_type(shape)
    if shape.limits:
        bare = Annotated[bare, Meta(**shape.limits)]
    return bare | None if shape.nullable else bare


def _bare_type(shape: Shape) -> Any:
    if shape.kind == "object":
        return make_struct(
            (name, member.name, make_type(member.shape), default_of_member(member))
            for name, member in shape.members.items()
        )
    if shape.element is not None:
        return list[make_type(shape.element)]  # type: ignore[misc]
    return {"string": str, "integer": int, "boolean": bool, "null": None, "any": Any}[shape.kind]


def default_of_member(member: Member) -> Any:
    """Return what stands for an absent member: msgspec's NODEFAULT where it has to be there."""
    if member.required:
        return msgspec.NODEFAULT
    return UNSET if member.shape.kind == "any" else None


def is_nameable(name: str) -> bool:
    """Return whether msgspec's structs can have a member of that name, and a JSON column surely takes it."""
    return len(name) <= MAX_NAME and name.isprintable() and '"' not in name and "\\" not in name


def make_struct(fields: Iterable[tuple[str, str, Any, Any]]) -> Any:
    """Return a struct of (name in JSON, name in Python, type, default); names are nameable."""
    fields = list(fields)
    members = [
        (python, kind) if default is msgspec.NODEFAULT else (python, kind, default)
        for _, python, kind, default in fields
    ]
    names = {python: name for name, python, _, _ in fields}
    # Fields without a default come first, as Python has it; the order of the rest is that of the schema.
    members.sort(key=len)
    return msgspec.defstruct("Object", members, rename=names, forbid_unknown_fields=True, frozen=True, gc=False)
