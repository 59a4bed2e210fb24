"""The functions of runs: the state of their state machine in, what the next states read out."""

import io
import json
import re
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import ANY

import pytest

from dynaurora import keys
from dynaurora.aws.executions import Step
from dynaurora.batches.batch import Batch
from dynaurora.batches.conversion import CONVERSION_FIELDS
from dynaurora.dynamodb.source import SourceState
from dynaurora.errors import (
    InvalidBatchError,
    InvalidExportError,
    InvalidRunError,
    NotReadyError,
    RegistryUnavailableError,
    RejectedItemsError,
    RunConflictError,
    SweepRefusedError,
    UnknownMappingError,
    UnregisteredMappingError,
)
from dynaurora.exports.check_readiness import SETTLED_SECONDS
from dynaurora.exports.plan import Plan
from dynaurora.exports.reconcile_run import MappingChange, Totals
from dynaurora.failures.failed_records import decode_failed_record
from dynaurora.failures.notices import Notices
from dynaurora.mappings.mapping import build_mapping
from dynaurora.mappings.readers import read_filled
from dynaurora.mappings.registry import Pointer, Registries, point_at, publish_document
from dynaurora.mappings.replications import Replication
from dynaurora.mappings.row_mappers import SharedRowMappers
from dynaurora.observability import logger
from dynaurora.runs.report_page import render_report
from dynaurora.runs.requests import ReprocessOptions, ReprocessRequest
from tests.support.example import load_example
from tests.support.export_factory import BUCKET, Export
from tests.support.factories import (
    CREATED_AT,
    EXPORT_ARN,
    TABLE_ARN,
    click_item,
    make_plan,
    make_totals,
    run_input,
    run_request,
)
from tests.support.failure_factories import BAD, CONVERSION, FIREHOSE_KEY, GOOD, failed_lines, failed_record
from tests.support.fakes import InMemoryExecutions, InMemoryObjects
from tests.support.functions import ENVIRONMENT, Context, check_ids, metrics_of

pytestmark = pytest.mark.filterwarnings("ignore:No application metrics")

READER = "14e0db71-0000-0000-0000-000000000000"
LANDING = ENVIRONMENT["LANDING_BUCKET"]
EXECUTION = {"id": "arn:execution:r1", "name": "web_analytics-r1", "started": "2026-11-23T08:15:00Z"}
CLICKS = load_example()
OPENED = run_request().as_dict() | {"digest": CLICKS.digest, "generation": 1}
OF_HEALTH = ("FailuresKept", "FailuresParked", "StreamsUnread", "BatchesWaiting")


class IsClicks:
    """Equals the mapping of clicks, which is read from the registry anew."""

    def __eq__(self, mapping):
        return mapping.digest == CLICKS.digest

    __hash__ = None


class Function:
    """A function of a run, with fakes for its gateways: objects in memory, and what the database would do."""

    def __init__(self, load, monkeypatch, capsys):
        self.load = load
        self.monkeypatch = monkeypatch
        self.capsys = capsys
        self.store = InMemoryObjects()
        self.register(CLICKS)
        self.connections = []

    def register(self, mapping, generation=1):
        """Make a mapping the current one, as a deployment does."""
        publish_document(self.store, LANDING, mapping)
        point_at(self.store, LANDING, mapping.name, Pointer(mapping.digest, generation))
        self.replicate(mapping.name)

    def replicate(self, mapping, ttl_deletes="replicate"):
        """Have a replication of a mapping, as its stack registers it."""
        found = Replication(mapping, f"clicks-{mapping}", TABLE_ARN, (READER,), ttl_deletes)
        self.store.write(LANDING, keys.replication(mapping), found.encode())

    def invoke(self, name, event, **gateways):
        function = self.load(name)
        registries = Registries(self.store, LANDING)
        if "source" in gateways:
            source = gateways.pop("source")
            gateways["AwsSource"] = lambda *_: source
        fakes = {"S3Objects": lambda: self.store, "connect_loader": self.connect}
        for gateway, fake in {
            **fakes,
            "registries": registries,
            "mappers": SharedRowMappers(registries),
            **gateways,
        }.items():
            if hasattr(function, gateway):
                self.monkeypatch.setattr(function, gateway, fake)
        self.monkeypatch.setattr(logger.registered_handler, "stream", io.StringIO())
        answer = function.lambda_handler(event, Context())
        check_ids(name, self.logged())
        return json.loads(json.dumps(answer))  # Lambda hands it on as JSON

    def run(self, name, state, **gateways):
        """Invoke it as the state machine of backfills does."""
        return self.invoke(name, {"input": state, "execution": EXECUTION}, **gateways)

    def reprocess(self, name, state, **gateways):
        """Invoke it as the state machine of reprocesses does."""
        return self.invoke(name, {"kind": "reprocess", "input": state, "execution": EXECUTION}, **gateways)

    def connect(self, settings, *, load_from_s3=False):
        self.connections.append((settings.database_host, load_from_s3))
        return nullcontext("aurora")

    def counted(self):
        return metrics_of(self.capsys)[0]

    def logged(self):
        return [json.loads(line) for line in logger.registered_handler.stream.getvalue().splitlines()]


