"""Plans of backfills: an export's data files in batches, as the Distributed Map reads them, and what they come to."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from dynaurora import keys
from dynaurora.aws.objects import read_or_none
from dynaurora.errors import InvalidExportError, ObjectMissingError
from dynaurora.exports.manifests import DataFile

if TYPE_CHECKING:
    from dynaurora.aws.objects import ObjectStore

MAX_BATCH_ITEMS: Final = 50_000
"""Of one batch. A file with more is a batch of its own."""
MOST_SHARES: Final = 5
"""Of what one batch may have: it is parted no further, since smaller ones take less of the functions and the database
than of states, invocations and connections."""


@dataclass(frozen=True, slots=True)
class PlannedBatch:
    """One batch of a plan: one convert and one import."""

    number: int
    items: int
    files: tuple[DataFile, ...]
    compares: bool = False
    """Whether its rows are compared with the replica's, instead of being merged."""
    incremental: bool = False
    """Whether its files have changes, and not items."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as an entry of a plan."""
        return {name: value for name, value in asdict(self).items() if value is not False}

    @classmethod
    def from_dict(cls, document: Any) -> PlannedBatch:
        """Return the batch that an entry of a plan describes. Raises InvalidExportError."""
        try:
            files = tuple(
                DataFile(str(file["key"]), int(file["items"]), str(file["md5"])) for file in document["files"]
            )
            kinds = bool(document.get("compares")), bool(document.get("incremental"))
            return cls(int(document["number"]), int(document["items"]), files, *kinds)
        except (KeyError, OverflowError, TypeError, ValueError) as error:
            raise InvalidExportError(f"An entry of the plan lacks a field, or has a wrong one: {error}.") from error


@dataclass(frozen=True, slots=True)
class Plan:
    """What a plan comes to; the batches themselves are in its object."""

    bucket: str
    key: str
    export_arn: str
    export_second: int
    """What the export shows; of an incremental one, the end of its window. In seconds of Unix time."""
    export_bucket: str
    items: int
    billed_bytes: int
    files: int
    files_empty: int
    batches: int
    warnings: list[str] = field(default_factory=list)
    """What may be wrong with the export, for a person to judge."""
    window_from: int | None = None
    """Second that an incremental export's window begins at; None for a full export."""
    batch_items: int | None = None
    """How many items a batch was to have; None for as many as it may, as plans of before have it."""

    @classmethod
    def from_dict(cls, document: Any) -> Plan:
        """Return the plan of `asdict`. Raises InvalidExportError."""
        try:
            return cls(**document)
        except TypeError as error:
            raise InvalidExportError(f"What the plan comes to lacks a field, or has a wrong one: {error}.") from error


def share_items(items: int, max_items: int, at_once: int) -> int:
    """Return how many of a table's items a batch is to have, so that so many at a time end about together."""
    rounds = max(1, -(-items // (max_items * at_once)))
    return max(1, max_items // MOST_SHARES, -(-items // (rounds * at_once)))


def read_plan(store: ObjectStore, bucket: str, mapping: str, run: str) -> Plan | None:
    """Return what the plan of a run comes to, or None where the run is not planned yet."""
    body = read_or_none(store, bucket, keys.planned(mapping, run))
    return None if body is None else Plan.from_dict(json.loads(body))


def read_whole_plan(store: ObjectStore, bucket: str, mapping: str, run: str) -> Plan | None:
    """Return what the plan of a run comes to, or None where the run has to be planned: its batches may have expired."""
    plan = read_plan(store, bucket, mapping, run)
    try:
        if plan is not None:
            store.tail(plan.bucket, plan.key)
    except ObjectMissingError:
        return None
    return plan
