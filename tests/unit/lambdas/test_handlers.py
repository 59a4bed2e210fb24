"""The functions as Lambda loads them: settings from the environment, recorded events in, answers out."""

import base64
import io
import json
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from unittest.mock import ANY

import pytest
from botocore.stub import Stubber

import lambdas as package
from dynaurora import keys
from dynaurora.aws import sdk
from dynaurora.batches.batch import IMPORTED
from dynaurora.batches.import_batch import ImportResult
from dynaurora.batches.retry_notes import read_retry_causes
from dynaurora.dynamodb.changes import encode_change, from_stream_record
from dynaurora.dynamodb.packs import encode_pack
from dynaurora.errors import (
    AccessDeniedError,
    DeadlockError,
    InvalidBatchError,
    InvalidSettingsError,
    MalformedBatchError,
    RegistryUnavailableError,
    ThrottledError,
)
from dynaurora.mappings.csv_format import row_label
from dynaurora.mappings.registry import Pointer, Registries, Registry, point_at, publish_document
from dynaurora.mappings.row_mappers import RowMappers
from dynaurora.observability import logger
from dynaurora.target.check_target import CONNECTION, NO, SECRET, YES, Finding
from tests.events import load_event
from tests.support.csv_reader import read_line
from tests.support.example import load_example
from tests.support.factories import click, click_change, firehose_record
from tests.support.failure_factories import CONVERSION
from tests.support.fakes import InMemoryObjects, etag_of
from tests.support.functions import IDS, Context, check_ids, metrics_of
from tests.support.registries import make_registry

DATABASE = ["DATABASE_HOST", "DATABASE_PORT", "DATABASE_SECRET_ARN"]
FUNCTIONS = {
    "forward_changes": ["MAPPING", "DELIVERY_STREAM", "LANDING_BUCKET", "TTL_DELETES"],
    "transform_changes": ["MAPPING", "LANDING_BUCKET"],
    "import_batch": [*DATABASE, "LANDING_BUCKET", "IMPORT_CONCURRENCY"],
    "record_failed_batch": ["LANDING_BUCKET", "NOTICE_INTERVAL_SECONDS"],
    "open_run": [*DATABASE, "LANDING_BUCKET", "IMPORT_CONCURRENCY", "BACKFILL_CONCURRENCY"],
    "check_readiness": ["LANDING_BUCKET"],
    "plan_backfill": ["LANDING_BUCKET"],
    "convert_export": ["LANDING_BUCKET"],
    "reconcile_run": [*DATABASE, "LANDING_BUCKET"],
    "plan_sweep": [*DATABASE, "LANDING_BUCKET"],
    "report_run": ["LANDING_BUCKET", "CONVERT_MEMORY_MB", "IMPORT_MEMORY_MB", "NOTICE_INTERVAL_SECONDS"],
    "list_failures": ["LANDING_BUCKET"],
    "convert_failures": ["LANDING_BUCKET", "MAX_ATTEMPTS"],
    "settle_failures": ["LANDING_BUCKET", "MAX_ATTEMPTS", "NOTICE_INTERVAL_SECONDS"],
    "measure_health": ["LANDING_BUCKET", "PLATFORM", "IMPORT_BATCH_ARN"],
    "close_run": [*DATABASE, "LANDING_BUCKET"],
    "describe_runs": [*DATABASE, "LANDING_BUCKET"],
    "change_mapping": [
        *(name for name in DATABASE if name != "DATABASE_SECRET_ARN"),
        "DATABASE_ADMIN_SECRET_ARN",
        "LANDING_BUCKET",
    ],
    "check_target": [*DATABASE, "LANDING_BUCKET"],
    "compare_rows": [*DATABASE, "LANDING_BUCKET"],
    "judge_differences": ["LANDING_BUCKET", "COMPARE_ROWS_FUNCTION", "SETTLE_SECONDS"],
    "find_unimported": [*DATABASE, "LANDING_BUCKET", "BATCH_RETENTION_DAYS"],
    "purge_replicas": [*DATABASE, "LANDING_BUCKET", "PURGE_AFTER_DAYS"],
    "prepare_target": [*DATABASE, "DATABASE_ADMIN_SECRET_ARN", "LANDING_BUCKET", "IMPORT_CONCURRENCY"],
    "register_replication": ["LANDING_BUCKET"],
    "rotate_loader_secret": DATABASE,
}


