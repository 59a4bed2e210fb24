"""A private database server: its data created once, started on a Unix socket, stopped, killed, restarted.

It runs as whoever starts it, root included, and listens on no TCP port: clients come through the gateway. Which server
it is, its engine says (`local.aurora.engine`). Users and grants are declared in a file that the server executes at each
start, before it accepts connections.
"""

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pymysql
from pymysql.constants.CR import CR_CONNECTION_ERROR

from local.aurora.engine import LOAD_ROLE, Engine, Programs, ServerSetupError
from local.aurora.engines import find_engine, refuse_foreign_data
from local.aurora.new_data import create_data
from local.certificates import ensure_certificates
from local.files import write_private
from local.processes import Child, ProcessIdentity, kill_child, quote_log, start_child, stop_child, wait_until_ready

if TYPE_CHECKING:
    from pymysql.connections import Connection

DATA: Final = "data"
"""In a server's directory, what it keeps."""

ADMINISTRATOR: Final = "admin"
LOADER: Final = "dynaurora_loader"

_START_TIMEOUT_SECONDS = 60.0
"""Includes InnoDB's recovery after a kill."""
_STOP_GRACE_SECONDS = 15.0
_SOCKET_PATH_LIMIT = 107
"""Bytes in a Unix socket's path: `sun_path` of `unix(7)` less its closing NUL."""


@dataclass(frozen=True)
class User:
    """Who connects: a name and a password."""

    username: str
    password: str

    @property
    def account(self) -> str:
        """The user as SQL names it; clients come through the gateway, so that all are local."""
        return f"{self.username}@localhost"


@dataclass(frozen=True)
class Users:
    """The users this server has, with passwords made once for its data."""

    administrator: User
    """For people: may do everything, `LOAD DATA FROM S3` included, as Aurora's administrative user."""
    loader: User
    """For import_batch: rows of one database, and the load role, which is granted but not active by itself."""


def connect_by_socket(
    path: Path, username: str, password: str = "", database: str | None = None
) -> "Connection[pymysql.cursors.Cursor]":
    """Return a connection to the server that listens at a Unix socket. Raises pymysql.MySQLError.

    A socket that the driver opens itself and cannot connect is closed by nobody (PyMySQL 1.2, `Connection.connect`).
    """
    connection = pymysql.connect(user=username, password=password, database=database, defer_connect=True)
    vars(connection)["_secure"] = True  # as of a socket of its own: passwords may be sent over it
    with contextlib.ExitStack() as undoing:
        link = undoing.enter_context(socket.socket(socket.AF_UNIX))
        try:
            link.connect(str(path))
        except OSError as error:
            raise pymysql.err.OperationalError(CR_CONNECTION_ERROR, f"no server at {path}: {error}") from error
        connection.connect(link)
        undoing.pop_all()
    return connection


