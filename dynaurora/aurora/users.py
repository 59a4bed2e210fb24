"""The loader: a database user who may load from S3 and write the schemas of targets, and nothing else."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Final

from dynaurora.aurora.connection import find_number
from dynaurora.aurora.sql import quote
from dynaurora.aurora.triggers import admit_caller
from dynaurora.errors import DatabaseError, PrivilegeError

if TYPE_CHECKING:
    from dynaurora.aurora.connection import Aurora, Credentials

LOADER_PRIVILEGES: Final = "SELECT, INSERT, UPDATE, DELETE, CREATE TEMPORARY TABLES"
SEEING_VIEWS: Final = "SHOW VIEW"
"""Shows what a view is made of, and no row."""
ANYWHERE: Final = "%"
"""The hosts of an account that may come from any."""
NO_SUCH_ACCOUNT: Final = 1141
MAX_LOADER_NAME: Final = 30
"""Characters of the loader's name that a trial's begins with: a user's has 32 at most (MySQL 8.0 Reference Manual,
"Grant Tables")."""


def name_hosts(network: str) -> str:
    """Return a network's addresses as an account has them, `10.60.0.0/255.255.255.0`; those of all for none.

    (MySQL 8.0 Reference Manual, "Specifying Account Names".) Raises ValueError where it is no block of addresses.
    """
    if not network:
        return ANYWHERE
    block = IPv4Network(network, strict=False)
    return f"{block.network_address}/{block.netmask}"


def admit_loader(aurora: Aurora, loader: Credentials, database: str, hosts: str = ANYWHERE) -> None:
    """Create the loader, where it is not there, and grant what it needs in a database. Safe to repeat.

    Raises what `make_loader` does.
    """
    make_loader(aurora, loader, hosts)
    grant_rights(aurora, loader, database, hosts)


def grant_rights(aurora: Aurora, loader: Credentials, database: str, hosts: str) -> None:
    """Grant what the loader needs in a database. Safe to repeat. Raises PrivilegeError where that is not allowed."""
    account = (loader.username, hosts)
    aurora.execute(f"GRANT {LOADER_PRIVILEGES} ON {_schema(aurora, database)}.* TO %s@%s", account)
    admit_caller(aurora, database, "%s@%s", *account)
    with suppress(PrivilegeError):  # where that may not be granted, imports go on without, and the doctor says so
        aurora.execute(f"GRANT {SEEING_VIEWS} ON {_schema(aurora, database)}.* TO %s@%s", account)
    aurora.execute("GRANT AWS_LOAD_S3_ACCESS TO %s@%s", account)


def make_loader(aurora: Aurora, loader: Credentials, hosts: str = ANYWHERE) -> None:
    """Create the loader, where it is not there, with its secret's password. Safe to repeat.

    It may come by TLS only, whatever the server has others do, and from these hosts only. Its password does not expire,
    whatever the server's `default_password_lifetime` is: the secret is rotated instead. Raises PasswordPolicyError
    where the server refuses the password, PrivilegeError where the user of the connection may not create users or
    grant.
    """
    account = (loader.username, hosts)
    aurora.execute(
        "CREATE USER IF NOT EXISTS %s@%s IDENTIFIED BY %s REQUIRE SSL PASSWORD EXPIRE NEVER ACCOUNT UNLOCK",
        (*account, loader.password),
    )
    aurora.execute("ALTER USER %s@%s REQUIRE SSL PASSWORD EXPIRE NEVER", account)


def read_grants(aurora: Aurora, loader: Credentials, hosts: str) -> list[str] | None:
    """Return what is granted to the loader of these hosts, each up to whom; None where there is no such account."""
    try:
        rows = aurora.query("SHOW GRANTS FOR %s@%s", (loader.username, hosts))
    except DatabaseError as error:
        if find_number(error) != NO_SUCH_ACCOUNT:
            raise
        return None
    return [str(grant).rpartition(" TO ")[0] for (grant,) in rows]


def make_trial(aurora: Aurora, loader: Credentials, hosts: str, grants: list[str]) -> Credentials:
    """Create a user with a password and rights, who may become the loader of these hosts; return what it logs in as."""
    trial = replace(loader, username=f"{loader.username[:MAX_LOADER_NAME]}_n")
    drop_loader(aurora, trial, hosts)
    make_loader(aurora, trial, hosts)
    for grant in grants:
        if not grant.startswith("GRANT USAGE ON *.*"):
            aurora.execute(f"{grant.replace('%', '%%')} TO %s@%s", (trial.username, hosts))
    return trial


def adopt_trial(aurora: Aurora, trial: Credentials, loader: Credentials, hosts: str) -> None:
    """Make a trial the loader of its hosts, in one statement."""
    aurora.execute("RENAME USER %s@%s TO %s@%s", (trial.username, hosts, loader.username, hosts))


def lock_out(aurora: Aurora, loader: Credentials, hosts: str) -> None:
    """Let the loader in from these hosts no more; sessions that are under way keep all that they have."""
    aurora.execute("ALTER USER IF EXISTS %s@%s ACCOUNT LOCK", (loader.username, hosts))


def drop_loader(aurora: Aurora, loader: Credentials, hosts: str) -> None:
    """Have the loader come from these hosts no more."""
    aurora.execute("DROP USER IF EXISTS %s@%s", (loader.username, hosts))


def _schema(aurora: Aurora, database: str) -> str:
    r"""Return a database's name as a grant takes it: with `\_` for an underscore, which would stand for any character.

    Not where the server takes names as they are (MySQL 8.0 Reference Manual, "Privilege Restriction Using Partial
    Revokes"): there the backslash would be part of the name, and the grant of another database.
    """
    takes_names = aurora.query("SHOW GLOBAL VARIABLES WHERE Variable_name = 'partial_revokes' AND Value = 'ON'")
    return quote(database) if takes_names else quote(database).replace("_", r"\_")


def unlock(aurora: Aurora, loader: Credentials, hosts: str = ANYWHERE) -> None:
    """Unlock the loader's account, whatever locked it: somebody, or too many wrong passwords."""
    aurora.execute("ALTER USER %s@%s ACCOUNT UNLOCK", (loader.username, hosts))


def set_password(aurora: Aurora, loader: Credentials, hosts: str = ANYWHERE) -> None:
    """Give the loader its secret's password, whatever it had, and for good. Raises what `admit_loader` does."""
    aurora.execute(
        "ALTER USER %s@%s IDENTIFIED BY %s PASSWORD EXPIRE NEVER ACCOUNT UNLOCK",
        (loader.username, hosts, loader.password),
    )
