"""Traffic is what is written stretch by stretch: of each its rate, and for which share of the time."""

from datetime import UTC, datetime, timedelta

import pytest

from backfill.costs.traffic import Traffic, choose_stretch, count_write_units, make_traffic, steady

BEGIN = datetime(2026, 11, 23, 8, tzinfo=UTC)
DAY = 24 * 3600


def traffic_of(written, seconds=DAY, since=BEGIN):
    return make_traffic(written, since, since + timedelta(seconds=seconds), 60)


def minutes(**changes):
    """Changes by the begin of their minute: `m5=60` has sixty in the sixth."""
    return {BEGIN + timedelta(minutes=int(name[1:])): count for name, count in changes.items()}


def test_each_stretch_counts_by_its_own_rate_and_idle_ones_not_at_all():
    traffic = traffic_of(minutes(m0=60, m1=60, m90=6000, m91=0))
    assert traffic.shares == {1.0: 2 / 1440, 100.0: 1 / 1440}
    assert traffic.mean == pytest.approx((60 + 60 + 6000) / DAY)
    assert traffic.peak == 100
    assert traffic.busy == 3 / 1440
    assert traffic.busy_hours == 2 / 24


def test_of_stretches_that_are_cut_what_lies_between_the_times_counts():
    """A table that was made at half past the minute, 75 seconds ago, and is written to twice a second."""
    traffic = traffic_of(minutes(m0=60, m1=90), 75, BEGIN + timedelta(seconds=30))
    assert traffic.shares == {2.0: 1.0}
    assert traffic.busy_hours == 1.0


def test_a_table_that_has_just_been_made_counts_as_a_second_old():
    traffic = traffic_of(minutes(m0=3), 0.2)
    assert traffic.shares == {3.0: 1.0}


def test_rates_that_hardly_differ_count_as_one():
    traffic = traffic_of(minutes(m0=60_000, m1=60_001), 120)
    assert traffic.shares == {1000.0: 1.0}


def test_a_steady_table_is_never_idle_and_one_without_changes_always():
    assert (steady(5).mean, steady(5).peak, steady(5).busy, steady(5).busy_hours) == (5, 5, 1, 1)
    assert steady(1 / 36_000).busy_hours == 0.1  # a change each ten hours
    assert steady(0) == Traffic()
    assert (Traffic().mean, Traffic().peak, Traffic().busy) == (0, 0, 0)


@pytest.mark.parametrize(("size", "units"), [(1, 1), (500, 1), (1024, 1), (1025, 2), (10_000, 10)])
def test_a_write_takes_a_unit_for_each_kilobyte_begun(size, units):
    assert count_write_units(size) == units


@pytest.mark.parametrize(
    ("buffer", "period", "stretch"), [(0, 60, 60), (60, 60, 60), (61, 60, 120), (300, 60, 300), (5, 3600, 3600)]
)
def test_a_stretch_is_no_shorter_than_changes_are_collected_for(buffer, period, stretch):
    assert choose_stretch(buffer, period) == stretch
