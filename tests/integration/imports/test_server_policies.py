"""What a server's rules for accounts, passwords, grants, views and writes do to a target: told by name, and mended."""

import dataclasses
import secrets
from collections.abc import Iterator
from contextlib import closing

import pymysql
import pytest

from dynaurora.aurora import sql
from dynaurora.aurora.connection import Credentials, connect, is_mariadb
from dynaurora.aws.objects import S3Objects
from dynaurora.errors import (
    AccountLockedError,
    PasswordPolicyError,
    PrivilegeError,
    ReadOnlyError,
    SecretRotatedError,
    ServerSettingsError,
    ViewInvalidError,
)
from dynaurora.target import check_target
from dynaurora.target.check_target import CONNECTION, NO, RIGHTS, SETTINGS, TABLES_AND_VIEW, Finding, examine_target
from dynaurora.target.prepare_target import can_log_in, prepare_database
from dynaurora.target.probe import Landing
from dynaurora.target.rotate_loader_secret import make_password
from local.aurora.server import DatabaseServer
from tests.integration.servers import needs_mysql, server_version, set_globally
from tests.integration.targets import Target, row

pytestmark = pytest.mark.integration


def prepare(target: Target) -> None:
    landing = Landing(S3Objects(), target.bucket)
    prepare_database(
        target.endpoint, target.administrator, lambda: [target.loader], target.mapping, landing, wait_seconds=0
    )


def execute(target: Target, statement: str, *arguments: str) -> None:
    with connect(target.endpoint, target.administrator) as aurora:
        aurora.execute(statement, arguments)


def examine(target: Target) -> dict[str, Finding]:
    examined = check_target.Target(
        read_mapping=lambda: target.mapping,
        store=S3Objects(),
        bucket=target.bucket,
        read_credentials=lambda: target.loader,
        connect=lambda credentials: connect(target.endpoint, credentials),
    )
    return {finding.check: finding for finding in examine_target(examined)}


@pytest.fixture
def own(target: Target) -> Iterator[Target]:
    """The target with a loader of this test's own, which `prepare` has made."""
    own = dataclasses.replace(target, loader=Credentials(f"dynaurora_{secrets.token_hex(6)}", make_password()))
    prepare(own)
    yield own
    execute(target, "DROP USER IF EXISTS %s@'%%'", own.loader.username)


# Accounts


@pytest.mark.parametrize("changes", [["ACCOUNT LOCK"], ["PASSWORD EXPIRE"], ["PASSWORD EXPIRE", "ACCOUNT LOCK"]])
def test_a_loader_that_is_let_in_no_more_is_named_and_let_in_by_preparing_again(
    own: Target, changes: list[str]
) -> None:
    for change in changes:
        execute(own, f"ALTER USER %s@'%%' {change}", own.loader.username)
    check_that_preparing_lets_in(own)


def check_that_preparing_lets_in(own: Target) -> None:
    with pytest.raises(AccountLockedError):
        own.import_rows([row("a", 1)])
    found = examine(own)[CONNECTION]
    assert (found.state, "AccountLockedError" in found.detail) == (NO, True)
    assert "it unlocks the user" in found.remedy
    assert not can_log_in(own.endpoint, own.loader)
    prepare(own)
    assert own.import_rows([row("a", 1)]).rows_changed == 1


def test_a_loader_blocked_for_wrong_passwords_is_let_in_by_preparing_again(own: Target) -> None:
    needs_mysql(own)
    execute(own, "ALTER USER %s@'%%' FAILED_LOGIN_ATTEMPTS 1 PASSWORD_LOCK_TIME UNBOUNDED", own.loader.username)
    assert not can_log_in(own.endpoint, Credentials(own.loader.username, "wrong"))
    check_that_preparing_lets_in(own)


