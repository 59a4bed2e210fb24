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
from dynaurora.mappings.reasons import NOT_ALLOWED, breaks, name_types, wrong_type

if TYPE_CHECKING:
    from jsonschema import ValidationError

    from dynaurora.mappings.mapping import Mapping

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
            return [explain(error) for error in islice(mapping.validator.iter_errors(item), MAX_REASONS)]

    return judge


def explain(error: ValidationError) -> Reason:
    """Return the reason that a schema error gives."""
    path = ".".join(map(str, error.absolute_path))
    keyword, expected = cast("str | None", error.validator), cast("Any", error.validator_value)
    if keyword is None:  # the schema `false`
        return Reason("schema", path, NOT_ALLOWED)
    if keyword == "type":
        return Reason(keyword, path, wrong_type(error.instance, name_types(expected)))
    if keyword in {"required", "dependentRequired"}:
        return Reason(keyword, path, error.message)
    if keyword == "format":
        return Reason(keyword, path, describe_format(expected))
    return Reason(keyword, path, breaks(keyword, expected))
