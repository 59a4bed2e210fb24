"""What the runbooks are for, done to a local AWS: items, faults, what is announced, and whether all ends well."""

import base64
import hashlib
import json
import shlex
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Event, Thread
from typing import Any

from dynaurora import keys
from dynaurora.aurora import sql
from dynaurora.dynamodb.versions import make_version
from dynaurora.mappings.mapping import Mapping, build_mapping
from dynaurora.mappings.registry import Pointer
from dynaurora.verification.compare_items import compare_table
from infra.build_package import Target, build_package
from infra.places import EXAMPLE
from local.aurora.faults import kill_database, restart_database
from local.aurora.server import DATA
from local.deployment import ARTIFACTS_BUCKET, LOADERS, STACK_NAME, name_replication
from local.pipeline import Pipeline
from local.running import connect_administrator
from local.stack import DATABASE
from tests.e2e.conftest import LocalAws
from tests.reader import Reader

WAIT_SECONDS = 120
HOUR = 3600
DAY = 24 * HOUR
VISIT_SECONDS = 0.3
TIME = "2026-11-24 03:07:12"
"""What a deployment is made from."""
EDITOR = '#!/bin/sh\nexec sed -i {} "$1"\n'


def make_payload(hits: Any) -> dict[str, Any]:
    """What `web_analytics` has in an item; `hits` is a number if all is well."""
    platform = {"name": "Linux", "version": "6.1"}
    location = {"latitude": "52.5", "longitude": "13.4", "country": "DE"}
    session = {"session_id": "s", "start_timestamp": "1795490000", "stop_timestamp": "1795490060"}
    return {
        "Hits": hits,
        "device": {"make": "Acme", "platform": platform, "location": location},
        "session": session,
    }


class Visits:
    """Items that are written all the time, until it is stopped."""

    def __init__(self, site: "Site") -> None:
        self.site = site
        self.count = 0
        self.thread = Thread(target=self._write)
        self._stopped = Event()

    def _write(self) -> None:
        while not self._stopped.wait(VISIT_SECONDS):
            self.site.put(f"/visit/{self.count}")
            self.count += 1

    def stop(self) -> None:
        """Return once the last one is written."""
        self._stopped.set()
        self.thread.join()


