"""Faults of what all stands on: a full disk, a disabled key, objects that are gone, clocks that are off, stops."""

import json
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from dynaurora import keys
from dynaurora.aws.objects import S3Objects
from dynaurora.mappings.csv_format import encode_row
from dynaurora.mappings.row_mapper import RowMapper
from tests.drills.drill import PROCESSED, Drill
from tests.drills.test_deliveries import start_import
from tests.drills.test_outages import read_errors
from tests.integration.backfill.deployed import (
    MAPPING,
    Document,
    make_bad_item,
    make_item,
    make_run_id,
    wait_until,
)
from tests.support.factories import click, click_change

MEBIBYTE = 2**20
REDO_BYTES = 16 * MEBIBYTE
"""As little of a redo log as MariaDB takes: no other file is then as large as a table becomes."""
FUNCTIONS = (
    "ForwardChanges",
    "TransformChanges",
    "ImportBatch",
    "ConvertExport",
    "ConvertFailures",
    "RecordFailedBatch",
)
RUNNING = ("OpenRun", "CheckReadiness")
"""Of a run, what works first."""


def test_the_databases_disk_is_full(drill: Drill) -> None:
    """Files cannot grow beyond a size, which a server is told of as it is of a full disk."""
    if drill.deployed.stack.server.engine.name == "mysql":
        pytest.skip("the files that MySQL begins with are larger than what this drill loads")
    pages = [f"{drill.name}-{number:05}".ljust(250, "x") for number in range(drill.size(45_000, 200_000))]
    with full_disk(drill):
        drill.reprocesses.write(f"{PROCESSED}{drill.name}", make_csv(drill, pages))
        drill.wait_until(lambda: "DatabaseUnavailableError" in read_errors(drill))
        assert drill.deployed.hits() == {}, "all of a batch, or nothing"
        said = read_errors(drill)
        assert "1114" in said or "1021" in said
        drill.deployed.put([make_item(f"{drill.name}-small")])  # what is small goes on, as long as there is room
    drill.wait_until(lambda: f"{drill.name}-small" in drill.deployed.hits())  # it may be on its way to its batch
    drill.wait_until_imported()
    assert drill.deployed.hits() == dict.fromkeys(pages, 1) | {f"{drill.name}-small": 1}
    drill.tell(
        f"the disk was full in the middle of a batch of {len(pages):,} rows, and all of them came once it was not"
    )
    drill.check_nothing_failed()


def make_csv(drill: Drill, pages: list[str]) -> bytes:
    """Return a batch that puts rows as large as they can be."""
    long = {"session_id": "s", "start_timestamp": "x" * 64, "stop_timestamp": "x" * 64}
    mapper = RowMapper(drill.deployed.mapping)
    return b"".join(encode_row(mapper.row(click_change(click(Hits=1, session=long), 1, page))) for page in pages)


@contextmanager
def full_disk(drill: Drill) -> Iterator[None]:
    """Let no file of the server's grow much beyond the largest one."""
    server = drill.deployed.stack.server
    server.restart()  # temporary tables that were large leave a large file behind
    with server.connect() as connection, connection.cursor() as cursor:
        if "mariadb" in str(connection.get_server_info()).lower():
            cursor.execute(f"SET GLOBAL innodb_log_file_size = {REDO_BYTES}")
    data = server.directory / "data"
    largest = wait_until(lambda: max(file.stat().st_size for file in data.rglob("*") if file.is_file()))
    unlimited = resource.prlimit(server.identity.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.identity.pid, resource.RLIMIT_FSIZE, (largest + MEBIBYTE, unlimited[1]))
    try:
        yield
    finally:
        resource.prlimit(server.identity.pid, resource.RLIMIT_FSIZE, unlimited)


def test_the_landing_buckets_key_is_disabled_for_a_while(drill: Drill) -> None:
    first, second = drill.make_items(20, 2000), drill.make_items(20, 2000, hits=2)
    landed = land(drill, first)
    with key_disabled(drill):
        drill.deployed.put(second)
        for key, etag in landed.items():
            start_import(drill, key, etag)
        drill.wait_until(lambda: "KeyUnavailableError" in read_errors(drill))
        assert "is disabled" in read_errors(drill)
    drill.tell(f"the bucket's key was disabled with {len(landed)} batches under way, which waited")
    drill.check_equal()
    drill.check_nothing_failed()


