"""Migrations: the system tables of a target database, and the replica of a mapping.

Each migration is applied once, in order, while a named lock of the database keeps other deployments waiting. MySQL
commits each DDL statement by itself, so a migration's statements can be repeated after a crash between them and its row
in `_dynaurora_migrations`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING, Final

from dynaurora.aurora import sql
from dynaurora.aurora.column_changes import Patience, change_columns, naming_widest
from dynaurora.aurora.column_plan import ColumnPlan, has_table, plan_columns
from dynaurora.aurora.fills import CREATE_FILLS, end_fill, find_hidden, read_fills
from dynaurora.aurora.locks import holding, name_lock
from dynaurora.aurora.owners import CREATE_OWNERS, own_tables
from dynaurora.aurora.replica_columns import check_replica
from dynaurora.aurora.system_tables import (
    DIFFERENCES,
    FLOORS,
    GENERATIONS,
    IMPORTS,
    MIGRATIONS_TABLE,
    PURGES,
    RUNS,
    SEEN_KEYS,
    TARGETS,
    VERIFICATIONS,
)
from dynaurora.aurora.triggers import leave_procedure
from dynaurora.mappings.registry import load_document

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dynaurora.aurora.connection import Aurora
    from dynaurora.mappings.mapping import Mapping

CREATE_SEEN_KEYS: Final = f"""CREATE TABLE IF NOT EXISTS {{database}}.`{SEEN_KEYS}` (
  `run` VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `target` VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `kind` VARCHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `bucket` SMALLINT UNSIGNED NOT NULL,
  `part` BIGINT UNSIGNED NOT NULL,
  `digests` MEDIUMBLOB NOT NULL,
  PRIMARY KEY (`run`, `target`, `kind`, `bucket`, `part`)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4"""
MIGRATIONS_WAIT_SECONDS: Final = 60
"""How long a deployment waits for another that prepares the same database."""


@dataclass(frozen=True)
class Migration:
    """One step of the system tables; `{database}` stands for the quoted database."""

    name: str
    statements: tuple[str, ...]
    ledger_columns: tuple[tuple[str, str], ...] = ()
    """Names and definitions of columns that the ledger gets: MySQL cannot add a column only if it is not there."""
    verification_columns: tuple[tuple[str, str], ...] = ()
    """Of columns that the table of verifications gets."""


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
    Migration(
        "0006_targets_of_imports",
        (),
        ledger_columns=(
            ("target", "VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL"),
            ("rows_skipped", "BIGINT UNSIGNED NOT NULL DEFAULT 0"),
        ),
    ),
    Migration("0007_fills", (CREATE_FILLS,)),
    Migration(
        "0008_verifications",
        (
            f"""CREATE TABLE IF NOT EXISTS {{database}}.`{VERIFICATIONS}` (
  `mapping` VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `run` VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `via` VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `mapping_digest` CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `started_at` DATETIME(6) NOT NULL,
  `ended_at` DATETIME(6) NULL,
  `whole` BOOLEAN NULL,
  `unexplained` BIGINT UNSIGNED NULL,
  `counts` LONGTEXT NULL,
  PRIMARY KEY (`mapping`, `run`),
  KEY `by_time` (`mapping`, `started_at`)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4""",
            f"""CREATE TABLE IF NOT EXISTS {{database}}.`{DIFFERENCES}` (
  `mapping` VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `run` VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `number` INT UNSIGNED NOT NULL,
  `target` VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `item_key` LONGTEXT NOT NULL,
  `verdict` VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `column_name` VARCHAR(64) NULL,
  `item_digest` CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NULL,
  `row_digest` CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NULL,
  `item_value` LONGTEXT NULL,
  `row_value` LONGTEXT NULL,
  `found_at` DATETIME(6) NOT NULL,
  PRIMARY KEY (`mapping`, `run`, `number`)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4""",
            f"""CREATE TABLE IF NOT EXISTS {{database}}.`{SEEN_KEYS}` (
  `run` VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `target` VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `row_key` BINARY(16) NOT NULL,
  PRIMARY KEY (`run`, `target`, `row_key`)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4""",
        ),
    ),
    Migration(
        "0010_purges",
        (
            f"""CREATE TABLE IF NOT EXISTS {{database}}.`{FLOORS}` (
  `mapping` VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  `floor` BIGINT UNSIGNED NOT NULL
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4""",
            # Not beside the floor: imports lock that, and a purge would wait for them with rows that they wait for.
            f"""CREATE TABLE IF NOT EXISTS {{database}}.`{PURGES}` (
  `mapping` VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  `imports_before` DATETIME(6) NOT NULL,
  `target` VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  `position` LONGTEXT NULL,
  `tombstones` BIGINT UNSIGNED NOT NULL DEFAULT 0,
  `imports` BIGINT UNSIGNED NOT NULL DEFAULT 0,
  `verifications` BIGINT UNSIGNED NOT NULL DEFAULT 0,
  `begun_at` DATETIME(6) NOT NULL,
  `ended_at` DATETIME(6) NULL
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4""",
        ),
    ),
    Migration("0011_seen_keys", (f"DROP TABLE IF EXISTS {{database}}.`{SEEN_KEYS}`", CREATE_SEEN_KEYS)),
    Migration("0012_owners", (CREATE_OWNERS,)),
    Migration(
        "0013_mended_verifications",
        (),
        verification_columns=(("mends", "VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL"),),
    ),
)

CREATE_DATABASE = "CREATE DATABASE IF NOT EXISTS {database} CHARACTER SET utf8mb4"
CREATE_MIGRATIONS = f"""CREATE TABLE IF NOT EXISTS {{database}}.`{MIGRATIONS_TABLE}` (
  `name` VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  `applied_at` DATETIME(6) NOT NULL
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4"""


def prepare_target(
    aurora: Aurora,
    mapping: Mapping,
    patience: Patience | None = None,
    *,
    drop: bool = False,
    platform: str | None = None,
) -> list[str]:
    """Create or complete the system tables, and the replica and view of each target; return the migrations applied.

    A target that is new beside others, and not filled yet, gets no view (`dynaurora.aurora.fills`). What only adds or
    widens columns is done; `drop` has columns go that earlier mappings wrote. `platform` is the landing bucket of whose
    tables these are from now on. Safe to repeat. Raises TargetTakenError where they are another platform's,
    TargetMismatchError where the mapping asks for anything else, before the replica is changed, and LockWaitError where
    another deployment prepares the same database, or somebody keeps the replica, for too long.
    """
    with holding(aurora, name_lock(mapping.database, "migrations"), MIGRATIONS_WAIT_SECONDS):
        applied = migrate(aurora, mapping.database)
        if platform:
            own_tables(aurora, mapping, platform)
        begin_floor(aurora, mapping)
        plans = plan_targets(aurora, mapping, drop=drop)
        for plan in plans:  # of all of them, before any is changed
            plan.require_allowed()
        hand_over_tombstones(aurora, mapping)
        for plan in plans:
            change_columns(aurora, plan, patience or Patience())
        leave_procedure(aurora, mapping.database)
        for plan in plans:
            check_replica(aurora, plan.mapping)
            if plan.shows:
                end_fill(aurora, plan.mapping)
    return applied


def begin_floor(aurora: Aurora, mapping: Mapping) -> None:
    """Enter a mapping's floor, where it is not there: imports lock its row, so that has to be before any purge."""
    table = f"{sql.quote(mapping.database)}.{sql.quote(FLOORS)}"
    if not has_table(aurora, mapping.database, FLOORS):
        return
    with aurora.transaction():
        aurora.execute(f"INSERT IGNORE INTO {table} (mapping, floor) VALUES (%s, 0)", (mapping.name,))


def hand_over_tombstones(aurora: Aurora, mapping: Mapping) -> None:
    """Have a table whose turn it is to serve know which keys are deleted, as far as the one that serves does.

    An export has no deleted items: a late row of one, as what was refused and is taken up again, would be the only one.
    Nothing is done where a key is of another type.
    """
    earlier, _ = read_earlier(aurora, mapping)
    for target in mapping.targets if earlier else ():
        served = earlier[-1].find_target(target.table)
        if served and served.replica != target.replica and _have_keys_alike(served, target):
            with aurora.transaction():
                aurora.execute(sql.carry_tombstones(served, target))


def _have_keys_alike(one: Mapping, other: Mapping) -> bool:
    first, second = ([column.type.sql for column in mapping.key_columns] for mapping in (one, other))
    return first == second


def plan_targets(aurora: Aurora, mapping: Mapping, *, drop: bool = False) -> list[ColumnPlan]:
    """Return what each target of a mapping asks of its replica. Nothing is changed.

    Raises InvalidMappingError where InnoDB could not hold the rows of one.
    """
    earlier, age_seconds = read_earlier(aurora, mapping)
    hidden = find_hidden(aurora, mapping, earlier[-1] if earlier else None)
    plans = []
    for target in mapping.targets:
        its_earlier = [each.find_replica(target.replica) or each for each in earlier]
        with naming_widest(target):
            plan = plan_columns(aurora, target, its_earlier, age_seconds, drop=drop)
        refusals = (*plan.refusals, *refuse_switch(aurora, target, earlier))
        plans.append(replace(plan, shows=target.table not in hidden, refusals=refusals))
    return plans


def refuse_switch(aurora: Aurora, target: Mapping, earlier: Sequence[Mapping]) -> list[str]:
    """Return why a target's view cannot show another table than it does: that one has to be filled first."""
    served = earlier[-1].find_target(target.table) if earlier else None
    if served is None or served.replica == target.replica:
        return []
    filling = earlier[-1].find_replica(target.replica)
    if filling is None or filling.rebuilds != target.table:
        return [f"its rows are in {served.replica}, which is not {target.replica}: name it as `replica`, or rebuild it"]
    filled = [fill.target for fill in read_fills(aurora, earlier[-1]) if fill.run]
    return [] if filling.table in filled else [f"{target.replica} is not filled yet, and {served.replica} serves"]


def read_earlier(aurora: Aurora, mapping: Mapping) -> tuple[list[Mapping], float]:
    """Return the mappings of its name that were active before, in the order of their generations.

    And for how many seconds the last one has been.
    """
    if not has_table(aurora, mapping.database, GENERATIONS):
        return [], inf
    rows = aurora.query(
        "SELECT document, digest, TIMESTAMPDIFF(SECOND, activated_at, UTC_TIMESTAMP(6))"
        f" FROM {sql.quote(mapping.database)}.{sql.quote(GENERATIONS)}"
        " WHERE mapping = %s AND generation > 0 ORDER BY generation",
        (mapping.name,),
    )
    earlier = [load_document(mapping.name, document, digest) for document, digest, _ in rows]
    return earlier, float(rows[-1][2]) if rows else inf


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
            add_columns(aurora, f"{quoted}.{sql.quote(VERIFICATIONS)}", migration.verification_columns)
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
