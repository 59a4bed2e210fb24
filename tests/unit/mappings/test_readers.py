from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dynaurora.mappings.readers import (
    Reading,
    find_first_lost,
    is_covered,
    read_filled,
    read_forwarded,
    read_reading,
    write_filled,
    write_forwarded,
    write_reading,
)
from tests.support.fakes import InMemoryObjects
from tests.support.sources import READY

NOW = datetime(2026, 11, 23, 8, 15, tzinfo=UTC)
HOUR = 3600
T = int(NOW.timestamp())
KNOWN = Reading(READY.stream_arn)


def follow(reading, hours, state=READY, *, is_read=True, forwarded=None):
    return reading.follow(state, is_read=is_read, forwarded=forwarded, now=T + int(hours * HOUR))


def test_the_first_look_finds_nothing_lost():
    assert follow(Reading(), 0) == KNOWN


def test_a_reader_that_comes_back_in_time_has_lost_nothing():
    off = follow(KNOWN, 0, is_read=False)
    assert off.unread_since == T
    assert follow(follow(off, 10, is_read=False), 23.4) == KNOWN


def test_a_reader_that_comes_back_too_late_has_lost_what_waited_when_it_stopped_and_since():
    off = follow(KNOWN, 0, is_read=False)
    back = follow(off, 30, forwarded=T - 60)
    assert (back.unread_since, back.losses) == (None, ((T - 60 - HOUR, T + 30 * HOUR),))
    assert back.list_losses([], None, T + 40 * HOUR) == [(T - 60 - HOUR, T + 30 * HOUR)]
    assert back.list_losses([(T - 5 * HOUR, T), (T - 10, T + 31 * HOUR)], None, T + 40 * HOUR) == []


def test_a_loss_that_goes_on_is_told_up_to_now():
    off = follow(KNOWN, 0, is_read=False)
    assert off.list_losses([], T - 60, T + 23 * HOUR) == []
    assert off.list_losses([], T - 60, T + 24 * HOUR) == [(T - 60 - HOUR, T + 24 * HOUR)]
    assert (off.is_near_loss(T + 20 * HOUR), off.is_near_loss(T + 20 * HOUR - 1)) == (True, False)


def test_a_reader_that_is_disabled_is_off_since_then_and_not_since_somebody_looked():
    state = replace(READY, mapping_state="Disabled", mapping_changed_at=NOW - timedelta(hours=2))
    assert follow(KNOWN, 0, state, is_read=False).unread_since == T - 2 * HOUR


def test_a_new_stream_lacks_what_was_left_in_the_old_one():
    other = replace(READY, stream_arn="arn:another", stream_enabled_at=NOW - timedelta(minutes=3))
    found = follow(KNOWN, 0, other, forwarded=T - 600)
    assert (found.stream_arn, found.unread_since) == ("arn:another", None)
    assert found.losses == ((T - 600 - HOUR, T - 180),)
    assert follow(found, 1, other) == found


def test_a_stream_that_is_off_and_on_again_is_lost_from_before_it_was_off():
    off = follow(KNOWN, 0, replace(READY, stream_arn=None), is_read=False)
    other = replace(READY, stream_arn="arn:another", stream_enabled_at=NOW + timedelta(hours=2))
    found = follow(off, 3, other, is_read=False)
    assert (found.losses, found.unread_since) == (((T - 24 * HOUR, T + 2 * HOUR),), T + 2 * HOUR)


@pytest.mark.parametrize(
    ("forwarded", "first"),
    [(None, T - 24 * HOUR), (T - 100 * HOUR, T - 24 * HOUR), (T - 60, T - 60 - HOUR), (T + 5 * HOUR, T)],
)
def test_what_waited_when_a_reader_stopped_is_not_older_than_what_a_stream_keeps_nor_than_what_was_forwarded(
    forwarded, first
):
    assert find_first_lost(T, forwarded) == first


def test_stretches_cover_another_together_or_not():
    assert is_covered((5, 20), [(10, 30), (0, 10)])
    assert not is_covered((5, 20), [(11, 30), (0, 10)])
    assert not is_covered((5, 20), [])


def test_all_of_it_is_kept_in_the_registry():
    store, reading = InMemoryObjects(), Reading("arn:stream", T, ((1, 2), (3, 4)))
    assert (read_reading(store, "b", "m"), read_forwarded(store, "b", "m"), read_filled(store, "b", "m")) == (
        Reading(),
        None,
        [],
    )
    write_reading(store, "b", "m", reading)
    write_forwarded(store, "b", "m", T)
    write_filled(store, "b", "m", (1, 2))
    write_filled(store, "b", "m", (5, 6))
    assert read_reading(store, "b", "m") == reading
    assert (read_forwarded(store, "b", "m"), read_filled(store, "b", "m")) == (T, [(1, 2), (5, 6)])
    write_filled(store, "b", "m", (4, 9))
    assert read_filled(store, "b", "m") == [(1, 2), (4, 9)]
    write_filled(store, "b", "m", (0, T))
    assert read_filled(store, "b", "m") == [(0, T)]