@dataclass(frozen=True)
class Site:
    """A local AWS in operation."""

    aws: LocalAws

    @cached_property
    def pipeline(self) -> Pipeline:
        return Pipeline(self.aws.api, self.aws.deployment)

    @cached_property
    def queue(self) -> str:
        """The URL of a queue that has what is announced on the failures topic."""
        sqs, sns = self.aws.client("sqs"), self.aws.client("sns")
        url: str = sqs.create_queue(QueueName="announced")["QueueUrl"]
        (arn,) = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"].values()
        (topic,) = (found["TopicArn"] for found in sns.list_topics()["Topics"] if "failures" in found["TopicArn"])
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
        return url

    # Items

    def put(self, page: str, hits: Any = 1) -> None:
        """Write an item."""
        item = {"page_id": {"S": page}, "activity_dt": {"S": TIME}, "payload": {"S": json.dumps(make_payload(hits))}}
        self.aws.api.dynamodb.put_item(TableName=self.aws.deployment.table, Item=item)

    @contextmanager
    def visited(self) -> Iterator["Visits"]:
        """Have items be written all the time, one after the other."""
        visits = Visits(self)
        visits.thread.start()
        try:
            yield visits
        finally:
            visits.stop()

    def delete(self, page: str) -> None:
        """Delete an item."""
        key = {"page_id": {"S": page}, "activity_dt": {"S": TIME}}
        self.aws.api.dynamodb.delete_item(TableName=self.aws.deployment.table, Key=key)

    def rows(self, *columns: str) -> list[tuple[Any, ...]]:
        """Return the view's rows."""
        return self.aws.query(f"SELECT {', '.join(columns)} FROM Demo.WebAnalytics ORDER BY page_id")

    # What is kept, and said

    def list_kept(self, *prefixes: str) -> list[str]:
        """Return the objects under prefixes of the landing bucket; by default those of everything that failed.

        Empty ones are what settled changes leave behind.
        """
        pages = self.aws.api.s3.get_paginator("list_objects_v2")
        return [
            entry["Key"]
            for prefix in prefixes or (keys.FAILED_RECORDS, keys.FAILED_BATCHES, keys.UNFORWARDED, keys.PARKED)
            for page in pages.paginate(Bucket=self.aws.deployment.bucket, Prefix=f"{prefix}/")
            for entry in page.get("Contents", [])
            if entry["Size"]
        ]

    def wait_for_message(self, text: str) -> None:
        """Return once something is announced that has a text in it."""
        self.wait_until(lambda: text in self.read_announced())

    def read_announced(self) -> str:
        """Return what was announced since this was last asked, subjects and messages."""
        sqs, texts = self.aws.client("sqs"), list[str]()
        while received := sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get("Messages"):
            for entry in received:
                announced = json.loads(entry["Body"])
                texts += [announced["Subject"], announced["Message"]]
                sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=entry["ReceiptHandle"])
        return "\n".join(texts)

    def wait_until(self, is_true: Callable[[], object]) -> None:
        """Return once something is true."""
        deadline = time.monotonic() + WAIT_SECONDS
        while not is_true():
            assert time.monotonic() < deadline, (self.list_kept(), self.aws.run("status"))
            time.sleep(0.2)

    # Beginning and end

    def clear(self) -> None:
        """Leave no item, no row, nothing that failed and nobody told of it, whatever was there."""
        dynamodb, table = self.aws.api.dynamodb, self.aws.deployment.table
        for page in dynamodb.get_paginator("scan").paginate(TableName=table):
            found = [{name: item[name] for name in ("page_id", "activity_dt")} for item in page["Items"]]
            for start in range(0, len(found), 25):
                requests = [{"DeleteRequest": {"Key": key}} for key in found[start : start + 25]]
                dynamodb.batch_write_item(RequestItems={table: requests})
        self.wait_until_equal(0)
        for key in [*self.list_kept(), *self.list_kept(keys.NOTICES)]:
            self.aws.api.s3.delete_object(Bucket=self.aws.deployment.bucket, Key=key)
        self.read_announced()

    def wait_until_equal(self, items: int) -> None:
        """Return once Aurora has the row of every item, of which there are so many, and no import is under way."""
        self.wait_until(lambda: self._has_equal(items) and not self.pipeline.is_importing())

    def read_active(self) -> Mapping:
        """Return the active mapping, which a rebuild makes another one than was deployed."""
        (*_, (document,)) = self.aws.query(
            "SELECT document FROM Demo._dynaurora_mappings WHERE mapping = 'web_analytics' ORDER BY generation"
        )
        return build_mapping("web_analytics", json.loads(document), text=document)

    def _has_equal(self, items: int) -> bool:
        with connect_administrator(self.aws.state) as aurora:
            found = compare_table(self.read_active(), self.pipeline.scan_items(), aurora)
        return (found.items, found.identical, found.rows) == (items, items, items)

    # Faults

    def set_faults(self, **faults: int) -> None:
        """Ask the emulator to behave as AWS may."""
        self._post("/_dynaurora/faults", faults)

    @contextmanager
    def restored_database(self) -> Iterator[str]:
        """Have the server's files as they are now again afterwards; the time is given that they are of."""
        files = self.aws.directory / DATABASE / DATA
        snapshot = files.with_name("snapshot")
        kill_database(self.aws.directory)
        shutil.copytree(files, snapshot)
        restart_database(self.aws.directory)
        yield time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        kill_database(self.aws.directory)
        shutil.rmtree(files)
        snapshot.rename(files)
        restart_database(self.aws.directory)

    @contextmanager
    def held_exports(self) -> Iterator[None]:
        """Keep exports in progress, as those of AWS are for minutes: there is time to stop a run."""
        self.set_faults(hold_exports=1)
        try:
            yield
        finally:
            self.set_faults(hold_exports=0)

    @contextmanager
    def scaled_retries(self, scale: float) -> Iterator[None]:
        """Have state machines wait for less between their retries."""
        self._post("/_ministack/config", {"stepfunctions._SFN_WAIT_SCALE": scale})
        try:
            yield
        finally:
            self._post("/_ministack/config", {"stepfunctions._SFN_WAIT_SCALE": 1})

    @contextmanager
    def failing_transformation(self) -> Iterator[None]:
        """Have nothing be transformed: the function takes no call."""
        function = f"{name_replication('web_analytics')}-transform-changes"
        self.aws.api.functions.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
        try:
            yield
        finally:
            self.aws.api.functions.delete_function_concurrency(FunctionName=function)

    @contextmanager
    def unannounced_objects(self) -> Iterator[None]:
        """Have no import be started for new objects."""
        events, rule = self.aws.client("events"), f"{STACK_NAME}-import-batch"
        events.disable_rule(Name=rule)
        try:
            yield
        finally:
            events.enable_rule(Name=rule)

    @contextmanager
    def stopped_database(self) -> Iterator[Callable[[], None]]:
        """Take the database away; what is yielded gives it back."""
        kill_database(self.aws.directory)
        try:
            yield lambda: restart_database(self.aws.directory)
        finally:
            restart_database(self.aws.directory)

    @contextmanager
    def renamed_column(self) -> Iterator[None]:
        """Have a column of the replica under another name than its mapping's."""
        self.aws.query("ALTER TABLE Demo.WebAnalytics__replica RENAME COLUMN hits TO hit")
        try:
            yield
        finally:
            if self.aws.query("SHOW COLUMNS FROM Demo.WebAnalytics__replica LIKE 'hit'"):
                self.aws.query("ALTER TABLE Demo.WebAnalytics__replica RENAME COLUMN hit TO hits")

    @contextmanager
    def revoked_grants(self) -> Iterator[str]:
        """Have a loader that may not write, which is yielded."""
        ((loader,),) = self.aws.query(f"SELECT User FROM mysql.user WHERE User LIKE '{LOADERS}'")
        self.aws.query(f"REVOKE INSERT, UPDATE ON Demo.* FROM {loader}")
        try:
            yield loader
        finally:
            self.aws.query(f"GRANT INSERT, UPDATE ON Demo.* TO {loader}")

    def switch_recovery_off(self) -> None:
        """Have the table's point-in-time recovery be off, without which nothing is exported."""
        self.aws.api.dynamodb.update_continuous_backups(
            TableName=self.aws.deployment.table, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": False}
        )

    @contextmanager
    def lost_writes(self) -> Iterator[None]:
        """Have writes be of ten minutes ago, some of them made while the table's stream was off.

        The health function has noted it when the stream was read again, five minutes ago.
        """
        self.aws.query("DELETE FROM Demo.WebAnalytics__replica")  # deletes of before would be newer than these writes
        self.restart_recovery(age_recovery_seconds=2 * DAY, age_writes_seconds=600)
        try:
            self.put("/about")
            self.put("/contact")
            self.wait_until_equal(2)
            self._set_stream({"StreamEnabled": False})
            self.put("/about", hits=7)
            self.put("/pricing")
            self.delete("/contact")
            self._set_stream({"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"})
            self.read_new_stream()
            now = int(time.time())
            known = {"stream_arn": self._stream_arn, "losses": [[now - 32 * HOUR, now - 300]]}
            self.aws.api.s3.put_object(
                Bucket=self.aws.deployment.bucket, Key=keys.reader("web_analytics"), Body=json.dumps(known).encode()
            )
            yield
        finally:
            self.restart_recovery(age_recovery_seconds=DAY, age_writes_seconds=0)

    def _set_stream(self, specification: Any) -> None:
        self.aws.api.dynamodb.update_table(TableName=self.aws.deployment.table, StreamSpecification=specification)

    def create_table_again(self) -> None:
        """Delete the table and create another one of its name, without a stream and without recovery."""
        dynamodb, name = self.aws.api.dynamodb, self.aws.deployment.table
        table = dynamodb.describe_table(TableName=name)["Table"]
        dynamodb.delete_table(TableName=name)
        dynamodb.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=table["KeySchema"],
            AttributeDefinitions=table["AttributeDefinitions"],
        )

    def age_rows(self, seconds: int) -> None:
        """Have all rows be of changes so much earlier."""
        self.aws.query(f"UPDATE Demo.WebAnalytics__replica SET _version = _version - {make_version(seconds, 0)}")

    def read_new_stream(self) -> None:
        """Deploy the replication with the stream that the table has now."""
        stacks, name = self.aws.client("cloudformation"), name_replication("web_analytics")
        (stack,) = stacks.describe_stacks(StackName=name)["Stacks"]
        given = {each["ParameterKey"]: each["ParameterValue"] for each in stack["Parameters"]}
        given["SourceStreamArn"] = self._stream_arn
        body = stacks.get_template(StackName=name, TemplateStage="Original")["TemplateBody"]
        stacks.update_stack(
            StackName=name,
            TemplateBody=body if isinstance(body, str) else json.dumps(body),
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
        )
        stacks.get_waiter("stack_update_complete").wait(StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})

    @property
    def _stream_arn(self) -> str:
        table = self.aws.api.dynamodb.describe_table(TableName=self.aws.deployment.table)["Table"]
        return str(table["LatestStreamArn"])

    def restart_recovery(self, **ages: int) -> None:
        """Have the table's recovery begin anew, with other ages of it and of what is written."""
        self.switch_recovery_off()
        self.set_faults(**ages)
        self.aws.api.dynamodb.update_continuous_backups(
            TableName=self.aws.deployment.table, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
        )

    def leave_a_row_without_an_item(self) -> None:
        """Add a row as that of an item which was deleted while the stream was off."""
        time.sleep(1)  # an export shows the table just before a whole second
        self.aws.query(
            "REPLACE INTO Demo.WebAnalytics__replica (page_id, activity_dt, _deleted, _version)"
            " VALUES ('left over', 'long ago', 0, 1)"
        )

    def find_failure(self) -> str:
        """Return the id of the one record that is kept as failed."""
        (key,) = self.list_kept()
        (line,) = self.aws.api.s3.get_object(Bucket=self.aws.deployment.bucket, Key=key)["Body"].read().splitlines()
        return hashlib.sha256(base64.b64decode(json.loads(line)["rawData"])).hexdigest()[:12]

    def pass_hours(self, hours: int) -> None:
        """Count so many vain hourly reprocesses on every failed record."""
        for key in self.list_kept(keys.FAILED_RECORDS):
            place = {"Bucket": self.aws.deployment.bucket, "Key": key}
            lines = self.aws.api.s3.get_object(**place)["Body"].read().splitlines()
            records = [json.loads(line) | {"reprocessed": hours} for line in lines]
            self.aws.api.s3.put_object(**place, Body="".join(f"{json.dumps(record)}\n" for record in records).encode())

    def start_reader_anew(self) -> None:
        """Deploy the code of what reads the stream once more: it looks for the current mapping when it starts."""
        package = build_package(Target(f"{sys.version_info.major}.{sys.version_info.minor}", "local"))
        code = {"Bucket": ARTIFACTS_BUCKET, "Key": "site/functions.zip"}
        self.aws.client("s3").put_object(**code, Body=package.archive.read_bytes())
        name = f"{name_replication('web_analytics')}-forward-changes"
        self.aws.client("lambda").update_function_code(FunctionName=name, S3Bucket=code["Bucket"], S3Key=code["Key"])

    def wait_until_taken_up(self) -> None:
        """Write an item, and return once it and all that was forwarded before it are imported."""
        mark = f"/mark/{time.monotonic()}"
        self.put(mark)
        self.wait_until(lambda: (mark,) in self.rows("page_id"))
        before = self._list_imports()
        self.wait_until(lambda: not before & self._list_imports())

    def _list_imports(self) -> set[str]:
        """Return the imports that run or wait for their next attempt."""
        imports = self.aws.client("stepfunctions").get_paginator("list_executions")
        machines = (self.aws.deployment.import_streamed_batch_arn, self.aws.deployment.import_batch_arn)
        pages = (page for arn in machines for page in imports.paginate(stateMachineArn=arn, statusFilter="RUNNING"))
        return {each["executionArn"] for page in pages for each in page["executions"]}

    @contextmanager
    def passing_by_rebuilds(self) -> Iterator[None]:
        """Have the stream's reader know at once that both tables are written, and the export not wait for it."""
        self.set_faults(age_mappings_seconds=0)
        rebuilds = "SELECT digest FROM Demo._dynaurora_mappings WHERE document LIKE '%\"rebuilds\"%'"
        pointer = {"Bucket": self.aws.deployment.bucket, "Key": keys.mapping_pointer("web_analytics")}

        def is_under_way() -> bool:
            current = json.load(self.aws.api.s3.get_object(**pointer)["Body"])["digest"]
            return [(current,)] == self.aws.query(f"{rebuilds} ORDER BY generation DESC LIMIT 1")

        def pass_by() -> None:
            self.wait_until(is_under_way)
            self.start_reader_anew()
            self.wait_until_taken_up()
            self.pass_minutes(5)

        thread = Thread(target=pass_by)
        thread.start()
        yield
        thread.join()

    def forget_rebuilds(self) -> None:
        """Have the rows be in the table that they were in first, by a mapping that knows no other."""
        mapping, (served, *left) = self.pipeline.mapping, sorted(self.list_replicas(), reverse=True)
        if served == mapping.replica:
            return
        for table in {mapping.replica, *left}:
            self.aws.query(f"DROP TABLE IF EXISTS Demo.{table}")
        self.aws.query(f"RENAME TABLE Demo.{served} TO Demo.{mapping.replica}")
        with connect_administrator(self.aws.state) as aurora, aurora.transaction():
            aurora.execute("DELETE FROM Demo._dynaurora_fills")
            aurora.execute("DELETE FROM Demo._dynaurora_mappings WHERE document LIKE %s", ("%replica_%",))
            aurora.execute(sql.create_view(mapping))
        ((digest, generation),) = self.aws.query(
            "SELECT digest, generation FROM Demo._dynaurora_mappings ORDER BY generation DESC LIMIT 1"
        )
        assert digest == mapping.digest
        pointer = {"Bucket": self.aws.deployment.bucket, "Key": keys.mapping_pointer(mapping.name)}
        self.aws.api.s3.put_object(**pointer, Body=Pointer(digest, generation).encode())

    def list_replicas(self) -> list[str]:
        """Return the tables that the target has, or had, its rows in."""
        return [name for (name,) in self.aws.query("SHOW TABLES FROM Demo LIKE 'WebAnalytics\\\\_\\\\_replica%'")]

    def query_types(self, view: str) -> dict[str, str]:
        """Return the types of a view's columns."""
        return {name: kind for name, kind, *_ in self.aws.query(f"SHOW COLUMNS FROM Demo.{view}")}

    @contextmanager
    def read_all_the_time(self) -> Iterator[list[Any]]:
        """Count the view's rows until the block ends; give the counts, and errors."""
        seen: list[Any] = []
        ended = Event()

        def read() -> None:
            while not ended.wait(0.05):
                try:
                    seen.append(self.aws.query("SELECT COUNT(*) FROM Demo.WebAnalytics")[0][0])
                except Exception as error:  # noqa: BLE001 (it is what the test is about)
                    seen.append(error)

        thread = Thread(target=read)
        thread.start()
        try:
            yield seen
        finally:
            ended.set()
            thread.join()

    def pass_minutes(self, minutes: int) -> None:
        """Make all rows, so all changes that they come from, so much older, and the last change of the mapping."""
        self.set_faults(age_mappings_seconds=minutes * 60)
        age = minutes * 60 * 10**40
        for replica in self.list_replicas():
            self.aws.query(f"UPDATE Demo.{replica} SET _version = _version - {age}")

    def _post(self, path: str, document: dict[str, Any]) -> None:
        body, headers = json.dumps(document).encode(), {"Content-Type": "application/json"}
        urllib.request.urlopen(urllib.request.Request(f"{self.aws.state.endpoint_url}{path}", body, headers)).close()


def equip_with_editor(reader: Reader, *expressions: str) -> None:
    """Give a reader an editor in which they make these changes, of sed's."""
    editor = reader.state.with_name("editor")
    editor.write_text(EDITOR.format(" ".join(f"-e {shlex.quote(expression)}" for expression in expressions)))
    editor.chmod(0o755)
    reader.export(EDITOR=str(editor))


def copy_project(directory: Path) -> Path:
    """Make a copy of the example's project to work in, its first commit being what is here, and return it."""
    shutil.copytree(EXAMPLE, directory, ignore=shutil.ignore_patterns(".local"))
    run_git(directory, "init", "--quiet")
    commit(directory, "Begin")
    return directory


def commit(project: Path, subject: str) -> None:
    """Commit everything that has changed in a project."""
    run_git(project, "add", ".")
    run_git(project, "-c", "user.name=a", "-c", "user.email=a@localhost", "commit", "--quiet", "-m", subject)


def run_git(project: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", project, *arguments], check=True)
