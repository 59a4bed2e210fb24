import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynaurora.dynamodb.changes import Change, decode_change, encode_change, encode_keys, from_stream_record, is_expiry
from dynaurora.dynamodb.versions import stream_version
from dynaurora.errors import RejectedChange
from tests.support.factories import CREATED_AT, EXPIRED, SEQUENCE_NUMBER, click_item, stream_record


def test_a_put_carries_keys_image_version_and_time():
    change = from_stream_record(stream_record("MODIFY"))
    assert change == Change(
        version=stream_version(CREATED_AT, int(SEQUENCE_NUMBER)),
        changed_at_ms=CREATED_AT * 1000,
        keys={"page_id": {"S": "home"}, "activity_dt": {"S": "2026-01-01"}},
        new_image=click_item(),
    )
    assert not change.is_delete


def test_a_delete_has_no_image():
    change = from_stream_record(stream_record("REMOVE"))
    assert change.is_delete
    assert change.new_image is None


def test_the_old_image_never_travels():
    old = click_item("the old one")
    record = stream_record("MODIFY")
    record["dynamodb"]["OldImage"] = old
    assert b"the old one" not in encode_change(from_stream_record(record))


@given(st.integers(0, 4_102_444_800_000))
def test_a_time_with_milliseconds_keeps_them_and_its_second_is_floored(milliseconds):
    change = from_stream_record(stream_record(created_at=milliseconds / 1000))
    assert change.changed_at_ms == milliseconds
    assert change.version == stream_version(milliseconds // 1000, int(SEQUENCE_NUMBER))


def broken_record(**changed):
    record = stream_record()
    record["dynamodb"] |= changed
    return record


def record_without(name):
    record = stream_record()
    del record["dynamodb"][name]
    return record


@pytest.mark.parametrize(
    "record",
    [
        pytest.param({}, id="empty"),
        pytest.param({"eventName": "INSERT", "dynamodb": None}, id="no data"),
        pytest.param(record_without("NewImage"), id="a put of a KEYS_ONLY stream is not a delete"),
        pytest.param(record_without("Keys"), id="no keys"),
        pytest.param(record_without("SequenceNumber"), id="no sequence number"),
        pytest.param(broken_record(SequenceNumber="abc"), id="sequence number is no number"),
        pytest.param(broken_record(SequenceNumber="1" * 41), id="sequence number of 41 digits"),
        pytest.param(broken_record(ApproximateCreationDateTime=float("nan")), id="time is NaN"),
        pytest.param(broken_record(ApproximateCreationDateTime=float("inf")), id="time is infinite"),
        pytest.param(broken_record(ApproximateCreationDateTime=-5), id="time is negative"),
        pytest.param(broken_record(NewImage=[]), id="image is a list"),
    ],
)
def test_what_is_no_stream_record_is_rejected(record):
    with pytest.raises(RejectedChange) as caught:
        from_stream_record(record)
    assert [reason.rule for reason in caught.value.reasons] == ["record"]


@pytest.mark.parametrize(
    ("name", "identity", "expiry"),
    [
        pytest.param("REMOVE", EXPIRED, True, id="time to live"),
        pytest.param("REMOVE", None, False, id="a user's delete"),
        pytest.param("REMOVE", {"type": "Service", "principalId": "other"}, False, id="another service"),
        pytest.param("MODIFY", EXPIRED, False, id="no delete"),
    ],
)
def test_expiries_are_told_from_deletes(name, identity, expiry):
    assert is_expiry(stream_record(name) | {"userIdentity": identity}) is expiry


TEXTS = st.text(st.characters())  # surrogates too
ITEMS = st.dictionaries(TEXTS, st.fixed_dictionaries({"S": TEXTS}), max_size=4)


@given(st.integers(0, 10**50 - 1), st.integers(0, 10**13), ITEMS, st.none() | ITEMS)
def test_a_change_comes_back_as_it_was_sent(version, changed_at_ms, keys, new_image):
    change = Change(version, changed_at_ms, keys, new_image)
    line = encode_change(change)
    assert decode_change(line) == change
    assert b"\n" not in line


def test_the_key_of_a_change_has_one_spelling():
    one, other = (Change(1, 0, {"k": {"N": text}, "x": {"S": "0.10"}}, None) for text in ("0.10", "1E-1"))
    assert one.key(["k"]) == other.key(["k"]) == {"k": {"N": "0.1"}}
    assert one.key(["x", "absent"]) == {"x": {"S": "0.10"}}


def test_a_version_travels_as_text_so_that_no_reader_rounds_it():
    line = encode_change(Change(10**50 - 1, 0, {}, None))
    assert json.loads(line)["Version"] == "9" * 50


SENT = {"Version": "1", "ChangedAtMs": 1, "Keys": {}}


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"hello", id="no JSON"),
        pytest.param(b"\xff\xfe\xfa", id="no text"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"[" * 100_000, id="nested deep"),
        *(
            pytest.param(json.dumps(SENT | changed).encode(), id=str(changed))
            for changed in (
                {"Version": -1},
                {"Version": "-1"},
                {"Version": "1" * 51},
                {"Version": "٣"},
                {"Version": 1.5},
                {"Version": True},
                {"Version": float("inf")},
                {"ChangedAtMs": float("inf")},
                {"ChangedAtMs": "soon"},
                {"ChangedAtMs": None},
                {"Keys": None},
                {"NewImage": None},
            )
        ),
    ],
)
def test_what_forward_changes_did_not_write_is_rejected(data):
    with pytest.raises(RejectedChange) as caught:
        decode_change(data)
    assert [reason.rule for reason in caught.value.reasons] == ["record"]


def test_a_refusal_does_not_repeat_the_value():
    with pytest.raises(RejectedChange) as caught:
        decode_change(json.dumps(SENT | {"Version": "alice@example.com"}).encode())
    assert "alice" not in str(caught.value)


VALUES = st.recursive(
    st.text() | st.none() | st.booleans() | st.integers() | st.sampled_from(["\ud800", "\x7f", "é🦊", "\u2028", "</"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)
DOCUMENTS = st.dictionaries(st.text(max_size=3), VALUES, max_size=4)


@given(keys=DOCUMENTS, image=st.none() | DOCUMENTS, version=st.integers(1, 10**50 - 1))
def test_a_change_is_written_as_json_writes_it(keys, image, version):
    document = {"Version": str(version), "ChangedAtMs": 7, "Keys": keys} | (
        {} if image is None else {"NewImage": image}
    )
    try:
        expected = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        expected = json.dumps(document, separators=(",", ":")).encode()
    assert encode_change(Change(version, 7, keys, image)) == expected


@given(keys=DOCUMENTS)
def test_keys_are_the_same_in_whatever_order_they_come(keys):
    turned = dict(reversed(keys.items()))
    assert encode_keys(keys) == encode_keys(turned)
    assert json.loads(encode_keys(keys)) == keys