def test_the_landing_buckets_key_is_disabled_for_longer_than_a_cycle_of_retries(drill: Drill) -> None:
    """Not even what failed can be recorded then: it is announced, with the execution that is to be started again."""
    items = drill.make_items(5, 500)
    landed = land(drill, items)
    with key_disabled(drill), drill.short_waits():
        failed = [start_import(drill, key, etag) for key, etag in landed.items()]
        ended = [drill.deployed.wait_for_end(execution) for execution in failed]
        assert {one["error"] for one in ended} == {"KeyUnavailableError"}
    announcements = drill.deployed.announcements()
    assert len(announcements) == len(landed)
    for subject, message in announcements:
        assert subject == "A batch was not imported and could not be recorded"
        assert "KeyUnavailableError" in message
        assert "enable-key" in message
    for one in ended:  # as the message says
        drill.deployed.client("stepfunctions").start_execution(
            stateMachineArn=drill.deployed.outputs["ImportBatchStateMachineArn"], input=one["input"]
        )
    drill.tell(
        f"{len(ended)} batches gave up on the key, were announced, and imported once somebody started them again"
    )
    drill.check_equal()
    drill.check_nothing_failed()


@contextmanager
def key_disabled(drill: Drill) -> Iterator[None]:
    """Disable the KMS key of the landing bucket for a while."""
    found = drill.deployed.client("s3").get_bucket_encryption(Bucket=drill.deployed.bucket)
    (rule,) = found["ServerSideEncryptionConfiguration"]["Rules"]
    key = {"KeyId": rule["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"]}
    drill.deployed.client("kms").disable_key(**key)
    try:
        yield
    finally:
        drill.deployed.client("kms").enable_key(**key)


def land(drill: Drill, items: list[Document]) -> dict[str, str]:
    """Put items, and return the objects that they are in, which nobody imports."""
    before = set(drill.list_objects(PROCESSED))
    name = drill.name.encode()

    def find_landed() -> dict[str, str] | None:
        landed = {key: etag for key, etag in drill.list_objects(PROCESSED).items() if key not in before}
        return landed if drill.count_lines(landed, lambda row: name in row) >= len(items) else None

    with drill.imports_off():
        drill.deployed.put(items)
        return drill.wait_until(find_landed)


def test_a_batchs_object_is_taken_before_it_is_imported(drill: Drill) -> None:
    items = drill.make_items(20, 2000)
    landed = land(drill, items)
    with taken(drill, *landed):
        ended = [drill.deployed.wait_for_end(start_import(drill, key, etag)) for key, etag in landed.items()]
        assert {one["error"] for one in ended} == {"ObjectMissingError"}
        assert len(drill.list_failed_batches()) == len(landed)
        assert all("ObjectMissingError" in subject for subject, _ in drill.deployed.announcements())
    drill.tell(f"{len(landed)} objects were taken before they were imported, and brought back")
    assert drill.reprocess()["rows_changed"] == len(items)
    drill.check_equal()
    drill.check_nothing_failed()


def test_a_failed_record_is_taken_while_it_is_reprocessed(drill: Drill) -> None:
    drill.deployed.put([make_bad_item(drill.name)])
    (key,) = drill.wait_until(drill.reprocesses.list_failures)
    drill.reprocesses.correct(key, make_item(drill.name))
    with held(drill, "ConvertFailures"):
        execution = drill.reprocesses.start()
        drill.wait_until(lambda: "Reprocess failures" in drill.deployed.entered(execution))
        restore = take(drill, key)
    ended = drill.reprocesses.wait(execution)
    assert (ended.status, ended.totals["records"]) == ("SUCCEEDED", 0), "somebody may take away what failed"
    restore()
    assert drill.reprocess()["rows_changed"] == 1
    drill.tell("a failed record was taken while it was reprocessed, and taken up by the next run once it was back")
    drill.deployed.put([make_item(drill.name)])
    drill.check_equal()
    drill.check_nothing_failed()


