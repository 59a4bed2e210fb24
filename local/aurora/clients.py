"""Settings with which `mysql` and `mariadb` find the local Aurora: `my.cnf`."""

from pathlib import Path

from local.files import write_private
from local.state import AuroraAddress


def write_client_settings(path: Path, aurora: AuroraAddress) -> None:
    """Write an option file for `--defaults-file`, or for the directory that `MYSQL_HOME` names.

    The server is verified, which MariaDB's and MySQL's clients are told in different ways.
    """
    write_private(
        path,
        f"""\
[client]
host = {aurora.host}
port = {aurora.port}
protocol = tcp
user = {_quote(aurora.user)}
password = {_quote(aurora.password)}
ssl-ca = {_quote(aurora.ca_file)}

[client-mariadb]
ssl-verify-server-cert

[mysql]
database = {_quote(aurora.database)}
""",
    )


def _quote(value: str) -> str:
    """Return a value as an option file wants it: in quotes, in which a backslash escapes."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
