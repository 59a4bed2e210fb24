"""Rows that SQL refuses: the others of their batch are imported, and each of those is kept with its key alone."""

import base64
import json
import random
from typing import Any

import pytest

from dynaurora import keys
from dynaurora.aurora import column_plan, sql
from dynaurora.aurora.connection import is_mariadb
from dynaurora.aurora.migrations import IMPORTS
from dynaurora.aws.objects import S3Objects
from dynaurora.batches import isolating
from dynaurora.batches.batch import Batch
from dynaurora.errors import (
    DatabaseError,
    MalformedBatchError,
    RowsRefusedError,
    TargetMismatchError,
)
from dynaurora.failures.failed_records import FailedRecord, read_records
from dynaurora.failures.refused_rows import ROW_REFUSED
from dynaurora.mappings.mapping import Mapping, build_mapping
from dynaurora.mappings.rows import Row
from local.aurora.server import DatabaseServer
from tests.integration.targets import Target, TargetFor, row
from tests.support.factories import column, make_mapping
from tests.support.labelled_rows import encode_labelled

pytestmark = pytest.mark.integration

GOOD = b"0,1,a,b,1,2,start,end,NL\n"
SECRET = "nobodys business"


def kept(target: Target, batch: Batch) -> list[FailedRecord]:
    key = keys.refused_rows(batch.mapping, batch.id)
    return list(read_records(S3Objects(), target.bucket, key))


def refused(target: Target, batch: Batch) -> list[dict[str, Any]]:
    return [json.loads(record.data)["Refused"] for record in kept(target, batch)]


def counts(target: Target, batch: Batch) -> tuple[Any, ...]:
    columns = "rows_staged, rows_changed, rows_refused, rows_rejected, rejected"
    (found,) = target.query(f"SELECT {columns} FROM {target.mapping.database}.{IMPORTS} WHERE batch_id = '{batch.id}'")
    return found


def alter(target: Target, change: str) -> None:
    target.query(f"ALTER TABLE {target.mapping.database}.{sql.quote(target.mapping.replica)} {change}")


@pytest.mark.parametrize(
    ("field", "column", "length"),
    [
        pytest.param(b"two,start,end,NL", "hits", 3, id="text in an INT"),
        pytest.param(b"99999999999,start,end,NL", "hits", 11, id="number out of range"),
        pytest.param(b"2,start,end," + b"x" * 65, "country_code", 65, id="text too long"),
    ],
)
def test_a_value_that_its_column_does_not_take_is_one_rows_matter(
    target: Target, field: bytes, column: str, length: int
) -> None:
    bad = GOOD.replace(b"0,1,a", b"0,7,bad").replace(b"2,start,end,NL", field)
    batch = target.write_bytes(GOOD + bad + GOOD.replace(b"0,1,a", b"0,1,c"))
    result, again = target.import_batch(batch), target.import_batch(batch)
    assert (result.status, result.rows_staged, result.rows_changed, result.rows_refused) == ("applied", 2, 2, 1)
    assert again.status == "already_applied"
    assert target.hits() == {"a": 2, "c": 2}
    ((one,), (record,)) = refused(target, batch), kept(target, batch)
    assert (one["Target"], one["Keys"]) == ("WebAnalytics", {"page_id": "bad", "activity_dt": "b"})
    assert (one["Version"], one["Column"], one["Length"]) == ("7", column, length)
    assert (record.error_code, record.failures) == (ROW_REFUSED, 1)
    *numbers, reasons = counts(target, batch)
    assert (numbers, json.loads(reasons)) == ([2, 2, 1, 1], {f"{column} (SQL {one['Error']})": 1})


