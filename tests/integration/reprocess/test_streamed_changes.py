"""Changes that failed on their way through the stream, and the stream beside a backfill."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from click.testing import CliRunner

from backfill.cli import main
from dynaurora import keys
from dynaurora.failures.failed_records import FailedRecord
from tests.integration.backfill.deployed import MAPPING, Deployed, make_bad_item, make_item, make_items
from tests.integration.reprocess.reprocesses import PARKED, RECORDS, Reprocesses
from tests.support.csv_reader import cut_label
from tests.support.factories import stream_record
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

IMPORT_RULE = "dynaurora-import-batch"
"""The rule of EventBridge's that starts an import for each batch."""


def test_a_refused_record_is_kept_with_todays_reason_until_it_is_corrected(streaming: Reprocesses) -> None:
    streaming.deployed.put([make_bad_item("bad"), make_item("good")])
    (key,) = streaming.wait_for_failures()
    (before,) = streaming.read_records(key)
    ended = streaming.do()
    assert (ended.totals["records"], ended.totals["rejected"], ended.totals["rows"]) == (1, 1, 0)
    (kept,) = streaming.read_records(key)
    assert (kept.reprocessed, kept.attempts, kept.data) == (1, before.attempts + 1, before.data)
    assert "payload" in kept.error_message
    streaming.correct(key, make_item("bad", 7))
    ended = streaming.do()
    assert (ended.totals["rows"], ended.totals["rows_changed"]) == (1, 1)
    assert streaming.list_failures() == []
    assert streaming.deployed.hits() == {"good": 1, "bad": 7}
    assert [batch[2:4] for batch in streaming.deployed.ledger(ended.run, "reprocess")] == [(1, 1)]


def test_what_a_broken_transformation_left_is_mapped_once_it_is_mended(streaming: Reprocesses) -> None:
    deployed = streaming.deployed
    with deployed.variables("TransformChangesFunctionName", MAPPING="no_such_mapping"):
        deployed.put(make_items(5))
        streaming.wait_for_failures()
        wait_until(lambda: sum(len(streaming.read_records(key)) for key in streaming.list_failures()) == 5)
    assert deployed.hits() == {}
    assert streaming.do().totals["rows_changed"] == 5
    assert streaming.list_failures() == []
    assert deployed.compare().identical == 5


def test_batches_that_no_import_was_started_for_are_imported(streaming: Reprocesses) -> None:
    deployed, processed = streaming.deployed, keys.processed_prefix(MAPPING)
    before = set(deployed.list_keys(processed))
    events = deployed.client("events")
    events.disable_rule(Name=IMPORT_RULE)
    try:
        deployed.put(make_items(3))
        wait_until(lambda: count_puts(deployed, set(deployed.list_keys(processed)) - before) == 3)
    finally:
        events.enable_rule(Name=IMPORT_RULE)
    landed = set(deployed.list_keys(processed)) - before
    assert deployed.hits() == {}
    assert streaming.do().totals["entries"] == 0, "their events may still come"
    ended = streaming.do(prefix=processed)
    assert ended.totals["batches_imported"] == len(landed)
    assert deployed.compare().identical == 3
    assert landed <= set(deployed.list_keys(processed)), "a batch stays where it is until it expires"
    assert streaming.do(prefix=processed).totals["entries"] == 0


def count_puts(deployed: Deployed, found: set[str]) -> int:
    """How many rows of some batches are no tombstones."""
    return sum(cut_label(line).startswith(b"0,") for key in found for line in deployed.read(key).splitlines())


def test_a_change_too_large_for_the_delivery_stream_arrives_too(streaming: Reprocesses) -> None:
    large = make_item("large") | {"note": {"S": "\x01" * 180_000}}  # six characters each, once it is written as JSON
    streaming.deployed.put([large])
    (key,) = streaming.wait_for_failures()
    assert key.startswith(f"{RECORDS}oversize/")
    streaming.do()
    assert streaming.list_failures() == []
    assert streaming.deployed.compare().identical == 1


def test_a_record_that_can_never_be_forwarded_is_kept_listed_and_parked_in_the_end(streaming: Reprocesses) -> None:
    deployed = streaming.deployed
    good, poison = stream_record(item=make_item("good")), stream_record(item=make_item("poison"))
    del poison["dynamodb"]["NewImage"]
    poison["dynamodb"]["StreamViewType"] = "KEYS_ONLY"
    answer = deployed.client("lambda").invoke(
        FunctionName=deployed.outputs["ForwardChangesFunctionName"],
        Payload=json.dumps({"Records": [poison, good]}).encode(),
    )
    assert json.loads(answer["Payload"].read()) == {"batchItemFailures": []}, "its shard goes on"
    (key,) = deployed.list_keys(f"{RECORDS}unforwardable/")
    listed = CliRunner().invoke(main, ["failures", "list", "--json"])
    (shown,) = json.loads(listed.stdout)
    assert shown["error"]["code"] == "dynaurora.Unforwardable"
    assert "view type is KEYS_ONLY" in shown["verdict"]["reasons"][0]["message"]
    for parked in (0, 0, 0, 1):
        assert streaming.do().totals["records_parked"] == parked
    (kept,) = deployed.list_keys(PARKED)
    assert kept.startswith(keys.parked(MAPPING, key))
    (record,) = streaming.read_records(kept)
    assert json.loads(record.data) == poison
    wait_until(lambda: deployed.hits() == {"good": 1})


