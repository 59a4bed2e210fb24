import copy
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynaurora.batches.batch import Batch
from dynaurora.errors import InvalidBatchError
from tests.events import load_event


def event(**changed):
    document = load_event("import_batch_input")
    document["batch"] |= changed
    return document


def an_object(key="a.csv", etag="e1", size=10):
    return {"bucket": "landing", "key": key, "etag": etag, "size": size}


def test_the_descriptor_of_the_state_machine_is_read():
    batch = Batch.from_event(load_event("import_batch_input"))
    assert (batch.mapping, batch.source, batch.run, batch.rows) == ("web_analytics", "stream", None, None)
    assert batch.objects[0].uri.startswith("s3://dynaurora-landing/processed/mapping=web_analytics/")
    assert batch.objects_as_dicts == load_event("import_batch_input")["batch"]["objects"]


def test_the_digest_of_its_mapping_is_in_the_descriptor_where_there_is_one():
    digest = "0123456789abcdef" * 4
    assert Batch.from_event(event()).digest is None
    assert "digest" not in Batch.from_event(event()).as_dict()
    batch = Batch.from_event(event(digest=digest))
    assert (batch.digest, batch.as_dict()["digest"]) == (digest, digest)
    assert batch.id == Batch.from_event(event()).id
    assert Batch.from_event({"batch": batch.as_dict()}) == batch


@pytest.mark.parametrize("digest", ["", "0" * 63, "G" * 64, 1, ["0" * 64]])
def test_a_digest_that_is_none_is_refused(digest):
    with pytest.raises(InvalidBatchError, match=r"^batch\.digest is neither the digest of a mapping"):
        Batch.from_event(event(digest=digest))


def test_an_id_is_stable_and_fits_the_ledger_and_a_key():
    batch = Batch.from_event(event(objects=[an_object()]))
    assert batch.id == "e3eaf82f6035ec8ded905552da0fc181c3657c38"
    assert batch.id == Batch.from_event(event(objects=[an_object()])).id


@given(st.permutations([an_object(f"{number}.csv") for number in range(4)]))
def test_the_order_of_objects_makes_no_other_batch(objects):
    in_order = Batch.from_event(event(objects=[an_object(f"{number}.csv") for number in range(4)]))
    assert Batch.from_event(event(objects=list(objects))).id == in_order.id


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        pytest.param({"source": "reprocess"}, True, id="how it came"),
        pytest.param({"run": "clicks-1"}, True, id="its run"),
        pytest.param({"rows": 5}, True, id="its count"),
        pytest.param({"objects": [an_object(etag='"e1"')]}, True, id="an ETag in quotes"),
        pytest.param({"objects": [an_object(etag="e2")]}, False, id="other contents"),
        pytest.param({"objects": [an_object(key="b.csv")]}, False, id="another object"),
        pytest.param({"objects": [an_object(), an_object("b.csv")]}, False, id="one object more"),
        pytest.param({"mapping": "clicks"}, False, id="another mapping"),
    ],
)
def test_the_id_names_what_the_batch_holds(changed, same):
    first = Batch.from_event(event(objects=[an_object()]))
    other = Batch.from_event(event(**{"objects": [an_object()]} | changed))
    assert (other.id == first.id) is same


def without(name):
    found = copy.deepcopy(event(objects=[an_object()]))
    del found["batch"][name]
    return found


def test_an_object_has_the_widths_that_its_writer_told_and_none_otherwise():
    told = event(objects=[an_object() | {"widths": [3, 0, 70_000]}, an_object(key="b.csv")])
    batch = Batch.from_event(told)
    assert [item.widths for item in batch.objects] == [(3, 0, 70_000), ()]
    assert batch.id == Batch.from_event(event(objects=[an_object(), an_object(key="b.csv")])).id
    assert Batch.from_event({"batch": json.loads(json.dumps(batch.as_dict()))}) == batch
    assert "widths" not in batch.objects_as_dicts[1]


