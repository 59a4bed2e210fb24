from datetime import UTC, datetime, timedelta

import pytest

from dynaurora.exports.pace import MOST_PACE_STEPS, STEPS, find_step, make_pace

BEGUN = datetime(2026, 11, 23, 8, 15, 0, 250_000, UTC)


def after(seconds):
    return BEGUN + timedelta(seconds=seconds)


def test_rows_stand_in_the_step_in_which_they_came():
    pace = make_pace([(after(0.5), 10), (after(2), 5), (after(2.5), 1)], BEGUN)
    assert pace == {"since": "2026-11-23T08:15:00Z", "step_seconds": 1, "rows": [10, 0, 6]}


def test_times_of_a_clock_that_is_late_come_first():
    assert make_pace([(after(-5), 1), (after(1), 2)], BEGUN)["rows"] == [1, 0, 0, 0, 0, 0, 2]


@pytest.mark.parametrize("seconds", [0, 1, 59, 60, 61, 3_599, 3_600, 86_399, 216_000, 216_001, 1_728_000, 31_536_000])
def test_no_row_is_missed_and_there_are_few_steps_however_long_a_run_is(seconds):
    imported = [(after(seconds * part / 100), part) for part in range(101)]
    pace = make_pace(imported, BEGUN)
    assert sum(pace["rows"]) == sum(range(101))
    assert len(pace["rows"]) <= MOST_PACE_STEPS
    assert pace["step_seconds"] in STEPS or pace["step_seconds"] % 3600 == 0


def test_a_run_that_imported_nothing_has_no_pace():
    assert make_pace([], BEGUN) is None


def test_a_step_is_no_longer_than_it_has_to_be():
    assert [find_step(BEGUN, after(seconds)) for seconds in (59, 60, 119, 120, 300, 60 * 60)] == [1, 2, 2, 5, 10, 120]