def test_the_registrys_document_is_taken_and_brought_back(drill: Drill) -> None:
    before, meanwhile = drill.make_items(10, 1000), drill.make_items(10, 1000, hits=2)
    landed, document = land(drill, before), keys.mapping_document(MAPPING, drill.deployed.mapping.digest)
    with taken(drill, document):
        forget_copies(drill)
        drill.deployed.put(meanwhile)
        for key, etag in landed.items():
            start_import(drill, key, etag)
        drill.wait_until(lambda: drill.count_failed_records() >= len(meanwhile))
        failed = [json.loads(drill.deployed.read(key)) for key in drill.wait_until(drill.list_failed_batches)]
    assert {record["error"] for record in failed} == {"UnregisteredMappingError"}
    assert all("mapping register" in record["remedy"] for record in failed)
    drill.tell(f"{len(failed)} batches and {len(meanwhile):,} changes failed by name, without their mapping's document")
    drill.reprocess()
    drill.check_equal()
    drill.check_nothing_failed()


def test_the_registrys_pointer_is_taken_and_brought_back(drill: Drill) -> None:
    before, meanwhile = drill.make_items(10, 1000), drill.make_items(10, 1000, hits=2)
    landed = land(drill, before)
    with taken(drill, keys.mapping_pointer(MAPPING)):
        forget_copies(drill)
        drill.deployed.put(meanwhile)  # they wait in the stream: nobody knows by which mapping they are read
        for key, etag in landed.items():
            start_import(drill, key, etag)
        drill.wait_until(lambda: "RegistryUnavailableError" in read_errors(drill))
    drill.tell("without the pointer to the current mapping all waited, until it was back")
    drill.check_equal()
    drill.check_nothing_failed()


def test_the_lifecycle_takes_what_a_backfill_still_needs(drill: Drill) -> None:
    """Its plan, which is made again; its export's manifest; its converted batches, which are made again too."""
    deployed, run = drill.deployed, make_run_id()
    items = drill.make_items(12, 2000)
    deployed.dam_stream()  # only the backfill brings them
    deployed.put(items)
    with held(drill, "PlanBackfill"):
        execution = deployed.start(run)["execution"]
        drill.wait_until(lambda: "Plan backfill" in deployed.entered(execution))
        asked = json.loads(deployed.read(keys.export_request(MAPPING, run)))
        exported = [found.key for found in S3Objects().list(asked["bucket"], asked["prefix"])]
        (manifest,) = [key for key in exported if key.endswith("manifest-files.json")]
        restore = take_from(drill, asked["bucket"], manifest)
    failure = deployed.watch(run, status=1)["failure"]
    assert (failure["error"], manifest in failure["reason"]) == ("ExportIncompleteError", True)
    assert "then start the run again" in failure["remedy"]
    restore()
    with held(drill, "ConvertExport"):
        execution = deployed.start(run)["execution"]
        drill.wait_until(lambda: "Backfill batches" in deployed.entered(execution))
        stop(drill, "backfill", run)
    take(drill, keys.plan(MAPPING, run))
    with held(drill, "ImportBatch"):
        deployed.start(run)
        converted = keys.backfill_batch(MAPPING, run, 1)
        drill.wait_until(lambda: keys.backfill_descriptor(MAPPING, run, 1) in drill.list_objects(keys.BATCHES))
        take(drill, converted)
    assert deployed.watch(run, status=1)["failure"]["error"] == "BatchesFailedError"
    (record,) = deployed.failed_batches(run)
    assert (record["error"], converted in record["reason"]) == ("ObjectMissingError", True)
    assert "Restore the object" in record["remedy"]
    assert deployed.backfill(run)["state"] == "SUCCEEDED"
    deployed.release_stream()
    drill.reprocess()
    drill.tell("a backfill's manifest, plan and batch were taken: each by name, and the run went on")
    drill.check_equal()
    drill.check_nothing_failed()


def take_from(drill: Drill, bucket: str, key: str) -> Callable[[], object]:
    """Remove an object of a bucket that has no versions; return what writes it again."""
    s3, place = drill.deployed.client("s3"), {"Bucket": bucket, "Key": key}
    body = s3.get_object(**place)["Body"].read()
    s3.delete_object(**place)
    return lambda: s3.put_object(**place, Body=body)


def forget_copies(drill: Drill) -> None:
    """Start functions anew: they have read nothing yet."""
    for function in FUNCTIONS:
        drill.deployed.set_variables(f"{function}FunctionName", STARTED_ANEW=str(time.time()))


@contextmanager
def taken(drill: Drill, *taken_keys: str) -> Iterator[None]:
    """Take objects away as a lifecycle does, and bring their earlier versions back in the end."""
    restores = [take(drill, key) for key in taken_keys]
    try:
        yield
    finally:
        for restore in restores:
            restore()


