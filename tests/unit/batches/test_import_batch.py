import json

import pytest

from dynaurora.batches.batch import Batch, BatchObject
from dynaurora.batches.import_batch import check_objects, mark_imported
from dynaurora.batches.loading import write_manifest
from dynaurora.errors import MalformedBatchError, ObjectChangedError, ObjectMissingError
from tests.support.fakes import InMemoryObjects, etag_of


def stored_batch(*bodies):
    """Return a store with these objects, and the batch of them."""
    store = InMemoryObjects({("landing", f"{number}.csv"): body for number, body in enumerate(bodies)})
    objects = (BatchObject(bucket, key, etag_of(body), len(body)) for (bucket, key), body in store.objects.items())
    return store, Batch("web_analytics", "stream", None, None, tuple(objects))


def test_whole_objects_are_accepted():
    store, batch = stored_batch(b"0,1,a\n", b"0,2,b\n1,3,c\n")
    check_objects(batch, store)


@pytest.mark.parametrize("at", [0, 1], ids=["first", "second"])
@pytest.mark.parametrize(
    ("body", "problem"), [(b"", "is empty"), (b"0,1,a\n0,2", "truncated")], ids=["empty", "truncated"]
)
def test_an_empty_or_truncated_object_is_refused_by_name(body, problem, at):
    bodies = [b"0,1,a\n"]
    bodies.insert(at, body)
    store, batch = stored_batch(*bodies)
    with pytest.raises(MalformedBatchError, match=f"s3://landing/{at}.csv .*{problem}"):
        check_objects(batch, store)


def test_an_object_that_was_overwritten_is_refused():
    store, batch = stored_batch(b"0,1,a\n")
    store.write("landing", "0.csv", b"0,2,b\n")
    with pytest.raises(ObjectChangedError, match="has the ETag"):
        check_objects(batch, store)


def test_an_object_that_is_gone_is_refused():
    store, batch = stored_batch(b"0,1,a\n")
    store.objects.clear()
    with pytest.raises(ObjectMissingError):
        check_objects(batch, store)


def test_the_manifest_names_every_object_as_mandatory():
    store, batch = stored_batch(b"0,1,a\n", b"0,2,b\n")
    uri = write_manifest(batch.mapping, batch.id, batch.objects, store, "manifests")
    key = f"batches/mapping=web_analytics/{batch.id}.manifest"
    assert uri == f"s3://manifests/{key}"
    assert json.loads(store.objects["manifests", key]) == {
        "entries": [
            {"url": "s3://landing/0.csv", "mandatory": True},
            {"url": "s3://landing/1.csv", "mandatory": True},
        ]
    }


def test_every_object_of_an_imported_batch_is_marked():
    store, batch = stored_batch(b"0,1,a\n", b"0,2,b\n")
    mark_imported(batch, store)
    assert store.tags == {("landing", f"{number}.csv"): {"dynaurora": "imported"} for number in range(2)}


def test_an_object_that_was_overwritten_after_its_import_is_not_marked():
    store, batch = stored_batch(b"0,1,a\n", b"0,2,b\n")
    store.write("landing", "0.csv", b"0,3,c\n")
    mark_imported(batch, store)
    assert list(store.tags) == [("landing", "1.csv")]
