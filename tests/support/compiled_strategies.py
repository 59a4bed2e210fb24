"""Mappings, and records for them as bytes: what DynamoDB writes, and what it would never write."""

import base64
import gzip
import json
from contextlib import suppress

from hypothesis import strategies as st

from dynaurora.errors import InvalidMappingError
from tests.support.factories import make_mapping
from tests.support.schema_strategies import NAMES, NUMBERS, SCHEMAS, TEXTS, VALUES, Written, write

COLUMN_TYPES = (
    "VARCHAR(2)",
    "VARCHAR(40)",
    "TINYTEXT",
    "TEXT",
    "INT",
    "TINYINT UNSIGNED",
    "BIGINT",
    "BIGINT UNSIGNED",
    "DECIMAL(5,2)",
    "DECIMAL(2,2)",
    "DECIMAL(38,0)",
    "DOUBLE",
    "BOOLEAN",
    "DATE",
    "DATETIME(3)",
    "TIMESTAMP",
    "JSON",
    "BLOB",
    "VARBINARY(3)",
    "CHAR(2)",
    "TIME(3)",
    "YEAR",
    "ENUM('a','ab','1')",
)
FUNCTIONS = (
    "lower(a)",
    "upper(b)",
    "trim(c)",
    "concat(a, '-', b)",
    "split(a, 'a')[0]",
    "split(b, ',') | [1]",
    "replace(c, 'a', 'bb')",
    "substring(a, `1`)",
    "substring(b, `0`, `-1`)",
    "split(a, '')",
    "split(p, 'a')",
    "replace(a, '', 'x')",
    "replace(a, b, c)",
    "substring(a, `-2`)",
    "substring(a, `3`, `1`)",
    "substring(a, p.a)",
    "substring(c, `0.5`)",
    "concat(a, p)",
    "join('-', c)",
    "to_string(p)",
    "not_null(a, p.b)",
    "reverse(a)",
    "type(a)",
    "to_number(a)",
    "to_number(split(p.a, 'a')[1])",
    "a[1:]",
    "p.b.c[0]",
    "c[?b].a | [0]",
)
SOURCES = (
    *FUNCTIONS,
    "p.a.zzz",
    "p.b.c.d",
    "a.b.c",
    "a",
    "b",
    "c",
    "p.a",
    "p.b",
    "p.a.b",
    "p.b.c",
    "p",
    "a.b",
    "b.a.c",
    '"a"',
    "a || b",
    "length(p)",
    "c[0]",
)
DIGITS = (
    *NUMBERS,
    "12",
    "127",
    "128",
    "255",
    "-128",
    "999.99",
    "1000",
    "0.05",
    "0.00001",
    "123456789012345",
    "0.1234567890123456",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "9" * 38,
    "1E-130",
    "1.0E-30",
    "0.10",
    "120",
    "1E+2",
    "+5",
    "007",
    ".5",
    "5.",
    "1e5000",
    "NaN",
    "Infinity",
    "",
    " 1",
    "1_0",
    "١",
    "0x1",
)
STRINGS = (
    *TEXTS,
    "x" * 41,
    "é" * 200,
    "2024-02-30",
    "0999-01-01",
    "2026-01-02 03:04:05.123",
    "2026-01-02T03:04:05.1234+02:00",
    "2040-01-01T00:00:00",
    "2026-01-02T03:04Z",
    "20260102T030405,1234567+0200",
    "2026-W48-6",
    "2026-332T24:00Z",
    "2026-01-02T03:04:05\N{MINUS SIGN}02",
    "2026-01-02t24:00:00z",
    "9999-12-31T23:59:59.9999",
    "1767323045",
    "1767323045123",
    "03:04:05.1234",
    "2026",
    "ends with a space ",
    "a,b",
    "tab\there",
    "line\nbreak\r",
    "nul\0",
    "back\\slash",
    r"\N",
    "\x1d\x1e\x1f",
    "\x1aThings.0123456789abcdef,",
    "\x1dN",
    "\x7f\x85\u2028",
)
BINARIES = ("", "AAH/", "AA==", "AB==", "AAA=", "AAAAAAAA", "A", "AA", "====", "A===", "AA= =", "é", "AA==AA==")
PAYLOADS = (
    "",
    "null",
    "{",
    "{}x",
    " {} ",
    '{"a": 1, "a": "x"}',
    '{"a": "x", "a": 1}',
    '{"a": NaN}',
    '{"b": -Infinity}',
    '{"a": 1.0}',
    '{"a": 1e2}',
    '{"a": 1e400}',
    '{"b": 1e999999999999999999999}',
    '{"a": -0, "b": -0.0}',
    '{"a": "\\ud800"}',
    '{"a": "\\ud83d\\ude00", "b": "\\u0000"}',
    '{"\\u0061": "x"}',
    '{"zzz": {"a": [1, 2.50, "x"]}}',
    "[]",
    '"text"',
    "5",
    '{"a": [1], "b": "x"}',
    '{"a": {"b": 1}, "b": {"c": {"d": 1}}}',
    '{"a.b": 1}',
    '{"b.c": "x", "b": null}',
    '{"b": {"c.d": "x"}}',
    '"{\\"a\\": 1, \\"b\\": {\\"c\\": 2}}"',
    '{"zzz": ' + "9" * 5000 + "}",
    '{"zzz": ' + "[" * 5000 + "]" * 5000 + "}",
    '{"zzz": ' + "[" * 250 + "]" * 250 + "}",
    '{"a": "tab\there"}',
    '{"a": 12345678901234567890123456789012345678901234567890}',
    '{"a": 0.1234567890123456789012345678901234567890}',
    "\ufeff{}",
)


