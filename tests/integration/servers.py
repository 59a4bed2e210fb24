"""Settings of the real server, set for all of its sessions and put back."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from dynaurora.aurora.connection import connect, is_mariadb
from local.aurora.server import DatabaseServer
from tests.integration.targets import Target


def server_version(target: Target) -> str:
    with connect(target.endpoint, target.administrator) as aurora:
        return aurora.server_version


def needs_mysql(target: Target) -> None:
    """Skip what MariaDB has not."""
    if is_mariadb(server_version(target)):
        pytest.skip("MySQL has it, and MariaDB has not")


@contextmanager
def set_globally(server: DatabaseServer, **settings: Any) -> Iterator[None]:
    """Have sessions that begin meanwhile begin with other values of system variables."""
    with closing(server.connect()) as connection, connection.cursor() as cursor:
        before: dict[str, Any] = {}
        try:
            for name, value in settings.items():
                cursor.execute(f"SELECT @@GLOBAL.{name}")
                ((before[name],),) = cursor.fetchall()
                cursor.execute(f"SET GLOBAL {name} = %s", (value,))
            yield
        finally:
            for name, value in reversed(before.items()):
                cursor.execute(f"SET GLOBAL {name} = %s", (value,))
