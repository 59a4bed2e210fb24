"""Examples of refused items of a run: keys of some for each reason, from what is kept beside its batches."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from dynaurora import keys
from dynaurora.errors import ObjectMissingError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dynaurora.aws.objects import ObjectStore

MOST_REFUSED_OBJECTS: Final = 50
MOST_REFUSED_LINES: Final = 1_000
"""Of each object: a run may have refused all there is."""
MOST_REFUSED_REASONS: Final = 20
MOST_REFUSED_KEYS: Final = 3
LONGEST_KEY: Final = 4_096
"""Characters of a key as JSON; DynamoDB's have 3 KB at most (DynamoDB Developer Guide, "Quotas")."""


@dataclass
class RefusedExamples:
    """Keys of some refused items, typed, by the reasons that came first."""

    found: dict[str, list[Any]] = field(default_factory=dict)

    def add(self, reason: Any, key: Any) -> None:
        """Take a refused item as an example, where there are not enough of its reason."""
        if not isinstance(reason, str) or not isinstance(key, dict):
            return
        if reason in self.found or len(self.found) < MOST_REFUSED_REASONS:
            examples = self.found.get(reason, [])
            if len(examples) < MOST_REFUSED_KEYS and key not in examples and _is_short(key):
                self.found[reason] = [*examples, key]

    def add_line(self, line: bytes) -> None:
        """Take a line of what is kept beside a batch; one of before, or that is none, is passed over."""
        with suppress(AttributeError, RecursionError, ValueError):
            refused = json.loads(line)
            self.add(refused.get("Reason"), refused.get("Keys"))

    def as_list(self) -> list[dict[str, Any]]:
        """Return `{"reason", "keys"}` of each reason, as reports have them."""
        return [{"reason": reason, "keys": examples} for reason, examples in self.found.items()]

    def encode(self) -> bytes:
        """Return them as the lines that `add_line` takes."""
        pairs = ((reason, key) for reason, examples in self.found.items() for key in examples)
        return b"".join(json.dumps({"Keys": key, "Reason": reason}).encode() + b"\n" for reason, key in pairs)


def read_refused_examples(store: ObjectStore, bucket: str, mapping: str, run: str) -> list[dict[str, Any]]:
    """Return `{"reason", "keys"}` of the reasons of a backfill that are found first, with some keys of each, typed."""
    return _read_examples(store, bucket, keys.backfill_batches_prefix(mapping, run))


def read_refused_again(store: ObjectStore, bucket: str, mapping: str, run: str) -> list[dict[str, Any]]:
    """Return the same of a reprocess."""
    return _read_examples(store, bucket, keys.reprocess_refused_prefix(mapping, run))


def _read_examples(store: ObjectStore, bucket: str, prefix: str) -> list[dict[str, Any]]:
    examples = RefusedExamples()
    for key in islice(_list_refused(store, bucket, prefix), MOST_REFUSED_OBJECTS):
        with suppress(ObjectMissingError), store.open(bucket, key) as lines:  # an expired one
            for line in islice(lines, MOST_REFUSED_LINES):
                examples.add_line(line)
    return examples.as_list()


def _list_refused(store: ObjectStore, bucket: str, prefix: str) -> Iterable[str]:
    return (found.key for found in store.list(bucket, prefix) if found.key.endswith(keys.REFUSED_ENDING))


def _is_short(key: Any) -> bool:
    """Tell whether a key is one that DynamoDB may have, by its length: nothing else is an example."""
    with suppress(RecursionError, TypeError):
        return len(json.dumps(key)) <= LONGEST_KEY
    return False
