"""import_batch against the real database: what a batch does, once, again, late and concurrently."""

import base64
import dataclasses
import json
import random
import threading
from typing import Any

import pytest

from dynaurora.aurora import sql
from dynaurora.aurora.connection import connect
from dynaurora.aurora.migrations import IMPORTS
from dynaurora.aws.objects import S3Objects
from dynaurora.batches.batch import IMPORTED, SOURCES, Batch
from dynaurora.batches.import_batch import import_batch, mark_imported
from dynaurora.dynamodb.versions import stream_version
from dynaurora.errors import (
    DynauroraError,
    InvalidBatchError,
    MalformedBatchError,
    ObjectChangedError,
    ObjectMissingError,
    PrivilegeError,
    RowCountError,
    TargetMismatchError,
)
from dynaurora.mappings.mapping import build_mapping
from dynaurora.mappings.rows import Row
from tests.integration.targets import Target, TargetFor, row

pytestmark = pytest.mark.integration


def test_rows_of_a_batch_are_seen(target: Target) -> None:
    result = target.import_rows([row("a", 1, 10), row("b", 1, None)])
    assert (result.status, result.rows_staged, result.rows_changed) == ("applied", 2, 2)
    assert target.hits() == {"a": 10, "b": None}


def test_the_highest_version_wins_within_a_batch(target: Target) -> None:
    result = target.import_rows([row("a", 2, 20), row("a", 3, 30), row("a", 1, 10)])
    assert target.hits() == {"a": 30}
    assert (result.rows_staged, result.rows_changed) == (3, 1)


def test_a_change_that_was_delivered_twice_is_counted_once(target: Target) -> None:
    result = target.import_batch(target.write([row("a", 2, 20), row("b", 1, 1), row("a", 2, 20), row("a", 1, 10)], 4))
    assert target.hits() == {"a": 20, "b": 1}
    assert (result.rows_staged, result.rows_changed) == (4, 2)
    again = target.import_batch(target.write([row("a", 2, 20), row("a", 2, 20), row("b", 2, 2)], 3))
    assert (again.rows_staged, again.rows_changed) == (3, 1)


def test_keys_as_long_as_dynamodbs_longest(target_for: TargetFor) -> None:
    columns = [
        {"name": "page", "type": "VARBINARY(2048)", "from": "page"},
        {"name": "day", "type": "VARBINARY(1024)", "from": "day"},
        {"name": "hits", "type": "INT", "from": "hits"},
    ]
    source = {"table": "longest", "partition_key": "page", "sort_key": "day"}
    document = {
        "source": source,
        "schema": True,
        "target": {"database": "Demo", "table": "Longest", "columns": columns},
    }
    target = target_for(build_mapping("longest", document))
    long, short = base64.b64encode(b"k" * 2048).decode(), base64.b64encode(b"k").decode()

    def change(page: str, version: int) -> Row:
        return Row(False, version, (page, short, str(version)))

    first = target.import_batch(target.write([change(long, 2), change(long, 3), change(long, 3), change(short, 1)], 4))
    assert (first.rows_staged, first.rows_changed) == (4, 2)
    late = target.import_batch(target.write([change(long, 2), change(short, 2), change(short, 1)], 3))
    assert (late.rows_staged, late.rows_changed) == (3, 1)
    assert target.query("SELECT LENGTH(page), hits FROM Demo.Longest ORDER BY hits") == [(1, 2), (2048, 3)]


def test_versions_are_compared_as_numbers_of_fifty_digits(target: Target) -> None:
    target.import_rows([row("a", 10**49 + 1, 1)])
    target.import_rows([row("a", 10**49, 2)])
    target.import_rows([row("b", 9, 1)])
    target.import_rows([row("b", 10, 2)])
    assert target.hits() == {"a": 1, "b": 2}


def test_an_older_batch_that_comes_late_changes_nothing(target: Target) -> None:
    target.import_rows([row("a", 5, 50)])
    late = target.import_rows([row("a", 4, 40)])
    assert (late.rows_staged, late.rows_changed) == (1, 0)
    assert target.hits() == {"a": 50}


