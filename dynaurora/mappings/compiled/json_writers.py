"""Writing JSON of typed attributes and plain values, where nothing says what they are.

It is what `encode_json` writes of the plain value, in one go. Where that is not sure something is raised, and the plain
modules decide.
"""

from __future__ import annotations

from binascii import a2b_base64
from functools import partial
from json.encoder import encode_basestring as quote
from typing import TYPE_CHECKING, Any, Final

from dynaurora.dynamodb.attributes import plain_value
from dynaurora.mappings.compiled.fields import JSON_NUMBER, JSON_WHOLE_NUMBERS, Unsure
from dynaurora.mappings.json_fields import JSON_NAME_BYTES, encode_json
from dynaurora.mappings.misfits import check_unicode

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_OPEN_DEPTH: Final = 40
"""Levels of what a schema leaves open; together with those that it names, fewer than a JSON column takes."""
MIN_JSON, MAX_JSON = -(2**63), 2**64 - 1
"""Between them MySQL's JSON keeps whole numbers."""


def write_any(attribute: Any, depth: int = 0) -> str:
    """Return the JSON of any attribute."""
    ((kind, value),) = attribute.items()
    return _open_writers[kind](value, depth + 1)


def refuse(_attribute: Any) -> str:
    """Refuse what a schema does not allow."""
    raise Unsure


def write_plain(value: Any) -> str:
    """Return the JSON of a plain value, as `encode_json` writes it, and several times faster."""
    text = _write_plain(value)
    check_unicode(text)
    return text


def _write_plain(value: Any, depth: int = 0) -> str:
    kind = type(value)
    if kind is str:
        return quote(value)
    if kind is int:
        return str(value) if MIN_JSON <= value <= MAX_JSON else encode_json(value)
    if kind is bool:
        return "true" if value else "false"
    if value is None:
        return "null"
    if kind is dict or kind is list:
        if depth == MAX_OPEN_DEPTH:
            raise Unsure
        if kind is list:
            return f"[{','.join([_write_plain(member, depth + 1) for member in value])}]"
        return write_members({name: _write_plain(member, depth + 1) for name, member in value.items()})
    return encode_json(value)


def write_members(texts: dict[str, str]) -> str:
    """Return the JSON of an object whose members are written, in the order of their names."""
    text = ",".join([f"{quote(name)}:{texts[name]}" for name in sorted(texts)])
    if len(text) * 4 > JSON_NAME_BYTES and any(len(name) * 4 > JSON_NAME_BYTES for name in texts):
        raise Unsure
    return f"{{{text}}}"


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
    return write_members({name: write_any(member, depth) for name, member in members.items()})


def _write_list(members: Any, depth: int) -> str:
    if depth > MAX_OPEN_DEPTH or type(members) is not list:
        raise Unsure
    return f"[{','.join([write_any(member, depth) for member in members])}]"


def _write_string_set(members: Any) -> str:
    if type(members) is not list:
        raise Unsure
    return f"[{','.join(map(quote, sorted(members)))}]"


def _write_number_set(members: Any) -> str:
    if type(members) is not list:
        raise Unsure
    try:
        text = ",".join(sorted(members, key=int))
    except ValueError:
        text = ""
    # Whatever else int() takes, as +1, 01 or 1_0, is for the plain modules.
    return f"[{text}]" if JSON_WHOLE_NUMBERS(text) else encode_json(plain_value({"NS": members}, ""))


def _write_binary_set(members: Any) -> str:
    if type(members) is not list or not members:
        raise Unsure
    quoted = '","'.join(sorted(members, key=_bytes_of))
    return f'["{quoted}"]'


_bytes_of = partial(a2b_base64, strict_mode=True)
"""The bytes of base64, by which its sets are sorted; what is not quite base64 is for the plain modules."""

SET_WRITERS: dict[str, Callable[[Any], str]] = {
    "SS": _write_string_set,
    "NS": _write_number_set,
    "BS": _write_binary_set,
}
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
