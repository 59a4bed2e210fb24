"""What comes from outside, broken in every way: it is taken for what it is, or refused by an error with a name.

Documents that are right are changed in a place or two: a value becomes another, or goes. Only an error of the kind that
a function says it raises may come out of it.
"""

import copy
import gzip
import json
from dataclasses import asdict
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynaurora.batches.batch import Batch
from dynaurora.dynamodb.changes import Change, decode_change, encode_change, from_stream_record, is_expiry
from dynaurora.dynamodb.packs import decode_pack, encode_pack
from dynaurora.errors import (
    ChecksumMismatchError,
    DynauroraError,
    InvalidBatchError,
    InvalidExportError,
    InvalidMappingError,
    InvalidRunError,
    ObjectMissingError,
    RejectedChange,
)
from dynaurora.exports.convert_export import HashingReader, read_item
from dynaurora.exports.gzip_lines import GzipError, read_lines
from dynaurora.exports.manifests import read_data_files, read_summary
from dynaurora.exports.plan import Plan, PlannedBatch
from dynaurora.failures.failed_batches import record_failed_batch
from dynaurora.failures.failed_records import (
    FailedRecord,
    decode_failed_record,
    encode_failed_record,
    read_change,
    read_invocation,
    read_line,
)
from dynaurora.failures.list_failures import FailedObject, Place, plan_reprocess
from dynaurora.failures.notices import Notices
from dynaurora.failures.settle_failures import settle_batch
from dynaurora.keys import LandingKey, failed_batch
from dynaurora.keys import parked as parked_key
from dynaurora.mappings.csv_format import encode_row
from dynaurora.mappings.mapping import build_mapping, load_mapping_file
from dynaurora.mappings.row_mapper import RowMapper
from dynaurora.runs.close_run import read_ending
from dynaurora.runs.requests import Limits, ReprocessRequest, RunRequest
from dynaurora.stream.forward_changes import Forwarder
from tests.events import load_event
from tests.examples import examples
from tests.support.csv_reader import read_line as read_csv
from tests.support.example import load_example
from tests.support.factories import (
    EXPIRED,
    click_change,
    click_item,
    column,
    firehose_record,
    make_mapping,
    make_plan,
    mapping_document,
    run_input,
    stream_record,
)
from tests.support.fakes import InMemoryObjects, InMemoryStream, Pauses
from tests.support.transforming import CLICKS, make_transformer

EXAMPLES = examples(100)
MAPPER = RowMapper(load_example())
ODD_TEXTS = st.sampled_from(
    [
        "",
        "\ud800",
        "\0",
        "1e999999999",
        "-0",
        "NaN",
        "Infinity",
        "9" * 60,
        "9" * 4301,
        "٣",
        "\ufeff",
        "..",
        "%2e%2e/",
        "'\"`;--",
        "../../x",
        "é漢🦄",
    ]
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([10**50, -(10**50), 10**4299, 2**63, 1e308, -1.5, float("nan"), float("inf")]),
    ODD_TEXTS,
    st.text(max_size=5),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4) | st.sampled_from("SNBML"), inner, max_size=3)
    ),
    max_leaves=6,
)


def paths_of(document, path=()):
    """Every place in a document, the whole of it first."""
    yield path
    members = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for name, member in members:
        yield from paths_of(member, (*path, name))


def replace(document, path, value):
    """Return the document with another value in a place, or without the place where the value is `GONE`."""
    if not path:
        return None if value is GONE else value
    document = copy.deepcopy(document)
    inner = document
    for name in path[:-1]:
        inner = inner[name]
    if value is GONE:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return document


GONE = object()


@st.composite
def broken(draw, *documents):
    """A document, changed in up to three places."""
    document = draw(st.sampled_from(documents))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(paths_of(document))))
        document = replace(document, path, draw(st.just(GONE) | VALUES))
    return document


def check_reason(error):
    """An error of ours says what is wrong, and what to do."""
    assert isinstance(error, DynauroraError)
    assert error.problem
    assert error.problem.strip() in str(error)
    assert all(reason.rule != "unforeseen" for reason in getattr(error, "reasons", ()))


def check_text(warning):
    """A warning is words."""
    assert warning.strip()


def broken_object(*documents):
    """A document that is still an object."""
    return broken(*documents).filter(lambda document: isinstance(document, dict))


def as_json(documents):
    return st.one_of(st.binary(max_size=30), documents.map(lambda document: json.dumps(document).encode()), ODD_BYTES)


