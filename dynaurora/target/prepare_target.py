"""Preparing the database of a mapping: its tables and view, and the loader, as the deployment does it."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from dynaurora.aurora import sql
from dynaurora.aurora.connection import connect
from dynaurora.aurora.fills import is_hidden
from dynaurora.aurora.generations import activate
from dynaurora.aurora.migrations import prepare_target
from dynaurora.aurora.replica_columns import check_replica
from dynaurora.aurora.users import (
    ANYWHERE,
    adopt_trial,
    drop_loader,
    grant_rights,
    lock_out,
    make_loader,
    make_trial,
    read_grants,
    set_password,
    unlock,
)
from dynaurora.errors import AccountLockedError, InvalidSettingsError, RetryableError, SecretRotatedError
from dynaurora.mappings.registry import Pointer, point_at, publish_document
from dynaurora.observability import logger
from dynaurora.target.probe import choose_staging

if TYPE_CHECKING:
    from collections.abc import Callable

    from dynaurora.aurora.connection import Aurora, Credentials, Endpoint
    from dynaurora.aurora.staging import Staging
    from dynaurora.mappings.mapping import Mapping
    from dynaurora.target.probe import Landing

DATABASE_WAIT_SECONDS: Final = 120.0
"""For a database that comes back from a pause, which takes half a minute at most (Amazon Aurora User Guide, "Scaling to
Zero ACUs with automatic pause and resume"), one that fails over, and a secret that is being rotated."""
PAUSE_SECONDS: Final = 5.0


class Prepared(NamedTuple):
    """What was done."""

    migrations: list[str]
    """Those that were applied."""
    staging: Staging | None
    """How batches are staged; None where nothing can be loaded from S3 yet."""


def prepare_database(
    endpoint: Endpoint,
    administrator: Credentials,
    loaders: Callable[[], list[Credentials]],
    mapping: Mapping,
    landing: Landing,
    slots: int = 0,
    *,
    hosts: str = ANYWHERE,
    wait_seconds: float = DATABASE_WAIT_SECONDS,
) -> Prepared:
    """Create or complete a mapping's targets and its loader, see that they fit, and find out how batches are staged.

    `slots` is how many imports there may be at once, 0 for any number. `loaders` reads what the loader may log in with:
    its secret, and what a rotation that is under way makes of it. One that it does log in with stays. `hosts` is where
    it may come from, as an account has it. Safe to repeat.
    Columns are added and widened; nothing is dropped, but for staging tables, which are made anew. Raises
    ColumnsRefusedError where a replica is there that cannot become the mapping's so, InvalidMappingError where InnoDB
    could not hold its rows, TargetTakenError where another platform writes there, LockWaitError where somebody keeps
    it, StagingError where the server loads into no table, ViewInvalidError where the loader, like others, cannot read
    the view, PrivilegeError, PasswordPolicyError, or what connecting raises.
    """
    loader = loaders()[0]
    if administrator.username == loader.username:
        raise InvalidSettingsError(f"The loader's secret names the administrator, {loader.username}.")
    wait_until_available(endpoint, administrator, wait_seconds)
    with connect(endpoint, administrator) as aurora:
        applied = prepare_target(aurora, mapping, platform=landing.bucket)
        publish_document(landing.store, landing.bucket, mapping)
        generation = activate(aurora, mapping)
        accepted, hosts = let_in_from(aurora, endpoint, loaders, hosts)
        grant_rights(aurora, loader, mapping.database, hosts)
    with connect(endpoint, accepted, load_from_s3=True) as aurora:
        for target in mapping.targets:
            check_replica(aurora, target)
            if not is_hidden(aurora, target):
                aurora.query(sql.select_nothing(target))
            staging = choose_staging(aurora, partial(connect, endpoint, administrator), target, landing, slots)
    if staging is None:
        logger.warning("Aurora cannot load from the bucket yet", extra={"bucket": landing.bucket})
    point_at(landing.store, landing.bucket, mapping.name, Pointer(generation.digest, generation.number))
    return Prepared(applied, staging)


def prepare_loader(
    endpoint: Endpoint,
    administrator: Credentials,
    loaders: Callable[[], list[Credentials]],
    *,
    hosts: str = ANYWHERE,
    wait_seconds: float = DATABASE_WAIT_SECONDS,
) -> str:
    """Have the loader there, who may log in and nothing more: what it imports into comes with each target.

    Returns where it may come from, which is anywhere if it cannot log in here otherwise. Safe to repeat. Raises what
    `prepare_database` does of users.
    """
    loader = loaders()[0]
    if administrator.username == loader.username:
        raise InvalidSettingsError(f"The loader's secret names the administrator, {loader.username}.")
    wait_until_available(endpoint, administrator, wait_seconds)
    with connect(endpoint, administrator) as aurora:
        return let_in_from(aurora, endpoint, loaders, hosts)[1]


def let_in_from(
    aurora: Aurora, endpoint: Endpoint, loaders: Callable[[], list[Credentials]], hosts: str
) -> tuple[Credentials, str]:
    """Have the loader there, from these hosts; return what it logs in with, and from where it may come.

    That is anywhere, where it would not get in here otherwise: what imports is on the network that this is on, and a
    loader that is kept out would stop it all.
    """
    loader = loaders()[0]
    if (
        hosts != ANYWHERE
        and read_grants(aurora, loader, hosts) is None
        and not confine(aurora, endpoint, loaders, hosts)
    ):
        hosts = ANYWHERE
    make_loader(aurora, loader, hosts)
    accepted = let_in(aurora, endpoint, loaders, hosts)
    if hosts != ANYWHERE:
        lock_out(aurora, loader, ANYWHERE)
    return accepted, hosts


def confine(aurora: Aurora, endpoint: Endpoint, loaders: Callable[[], list[Credentials]], hosts: str) -> bool:
    """Have a loader come from these hosts, with the password and the rights that it has; return whether it gets in.

    There is one at any moment: it is made and tried under another name, and becomes the loader in one statement; of two
    accounts a server takes the one with fewer hosts. What is under way goes on as the one of before.
    """
    known = loaders()
    loader = next((found for found in known if can_log_in(endpoint, found)), known[0])
    trial = make_trial(aurora, loader, hosts, read_grants(aurora, loader, ANYWHERE) or [])
    if not can_log_in(endpoint, trial):
        logger.warning("The loader may come from anywhere: it does not get in from here", extra={"asked": hosts})
        drop_loader(aurora, trial, hosts)
        return False
    adopt_trial(aurora, trial, loader, hosts)
    return True


def let_in(aurora: Aurora, endpoint: Endpoint, loaders: Callable[[], list[Credentials]], hosts: str) -> Credentials:
    """Return what the loader logs in with; where nothing is, unlock it, and where that does not do, set its password.

    A password is set only then: a server may refuse one that was used before.
    """
    for mend in (None, unlock, set_password):
        if mend is not None:
            mend(aurora, loaders()[0], hosts)
        # Read again: a rotation may have come further meanwhile.
        for found in loaders():
            if can_log_in(endpoint, found):
                return found
    raise SecretRotatedError(f"The loader, {loaders()[0].username}, was given a password and cannot log in with it.")


def wait_until_available(
    endpoint: Endpoint, credentials: Credentials, seconds: float, *, until: type[RetryableError] | None = None
) -> None:
    """Return once a user can connect.

    Raises the last RetryableError where that takes too long, and `until` and all others at once.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            with connect(endpoint, credentials):
                return
        except RetryableError as error:
            if type(error) is until or time.monotonic() + PAUSE_SECONDS > deadline:
                raise
        time.sleep(PAUSE_SECONDS)


def can_log_in(endpoint: Endpoint, credentials: Credentials, wait_seconds: float = 0.0) -> bool:
    """Tell whether a user gets in with a password, once the database is there.

    Not with a wrong or expired one, nor where the account is locked. Raises what `wait_until_available` does.
    """
    try:
        wait_until_available(endpoint, credentials, wait_seconds, until=SecretRotatedError)
    except (AccountLockedError, SecretRotatedError):
        return False
    return True
