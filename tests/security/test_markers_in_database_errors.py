"""Markers in values, over every error that a real server can be made to say: none of them gets out."""

import pytest

from dynaurora.aurora.connection import DuplicateRow, find_named_column, find_row_error, is_mariadb
from dynaurora.aurora.messages import ITS_OWN, SIGNALLED, UNKNOWN_ERROR, describe_message
from dynaurora.errors import DatabaseError, DynauroraError
from tests.integration.servers import server_version
from tests.integration.targets import Target

pytestmark = pytest.mark.integration

MARKER = "alice@example.com IBAN DE89"
VALUES = {
    "plain": MARKER,
    "long": f"{MARKER} " * 200,
    "quotes": f"it's \"{MARKER}\" for column 'fake' at row 9",
    "lines": f"\n{MARKER}\x1b[31m\r\u202e",
}
TABLE = "Demo.Marked"
COLUMNS = (
    "id VARCHAR(700) PRIMARY KEY, n INT, t TINYINT, d DATE, at DATETIME(6), s VARCHAR(5), j JSON, q DECIMAL(5,2),"
    " c VARCHAR(9000), m VARCHAR(5) NOT NULL DEFAULT '', CONSTRAINT few CHECK (LENGTH(c) < 3)"
)
STATEMENTS = {
    "an integer": ("INSERT INTO {table} (id, n) VALUES ('a', %s)", {1366, 1292}),
    "a date": ("INSERT INTO {table} (id, d) VALUES ('a', %s)", {1292}),
    "a time": ("INSERT INTO {table} (id, at) VALUES ('a', %s)", {1292}),
    "a decimal": ("INSERT INTO {table} (id, q) VALUES ('a', %s)", {1366, 1292}),
    "a range": ("INSERT INTO {table} (id, t) VALUES ('a', LENGTH(%s) + 1000)", {1264}),
    "a length": ("INSERT INTO {table} (id, s) VALUES ('a', %s)", {1406}),
    "JSON": ("INSERT INTO {table} (id, j) VALUES ('a', %s)", {3140, 4025}),
    "a CHECK": ("INSERT INTO {table} (id, c) VALUES ('a', %s)", {3819, 4025}),
    "NULL": ("INSERT INTO {table} (id, m) VALUES (LEFT(%s, 9), NULL)", {1048}),
    "a key": ("INSERT INTO {table} (id) VALUES (LEFT(%s, 700)), (LEFT(%s, 700))", {1062}),
    "a cast": ("INSERT INTO {table} (id, n) SELECT 'a', CAST(%s AS SIGNED)", {1292}),
    "a format": ("INSERT INTO {table} (id, d) VALUES ('a', STR_TO_DATE(%s, '%%Y-%%m-%%d'))", {1411, 1292}),
    "a syntax": ("SELECT 1 FROM WHERE %s", {1064}),
    "a sum": ("SELECT 18446744073709551615 + LENGTH(%s)", {1690}),
    "a function": ("SELECT nothing_of_the_kind(%s)", {1305, 1630, 1046}),
    "a collation": ("INSERT INTO {table} (id) VALUES (CONVERT(%s USING nowhere))", {1115}),
}


@pytest.fixture
def marked(target: Target):
    target.query(f"DROP TABLE IF EXISTS {TABLE}")
    target.query(f"CREATE TABLE {TABLE} ({COLUMNS}) CHARSET utf8mb4")
    yield target
    target.query(f"DROP TABLE {TABLE}")


def check_told(error: BaseException, numbers: set[int]) -> None:
    told = str(error)
    assert any(str(number) in told for number in numbers), told
    assert not {part for part in ("alice", "IBAN", "DE89", "fake", "row 9", "\x1b", "\u202e", "\n") if part in told}, (
        told
    )
    assert len(told) < 1200


@pytest.mark.parametrize("value", VALUES)
def test_no_value_is_in_what_an_error_says(marked: Target, value: str) -> None:
    with marked.connect() as aurora:
        for statement, numbers in STATEMENTS.values():
            with pytest.raises((DynauroraError, DuplicateRow)) as caught:
                aurora.execute(statement.format(table=TABLE), (VALUES[value],) * statement.count("%s"))
            check_told(caught.value, numbers)