def test_rows_that_aurora_refuses_are_read_again_until_it_takes_them(streaming: Reprocesses) -> None:
    deployed = streaming.deployed
    table, prefix = deployed.name_table(deployed.mapping.replica), f"{RECORDS}rows/"

    def read_kept() -> list[FailedRecord]:
        return [record for key in deployed.list_keys(prefix) for record in streaming.read_records(key)]

    deployed.query(f"ALTER TABLE {table} ADD CONSTRAINT few CHECK (hits < 50)")
    try:
        deployed.put([make_item("good"), make_item("much", 70), make_item("gone", 80)])
        wait_until(lambda: len(read_kept()) == 2)
        assert deployed.hits() == {"good": 1}
        listed = CliRunner().invoke(main, ["failures", "list", "--json"])
        shown = [(one["error"]["code"], one["verdict"]["outcome"]) for one in json.loads(listed.stdout)]
        assert shown == [("dynaurora.RowRefused", "read again")] * 2
        deployed.delete([make_item("gone")])
        ended = streaming.do()
        assert (ended.totals["records"], ended.totals["batches_failed"]) == (2, 0)
        assert [record.failures for record in read_kept()] == [2], "of one the item is gone, the other is refused again"
    finally:
        deployed.query(f"ALTER TABLE {table} DROP CONSTRAINT few")
    assert streaming.do().totals["rows_changed"] == 1
    assert streaming.list_failures() == []
    assert deployed.hits() == {"good": 1, "much": 70}


def read_with_few_retries(deployed: Deployed) -> None:
    """Let a mapping read a new stream that gives up soon, and keeps what it gave up in the bucket."""
    deployed.replace_stream()
    deployed.client("lambda").update_event_source_mapping(
        UUID=deployed.event_source_mapping,
        MaximumRetryAttempts=1,
        DestinationConfig={"OnFailure": {"Destination": f"arn:aws:s3:::{deployed.bucket}"}},
    )


def count_unforwarded(reprocesses: Reprocesses) -> int:
    """How many stream records the event source mapping has given up on."""
    found = reprocesses.deployed.list_keys(keys.unforwarded_prefix())
    payloads = [json.loads(reprocesses.deployed.read(key))["payload"] for key in found]
    return sum(len(json.loads(text)["Records"]) for text in payloads)


def test_stream_records_that_could_not_be_forwarded_arrive_too(streaming: Reprocesses) -> None:
    deployed = streaming.deployed
    read_with_few_retries(deployed)
    with deployed.variables("ForwardChangesFunctionName", TTL_DELETES="neither"):  # it does not start
        deployed.put([*make_items(3), make_bad_item("bad")])
        wait_until(lambda: count_unforwarded(streaming) == 4)
    assert deployed.hits() == {}
    deployed.replace_stream()  # what the mapping before has given up on is taken up all the same
    ended = streaming.do()
    assert (ended.totals["records"], ended.totals["rows"], ended.totals["rejected"]) == (4, 3, 1)
    assert set(deployed.hits()) == {item["page_id"]["S"] for item in make_items(3)}
    (kept,) = (key for key in streaming.list_failures() if key.startswith(RECORDS))
    assert kept.startswith(f"{RECORDS}unforwarded/")
    assert deployed.list_keys(keys.unforwarded_prefix()) == []


def test_a_streamed_change_is_not_kept_waiting_by_a_backfill_that_takes_all_it_may(
    streaming: Reprocesses, run: str
) -> None:
    deployed = streaming.deployed
    items = make_items(12)
    deployed.put(items)
    wait_until(lambda: len(deployed.hits()) == 12)
    export = deployed.export(f"exports/of={run}")
    export.split(6)
    deployed.plan_ahead(run, export)
    with ExitStack() as stack:
        for item in items[::2]:
            stack.enter_context(hold_row(deployed, item["page_id"]["S"]))
        deployed.start(run, "--max-concurrency", "100")
        wait_until(lambda: count_waiting(deployed) == 4, pause=0.15)  # one fewer than the importer admits
        deployed.put([make_item("meanwhile")])
        wait_until(lambda: "meanwhile" in deployed.hits(), seconds=10)
        wait_until(lambda: count_waiting(deployed) == 4, seconds=2, pause=0.15)  # all that the backfill may have
    deployed.watch(run)
    assert deployed.compare().identical == 13


def count_waiting(deployed: Deployed) -> int:
    """How many transactions wait for another's lock."""
    waiting = "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"
    return int(deployed.query(waiting)[0][0])


@contextmanager
def hold_row(deployed: Deployed, page_id: str) -> Iterator[None]:
    """Keep every import that has this row waiting."""
    with deployed.stack.server.connect() as connection, connection.cursor() as cursor:
        table = deployed.name_table(deployed.mapping.replica)
        # By its whole key: what is locked by less has the gaps beside it locked too.
        whole = "page_id = %s AND activity_dt = '2026-01-01'"
        cursor.execute(f"SELECT 1 FROM {table} WHERE {whole} FOR UPDATE", (page_id,))
        yield
        connection.rollback()