class Pairs(list):
    """An object as pairs, so that a name can be there twice."""


def dump(value):
    """Return a document as JSON."""
    if isinstance(value, Pairs):
        return "{" + ",".join(f"{json.dumps(name)}:{dump(member)}" for name, member in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(dump, value)) + "]"
    return json.dumps(
        value, ensure_ascii=isinstance(value, str) and any("\ud800" <= each <= "\udfff" for each in value)
    )


def one(descriptor, value):
    return Pairs([(descriptor, value)])


def texts(*values):
    return st.sampled_from(values).map(lambda text: one("S", text))


def numbers(*values):
    return st.sampled_from(values).map(lambda text: one("N", text))


TEXT = st.sampled_from(STRINGS).map(lambda text: one("S", text))
NUMBER = st.sampled_from(DIGITS).map(lambda text: one("N", text))
PAYLOAD = (st.sampled_from(PAYLOADS) | VALUES.map(write)).map(lambda text: one("S", text))
HOWS = ("json_twice", "binary", "gzip")


def encode_payload(text, how):
    """The text of a payload as an encoding has it, or nearly so."""
    data = text.encode("utf-8", "surrogatepass")
    if how == "json_twice":
        return one("S", json.dumps(text))
    if how == "gzip":
        data = gzip.compress(data, mtime=0)
    return one("B" if how != "base64" else "S", base64.b64encode(data).decode())


ENCODED = st.builds(encode_payload, st.sampled_from(PAYLOADS) | VALUES.map(write), st.sampled_from([*HOWS, "base64"]))
SIMPLE = st.one_of(
    TEXT,
    NUMBER,
    st.sampled_from(BINARIES).map(lambda text: one("B", text)),
    st.booleans().map(lambda value: one("BOOL", value)),
    st.just(one("NULL", True)),
)
SETS = st.one_of(
    st.lists(st.sampled_from(STRINGS), min_size=1, max_size=3).map(lambda members: one("SS", members)),
    st.lists(st.sampled_from(DIGITS), min_size=1, max_size=3).map(lambda members: one("NS", members)),
    st.lists(st.sampled_from(BINARIES), min_size=1, max_size=3).map(lambda members: one("BS", members)),
)
MALFORMED = st.sampled_from(
    [
        None,
        "x",
        5,
        Pairs(),
        one("S", None),
        one("S", 5),
        one("N", 5),
        one("BOOL", "true"),
        one("BOOL", 1),
        one("NULL", False),
        one("NULL", None),
        one("X", "a"),
        Pairs([("S", "a"), ("N", "1")]),
        Pairs([("S", None), ("NULL", True)]),
        Pairs([("S", "a"), ("S", "b")]),
        Pairs([("N", "x"), ("N", "7")]),
        one("M", []),
        one("L", Pairs()),
        one("SS", ["a", 1]),
        [],
    ]
)
NESTED = st.recursive(
    SIMPLE | SETS,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda members: one("L", members))
        | st.lists(st.tuples(st.sampled_from(NAMES), inner), max_size=3).map(lambda members: one("M", Pairs(members)))
    ),
    max_leaves=5,
)
ATTRIBUTES = st.one_of(SIMPLE, SIMPLE, SIMPLE, NESTED, NESTED, MALFORMED)


