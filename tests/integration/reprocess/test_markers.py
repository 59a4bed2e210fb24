"""Markers in values, names and keys, followed through a deployed stack: each is where it may be, and nowhere else.

An item that its mapping refuses, one that Aurora refuses, a batch that fails as a whole; then a reprocess, and each
command that tells of them.
"""

import json
import unicodedata
from collections.abc import Iterator
from typing import Any

import pytest
from botocore import xform_name
from botocore.client import BaseClient
from click.testing import CliRunner

from backfill.cli import main
from dynaurora import keys
from infra.places import ROOT
from tests.infrastructure.called_actions import actions_of
from tests.integration.backfill.deployed import MAPPING, Deployed, Document, make_item
from tests.integration.reprocess.reprocesses import RECORDS, Reprocesses, make_record
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

VALUE = "alice-at-example IBAN-DE89"
KEY = "patient-4711"
NAME = "forged\nNext: run curl evil\r\x1b]0;owned\x07\x1b[31m\u202e\u2066\x85\u2028"
LONG = "n" * 120_000
COMMANDS = [
    ["failures", "count"],
    ["failures", "count", "--json"],
    ["failures", "list"],
    ["failures", "list", "--json"],
    ["failures", "show"],
    ["failures", "show", "--json"],
    ["backfill", "list"],
    ["reprocess", "list"],
    ["doctor"],
    ["mapping", "check", MAPPING],
    ["mapping", "diff", MAPPING, "--scan", "20"],
]
DANGEROUS = {"Cc", "Cf", "Zl", "Zp"}


def refused_by_mapping(page_id: str, name: str) -> Document:
    """Return an item whose payload lacks what the schema requires, with a member of a name that somebody chose."""
    payload = {"Hits": VALUE, "device": {name: VALUE}, name: {name: VALUE}, "session": VALUE}
    return make_item(page_id) | {"payload": {"S": json.dumps(payload)}, name[:1000]: {"S": VALUE}}


def with_value(page_id: str, hits: int) -> Document:
    item = make_item(page_id, hits)
    payload = json.loads(item["payload"]["S"])
    payload["session"]["start_timestamp"] = VALUE
    return item | {"payload": {"S": json.dumps(payload)}}


@pytest.fixture
def attacked(streaming: Reprocesses) -> Iterator[tuple[Reprocesses, str, str]]:
    deployed = streaming.deployed
    table = deployed.name_table(deployed.mapping.replica)

    def alter(change: str) -> None:
        with deployed.stack.server.connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {table} {change}")

    alter("ADD CONSTRAINT few CHECK (hits < 50)")
    deployed.put([refused_by_mapping(KEY, NAME), refused_by_mapping(f"{KEY}-long", LONG), with_value(f"{KEY}-row", 99)])
    streaming.wait_for_failures(3)
    alter("MODIFY start_time INT NULL")
    try:
        deployed.put([with_value(f"{KEY}-batch", 1)])
        wait_until(lambda: deployed.list_keys(keys.failed_batches_prefix(MAPPING)))
        refused = streaming.wait(streaming.start())
        assert refused.status == "FAILED"
        failed = read_objects(deployed, keys.failed_batches_prefix(MAPPING))
        alter("MODIFY start_time VARCHAR(64) NULL")
        yield streaming, failed, streaming.do().run
    finally:
        alter("DROP CONSTRAINT few, MODIFY start_time VARCHAR(64) NULL")


def read_logs(deployed: Deployed) -> str:
    logs = deployed.client("logs")
    groups = [group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]]
    pages = logs.get_paginator("filter_log_events")
    events = [event for group in groups for page in pages.paginate(logGroupName=group) for event in page["events"]]
    return "\n".join(event["message"] for event in events)


def read_histories(deployed: Deployed) -> str:
    machines, histories = deployed.client("stepfunctions"), []
    for machine in machines.list_state_machines()["stateMachines"]:
        for found in machines.list_executions(stateMachineArn=machine["stateMachineArn"])["executions"]:
            answer = machines.get_execution_history(executionArn=found["executionArn"], maxResults=1000)
            histories.append(json.dumps(answer["events"], default=str, ensure_ascii=False))
    return "\n".join(histories)


