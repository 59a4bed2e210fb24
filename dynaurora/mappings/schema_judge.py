"""Judging: what a mapping's JSON Schema says of a plain item.

`jsonschema` is the reference, for verdicts and for reasons. Most schemas are compiled when a mapping is loaded, to
checks that say the same in a fraction of the time (`dynaurora.mappings.compiled.schemas`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import localcontext
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from dynaurora.errors import Reason
from dynaurora.mappings.compiled.schemas import NotCompilableError, compile_schema, find_reasons, is_deep
from dynaurora.mappings.keywords import describe_format
from dynaurora.mappings.reasons import NOT_ALLOWED, breaks, choose_branch, name_types, wrong_type

if TYPE_CHECKING:
    from jsonschema import ValidationError

    from dynaurora.mappings.mapping import Mapping
    from dynaurora.mappings.reasons import Told

Judge = Callable[[dict[str, Any]], list[Reason]]
"""From a plain item to the first reasons why the schema refuses it: none where it takes it.

Raises ArithmeticError where a number is beyond judging, RecursionError where the item is nested too deep."""

MAX_REASONS = 20
"""As many as a person reads; a record with more is as wrong."""
SCHEMA_PRECISION = 1000
"""Digits for `multipleOf`, the one keyword that calculates: enough for the quotient of any two numbers that DynamoDB
holds, 38 digits and 255 orders of magnitude apart."""


def make_judge(mapping: Mapping) -> Judge:
    """Return the judge of a mapping's items: compiled where its schema can be."""
    reference = make_reference_judge(mapping)
    try:
        check = compile_schema(mapping.schema)
    except NotCompilableError:
        return reference

    divides = "multipleOf" in json.dumps(mapping.schema, default=str)

    def judge(item: dict[str, Any]) -> list[Reason]:
        if is_deep(item):
            return reference(item)
        if not divides:
            return find_reasons(check, item, MAX_REASONS)
        with localcontext(prec=SCHEMA_PRECISION):
            return find_reasons(check, item, MAX_REASONS)

    return judge


def make_reference_judge(mapping: Mapping) -> Judge:
    """Return the judge that `jsonschema` is."""

    def judge(item: dict[str, Any]) -> list[Reason]:
        with localcontext(prec=SCHEMA_PRECISION):
            told = (each for error in mapping.validator.iter_errors(item) for each in explain(error))
            return [Reason(rule, ".".join(map(str, path)), text) for rule, path, text in islice(told, MAX_REASONS)]

    return judge


def explain(error: ValidationError) -> list[Told]:
    """Return the reasons that a schema error gives: of a `oneOf`, those of the branch that the value is meant for."""
    path = tuple(error.absolute_path)
    if error.validator == "oneOf" and error.context:
        schemas = cast("list[Any]", error.validator_value)
        branches: list[list[Told]] = [[] for _ in schemas]
        never = (number for number, schema in enumerate(schemas) if schema is False)
        for inner in error.context:
            place = inner.relative_schema_path  # which the error of `false` does not have
            branches[cast("int", place[0]) if place else next(never)] += explain(inner)
        return choose_branch(branches, path) or [_explain_keyword(error, path)]
    return [_explain_keyword(error, path)]


def _explain_keyword(error: ValidationError, path: tuple[str | int, ...]) -> Told:
    keyword, expected = cast("str | None", error.validator), cast("Any", error.validator_value)
    if keyword is None:  # the schema `false`
        return "schema", path, NOT_ALLOWED
    if keyword == "type":
        return keyword, path, wrong_type(error.instance, name_types(expected))
    if keyword in {"required", "dependentRequired"}:
        return keyword, path, error.message
    if keyword == "format":
        return keyword, path, describe_format(expected)
    return keyword, path, breaks(keyword, expected)