@pytest.mark.parametrize(
    ("change", "number"),
    [
        ("ADD CONSTRAINT few CHECK (hits < 100)", {3819, 4025}),
        ("MODIFY country_code VARCHAR(1) NULL", {1406}),
        ("MODIFY country_code VARCHAR(64) NOT NULL", {1048}),
    ],
    ids=["check", "narrower", "not null"],
)
def test_what_the_replica_refuses_is_one_rows_matter(target: Target, change: str, number: set[int]) -> None:
    alter(target, change)
    one = row("good", 1, 7)
    bad = Row(False, 5, ("bad", "2026-11-23", "1", "100", "s", "e", "NL" if "NOT NULL" not in change else None))
    good = Row(one.deleted, 1, (*one.fields[:-1], "N"))
    batch = target.write([good, bad, Row(False, 2, ("bad", *good.fields[1:]))], 3)
    result = target.import_batch(batch)
    assert (result.rows_staged, result.rows_changed, result.rows_refused) == (2, 2, 1)
    assert target.hits() == {"good": 7, "bad": 7}  # an older state of the same item is taken
    (found,) = refused(target, batch)
    assert found["Error"] in number
    assert (found["Keys"]["page_id"], found["Version"]) == ("bad", "5")


def test_a_trigger_or_a_foreign_key_may_refuse_a_row(target: Target) -> None:
    database = target.mapping.database
    target.query(f"CREATE TABLE {database}.Countries (code VARCHAR(64) PRIMARY KEY) CHARSET utf8mb4")
    try:
        target.execute(f"INSERT INTO {database}.Countries VALUES ('NL')")
        alter(target, f"ADD CONSTRAINT known FOREIGN KEY (country_code) REFERENCES {database}.Countries (code)")
        target.query(
            f"CREATE TRIGGER {database}.refuses BEFORE INSERT ON {database}.WebAnalytics__replica FOR EACH ROW"
            f" IF NEW.hits = 13 THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{SECRET}'; END IF"
        )
        nowhere = Row(False, 1, ("far", "2026-11-23", "1", "1", "s", "e", SECRET))
        batch = target.write([row("a", 1, 1), row("unlucky", 1, 13), nowhere, row("b", 1, 2)], 4)
        result = target.import_batch(batch)
        assert (result.rows_changed, result.rows_refused, target.hits()) == (2, 2, {"a": 1, "b": 2})
        assert {one["Keys"]["page_id"]: one["Error"] for one in refused(target, batch)} == {
            "unlucky": 1644,
            "far": 1452,
        }
    finally:
        target.query(f"DROP TABLE IF EXISTS {database}.WebAnalytics__replica")
        target.query(f"DROP TABLE {database}.Countries")


def wide_mapping(columns: int) -> Mapping:
    named = [{"name": f"c{number}", "type": "TEXT", "from": f"c{number}"} for number in range(columns - 1)]
    named.append({"name": "n", "type": "INT", "from": "n"})
    document = {
        "source": {"table": "wide", "partition_key": "id"},
        "schema": True,
        "target": {
            "database": "Demo",
            "table": "Wide",
            "columns": [{"name": "id", "type": "VARCHAR(40)", "from": "id"}, *named],
        },
    }
    return build_mapping("wide", document)


def test_lines_of_more_fields_than_a_table_has_columns_for_are_searched(target_for: TargetFor) -> None:
    target = target_for(wide_mapping(180))
    texts = ["a,b\n\\", "", "null", "\x1a\0'\"", "é🦄", None, *["x" * 30] * 173]
    batch = target.write([Row(False, 1, ("a", *texts, "1")), Row(False, 1, ("b", *texts, "two"))], 2)
    assert target.import_batch(batch).rows_refused == 1
    assert [(one["Column"], one["Length"]) for one in refused(target, batch)] == [("n", 3)]
    assert target.query("SELECT id, c0, c1, c2, c3, c4, c5, c6, n FROM Demo.Wide") == [("a", *texts[:7], 1)]