@pytest.fixture
def function(load, monkeypatch, capsys):
    return Function(load, monkeypatch, capsys)


@dataclass
class RecordingRuns:
    """Runs that remember what was asked of them."""

    answer: Any = None
    error: Exception | None = None
    taken: int = 0
    calls: list[tuple[Any, ...]] = field(default_factory=list)

    def __call__(self, aurora, database):
        self.calls.append((aurora, database))
        return self

    def _remember(self, *arguments):
        self.calls.append(arguments)
        if self.error:
            raise self.error
        return self.answer

    open = close = describe = _remember

    def count_batches_of_others(self, *_):
        return self.taken


def test_open_run_fills_in_what_a_run_leaves_open_and_checks_its_target(function):
    runs, checked = RecordingRuns(), []
    answer = function.run(
        "open_run",
        {"mapping": "web_analytics", "run": "r1", "max_concurrency": 900},
        Runs=runs,
        check_replica=lambda *arguments: checked.append(arguments),
    )
    options = {name: value for name, value in run_input(max_concurrency=4).items() if name not in {"mapping", "run"}}
    ids = {"mapping": "web_analytics", "run": "r1", "digest": CLICKS.digest, "generation": 1}
    assert answer == {**ids, "options": options}
    assert runs.calls == [
        ("aurora", "Demo"),
        (run_request(max_concurrency=4), IsClicks(), EXECUTION["id"], ANY),
    ]
    assert checked == [("aurora", IsClicks())]
    assert function.connections == [("db.example", True)]
    assert function.counted() == {"RunsOpened": [1.0]}
    assert function.logged()[-1]["run"] == "r1"


def test_open_run_leaves_other_runs_and_the_stream_their_shares_of_the_importer(function):
    runs = RecordingRuns(taken=2)
    answer = function.run(
        "open_run",
        {"mapping": "web_analytics", "run": "r1", "max_concurrency": 900},
        Runs=runs,
        check_replica=lambda *_: None,
    )
    assert answer["options"]["max_concurrency"] == 2
    assert runs.calls[-1][0].options.max_concurrency == 2


def test_open_run_names_a_verification_by_its_start_and_opens_it_where_the_run_judges(function):
    runs, verifications = RecordingRuns(), RecordingRuns()
    scheduled = {"mapping": "web_analytics", "compare": True, "judge": True}
    given = {"Runs": runs, "Verifications": verifications, "check_replica": lambda *_: None}
    answer = function.run("open_run", scheduled, **given)
    assert re.fullmatch(r"verify-\d{8}T\d{6}Z", answer["run"])
    assert (answer["options"]["compare"], answer["options"]["judge"]) == (True, True)
    assert verifications.calls == [("aurora", IsClicks()), (answer["run"], "export")]
    function.run("open_run", run_input(compare=True), **given)  # which whoever started it judges
    assert len(verifications.calls) == 2


def test_open_run_refuses_what_is_no_run_before_it_connects(function):
    with pytest.raises(Exception, match="run is null") as caught:
        function.run("open_run", {"mapping": "web_analytics"})
    assert type(caught.value).__name__ == "InvalidRunError"
    assert function.connections == []


def test_open_run_refuses_to_sweep_where_expired_items_keep_their_rows(function, monkeypatch):
    function.replicate("web_analytics", "ignore")
    with pytest.raises(InvalidRunError, match="TtlDeletes=ignore"):
        function.run("open_run", run_input(sweep=True))
    assert function.connections == []


def test_open_run_checks_no_target_for_a_run_that_is_anothers(function):
    runs, checked = RecordingRuns(error=RunConflictError("Run r1 is worked on.")), []
    with pytest.raises(RunConflictError):
        function.run("open_run", run_input(), Runs=runs, check_replica=lambda *_: checked.append(1))
    assert checked == []


@dataclass
class KnownSource:
    """A Source."""

    state: SourceState

    def describe(self):
        return self.state

    def find_key(self, bucket):
        return f"key of {bucket}"


LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
READY = SourceState(
    table="web_analytics",
    table_arn=TABLE_ARN,
    recovery=True,
    stream_arn="arn:stream",
    stream_view="NEW_IMAGE",
    stream_enabled_at=LONG_AGO,
    mapping="id",
    mapping_state="Enabled",
    mapping_stream_arn="arn:stream",
    mapping_changed_at=LONG_AGO,
)


def test_check_readiness_answers_with_the_export_to_make(function):
    answer = function.run("check_readiness", OPENED, source=KnownSource(READY))
    assert (answer["ready"], answer["planned"], answer["wait_seconds"]) == (True, False, 0)
    assert answer["export"] == json.loads(function.store.read(LANDING, keys.export_request("web_analytics", "r1")))
    assert answer["export"]["bucket"] == LANDING
    assert answer["stream_enabled_at"] == LONG_AGO.timestamp()


def test_check_readiness_asks_no_point_in_time_recovery_of_a_run_with_an_export(function):
    source = KnownSource(replace(READY, recovery=False))
    with pytest.raises(NotReadyError, match="recovery is off"):
        function.run("check_readiness", OPENED, source=source)
    given = run_request(export_arn=EXPORT_ARN).as_dict()
    assert function.run("check_readiness", given, source=source)["ready"]