@dataclass(frozen=True)
class Printed:
    """What was printed, to be read twice."""

    out: str

    def readouterr(self):
        return self


def test_every_function_is_known_here():
    files = {path.stem for path in Path(package.__file__).parent.glob("*.py")} - {"__init__"}
    assert FUNCTIONS.keys() == IDS.keys() == files


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_loads_with_its_environment(load, name):
    assert callable(load(name).lambda_handler)


@pytest.mark.parametrize(("name", "variables"), FUNCTIONS.items(), ids=FUNCTIONS)
def test_a_function_without_its_environment_names_every_variable(load, name, variables):
    with pytest.raises(InvalidSettingsError) as caught:
        load(name, **dict.fromkeys(variables, ""))
    assert caught.value.problem == "; ".join(f"{variable} is not set" for variable in variables) + "."


@pytest.fixture
def transforming(load, monkeypatch):
    """Return transform_changes, with a registry and objects in memory."""
    function, store = load("transform_changes"), InMemoryObjects()
    monkeypatch.setattr(function, "mappers", RowMappers(make_registry()))
    monkeypatch.setattr(function, "S3Objects", lambda: store)
    return Transforming(function, store)


@dataclass(frozen=True)
class Transforming:
    function: ModuleType
    store: InMemoryObjects


LABEL = row_label(load_example())


def read_labelled(data):
    """Return the fields of the one row of an answer."""
    line = base64.b64decode(data)
    assert line.startswith(LABEL)
    return read_line(line.removeprefix(LABEL))


def test_transform_changes_answers_firehose(transforming, capsys):
    event = load_event("firehose_transform")
    answer = transforming.function.lambda_handler(event, Context())
    assert [record["recordId"] for record in answer["records"]] == [record["recordId"] for record in event["records"]]
    assert [record["result"] for record in answer["records"]] == ["Ok", "Dropped", "Ok", "ProcessingFailed"]
    put, delete = (read_labelled(answer["records"][position]["data"]) for position in (0, 2))
    assert put[0] == "0"
    assert put[2:] == [
        "home",
        "2026-11-23T08:14:32",
        "1795421672000",
        "3",
        "2026-11-23 08:14:32",
        "2026-11-23 08:19:01",
        "DE",
    ]
    assert delete == ["1", ANY, "old", "2026-01-01T00:00:00", None, None, None, None, None]
    assert int(delete[1]) > int(put[1])
    counted, lines = metrics_of(capsys)
    assert counted == {"ChangesTransformed": [2.0], "ChangesRejected": [2.0]}
    assert all(line["mapping"] == "web_analytics" for line in lines)
    ((_, key),) = transforming.store.objects
    assert key.startswith("transformation_failed_data_backup/mapping=web_analytics/refused/")


def test_transform_changes_logs_reasons_and_no_contents(transforming, monkeypatch):
    monkeypatch.setattr(logger.registered_handler, "stream", io.StringIO())
    transforming.function.lambda_handler(load_event("firehose_transform"), Context())
    text = logger.registered_handler.stream.getvalue()
    *rejected, total = map(json.loads, text.splitlines())
    check_ids("transform_changes", [*rejected, total])
    assert (total["mapping"], total["rejected"]) == ("web_analytics", 2)
    assert total["reasons"] == {"payload (json)": 1, "record (record)": 1}
    assert [line["message"] for line in rejected] == ["Change rejected"] * 2
    assert json.loads(rejected[0]["key"]) == {"page_id": {"S": "cart"}, "activity_dt": {"S": ANY}}
    assert len(rejected[0]["version"]) > 40
    assert rejected[0]["reasons"][0].startswith("payload: is not JSON")
    assert not {"key", "version"} & rejected[1].keys()
    assert "hello" not in text


