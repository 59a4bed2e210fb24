"""Any row that the writer can produce is read back as it went in, by the real `LOAD DATA`, whatever its type.

What the database gives back is held against the value that was drawn, not against the code that wrote it.
"""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynaurora.aurora.connection import Aurora, connect
from dynaurora.aws.objects import S3Objects
from dynaurora.batches.import_batch import import_batch
from dynaurora.dynamodb.changes import Change
from dynaurora.mappings.columns import _builders, parse_type
from dynaurora.mappings.mapping import Mapping, build_mapping
from dynaurora.mappings.row_mapper import RowMapper
from tests.examples import examples
from tests.integration.targets import Target, TargetFor

pytestmark = pytest.mark.integration

SYNTAX = st.text("\\,\n\r\t\0\x1aN0nrtZb'\"{}[] ", max_size=20)
"""Text of what means something to CSV, SQL or JSON."""
EDGES = st.sampled_from(
    [
        *("", " ", "\\", "\\N", "NULL", "\\\\", ",", "\n", "\r\n", "a ", "\ufeff", "\uffff", "\U0010ffff", "🦄é漢"),
        *("\x1a", "\\Z", "\\\x1a", "\x1aRoundTrip.0123456789abcdef,0,1,a"),  # the last is how a labelled row begins
    ]
)
TEXTS = st.one_of(st.text(max_size=40), SYNTAX, EDGES)
BINARIES = st.one_of(st.binary(max_size=60), st.sampled_from([b"", b"\0", b"\xff" * 60, b"\\N", b"\n,\\"]))
DIGITS_38 = 10**38 - 1

Typed = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """A column type: the values it takes, how an item has them, and how the driver gives them back."""

    sql: str
    values: st.SearchStrategy[Any]
    typed: Callable[[Any], Typed]
    found: Callable[[Any], Any] = lambda value: value


def number(value: Any) -> Typed:
    return {"N": str(value)}


def is_dynamodbs(value: float) -> bool:
    """Tell whether a number is not too small for DynamoDB."""
    return not value or abs(value) >= 1e-130


def text(value: str) -> Typed:
    return {"S": value}


def binary(value: bytes) -> Typed:
    return {"B": base64.b64encode(value).decode()}


def whole(name: str, bits: int, *, signed: bool) -> Kind:
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    sql = name if signed else f"{name} UNSIGNED"
    return Kind(sql, st.one_of(st.integers(low, high), st.sampled_from([low, high, 0])), number)


def decimals(digits: int, scale: int) -> st.SearchStrategy[Decimal]:
    """Return numbers of at most 38 digits that a DECIMAL takes, its bounds among them."""
    most = min(10**digits, 10**38) - 1
    figures = st.one_of(st.integers(-most, most), st.sampled_from([0, 1, -1, most, -most]))
    places = st.integers(max(0, 38 - (digits - scale)), scale) if scale else st.just(0)
    return st.builds(shifted, figures, places)


def shifted(figures: int, places: int) -> Decimal:
    """Return a number exactly: Decimal's own arithmetic would round it to 28 digits."""
    return Decimal(f"{figures}E-{places}")


def times(name: str, moments: st.SearchStrategy[datetime], fraction: int) -> Kind:
    """Return a type of so many digits of a second."""
    unit = 10 ** (6 - fraction)
    cut = moments.map(lambda value: value.replace(microsecond=value.microsecond // unit * unit))
    return Kind(f"{name}({fraction})" if fraction else name, cut, iso)


TIMES = st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999))
STAMPS = st.datetimes(datetime(1970, 1, 1, 0, 0, 1), datetime(2038, 1, 19, 3, 14, 7))


def iso(value: datetime) -> Typed:
    return {"S": value.isoformat() + "Z"}


def documents() -> st.SearchStrategy[Any]:
    """Return plain values as a JSON column holds them: every number one that JSON keeps."""
    fractions = st.builds(shifted, st.integers(-(10**15) + 1, 10**15 - 1), st.integers(0, 22))
    leaves = st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), fractions, TEXTS)
    return st.recursive(
        leaves,
        lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
        max_leaves=8,
    )


def typed_document(value: Any) -> Typed:
    if value is None:
        return {"NULL": True}
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, int | Decimal):
        return number(value)
    if isinstance(value, str):
        return text(value)
    if isinstance(value, list):
        return {"L": [typed_document(member) for member in value]}
    return {"M": {name: typed_document(member) for name, member in value.items()}}


def clock_times(digits: int) -> st.SearchStrategy[timedelta]:
    """Return times of a day, of so many digits of a second."""
    unit = 10 ** (6 - digits)
    return st.integers(0, 86_400 * 10**digits - 1).map(lambda count: timedelta(microseconds=count * unit))


def clock(value: timedelta) -> Typed:
    return {"S": (datetime(2000, 1, 1) + value).time().isoformat()}


