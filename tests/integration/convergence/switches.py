"""Random histories of a mapping that changes while changes are in flight, and the rule they are held to, in Python.

A mapping gains columns, loses them, orders them anew, lets them take another attribute, widens them, and goes back to
what it was. Meanwhile items are written; functions forward the changes, sooner or later and some more than once, by a
copy of the pointer that is up to a minute old, and batches of all these mappings arrive in any order. In the end a
backfill comes under the newest one, of an export that is asked for at the bound: then every row is as the newest
mapping maps its item.

`Replica` folds what arrives by the rule; the tests hold it against the production code, and a history's end against the
items. Times are in seconds of the reader's clock; the table's stamps may be off by up to a minute.
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from dynaurora.mappings.mapping import Mapping, build_mapping

START: Final = 1_700_000_000
TAKE_UP: Final = 60
WAIT: Final = TAKE_UP + 180
"""From the last switch to the time that the export is asked for."""
UNDEFINED: Final = 60
SKEW: Final = 60
MARGIN: Final = 120
SEQUENCES: Final = 10**40
ATTRIBUTES: Final = ("a", "b", "c", "d")
NAMES: Final = ("v", "w", "x", "y", "z")
NARROW, WIDE = "VARCHAR(20)", "VARCHAR(60)"
TIME: Final = "at"

Columns = tuple[tuple[str, str, str], ...]
"""Name, type and attribute of each column besides the key and the time, in their order."""
Item = dict[str, str]


@dataclass(frozen=True)
class Rules:
    """The parts of the rule, each of which a mutant leaves out."""

    wait: int = WAIT
    take_up: int = TAKE_UP
    tie_break: bool = True
    takes_away: bool = True
    """Whether a row of an older mapping takes away what only newer ones write."""
    keeps_time: bool = True
    latest: bool = True
    """Whether a digest stands for its latest generation; else for its first."""
    by_name: bool = True
    """Whether columns are found by their names; else by the places that the newest mapping gives them."""


RULES: Final = Rules()


@dataclass(frozen=True)
class Arrival:
    """One row that a mapping made of a change, on its way to the replica."""

    key: str
    version: int
    changed_at_ms: int
    item: Item | None
    columns: Columns
    """Of the mapping that made it."""
    write: int
    """The number of the write whose state it shows."""

    @property
    def is_of_view(self) -> bool:
        """Whether it is of a view of the table, and not of the stream."""
        return self.version % SEQUENCES == 0

    def fields(self) -> list[str | None]:
        """Return the fields of its line of CSV: those of a tombstone are all NULL but for the key."""
        if self.item is None:
            return [self.key, None, *(None for _ in self.columns)]
        return [self.key, str(self.changed_at_ms), *(self.item.get(source) for _, _, source in self.columns)]


@dataclass
class ModelRow:
    """A row of the replica."""

    version: int
    generation: int
    deleted: bool
    values: dict[str, Any] = field(default_factory=dict)


@dataclass
class Replica:
    """The replica as the rule makes it of what arrives, one row after another."""

    rules: Rules = RULES
    activations: list[Columns] = field(default_factory=list)
    rows: dict[str, ModelRow] = field(default_factory=dict)

    def generation_of(self, columns: Columns) -> int:
        """Return the generation of a mapping, from 1."""
        numbers = [number for number, one in enumerate(self.activations, 1) if one == columns]
        return numbers[-1] if self.rules.latest else numbers[0]

    def merge(self, new: Arrival) -> None:
        """Bring one row in."""
        generation, row = self.generation_of(new.columns), self.rows.get(new.key)
        values = self._values(new)
        if row is None:
            self.rows[new.key] = ModelRow(new.version, generation, new.item is None, values)
            return
        is_newer = self.rules.tie_break and new.version == row.version and generation > row.generation
        if not (new.version > row.version or is_newer):
            return
        if self._keeps_time(new, row, generation):
            values[TIME] = row.values[TIME]
        later = {name for one in self.activations[generation:] for name, _, _ in one} - values.keys()
        kept = {name: value for name, value in row.values.items() if name not in later or not self.rules.takes_away}
        self.rows[new.key] = ModelRow(new.version, generation, new.item is None, kept | values)

    def _values(self, new: Arrival) -> dict[str, Any]:
        columns = new.columns if self.rules.by_name else self.activations[-1]
        _, time, *texts = new.fields()
        return {TIME: time and int(time)} | dict(zip((name for name, _, _ in columns), texts, strict=False))

    def _keeps_time(self, new: Arrival, row: ModelRow, generation: int) -> bool:
        """Whether a view of the table brings nothing that is new in what the row's generation wrote already."""
        if not self.rules.keeps_time or new.version % SEQUENCES or row.deleted or new.item is None:
            return False
        if row.generation > generation:
            return False
        known = [
            name
            for name, kind, source in new.columns
            if all((name, kind, source) in one for one in self.activations[row.generation - 1 : generation])
        ]
        return all(row.values.get(name) == self._values(new)[name] for name in known)

    def visible(self, key: str, columns: Columns) -> dict[str, Any] | None:
        """Return what people see of a row through a mapping's view; None of one that is deleted."""
        row = self.rows.get(key)
        if row is None or row.deleted:
            return None
        return {name: row.values.get(name) for name, _, _ in columns}