def test_transform_changes_logs_so_many_rejections_and_counts_all(transforming, monkeypatch):
    monkeypatch.setattr(logger.registered_handler, "stream", io.StringIO())
    function = transforming.function
    secret = click(Hits="secret-hits", session={"session_id": "secret-session"})
    change = click_change(secret, version=7, page_id="\ud800 page")
    records = [firehose_record(change, str(number)) for number in range(function.MAX_LOGGED + 5)]
    function.lambda_handler({"records": records}, Context())
    text = logger.registered_handler.stream.getvalue()
    *rejected, total = map(json.loads, text.splitlines())
    assert (len(rejected), total["rejected"]) == (function.MAX_LOGGED, function.MAX_LOGGED + 5)
    assert json.loads(rejected[0]["key"]) == change.keys
    assert rejected[0]["version"] == "7"
    assert any(reason.startswith("payload.Hits: is a string") for reason in rejected[0]["reasons"])
    assert "secret" not in text


def stub_firehose(*answers):
    """Return a stub whose calls answer with these error codes, one for each record they must carry."""
    stubber = Stubber(sdk.client("firehose"))
    for records, codes in answers:
        responses = [{"ErrorCode": code, "ErrorMessage": "slow"} if code else {"RecordId": "1"} for code in codes]
        stubber.add_response(
            "put_record_batch",
            {"FailedPutCount": len([code for code in codes if code]), "RequestResponses": responses},
            {"DeliveryStreamName": "dynaurora-changes", "Records": [{"Data": data} for data in records]},
        )
    return stubber


def changes_of(event):
    return [encode_change(from_stream_record(record)) for record in event["Records"]]


WEB_ANALYTICS = load_example().digest


def pack_of(event):
    """Return the record of Firehose that the changes of an event go in."""
    return encode_pack(WEB_ANALYTICS, changes_of(event))


@pytest.fixture
def load_forward(load, monkeypatch):
    """Return what loads forward_changes, with a registry in memory."""

    def load_function(**changed):
        function = load("forward_changes", **changed)
        monkeypatch.setattr(function, "registry", make_registry())
        monkeypatch.setattr(function, "write_forwarded", lambda _store, *noted: NOTED.append(noted))
        NOTED.clear()
        return function

    return load_function


NOTED = []
"""How far the stream was forwarded, as forward_changes has noted it."""


@pytest.fixture
def no_pauses(monkeypatch):
    monkeypatch.setattr("dynaurora.stream.forward_changes.backoff", lambda _attempt: 0.0)


@pytest.mark.usefixtures("no_pauses")
def test_forward_changes_sends_again_what_firehose_refused(load_forward, capsys):
    function, event = load_forward(), load_event("dynamodb_stream")
    pack, refused = pack_of(event), "ServiceUnavailableException"
    with stub_firehose(([pack], [refused]), ([pack], [None])) as stubber:
        assert function.lambda_handler(event, Context()) == {"batchItemFailures": []}
        stubber.assert_no_pending_responses()
    assert metrics_of(capsys)[0] == {"ChangesForwarded": [3.0]}


@pytest.mark.usefixtures("no_pauses")
def test_forward_changes_names_what_it_could_not_send(load_forward, capsys):
    function, event = load_forward(), load_event("dynamodb_stream")
    numbers = [record["dynamodb"]["SequenceNumber"] for record in event["Records"]]
    with stub_firehose(*[([pack_of(event)], ["ServiceUnavailableException"])] * 6):
        answer = function.lambda_handler(event, Context())
    assert answer == {"batchItemFailures": [{"itemIdentifier": number} for number in numbers]}
    assert metrics_of(capsys)[0] == {"ChangesUnsent": [3.0]}
    assert NOTED == []


