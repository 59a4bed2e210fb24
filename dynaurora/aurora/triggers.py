"""Triggers of the tables that imports write to.

Only who may create triggers of a table sees that it has some (MySQL 8.0 Reference Manual, "The INFORMATION_SCHEMA
TRIGGERS Table"), and the loader may define nothing. So the administrator leaves a procedure behind, which sees what
whoever made it sees, and tells of the triggers of two tables of its own schema. It is no function: where the server has
a binary log, those take a right that Aurora gives to nobody.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dynaurora.aurora.connection import find_number
from dynaurora.aurora.sql import quote
from dynaurora.errors import DynauroraError, PrivilegeError

if TYPE_CHECKING:
    from dynaurora.aurora.connection import Aurora

PROCEDURE: Final = "_dynaurora_triggers"
SEEN: Final = (
    "SELECT TRIGGER_NAME, EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_STATEMENT"
    " FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = {schema} AND EVENT_OBJECT_TABLE IN ({one}, {other})"
)
CANNOT_CALL: Final = frozenset({1044, 1142, 1305, 1370, 1449, 1356})
"""Numbers of what a server says where the procedure is missing, whoever made it is gone, or may not be called."""

COMMENTS: Final = r"/\*(?!M?!).*?\*/ | (?:--\s|\#)[^\n]*"
SILENT: Final = tuple(
    re.compile(
        rf"""{COMMENTS} | '{text}*' | "(?!NEW"){text.replace("'", '"')}*" """, re.DOTALL | re.VERBOSE | re.IGNORECASE
    )
    for text in (r"(?:[^'\\]|\\.|'')", r"(?:[^']|'')")
)
"""What does nothing in a trigger: comments, and texts in quotes, where a backslash escapes and where, by the SQL mode
of whoever made it (NO_BACKSLASH_ESCAPES), it does not. By another one (ANSI_QUOTES), "NEW" is no text."""
ELSEWHERE = re.compile(
    r"\bSET\s+(?:MESSAGE_TEXT|MYSQL_ERRNO|\w+_NAME|\w+_ORIGIN)\b|\b(?:INSERT|REPLACE)\s+(?:IGNORE\s+)?INTO\b",
    re.IGNORECASE,
)
"""What a SIGNAL says, and what goes into another table: no assignment to the row."""
ASSIGNING = re.compile(r"\b(?:SET|INTO|CALL|GET)\b|:=", re.IGNORECASE)
NEW = re.compile(r"\bNEW\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Trigger:
    """A trigger as the server tells it."""

    name: str
    table: str
    timing: str
    """BEFORE or AFTER."""
    event: str
    """INSERT, UPDATE or DELETE."""
    body: str

    @property
    def may_set_columns(self) -> bool:
        """Whether a row may have other values after it; not where it assigns nothing, and refuses rows at most."""
        if self.timing != "BEFORE" or self.event == "DELETE":
            return False
        codes = [silent.sub(" ", self.body) for silent in SILENT]
        return any(NEW.search(code) and ASSIGNING.search(ELSEWHERE.sub("", code)) for code in codes)


@dataclass(frozen=True, slots=True)
class Triggers:
    """The triggers of two tables, as far as the user of a connection may see them."""

    triggers: tuple[Trigger, ...]
    are_all: bool
    """Whether the procedure told them."""


def find_triggers(aurora: Aurora, database: str, table: str, other: str) -> Triggers:
    """Return the triggers of two tables; where the procedure cannot be called, those that the user may see."""
    try:
        rows = aurora.query(f"CALL {quote(database)}.{quote(PROCEDURE)}(%s, %s)", (table, other))
    except DynauroraError as error:
        if find_number(error) not in CANNOT_CALL:
            raise
        statement = SEEN.format(schema="%s", one="%s", other="%s")
        return Triggers(
            tuple(Trigger(*row) for row in aurora.query(statement, (database, table, other))), are_all=False
        )
    return Triggers(tuple(Trigger(*row) for row in rows), are_all=True)


def leave_procedure(aurora: Aurora, database: str) -> bool:
    """Make the procedure where it is not there or fails, as the connection's user; return whether it is there.

    It is not where that user may not create routines: imports go on without, and `dynaurora doctor` says so.
    """
    name = f"{quote(database)}.{quote(PROCEDURE)}"
    if find_triggers(aurora, database, "", "").are_all:
        return True
    text = "VARCHAR(64) CHARACTER SET utf8mb4"
    try:
        aurora.execute(f"DROP PROCEDURE IF EXISTS {name}")
        aurora.execute(
            f"CREATE PROCEDURE {name} (IN one {text}, IN other {text}) READS SQL DATA SQL SECURITY DEFINER "
            + SEEN.format(schema="DATABASE()", one="one", other="other")
        )
    except PrivilegeError:
        return False
    return True


def admit_caller(aurora: Aurora, database: str, account: str, *names: str) -> None:
    """Let a user call the procedure, where it is there; `account` is it as SQL has it, with places for `names`.

    Raises PrivilegeError where that cannot be granted.
    """
    if leave_procedure(aurora, database):
        aurora.execute(f"GRANT EXECUTE ON PROCEDURE {quote(database)}.{quote(PROCEDURE)} TO {account}", names)