@st.composite
def items(draw, kinds=None, payload=PAYLOAD):
    """A typed item, as a mapping expects it or with one thing that is odd."""
    kinds = {"id": texts("k", "key,1", "é"), **(kinds or dict.fromkeys(NAMES, SIMPLE)), "p": payload}
    left_out = draw(st.sampled_from(["", "", "", *NAMES]))
    members = {name: draw(values) for name, values in kinds.items() if name != left_out}
    odd = draw(st.sampled_from(["nothing", "nothing", "nothing", "absent", "other", "payload", "more"]))
    name = draw(st.sampled_from(sorted(members)))
    if odd == "absent":
        del members[name]
    elif odd == "other":
        members[name] = draw(ATTRIBUTES)
    elif odd == "payload":
        members["p"] = draw(PAYLOAD | ENCODED)
    pairs = list(members.items())
    if odd == "more":
        names = st.sampled_from([*NAMES, "id", "p", "p.a", "a.b", "other", "other", "other", 'na"me', "näme"])
        pairs.append((draw(names), draw(NESTED | ATTRIBUTES)))
    return Pairs(draw(st.permutations(pairs)))


def as_line(item):
    """An item as a line of an export."""
    return dump(Pairs([("Item", item)])).encode("utf-8", "surrogatepass")


ODD_LINES = st.sampled_from(
    [
        b"",
        b"  ",
        b"x",
        b"{}",
        b'{"Item": 5}',
        b'{"Item": {}} {"Item": {}}',
        b'{"Item": {"id": {"S": "\xff"}}}',
        b'{"Item": {"id": {"S": "\xed\xa0\x80"}}}',
        b'{"Item": {"id": {"S": "k"}}, "x": 1}',
        b'{"x": NaN, "Item": {"id": {"S": "k"}}}',
        b'{"Item": 1, "Item": {"id": {"S": "k"}}}',
        b'\xef\xbb\xbf{"Item": {"id": {"S": "k"}}}',
        '{"Item": {"id": {"S": "k"}}}'.encode("utf-16"),
        b'{"Item": {"id": {"S": "tab\there"}}}',
        b'{"Item": {"id": {"S": "k"}}}\r',
        b' {"Item" : {"id" : {"S" : "k"} } } ',
    ]
)


CHANGED_AT_MS = 1_700_000_000_000

