"""The functions' way to the target database: its endpoint from the settings, the loader from its secret."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from dynaurora.aurora.connection import Endpoint, connect
from dynaurora.aurora.secrets import read_candidates, read_credentials
from dynaurora.errors import SecretRotatedError
from dynaurora.observability import tracer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dynaurora.aurora.connection import Aurora, Credentials
    from dynaurora.settings import DatabaseSettings

tracer.patch(("pymysql",))


@contextmanager
def connect_loader(settings: DatabaseSettings, *, load_from_s3: bool = False) -> Iterator[Aurora]:
    """Open a connection as the loader, with the newest of its passwords, and close it in the end.

    While a rotation is under way, that is the pending one. Raises MissingSecretError, SecretRotatedError where neither
    is the loader's, or what else `dynaurora.aurora.connection.connect` raises.
    """
    endpoint, secret_arn = find_endpoint(settings), settings.database_secret_arn
    with connect_rotated(endpoint, read_credentials(secret_arn), secret_arn, load_from_s3=load_from_s3) as aurora:
        yield aurora


@contextmanager
def connect_rotated(
    endpoint: Endpoint, current: Credentials, secret_arn: str, *, load_from_s3: bool = False
) -> Iterator[Aurora]:
    """Open a connection with what was read of a secret, or where it was rotated meanwhile with what is newer in it."""
    with ExitStack() as stack:
        try:
            aurora = stack.enter_context(connect(endpoint, current, load_from_s3=load_from_s3))
        except SecretRotatedError:
            *_, newest = read_candidates(secret_arn)
            aurora = stack.enter_context(connect(endpoint, newest, load_from_s3=load_from_s3))
        yield aurora


def find_endpoint(settings: DatabaseSettings) -> Endpoint:
    """Return where the database is."""
    return Endpoint(settings.database_host, settings.database_port, settings.database_ca)
