import json

from dynaurora import keys
from dynaurora.mappings.unmapped import Unmapped
from dynaurora.runs import ignored_attributes
from dynaurora.runs.ignored_attributes import read_ignored
from tests.support.fakes import InMemoryObjects

BUCKET, MAPPING = "landing", "web_analytics"


def keep(store, number, run="r1", **items):
    """Keep what a batch had: attributes of so many items each, all of them whole numbers."""
    unmapped = Unmapped()
    for name, count in items.items():
        found = unmapped.find(name)
        found.items = count
        found.profile.add(count)
        found.keys.append({"id": {"S": f"{run}-{number}"}})
    store.write(BUCKET, keys.backfill_unmapped(MAPPING, run, number), json.dumps(unmapped.as_dict()).encode())


def test_a_run_without_any_has_none():
    store = InMemoryObjects()
    keep(store, 1, run="r2", phone=1)
    store.write(BUCKET, keys.backfill_descriptor(MAPPING, "r1", 1), b"{}")
    store.write(BUCKET, keys.backfill_batch(MAPPING, "r1", 1), b"row")
    assert read_ignored(store, BUCKET, MAPPING, "r1") is None


def test_what_the_batches_of_a_run_had_is_added_up():
    store = InMemoryObjects()
    for number in range(1, 6):
        keep(store, number, phone=10, fax=number)
    ignored = read_ignored(store, BUCKET, MAPPING, "r1")
    assert ignored == {
        "attributes": [
            {
                "name": name,
                "items": items,
                "type": "INT",
                "values_seen": 5,
                "keys": [{"id": {"S": f"r1-{number}"}} for number in (1, 2, 3)],
            }
            for name, items in (("phone", 50), ("fax", 15))
        ],
        "others": 0,
        "exact": True,
    }


def test_of_very_many_batches_some_are_read_and_that_is_said(monkeypatch):
    monkeypatch.setattr(ignored_attributes, "MAX_BATCHES", 2)
    store = InMemoryObjects()
    for number in (1, 2, 3):
        keep(store, number, phone=10)
    ignored = read_ignored(store, BUCKET, MAPPING, "r1")
    assert (ignored["attributes"][0]["items"], ignored["exact"]) == (20, False)


def test_what_is_damaged_is_passed_over():
    store = InMemoryObjects()
    keep(store, 1, phone=10)
    for number, body in enumerate((b"", b"{}", b"[]", b'{"attributes": {"a": {}}, "others": 0}', b"no"), 2):
        store.write(BUCKET, keys.backfill_unmapped(MAPPING, "r1", number), body)
    assert [each["name"] for each in read_ignored(store, BUCKET, MAPPING, "r1")["attributes"]] == ["phone"]


def test_what_the_columns_of_several_targets_leave_is_added_up_for_each():
    store = InMemoryObjects()
    for number in (1, 2):
        keep(store, number, phone=10)
        key = keys.backfill_unmapped(MAPPING, "r1", number)
        found = json.loads(store.read(BUCKET, key))
        nothing = Unmapped().as_dict()
        store.write(BUCKET, key, json.dumps(found | {"targets": {"Users": found, "Orders": nothing}}).encode())
    ignored = read_ignored(store, BUCKET, MAPPING, "r1")
    assert ignored["targets"]["Users"] == {"attributes": ignored["attributes"], "others": 0}
    assert ignored["targets"]["Orders"] == {"attributes": [], "others": 0}
