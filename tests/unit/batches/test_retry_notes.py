from itertools import product

from dynaurora import keys
from dynaurora.batches import retry_notes
from dynaurora.batches.retry_notes import read_retry_causes
from tests.support.fakes import InMemoryObjects

BUCKET, MAPPING, RUN = "landing", "web_analytics", "r1"


def note(store, error, batch, retries, run=RUN):
    store.write(BUCKET, keys.retry_note(MAPPING, run, error, batch, retries), b"")


def test_the_most_frequent_cause_is_first_with_how_many_batches_met_it():
    store = InMemoryObjects()
    for retries, batch in product(range(3), ("a-1", "b-2")):
        note(store, "SlotsTakenError", batch, retries)
    note(store, "DeadlockError", "a-1", 3)
    note(store, "LockWaitError", "a-1", 0, run="r10")  # another's, whose name begins the same
    assert read_retry_causes(store, BUCKET, MAPPING, RUN) == [
        {"error": "SlotsTakenError", "times": 6, "batches": 2},
        {"error": "DeadlockError", "times": 1, "batches": 1},
    ]


def test_the_same_attempt_is_noted_once():
    store = InMemoryObjects()
    note(store, "DeadlockError", "a", 0)
    note(store, "DeadlockError", "a", 0)
    assert read_retry_causes(store, BUCKET, MAPPING, RUN)[0]["times"] == 1


def test_there_is_an_end_to_what_is_read(monkeypatch):
    monkeypatch.setattr(retry_notes, "MOST_NOTES", 2)
    store = InMemoryObjects()
    for retries in range(5):
        note(store, "SlotsTakenError", "a", retries)
    assert read_retry_causes(store, BUCKET, MAPPING, RUN) == [{"error": "SlotsTakenError", "times": 2, "batches": 1}]


def test_a_run_without_notes_has_no_causes():
    assert read_retry_causes(InMemoryObjects(), BUCKET, MAPPING, RUN) == []
