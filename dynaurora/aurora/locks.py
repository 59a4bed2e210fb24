"""Named locks of the database server: what only one connection may do at a time.

A lock belongs to the connection that took it, as its transaction does. When the connection ends, however it ends, the
server undoes the transaction and then lets go of the lock, so nobody else has the lock while that transaction may still
be committed. A connection may take several locks, and one of them several times (MySQL 8.0 Reference Manual, "Locking
Functions"; MariaDB, "GET_LOCK"). No right is needed.
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from dynaurora.errors import DynauroraError, LockWaitError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dynaurora.aurora.connection import Aurora

LOCK_NAME_CHARACTERS: Final = 64
"""Most of a lock's name (MySQL 8.0 Reference Manual, "Locking Functions")."""


def name_lock(*parts: str) -> str:
    """Return the name of a lock, which all databases of a server share; a part too many is told by its digest."""
    name = "/".join(("dynaurora", *parts))
    if len(name) <= LOCK_NAME_CHARACTERS:
        return name
    *whose, last = parts
    digest = hashlib.sha256("/".join(whose).encode()).hexdigest()[:32]
    return f"dynaurora/{digest}/{last}"


@contextmanager
def holding(aurora: Aurora, name: str, seconds: int) -> Iterator[None]:
    """Hold a lock for what is done inside. Raises LockWaitError where another connection keeps it for so long."""
    ((taken,),) = aurora.query("SELECT GET_LOCK(%s, %s)", (name, seconds))
    if taken != 1:
        raise LockWaitError(f"Another connection has kept the lock {name} for {seconds} seconds.")
    try:
        yield
    finally:
        _release(aurora, name)


@contextmanager
def holding_one(aurora: Aurora, names: Sequence[str]) -> Iterator[int | None]:
    """Hold the first of some locks that nobody has, without waiting; give its index, or None where all are taken."""
    attempts = " ".join(f"WHEN GET_LOCK(%s, 0) = 1 THEN {index}" for index in range(len(names)))
    ((index,),) = aurora.query(f"SELECT CASE {attempts} END", tuple(names))
    try:
        yield None if index is None else int(index)
    finally:
        if index is not None:
            _release(aurora, names[int(index)])


def _release(aurora: Aurora, name: str) -> None:
    with suppress(DynauroraError):  # of a connection that broke: the server has let go of it, or is about to
        aurora.query("SELECT RELEASE_LOCK(%s)", (name,))
