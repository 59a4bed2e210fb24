"""The system tables of runs, brought into a database that has had imports without them."""

import dataclasses
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from dynaurora.aurora import migrations
from dynaurora.aurora.connection import Aurora, connect
from dynaurora.aurora.generations import activate
from dynaurora.aurora.locks import holding, name_lock
from dynaurora.aurora.migrations import IMPORTS, MIGRATIONS, RUNS, Migration, migrate, prepare_target
from dynaurora.errors import LockWaitError
from tests.integration.targets import Target, drop_all, row

pytestmark = pytest.mark.integration

FIRST, SECOND = MIGRATIONS[:2]
LEDGER = f"Demo.{IMPORTS}"
DEPLOYMENTS = 8


@pytest.fixture
def aurora(target: Target, monkeypatch: pytest.MonkeyPatch) -> Iterator[Aurora]:
    """The administrator's connection to a database that the first migration made, with one batch in its ledger."""
    with connect(target.endpoint, target.administrator) as administrator:
        drop_all(administrator, target.mapping)
        with monkeypatch.context() as before:
            before.setattr(migrations, "MIGRATIONS", (FIRST,))
            prepare_target(administrator, target.mapping)
        administrator.execute(
            f"INSERT INTO {LEDGER} (batch_id, mapping, source, objects, rows_staged, rows_changed, started_at)"
            " VALUES ('b1', 'web_analytics', 'stream', '[]', 5, 4, UTC_TIMESTAMP(6))"
        )
        administrator.execute("COMMIT")
        yield administrator


def table_of(aurora: Aurora, table: str) -> list[tuple[str, ...]]:
    return [(name, kind) for name, kind, *_ in aurora.query(f"SHOW COLUMNS FROM {table}")]


def test_a_ledger_with_rows_gets_the_columns_of_runs(aurora: Aurora, target: Target) -> None:
    assert migrate(aurora, "Demo") == [migration.name for migration in MIGRATIONS[1:]]
    assert aurora.query(
        f"SELECT batch_id, rows_staged, rows_changed, rows_rejected, rejected, retries FROM {LEDGER}"
    ) == [("b1", 5, 4, 0, None, 0)]
    assert aurora.query(f"SELECT COUNT(*) FROM Demo.{RUNS}") == [(0,)]
    activate(aurora, target.mapping)
    target.import_rows([row("a", 1)])
    assert migrate(aurora, "Demo") == []


def test_a_migration_that_died_between_its_statements_is_done_again(aurora: Aurora) -> None:
    tables = (LEDGER, f"Demo.{RUNS}")
    for done in range(len(SECOND.ledger_columns) + 1):
        part = Migration(SECOND.name, SECOND.statements, SECOND.ledger_columns[:done])
        migrate_as(aurora, part)
        aurora.execute(f"DELETE FROM Demo.{migrations.MIGRATIONS_TABLE} WHERE name = '{SECOND.name}'")
        aurora.execute("COMMIT")
    assert SECOND.name in migrate(aurora, "Demo")
    made = [table_of(aurora, table) for table in tables]
    aurora.execute(f"DELETE FROM Demo.{migrations.MIGRATIONS_TABLE}")
    aurora.execute("COMMIT")
    assert migrate(aurora, "Demo") == [migration.name for migration in MIGRATIONS]
    assert [table_of(aurora, table) for table in tables] == made


def migrate_as(aurora: Aurora, part: Migration) -> None:
    """Apply only the beginning of a migration: all that was done before a crash."""
    with pytest.MonkeyPatch.context() as cut:
        cut.setattr(migrations, "MIGRATIONS", (FIRST, part))
        migrate(aurora, "Demo")


def test_a_new_database_and_a_migrated_one_are_the_same(aurora: Aurora, target: Target) -> None:
    migrate(aurora, "Demo")
    migrated = [table_of(aurora, table) for table in (LEDGER, f"Demo.{RUNS}")]
    drop_all(aurora, target.mapping)
    prepare_target(aurora, target.mapping)
    assert [table_of(aurora, table) for table in (LEDGER, f"Demo.{RUNS}")] == migrated


def test_deployments_at_once_into_a_new_database_all_pass(target: Target) -> None:
    mapping = dataclasses.replace(target.mapping, database="Fresh")
    start = threading.Barrier(DEPLOYMENTS)

    def deploy() -> list[str]:
        with connect(target.endpoint, target.administrator) as administrator:
            start.wait()
            return prepare_target(administrator, mapping)

    with connect(target.endpoint, target.administrator) as administrator:
        administrator.execute("DROP DATABASE IF EXISTS Fresh")
        with ThreadPoolExecutor(DEPLOYMENTS) as pool:
            applied = [future.result() for future in [pool.submit(deploy) for _ in range(DEPLOYMENTS)]]
        administrator.execute("DROP DATABASE Fresh")
    names = [migration.name for migration in MIGRATIONS]
    assert sorted(applied, key=len) == [[]] * (DEPLOYMENTS - 1) + [names], "one did it all, and the others waited"


def test_a_deployment_waits_for_another_and_says_so_in_the_end(
    aurora: Aurora, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "MIGRATIONS_WAIT_SECONDS", 1)
    with (
        connect(target.endpoint, target.administrator) as other,
        holding(other, name_lock("Demo", "migrations"), 1),
        pytest.raises(LockWaitError, match="dynaurora/Demo/migrations"),
    ):
        prepare_target(aurora, target.mapping)
