"""Batches staged in the server's memory: the same rows as from a table on disk, and that one where there is no room."""

import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from dynaurora.aurora import memory_tables, sql
from dynaurora.aurora.connection import is_mariadb
from dynaurora.aurora.memory_tables import memory_rows, room_in_memory
from dynaurora.batches import loading
from dynaurora.batches.batch import BACKFILL, Batch
from dynaurora.errors import DeadlockError
from dynaurora.mappings.field_widths import FieldWidths
from dynaurora.mappings.mapping import Mapping
from dynaurora.mappings.rows import Row
from local.aurora.server import DatabaseServer
from tests.integration.servers import needs_mysql, set_globally
from tests.integration.targets import Target, TargetFor, row
from tests.support.factories import column, make_mapping

pytestmark = pytest.mark.integration

BATCHES = [
    [row("a", 5, 50), row("a", 7, 70), row("a", 6, 60), row("b", 1, 1), row("A", 1, 2), row("a ", 1, 3)],
    [row("a", 7, 70), row("a", 7, 70), row("b", 2, deleted=True), row("é🦊,\\\n", 3, None)],
    [row("b", 1, 9), row("c", 10**49 + 1, 4), row("c", 10**49, 5)],
]
Created = list[str]


@pytest.fixture
def target(target: Target) -> Target:
    """The target of imports of which only so many may be at once: memory is bounded by that."""
    target.slots = 4
    return target


@pytest.fixture
def created(monkeypatch: pytest.MonkeyPatch) -> Created:
    """The engines of the tables that batches are staged in, one after the other."""
    engines: Created = []

    def note(engine: str, create: Callable[..., str]) -> Callable[..., str]:
        def noting(*arguments: Any, **options: Any) -> str:
            engines.append(engine)
            return create(*arguments, **options)

        return noting

    monkeypatch.setattr(memory_tables, "create_in_memory", note("MEMORY", memory_tables.create_in_memory))
    monkeypatch.setattr(sql, "create_staged", note("InnoDB", sql.create_staged))
    monkeypatch.setattr(loading, "_without_memory", set())
    return engines


