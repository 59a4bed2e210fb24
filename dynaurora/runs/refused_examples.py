"""Examples of refused items of a run: keys of some for each reason, from what is kept beside its batches."""

from __future__ import annotations

import json
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from dynaurora import keys
from dynaurora.errors import ObjectMissingError

if TYPE_CHECKING:
    from dynaurora.aws.objects import ObjectStore

MOST_REFUSED_OBJECTS: Final = 50
MOST_REFUSED_LINES: Final = 1_000
"""Of each object: a run may have refused all there is."""
MOST_REFUSED_REASONS: Final = 20
MOST_REFUSED_KEYS: Final = 3
LONGEST_KEY: Final = 4_096
"""Characters of a key as JSON; DynamoDB's have 3 KB at most (DynamoDB Developer Guide, "Quotas")."""


def read_refused_examples(store: ObjectStore, bucket: str, mapping: str, run: str) -> list[dict[str, Any]]:
    """Return `{"reason", "keys"}` of the reasons that are found first, with some keys of each, typed."""
    examples = dict[str, list[Any]]()
    for key in islice(_list_refused(store, bucket, mapping, run), MOST_REFUSED_OBJECTS):
        with suppress(ObjectMissingError), store.open(bucket, key) as lines:  # an expired one
            for line in islice(lines, MOST_REFUSED_LINES):
                _take(line, examples)
    return [{"reason": reason, "keys": found} for reason, found in examples.items()]


def _list_refused(store: ObjectStore, bucket: str, mapping: str, run: str) -> Any:
    prefix = keys.backfill_batches_prefix(mapping, run)
    return (found.key for found in store.list(bucket, prefix) if found.key.endswith(keys.REFUSED_ENDING))


def _take(line: bytes, examples: dict[str, list[Any]]) -> None:
    """Take a refused item as an example, where there are not enough of its reason; one of before names none."""
    with suppress(AttributeError, ValueError):
        refused = json.loads(line)
        reason, key = refused.get("Reason"), refused.get("Keys")
        if not isinstance(reason, str) or not isinstance(key, dict) or len(json.dumps(key)) > LONGEST_KEY:
            return
        if reason in examples or len(examples) < MOST_REFUSED_REASONS:
            found = examples.setdefault(reason, [])
            if key not in found and len(found) < MOST_REFUSED_KEYS:
                found.append(key)