def test_a_loader_blocked_for_wrong_passwords_by_mariadb_is_named(own: Target, server: DatabaseServer) -> None:
    if not is_mariadb(server_version(own)):
        pytest.skip("MariaDB has max_password_errors, and MySQL has it not")
    with set_globally(server, max_password_errors=1):
        with pytest.raises(SecretRotatedError), connect(own.endpoint, Credentials(own.loader.username, "wrong")):
            pass
        check_that_preparing_lets_in(own)


def test_the_loader_is_let_in_by_tls_only_one_of_an_earlier_release_too(own: Target, server: DatabaseServer) -> None:
    def connect_without_tls() -> None:
        user = {"user": own.loader.username, "password": own.loader.password}
        pymysql.connect(unix_socket=str(server.socket), ssl_disabled=True, **user).close()

    with pytest.raises(pymysql.err.OperationalError, match="1045"):
        connect_without_tls()
    assert own.import_rows([row("a", 1)]).rows_changed == 1
    execute(own, "ALTER USER %s@'%%' REQUIRE NONE", own.loader.username)
    connect_without_tls()
    prepare(own)
    with pytest.raises(pymysql.err.OperationalError, match="1045"):
        connect_without_tls()


def test_a_password_does_not_expire_by_the_servers_default(own: Target, server: DatabaseServer) -> None:
    (created,) = own.query(f"SHOW CREATE USER {own.loader.username}@'%'")
    assert "PASSWORD EXPIRE NEVER" in created[0]


def test_preparing_gives_no_password_where_the_account_was_merely_locked(own: Target) -> None:
    needs_mysql(own)
    execute(own, "ALTER USER %s@'%%' PASSWORD HISTORY 5 ACCOUNT LOCK", own.loader.username)
    prepare(own)
    assert can_log_in(own.endpoint, own.loader)


# Passwords


@pytest.fixture
def demanding(server: DatabaseServer, target: Target) -> Iterator[None]:
    """A server that takes passwords only that have letters of both kinds, digits and punctuation."""
    known = is_mariadb(server_version(target))
    on, off = (
        ("INSTALL SONAME 'simple_password_check'", "UNINSTALL SONAME 'simple_password_check'")
        if known
        else (
            "INSTALL COMPONENT 'file://component_validate_password'",
            "UNINSTALL COMPONENT 'file://component_validate_password'",
        )
    )
    with closing(server.connect()) as connection, connection.cursor() as cursor:
        try:
            cursor.execute(on)
        except pymysql.OperationalError as error:
            pytest.skip(f"this server has nothing that looks at passwords: {error}")
        yield
        cursor.execute(off)


@pytest.mark.usefixtures("demanding")
def test_a_password_that_the_server_refuses_is_told_by_name(own: Target) -> None:
    weak = dataclasses.replace(own, loader=Credentials(f"{own.loader.username}_2", "alllowercase"))
    with pytest.raises(PasswordPolicyError, match="into the loader's secret"):
        prepare(weak)


@pytest.mark.usefixtures("demanding")
def test_a_password_that_is_made_here_is_taken(own: Target) -> None:
    for _ in range(20):
        execute(own, "ALTER USER %s@'%%' IDENTIFIED BY %s", own.loader.username, make_password())


def test_a_loader_changes_its_password_where_the_current_one_is_asked_for(own: Target, server: DatabaseServer) -> None:
    needs_mysql(own)
    new = make_password()
    with set_globally(server, password_require_current=1):
        with connect(own.endpoint, own.loader) as aurora:
            aurora.execute(*sql.set_own_password(aurora.server_version, new, own.loader.password))
        assert can_log_in(own.endpoint, Credentials(own.loader.username, new))


# Grants


