"""DynamoDB's typed attributes as plain values, exactly.

An item arrives as `{"hits": {"N": "12"}, "payload": {"S": "{…}"}}` and leaves as `{"hits": 12, "payload": {…}}`:
the form that a mapping's JSON Schema describes and its columns take their values from.

| descriptor    | plain value                                                              |
|---------------|--------------------------------------------------------------------------|
| S             | str                                                                      |
| N             | int where the number is whole, else Decimal: never float, never rounded, |
|               | no zeros at its end                                                      |
| B             | Binary: the base64 text, which knows its bytes                           |
| BOOL, NULL    | bool, None                                                               |
| M, L          | dict, list                                                               |
| SS, NS, BS    | list, sorted by code point, by number, by bytes                          |

Formats: DynamoDB API Reference, `AttributeValue`; numbers have up to 38 digits and magnitudes from 1E-130 to
9.99…E+125 (DynamoDB Developer Guide, "Supported data types").
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import zlib
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from dynaurora.errors import Reason, RejectedChange

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TYPE_NAMES = {
    type(None): "null",
    bool: "boolean",
    int: "number",
    Decimal: "number",
    str: "string",
    list: "array",
    dict: "object",
}

JSON, JSON_TWICE, BINARY, GZIP = "json", "json_twice", "binary", "gzip"
ENCODINGS = (JSON, JSON_TWICE, BINARY, GZIP)
"""Of embedded JSON: text; text that holds it as a text of JSON; UTF-8 in binary; gzip of that, in binary or base64."""
MAX_INFLATED = 4 * 2**20
"""Bytes of JSON that gzip may hold: ten times an item, and less than a record of Firehose may become."""
NO_NAMES: dict[str, str] = {}

NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")
NUMBER_DIGITS = 38
"""Of a number, without zeros around it."""
LARGEST_EXPONENT = 400
"""Beyond any number that DynamoDB or a MySQL column holds; a larger one stays a Decimal, since as an int it would
take that many digits of memory."""
LONGEST_ZEROS = 400
"""How many zeros a number may need to be written without an exponent: those of DynamoDB need at most 130."""
WHOLE_RANGE = Context(prec=MAX_PREC, Emin=MIN_EMIN, Emax=MAX_EMAX)
"""Takes zeros off a number and never rounds it."""


class Binary(str):
    """Binary as JSON shows it, base64; `data` has the bytes."""

    __slots__ = ()

    @property
    def data(self) -> bytes:
        """The bytes."""
        return base64.b64decode(self)


def describe(value: object) -> str:
    """Return the JSON type of a plain value, for messages: `a string`, `an object`."""
    name = "binary" if isinstance(value, Binary) else TYPE_NAMES.get(type(value), type(value).__name__)
    return f"an {name}" if name[0] in "ao" else name if name in {"null", "binary"} else f"a {name}"


def is_same_key(one: object, other: object) -> bool:
    """Tell whether two plain values are one key to DynamoDB: of one type, numbers by value and binary by its bytes."""
    if isinstance(one, Binary) and isinstance(other, Binary):
        return one.data == other.data
    return type(one) is type(other) and one == other


def exact_number(text: str) -> int | Decimal:
    """Return the number that `text` writes: an int where it is whole (`1.0` and `1e2` are), else a Decimal.

    A Decimal has no zeros at its end, so that equal numbers have the same digits and exponent.
    """
    number = Decimal(text)
    if not number:
        return 0
    if number.adjusted() > LARGEST_EXPONENT or number != number.to_integral_value():
        return WHOLE_RANGE.normalize(number)
    return int(number)


def spell_number(number: int | Decimal) -> str:
    """Return the one text that a number has, wherever it is written as text: its digits, without an exponent.

    A number that needs more than `LONGEST_ZEROS` zeros for that is written as `1.5E+999`: without an exponent,
    1E-999999999 would fill the memory.
    """
    if type(number) is int and number.bit_length() <= 64:
        return str(number)
    number = WHOLE_RANGE.normalize(Decimal(number))  # an int of more than 4,300 digits has no str of its own
    _, _, exponent = number.as_tuple()
    assert isinstance(exponent, int)  # noqa: S101 (a number, never NaN or infinite)
    return format(number, "f") if max(exponent, -number.adjusted()) <= LONGEST_ZEROS else str(number)


def respell_number(text: str) -> str:
    """Return the one text of the number that a text writes."""
    return spell_number(exact_number(text))


def is_spelled_number(text: str) -> bool:
    """Tell whether a text is the one that a number has."""
    return bool(NUMBER.fullmatch(text)) and respell_number(text) == text


def is_possible_number(text: str) -> bool:
    """Tell whether DynamoDB has a number: of up to 38 digits, and of a magnitude from 1E-130 to 9.9…E+125."""
    if not NUMBER.fullmatch(text):
        return False
    number = WHOLE_RANGE.normalize(Decimal(exact_number(text)))
    return not number or (len(number.as_tuple().digits) <= NUMBER_DIGITS and -130 <= number.adjusted() <= 125)


def respell_numbers(typed_key: Mapping[str, Any]) -> dict[str, Any]:
    """Return a typed key that is the same however its numbers were spelled; what is no key stays as it is."""
    return {name: _respell(attribute) for name, attribute in typed_key.items()}


def _respell(attribute: Any) -> Any:
    text = attribute.get("N") if isinstance(attribute, dict) else None
    if type(text) is not str or not NUMBER.fullmatch(text):
        return attribute
    return {"N": respell_number(text)}


def plain_item(item: Mapping[str, Any], json_attributes: Mapping[str, str] = NO_NAMES) -> dict[str, Any]:
    """Return the plain form of a typed item, with the JSON inside of `json_attributes` parsed, by their encodings.

    Raises RejectedChange where an attribute is not one that DynamoDB writes, or its JSON is not JSON.
    """
    return {
        name: parse_attribute(value, json_attributes[name], name) if name in json_attributes else value
        for name, value in ((name, plain_value(attribute, name)) for name, attribute in item.items())
    }


def plain_value(attribute: Any, path: str) -> Any:
    """Return the plain form of one typed attribute; `path` is where it stands, for the message.

    Raises RejectedChange where it is not one that DynamoDB writes.
    """
    try:
        ((descriptor, value),) = attribute.items()
        return _plain[descriptor](value, path)
    except RejectedChange:
        raise
    except (AttributeError, KeyError, TypeError, ValueError, ArithmeticError):
        reason = Reason(
            "attribute", path, "is not an attribute as DynamoDB writes it: one type descriptor and its value"
        )
        raise RejectedChange(reason) from None


def parse_attribute(value: Any, encoding: str, path: str) -> Any:
    """Return what an attribute with embedded JSON holds; what is neither text nor binary is left as it is.

    Raises RejectedChange where it is not JSON in that encoding.
    """
    if encoding == JSON:
        return parse_json(value, path) if type(value) is str else value
    if encoding == JSON_TWICE:
        once = parse_json(value, path) if type(value) is str else value
        return parse_json(once, path) if type(once) is str else once
    if not isinstance(value, str):
        return value
    try:
        if encoding == GZIP:
            value = _inflate(base64.b64decode(value, validate=True), path)
        elif isinstance(value, Binary):
            value = value.data
        return parse_json(value if type(value) is str else value.decode(), path)
    except UnicodeDecodeError as error:
        problem = f"is not JSON: it is not UTF-8 at byte {error.start}"
    except ValueError:
        problem = "is neither binary nor base64, and so not gzip"
    raise RejectedChange(Reason("json", path, problem))


def _inflate(data: bytes, path: str) -> bytes:
    """Return what one member of gzip holds (RFC 1952), so much of it as an item may have."""
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)  # 16: with the header of gzip
    try:
        inflated = unpacker.decompress(data, MAX_INFLATED + 1)
        if len(inflated) > MAX_INFLATED:
            problem = f"has more than {MAX_INFLATED:,} bytes in its gzip"
        elif not unpacker.eof:
            problem = "is gzip that ends too early"
        elif unpacker.unused_data:
            problem = "has something behind its gzip"
        else:
            return inflated
    except zlib.error:
        problem = "is not gzip"
    raise RejectedChange(Reason("json", path, problem))


def parse_json(text: str, path: str) -> Any:
    """Return what an embedded JSON text holds, numbers exact, the last of a repeated name.

    Raises RejectedChange where it is not JSON (RFC 8259: no NaN, no Infinity).
    """
    try:
        return _decode_quickly(text)
    except QUICKLY_REFUSED:
        pass  # what json takes all the same, or refuses with a reason for people
    try:
        return _decode_json(text)
    except json.JSONDecodeError as error:
        problem = f"is not JSON: {error.msg} at character {error.pos}"
    except RecursionError:
        problem = "is nested too deep"
    except (ValueError, ArithmeticError):
        problem = "is not JSON that can be kept: it has NaN, Infinity, or a number of too many digits"
    raise RejectedChange(Reason("json", path, problem))


def _refuse_constant(_name: str) -> None:
    raise ValueError


QUICKLY_REFUSED = (msgspec.MsgspecError, ArithmeticError, RecursionError, ValueError)
_decode_quickly: Callable[[str], Any] = msgspec.json.Decoder(float_hook=exact_number).decode
"""As json decodes it, where it does at all; it refuses lone surrogates, NaN, and what json refuses."""
_decode_json: Callable[[str], Any] = json.JSONDecoder(
    parse_float=exact_number, parse_constant=_refuse_constant
).decode  # made once: json.loads makes one for each text


def load_json(data: bytes) -> Any:
    """Return what `json.loads` returns, several times faster where nothing is odd. Raises what it raises."""
    try:
        return msgspec.json.decode(data)
    except QUICKLY_REFUSED:
        return json.loads(data)


def _number(text: str, _path: str) -> int | Decimal:
    if len(text) < 19 and text.isdecimal() and text.isascii():
        return int(text)
    if not NUMBER.fullmatch(text):
        raise ValueError
    return exact_number(text)


def _binary(text: str, _path: str) -> Binary:
    try:
        base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError from None
    return Binary(text)


def _string(text: str, _path: str) -> str:
    if type(text) is not str:
        raise TypeError
    return text


def _boolean(value: bool, _path: str) -> bool:
    if type(value) is not bool:
        raise TypeError
    return value


def _null(value: bool, _path: str) -> None:
    if value is not True:
        raise ValueError


def _map(value: Mapping[str, Any], path: str) -> dict[str, Any]:
    try:
        return {name: plain_value(attribute, name) for name, attribute in value.items()}
    except RejectedChange as error:
        raise _within(f"{path}.", error) from None


def _list(value: list[Any], path: str) -> list[Any]:
    try:
        return [plain_value(attribute, f"[{index}]") for index, attribute in enumerate(_array(value))]
    except RejectedChange as error:
        raise _within(path, error) from None


def _within(place: str, error: RejectedChange) -> RejectedChange:
    """Return an error with where its value stands before its paths; made only now, for names may be long, and many."""
    return RejectedChange(*(reason._replace(path=place + reason.path) for reason in error.reasons))


def _string_set(value: list[str], path: str) -> list[str]:
    return sorted(_string(member, path) for member in _array(value))


def _number_set(value: list[str], path: str) -> list[int | Decimal]:
    return sorted(_number(member, path) for member in _array(value))


def _binary_set(value: list[str], path: str) -> list[Binary]:
    return sorted((_binary(member, path) for member in _array(value)), key=lambda member: member.data)


def _array(value: list[Any]) -> list[Any]:
    if type(value) is not list:
        raise TypeError
    return value


_plain: dict[str, Callable[[Any, str], Any]] = {
    "S": _string,
    "N": _number,
    "B": _binary,
    "BOOL": _boolean,
    "NULL": _null,
    "M": _map,
    "L": _list,
    "SS": _string_set,
    "NS": _number_set,
    "BS": _binary_set,
}
