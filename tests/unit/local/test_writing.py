import time
from threading import Thread

import pytest

from local import writing
from local.clicks import tell_seeded, tell_stories
from local.writing import Pace, Writing
from tests.support.waiting import PATIENCE_SECONDS, wait_until


class Table:
    """A table that counts what is written to it."""

    def __init__(self):
        self.changes = 0

    def batch_write_item(self, RequestItems):  # noqa: N803 (boto3's name)
        self.changes += sum(map(len, RequestItems.values()))
        return {"UnprocessedItems": {}}


def test_the_last_third_waits_for_the_hurry(monkeypatch):
    monkeypatch.setattr(writing, "PACED_SECONDS", 0.1)
    pace, told = Pace(900, patience=60), []
    teller = Thread(target=lambda: told.extend(pace.keep(tell_stories(900, 1, "run"))), daemon=True)
    teller.start()
    wait_until(lambda: sum(map(len, told)) > 590)
    teller.join(0.2)
    assert sum(map(len, told)) < 620
    pace.hurry()
    teller.join(PATIENCE_SECONDS)
    assert sum(map(len, told)) == 900


def test_the_first_two_thirds_are_told_evenly(monkeypatch):
    monkeypatch.setattr(writing, "PACED_SECONDS", 0.5)
    began, told, stories = time.monotonic(), 0, Pace(900, patience=60).keep(tell_stories(900, 1, "run"))
    while told < 590:
        story = next(stories)
        assert told <= 600 * (time.monotonic() - began) / 0.5, "none sooner than its share of the time"
        told += len(story)


def test_a_hurry_that_never_comes_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(writing, "PACED_SECONDS", 0.1)
    assert sum(map(len, Pace(900, patience=0.2).keep(tell_stories(900, 1, "run")))) == 900


def test_writing_that_is_stopped_ends():
    table = Table()
    teller = Writing(table, "clicks", tell_stories(100_000, 1, "run"), Pace(100_000, patience=60))
    teller.start()
    teller.stop()
    teller.join(PATIENCE_SECONDS)
    assert not teller.is_alive()
    assert table.changes < 100_000


def test_without_a_pace_it_is_written_at_once():
    table = Table()
    teller = Writing(table, "clicks", tell_seeded(500, 1, "run"))
    teller.start()
    teller.join(PATIENCE_SECONDS)
    assert table.changes == teller.written.changes == 500


def test_what_ended_the_writing_is_raised_where_it_is_looked_for():
    class Broken:
        def batch_write_item(self, **_):
            raise ConnectionError("gone")

    teller = Writing(Broken(), "clicks", tell_seeded(500, 1, "run"))
    teller.start()
    teller.join(PATIENCE_SECONDS)
    with pytest.raises(ConnectionError, match="gone"):
        teller.check()
