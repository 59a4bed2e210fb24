import json
import re
from base64 import b64encode
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynaurora.dynamodb.attributes import Binary, exact_number
from dynaurora.mappings.columns import parse_type
from dynaurora.mappings.misfits import Misfit

DIGITS_38 = 12345678901234567890123456789012345678


def encode(kind, value):
    return parse_type(kind).encode(value)


def rule_of(kind, value):
    with pytest.raises(Misfit) as caught:
        encode(kind, value)
    return caught.value.rule


@pytest.mark.parametrize(
    ("kind", "value", "field"),
    [
        ("TINYINT", -128, "-128"),
        ("TINYINT UNSIGNED", 255, "255"),
        ("SMALLINT", 32767, "32767"),
        ("MEDIUMINT UNSIGNED", 2**24 - 1, "16777215"),
        ("INT", -(2**31), "-2147483648"),
        ("INTEGER", 2**31 - 1, "2147483647"),
        ("BIGINT", 2**63 - 1, "9223372036854775807"),
        ("BIGINT UNSIGNED", 2**64 - 1, "18446744073709551615"),
        ("DECIMAL(38,0)", DIGITS_38, str(DIGITS_38)),
        (
            "DECIMAL(38,4)",
            Decimal("1234567890123456789012345678901234.5678"),
            "1234567890123456789012345678901234.5678",
        ),
        ("DECIMAL(5,1)", Decimal("1.10"), "1.1"),
        ("DECIMAL(5,5)", Decimal("0.00001"), "0.00001"),
        ("DECIMAL(5,2)", Decimal("-1E+2"), "-100"),
        ("DECIMAL", 10**10 - 1, "9999999999"),
        ("DOUBLE", Decimal("0.1"), "0.1"),
        ("DOUBLE", 2**53, "9007199254740992.0"),
        ("VARCHAR(2)", "é😀", "é😀"),
        ("VARCHAR(9)", "a\0b\\N", "a\0b\\N"),
        ("VARCHAR(38)", DIGITS_38, str(DIGITS_38)),
        ("VARCHAR(9)", Decimal("1.5E-3"), "0.0015"),
        ("VARCHAR(9)", Binary("AAE="), "AAE="),
        ("VARCHAR(20)", Decimal("1E-999999999"), "1E-999999999"),
        ("TINYTEXT", "x" * 255, "x" * 255),
        ("VARBINARY(4)", "😀", b64encode("😀".encode()).decode()),
        ("BLOB", Binary("AAH/"), "AAH/"),
        ("BOOLEAN", True, "1"),
        ("BOOLEAN", False, "0"),
        ("DATE", "2024-02-29", "2024-02-29"),
        ("DATETIME", "2024-02-29T12:00:00", "2024-02-29 12:00:00"),
        ("DATETIME(3)", "2024-02-29T12:00:00.120Z", "2024-02-29 12:00:00.12"),
        ("DATETIME(6)", "2024-02-29 23:30:00.123456-01:00", "2024-03-01 00:30:00.123456"),
        ("TIMESTAMP", "2038-01-19T03:14:07Z", "2038-01-19 03:14:07"),
        ("CHAR(3)", " äb", " äb"),
        ("CHAR(3)", 123, "123"),
        ("YEAR", 1901, "1901"),
        ("YEAR", "2155", "2155"),
        ("ENUM('a','it''s, (b)')", "it's, (b)", "it's, (b)"),
        ("JSON", {"a": [None, True, "ü\0"]}, '{"a":[null,true,"ü\\u0000"]}'),
        ("JSON", None, "null"),
        ("JSON", "", '""'),
        ("JSON", 2**64 - 1, "18446744073709551615"),
        ("JSON", 2**64, '"18446744073709551616"'),
        ("JSON", Decimal("0.1"), "0.1"),
        ("JSON", Decimal("-12345678.1234567"), "-12345678.1234567"),
        ("JSON", Decimal("0.1234567890123456"), '"0.1234567890123456"'),
        ("JSON", Decimal("0.50000000000000000000"), "0.5"),
        ("JSON", Decimal("1E-22"), "1e-22"),
        ("JSON", Decimal("1E-23"), '"0.00000000000000000000001"'),
        ("JSON", Decimal("1.5E-22"), '"0.00000000000000000000015"'),
        ("JSON", {"ü" * 32_767: 1}, '{"' + "ü" * 32_767 + '":1}'),
        ("JSON", Decimal("0.12345678901234567890123456789"), '"0.12345678901234567890123456789"'),
        ("JSON", Decimal("1E+400"), f'"1{"0" * 400}"'),
        ("JSON", Decimal("1E+401"), '"1E+401"'),
    ],
)
def test_a_value_that_fits_is_written_exactly(kind, value, field):
    assert encode(kind, value) == field


