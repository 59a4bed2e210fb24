"""The watermark: until which second all changes of a table have been imported, as far as can be seen.

A change is in the landing bucket some time after it was made, and in Aurora once its batch is marked as imported. So
what was made before the oldest batch that is not could land is in: a batch that is kept as failed holds it back, too.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from dynaurora import keys
from dynaurora.errors import ObjectMissingError
from dynaurora.failures.list_failures import is_imported

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dynaurora.aws.objects import ObjectStore
    from dynaurora.failures.list_failures import Place

TRANSIT_SECONDS: Final = 180
"""What a change takes at most until it is in the bucket, unless the stream is late: a minute in Firehose, and what it
takes to be forwarded and mapped."""
LOOKED_BACK_FOR: Final = timedelta(hours=2)
"""For batches that are not imported: what failed is kept as failed by then."""


@dataclass(frozen=True)
class Watermark:
    """The watermark of one replication."""

    place: Place
    store: ObjectStore
    transit_seconds: float = TRANSIT_SECONDS
    clock: Callable[[], float] = time.time

    def find(self) -> float:
        """Return it in Unix time."""
        waiting = [*self._list_waiting(), *self._list_failed()]
        return min([self.clock(), *waiting]) - self.transit_seconds

    def _list_waiting(self) -> Iterator[float]:
        """Yield when the first of the batches landed that is not imported."""
        begin = datetime.fromtimestamp(self.clock(), UTC) - LOOKED_BACK_FOR
        hour = f"{self.place.processed}{begin:%Y/%m/%d/%H}"  # as the delivery stream names its folders
        landed = self.store.list(self.place.bucket, self.place.processed, after=hour)
        for listed in sorted(landed, key=lambda one: one.modified_at):
            if not is_imported(self.store, self.place.bucket, listed.key):
                yield listed.modified_at.timestamp()
                return

    def _list_failed(self) -> Iterator[float]:
        """Yield when batches failed first that are kept."""
        for listed in self.store.list(self.place.bucket, keys.failed_batches_prefix(self.place.mapping)):
            failed_at = listed.modified_at
            with suppress(ObjectMissingError, KeyError, TypeError, ValueError):
                record = json.loads(self.store.read(self.place.bucket, listed.key))
                failed_at = min(failed_at, datetime.fromisoformat(record["first_failed_at"]))
            yield failed_at.timestamp()
