"""Expressions: JMESPath with exact numbers, and checked before it meets a record.

JMESPath's own numbers are doubles. Here a literal is an int or a Decimal, as an item's numbers are; the functions on
numbers take both, and none of them answers with a float. (JMESPath Specification, "Built-in Functions".) An answer of
null that is there only because a step came upon a value of another type is no answer: NULL would hide what is there.
"""

from __future__ import annotations

import json
import math
import re
from decimal import Context, Inexact, InvalidOperation, Overflow, localcontext
from functools import cache
from math import prod
from typing import TYPE_CHECKING, Any, Final

import jmespath
from jmespath.visitor import TreeInterpreter

from dynaurora.dynamodb.attributes import describe, exact_number
from dynaurora.mappings.functions import MOST_ARGUMENTS, ExactFunctions, NoValueError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Node = dict[str, Any]

EXACT_ARITHMETIC = Context(prec=1000, traps=[Inexact, InvalidOperation, Overflow])
"""For functions that calculate: enough digits for the exact sum of any numbers that DynamoDB holds, 38 digits and 255
orders of magnitude apart. Embedded JSON may have others, and what would then be rounded has no value."""
MAX_GROWTH: Final = 16
"""How many times the size of an item an expression's value may have."""
ESCAPED_GROWTH: Final = 2
"""How many times the size of a text its JSON may have, which escapes quotes and backslashes."""
FORKS: Final = {"multi_select_dict", "multi_select_list"}
CHOICES: Final = {"or_expression", "and_expression", "comparator"}
"""Kinds of JMESPath's nodes of whose children one is the value, or none."""
UNQUOTED = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
ODD_NAMES = re.compile(r"[^\[\]()|&!'\"`*@{},<>=]+")
"""What may be meant as names with points between them."""


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
        raise InvalidExpressionError(f"{expression!r} is not JMESPath: {error}{_suggest(expression)}") from error
    for node in _nodes(tree):
        if node["type"] == "function_expression":
            _check_call(node["value"], len(node["children"]))
    return compile_tree(tree, reaches=True)


def compile_tree(tree: Node, *, reaches: bool = False) -> Callable[[Any], Any]:
    """Return what finds the value of an expression, or of a part of one, by its syntax tree, which was checked.

    Where it `reaches`, it fails of an item that it only gives null for because a value was out of its reach.
    """
    exact, functions = _exact_tree(tree), ExactFunctions()
    options = jmespath.Options(custom_functions=functions)

    def find(value: Any) -> Any:
        interpreter, functions.made = _Interpreter(options), 0
        with localcontext(EXACT_ARITHMETIC):
            found = interpreter.visit(exact, value)
        if reaches and found is None and interpreter.obstacle:
            raise NoValueError(interpreter.obstacle)
        return found

    return find


def _suggest(expression: str) -> str:
    """Return how an expression is written that may be meant as names, quoted where they have to be."""
    names = expression.split(".")
    if not ODD_NAMES.fullmatch(expression) or not all(names) or all(map(UNQUOTED.fullmatch, names)):
        return ""
    quoted = ".".join(name if UNQUOTED.fullmatch(name) else f'"{name}"' for name in names)
    return f". A name of other characters is quoted: {quoted}, in JSON {json.dumps(quoted)}"


class _Interpreter(TreeInterpreter):
    """JMESPath's interpreter, which remembers the first value that a step of the expression could not go into."""

    obstacle = ""

    def visit_field(self, node: Any, value: Any) -> Any:
        if type(value) is dict:
            return value.get(node["value"])
        return self._stop(value, f"has no {node['value']}")

    def visit_index(self, node: Any, value: Any) -> Any:
        return super().visit_index(node, value) if type(value) is list else self._stop(value, "has no elements")

    def visit_slice(self, node: Any, value: Any) -> Any:
        if type(value) is str:
            return self._stop(value, "has no elements: substring() cuts text")
        return super().visit_slice(node, value) if type(value) is list else self._stop(value, "has no elements")

    def visit_projection(self, node: Any, value: Any) -> Any:
        return super().visit_projection(self._with_base(node, value, list), value)

    def visit_filter_projection(self, node: Any, value: Any) -> Any:
        base, projected, condition = self._with_base(node, value, list)["children"]
        condition = {"type": "condition", "children": [condition]}
        return super().visit_filter_projection(node | {"children": [base, projected, condition]}, value)

    def visit_condition(self, node: Any, value: Any) -> Any:
        """Return what chooses elements; what it comes upon does not stand in the way of the answer."""
        obstacle = self.obstacle
        chosen = self.visit(node["children"][0], value)
        self.obstacle = obstacle
        return chosen

    def visit_flatten(self, node: Any, value: Any) -> Any:
        return super().visit_flatten(self._with_base(node, value, list), value)

    def visit_value_projection(self, node: Any, value: Any) -> Any:
        return super().visit_value_projection(self._with_base(node, value, dict), value)

    def _with_base(self, node: Any, value: Any, kind: type) -> Any:
        """Return a projection of a value that is found already, and has to be of a kind."""
        base, *rest = node["children"]
        found = self.visit(base, value)
        if type(found) is not kind:
            self._stop(found, "has no elements" if kind is list else "has no members")
        return node | {"children": [{"type": "literal", "children": [], "value": found}, *rest]}

    def _stop(self, value: Any, lack: str) -> None:
        if value is not None and not self.obstacle:
            self.obstacle = f"comes upon {describe(value)}, which {lack}"


def _check_call(name: str, arguments: int) -> None:
    known = ExactFunctions.FUNCTION_TABLE.get(name)
    if known is None:
        raise InvalidExpressionError(f"{name}() is not a function of JMESPath")
    wanted = len(known["signature"])
    variadic = known["signature"] and known["signature"][-1].get("variadic")
    most = MOST_ARGUMENTS.get(name, math.inf if variadic else wanted)
    if not wanted <= arguments <= most:
        least = "at least " if most == math.inf else f"{wanted} to " if most > wanted else ""
        wanted = wanted if most == math.inf else int(most)
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


def measure_growth(node: dict[str, Any]) -> int:
    """Return how many times the size of an item an expression's value may have, by its parsed tree."""
    inner = [measure_growth(child) for child in node["children"] if isinstance(child, dict)]
    kind = node["type"]
    if kind in FORKS or kind == "function_expression":
        return max(sum(inner), 1) * (ESCAPED_GROWTH if node.get("value") == "to_string" else 1)
    return max(inner) if kind in CHOICES else prod(inner)