def test_a_repeated_batch_is_recognised(target: Target) -> None:
    batch = target.write([row("a", 1, 10)])
    first, again = target.import_batch(batch), target.import_batch(batch)
    assert (first.status, again.status) == ("applied", "already_applied")
    assert dataclasses.replace(again, status="applied") == dataclasses.replace(first, oldest_second=None)
    assert target.ledger() == {batch.id: (1, 1)}


def test_a_streams_batch_tells_when_its_oldest_change_was_made(target: Target) -> None:
    seconds = [1_795_500_000, 1_795_400_000, 1_795_600_000]
    rows = [row("a", stream_version(second, 10**39 + number)) for number, second in enumerate(seconds)]
    result = target.import_rows([*rows, row("b", stream_version(seconds[0], 10**20), deleted=True)])
    assert result.oldest_second == min(seconds)


def test_a_change_that_came_too_late_to_change_anything_was_late_all_the_same(target: Target) -> None:
    target.import_rows([row("a", stream_version(1_795_500_000, 10**20))])
    late = target.import_rows([row("a", stream_version(1_795_400_000, 10**20))])
    assert (late.rows_changed, late.oldest_second) == (0, 1_795_400_000)


@pytest.mark.parametrize("source", sorted({*SOURCES} - {"stream"}))
def test_only_a_streams_changes_are_late(target: Target, source: str) -> None:
    batch = dataclasses.replace(target.write([row("a", stream_version(1_795_400_000, 10**20))], 1), source=source)
    assert target.import_batch(batch).oldest_second is None


def test_an_older_row_does_not_bring_a_deleted_item_back(target: Target) -> None:
    target.import_rows([row("a", 5, 50)])
    target.import_rows([row("a", 6, deleted=True)])
    assert target.hits() == {}
    target.import_rows([row("a", 5, 50)])
    assert target.hits() == {}
    target.import_rows([row("a", 7, 70)])
    assert target.hits() == {"a": 70}


def test_a_delete_of_an_unknown_key_is_kept(target: Target) -> None:
    target.import_rows([row("a", 6, deleted=True)])
    target.import_rows([row("a", 5, 50)])
    assert target.hits() == {}


def test_keys_that_differ_in_case_or_trailing_space_are_different(target: Target) -> None:
    target.import_rows([row("a", 1, 1), row("A", 1, 2), row("a ", 1, 3), row("á", 1, 4)])
    assert target.hits() == {"a": 1, "A": 2, "a ": 3, "á": 4}


def test_batches_applied_in_any_order_and_twice_end_in_the_same_rows(target: Target) -> None:
    draw = random.Random(7)
    rows = [row(f"k{draw.randrange(20)}", version, version, deleted=draw.random() < 0.2) for version in range(1, 300)]
    newest = {item.fields[0]: item for item in rows}
    batches = [target.write(rows[start : start + 30]) for start in range(0, len(rows), 30)] * 2
    draw.shuffle(batches)
    for batch in batches:
        target.import_batch(batch)
    assert target.hits() == {key: int(item.fields[3] or 0) for key, item in newest.items() if not item.deleted}


def test_importers_of_the_same_keys_do_not_deadlock_and_agree(target: Target) -> None:
    draw = random.Random(11)
    batches = [
        target.write([row(f"k{key}", number, number) for key in draw.sample(range(200), 200)])
        for number in range(1, 25)
    ]
    errors: list[Exception] = []

    def work(mine: list[Batch]) -> None:
        try:
            for batch in mine:
                target.import_batch(batch)
        except DynauroraError as error:
            errors.append(error)

    importers = [threading.Thread(target=work, args=(batches[start::4],)) for start in range(4)]
    for importer in importers:
        importer.start()
    for importer in importers:
        importer.join()
    assert errors == []
    assert set(target.hits().values()) == {24}


def test_two_importers_of_one_batch_apply_it_once(target: Target) -> None:
    batch = target.write([row(f"k{number}", 1) for number in range(2000)])
    statuses: list[str] = []
    importers = [threading.Thread(target=lambda: statuses.append(target.import_batch(batch).status)) for _ in range(4)]
    for importer in importers:
        importer.start()
    for importer in importers:
        importer.join()
    assert sorted(statuses) == ["already_applied"] * 3 + ["applied"]
    assert target.ledger() == {batch.id: (2000, 2000)}


