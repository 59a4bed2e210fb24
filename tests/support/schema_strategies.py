"""Schemas and values that meet: both are made of the same few names, texts and numbers."""

import json
from decimal import Decimal

from hypothesis import strategies as st

NAMES = ("a", "b", "c")
TEXTS = ("", "a", "b", "ab", "abc", "2026-01-02", "2026-01-02T03:04:05Z", "a@b.de", "é🦊", "1", "\ud800")
TYPES = ("string", "number", "integer", "boolean", "null", "array", "object")
NUMBERS = ("0", "-0", "1", "1.0", "1e0", "1e2", "2", "2.5", "0.1", "-3", "1e30", "12345678901234567890", "1e-7", "3.00")
FORMATS = ("date", "date-time", "email", "ipv4", "uuid", "regex", "unknown")
PATTERNS = ("^a", "b$", ".", "^$", "[0-9]")

SCHEMA_NUMBERS = st.sampled_from([0, 1, 2, 3, 100, 1.0, 2.5, 0.1, Decimal("0.1"), Decimal("2.50"), -3])
SIZES = st.integers(0, 3)


class Written(str):
    """A number as it is written in JSON."""

    __slots__ = ()


SCALARS = st.one_of(
    st.sampled_from(TEXTS), st.sampled_from(NUMBERS).map(Written), st.booleans(), st.none(), st.integers(-3, 3)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=8,
)
"""JSON values, for `write`."""


def write(value) -> str:
    """Return a value as JSON, its numbers as they are written."""
    if isinstance(value, Written):
        return str(value)
    if isinstance(value, list):
        return f"[{','.join(map(write, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{json.dumps(name)}:{write(member)}' for name, member in value.items())}}}"
    return json.dumps(value)


EXPECTED = st.recursive(
    st.sampled_from(TEXTS[:-1]) | SCHEMA_NUMBERS | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=2),
    max_leaves=4,
)
"""What `const` and `enum` may name."""


def _keywords(inner):
    named = st.dictionaries(st.sampled_from(NAMES), inner, max_size=3)
    names = st.lists(st.sampled_from(NAMES), max_size=3, unique=True)
    return {
        "type": st.sampled_from(TYPES) | st.lists(st.sampled_from(TYPES), min_size=1, max_size=3, unique=True),
        "enum": st.lists(EXPECTED, min_size=1, max_size=3) | st.lists(st.sampled_from(TEXTS[:-1]), min_size=1),
        "const": EXPECTED,
        "format": st.sampled_from(FORMATS),
        "minLength": SIZES,
        "maxLength": SIZES,
        "pattern": st.sampled_from(PATTERNS),
        "minimum": SCHEMA_NUMBERS,
        "maximum": SCHEMA_NUMBERS,
        "exclusiveMinimum": SCHEMA_NUMBERS,
        "exclusiveMaximum": SCHEMA_NUMBERS,
        "multipleOf": SCHEMA_NUMBERS.filter(lambda number: number > 0 and not isinstance(number, float)),
        "items": inner,
        "prefixItems": st.lists(inner, min_size=1, max_size=2),
        "contains": inner,
        "minContains": SIZES,
        "maxContains": SIZES,
        "minItems": SIZES,
        "maxItems": SIZES,
        "uniqueItems": st.booleans(),
        "properties": named,
        "patternProperties": st.dictionaries(st.sampled_from(PATTERNS), inner, max_size=2),
        "additionalProperties": inner,
        "propertyNames": inner,
        "required": names,
        "dependentRequired": st.dictionaries(st.sampled_from(NAMES), names, max_size=2),
        "dependentSchemas": named,
        "minProperties": SIZES,
        "maxProperties": SIZES,
        "allOf": st.lists(inner, min_size=1, max_size=2),
        "anyOf": st.lists(inner, min_size=1, max_size=2),
        "oneOf": st.lists(inner, min_size=1, max_size=3),
        "not": inner,
        "if": inner,
        "then": inner,
        "else": inner,
        "description": st.just("says nothing"),
    }


COMMON = ("type", "properties", "required", "items")


@st.composite
def _objects(draw, inner):
    keywords = _keywords(inner)
    names = draw(st.lists(st.sampled_from(sorted(keywords)) | st.sampled_from(COMMON), max_size=4, unique=True))
    return {name: draw(keywords[name]) for name in names}


SCHEMAS = st.recursive(st.booleans() | st.just({}), _objects, max_leaves=8)
"""Schemas of draft 2020-12, valid ones, without references."""