@pytest.mark.parametrize("partial_revokes", [0, 1])
def test_a_grant_is_of_one_database_whatever_is_in_its_name(
    target: Target, server: DatabaseServer, partial_revokes: int
) -> None:
    if partial_revokes:
        needs_mysql(target)
    own = dataclasses.replace(
        target,
        mapping=dataclasses.replace(target.mapping, database="de_mo"),
        loader=Credentials(f"dynaurora_{secrets.token_hex(6)}", make_password()),
    )
    other = dataclasses.replace(own, mapping=dataclasses.replace(target.mapping, database="dexmo"))
    with set_globally(server, **({"partial_revokes": 1} if partial_revokes else {})):
        try:
            prepare(own)
            prepare(dataclasses.replace(other, loader=Credentials(f"{own.loader.username}_x", make_password())))
            assert own.import_rows([row("a", 1)]).rows_changed == 1
            with pytest.raises(PrivilegeError):
                other.import_rows([row("a", 1)])
        finally:
            for name in (own.loader.username, f"{own.loader.username}_x"):
                execute(target, "DROP USER IF EXISTS %s@'%%'", name)
            for database in ("de_mo", "dexmo"):
                execute(target, f"DROP DATABASE IF EXISTS {database}")


# The view


def give_view_to(own: Target, definer: str) -> None:
    """Make the view another user's, who may read the replica."""
    database = own.mapping.database
    execute(own, "CREATE USER %s@'%%'", definer)
    execute(own, f"GRANT SELECT ON {database}.* TO %s@'%%'", definer)
    statement = sql.create_view(own.mapping).replace("VIEW", f"DEFINER = {definer}@'%%' VIEW", 1)
    execute(own, statement.replace("%%", "%"))


@pytest.mark.parametrize("loss", ["DROP USER {definer}@'%%'", "REVOKE SELECT ON {database}.* FROM {definer}@'%%'"])
def test_a_view_without_its_definer_is_named_and_made_anew(own: Target, loss: str) -> None:
    definer = f"definer_{secrets.token_hex(4)}"
    give_view_to(own, definer)
    try:
        execute(own, loss.format(definer=definer, database=own.mapping.database).replace("%%", "%"))
        found = examine(own)[TABLES_AND_VIEW]
        assert (found.state, "ViewInvalidError" in found.detail) == (NO, True)
        assert "make the view anew" in found.remedy
        prepare(own)
        assert examine(own)[TABLES_AND_VIEW].state == "yes"
    finally:
        execute(own, "DROP USER IF EXISTS %s@'%%'", definer)


def test_preparing_ends_by_reading_the_view_as_the_loader(own: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    definer = f"definer_{secrets.token_hex(4)}"
    give_view_to(own, definer)
    execute(own, "DROP USER %s@'%%'", definer)
    monkeypatch.setattr(sql, "create_view", lambda _mapping: "SELECT 1")
    with pytest.raises(ViewInvalidError, match="makes the view anew"):
        prepare(own)


# Writes


def test_a_server_that_takes_no_writes_is_told_as_that(own: Target, server: DatabaseServer) -> None:
    batch = own.write([row("a", 1)])
    with set_globally(server, read_only=1):
        with pytest.raises(ReadOnlyError):
            own.import_batch(batch)
        found = examine(own)[RIGHTS]
    assert (found.state, "ReadOnlyError" in found.detail) == (NO, True)
    assert "writer endpoint" in found.remedy
    assert own.import_batch(batch).rows_changed == 1


def test_a_binary_log_of_statements_is_told_as_that(own: Target, server: DatabaseServer) -> None:
    if own.query("SELECT @@GLOBAL.log_bin") == [(0,)]:
        pytest.skip("this server has no binary log")
    batch = own.write([row("a", 1)])
    with set_globally(server, binlog_format="STATEMENT"):
        with pytest.raises(ServerSettingsError, match="binlog_format to ROW"):
            own.import_batch(batch)
        found = examine(own)
    assert [name for name, finding in found.items() if finding.state == NO] == [SETTINGS]
    assert "binlog_format to ROW" in found[SETTINGS].remedy
    assert own.import_batch(batch).rows_changed == 1
