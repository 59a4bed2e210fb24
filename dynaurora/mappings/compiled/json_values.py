"""JSON values: typed attributes and plain values as what msgspec writes JSON of, where nothing says what they are.

What `encode_document` writes of them is what `encode_json` writes of the plain value. Where that is not sure something
is raised, and the plain modules decide: all that is returned here can be encoded, whenever that is done.
"""

from __future__ import annotations

from binascii import a2b_base64
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Raw

from dynaurora.dynamodb.attributes import plain_value
from dynaurora.mappings.compiled.fields import JSON_NATURAL_NUMBERS, JSON_NUMBER, Unsure
from dynaurora.mappings.json_fields import JSON_NAME_BYTES, encode_json

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_OPEN_DEPTH: Final = 40
"""Levels of what a schema leaves open; together with those that it names, fewer than a JSON column takes."""
MIN_JSON, MAX_JSON = -(2**63), 2**64 - 1
"""Between them MySQL's JSON keeps whole numbers."""

_encoder = msgspec.json.Encoder(order="sorted")
encode_document: Callable[[Any], bytes] = _encoder.encode
"""Writes the members of objects in the order of their names, and no spaces."""
encode_documents: Callable[[tuple[Any, ...]], bytes] = _encoder.encode_lines
"""Writes each as a line of its own: JSON has no newline in it."""


def open_value(attribute: Any, depth: int = 0) -> Any:
    """Return the JSON value of any attribute."""
    ((kind, value),) = attribute.items()
    return _open_values[kind](value, depth + 1)


def refuse(_attribute: Any) -> Any:
    """Refuse what a schema does not allow."""
    raise Unsure


def write_plain(value: Any) -> Raw:
    """Return the JSON of a plain value, written already, since a lone surrogate in it refuses its record."""
    return Raw(encode_document(_plain_json(value)))


def _plain_json(value: Any, depth: int = 0) -> Any:
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if kind is int:
        return value if MIN_JSON <= value <= MAX_JSON else Raw(encode_json(value))
    if kind is dict or kind is list:
        if depth == MAX_OPEN_DEPTH:
            raise Unsure
        if kind is list:
            return [_plain_json(member, depth + 1) for member in value]
        return check_lengths({name: _plain_json(member, depth + 1) for name, member in value.items()})
    return Raw(encode_json(value))


def check_lengths(members: dict[str, Any]) -> dict[str, Any]:
    """Return the members of an object whose names surely are not too long for JSON."""
    if max(map(len, members), default=0) * 4 > JSON_NAME_BYTES:
        raise Unsure
    return members


def number_value(text: str) -> Raw:
    """Return the JSON of a number as DynamoDB writes it."""
    return Raw(text if JSON_NUMBER(text) else encode_json(plain_value({"N": text}, "")))


def binary_value(text: str) -> str:
    """Return the text that binary is to JSON."""
    return str(plain_value({"B": text}, ""))


def _text(value: object) -> str:
    if type(value) is not str:
        raise Unsure
    return value


def _boolean(value: object) -> bool:
    if type(value) is not bool:
        raise Unsure
    return value


def _null(value: object) -> None:
    if value is not True:
        raise Unsure


def _map(members: Any, depth: int) -> dict[str, Any]:
    if depth > MAX_OPEN_DEPTH:
        raise Unsure
    return check_lengths({name: open_value(member, depth) for name, member in members.items()})


def _list(members: Any, depth: int) -> list[Any]:
    if depth > MAX_OPEN_DEPTH or type(members) is not list:
        raise Unsure
    return [open_value(member, depth) for member in members]


def _texts(members: Any) -> list[str]:
    if type(members) is not list:
        raise Unsure
    return [*map(_text, members)]


def number_set(members: list[str]) -> Raw:
    """Return the JSON of a set of numbers."""
    text = ",".join(sorted(sorted(members), key=len))  # which is their order, where they are natural numbers
    is_sure = JSON_NATURAL_NUMBERS(text) and text.count(",") == len(members) - 1  # no member has one within
    return Raw(f"[{text}]" if is_sure else encode_json(plain_value({"NS": members}, "")))


_bytes_of = partial(a2b_base64, strict_mode=True)
"""The bytes of base64, by which its sets are sorted; what is not quite base64 is for the plain modules."""
_binary_set = partial(sorted, key=_bytes_of)

SET_VALUES: dict[str, Callable[[Any], Any]] = {"SS": sorted, "NS": number_set, "BS": _binary_set}
"""The JSON values of sets, of lists of texts."""
_open_values: dict[str, Callable[[Any, int], Any]] = {
    "S": lambda value, _depth: _text(value),
    "N": lambda value, _depth: number_value(_text(value)),
    "B": lambda value, _depth: binary_value(value),
    "BOOL": lambda value, _depth: _boolean(value),
    "NULL": lambda value, _depth: _null(value),
    "M": _map,
    "L": _list,
    "SS": lambda value, _depth: sorted(_texts(value)),
    "NS": lambda value, _depth: number_set(_texts(value)),
    "BS": lambda value, _depth: _binary_set(_texts(value)),
}