@pytest.mark.filterwarnings("ignore:No application metrics")
def test_forward_changes_sends_nothing_where_nobody_knows_by_which_mapping(load_forward, monkeypatch):
    function = load_forward()
    monkeypatch.setattr(function, "registry", Registry(InMemoryObjects(), "dynaurora-landing", "web_analytics"))
    with stub_firehose(), pytest.raises(RegistryUnavailableError, match="no mapping was ever activated"):
        function.lambda_handler(load_event("dynamodb_stream"), Context())


def test_forward_changes_leaves_expiries_out_where_told(load_forward, capsys):
    function, event = load_forward(TTL_DELETES="ignore"), load_event("dynamodb_stream")
    sent = {"Records": event["Records"][:2]}
    with stub_firehose(([pack_of(sent)], [None])) as stubber:
        assert function.lambda_handler(event, Context()) == {"batchItemFailures": []}
        stubber.assert_no_pending_responses()
    assert metrics_of(capsys)[0] == {"ChangesForwarded": [2.0], "ExpiriesIgnored": [1.0]}


def test_forward_changes_notes_how_far_it_is_a_few_times_an_hour_and_never_past_what_failed(load_forward, monkeypatch):
    function, event = load_forward(), load_event("dynamodb_stream")
    first = min(int(record["dynamodb"]["ApproximateCreationDateTime"]) for record in event["Records"])
    for seconds in (0, 899, 901):
        monkeypatch.setattr("dynaurora.observability.time.monotonic", lambda seconds=seconds: 1000.0 + seconds)
        with stub_firehose(([pack_of(event)], [None])):
            function.lambda_handler(event, Context())
    assert [("dynaurora-landing", "web_analytics", first)] * 2 == NOTED


def test_forward_changes_goes_on_where_that_cannot_be_noted(load_forward, monkeypatch):
    function, event = load_forward(), load_event("dynamodb_stream")

    def fail(*_arguments):
        raise ThrottledError("S3 is busy.")

    monkeypatch.setattr(function, "write_forwarded", fail)
    with stub_firehose(([pack_of(event)], [None])):
        assert function.lambda_handler(event, Context()) == {"batchItemFailures": []}


def test_forward_changes_diverts_what_is_too_large_for_firehose(load_forward, capsys):
    function, event = load_forward(), load_event("dynamodb_stream")
    event["Records"][0]["dynamodb"]["NewImage"]["payload"] = {"S": "x" * 1_024_000}
    with (
        stub_firehose(([pack_of({"Records": event["Records"][1:]})], [None])) as firehose,
        Stubber(sdk.client("s3")) as s3,
    ):
        s3.add_response("put_object", {"ETag": '"e1"'}, {"Bucket": "dynaurora-landing", "Key": ANY, "Body": ANY})
        assert function.lambda_handler(event, Context()) == {"batchItemFailures": []}
        s3.assert_no_pending_responses()
        firehose.assert_no_pending_responses()
    assert metrics_of(capsys)[0] == {"ChangesForwarded": [2.0], "ChangesDiverted": [1.0]}


def test_forward_changes_sets_aside_what_can_never_be_sent(load_forward, capsys):
    function, event = load_forward(), load_event("dynamodb_stream")
    del event["Records"][0]["dynamodb"]["NewImage"]
    rest = {"Records": event["Records"][1:]}
    with stub_firehose(([pack_of(rest)], [None])) as firehose, Stubber(sdk.client("s3")) as s3:
        s3.add_response("put_object", {"ETag": '"e1"'}, {"Bucket": "dynaurora-landing", "Key": ANY, "Body": ANY})
        assert function.lambda_handler(event, Context()) == {"batchItemFailures": []}
        s3.assert_no_pending_responses()
        firehose.assert_no_pending_responses()
    assert metrics_of(capsys)[0] == {"ChangesForwarded": [2.0], "ChangesDiverted": [1.0]}


