"""Rebuilds: a target's rows in a second table, since the first one cannot be altered to what the mapping wants.

While a rebuild goes on, the active document has the target twice, and the stream writes both:

    {"table": "Orders", …}                                                             as it was; its view serves
    {"table": "Orders__2", "rebuilds": "Orders", "replica": "Orders__replica_2", …}    as it is wanted; it has no view

Once a backfill with a sweep has filled the second table, the document that is wanted is made the active one, in which
the target `Orders` has its rows in `Orders__replica_2`, and the view shows those. So each document says itself which
table its rows go into, whenever they arrive, and what a rebuild has come to is seen from the active document.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from dynaurora.mappings.mapping import REPLICA_ENDING, build_mapping

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dynaurora.mappings.mapping import Mapping

TABLE_CHARACTERS: Final = 55
"""Most of a view's name, as the mapping's schema has it."""
NAME_CHARACTERS: Final = 64


def find_rebuilt(active: Mapping, wanted: Mapping) -> list[Mapping]:
    """Return the targets of a wanted mapping whose rows are in another table than those that the active one serves."""
    served = {target.table: target.replica for target in active.targets}
    return [target for target in wanted.targets if served.get(target.table, target.replica) != target.replica]


def is_under_way(active: Mapping) -> bool:
    """Tell whether a mapping is that of a rebuild that goes on."""
    return any(target.rebuilds for target in active.targets)


def compose_rebuild(active: Mapping, wanted: Mapping) -> Mapping:
    """Return the mapping by which both tables of each rebuilt target are written.

    It is the wanted one, with the active one's targets beside those that are rebuilt. Raises ValueError where the two
    do not read the items alike: one document has one `source`.
    """
    document, before = json.loads(wanted.text), json.loads(active.text)
    if document["source"] != before["source"]:
        raise ValueError("its `source` changes too: change that by itself, before or afterwards")
    served = {target["table"]: target for target in list_targets(before)}
    rebuilt = {target.table for target in find_rebuilt(active, wanted)}
    targets = []
    for target in list_targets(document):
        if target["table"] in rebuilt:
            replica = target.get("replica", target["table"] + REPLICA_ENDING)
            second = {"table": name_second(target["table"], replica), "rebuilds": target["table"], "replica": replica}
            targets += [served[target["table"]], target | second]
        else:
            targets.append(target)
    rest = {name: value for name, value in document.items() if name not in {"schema", "target", "targets"}}
    return build_mapping(wanted.name, rest | {"targets": targets})


def list_targets(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the targets of a document, each as one of `targets`."""
    if "targets" in document:
        return list(document["targets"])
    return [{**document["target"], "schema": document["schema"]}]


def name_second(table: str, replica: str) -> str:
    """Return the name of a target beside the one that it is to replace: by it, its batches and failures are told."""
    number = replica.rpartition("_")[2]
    ending = f"__{number if number.isdigit() else 1}"
    return table[: TABLE_CHARACTERS - len(ending)] + ending


def name_replica(table: str, number: int) -> str:
    """Return the name of a target's second table, or third."""
    ending = f"{REPLICA_ENDING}_{number}"
    return table[: NAME_CHARACTERS - len(ending)] + ending


def write_replica(text: str, table: str, replica: str) -> str:
    """Return a mapping file that has a target's rows in a table; otherwise, and in its layout, as it was."""
    wanted = json.loads(text)
    targets = wanted.get("targets") or [wanted["target"]]
    next(target for target in targets if target["table"] == table)["replica"] = replica
    for candidate in _insert(text, table, replica):
        if json.loads(candidate) == wanted:
            return candidate
    return json.dumps(wanted, indent=2) + "\n"


def _insert(text: str, table: str, replica: str) -> Iterator[str]:
    """Yield the text with the member in each place where it may belong."""
    for found in re.finditer(r'"replica"\s*:\s*"[^"]*"', text):
        yield f'{text[: found.start()]}"replica": "{replica}"{text[found.end() :]}'
    for found in re.finditer(rf'"table"\s*:\s*"{re.escape(table)}"', text):
        yield f'{text[: found.end()]}, "replica": "{replica}"{text[found.end() :]}'
