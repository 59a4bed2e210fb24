"""Messages of servers: of a row nothing is told but the server's own words, a name and a line."""

import pytest
from pymysql import err

from dynaurora.aurora.connection import DuplicateRow, find_row_error, translate_driver_error, translated_driver_errors
from dynaurora.aurora.messages import ITS_OWN, LEFT_OUT, OF_ROWS, SPEAKING, describe_message
from dynaurora.errors import DynauroraError

SECRET = "alice@example.com, IBAN 'DE00' for column 'fake' at row 9"


@pytest.mark.parametrize(
    ("number", "message", "told"),
    [
        (1366, f"Incorrect integer value: '{SECRET}' for column `Demo`.`t`.`hits` at row 3", "hits, row 3"),
        (1366, f"Incorrect integer value: '{SECRET}' for column 'hits' at row 3", "hits, row 3"),
        (1292, f"Truncated incorrect DOUBLE value: '{SECRET}'", "Truncated incorrect DOUBLE value: …"),
        (1300, f"Invalid utf8mb4 character string: '{SECRET}'", "Invalid utf8mb4 character string: …"),
        (1062, f"Duplicate entry '{SECRET}' for key 't.PRIMARY'", "Duplicate entry …, column or key PRIMARY"),
        (1064, f"You have an error in your SQL syntax near '{SECRET}' at line 1", "at line 1"),
        (1644, SECRET, "a trigger or a procedure refused a row"),
        (1526, f"Table has no partition for value {SECRET[:5]}", "has no partition for value …"),
        (6000, f'An unknown thing: "{SECRET}"', "An unknown thing: …"),
        (1366, f"Incorrect integer value: '{SECRET[:30]}", "Incorrect integer value: …"),
        (1690, f"BIGINT value is out of range in '(1 + length('{SECRET[:30]}", "BIGINT value is out of range in …"),
    ],
)
def test_no_value_of_a_row_is_told(number, message, told):
    said = translate_driver_error(err.DataError(number, message))
    text = said.problem if isinstance(said, DynauroraError) else str(said)
    assert told in text
    assert str(number) in text
    assert not {part for part in ("alice", "IBAN", "DE00", "fake", "row 9") if part in text}


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (1406, "Data too long for column 'city' at row 7"),
        (1048, "Column 'city' cannot be null"),
        (3819, "Check constraint 'city' is violated."),
        (4025, "CONSTRAINT `city` failed for `Demo`.`t`"),
        (1146, "Table 'Demo.city' doesn't exist"),
        (1265, "Data truncated for column 'city' at row 1"),
    ],
)
def test_names_of_the_target_are_told(number, message):
    assert "city" in describe_message(number, message)


def test_a_long_message_is_cut():
    assert len(describe_message(1146, "x" * 10_000)) == 500
    assert len(describe_message(6000, "x" * 10_000)) == 500


SMALLER = "Changing some columns to TEXT or BLOB"
FORMATS = "ROW_FORMAT=DYNAMIC or ROW_FORMAT=COMPRESSED"
LARGEST = "The maximum row size for the used table type, not counting BLOBs, is 65535"
CHANGE_SOME = "You have to change some columns to TEXT or BLOBs"
INLINE = "In current row format, BLOB prefix of 768 bytes is stored inline"
BROKEN = "a foreign key constraint fails (`Demo`.`t`, CONSTRAINT `c` FOREIGN KEY (`id`) REFERENCES `p` (`id`))"


@pytest.mark.parametrize("number", [*sorted(OF_ROWS), 3157, 4999])
@pytest.mark.parametrize("state", ["22001", "22003", "23000"])
def test_what_somebody_says_of_a_row_is_left_out_under_the_servers_own_numbers(number, state):
    with pytest.raises((DynauroraError, DuplicateRow)) as caught, translated_driver_errors():
        raise err.OperationalError(number, "Rejected alice: e-mail alice@example.com", sqlstate=state)
    assert "alice" not in str(caught.value)
    assert str(number) in str(caught.value)


