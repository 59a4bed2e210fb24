from decimal import Decimal

import jmespath
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jmespath.exceptions import JMESPathTypeError

from dynaurora.dynamodb.attributes import Binary, exact_number
from dynaurora.mappings.expressions import InvalidExpressionError, compile_expression
from dynaurora.mappings.functions import NoValueError

DIGITS_38 = "12345678901234567890123456789012345678"
HALF = Decimal("0.5")


@pytest.mark.parametrize(
    ("expression", "value", "found"),
    [
        ("x == `0.1`", {"x": Decimal("0.1")}, True),
        ("x != `0.1`", {"x": Decimal("0.1")}, False),
        ("x > `0.05`", {"x": Decimal("0.1")}, True),
        ("x == `1.0`", {"x": 1}, True),
        ("list[?x == `0.1`].y | [0]", {"list": [{"x": Decimal("0.1"), "y": 4}]}, 4),
        ('x == `{"a": [0.1]}`', {"x": {"a": [Decimal("0.1")]}}, True),
        ("`1e2`", None, 100),
        ("list[0:2]", {"list": [1, 2, 3]}, [1, 2]),
        ("sum(@)", [1, Decimal("0.1"), Decimal("1E-100")], Decimal("1.1" + "0" * 98 + "1")),
        ("sum(@)", [Decimal("2.5"), HALF], 3),
        ("sum(@)", [], 0),
        ("avg(@)", [1, Decimal("0.2")], Decimal("0.6")),
        ("avg(@)", [1, 3], 2),
        ("avg(@)", [1, 0, 0], Decimal("0.3333333333333333")),
        ("avg(@)", [], None),
        ("abs(@)", Decimal(f"-{DIGITS_38}.5"), Decimal(f"{DIGITS_38}.5")),
        ("ceil(@)", HALF, 1),
        ("floor(@)", -HALF, -1),
        ("ceil(@)", Decimal("1E+999999999"), Decimal("1E+999999999")),
        ("max(@)", [1, Decimal("1.5")], Decimal("1.5")),
        ("sort(@)", [2, HALF, 1], [HALF, 1, 2]),
        ("sort_by(@, &a)[0].a", [{"a": 2}, {"a": HALF}], HALF),
        ("max_by(@, &a).a", [{"a": HALF}, {"a": 2}], 2),
        ("type(@)", HALF, "number"),
        ("to_number(@)", HALF, HALF),
        ("to_number(@)", "1.5", Decimal("1.5")),
        ("to_number(@)", DIGITS_38, int(DIGITS_38)),
        ("to_number(@)", None, None),
        ("to_string(@)", HALF, "0.5"),
        ("to_string(@)", {"x": HALF}, '{"x":0.5}'),
        ("to_string(@)", "text", "text"),
    ],
)
def test_numbers_stay_exact(expression, value, found):
    result = compile_expression(expression)(value)
    assert result == found
    assert type(result) is type(found)


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**15), max_value=10**15, places=3))
def test_a_literal_equals_the_number_that_it_writes(number):
    if len(number.as_tuple().digits) <= 15:
        assert compile_expression(f"@ == `{number:f}`")(exact_number(str(number))) is True


def test_what_would_be_rounded_has_no_value():
    with pytest.raises(ArithmeticError):
        compile_expression("sum(@)")([Decimal("1E+99999"), 1])


def test_text_is_no_number():
    with pytest.raises(JMESPathTypeError):
        compile_expression("sum(@)")([HALF, "1"])


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("nothing(a)", r"nothing\(\) is not a function"),
        ("sort_by(a, &nothing(@))", r"nothing\(\) is not a function"),
        ("length()", "takes 1 arguments, and is given 0"),
        ("substring(a)", "takes 2 to 3 arguments, and is given 1"),
        ("substring(a, b, c, d)", "takes 2 to 3 arguments, and is given 4"),
        ("split(a)", "takes 2 arguments, and is given 1"),
        ("concat()", "takes at least 1 arguments, and is given 0"),
        ("not_null()", "takes at least 1 arguments, and is given 0"),
        ("`NaN`", "no numbers"),
        ("9" * 5000, "is not JMESPath"),
        ("a..b", "is not JMESPath"),
    ],
)
def test_an_expression_that_cannot_be_evaluated_is_refused(expression, problem):
    with pytest.raises(InvalidExpressionError, match=problem):
        compile_expression(expression)


def test_the_librarys_own_compiled_expressions_are_left_alone():
    compile_expression("@ == `0.25`")
    assert jmespath.compile("@ == `0.25`").parsed["children"][1]["value"] == 0.25
    assert type(jmespath.compile("@ == `0.25`").parsed["children"][1]["value"]) is float