class SwitchHistory:
    """One history, all in its seed."""

    def __init__(
        self, seed: int, rules: Rules = RULES, activations: list[Columns] | None = None, prefix: str = ""
    ) -> None:
        """Tell it, of given mappings or of its own; its keys begin with a prefix."""
        self._draw = draw = random.Random(f"switches {seed}")
        self.rules = rules
        self.activations = activations or draw_activations(draw)
        self.prefix = prefix
        self.switches = [START]
        for _ in self.activations[1:]:
            self.switches.append(self.switches[-1] + draw.choice((0, 1, 30, 59, 60, 61, 120, 400)))
        self.items: dict[str, Item] = {}
        self.times: dict[str, set[int]] = {}
        """When states of each item were told, in milliseconds."""
        self.steps: list[list[Arrival]] = [[] for _ in self.activations]
        """What arrives after each activation."""
        self._states: dict[str, list[tuple[float, int, Item | None]]] = {}
        self._write()
        self._export()
        for step in self.steps:
            draw.shuffle(step)

    @property
    def newest(self) -> Columns:
        """The columns of the newest mapping."""
        return self.activations[-1]

    def _write(self) -> None:
        """Write items at times near the switches, and forward the changes."""
        draw, skew = self._draw, self._draw.choice((-SKEW, 0, SKEW - 0.01, SKEW - 0.01))
        asked = self.switches[-1] + WAIT
        near = [*self.switches, *(at + TAKE_UP for at in self.switches), asked - SKEW, asked, asked - MARGIN]
        moments = sorted(draw.choice(near) + draw.choice((-1, 0, 1, 59, 60, -60)) + draw.random() for _ in range(12))
        for number, at in enumerate(moments, 1):
            key = self.prefix + draw.choice(("k", "K", "l"))
            item = None if key in self.items and draw.random() < 0.2 else draw_item(draw)
            self._states.setdefault(key, []).append((at, number, item))
            self.items.pop(key, None)
            if item is not None:
                self.items[key] = item
            stamp = at + skew
            self.times.setdefault(key, set()).add(int(stamp) * 1000)
            version = int(stamp) * SEQUENCES + 10**20 + number
            for delay in draw.sample((0.1, 0.1, 1.0, 59.0, 61.0, 400.0), draw.choice((1, 1, 2))):
                self._forward(key, number, version, int(stamp) * 1000, item, at + delay)

    def _forward(self, key: str, number: int, version: int, changed: int, item: Item | None, at: float) -> None:
        """Have a change mapped by what was current when the function's copy of the pointer was read."""
        read_at = at - self._draw.choice((0, 1, self.rules.take_up - 1, self.rules.take_up - 0.01))
        index = max((n for n, switch in enumerate(self.switches) if switch <= read_at), default=0)
        arrival = Arrival(key, version, changed, item, self.activations[index], number)
        for _ in range(self._draw.choice((1, 1, 2))):
            self.steps[self._draw.randint(index, len(self.steps) - 1)].append(arrival)

    def _export(self) -> None:
        """Export the table at the bound after the last switch, each key cut at a moment of its own."""
        asked = self.switches[-1] + self.rules.wait
        for key, states in self._states.items():
            cuts = [asked - UNDEFINED, asked + UNDEFINED - 1, *(at for at, _, _ in states)]
            cut = self._draw.choice([at for at in cuts if asked - UNDEFINED <= at < asked + UNDEFINED])
            seen = [state for state in states if state[0] <= cut]
            if seen and seen[-1][2] is not None:
                _, number, item = seen[-1]
                self.times[key].add(asked * 1000)
                version = (asked - MARGIN) * SEQUENCES
                self.steps[-1].append(Arrival(key, version, asked * 1000, item, self.newest, number))

    def run(self, replica: Replica) -> None:
        """Bring all that arrives into a replica."""
        for columns, step in zip(self.activations, self.steps, strict=True):
            replica.activations.append(columns)
            for arrival in step:
                replica.merge(arrival)

    def find_differences(self, replica: Replica) -> Iterator[str]:
        """Yield how rows in the end differ from what the newest mapping makes of the items."""
        for key, states in self._states.items():
            seen, (_, _, item) = replica.visible(key, self.newest), states[-1]
            expected = None if item is None else {name: item.get(source) for name, _, source in self.newest}
            if seen != expected:
                yield f"people see {seen} of {key}, and the item is {expected}"
            elif item is not None and replica.rows[key].values[TIME] not in self.times[key]:
                yield f"{key} changed at {replica.rows[key].values[TIME]}, and was told at {self.times[key]}"