ODD_BYTES = st.sampled_from(
    [
        b"\xff",
        b"",
        b"\0",
        b"null",
        b"[" * 5000,
        b'{"a":' * 5000,
        b"9" * 4301,
        b"1e999999999",
        b"[NaN, -Infinity]",
        b'{"a": 1, "a": 2}',
        b'{"\\ud800": "\\udfff"}',
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
    ]
)
STREAM_RECORDS = (
    stream_record(),
    stream_record("MODIFY"),
    {**stream_record("REMOVE"), "userIdentity": EXPIRED},
)
TYPED = {
    "S": {"S": "a"},
    "N": {"N": "1.5"},
    "B": {"B": "AA=="},
    "BOOL": {"BOOL": True},
    "NULL": {"NULL": True},
    "M": {"M": {"x": {"S": "a"}}},
    "L": {"L": [{"N": "1"}]},
    "SS": {"SS": ["a"]},
    "NS": {"NS": ["1"]},
    "BS": {"BS": ["AA=="]},
}
TYPES = ("VARCHAR(20)", "INT", "DECIMAL(10,2)", "DOUBLE", "BLOB", "BOOLEAN", "DATE", "DATETIME(3)", "TIMESTAMP", "JSON")


@EXAMPLES
@given(broken(*STREAM_RECORDS))
def test_stream_records(record):
    try:
        change = from_stream_record(record)
    except RejectedChange as error:
        check_reason(error)
    else:
        encoded = encode_change(change)
        assert encode_change(decode_change(encoded)) == encoded


@EXAMPLES
@given(
    st.lists(
        broken_object(*STREAM_RECORDS) | st.sampled_from(STREAM_RECORDS),
        max_size=4,
    )
)
def test_stream_events_lose_no_record(records):
    stream = InMemoryStream()
    forwarder = Forwarder(
        "web_analytics", CLICKS.digest, stream, InMemoryObjects(), "landing", True, "arn", pause=Pauses()
    )
    result = forwarder.forward(records)
    set_aside = result.oversize + result.unforwardable
    assert result.forwarded + result.expiries_ignored + set_aside + len(result.failed) == len(records)
    assert result.failed == [], "what is broken is not delivered again"
    assert result.forwarded == sum(len(decode_pack(data).changes) for data in stream.taken)


@EXAMPLES
@given(broken_object(*STREAM_RECORDS))
def test_expiries(record):
    assert is_expiry(record) in {True, False}


@EXAMPLES
@given(as_json(broken(json.loads(encode_change(click_change())))))
def test_changes(data):
    try:
        change = decode_change(data)
    except RejectedChange as error:
        check_reason(error)
    else:
        assert isinstance(change, Change)


@EXAMPLES
@given(st.lists(as_json(broken(json.loads(encode_change(click_change())))), max_size=4), st.data())
def test_firehose_events_answer_every_record(bodies, data):
    packs = [encode_pack(CLICKS.digest, [body, body]) if data.draw(st.booleans()) else body for body in bodies]
    records = [firehose_record(body, str(number)) for number, body in enumerate(packs)]
    for record in records:
        record["data"] = data.draw(st.just(record["data"]) | st.text(max_size=5) | st.none(), label="data")
    answer = make_transformer().transform(records).records
    assert [record["recordId"] for record in answer] == [str(number) for number in range(len(bodies))]
    assert {record["result"] for record in answer} <= {"Ok", "Dropped", "ProcessingFailed"}


@EXAMPLES
@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda data: encode_pack(CLICKS.digest, [data])))
def test_packs(data):
    for start in range(0, len(data), 40):
        try:
            pack = decode_pack(data[start:])
        except RejectedChange as error:
            check_reason(error)
        else:
            assert pack.changes


@EXAMPLES
@given(broken_object(click_item()), st.integers(0, 10**50 - 1))
def test_items_become_lines_or_reasons(item, version):
    keys = {name: {"S": "a"} for name in ("page_id", "activity_dt")}
    try:
        row = MAPPER.row(Change(version, 0, keys, item))
    except RejectedChange as error:
        check_reason(error)
    else:
        deleted, found, *fields = read_csv(encode_row(row))
        assert (deleted, found, tuple(fields)) == ("0", str(version), row.fields)


@EXAMPLES
@given(broken_object(TYPED), st.data())
def test_items_of_every_type_become_lines_or_reasons(attributes, data):
    columns = [column(f"c{number}", kind, name) for number, (kind, name) in enumerate(zip(TYPES, TYPED, strict=True))]
    unmapped = data.draw(st.sampled_from(["ignore", "reject", {"column": "extra"}]))
    mapper = RowMapper(make_mapping(*columns, unmapped=unmapped))
    item = {"id": {"S": "a"}, **attributes}
    try:
        row = mapper.row(Change(1, 0, {"id": {"S": "a"}}, item))
    except RejectedChange as error:
        check_reason(error)
    else:
        assert tuple(read_csv(encode_row(row))[2:]) == row.fields


