"""Every column type, through the production path and the real `LOAD DATA`, back as it went in."""

import json
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from dynaurora.dynamodb.changes import Change
from dynaurora.mappings.mapping import build_mapping
from dynaurora.mappings.row_mapper import RowMapper
from dynaurora.verification.compare_items import compare_table
from tests.integration.targets import TargetFor

pytestmark = pytest.mark.integration

DIGITS_38 = "12345678901234567890123456789012345678"
BYTES = "AAEC/w=="

# name, column type, attribute, what MySQL gives back
VALUES: list[tuple[str, str, dict[str, Any], Any]] = [
    ("tinyint_low", "TINYINT", {"N": "-128"}, -128),
    ("tinyint_unsigned", "TINYINT UNSIGNED", {"N": "255"}, 255),
    ("smallint_high", "SMALLINT", {"N": "32767"}, 32767),
    ("mediumint_low", "MEDIUMINT", {"N": "-8388608"}, -8388608),
    ("int_high", "INT", {"N": "2147483647"}, 2147483647),
    ("int_whole", "INT", {"N": "1E2"}, 100),
    ("bigint_low", "BIGINT", {"N": "-9223372036854775808"}, -(2**63)),
    ("bigint_unsigned", "BIGINT UNSIGNED", {"N": "18446744073709551615"}, 2**64 - 1),
    ("decimal_38", "DECIMAL(38,0)", {"N": DIGITS_38}, Decimal(DIGITS_38)),
    ("decimal_behind", "DECIMAL(65,30)", {"N": "-0.000000000000000000000000000001"}, Decimal("-1E-30")),
    ("decimal_trailing", "DECIMAL(10,2)", {"N": "1.50"}, Decimal("1.50")),
    ("double", "DOUBLE", {"N": "0.1"}, 0.1),
    ("double_large", "DOUBLE", {"N": "1E+125"}, 1e125),
    ("varchar_number", "VARCHAR(64)", {"N": DIGITS_38}, DIGITS_38),
    ("varchar_emoji", "VARCHAR(3)", {"S": "🦄é漢"}, "🦄é漢"),
    ("varchar_empty", "VARCHAR(3)", {"S": ""}, ""),
    ("varchar_null", "VARCHAR(3)", {"NULL": True}, None),
    ("text", "TEXT", {"S": "a,\\\n\r\t\0\x1a'\"\\N"}, "a,\\\n\r\t\0\x1a'\"\\N"),
    ("longtext", "LONGTEXT", {"S": "x" * 300_000}, "x" * 300_000),
    ("varbinary", "VARBINARY(4)", {"B": BYTES}, b"\x00\x01\x02\xff"),
    ("varbinary_text", "VARBINARY(8)", {"S": "é"}, "é".encode()),
    ("blob_empty", "BLOB", {"B": ""}, b""),
    ("boolean", "BOOLEAN", {"BOOL": True}, 1),
    ("date_early", "DATE", {"S": "1000-01-01"}, date(1000, 1, 1)),
    ("date_late", "DATE", {"S": "9999-12-31"}, date(9999, 12, 31)),
    ("datetime_offset", "DATETIME", {"S": "2026-11-23T01:30:00+02:00"}, datetime(2026, 11, 22, 23, 30)),
    ("datetime_micros", "DATETIME(6)", {"S": "2026-11-23T08:15:00.123456Z"}, datetime(2026, 11, 23, 8, 15, 0, 123456)),
    ("timestamp", "TIMESTAMP(3)", {"S": "2038-01-19T03:14:07.5Z"}, datetime(2038, 1, 19, 3, 14, 7, 500000)),
    ("char", "CHAR(4)", {"S": " é🦄x"}, " é🦄x"),
    ("char_empty", "CHAR(4)", {"S": ""}, ""),
    ("char_longest", "CHAR(255)", {"S": "🦄" * 255}, "🦄" * 255),
    ("time", "TIME", {"S": "23:59:59"}, timedelta(hours=23, minutes=59, seconds=59)),
    ("time_micros", "TIME(6)", {"S": "T08:15:00,123456"}, timedelta(hours=8, minutes=15, microseconds=123456)),
    ("time_end", "TIME(3)", {"S": "24:00"}, timedelta(hours=24)),
    ("year_first", "YEAR", {"N": "1901"}, 1901),
    ("year_last", "YEAR", {"S": "2155"}, 2155),
    ("enum", "ENUM('a','A','é','e','it''s, (b)','1')", {"S": "it's, (b)"}, "it's, (b)"),
    ("enum_case", "ENUM('a','A','é','e')", {"S": "A"}, "A"),
    ("enum_accent", "ENUM('e','é')", {"S": "é"}, "é"),
    ("enum_digit", "ENUM('2','1')", {"S": "1"}, "1"),
    ("datetime_basic", "DATETIME(3)", {"S": "20261123T081500,25+0200"}, datetime(2026, 11, 23, 6, 15, 0, 250000)),
    ("datetime_end", "DATETIME", {"S": "2026-12-31T24:00Z"}, datetime(2027, 1, 1)),
    ("datetime_day", "DATETIME", {"S": "2026-12-31"}, datetime(2026, 12, 31)),
    ("json_null", "JSON", {"NULL": True}, "null"),
    ("json_text", "JSON", {"S": 'a"\\\n,'}, 'a"\\\n,'),
    ("json_set", "JSON", {"SS": ["b", "a"]}, ["a", "b"]),
    ("json_numbers", "JSON", {"NS": ["10", "9", "0.5"]}, [0.5, 9, 10]),
    ("json_exact", "JSON", {"N": DIGITS_38}, DIGITS_38),
    ("json_nested", "JSON", {"M": {"l": {"L": [{"B": BYTES}, {"BOOL": False}]}}}, {"l": [BYTES, False]}),
]


ALL_TYPES = build_mapping(
    "all_types",
    {
        "source": {"table": "all_types", "partition_key": "id"},
        "schema": {"type": "object"},
        "target": {
            "database": "Demo",
            "table": "AllTypes",
            "columns": [
                {"name": "id", "type": "VARBINARY(255)", "from": "id"},
                *({"name": name, "type": kind, "from": name} for name, kind, _, _ in VALUES),
                {"name": "absent", "type": "JSON", "from": "absent"},
            ],
            "unmapped": {"column": "extra"},
        },
    },
)


def test_every_type_comes_back_as_it_went_in(target_for: TargetFor) -> None:
    target = target_for(ALL_TYPES)
    item = {"id": {"S": "k"}, "left": {"N": "7"}, **{name: attribute for name, _, attribute, _ in VALUES}}
    row = RowMapper(target.mapping).row(Change(2, 0, {"id": item["id"]}, item))
    assert target.import_rows([row]).rows_changed == 1
    for version in (2, 1):  # a row that is kept is assigned its own values, which changes nothing of any type
        assert target.import_rows([replace(row, version=version)]).rows_changed == 0

    (found,) = target.query("SELECT * FROM Demo.AllTypes")
    values = dict(zip([column.name for column in target.mapping.columns], found, strict=True))
    expected = {name: value for name, _, _, value in VALUES}
    for name, kind, _, _ in VALUES:
        if kind == "JSON" and name != "json_null":
            values[name] = json.loads(values[name])
    assert {name: values[name] for name in expected} == expected
    assert (values["absent"], json.loads(values["extra"])) == (None, {"left": 7})

    with target.connect() as aurora:
        assert compare_table(target.mapping, [item], aurora).identical == 1
