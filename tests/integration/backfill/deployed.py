"""A deployed dynaurora, as tests of backfills use it: by its command line and by the API of AWS.

Nothing here reaches into a function or a state machine. What a test asserts, an operator could look at too: what the
commands print and exit with, the report, the rows of `_dynaurora_runs` and of the ledger, the records of failed
batches, what the topic announces.
"""

import gzip
import json
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
import jsonschema
from botocore.config import Config
from click.testing import CliRunner
from click.testing import Result as Answer

from backfill.cli import main
from dynaurora import __file__ as a_core_file
from dynaurora import keys
from dynaurora.aurora import sql
from dynaurora.aurora.connection import Aurora, connect
from dynaurora.aurora.fills import FILLS
from dynaurora.aurora.generations import activate
from dynaurora.aurora.migrations import GENERATIONS, IMPORTS, RUNS
from dynaurora.aws.objects import S3Objects
from dynaurora.exports import plan_backfill
from dynaurora.mappings.mapping import Mapping
from dynaurora.mappings.registry import Pointer, point_at, publish_document
from dynaurora.mappings.replications import Replication
from dynaurora.verification.compare_items import compare_table
from dynaurora.verification.verdicts import Tally
from local.api import ACCESS_KEY_ID, SECRET_ACCESS_KEY, Api
from local.deployment import STACK_NAME, Database, Deployment, name_replication
from local.pipeline import Pipeline
from local.stack import Stack
from tests.support.example import load_example
from tests.support.export_factory import md5_of
from tests.support.factories import click, click_item
from tests.support.waiting import PATIENCE_SECONDS, wait_until

MAPPING = "web_analytics"
EXPORTS_BUCKET = "exports-of-others"
"""The other bucket that the stack may read exports from."""
OLD_ENOUGH = 3600
"""Seconds by which the stream's mapping passes for older: no run waits for the margin."""
REPORT_SCHEMA = json.loads((Path(a_core_file).parent / "report.schema.json").read_text("utf-8"))

Document = dict[str, Any]


def wait_for_next_second() -> None:
    """Return when the clock shows another second."""
    time.sleep(1 - time.time() % 1)


def make_item(page_id: str, hits: int = 1) -> Document:
    """Return an item that the mapping accepts."""
    return click_item(click(Hits=hits), page_id)


def make_items(count: int, prefix: str = "page", hits: int = 1) -> list[Document]:
    """Return so many items, each with a partition key of its own."""
    return [make_item(f"{prefix}-{number:05}", hits) for number in range(count)]


def make_bad_item(page_id: str) -> Document:
    """Return an item that the mapping refuses: its payload lacks a required member."""
    return click_item({"Hits": 1}, page_id)