def take(drill: Drill, key: str) -> Callable[[], object]:
    """Have an object expire, as it does in a versioned bucket; return what brings it back."""
    s3, place = drill.deployed.client("s3"), {"Bucket": drill.deployed.bucket, "Key": key}
    marker = s3.delete_object(**place)
    assert marker["DeleteMarker"]
    return lambda: s3.delete_object(**place, VersionId=marker["VersionId"])


@contextmanager
def held(drill: Drill, function: str) -> Iterator[None]:
    """Let a function not be invoked for a while; its state goes on trying."""
    functions, name = drill.deployed.client("lambda"), drill.deployed.outputs[f"{function}FunctionName"]
    before = functions.get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions")
    functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    try:
        yield
    finally:
        if before is None:
            functions.delete_function_concurrency(FunctionName=name)
        else:
            functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=before)


def test_an_exports_file_is_replaced_once_it_is_planned(drill: Drill) -> None:
    deployed, run = drill.deployed, make_run_id()
    items = drill.make_items(12, 2000)
    deployed.dam_stream()  # only the backfill brings them
    export = deployed.plan_batches(run, items, 4)
    key = export.full_files[1]["dataFileS3Key"]
    body = export.read(key)
    other = export.read(export.full_files[2]["dataFileS3Key"])
    with held(drill, "ConvertExport"):
        execution = deployed.start(run)["execution"]
        drill.wait_until(lambda: "Backfill batches" in deployed.entered(execution))
        export.write(key, other)
    assert deployed.watch(run, status=1)["failure"]["error"] == "BatchesFailedError"
    (record,) = deployed.failed_batches(run)
    assert record["error"] == "ChecksumMismatchError"
    assert key in record["reason"]
    export.write(key, body)
    assert deployed.backfill(run)["state"] == "SUCCEEDED"
    deployed.release_stream()
    drill.reprocess()
    drill.tell("a file of the export was another once it was planned: its batch alone failed, until the file was back")
    drill.check_equal()
    drill.check_nothing_failed()


def test_the_databases_clock_is_an_hour_off(drill: Drill) -> None:
    """Before and behind: versions come from DynamoDB's time, and no other clock decides anything."""
    for number, seconds in enumerate((3600, -3600)):
        with database_clock(drill, seconds):
            items = drill.make_items(10, 2000, hits=number)
            drill.deployed.put(items)
            drill.deployed.delete(items[::3])
            assert drill.deployed.backfill(make_run_id(), "--sweep")["state"] == "SUCCEEDED"
            drill.deployed.put([make_bad_item(f"{drill.name}-bad")])
            key = drill.wait_until(drill.reprocesses.list_failures)[0]
            drill.reprocesses.correct(key, make_item(f"{drill.name}-bad"))
            drill.deployed.put([make_item(f"{drill.name}-bad")])
            drill.reprocess()
            drill.check_equal()
    drill.tell(
        "the database's clock was an hour before and behind, while changes streamed, in backfills and reprocesses"
    )
    drill.check_equal()
    drill.check_nothing_failed()


@contextmanager
def database_clock(drill: Drill, seconds: int) -> Iterator[None]:
    """Have the sessions of functions see another time; the administrator's do not, as `init_connect` is documented."""
    with drill.deployed.stack.server.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"SET GLOBAL init_connect = 'SET timestamp = UNIX_TIMESTAMP() + {seconds}'")
    try:
        yield
    finally:
        with drill.deployed.stack.server.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SET GLOBAL init_connect = ''")


def test_the_functions_clocks_are_an_hour_off(drill: Drill) -> None:
    """AWS takes no request that is signed by such a clock: nothing can be done, so nothing wrong is done.

    Behind only in the short drill: for each direction all functions start anew, twice.
    """
    for number, seconds in enumerate((-3600, 3600)[: drill.size(1, 2)]):
        run, items = make_run_id(), drill.make_items(10, 2000, hits=number)
        landed = land(drill, items)
        with function_clocks(drill, seconds):
            drill.deployed.put(drill.make_items(10, 2000, hits=number + 2))
            for key, etag in landed.items():
                start_import(drill, key, etag)
            drill.wait_until(lambda: "RequestTimeTooSkewed" in read_errors(drill))
            assert "clock" in read_errors(drill)
            execution = drill.deployed.start(run)["execution"]
            drill.wait_until(lambda execution=execution: "RequestTimeTooSkewed" in read_history(drill, execution))
        assert drill.deployed.watch(run)["state"] == "SUCCEEDED", "once the clocks are right it goes on by itself"
        drill.reprocess()
        drill.check_equal()
    drill.tell("the functions' clocks were an hour off: all waited, a backfill too, until they were right")
    drill.check_nothing_failed()


