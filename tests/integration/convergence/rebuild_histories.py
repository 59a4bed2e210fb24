"""Random histories of a rebuild while changes are in flight: there, given up, again, and back.

A target's column is to be of another type. Both tables are written, a backfill with a sweep fills the second one, of an
export that is asked for at the bound, and the view is switched to it; or the rebuild is given up before. Going back
afterwards is a rebuild, too, to a third table. Items are written all the while, and functions forward the changes by
copies of the pointer that are up to a minute old: rows of each of these mappings arrive until the end. Then the table
that the view shows has the items as they are.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from dynaurora.dynamodb.changes import Change, decode_change
from dynaurora.mappings.mapping import Mapping
from dynaurora.mappings.rebuilds import compose_rebuild, name_replica
from dynaurora.mappings.routing import Router
from dynaurora.mappings.row_mapper import RowMapper
from tests.integration.convergence.switches import START, WAIT
from tests.integration.convergence.target_histories import (
    Arrival,
    Key,
    ModelRow,
    Replicas,
    TargetHistory,
    Targets,
    read_item,
)
from tests.support.several_targets import several, target

TABLE: Final = "Rebuilt"
KINDS: Final = {"narrow": "INT", "wide": "BIGINT"}
"""Of tables, with the type of their column."""
MOST_TABLES: Final = 4
STATUS: Final = {"name": "status", "type": "VARCHAR(9)", "from": "status"}
Course = tuple[Targets, ...]
"""The mappings that are active, one after the other: each of one table, or of that and the one beside it.

A table is its kind and its number.
"""


def draw_course(draw: random.Random) -> Course:
    """Return a course of one to three rebuilds, some given up, each to a table that nobody has written."""
    course: list[Targets] = [(("narrow", "1"),)]
    for number in range(2, 2 + draw.randint(1, MOST_TABLES - 1)):
        ((kind, served),) = course[-1]
        second = ("wide" if kind == "narrow" else "narrow", str(number))
        gives_up = draw.random() < 0.3
        course += [((kind, served), second), ((kind, served),) if gives_up else (second,)]
    return tuple(course)


def list_fills(course: Course) -> list[int]:
    """Return the numbers of the activations that a fill comes before, the first one being 0: switches of the view."""
    return [number for number in range(1, len(course)) if course[number] == course[number - 1][1:]]


@cache
def make_mapping(targets: Targets, database: str = "Demo") -> Mapping:
    """Return one of the mappings."""
    single = []
    for kind, number in targets:
        more = {"replica": name_replica(TABLE, int(number))} if number != "1" else {}
        columns = STATUS, {"name": "n", "type": KINDS[kind], "from": "n"}
        single.append(several(target(TABLE, "", *columns) | {"database": database} | more, name="rebuilt"))
    return compose_rebuild(*single) if len(single) > 1 else single[0]


@cache
def make_router(targets: Targets) -> Router:
    """Return what routes by a mapping."""
    return Router(RowMapper(make_mapping(targets)))


def list_replicas(database: str = "Demo") -> list[Mapping]:
    """Return a mapping of each table that there may be."""
    return [make_mapping((("narrow", str(number)),), database) for number in range(1, MOST_TABLES + 1)]


@dataclass
class RebuiltReplicas(Replicas):
    """The tables as the rule makes them of what arrives, each change by the mapping that it is stamped with."""

    tables: dict[str, dict[Key, ModelRow]] = field(
        default_factory=lambda: {each.replica: {} for each in list_replicas()}
    )

    def take(self, arrival: Arrival, route_by: Targets | None = None) -> None:
        """Bring a change into each table that its mapping writes."""
        for routed in make_router(route_by or arrival.targets).route_changes([arrival.change]).targets:
            for data in routed.changes:
                self.merge(routed.mapper.mapping.replica, arrival.targets, decode_change(data))

    def sweep(self, snapshot: int, tables: list[str], partition: str) -> None:  # noqa: ARG002 (it is the second one)
        """Make tombstones of a partition's rows that are older than a snapshot, in the table that is being filled."""
        super().sweep(snapshot, [make_mapping(self.activations[-1]).targets[1].replica], partition)

    def carry_tombstones(self) -> None:
        """Have the second table know what is deleted, as the first one does, by rows that no fill has."""
        first, second = make_mapping(self.activations[-1]).targets
        rows = self.tables[second.replica]
        for key, row in self.tables[first.replica].items():
            if row.item is None and (key not in rows or row.version > rows[key].version):
                rows[key] = ModelRow(row.version, row.generation, None)


