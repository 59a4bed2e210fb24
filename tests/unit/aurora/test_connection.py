import ssl
from contextlib import nullcontext
from types import SimpleNamespace

import pymysql
import pytest
from pymysql import err

from dynaurora.aurora.authorities import region_of_host
from dynaurora.aurora.connection import (
    Aurora,
    Credentials,
    DuplicateRow,
    Endpoint,
    connect,
    is_of_s3,
    translate_driver_error,
    translated_driver_errors,
)
from dynaurora.aurora.messages import ERRORS, S3_ERRORS
from dynaurora.errors import (
    AccountLockedError,
    CertificateError,
    ConnectionLostError,
    DatabaseError,
    DatabaseUnavailableError,
    DeadlockError,
    DynauroraError,
    InvalidSettingsError,
    KeyUnavailableError,
    LockWaitError,
    MalformedBatchError,
    ObjectMissingError,
    PasswordPolicyError,
    PrivilegeError,
    ReadOnlyError,
    RetryableError,
    SecretRotatedError,
    ServerSettingsError,
    TargetMismatchError,
    TerminalError,
    ThrottledError,
    TooManyConnectionsError,
    ViewInvalidError,
)


def connection_error(original):
    error = err.OperationalError(2003, f"Can't connect to MySQL server on 'db' ({original})")
    error.original_exception = original
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (err.OperationalError(2013, "Lost connection to MySQL server during query"), ConnectionLostError),
        (err.OperationalError(2006, "MySQL server has gone away"), ConnectionLostError),
        (err.OperationalError(1053, "Server shutdown in progress"), ConnectionLostError),
        (err.OperationalError(1927, "Connection was killed"), ConnectionLostError),
        (err.OperationalError(3169, "Session was killed"), ConnectionLostError),
        (err.InterfaceError(0, ""), ConnectionLostError),
        (err.InterfaceError("(0, '')"), ConnectionLostError),
        (connection_error(ConnectionRefusedError(111, "refused")), ConnectionLostError),
        (TimeoutError("timed out"), ConnectionLostError),
        (BrokenPipeError(32, "Broken pipe"), ConnectionLostError),
        (ssl.SSLEOFError("EOF occurred"), ConnectionLostError),
        (err.OperationalError(1040, "Too many connections"), TooManyConnectionsError),
        (err.OperationalError(1203, "max_user_connections"), TooManyConnectionsError),
        (err.OperationalError(1290, "running with the --read-only option"), ReadOnlyError),
        (err.OperationalError(1290, "running with the --super-read-only option"), ReadOnlyError),
        (err.OperationalError(1290, "l'option --read-only activée"), ReadOnlyError),
        (err.OperationalError(1290, "running with the --secure-file-priv option"), DatabaseError),
        (err.OperationalError(1836, "Running in read-only mode"), ReadOnlyError),
        (err.OperationalError(1792, "Cannot execute statement in a READ ONLY transaction"), ReadOnlyError),
        (err.OperationalError(1874, "InnoDB is in read only mode"), ReadOnlyError),
        (err.OperationalError(1015, "Can't lock file"), DatabaseUnavailableError),
        (
            err.OperationalError(3, "Error writing file (OS errno 28 - No space left on device)"),
            DatabaseUnavailableError,
        ),
        (err.OperationalError(1026, "Error writing file"), DatabaseUnavailableError),
        (err.OperationalError(1030, "Got error 28 from storage engine"), DatabaseUnavailableError),
        (err.OperationalError(1114, "The table is full"), DatabaseUnavailableError),
        (err.OperationalError(1135, "Can't create a new thread"), DatabaseUnavailableError),
        (err.OperationalError(3032, "The server is currently in offline mode"), DatabaseUnavailableError),
        (err.OperationalError(3168, "Server isn't available"), DatabaseUnavailableError),
        (err.OperationalError(1213, "Deadlock found"), DeadlockError),
        (err.OperationalError(1205, "Lock wait timeout exceeded"), LockWaitError),
        (err.OperationalError(1862, "Your password has expired"), AccountLockedError),
        (err.OperationalError(1820, "You must SET PASSWORD"), AccountLockedError),
        (err.OperationalError(3118, "Account is locked"), AccountLockedError),
        (err.OperationalError(3955, "Account is blocked for unlimited day(s)"), AccountLockedError),
        (err.OperationalError(4151, "Access denied, this account is locked"), AccountLockedError),
        (err.OperationalError(1819, "Your password does not satisfy the policy"), PasswordPolicyError),
        (err.OperationalError(3892, "Current password needs to be specified"), PasswordPolicyError),
        (err.OperationalError(1356, "View references invalid table(s)"), ViewInvalidError),
        (err.OperationalError(1045, "Access denied for user (using password: YES)"), ViewInvalidError),
        (err.OperationalError(1449, "The user specified as a definer does not exist"), ViewInvalidError),
        (err.OperationalError(1665, "BINLOG_FORMAT = STATEMENT"), ServerSettingsError),
        (err.OperationalError(3748, "Statement violates GTID consistency"), ServerSettingsError),
        (err.OperationalError(1301, "Result of from_base64() was larger than max_allowed_packet"), ServerSettingsError),
        (err.OperationalError(3523, "Unknown authorization ID `AWS_LOAD_S3_ACCESS`@`%`"), PrivilegeError),
        (err.OperationalError(3819, "Check constraint is violated"), MalformedBatchError),
        (err.DataError(1406, "Data too long for column"), MalformedBatchError),
        (err.DataError(1261, "Row 1 doesn't contain data for all columns"), MalformedBatchError),
        (err.DataError(1262, "Row 1 was truncated"), MalformedBatchError),
        (err.DataError(1264, "Out of range value"), MalformedBatchError),
        (err.OperationalError(1366, "Incorrect string value"), MalformedBatchError),
        (err.OperationalError(3150, "The JSON value is too big"), MalformedBatchError),
        (err.OperationalError(3151, "The JSON object contains a key that is too long"), MalformedBatchError),
        (err.ProgrammingError(1146, "Table doesn't exist"), TargetMismatchError),
        (err.OperationalError(1054, "Unknown column"), TargetMismatchError),
        (err.OperationalError(1142, "INSERT command denied"), PrivilegeError),
        (err.OperationalError(3530, "AWS_LOAD_S3_ACCESS is not granted"), PrivilegeError),
        (err.IntegrityError(1062, "Duplicate entry"), DuplicateRow),
        (err.ProgrammingError(1064, "You have an error in your SQL syntax"), DatabaseError),
        (err.InternalError("Packet sequence number wrong"), DatabaseError),
        (err.MySQLError(), DatabaseError),
    ],
    ids=lambda value: str(value)[:50],
)
def test_the_drivers_errors_are_sorted_by_number(error, expected):
    assert type(translate_driver_error(error)) is expected


