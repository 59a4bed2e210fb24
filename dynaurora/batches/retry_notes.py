"""Notes of retries: what imports by a run failed with before they were tried again, for the run's report.

The ledger has how often a batch was tried, once it is in Aurora; why, only the attempt knows. Each leaves an empty
object, whose key has the error, the batch and which attempt it was, so that who reads them only lists:

    batches/mapping=<m>/retried-<run>/<error>/<batch>-<retries>

Where the function did not answer, for it was throttled, or was out of time or memory, there is none.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from dynaurora import keys
from dynaurora.errors import RetryableError
from dynaurora.observability import logger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dynaurora.aws.objects import ObjectStore
    from dynaurora.batches.batch import Batch

MOST_NOTES: Final = 20_000
"""That a report reads, by a thousand a request."""


@contextmanager
def noting_retries(store: ObjectStore, bucket: str, batch: Batch, run: str | None, retries: int) -> Iterator[None]:
    """Note what an import by a run fails with, where it is tried again, and raise it.

    The run is the one that has the batch imported: a reprocess takes up batches of others, whose reports are written.
    """
    try:
        yield
    except RetryableError as error:
        if run is not None:
            name = type(error).__name__
            note_retry(store, bucket, keys.retry_note(batch.mapping, run, name, batch.id, retries))
        raise


def note_retry(store: ObjectStore, bucket: str, key: str) -> None:
    """Write a note. One that cannot be written is missed in a report alone."""
    try:
        store.write(bucket, key, b"")
    except Exception as error:  # noqa: BLE001 (whatever this is, what the import failed with is what counts)
        problem = f"{type(error).__name__}: {error}"
        logger.warning("A retry was not noted, and its run's report will not tell it", extra={"problem": problem})


def read_retry_causes(store: ObjectStore, bucket: str, mapping: str, run: str) -> list[dict[str, Any]]:
    """Return `{"error", "times", "batches"}` of what imports by a run failed with, the most frequent first.

    Those of batches that were given up are among them.
    """
    notes = islice(store.list(bucket, keys.retry_notes_prefix(mapping, run)), MOST_NOTES)
    attempts = [keys.read_retry_note(mapping, run, listed.key) for listed in notes]
    times = Counter(error for error, _ in attempts)
    batches = Counter(error for error, _ in {*attempts})
    return [{"error": error, "times": count, "batches": batches[error]} for error, count in times.most_common()]
