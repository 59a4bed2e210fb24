"""The functions' way to the target database: its endpoint from the settings, the loader from its secret."""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Final

from dynaurora.aurora.connection import Credentials, Endpoint, connect
from dynaurora.aurora.secrets import read_candidates, read_credentials
from dynaurora.errors import AccountLockedError, PrivilegeError, SecretRotatedError
from dynaurora.observability import tracer
from dynaurora.settings import SECRET_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dynaurora.aurora.connection import Aurora
    from dynaurora.settings import DatabaseSettings

tracer.patch(("pymysql",))

KEPT_REFUSALS: Final = (AccountLockedError, PrivilegeError, SecretRotatedError)
"""Of what was kept: the secret may name another user by now, who is let in."""

_kept: dict[str, tuple[float, Credentials]] = {}


@contextmanager
def connect_loader(settings: DatabaseSettings, *, load_from_s3: bool = False) -> Iterator[Aurora]:
    """Open a connection as the loader, with one of its passwords that the database takes, and close it in the end.

    It is the one that was read last, or where it was rotated since, the newest; while a rotation is under way, that is
    the pending one. Raises MissingSecretError, SecretRotatedError where neither is the loader's, or what else
    `dynaurora.aurora.connection.connect` raises.
    """
    endpoint, secret_arn = find_endpoint(settings), settings.database_secret_arn
    read_at, kept = _kept.get(secret_arn, (0.0, None))
    with ExitStack() as stack:
        aurora: Aurora | None = None
        if kept and time.monotonic() - read_at < SECRET_SECONDS:
            with suppress(*KEPT_REFUSALS):
                aurora = stack.enter_context(connect(endpoint, kept, load_from_s3=load_from_s3))
        if aurora is None:
            read = read_credentials(secret_arn)
            _kept[secret_arn] = time.monotonic(), read
            aurora = stack.enter_context(connect_rotated(endpoint, read, secret_arn, load_from_s3=load_from_s3))
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