@pytest.mark.parametrize("number", [1045, 1698])
def test_a_login_that_is_refused_is_a_rotated_secret(number):
    error = err.OperationalError(number, "Access denied for user (using password: YES)")
    assert type(translate_driver_error(error, logging_in=True)) is SecretRotatedError


@pytest.mark.parametrize("number", [*sorted(S3_ERRORS), 63985 - 2**16])
@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("S3 API returned error: Slow Down: Please reduce your request rate", ThrottledError),
        ("S3 API returned error: Internal Error", ThrottledError),
        ("S3 API returned error: RequestTimeout", ThrottledError),
        ("S3 API returned error: Network Connection", ThrottledError),
        ("S3 API returned error: 503 Service Unavailable", ThrottledError),
        ("S3 API returned error: KMS.DisabledException: arn:aws:kms:::key/1 is disabled.", KeyUnavailableError),
        ("S3 API returned error: KMS.KMSInvalidStateException: it is pending deletion.", KeyUnavailableError),
        ("S3 API returned error: NoSuchKey: The specified key does not exist.", ObjectMissingError),
        ("S3 API returned error: No Such Bucket", ObjectMissingError),
        ("S3 API returned error: Not Found: s3://b/accessdenied-503-slowdown", ObjectMissingError),
        ("S3 API returned error: Access Denied", PrivilegeError),
        ("S3 API returned error: Missing Credentials: Cannot instantiate S3 Client", PrivilegeError),
        (
            "S3 API returned error: Both aurora_load_from_s3_role and aws_default_s3_role are not specified",
            DatabaseError,
        ),
    ],
)
def test_a_failed_load_is_sorted_by_what_s3_said(number, said, expected):
    assert type(translate_driver_error(err.InternalError(number, said))) is expected


@pytest.mark.parametrize("wrapped", [False, True], ids=["bare", "within the driver's"])
def test_a_certificate_that_is_not_accepted_is_terminal(wrapped):
    original = ssl.SSLCertVerificationError(1, "certificate verify failed: Hostname mismatch")
    error = translate_driver_error(connection_error(original) if wrapped else original)
    assert type(error) is CertificateError
    assert "Hostname mismatch" in error.problem


def test_a_number_has_one_meaning():
    numbers = [number for found in ERRORS.values() for number in found] + sorted(S3_ERRORS)
    assert len(numbers) == len(set(numbers))
    assert all(issubclass(cls, (RetryableError, TerminalError)) for cls in ERRORS)


