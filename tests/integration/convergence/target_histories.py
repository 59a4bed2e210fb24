"""Random histories of a table with several targets, which change while changes are in flight, and the rule for them.

Items move between targets, within a second too, and are deleted; functions forward the changes, sooner or later and
some more than once, by a copy of the pointer that is up to a minute old; targets are added, taken out, and get other
conditions. In the end a backfill comes under the newest mapping, of an export that is asked for at the bound, and a
sweep: then each target has the items that its condition is true of, as they are, and no others.

Changes are routed by the production's code; `Replicas` folds what becomes of them, the newest version of a key first.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from dynaurora.dynamodb.changes import Change, decode_change
from dynaurora.mappings.mapping import Mapping
from dynaurora.mappings.routing import Router
from dynaurora.mappings.row_mapper import RowMapper
from tests.integration.convergence.switches import MARGIN, SEQUENCES, SKEW, START, TAKE_UP, UNDEFINED, WAIT
from tests.support.several_targets import several, target

CONDITIONS: Final = (
    "",
    "starts_with(SK, 'A#')",
    "starts_with(SK, 'A#') && status == 'open'",
    "status == 'shut'",
    "!(starts_with(SK, 'B#') || status == 'open')",
    "n > `1`",
    "status && starts_with(status, 'o') || starts_with(SK, 'B#')",
)
TABLES: Final = ("Ones", "Others", "Thirds")
SORT_KEYS: Final = ("A#1", "A#2", "B#1")
COLUMNS: Final = (
    {"name": "status", "type": "VARCHAR(9)", "from": "status"},
    {"name": "n", "type": "INT", "from": "n"},
)

Targets = tuple[tuple[str, str], ...]
"""Table and condition of each."""
Key = tuple[str, str]
Item = dict[str, Any]


@cache
def make_document(targets: Targets, database: str = "Demo") -> Mapping:
    """Return the mapping of some targets."""
    made = [target(table, when, *COLUMNS) | {"database": database} for table, when in targets]
    return several(*made, name="routed")


@cache
def make_router(targets: Targets) -> Router:
    """Return what routes by a mapping."""
    return Router(RowMapper(make_document(targets)))


@dataclass(frozen=True)
class Arrival:
    """One change on its way, stamped with the mapping that it was read under."""

    targets: Targets
    change: Change


@dataclass
class ModelRow:
    """A row of a target's replica; without an item it is a tombstone."""

    version: int
    generation: int
    item: Item | None


@dataclass
class Replicas:
    """The replicas as the rule makes them of what arrives."""

    activations: list[Targets] = field(default_factory=list)
    tables: dict[str, dict[Key, ModelRow]] = field(default_factory=lambda: {table: {} for table in TABLES})

    def take(self, arrival: Arrival, route_by: Targets | None = None) -> None:
        """Bring a change into each target that its mapping routes it to."""
        for routed in make_router(route_by or arrival.targets).route_changes([arrival.change]).targets:
            for data in routed.changes:
                self.merge(routed.mapper.mapping.table, arrival.targets, decode_change(data))

    def merge(self, table: str, targets: Targets, change: Change) -> None:
        """Bring one row in: the highest version wins, and at the same one the newest generation."""
        number = max(number for number, one in enumerate(self.activations, 1) if one == targets)
        key, rows = (change.keys["PK"]["S"], change.keys["SK"]["S"]), self.tables[table]
        row = rows.get(key)
        if row is None or (change.version, number) > (row.version, row.generation):
            rows[key] = ModelRow(change.version, number, read_item(change))

    def sweep(self, snapshot: int, tables: list[str], partition: str) -> None:
        """Make tombstones of a partition's rows that are older than a snapshot."""
        for table in tables:
            for key, row in self.tables[table].items():
                if key[0] == partition and row.item is not None and row.version < snapshot:
                    row.version, row.generation, row.item = snapshot, len(self.activations), None

    def visible(self, table: str) -> dict[Key, Item]:
        """Return what people see of a target."""
        return {key: row.item for key, row in self.tables[table].items() if row.item is not None}


def read_item(change: Change) -> Item | None:
    """Return what the columns have of a change's item; None of a delete."""
    if change.new_image is None:
        return None
    status, number = change.new_image.get("status"), change.new_image["n"]
    return {"status": status and status["S"], "n": int(number["N"])}


