"""CloudWatch: the part of metric math that alarms are made with.

    IF(FILL(forwarded, 0) > 0 AND FILL(imported, 0) == 0, 1, 0)

Numbers, names of other queries, `+ - * /`, comparisons, `AND`, `OR`, `IF` and `FILL`. A time series has a value
for some of the periods that are looked at; where an operand has none, there is no result. `FILL` has one for each
period. What compares is 1 or 0. Anything else is refused, so that no alarm is accepted that would never ring.

Source: CloudWatch User Guide, "Using math expressions with CloudWatch metrics".
"""

import ast
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

Series: TypeAlias = dict[float, float]
"""Values by the beginning of their period."""
Value: TypeAlias = Series | float

_ARITHMETIC: dict[type, Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_COMPARISONS: dict[type, Callable[[float, float], float]] = {
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


class UnsupportedExpressionError(ValueError):
    """An expression uses what is not emulated."""


class Expression:
    """A parsed expression. Raises UnsupportedExpressionError where it is not one that can be evaluated."""

    def __init__(self, text: str) -> None:
        self.text = text
        words = re.sub(r"\b(AND|OR)\b", lambda found: found[0].lower(), text)
        try:
            self._root = ast.parse(words.strip(), mode="eval").body
        except SyntaxError as error:
            raise UnsupportedExpressionError(f"{text}: {error.msg}") from error
        self.names = {node.id for node in ast.walk(self._root) if isinstance(node, ast.Name)} - {"IF", "FILL"}
        self.evaluate(dict.fromkeys(self.names, 1.0), [0.0])

    def evaluate(self, known: Mapping[str, Value], periods: Sequence[float]) -> Value:
        """Return what the expression comes to, of these series and over these periods."""
        return _Evaluation(self.text, known, periods).of(self._root)


class _Evaluation:
    def __init__(self, text: str, known: Mapping[str, Value], periods: Sequence[float]) -> None:
        self._text = text
        self._known = known
        self._periods = periods

    def of(self, node: ast.expr) -> Value:
        match node:
            case ast.Constant(value=int() | float() as number):
                return float(number)
            case ast.Name(id=name) if name in self._known:
                return self._known[name]
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return _combine(operator.sub, 0.0, self.of(operand))
            case ast.BinOp(left=left, op=operation, right=right) if type(operation) in _ARITHMETIC:
                return _combine(_ARITHMETIC[type(operation)], self.of(left), self.of(right))
            case ast.Compare(left=left, ops=[operation], comparators=[right]) if type(operation) in _COMPARISONS:
                return _combine(_COMPARISONS[type(operation)], self.of(left), self.of(right))
            case ast.BoolOp(op=operation, values=[first, *others]):
                return self._join(all if isinstance(operation, ast.And) else any, first, others)
            case ast.Call(func=ast.Name(id="FILL"), args=[series, ast.Constant(value=int() | float() as number)]):
                return self._fill(self.of(series), float(number))
            case ast.Call(func=ast.Name(id="IF"), args=[condition, then, otherwise]):
                return self._choose(self.of(condition), self.of(then), self.of(otherwise))
        raise UnsupportedExpressionError(f"{self._text}: {ast.unparse(node)} is not emulated")

    def _join(self, how: Callable[[list[float]], bool], first: ast.expr, others: list[ast.expr]) -> Value:
        value = self.of(first)
        for other in others:
            value = _combine(lambda left, right: float(how([left, right])), value, self.of(other))
        return value

    def _fill(self, series: Value, number: float) -> Value:
        return {period: series.get(period, number) for period in self._periods} if isinstance(series, dict) else series

    def _choose(self, condition: Value, then: Value, otherwise: Value) -> Value:
        if not isinstance(condition, dict):
            return then if condition else otherwise
        chosen = {period: then if truth else otherwise for period, truth in condition.items()}
        values = {period: value.get(period) if isinstance(value, dict) else value for period, value in chosen.items()}
        return {period: value for period, value in values.items() if value is not None}


def _combine(operation: Callable[[float, float], Any], left: Value, right: Value) -> Value:
    """Apply an operation period by period; a division by zero has no result."""
    if not isinstance(left, dict) and not isinstance(right, dict):
        return float(operation(left, right))
    periods = [value.keys() for value in (left, right) if isinstance(value, dict)]
    combined = {}
    for period in set(periods[0]).intersection(*periods[1:]):
        pair = [value[period] if isinstance(value, dict) else value for value in (left, right)]
        try:
            combined[period] = float(operation(*pair))
        except ZeroDivisionError:
            continue
    return combined
