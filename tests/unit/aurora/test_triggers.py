"""What a trigger may do to a row, by its text."""

import pytest

from dynaurora.aurora.triggers import Trigger


def trigger(body, timing="BEFORE", event="INSERT"):
    return Trigger("t", "Things__replica", timing, event, body)


@pytest.mark.parametrize(
    "body",
    [
        "SET NEW.hits = 1",
        "set new . `hits` = 1",
        "BEGIN /* no */ SET @x = 1, NEW.hits = 2; END",
        "SET /* '*/ NEW.hits = 1 -- '",
        "BEGIN FETCH c INTO NEW.hits; END",
        "CALL change(NEW.hits)",
        ":NEW.hits := 1",
        "/*!50000 SET NEW.hits = 1 */",
        "BEGIN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'x'; SET NEW.hits = 1; END",
    ],
)
def test_what_assigns_may_set_columns(body):
    assert trigger(body).may_set_columns
    assert trigger(body, event="UPDATE").may_set_columns


@pytest.mark.parametrize(
    "body",
    [
        "IF NEW.hits = 13 THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'SET NEW.hits'; END IF",
        "INSERT INTO told VALUES (NEW.hits, 'SET')",
        "DELETE FROM told WHERE hits = NEW.hits -- SET NEW.hits = 1",
        "SET @seen = 1",
    ],
)
def test_what_assigns_nothing_of_a_row_does_not(body):
    assert not trigger(body).may_set_columns


def test_a_trigger_that_runs_afterwards_sets_nothing():
    assert not trigger("SET NEW.hits = 1", timing="AFTER").may_set_columns
    assert not trigger("SET @x = OLD.hits", event="DELETE").may_set_columns
