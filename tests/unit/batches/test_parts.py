import pytest

from dynaurora.batches import parts as scanning
from dynaurora.batches.batch import Batch, BatchObject
from dynaurora.batches.parts import UNLABELLED, read_parts, total_lines
from dynaurora.errors import MalformedBatchError, ObjectChangedError, ObjectMissingError
from dynaurora.mappings.csv_format import make_label
from tests.support.fakes import InMemoryObjects, etag_of

OURS, OTHER = make_label("Things", "a" * 64), make_label("Things", "b" * 64)


def mark(label):
    return f"\x1a{label},".encode()


def stored(*bodies):
    store = InMemoryObjects({("landing", f"{number}.csv"): body for number, body in enumerate(bodies)})
    objects = (BatchObject(bucket, key, etag_of(body), len(body)) for (bucket, key), body in store.objects.items())
    return store, Batch("things", "stream", None, None, tuple(objects))


def read(*bodies):
    store, batch = stored(*bodies)
    found = read_parts(batch, OURS, store, "landing")
    assert total_lines(found) == sum(body.count(b"\n") for body in bodies)
    return [(part.label, part.rows, [store.objects[item.bucket, item.key] for item in part.objects]) for part in found]


@pytest.mark.parametrize("block", [1, 7, 30, 1 << 20])
def test_lines_of_the_expected_label_are_counted_without_being_looked_at(monkeypatch, block):
    monkeypatch.setattr(scanning, "SCAN_BYTES", block)
    monkeypatch.setattr(scanning, "find_label", None)
    body = (mark(OURS) + b"0,1,a\n") * 9
    assert read(body) == [(OURS, 9, [body])]


@pytest.mark.parametrize("block", [1, 30, 1 << 20])
def test_unlabelled_lines_are_counted_without_being_looked_at(monkeypatch, block):
    monkeypatch.setattr(scanning, "SCAN_BYTES", block)
    monkeypatch.setattr(scanning, "find_label", None)
    assert read(b"0,1,a\n" * 9, b"0,2,b\n") == [(UNLABELLED, 10, [b"0,1,a\n" * 9, b"0,2,b\n"])]


def test_an_object_of_several_labels_is_loaded_by_each_of_them():
    body = mark(OURS) + b"0,1,a\n" + mark(OTHER) + b"0,1,b\n" + mark(OURS) + b"0,1,c\n"
    assert sorted(read(body)) == [(OURS, 2, [body]), (OTHER, 1, [body])]


def test_unlabelled_lines_with_what_a_label_begins_with_are_unlabelled():
    body = b"0,1,\x1a\n0,1," + mark(OURS) + b"\n"
    assert read(body) == [(UNLABELLED, 2, [body])]


def test_lines_of_both_kinds_are_copied_apart_the_unlabelled_last():
    old = b"0,1,a," + mark(OURS) + b"0,9,x\n"
    labelled = mark(OTHER) + b"0,1,b\n" + mark(OURS) + b"0,1,c\n"
    clean = mark(OURS) + b"0,1,d\n"
    found = read(old + labelled + old, clean, old)
    assert sorted(found[:2]) == [(OURS, 2, [labelled, clean]), (OTHER, 1, [labelled])]
    assert found[2] == (UNLABELLED, 3, [old + old, old])


@pytest.mark.parametrize(
    "line",
    [
        b"\x1a0,1,a\n",
        b"\x1aThings,0,1,a\n",
        b"\x1aThings." + b"a" * 15 + b",0,1\n",
        b"\x1aThings." + b"a" * 17 + b",0,1\n",
        b"\x1aThings." + b"A" * 16 + b",0,1\n",
        b"\x1aThi`ngs." + b"a" * 16 + b",0,1\n",
        b"\x1aThings." + b"a" * 16 + b"\n",
        mark(OURS) + b"0,1,\x1a\n",
        mark(OURS) + b"0,1," + mark(OURS) + b"\n",
    ],
)
def test_a_line_whose_label_is_none_is_named(line):
    store, batch = stored(mark(OURS) + b"0,1,a\n" + line)
    with pytest.raises(MalformedBatchError, match=r"Line 2 of s3://landing/0.csv"):
        read_parts(batch, OURS, store, "landing")


@pytest.mark.parametrize(
    ("body", "problem"), [(b"", "is empty"), (mark(OURS) + b"0,1\n0,2", "truncated"), (b"0", "trunc")]
)
def test_an_empty_or_truncated_object_is_refused_by_name(body, problem):
    store, batch = stored(b"0,1,a\n", body)
    with pytest.raises(MalformedBatchError, match=f"s3://landing/1.csv .*{problem}"):
        read_parts(batch, OURS, store, "landing")


def test_an_object_that_was_overwritten_or_is_gone_is_told():
    store, batch = stored(b"0,1,a\n")
    store.write("landing", "0.csv", b"0,2,b\n")
    with pytest.raises(ObjectChangedError, match="has the ETag"):
        read_parts(batch, OURS, store, "landing")
    store.objects.clear()
    with pytest.raises(ObjectMissingError):
        read_parts(batch, OURS, store, "landing")
