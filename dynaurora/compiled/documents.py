"""Documents: a typed attribute that a JSON column takes, written as JSON text in one go.

What is written is what `encode_json(plain_value(attribute))` writes, and it is judged by its schema on the way: where
the schema would refuse it, or it is not an attribute, something is raised and the plain modules decide.
"""

from __future__ import annotations

from collections.abc import Callable
from json.encoder import encode_basestring as quote
from typing import TYPE_CHECKING, Any, Final

from dynaurora.attributes import plain_value
from dynaurora.columns import encode_json
from dynaurora.compiled.fields import JSON_NUMBER, Unsure
from dynaurora.compiled.schemas import FIRST, NotCompilableError, compile_part
from dynaurora.compiled.shapes import ANNOTATIONS

if TYPE_CHECKING:
    from dynaurora.compiled.schemas import Check

Writer = Callable[[Any], str]
"""From a typed attribute to its JSON. Raises what the plain modules have to look at."""

MAX_OPEN_DEPTH: Final = 40
"""Levels of what a schema leaves open; together with those that it names, fewer than a JSON column takes."""
MAX_CHECKED_LENGTH: Final = 16_000
"""A longer text may have a name that is too long for a JSON column, which the column's own encoder looks for."""
OF_OBJECTS = frozenset({"properties", "required", "additionalProperties"})
OF_ARRAYS = frozenset({"items", "minItems", "maxItems"})


def make_document_writer(root: Any, schema: Any) -> Writer:
    """Return what writes an attribute that a schema, part of another one, takes.

    Raises NotCompilableError where the schema says more than is judged on the way.
    """
    write_node = _make(root, schema)

    def write(attribute: Any) -> str:
        text = write_node(attribute)
        return text if len(text) <= MAX_CHECKED_LENGTH else encode_json(plain_value(attribute, ""))

    return write


def _make(root: Any, schema: Any) -> Writer:
    if schema is True or schema == {}:
        return write_any
    kind = schema.get("type") if isinstance(schema, dict) else None
    maker = _makers.get(kind) if isinstance(kind, str) else None
    if maker is None:
        raise NotCompilableError("the schema", "$", "names no single type")
    return maker(root, schema)


def _rest(root: Any, schema: dict[str, Any], kept: frozenset[str] = frozenset()) -> Check | None:
    """Return the check of what a schema says beside its type; objects and arrays may say only what is `kept`."""
    rest = {keyword: schema[keyword] for keyword in schema.keys() - ANNOTATIONS - {"type"} - kept}
    if rest and kept:
        raise NotCompilableError(min(rest), "$", "judges a whole document")
    return compile_part(root, rest) if rest else None


def _string(root: Any, schema: dict[str, Any]) -> Writer:
    check = _rest(root, schema)

    def write(attribute: Any) -> str:
        ((kind, value),) = attribute.items()
        if kind != "S":
            raise Unsure
        if check is not None:
            check(value, (), FIRST)
        return quote(value)

    return write


def _number(root: Any, schema: dict[str, Any]) -> Writer:
    check, is_whole = _rest(root, schema), schema["type"] == "integer"

    def write(attribute: Any) -> str:
        ((kind, value),) = attribute.items()
        if kind != "N" or (is_whole and not value.removeprefix("-").isdecimal()):
            raise Unsure
        if check is not None:
            check(plain_value(attribute, ""), (), FIRST)
        return write_number(value)

    return write


def _boolean(root: Any, schema: dict[str, Any]) -> Writer:
    if _rest(root, schema) is not None:
        raise NotCompilableError("type", "$", "is not all that is said of a boolean")

    def write(attribute: Any) -> str:
        ((kind, value),) = attribute.items()
        if kind != "BOOL":
            raise Unsure
        return write_boolean(value)

    return write


def _object(root: Any, schema: dict[str, Any]) -> Writer:
    _rest(root, schema, OF_OBJECTS)
    others, required = schema.get("additionalProperties", True), schema.get("required", ())
    if type(others) is not bool:
        raise NotCompilableError("additionalProperties", "$", "judges what nothing names")
    writers = {name: _make(root, inner) for name, inner in schema.get("properties", {}).items()}
    write_other = write_any if others else refuse

    def write(attribute: Any) -> str:
        ((kind, members),) = attribute.items()
        if kind != "M":
            raise Unsure
        for name in required:
            if name not in members:
                raise Unsure
        written = [f"{quote(name)}:{writers.get(name, write_other)(member)}" for name, member in members.items()]
        return f"{{{','.join(written)}}}"

    return write