class TargetHistory:
    """One history, all in its seed."""

    def __init__(
        self, seed: int, activations: list[Targets] | None = None, partition: str = "p", wait: int = WAIT
    ) -> None:
        """Tell it, of given mappings or of its own; its items are of one partition key."""
        self._draw = draw = random.Random(f"targets {seed}")
        self.activations = activations or draw_activations(draw)
        self.partition = partition
        self.switches = [START]
        for _ in self.activations[1:]:
            self.switches.append(self.switches[-1] + draw.choice((0, 1, 30, 59, 60, 61, 120, 400)))
        self.asked = self.switches[-1] + wait
        self.steps: list[list[Arrival]] = [[] for _ in self.activations]
        """What arrives after each activation."""
        self._states: dict[str, list[tuple[float, Change]]] = {}
        self._write()
        self.view = list(self._export())
        """What the export shows, as changes of the snapshot's version."""
        for step in self.steps:
            draw.shuffle(step)

    @property
    def snapshot(self) -> int:
        """The version of what the export shows."""
        return (self.asked - MARGIN) * SEQUENCES

    def _write(self) -> None:
        """Write items at times near the switches, some in the same second, and forward the changes."""
        draw, skew = self._draw, self._draw.choice((-SKEW, 0, SKEW - 0.01))
        near = [*self.switches, *(at + TAKE_UP for at in self.switches), self.asked - SKEW, self.asked]
        moments: list[float] = []
        for _ in range(7):
            at = draw.choice(near) + draw.choice((-1, 0, 1, 59, 60, -60)) + draw.random() / 2
            moments += [at, at + 0.1] if draw.random() < 0.5 else [at]
        for number, at in enumerate(sorted(moments), 1):
            sort_key = draw.choice(SORT_KEYS)
            key = {"PK": {"S": self.partition}, "SK": {"S": sort_key}}
            image = None if draw.random() < 0.25 else key | draw_item(draw)
            change = Change(int(at + skew) * SEQUENCES + 10**20 + number, int(at + skew) * 1000, key, image)
            self._states.setdefault(sort_key, []).append((at, change))
            for delay in draw.sample((0.1, 0.1, 1.0, 59.0, 61.0, 400.0), draw.choice((1, 1, 2))):
                self._forward(change, at + delay)

    def _forward(self, change: Change, at: float) -> None:
        """Have a change stamped with what was current when the function's copy of the pointer was read."""
        read_at = at - self._draw.choice((0, 1, TAKE_UP - 0.01))
        index = max((n for n, switch in enumerate(self.switches) if switch <= read_at), default=0)
        for _ in range(self._draw.choice((1, 1, 2))):
            step = self._draw.randint(index, len(self.steps) - 1)
            self.steps[step].append(Arrival(self.activations[index], change))

    def _export(self) -> Iterator[Change]:
        """Export the table, each key cut at a moment of its own."""
        for states in self._states.values():
            cuts = [self.asked - UNDEFINED, self.asked + UNDEFINED - 1, *(at for at, _ in states)]
            cut = self._draw.choice([at for at in cuts if self.asked - UNDEFINED <= at < self.asked + UNDEFINED])
            seen = [change for at, change in states if at <= cut]
            if seen and seen[-1].new_image is not None:
                yield Change(self.snapshot, self.asked * 1000, seen[-1].keys, seen[-1].new_image)

    def run(self, replicas: Replicas) -> None:
        """Bring all that arrives into the replicas, then the backfill, then its sweep."""
        for targets, step in zip(self.activations, self.steps, strict=True):
            replicas.activations.append(targets)
            for arrival in step:
                replicas.take(arrival)
        for change in self.view:
            replicas.take(Arrival(self.activations[-1], change))
        replicas.sweep(self.snapshot, [table for table, _ in self.activations[-1]], self.partition)

    def find_differences(self, replicas: Replicas) -> Iterator[str]:
        """Yield how the newest mapping's targets differ from the items that they take."""
        last = [states[-1][1] for states in self._states.values()]
        for mapping in make_document(self.activations[-1]).targets:
            expected = {
                (self.partition, change.keys["SK"]["S"]): read_item(change)
                for change in last
                if change.new_image is not None and holds(mapping.when, change)
            }
            rows = replicas.visible(mapping.table)
            seen = {key: item for key, item in rows.items() if key[0] == self.partition}
            if seen != expected:
                yield f"{mapping.table} ({mapping.when}) shows {seen}, and its items are {expected}"


def holds(when: str, change: Change) -> bool:
    """Tell whether a condition is true of an item, said again in Python."""
    image = change.new_image or {}
    sort_key, status = image["SK"]["S"], image.get("status", {}).get("S")
    number = int(image["n"]["N"])
    of = {
        "": True,
        CONDITIONS[1]: sort_key.startswith("A#"),
        CONDITIONS[2]: sort_key.startswith("A#") and status == "open",
        CONDITIONS[3]: status == "shut",
        CONDITIONS[4]: not (sort_key.startswith("B#") or status == "open"),
        CONDITIONS[5]: number > 1,
        CONDITIONS[6]: (status or "").startswith("o") or sort_key.startswith("B#"),
    }
    return of[when]


def draw_item(draw: random.Random) -> dict[str, Any]:
    """Return an item's attributes besides its key; a status is not always there."""
    status = draw.choice(("open", "shut", "odd", None))
    return {"n": {"N": str(draw.randint(0, 3))}} | ({"status": {"S": status}} if status else {})


def draw_activations(draw: random.Random) -> list[Targets]:
    """Return the targets of one to four mappings, each made of the one before, or come back."""
    activations = [draw_targets(draw, draw.randint(1, 3))]
    wanted = draw.randint(1, 4)
    while len(activations) < wanted:
        following = draw_next(draw, activations)
        if following != activations[-1]:
            activations.append(following)
    return activations


def draw_targets(draw: random.Random, count: int) -> Targets:
    """Return so many targets."""
    return tuple((table, draw.choice(CONDITIONS)) for table in draw.sample(TABLES, count))


def draw_next(draw: random.Random, activations: list[Targets]) -> Targets:
    """Return another mapping's targets."""
    current, kind = list(activations[-1]), draw.choice(("add", "add", "remove", "change", "change", "back"))
    free = [table for table in TABLES if table not in dict(current)]
    if kind == "add" and free:
        current.insert(draw.randint(0, len(current)), (draw.choice(free), draw.choice(CONDITIONS)))
    elif kind == "remove" and len(current) > 1:
        current.pop(draw.randrange(len(current)))
    elif kind == "change":
        number = draw.randrange(len(current))
        current[number] = (current[number][0], draw.choice(CONDITIONS))
    elif kind == "back":
        current = list(draw.choice(activations))
    return tuple(current)
