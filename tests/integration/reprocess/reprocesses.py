"""Reprocesses of a deployed stack, as tests start and look at them; and the failures that they take up."""

import functools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jsonschema

from dynaurora import __file__ as a_core_file
from dynaurora import keys
from dynaurora.aurora.migrations import RUNS
from dynaurora.dynamodb.changes import Change, decode_change, encode_change
from dynaurora.failures.failed_records import FailedRecord, decode_failed_record, encode_failed_record, split_record
from dynaurora.failures.refused_changes import is_refused_change
from tests.integration.backfill import deployed as looking
from tests.integration.backfill.deployed import MAPPING, Deployed, Document, make_run_id
from tests.support.waiting import PATIENCE_SECONDS

REPORT_SCHEMA = json.loads((Path(a_core_file).parent / "reprocess_report.schema.json").read_text("utf-8"))
RECORDS = keys.failed_records_prefix(MAPPING)
BATCHES = keys.failed_batches_prefix(MAPPING)
PARKED = keys.parked_prefix(MAPPING)

wait_until = functools.partial(looking.wait_until, pause=0.1)
"""Looks less often than it could: the machine has other things to do meanwhile."""


@dataclass(frozen=True)
class Ended:
    """A run that has ended."""

    status: str
    output: Document
    """Of the execution; its error where it failed."""
    run: str
    report: Document
    """Empty where there is none."""

    @property
    def totals(self) -> Document:
        return dict(self.report["totals"])


@dataclass(frozen=True)
class Reprocesses:
    """The reprocesses of one stack."""

    deployed: Deployed

    @property
    def arn(self) -> str:
        return self.deployed.outputs["ReprocessFailuresStateMachineArn"]

    # Runs

    def start(self, **given: Any) -> str:
        """Start a run and return its execution.

        It is given a name, unless that is to be None: of those without one, all of a second have the same.
        """
        document = json.dumps({"mapping": MAPPING, "run": make_run_id(), **given})
        return str(
            self.deployed.client("stepfunctions").start_execution(stateMachineArn=self.arn, input=document)[
                "executionArn"
            ]
        )

    def wait(self, execution: str) -> Ended:
        """Return a run once it has ended."""
        ended = wait_until(
            lambda: (found := self.deployed.describe_execution(execution))["status"] != "RUNNING" and found
        )
        output = json.loads(ended["output"]) if ended["status"] == "SUCCEEDED" else {"Error": ended.get("error")}
        rows = self.deployed.query(f"SELECT run FROM {self.deployed.name_table(RUNS)} WHERE execution = %s", execution)
        run = str(rows[0][0]) if rows else ""
        report = json.loads(self.deployed.read(keys.report(MAPPING, run))) if run else {}
        if report:
            jsonschema.validate(report, REPORT_SCHEMA)
        return Ended(str(ended["status"]), output, run, report)

    def do(self, **given: Any) -> Ended:
        """Start a run, and return it once it has succeeded."""
        ended = self.wait(self.start(**given))
        assert ended.status == "SUCCEEDED", ended
        return ended

    # Failures

    def list_failures(self) -> list[str]:
        """The keys of everything that is kept as failed, parked or not; what settled changes left behind is empty."""
        pages = self.deployed.client("s3").get_paginator("list_objects_v2")
        return [
            found["Key"]
            for prefix in (RECORDS, BATCHES, f"{keys.UNFORWARDED}/", PARKED)
            for page in pages.paginate(Bucket=self.deployed.bucket, Prefix=prefix)
            for found in page.get("Contents", [])
            if found["Size"] or not is_refused_change(MAPPING, found["Key"])
        ]

    def read_records(self, key: str) -> list[FailedRecord]:
        """The records of a failed object; of a pack, its changes."""
        lines = self.deployed.read(key).splitlines()
        return [single for line in lines for single in split_record(decode_failed_record(line))]

    def write(self, key: str, *lines: bytes) -> str:
        """Put an object and return its ETag."""
        answer = self.deployed.client("s3").put_object(Bucket=self.deployed.bucket, Key=key, Body=b"".join(lines))
        return str(answer["ETag"]).strip('"')

    def correct(self, key: str, item: Document) -> None:
        """Correct the item of the one record of a failed object where it is kept, as somebody may."""
        (record,) = self.read_records(key)
        change = replace(decode_change(record.data), new_image=item)
        self.write(key, encode_failed_record(replace(record, data=encode_change(change))))

    def forget_failures(self) -> None:
        """Begin with nothing that is kept as failed, or was, and nobody told of anything."""
        settled = self.deployed.list_keys(keys.refused_changes_prefix(MAPPING))
        archived = self.deployed.list_keys(f"{keys.ARCHIVED}/")
        for key in {*self.list_failures(), *settled, *archived, *self.deployed.list_keys(f"{keys.NOTICES}/")}:
            self.deployed.client("s3").delete_object(Bucket=self.deployed.bucket, Key=key)

    def wait_until_imported(self, seconds: float = PATIENCE_SECONDS) -> None:
        """Return once no import is under way."""
        wait_until(lambda: not self.deployed.list_running_imports(), seconds)

    def wait_for_failures(self, count: int = 1) -> list[str]:
        """Return the keys of what is kept as failed, once there are so many."""
        return wait_until(lambda: len(found := self.list_failures()) >= count and found)


@contextmanager
def rotated_password(deployed: Deployed) -> Iterator[Callable[[], object]]:
    """Give the loader another password than the secret says; yields what lets the secret say it too.

    In the end both are as they were.
    """
    secrets, secret = deployed.client("secretsmanager"), deployed.outputs["DatabaseSecretArn"]
    loader = json.loads(secrets.get_secret_value(SecretId=secret)["SecretString"])
    rotated = loader | {"password": "another"}
    set_password(deployed, rotated)
    try:
        yield lambda: secrets.put_secret_value(SecretId=secret, SecretString=json.dumps(rotated))
    finally:
        set_password(deployed, loader)
        secrets.put_secret_value(SecretId=secret, SecretString=json.dumps(loader))


def set_password(deployed: Deployed, loader: Document) -> None:
    """Let the loader log in with a password."""
    with deployed.stack.server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("ALTER USER %s@'%%' IDENTIFIED BY %s", (loader["username"], loader["password"]))


def make_record(item: Document, version: int = 5, **changed: Any) -> bytes:
    """Return the failed record of an item, as a line."""
    change = Change(version, 0, {name: item[name] for name in ("page_id", "activity_dt")}, item)
    record = {"error_code": "Lambda.FunctionError", "error_message": "It failed.", "attempts": 1, "failed_at_ms": 1}
    return encode_failed_record(FailedRecord(data=encode_change(change), function_arn="arn:any", **(record | changed)))  # type: ignore[arg-type]
