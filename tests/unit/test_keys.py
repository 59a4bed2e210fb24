import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynaurora import keys
from dynaurora.errors import InvalidBatchError
from dynaurora.keys import LandingKey

NAMES = st.from_regex(r"[a-z][a-z0-9_]*", fullmatch=True)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (keys.processed_prefix("clicks"), "processed/mapping=clicks/"),
        (keys.failed_records_prefix("clicks"), "transformation_failed_data_backup/mapping=clicks/"),
        (keys.oversize_record("clicks", "123"), "transformation_failed_data_backup/mapping=clicks/oversize/123.json"),
        (keys.manifest("clicks", "abc"), "batches/mapping=clicks/abc.manifest"),
        (keys.failed_batches_prefix("clicks"), "failed_batches/mapping=clicks/"),
        (keys.failed_batch("clicks", "abc"), "failed_batches/mapping=clicks/abc.json"),
    ],
)
def test_keys_are_as_documented(key, expected):
    assert key == expected


@given(st.from_regex("[a-z_]+", fullmatch=True), NAMES, st.text(min_size=1))
def test_a_key_is_parsed_into_what_it_was_built_from(prefix, mapping, rest):
    key = LandingKey(prefix, mapping, rest)
    assert LandingKey.parse(str(key)) == key


@pytest.mark.parametrize(
    "key",
    ["", "processed", "processed/mapping=clicks", "processed/mapping=clicks/", "processed/mapping=Clicks/x", "x/y/z"],
)
def test_a_key_of_something_else_is_refused(key):
    with pytest.raises(InvalidBatchError, match="is not one of"):
        LandingKey.parse(key)