def test_forward_changes_tells_of_a_stamp_that_goes_back(load_forward, capsys):
    function, event = load_forward(), load_event("dynamodb_stream")
    first, second, _ = event["Records"]
    second["dynamodb"]["Keys"] = first["dynamodb"]["Keys"]
    second["dynamodb"]["ApproximateCreationDateTime"] = first["dynamodb"]["ApproximateCreationDateTime"] - 1
    with stub_firehose(([pack_of(event)], [None])):
        assert function.lambda_handler(event, Context()) == {"batchItemFailures": []}
    printed = capsys.readouterr().out
    assert metrics_of(Printed(printed))[0] == {"ChangesForwarded": [3.0], "StampsReversed": [1.0]}
    assert metrics_of(Printed(printed), of_all=True)[0] == {"StreamsForwarded": [1.0], "StampsReversed": [1.0]}


def test_forward_changes_tells_once_a_minute_that_anything_is_forwarded(load_forward, capsys, monkeypatch):
    function, event = load_forward(), load_event("dynamodb_stream")
    told = []
    for seconds in (0, 59, 61):
        monkeypatch.setattr("dynaurora.observability.time.monotonic", lambda seconds=seconds: 1000.0 + seconds)
        with stub_firehose(([pack_of(event)], [None])):
            function.lambda_handler(event, Context())
        counted, embedded = metrics_of(capsys, of_all=True)
        told.append(counted)
        assert [line["bucket"] for line in embedded] == ["dynaurora-landing"] * len(counted)
    assert told == [{"StreamsForwarded": [1.0]}, {}, {"StreamsForwarded": [1.0]}]


def test_record_failed_batch_keeps_the_batch(load, capsys, monkeypatch):
    monkeypatch.setattr(logger.registered_handler, "stream", io.StringIO())
    function = load("record_failed_batch")
    error = {"Error": "RowCountError", "Cause": json.dumps({"errorMessage": "It has 3 rows."})}
    event = {
        "input": load_event("import_batch_input") | {"error": error},
        "execution": {"id": "arn:execution", "name": "e-1"},
    }
    with Stubber(sdk.client("s3")) as stubber:
        stubber.add_client_error("get_object", "NoSuchKey", http_status_code=404)
        written = {"Bucket": "dynaurora-landing", "Key": ANY, "Body": ANY}
        stubber.add_response("put_object", {"ETag": '"e1"'}, written)
        stubber.add_response("put_object", {"ETag": '"e2"'}, written | {"IfNoneMatch": "*"})
        answer = function.lambda_handler(event, Context())
        stubber.assert_no_pending_responses()
    assert (answer["error"], answer["notify"]) == ("RowCountError", True)
    assert answer["key"] == f"failed_batches/mapping=web_analytics/{answer['batch_id']}.json"
    assert metrics_of(capsys)[0] == {"BatchesFailed": [1.0]}
    (line,) = map(json.loads, logger.registered_handler.stream.getvalue().splitlines())
    check_ids("record_failed_batch", [line])
    assert (line["batch"], line["error"], "run" in line) == (answer["batch_id"], "RowCountError", False)


@pytest.mark.parametrize(
    "failed",
    [
        {"batch": load_event("import_batch_input")["batch"] | {"run": "r1", "source": "backfill"}},
        {"batch": CONVERSION},
        {"batch": {"mapping": "web_analytics", "objects": "none"}},
        {"batch": {"objects": [5, {"key": "processed/mapping=web_analytics/a.csv"}]}},
    ],
    ids=["imported", "converted", "no descriptor", "named by a key"],
)
def test_record_failed_batch_logs_the_run_of_a_batch_that_has_one(load, monkeypatch, failed):
    monkeypatch.setattr(logger.registered_handler, "stream", io.StringIO())
    function, store = load("record_failed_batch"), InMemoryObjects()
    monkeypatch.setattr(function, "S3Objects", lambda: store)
    answer = function.lambda_handler({"input": failed, "execution": {"id": "arn:execution"}}, Context())
    (line,) = map(json.loads, logger.registered_handler.stream.getvalue().splitlines())
    check_ids("record_failed_batch", [line])
    assert (line["batch"], line.get("run")) == (answer["batch_id"], "r1" if "r1" in str(failed) else None)


