"""The loader: a database user who may load from S3 and write one schema, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dynaurora.sql import quote

if TYPE_CHECKING:
    from dynaurora.aurora import Aurora, Credentials

LOADER_PRIVILEGES: Final = "SELECT, INSERT, UPDATE, DELETE, CREATE TEMPORARY TABLES"


def admit_loader(aurora: Aurora, loader: Credentials, database: str) -> None:
    """Create the loader with its secret's password, or give it that one, and grant what it needs. Safe to repeat.

    Raises PrivilegeError where the user of the connection may not create users or grant.
    """
    # In the name of a database, a grant takes _ for any character.
    schema = quote(database).replace("_", r"\_")
    user, password = loader.username, loader.password
    aurora.execute("CREATE USER IF NOT EXISTS %s@'%%' IDENTIFIED BY %s", (user, password))
    aurora.execute("ALTER USER %s@'%%' IDENTIFIED BY %s", (user, password))
    aurora.execute(f"GRANT {LOADER_PRIVILEGES} ON {schema}.* TO %s@'%%'", (user,))
    aurora.execute("GRANT AWS_LOAD_S3_ACCESS TO %s@'%%'", (user,))