ENVELOPE = json.loads(encode_failed_record(FailedRecord(b"data", "code", "message", 4, 1_700_000_000_000, "arn", 1, 2)))


@EXAMPLES
@given(as_json(broken(ENVELOPE)))
def test_envelopes(line):
    try:
        record = decode_failed_record(line)
    except ValueError:
        record = read_line(line)
        assert record.data == line
    assert isinstance(decode_failed_record(encode_failed_record(record)), FailedRecord)


INVOCATION = {
    "requestContext": {"functionArn": "arn", "condition": "RetryAttemptsExhausted"},
    "payload": {"Records": list(STREAM_RECORDS)},
}


@EXAMPLES
@given(
    as_json(
        st.one_of(
            broken(INVOCATION),
            broken(INVOCATION["payload"]).map(lambda payload: {**INVOCATION, "payload": json.dumps(payload)}),
        )
    )
)
def test_invocations_are_records_whatever_is_in_them(body):
    for record in read_invocation(body):
        try:
            read_change(record.data, ignore_expiries=True)
        except RejectedChange as error:
            check_reason(error)


DESCRIPTOR = load_event("import_batch_input")


@EXAMPLES
@given(broken(DESCRIPTOR))
def test_batch_descriptors(event):
    try:
        batch = Batch.from_event(event)
    except InvalidBatchError as error:
        check_reason(error)
    else:
        assert len(batch.id) == 40
        assert Batch.from_event(json.loads(json.dumps({"batch": batch.as_dict()}))) == batch


FAILURE = {**DESCRIPTOR, "error": {"Error": "MalformedBatchError", "Cause": json.dumps({"errorMessage": "x"})}}
CONVERSION = {
    "mapping": "web_analytics",
    "run": "r1",
    "export_second": 1,
    "bucket": "b",
    "export_bucket": "b",
    "batch": {"number": 1, "items": 1, "files": []},
    "error": {"Error": "x", "Cause": "y"},
}


@EXAMPLES
@given(broken_object(FAILURE, CONVERSION))
def test_failed_batches_are_always_recorded(state):
    store = InMemoryObjects()
    event = {**state, "execution": {"id": "arn", "name": "n"}}  # as the state machine itself says
    notices = Notices(store, "landing", "web_analytics", interval_seconds=3600)
    recorded = record_failed_batch(event, store, "landing", notices)
    assert json.loads(store.read(recorded["bucket"], recorded["key"]))["reason"] == recorded["reason"]


RECORD = {"batch_id": "0f1e", "batch": DESCRIPTOR["batch"], "attempts": 1, "execution": "arn", "first_failed_at": "x"}
CONVERSION_RECORD = {**RECORD, "batch": None, "conversion": {**CONVERSION, "error": "x"}}


@EXAMPLES
@given(as_json(broken(RECORD, CONVERSION_RECORD)), as_json(broken(RECORD)), st.booleans())
def test_records_of_failed_batches(failed, parked, imported):
    store, key = InMemoryObjects(), failed_batch("web_analytics", "0f1e")
    store.write("landing", key, failed)
    store.write("landing", parked_key("web_analytics", key), parked)
    entries = list(plan_reprocess(Place("landing", "web_analytics", "uuid"), store, prefix=None, parked=True))
    assert {entry["objects"][0]["key"] for entry in entries} == {key, parked_key("web_analytics", key)}
    for entry in entries:
        source = FailedObject(**entry["objects"][0])
        settle_batch(store, "landing", "web_analytics", source, imported=imported, max_attempts=2)
    assert bool(store.objects) is not imported
    notices = Notices(store, "landing", "web_analytics", interval_seconds=3600)
    record_failed_batch({**FAILURE, "execution": {"id": "arn"}}, store, "landing", notices)


@EXAMPLES
@given(broken(run_input(), {"mapping": "web_analytics", "run": "r", "prefix": None, "include_parked": False}))
def test_inputs_of_runs(document):
    for read in (
        lambda: RunRequest.from_input(document, Limits(2, 0)),
        lambda: ReprocessRequest.from_input(document, Limits(2, 0), "2026-11-23T08:15:00.000Z"),
    ):
        try:
            made = read()
        except InvalidRunError as error:
            check_reason(error)
        else:
            assert made.mapping == "web_analytics"


STATUS_CHANGE = {
    "detail": {"status": "ABORTED", "input": '{"run": "r1"}', "executionArn": "arn", "error": "x", "cause": "y"}
}
END = {
    "input": {"run": "r1", "report": {"failure": {"error": "x", "reason": "y"}}, "plan": None},
    "execution": {"id": "arn"},
}


@EXAMPLES
@given(broken(STATUS_CHANGE, END))
def test_ends_of_runs(event):
    try:
        ending = read_ending(event)
    except InvalidRunError as error:
        check_reason(error)
    else:
        assert isinstance(ending.run, str)