def draw_item(draw: random.Random) -> Item:
    """Return an item's attributes besides its key; some are not there."""
    return {name: draw.choice(("", "one", "two", name)) for name in ATTRIBUTES if draw.random() < 0.8}


def draw_activations(draw: random.Random) -> list[Columns]:
    """Return the columns of two to five mappings, each made of the one before, or come back."""
    columns = [(name, NARROW, draw.choice(ATTRIBUTES)) for name in draw.sample(NAMES, 3)]
    activations = [tuple(columns)]
    wanted = draw.randint(2, 5)
    while len(activations) < wanted:
        following = draw_next(draw, activations)
        if following != activations[-1]:  # what is the current mapping already is not activated again
            activations.append(following)
    return activations


def draw_next(draw: random.Random, activations: list[Columns]) -> Columns:
    """Return another mapping's columns."""
    current = list(activations[-1])
    kind = draw.choice(("gain", "gain", "lose", "order", "swap", "widen", "back", "back"))
    free = [name for name in NAMES if name not in {one for one, _, _ in current}]
    if kind == "gain" and free:
        current.insert(draw.randint(0, len(current)), (draw.choice(free), NARROW, draw.choice(ATTRIBUTES)))
    elif kind == "lose" and len(current) > 1:
        current.pop(draw.randrange(len(current)))
    elif kind == "order":
        draw.shuffle(current)
    elif kind == "swap" and len(current) > 1:
        (name, kind_one, source), (other, kind_two, source_two) = current[:2]
        current[:2] = [(name, kind_one, source_two), (other, kind_two, source)]
    elif kind == "widen":
        name, _, source = current[0]
        current[0] = (name, WIDE, source)
    elif kind == "back":
        current = list(draw.choice(activations))
    return tuple(current)


def make_switched(columns: Iterable[tuple[str, str, str]], database: str) -> Mapping:
    """Return the mapping of some columns; its key is `id`."""
    listed = [("id", "VARCHAR(40)", "id"), (TIME, "BIGINT", "@changed_at_ms"), *columns]
    document = {
        "source": {"table": "switched", "partition_key": "id"},
        "schema": True,
        "target": {
            "database": database,
            "table": "Switched",
            "columns": [{"name": name, "type": kind, "from": source} for name, kind, source in listed],
        },
    }
    return build_mapping("switched", document)
