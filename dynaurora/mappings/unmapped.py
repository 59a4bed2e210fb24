"""Unmapped attributes: what items have and no column takes, counted by name where a mapping ignores it.

A name is counted where no column takes it and the schema does not name it either: what the schema names was left out by
decision, as `unmapped: reject` has it too. Names are paths as a column's `from` has them, `address.zip` or
`"user-id"`. Items are counted exactly, one by one. What type a column would need is judged by the values of some of
them: all that the plain modules mapped, and of the others at least a few of each name.

Nothing here holds values: a profile has lengths and ranges, a sample has key attributes. All of it is bounded.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from dynaurora.dynamodb.attributes import Binary, load_json, plain_item
from dynaurora.errors import RejectedChange
from dynaurora.mappings.paths import taken_paths

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from dynaurora.mappings.mapping import Mapping
    from dynaurora.mappings.paths import Tree

MAX_NAMES: Final = 100
"""Names that are counted apart; what others come to is counted as one."""
MAX_NAME_CHARACTERS: Final = 120
MAX_KEYS: Final = 3
"""Keys of items that are told for each name."""
MAX_KEY_CHARACTERS: Final = 512
"""Of a key that is told; DynamoDB takes 3 KB."""
OTHER_NAMES: Final = "other names"
FEW_VALUES: Final = 5
"""So many values of each name are looked for."""
MAX_SEARCHES: Final = 20
"""How often they are looked for, until what was found is asked for."""
CALLS_OF_A_LOOK: Final = 32
"""Of so many times that compiled code has mapped records, after one a record is looked at whatever it has."""
PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

NamePath = tuple[str, ...]
"""Names that lead to something in an item."""
TypedKey = dict[str, Any]
"""Key attributes of an item, typed."""


@dataclass(slots=True)
class Profile:
    """What the values of one attribute were, as far as a column's type has to know it. Profiles can be added."""

    values: int = 0
    """Values that were looked at; null is none of them."""
    texts: int = 0
    longest: int = 0
    """Of a text, in characters."""
    integers: int = 0
    bits: int = 0
    """That the widest integer takes, its sign included."""
    decimals: int = 0
    digits: int = 0
    """Before the point, most of any number's."""
    scale: int = 0
    """Behind the point, most of any number's."""
    booleans: int = 0
    binaries: int = 0
    most_bytes: int = 0
    """Of a binary."""
    documents: int = 0
    """Maps, lists and sets."""

    def add(self, value: Any) -> None:
        """Take a plain value into account."""
        if value is None:
            return
        self.values += 1
        if isinstance(value, bool):
            self.booleans += 1
        elif isinstance(value, Binary):
            self.binaries += 1
            self.most_bytes = max(self.most_bytes, len(value.data))
        elif isinstance(value, str):
            self.texts += 1
            self.longest = max(self.longest, len(value))
        elif isinstance(value, (int, Decimal)):
            self._add_number(value)
        else:
            self.documents += 1

    def _add_number(self, number: int | Decimal) -> None:
        spelled = number if isinstance(number, Decimal) else Decimal(number)
        _, digits, exponent = spelled.as_tuple()
        assert isinstance(exponent, int)  # noqa: S101 (DynamoDB has no infinities)
        self.digits = max(self.digits, len(digits) + exponent, 1)
        self.scale = max(self.scale, -exponent)
        if isinstance(number, int):
            self.integers += 1
            self.bits = max(self.bits, (number if number >= 0 else ~number).bit_length() + 1)
        else:
            self.decimals += 1

    def merge(self, other: Profile) -> None:
        """Take what another profile knows into account."""
        for name, found in asdict(other).items():
            own = getattr(self, name)
            setattr(self, name, max(own, found) if name in WIDTHS else own + found)

    def infer_type(self) -> str:
        """Return the column type that takes all that was looked at; JSON takes what is of several kinds."""
        kinds = [self.texts, self.integers + self.decimals, self.booleans, self.binaries, self.documents]
        if sum(map(bool, kinds)) != 1 or self.documents:
            return "JSON" if self.values else "unknown: only nulls"
        if self.texts:
            return fit_size(self.longest, VARCHARS, "VARCHAR") or "LONGTEXT"
        if self.booleans:
            return "BOOLEAN"
        if self.binaries:
            return fit_size(self.most_bytes, VARCHARS, "VARBINARY") or "LONGBLOB"
        return self._infer_number()

    def _infer_number(self) -> str:
        if not self.decimals:
            kind = next((name for bits, name in INTEGER_TYPES if self.bits <= bits), None)
            if kind:
                return kind
        if self.digits + self.scale <= MAX_DECIMAL_DIGITS and self.scale <= MAX_DECIMAL_SCALE:
            return f"DECIMAL({self.digits + self.scale},{self.scale})"
        return "DOUBLE"


