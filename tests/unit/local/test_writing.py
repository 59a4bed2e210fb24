import itertools
import time
from threading import Thread

import pytest

from local import writing
from local.clicks import tell_seeded, tell_stories
from local.writing import Pace, Writing


class Table:
    """A table that counts what is written to it."""

    def __init__(self):
        self.changes = 0

    def batch_write_item(self, RequestItems):  # noqa: N803 (boto3's name)
        self.changes += sum(map(len, RequestItems.values()))
        return {"UnprocessedItems": {}}


def count_told(pace, stories, seconds):
    """How many changes are told in so many seconds."""
    deadline = time.monotonic() + seconds
    return sum(map(len, itertools.takewhile(lambda _: time.monotonic() < deadline, pace.keep(stories))))


def test_the_last_third_waits_for_the_hurry(monkeypatch):
    monkeypatch.setattr(writing, "PACED_SECONDS", 0.1)
    pace, told = Pace(900, patience=60), []
    teller = Thread(target=lambda: told.extend(pace.keep(tell_stories(900, 1, "run"))), daemon=True)
    teller.start()
    teller.join(0.5)
    assert 590 < sum(map(len, told)) < 620
    pace.hurry()
    teller.join(10)
    assert sum(map(len, told)) == 900


def test_the_first_two_thirds_are_told_evenly(monkeypatch):
    monkeypatch.setattr(writing, "PACED_SECONDS", 1.0)
    assert 100 < count_told(Pace(900, patience=60), tell_stories(900, 1, "run"), 0.3) < 320


def test_a_hurry_that_never_comes_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(writing, "PACED_SECONDS", 0.1)
    assert count_told(Pace(900, patience=0.2), tell_stories(900, 1, "run"), 30) == 900


def test_writing_that_is_stopped_ends():
    table = Table()
    teller = Writing(table, "clicks", tell_stories(100_000, 1, "run"), Pace(100_000, patience=60))
    teller.start()
    teller.stop()
    teller.join(10)
    assert not teller.is_alive()
    assert table.changes < 100_000


def test_without_a_pace_it_is_written_at_once():
    table = Table()
    teller = Writing(table, "clicks", tell_seeded(500, 1, "run"))
    teller.start()
    teller.join(10)
    assert table.changes == teller.written.changes == 500


def test_what_ended_the_writing_is_raised_where_it_is_looked_for():
    class Broken:
        def batch_write_item(self, **_):
            raise ConnectionError("gone")

    teller = Writing(Broken(), "clicks", tell_seeded(500, 1, "run"))
    teller.start()
    teller.join(10)
    with pytest.raises(ConnectionError, match="gone"):
        teller.check()
