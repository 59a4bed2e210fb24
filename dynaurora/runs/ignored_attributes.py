"""Ignored attributes of a run: what no column took, as its batches counted it, added up for its report."""

from __future__ import annotations

import json
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from dynaurora import keys
from dynaurora.aws.objects import read_or_none
from dynaurora.mappings.unmapped import Unmapped

if TYPE_CHECKING:
    from dynaurora.aws.objects import ObjectStore

MAX_BATCHES: Final = 5000
"""Batches that are read for a report; of a run that has more, the counts are of so many."""
READERS: Final = 16


def read_ignored(store: ObjectStore, bucket: str, mapping: str, run: str) -> dict[str, Any] | None:
    """Return what no column took of a run's items, as its report has it; None where there was nothing."""
    listed = (
        found.key
        for found in store.list(bucket, keys.backfill_batches_prefix(mapping, run))
        if found.key.endswith(keys.UNMAPPED_ENDING)
    )
    taken = list(islice(listed, MAX_BATCHES + 1))
    if not taken:
        return None
    together, of_targets = Unmapped(), defaultdict[str, Unmapped](Unmapped)
    with ThreadPoolExecutor(READERS) as readers:
        for body in readers.map(lambda key: read_or_none(store, bucket, key), taken[:MAX_BATCHES]):
            with suppress(KeyError, TypeError, ValueError):  # what has expired, or was written over
                document = json.loads(body or b"{}")
                together.merge(Unmapped.from_dict(document))
                for table, found in document.get("targets", {}).items():
                    of_targets[table].merge(Unmapped.from_dict(found))
    apart = {table: _describe(found) for table, found in of_targets.items()}
    ignored = _describe(together) | {"exact": len(taken) <= MAX_BATCHES}
    return ignored | {"targets": apart} if apart else ignored


def _describe(found: Unmapped) -> dict[str, Any]:
    return {"attributes": found.describe(), "others": found.others}
