from decimal import Decimal

import jmespath
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jmespath.exceptions import JMESPathTypeError

from dynaurora.dynamodb.attributes import exact_number
from dynaurora.mappings.expressions import InvalidExpressionError, compile_expression

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
        ("to_number(@)", "NaN", None),
        ("to_number(@)", True, None),
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