SUMMARY = {
    "version": "2020-06-30",
    "exportArn": "arn",
    "tableArn": "arn",
    "exportTime": "2026-11-23T08:15:00Z",
    "s3Bucket": "b",
    "manifestFilesS3Key": "files.json",
    "itemCount": 1,
    "billedSizeBytes": 1,
    "outputFormat": "DYNAMODB_JSON",
}
FILE = {"itemCount": 8, "md5Checksum": "AA==", "etag": "x-1", "dataFileS3Key": "data/x.json.gz"}
EXPORT_ERRORS = (ChecksumMismatchError, InvalidExportError, ObjectMissingError)


@EXAMPLES
@given(as_json(broken(SUMMARY)), as_json(broken(FILE)), st.none() | st.binary(max_size=30))
def test_manifests(summary, files, checksum):
    store = InMemoryObjects()
    store.write("b", "manifest-summary.json", summary)
    store.write("b", "files.json", files)
    if checksum is not None:
        store.write("b", "manifest-summary.md5", checksum)
    try:
        read = read_summary(store, "b", "manifest-summary.json", check_text)
        assert all(isinstance(file.items, int) for file in read_data_files(store, read, check_text))
    except EXPORT_ERRORS as error:
        check_reason(error)


@EXAMPLES
@given(broken({"number": 1, "items": 1, "files": [{"key": "k", "items": 1, "md5": "m"}]}))
def test_planned_batches(document):
    try:
        assert PlannedBatch.from_dict(document).number is not None
    except InvalidExportError as error:
        check_reason(error)


@EXAMPLES
@given(broken(asdict(make_plan())))
def test_plans(document):
    try:
        assert isinstance(Plan.from_dict(document), Plan)
    except InvalidExportError as error:
        check_reason(error)


@EXAMPLES
@given(st.lists(as_json(broken({"Item": click_item()})), max_size=3), st.binary(max_size=40), st.integers(0, 200))
def test_data_files(lines, garbage, cut):
    whole = gzip.compress(b"\n".join(lines), mtime=0)
    for body in (whole, whole[:cut], whole[:cut] + garbage, garbage):
        try:
            for line in [line for lines in read_lines(HashingReader(BytesIO(body)), 1 << 30) for line in lines]:
                assert isinstance(read_item(line, "s3://b/k line 1"), dict)
        except (EOFError, gzip.BadGzipFile, GzipError):
            pass  # which converting names the file of
        except InvalidExportError as error:
            check_reason(error)


MAPPINGS = (
    mapping_document(column("hits", "INT"), schema={"type": "object", "required": ["id"]}),
    mapping_document(
        column("at", "BIGINT", "@changed_at_ms"), unmapped={"column": "extra"}, sort_key="at", json_attributes=["x"]
    ),
)


@EXAMPLES
@given(broken(*MAPPINGS))
def test_mappings(document):
    try:
        mapping = build_mapping("things", document)
    except InvalidMappingError as error:
        check_reason(error)
    else:
        RowMapper(mapping)


@EXAMPLES
@given(as_json(broken(*MAPPINGS)))
def test_mapping_files(tmp_path, body):
    path = tmp_path / "things.json"
    path.write_bytes(body)
    try:
        assert load_mapping_file(path).name == "things"
    except InvalidMappingError as error:
        check_reason(error)


@EXAMPLES
@given(
    st.text() | st.from_regex(r"[a-z_]*/mapping=[a-z_]*/.*") | ODD_TEXTS.map(lambda text: f"processed/mapping=m/{text}")
)
def test_keys(key):
    try:
        assert str(LandingKey.parse(key)) == key
    except InvalidBatchError as error:
        check_reason(error)


@pytest.mark.parametrize("records", [5, None, "text", {"a": 1}])
def test_an_invocation_whose_records_are_no_list_is_kept_whole(records):
    body = json.dumps({"payload": json.dumps({"Records": records})}).encode()
    assert [record.data for record in read_invocation(body)] == [body]


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 100_000], ids=["arrays", "objects"])
def test_what_is_nested_too_deep(body):
    store = InMemoryObjects()
    store.write("b", "manifest-summary.json", body)
    with pytest.raises(InvalidExportError):
        read_summary(store, "b", "manifest-summary.json", check_text)
    with pytest.raises(RejectedChange):
        decode_change(body)
    with pytest.raises(RejectedChange):
        read_change(body)
    with pytest.raises(InvalidExportError):
        read_item(body, "s3://b/k line 1")
    assert [record.data for record in read_invocation(body)] == [body]
    assert read_line(body).data == body
    (answer,) = make_transformer().transform([firehose_record(body)]).records
    assert answer["result"] == "ProcessingFailed"
