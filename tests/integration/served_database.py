"""A database server that someone else started: MySQL or MariaDB of any version, in a container.

DYNAURORA_TEST_DATABASE names a directory that the server and the tests share under the same path: the server has its
socket there (`mysqld.sock`) and reads the files to load from `loads/` (`--secure-file-priv`). Its root logs in without
a password. The gateway then stands in front of it as it does in front of the private MariaDB.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pymysql
import pytest

from local.aurora.server import ADMINISTRATOR, LOAD_ROLE, LOADER, User, Users

VARIABLE = "DYNAURORA_TEST_DATABASE"
START_SECONDS = 120
USERS = Users(User(ADMINISTRATOR, "administrators-password"), User(LOADER, "loaders-password"))


def find_served_database() -> "ServedDatabase | None":
    directory = os.environ.get(VARIABLE)
    return ServedDatabase(Path(directory)) if directory else None


class ServedDatabase:
    """What `local.stack.Stack` and the tests use of `local.aurora.mariadb.MariaDB`."""

    def __init__(self, directory: Path, database: str = "Demo") -> None:
        self.directory = directory
        self.database = database
        self.files = directory / "loads"
        self.socket = directory / "mysqld.sock"
        self.users = USERS

    def launch(self) -> Callable[[], None]:
        """Return what waits for the server and sets up its users."""
        return self._set_up

    def stop(self) -> None:
        """Leave it running: it is not ours."""

    def kill(self) -> None:
        pytest.skip("needs a database that it may kill")

    def start(self) -> None:
        """It runs."""

    def connect(self, user: User | None = None) -> "pymysql.Connection[Any]":
        """Connect past the gateway, as the administrator unless told."""
        user = user or self.users.administrator
        return pymysql.connect(
            unix_socket=str(self.socket), user=user.username, password=user.password, database=self.database
        )

    def _set_up(self) -> None:
        with closing(self._wait_for_root()) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT VERSION()")
            (version,) = cursor.fetchone() or ("",)
            for statement in declare_users(self.database, is_mariadb="MariaDB" in version):
                cursor.execute(statement)
            cursor.execute("SET GLOBAL require_secure_transport = ON")  # its socket is, and the gateway has TLS

    def _wait_for_root(self) -> "pymysql.Connection[Any]":
        """Connect as root, once the server is the final one.

        The images first start one without network, to set it up.
        """
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                connection = pymysql.connect(unix_socket=str(self.socket), user="root")
                with connection.cursor() as cursor:
                    cursor.execute("SELECT @@skip_networking")
                    if cursor.fetchone() == (0,):
                        return connection
                connection.close()
            except pymysql.MySQLError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.5)


def declare_users(database: str, *, is_mariadb: bool) -> Iterator[str]:
    """Yield the statements that make the database, its two users and Aurora's role, as local.aurora does."""
    yield f"CREATE DATABASE IF NOT EXISTS `{database}` CHARACTER SET utf8mb4"
    for user in (USERS.administrator, USERS.loader):
        yield f"DROP USER IF EXISTS {user.username}@localhost"
        yield f"CREATE USER {user.username}@localhost IDENTIFIED BY '{user.password}'"
    yield f"GRANT ALL PRIVILEGES ON *.* TO {ADMINISTRATOR}@localhost WITH GRANT OPTION"
    yield f"GRANT SELECT, INSERT, UPDATE, DELETE, CREATE TEMPORARY TABLES ON `{database}`.* TO {LOADER}@localhost"
    yield f"CREATE ROLE IF NOT EXISTS {LOAD_ROLE}"
    yield f"GRANT FILE ON *.* TO {LOAD_ROLE}"
    for user in (ADMINISTRATOR, LOADER):
        yield f"GRANT {LOAD_ROLE} TO {user}@localhost" + (" WITH ADMIN OPTION" if user == ADMINISTRATOR else "")
    yield f"SET DEFAULT ROLE {LOAD_ROLE} {'FOR' if is_mariadb else 'TO'} {ADMINISTRATOR}@localhost"