OPTIONS = (
    {},
    {},
    {"digits": "truncate"},
    {"digits": "round"},
    {"epoch": "s"},
    {"epoch": "ms", "digits": "truncate"},
    {"epoch": "ns", "digits": "round"},
    {"default": 0},
    {"default": "2026-01-02"},
    {"default": "a"},
    {"default": "\x1dN"},
    {"default": True},
)
"""What a column may have besides its type; most have little of it."""
TEXT_COLUMNS = (
    "VARCHAR(2)",
    "CHAR(2)",
    "ENUM('a','ab','abc')",
    "VARCHAR(40)",
    "VARCHAR(40)",
    "TINYTEXT",
    "TEXT",
    "JSON",
    "BLOB",
    "VARBINARY(3)",
)
NUMBER_COLUMNS = (*COLUMN_TYPES[4:12], "VARCHAR(2)", "VARCHAR(40)", "TEXT", "JSON")
TIME_COLUMNS = ("DATE", "DATETIME(3)", "DATETIME(3)", "TIMESTAMP", "TIME(3)", "VARCHAR(40)")
EPOCH_COLUMNS = ("DATETIME(3)", "DATETIME", "TIMESTAMP(6)", "DATE", "YEAR", "BIGINT")
WHOLES, FRACTIONS = ("0", "1", "12", "127", "-128", "128", "123456789012345"), ("2.5", "0.1", "999.99", "-0.5", "0.05")
EPOCHS = ("1767323045", "1767323045123", "1767312000", "1767323045123456789", "2026", "-1", "0")
TIMES = (
    "2026-01-02",
    "2026-01-02T03:04Z",
    "20260102T030405,1234567+0200",
    "2026-01-02t24:00:00z",
    "03:04:05.1234",
    "2026-01-02T03:04:05Z",
    "2026-01-02 03:04:05.123",
    "1999-12-31T23:59:59+05:30",
)


GOOD_TEXT = texts(
    "", "a", "ab", "abc", "b", "é🦊", "a,b", "tab\there", r"\N", "\x1d\x1e\x1f", "\x1dN", "\x1a", "x" * 40, "é" * 200
)
NULL = st.just(one("NULL", True))
BOOLEANS = st.booleans().map(lambda value: one("BOOL", value))
GOOD_SET = st.lists(st.sampled_from(["a", "b", "a,b", "é"]), min_size=1).map(lambda members: one("SS", members))
GOOD_MAP = st.dictionaries(st.sampled_from(NAMES), GOOD_TEXT | numbers(*WHOLES, *FRACTIONS) | BOOLEANS | NULL).map(
    lambda members: one("M", Pairs(members.items()))
)
GOOD_NESTED = GOOD_SET | GOOD_MAP | st.lists(GOOD_MAP | GOOD_TEXT).map(lambda members: one("L", members))
KINDS = (
    ({"type": "string"}, GOOD_TEXT, TEXT_COLUMNS),
    (
        {"type": "string", "maxLength": 3, "minLength": 1, "pattern": "^[a2]"},
        texts("a", "ab", "abc", "abcd"),
        TEXT_COLUMNS,
    ),
    ({"type": "string"}, texts(*TIMES), TIME_COLUMNS),
    ({"type": "string", "format": "date-time"}, texts(TIMES[-3], TIMES[-1], TIMES[0]), TIME_COLUMNS),
    ({"type": "integer"}, numbers(*EPOCHS), EPOCH_COLUMNS),
    (True, numbers(*EPOCHS) | texts(*EPOCHS), EPOCH_COLUMNS),
    (True, texts(*TIMES), TIME_COLUMNS),
    ({"type": ["string", "null"]}, texts(*TIMES) | NULL, TIME_COLUMNS),
    ({"enum": ["a", "b"]}, texts("a", "b", "c"), TEXT_COLUMNS),
    ({"type": "string", "enum": ["a", "b"]}, texts("a", "b", "c"), TEXT_COLUMNS),
    ({"type": ["string", "null"]}, GOOD_TEXT | NULL, TEXT_COLUMNS),
    ({"type": "integer"}, numbers(*WHOLES), NUMBER_COLUMNS),
    ({"type": "integer"}, numbers(*WHOLES, *FRACTIONS), NUMBER_COLUMNS),
    ({"type": "integer", "minimum": 2}, numbers(*WHOLES), NUMBER_COLUMNS),
    ({"type": "number"}, numbers(*WHOLES, *FRACTIONS), NUMBER_COLUMNS),
    ({"type": "number", "multipleOf": 1}, numbers(*WHOLES, *FRACTIONS), NUMBER_COLUMNS),
    ({"type": ["number", "null"]}, numbers(*WHOLES, *FRACTIONS) | NULL, NUMBER_COLUMNS),
    ({"type": "number"}, NUMBER, NUMBER_COLUMNS),
    ({"type": "boolean"}, BOOLEANS, ("BOOLEAN", "JSON")),
    ({"type": ["boolean", "null"]}, BOOLEANS | NULL, ("BOOLEAN", "JSON")),
    ({"type": "null"}, NULL, COLUMN_TYPES),
    ({"type": "string"}, st.sampled_from(BINARIES[:6]).map(lambda text: one("B", text)), ("BLOB", "VARBINARY(3)")),
    (True, st.sampled_from(BINARIES[:6]).map(lambda text: one("B", text)), ("BLOB", "VARBINARY(3)", "VARCHAR(40)")),
    (True, GOOD_TEXT, TEXT_COLUMNS),
    (True, numbers(*WHOLES, *FRACTIONS), NUMBER_COLUMNS),
    (True, GOOD_NESTED, ("JSON",)),
    ({"type": "object", "properties": {"b": {"type": "string"}}}, GOOD_MAP, ("JSON",)),
    ({"type": "array", "items": {"type": "string"}}, GOOD_SET, ("JSON",)),
)
"""What an attribute may be: its schema, values that mostly fit it, and columns that mostly take them."""