def test_check_readiness_refuses_a_table_whose_keys_are_of_other_types(function):
    source = KnownSource(replace(READY, keys=("page_id", "activity_dt"), key_types=("N", "S")))
    with pytest.raises(
        NotReadyError, match="its key page_id is a number, and the schema of WebAnalytics allows string"
    ):
        function.run("check_readiness", OPENED, source=source)


def test_check_readiness_waits_until_a_changed_mapping_is_everywhere(function):
    assert function.run("check_readiness", OPENED, source=KnownSource(READY))["complete_from"] is None
    changed = change_mapping()
    function.register(changed, 2)
    now = datetime.now(UTC)
    function.store.written_at = now - timedelta(seconds=100)
    opened = OPENED | {"digest": changed.digest, "generation": 2}
    answer = function.run("check_readiness", opened, source=KnownSource(READY))
    assert (answer["ready"], answer["export"]) == (False, None)
    assert answer["wait_seconds"] == pytest.approx(SETTLED_SECONDS - 100, abs=30)
    since = (now - timedelta(seconds=100 - SETTLED_SECONDS)).timestamp()
    assert answer["complete_from"] == pytest.approx(since, abs=30)
    function.store.written_at = now - timedelta(seconds=SETTLED_SECONDS + 5)
    assert function.run("check_readiness", opened, source=KnownSource(READY))["ready"]


def test_check_readiness_refuses_a_run_whose_mapping_was_changed_before_it_exported(function):
    function.register(change_mapping(), 2)
    function.store.written_at = LONG_AGO
    with pytest.raises(RunConflictError, match="was changed since run r1 was opened; nothing was exported"):
        function.run("check_readiness", OPENED, source=KnownSource(READY))
    assert (LANDING, keys.export_request("web_analytics", "r1")) not in function.store.objects
    plan = make_plan()
    function.store.write(LANDING, keys.planned("web_analytics", "r1"), json.dumps(asdict(plan)).encode())
    function.store.write(plan.bucket, plan.key, b"[]")
    answer = function.run("check_readiness", OPENED, source=KnownSource(READY))
    assert (answer["planned"], answer["complete_from"]) == (True, LONG_AGO.timestamp() + SETTLED_SECONDS + 1)


def test_measure_health_measures_once_that_nothing_failed_and_tells_nothing_else(function):
    answer = function.invoke("measure_health", {}, source=KnownSource(READY), executions=InMemoryExecutions())
    nothing = {"failures_kept": 0, "failures_parked": 0, "stream_problems": [], "near_loss": False}
    assert answer == {"batches_waiting": 0, "replications": {"web_analytics": nothing}}
    counted, embedded = metrics_of(function.capsys)
    assert counted == {"FailuresKept": [0.0]}
    assert [line.get("mapping") for line in embedded] == [None]
    assert function.logged() == []


def test_measure_health_measures_what_is_wrong_of_each_replication_and_says_what_to_do(function):
    function.replicate("orders")
    for key in (FIREHOSE_KEY, keys.parked("web_analytics", FIREHOSE_KEY)):
        function.store.write(LANDING, key, b"x")
    sources = {"web_analytics": replace(READY, mapping_state="Disabled"), "orders": READY}
    made = iter([KnownSource(sources["orders"]), KnownSource(sources["web_analytics"])])  # by their names
    executions = InMemoryExecutions({"arn:import"})
    function.invoke("measure_health", {}, AwsSource=lambda *_: next(made), executions=executions)
    counted, embedded = metrics_of(function.capsys)
    assert counted == {name: [1.0] for name in (*OF_HEALTH, "StreamsNearLoss")}
    assert [(line.get("mapping"), "BatchesWaiting" in line) for line in embedded] == [
        ("web_analytics", False),
        (None, True),
    ]
    near_loss, line = function.logged()  # it was disabled more than a day ago
    assert {(each["level"], each["mapping"]) for each in (near_loss, line)} == {("ERROR", "web_analytics")}
    assert "it loses records" in near_loss["message"]
    assert "`dynaurora resume web_analytics`" in line["problems"][0]


@pytest.mark.parametrize("name", ["open_run", "check_readiness", "plan_backfill", "list_failures"])
def test_a_mapping_that_nobody_replicates_is_refused(function, name):
    function.store.delete(LANDING, keys.replication("web_analytics"))
    with pytest.raises(UnknownMappingError, match="No replication of mapping web_analytics is deployed"):
        function.run(name, run_input() if name == "open_run" else OPENED)


def exported(export, stream_enabled_at=CREATED_AT - 60, **options):
    """Return the state of a run whose export DynamoDB has described as complete."""
    return {
        **run_request(**options).as_dict(),
        "readiness": {"stream_enabled_at": stream_enabled_at, "mapping_changed_at": stream_enabled_at},
        "export": {"ExportDescription": {"S3Bucket": BUCKET, "ExportManifest": export.summary_key}},
    }