@pytest.mark.parametrize("value", ["NaN", "$3", "12,50", " 12 ", "", True, [], {}])
def test_what_is_no_number_has_no_number(value):
    with pytest.raises(NoValueError, match=r"to_number\(\)"):
        compile_expression("to_number(@)")(value)


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("to_number(split(PK, '#')[1])", 17),
        ("split(PK, '#')", ["ORDER", "17", "x"]),
        ("split(PK, '-')", ["ORDER#17#x"]),
        ("split(PK, '#')[-1]", "x"),
        ("split(PK, '#')[9]", None),
        ("replace(PK, '#', '--')", "ORDER--17--x"),
        ("to_number(replace(price, ',', '.'))", Decimal("12.5")),
        ("substring(PK, `6`)", "17#x"),
        ("substring(PK, `0`, `5`)", "ORDER"),
        ("substring(PK, `-1`)", "x"),
        ("substring(PK, `99`)", ""),
        ("lower(PK)", "order#17#x"),
        ("upper('straße')", "STRASSE"),
        ("trim(padded)", "a b"),
        ("to_number(trim(' 12 '))", 12),
        ("concat(PK, '/', n, '/', half)", "ORDER#17#x/7/0.5"),
        ("join('-', split(PK, '#'))", "ORDER-17-x"),
        ("concat(PK, nothing)", None),
        ("lower(nothing)", None),
        ("upper(nothing)", None),
        ("trim(nothing)", None),
        ("split(nothing, '#')", None),
        ("split(nothing, '#')[1]", None),
        ("replace(nothing, 'a', 'b')", None),
        ("substring(nothing, `1`)", None),
        ("to_number(split(nothing, '#')[1])", None),
    ],
)
def test_functions_on_text(expression, found):
    item = {"PK": "ORDER#17#x", "price": "12,50", "padded": " \ta b\u3000", "n": 7, "half": HALF}
    result = compile_expression(expression)(item)
    assert result == found
    assert type(result) is type(found)


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("split(@, '')", "at least one character"),
        ("replace(@, '', 'x')", "at least one character"),
        ("substring(@, `0.5`)", "whole numbers"),
    ],
)
def test_an_argument_that_means_nothing_is_refused(expression, problem):
    with pytest.raises(NoValueError, match=problem):
        compile_expression(expression)("text")


@pytest.mark.parametrize("expression", ["lower(@)", "split(@, ',')", "concat(@)", "substring(@, `1`)"])
def test_functions_on_text_take_text(expression):
    for value in ([], {}, True, Binary("AAE=")):
        with pytest.raises(JMESPathTypeError):
            compile_expression(expression)(value)


@pytest.mark.parametrize(
    "expression",
    [
        "replace(big, 'x', big)",
        "join(big, many)",
        f"many[].concat(@, '{'y' * 300}')",
    ],
)
def test_functions_make_a_bounded_text(expression):
    item = {"big": "x" * 400_000, "many": ["x"] * 20_000}
    find = compile_expression(expression)
    with pytest.raises(NoValueError, match="4,194,304 characters"):
        find(item)
    assert compile_expression("lower(big)")(item) == item["big"]
    for _ in range(20):  # each item has them anew
        compile_expression("lower(big)")(item)


@pytest.mark.parametrize(
    ("expression", "value", "problem"),
    [
        ("PK[5:]", {"PK": "ORDER#17"}, r"a string, which has no elements: substring\(\)"),
        ("PK[0]", {"PK": "ORDER#17"}, "a string, which has no elements"),
        ('"user-id".name', {"user-id": 5}, "a number, which has no name"),
        ("a[*].b", {"a": {"b": 1}}, "an object, which has no elements"),
        ("a[].b", {"a": "x"}, "a string, which has no elements"),
        ("a[?b].c", {"a": 5}, "a number, which has no elements"),
        ("a.*", {"a": [1]}, "an array, which has no members"),
        ("a[*].b | [0]", {"a": ["x"]}, "a string, which has no b"),
        ("a.b || c.d", {"a": "x", "c": {}}, "a string, which has no b"),
        ("not_null(a.b)", {"a": [1]}, "an array, which has no b"),
    ],
)
def test_a_value_that_is_there_and_cannot_be_reached_has_no_null(expression, value, problem):
    with pytest.raises(NoValueError, match=problem):
        compile_expression(expression)(value)


@pytest.mark.parametrize(
    ("expression", "value", "found"),
    [
        ("a.b || a", {"a": "x"}, "x"),
        ("a.b", {"a": None}, None),
        ("a.b", {}, None),
        ("a[0].b", {"a": []}, None),
        ("a[?b.c == 'x'].d | [0]", {"a": [{"b": "text"}]}, None),
        ("a[*].b", {"a": ["x", {"b": 1}]}, [1]),
        ("a.b == 'x'", {"a": "x"}, False),
    ],
)
def test_nothing_there_is_null(expression, value, found):
    assert compile_expression(expression)(value) == found


@pytest.mark.parametrize(
    ("expression", "quoted"),
    [
        ("user-id", r'"\\"user-id\\""'),
        ("$type", r'"\\"$type\\""'),
        ("#pk", r'"\\"#pk\\""'),
        ("1st", r'"\\"1st\\""'),
        ("first name", r'"\\"first name\\""'),
        ("aws:rep:updateregion", r'"\\"aws:rep:updateregion\\""'),
        ("payload.user-id", r'"payload.\\"user-id\\""'),
    ],
)
def test_a_name_that_needs_quotes_is_told_with_them(expression, quoted):
    with pytest.raises(InvalidExpressionError) as caught:
        compile_expression(expression)
    assert quoted.replace(r"\\", "\\") in str(caught.value)
