"""A database server that someone else started: MySQL or MariaDB of any version, in a container.

DYNAURORA_TEST_DATABASE names a directory that the server and the tests share under the same path: the server has its
socket there (`mysqld.sock`) and reads the files to load from `loads/` (`--secure-file-priv`). Its root logs in without
a password. The gateway then stands in front of it as it does in front of the private server.

All tests of one run share its database and its users: it is for one process of tests at a time (`WORKERS=0`).
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pymysql
import pytest

from local.aurora.engine import LOAD_ROLE, Engine
from local.aurora.engines import ENGINES
from local.aurora.server import ADMINISTRATOR, LOADER, User, Users, connect_by_socket

VARIABLE = "DYNAURORA_TEST_DATABASE"
START_SECONDS = 120
USERS = Users(User(ADMINISTRATOR, "administrators-password"), User(LOADER, "loaders-password"))


def find_served_database() -> "ServedDatabase | None":
    directory = os.environ.get(VARIABLE)
    if directory and int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) > 1:
        pytest.exit(f"{VARIABLE} names one database, and several workers would empty each other's tables: WORKERS=0", 2)
    return ServedDatabase(Path(directory)) if directory else None


class ServedDatabase:
    """What `local.stack.Stack` and the tests use of `local.aurora.server.DatabaseServer`."""

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
        return connect_by_socket(self.socket, user.username, user.password, self.database)

    def _set_up(self) -> None:
        with closing(self._wait_for_root()) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT VERSION()")
            (version,) = cursor.fetchone() or ("",)
            engine = ENGINES["mariadb" if "MariaDB" in version else "mysql"]
            for statement in declare_users(self.database, engine):
                cursor.execute(statement)
            cursor.execute("SET GLOBAL require_secure_transport = ON")  # its socket is, and the gateway has TLS

    def _wait_for_root(self) -> "pymysql.Connection[Any]":
        """Connect as root, once the server is the final one.

        The images first start one without network, to set it up.
        """
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                connection = connect_by_socket(self.socket, "root")
                with connection.cursor() as cursor:
                    cursor.execute("SELECT @@skip_networking")
                    if cursor.fetchone() == (0,):
                        return connection
                connection.close()
            except pymysql.MySQLError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.5)


def declare_users(database: str, engine: Engine) -> Iterator[str]:
    """Yield the statements that make the database, its two users and Aurora's role, as local.aurora does."""
    yield f"CREATE DATABASE IF NOT EXISTS `{database}` CHARACTER SET utf8mb4"
    for user in (USERS.administrator, USERS.loader):
        yield f"DROP USER IF EXISTS {user.username}@localhost"
        yield f"CREATE USER {user.username}@localhost IDENTIFIED BY '{user.password}'"
    yield f"GRANT ALL PRIVILEGES ON *.* TO {ADMINISTRATOR}@localhost WITH GRANT OPTION"
    rights = "SELECT, INSERT, UPDATE, DELETE, CREATE TEMPORARY TABLES, SHOW VIEW, EXECUTE"
    yield f"GRANT {rights} ON `{database}`.* TO {LOADER}@localhost"
    yield f"CREATE ROLE IF NOT EXISTS {LOAD_ROLE}"
    yield f"GRANT FILE ON *.* TO {LOAD_ROLE}"
    for user in (ADMINISTRATOR, LOADER):
        yield f"GRANT {LOAD_ROLE} TO {user}@localhost" + (" WITH ADMIN OPTION" if user == ADMINISTRATOR else "")
    yield engine.activate_role(USERS.administrator.account)
