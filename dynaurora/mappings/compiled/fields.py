"""Fields: for a column and a kind of value, the code that writes the column's field; of JSON, the value to be written.

    text      a string                                   a `str` that has no lone surrogate
    digits    a number as DynamoDB writes it             a `str`
    bytes     binary                                     `bytes`
    string, integer, boolean                             of embedded JSON
    plain     any plain value (`dynaurora.dynamodb.attributes`)   UNSET where there is none

The code may only write what the column's own encoder would (`dynaurora.mappings.columns`). Where it is not sure it
raises Unsure, or whatever the encoder raises, and the plain modules decide.
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from dataclasses import dataclass
from decimal import DecimalException
from typing import TYPE_CHECKING, Any

import msgspec
from jmespath.exceptions import JMESPathError

from dynaurora.dynamodb.attributes import parse_attribute, parse_json
from dynaurora.errors import RejectedChange
from dynaurora.mappings.columns import INTEGER_BITS, TEXT_BYTES
from dynaurora.mappings.compiled.schemas import MAX_COMPILED_DEPTH, BrokenError, is_deep

if TYPE_CHECKING:
    from collections.abc import Callable

    from dynaurora.mappings.target_columns import Column

WHOLE_DIGITS = r"(?!-0\Z)-?(?:0|[1-9][0-9]{0,%d})"
PLAIN_NUMBER = re.compile(rf"{WHOLE_DIGITS % 64}(?:\.[0-9]{{0,63}}[1-9])?").fullmatch
"""Numbers that are written as they would be here: no exponent, no zeros at either end, no plus, no minus zero."""
FRACTION = r"-?(?:[1-9][0-9]*|0(?=\.0{0,3}[1-9]))\.[0-9]*[1-9]"
FEW_DIGITS = r"(?=.{1,15}\Z|-?(?:[0-9]\.?){1,15}\Z)"
SHORT_NUMBER = re.compile(rf"{FEW_DIGITS}(?:{WHOLE_DIGITS % 14}|{FRACTION})").fullmatch
"""Plain numbers of at most 15 digits and not below 0.0001: a double keeps them, and prints as they are written."""
JSON_NUMBER = re.compile(rf"{WHOLE_DIGITS % 17}|{FEW_DIGITS}{FRACTION}").fullmatch
"""Plain numbers that MySQL's JSON keeps as they are written: integers of 64 bits, and short fractions."""
JSON_WHOLE_NUMBER = re.compile(WHOLE_DIGITS % 17).fullmatch
"""Those of them that are whole."""
JSON_NATURAL_NUMBERS = re.compile(r"{0}(?:,{0})*+".format(r"(?:0|[1-9][0-9]{0,17}+)")).fullmatch
"""Several of them that are not negative, with commas between them."""
DAYS_OF_MONTHS = r"(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31"
"""Those that every year has."""
MAX_INT64 = 2**63 - 1


class Unsure(Exception):
    """The record has to be mapped by the plain modules."""


REFUSALS = (
    ArithmeticError,
    AttributeError,
    BrokenError,
    DecimalException,
    JMESPathError,
    LookupError,
    RecursionError,
    RejectedChange,
    TypeError,
    Unsure,
    ValueError,
    msgspec.MsgspecError,
)
"""What the code raises where the plain modules have to decide."""


@dataclass
class Code:
    """The code of one field."""

    lines: list[str]
    """Statements that come before."""
    field: str
    """The expression of the field, a `str`; of a JSON column, of its JSON value."""
    names: dict[str, Any]
    """What it uses."""
    how: str = "in place"
    """For people."""


def text_field(column: Column, value: str, number: int) -> Code:
    """Return the code for a string; its length in characters is the type's to limit (`characters_of`)."""
    kind = column.type.kind
    if kind == "VARCHAR":
        return Code([], value, {})
    if kind in TEXT_BYTES:
        size = TEXT_BYTES[kind]
        line = f"if len({value}) > {size // 4} and len({value}.encode()) > {size}: raise Unsure"
        return Code([line], value, {})
    if kind == "JSON":
        return Code([], value, {})
    if kind in {"DATE", "DATETIME", "TIMESTAMP"} and column.type.epoch is None:
        names = {f"moment{number}": moment_pattern(column), f"encode{number}": column.type.encode}
        plain = value if kind == "DATE" else f"{value}.replace('T', ' ').rstrip('Z')"
        return Code(
            [f"m{number} = {plain} if moment{number}({value}) else encode{number}({value})"], f"m{number}", names
        )
    return encoded_field(column, value, number)


def moment_pattern(column: Column) -> Callable[[str], Any]:
    """Return what matches the dates or times that any calendar has, and that are written by their parts."""
    years = "(?:19[89][0-9]|20[0-2][0-9])" if column.type.kind == "TIMESTAMP" else "[1-9][0-9]{3}"
    day = rf"{years}-(?:{DAYS_OF_MONTHS})"
    if column.type.kind == "DATE":
        return re.compile(day).fullmatch
    options: dict[str, int] = column.type.encode.keywords  # type: ignore[attr-defined]
    digits = options["fraction"]
    fraction = rf"(?:\.[0-9]{{0,{digits - 1}}}[1-9])?" if digits else ""
    return re.compile(rf"{day}[T ](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]{fraction}Z?").fullmatch


