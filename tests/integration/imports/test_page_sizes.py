"""The rule of InnoDB's page against the real server: what it lets pass has its tables and every row, one more not."""

import re
from bisect import bisect_left

import pytest

from dynaurora.aurora import sql
from dynaurora.aurora.connection import connect
from dynaurora.errors import DatabaseError, InvalidMappingError
from dynaurora.mappings.page_sizes import check_page
from tests.integration.targets import Target, empty
from tests.support.factories import column, make_mapping

pytestmark = pytest.mark.integration


def make_wide(kind, count, rest=()):
    return make_mapping(*(column(f"f{index}", kind) for index in range(count)), *rest)


def is_refused(kind, count, rest=()):
    try:
        check_page(make_wide(kind, count, rest))
    except InvalidMappingError:
        return True
    return False


def find_most(kind):
    """The most columns of a type that the rule lets pass."""
    return bisect_left(range(1, 999), True, key=lambda count: is_refused(kind, count))


def longest(kind):
    """A value that takes the most of the page that any of its type does."""
    name, size = re.fullmatch(r"(\w+)(?:\((\d+).*\))?", kind).groups()
    if name == "VARCHAR":
        return "😀" * int(size) if int(size) < 64 else "x" * 40
    if name == "CHAR":
        return "😀" * int(size)
    if name == "VARBINARY":
        return "x" * (int(size) if int(size) < 256 else 40)
    if name in {"TEXT", "TINYTEXT", "BLOB"}:
        return "x" * 40
    return {"DATETIME": "2026-01-01 00:00:00.123456", "DECIMAL": "9" * 35 + "." + "9" * 30}.get(name, "1")


def refuse_rows(aurora, mapping):
    """Return why the server has not all tables of a mapping, and its longest row in each; None where it has."""
    collation = sql.key_collation(aurora.server_version)
    permanent = sql.name_staged(mapping, 1)
    tables = {
        mapping.replica: sql.create_replica(mapping, collation),
        sql.STAGED: sql.create_staged(mapping, collation),
        permanent: sql.create_permanent(mapping, permanent, collation),
    }
    names = ", ".join(f"`{each.name}`" for each in mapping.columns)
    values = tuple("😀" * 20 if each in mapping.key_columns else longest(each.type.sql) for each in mapping.columns)
    empty(aurora, mapping)  # another test's tables may have these names
    aurora.execute(sql.drop_table(mapping, permanent))
    try:
        for table, create in tables.items():
            aurora.execute(create)
            with aurora.transaction():
                marks = ", ".join(["%s"] * len(values))
                into = f"INSERT INTO `{mapping.database}`.`{table}` (_deleted, _version, {names})"
                aurora.execute(f"{into} VALUES (0, {'9' * 50}, {marks})", values)
        return None
    except DatabaseError as error:
        return error.problem
    finally:
        aurora.execute(sql.drop_staged(mapping))
        empty(aurora, mapping)
        aurora.execute(sql.drop_table(mapping, permanent))


KINDS = ["VARCHAR(10)", "VARCHAR(20)", "VARCHAR(36)", "VARCHAR(63)", "VARCHAR(64)", "VARBINARY(255)", "VARBINARY(256)"]


@pytest.mark.parametrize("kind", [*KINDS, "TEXT", "TINYTEXT", "DECIMAL(65,30)", "DATETIME(6)"])
def test_the_most_columns_of_a_type_work_and_one_more_does_not(target: Target, kind: str) -> None:
    most = find_most(kind)
    with connect(target.endpoint, target.administrator) as aurora:
        assert refuse_rows(aurora, make_wide(kind, most)) is None
        assert refuse_rows(aurora, make_wide(kind, most + 1))


def test_the_rule_is_exact_to_the_byte(target: Target) -> None:
    most = bisect_left(range(900), True, key=lambda count: is_refused("VARCHAR(20)", 90, numbers(count))) - 1
    with connect(target.endpoint, target.administrator) as aurora:
        assert refuse_rows(aurora, make_wide("VARCHAR(20)", 90, numbers(most))) is None
        assert refuse_rows(aurora, make_wide("VARCHAR(20)", 90, numbers(most + 1)))


@pytest.mark.parametrize("kind", ["CHAR(36)", "CHAR(63)", "CHAR(64)", "CHAR(200)", "CHAR(255)"])
def test_the_most_columns_of_char_work(target: Target, kind: str) -> None:
    """The rule counts all that a CHAR may have; servers store some of the longer ones off the page."""
    with connect(target.endpoint, target.administrator) as aurora:
        assert refuse_rows(aurora, make_wide(kind, find_most(kind))) is None


def numbers(count):
    return [column(f"n{index}", "TINYINT") for index in range(count)]