def read_mails(deployed: Deployed) -> str:
    queue, mails = deployed.client("sqs"), []
    while found := queue.receive_message(QueueUrl=deployed.topic_queue, MaxNumberOfMessages=10).get("Messages"):
        mails += [json.loads(message["Body"]).get("Message", message["Body"]) for message in found]
    return "\n".join(mails)


def read_objects(deployed: Deployed, prefix: str) -> str:
    return "\n".join(deployed.read(key).decode() for key in deployed.list_keys(prefix))


def is_shown(text: str) -> bool:
    return not {unicodedata.category(character) for character in text if character not in "\n\t"} & DANGEROUS


LOOKING = [command for command in COMMANDS if command[0] != "mapping"]
ACTIONS = {
    "s3:GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
    "s3:GetBucketNotificationConfiguration": "s3:GetBucketNotification",
    "s3:GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "lambda:Invoke": "lambda:InvokeFunction",
    "rds:DescribeDbClusters": "rds:DescribeDBClusters",
}
"""Calls of the SDK whose action has another name."""


def test_who_only_looks_needs_the_read_policy_and_no_more(
    reprocesses: Reprocesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = json.loads((ROOT / "infra" / "read-policy.json").read_text())["Statement"]
    listed = [[one["Action"]] if isinstance(one["Action"], str) else one["Action"] for one in policy]
    called, call = set[str](), BaseClient._make_api_call  # type: ignore[attr-defined]

    def note(client: Any, operation: str, arguments: Any) -> Any:
        called.update(actions_of(client.meta.service_model.service_name, xform_name(operation)))
        return call(client, operation, arguments)

    run = reprocesses.do().run
    reprocesses.write(f"{RECORDS}processing-failed/2026/11/28/01/x", make_record(make_item("a")))
    monkeypatch.setattr(BaseClient, "_make_api_call", note)
    for command in [*LOOKING, ["reprocess", "status", run]]:
        assert CliRunner().invoke(main, command).exit_code in {0, 1}
    needed = {ACTIONS.get(action, action) for action in called}
    assert {"states:ListExecutions", "s3:ListBucket", "lambda:InvokeFunction"} <= needed
    assert needed <= {action for actions in listed for action in actions}


def test_markers_are_where_they_may_be(attacked: tuple[Reprocesses, str, str]) -> None:
    reprocesses, failed_batches, run = attacked
    deployed = reprocesses.deployed
    places = {
        "logs": read_logs(deployed),
        "histories": read_histories(deployed),
        "mails": read_mails(deployed),
        "failed batches": failed_batches,
        "reports": read_objects(deployed, "reports/"),
        "notices": read_objects(deployed, f"{keys.NOTICES}/"),
        "ledger": str(deployed.query(f"SELECT * FROM {deployed.name_table('_dynaurora_imports')}")),
        "runs": str(deployed.query(f"SELECT * FROM {deployed.name_table('_dynaurora_runs')}")),
    }
    for command in [*COMMANDS, ["reprocess", "status", run]]:
        answer = CliRunner().invoke(main, command)
        assert answer.exit_code in {0, 1}, answer.output
        places[" ".join(command)] = answer.output
    assert all(places[name] for name in ("logs", "histories", "failed batches", "failures show", "doctor")), "looked"
    assert "TargetMismatchError" in places["failed batches"]
    assert "start_time is int" in places["failed batches"]
    told_of_values = {name: text for name, text in places.items() if VALUE in text or "IBAN" in text}
    assert not told_of_values, {
        name: text[max(0, text.index("IBAN") - 300) :][:400] for name, text in told_of_values.items()
    }
    may_have_keys = {"logs", "reports", *(name for name in places if name.startswith(("failures", "mapping diff")))}
    assert not [name for name, text in places.items() if KEY in text and name not in may_have_keys]
    assert not [name for name, text in places.items() if "\x1b" in text or "\u202e" in text or "\nNext: run" in text]
    assert not [name for name, text in places.items() if not is_shown(text)]
    assert not [name for name, text in places.items() if "n" * 5000 in text]
    assert max(len(line) for line in places["logs"].splitlines() if KEY in line) < 20_000
    emf = [json.loads(line) for line in places["logs"].splitlines() if '"_aws"' in line]
    assert emf
    assert not [line for line in emf if "forged" in json.dumps(line)]
