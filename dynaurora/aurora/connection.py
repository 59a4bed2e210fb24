"""The connection to Aurora MySQL: verified TLS, a strict session, and MySQL's error numbers as our errors.

Nothing else in the project imports the driver. A connection is made for one piece of work and closed with it, so
that it always has the newest password and the newest address of the writer, and there are never more connections
than invocations.
"""

from __future__ import annotations

import re
import ssl
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pymysql
import pymysql.cursors

from dynaurora.aurora.authorities import find_regions, region_of_host
from dynaurora.aurora.messages import (
    ERRORS,
    ITS_OWN,
    OF_SIGNALS,
    ROW_ERRORS,
    S3_ERRORS,
    describe_message,
    find_name,
    is_of_data,
)
from dynaurora.errors import (
    CertificateError,
    DatabaseError,
    DynauroraError,
    InvalidSettingsError,
    KeyUnavailableError,
    ObjectMissingError,
    PrivilegeError,
    ReadOnlyError,
    SecretRotatedError,
    ThrottledError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymysql.connections import Connection

RDS_BUNDLE = Path(__file__).parents[1] / "certificates" / "rds-global-bundle.pem"
"""The certificate authorities of Amazon RDS; the package that is built for AWS has it."""

OF_OTHER_ROWS = frozenset({1022, 1062, 1169, 1451, 1586})
"""What a server says of a row because of others: one has its key already (1022, 1062, 1169, 1586), or refers to it
(1451)."""

CONNECT_TIMEOUT_SECONDS = 10
READ_TIMEOUT_SECONDS = 280
"""Below import_batch's timeout in infra/workflows.yaml: a silent server is told as a lost connection, by its name."""
SILENCE_SECONDS = 900
"""Between two statements of a session: no function lives longer (AWS Lambda Developer Guide, "Lambda quotas")."""

SESSION = {
    # Strict, and double quotes and backslashes as every statement here has them.
    "sql_mode": "'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,NO_ENGINE_SUBSTITUTION'",
    "time_zone": "'+00:00'",
    # Transactions begin and end where `Aurora.transaction` says.
    "autocommit": "0",
    "completion_type": "'NO_CHAIN'",
    # No statement is cut short or refused for its size, and each reads all its rows.
    "sql_select_limit": f"{2**64 - 1}",
    "sql_big_selects": "1",
    "sql_safe_updates": "0",
    # No key is taken on trust, and no query means another row than it says.
    "unique_checks": "1",
    "foreign_key_checks": "1",
    "sql_auto_is_null": "0",
    # Messages are in the language whose forms are known here.
    "lc_messages": "'en_US'",
    # As long as MySQL waits for rows; for a table that is altered, and for this side, longer than this side waits.
    "innodb_lock_wait_timeout": "50",
    "lock_wait_timeout": f"{READ_TIMEOUT_SECONDS + 20}",
    "net_read_timeout": f"{READ_TIMEOUT_SECONDS}",
    "net_write_timeout": f"{READ_TIMEOUT_SECONDS}",
    "wait_timeout": f"{SILENCE_SECONDS}",
}
"""What a session needs, whatever the server has for all of them: the names and values of `SET SESSION`. Each of these
any user may set; `binlog_format`, which not every one may, is checked by `dynaurora.target.check_target`."""
SESSION_OF_MYSQL = {"max_execution_time": "0"}
SESSION_OF_MARIADB = {
    "max_statement_time": "0",
    "check_constraint_checks": "1",
    "idle_transaction_timeout": "0",
    "idle_write_transaction_timeout": "0",
    "idle_readonly_transaction_timeout": "0",
}
TRANSACTIONS = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE"
"""No gap locks: the merge addresses rows by their key, and gap locks between importers only make deadlocks."""
LOAD_ROLE = "SET ROLE AWS_LOAD_S3_ACCESS"
"""In Aurora MySQL 3 the privilege to load from S3 is a role, granted once and activated in each session (Amazon
Aurora User Guide, "Loading data into an Amazon Aurora MySQL DB cluster from text files in an Amazon S3 bucket").

It switches the user's other roles off, so the loader's grants on its tables must be its own and not a role's. MySQL's
`SET ROLE ALL` would keep them, but MariaDB, where one role at most is active, does not know it."""

LOGIN_REFUSED = frozenset({1045, 1698})
"""What a server says of a wrong password. To somebody who is logged in, 1045 is of a view without definer."""
FORBIDDEN_BY_OPTION = 1290
"""What a server is started with keeps a statement from running; the message has the option's name."""
READ_ONLY_OPTION = re.compile(r"--(super|innodb)?[-_]?read[-_]only")
S3_URI = re.compile(r"s3[-\w]*://\S+", re.IGNORECASE)
S3_WORDS: dict[type[DynauroraError], re.Pattern[str]] = {
    ThrottledError: re.compile(
        r"(?i)slow ?down|internal ?error|time(d )?out|network connection|service ?unavailable|\b50[03]\b"
    ),
    KeyUnavailableError: re.compile(r"KMS\.(?!\w*AccessDenied)"),
    ObjectMissingError: re.compile(r"(?i)no ?such ?(key|bucket)|not ?found|does not exist|\b404\b"),
    PrivilegeError: re.compile(r"(?i)access ?denied|forbidden|credential|\b403\b"),
}
"""S3's error codes and words, as Aurora repeats them; sorted in this order."""
COLUMN_ERRORS = frozenset({1054, 1136})
DUPLICATE_KEY = 1062
WITHOUT_TLS = 2026
"""What the driver says of a server that offers no TLS, before it sends anything of a user (PyMySQL 1.2.0 and later)."""
COUNTED = re.compile(rb": (\d+)")
"""A number in what the server says beside an answer: `Records: 3  Duplicates: 1  Warnings: 0`, in whatever language."""


class DuplicateRow(Exception):
    """A row with this primary key is there already (MySQL 1062)."""


@dataclass(frozen=True)
class Endpoint:
    """Where the database is and whom to believe that it is the one."""

    host: str
    port: int
    ca_pem: str = ""
    """The certificate authority, PEM; empty for Amazon RDS's own."""


@dataclass(frozen=True)
class Credentials:
    """A database user."""

    username: str
    password: str = field(repr=False)


class Aurora:
    """One open connection; every error of its statements is one of ours."""

    def __init__(self, connection: Connection[Any]) -> None:
        self._connection = connection

    def execute(self, statement: str, arguments: tuple[Any, ...] = ()) -> int:
        """Run a statement and return how many rows it says it affected.

        Raises DuplicateRow, or what `translate_error` names.
        """
        with translated_driver_errors(), self._connection.cursor() as cursor:
            return int(cursor.execute(statement, arguments or None))

    def write_rows(self, statement: str, arguments: tuple[Any, ...] = ()) -> int | None:
        """Run an INSERT ... SELECT and return how many rows it wrote, each counted once; None where nobody says so.

        A row that is updated is affected twice, and named by the second of the counts that the server adds to its
        answer (MySQL 8.0 Reference Manual, "mysql_info()"), if it adds any.
        """
        with translated_driver_errors(), self._connection.cursor() as cursor:
            affected = int(cursor.execute(statement, arguments or None))
            message = bytes(cursor._result.message or b"")
        counts = COUNTED.findall(message)
        return affected - int(counts[1]) if len(counts) > 1 else None

    def query(self, statement: str, arguments: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Run a query and return all its rows."""
        with translated_driver_errors(), self._connection.cursor() as cursor:
            cursor.execute(statement, arguments or None)
            return list(cursor.fetchall())

    def stream(self, statement: str, arguments: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        """Run a query and yield its rows as they come, holding one at a time."""
        with translated_driver_errors(), self._connection.cursor(pymysql.cursors.SSCursor) as cursor:
            cursor.execute(statement, arguments or None)
            yield from cursor

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what is done inside, or undo all of it."""
        with translated_driver_errors():
            self._connection.begin()
        try:
            yield
        except BaseException:
            with suppress(pymysql.MySQLError, OSError):  # a broken connection has been rolled back by the server
                self._connection.rollback()
            raise
        with translated_driver_errors():
            self._connection.commit()

    def set_session(self) -> None:
        """Have the session do what this project takes for granted, whatever the server does for others.

        Raises AccountLockedError where the server has let somebody in only to change an expired password.
        """
        of_server = SESSION_OF_MARIADB if is_mariadb(self.server_version) else SESSION_OF_MYSQL
        assignments = (f"{name} = {value}" for name, value in (SESSION | of_server).items())
        self.execute(f"SET SESSION {', '.join(assignments)}")
        self.execute(TRANSACTIONS)
        self.query("SELECT 1")  # who has to change an expired password may set variables, and nothing else

    def activate_load_role(self) -> None:
        """Let this session load from S3. Raises PrivilegeError where the user has no such role."""
        self.execute(LOAD_ROLE)

    @property
    def has_warned(self) -> bool:
        """Whether the server has warned of the last statement, or noted something."""
        connection: Any = self._connection
        return connection._result is not None and connection._result.warning_count > 0

    @property
    def server_version(self) -> str:
        """The server's own name for its version, as `8.0.mysql_aurora.3.08.0` or `10.11.6-MariaDB`."""
        return str(self._connection.get_server_info())  # type: ignore[no-untyped-call]


def is_mariadb(server_version: str) -> bool:
    """Tell MariaDB from MySQL and Aurora MySQL, by the server's name for its version."""
    return "mariadb" in server_version.lower()


@contextmanager
def connect(endpoint: Endpoint, credentials: Credentials, *, load_from_s3: bool = False) -> Iterator[Aurora]:
    """Open a connection with TLS, verify the server, make the session strict, and close it in the end.

    Raises CertificateError, SecretRotatedError where the password is not the user's, PrivilegeError where
    `load_from_s3` is asked for and the user has no such role, or another error of the tree.
    """
    context = _tls_context(endpoint)
    with translated_driver_errors(logging_in=True):
        connection = pymysql.connect(
            host=endpoint.host,
            port=endpoint.port,
            user=credentials.username,
            password=credentials.password,
            ssl=context,
            charset="utf8mb4",
            autocommit=False,
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            read_timeout=READ_TIMEOUT_SECONDS,
            program_name="dynaurora",
        )
    with closing(connection):
        aurora = Aurora(connection)
        aurora.set_session()
        if load_from_s3:
            aurora.activate_load_role()
        yield aurora


def _tls_context(endpoint: Endpoint) -> ssl.SSLContext:
    if not endpoint.ca_pem and not RDS_BUNDLE.exists():
        raise InvalidSettingsError("DATABASE_CA is empty and this package has no bundle of Amazon RDS's authorities.")
    pem = endpoint.ca_pem or RDS_BUNDLE.read_text("ascii")
    region = region_of_host(endpoint.host)
    try:
        if not endpoint.ca_pem and region and region not in _regions_of(pem):
            raise CertificateError(
                f"This package has no root of Amazon RDS for {region}. Build it with AWS's own bundle, which has it:"
                f" make package ARGS='--region {region}'."
            )
        return ssl.create_default_context(cadata=pem)
    except ssl.SSLError as error:
        raise CertificateError(f"DATABASE_CA is not a certificate in PEM: {error}.") from error


def find_number(error: BaseException) -> int | None:
    """Return MySQL's number of an error; None of one that is not the server's."""
    cause = error.__cause__
    return _number_and_message(cause)[0] if isinstance(cause, pymysql.MySQLError) else None


def is_of_s3(error: DynauroraError) -> bool:
    """Tell whether an error of a load came from S3, or the way there, and not from the database."""
    return find_number(error) in S3_ERRORS


def find_row_error(error: BaseException) -> int | None:
    """Return the number of what a server says of a row of a statement; None where it says it of something else."""
    number, cause = find_number(error), error.__cause__
    is_of_one_row = is_of_data(_state(cause)) and number not in OF_OTHER_ROWS
    return number if number in ROW_ERRORS or is_of_one_row or is_signalled(cause) else None


def find_named_column(error: BaseException) -> str | None:
    """Return the name that a server's message ends with, of a column or a key; a value is never taken for it."""
    cause = error.__cause__
    if not isinstance(cause, pymysql.MySQLError) or is_signalled(cause):
        return None
    return find_name(_number_and_message(cause)[1])


def is_of_columns(error: BaseException) -> bool:
    """Tell whether a table has other columns than a statement names."""
    return find_number(error) in COLUMN_ERRORS


_regions_of = cache(find_regions)


@contextmanager
def translated_driver_errors(*, logging_in: bool = False) -> Iterator[None]:
    """Turn the driver's errors into ours."""
    try:
        yield
    except (pymysql.MySQLError, OSError) as error:
        raise translate_driver_error(error, logging_in=logging_in) from error


def translate_driver_error(error: Exception, *, logging_in: bool = False) -> DynauroraError | DuplicateRow:
    """Return our error for one of the driver's, by MySQL's error number, and by whether somebody is logged in yet.

    A number that is not in the table is a DatabaseError: unknown is terminal, since a retry would not mend it.
    """
    if _is_certificate_error(error):
        return CertificateError(f"The database's certificate was not accepted: {error}.")
    number, message = _number_and_message(error)
    told = ITS_OWN if is_signalled(error) else describe_message(number, message, _state(error))
    problem = f"Aurora said {number}: {told}."
    if is_signalled(error):
        return DatabaseError(problem)
    if number == WITHOUT_TLS:
        return CertificateError(f"The server offers no TLS; nothing was sent to it. {problem}")
    if number == DUPLICATE_KEY:
        return DuplicateRow(problem)
    if number in S3_ERRORS:
        return _s3_error(problem)
    if logging_in and number in LOGIN_REFUSED:
        return SecretRotatedError(problem)
    if number == FORBIDDEN_BY_OPTION and READ_ONLY_OPTION.search(message):
        return ReadOnlyError(problem)
    for cls, numbers in ERRORS.items():
        if number in numbers:
            return cls(problem)
    return DatabaseError(problem)


def is_signalled(error: BaseException | None) -> bool:
    """Tell whether a driver's error is what a trigger or a procedure said, under whatever number."""
    return (_state(error) or "").startswith(OF_SIGNALS)


def _state(error: BaseException | None) -> str | None:
    """Return the SQLSTATE of a driver's error, where it has one."""
    return getattr(error, "sqlstate", None)


def _number_and_message(error: Exception) -> tuple[int, str]:
    if isinstance(error, OSError):
        return 2013, str(error)
    arguments = error.args
    if len(arguments) >= 2 and isinstance(arguments[0], int):
        # The driver reads the number as signed: Aurora's 63985 arrives as -1551.
        return arguments[0] % 2**16, str(arguments[1])
    return (0 if isinstance(error, pymysql.err.InterfaceError) else -1), str(error)


def _is_certificate_error(error: BaseException) -> bool:
    original = getattr(error, "original_exception", None) or error
    return isinstance(original, ssl.SSLCertVerificationError)


def _s3_error(problem: str) -> DynauroraError:
    """Sort what S3 answered to Aurora by S3's own words."""
    said = S3_URI.sub("", problem)  # an object's name may have any word in it
    for cls, words in S3_WORDS.items():
        if words.search(said):
            return cls(problem)
    return DatabaseError(problem)