NAMELESS = [None, "nothing", {}, {"mapping": "A/B"}, {"objects": [{"key": "a.csv"}]}, {"objects": 5}]


@pytest.mark.parametrize("batch", NAMELESS)
def test_record_failed_batch_keeps_what_is_for_no_mapping_where_no_mapping_is(load, monkeypatch, batch):
    function, store = load("record_failed_batch"), InMemoryObjects()
    monkeypatch.setattr(function, "S3Objects", lambda: store)
    failed = {"batch": batch, "error": {"Error": "InvalidBatchError", "Cause": "batch.mapping is missing"}}
    answer = function.lambda_handler({"input": failed, "execution": {"id": "arn:execution"}}, Context())
    assert answer["key"] == f"failed_batches/mapping=-/{answer['batch_id']}.json"
    assert json.loads(store.read(answer["bucket"], answer["key"]))["batch"] == batch
    assert answer["notify"]
    assert "start the import again with this execution's input and the mapping" in answer["message"]
    assert "dynaurora reprocess" not in answer["message"]
    with pytest.raises(InvalidBatchError):
        keys.LandingKey.parse(answer["key"])


@pytest.mark.filterwarnings("ignore:No application metrics")
@pytest.mark.parametrize("event", [{}, [], ["batch"], "batch", "", 5, None, {"input": None}, {"input": [1]}])
def test_import_batch_refuses_what_is_no_descriptor_before_it_connects(load, event):
    with pytest.raises(Exception, match="batch is missing") as caught:
        load("import_batch").lambda_handler(event, Context())
    assert type(caught.value).__name__ == "InvalidBatchError"


class Importer:
    """The import_batch function on a store in memory, with a database that answers `outcome`."""

    def __init__(self, function, monkeypatch):
        self.function = function
        self.store = InMemoryObjects({("dynaurora-landing", "batch.csv"): b"0,1,a\n"})
        self.outcome = "applied"
        self.oldest_second = None
        self.source = "stream"
        self.of_run = None
        self.altered = None
        mapping = load_example()
        publish_document(self.store, "dynaurora-landing", mapping)
        point_at(self.store, "dynaurora-landing", mapping.name, Pointer(mapping.digest, 1))
        monkeypatch.setattr(function, "registries", Registries(self.store, "dynaurora-landing"))
        monkeypatch.setattr(function, "S3Objects", lambda: self.store)
        monkeypatch.setattr(function, "connect_loader", lambda *_, **__: nullcontext())
        monkeypatch.setattr(function, "import_batch", self.answer)
        monkeypatch.setattr(function.lookout, "look", lambda *_: self.altered)

    def answer(self, batch, *_):
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return ImportResult(self.outcome, batch.id, 1, 1, self.oldest_second)

    def run(self, **beside):
        item = {"bucket": "dynaurora-landing", "key": "batch.csv", "etag": etag_of(b"0,1,a\n"), "size": 6}
        batch = load_event("import_batch_input")["batch"] | {
            "objects": [item],
            "source": self.source,
            "run": self.of_run,
        }
        return self.function.lambda_handler({"batch": batch} | beside, Context())


@pytest.fixture
def importer(load, monkeypatch):
    return Importer(load("import_batch"), monkeypatch)


