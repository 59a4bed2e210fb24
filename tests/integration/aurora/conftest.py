"""Tables to load into and sessions to load with."""

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

Session = Any
"""A connection whose role allows it to load."""


@pytest.fixture
def create_table(server) -> Iterator[Callable[[str], str]]:
    """Create a table of the given columns, as the administrator; its name. It is dropped in the end."""
    names = []

    def create(columns: str) -> str:
        names.append(f"t{uuid.uuid4().hex[:12]}")
        _administer(server, f"CREATE TABLE {names[-1]} ({columns})")
        return names[-1]

    yield create
    for name in names:
        _administer(server, f"DROP TABLE {name}")


@pytest.fixture
def rows_of(server) -> Callable[[str], list[tuple[Any, ...]]]:
    """The committed rows of a table, as another session sees them."""

    def read(table: str) -> list[tuple[Any, ...]]:
        with server.connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"SELECT * FROM {table} ORDER BY 1")
            return list(cursor.fetchall())

    return read


@pytest.fixture
def open_session(aurora) -> Iterator[Callable[..., Session]]:
    """Open a loader's session, with the load role active unless told; closed in the end."""
    opened: list[Session] = []

    def open_one(*, role: bool = True, **options: Any) -> Session:
        connection = aurora.connect(**{"autocommit": True} | options)
        opened.append(connection)
        if role:
            execute(connection, "SET ROLE AWS_LOAD_S3_ACCESS")
        return connection

    yield open_one
    for connection in opened:
        if connection.open:
            connection.close()


@pytest.fixture
def session(open_session) -> Session:
    return open_session()


@pytest.fixture
def run() -> Callable[..., list[tuple[Any, ...]]]:
    """Execute a statement in a session; its rows."""
    return execute


def execute(connection: Any, statement: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


def _administer(server: Any, statement: str) -> None:
    with server.connect() as connection:
        execute(connection, "SET lock_wait_timeout = 10")  # rather than a day, for a session that forgot to commit
        execute(connection, statement)