WIDTHS: Final = frozenset({"longest", "bits", "digits", "scale", "most_bytes"})
"""Fields of a profile that are bounds, and not counts."""
VARCHARS: Final = (16, 32, 64, 128, 255, 512, 1024, 2048)
"""Lengths that are told: the next one above the widest value that was seen."""
INTEGER_TYPES: Final = ((32, "INT"), (64, "BIGINT"))
MAX_DECIMAL_DIGITS: Final = 65
MAX_DECIMAL_SCALE: Final = 30
"""Of MySQL's DECIMAL (MySQL 8.0 Reference Manual, "Fixed-Point Types")."""


def fit_size(size: int, sizes: Sequence[int], kind: str) -> str | None:
    """Return the type of the smallest of some sizes that is large enough; None where none is."""
    fitting = next((each for each in sizes if size <= each), None)
    return f"{kind}({fitting})" if fitting else None


@dataclass(slots=True)
class Ignored:
    """One attribute that no column takes."""

    items: int = 0
    profile: Profile = field(default_factory=Profile)
    keys: list[TypedKey] = field(default_factory=list)
    """Of some items that have it: their key attributes, typed."""

    def merge(self, other: Ignored) -> None:
        """Take what was found elsewhere into account."""
        self.items += other.items
        self.profile.merge(other.profile)
        self.keys += other.keys[: MAX_KEYS - len(self.keys)]


@dataclass(slots=True)
class Unmapped:
    """What was found in some items. Of several of them, what was found can be added."""

    attributes: dict[str, Ignored] = field(default_factory=dict)
    others: int = 0
    """How often names beyond MAX_NAMES were found."""

    @property
    def total(self) -> int:
        """How often anything was found that no column takes."""
        return self.others + sum(found.items for found in self.attributes.values())

    def find(self, name: str) -> Ignored | None:
        """Return what is known of a name, a new one included; None where there are too many already."""
        if name not in self.attributes and len(self.attributes) >= MAX_NAMES:
            return None
        return self.attributes.setdefault(name, Ignored())

    def merge(self, other: Unmapped) -> None:
        """Take what was found elsewhere into account."""
        self.others += other.others
        for name, ignored in other.attributes.items():
            found = self.find(name)
            if found is None:
                self.others += ignored.items
            else:
                found.merge(ignored)

    def as_dict(self) -> dict[str, Any]:
        """Return it as it is kept: the most frequent names first."""
        ordered = sorted(self.attributes.items(), key=lambda found: (-found[1].items, found[0]))
        return {"attributes": {name: asdict(ignored) for name, ignored in ordered}, "others": self.others}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Unmapped:
        """Return what `as_dict` kept. Raises KeyError or TypeError for anything else."""
        attributes = {
            name: Ignored(found["items"], Profile(**found["profile"]), found["keys"])
            for name, found in document["attributes"].items()
        }
        return cls(attributes, document["others"])

    def log_fields(self) -> dict[str, Any]:
        """Return it for a log: how many items have each, and keys of some that have it."""
        attributes = self.as_dict()["attributes"]
        return {
            "ignored": self.total,
            "items": {name: found["items"] for name, found in attributes.items()} | {OTHER_NAMES: self.others},
            "keys": {name: found["keys"] for name, found in attributes.items()},
        }

    def describe(self) -> list[dict[str, Any]]:
        """Return it for people and reports: name, items, the type that a column would need, and keys."""
        return [
            {
                "name": name,
                "items": found["items"],
                "type": self.attributes[name].profile.infer_type(),
                "values_seen": found["profile"]["values"],
                "keys": found["keys"],
            }
            for name, found in self.as_dict()["attributes"].items()
        ]


class Untaken:
    """What a mapping leaves of an item: neither taken by a column nor named by the schema."""

    def __init__(self, mapping: Mapping) -> None:
        self._taken = taken_paths(column.source for column in mapping.columns if not column.source.startswith("@"))
        self._schema: Any = mapping.schema

    def walk(self, item: dict[str, Any]) -> Iterator[tuple[NamePath, Any]]:
        """Yield what is left of a plain item, each part with its path."""
        return walk(item, self._taken, self._schema)

    def walk_part(self, path: NamePath, value: Any) -> list[NamePath]:
        """Return the paths of what is left at a path, where that is a value or has some in it."""
        *parents, name = path
        taken, schema = self._taken, self._schema
        for parent in parents:
            taken, schema = taken.get(parent, {}), _properties(schema).get(parent)
        return [(*parents, *inner) for inner, _ in walk({name: value}, taken, schema)]

    def list_declared(self) -> list[NamePath]:
        """Return the paths that the schema names and no column takes: they were left out by decision."""
        return list(_list_declared(self._taken, self._schema))

    def is_left(self, path: NamePath) -> bool:
        """Return whether all that is at a path is left."""
        *parents, name = path
        taken, schema = self._taken, self._schema
        for parent in parents:
            if taken and taken.get(parent) == {}:
                return False
            taken, schema = taken.get(parent, {}), _properties(schema).get(parent)
        return name not in taken and name not in _properties(schema)

    def is_looked_into(self, path: NamePath) -> bool:
        """Return whether something may be left inside of what is at a path, though it is taken in part or named."""
        taken, schema = self._taken, self._schema
        for name in path:
            if taken.get(name) == {}:
                return False
            taken, schema = taken.get(name, {}), _properties(schema).get(name)
        return bool(taken) or bool(_properties(schema))