LEAVES = (
    (True, NESTED | SIMPLE),
    ({"type": "string"}, TEXT),
    ({"type": "string", "minLength": 2}, GOOD_TEXT),
    ({"type": "integer"}, NUMBER),
    ({"type": "integer", "minimum": 2}, numbers(*WHOLES)),
    ({"type": "number"}, NUMBER),
    ({"type": "boolean"}, BOOLEANS),
)
"""Places of a document that are neither object nor array."""


def document_schemas(depth=2):
    """The schema of a document, and values that mostly fit it."""
    leaves = st.sampled_from(LEAVES)
    return leaves | document_objects(depth) | document_arrays(depth) if depth else leaves


@st.composite
def document_objects(draw, depth):
    """The schema of a map and values for it, some with a member too few or too many."""
    names = (*NAMES, 'na"me', "é{}") if draw(st.sampled_from([False, False, False, True])) else NAMES
    members = {name: draw(document_schemas(depth - 1)) for name in draw(st.permutations(names))[:3]}
    schema = {"type": "object", "properties": {name: inner for name, (inner, _) in members.items()}}
    schema |= draw(st.sampled_from([{}, {}, {"additionalProperties": True}, {"additionalProperties": False}]))
    required = draw(st.lists(st.sampled_from(sorted(members)), unique=True))
    schema["required"] = required + draw(st.sampled_from([[], [], [], ["other"]]))
    values = {name: inner for name, (_, inner) in members.items()} | {"other": NESTED | MALFORMED, 'o"ther': SIMPLE}
    always = draw(st.sampled_from([schema["required"], schema["required"], []]))
    optional = {name: inner for name, inner in values.items() if name not in always}
    fitting = st.fixed_dictionaries({name: values[name] for name in always}, optional=optional)
    return schema, fitting.map(lambda value: one("M", Pairs(value.items()))) | MALFORMED


@st.composite
def document_arrays(draw, depth):
    """The schema of a list or set, and values for it."""
    items, values = draw(document_schemas(depth - 1))
    limits = draw(st.sampled_from([{}, {}, {"minItems": 2}, {"maxItems": 1}]))
    lists = st.lists(values, max_size=3).map(lambda members: one("L", members))
    schema = {"type": "array", "items": items} | limits
    return schema, lists | lists | SETS | st.sampled_from([one("SS", []), Pairs([("L", []), ("SS", ["a"])])])


@st.composite
def document_kinds(draw):
    """What an attribute may be that a JSON column takes as it is."""
    schema, values = draw(document_objects(2) | document_arrays(2))
    return schema, values, ("JSON",)