def test_the_message_has_number_and_text():
    assert (
        translate_driver_error(err.OperationalError(1213, "Deadlock found")).problem
        == "Aurora said 1213: Deadlock found."
    )


def test_a_password_is_in_no_representation():
    assert "secret" not in repr(Credentials("loader", "secret"))


def test_a_certificate_authority_that_is_none_is_terminal():
    with (
        pytest.raises(CertificateError, match="not a certificate"),
        connect(
            Endpoint("127.0.0.1", 1, "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"),
            Credentials("u", "p"),
        ),
    ):
        pass


def test_a_package_without_amazons_authorities_asks_for_them(monkeypatch, tmp_path):
    monkeypatch.setattr("dynaurora.aurora.connection.RDS_BUNDLE", tmp_path / "absent.pem")
    with pytest.raises(InvalidSettingsError, match="DATABASE_CA"), connect(Endpoint("h", 1), Credentials("u", "p")):
        pass


@pytest.mark.parametrize("region", ["ap-east-2", "us-gov-west-1"])
def test_a_region_that_the_package_has_no_root_for_is_refused_by_name(monkeypatch, tmp_path, region):
    ca = tmp_path / "bundle.pem"
    ca.write_text("not read")
    monkeypatch.setattr("dynaurora.aurora.connection.RDS_BUNDLE", ca)
    monkeypatch.setattr("dynaurora.aurora.connection._regions_of", lambda _: frozenset({"eu-west-1"}))
    host = f"clicks.cluster-0f1e.{region}.rds.amazonaws.com"
    with (
        pytest.raises(CertificateError, match=f"no root of Amazon RDS for {region}.*make package"),
        connect(Endpoint(host, 1), Credentials("u", "p")),
    ):
        pass


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("clicks.cluster-0f1e.eu-west-1.rds.amazonaws.com", "eu-west-1"),
        ("clicks.cluster-ro-0f1e.us-gov-west-1.rds.amazonaws.com", "us-gov-west-1"),
        ("clicks.cluster-0f1e.cn-north-1.rds.amazonaws.com.cn", "cn-north-1"),
        ("db.example", None),
        ("127.0.0.1", None),
    ],
)
def test_a_clusters_region_is_in_its_name(host, region):
    assert region_of_host(host) == region


class AnsweringConnection:
    """A connection whose server answers a statement with so many affected rows and a message."""

    def __init__(self, affected, message):
        self._affected = affected
        self._result = SimpleNamespace(message=message)

    def cursor(self):
        return nullcontext(SimpleNamespace(execute=lambda *_: self._affected, _result=self._result))


@pytest.mark.parametrize(
    ("affected", "message", "written"),
    [
        (3, b"Records: 3  Duplicates: 0  Warnings: 0", 3),
        (7, b"Records: 5  Duplicates: 3  Warnings: 0", 4),
        (6, b"/Records: 5  Deleted: 1  Skipped: 0  Warnings: 0", 5),
        (200, b"0Datens\xe4tze: 100  Duplikate: 100  Warnungen: 0", 100),
        (0, b"&Records: 3  Duplicates: 0  Warnings: 0", 0),
    ],
)
def test_a_row_that_replaces_another_is_counted_once(affected, message, written):
    assert Aurora(AnsweringConnection(affected, message)).write_rows("LOAD DATA") == written


@pytest.mark.parametrize("message", [None, b"", b"Rows matched: 1"])
def test_an_answer_without_counts_tells_nothing_of_rows(message):
    assert Aurora(AnsweringConnection(1, message)).write_rows("INSERT") is None


@pytest.mark.parametrize(("number", "is_s3s"), [(1871, True), (-1551, True), (1235, False), (2013, False)])
def test_what_s3_refuses_is_told_from_what_the_database_does(number, is_s3s):
    with pytest.raises(DynauroraError) as caught, translated_driver_errors():
        raise err.OperationalError(number, "said")
    assert is_of_s3(caught.value) == is_s3s


class BrokenConnection:
    """A connection whose server went away in the middle of a transaction."""

    def __init__(self):
        self.calls = []

    def begin(self):
        self.calls.append("begin")

    def commit(self):
        raise pymysql.err.OperationalError(2013, "Lost connection")

    def rollback(self):
        self.calls.append("rollback")
        raise pymysql.err.InterfaceError(0, "")


def test_what_fails_in_a_transaction_is_undone_and_keeps_its_name():
    connection = BrokenConnection()
    with pytest.raises(DeadlockError), Aurora(connection).transaction():
        raise DeadlockError("Aurora said 1213.")
    assert connection.calls == ["begin", "rollback"]


def test_a_commit_that_gets_no_answer_is_a_lost_connection():
    with pytest.raises(ConnectionLostError), Aurora(BrokenConnection()).transaction():
        pass
