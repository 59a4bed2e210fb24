"""Expressions: JMESPath with exact numbers, and checked before it meets a record.

JMESPath's own numbers are doubles. Here a literal is an int or a Decimal, as an item's numbers are; the functions on
numbers take both, and none of them answers with a float. (JMESPath Specification, "Built-in Functions".)
"""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal, Inexact, InvalidOperation, Overflow, localcontext
from functools import cache
from typing import TYPE_CHECKING, Any

import jmespath
from jmespath.functions import Functions, signature
from jmespath.parser import ParsedResult

from dynaurora.dynamodb.attributes import NUMBER, exact_number
from dynaurora.mappings.columns import encode_json, to_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Node = dict[str, Any]

Number = int | Decimal

EXACT_ARITHMETIC = Context(prec=1000, traps=[Inexact, InvalidOperation, Overflow])
"""For functions that calculate: enough digits for the exact sum of any numbers that DynamoDB holds, 38 digits and 255
orders of magnitude apart. Embedded JSON may have others, and what would then be rounded has no value."""
QUOTIENT = Context(prec=38, traps=[])
"""For means: as many digits as DynamoDB's numbers have."""


class InvalidExpressionError(ValueError):
    """An expression that is not JMESPath, or that no record could have a value by."""


@cache
def compile_expression(expression: str) -> Callable[[Any], Any]:
    """Return what finds an expression's value in a plain value.

    Raises InvalidExpressionError where it is not JMESPath, calls a function that is not there or with another number
    of arguments than it takes, or has a literal that is no number (NaN, Infinity).
    """
    try:
        tree: Any = jmespath.compile(expression).parsed
    except ValueError as error:  # of JMESPath, or of a number with too many digits
        raise InvalidExpressionError(f"{expression!r} is not JMESPath: {error}") from error
    for node in _nodes(tree):
        if node["type"] == "function_expression":
            _check_call(node["value"], len(node["children"]))
    return compile_tree(tree)


def compile_tree(tree: Node) -> Callable[[Any], Any]:
    """Return what finds the value of an expression, or of a part of one, by its syntax tree, which was checked."""
    compiled = ParsedResult("", _exact_tree(tree))
    options = jmespath.Options(custom_functions=ExactFunctions())

    def find(value: Any) -> Any:
        with localcontext(EXACT_ARITHMETIC):
            return compiled.search(value, options)

    return find


def _check_call(name: str, arguments: int) -> None:
    known = ExactFunctions.FUNCTION_TABLE.get(name)
    if known is None:
        raise InvalidExpressionError(f"{name}() is not a function of JMESPath")
    wanted = len(known["signature"])
    variadic = known["signature"] and known["signature"][-1].get("variadic")
    if arguments < wanted or (arguments > wanted and not variadic):
        least = "at least " if variadic else ""
        raise InvalidExpressionError(f"{name}() takes {least}{wanted} arguments, and is given {arguments}")


def _nodes(node: Node) -> Iterator[Node]:
    yield node
    for child in node["children"]:
        if isinstance(child, dict):  # a slice has its bounds for children
            yield from _nodes(child)


def _exact_tree(node: Node) -> Any:
    """Return a copy of a syntax tree, which the library shares, with the floats of its literals made exact."""
    children = [_exact_tree(child) if isinstance(child, dict) else child for child in node["children"]]
    value = _exact_literal(node["value"]) if node["type"] == "literal" else node.get("value")
    return node | {"children": children} | ({"value": value} if "value" in node else {})


def _exact_literal(value: Any) -> Any:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidExpressionError("NaN and Infinity are no numbers")
        # The shortest digits that make this double: up to 15, and mostly up to 17, they are those that were written.
        return exact_number(repr(value))
    if isinstance(value, list):
        return [_exact_literal(member) for member in value]
    if isinstance(value, dict):
        return {name: _exact_literal(member) for name, member in value.items()}
    return value


class ExactFunctions(Functions):
    """JMESPath's functions, taking Decimals for numbers and never answering with a float."""

    def _get_allowed_pytypes(self, types: Iterable[str]) -> tuple[list[str], list[tuple[str, ...]]]:
        allowed, subtypes = super()._get_allowed_pytypes(types)  # type: ignore[misc]
        return _with_decimal(allowed), [tuple(_with_decimal(subtype)) for subtype in subtypes]

    def _convert_to_jmespath_type(self, pyobject: str) -> str:
        return "number" if pyobject == "Decimal" else str(super()._convert_to_jmespath_type(pyobject))  # type: ignore[misc]

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
        """Return a number as it is and text's number exactly; of anything else, null."""
        if type(value) is int or type(value) is Decimal:
            return value
        return exact_number(value) if type(value) is str and NUMBER.fullmatch(value) else None

    @signature({"types": []})
    def _func_to_string(self, value: Any) -> str:
        """Return text as it is, a number's digits, and of anything else its JSON."""
        if isinstance(value, str) or type(value) is int or type(value) is Decimal:
            return to_text(value)
        return encode_json(value)

    @signature({"types": []})
    def _func_type(self, value: Any) -> str:
        return "number" if type(value) is Decimal else str(super()._func_type(value))  # type: ignore[misc]


def _with_decimal(names: Iterable[str]) -> list[str]:
    names = list(names)
    return [*names, "Decimal"] if "int" in names else names