class RebuildHistory(TargetHistory):
    """One history, all in its seed."""

    def __init__(self, seed: int, course: Course | None = None, partition: str = "p", wait: int = WAIT) -> None:
        """Tell it, of a given course or of its own; its items are of one partition key."""
        self._draw = draw = random.Random(f"rebuild {seed}")
        self.activations = [*(course or draw_course(draw))]
        self.partition = partition
        self.fills = list_fills(tuple(self.activations))
        self.switches, asked = [START], {}
        for number in range(1, len(self.activations)):
            at = self.switches[-1] + draw.choice((0, 1, 30, 59, 60, 61, 120, 400))
            if number in self.fills:
                asked[number] = self.switches[-1] + wait
                at = asked[number] + draw.choice((0, 1, 60, 400))
            self.switches.append(at)
        self.steps = [[] for _ in self.activations]
        self._states = {}
        self.asked = draw.choice([*asked.values()] or [self.switches[-1]])  # when items are written, too
        self._forwarded: list[tuple[Change, float]] = []
        self._write()
        self._forward_in_order()
        self._deliver_deletes()
        self._take_up_again()
        self._views: dict[int, tuple[int, list[Change]]] = {}
        for number, self.asked in asked.items():
            self._views[number] = self.asked, list(self._export())
        for step in self.steps:
            draw.shuffle(step)

    def _forward(self, change: Change, at: float) -> None:
        self._forwarded.append((change, at))

    def _forward_in_order(self) -> None:
        """Forward what was to be, and what was written to its key meanwhile: a shard is read in its order each time."""
        for change, at in self._forwarded:
            super()._forward(change, at)
            states = self._states[change.keys["SK"]["S"]]
            for written, later in states:
                if written < at and later.version > change.version:
                    super()._forward(later, at)

    def _deliver_deletes(self) -> None:
        """Have deletes that only the first table is told of be there before the switch, minutes later."""
        for number in self.fills:
            for step in self.steps[number:]:
                late = [each for each in step if each.targets in self.activations[: number - 1]]
                for each in [each for each in late if each.change.new_image is None]:
                    step.remove(each)
                    self.steps[number - 1].append(each)

    def _take_up_again(self) -> None:
        """Have puts that were refused before come in the end, mapped by the newest mapping."""
        for states in self._states.values():
            puts = [change for _, change in states if change.new_image is not None]
            for change in self._draw.sample(puts, min(1, len(puts))):
                self.steps[-1].append(Arrival(self.activations[-1], change))

    def look_at(self, number: int) -> None:
        """Have the export be the one of the fill before an activation."""
        self.asked, self.view = self._views[number]

    def run(self, replicas: Replicas) -> None:
        """Bring all that arrives into the replicas, and the fills before the switches."""
        for number, (targets, step) in enumerate(zip(self.activations, self.steps, strict=True)):
            if number in self.fills:
                self.fill(replicas, number)
                replicas.carry_tombstones()
            replicas.activations.append(targets)
            for arrival in step:
                replicas.take(arrival)

    def fill(self, replicas: Replicas, number: int) -> None:
        """Bring the export of a fill into the replicas, and its sweep."""
        self.look_at(number)
        for change in self.view:
            replicas.take(Arrival(replicas.activations[-1], change))
        replicas.sweep(self.snapshot, [], self.partition)

    def find_differences(self, replicas: Replicas) -> Iterator[str]:
        """Yield how the table that the view shows differs from the items."""
        last = [states[-1][1] for states in self._states.values()]
        expected = {
            (self.partition, change.keys["SK"]["S"]): read_item(change)
            for change in last
            if change.new_image is not None
        }
        replica = make_mapping(self.activations[-1]).replica
        seen = {key: item for key, item in replicas.visible(replica).items() if key[0] == self.partition}
        if seen != expected:
            yield f"{replica} shows {seen}, and the items are {expected}"