def have_room(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    """Let so many rows have room, on every server."""
    monkeypatch.setattr(loading, "memory_rows", lambda *_: rows)


def write_told(target: Target, rows: Sequence[Row], widths: tuple[int, ...] = ()) -> Batch:
    """Write rows as a conversion does: it tells how wide their fields are, or what it is made to tell."""
    measured = FieldWidths(target.mapping)
    measured.see_rows(rows)
    batch = target.write(rows, len(rows))
    objects = tuple(replace(item, widths=widths or measured.take(len(rows))) for item in batch.objects)
    return replace(batch, source=BACKFILL, run="r1", objects=objects, digest=target.mapping.digest)


def replica(target: Target) -> list[tuple[Any, ...]]:
    return target.query(
        f"SELECT * FROM {target.mapping.database}.{target.mapping.replica} ORDER BY page_id, activity_dt"
    )


def test_a_small_batch_is_staged_in_memory_where_that_gains_anything(target: Target, created: Created) -> None:
    target.import_rows(BATCHES[0])
    with target.connect() as aurora:
        on_mariadb = is_mariadb(aurora.server_version)
        assert memory_rows(aurora, target.mapping, 0) == 0
        assert memory_rows(aurora, make_mapping(column("a", "JSON")), room_in_memory(1)) == 0
        assert (memory_rows(aurora, target.mapping, room_in_memory(4)) > 5_000) is not on_mariadb
        assert memory_rows(aurora, target.mapping, room_in_memory(4), (0, 65_500, 0, 0, 0, 0, 0)) == 0
        assert memory_rows(aurora, target.mapping, room_in_memory(4), (0, 65_000, 0, 0, 0, 0, 0)) > 100
    assert created == (["InnoDB"] if on_mariadb else ["MEMORY"])


def test_both_end_in_the_same_rows(target: Target, created: Created, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    ways = ((0, "InnoDB", target.import_rows), (10**6, "MEMORY", target.import_rows))
    for room, engine, import_rows in (
        *ways,
        (10**6, "MEMORY", lambda rows: target.import_batch(write_told(target, rows))),
    ):
        have_room(monkeypatch, room)
        created.clear()
        target.execute(f"DELETE FROM {target.mapping.database}.{target.mapping.replica}")
        target.execute(f"DELETE FROM {target.mapping.database}._dynaurora_imports")
        results = [import_rows(rows) for rows in BATCHES]
        found.append((replica(target), [(each.rows_staged, each.rows_changed) for each in results]))
        assert set(created) == {engine}
    assert found[0] == found[1] == found[2]


def test_a_batch_that_has_no_room_after_all_is_staged_on_disk(
    target: Target, created: Created, monkeypatch: pytest.MonkeyPatch
) -> None:
    have_room(monkeypatch, 10**6)
    monkeypatch.setattr("dynaurora.batches.import_batch.room_in_memory", lambda _slots: 16_384)
    rows = [row(f"page {number}", 1, number) for number in range(500)]
    assert target.import_rows(rows).rows_changed == 500
    assert created == ["MEMORY", "InnoDB"]
    assert target.import_rows(BATCHES[0]).rows_staged == 6
    assert created[2:] == ["MEMORY"]


def test_a_server_that_wants_a_key_of_every_table_is_given_one(
    target: Target, server: DatabaseServer, created: Created
) -> None:
    needs_mysql(target)
    rows = [row(f"page {number}", 1, number) for number in range(100)]
    with set_globally(server, sql_require_primary_key=1):
        result = target.import_batch(write_told(target, rows))
    assert (result.rows_staged, result.rows_changed) == (100, 100)
    assert created == ["MEMORY", "MEMORY"], "without a key, and then with one"
    assert target.hits() == {f"page {number}": number for number in range(100)}


def test_a_server_that_refuses_it_is_asked_once(
    target: Target, created: Created, monkeypatch: pytest.MonkeyPatch
) -> None:
    have_room(monkeypatch, 10**6)

    def create_unknown(mapping: Mapping, collation: str, **_: object) -> str:
        created.append("refused")
        return sql.create_staged(mapping, collation).replace("InnoDB", "NO_SUCH_ENGINE")

    monkeypatch.setattr(memory_tables, "create_in_memory", create_unknown)
    for rows in BATCHES:
        target.import_rows(rows)
    assert created.count("refused") == 1
    assert created[-2:] == ["InnoDB", "InnoDB"]


def test_a_row_that_is_refused_there_is_set_aside(
    target: Target, created: Created, monkeypatch: pytest.MonkeyPatch
) -> None:
    have_room(monkeypatch, 10**6)
    bad = Row(False, 1, ("bad", "2026-11-23", "1700000000000", "many", None, None, None))
    result = target.import_rows([row("a", 1, 1), bad, row("b", 1, 2)])
    assert (result.rows_staged, result.rows_refused) == (2, 1)
    assert created[0] == "MEMORY"
    assert target.hits() == {"a": 1, "b": 2}


def test_many_rows_have_room_where_their_writer_tells_how_wide_they_are(target: Target, created: Created) -> None:
    batch = write_told(target, [row(f"page {number:05}", 1, number) for number in range(2_000)])
    assert target.import_batch(batch).rows_changed == 2_000
    assert created == ["MEMORY"]
    with target.connect() as aurora:
        assert memory_rows(aurora, target.mapping, room_in_memory(4), batch.objects[0].widths) > 50_000


@pytest.mark.parametrize("key", ["abcdef", "abcde ", "abcd  ", "abcdé", "a🦊b"])
def test_a_field_that_is_wider_than_its_writer_told_is_staged_whole(target: Target, created: Created, key: str) -> None:
    width = len(key.encode()) - 1
    batch = write_told(target, [row("a", 1, 1), row(key, 1, 2)], widths=(width, 10, 0, 0, 5, 5, 2))
    assert target.import_batch(batch).rows_changed == 2
    assert created == ["MEMORY", "InnoDB"]
    assert target.hits() == {"a": 1, key: 2}


def test_columns_of_every_kind_have_what_was_written(target_for: TargetFor, created: Created) -> None:
    kinds = ("CHAR(9)", "TEXT", "VARBINARY(9)", "BLOB", "ENUM('é','b')", "DATETIME(3)", "DECIMAL(9,2)", "VARCHAR(300)")
    target = target_for(make_mapping(*(column(f"c{number}", kind) for number, kind in enumerate(kinds))))
    target.slots = 4
    given = ("é🦊", "ä" * 300, "AAEC/w==", "/w==", "é", "2026-01-01 00:00:00.125", "-1.50", " x\\,\n ")
    rows = [Row(False, 1, ("a", *given)), Row(False, 1, ("b", *[None] * len(kinds)))]
    for version in (1, 2):  # inserted, and then updated
        told = write_told(target, [replace(row, version=version) for row in rows])
        assert target.import_batch(told).rows_changed == 2
    assert created == ["MEMORY"] * 2
    expected = ("é🦊", "ä" * 300, b"\0\1\2\xff", b"\xff", "é", datetime(2026, 1, 1, microsecond=125_000))
    names = ", ".join(f"c{number}" for number in range(len(kinds)))
    found = target.query(f"SELECT {names} FROM {target.mapping.database}.{target.mapping.replica} ORDER BY id")
    assert found == [(*expected, Decimal("-1.50"), " x\\,\n "), (None,) * len(kinds)]


def test_a_row_that_is_refused_where_widths_are_told_is_set_aside(target: Target, created: Created) -> None:
    bad = Row(False, 1, ("bad", "2026-11-23", "1700000000000", "many", None, None, None))
    result = target.import_batch(write_told(target, [row("a", 1, 1), bad, row("b", 1, 2)]))
    assert (result.rows_staged, result.rows_refused) == (2, 1)
    assert created[0] == "MEMORY"
    assert target.hits() == {"a": 1, "b": 2}


def test_importers_of_the_same_keys_do_not_deadlock(target: Target, created: Created) -> None:
    target.slots = 8
    keys = [f"{letter}{number}" for number in range(50) for letter in ("a", "A", "a ", "é")]
    orders = [random.Random(seed).sample(keys, len(keys)) for seed in range(4)]
    batches = [
        [write_told(target, [row(key, version, version) for key in order]) for version in range(25)] for order in orders
    ]

    def import_all(mine: list[Batch]) -> int:
        deadlocks = 0
        for batch in mine:
            try:
                target.import_batch(batch)
            except DeadlockError:
                deadlocks += 1
        return deadlocks

    with ThreadPoolExecutor(len(batches)) as importers:
        assert sum(importers.map(import_all, batches)) == 0
    assert created == ["MEMORY"] * 100
    assert target.hits() == dict.fromkeys(keys, 24)
