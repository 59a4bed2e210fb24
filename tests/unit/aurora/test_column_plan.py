"""What becomes of types; `tests/integration/imports/test_columns.py` has it done by the servers."""

import pytest

from dynaurora.aurora.column_plan import limit_row_versions
from dynaurora.aurora.replica_columns import COPIED, NARROWER, OTHER, SAME, WIDER, compare_types


@pytest.mark.parametrize(
    ("found", "expected", "change", "of_mariadb"),
    [
        ("varchar(20)", "varchar(63)", WIDER, WIDER),
        ("varchar(20)", "varchar(64)", COPIED, WIDER),
        ("varchar(32)", "varchar(64)", COPIED, COPIED),
        ("varchar(64)", "varchar(5000)", WIDER, WIDER),
        ("varchar(64)", "varchar(63)", NARROWER, NARROWER),
        ("varbinary(255)", "varbinary(256)", COPIED, COPIED),
        ("varbinary(127)", "varbinary(300)", COPIED, WIDER),
        ("int", "bigint", COPIED, COPIED),
        ("int(11)", "int(10)", SAME, SAME),
        ("int unsigned", "bigint", COPIED, COPIED),
        ("int", "bigint unsigned", OTHER, OTHER),
        ("bigint unsigned", "bigint", OTHER, OTHER),
        ("tinyint(1)", "tinyint(4)", WIDER, WIDER),
        ("tinyint(4)", "tinyint(1)", NARROWER, NARROWER),
        ("decimal(10,2)", "decimal(12,4)", COPIED, COPIED),
        ("decimal(10,2)", "decimal(10,4)", OTHER, OTHER),
        ("text", "mediumtext", COPIED, COPIED),
        ("varchar(64)", "text", COPIED, COPIED),
        ("text", "varchar(64)", NARROWER, NARROWER),
        ("datetime", "datetime(6)", COPIED, COPIED),
        ("date", "datetime", OTHER, OTHER),
        ("geometry", "int", OTHER, OTHER),
        ("json", "json", SAME, SAME),
    ],
)
def test_a_type_becomes_another(found: str, expected: str, change: str, of_mariadb: str) -> None:
    assert compare_types(found, expected) == change
    assert compare_types(found, expected, mariadb=True) == of_mariadb


@pytest.mark.parametrize(
    ("version", "limit"),
    [("8.0.mysql_aurora.3.08.0", 64), ("8.4.7", 64), ("9.0.1", 64), ("9.1.0", 255), ("9.7.4-2", 255)],
)
def test_a_server_changes_a_table_at_once_so_often(version: str, limit: int) -> None:
    assert limit_row_versions(version) == limit