class DatabaseServer:
    """One server and its data, in a directory of its own."""

    def __init__(self, directory: Path, *, log: Path, database: str = "Demo", engine: Engine | None = None) -> None:
        """Describe a server; nothing happens before `start`.

        Its engine is the one by default unless told (`find_engine`). Its data, socket and files to load are kept in
        `directory`; its messages are appended to `log`. `database` is the database (schema) that is created, and the
        only one the loader may use.
        """
        self.engine = engine or find_engine()
        self.directory = directory.absolute()
        self.database = database
        self.files = self.directory / "loads"
        """The only directory the server reads files from."""
        self.socket = place_socket(self.directory)
        self._data = self.directory / DATA
        self._log = log
        self._child: Child | None = None

    @property
    def users(self) -> Users:
        """The server's users; created when asked for first, the same for as long as its data live."""
        return _ensure_users(self.directory / "users.json")

    @property
    def identity(self) -> ProcessIdentity | None:
        """The running server process, or None."""
        return self._child.identity if self._child is not None and self.is_running() else None

    def is_running(self) -> bool:
        """Tell whether the server process lives."""
        return self._child is not None and self._child.is_alive()

    def start(self) -> None:
        """Start the server, creating its data first when its directory is new; return when it accepts connections.

        Raises ServerUnavailableError where this machine has no such server, EngineError where the directory has another
        engine's data, ServerSetupError when data or users could not be set up, and ProcessError, with the end of the
        log, when the server ended or did not become ready.
        """
        wait_until_started = self.launch()
        wait_until_started()

    def launch(self) -> Callable[[], None]:
        """Start the server process, without waiting; the function that is returned waits until it is ready."""
        if self.is_running():
            return lambda: None
        refuse_foreign_data(self._data, self.engine)
        programs = self.engine.find_programs()
        self._prepare_directories()
        if not self._data.exists():
            create_data(self.engine, programs, self._data, self._log)
        declarations = self._declare_users()
        child = start_child(self.engine.title, self._command(programs, declarations), log=self._log)
        self._child = child

        def wait() -> None:
            wait_until_ready(child, self._accepts_connections, timeout=_START_TIMEOUT_SECONDS)
            self._grant_roles()
            declarations.unlink()

        return wait

    def stop(self) -> None:
        """Shut the server down in order, and leave no directory of its socket's own; does nothing when it is down."""
        if self._child is not None:
            stop_child(self._child, grace=_STOP_GRACE_SECONDS)
        if self.socket.parent != self.directory:
            shutil.rmtree(self.socket.parent, ignore_errors=True)

    def kill(self) -> None:
        """End the server as a power failure would, with SIGKILL; `start` recovers what was committed."""
        if self._child is not None:
            kill_child(self._child)

    def restart(self) -> None:
        """Stop the server, if it runs, and start it again."""
        self.stop()
        self.start()

    def connect(self, user: User | None = None) -> "Connection[pymysql.cursors.Cursor]":
        """Return a connection straight to the server, past the gateway; the administrator's unless told."""
        user = user or self.users.administrator
        return connect_by_socket(self.socket, user.username, user.password, self.database)

    def _prepare_directories(self) -> None:
        """Create what the server needs, and remove what a killed run left."""
        for name in ("loads", "tmp"):
            shutil.rmtree(self.directory / name, ignore_errors=True)
            (self.directory / name).mkdir(parents=True)
        self.directory.chmod(0o700)
        self.socket.parent.mkdir(mode=0o700, exist_ok=True)
        # A killed server still listens until its last thread is gone, and MySQL takes it for alive until somebody
        # has collected its exit status.
        self.socket.unlink(missing_ok=True)
        self.socket.with_name(f"{self.socket.name}.lock").unlink(missing_ok=True)
        if self.socket.parent.stat().st_uid != os.geteuid():
            raise ServerSetupError(f"{self.socket.parent} belongs to another user: remove it")

    def _declare_users(self) -> Path:
        """Write the statements that the server executes when it starts; return the file."""
        path = self.directory / "declarations.sql"
        write_private(path, "".join(f"{statement};\n" for statement in self._declarations()))
        return path

    def _grant_roles(self) -> None:
        """Have the administrator grant the load role: nobody, as whom the server itself executes, may grant roles."""
        try:
            with self.connect() as connection, connection.cursor() as cursor:
                for statement in self._role_grants():
                    cursor.execute(statement)
        except pymysql.MySQLError as error:
            raise ServerSetupError(
                f"the database's users could not be set up: {error}{quote_log(self._log)}"
            ) from error

    def _command(self, programs: Programs, declarations: Path) -> list[str]:
        """Return the server's command line."""
        certificates = ensure_certificates(self.directory / "certificates")
        return [
            str(programs.server),
            "--no-defaults",
            *programs.locate_files(),
            f"--datadir={self._data}",
            f"--socket={self.socket}",
            f"--pid-file={self.directory / 'server.pid'}",
            f"--secure-file-priv={self.files}",
            f"--tmpdir={self.directory / 'tmp'}",
            f"--init-file={declarations}",
            f"--ssl-ca={certificates.ca_file}",
            f"--ssl-cert={certificates.certificate_file}",
            f"--ssl-key={certificates.key_file}",
            *self.engine.list_options(),
        ]

    def _declarations(self) -> Iterator[str]:
        """Yield the SQL that declares the database, the users and the load role; as often as the server starts."""
        yield f"CREATE DATABASE IF NOT EXISTS `{self.database}`"
        administrator, loader = self.users.administrator, self.users.loader
        for user in (administrator, loader):
            yield f"CREATE USER IF NOT EXISTS {user.account}"
            yield f"ALTER USER {user.account} IDENTIFIED BY '{user.password}'"
        yield f"ALTER USER {loader.account} REQUIRE SSL"  # as the deployment makes it
        yield f"GRANT ALL PRIVILEGES ON *.* TO {administrator.account} WITH GRANT OPTION"
        yield from self.engine.declare_role(administrator.account)
        yield f"GRANT FILE ON *.* TO {LOAD_ROLE}"
        # In the name of a database, a grant takes _ for any character.
        schema = self.database.replace("_", r"\_")
        rights = "SELECT, INSERT, UPDATE, DELETE, CREATE TEMPORARY TABLES, SHOW VIEW, EXECUTE"
        yield f"GRANT {rights} ON `{schema}`.* TO {loader.account}"
        # Created without a password, and the gateway makes it reachable by TCP.
        yield "ALTER USER IF EXISTS root@localhost ACCOUNT LOCK"

    def _role_grants(self) -> Iterator[str]:
        """Yield the SQL that lets both users load: the administrator in every session, the loader by SET ROLE."""
        yield f"GRANT {LOAD_ROLE} TO {self.users.loader.account}"
        yield self.engine.activate_role(self.users.administrator.account)

    def _accepts_connections(self) -> bool:
        """Tell whether the server listens; it answers once it has executed the declarations."""
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.socket)) == 0


def place_socket(directory: Path) -> Path:
    """Return a path for the socket that is short enough: in `directory`, else in a directory of its own."""
    beside_data = directory / "server.sock"
    if len(os.fsencode(beside_data)) <= _SOCKET_PATH_LIMIT:
        return beside_data
    name = hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"dynaurora-{name}" / "server.sock"


def _ensure_users(path: Path) -> Users:
    """Return the users kept in a file, written with new passwords when it is missing."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return Users(User(**kept["administrator"]), User(**kept["loader"]))
    except FileNotFoundError:
        users = Users(User(ADMINISTRATOR, secrets.token_hex(16)), User(LOADER, secrets.token_hex(16)))
        write_private(path, json.dumps(asdict(users)))
        return users
