"""The database at one moment, read by statements of the tests' own: those under test may be broken."""

from collections.abc import Iterator
from contextlib import contextmanager

from dynaurora.aurora.connection import Aurora


@contextmanager
def moment(aurora: Aurora) -> Iterator[None]:
    """Have all that is read inside be of the same moment."""
    aurora.execute("COMMIT")
    aurora.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    aurora.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
    try:
        yield
    finally:
        aurora.execute("COMMIT")