@dataclass(frozen=True)
class ExportFiles:
    """An export in S3: where its files are, and what its manifests say of them."""

    bucket: str
    summary_key: str
    arn: str
    s3: Any

    @cached_property
    def summary(self) -> Document:
        return dict(json.loads(self.read(self.summary_key)))

    @property
    def files(self) -> list[Document]:
        """The data files, as the manifest lists them."""
        return [json.loads(line) for line in self.read(self.summary["manifestFilesS3Key"]).splitlines()]

    @property
    def full_files(self) -> list[Document]:
        """Those that have items."""
        return [file for file in self.files if file["itemCount"]]

    def read(self, key: str) -> bytes:
        return bytes(self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read())

    def write(self, key: str, body: bytes) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)

    def delete(self, key: str) -> None:
        self.s3.delete_object(Bucket=self.bucket, Key=key)

    def rewrite(self, files: list[Document]) -> None:
        """Let the manifests list other data files, in good order: checksums and the number of items included."""
        listed = b"".join(json.dumps(file).encode() + b"\n" for file in files)
        summary = self.summary | {"itemCount": sum(file["itemCount"] for file in files)}
        for key, body in (
            (self.summary["manifestFilesS3Key"], listed),
            (self.summary_key, json.dumps(summary).encode()),
        ):
            self.write(key, body)
            self.write(f"{key.removesuffix('.json')}.md5", md5_of(body).encode())

    def write_file(self, key: str, lines: list[bytes]) -> Document:
        """Write a data file and return what a manifest says of it."""
        body = gzip.compress(b"".join(line + b"\n" for line in lines), 1, mtime=0)
        self.write(key, body)
        return {"itemCount": len(lines), "md5Checksum": md5_of(body), "etag": "e-1", "dataFileS3Key": key}

    def read_lines(self, file: Document) -> list[bytes]:
        """The lines of a data file."""
        return gzip.decompress(self.read(file["dataFileS3Key"])).splitlines()

    def split(self, count: int) -> None:
        """Write the same items into so many files, of as many items each as can be."""
        lines = sorted(line for file in self.files for line in self.read_lines(file))
        folder = self.files[0]["dataFileS3Key"].rpartition("/")[0]
        size = -(-len(lines) // count)
        groups = [lines[number * size : (number + 1) * size] for number in range(count)]
        self.rewrite([self.write_file(f"{folder}/{number:03}.json.gz", group) for number, group in enumerate(groups)])


@dataclass
class Deployed:
    """One deployment in a local AWS that runs for all tests of a folder."""

    stack: Stack
    api: Api
    database: Database
    deployment: Deployment
    event_source_mapping: str
    """Id of the one that reads the table's stream now."""
    topic_queue: str = ""
    """URL of a queue that the topic of failures delivers to."""
    _clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        """Return a client of a service of AWS."""
        if service not in self._clients:
            self._clients[service] = self._session.client(
                service, endpoint_url=self.api.endpoint_url, config=Config(retries={"total_max_attempts": 1})
            )
        return self._clients[service]

    @cached_property
    def _session(self) -> boto3.Session:
        return boto3.Session(ACCESS_KEY_ID, SECRET_ACCESS_KEY, region_name=self.api.region)

    @cached_property
    def mapping(self) -> Mapping:
        return load_example(MAPPING)

    @property
    def table(self) -> str:
        return self.deployment.table

    @property
    def bucket(self) -> str:
        return self.deployment.bucket

    @cached_property
    def outputs(self) -> dict[str, str]:
        """The outputs of the platform and of the replication."""
        names = (STACK_NAME, name_replication(MAPPING))
        stacks = [self.api.cloudformation.describe_stacks(StackName=name)["Stacks"][0] for name in names]
        return {output["OutputKey"]: output["OutputValue"] for stack in stacks for output in stack["Outputs"]}

    @property
    def backfill_table_arn(self) -> str:
        return self.outputs["BackfillTableStateMachineArn"]

    @cached_property
    def table_arn(self) -> str:
        return str(self.api.dynamodb.describe_table(TableName=self.table)["Table"]["TableArn"])

    # Commands

    def run_command(self, *arguments: str, status: int = 0) -> Answer:
        """Run `dynaurora backfill …` and check its exit status."""
        answer = CliRunner().invoke(main, ["backfill", *arguments])
        if answer.exception is not None and not isinstance(answer.exception, SystemExit):
            raise answer.exception
        assert answer.exit_code == status, answer.output
        return answer

    def ask(self, *arguments: str, status: int = 0) -> Any:
        """Run a command with --json and return the last document that it printed."""
        answer = self.run_command(*arguments, "--json", status=status)
        return json.loads(answer.stdout.splitlines()[-1])

    def start(self, run: str, *options: str) -> Document:
        """Start a run and return what the command said of it."""
        return dict(self.ask("start", MAPPING, "--run", run, *options))

    def watch(self, run: str, status: int = 0) -> Document:
        """Watch a run to its end and return the last view."""
        return dict(self.ask("watch", run, "--every", "0.2", status=status))

    def backfill(self, run: str, *options: str, status: int = 0) -> Document:
        """Start a run, watch it to its end and return the last view."""
        return dict(self.ask("start", MAPPING, "--run", run, "--watch", "--every", "0.2", *options, status=status))

    # What became of a run

    def row(self, run: str) -> Document:
        """The run's row in `_dynaurora_runs`."""
        columns = "state, execution, reason, started_at, ended_at, items, rows_imported, rows_rejected, export_arn"
        ((*values,),) = self.query(f"SELECT {columns} FROM {self.name_table(RUNS)} WHERE run = %s", run)
        return dict(zip(columns.split(", "), values, strict=True))

    def ledger(self, run: str, source: str = "backfill") -> list[tuple[Any, ...]]:
        """The ledger's rows of a run, with all that importing a batch once more would change."""
        columns = "batch_id, objects, rows_staged, rows_changed, rows_rejected, rejected, started_at, finished_at"
        where = "run = %s AND source = %s ORDER BY batch_id"
        return self.query(f"SELECT {columns} FROM {self.name_table(IMPORTS)} WHERE {where}", run, source)

    def retries(self, run: str) -> int:
        """How often the imports of a run were tried again, by the ledger."""
        return int(self.query(f"SELECT SUM(retries) FROM {self.name_table(IMPORTS)} WHERE run = %s", run)[0][0])

    def report(self, run: str) -> Document:
        """The run's report, which fits its schema."""
        report: Document = json.loads(self.read(keys.report(MAPPING, run)))
        jsonschema.validate(report, REPORT_SCHEMA)
        return report

    def failed_batches(self, run: str) -> list[Document]:
        """The records of the batches of a run that are kept as failed."""
        records = [json.loads(self.read(key)) for key in self.list_keys(keys.failed_batches_prefix(MAPPING))]
        return [record for record in records if (record["batch"] or record["conversion"])["run"] == run]

    def check_failure(self, run: str, error: str, *words: str, is_mended_by_repeating: bool = True) -> Document:
        """Assert that a run has failed for everyone to see, with the next step, and return its report."""
        report, row = self.report(run), self.row(run)
        failure, messages = report["failure"], self.messages()
        assert report["state"] == row["state"] == "FAILED"
        assert failure["error"] == error
        assert failure["remedy"]
        for word in words:
            assert word in failure["reason"]
        assert row["reason"] == f"{error}: {failure['reason']}"
        assert row["ended_at"] is not None
        message = messages[f"dynaurora: run {run} failed: {error}"]
        assert failure["reason"] in message
        assert failure["remedy"] in message
        assert (f"backfill start {MAPPING} --run {run}" in message) == is_mended_by_repeating
        return report

    def forget_failures(self) -> None:
        """Have nothing be kept as failed, of whichever test before."""
        for prefix in (keys.failed_records_prefix(MAPPING), keys.failed_batches_prefix(MAPPING), f"{keys.PARKED}/"):
            for key in self.list_keys(prefix):
                self.client("s3").delete_object(Bucket=self.bucket, Key=key)

    def messages(self) -> dict[str, str]:
        """What the topic has announced since it was last asked: subject → message, which is announced once."""
        announced = self.announcements()
        messages = dict(announced)
        assert len(messages) == len(announced), [subject for subject, _ in announced]
        return messages

    def announcements(self) -> list[tuple[str, str]]:
        """What the topic has announced since it was last asked: subjects and messages, in any order."""
        sqs, announcements = self.client("sqs"), []
        while received := sqs.receive_message(QueueUrl=self.topic_queue, MaxNumberOfMessages=10).get("Messages"):
            for entry in received:
                announced = json.loads(entry["Body"])
                announcements.append((announced["Subject"], announced["Message"]))
                sqs.delete_message(QueueUrl=self.topic_queue, ReceiptHandle=entry["ReceiptHandle"])
        return announcements

    def entered(self, execution: str) -> list[str]:
        """The states that an execution has entered, in their order."""
        pages = self.client("stepfunctions").get_paginator("get_execution_history").paginate(executionArn=execution)
        events = [event for page in pages for event in page["events"]]
        return [event["stateEnteredEventDetails"]["name"] for event in events if "stateEnteredEventDetails" in event]

    def wait_for_state(self, execution: str, state: str) -> None:
        """Return once an execution has entered a state."""
        wait_until(lambda: state in self.entered(execution))

    def describe_execution(self, arn: str) -> Document:
        return dict(self.client("stepfunctions").describe_execution(executionArn=arn))

    def wait_for_end(self, arn: str) -> Document:
        """Return an execution once it has ended."""
        return wait_until(lambda: (found := self.describe_execution(arn))["status"] != "RUNNING" and found)

    # The registry

    def switch_mapping(self, mapping: Mapping) -> Pointer:
        """Make a mapping the current one, as a deployment does."""
        store = S3Objects()
        publish_document(store, self.bucket, mapping)
        with self.connect() as aurora:
            generation = activate(aurora, mapping)
        pointer = Pointer(generation.digest, generation.number)
        point_at(store, self.bucket, MAPPING, pointer)
        return pointer

    def forget_mappings(self) -> None:
        """Have the first mapping be the only one that there ever was."""
        with self.connect() as aurora, aurora.transaction():
            aurora.execute(f"DELETE FROM {self.name_table(GENERATIONS)} WHERE generation > 1")
            aurora.execute(f"DELETE FROM {self.name_table(FILLS)}")
        point_at(S3Objects(), self.bucket, MAPPING, Pointer(self.mapping.digest, 1))
        first = keys.mapping_document(MAPPING, self.mapping.digest)
        for key in self.list_keys(keys.mapping_documents(MAPPING)):
            if key not in {first, keys.mapping_pointer(MAPPING), keys.replication(MAPPING)}:
                self.client("s3").delete_object(Bucket=self.bucket, Key=key)

    # The database

    @contextmanager
    def connect(self) -> Iterator[Aurora]:
        """Connect as the administrator."""
        with connect(self.database.endpoint, self.database.administrator) as aurora:
            yield aurora

    def query(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with self.connect() as aurora:
            return aurora.query(statement, values)

    def name_table(self, table: str) -> str:
        return f"{sql.quote(self.mapping.database)}.{sql.quote(table)}"

    def hits(self) -> dict[str, int]:
        """What people see: page → hits."""
        return dict(self.query(f"SELECT page_id, hits FROM {self.name_table(self.mapping.table)}"))

    def compare(self, mapping: Mapping | None = None) -> Tally:
        """Compare the table and the replica key by key, by the mapping that all began with unless told."""
        with self.connect() as aurora:
            return compare_table(mapping or self.mapping, Pipeline(self.api, self.deployment).scan_items(), aurora)

    @contextmanager
    def lock_key(self, page_id: str, activity_dt: str = "2026-01-01") -> Iterator[None]:
        """Keep every import that has this key waiting: another transaction has inserted it and not ended yet."""
        with closing(self.stack.server.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO {self.name_table(self.mapping.replica)} (page_id, activity_dt, _deleted, _version)"
                " VALUES (%s, %s, 0, 0)",
                (page_id, activity_dt),
            )
            yield

    def wait_until_locked_out(self) -> None:
        """Return once a transaction waits for another's lock."""
        waiting = "SELECT 1 FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"
        # InnoDB answers from a cache, which it only fills again after it was left alone for 0.1 s.
        wait_until(lambda: self.query(waiting), pause=0.15)

    # The table, its stream and its exports

    def put(self, items: Iterable[Document]) -> None:
        self._write({"PutRequest": {"Item": item}} for item in items)

    def delete(self, items: Iterable[Document]) -> None:
        """Delete items, by their keys."""
        self._write(
            {"DeleteRequest": {"Key": {name: item[name] for name in self.mapping.key_attributes}}} for item in items
        )

    def _write(self, requests: Iterable[Any]) -> None:
        waiting = list(requests)
        for start in range(0, len(waiting), 25):
            answer = self.api.dynamodb.batch_write_item(RequestItems={self.table: waiting[start : start + 25]})
            assert not answer["UnprocessedItems"]

    def scan(self) -> list[Document]:
        pages = self.api.dynamodb.get_paginator("scan").paginate(TableName=self.table)
        return [item for page in pages for item in page["Items"]]

    def set_recovery(self, *, enabled: bool) -> None:
        """Switch point-in-time recovery on or off."""
        specification = {"PointInTimeRecoveryEnabled": enabled}
        self.api.dynamodb.update_continuous_backups(
            TableName=self.table, PointInTimeRecoverySpecification=specification
        )

    def stop_stream(self) -> None:
        self.api.dynamodb.update_table(TableName=self.table, StreamSpecification={"StreamEnabled": False})

    def start_stream(self, view: str = "NEW_AND_OLD_IMAGES") -> str:
        """Switch the stream on, a new one, and return its ARN."""
        specification = {"StreamEnabled": True, "StreamViewType": view}
        described = self.api.dynamodb.update_table(TableName=self.table, StreamSpecification=specification)  # type: ignore[arg-type]
        return str(described["TableDescription"]["LatestStreamArn"])

    def read_stream(self, stream_arn: str) -> None:
        """Let a new mapping read a stream, as deploying the stack with that stream does.

        What the one before had not delivered is never delivered.
        """
        functions = self.client("lambda")
        functions.delete_event_source_mapping(UUID=self.event_source_mapping)
        created = functions.create_event_source_mapping(
            FunctionName=self.outputs["ForwardChangesFunctionName"],
            EventSourceArn=stream_arn,
            StartingPosition="TRIM_HORIZON",
            BatchSize=500,
            FunctionResponseTypes=["ReportBatchItemFailures"],
            BisectBatchOnFunctionError=True,
        )
        self.event_source_mapping = created["UUID"]
        self.register_reader(self.event_source_mapping)
        wait_until(lambda: self.describe_event_source_mapping()["State"] == "Enabled")

    def register_reader(self, *readers: str) -> None:
        """Have the registry name what reads the stream, as deploying the replication does."""
        self.change_registered(
            lambda known: replace(
                known, event_source_mappings=tuple(dict.fromkeys((*readers, *known.event_source_mappings)))
            )
        )

    def change_registered(self, change: Callable[[Replication], Replication]) -> None:
        """Change what the registry knows of the replication."""
        place = {"Bucket": self.bucket, "Key": keys.replication(MAPPING)}
        known = Replication.decode(self.client("s3").get_object(**place)["Body"].read())
        self.client("s3").put_object(**place, Body=change(known).encode())

    def rename_in_policies(self, old: str, new: str) -> None:
        """Let the policies of roles name one thing in the place of another, as deploying the stack with it does."""
        iam = self.client("iam")
        for role in iam.list_roles()["Roles"]:
            for policy in iam.list_role_policies(RoleName=role["RoleName"])["PolicyNames"]:
                names = {"RoleName": role["RoleName"], "PolicyName": policy}
                document = json.dumps(iam.get_role_policy(**names)["PolicyDocument"])
                if old in document:
                    iam.put_role_policy(**names, PolicyDocument=document.replace(old, new))

    def replace_stream(self) -> None:
        """Switch the stream off and a new one on, and read that: what was not delivered is gone."""
        self.stop_stream()
        self.read_stream(self.start_stream())

    def dam_stream(self) -> None:
        """Let changes wait in the stream: the function that forwards them is allowed no concurrency."""
        name = self.outputs["ForwardChangesFunctionName"]
        self.client("lambda").put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
        self.replace_stream()

    def release_stream(self) -> None:
        """Let changes flow from now on; those that waited are gone."""
        self.stop_stream()
        name = self.outputs["ForwardChangesFunctionName"]
        self.client("lambda").delete_function_concurrency(FunctionName=name)
        self.read_stream(self.start_stream())

    def drain_stream(self) -> None:
        """Return once everything that was written is imported, a mark after it: the table's stream is in order."""
        mark = f"mark-{uuid.uuid4().hex}"
        self.put([make_item(mark)])
        pipeline = Pipeline(self.api, self.deployment)
        wait_until(lambda: mark in self.hits() and not pipeline.is_importing())

    def list_running_imports(self) -> list[str]:
        """Return the executions that import, or wait for their next attempt; first those that hand over to others."""
        executions = self.client("stepfunctions").get_paginator("list_executions")
        machines = [self.outputs[f"Import{kind}BatchStateMachineArn"] for kind in ("Streamed", "")]
        pages = (page for arn in machines for page in executions.paginate(stateMachineArn=arn, statusFilter="RUNNING"))
        return [execution["executionArn"] for page in pages for execution in page["executions"]]

    def describe_event_source_mapping(self) -> Document:
        return dict(self.client("lambda").get_event_source_mapping(UUID=self.event_source_mapping))

    def enable_event_source_mapping(self, *, enabled: bool) -> None:
        self.client("lambda").update_event_source_mapping(UUID=self.event_source_mapping, Enabled=enabled)
        state = "Enabled" if enabled else "Disabled"
        wait_until(lambda: self.describe_event_source_mapping()["State"] == state)

    def export(self, prefix: str | None = None, **parameters: Any) -> ExportFiles:
        """Export the table as someone else would, wait for the end and return what there is."""
        arn = self.begin_export(prefix, **parameters)
        described = wait_until(lambda: self._find_completed(arn))
        return ExportFiles(described["S3Bucket"], described["ExportManifest"], arn, self.client("s3"))

    def begin_export(self, prefix: str | None = None, **parameters: Any) -> str:
        """Start an export and return its ARN."""
        options = {"TableArn": self.table_arn, "S3Bucket": self.bucket, **({"S3Prefix": prefix} if prefix else {})}
        answer = self.client("dynamodb").export_table_to_point_in_time(**(options | parameters))
        return str(answer["ExportDescription"]["ExportArn"])

    def _find_completed(self, arn: str) -> Document | None:
        described: Document = self.client("dynamodb").describe_export(ExportArn=arn)["ExportDescription"]
        assert described["ExportStatus"] != "FAILED", described
        return described if described["ExportStatus"] == "COMPLETED" else None

    def exports_of(self, run: str) -> set[str]:
        """The ids of the exports that were made for a run."""
        folder = f"{keys.export_prefix(MAPPING, run)}/AWSDynamoDB/"
        return {key.removeprefix(folder).split("/")[0] for key in self.list_keys(folder)}

    def plan_ahead(self, run: str, export: ExportFiles) -> int:
        """Plan a run as plan_backfill does, but with each data file as a batch of its own; return how many there are.

        The run then has its plan already, and goes on from there. Batches of the product's own size would take a
        hundred files, or fifty thousand items, each.
        """
        described = plan_backfill.ExportToPlan(export.bucket, export.summary_key, self.table_arn)
        most, plan_backfill.MAX_BATCH_FILES = plan_backfill.MAX_BATCH_FILES, 1  # type: ignore[misc]
        try:
            return plan_backfill.plan_backfill(S3Objects(), self.bucket, MAPPING, run, described).batches
        finally:
            plan_backfill.MAX_BATCH_FILES = most  # type: ignore[misc]

    def plan_batches(self, run: str, items: list[Document], count: int) -> ExportFiles:
        """Put items into the table, export them, and plan a run with so many batches, in the order of the keys."""
        self.put(items)
        export = self.export(f"exports/of={run}")
        export.split(count)
        assert self.plan_ahead(run, export) == count
        return export

    # S3, functions, the emulator

    def read(self, key: str) -> bytes:
        return bytes(self.client("s3").get_object(Bucket=self.bucket, Key=key)["Body"].read())

    def list_keys(self, prefix: str) -> list[str]:
        pages = self.client("s3").get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return [found["Key"] for page in pages for found in page.get("Contents", [])]

    def set_variables(self, output: str, **variables: str) -> dict[str, str]:
        """Change variables of a function's environment and return what they were."""
        functions, name = self.client("lambda"), self.outputs[output]
        before = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        functions.update_function_configuration(FunctionName=name, Environment={"Variables": before | variables})
        return {variable: before.get(variable, "") for variable in variables}

    @contextmanager
    def variables(self, output: str, **variables: str) -> Iterator[None]:
        """Change variables of a function's environment for a while."""
        before = self.set_variables(output, **variables)
        try:
            yield
        finally:
            self.set_variables(output, **before)

    def find_processes(self, output: str) -> list[int]:
        """Return the ids of the processes that run a function."""
        with urllib.request.urlopen(
            f"{self.stack.endpoint_url}/_dynaurora/functions", timeout=PATIENCE_SECONDS
        ) as answer:
            found: dict[str, list[int]] = json.load(answer)
        return found.get(self.outputs[output], [])

    def set_faults(self, **faults: int) -> None:
        """Ask the emulator for faults (`local.emulator.faults`)."""
        set_faults(self.stack.endpoint_url, **faults)

    def reset(self) -> None:
        """Begin anew: an empty table, an empty target, no faults, nothing filled, nobody told of anything."""
        with urllib.request.urlopen(f"{self.stack.endpoint_url}/_dynaurora/faults", timeout=PATIENCE_SECONDS) as answer:
            faults = dict.fromkeys(json.load(answer), 0)
        # A run asks for the table as of the last whole second, and what was put since then is to be in the export too.
        self.set_faults(**(faults | {"age_stream_mappings_seconds": OLD_ENOUGH, "shift_export_cut_seconds": 1}))
        self.delete(self.scan())
        with self.connect() as aurora, aurora.transaction():
            for table in (self.mapping.replica, IMPORTS, RUNS):
                aurora.execute(f"DELETE FROM {self.name_table(table)}")
        for key in (keys.filled(MAPPING), *self.list_keys(f"{keys.NOTICES}/mapping={MAPPING}/")):
            self.client("s3").delete_object(Bucket=self.bucket, Key=key)
        self.announcements()


def make_run_id() -> str:
    """Return a new run's id."""
    return f"r{uuid.uuid4().hex[:10]}"


def set_faults(endpoint_url: str, **faults: int) -> None:
    """Ask an emulator for faults."""
    body = json.dumps(faults).encode()
    request = urllib.request.Request(f"{endpoint_url}/_dynaurora/faults", data=body, method="POST")
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
        assert answer.status == 200


def make_environment(endpoint_url: str, region: str) -> dict[str, str]:
    """Return the variables by which the SDK of the commands reaches a local AWS."""
    return {
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
        "NO_PROXY": "127.0.0.1",
    }
