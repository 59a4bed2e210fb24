"""DynamoDB: updates add and subtract exactly, to the 38 digits that a number can have.

The emulator rounds sums to 28 digits, and transactions store them however they come out. A sum that needs more than 38
digits, or whose magnitude is out of range, fails the update (developer guide, "Supported data types": exceeding the
precision results in an exception). Others have seen AWS call both a number overflow.

What is not a number cannot be added or subtracted. The emulator takes the left operand for the sum.
"""

import decimal
from typing import Any

from ministack.services import dynamodb

from local.emulator.item_values import normalize
from local.emulator.replacements import Replacements

EXACT = decimal.Context(prec=300)
"""Enough for 9.9E+125 + 1E-130."""


def install(emulator: Replacements) -> None:
    """Plan the replacements of sums."""
    module = dynamodb.__name__
    emulator.wrap(
        module,
        "_apply_update_expression",
        "(item, expr, attr_values, attr_names, updated_attrs=None)",
        _update_exactly,
    )
    emulator.wrap(module, "_apply_attribute_updates", "(item, attribute_updates)", _update_attributes_exactly)
    emulator.require(module, "_find_matching_paren", "(tokens, start)")
    emulator.wrap(module, "_eval_set_value", "(tokens, item, attr_values, attr_names)", _refuse_other_operands)
    emulator.wrap(module, "_pq_eval", "(node, item)", _evaluate_exactly)


def find_error(value: Any) -> str | None:
    """Return why a value that an update made cannot be stored; None where it can, its numbers being normalized."""
    error: str | None = dynamodb._attribute_value_error(value)
    if error is None:
        normalize(value)
    return dynamodb._NUM_OVERFLOW if error == dynamodb._NUM_DIGITS else error


def _update_exactly(original: Any) -> Any:
    def apply(item: Any, expr: str, attr_values: Any, attr_names: Any, updated_attrs: Any = None) -> Any:
        with decimal.localcontext(EXACT):
            item, updated = original(item, expr, attr_values, attr_names, updated_attrs)
        for name in {path[0] for path in updated}:
            if error := find_error(item.get(name)):
                raise ValueError(error)
        return item, updated

    return apply


def _update_attributes_exactly(original: Any) -> Any:
    """Do the same for ``AttributeUpdates``, the older form of updates."""

    def apply(item: Any, attribute_updates: Any) -> Any:
        with decimal.localcontext(EXACT):
            item = original(item, attribute_updates)
        for name in attribute_updates:
            if error := find_error(item.get(name)):
                raise dynamodb._AttributeUpdatesValidationError(error)
        return item

    return apply


def _refuse_other_operands(original: Any) -> Any:
    def evaluate(tokens: list[Any], item: Any, attr_values: Any, attr_names: Any) -> Any:
        for operand in _find_operands(tokens):
            value = evaluate(operand, item, attr_values, attr_names)
            if not isinstance(value, dict) or "N" not in value:
                raise ValueError("An operand in the update expression has an incorrect data type")
        return original(tokens, item, attr_values, attr_names)

    return evaluate


def _find_operands(tokens: list[Any]) -> list[list[Any]]:
    """Return the two operands of a sum or a difference; none where the tokens are something else."""
    while len(tokens) > 1 and tokens[0][0] == "LPAREN" and dynamodb._find_matching_paren(tokens, 0) == len(tokens) - 1:
        tokens = tokens[1:-1]
    depth = 0
    for position, (kind, *_) in enumerate(tokens):
        depth += {"LPAREN": 1, "RPAREN": -1}.get(kind, 0)
        if kind in {"PLUS", "MINUS"} and not depth and position:
            return [tokens[:position], tokens[position + 1 :]]
    return []


def _evaluate_exactly(original: Any) -> Any:
    """Do the same for PartiQL."""

    def evaluate(node: Any, item: Any) -> Any:
        with decimal.localcontext(EXACT):
            value = original(node, item)
        if node[0] == "arith" and (error := find_error(value)):
            raise ValueError(error)
        return value

    return evaluate