def walk(item: dict[str, Any], taken: Tree, schema: Any) -> Iterator[tuple[NamePath, Any]]:
    """Yield what of an item no path takes and no schema names, each with its path.

    Of what is taken in part, or named by a schema that says what is inside, it is looked for inside.
    """
    declared = _properties(schema)
    for name, value in item.items():
        below = taken.get(name)
        if below == {}:
            continue
        if type(value) is dict and (below or _properties(declared.get(name))):
            inner = walk(value, below or {}, declared.get(name))
            yield from (((name, *path), found) for path, found in inner)
        elif name not in declared:
            yield (name,), value


def _list_declared(taken: Tree, schema: Any) -> Iterator[NamePath]:
    for name, inner in _properties(schema).items():
        below = taken.get(name)
        if below == {}:
            continue
        if _properties(inner):
            yield from ((name, *path) for path in _list_declared(below or {}, inner))
        elif below is None:
            yield (name,)


def _properties(schema: Any) -> dict[str, Any]:
    properties: dict[str, Any] = schema.get("properties", {}) if isinstance(schema, dict) else {}
    return properties


class UnmappedCounter:
    """Counts what the items of one mapping have and no column takes; it is asked for it again and again."""

    def __init__(self, mapping: Mapping) -> None:
        self.untaken = Untaken(mapping) if mapping.unmapped == "ignore" else None
        """None where there is nothing to count: a mapping that refuses or keeps the rest says so by itself."""
        self._mapping = mapping
        self._found = Unmapped()
        self._calls = self._searches = 0

    def take(self) -> Unmapped:
        """Return what was found since it was asked for last."""
        found, self._found = self._found, Unmapped()
        self._searches = 0
        return found

    def add(self, found: Unmapped) -> None:
        """Take what another counter of the mapping found into account."""
        self._found.merge(found)

    def look(self, item: dict[str, Any], typed: TypedKey) -> None:
        """Count what is in a plain item, and look at it; of the typed one it takes the key."""
        for path, value in self.untaken.walk(item) if self.untaken else ():
            found = self._found.find(name_path(path))
            if found is None:
                self._found.others += 1
            else:
                found.items += 1
                self._inspect(found, value, typed)

    def add_counts(self, counts: dict[NamePath, int], records: Sequence[bytes], member: str) -> None:
        """Take counts of records that were mapped by compiled code into account, and look at a few of them."""
        for path, items in counts.items():
            found = self._found.find(name_path(path))
            if found is None:
                self._found.others += items
            else:
                found.items += items
        self._calls += 1
        for record in self._choose(counts, records):
            self._inspect_record(record, member)

    def _choose(self, counts: Iterable[NamePath], records: Sequence[bytes]) -> Iterator[bytes]:
        """Yield records to look at: some with names of which few values were seen, and now and then any one."""
        for path in counts:
            if self._searches < MAX_SEARCHES and self._is_rare(path):
                self._searches += 1
                needle = json.dumps(path[-1], ensure_ascii=False).strip('"').encode("utf-8", "surrogatepass")
                yield from islice((record for record in records if needle in record), FEW_VALUES)
        if records and self._calls % CALLS_OF_A_LOOK == 0:
            yield records[self._calls * 7919 % len(records)]

    def _is_rare(self, path: NamePath) -> bool:
        found = self._found.attributes.get(name_path(path))
        return found is not None and found.profile.values < FEW_VALUES

    def _inspect_record(self, record: bytes, member: str) -> None:
        try:
            typed = load_json(record)[member]
            item = plain_item(typed, self._mapping.json_attributes)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError, RejectedChange):
            return  # a delete, or what is refused
        for path, value in self.untaken.walk(item) if self.untaken else ():
            found = self._found.attributes.get(name_path(path))
            if found is not None:
                self._inspect(found, value, typed)

    def _inspect(self, found: Ignored, value: Any, typed: TypedKey) -> None:
        found.profile.add(value)
        if len(found.keys) < MAX_KEYS:
            key = {name: typed[name] for name in self._mapping.key_attributes if name in typed}
            if len(json.dumps(key, default=str)) <= MAX_KEY_CHARACTERS and key not in found.keys:
                found.keys.append(key)


def name_path(path: NamePath) -> str:
    """Return a path as a column's `from` has it, cut off where it is too long.

    Names that are not plain are quoted, and whatever does not print is escaped.
    """
    text = ".".join(name if PLAIN_NAME.fullmatch(name) else quote_name(name) for name in path)
    return text if len(text) <= MAX_NAME_CHARACTERS else f"{text[: MAX_NAME_CHARACTERS - 1]}…"


def quote_name(name: str) -> str:
    """Return a name as JMESPath quotes it."""
    return json.dumps(name[:MAX_NAME_CHARACTERS], ensure_ascii=not name.isprintable())
