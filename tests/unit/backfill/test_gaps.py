from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfill.gaps import Window, bound_versions, list_keys, name_run, plan_windows
from backfill.rereading import WantedKey
from dynaurora.dynamodb.versions import make_version
from dynaurora.runs.requests import RUN_ID
from tests.support.several_targets import several

NOON = 1_700_000_000
DAY = 86_400


@given(st.integers(0, 40 * DAY))
def test_windows_reach_beyond_the_gap_overlap_and_are_of_lengths_that_dynamodb_takes(seconds):
    windows = plan_windows(NOON, NOON + seconds)
    assert windows[0].start <= NOON - 61
    assert windows[-1].end >= NOON + seconds + 121
    assert all(15 * 60 <= window.seconds <= DAY for window in windows)
    assert all(one.end - other.start >= 182 for one, other in pairwise(windows))
    assert len(windows) <= seconds // (DAY - 400) + 2


def test_a_short_gap_is_one_window_that_begins_earlier_and_ends_no_later():
    assert plan_windows(NOON, NOON) == [Window(NOON + 121 - 900, NOON + 121)]


def test_a_gap_ends_no_earlier_than_it_begins():
    with pytest.raises(ValueError, match="no earlier"):
        plan_windows(NOON, NOON - 1)


def test_rows_are_read_from_before_the_first_window_to_the_end_of_the_last():
    windows = plan_windows(NOON, NOON + 3 * DAY)
    low, high = bound_versions(windows)
    assert (low, high) == (make_version(windows[0].start - 120, 0), make_version(windows[-1].end, 0))


def test_a_run_is_named_by_its_gap_and_window():
    windows = plan_windows(NOON, NOON + 3 * DAY)
    names = [name_run(windows, number, "5b0c1d2e3f") for number in range(len(windows))]
    assert len({*names}) == len(windows)
    assert all(RUN_ID.fullmatch(name) and len(name) <= 40 for name in names)
    assert names == [name_run(plan_windows(NOON, NOON + 3 * DAY), number, "5b0c1d") for number in range(len(windows))]
    assert name_run(windows, 0, "a") != name_run(windows, 0, "b")


class Lookup:
    """Answers for each target two stretches of rows."""

    def __init__(self):
        self.asked = []

    def ask(self, step, *, table, after, versions):
        self.asked.append((step, table, after, versions))
        if after is None:
            return {"rows": [["7", "c", "1"], ["8", "d", "2"]], "after": ["d", "2"]}
        return {"rows": [["9", "e", "3"]], "after": None}


def test_keys_are_listed_of_every_target_stretch_by_stretch():
    lookup, mapping = Lookup(), several()
    wanted = list(list_keys(lookup, mapping, {"PK": "S", "SK": "N"}, (5, 10)))
    assert wanted[:3] == [
        WantedKey({"PK": {"S": "c"}, "SK": {"N": "1"}}, 7),
        WantedKey({"PK": {"S": "d"}, "SK": {"N": "2"}}, 8),
        WantedKey({"PK": {"S": "e"}, "SK": {"N": "3"}}, 9),
    ]
    assert len(wanted) == 3 * len(mapping.targets)
    assert lookup.asked[:2] == [
        ("list_written_rows", "Users", None, ["5", "10"]),
        ("list_written_rows", "Users", ["d", "2"], ["5", "10"]),
    ]
