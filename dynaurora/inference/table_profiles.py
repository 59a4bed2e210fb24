"""The profile of a table: what its items are like, attribute by attribute and type by type, read as a stream.

Items are looked at attribute by attribute, some hundreds at a time: memory depends on how many attributes there are,
and not on how many items.
"""

from __future__ import annotations

import gc
import random
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from dynaurora.dynamodb.attributes import plain_item
from dynaurora.errors import RejectedChange
from dynaurora.inference.entity_types import (
    OTHERS,
    Discriminator,
    EntityType,
    Group,
    choose_discriminator,
    describe_types,
)
from dynaurora.inference.value_profiles import MOST_EXAMPLES, AttributeProfile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from dynaurora.dynamodb.changes import TypedItem

GATHERED_ITEMS: Final = 5000
GATHERED_BYTES: Final = 4 * 1024 * 1024
"""Of their JSON; as objects they take some times that."""
MOST_NAMES: Final = 2000
"""Attributes that are told apart; more are names that are values themselves."""
RESERVOIR: Final = 1000
"""Items that are kept, to try the mapping on."""
MAX_UNPACKED: Final = 10
"""Levels of maps that can be looked into."""

Bounds = dict[str, AttributeProfile]


class OddItemError(ValueError):
    """What was read is no item as DynamoDB writes it."""