def test_a_row_too_wide_for_a_page_fails_alone(
    target_for: TargetFor, server: DatabaseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_mariadb(server.engine.title):
        pytest.skip("MySQL refuses such a table when it is to be created")
    monkeypatch.setattr(column_plan, "check_page", lambda *_: None)  # as the release before created it
    target = target_for(wide_mapping(230))
    fields = ["x" * 38] * 228 + [None, None]
    rows = [Row(False, 1, (f"k{number}", "short", "a,b\n\\", *[None] * 228)) for number in range(120)]
    body = encode_labelled(target.mapping, [*rows[:60], Row(False, 9, ("wide", *fields)), *rows[60:]])
    batch = target.write_bytes(body)
    result = target.import_batch(batch)
    assert (result.rows_staged, result.rows_changed, result.rows_refused) == (120, 120, 1)
    assert target.query("SELECT COUNT(*), MIN(c0), MIN(c1), MAX(c2) FROM Demo.Wide") == [
        (120, "short", "a,b\n\\", None)
    ]
    (ledger_id,) = target.ledger()
    (record,) = read_records(S3Objects(), target.bucket, keys.refused_rows("wide", ledger_id))
    one = json.loads(record.data)["Refused"]
    assert (one["Keys"], one["Error"], one["Column"], one["Version"]) == ({"id": "wide"}, 1118, None, "9")


def test_nothing_but_the_key_is_told_of_a_refused_row(target: Target) -> None:
    long = SECRET * 9
    batch = target.write([row("a", 1, 1), Row(False, 1, ("bad", "2026-11-23", "1", "1", "s", "e", long))], 2)
    target.import_batch(batch)
    key = keys.refused_rows(batch.mapping, batch.id)
    told = S3Objects().read(target.bucket, key) + b"".join(record.data for record in kept(target, batch))
    assert SECRET.encode() not in told
    assert SECRET not in str(counts(target, batch))


def test_a_binary_key_is_kept_as_base64(target_for: TargetFor) -> None:
    document = {
        "source": {"table": "bytes", "partition_key": "id"},
        "schema": True,
        "target": {
            "database": "Demo",
            "table": "Bytes",
            "columns": [
                {"name": "id", "type": "VARBINARY(9)", "from": "id"},
                {"name": "n", "type": "INT", "from": "n"},
            ],
        },
    }
    target, text = target_for(build_mapping("bytes", document)), base64.b64encode(b"\0\xff\n").decode()
    for _ in ("loaded", "merged"):
        batch = target.write(
            [Row(False, 1, (text, "99999999999")), Row(False, 1, (base64.b64encode(b"b").decode(), "1"))]
        )
        target.import_batch(batch)
        assert [one["Keys"] for one in refused(target, batch)] == [{"id": text}]
        alter(target, "ADD CONSTRAINT few CHECK (n < 100)")
        target.execute("DELETE FROM Demo.Bytes__replica")
        batch = target.write([Row(False, 1, (text, "100")), Row(False, 1, (base64.b64encode(b"b").decode(), "1"))])
        target.import_batch(batch)
        assert [one["Keys"] for one in refused(target, batch)] == [{"id": text}]
        alter(target, "DROP CONSTRAINT few")


def test_refused_rows_among_thousands_are_found_and_all_others_counted(target: Target) -> None:
    draw = random.Random(3)
    alter(target, "ADD CONSTRAINT few CHECK (hits < 5000)")
    rows = [row(f"k{number % 2500}", number, number) for number in range(4000)]
    bad = {str(number) for number in draw.sample(range(4000), 7)}
    lines = [
        Row(
            one.deleted,
            one.version,
            (*one.fields[:3], "9000" if one.fields[3] in bad else one.fields[3], *one.fields[4:]),
        )
        for one in rows
    ]
    batch = target.write(lines, 4000)
    result = target.import_batch(batch)
    newest: dict[str, int] = {}
    for one in rows:
        if one.fields[3] not in bad:
            newest[str(one.fields[0])] = one.version
    assert (result.rows_staged, result.rows_refused, result.rows_changed) == (3993, 7, len(newest))
    assert target.hits() == newest
    assert {one["Version"] for one in refused(target, batch)} == bad


def test_more_rows_than_are_set_aside_fail_the_batch(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolating, "MAX_REFUSED", 20)
    alter(target, "ADD CONSTRAINT few CHECK (hits < 100)")
    batch = target.write([row(f"k{number}", 1, 90 + number) for number in range(40)], 40)
    with pytest.raises(RowsRefusedError, match=r"21 were found .*SQL .*mapping check") as caught:
        target.import_batch(batch)
    assert SECRET not in str(caught.value)
    assert (target.ledger(), target.hits()) == ({}, {})
    assert list(S3Objects().list(target.bucket, keys.failed_records_prefix("web_analytics"))) == []
    alter(target, "DROP CONSTRAINT few")
    assert target.import_batch(batch).rows_changed == 40


def test_the_search_for_refused_rows_ends(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolating, "MAX_SECONDS", 0)
    alter(target, "ADD CONSTRAINT few CHECK (hits < 100)")
    with pytest.raises(RowsRefusedError, match="0 s are the most"):
        target.import_rows([row("a", 1, 100), row("b", 1, 1)])
    assert target.ledger() == {}


@pytest.mark.parametrize(
    "line", [rb"0,1,\N,b,1,two,s,e,NL", rb"0,\N,x,b,1,two,s,e,NL", b"0,1.5,x,b,1,two,s,e,NL", b"9,1,x,b,1,two,s,e,NL"]
)
def test_a_refused_row_that_does_not_say_which_it_is_fails_the_batch(target: Target, line: bytes) -> None:
    with pytest.raises(MalformedBatchError):
        target.import_batch(target.write_bytes(GOOD + line + b"\n"))
    assert (target.ledger(), target.hits()) == ({}, {})


def test_what_is_wrong_with_the_whole_target_is_no_rows_matter(target: Target) -> None:
    alter(target, "DROP COLUMN country_code")
    with pytest.raises(TargetMismatchError, match="country_code"):
        target.import_rows([row("a", 1)])
    alter(target, "ADD COLUMN country_code VARCHAR(64) NULL, ADD COLUMN more INT NOT NULL")
    with pytest.raises(TargetMismatchError, match="more"):
        target.import_rows([row("a", 1)])
    alter(target, "DROP COLUMN more, ADD UNIQUE KEY one_hit (hits)")
    target.query(
        f"CREATE TRIGGER {target.mapping.database}.broken BEFORE INSERT"
        f" ON {target.mapping.database}.WebAnalytics__replica FOR EACH ROW SET NEW.hits = (SELECT n FROM nowhere)"
    )
    with pytest.raises((TargetMismatchError, DatabaseError)):
        target.import_rows([row("a", 1)])
    assert target.ledger() == {}


@pytest.mark.parametrize(
    ("field", "name"),
    [
        pytest.param(b"x\xc3\xa9abc,08:15:00.5,2026,new", "code", id="text too long for a CHAR"),
        pytest.param(b"abc,839:00:00,2026,new", "clock", id="hours that no TIME has"),
        pytest.param(b"abc,08:15:00.5,1900,new", "vintage", id="a year before YEAR's first"),
        pytest.param(b"abc,08:15:00.5,2156,new", "vintage", id="a year after its last"),
        pytest.param(b"abc,08:15:00.5,2026,lost", "state", id="no member of an ENUM"),
    ],
)
def test_what_newer_types_do_not_take_is_one_rows_matter(target_for: TargetFor, field: bytes, name: str) -> None:
    kinds = {"code": "CHAR(4)", "clock": "TIME(3)", "vintage": "YEAR", "state": "ENUM('new','it''s \u00e9','2')"}
    target = target_for(make_mapping(*(column(each, kind) for each, kind in kinds.items())))
    good = "0,1,a,é🦄,24:00:00,2155,it's é\n0,1,b,,00:00:00.123,1901,2\n".encode()
    batch = target.write_bytes(good + b"0,1,bad," + field + b"\n")
    result = target.import_batch(batch)
    assert (result.rows_changed, result.rows_refused) == (2, 1)
    assert [one["Column"] for one in refused(target, batch)] == [name]
    found = target.query("SELECT code, CAST(clock AS CHAR), vintage, state FROM Demo.Things ORDER BY id")
    assert found == [("é🦄", "24:00:00.000", 2155, "it's é"), ("", "00:00:00.123", 1901, "2")]
