"""Values that are looked at many at a time are counted as they are one by one."""

from hypothesis import given
from hypothesis import strategies as st

from dynaurora.inference.value_profiles import NumberProfile, TextProfile

NUMBERS = st.sampled_from(
    ["0", "-0", "1.5", "-0.25", "9217.0", "1E3", "1e-5", "12345678", "1234567.1234567", "0.10", "-3", "99.99999999"]
)
CLOCKS = ("10:15:30", "00:00:00", "23:59:59", "10:15:30.120", "10:15:30.123", "10:15:30.000", "10:15:30.123456")
TIMES = st.sampled_from(
    [
        f"{day}{between}{clock}{offset}"
        for day in ("2026-11-28", "2026-01-31", "2024-02-29", "1999-12-30")
        for between in "T "
        for clock in CLOCKS
        for offset in ("Z", "")
    ]
)


def profile(kind, lists):
    found = kind()
    for values in lists:
        found.add(values)
    return found


@given(st.lists(NUMBERS, min_size=1, max_size=6))
def test_numbers_are_counted_together_as_they_are_one_by_one(texts):
    assert profile(NumberProfile, [texts]) == profile(NumberProfile, [[text] for text in texts])


@given(st.lists(TIMES, min_size=1, max_size=6))
def test_times_are_counted_together_as_they_are_one_by_one(texts):
    together, alone = (profile(TextProfile, lists) for lists in ([texts], [[text] for text in texts]))
    together.odd_json = alone.odd_json = None
    assert together == alone
    assert together.times == len(texts)


def test_a_day_that_no_calendar_has_is_no_time_among_times_either():
    texts = ["2026-11-28T10:15:30Z", "2026-02-29T10:15:30Z", "2026-11-31T10:15:30Z", "2026-11-28T24:15:30Z"]
    assert profile(TextProfile, [texts]).times == 1
    assert profile(TextProfile, [[texts[0], "2023-02-29T10:15:30Z"]]).instants == 1
