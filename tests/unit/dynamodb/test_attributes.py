import base64
import gzip
import json
import tracemalloc
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynaurora.dynamodb.attributes import (
    ENCODINGS,
    MAX_INFLATED,
    Binary,
    describe,
    exact_number,
    load_json,
    parse_json,
    plain_item,
    plain_value,
    respell_numbers,
    spell_number,
)
from dynaurora.errors import RejectedChange

DYNAMODB_NUMBERS = st.builds(
    lambda sign, digits, exponent: f"{sign}{digits}E{exponent}",
    st.sampled_from(["", "-"]),
    st.integers(0, 10**38 - 1),
    st.integers(-130, 87),
)


@given(DYNAMODB_NUMBERS)
def test_a_number_keeps_all_its_digits(text):
    number = plain_value({"N": text}, "n")
    assert Decimal(number) == Decimal(text)
    assert type(number) is int or number != number.to_integral_value()


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("-0", 0),
        ("0E+999999", 0),
        ("12", 12),
        ("1.0", 1),
        ("1e2", 100),
        ("99999999999999999999999999999999999999", 10**38 - 1),
        ("0.1", Decimal("0.1")),
        ("1E-130", Decimal("1E-130")),
        ("1e999999", Decimal("1E+999999")),  # as an int it would be a megabyte
    ],
)
def test_a_whole_number_is_an_int(text, number):
    assert exact_number(text) == number
    assert type(exact_number(text)) is type(number)


@given(DYNAMODB_NUMBERS, st.integers(0, 20), st.integers(0, 20))
def test_a_number_has_one_spelling_however_it_is_written(text, zeros_before, zeros_behind):
    sign, digits, exponent = text.startswith("-"), text.lstrip("-").split("E")[0], int(text.split("E")[1])
    other = f"{'-' * sign}{'0' * zeros_before}{digits}{'0' * zeros_behind}.0e{exponent - zeros_behind}"
    one, two = exact_number(text), exact_number(other)
    assert (type(one), str(one)) == (type(two), str(two))
    assert spell_number(one) == spell_number(two)
    assert Decimal(spell_number(one)) == Decimal(text)
    assert "E" not in spell_number(one)


@pytest.mark.parametrize(
    ("text", "spelling"),
    [
        ("0.10", "0.1"),
        ("1.0E-30", "0.000000000000000000000000000001"),
        ("-0.00", "0"),
        ("1E+2", "100"),
        ("00012.50", "12.5"),
        ("0." + "1" * 60 + "0", "0." + "1" * 60),
        ("1e400", "1" + "0" * 400),
        ("10e400", "1E+401"),
        ("1500e400", "1.5E+403"),
        ("1e-400", "0." + "0" * 399 + "1"),
        ("10e-402", "1E-401"),
        ("1e999999999", "1E+999999999"),
    ],
)
def test_a_number_is_spelled_by_its_digits_while_it_needs_few_zeros(text, spelling):
    assert spell_number(exact_number(text)) == spelling


def test_a_whole_number_is_spelled_as_an_int_and_as_a_decimal_alike():
    assert spell_number(10**1000) == spell_number(exact_number("1e1000")) == "1E+1000"
    assert spell_number(10**5000 - 1) == "9" * 5000


def test_the_numbers_of_a_key_are_spelled_anew_and_nothing_else():
    key = {"n": {"N": "1.50"}, "s": {"S": "1.50"}, "none": {"N": "x"}, "odd": 7, "list": {"N": ["1.50"]}}
    assert respell_numbers(key) == key | {"n": {"N": "1.5"}}


@pytest.mark.parametrize(
    ("attribute", "plain"),
    [
        pytest.param({"S": ""}, "", id="empty string"),
        pytest.param({"S": "a\0b"}, "a\0b", id="NUL"),
        pytest.param({"S": "\ud800"}, "\ud800", id="lone surrogate is left for the column to refuse"),
        pytest.param({"B": "AAE="}, "AAE=", id="binary"),
        pytest.param({"BOOL": False}, False, id="false"),
        pytest.param({"NULL": True}, None, id="null"),
        pytest.param({"M": {"a": {"L": [{"N": "1"}, {"M": {}}]}}}, {"a": [1, {}]}, id="nested"),
        pytest.param({"SS": ["b", "a", "B"]}, ["B", "a", "b"], id="string set by code point"),
        pytest.param({"NS": ["10", "9", "-1.5"]}, [Decimal("-1.5"), 9, 10], id="number set by number"),
        pytest.param({"BS": ["/w==", "AA=="]}, ["AA==", "/w=="], id="binary set by bytes"),
    ],
)
def test_each_type_has_its_plain_value(attribute, plain):
    assert plain_value(attribute, "a") == plain