@pytest.mark.parametrize("source", ["stream", "backfill", "reprocess", "sweep"])
def test_import_batch_counts_by_where_batches_come_from(importer, capsys, source):
    importer.source = source
    importer.run()
    counted, (embedded,) = metrics_of(capsys)
    assert counted == {"BatchesImported": [1.0], "RowsChanged": [1.0]}
    assert embedded["source"] == source
    (dimensions,) = embedded["_aws"]["CloudWatchMetrics"][0]["Dimensions"]
    assert set(dimensions) - {"service"} == {
        "mapping",
        "source",
    }  # the service is the process's, whichever test is first


@pytest.mark.parametrize(("altered", "measured"), [(None, None), ([], None), (["the trigger x may set"], [1.0])])
def test_import_batch_tells_that_somebody_altered_the_target(importer, capsys, altered, measured):
    importer.altered = altered
    importer.run()
    printed = Printed(capsys.readouterr().out)
    assert [metrics_of(printed, of_all=of_all)[0].get("TargetsAltered") for of_all in (False, True)] == [measured] * 2


@pytest.mark.parametrize(("source", "counted"), [("stream", {"BatchesImported": [1.0]}), ("backfill", {})])
def test_import_batch_counts_the_batches_of_all_streams_together(importer, capsys, source, counted):
    importer.source = source
    importer.run()
    assert metrics_of(capsys, of_all=True)[0] == counted


@pytest.mark.parametrize(("age", "lag"), [(90, 90), (-30, 0)], ids=["late", "of a clock that is ahead"])
def test_import_batch_measures_how_late_the_oldest_change_of_a_stream_is(importer, capsys, age, lag):
    importer.oldest_second = int(time.time()) - age
    importer.run()
    counted, (embedded,) = metrics_of(capsys)
    assert counted["ReplicationLag"][0] == pytest.approx(lag, abs=5)
    units = {metric["Name"]: metric["Unit"] for metric in embedded["_aws"]["CloudWatchMetrics"][0]["Metrics"]}
    assert units["ReplicationLag"] == "Seconds"


@pytest.mark.filterwarnings("ignore:No application metrics")
def test_the_ids_of_an_invocation_are_not_those_of_the_next(importer, monkeypatch):
    monkeypatch.setattr(logger.registered_handler, "stream", io.StringIO())
    importer.of_run = "r1"
    batch_id = importer.run()["batch_id"]
    with pytest.raises(InvalidBatchError):
        importer.function.lambda_handler({}, Context())
    imported, refused = map(json.loads, logger.registered_handler.stream.getvalue().splitlines())
    assert (imported["batch"], imported["run"]) == (batch_id, "r1")
    assert not {"batch", "run"} & refused.keys()
    assert (refused["level"], refused["error"]) == ("ERROR", "InvalidBatchError")


@pytest.mark.filterwarnings("ignore:No application metrics")
@pytest.mark.parametrize(
    ("error", "level"), [(DeadlockError("1213"), "WARNING"), (MalformedBatchError("It is empty."), "ERROR")]
)
def test_what_a_function_raises_is_logged_with_its_batch_and_reason(importer, monkeypatch, error, level):
    monkeypatch.setattr(logger.registered_handler, "stream", io.StringIO())
    importer.outcome = error
    with pytest.raises(type(error)):
        importer.run()
    (line,) = map(json.loads, logger.registered_handler.stream.getvalue().splitlines())
    check_ids("import_batch", [line])
    assert (line["level"], line["error"], line["reason"]) == (level, type(error).__name__, str(error))


@pytest.mark.filterwarnings("ignore:No application metrics")
@pytest.mark.parametrize("status", ["applied", "already_applied"])
def test_import_batch_lets_the_objects_of_an_imported_batch_expire(importer, status):
    importer.outcome = status
    assert importer.run()["status"] == status
    assert importer.store.tags == {("dynaurora-landing", "batch.csv"): IMPORTED}


@pytest.mark.filterwarnings("ignore:No application metrics")
def test_import_batch_keeps_the_objects_of_a_batch_that_failed(importer):
    importer.outcome = MalformedBatchError("It is empty.")
    with pytest.raises(MalformedBatchError):
        importer.run()
    assert importer.store.tags == {}