def test_plan_backfill_plans_a_run_once(function):
    export = Export(store=function.store).add("a", [click_item()]).write()
    plan = function.run("plan_backfill", exported(export))
    assert Plan.from_dict(plan).batches == 1
    assert (plan["bucket"], plan["key"], plan["warnings"]) == (LANDING, keys.plan("web_analytics", "r1"), [])
    assert function.run("plan_backfill", OPENED) == plan


@pytest.mark.parametrize("export_arn", [EXPORT_ARN, None], ids=["given", "own"])
def test_plan_backfill_refuses_an_export_that_is_older_than_the_stream(function, export_arn):
    export = Export(store=function.store).add("a", [click_item()]).write()
    with pytest.raises(NotReadyError, match="before the table's stream was switched on"):
        function.run("plan_backfill", exported(export, CREATED_AT + 1, export_arn=export_arn))


def test_plan_backfill_doubts_the_time_of_an_export_that_is_given(function):
    export = Export(store=function.store).add("a", [click_item()]).write()
    (warning,) = function.run("plan_backfill", exported(export, export_arn=EXPORT_ARN))["warnings"]
    assert "within the minute before that may be missing" in warning


def test_convert_export_returns_the_descriptor_that_the_importer_takes(function):
    export = Export(store=function.store).add("a", [click_item(), click_item("{"), click_item(page_id="b")]).write()
    plan = function.run("plan_backfill", exported(export))
    assert function.counted() == {"BatchesPlanned": [1.0]}
    (entry,) = json.loads(function.store.read(LANDING, plan["key"]))
    event = {
        "mapping": "web_analytics",
        "run": "r1",
        **{name: plan[name] for name in ("export_second", "bucket", "export_bucket")},
        "batch": entry,
    }
    answer = function.invoke("convert_export", event)
    batch = Batch.from_event(answer)
    assert (batch.rows, batch.rejected, batch.run, batch.source) == (2, {"payload (json)": 1}, "r1", "backfill")
    assert batch.objects[0].key == keys.backfill_batch("web_analytics", "r1", 1)
    (line,) = function.store.read(LANDING, keys.backfill_rejects("web_analytics", "r1", 1)).splitlines()
    assert decode_failed_record(line).function_arn == Context.invoked_function_arn
    assert function.counted() == {"ItemsConverted": [3.0], "ItemsRejected": [1.0]}


@pytest.mark.parametrize("field", list(CONVERSION_FIELDS))
@pytest.mark.parametrize("value", [None, [], True], ids=repr)
def test_convert_export_names_the_field_that_it_lacks(function, field, value):
    event = CONVERSION | {field: value}
    with pytest.raises(InvalidBatchError, match=rf"^batch\.{field} is missing or not of type "):
        function.invoke("convert_export", event)


@pytest.mark.parametrize("event", [None, [], "text", {}], ids=repr)
def test_convert_export_refuses_what_is_no_object(function, event):
    with pytest.raises(InvalidBatchError, match=r"^batch\.mapping is missing"):
        function.invoke("convert_export", event)


def test_convert_export_refuses_what_is_no_planned_batch(function):
    with pytest.raises(InvalidExportError, match="An entry of the plan lacks a field"):
        function.invoke("convert_export", CONVERSION | {"batch": {"number": 1}})


def test_reconcile_run_returns_the_totals(function):
    asked = []

    def reconcile(*arguments):
        asked.append(arguments)
        return make_totals()

    answer = function.run("reconcile_run", OPENED | {"plan": asdict(make_plan())}, reconcile_run=reconcile)
    assert Totals(**answer) == make_totals()
    assert asked == [("aurora", IsClicks(), "r1", make_plan(), function.store, MappingChange())]
    assert function.counted() == {"ItemsExported": [10.0]}


def test_reconcile_run_is_told_what_the_run_was_opened_with_and_since_when_that_is_everywhere(function):
    asked = []

    def reconcile(*arguments):
        asked.append(arguments[-1])
        return make_totals()

    opened = OPENED | {"generation": 3, "readiness": {"complete_from": 1_700_000_000.0}}
    before = {name: value for name, value in OPENED.items() if name not in {"digest", "generation"}}
    for state in (opened, before | {"readiness": {"ready": True}}, before):
        function.run("reconcile_run", state | {"plan": asdict(make_plan())}, reconcile_run=reconcile)
    assert asked == [MappingChange(3, 1_700_000_000.0), MappingChange(), MappingChange()]


@dataclass(frozen=True)
class EmptyAurora:
    """A replica in which nothing is older than any snapshot, and of which three rows were swept before."""

    swept: Any = ((3,),)

    def stream(self, *_):
        yield from ()

    def query(self, statement, _arguments):
        return [] if "information_schema" in statement else [*self.swept]


def test_plan_sweep_reads_the_plan_and_the_totals_of_its_run(function):
    state = OPENED | {"plan": asdict(make_plan()), "totals": asdict(make_totals())}
    connect = {"connect_loader": lambda *_, **__: nullcontext(EmptyAurora())}
    answer = function.run("plan_sweep", state, **connect)
    assert answer == {
        "bucket": LANDING,
        "key": keys.sweep_plan("web_analytics", "r1"),
        "rows": 0,
        "batches": 0,
        "rows_before": 3,
        "left_out": 0,
    }
    refused = state | {"totals": asdict(make_totals(rejected=1))}
    with pytest.raises(SweepRefusedError):
        function.run("plan_sweep", refused, **connect)
    beyond = refused | {"options": {"tolerated_rejected_percentage": 0}}
    with pytest.raises(RejectedItemsError, match=r"items, .*were refused"):
        function.run("plan_sweep", beyond, **connect)


