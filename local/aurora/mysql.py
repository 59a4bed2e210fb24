"""MySQL: what Aurora MySQL is, in whatever version the distribution has."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from local.aurora.engine import LOAD_ROLE, Engine, Programs, run_as_root
from local.unpacking import Packages


class MySQL(Engine):
    """MySQL 8.0 or newer."""

    name = "mysql"
    title = "MySQL"
    version = re.compile(r"Ver (\d+)\.(\d+)\.\d+(?![^ ]*MariaDB)")
    oldest = (8, 0)
    program = "mysqld"
    packages = Packages("mysql", ("mysql-server-core", "mysql-client-core"), from_unstable=True)
    client = "mysql"
    data_mark = "mysql.ibd"
    settings: ClassVar[Mapping[str, str]] = {
        "collation-server": "utf8mb4_0900_ai_ci",
        "mysqlx": "OFF",  # a second protocol, on a port and a socket of its own
        "log-error-verbosity": "2",
    }

    def initialize(self, programs: Programs, data: Path) -> list[str]:
        """Return the server's own command for it."""
        options = (*programs.locate_files(), f"--datadir={data}", *run_as_root(), "--innodb-use-native-aio=OFF")
        return [str(programs.server), "--no-defaults", *options, "--initialize-insecure"]

    def declare_role(self, administrator: str) -> Iterator[str]:
        """Yield the role's declaration and who may grant it."""
        yield f"CREATE ROLE IF NOT EXISTS {LOAD_ROLE}"
        yield f"GRANT {LOAD_ROLE} TO {administrator} WITH ADMIN OPTION"

    def activate_role(self, user: str) -> str:
        """Return the statement in MySQL's words."""
        return f"SET DEFAULT ROLE {LOAD_ROLE} TO {user}"

    def list_options(self) -> list[str]:
        """Return the options, without a binary log: an Aurora cluster writes none unless it is told to."""
        return [*super().list_options(), "--skip-log-bin"]
