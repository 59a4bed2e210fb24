from datetime import UTC, datetime, timedelta, timezone

import pytest

from backfill.terminal.formatting import (
    format_bytes,
    format_count,
    format_iso,
    format_quantity,
    format_rate,
    format_seconds,
    format_time,
    format_usd,
    parse_iso,
)

BERLIN = timezone(timedelta(hours=1))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "unknown"),
        (0, "0.0 s"),
        (9.94, "9.9 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (125, "2 min 5 s"),
        (3599.9, "1 h 0 min"),
        (90_061, "1 d 1 h"),
    ],
)
def test_durations(seconds, text):
    assert format_seconds(seconds) == text


def test_counts_and_their_nouns():
    assert format_count(None, "row") == "unknown"
    assert format_count(1, "row") == "1 row"
    assert format_count(1000, "row") == "1,000 rows"
    assert format_count(2, "batch", "batches") == "2 batches"
    assert format_count(0) == "0"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (1e-06, "under 0.001"),
        (0.25, "0.25"),
        (34.5508, "34.55"),
        (100, "100"),
        (999.5, "999.5"),
        (12_345.6, "12,346"),
    ],
)
def test_quantities(number, text):
    assert format_quantity(number) == text


@pytest.mark.parametrize(("rate", "text"), [(None, "unknown"), (35_000.4, "35,000 rows/s"), (0.44, "0.4 rows/s")])
def test_rates(rate, text):
    assert format_rate(rate) == text


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (1023, "1,023 B"), (1536, "1.5 KiB"), (5 * 2**40, "5.0 TiB"), (2**51, "2,048.0 TiB")]
)
def test_sizes(size, text):
    assert format_bytes(size) == text


@pytest.mark.parametrize(
    ("amount", "text"), [(0, "$0.00"), (1234.5, "$1,234.50"), (0.0123, "$0.0123"), (0.000001, "under $0.0001")]
)
def test_prices(amount, text):
    assert format_usd(amount) == text


def test_times_are_in_utc():
    time = datetime(2026, 11, 23, 9, 15, 0, 125_000, tzinfo=BERLIN)
    assert format_time(time) == "2026-11-23 08:15:00Z"
    assert format_iso(time) == "2026-11-23T08:15:00.125Z"
    assert parse_iso("2026-11-23T08:15:00.125Z") == time
    assert parse_iso("2026-11-23T08:15:00") == datetime(2026, 11, 23, 8, 15, tzinfo=UTC)
    assert parse_iso(None) is None
    assert format_iso(None) is None