@dataclass(frozen=True)
class KnownHistory:
    """A History of one state."""

    def steps(self, execution):
        assert execution == EXECUTION["id"]
        return [Step("Open run", LONG_AGO)]


def test_report_run_writes_the_report_and_returns_no_failure(function):
    state = OPENED | {"plan": asdict(make_plan()), "totals": asdict(make_totals())}
    answer = function.run("report_run", state, ExecutionHistory=KnownHistory)
    assert answer == {
        "bucket": LANDING,
        "key": "reports/run=web_analytics-r1/report.json",
        "failure": None,
        "notify": False,
    }
    report = json.loads(function.store.read(LANDING, answer["key"]))
    assert (report["state"], report["run"], report["started_at"]) == ("SUCCEEDED", "r1", "2026-01-01T00:00:00Z")
    assert function.store.read(LANDING, "reports/run=web_analytics-r1/report.html").decode() == render_report(report)
    assert function.counted() == {"RunsSucceeded": [1.0]}


def test_report_run_writes_the_report_of_a_failure_and_returns_its_notice(function):
    state = OPENED | {"error": {"Error": "NotReadyError", "Cause": "Its stream is off."}}
    answer = function.run("report_run", state, ExecutionHistory=KnownHistory)
    assert answer["failure"].keys() == {"error", "reason", "remedy", "subject", "message"}
    assert answer["notify"]
    assert json.loads(function.store.read(LANDING, answer["key"]))["failure"]["reason"] == "Its stream is off."
    assert function.counted() == {"RunsFailed": [1.0]}


def test_report_run_takes_examples_of_refused_items(function):
    refused = {"Target": "WebAnalytics", "Keys": {"page_id": {"S": "/a"}}, "Reason": "payload.Hits (type)"}
    function.store.write(LANDING, keys.backfill_refused("web_analytics", "r1", 1), json.dumps(refused).encode())
    examples = [{"reason": "payload.Hits (type)", "keys": [{"page_id": {"S": "/a"}}]}]
    for rejected, found in ((1, examples), (0, [])):  # of a run that refused nothing, nothing is listed
        state = OPENED | {"totals": asdict(make_totals(rejected=rejected))}
        answer = function.run("report_run", state, ExecutionHistory=KnownHistory)
        assert json.loads(function.store.read(LANDING, answer["key"]))["refused_examples"] == found


def test_report_run_names_a_verification_that_could_not_be_opened_by_its_start(function):
    scheduled = {"mapping": "web_analytics", "compare": True, "judge": True}
    state = scheduled | {"error": {"Error": "PrivilegeError", "Cause": "It may not."}}
    answer = function.run("report_run", state, ExecutionHistory=KnownHistory)
    run = json.loads(function.store.read(LANDING, answer["key"]))["run"]
    assert re.fullmatch(r"verify-\d{8}T\d{6}Z", run)
    assert f"Start it again with: dynaurora verify web_analytics --run {run}\n" in answer["failure"]["message"]


def test_report_run_leaves_the_report_of_a_run_that_is_anothers(function):
    state = run_input() | {"error": {"Error": "RunConflictError", "Cause": "It is worked on."}}
    answer = function.run("report_run", state, ExecutionHistory=KnownHistory)
    assert (answer["key"], answer["failure"]["error"], answer["notify"]) == (None, "RunConflictError", True)
    assert all(key.startswith(("notices/", "mappings/")) for _, key in function.store.objects)


def test_report_run_tells_of_a_cause_once_and_of_no_batchs(function):
    notices = Notices(function.store, LANDING, "web_analytics", int(ENVIRONMENT["NOTICE_INTERVAL_SECONDS"]))
    now = datetime.now(UTC)
    for hour in (now, now + timedelta(hours=1)):  # the clock may strike in between
        notices.claim("run-NotReadyError", "arn:execution:r0", hour)
        notices.claim("PrivilegeError", "arn:execution:batch", hour)
    for error, due in (("NotReadyError", False), ("PrivilegeError", True)):
        answer = function.run("report_run", OPENED | {"error": {"Error": error}}, ExecutionHistory=KnownHistory)
        assert (answer["failure"]["error"], answer["notify"]) == (error, due)


@pytest.mark.parametrize("closed", [True, False])
def test_close_run_closes_a_run_that_its_state_machine_ends(function, closed):
    runs = RecordingRuns(closed)
    answer = function.run("close_run", OPENED | {"report": {"failure": None}}, Runs=runs)
    assert answer == {"run": "r1", "state": "SUCCEEDED", "closed": closed}
    assert runs.calls == [("aurora", "Demo"), ("r1", EXECUTION["id"], "SUCCEEDED", None, None)]


