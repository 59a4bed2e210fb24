"""Leaving a target: its rows stay when its replication is deleted, and its tables are no platform's any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dynaurora import keys
from dynaurora.aurora.connection import connect
from dynaurora.aurora.owners import disown_tables
from dynaurora.aws.objects import read_or_none
from dynaurora.mappings.registry import Registry
from dynaurora.observability import logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from dynaurora.aurora.connection import Credentials, Endpoint
    from dynaurora.aws.objects import ObjectStore


def leave_target(
    store: ObjectStore,
    bucket: str,
    name: str,
    digest: str,
    find_endpoint: Callable[[], Endpoint],
    read_administrator: Callable[[], Credentials],
) -> None:
    """Have the tables of a mapping be nobody's, where no replication has them.

    A second stack of the mapping is refused and deleted while the first one replicates. Nothing is raised: no stack is
    kept from being deleted by a database or a bucket that is gone.
    """
    try:
        if read_or_none(store, bucket, keys.replication(name)) is not None:
            return
        mapping = Registry(store, bucket, name).find(digest)
        with connect(find_endpoint(), read_administrator()) as aurora:
            disown_tables(aurora, mapping.database, name, bucket)
    except Exception:  # noqa: BLE001  # whatever it is, the tables stay this platform's, and the error of the next one says so
        logger.exception("Target kept, and still this platform's")
    else:
        logger.info("Target kept, and free for any platform")
