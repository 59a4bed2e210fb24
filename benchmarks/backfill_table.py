"""How long a backfill of a table takes once its export is there, by the real templates in the local AWS.

The run takes an export that lies in the platform's bucket, so that nobody waits for one. Time counts from the plan to
the end of the report, as the report's own phases have it; what Step Functions and Lambda are waited for is the
emulator's and in it, for who waits there waits. CPU time is that of the emulator with all its functions, the database
and this process, which is the gateway to it and watches. A first run warms the functions; of the others the median
counts, each of which has keys of its own.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from click.testing import CliRunner

from backfill.cli import main
from backfill.project import load_example
from benchmarks.items import CLICKS, write_lines
from benchmarks.results import Result, is_quick, print_results
from benchmarks.timing import cpu_seconds
from dynaurora.aurora.connection import Credentials, Endpoint
from local.api import Api
from local.deployment import Database, Deployment, deploy
from local.stack import REGION, Stack

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_SECONDS, MOST_MICROSECONDS = 3.0, 13.0
"""For 100,000 items, and of a processor for each."""
ITEMS_OF_A_FILE: Final = 5_000
BEFORE: Final = {"checking", "exporting", "waiting for margin"}
"""Phases of a run until its export is there."""
EMULATOR: Final = {"DYNAURORA_WAIT_SCALE": "0.003", "SFN_WAIT_SCALE": "0.05"}
"""Waits of state machines are short: they are no work."""


@dataclass(frozen=True)
class Replicated:
    """A deployment in a running local AWS, and the table's ARN."""

    stack: Stack
    api: Api
    deployment: Deployment
    table_arn: str

    def write_export(self, name: str, items: int) -> str:
        """Write an export of clicks whose keys no other has; return where its manifest is."""
        folder = f"given/AWSDynamoDB/{name}"
        lines = (
            write_lines(CLICKS.name, items, 0).replace(b"/products/", f"/{name}/".encode()).splitlines(keepends=True)
        )
        listed = []
        for first in range(0, items, ITEMS_OF_A_FILE):
            part, key = lines[first : first + ITEMS_OF_A_FILE], f"{folder}/data/{first}.json.gz"
            body = gzip.compress(b"".join(part), 6)
            self._put(key, body)
            listed.append({"itemCount": len(part), "md5Checksum": md5_of(body), "etag": "e-1", "dataFileS3Key": key})
        self._put_manifest(f"{folder}/manifest-files", b"".join(json.dumps(file).encode() + b"\n" for file in listed))
        summary = {
            "version": "2023-08-01",
            "exportArn": f"{self.table_arn}/export/{name}",
            "tableArn": self.table_arn,
            "startTime": tell_now(),
            "endTime": tell_now(),
            "exportTime": tell_now(),
            "s3Bucket": self.deployment.bucket,
            "manifestFilesS3Key": f"{folder}/manifest-files.json",
            "billedSizeBytes": sum(map(len, lines)),
            "itemCount": items,
            "outputFormat": "DYNAMODB_JSON",
            "exportType": "FULL_EXPORT",
        }
        self._put_manifest(f"{folder}/manifest-summary", json.dumps(summary).encode())
        return f"s3://{self.deployment.bucket}/{folder}/manifest-summary.json"

    def run(self, name: str, items: int) -> tuple[float, float, float]:
        """Take a new export; return the seconds since it was there, those of processors, and of these the local AWS's.

        Its own are the emulator's, without its functions, and this process's.
        """
        uri = self.write_export(name, items)
        command = [
            "backfill",
            "start",
            CLICKS.name,
            "--run",
            name,
            "--export",
            uri,
            "--watch",
            "--every",
            "1",
            "--json",
        ]
        before, own_before = self._cpu_seconds(), self._own_cpu_seconds()
        answer = CliRunner().invoke(main, command)
        taken, own = self._cpu_seconds() - before, self._own_cpu_seconds() - own_before
        view: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1]) if answer.stdout else {}
        if answer.exit_code or view["report"]["totals"]["imported"] != items:
            raise AssertionError(f"the backfill did not bring {items} rows: {answer.output}")
        phases = view["report"]["phases"]
        print(name, [(phase["name"], round(phase["seconds"], 2)) for phase in phases], file=sys.stderr)
        return sum(phase["seconds"] for phase in phases if phase["name"] not in BEFORE), taken, own

    def _cpu_seconds(self) -> float:
        server = self.stack.server.identity
        own = cpu_seconds(*([server.pid] if server else []))
        return own + sum(map(cpu_seconds_with_ended, find_tree(self.stack.emulator.process.pid)))

    def _own_cpu_seconds(self) -> float:
        return cpu_seconds(self.stack.emulator.process.pid)

    def _put(self, key: str, body: bytes) -> None:
        self.api.s3.put_object(Bucket=self.deployment.bucket, Key=key, Body=body)

    def _put_manifest(self, name: str, body: bytes) -> None:
        self._put(f"{name}.json", body)
        self._put(f"{name}.md5", md5_of(body).encode())


def md5_of(body: bytes) -> str:
    """Return the MD5 of a file, as manifests write it."""
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()


def tell_now() -> str:
    """Return the time, as manifests write it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def find_tree(process: int) -> Iterator[int]:
    """Yield a process and all below it that live."""
    yield process
    with suppress(OSError):
        for task in Path(f"/proc/{process}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from find_tree(int(child))


def cpu_seconds_with_ended(process: int) -> float:
    """Return the CPU time of a process and of its children that have ended."""
    with suppress(OSError):
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def replicate(stack: Stack) -> Replicated:
    """Deploy the example, whose table the templates make."""
    users, api = stack.server.users, Api(stack.endpoint_url, REGION)
    endpoint = Endpoint(stack.gateway.host, stack.gateway.port, stack.certificates.ca_file.read_text("ascii"))
    database = Database(endpoint, Credentials(users.administrator.username, users.administrator.password))
    deployment = deploy(api, database, load_example(), report=lambda _: None)
    table = api.dynamodb.describe_table(TableName=deployment.table)["Table"]["TableArn"]
    return Replicated(stack, api, deployment, table)


def measure() -> list[Result]:
    """Run several backfills of clicks."""
    items, runs = (1_000, 1) if is_quick() else (100_000, 3)
    os.environ |= EMULATOR
    with tempfile.TemporaryDirectory(prefix="dynaurora-bench-") as directory, Stack(Path(directory)) as stack:
        os.environ |= {
            "AWS_ENDPOINT_URL": stack.endpoint_url,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }
        replicated = replicate(stack)
        replicated.run("warm", items)
        found = [replicated.run(f"run-{number}", items) for number in range(runs)]
    seconds, cpu, own = (median(values) for values in zip(*found, strict=True))
    path, each = f"backfill of {items:,} items, warm, export left out", cpu / items * 1e6
    measured = f"{each:.1f} µs, {own / items * 1e6:.1f} of them the local AWS's own"
    return [
        Result(path, "–", f"≤ {MOST_SECONDS:.0f} s", f"{seconds:.1f} s", seconds <= MOST_SECONDS),
        Result(f"{path}, CPU", "–", f"≤ {MOST_MICROSECONDS:.0f} µs an item", measured, each <= MOST_MICROSECONDS),
    ]


if __name__ == "__main__":
    print_results(measure)
