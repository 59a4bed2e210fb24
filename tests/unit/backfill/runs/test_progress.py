import pytest

from backfill.runs.progress import Batches, RateMeter, Rows, compute_rate, estimate_seconds_left
from tests.support.backfill_factories import STARTED, after


def measure(*samples):
    meter = RateMeter()
    for seconds, count in samples:
        meter.add(after(seconds), count)
    return meter.per_second


def test_a_rate_needs_two_looks():
    assert measure() is None
    assert measure((0, 100)) is None
    assert measure((0, 100), (10, 600)) == 50


def test_a_rate_over_a_moment_is_unknown():
    assert measure((0, 100), (0.5, 600)) is None
    assert compute_rate(5, 0) is None


def test_a_rate_is_of_the_last_minute_only():
    assert measure((0, 0), (10, 10_000), (100, 10_000), (160, 10_600)) == 10


def test_a_rate_that_has_come_to_nothing_is_zero():
    assert measure((0, 0), (100, 100), (200, 100)) == 0


def test_looks_that_are_far_apart_still_make_a_rate():
    assert measure((0, 0), (600, 6_000)) == 10


@pytest.mark.parametrize(
    ("batches", "left"),
    [
        (Batches(None), None),
        (Batches(20), None),
        (Batches(20, imported=5, running=2), 90),
        (Batches(20, imported=3, failed=2), 90),
        (Batches(20, imported=20), 0),
        (Batches(20, imported=21), 0),
    ],
    ids=["unplanned", "none has ended", "a quarter", "failed ones have ended too", "all", "more than planned"],
)
def test_what_is_left_takes_as_long_as_what_is_done(batches, left):
    assert estimate_seconds_left(batches, STARTED, after(30)) == left


def test_before_importing_nothing_is_known_of_its_end():
    assert estimate_seconds_left(Batches(20, imported=5), None, after(30)) is None


def test_rows_that_were_handled():
    assert Rows(imported=5, already_newer=2, rejected=1).all == 8