JSON_TEXTS = st.sampled_from(["", "a", "ab", "é🦊", "a,b", "tab\there", "\x1dN", "x" * 40])
JSON_KINDS = (
    ({"type": "string"}, JSON_TEXTS, TEXT_COLUMNS),
    ({"type": "string", "maxLength": 3, "pattern": "^a"}, st.sampled_from(["a", "ab", "b"]), TEXT_COLUMNS),
    ({"type": "string", "format": "date"}, st.sampled_from(TIMES), TIME_COLUMNS),
    ({"type": ["string", "null"]}, JSON_TEXTS | st.none(), TEXT_COLUMNS),
    ({"type": "integer"}, st.sampled_from([*WHOLES, "1.0", "1e2", "9" * 25]).map(Written), NUMBER_COLUMNS),
    ({"type": "integer", "maximum": 100}, st.sampled_from(WHOLES).map(Written), NUMBER_COLUMNS),
    ({"type": ["integer", "null"]}, st.sampled_from(WHOLES).map(Written) | st.none(), NUMBER_COLUMNS),
    ({"type": "number"}, st.sampled_from([*WHOLES, *FRACTIONS, *NUMBERS]).map(Written), NUMBER_COLUMNS),
    ({"type": "boolean"}, st.booleans(), ("BOOLEAN", "JSON")),
    ({"type": "integer"}, st.sampled_from(EPOCHS).map(Written), EPOCH_COLUMNS),
    ({"type": ["object", "string"]}, VALUES, ("JSON",)),
    ({"type": "array", "items": {"type": "string"}, "maxItems": 2}, st.lists(JSON_TEXTS, max_size=3), ("JSON",)),
    (True, VALUES, COLUMN_TYPES),
    ({"const": 1}, st.sampled_from(["1", "1.0", "2"]).map(Written) | st.just(True), NUMBER_COLUMNS),
)
"""What a member of embedded JSON may be, likewise."""


@st.composite
def payloads(draw):
    """The schema of embedded JSON, texts that mostly fit it, and columns that mostly take what is at their paths."""
    (a, a_values, a_columns), (c, c_values, c_columns) = (draw(st.sampled_from(JSON_KINDS)) for _ in "ac")
    inner = {"type": "object", "properties": {"c": c}, "required": draw(st.sampled_from([[], ["c"]]))}
    schema = {
        "type": draw(st.sampled_from(["object", "object", ["object", "null"]])),
        "properties": {"a": a, "b": inner},
        "required": draw(st.sampled_from([[], ["a"], ["a", "b"]])),
    }
    inner |= draw(st.sampled_from([{}, {}, {}, {"additionalProperties": True}, {"additionalProperties": False}]))
    schema |= draw(st.sampled_from([{}, {}, {}, {"additionalProperties": True}, {"additionalProperties": False}]))
    inside = st.fixed_dictionaries({"c": c_values}, optional=draw(st.sampled_from([{}, {}, {"more": VALUES}])))
    fitting = st.fixed_dictionaries(
        {"a": a_values, "b": inside}, optional=draw(st.sampled_from([{}, {}, {"z": VALUES}]))
    )
    lacking = st.fixed_dictionaries({}, optional={"a": a_values, "b": inside | st.just({})})
    values = (fitting | fitting | fitting | lacking).map(lambda value: one("S", write(value)))
    values = values | values | ENCODED
    return (
        schema,
        values,
        {
            "p.a": a_columns,
            "p.b.c": c_columns,
            "p.b": ("JSON",),
            "p.z": ("JSON", "TEXT"),
            "p.a.x": COLUMN_TYPES,
        },
    )


ODD_SCHEMAS = st.sampled_from([{"minProperties": 2}, {"additionalProperties": False}, {"additionalProperties": {}}])


