"""Comparing items: some items against their rows, and in the end the rows that no item was seen of.

What does not agree is a suspect: the row may have been read before the change of its item was imported. Judging
(`dynaurora.verification.judging`) says what it is.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dynaurora.mappings.key_types import type_key
from dynaurora.mappings.reasons import count_reasons
from dynaurora.mappings.row_mapper import RowMapper
from dynaurora.verification.expectations import Expecter
from dynaurora.verification.verdicts import SUSPICIOUS, Found, RowVerdict, Tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from collections.abc import Mapping as MappingOf

    from dynaurora.aurora.connection import Aurora
    from dynaurora.dynamodb.changes import TypedItem
    from dynaurora.mappings.mapping import Mapping
    from dynaurora.verification.compare_rows import Lookup
    from dynaurora.verification.expectations import Expected
    from dynaurora.verification.unseen_rows import Key

COMPARED_ITEMS = 500
"""Items that are compared at a time."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A key that does not agree in a target."""

    table: str
    key: TypedItem
    finding: Found

    def as_dict(self) -> dict[str, Any]:
        """Return it for machines."""
        columns = {"columns": [*self.finding.columns]} if self.finding.columns else {}
        return {"target": self.table, "key": self.key, "verdict": self.finding.verdict.value, **columns}


@dataclass(frozen=True, slots=True)
class Position:
    """How far the rows of a mapping's targets have been looked through."""

    table: str
    """The target that comes next."""
    after: Key | None = None
    """Where its next stretch begins; None for its first."""


@dataclass(slots=True)
class Compared:
    """What comparing some items or rows came to."""

    tally: Tally = field(default_factory=Tally)
    suspects: list[Suspect] = field(default_factory=list)
    """Those that are not in the tally yet."""
    untold: int = 0
    """Those that are, as what they seem to be, since nobody told their keys."""
    left: Position | None = None
    """Of a stretch of rows, where it goes on; None after the last one."""


@dataclass(slots=True)
class Mapped:
    """What there should be of some items."""

    compared: Compared
    """Of what needs no row to be looked up."""
    expected: dict[str, list[tuple[TypedItem, Expected]]] = field(default_factory=dict)
    """By target, of each key."""


def compare_items(expecter: Expecter, lookup: Lookup, items: Sequence[TypedItem]) -> Compared:
    """Compare some items with their rows in each target."""
    return look_up(map_items(expecter, items), lookup)


def map_items(expecter: Expecter, items: Sequence[TypedItem]) -> Mapped:
    """Return what there should be of some items."""
    compared = Compared(Tally(items=len(items)))
    mapped = Mapped(compared)
    for item in items:
        key = expecter.take_key(item)
        for each in expecter.expect(key, item):
            compared.tally.reasons.update(count_reasons(each.reasons))
            if each.is_skipped:
                compared.tally.count(Found(RowVerdict.SKIPPED))  # a row of its key is found as one that was not seen
            elif each.expectation is None:
                compared.tally.count(Found(RowVerdict.FAILED))
            else:
                mapped.expected.setdefault(each.table, []).append((key, each))
    return mapped


def look_up(mapped: Mapped, lookup: Lookup) -> Compared:
    """Compare what there should be with what there is."""
    compared = mapped.compared
    for table, its in mapped.expected.items():
        found = lookup.compare(table, [each.expectation for _, each in its if each.expectation])
        take(compared, (Suspect(table, key, finding) for (key, _), finding in zip(its, found, strict=True)))
    return compared


def take(compared: Compared, found: Iterable[Suspect]) -> None:
    """Count what agrees, or is explained; what does not is suspect."""
    for each in found:
        if each.finding.verdict in SUSPICIOUS:
            compared.suspects.append(each)
        else:
            compared.tally.count(each.finding)


def find_extra_rows(
    mapping: Mapping,
    lookup: Lookup,
    key_types: MappingOf[str, str],
    below: int | None = None,
    position: Position | None = None,
) -> Iterator[Compared]:
    """Yield what is found of the rows, stretch by stretch, once all items were compared: those of no item are suspect.

    `key_types` are the types of the table's key attributes: S, N or B. Where items are of a snapshot, `below` is its
    version: rows that are no older are of later changes. Looking goes on from a position, or begins.
    """
    names, extra = mapping.key_attributes, Found(RowVerdict.EXTRA)
    tables = [target.table for target in mapping.targets]
    left: Position | None = position or Position(tables[0])
    while left is not None:
        table, unseen = left.table, lookup.list_unseen(left.table, left.after, below)
        following = tables[tables.index(table) + 1 :]
        if unseen.after is not None:
            left = Position(table, unseen.after)
        else:
            left = Position(following[0]) if following else None
        keys = (type_key(mapping, key_types, dict(zip(names, fields, strict=True))) for fields in unseen.keys)
        found = [Suspect(table, key, extra) for key in keys]
        yield Compared(Tally(rows=unseen.rows, newer=unseen.newer), found, left=left)


def compare_table(mapping: Mapping, items: Iterable[TypedItem], aurora: Aurora) -> Tally:
    """Compare all items of a table, in DynamoDB's typed form, with the rows of a mapping's targets, as they are now.

    Nothing is looked at again: for a table at rest.
    """
    from dynaurora.verification.compare_rows import RowComparer  # with the database, which functions may do without

    expecter = Expecter(RowMapper(mapping))
    lookup = RowComparer(aurora, mapping, f"compare-{secrets.token_hex(8)}")
    total = Tally()
    try:
        for page in divide(items):
            count_all(total, compare_items(expecter, lookup, page))
        for compared in find_extra_rows(mapping, lookup, dict.fromkeys(mapping.key_attributes, "S")):
            count_all(total, compared)
    finally:
        lookup.forget()
    return total


def count_all(total: Tally, compared: Compared) -> None:
    """Count what was compared, suspects as what they seem to be."""
    total.add(compared.tally)
    for suspect in compared.suspects:
        total.count(suspect.finding)


def divide(items: Iterable[TypedItem]) -> Iterator[list[TypedItem]]:
    """Yield items page by page."""
    page: list[TypedItem] = []
    for item in items:
        page.append(item)
        if len(page) == COMPARED_ITEMS:
            yield page
            page = []
    if page:
        yield page
