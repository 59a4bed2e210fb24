"""Changing a mapping: what a deployment would do to its target is planned, or done at once, by whoever administers it.

The order is that of a deployment: the columns, the view, the document, its row in `_dynaurora_mappings`, the pointer.
Functions take the mapping up from the pointer.
"""

from __future__ import annotations

import json
from decimal import Decimal
from itertools import count
from typing import TYPE_CHECKING, Any

from dynaurora.aurora.column_changes import Patience
from dynaurora.aurora.column_plan import has_table
from dynaurora.aurora.fills import find_incomplete, read_fills
from dynaurora.aurora.generations import activate, register
from dynaurora.aurora.migrations import migrate, plan_targets, prepare_target, read_earlier
from dynaurora.aurora.staging import make_tables, read_staging, record_staging
from dynaurora.errors import LockWaitError
from dynaurora.mappings.conditions import is_of_keys
from dynaurora.mappings.mapping import build_mapping
from dynaurora.mappings.rebuilds import is_under_way, name_replica
from dynaurora.mappings.registry import TAKE_UP_SECONDS, Pointer, point_at, publish_document
from dynaurora.target.left_replicas import describe_left, drop_left

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from dynaurora.aurora.column_plan import ColumnPlan
    from dynaurora.aurora.connection import Aurora
    from dynaurora.aurora.fills import Fill
    from dynaurora.aws.objects import ObjectStore
    from dynaurora.mappings.mapping import Mapping


def answer_request(request: dict[str, Any], aurora: Aurora, store: ObjectStore, bucket: str) -> dict[str, Any]:
    """Do what `{"action": …, "mapping": …, "document": …}` asks for, and return what came of it under its name.

    Actions are `plan`, `apply`, `register` and `replicas`, which tells what rebuilds have left, or drops it; where a
    table is kept for too long, `waiting` says what for. Raises what these do, and InvalidMappingError.
    """
    text, drop = request["document"], bool(request.get("drop"))
    mapping = build_mapping(request["mapping"], json.loads(text, parse_float=Decimal), text=text)
    if request["action"] == "plan":
        return {"plan": plan_change(aurora, mapping, drop=drop)}
    if request["action"] == "replicas":
        return {"replicas": drop_left(aurora, mapping) if drop else describe_left(aurora, mapping)}
    if request["action"] == "register":
        return {"registered": register_mapping(aurora, mapping, store, bucket)}
    try:
        patience = Patience(float(request.get("seconds", 20)))
        return {"applied": apply_change(aurora, mapping, store, bucket, patience, drop=drop)}
    except LockWaitError as error:
        return {"waiting": error.problem}


def plan_change(aurora: Aurora, mapping: Mapping, *, drop: bool = False) -> dict[str, Any]:
    """Return the plan of a mapping's columns for machines, with the digest that is active now. Nothing is changed.

    Of several targets the plans are in `targets`, and together in the same members as that of one. Raises
    InvalidMappingError where InnoDB could not hold the rows of one.
    """
    plans = plan_targets(aurora, mapping, drop=drop)
    earlier, _ = read_earlier(aurora, mapping)
    active = earlier[-1] if earlier else None
    documents = [plan.as_document() | {"alters": plan.alters} for plan in plans]
    plan = add_plans(documents) if mapping.others else documents[0]
    told = describe_routes(mapping, active, read_fills(aurora, mapping)) | describe_rebuild(aurora, plans, earlier)
    return plan | {"active": active.digest if active else None, "hidden": list_hidden(plans), **told}


def describe_rebuild(aurora: Aurora, plans: list[ColumnPlan], earlier: Sequence[Mapping]) -> dict[str, Any]:
    """Return what a plan says to a rebuild.

    `rebuilding` has the targets whose second table is written, by table, with the run that has filled it, if any;
    `free_replicas` a name for the second table of each that is refused, `written_replicas` those of earlier mappings,
    by which rows may come at any time, and `before` the document of the last mapping that was another one and no
    rebuild's.
    """
    active = earlier[-1] if earlier else None
    runs = {fill.target: fill.run for fill in read_fills(aurora, active)} if active else {}
    second = {each.rebuilds: runs.get(each.table) for each in active.targets if each.rebuilds} if active else {}
    written = {target.replica for each in earlier for target in each.targets}
    free = {plan.mapping.table: find_free_replica(aurora, plan.mapping, written) for plan in plans if plan.refusals}
    before = [each.text for each in earlier if active and each.digest != active.digest and not is_under_way(each)]
    return {
        "rebuilding": second,
        "free_replicas": free,
        "written_replicas": sorted(written),
        "before": before[-1] if before else None,
    }