@pytest.mark.parametrize(
    ("number", "state", "message"),
    [
        (1146, "42S02", "Refused alice"),
        (1205, "HY000", "Refused alice"),
        (1111, "42000", "Refused alice"),
        (1264, "22003", "Out of range value for column 'alice'"),
    ],
)
def test_what_passes_for_the_servers_is_told_and_nothing_under_the_state_of_a_signal(number, state, message):
    assert "alice" in describe_message(number, message, state)  # as docs/security.md says of what is left
    for own in ("45000", "45001"):
        said = translate_driver_error(err.OperationalError(number, message, sqlstate=own))
        assert "alice" not in str(said)
        assert ITS_OWN in str(said)


@pytest.mark.parametrize("number", sorted(SPEAKING))
def test_a_number_of_statements_tells_nothing_where_its_state_is_of_data(number):
    assert "alice" not in describe_message(number, "Rejected alice", "22001")


def test_a_row_that_is_refused_under_an_unknown_number_is_one_rows_fault():
    with pytest.raises(DynauroraError) as caught, translated_driver_errors():
        raise err.OperationalError(5005, "Rejected alice", sqlstate="23000")
    assert find_row_error(caught.value) == 5005


@pytest.mark.parametrize(
    ("number", "state", "is_of_a_row"),
    [
        pytest.param(1365, "22012", True, id="division by zero, in a trigger"),
        pytest.param(1441, "22008", True, id="a time that overflows, in a trigger"),
        pytest.param(1022, "23000", False, id="duplicate key"),
        pytest.param(1169, "23000", False, id="duplicate by a unique constraint"),
        pytest.param(1451, "23000", False, id="others refer to it"),
        pytest.param(1586, "23000", False, id="duplicate of a named key"),
    ],
)
def test_what_is_said_of_a_value_is_one_rows_fault_and_what_is_said_because_of_other_rows_is_not(
    number, state, is_of_a_row
):
    with pytest.raises(DynauroraError) as caught, translated_driver_errors():
        raise err.OperationalError(number, "It is refused", sqlstate=state)
    assert find_row_error(caught.value) == (number if is_of_a_row else None)


@pytest.mark.parametrize(
    ("number", "message", "told"),
    [
        (1863, "Found a row in wrong partition (0 != 1) id:alice", LEFT_OUT),
        (1526, "Table has no partition for value alice bob", LEFT_OUT),
        (
            1526,
            "Table has no partition for value from column_list",
            "Table has no partition for value from column_list",
        ),
        (1526, "Tabelle hat für den Wert alice keine Partition", LEFT_OUT),
        (1264, "Out of range value alice for column 'n' at row 1", LEFT_OUT),
        (
            1231,
            "Variable 'sql_mode' can't be set to the value of 'alice'",
            "Variable 'sql_mode' can't be set to the value of …",
        ),
        (7000, "alice", ITS_OWN),
        (1441, "Datetime function: alice field overflow", LEFT_OUT),
        (1586, "Duplicate entry 'alice' for key 'PRIMARY'", "Duplicate entry …, column or key PRIMARY"),
        (1452, f"Cannot add or update a child row: {BROKEN}", BROKEN),
        (1118, f"Row size too large (> 8126). {SMALLER} may help. {INLINE}.", "Row size too large (> 8126)."),
        (
            1118,
            f"Row size too large (> 1982). {SMALLER} or using {FORMATS} may help. {INLINE}.",
            "Row size too large (> 1982).",
        ),
        (
            1118,
            f"Row size too large. {LARGEST}. This includes storage overhead, check the manual. {CHANGE_SOME}",
            "is 65535",
        ),
        (1118, "Row size too large (> 4111). Alice, of Bonn.", LEFT_OUT),
        (1118, "Row size too large (> 4111). Changing some columns to alice may help.", LEFT_OUT),
        (1118, f"Row size too large (> 4111222233334444). {SMALLER} may help. {INLINE}.", LEFT_OUT),
        (1118, "Row size too large. Alice, of Bonn", LEFT_OUT),
        (1071, "Specified key was too long; max key length is 3072 bytes", "max key length is 3072 bytes"),
    ],
)
def test_what_is_told_of_other_messages(number, message, told):
    said = describe_message(number, message)
    assert told in said
    assert "alice" not in said.lower()
