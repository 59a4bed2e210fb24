"""Migrations: the system tables of a target database, and the replica of a mapping.

Each migration is applied once, in order, while a named lock of the database keeps other deployments waiting. MySQL
commits each DDL statement by itself, so a migration's statements can be repeated after a crash between them and its row
in `_dynaurora_migrations`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dynaurora.aurora import sql
from dynaurora.aurora.locks import holding, name_lock
from dynaurora.errors import TargetMismatchError

if TYPE_CHECKING:
    from dynaurora.aurora.connection import Aurora
    from dynaurora.mappings.mapping import Mapping

MIGRATIONS_TABLE: Final = "_dynaurora_migrations"
IMPORTS: Final = "_dynaurora_imports"
"""The ledger."""
RUNS: Final = "_dynaurora_runs"
"""One row for each backfill and reprocess."""
TARGETS: Final = "_dynaurora_targets"
"""One row for each target of which it is known how its batches are staged."""
GENERATIONS: Final = "_dynaurora_mappings"
"""One row for each activation of a mapping, with its document."""
MIGRATIONS_WAIT_SECONDS: Final = 60
"""How long a deployment waits for another that prepares the same database."""


@dataclass(frozen=True)
class Migration:
    """One step of the system tables; `{database}` stands for the quoted database."""

    name: str
    statements: tuple[str, ...]
    ledger_columns: tuple[tuple[str, str], ...] = ()
    """Names and definitions of columns that the ledger gets: MySQL cannot add a column only if it is not there."""


MIGRATIONS = (
    Migration(
        "0001_imports",
        (
            f"""CREATE TABLE IF NOT EXISTS {{database}}.`{IMPORTS}` (
  `batch_id` VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `mapping` VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `source` VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `run` VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NULL,
  `objects` LONGTEXT NOT NULL,
  `rows_staged` BIGINT UNSIGNED NOT NULL DEFAULT 0,
  `rows_changed` BIGINT UNSIGNED NOT NULL DEFAULT 0,
  `started_at` DATETIME(6) NOT NULL,
  `finished_at` DATETIME(6) NULL,
  PRIMARY KEY (`batch_id`),
  KEY `by_run` (`run`),
  KEY `by_time` (`mapping`, `finished_at`)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4""",
        ),
    ),
    Migration(
        "0002_runs",
        (
            f"""CREATE TABLE IF NOT EXISTS {{database}}.`{RUNS}` (
  `run` VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `kind` VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `mapping` VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `mapping_digest` VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `state` VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `execution` VARCHAR(512) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `options` LONGTEXT NOT NULL,
  `export_arn` VARCHAR(2048) CHARACTER SET ascii COLLATE ascii_bin NULL,
  `export_time` DATETIME NULL,
  `items` BIGINT UNSIGNED NULL,
  `rows_imported` BIGINT UNSIGNED NULL,
  `rows_rejected` BIGINT UNSIGNED NULL,
  `reason` TEXT NULL,
  `started_at` DATETIME(6) NOT NULL,
  `ended_at` DATETIME(6) NULL,
  PRIMARY KEY (`run`),
  KEY `by_time` (`mapping`, `started_at`)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4""",
        ),
        ledger_columns=(
            ("rows_rejected", "BIGINT UNSIGNED NOT NULL DEFAULT 0"),
            ("rejected", "LONGTEXT NULL"),
            ("retries", "INT UNSIGNED NOT NULL DEFAULT 0"),
        ),
    ),
    Migration(
        "0003_runs_of_mappings",
        (f"ALTER TABLE {{database}}.`{RUNS}` DROP PRIMARY KEY, ADD PRIMARY KEY (`mapping`, `run`)",),
    ),
    Migration(
        "0004_targets",
        (
            f"""CREATE TABLE IF NOT EXISTS {{database}}.`{TARGETS}` (
  `target` VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  `staging_tables` INT UNSIGNED NOT NULL,
  `recorded_at` DATETIME(6) NOT NULL
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4""",
        ),
    ),
    Migration(
        "0005_mappings",
        (
            f"""CREATE TABLE IF NOT EXISTS {{database}}.`{GENERATIONS}` (
  `mapping` VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `generation` INT UNSIGNED NOT NULL,
  `digest` CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `document` LONGTEXT NOT NULL,
  `activated_at` DATETIME(6) NOT NULL,
  PRIMARY KEY (`mapping`, `generation`, `digest`)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4""",
        ),
        ledger_columns=(
            ("digest", "CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL"),
            ("rows_refused", "BIGINT UNSIGNED NOT NULL DEFAULT 0"),
        ),
    ),
)

CREATE_DATABASE = "CREATE DATABASE IF NOT EXISTS {database} CHARACTER SET utf8mb4"
CREATE_MIGRATIONS = f"""CREATE TABLE IF NOT EXISTS {{database}}.`{MIGRATIONS_TABLE}` (
  `name` VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  `applied_at` DATETIME(6) NOT NULL
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4"""


def prepare_target(aurora: Aurora, mapping: Mapping) -> list[str]:
    """Create or complete the system tables, the replica and the view of a mapping; return the migrations applied.

    Safe to repeat. Raises TargetMismatchError where a replica is there that the mapping would make otherwise: it is
    not altered, and LockWaitError where another deployment prepares the same database for too long.
    """
    with holding(aurora, name_lock(mapping.database, "migrations"), MIGRATIONS_WAIT_SECONDS):
        applied = migrate(aurora, mapping.database)
        aurora.execute(sql.create_replica(mapping, sql.key_collation(aurora.server_version)))
        ensure_generation_column(aurora, mapping)
        check_replica(aurora, mapping)
        aurora.execute(sql.create_view(mapping))
    return applied


def migrate(aurora: Aurora, database: str) -> list[str]:
    """Apply the migrations that a database does not have yet, in order, and return their names."""
    quoted = sql.quote(database)
    exists = aurora.query("SELECT 1 FROM information_schema.schemata WHERE schema_name = %s", (database,))
    if not exists:
        aurora.execute(CREATE_DATABASE.format(database=quoted))
    aurora.execute(CREATE_MIGRATIONS.format(database=quoted))
    table = f"{quoted}.{sql.quote(MIGRATIONS_TABLE)}"
    pending = find_pending_migrations(aurora, database)
    for migration in (migration for migration in MIGRATIONS if migration.name in pending):
        with aurora.transaction():
            for statement in migration.statements:
                aurora.execute(statement.format(database=quoted))
            add_columns(aurora, f"{quoted}.{sql.quote(IMPORTS)}", migration.ledger_columns)
            # One of an older release holds no lock, and may have applied it meanwhile.
            aurora.execute(f"INSERT IGNORE INTO {table} VALUES (%s, UTC_TIMESTAMP(6))", (migration.name,))
    return pending


def find_pending_migrations(aurora: Aurora, database: str) -> list[str]:
    """Return the names of the migrations that a database does not have yet. Raises where it has no system tables."""
    done = {name for (name,) in aurora.query(f"SELECT name FROM {sql.quote(database)}.{sql.quote(MIGRATIONS_TABLE)}")}
    return [migration.name for migration in MIGRATIONS if migration.name not in done]


def add_columns(aurora: Aurora, table: str, columns: tuple[tuple[str, str], ...]) -> None:
    """Give a table those of the columns that it does not have."""
    there = {name for name, *_ in aurora.query(f"SHOW COLUMNS FROM {table}")} if columns else set()
    for name, definition in columns:
        if name not in there:
            aurora.execute(f"ALTER TABLE {table} ADD COLUMN {sql.quote(name)} {definition}")


def ensure_generation_column(aurora: Aurora, mapping: Mapping) -> None:
    """Give a replica that an earlier release made the column of generations: its rows are of generation 0."""
    if "_mapping" not in {name for name, *_ in aurora.query(sql.show_columns(mapping, mapping.replica))}:
        aurora.execute(sql.add_generation_column(mapping))


def check_replica(aurora: Aurora, mapping: Mapping) -> None:
    """Raise TargetMismatchError where the replica is not as the mapping would create it, and say what differs.

    The server tells both in its own spelling: of the replica, and of a temporary table made by the same statement.
    """
    aurora.execute(sql.drop_staged(mapping))
    aurora.execute(sql.create_expected(mapping, sql.key_collation(aurora.server_version)))
    expected = _columns(aurora, mapping, sql.STAGED), _unique_keys(aurora, mapping, sql.STAGED)
    aurora.execute(sql.drop_staged(mapping))
    found = _columns(aurora, mapping, mapping.replica), _unique_keys(aurora, mapping, mapping.replica)
    for has, wants in zip(found, expected, strict=True):
        if has != wants:
            surplus = "; ".join(part for part in has if part not in wants)
            missing = "; ".join(part for part in wants if part not in has)
            raise TargetMismatchError(
                f"{mapping.database}.{mapping.replica} is not as mapping {mapping.name} makes it."
                f" It has: {surplus or 'the same in another order'}. The mapping has: {missing or 'the same'}."
                " It is never altered here: change it by hand, or let the mapping name another table."
            )


def _columns(aurora: Aurora, mapping: Mapping, table: str) -> list[str]:
    """Return a table's columns in order, each as `name type collation`.

    Of text that is no key only the character set counts: its collation is the server's choice, and no row depends
    on it.
    """
    keys = {column.name for column in mapping.key_columns}
    described = []
    for name, kind, collation, nullable, *_ in aurora.query(sql.show_columns(mapping, table)):
        compared = collation if name in keys else (collation or "").partition("_")[0]
        described.append(" ".join(filter(None, [name, kind, compared, "NULL" if nullable == "YES" else "NOT NULL"])))
    return described


def _unique_keys(aurora: Aurora, mapping: Mapping, table: str) -> list[str]:
    """Return a table's unique keys, each as `PRIMARY KEY (page_id, day)`, a prefix of a column as `day(10)`.

    One besides the primary key would make the merge change the row of another key.
    """
    keys: dict[str, list[str]] = {}
    for _, _, key, _, column, _, _, prefix, *_ in aurora.query(sql.show_unique_keys(mapping, table)):
        keys.setdefault(key, []).append(f"{column}({prefix})" if prefix else column)
    return [f"{key} KEY ({', '.join(columns)})" for key, columns in keys.items()]