INTEGERS = {"TINYINT": 8, "SMALLINT": 16, "MEDIUMINT": 24, "INT": 32, "INTEGER": 32, "BIGINT": 64}
FAMILIES = {
    "integers": [
        *(whole(name, bits, signed=signed) for name, bits in INTEGERS.items() for signed in (True, False)),
        Kind("BOOLEAN", st.booleans(), lambda value: {"BOOL": value}),
    ],
    "numbers": [
        Kind("DECIMAL(38,0)", decimals(38, 0), number),
        Kind("DECIMAL(65,30)", decimals(65, 30), number),
        Kind("DECIMAL(30,30)", st.integers(-(10**30) + 1, 10**30 - 1).map(lambda n: shifted(n, 30)), number),
        Kind("DECIMAL(10,2)", st.decimals(-99999999, 99999999, places=2), number),
        Kind("DOUBLE", st.floats(-9.99e125, 9.99e125).filter(is_dynamodbs), lambda value: number(repr(value))),
        Kind("VARCHAR(40)", st.integers(-DIGITS_38, DIGITS_38), number, str),
    ],
    "texts": [Kind(sql, TEXTS, text) for sql in ("VARCHAR(40)", "TINYTEXT", "TEXT", "MEDIUMTEXT", "LONGTEXT")],
    "binaries": [
        *(Kind(sql, BINARIES, binary) for sql in ("VARBINARY(60)", "TINYBLOB", "BLOB", "MEDIUMBLOB", "LONGBLOB")),
        Kind("VARBINARY(160)", TEXTS, text, str.encode),
    ],
    "shorter": [
        Kind("CHAR(40)", TEXTS.filter(lambda value: not value.endswith(" ")), text),
        Kind("ENUM('a','it''s,','é')", st.sampled_from(["a", "it's,", "é"]), text),
        Kind("YEAR", st.integers(1901, 2155), number),
        *(Kind(f"TIME({digits})" if digits else "TIME", clock_times(digits), clock) for digits in (0, 3, 6)),
    ],
    "times": [
        Kind("DATE", st.dates(date(1000, 1, 1), date(9999, 12, 31)), lambda value: text(value.isoformat())),
        *(times("DATETIME", TIMES, fraction) for fraction in range(7)),
        *(times("TIMESTAMP", STAMPS, fraction) for fraction in range(7)),
    ],
    "documents": [Kind("JSON", documents(), typed_document)],
}  # fmt: skip


def make_mapping(kinds: list[Kind]) -> Mapping:
    columns = [{"name": f"c{number}", "type": kind.sql, "from": f"c{number}"} for number, kind in enumerate(kinds)]
    return build_mapping(
        "round_trip",
        {
            "source": {"table": "round_trip", "partition_key": "id"},
            "schema": True,
            "target": {
                "database": "Demo",
                "table": "RoundTrip",
                "columns": [{"name": "id", "type": "VARCHAR(40)", "from": "id"}, *columns],
                "unmapped": "reject",
            },
        },
    )


def draw_rows(kinds: list[Kind]) -> st.SearchStrategy[dict[str, tuple[Any, ...]]]:
    """Return rows by key: any text that is a key, and for each column a value or none."""
    columns = st.tuples(*(st.one_of(st.none(), kind.values) for kind in kinds))
    return st.dictionaries(TEXTS.filter(bool), columns, min_size=1, max_size=12)


def make_item(kinds: list[Kind], key: str, row: tuple[Any, ...]) -> Typed:
    values = {
        f"c{n}": kind.typed(value) for n, (kind, value) in enumerate(zip(kinds, row, strict=True)) if value is not None
    }
    return {"id": text(key), **values}


def round_trip(
    target: Target, aurora: Aurora, kinds: list[Kind], rows: dict[str, tuple[Any, ...]], version: int
) -> None:
    mapper = RowMapper(target.mapping)
    changes = [Change(version, 0, {"id": text(key)}, make_item(kinds, key, row)) for key, row in rows.items()]
    batch = target.write([mapper.row(change) for change in changes], len(rows))
    result = import_batch(batch, target.mapping, aurora, S3Objects(), target.bucket, target.keep_refused)
    assert result.rows_changed == len(rows)
    with aurora.transaction():
        found = aurora.query("SELECT r.* FROM Demo.RoundTrip__replica r WHERE _version = %s", (version,))
    assert {key: values for _, _, _, key, *values in found}.keys() == rows.keys()
    for _, _, _, key, *values in found:
        for kind, expected, value in zip(kinds, rows[key], values, strict=True):
            if kind.sql == "JSON":
                assert (value and json.loads(value, parse_float=Decimal)) == expected
            else:
                assert value == (None if expected is None else kind.found(expected)), kind.sql
                assert not isinstance(expected, float) or repr(value) == repr(expected + 0.0)


def test_every_column_type_is_of_a_family() -> None:
    assert {parse_type(kind.sql).kind for kinds in FAMILIES.values() for kind in kinds} == set(_builders)


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_come_back_as_they_went_in(family: str, target_for: TargetFor) -> None:
    kinds = FAMILIES[family]
    target = target_for(make_mapping(kinds))
    versions = iter(range(1, 10**6))
    with connect(target.endpoint, target.loader, load_from_s3=True) as aurora:

        @examples(25)
        @given(draw_rows(kinds))
        def check(rows: dict[str, tuple[Any, ...]]) -> None:
            round_trip(target, aurora, kinds, rows, next(versions))

        check()
