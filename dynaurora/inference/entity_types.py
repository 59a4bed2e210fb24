"""Entity types: what kinds of items one table holds, told by a type attribute or by the prefixes of their keys.

A single-table design keeps users, orders and their lines in one table: `USER#17` and `PROFILE`, `USER#17` and
`ORDER#3`. Keys that begin alike are told apart by a later part: `TENANT#1#ORDER#2` and `TENANT#1#USER#3`. Which types
there are is decided by the first items that are read; items of any other are counted as one.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from dynaurora.dynamodb.changes import TypedItem

TYPE_ATTRIBUTES: Final = (
    "__edb_e__",
    "__typename",
    "_et",
    "_type",
    "_entity",
    "entityType",
    "entity_type",
    "EntityType",
    "entity",
    "Entity",
    "itemType",
    "item_type",
    "recordType",
    "record_type",
    "type",
    "Type",
    "kind",
)
"""Names under which libraries and people keep an item's type; the first one that fits counts."""
TYPE_NAME: Final = re.compile(r"#?[A-Za-z][A-Za-z0-9_.:/# -]{0,38}[A-Za-z0-9_.:/#-]|[A-Za-z]")
"""What a type attribute may hold: nothing that a condition would have to quote."""
KEY_PREFIX: Final = re.compile(r"#?(?:[A-Za-z][A-Za-z0-9_.-]{0,39}?[#|:~/]|[A-Za-z]{1,20}[_-](?=[0-9]))")
"""`USER#`, `order/`, `item-` before digits."""
CONSTANT: Final = re.compile(r"#?[A-Z][A-Z_]{0,39}#?")
"""A whole key in capitals: `PROFILE`, `#METADATA#`."""
SEPARATORS: Final = "#|:~/"
PART_NAME: Final = re.compile(r"[A-Za-z][A-Za-z_.-]{0,39}")
"""A part of a key that may name a type: `ORDER` in `TENANT#1#ORDER#2`."""
MOST_PARTS: Final = 8
"""Parts of a key that are looked at."""
BREAK: Final = "\n"
"""What stands in a label between a prefix and a later part, which has none itself."""
WHOLE: Final = "="
"""What a label begins with that is all of an attribute."""
MOST_TYPES: Final = 40
MIN_COVERED: Final = 0.9
"""The share of the items whose type can be told."""
MAX_ALIKE: Final = 0.6
"""Types whose attributes are more alike than that (Jaccard index) are one type with a status."""

Group = tuple[str, ...]
"""What tells an item's type: the value of its type attribute, or the prefixes of its keys."""
OTHERS: Final[Group] = ("",)


@dataclass(frozen=True, slots=True)
class Parts:
    """Later parts of the keys that have a prefix in common, which tell their types apart."""

    attribute: str
    prefix: str
    numbers: tuple[int, ...] = ()
    """Of the parts, the prefix's being 0."""

    @property
    def separator(self) -> str:
        """What parts are between."""
        return self.prefix[-1]

    def find_label(self, text: str) -> str:
        """Return the label of a key with the prefix: that, and the parts; "" where one names no type."""
        parts = text.split(self.separator, MOST_PARTS)
        names = [parts[number] if len(parts) > number else "" for number in self.numbers]
        if not all(not name or PART_NAME.fullmatch(name) for name in names):
            return ""
        return BREAK.join(
            [self.prefix, *(f"{number}{WHOLE}{name}" for number, name in zip(self.numbers, names, strict=True))]
        )


@dataclass(frozen=True)
class Discriminator:
    """What tells the items' types apart, if anything."""

    attributes: tuple[str, ...] = ()
    """The type attribute, or the key attributes with prefixes."""
    by_prefix: bool = False
    groups: frozenset[Group] = frozenset()
    parts: tuple[Parts, ...] = ()

    def find_group(self, item: TypedItem) -> Group:
        """Return the group of an item; OTHERS where it is of none that is known."""
        group = self.find_labels(item)
        return group if group in self.groups else OTHERS

    def find_labels(self, item: TypedItem) -> Group:
        """Return what the attributes say of an item's type."""
        labels = [find_type_label(item.get(name), by_prefix=self.by_prefix) for name in self.attributes]
        for part in self.parts:
            position = self.attributes.index(part.attribute)
            if labels[position] == part.prefix:
                labels[position] = part.find_label(item[part.attribute]["S"])
        return tuple(labels)


@dataclass(frozen=True, slots=True)
class EntityType:
    """One type of the items of a table."""

    name: str
    when: str
    """The JMESPath condition that is true of its items."""
    group: Group
    items: int


def find_type_label(attribute: Any, *, by_prefix: bool) -> str:
    """Return what an attribute says of its item's type; "" where it says nothing."""
    text = attribute.get("S") if isinstance(attribute, dict) else None
    if type(text) is not str:
        return ""
    if not by_prefix:
        return f"{WHOLE}{text}" if TYPE_NAME.fullmatch(text) else ""
    if CONSTANT.fullmatch(text):
        return f"{WHOLE}{text}"
    found = KEY_PREFIX.match(text)
    return found[0] if found else ""


