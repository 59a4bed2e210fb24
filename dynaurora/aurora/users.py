"""The loader: a database user who may load from S3 and write one schema, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dynaurora.aurora.sql import quote

if TYPE_CHECKING:
    from dynaurora.aurora.connection import Aurora, Credentials

LOADER_PRIVILEGES: Final = "SELECT, INSERT, UPDATE, DELETE, CREATE TEMPORARY TABLES"


def admit_loader(aurora: Aurora, loader: Credentials, database: str) -> None:
    """Create the loader, where it is not there, with its secret's password; grant what it needs. Safe to repeat.

    Raises PrivilegeError where the user of the connection may not create users or grant.
    """
    # In the name of a database, a grant takes _ for any character.
    schema = quote(database).replace("_", r"\_")
    user = loader.username
    aurora.execute("CREATE USER IF NOT EXISTS %s@'%%' IDENTIFIED BY %s", (user, loader.password))
    aurora.execute(f"GRANT {LOADER_PRIVILEGES} ON {schema}.* TO %s@'%%'", (user,))
    aurora.execute("GRANT AWS_LOAD_S3_ACCESS TO %s@'%%'", (user,))


def set_password(aurora: Aurora, loader: Credentials) -> None:
    """Give the loader its secret's password, whatever it had. Raises PrivilegeError as `admit_loader` does."""
    aurora.execute("ALTER USER %s@'%%' IDENTIFIED BY %s", (loader.username, loader.password))
