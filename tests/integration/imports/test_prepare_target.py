"""Preparing a target: repeatable, resumable, and never altering a replica that is not the mapping's."""

import dataclasses

import pytest

from dynaurora.aurora import migrations, sql
from dynaurora.aurora.connection import connect
from dynaurora.aurora.migrations import MIGRATIONS, prepare_target
from dynaurora.errors import PrivilegeError, TargetMismatchError
from dynaurora.mappings.mapping import load_mapping
from tests.integration.targets import Target, TargetFor, row
from tests.support.factories import make_mapping

pytestmark = pytest.mark.integration


def test_preparing_again_changes_nothing(target: Target) -> None:
    target.import_rows([row("a", 1, 1)])
    with connect(target.endpoint, target.administrator) as aurora:
        assert prepare_target(aurora, target.mapping) == []
    assert target.hits() == {"a": 1}


def test_each_migration_is_recorded_once(target: Target) -> None:
    names = target.query(f"SELECT name FROM {target.mapping.database}.{migrations.MIGRATIONS_TABLE} ORDER BY name")
    assert [name for (name,) in names] == [migration.name for migration in MIGRATIONS]


def test_a_migration_that_was_cut_off_is_done_again(target: Target) -> None:
    target.import_rows([row("a", 1, 1)])
    with connect(target.endpoint, target.administrator) as aurora:
        with aurora.transaction():
            aurora.execute(f"DELETE FROM {target.mapping.database}.{migrations.MIGRATIONS_TABLE}")
        assert prepare_target(aurora, target.mapping) == [migration.name for migration in MIGRATIONS]
    assert len(target.ledger()) == 1


@pytest.mark.parametrize(
    ("alteration", "difference"),
    [
        pytest.param("ADD COLUMN more INT", "has: more int", id="a column more"),
        pytest.param("DROP COLUMN hits", "mapping has: hits int", id="a column less"),
        pytest.param("MODIFY hits INT NULL AFTER start_time", "the same in another order", id="another order"),
        pytest.param("MODIFY hits BIGINT NULL", "has: hits bigint.* mapping has: hits int", id="wider number"),
        pytest.param("MODIFY hits INT NOT NULL", "has: hits int.* NOT NULL", id="no NULL"),
        pytest.param(
            "MODIFY country_code VARCHAR(65) CHARACTER SET utf8mb4 NULL",
            r"has: country_code varchar\(65\)",
            id="wider text",
        ),
        pytest.param("MODIFY country_code VARCHAR(64) CHARACTER SET latin1 NULL", "latin1", id="character set"),
        pytest.param(
            "MODIFY page_id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL",
            r"page_id varchar\(255\) utf8mb4_bin",
            id="a key's collation",
        ),
        pytest.param(
            "DROP PRIMARY KEY, ADD PRIMARY KEY (page_id)", r"has: PRIMARY KEY \(page_id\)\.", id="shorter key"
        ),
        pytest.param(
            "DROP PRIMARY KEY, ADD PRIMARY KEY (activity_dt, page_id)",
            r"has: PRIMARY KEY \(activity_dt, page_id\)",
            id="key in another order",
        ),
        pytest.param(
            "DROP PRIMARY KEY, ADD PRIMARY KEY (page_id(9), activity_dt)", r"\(page_id\(9\), activity_dt\)", id="prefix"
        ),
        pytest.param("ADD UNIQUE KEY once (hits)", r"has: once KEY \(hits\)", id="a second unique key"),
    ],
)
def test_a_replica_that_is_not_the_mappings_is_left_alone(target: Target, alteration: str, difference: str) -> None:
    replica = f"{target.mapping.database}.{sql.quote(target.mapping.replica)}"
    with connect(target.endpoint, target.administrator) as aurora:
        aurora.execute(f"ALTER TABLE {replica} {alteration}")
        before = aurora.query(f"SHOW CREATE TABLE {replica}")
        with pytest.raises(TargetMismatchError, match=difference):
            prepare_target(aurora, target.mapping)
        assert aurora.query(f"SHOW CREATE TABLE {replica}") == before


def test_an_index_for_queries_is_no_difference(target: Target) -> None:
    replica = f"{target.mapping.database}.{sql.quote(target.mapping.replica)}"
    with connect(target.endpoint, target.administrator) as aurora:
        aurora.execute(f"ALTER TABLE {replica} ADD INDEX by_country (country_code)")
        assert prepare_target(aurora, target.mapping) == []


def test_a_mapping_that_gets_a_sort_key_is_another_table(target_for: TargetFor) -> None:
    day = {"name": "day", "type": "VARCHAR(9)", "from": "day"}
    target = target_for(make_mapping(day))
    with connect(target.endpoint, target.administrator) as aurora:
        keyed = dataclasses.replace(make_mapping(day, sort_key="day"), database=target.mapping.database)
        with pytest.raises(TargetMismatchError, match=r"has: day varchar.* NULL.* NOT NULL"):
            prepare_target(aurora, keyed)


def test_the_view_shows_the_mapped_columns_only(target: Target) -> None:
    columns = target.query(f"SHOW COLUMNS FROM {target.mapping.database}.WebAnalytics")
    assert [column[0] for column in columns] == [column.name for column in load_mapping("web_analytics").columns]


def test_the_loader_cannot_change_tables(target: Target) -> None:
    with target.connect() as aurora, pytest.raises(PrivilegeError):
        aurora.execute(f"DROP TABLE {target.mapping.database}.{sql.quote(target.mapping.replica)}")
