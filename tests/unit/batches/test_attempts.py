"""Work that ends its process: after a few deaths only what they died of is left out."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynaurora.batches.attempts import attempting
from tests.support.fakes import InMemoryObjects

BUCKET, KEY = "landing", "attempts.json"


class Death(BaseException):
    """The end of a process: nothing handles it."""


def work(store, records, deadly, size, blocks=7):
    """Work on so many records, block by block; those that are done, and those that are not to be touched."""
    done, refused = [], []
    with attempting(store, BUCKET, KEY) as attempts:
        for start in range(0, records, blocks):
            for hand, is_condemned in attempts.divide(range(start, min(start + blocks, records)), size):
                if is_condemned:
                    refused += hand
                    continue
                if deadly & set(hand):
                    raise Death
                done += hand
    return done, refused


def work_until_done(store, *wanted, **options):
    deaths = 0
    while True:
        try:
            return *work(store, *wanted, **options), deaths
        except Death:
            deaths += 1
            assert deaths < 100


@given(st.integers(1, 300), st.sets(st.integers(0, 299), max_size=3), st.integers(1, 120), st.integers(1, 400))
def test_only_what_is_deadly_is_refused(records, deadly, size, blocks):
    deadly = {number for number in deadly if number < records}
    store = InMemoryObjects()
    done, refused, deaths = work_until_done(store, records, deadly, size, blocks=blocks)
    assert refused == sorted(deadly)
    assert done == [number for number in range(records) if number not in deadly]
    assert deaths <= 1 + 4 * len(deadly)


def test_a_deadly_record_among_a_thousand_is_alone_after_five_deaths():
    done, refused, deaths = work_until_done(InMemoryObjects(), 5000, {777}, 1000, blocks=5000)
    assert (len(done), refused, deaths) == (4999, [777], 5)


def test_work_that_ends_is_taken_in_hand_at_once_and_noted_twice(monkeypatch):
    store, written = InMemoryObjects(), []
    write = store.write
    monkeypatch.setattr(store, "write", lambda *place: written.append(place) or write(*place))
    assert work(store, 7, set(), 1) == (list(range(7)), [])
    assert len(written) == 2
    assert json.loads(store.read(BUCKET, KEY)) == {}


def test_an_error_is_no_death():
    store = InMemoryObjects()
    with pytest.raises(OSError, match="gone"), attempting(store, BUCKET, KEY):
        raise OSError("gone")
    with attempting(store, BUCKET, KEY) as attempts:
        assert not attempts.is_careful


def test_a_death_before_anything_is_in_hand_condemns_nothing():
    store = InMemoryObjects()
    for _ in range(20):
        with pytest.raises(Death), attempting(store, BUCKET, KEY):
            raise Death
    assert work(store, 7, set(), 1) == (list(range(7)), [])