def find_free_replica(aurora: Aurora, target: Mapping, written: Collection[str]) -> str:
    """Return a name for a target's second table that no table has, and none of those that were written before."""
    names = (name_replica(target.table, number) for number in count(2))
    return next(name for name in names if name not in written and not has_table(aurora, target.database, name))


def list_hidden(plans: list[ColumnPlan]) -> list[str]:
    """Return the tables of targets that get no view before they are filled."""
    return [plan.mapping.table for plan in plans if not plan.shows]


def add_plans(plans: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the plans of several targets as one, in which columns have their tables' names before them."""
    added = plans[0] | {"targets": plans, "row_versions": None}
    added["view"] = ", ".join(plan["view"] for plan in plans)
    added["rebuild"] = "; ".join(plan["rebuild"] for plan in plans if plan["rebuild"]) or None
    for name in ("creates", "alters"):
        added[name] = any(plan[name] for plan in plans)
    for name in ("rows", "bytes"):
        added[name] = sum(plan[name] for plan in plans)
    added["statements"] = [statement for plan in plans for statement in plan["statements"]]
    for name in ("add", "widen"):
        added[name] = [
            each | {"column": f"{name_table(plan)}.{each['column']}"} for plan in plans for each in plan[name]
        ]
    for name in ("drop", "keep", "others", "wider", "fill"):
        added[name] = [f"{name_table(plan)}.{column}" for plan in plans for column in plan[name]]
    added["refuse"] = [f"{name_table(plan)}: {reason}" for plan in plans for reason in plan["refuse"]]
    return added


def name_table(plan: dict[str, Any]) -> str:
    """Return the name of a plan's table."""
    table: str = plan["view"].partition(".")[2]
    return table


def describe_routes(mapping: Mapping, active: Mapping | None, fills: Sequence[Fill] = ()) -> dict[str, Any]:
    """Return what a plan says of the conditions of targets.

    `sweep` names the tables that are complete only after a backfill with a sweep: targets that are new beside what is
    active, or whose condition is another one, or that have been so since. `undecided` names those whose condition is
    not decided by keys alone: each delete, and each put of an item that is not theirs, becomes a tombstone in them.
    """
    incomplete = {target.table for target in find_incomplete(mapping, active)}
    incomplete |= {fill.target for fill in fills if fill.run is None}
    sweep = [target.table for target in mapping.targets if target.table in incomplete]
    undecided = [target.table for target in mapping.targets if target.when and not is_of_keys(target)]
    return {"sweep": sweep, "undecided": undecided}


def apply_change(
    aurora: Aurora, mapping: Mapping, store: ObjectStore, bucket: str, patience: Patience, *, drop: bool = False
) -> dict[str, Any]:
    """Have the target as a mapping wants it, and make that the active one; return its digest and generation.

    Safe to repeat. Raises ColumnsRefusedError and InvalidMappingError before anything is changed, and LockWaitError
    where somebody keeps the replica for too long: what was done by then stays.
    """
    prepare_target(aurora, mapping, patience, drop=drop, platform=bucket)
    stagings = [read_staging(aurora, target) for target in mapping.targets]
    known = next(filter(None, stagings), None)
    for target, staging in zip(mapping.targets, stagings, strict=True):
        if staging is None and known:  # a target that is new: the server is the same
            record_staging(aurora, target, known)
        if known and known.tables:
            patience.tell(f"the tables that batches of {target.table} are staged in are made anew")
            make_tables(aurora, target, (staging or known).tables)
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


def show_targets(aurora: Aurora, mapping: Mapping) -> list[str]:
    """Make the views of the active mapping's targets that have been filled; return the tables. Safe to repeat.

    Raises what `prepare_target` does.
    """
    filled = [fill.target for fill in read_fills(aurora, mapping) if fill.hides_view and fill.run]
    due = [target.table for target in mapping.targets if target.table in filled and not target.rebuilds]
    if due:
        prepare_target(aurora, mapping)
    return due


def register_mapping(aurora: Aurora, mapping: Mapping, store: ObjectStore, bucket: str) -> dict[str, Any]:
    """Make a mapping known that wrote rows which wait to be imported, without making it the active one."""
    migrate(aurora, mapping.database)
    publish_document(store, bucket, mapping)
    generation = register(aurora, mapping)
    return {"mapping": mapping.name, "digest": generation.digest, "generation": generation.number}
