import pytest

from local.emulator.metric_math import Expression, UnsupportedExpressionError

PERIODS = [100.0, 200.0, 300.0]
A = {100.0: 4.0, 200.0: 0.0}
B = {200.0: 2.0, 300.0: 5.0}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a", A),
        ("a - 3 - 1", {100.0: 0.0, 200.0: -4.0}),
        ("a + b", {200.0: 2.0}),
        ("100 * a / (a + a)", {100.0: 50.0}),
        ("-a", {100.0: -4.0, 200.0: 0.0}),
        ("FILL(a, 0)", {100.0: 4.0, 200.0: 0.0, 300.0: 0.0}),
        ("FILL(nothing, 7)", dict.fromkeys(PERIODS, 7.0)),
        ("a > 0", {100.0: 1.0, 200.0: 0.0}),
        ("FILL(a, 0) > 0 AND FILL(b, 0) == 0", {100.0: 1.0, 200.0: 0.0, 300.0: 0.0}),
        ("FILL(a, 0) > 0 OR FILL(b, 0) >= 5", {100.0: 1.0, 200.0: 0.0, 300.0: 1.0}),
        ("IF(a > 0, a, 9)", {100.0: 4.0, 200.0: 9.0}),
        ("IF(FILL(a, 0) > 0, b, 1)", {200.0: 1.0, 300.0: 1.0}),
        ("IF(1 > 2, 3, 4)", 4.0),
        ("nothing * 2", {}),
    ],
)
def test_an_expression_is_evaluated_period_by_period(text, value):
    assert Expression(text).evaluate({"a": A, "b": B, "nothing": {}}, PERIODS) == value


@pytest.mark.parametrize(
    "text", ["a >", "RUNNING_SUM(a)", "a ** 2", "0 < a < 3", "FILL(a, REPEAT)", "'a'", "NOT a", ""]
)
def test_what_is_not_emulated_is_refused(text):
    with pytest.raises(UnsupportedExpressionError):
        Expression(text)


def test_an_expression_names_what_it_needs():
    assert Expression("IF(FILL(m1, 0) > limit, 1, 0)").names == {"m1", "limit"}