def document_field(_column: Column, value: str, _number: int) -> Code:
    """Return the code for what is a JSON value already."""
    return Code([], value, {})


def characters_of(column: Column) -> int | None:
    """Return how many characters a string for a column may have, where its type can say it."""
    return column.type.key_bytes // 4 if column.type.kind == "VARCHAR" and column.type.key_bytes else None


def digits_field(column: Column, value: str, number: int) -> Code:
    """Return the code for a number as DynamoDB writes it."""
    kind, name = column.type.kind, f"match{number}"
    if kind in INTEGER_BITS:
        low, high = bounds_of(column)
        lines = [f"n = int({value})", f"if str(n) != {value} or not {low} <= n <= {high}: raise Unsure"]
        return Code(lines, value, {})
    if kind == "DECIMAL":
        return Code([f"if not {name}({value}): raise Unsure"], value, {name: decimal_pattern(column)})
    if kind == "DOUBLE":
        written = f"({value} if '.' in {value} else {value} + '.0')"
        return Code([f"if not {name}({value}): raise Unsure"], written, {name: SHORT_NUMBER})
    if kind == "JSON":
        return Code([f"if not {name}({value}): raise Unsure"], f"Raw({value})", {name: JSON_NUMBER})
    limit = characters_of(column) or TEXT_BYTES[kind]
    line = f"if len({value}) > {limit} or not {name}({value}): raise Unsure"
    return Code([line], value, {name: PLAIN_NUMBER})


def decimal_pattern(column: Column) -> Callable[[str], Any]:
    """Return what matches the numbers that a DECIMAL takes, written as they would be here."""
    options: dict[str, int] = column.type.encode.keywords  # type: ignore[attr-defined]
    before, behind = options["digits"] - options["scale"], options["scale"]
    whole = WHOLE_DIGITS % (before - 1) if before else r"-?0"
    fraction = rf"\.[0-9]{{0,{behind - 1}}}[1-9]" if behind else ""
    return re.compile(f"{whole}(?:{fraction})" + ("?" if before else "")).fullmatch


def bounds_of(column: Column) -> tuple[int, int]:
    """Return the range of an integer column."""
    options: dict[str, int] = column.type.encode.keywords  # type: ignore[attr-defined]
    return options["low"], options["high"]


def bytes_field(column: Column, value: str, number: int) -> Code:
    """Return the code for binary."""
    del number
    options: dict[str, int] = column.type.encode.keywords  # type: ignore[attr-defined]
    line = f"if len({value}) > {options['size']}: raise Unsure"
    return Code([line], f"base64({value}, newline=False).decode()", {"base64": b2a_base64})


def boolean_field(column: Column, value: str, number: int) -> Code:
    """Return the code for a boolean."""
    if column.type.kind == "BOOLEAN":
        return Code([], f"('1' if {value} else '0')", {})
    if column.type.kind == "JSON":
        return Code([], value, {})
    return encoded_field(column, value, number)


def integer_field(column: Column, value: str, number: int) -> Code:
    """Return the code for a whole number of embedded JSON; its range is the type's to limit (`bounds_of`)."""
    if column.type.kind in INTEGER_BITS and bounds_of(column)[1] <= MAX_INT64:
        return Code([], f"str({value})", {})
    return encoded_field(column, value, number)


def time_field(column: Column, value: str, number: int) -> Code:
    """Return the code for the time of a change, a whole number."""
    if column.type.kind not in INTEGER_BITS:
        return encoded_field(column, value, number)
    low, high = bounds_of(column)
    return Code([f"if not {low} <= {value} <= {high}: raise Unsure"], f"str({value})", {})


def encoded_field(column: Column, value: str, number: int) -> Code:
    """Return the code for any plain value: the column's own encoder, or what writes JSON as that does."""
    name = "write_plain" if column.type.kind == "JSON" else f"encode{number}"
    names = {} if column.type.kind == "JSON" else {name: column.type.encode}
    return Code([], f"{name}({value})", names, "by its column's encoder")


def parse_encoded(value: Any, encoding: str, name: str) -> Any:
    """Return what an attribute with embedded JSON holds in another encoding. Raises as `parse_embedded` does."""
    value = parse_attribute(value, encoding, name)
    if (type(value) is dict or type(value) is list) and is_deep(value):
        raise Unsure
    return value


def parse_embedded(text: str, name: str) -> Any:
    """Return what an embedded JSON text holds. Raises RejectedChange, or Unsure where it is nested deep."""
    value = parse_json(text, name)
    if len(text) > MAX_COMPILED_DEPTH and (type(value) is dict or type(value) is list) and is_deep(value):
        raise Unsure
    return value