@pytest.mark.parametrize(
    ("given_event", "field"),
    [
        pytest.param(None, "input.batch", id="nothing"),
        pytest.param({"batch": []}, "input.batch", id="batch is a list"),
        pytest.param(without("mapping"), "batch.mapping", id="no mapping"),
        pytest.param(without("source"), "batch.source", id="no source"),
        pytest.param(without("objects"), "batch.objects", id="no objects"),
        pytest.param(event(mapping=""), "batch.mapping", id="empty mapping"),
        pytest.param(event(source="guess"), "batch.source", id="unknown source"),
        pytest.param(event(rows=-1), "batch.rows", id="negative count"),
        pytest.param(event(rows=True), "batch.rows", id="count is a boolean"),
        pytest.param(event(rows="5"), "batch.rows", id="count is text"),
        pytest.param(event(run=5), "batch.run", id="run is a number"),
        pytest.param(event(objects=[]), "batch.objects", id="objects is empty"),
        pytest.param(event(objects=[an_object(), an_object(etag="e2")]), "batch.objects", id="an object twice"),
        pytest.param(event(objects=[an_object(), "b.csv"]), "batch.objects[1].bucket", id="object is text"),
        pytest.param(event(objects=[an_object(key="\ud800")]), "batch.objects[0].key", id="key that is no text"),
        pytest.param(event(objects=[an_object(key="é" * 513)]), "batch.objects[0].key", id="key too long"),
        pytest.param(event(objects=[an_object() | {"bucket": "a b"}]), "batch.objects[0].bucket", id="no bucket"),
        pytest.param(event(objects=[an_object(etag=None)]), "batch.objects[0].etag", id="no ETag"),
        pytest.param(event(objects=[an_object(size="10")]), "batch.objects[0].size", id="size is text"),
        pytest.param(event(objects=[an_object() | {"widths": 5}]), "batch.objects[0].widths", id="widths is a number"),
        pytest.param(event(objects=[an_object() | {"widths": [-1]}]), "batch.objects[0].widths", id="negative width"),
        pytest.param(event(objects=[an_object() | {"widths": [True]}]), "batch.objects[0].widths", id="no width"),
    ],
)
def test_what_is_no_descriptor_is_refused_by_field(given_event, field):
    with pytest.raises(InvalidBatchError, match=re.escape(field)):
        Batch.from_event(given_event)


PROCESSED = an_object("processed/mapping=clicks/2026/11/23/08/a.csv")


def test_a_streamed_batch_is_for_the_mapping_that_its_keys_name():
    streamed = without("mapping")
    streamed["batch"]["objects"] = [PROCESSED, PROCESSED | {"key": "processed/mapping=clicks/b.csv"}]
    batch = Batch.from_event(streamed)
    assert batch.mapping == "clicks"
    assert batch == Batch.from_event({"batch": batch.as_dict()})


@pytest.mark.parametrize(
    ("objects", "problem"),
    [
        ([PROCESSED, an_object("processed/mapping=orders/a.csv")], "batch.mapping is missing"),
        ([PROCESSED, an_object("batches/mapping=clicks/a.csv")], "batch.mapping is missing"),
        ([an_object("batches/mapping=clicks/a.csv")], "batch.mapping is missing"),
        ([an_object("processed/clicks/a.csv")], "is not one of <prefix>/mapping="),
        ([an_object("processed/mapping=Clicks/a.csv")], "is not one of <prefix>/mapping="),
    ],
    ids=["of two", "one elsewhere", "elsewhere", "of none", "of what can be none"],
)
def test_a_batch_whose_keys_do_not_name_one_mapping_has_to_name_it(objects, problem):
    streamed = without("mapping")
    streamed["batch"]["objects"] = objects
    with pytest.raises(InvalidBatchError, match=problem):
        Batch.from_event(streamed)


def test_a_batch_that_is_said_to_be_for_another_mapping_than_its_keys_is_refused():
    with pytest.raises(InvalidBatchError, match=r"batch\.mapping is orders, and the key of an object is of clicks"):
        Batch.from_event(event(mapping="orders", objects=[PROCESSED]))


@pytest.mark.parametrize("name", ["\ud800", "../clicks", "Clicks", "a" * 64])
def test_a_mapping_that_can_be_none_is_refused(name):
    with pytest.raises(InvalidBatchError, match="which no mapping can be named"):
        Batch.from_event(event(mapping=name))
