"""JSON fields: any plain value as text that a MySQL JSON column keeps exactly, or a misfit."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from dynaurora.dynamodb.attributes import exact_number, spell_number
from dynaurora.mappings.misfits import check_unicode, misfit

JSON_DEPTH = 100
"""MySQL refuses JSON nested deeper (ER_JSON_DOCUMENT_TOO_DEEP)."""
JSON_NAME_BYTES = 2**16 - 1
"""MySQL refuses a longer name in a JSON object (ER_JSON_KEY_TOO_BIG)."""
JSON_DIGITS = 15
JSON_FRACTION = 22
"""Both bound what MySQL's JSON parser reads without rounding: a product or quotient of two exact doubles, digits below
2^53 and a power of ten up to 10^22."""


def encode_json(value: Any) -> str:
    """Return any plain value as JSON text, the members of objects sorted by name: DynamoDB gives them no order.

    MySQL keeps JSON numbers as 64-bit integers or doubles, and reads a double's digits at normal precision: the last
    of 16 or 17 may change. So integers of 64 bits stay numbers, and so do fractions of at most 15 significant digits
    and 22 places; any other number is written as a string, in the spelling that text columns have.
    """
    text = _write_json(exact_json(value))
    check_unicode(text)
    return text


_write_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode


def exact_json(value: Any, depth: int = 1) -> Any:
    """Return a plain value with its numbers in forms that a MySQL JSON column keeps exactly."""
    if depth > JSON_DEPTH:
        misfit("depth", f"is nested deeper than {JSON_DEPTH} levels")
    if type(value) is dict:
        check_names(value)
        return {name: exact_json(member, depth + 1) for name, member in value.items()}
    if type(value) is list:
        return [exact_json(member, depth + 1) for member in value]
    if type(value) is int and not -(2**63) <= value < 2**64:
        return spell_number(value)
    if type(value) is Decimal:
        return float(value) if survives_json(value) else spell_number(value)
    return value


def exact_json_numbers(value: Any) -> Any:
    """Return parsed JSON with its numbers as a plain value has them: whole where they are whole."""
    if isinstance(value, float | Decimal):
        return exact_number(str(value))
    if isinstance(value, list):
        return [exact_json_numbers(member) for member in value]
    if isinstance(value, dict):
        return {name: exact_json_numbers(member) for name, member in value.items()}
    return value


def check_names(members: dict[str, Any]) -> None:
    """Refuse an object with a name that MySQL's JSON does not take."""
    for name in members:
        check_unicode(name)
        if len(name) * 4 > JSON_NAME_BYTES and (length := len(name.encode())) > JSON_NAME_BYTES:
            misfit("length", f"has a name of {length} bytes, and JSON takes names of {JSON_NAME_BYTES}")


def survives_json(number: Decimal) -> bool:
    """Return whether every MySQL reads the number from JSON without changing a digit."""
    _, figures, exponent = number.as_tuple()
    assert isinstance(exponent, int)  # noqa: S101 (a number, never NaN or infinite)
    significant = len("".join(map(str, figures)).strip("0"))
    return significant <= JSON_DIGITS and significant_scale(number) <= JSON_FRACTION and exponent <= 0


def significant_scale(number: Decimal) -> int:
    """Return how many digits behind the point a number needs."""
    _, figures, exponent = number.as_tuple()
    assert isinstance(exponent, int)  # noqa: S101 (a number, never NaN or infinite)
    trailing_zeros = len(figures) - len("".join(map(str, figures)).rstrip("0"))
    return max(0, -exponent - trailing_zeros) if any(figures) else 0
