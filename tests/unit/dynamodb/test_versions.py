import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynaurora.dynamodb.versions import (
    MAX_VERSION,
    SEQUENCE_RANGE,
    incremental_version,
    make_version,
    second_of,
    snapshot_version,
    stream_version,
)

NOW = 1_700_000_000
SECONDS = st.integers(0, 10**10 - 1)
SEQUENCES = st.integers(0, SEQUENCE_RANGE - 1)


@given(SECONDS, SEQUENCES, SECONDS, SEQUENCES)
def test_versions_order_by_second_then_sequence(second, sequence, other_second, other_sequence):
    newer = (second, sequence) > (other_second, other_sequence)
    assert (make_version(second, sequence) > make_version(other_second, other_sequence)) is newer


@given(SECONDS, SEQUENCES)
def test_a_version_tells_its_second(second, sequence):
    assert second_of(make_version(second, sequence)) == second


@given(SECONDS, SEQUENCES)
def test_a_version_fits_its_column(second, sequence):
    assert 0 <= make_version(second, sequence) <= MAX_VERSION
    assert len(str(MAX_VERSION)) == 50


@pytest.mark.parametrize(
    ("second", "sequence"),
    [
        pytest.param(-1, 0, id="negative second"),
        pytest.param(10**10, 0, id="milliseconds taken for seconds"),
        pytest.param(NOW, -1, id="negative sequence"),
        pytest.param(NOW, SEQUENCE_RANGE, id="sequence of 41 digits, which would spill into the second"),
    ],
)
def test_a_number_out_of_range_makes_no_version(second, sequence):
    with pytest.raises(ValueError, match="is not a"):
        make_version(second, sequence)


def test_sequence_numbers_of_different_lengths_order_as_numbers():
    assert stream_version(NOW, 10**21) > stream_version(NOW, 9 * 10**20)


@pytest.mark.parametrize("seconds_before_the_export", [0, 60, 119, 120])
def test_a_change_that_an_export_might_lack_beats_its_row(seconds_before_the_export):
    assert stream_version(NOW - seconds_before_the_export, 10**20) > snapshot_version(NOW)


def test_a_change_older_than_the_margin_loses_to_the_export():
    assert stream_version(NOW - 121, 10**40 - 1) < snapshot_version(NOW)


def test_an_incremental_record_beats_the_stream_in_its_second():
    record = incremental_version(NOW * 1_000_000 + 999_999, export_to_second=NOW + 3600)
    assert stream_version(NOW, 10**40 - 2) < record < stream_version(NOW + 1, 0)


@pytest.mark.parametrize(
    ("second", "beats_the_stream"), [(NOW - 121, True), (NOW - 120, False), (NOW, False)], ids=["-121", "-120", "0"]
)
def test_an_incremental_record_near_the_windows_end_beats_nothing_of_its_second(second, beats_the_stream):
    record = incremental_version(second * 1_000_000, export_to_second=NOW)
    assert (record > stream_version(second, 10**39)) is beats_the_stream
    assert record >= make_version(second, 0)