@pytest.mark.parametrize("number", [0, 1048, 1054, 1105, 1205, 1213, 1366, 9000, 31001])
def test_no_text_of_a_trigger_is_told_under_whatever_number(marked: Target, number: int) -> None:
    chosen = f", MYSQL_ERRNO = {number}" if number else ""
    marked.query(
        f"CREATE TRIGGER Demo.tells BEFORE INSERT ON {TABLE} FOR EACH ROW"
        " BEGIN DECLARE told VARCHAR(120); SET told = CONCAT('no: ', LEFT(NEW.c, 90), ' for column \\'alice\\'');"
        f" SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = told{chosen}; END"
    )
    with marked.connect() as aurora, pytest.raises(DynauroraError) as caught:
        aurora.execute(f"INSERT INTO {TABLE} (id, c) VALUES ('a', %s)", (MARKER,))
    check_told(caught.value, {number or 1644})
    assert type(caught.value) is DatabaseError
    assert find_row_error(caught.value) == (number or 1644)
    assert find_named_column(caught.value) is None


@pytest.mark.parametrize("state", ["22003", "23000"])
@pytest.mark.parametrize("number", [1264, 1366, 1406, 1062, 1452, 3819, 5005])
def test_no_text_of_a_trigger_is_told_under_a_state_of_the_servers_own(marked: Target, number: int, state: str) -> None:
    marked.query(
        f"CREATE TRIGGER Demo.tells BEFORE INSERT ON {TABLE} FOR EACH ROW"
        " BEGIN DECLARE told VARCHAR(120); SET told = CONCAT('Refused ', LEFT(NEW.c, 90));"
        f" SIGNAL SQLSTATE '{state}' SET MESSAGE_TEXT = told, MYSQL_ERRNO = {number}; END"
    )
    with marked.connect() as aurora, pytest.raises((DynauroraError, DuplicateRow)) as caught:
        aurora.execute(f"INSERT INTO {TABLE} (id, c) VALUES ('a', %s)", (MARKER,))
    check_told(caught.value, {number})


@pytest.mark.parametrize("language", ["de_DE", "fr_FR", "ja_JP"])
def test_messages_are_in_the_language_that_is_known_here(marked: Target, language: str) -> None:
    marked.query(f"SET GLOBAL lc_messages = '{language}'")
    try:
        with marked.connect() as aurora, pytest.raises(DynauroraError, match="Incorrect integer value: …") as caught:
            aurora.execute(f"INSERT INTO {TABLE} (id, n) VALUES ('a', %s)", (MARKER,))
        assert find_named_column(caught.value) == "n"
    finally:
        marked.query("SET GLOBAL lc_messages = 'en_US'")


@pytest.mark.parametrize("message", [MARKER, "Column 'alice' cannot be null", "it is for column 'alice'"])
@pytest.mark.parametrize("number", [SIGNALLED, UNKNOWN_ERROR, 30001])
def test_what_anyone_may_have_written_is_left_out(number: int, message: str) -> None:
    assert describe_message(number, message) == ITS_OWN


def test_no_value_of_a_foreign_key_or_a_partition_is_told(marked: Target) -> None:
    marked.query("DROP TABLE IF EXISTS Demo.Parted")
    marked.query(
        "CREATE TABLE Demo.Parted (id VARCHAR(100) PRIMARY KEY) CHARSET utf8mb4"
        " PARTITION BY LIST COLUMNS (id) (PARTITION p VALUES IN ('a'))"
    )
    marked.query(f"CREATE TABLE Demo.Child (id VARCHAR(700), FOREIGN KEY (id) REFERENCES {TABLE} (id)) CHARSET utf8mb4")
    try:
        for table, numbers in (("Parted", {1526}), ("Child", {1452})):
            with marked.connect() as aurora, pytest.raises(DynauroraError) as caught:
                aurora.execute(f"INSERT INTO Demo.{table} VALUES (%s)", (MARKER,))
            check_told(caught.value, numbers)
    finally:
        marked.query("DROP TABLE Demo.Child, Demo.Parted")


def test_no_byte_of_text_that_is_none_is_told(marked: Target) -> None:
    statement = f"INSERT INTO {TABLE} (id) VALUES (CONVERT(CONCAT(%s, UNHEX('FFFE')) USING utf8mb4))"
    if is_mariadb(server_version(marked)):
        statement = f"INSERT INTO {TABLE} (id) VALUES (CONCAT(CAST(%s AS BINARY), UNHEX('FFFE')))"
    with marked.connect() as aurora, pytest.raises(DynauroraError) as caught:
        aurora.execute(statement, (MARKER,))
    check_told(caught.value, {1366, 1300, 3854, 1048})