GOOD = b"0,1,a,b,1,2,start,end,NL\n"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(GOOD + GOOD[:-1], id="cut off before the last newline"),
        pytest.param(GOOD + b"0,1,a,b,1\n", id="too few columns"),
        pytest.param(GOOD + GOOD[:-1] + b",more\n", id="too many columns"),
        pytest.param(GOOD.replace(b"0,1,a", rb"0,1,\N"), id="key is null"),
        pytest.param(GOOD.replace(b"0,1,a", rb"0,\N,a"), id="version is null"),
        pytest.param(GOOD.replace(b"0,1,a", b"0,1.5,a"), id="version is no integer"),
        pytest.param(GOOD.replace(b"0,1,a", b"x,1,a"), id="deleted is no boolean"),
        pytest.param(GOOD.replace(b"NL", b"\xff\xfe"), id="not UTF-8"),
        pytest.param(b"\n", id="an empty line"),
        pytest.param(b'{"a": 1}\n', id="JSON"),
    ],
)
def test_a_malformed_batch_is_refused_whole(target: Target, body: bytes) -> None:
    target.import_rows([row("kept", 1, 1)])
    with pytest.raises(MalformedBatchError):
        target.import_batch(target.write_bytes(body))
    assert target.hits() == {"kept": 1}
    assert len(target.ledger()) == 1


def test_a_batch_with_another_row_count_than_its_own_is_refused(target: Target) -> None:
    with pytest.raises(RowCountError, match=r"has 2 lines, and was written with 3"):
        target.import_batch(target.write([row("a", 1), row("b", 1)], count=3))
    assert target.ledger() == {}


def ledger_row(target: Target, batch: Batch) -> tuple[Any, ...]:
    columns = "source, run, rows_staged, rows_changed, rows_rejected, rejected, retries, finished_at IS NOT NULL"
    (found,) = target.query(f"SELECT {columns} FROM Demo.{IMPORTS} WHERE batch_id = '{batch.id}'")
    return found


def test_the_ledger_has_what_the_writer_refused_and_how_often_the_import_was_retried(target: Target) -> None:
    rejected = {"payload (json)": 2, "größe 🦄 (type)": 1}
    written = dataclasses.replace(target.write([row("a", 1)], 1), source="backfill", run="r1", rejected=rejected)
    target.import_batch(written, retries=3)
    source, run, *counts, reasons, retries, finished = ledger_row(target, written)
    assert (source, run, counts, json.loads(reasons)) == ("backfill", "r1", [1, 1, 3], rejected)
    assert (retries, finished) == (3, True)


def test_a_repeated_batch_leaves_the_ledger_as_it_is(target: Target) -> None:
    batch = target.write([row("a", 1)], 1)
    target.import_batch(batch)
    before = ledger_row(target, batch)
    target.import_batch(dataclasses.replace(batch, source="sweep", run="r2", rejected={"x (y)": 1}), retries=9)
    assert ledger_row(target, batch) == before


def test_a_batch_without_rows_is_in_the_ledger_and_loads_nothing(target: Target) -> None:
    batch = dataclasses.replace(target.write([], 0), source="backfill", run="r1", rejected={"payload (json)": 4})
    first, again = target.import_batch(batch), target.import_batch(batch)
    assert (first.status, first.rows_staged, first.rows_changed) == ("applied", 0, 0)
    assert (again.status, again.rows_staged) == ("already_applied", 0)
    assert ledger_row(target, batch)[2:6] == (0, 0, 4, '{"payload (json)": 4}')
    manifests = target.s3.list_objects_v2(Bucket=target.bucket, Prefix="batches/")
    assert manifests["KeyCount"] == 0
    mark_imported(batch, S3Objects())
    assert tags_of(target, batch.objects[0].key) == IMPORTED


def test_a_batch_without_rows_has_an_object_without_bytes(target: Target) -> None:
    with pytest.raises(RowCountError, match="bytes, and its batch was written without rows"):
        target.import_batch(target.write([row("a", 1)], count=0))
    with pytest.raises(MalformedBatchError, match="is empty"):
        target.import_batch(target.write([], count=1))
    assert target.ledger() == {}


