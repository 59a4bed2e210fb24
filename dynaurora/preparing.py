"""Preparing the database of a mapping: its tables and view, and the loader, as the deployment does it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from dynaurora.aurora import connect
from dynaurora.errors import InvalidSettingsError, RetryableError
from dynaurora.migrations import check_replica, prepare_target
from dynaurora.users import admit_loader

if TYPE_CHECKING:
    from dynaurora.aurora import Credentials, Endpoint
    from dynaurora.mapping import Mapping

WAIT_SECONDS: Final = 120.0
"""For a database that comes back from a pause, which takes half a minute at most (Amazon Aurora User Guide, "Scaling to
Zero ACUs with automatic pause and resume"), one that fails over, and a secret that is being rotated."""
PAUSE_SECONDS: Final = 5.0


def prepare_database(
    endpoint: Endpoint,
    administrator: Credentials,
    loader: Credentials,
    mapping: Mapping,
    *,
    wait_seconds: float = WAIT_SECONDS,
) -> list[str]:
    """Create or complete a mapping's target and its loader, see that they fit, and return the migrations applied.

    Safe to repeat. Nothing that is there is altered or dropped. Raises TargetMismatchError where a replica is there
    that the mapping would make otherwise, PrivilegeError, or what connecting raises.
    """
    if administrator.username == loader.username:
        raise InvalidSettingsError(f"The loader's secret names the administrator, {loader.username}.")
    wait_until_available(endpoint, administrator, wait_seconds)
    with connect(endpoint, administrator) as aurora:
        applied = prepare_target(aurora, mapping)
        admit_loader(aurora, loader, mapping.database)
    with connect(endpoint, loader, load_from_s3=True) as aurora:
        check_replica(aurora, mapping)
    return applied


def wait_until_available(endpoint: Endpoint, credentials: Credentials, seconds: float) -> None:
    """Return once a user can connect. Raises the last RetryableError where that takes too long, any other at once."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with connect(endpoint, credentials):
                return
        except RetryableError:
            if time.monotonic() + PAUSE_SECONDS > deadline:
                raise
        time.sleep(PAUSE_SECONDS)