def test_binary_knows_its_bytes():
    value = plain_value({"B": "AAH/"}, "a")
    assert isinstance(value, Binary)
    assert value.data == b"\0\1\xff"


@pytest.mark.parametrize(
    "attribute",
    [
        None,
        "text",
        {},
        {"S": "a", "N": "1"},
        {"X": "a"},
        {"S": 1},
        {"N": 1},
        {"N": "one"},
        {"N": ""},
        {"N": "NaN"},
        {"N": "Infinity"},
        {"N": "1e99999"},
        {"N": "١٢"},
        {"N": "1_000"},
        {"N": " 1"},
        {"B": "a"},
        {"B": "ä==="},
        {"B": 1},
        {"BOOL": "true"},
        {"BOOL": 1},
        {"NULL": False},
        {"M": []},
        {"L": {}},
        {"SS": "ab"},
        {"SS": [1]},
        {"NS": ["x"]},
        {"BS": ["x"]},
    ],
    ids=str,
)
def test_what_dynamodb_does_not_write_is_rejected(attribute):
    with pytest.raises(RejectedChange) as caught:
        plain_value(attribute, "a")
    assert [(reason.rule, reason.path) for reason in caught.value.reasons] == [("attribute", "a")]


def test_the_reason_names_the_path_inside_of_the_item():
    with pytest.raises(RejectedChange) as caught:
        plain_item({"a": {"M": {"b": {"L": [{"N": "1"}, {"N": "x"}]}}}})
    assert caught.value.reasons[0].path == "a.b[1]"


def test_embedded_json_is_unwrapped_where_the_mapping_says_so():
    item = {"payload": {"S": '{"a": 1.50}'}, "text": {"S": '{"a": 1}'}, "number": {"N": "1"}}
    plain = plain_item(item, dict.fromkeys(["payload", "number", "absent"], "json"))
    assert plain == {"payload": {"a": Decimal("1.5")}, "text": '{"a": 1}', "number": 1}


@given(DYNAMODB_NUMBERS)
def test_numbers_in_embedded_json_are_exact(text):
    assert Decimal(parse_json(f"[{text}]", "payload")[0]) == Decimal(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param('{"a": 1, "a": 2}', {"a": 2}, id="the last of a repeated name"),
        pytest.param("null", None, id="null"),
        pytest.param('"\\u0000"', "\0", id="NUL"),
        pytest.param('"\\ud800"', "\ud800", id="lone surrogate"),
        pytest.param("1e999999", Decimal("1e999999"), id="number beyond all columns"),
        pytest.param("1e-999999999", Decimal("1e-999999999"), id="number below all columns"),
    ],
)
def test_unusual_json_is_read(text, value):
    assert parse_json(text, "payload") == value


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("hello", id="text"),
        pytest.param('{"a": 1', id="truncated"),
        pytest.param("{'a': 1}", id="Python, not JSON"),
        pytest.param('{"a": 1} {}', id="two documents"),
        pytest.param("[NaN]", id="NaN"),
        pytest.param("[-Infinity]", id="Infinity"),
        pytest.param("1" * 5000, id="5000 digits"),
        pytest.param("1e9999999999999999999", id="exponent that no number has"),
        pytest.param("[" * 100_000 + "]" * 100_000, id="nested deep"),
    ],
)
def test_what_is_not_json_is_rejected_with_its_attribute(text):
    with pytest.raises(RejectedChange) as caught:
        plain_item({"payload": {"S": text}}, {"payload": "json"})
    assert [(reason.rule, reason.path) for reason in caught.value.reasons] == [("json", "payload")]


def test_a_refusal_does_not_repeat_the_text():
    with pytest.raises(RejectedChange) as caught:
        parse_json("alice@example.com", "payload")
    assert "alice" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "null"),
        (True, "a boolean"),
        (1, "a number"),
        (Decimal("0.5"), "a number"),
        ("", "a string"),
        (Binary("AA=="), "binary"),
        ([], "an array"),
        ({}, "an object"),
    ],
)
def test_values_are_described_in_json_words(value, words):
    assert describe(value) == words


JSON_TEXTS = [
    *("1", "-0", "-0.0", "1.0", "1e2", "1e400", "1E-400", "1.50", "12345678901234567890", "18446744073709551616"),
    *(
        "9" * 40,
        "9" * 5000,
        "0." + "1" * 60,
        "1e99999",
        "1e999999999999999999999",
        "NaN",
        "-Infinity",
        "01",
        ".5",
        "tru",
    ),
    *('"\\ud800"', '"\\ud83d\\ude00"', '"\\u0000"', '"tab\there"', '{"a": 1, "a": 2}', '{"\\u0061": 1}', " {} "),
    *(
        "",
        "null",
        "{",
        "{}x",
        "\ufeff{}",
        "[1,]",
        "[" * 250 + "]" * 250,
        "[" * 5000 + "]" * 5000,
        "\ud800",
        '"\u2028\x7f"',
    ),
]


