"""Keywords of JSON Schema that `jsonschema` judges in more than linear time, judged so that an item's size bounds it.

Whoever may write items chooses what is judged: 350 KB of distinct objects kept `uniqueItems` busy for minutes, and as
much text the formats `iri` and `uri-template`. The verdicts are the same, but for two: a template or a regular
expression that is longer than any is one no more, and an IRI may have all characters that RFC 3987 gives it.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from functools import cache
from re import _parser  # type: ignore[attr-defined]
from typing import TYPE_CHECKING, Any, Final

from dynaurora.dynamodb.attributes import spell_number
from dynaurora.mappings.patterns import compile_pattern
from dynaurora.mappings.reasons import wrong_format

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jsonschema import Draft202012Validator

PERCENT_ENCODED: Final = "%C3"
MAX_FORMAT_LENGTH: Final = 2048
"""Characters of a text whose format is judged in more than linear time."""
BOUNDED_FORMATS: Final = frozenset({"regex", "uri-template"})
URI_OF: Final = {"iri": "uri", "iri-reference": "uri-reference"}
"""Of the formats of IRIs, those of the URIs that they stand for (RFC 3987, section 3.1)."""
PLANES: Final = [(first, first | 0xFFFD) for first in (*range(0x10000, 0xE0000, 0x10000), 0xE1000)]
UCSCHAR: Final = (
    "[\u00a0-\ud7ff\uf900-\ufdcf\ufdf0-\uffef" + "".join(f"{chr(first)}-{chr(last)}" for first, last in PLANES) + "]"
)
"""Characters of IRIs that URIs have percent-encoded (RFC 3987, section 2.2, `ucschar`). It is compiled where a format
is judged, since that takes as long as importing several modules."""
IPRIVATE: Final = "[\ue000-\uf8ff\U000f0000-\U000ffffd\U00100000-\U0010fffd]"
"""Those that only their queries may have (`iprivate`)."""
_quote: Callable[[str], str] = json.JSONEncoder().encode


def has_unique_items(items: list[Any]) -> bool:
    """Tell whether no two items are equal, as JSON Schema has it: numbers by value, no number equal to a boolean.

    Raises RecursionError where one is nested too deep.
    """
    seen = set[str]()
    for item in map(canonize, items):
        if item in seen:
            return False
        seen.add(item)
    return True


def canonize(value: Any) -> str:
    """Return a text that is the same for plain values that are equal, and for no others.

    Texts are compared by a hash with a secret: of numbers, whoever writes an item can choose thousands of one hash.
    """
    if isinstance(value, str):
        return _quote(value)
    if type(value) is list:
        return f"[{','.join(map(canonize, value))}]"
    if type(value) is dict:
        members = [f"{_quote(name)}:{canonize(value[name])}" for name in sorted(value)]
        return f"{{{','.join(members)}}}"
    return spell_number(value) if type(value) in {int, Decimal} else str(value)


def is_of_format(value: Any, expected: str) -> bool:
    """Tell whether a value is of a format; what is no text, and a format that nobody knows, is taken."""
    conforms = make_validator().FORMAT_CHECKER.conforms
    if not isinstance(value, str):
        return bool(conforms(value, expected))
    if expected in URI_OF:
        return bool(conforms(encode_iri(value), URI_OF[expected]))
    if expected in BOUNDED_FORMATS and len(value) > MAX_FORMAT_LENGTH:
        return False
    if expected == "regex":
        return is_expression(value)
    return bool(conforms(value, expected))


def is_expression(text: str) -> bool:
    """Tell whether Python reads a text as a regular expression; to compile one takes a second for 2,000 characters."""
    try:
        _parser.parse(text)
    except (re.error, RecursionError, OverflowError):
        return False
    return True


def find_extras(value: dict[str, Any], schema: dict[str, Any]) -> Iterator[str]:
    """Yield the names that neither `properties` nor `patternProperties` of a schema has."""
    declared = schema.get("properties", {})
    searches = [compile_pattern(pattern) for pattern in schema.get("patternProperties", {})]
    for name in value:
        if name not in declared and not any(search(name) for search in searches):
            yield name


def encode_iri(text: str) -> str:
    """Return a URI that holds if the IRI does: one escape for each character that only IRIs may have."""
    address, hash_sign, fragment = text.partition("#")
    path, mark, query = address.partition("?")
    parts = path, mark, re.sub(IPRIVATE, PERCENT_ENCODED, query), hash_sign, fragment
    return "".join(re.sub(UCSCHAR, PERCENT_ENCODED, part) for part in parts)


def describe_format(expected: str) -> str:
    """Return the message for a value that is not of a format."""
    bound = f" in at most {MAX_FORMAT_LENGTH} characters" if expected in BOUNDED_FORMATS else ""
    return wrong_format(expected) + bound


@cache
def make_validator() -> type[Draft202012Validator]:
    """Return the class of `jsonschema`'s validators with these keywords."""
    from jsonschema import Draft202012Validator, ValidationError  # here, since it takes long, and most do without
    from jsonschema.validators import extend

    def unique_items(validator: Any, expected: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
        if expected and validator.is_type(instance, "array") and not has_unique_items(instance):
            yield ValidationError("has items that are equal")

    def of_format(_validator: Any, expected: str, instance: Any, _schema: Any) -> Iterator[ValidationError]:
        if not is_of_format(instance, expected):
            yield ValidationError(describe_format(expected))

    def of_pattern(validator: Any, expected: str, instance: Any, _schema: Any) -> Iterator[ValidationError]:
        if validator.is_type(instance, "string") and not compile_pattern(expected)(instance):
            yield ValidationError("does not match the pattern")

    def pattern_properties(validator: Any, expected: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
        for pattern, inner in expected.items() if validator.is_type(instance, "object") else ():
            for name, member in instance.items():
                if compile_pattern(pattern)(name):
                    yield from validator.descend(member, inner, path=name, schema_path=pattern)

    def additional_properties(validator: Any, expected: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        if not validator.is_type(instance, "object"):
            return
        extras = set(find_extras(instance, schema))
        if validator.is_type(expected, "object"):
            for name in extras:
                yield from validator.descend(instance[name], expected, path=name)
        elif not expected and extras:
            yield ValidationError("has properties that the schema does not name")

    keywords = {
        "additionalProperties": additional_properties,
        "format": of_format,
        "pattern": of_pattern,
        "patternProperties": pattern_properties,
        "uniqueItems": unique_items,
    }
    extended: type[Draft202012Validator] = extend(Draft202012Validator, keywords)  # type: ignore[no-untyped-call]
    return extended
