"""The commands of docs/, run as a reader would: in their order, in one shell, on a local AWS."""

import json
import os
import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local.venvs import ensure
from tests.e2e.conftest import DYNAURORA, PROJECT, LocalAws

COMMAND_SECONDS = 120
PART = re.compile(r"^## (?P<heading>.+?)$|^```console\n(?P<commands>.+?)^```$", re.MULTILINE | re.DOTALL)
RUN_BLOCK = """
[[ ! -e "$STATE" ]] || source "$STATE"
set -euo pipefail
{commands}
declare -px > "$STATE"
"""
GOOD_PAYLOAD = json.dumps(
    {
        "Hits": 1,
        "device": {
            "make": "a",
            "platform": {"name": "b", "version": "c"},
            "location": {"latitude": "1", "longitude": "2", "country": "DE"},
        },
        "session": {"session_id": "s", "start_timestamp": "1", "stop_timestamp": "2"},
    }
)
KEY = ("page_id", "activity_dt")
GOOD = {"page_id": {"S": "good"}, "activity_dt": {"S": "now"}, "payload": {"S": GOOD_PAYLOAD}}
BAD = {"page_id": {"S": "bad"}, "activity_dt": {"S": "now"}, "payload": {"S": "{"}}


@dataclass(frozen=True)
class Block:
    """One fenced block of a runbook."""

    heading: str
    commands: str


def read_blocks(path: Path) -> list[Block]:
    """Return the blocks of a runbook, each with the heading that it is under."""
    blocks, heading = [], ""
    for part in PART.finditer(path.read_text("utf-8")):
        heading = part["heading"] or heading
        if part["commands"]:
            blocks.append(Block(heading, part["commands"]))
    return blocks


@dataclass(frozen=True)
class Reader:
    """Somebody who follows a runbook in one shell: what a block exports the next one has."""

    aws: LocalAws
    state: Path

    def run(self, block: Block) -> str:
        """Run a block's commands, check that each succeeded, and return what they printed."""
        search = [str(DYNAURORA.parent), str(ensure("aws").parent), os.environ["PATH"]]
        answer = subprocess.run(
            ["bash", "-c", RUN_BLOCK.format(commands=block.commands)],
            env={
                "PATH": os.pathsep.join(search),
                "HOME": "/nowhere",
                "STATE": str(self.state),
                "DYNAURORA_LOCAL_DIRECTORY": str(self.aws.directory),
                "AWS_PAGER": "",
            },
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        assert answer.returncode == 0, f"{block.heading}:\n{block.commands}\n{answer.stdout}\n{answer.stderr}"
        return answer.stdout

    def set_faults(self, **faults: int) -> None:
        """Ask the emulator to behave as AWS may."""
        request = urllib.request.Request(
            f"{self.aws.state.endpoint_url}/_dynaurora/faults", json.dumps(faults).encode()
        )
        urllib.request.urlopen(request).close()

    @contextmanager
    def held_exports(self) -> Iterator[None]:
        """Keep exports in progress, as those of AWS are for minutes: there is time to stop a run."""
        self.set_faults(hold_exports=1)
        try:
            yield
        finally:
            self.set_faults(hold_exports=0)


@pytest.fixture
def reader(local_aws: LocalAws, tmp_path: Path) -> Reader:
    """A reader with a table that holds one good item and one that the mapping refuses."""
    dynamodb, table = local_aws.api.dynamodb, local_aws.deployment.table
    items = [item for page in dynamodb.get_paginator("scan").paginate(TableName=table) for item in page["Items"]]
    for start in range(0, len(items), 25):
        keys = ({name: item[name] for name in KEY} for item in items[start : start + 25])
        dynamodb.batch_write_item(RequestItems={table: [{"DeleteRequest": {"Key": key}} for key in keys]})
    for added in (GOOD, BAD):
        dynamodb.put_item(TableName=table, Item=added)
    return Reader(local_aws, tmp_path / "exported")


def test_the_runbook_of_backfills(reader: Reader) -> None:
    printed = dict[str, str]()
    for block in read_blocks(PROJECT / "docs" / "backfill.md"):
        if "--sweep" in block.commands:
            leave_only_a_row_without_an_item(reader.aws)
        if "backfill stop" in block.commands:
            with reader.held_exports():
                output = reader.run(block)
        else:
            output = reader.run(block)
        printed[block.heading] = printed.get(block.heading, "") + output
    assert "1 record" in printed["Start and watch"]
    assert "STOPPED" in printed["Stop, and go on"]
    assert "SUCCEEDED" in printed["Stop, and go on"]
    assert read_report(printed["Read the report"])["totals"]["rejected"] == 1
    assert "batch-000001.json" in printed["Read the report"]
    assert "SUCCEEDED" in printed["Import an export that is there"]
    assert "1 row in 1 batch" in printed["Remove rows whose items are gone"]
    assert reader.aws.query("SELECT page_id FROM Demo.WebAnalytics") == [("good",)]


def read_report(printed: str) -> Any:
    return json.JSONDecoder().raw_decode(printed)[0]


def leave_only_a_row_without_an_item(aws: LocalAws) -> None:
    """Delete the item that is refused, and leave a row as one that was deleted while the stream was off does."""
    aws.api.dynamodb.delete_item(TableName=aws.deployment.table, Key={name: BAD[name] for name in KEY})
    time.sleep(1)  # an export shows the table just before a whole second
    aws.query(
        "INSERT INTO Demo.WebAnalytics__replica (page_id, activity_dt, _deleted, _version)"
        " VALUES ('left over', 'long ago', 0, 1)"
    )