def answer(read, text):
    """What reading a text returns, written down; nothing where it refuses."""
    try:
        return repr(read(text))
    except (ValueError, ArithmeticError, RecursionError, RejectedChange):
        return None


def refuse(name):
    raise ValueError(name)


@pytest.mark.parametrize("text", JSON_TEXTS, ids=lambda text: repr(text[:30]))
def test_json_is_read_as_json_reads_it(text):
    def read(text):
        return json.loads(text, parse_float=exact_number, parse_constant=refuse)

    assert answer(lambda text: parse_json(text, "a"), text) == answer(read, text)


@pytest.mark.parametrize("text", JSON_TEXTS, ids=lambda text: repr(text[:30]))
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_bytes_of_json_are_read_as_json_reads_them(text, encoding):
    data = text.encode(encoding, "surrogatepass")
    assert answer(load_json, data) == answer(json.loads, data)


def binary(data):
    return {"B": base64.b64encode(data).decode()}


GZIP = gzip.compress(b'{"x": 1}', mtime=0)


@pytest.mark.parametrize(
    ("encoding", "attribute", "plain"),
    [
        ("json_twice", {"S": json.dumps('{"x": 1}')}, {"x": 1}),
        ("json_twice", {"S": '{"x": 1}'}, {"x": 1}),
        ("json_twice", {"S": "[1]"}, [1]),
        ("binary", binary(b'{"x": 1}'), {"x": 1}),
        ("binary", {"S": '{"x": 1}'}, {"x": 1}),
        ("gzip", binary(GZIP), {"x": 1}),
        ("gzip", {"S": base64.b64encode(GZIP).decode()}, {"x": 1}),
        ("json", {"S": "[1]"}, [1]),
        ("json", binary(b"{}"), "e30="),
        *((encoding, {"M": {"x": {"N": "1"}}}, {"x": 1}) for encoding in ENCODINGS),
        *((encoding, {"NULL": True}, None) for encoding in ENCODINGS),
        *((encoding, {"N": "1"}, 1) for encoding in ENCODINGS),
    ],
)
def test_embedded_json_is_unwrapped_of_its_encoding(encoding, attribute, plain):
    assert plain_item({"p": attribute}, {"p": encoding}) == {"p": plain}


@pytest.mark.parametrize(
    ("encoding", "attribute", "problem"),
    [
        ("json_twice", {"S": '"x"'}, "is not JSON"),
        ("json_twice", {"S": "x"}, "is not JSON"),
        ("binary", binary(b"\xff{}"), "not UTF-8 at byte 0"),
        ("binary", binary(b"{"), "is not JSON"),
        ("gzip", binary(b"{}"), "is not gzip"),
        ("gzip", {"S": "{}"}, "neither binary nor base64"),
        ("gzip", {"S": "é"}, "neither binary nor base64"),
        ("gzip", binary(GZIP[:-1]), "ends too early"),
        ("gzip", binary(GZIP[:5]), "ends too early"),
        ("gzip", binary(b""), "ends too early"),
        ("gzip", binary(GZIP + b"x"), "something behind"),
        ("gzip", binary(GZIP + GZIP), "something behind"),
        ("gzip", binary(GZIP[:-8] + b"\0" * 8), "is not gzip"),
        ("gzip", binary(gzip.compress(b" " * MAX_INFLATED + b"{}")), "more than 4,194,304 bytes"),
        ("gzip", binary(gzip.compress(b"\xff")), "not UTF-8"),
    ],
)
def test_what_is_not_in_its_encoding_is_rejected_with_its_attribute(encoding, attribute, problem):
    with pytest.raises(RejectedChange, match=problem) as caught:
        plain_item({"p": attribute}, {"p": encoding})
    assert [(reason.rule, reason.path) for reason in caught.value.reasons] == [("json", "p")]


def test_a_bomb_of_gzip_is_not_unpacked():
    bomb = binary(gzip.compress(bytes(300 * 2**20), 9))
    tracemalloc.start()
    with pytest.raises(RejectedChange, match="more than 4,194,304 bytes"):
        plain_item({"p": bomb}, {"p": "gzip"})
    assert tracemalloc.get_traced_memory()[1] < 16 * 2**20
    tracemalloc.stop()