def _array(root: Any, schema: dict[str, Any]) -> Writer:
    _rest(root, schema, OF_ARRAYS)
    least, most = schema.get("minItems", 0), schema.get("maxItems")
    items = schema.get("items", True)
    write_item = _make(root, items)
    sets = _sets_of(items)

    def write(attribute: Any) -> str:
        ((kind, members),) = attribute.items()
        if type(members) is not list or len(members) < least or (most is not None and len(members) > most):
            raise Unsure
        if kind == "L":
            return f"[{','.join([write_item(member) for member in members])}]"
        if kind not in sets:
            raise Unsure
        return _open_writers[kind](members, 0)

    return write


def _sets_of(items: Any) -> frozenset[str]:
    """Return the descriptors of the sets whose members a schema surely takes."""
    if items is True or items == {}:
        return frozenset({"SS", "NS", "BS"})
    if items.keys() - ANNOTATIONS != {"type"}:
        return frozenset()
    return {"string": frozenset({"SS", "BS"}), "number": frozenset({"NS"})}.get(items["type"], frozenset())


_makers: dict[str, Callable[[Any, dict[str, Any]], Writer]] = {
    "string": _string,
    "number": _number,
    "integer": _number,
    "boolean": _boolean,
    "object": _object,
    "array": _array,
}


# What a schema leaves open


def write_any(attribute: Any, depth: int = 0) -> str:
    """Return the JSON of any attribute."""
    ((kind, value),) = attribute.items()
    return _open_writers[kind](value, depth + 1)


def refuse(_attribute: Any) -> str:
    """Refuse what a schema does not allow."""
    raise Unsure


def write_number(text: str) -> str:
    """Return the JSON of a number as DynamoDB writes it."""
    return text if JSON_NUMBER(text) else encode_json(plain_value({"N": text}, ""))


def write_binary(text: str) -> str:
    """Return the JSON of binary: base64, in which nothing has to be escaped."""
    plain: str = plain_value({"B": text}, "")
    return f'"{plain}"'


def write_boolean(value: object) -> str:
    """Return the JSON of a boolean."""
    if value is True:
        return "true"
    if value is False:
        return "false"
    raise Unsure


def _write_null(value: object) -> str:
    if value is not True:
        raise Unsure
    return "null"


def _write_map(members: Any, depth: int) -> str:
    if depth > MAX_OPEN_DEPTH:
        raise Unsure
    return f"{{{','.join([f'{quote(name)}:{write_any(member, depth)}' for name, member in members.items()])}}}"


def _write_list(members: Any, depth: int) -> str:
    if depth > MAX_OPEN_DEPTH or type(members) is not list:
        raise Unsure
    return f"[{','.join([write_any(member, depth) for member in members])}]"


def _write_string_set(members: Any) -> str:
    if type(members) is not list:
        raise Unsure
    return f"[{','.join([quote(member) for member in sorted(members)])}]"


def _write_number_set(members: Any) -> str:
    if type(members) is list and all(JSON_NUMBER(member) and "." not in member for member in members):
        return f"[{','.join(sorted(members, key=int))}]"
    return encode_json(plain_value({"NS": members}, ""))


def _write_binary_set(members: Any) -> str:
    quoted = [f'"{member}"' for member in plain_value({"BS": members}, "")]
    return f"[{','.join(quoted)}]"


_open_writers: dict[str, Callable[[Any, int], str]] = {
    "S": lambda value, _depth: quote(value),
    "N": lambda value, _depth: write_number(value),
    "B": lambda value, _depth: write_binary(value),
    "BOOL": lambda value, _depth: write_boolean(value),
    "NULL": lambda value, _depth: _write_null(value),
    "M": _write_map,
    "L": _write_list,
    "SS": lambda value, _depth: _write_string_set(value),
    "NS": lambda value, _depth: _write_number_set(value),
    "BS": lambda value, _depth: _write_binary_set(value),
}