def choose_discriminator(items: Sequence[TypedItem], key_attributes: Sequence[str]) -> Discriminator:
    """Return what tells the types of some items apart; one without attributes where nothing does."""
    candidates = [Discriminator((name,)) for name in TYPE_ATTRIBUTES if any(name in item for item in items)]
    candidates += [Discriminator(names, by_prefix=True) for names in key_subsets(key_attributes)]
    for candidate in candidates:
        parts = tuple(find_key_parts(items, candidate)) if candidate.by_prefix else ()
        for each in dict.fromkeys((replace(candidate, parts=parts), candidate)):
            groups = find_groups(items, each)
            if groups:
                return replace(each, groups=groups)
    return Discriminator()


def find_key_parts(items: Sequence[TypedItem], candidate: Discriminator) -> Iterator[Parts]:
    """Yield for each prefix of a key the later parts that tell types apart, if any do."""
    for attribute in candidate.attributes:
        alike: dict[str, list[TypedItem]] = {}
        for item in items:
            label = find_type_label(item.get(attribute), by_prefix=True)
            if label and label[-1] in SEPARATORS and not label.startswith(WHOLE):
                alike.setdefault(label, []).append(item)
        for prefix, members in alike.items():
            parts = Parts(attribute, prefix)
            for number in range(1, MOST_PARTS):
                longer = replace(parts, numbers=(*parts.numbers, number))
                parts = longer if tells_more(longer, parts, members) else parts
            if parts.numbers:
                yield parts


def tells_more(longer: Parts, parts: Parts, items: Sequence[TypedItem]) -> bool:
    """Tell whether a further part of items' keys tells types apart that have been alike.

    It names a type in nearly all of them, or is not there.
    """
    shapes: dict[str, dict[str, set[str]]] = {}
    unnamed = 0
    for item in items:
        text = item[parts.attribute]["S"]
        label = longer.find_label(text)
        unnamed += not label
        if label:
            shapes.setdefault(parts.find_label(text), {}).setdefault(label, set()).update(item)
    is_some = unnamed <= (1 - MIN_COVERED) * len(items) and sum(map(len, shapes.values())) <= MOST_TYPES
    return is_some and any(differ(each.values()) for each in shapes.values())


def key_subsets(key_attributes: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the combinations of key attributes whose prefixes may tell types apart, all of them first."""
    return list(dict.fromkeys([tuple(key_attributes), *((name,) for name in reversed(key_attributes))]))


def find_groups(items: Sequence[TypedItem], candidate: Discriminator) -> frozenset[Group]:
    """Return the groups that a candidate tells apart; none where it tells no types."""
    labels = [candidate.find_labels(item) for item in items]
    counted = Counter(label for label in labels if any(label))
    is_some = 2 <= len(counted) <= MOST_TYPES and counted.total() >= MIN_COVERED * len(items)
    if not is_some or (candidate.by_prefix and any(not all(label) for label in counted)):
        return frozenset()
    names: dict[Group, set[str]] = {}
    for label, item in zip(labels, items, strict=True):
        names.setdefault(label, set()).update(item)
    return frozenset(counted) if differ(names.values()) else frozenset()


def differ(shapes: Iterable[set[str]]) -> bool:
    """Tell whether sets of attributes are those of different types of items."""
    sets = list(shapes)
    return any(
        len(one & other) <= MAX_ALIKE * len(one | other)
        for index, one in enumerate(sets)
        for other in sets[index + 1 :]
    )


def describe_types(discriminator: Discriminator, counts: dict[Group, int]) -> list[EntityType]:
    """Return the types that were found, the most frequent first, each with a name of its own."""
    found = [(group, items) for group, items in counts.items() if group in discriminator.groups and items]
    names = name_groups([group for group, _ in found])
    return sorted(
        (EntityType(names[group], write_condition(discriminator, group), group, items) for group, items in found),
        key=lambda entity: (-entity.items, entity.name),
    )


def name_groups(groups: Sequence[Group]) -> dict[Group, str]:
    """Return a name for each group: the last part of it that tells it from all others, else all parts."""
    for position in (-1, 0):
        short = {group: clean(group[position]) for group in groups}
        if len(set(short.values())) == len(groups):
            return short
    return {group: "_".join(map(clean, group)) for group in groups}


def clean(label: str) -> str:
    """Return a label without its separators: the last part that it has, where it has several."""
    prefix, *parts = label.split(BREAK)
    label = next((name for part in reversed(parts) if (name := part.partition(WHOLE)[2])), prefix)
    return re.sub(r"[^A-Za-z0-9_]+", "_", label).strip("_") or "other"


def write_condition(discriminator: Discriminator, group: Group) -> str:
    """Return the condition that is true of a group's items."""
    parts = []
    for name, label in zip(discriminator.attributes, group, strict=True):
        source = name_source(name)
        if BREAK in label:
            prefix, *names = label.split(BREAK)
            parts.append(f"starts_with({source}, '{prefix}')")
            for number, _, part in (each.partition(WHOLE) for each in names):
                found = f"split({source}, '{prefix[-1]}')[{number}]"
                parts.append(f"{found} == '{part}'" if part else f"!{found}")
        elif label.startswith(WHOLE):
            parts.append(f"{source} == '{label.removeprefix(WHOLE)}'")
        else:
            parts.append(f"starts_with({source}, '{label}')")
    return " && ".join(parts)


PLAIN_SOURCE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def name_source(*names: str) -> str:
    """Return the expression for the value that names lead to, those that are not plain in quotes."""
    return ".".join(name if PLAIN_SOURCE.fullmatch(name) else json.dumps(name, ensure_ascii=False) for name in names)
