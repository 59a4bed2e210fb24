"""The functions' way to the target database: its endpoint from the settings, the loader from its secret."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from dynaurora.aurora import Endpoint, connect
from dynaurora.errors import SecretRotatedError
from dynaurora.observability import tracer
from dynaurora.secrets import read_candidates, read_credentials

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dynaurora.aurora import Aurora
    from dynaurora.settings import DatabaseSettings

tracer.patch(("pymysql",))


@contextmanager
def connect_loader(settings: DatabaseSettings, *, load_from_s3: bool = False) -> Iterator[Aurora]:
    """Open a connection as the loader, with the newest of its passwords, and close it in the end.

    While a rotation is under way, that is the pending one. Raises MissingSecretError, SecretRotatedError where neither
    is the loader's, or what else `dynaurora.aurora.connect` raises.
    """
    endpoint = Endpoint(settings.database_host, settings.database_port, settings.database_ca)
    current = read_credentials(settings.database_secret_arn)
    with ExitStack() as stack:
        try:
            aurora = stack.enter_context(connect(endpoint, current, load_from_s3=load_from_s3))
        except SecretRotatedError:
            *_, newest = read_candidates(settings.database_secret_arn)
            aurora = stack.enter_context(connect(endpoint, newest, load_from_s3=load_from_s3))
        yield aurora
