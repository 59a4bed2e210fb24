"""Changing a mapping: what a deployment would do to its target is planned, or done at once, by whoever administers it.

The order is that of a deployment: the columns, the view, the document, its row in `_dynaurora_mappings`, the pointer.
Functions take the mapping up from the pointer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dynaurora.aurora.column_plan import plan_columns
from dynaurora.aurora.generations import activate, register
from dynaurora.aurora.migrations import migrate, prepare_target, read_earlier
from dynaurora.aurora.staging import make_tables, read_staging
from dynaurora.mappings.registry import TAKE_UP_SECONDS, Pointer, point_at, publish_document

if TYPE_CHECKING:
    from dynaurora.aurora.column_changes import Patience
    from dynaurora.aurora.connection import Aurora
    from dynaurora.aws.objects import ObjectStore
    from dynaurora.mappings.mapping import Mapping


def plan_change(aurora: Aurora, mapping: Mapping, *, drop: bool = False) -> dict[str, Any]:
    """Return the plan of a mapping's columns for machines, with the digest that is active now. Nothing is changed.

    Raises InvalidMappingError where InnoDB could not hold its rows.
    """
    earlier, age_seconds = read_earlier(aurora, mapping)
    plan = plan_columns(aurora, mapping, earlier, age_seconds, drop=drop)
    return plan.as_document() | {"active": earlier[-1].digest if earlier else None, "alters": plan.alters}


def apply_change(
    aurora: Aurora, mapping: Mapping, store: ObjectStore, bucket: str, patience: Patience, *, drop: bool = False
) -> dict[str, Any]:
    """Have the target as a mapping wants it, and make that the active one; return its digest and generation.

    Safe to repeat. Raises ColumnsRefusedError and InvalidMappingError before anything is changed, and LockWaitError
    where somebody keeps the replica for too long: what was done by then stays.
    """
    prepare_target(aurora, mapping, patience, drop=drop)
    staging = read_staging(aurora, mapping)
    if staging and staging.tables:
        patience.tell("the tables that batches are staged in are made anew")
        make_tables(aurora, mapping, staging.tables)
    publish_document(store, bucket, mapping)
    generation = activate(aurora, mapping)
    switched = point_at(store, bucket, mapping.name, Pointer(generation.digest, generation.number))
    return {
        "mapping": mapping.name,
        "digest": generation.digest,
        "generation": generation.number,
        "switched": switched,
        "taken_up_within_seconds": TAKE_UP_SECONDS,
    }


def register_mapping(aurora: Aurora, mapping: Mapping, store: ObjectStore, bucket: str) -> dict[str, Any]:
    """Make a mapping known that wrote rows which wait to be imported, without making it the active one."""
    migrate(aurora, mapping.database)
    publish_document(store, bucket, mapping)
    generation = register(aurora, mapping)
    return {"mapping": mapping.name, "digest": generation.digest, "generation": generation.number}
