"""Functions of expressions: JMESPath's own with exact numbers, and those on text.

Names and meanings of the functions on text are those of JMESPath's community edition (JEP-014, "String functions")
where it has them. Of nothing (null) they make nothing. Of text they make no more than `MAX_MADE` characters an item,
in time that grows with what they are given and make.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal, Inexact, localcontext
from typing import TYPE_CHECKING, Any, Final

from jmespath.functions import Functions, signature

from dynaurora.dynamodb.attributes import NUMBER, describe, exact_number
from dynaurora.mappings.columns import to_text
from dynaurora.mappings.json_fields import encode_json

if TYPE_CHECKING:
    from collections.abc import Iterable

Number = int | Decimal

QUOTIENT = Context(prec=38, traps=[])
"""For means: as many digits as DynamoDB's numbers have."""
MAX_MADE: Final = 4 * 2**20
"""Characters that functions on text make of one item: ten times what an item can hold."""
MOST_ARGUMENTS: Final = {"substring": 3}
"""Of functions whose last argument may be left out."""


class NoValueError(ValueError):
    """An expression has no value of an item; the message says why, and never a value."""


class ExactFunctions(Functions):
    """JMESPath's functions, taking Decimals for numbers and never answering with a float, and functions on text."""

    def __init__(self) -> None:
        self.made = 0
        """Characters made so far, of the item that the expression is evaluated for."""

    def _make(self, characters: int) -> None:
        self.made += characters
        if self.made > MAX_MADE:
            raise NoValueError(f"its functions would make more than {MAX_MADE:,} characters")

    def _get_allowed_pytypes(self, types: Iterable[str]) -> tuple[list[str], list[tuple[str, ...]]]:
        allowed, subtypes = super()._get_allowed_pytypes(types)  # type: ignore[misc]
        return _with_decimal(allowed), [tuple(_with_decimal(subtype)) for subtype in subtypes]

    def _convert_to_jmespath_type(self, pyobject: str) -> str:
        return "number" if pyobject == "Decimal" else str(super()._convert_to_jmespath_type(pyobject))  # type: ignore[misc]

    # Numbers

    @signature({"types": ["array-number"]})
    def _func_avg(self, numbers: list[Number]) -> Number | None:
        """Return the mean: exact where 38 digits hold it, otherwise in the digits of the nearest double."""
        if not numbers:
            return None
        total = Decimal(sum(numbers))
        with localcontext(QUOTIENT) as context:
            mean = total / len(numbers)
            return exact_number(repr(float(mean)) if context.flags[Inexact] else str(mean))

    @signature({"types": ["number"]})
    def _func_ceil(self, number: Number) -> Number:
        return exact_number(str(Decimal(number).to_integral_value(ROUND_CEILING)))

    @signature({"types": ["number"]})
    def _func_floor(self, number: Number) -> Number:
        return exact_number(str(Decimal(number).to_integral_value(ROUND_FLOOR)))

    @signature({"types": ["array-number"]})
    def _func_sum(self, numbers: list[Number]) -> Number:
        """Return the sum, an int where it is whole: that of 2.5 and 0.5 fits a column of integers."""
        total = sum(numbers)
        return exact_number(str(total)) if isinstance(total, Decimal) else total

    @signature({"types": []})
    def _func_to_number(self, value: Any) -> Number | None:
        """Return a number as it is, text's number exactly, and of nothing nothing; refuse what is no number."""
        if value is None or type(value) is int or type(value) is Decimal:
            return value
        if type(value) is not str:
            raise NoValueError(f"to_number() takes text or a number, and is given {describe(value)}")
        if not NUMBER.fullmatch(value):
            raise NoValueError(f"to_number() is given text of {len(value)} characters that is no number")
        return exact_number(value)

    # Text

    @signature({"types": []})
    def _func_to_string(self, value: Any) -> str:
        """Return text as it is, a number's digits, and of anything else its JSON."""
        if isinstance(value, str) or type(value) is int or type(value) is Decimal:
            return to_text(value)
        return encode_json(value)

    @signature({"types": []})
    def _func_type(self, value: Any) -> str:
        return "number" if type(value) is Decimal else str(super()._func_type(value))  # type: ignore[misc]

    @signature({"types": ["string"]}, {"types": ["array-string"]})
    def _func_join(self, separator: str, texts: list[str]) -> str:
        """Return texts with a separator between each two."""
        self._make(len(separator) * max(0, len(texts) - 1) + sum(map(len, texts)))
        return separator.join(texts)

    @signature({"types": ["string", "number", "null"], "variadic": True})
    def _func_concat(self, *parts: Any) -> str | None:
        """Return texts and numbers one after the other; nothing where one of them is not there."""
        if None in parts:
            return None
        texts = [to_text(part) for part in parts]
        self._make(sum(map(len, texts)))
        return "".join(texts)

    @signature({"types": ["string", "null"]})
    def _func_lower(self, text: str | None) -> str | None:
        return None if text is None else self._made(text.lower())

    @signature({"types": ["string", "null"]})
    def _func_upper(self, text: str | None) -> str | None:
        return None if text is None else self._made(text.upper())

    @signature({"types": ["string", "null"]})
    def _func_trim(self, text: str | None) -> str | None:
        """Return text without white space at both ends."""
        return None if text is None else self._made(text.strip())

    @signature({"types": ["string", "null"]}, {"types": ["string"]})
    def _func_split(self, text: str | None, separator: str) -> list[str] | None:
        """Return the parts of text between separators, all of it where there is none."""
        if text is None:
            return None
        if not separator:
            raise NoValueError("split() takes a separator of at least one character")
        self._make(len(text))
        return text.split(separator)

    @signature({"types": ["string", "null"]}, {"types": ["string"]}, {"types": ["string"]})
    def _func_replace(self, text: str | None, old: str, new: str) -> str | None:
        """Return text with one part of it replaced wherever it is."""
        if text is None:
            return None
        if not old:
            raise NoValueError("replace() takes a text to be replaced of at least one character")
        self._make(len(text) + text.count(old) * (len(new) - len(old)))
        return text.replace(old, new)

    @signature({"types": ["string", "null"]}, {"types": ["number"], "variadic": True})
    def _func_substring(self, text: str | None, start: Number, end: Number | None = None) -> str | None:
        """Return the characters from a place, counted from 0, to before another, negative from the end."""
        if text is None:
            return None
        if type(start) is not int or not (end is None or type(end) is int):
            raise NoValueError("substring() takes whole numbers")
        return self._made(text[start:end])

    def _made(self, text: str) -> str:
        self._make(len(text))
        return text


def _with_decimal(names: Iterable[str]) -> list[str]:
    names = list(names)
    return [*names, "Decimal"] if "int" in names else names
