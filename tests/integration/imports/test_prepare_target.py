"""Preparing a target: repeatable, resumable, and never altering a replica that is not the mapping's."""

import pytest

from dynaurora import migrations, sql
from dynaurora.aurora import connect
from dynaurora.errors import PrivilegeError, TargetMismatchError
from dynaurora.mapping import load_mapping
from dynaurora.migrations import MIGRATIONS, prepare_target

from .conftest import Target, row

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


def test_a_replica_of_other_columns_is_left_alone(target: Target) -> None:
    replica = f"{target.mapping.database}.{sql.quote(target.mapping.replica)}"
    with connect(target.endpoint, target.administrator) as aurora:
        aurora.execute(f"ALTER TABLE {replica} ADD COLUMN more INT")
        with pytest.raises(TargetMismatchError, match="more"):
            prepare_target(aurora, target.mapping)
        aurora.execute(f"ALTER TABLE {replica} DROP COLUMN more")


def test_the_view_shows_the_mapped_columns_only(target: Target) -> None:
    columns = target.query(f"SHOW COLUMNS FROM {target.mapping.database}.WebAnalytics")
    assert [column[0] for column in columns] == [column.name for column in load_mapping("web_analytics").columns]


def test_the_loader_cannot_change_tables(target: Target) -> None:
    with target.connect() as aurora, pytest.raises(PrivilegeError):
        aurora.execute(f"DROP TABLE {target.mapping.database}.{sql.quote(target.mapping.replica)}")