@pytest.mark.parametrize(
    ("ttl_deletes", "options", "is_filled"),
    [
        ("replicate", {"sweep": True}, True),
        ("replicate", {}, False),  # rows of items whose deletes were lost are there still
        ("ignore", {}, True),
        ("ignore", {"compare": True}, False),
    ],
)
def test_close_run_notes_that_a_run_has_brought_what_a_stream_had_lost(function, ttl_deletes, options, is_filled):
    function.replicate("web_analytics", ttl_deletes)
    plan = make_plan()
    done = {"plan": asdict(plan), "totals": asdict(make_totals(rejected=1)), "options": OPENED["options"] | options}
    settled = []
    function.run("close_run", OPENED | done, Runs=RecordingRuns(answer=True), settle_fills=lambda *_: settled.append(1))
    found = read_filled(function.store, LANDING, "web_analytics")
    assert found == ([(0, plan.export_second - 120)] if is_filled else [])
    assert len(settled) == bool(options.get("sweep"))  # a run that refused an item has filled no target otherwise


def test_close_run_closes_a_run_that_eventbridge_tells_of(function):
    runs = RecordingRuns(answer=True)
    detail = {
        "executionArn": "arn:execution:r1",
        "stateMachineArn": "arn:stateMachine:dynaurora-backfill-table",
        "status": "ABORTED",
        "startDate": 1795421700000,
        "stopDate": 1795421760000,
        "input": json.dumps(run_input()),
    }
    answer = function.invoke("close_run", {"source": "aws.states", "detail": detail}, Runs=runs, RunSoFar=NothingSoFar)
    assert answer == {"run": "r1", "state": "STOPPED", "closed": True}
    assert runs.calls[-1] == ("r1", "arn:execution:r1", "STOPPED", None, "It was stopped.")


class NothingSoFar:
    """What the database has of a run that was not opened."""

    def __init__(self, *_):
        pass

    def find_options(self, *_):
        return None

    def is_anothers(self, *_):
        return False

    def count(self, *_, **__):
        return asdict(make_totals())


class GoneOnWith(NothingSoFar):
    """A run that another execution has gone on with."""

    def is_anothers(self, *_):
        return True


STOPPED = {
    "executionArn": "arn:execution:r1",
    "stateMachineArn": "arn:stateMachine:dynaurora-backfill-table",
    "status": "ABORTED",
    "startDate": 1795421700000,
    "stopDate": 1795421760000,
}
"""What EventBridge tells of an execution that was stopped, without its input."""


def test_close_run_closes_a_run_that_was_stopped_with_its_plan(function):
    runs, plan = RecordingRuns(answer=True), asdict(make_plan())
    function.store.write(LANDING, keys.planned("web_analytics", "r1"), json.dumps(plan).encode())
    event = {"detail": STOPPED | {"input": json.dumps(run_input())}}
    function.invoke("close_run", event, Runs=runs, RunSoFar=NothingSoFar)
    assert runs.calls[-1] == ("r1", "arn:execution:r1", "STOPPED", plan, "It was stopped.")
    report = json.loads(function.store.read(LANDING, keys.report("web_analytics", "r1")))
    assert (report["state"], report["totals"]) == ("STOPPED", asdict(make_totals()))
    assert function.store.read(LANDING, keys.report_page("web_analytics", "r1")).decode() == render_report(report)


@pytest.mark.parametrize(
    ("status", "execution", "is_written"),
    [
        ("ABORTED", "arn:execution:r1", False),  # it was stopped after it had reported
        ("ABORTED", "arn:execution:r0", True),  # of an earlier execution of the run
        ("TIMED_OUT", "arn:execution:r0", True),
        ("FAILED", "arn:execution:r0", False),  # it reports by itself, or the run was another execution's
    ],
)
def test_close_run_reports_where_no_state_of_this_execution_has(function, status, execution, is_written):
    key = keys.report("web_analytics", "r1")
    function.store.write(LANDING, key, json.dumps({"execution": execution, "kept": True}).encode())
    event = {"detail": STOPPED | {"status": status, "input": json.dumps(run_input())}}
    function.invoke("close_run", event, Runs=RecordingRuns(answer=True), RunSoFar=NothingSoFar)
    assert ("kept" in json.loads(function.store.read(LANDING, key))) is not is_written


def test_close_run_leaves_the_report_of_who_has_gone_on_with_the_run(function):
    key = keys.report("web_analytics", "r1")
    function.store.write(LANDING, key, json.dumps({"execution": "arn:execution:r1-again"}).encode())
    event = {"detail": STOPPED | {"input": json.dumps(run_input())}}
    function.invoke("close_run", event, Runs=RecordingRuns(answer=False), RunSoFar=GoneOnWith)
    assert json.loads(function.store.read(LANDING, key)) == {"execution": "arn:execution:r1-again"}


@pytest.mark.parametrize("run", ["x" * 2000, "a/b", "\ud800"])
def test_close_run_looks_for_no_plan_of_what_can_be_no_run(function, run):
    runs, detail = RecordingRuns(answer=False), STOPPED | {"input": json.dumps(run_input(run=run))}
    unreachable = {"read_plan": lambda *_: pytest.fail("It looked for a plan.")}
    assert not function.invoke("close_run", {"detail": detail}, Runs=runs, **unreachable)["closed"]


