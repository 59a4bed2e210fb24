"""Deaths: of an importer at a statement, and of whoever writes objects at one of them."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import pymysql

from dynaurora.aurora.connection import Aurora
from tests.support.fakes import InMemoryObjects

STATEMENTS: Final = 32
"""More than an import has: a death planned behind the last one does not happen."""
LOCK_WAIT_TIMEOUT: Final = 1205
CONNECTION_LOST: Final = 2013


@dataclass(frozen=True)
class Death:
    """How an import ends: at which statement, counted from 1, and with what."""

    how: str
    """The connection breaks `before` the statement is sent or `after`, unanswered; or the statement is `refused`: it
    waited too long for a lock, so that statement alone is undone, and the connection lives."""
    statement: int


def draw_death(draw: random.Random) -> Death | None:
    if draw.random() < 0.5:
        return None
    return Death(draw.choice(("before", "after", "refused")), draw.randint(1, STATEMENTS))


@contextmanager
def dying(aurora: Aurora, death: Death) -> Iterator[None]:
    """Have what is done inside end so, if it gets there."""
    connection: Any = aurora._connection
    send, sent = connection._execute_command, 0

    def counted(command: int, statement: str | bytes) -> None:
        nonlocal sent
        sent += 1
        if sent < death.statement:
            return send(command, statement)
        if death.how == "refused":
            if sent > death.statement or statement in {"COMMIT", "ROLLBACK"}:  # these take no locks
                return send(command, statement)
            raise pymysql.err.OperationalError(LOCK_WAIT_TIMEOUT, "Lock wait timeout exceeded")
        if sent == death.statement and death.how == "after":
            send(command, statement)
        connection._force_close()
        raise pymysql.err.OperationalError(CONNECTION_LOST, "the importer died")

    connection._execute_command = counted
    try:
        yield
    finally:
        del connection._execute_command


class WriterDied(BaseException):
    """Whoever wrote to the store died: nothing catches this, as nothing catches a kill."""


@dataclass
class DyingStore(InMemoryObjects):
    """Objects whose writer may die."""

    _left: int | None = None

    @contextmanager
    def dying_after(self, writes: int) -> Iterator[None]:
        """Have what is done inside die when it has changed so many objects and would change another."""
        self._left = writes
        try:
            yield
        finally:
            self._left = None

    def write(self, bucket: str, key: str, body: bytes) -> str:
        self._spend()
        return super().write(bucket, key, body)

    def delete(self, bucket: str, key: str) -> None:
        self._spend()
        super().delete(bucket, key)

    def _spend(self) -> None:
        if self._left is None:
            return
        if not self._left:
            raise WriterDied
        self._left -= 1