@pytest.mark.parametrize(
    ("kind", "value", "rule"),
    [
        ("TINYINT", 128, "range"),
        ("TINYINT", -129, "range"),
        ("TINYINT UNSIGNED", -1, "range"),
        ("INT", 2**31, "range"),
        ("BIGINT", 2**63, "range"),
        ("BIGINT", 10**400, "range"),
        ("BIGINT", Decimal("1E+999999"), "type"),
        ("INT", Decimal("1.5"), "type"),
        ("INT", True, "type"),
        ("INT", "1", "type"),
        ("DECIMAL(38,0)", DIGITS_38 * 10, "range"),
        ("DECIMAL(5,2)", Decimal(1000), "range"),
        ("DECIMAL(5,2)", Decimal("0.001"), "range"),
        ("DECIMAL(5,2)", Decimal("1E+999999"), "range"),
        ("DECIMAL(5,2)", Decimal("1E-999999"), "range"),
        ("DECIMAL(5,2)", "1", "type"),
        ("DECIMAL(5,2)", True, "type"),
        ("DOUBLE", DIGITS_38, "range"),
        ("DOUBLE", Decimal("1E+309"), "range"),
        ("DOUBLE", Decimal("1E-400"), "range"),
        ("DOUBLE", 10**400, "range"),
        ("DOUBLE", "1", "type"),
        ("VARCHAR(2)", "abc", "length"),
        ("VARCHAR(9)", "a\ud800", "unicode"),
        ("VARCHAR(9)", True, "type"),
        ("VARCHAR(9)", [], "type"),
        ("VARCHAR(9)", Decimal("1E+9"), "length"),
        ("TINYTEXT", "é" * 128, "length"),
        ("TEXT", "\udfff", "unicode"),
        ("VARBINARY(3)", "😀", "length"),
        ("VARBINARY(9)", "\ud800", "unicode"),
        ("TINYBLOB", Binary(b64encode(bytes(256)).decode()), "length"),
        ("BLOB", 1, "type"),
        ("BOOLEAN", 1, "type"),
        ("BOOLEAN", "true", "type"),
        ("DATE", "2023-02-29", "format"),
        ("DATE", "29.02.2024", "format"),
        ("DATE", "2024-02-29T00:00:01", "range"),
        ("DATE", "٢٠٢٤-٠١-٠١", "format"),
        ("DATE", "0999-01-01", "range"),
        ("DATE", 20240229, "format"),
        ("DATETIME", "2024-02", "format"),
        ("DATETIME", "2024-02-29T25:00:00", "format"),
        ("DATETIME", "2024-02-29T12:00:00+25:00", "format"),
        ("DATETIME", "0001-01-01T00:00:00+01:00", "format"),
        ("DATETIME", "0999-12-31T23:59:59", "range"),
        ("DATETIME", "2024-02-29T12:00:00.5", "range"),
        ("DATETIME(6)", "2024-02-29T12:00:00.1234567", "range"),
        ("TIMESTAMP", "2038-01-19T03:14:08Z", "range"),
        ("TIMESTAMP", "1970-01-01T00:00:00Z", "range"),
        ("CHAR(3)", "abcd", "length"),
        ("CHAR(3)", "ab ", "format"),
        ("CHAR(3)", True, "type"),
        ("YEAR", 1900, "range"),
        ("YEAR", 2156, "range"),
        ("YEAR", 0, "range"),
        ("YEAR", "24", "type"),
        ("YEAR", "٢٠٢٤", "type"),
        ("YEAR", True, "type"),
        ("ENUM('a','b')", "A", "member"),
        ("ENUM('a','b')", "", "member"),
        ("ENUM('a','b')", "1", "member"),
        ("ENUM('a','b')", 1, "type"),
        ("JSON", "\ud800", "unicode"),
        ("JSON", {"\ud800": 1}, "unicode"),
        ("JSON", [{"ü" * 32_768: 1}], "length"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(kind, value, rule):
    assert rule_of(kind, value) == rule


def test_a_refusal_tells_limit_and_size_and_never_the_value():
    with pytest.raises(Misfit, match="has 17 characters, and the column takes 5") as caught:
        encode("VARCHAR(5)", "alice@example.com")
    assert "alice" not in str(caught.value)


def nested(depth):
    value = []
    for _ in range(depth - 1):
        value = [value]
    return value


def test_json_nests_as_deep_as_mysql_takes_it():
    assert encode("JSON", nested(100)) == "[" * 100 + "]" * 100
    assert rule_of("JSON", nested(101)) == "depth"


NUMBERS = st.builds(
    lambda digits, exponent: exact_number(f"{digits}E{exponent}"),
    st.integers(-(10**38) + 1, 10**38 - 1),
    st.integers(-130, 87),
)


@given(NUMBERS)
def test_a_number_is_written_exactly_or_refused(number):
    for kind in ("DECIMAL(65,30)", "DECIMAL(38,0)", "DOUBLE", "BIGINT", "VARCHAR(200)"):
        try:
            field = encode(kind, number)
        except Misfit:
            continue
        assert Decimal(field) == number


@given(NUMBERS)
def test_decimals_take_every_number_within_their_digits(number):
    digits, _, fraction = format(Decimal(number), "f").lstrip("-").partition(".")
    fits = len(digits.lstrip("0")) <= 35 and len(fraction.rstrip("0")) <= 30
    try:
        field = encode("DECIMAL(65,30)", number)
    except Misfit:
        assert not fits
    else:
        assert fits
        assert len(field.partition(".")[2]) <= 30


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(),
    lambda values: st.lists(values, max_size=4) | st.dictionaries(st.text(), values, max_size=4),
)


@given(JSON_VALUES)
def test_json_comes_back(value):
    assert json.loads(encode("JSON", value)) == value


@pytest.mark.parametrize(
    ("text", "key_bytes"),
    [
        ("TINYINT", 1),
        ("BIGINT UNSIGNED", 8),
        ("VARCHAR(255)", 1020),
        ("VARBINARY(2048)", 2048),
        ("DECIMAL(38,10)", 30),
        ("TEXT", None),
        ("CHAR(36)", 144),
        ("DOUBLE", None),
        ("JSON", None),
    ],
)
def test_the_bytes_of_a_key_column(text, key_bytes):
    column_type = parse_type(text)
    assert column_type.key_bytes == key_bytes
    assert column_type.sql == text


@pytest.mark.parametrize(
    "text",
    [
        "10",
        "varchar(10)",
        "VARCHAR",
        "VARCHAR(0)",
        "VARCHAR(16384)",
        "VARCHAR(10,2)",
        "VARCHAR(10) CHARACTER SET latin1",
        "VARCHAR(10)); DROP TABLE x; --",
        "VARBINARY",
        "INT(11)",
        "TEXT(10)",
        "DECIMAL(66,0)",
        "DECIMAL(10,31)",
        "DECIMAL(5,6)",
        "DECIMAL(0,0)",
        "DECIMAL(10,2) UNSIGNED",
        "VARCHAR(10) UNSIGNED",
        "DATETIME(7)",
        "DATE(3)",
        "JSON(1)",
        "BOOLEAN(1)",
        "DOUBLE(5,2)",
        "GEOMETRY",
        "ENUM",
        "ENUM()",
        "ENUM('')",
        "ENUM('a'",
        "ENUM('a','a')",
        "ENUM('a ')",
        "ENUM('a\\')",
        "ENUM('a\n')",
        "ENUM('a') DEFAULT 'a'",
        "ENUM('a'); DROP TABLE x; --",
        "CHAR",
        "CHAR(256)",
        "YEAR(4)",
        "TIME(7)",
        "BIT(1)",
        "BIGINT\n",
    ],
)
def test_a_type_that_is_not_known_is_refused_by_name(text):
    with pytest.raises(ValueError, match=re.escape(text.partition("(")[0].partition(" ")[0].strip())):
        parse_type(text)


@pytest.mark.parametrize(
    ("text", "binary", "text_column"),
    [("VARCHAR(9)", False, True), ("LONGTEXT", False, True), ("VARBINARY(9)", True, False), ("BLOB", True, False)],
)
def test_binary_and_text_columns_are_told_apart(text, binary, text_column):
    assert parse_type(text).is_binary is binary
    assert parse_type(text).is_text is text_column


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("varchar(10)", "'varchar(10)' is not in capitals, as VARCHAR(10)"),
        ("BIT(8)", "BIT is not one of the column types: BOOLEAN, or an integer that is UNSIGNED, takes the same here"),
        ("FLOAT", "FLOAT is not one of the column types: DOUBLE takes the same here"),
        (f"ENUM('{'x' * 256}')", "ENUM takes members of up to 255 characters, and one has 256"),
    ],
)
def test_a_type_that_is_none_here_is_told_with_the_one_that_is_meant(text, problem):
    with pytest.raises(ValueError, match=re.escape(problem)):
        parse_type(text)