@pytest.mark.filterwarnings("ignore:No application metrics")
@pytest.mark.parametrize(
    ("run", "error", "noted"),
    [
        ("r1", DeadlockError("1213"), True),
        ("r1", MalformedBatchError("It is empty."), False),
        (None, DeadlockError("1213"), False),
    ],
)
def test_import_batch_notes_what_an_import_of_a_run_is_tried_again_for(importer, run, error, noted):
    importer.outcome, importer.of_run, importer.source = error, run, "backfill"
    with pytest.raises(type(error)):
        importer.run()
    causes = read_retry_causes(importer.store, "dynaurora-landing", "web_analytics", "r1")
    assert causes == ([{"error": "DeadlockError", "times": 1, "batches": 1}] if noted else [])


@pytest.mark.filterwarnings("ignore:No application metrics")
def test_import_batch_notes_retries_of_another_runs_batch_for_the_reprocess_that_takes_it_up(importer):
    importer.outcome, importer.of_run, importer.source = DeadlockError("1213"), "r1", "backfill"
    with pytest.raises(DeadlockError):
        importer.run(run="reprocess-1")
    (cause,) = read_retry_causes(importer.store, "dynaurora-landing", "web_analytics", "reprocess-1")
    assert cause["error"] == "DeadlockError"
    assert read_retry_causes(importer.store, "dynaurora-landing", "web_analytics", "r1") == []


@pytest.mark.filterwarnings("ignore:No application metrics")
@pytest.mark.parametrize("run", [5, ["r1"], {"id": "r1"}])
def test_import_batch_refuses_a_run_beside_the_batch_that_is_no_id(importer, run):
    with pytest.raises(Exception, match=r"input\.run is neither a run id nor null") as caught:
        importer.run(run=run)
    assert type(caught.value).__name__ == "InvalidBatchError"


@pytest.mark.filterwarnings("ignore:No application metrics")
def test_import_batch_raises_what_it_failed_with_where_that_cannot_be_noted(importer, monkeypatch):
    def refuse(*_):
        raise AccessDeniedError("PutObject answered AccessDenied.")

    monkeypatch.setattr(importer.store, "write", refuse)
    importer.outcome, importer.of_run = DeadlockError("1213"), "r1"
    with pytest.raises(DeadlockError, match="1213"):
        importer.run()


@pytest.mark.parametrize("problem", [AccessDeniedError("PutObjectTagging answered AccessDenied."), RuntimeError("?")])
def test_import_batch_does_not_fail_for_an_object_that_cannot_be_marked(importer, monkeypatch, problem):
    def refuse(*_):
        raise problem

    monkeypatch.setattr(importer.store, "tag", refuse)
    monkeypatch.setattr(logger.registered_handler, "stream", io.StringIO())
    assert importer.run()["status"] == "applied"
    *_, logged = map(json.loads, logger.registered_handler.stream.getvalue().splitlines())
    assert logged["level"] == "WARNING"
    assert logged["problem"] == f"{type(problem).__name__}: {problem}"


def test_check_target_answers_with_findings_and_logs_what_is_missing(load, monkeypatch, capsys):
    findings = [Finding(SECRET, YES), Finding(CONNECTION, NO, "ConnectionLostError: Aurora said 2003.", "Look.")]
    function = load("check_target")
    monkeypatch.setattr(function, "examine_target", lambda _: findings)
    monkeypatch.setattr(logger.registered_handler, "stream", io.StringIO())
    answer = function.lambda_handler({"mapping": "web_analytics"}, Context())
    assert [Finding(**finding) for finding in answer["findings"]] == findings
    (line,) = map(json.loads, logger.registered_handler.stream.getvalue().splitlines())
    check_ids("check_target", [line])
    assert (line["check"], line["reason"]) == (CONNECTION, "ConnectionLostError: Aurora said 2003.")
    assert metrics_of(capsys)[0] == {"TargetsChecked": [1.0]}