def test_a_missing_object_is_named(target: Target) -> None:
    batch = target.write([row("a", 1)])
    target.s3.delete_object(Bucket=target.bucket, Key=batch.objects[0].key)
    with pytest.raises(ObjectMissingError):
        target.import_batch(batch)


def test_an_applied_batch_is_recognised_after_its_object_has_gone(target: Target) -> None:
    batch = target.write([row("a", 1)])
    target.import_batch(batch)
    target.s3.delete_object(Bucket=target.bucket, Key=batch.objects[0].key)
    assert target.import_batch(batch).status == "already_applied"


def test_an_object_that_was_overwritten_is_refused(target: Target) -> None:
    batch = target.write_bytes(GOOD, key="processed/mapping=web_analytics/same")
    target.write_bytes(GOOD + GOOD, key="processed/mapping=web_analytics/same")
    with pytest.raises(ObjectChangedError):
        target.import_batch(batch)


def tags_of(target: Target, key: str) -> dict[str, str]:
    tags = target.s3.get_object_tagging(Bucket=target.bucket, Key=key)["TagSet"]
    return {tag["Key"]: tag["Value"] for tag in tags}


def test_an_imported_object_is_marked_and_stays_what_it_is(target: Target) -> None:
    one, two = target.write([row("a", 1)]), target.write([row("b", 1)])
    target.import_batch(one)
    mark_imported(one, S3Objects())
    mark_imported(one, S3Objects())
    assert tags_of(target, one.objects[0].key) == IMPORTED
    assert tags_of(target, two.objects[0].key) == {}
    assert target.import_batch(one).status == "already_applied"


def test_a_batch_of_several_objects_is_applied_as_one(target: Target) -> None:
    one, two = target.write([row("a", 1, 1)]), target.write([row("b", 1, 2)])
    both = dataclasses.replace(one, objects=one.objects + two.objects, rows=2)
    assert target.import_batch(both).rows_changed == 2
    assert target.hits() == {"a": 1, "b": 2}
    bad = target.write_bytes(b"broken\n")
    with pytest.raises(MalformedBatchError):
        target.import_batch(dataclasses.replace(one, objects=target.write([row("c", 1)]).objects + bad.objects))
    assert "c" not in target.hits()


@pytest.mark.parametrize("name", ["it's", 'a "b"', "100%", "%s", "a b+c", "ünï/✓", "a&b=c?d#e"])
def test_any_object_key_is_loaded(target: Target, name: str) -> None:
    batch = target.write_bytes(GOOD, key=f"processed/mapping=web_analytics/{name}")
    assert target.import_batch(batch).status == "applied"


def test_a_missing_replica_is_named(target: Target) -> None:
    target.query(f"DROP TABLE {target.mapping.database}.{sql.quote(target.mapping.replica)}")
    with pytest.raises(TargetMismatchError, match="prepare"):
        target.import_batch(target.write([row("a", 1)]))


def test_a_batch_of_another_mapping_is_refused(target: Target) -> None:
    with pytest.raises(InvalidBatchError):
        target.import_batch(dataclasses.replace(target.write([row("a", 1)]), mapping="other"))


def test_a_loader_without_the_role_is_told_so(target: Target) -> None:
    with connect(target.endpoint, target.loader) as aurora, pytest.raises(PrivilegeError):
        import_batch(
            target.write([row("a", 1)]), target.mapping, aurora, S3Objects(), target.bucket, target.keep_refused
        )


def test_text_comes_back_byte_for_byte(target: Target) -> None:
    texts: dict[str, Any] = {
        "quotes": "'\"`", "comma": ",,", "backslash": "\\", "null word": "NULL", "escape": "\\N", "tab": "\t",
        "lines": "\r\n\n", "nul": "\0", "emoji": "🦄é漢", "spaces": "  x  ", "empty": "", "ctrl z": "\x1a",
        "null": None,
    }  # fmt: skip
    target.import_rows(
        dataclasses.replace(item, fields=(*item.fields[:-1], text))
        for item, text in ((row(name, 1), text) for name, text in texts.items())
    )
    rows = target.query(f"SELECT page_id, country_code FROM {target.mapping.database}.WebAnalytics")
    assert dict(rows) == texts