def test_close_run_does_not_connect_for_an_event_of_no_run(function):
    with pytest.raises(Exception, match="names no run") as caught:
        function.invoke("close_run", {"detail": {"status": "ABORTED"}})
    assert type(caught.value).__name__ == "InvalidRunError"
    assert function.connections == []


@pytest.mark.parametrize(
    ("event", "asked"),
    [
        ({}, (None, None)),
        ({"run": None}, (None, None)),
        ({"run": "r1"}, ("r1", None)),
        ({"kind": "backfill"}, (None, "backfill")),
    ],
)
def test_describe_runs_returns_one_run_or_all_of_a_kind(function, event, asked):
    runs = RecordingRuns([{"run": "r1"}])
    assert function.invoke("describe_runs", event | {"mapping": "web_analytics"}, Runs=runs) == {
        "runs": [{"run": "r1"}]
    }
    assert runs.calls == [("aurora", "Demo"), ("web_analytics", *asked)]


REPROCESS = "reprocess-20261123T081500Z"
"""The run of an execution that was started without a name for it."""
REOPENED = ReprocessRequest("web_analytics", REPROCESS, ReprocessOptions(None, include_parked=False, max_concurrency=2))


def test_open_run_opens_a_reprocess_by_when_it_was_started(function):
    runs = RecordingRuns()
    answer = function.reprocess("open_run", {"mapping": "web_analytics"}, Runs=runs, check_replica=lambda *_: None)
    assert answer == REOPENED.as_dict() | {"digest": CLICKS.digest, "generation": 1}
    assert runs.calls[-1] == (REOPENED, IsClicks(), EXECUTION["id"], ANY)


def test_failures_are_listed_converted_and_settled(function):
    function.store.write(LANDING, FIREHOSE_KEY, failed_lines(failed_record(GOOD), failed_record(BAD)))
    plan = function.reprocess("list_failures", REOPENED.as_dict())
    assert (plan["bucket"], plan["entries"], plan["objects"]) == (LANDING, 1, 1)
    assert function.counted() == {"FailuresListed": [1.0]}
    (entry,) = json.loads(function.store.read(LANDING, plan["key"]))

    asked = {"mapping": "web_analytics", "run": REPROCESS}
    converted = function.invoke("convert_failures", asked | {"entry": entry})
    batch = Batch.from_event(converted)
    assert (batch.run, batch.source, batch.rows, batch.rejected.keys()) == (
        REPROCESS,
        "reprocess",
        1,
        {"payload.Hits (type)"},
    )
    assert function.counted() == {"RecordsReprocessed": [2.0], "RecordsRejectedAgain": [1.0]}

    imported = {"batch_id": batch.id, "status": "applied", "rows_staged": 1, "rows_changed": 1}
    connect = {"connect_loader": lambda *_, **__: nullcontext(EmptyAurora([]))}
    settled = function.invoke("settle_failures", asked | {"entry": converted | {"imported": imported}}, **connect)
    assert (settled["records"], settled["rows"], settled["records_superseded"], settled["notice"]) == (2, 1, 0, None)
    (kept,) = function.store.read(LANDING, FIREHOSE_KEY).splitlines()
    assert decode_failed_record(kept).data == BAD


def test_report_run_writes_the_report_of_a_reprocess(function):
    plan = {"bucket": LANDING, "key": keys.reprocess_plan("web_analytics", REPROCESS), "entries": 0, "objects": 0}
    function.monkeypatch.setattr("dynaurora.runs.report_reprocess.ExecutionHistory", KnownHistory)
    answer = function.reprocess("report_run", REOPENED.as_dict() | {"plan": plan})
    assert answer == {
        "bucket": LANDING,
        "key": keys.report("web_analytics", REPROCESS),
        "failure": None,
        "notify": False,
    }


def test_close_run_closes_a_reprocess_by_when_it_was_started(function):
    runs = RecordingRuns(answer=True)
    state = {"mapping": "web_analytics", "error": {"Error": "PrivilegeError", "Cause": "It may not."}}
    answer = function.reprocess("close_run", state, Runs=runs)
    assert answer == {"run": REPROCESS, "state": "FAILED", "closed": True}


def change_mapping(mapping=CLICKS):
    """Return the mapping as a later document has it: one column takes something else."""
    document = json.loads(mapping.text)
    document["target"]["columns"][-1]["from"] = "payload.device.make"
    return build_mapping(mapping.name, document)


def test_open_run_takes_the_mapping_that_is_the_current_one_when_it_is_invoked(function):
    changed = change_mapping()
    for mapping, generation in ((CLICKS, 1), (changed, 2)):
        function.register(mapping, generation)
        answer = function.run("open_run", run_input(), Runs=RecordingRuns(), check_replica=lambda *_: None)
        assert (answer["digest"], answer["generation"]) == (mapping.digest, generation)
        assert function.logged()[-1].items() >= {"digest": mapping.digest, "generation": generation}.items()


