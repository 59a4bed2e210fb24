"""MariaDB: the engine by default, since every stable Debian and Ubuntu has it."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from local.aurora.engine import LOAD_ROLE, UNSYNCED_SETTINGS, Engine, Programs, find_program, run_as_root
from local.unpacking import Packages

_INITIALIZER = "mariadb-install-db"


class MariaDB(Engine):
    """MariaDB 10.6 or newer."""

    name = "mariadb"
    title = "MariaDB"
    version = re.compile(r"(\d+)\.(\d+)\.\d+-MariaDB")
    oldest = (10, 6)
    program = "mariadbd"
    packages = Packages("mariadb", ("mariadb-server-core", "mariadb-client-core"))
    client = "mariadb"
    data_mark = "aria_log_control"
    settings: ClassVar[Mapping[str, str]] = {
        "collation-server": "utf8mb4_unicode_520_nopad_ci",  # for utf8mb4_0900_ai_ci
        "aria-pagecache-buffer-size": "8M",
    }
    # Each change of a table is written down step by step in a log of its own, and waited for hundreds of times.
    unsynced_settings: ClassVar[Mapping[str, str]] = {**UNSYNCED_SETTINGS, "debug-no-sync": "ON"}

    def initialize(self, programs: Programs, data: Path) -> list[str]:
        """Return the command of MariaDB's own script, which has the server execute its SQL."""
        script = programs.root / "usr/bin" / _INITIALIZER if programs.root else find_program(_INITIALIZER)
        place = [f"--basedir={programs.root / 'usr'}"] if programs.root else []
        options = ("--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve")
        return [str(script), "--no-defaults", *place, f"--datadir={data}", *run_as_root(), *options]

    def declare_role(self, administrator: str) -> Iterator[str]:
        """Yield the role's declaration: nobody, as whom the server itself executes, may grant roles."""
        yield f"CREATE ROLE IF NOT EXISTS {LOAD_ROLE} WITH ADMIN {administrator}"

    def activate_role(self, user: str) -> str:
        """Return the statement in MariaDB's words."""
        return f"SET DEFAULT ROLE {LOAD_ROLE} FOR {user}"

    def _find_installed(self) -> Path | None:
        """Return the machine's own server, where what creates its tables is there too."""
        return super()._find_installed() if find_program(_INITIALIZER) else None
