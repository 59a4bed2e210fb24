"""Changes of columns, carried out: each statement waits for the table for a few seconds, and is tried again.

A statement that changes a table waits for whatever reads it, and whatever begins meanwhile waits for the statement. So
it gives up soon, lets imports pass, and tries again. MySQL commits each statement by itself: what was cut short is
found done, as far as it came, by the next plan.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dynaurora.aurora import sql
from dynaurora.aurora.connection import SESSION, find_number
from dynaurora.aurora.ddl import INSTANT, ONLINE
from dynaurora.errors import DatabaseError, DynauroraError, InvalidMappingError, LockWaitError
from dynaurora.mappings.page_sizes import advise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dynaurora.aurora.column_plan import ColumnPlan
    from dynaurora.aurora.connection import Aurora
    from dynaurora.mappings.mapping import Mapping

ALTER_WAIT_SECONDS: Final = 5
"""For which a statement waits for its table, and imports for the statement."""
NOT_INSTANT: Final = frozenset({1845, 1846, 4092})
"""The server cannot do it at once: of this table, or since it has been altered so too often."""
TOO_LARGE: Final = frozenset({1071, 1074, 1117, 1118, 1709})
"""Of keys, columns, their number, rows and indexes."""


def _say_nothing(_text: str) -> None:
    pass


@dataclass(frozen=True)
class Patience:
    """How long a table is waited for, and who is told."""

    seconds: float = 90.0
    """Until it is given up: statement after statement, with imports in between."""
    pause_seconds: float = 3.0
    tell: Callable[[str], None] = _say_nothing
    """Called with what is waited for."""


def change_columns(aurora: Aurora, plan: ColumnPlan, patience: Patience) -> None:
    """Do what a plan says. Safe to repeat with a plan that is made anew.

    Raises LockWaitError where the table is kept for too long; what was done stays. Raises InvalidMappingError where the
    server refuses a table, column or row as too large.
    """
    mapping = plan.mapping
    deadline = time.monotonic() + patience.seconds
    with short_lock_waits(aurora), naming_widest(mapping):
        if plan.creates:
            if not plan.shows:
                aurora.execute(sql.drop_view(mapping))  # of a table that is gone: it would show the new one's rows
            aurora.execute(sql.create_replica(mapping, plan.collation))
        for statement in plan.before_view:
            alter(aurora, mapping, statement, deadline, patience)
        if plan.shows:
            refresh_view(aurora, mapping, deadline, patience)
        for statement in plan.after_view:
            alter(aurora, mapping, statement, deadline, patience)


def refresh_view(aurora: Aurora, mapping: Mapping, deadline: float, patience: Patience) -> None:
    """Make the view anew; where people read it all the time, one that shows the same columns does."""
    try:
        retry(aurora, mapping, sql.create_view(mapping), deadline, patience)
    except LockWaitError:
        if not shows_columns(aurora, mapping):
            raise


def shows_columns(aurora: Aurora, mapping: Mapping) -> bool:
    """Tell whether the view can be read and shows the mapping's columns of its replica in their order."""
    try:
        aurora.query(sql.select_nothing(mapping))
        shown = [name for name, *_ in aurora.query(sql.show_columns(mapping, mapping.table))]
        ((_, definition, *_),) = aurora.query(sql.show_create(mapping, mapping.table))
    except DynauroraError:
        return False
    return f".{sql.quote(mapping.replica)}" in definition and shown == [column.name for column in mapping.columns]


def alter(aurora: Aurora, mapping: Mapping, statement: str, deadline: float, patience: Patience) -> None:
    """Execute a statement, and in place where the server cannot do it at once."""
    try:
        retry(aurora, mapping, statement, deadline, patience)
    except DatabaseError as error:
        if not statement.endswith(INSTANT) or find_number(error) not in NOT_INSTANT:
            raise
        patience.tell(f"{mapping.database}.{mapping.replica} is written anew; imports go on meanwhile")
        retry(aurora, mapping, statement.removesuffix(INSTANT) + ONLINE, deadline, patience)


def retry(aurora: Aurora, mapping: Mapping, statement: str, deadline: float, patience: Patience) -> None:
    """Execute a statement, again and again while its table is kept. Raises LockWaitError after the deadline."""
    while True:
        try:
            aurora.execute(statement)
            return
        except LockWaitError as error:
            table = f"{mapping.database}.{mapping.table}"
            waits_for = f"{table} is kept by {describe_holders(aurora)}"
            if time.monotonic() + patience.pause_seconds > deadline:
                raise LockWaitError(
                    f"{waits_for}. What was done stays, and nothing is lost: do it again once that has ended."
                ) from error
            patience.tell(waits_for)
            time.sleep(patience.pause_seconds)


def describe_holders(aurora: Aurora) -> str:
    """Return whose transactions are open, the longest first; of them is the one that keeps a table."""
    statement = (
        "SELECT p.id, p.user, TIMESTAMPDIFF(SECOND, t.trx_started, NOW())"
        " FROM information_schema.innodb_trx t JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id"
        " WHERE p.id <> CONNECTION_ID() ORDER BY t.trx_started LIMIT 3"
    )
    try:
        rows = aurora.query(statement)
    except DynauroraError:  # of a user without PROCESS
        rows = []
    found = [f"connection {number} of {user} (for {int(seconds)} s)" for number, user, seconds in rows]
    return "another transaction; open are " + ", ".join(found) if found else "another transaction"


@contextmanager
def short_lock_waits(aurora: Aurora) -> Iterator[None]:
    """Have statements inside wait for a table for a few seconds only."""
    aurora.execute(f"SET SESSION lock_wait_timeout = {ALTER_WAIT_SECONDS}")
    yield
    aurora.execute(f"SET SESSION lock_wait_timeout = {SESSION['lock_wait_timeout']}")


@contextmanager
def naming_widest(mapping: Mapping) -> Iterator[None]:
    """Turn the server's refusal of a size, which names no column, into one that names the widest."""
    try:
        yield
    except DatabaseError as error:
        if find_number(error) not in TOO_LARGE:
            raise
        raise InvalidMappingError(f"{error.problem} {advise(mapping, mapping.columns)}") from error