@st.composite
def mappings(draw):
    """A mapping of a kind that compiled code knows, mostly; values of its attributes by name, and of its payload."""
    chosen = {name: draw(st.sampled_from(KINDS) | st.sampled_from(KINDS) | document_kinds()) for name in NAMES}
    payload_schema, payload, payload_columns = draw(payloads())
    left_out = draw(st.sampled_from(["", "", "", *NAMES, "p"]))
    properties = {"id": {"type": "string"}, "p": payload_schema}
    properties |= {name: schema for name, (schema, _, _) in chosen.items()}
    properties.pop(left_out, None)
    schema = {
        "type": "object",
        "properties": properties,
        "required": draw(st.sampled_from([[], ["p"], [], ["a", "id"]])),
    }
    odd = draw(st.sampled_from(["nothing"] * 7 + ["schema", "property"]))
    if odd == "schema":
        schema |= draw(ODD_SCHEMAS)
    elif odd == "property":
        properties[draw(st.sampled_from([*NAMES, "p"]))] = draw(SCHEMAS)
    takers = {name: kinds for name, (_, _, kinds) in chosen.items()} | payload_columns
    columns = [draw(columns_of(takers, number)) for number in range(draw(st.sampled_from([1, 2, 3, 3, 4])))]
    columns += draw(st.sampled_from([[], [{"name": "at", "type": "BIGINT", "from": "@changed_at_ms"}]]))
    unmapped = draw(st.sampled_from(["ignore"] * 5 + ["reject"] * 2 + [{"column": "rest"}] * 2))
    attributes = draw(st.sampled_from([["p"]] * 5 + [["p", "a"], *([{"name": "p", "encoding": how}] for how in HOWS)]))
    mapping = make_mapping(*columns, schema=schema, unmapped=unmapped, json_attributes=attributes)
    return mapping, {name: values for name, (_, values, _) in chosen.items()}, payload


@st.composite
def columns_of(draw, takers, number):
    """A column that takes what it finds, mostly."""
    odd = draw(st.sampled_from(["nothing"] * 10 + ["source", "type", "time"]))
    source = draw(st.sampled_from(SOURCES if odd == "source" else sorted(takers)))
    kind = draw(st.sampled_from(COLUMN_TYPES if odd == "type" else takers.get(source, COLUMN_TYPES)))
    if odd == "time":
        source, kind = "@changed_at_ms", draw(st.sampled_from(["INT", "VARCHAR(20)", "DECIMAL(13,0)", "JSON"]))
    column = {"name": f"c{number}", "type": kind, "from": source}
    for options in draw(st.lists(st.sampled_from(OPTIONS), max_size=2)):
        with suppress(InvalidMappingError):
            make_mapping(column | options)
            column |= options
    return column


@st.composite
def as_change(draw, item):
    """A change as it travels through Firehose, or something like it."""
    odd = draw(st.sampled_from(["nothing"] * 6 + ["key", "version", "time", "more"]))
    members = {
        "Version": "170000",
        "ChangedAtMs": CHANGED_AT_MS,
        "Keys": Pairs([member for member in item if member[0] == "id"]),
    }
    if draw(st.sampled_from([True, True, True, False])):
        members["NewImage"] = item
    if odd == "key":
        members["Keys"] = draw(items())
    elif odd == "version":
        members["Version"] = draw(st.sampled_from(["5", "1" * 50, "1" * 51, "007", "0", "", "x", "١", 5, None]))
    elif odd == "time":
        members["ChangedAtMs"] = draw(st.sampled_from([0, -1, 2**63, 10**30, 1.0, "1", None, True]))
    pairs = Pairs(members.items())
    if odd == "more":
        pairs.append((draw(st.sampled_from(["NewImage", "More", "Keys"])), draw(st.sampled_from([None, 1, Pairs()]))))
    return dump(pairs).encode("utf-8", "surrogatepass")


@st.composite
def mapped_lines(draw):
    """A mapping, and lines of an export of its table."""
    mapping, kinds, payload = draw(mappings())
    line = items(kinds, payload).map(as_line)
    lines = draw(st.lists(line, min_size=2, max_size=6))
    return mapping, draw(st.sampled_from([lines, lines, lines, [draw(ODD_LINES), *lines]]))


@st.composite
def mapped_changes(draw):
    """A mapping, and changes of its table."""
    mapping, kinds, payload = draw(mappings())
    return mapping, draw(st.lists(items(kinds, payload).flatmap(as_change), min_size=1, max_size=6))