@dataclass
class TableProfile:
    """What the items of a table are like, as far as they were read."""

    key_attributes: tuple[str, ...]
    unpack: int = 0
    """Levels of maps whose members are looked at one by one."""
    items: int = 0
    kept: list[TypedItem] = field(default_factory=list)
    """A sample of them, each item as likely in it as any other."""
    other_names: int = 0
    """Times that further attributes were found than are told apart."""
    groups: dict[Group, Bounds] = field(default_factory=dict)
    group_items: dict[Group, int] = field(default_factory=dict)
    discriminator: Discriminator | None = None
    _gathered: list[TypedItem] = field(default_factory=list)
    _gathered_bytes: int = 0
    _names: set[str] = field(default_factory=set)
    _numbers: random.Random = field(default_factory=lambda: random.Random(1))  # noqa: S311 (a sample, no secret)

    def add(self, items: Sequence[TypedItem], size: int) -> None:
        """Take items into account whose JSON has about so many bytes. Raises OddItemError.

        The first ones are gathered, to tell from them what types there are. From then on a few hundred at a time are
        fastest: they are looked at, and given up, while they are in the processor's cache.
        """
        if self.discriminator is not None:
            self._take(items)
            return
        self._gathered += items
        self._gathered_bytes += size
        if len(self._gathered) >= GATHERED_ITEMS or self._gathered_bytes >= GATHERED_BYTES:
            self.flush()

    def flush(self) -> None:
        """Look at the items that are gathered."""
        items, self._gathered, self._gathered_bytes = self._gathered, [], 0
        if items:
            self.discriminator = choose_discriminator(items, self.key_attributes)
            self._take(items)

    def _take(self, items: Sequence[TypedItem]) -> None:
        """Look at items, once it is known what tells their types apart."""
        assert self.discriminator  # noqa: S101 (chosen before)
        by_group: dict[Group, list[TypedItem]] = defaultdict(list)
        if self.discriminator.attributes:
            for item in items:
                by_group[self.discriminator.find_group(item)].append(item)
        else:
            by_group[OTHERS] = list(items)
        try:
            for group, members in by_group.items():
                self.group_items[group] = self.group_items.get(group, 0) + len(members)
                self._look(self.groups.setdefault(group, {}), members, members, self.unpack)
        except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise self._find_odd(items, error) from error
        self._keep(items)
        self.items += len(items)

    def _find_odd(self, items: Sequence[TypedItem], error: Exception) -> OddItemError:
        """Return the error that names the first of some items that is none."""
        for number, item in enumerate(items, self.items + 1):
            try:
                plain_item(item)
            except RejectedChange as refused:
                return OddItemError(f"Item {number:,}: {refused.reasons[0].path} {refused.reasons[0].message}.")
        return OddItemError(f"After item {self.items:,}: {type(error).__name__} {error}.")

    def _keep(self, items: Sequence[TypedItem]) -> None:
        """Keep some of the items, so that in the end each was as likely to be kept (Vitter's algorithm R)."""
        room = max(0, RESERVOIR - len(self.kept))
        self.kept += items[:room]
        for number, item in enumerate(items[room:], self.items + room + 1):
            place = int(self._numbers.random() * number)
            if place < RESERVOIR:
                self.kept[place] = item

    def _look(self, bounds: Bounds, items: Sequence[TypedItem], owners: Sequence[TypedItem], unpack: int) -> None:
        """Look at the attributes of items, or of maps in them; `owners` are the items that they are in."""
        lists: dict[tuple[str, str], list[Any]] = defaultdict(list)
        for item in items:
            for name, attribute in item.items():
                if len(attribute) != 1:
                    raise ValueError(f"{name!r} is not one type descriptor and its value")
                for kind, value in attribute.items():
                    lists[name, kind].append(value)
        for (name, kind), values in lists.items():
            profile = self._find(bounds, name)
            if profile is None:
                self.other_names += len(values)
                continue
            profile.add(kind, values)
            self._give_examples(profile, name, kind, items, owners)
            if kind == "M" and unpack:
                holders = [owner for item, owner in zip(items, owners, strict=True) if "M" in item.get(name, ())]
                self._look(profile.members, values, holders, unpack - 1)

    def _find(self, bounds: Bounds, name: str) -> AttributeProfile | None:
        """Return the profile of a name, a new one where there is room; None where there is none."""
        if name in bounds:
            return bounds[name]
        if name not in self._names:
            if len(self._names) >= MOST_NAMES:
                return None
            self._names.add(name)
        profile = bounds[name] = AttributeProfile()
        return profile

    def _give_examples(
        self, profile: AttributeProfile, name: str, kind: str, items: Sequence[TypedItem], owners: Sequence[TypedItem]
    ) -> None:
        """Note the keys of a few items that have an attribute of a kind, or what contradicts it."""
        wanted: list[tuple[str, str | None]] = []
        if len(profile.keys.get(kind, ())) < MOST_EXAMPLES:
            wanted.append((kind, None))
        texts = profile.texts
        if kind == "S":
            for what, odd in (("time", texts.odd_time), ("json", texts.odd_json)):
                if odd is not None and not profile.keys.get(what):
                    wanted.append((what, odd))
            texts.odd_time = texts.odd_json = None
        for what, text in wanted:
            found = profile.keys.setdefault(what, [])
            for item, owner in zip(items, owners, strict=True):
                if len(found) >= MOST_EXAMPLES:
                    break
                attribute = item.get(name, {})
                if kind in attribute and text in {None, attribute[kind] if kind == "S" else None}:
                    found.append({key: owner[key] for key in self.key_attributes if key in owner})

    def total(self) -> Bounds:
        """Return the profiles of the attributes of all items."""
        bounds: Bounds = {}
        for group in self.groups.values():
            for name, profile in group.items():
                bounds.setdefault(name, AttributeProfile()).merge(profile)
        return bounds

    def list_types(self) -> list[EntityType]:
        """Return the entity types that were found, where the table holds several."""
        return describe_types(self.discriminator, self.group_items) if self.discriminator else []


def profile_items(
    batches: Iterable[tuple[Sequence[TypedItem], int]], key_attributes: tuple[str, ...], unpack: int = 0
) -> TableProfile:
    """Return the profile of items that come in batches, each with the bytes of its JSON. Raises OddItemError."""
    profile = TableProfile(key_attributes, unpack)
    with uncollected():
        for items, size in batches:
            profile.add(items, size)
        profile.flush()
    return profile


@contextmanager
def uncollected() -> Iterator[None]:
    """Keep Python from looking for circles: items have none, and looking takes a third of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