def read_history(drill: Drill, execution: str) -> str:
    """The events of an execution."""
    states = drill.deployed.client("stepfunctions")
    return json.dumps(states.get_execution_history(executionArn=execution)["events"], default=str)


@contextmanager
def function_clocks(drill: Drill, seconds: int) -> Iterator[None]:
    """Start functions anew, whose clock is off; and again in the end."""
    with ExitStack() as stack:
        for function in (*FUNCTIONS, *RUNNING):
            stack.enter_context(
                drill.deployed.variables(f"{function}FunctionName", DYNAURORA_CLOCK_SECONDS=str(seconds))
            )
        yield


BACKFILL_STOPS = (
    ("OpenRun", "Open run"),
    ("CheckReadiness", "Check readiness"),
    ("PlanBackfill", "Plan backfill"),
    ("ConvertExport", "Backfill batches"),
    ("ReconcileRun", "Reconcile run"),
    ("PlanSweep", "Plan sweep"),
    ("ReportRun", "Report run"),
)
"""Of each phase that is worked on: the function that is kept from it, and its state."""
REPROCESS_STOPS = (
    ("OpenRun", "Open run"),
    ("ListFailures", "List failures"),
    ("ConvertFailures", "Reprocess failures"),
    ("SettleFailures", "Reprocess failures"),
    ("ReportRun", "Report run"),
)


def test_a_backfill_is_stopped_in_each_of_its_phases(drill: Drill) -> None:
    deployed, run = drill.deployed, make_run_id()
    items = drill.make_items(10, 3000)
    deployed.dam_stream()  # only the backfill brings them
    deployed.put(items)
    with exports_held(drill):
        execution = deployed.start(run, "--sweep")["execution"]
        deployed.wait_for_state(execution, "Wait for export")
        stop(drill, "backfill", run)
    for function, state in BACKFILL_STOPS:
        with held(drill, function):
            execution = deployed.start(run, "--sweep")["execution"]
            drill.wait_until(lambda state=state, execution=execution: state in deployed.entered(execution))
            stop(drill, "backfill", run)
    assert deployed.backfill(run, "--sweep")["state"] == "SUCCEEDED"
    assert len(deployed.exports_of(run)) == 1
    assert sum(row[3] for row in deployed.ledger(run)) == len(items), "nothing twice"
    assert deployed.report(run)["totals"]["unaccounted"] == 0
    deployed.release_stream()
    drill.tell(f"a backfill was stopped in {len(BACKFILL_STOPS) + 1} phases, and went on each time")
    drill.check_equal()
    drill.check_nothing_failed()


def test_a_reprocess_is_stopped_in_each_of_its_phases(drill: Drill) -> None:
    for number, (function, state) in enumerate(REPROCESS_STOPS):
        page, run = f"{drill.name}-{number}", make_run_id()
        drill.deployed.put([make_bad_item(page)])
        (key,) = drill.wait_until(drill.reprocesses.list_failures)
        drill.reprocesses.correct(key, make_item(page))
        with held(drill, function):
            execution = drill.reprocesses.start(run=run)
            drill.wait_until(lambda state=state, execution=execution: state in drill.deployed.entered(execution))
            if function == "SettleFailures":
                drill.wait_until(lambda page=page: page in drill.deployed.hits())
            drill.deployed.client("stepfunctions").stop_execution(executionArn=execution)
            drill.deployed.wait_for_end(execution)
        drill.wait_until(lambda: drill.reprocess()["batches_failed"] == 0)
        drill.deployed.put([make_item(page)])
    drill.tell(f"a reprocess was stopped in {len(REPROCESS_STOPS)} phases, and the next one took up what was left")
    drill.check_equal()
    drill.check_nothing_failed()


def stop(drill: Drill, kind: str, run: str) -> None:
    """Stop a run by its command."""
    assert drill.run_command(kind, "stop", run, "--json")["state"] == "STOPPED"


@contextmanager
def exports_held(drill: Drill) -> Iterator[None]:
    """Let no export end for a while."""
    drill.deployed.set_faults(hold_exports=1)
    try:
        yield
    finally:
        drill.deployed.set_faults(hold_exports=0)