def convert(function, **changed):
    """Convert a batch of one item and return its descriptor, and the last column of its row."""
    export = Export(store=function.store).add("a", [click_item()]).write()
    plan = function.run("plan_backfill", exported(export))
    (entry,) = json.loads(function.store.read(LANDING, plan["key"]))
    event = {
        "mapping": "web_analytics",
        "run": "r1",
        "batch": entry,
        **{name: plan[name] for name in ("export_second", "bucket", "export_bucket")},
        **changed,
    }
    batch = function.invoke("convert_export", event)["batch"]
    row = function.store.read(LANDING, batch["objects"][0]["key"])
    return batch, row.rstrip(b"\n").split(b",")[-1]


def test_convert_export_maps_by_the_mapping_of_its_run_and_says_which(function):
    changed = change_mapping()
    function.register(changed, 2)
    for mapping, column in ((CLICKS, b"DE"), (changed, b"Firefox")):
        batch, last = convert(function, digest=mapping.digest)
        assert (batch["digest"], last) == (mapping.digest, column)


def test_convert_export_maps_what_the_release_before_recorded_by_the_first_mapping(function):
    first = keys.mapping_document(CLICKS.name, CLICKS.digest)
    function.store.times[LANDING, first] = function.store.written_at - timedelta(hours=1)
    function.register(change_mapping(), 2)
    batch, last = convert(function)
    assert (batch["digest"], last) == (CLICKS.digest, b"DE")


def test_convert_export_takes_what_the_release_before_converted_as_its_mappings(function):
    batch, _ = convert(function, digest=CLICKS.digest)
    key = keys.backfill_descriptor("web_analytics", "r1", 1)
    document = json.loads(function.store.read(LANDING, key))
    del document["batch"]["digest"]
    function.store.write(LANDING, key, json.dumps(document).encode())
    assert convert(function, digest=CLICKS.digest)[0] == batch


@pytest.mark.parametrize("digest", ["", "current", "0" * 63, "g" * 64, 5, {}])
def test_convert_export_refuses_what_is_no_digest(function, digest):
    with pytest.raises(InvalidBatchError, match=r"^batch\.digest is neither"):
        function.invoke("convert_export", CONVERSION | {"digest": digest})


def test_convert_export_names_a_digest_that_nobody_registered(function):
    with pytest.raises(UnregisteredMappingError, match="0000 is in s3://dynaurora-landing"):
        function.invoke("convert_export", CONVERSION | {"digest": "0" * 64})


def test_failures_are_converted_by_the_mapping_of_the_run(function):
    function.store.write(LANDING, FIREHOSE_KEY, failed_lines(failed_record(GOOD)))
    plan = function.reprocess("list_failures", REOPENED.as_dict())
    (entry,) = json.loads(function.store.read(LANDING, plan["key"]))
    changed = change_mapping()
    function.register(changed, 2)
    for digest, wanted in (({"digest": CLICKS.digest}, CLICKS), ({}, changed)):
        converted = function.invoke(
            "convert_failures", {"mapping": "web_analytics", "run": REPROCESS, "entry": entry, **digest}
        )
        assert converted["batch"]["digest"] == wanted.digest


def test_functions_of_runs_fail_to_be_tried_again_where_the_registry_cannot_be_read(function):
    function.store.delete(LANDING, keys.mapping_pointer("web_analytics"))
    for name, event in (
        ("open_run", {"input": run_input(), "execution": EXECUTION}),
        ("describe_runs", {"mapping": "web_analytics"}),
        ("close_run", {"input": OPENED | {"report": {"failure": None}}, "execution": EXECUTION}),
    ):
        with pytest.raises(RegistryUnavailableError, match="no mapping was ever activated"):
            function.invoke(name, event, Runs=RecordingRuns())


def test_convert_export_counts_and_logs_what_no_column_takes_and_the_report_names_it(function):
    item = click_item(page_id="a") | {"phone": {"S": "secret"}}
    export = Export(store=function.store).add("a", [item, click_item(page_id="b")]).write()
    plan = function.run("plan_backfill", exported(export))
    (entry,) = json.loads(function.store.read(LANDING, plan["key"]))
    event = {"mapping": "web_analytics", "run": "r1", "digest": CLICKS.digest, "batch": entry}
    event |= {name: plan[name] for name in ("export_second", "bucket", "export_bucket")}
    function.counted()
    function.invoke("convert_export", event)
    assert function.counted()["AttributesIgnored"] == [1.0]
    line = next(line for line in function.logged() if line["message"] == "Attributes were ignored")
    assert line["items"] == {"phone": 1, "other names": 0}
    assert line["keys"] == {"phone": [{"page_id": {"S": "a"}, "activity_dt": {"S": "2026-01-01"}}]}
    assert "secret" not in json.dumps(function.logged())
    answer = function.run("report_run", OPENED | {"plan": plan}, ExecutionHistory=KnownHistory)
    report = json.loads(function.store.read(LANDING, answer["key"]))
    assert [(each["name"], each["items"], each["type"]) for each in report["ignored"]["attributes"]] == [
        ("phone", 1, "VARCHAR(16)")
    ]
    assert "secret" not in json.dumps(report)
