"""The loader: a database user who may load from S3 and write the schemas of targets, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dynaurora.aurora.sql import quote
from dynaurora.aurora.triggers import admit_caller

if TYPE_CHECKING:
    from dynaurora.aurora.connection import Aurora, Credentials

LOADER_PRIVILEGES: Final = "SELECT, INSERT, UPDATE, DELETE, CREATE TEMPORARY TABLES"


def admit_loader(aurora: Aurora, loader: Credentials, database: str) -> None:
    """Create the loader, where it is not there, and grant what it needs in a database. Safe to repeat.

    Raises what `make_loader` does.
    """
    make_loader(aurora, loader)
    user = loader.username
    aurora.execute(f"GRANT {LOADER_PRIVILEGES} ON {_schema(aurora, database)}.* TO %s@'%%'", (user,))
    admit_caller(aurora, database, "%s@'%%'", user)
    aurora.execute("GRANT AWS_LOAD_S3_ACCESS TO %s@'%%'", (user,))


def make_loader(aurora: Aurora, loader: Credentials) -> None:
    """Create the loader, where it is not there, with its secret's password. Safe to repeat.

    It may come by TLS only, whatever the server has others do. Its password does not expire, whatever the server's
    `default_password_lifetime` is: the secret is rotated instead. Raises PasswordPolicyError where the server refuses
    the password, PrivilegeError where the user of the connection may not create users or grant.
    """
    user = loader.username
    aurora.execute(
        "CREATE USER IF NOT EXISTS %s@'%%' IDENTIFIED BY %s REQUIRE SSL PASSWORD EXPIRE NEVER ACCOUNT UNLOCK",
        (user, loader.password),
    )
    aurora.execute("ALTER USER %s@'%%' REQUIRE SSL PASSWORD EXPIRE NEVER", (user,))


def _schema(aurora: Aurora, database: str) -> str:
    r"""Return a database's name as a grant takes it: with `\_` for an underscore, which would stand for any character.

    Not where the server takes names as they are (MySQL 8.0 Reference Manual, "Privilege Restriction Using Partial
    Revokes"): there the backslash would be part of the name, and the grant of another database.
    """
    takes_names = aurora.query("SHOW GLOBAL VARIABLES WHERE Variable_name = 'partial_revokes' AND Value = 'ON'")
    return quote(database) if takes_names else quote(database).replace("_", r"\_")


def unlock(aurora: Aurora, loader: Credentials) -> None:
    """Unlock the loader's account, whatever locked it: somebody, or too many wrong passwords."""
    aurora.execute("ALTER USER %s@'%%' ACCOUNT UNLOCK", (loader.username,))


def set_password(aurora: Aurora, loader: Credentials) -> None:
    """Give the loader its secret's password, whatever it had, and for good. Raises what `admit_loader` does."""
    aurora.execute(
        "ALTER USER %s@'%%' IDENTIFIED BY %s PASSWORD EXPIRE NEVER ACCOUNT UNLOCK", (loader.username, loader.password)
    )
