"""Proposals: the mapping that takes the items of a profile, with what was seen of each attribute.

All of a table goes into one target that refuses nothing: attributes without a column of their own go into the column of
the rest. For each entity type of a single-table design there is a target too, as `targets` of a mapping would have it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from dynaurora.inference.column_choices import Choice, choose_column, choose_keys
from dynaurora.inference.entity_types import OTHERS, name_source
from dynaurora.inference.value_profiles import AttributeProfile
from dynaurora.mappings.columns import parse_type
from dynaurora.mappings.mapping import ROW_BYTES, SYSTEM_BYTES, SYSTEM_COLUMNS
from dynaurora.mappings.page_sizes import LONG_TYPE_BYTES, LONGEST_ROW, ROW_HEADER_BYTES, SYSTEM_PAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dynaurora.inference.entity_types import EntityType
    from dynaurora.inference.table_profiles import Bounds, TableProfile
    from dynaurora.mappings.columns import ColumnType

SCHEMA_COPY: Final = ".schema/mapping.schema.json"
"""Where an editor finds the JSON Schema of a mapping's file: a copy beside it, which needs no network."""
MOST_NAME: Final = 64
MOST_TABLE_NAME: Final = 55
MOST_PROPOSED: Final = 500
"""Columns that are proposed, the most frequent attributes first."""
MOST_ATTRIBUTE_NAME: Final = 255
REST: Final = "rest"
REST_OF_TYPES: Final = "others"
"""What the table of the items that are of no type ends with."""


@dataclass(frozen=True, slots=True)
class ProposedColumn:
    """One attribute, what was seen of it, and the column that takes it."""

    path: tuple[str, ...]
    """The names that lead to it."""
    column: str
    """"" where it has no column of its own."""
    choice: Choice
    profile: AttributeProfile

    @property
    def source(self) -> str:
        """Its expression."""
        return name_source(*self.path)

    def as_column(self) -> dict[str, Any]:
        """Return the column as a mapping file has it."""
        return {"name": self.column, "type": self.choice.type, "from": self.source, **self.choice.options}


@dataclass(frozen=True)
class TableSource:
    """What a mapping's file says of the table it reads."""

    table: str
    partition_key: str
    sort_key: str | None = None
    ttl_attribute: str | None = None

    @property
    def key_attributes(self) -> tuple[str, ...]:
        """The key's attributes, the partition key first."""
        return (self.partition_key, *([self.sort_key] if self.sort_key else []))


@dataclass(frozen=True)
class Proposal:
    """A mapping, and why it is as it is."""

    document: dict[str, Any]
    columns: list[ProposedColumn]
    """In the file's order, then the attributes without a column."""
    targets: list[dict[str, Any]] = field(default_factory=list)
    """One for each entity type, with its condition."""
    rest: dict[str, Any] = field(default_factory=dict)
    """The target of the items that are of none of the types."""
    types: list[EntityType] = field(default_factory=list)
    by_type: dict[str, list[ProposedColumn]] = field(default_factory=dict)

    @property
    def document_of_types(self) -> dict[str, Any]:
        """The file with a target for each entity type, and one for items of none, instead of one for all."""
        shared = {name: self.document[name] for name in ("$schema", "description", "source")}
        return {**shared, "targets": [*self.targets, self.rest]}


def propose(profile: TableProfile, source: TableSource, database: str, table: str) -> Proposal:
    """Return the mapping for a table, and what would be the targets of its entity types."""
    total = profile.total()
    columns = choose_columns(total, source)
    types = profile.list_types()
    unwrapped = {each.path[0] for each in columns if each.choice.encoding}
    by_type = {
        entity.name: keep_packed(choose_columns(profile.groups[entity.group], source), unwrapped) for entity in types
    }
    names: list[str] = []
    for entity in types:
        names.append(next_name(name_target_table(f"{table}_{entity.name}"), names, MOST_TABLE_NAME))
    targets = [
        {"database": database, "table": name, "when": entity.when, **write_target(by_type[entity.name], source)}
        for entity, name in zip(types, names, strict=True)
    ]
    rest = {
        "database": database,
        "table": next_name(name_target_table(f"{table}_{REST_OF_TYPES}"), names, MOST_TABLE_NAME),
        "when": " && ".join(f"!({entity.when})" for entity in types),
        **write_target(keep_packed(choose_rest(profile, total, source), unwrapped), source),
    }
    body = write_target(columns, source)
    schema = body.pop("schema")
    document = {
        "$schema": f"./{SCHEMA_COPY}",
        "description": f"Inferred from {profile.items:,} items of {source.table}.",
        "source": write_source(source, columns),
        "schema": schema,
        "target": {"database": database, "table": name_target_table(table), **body},
    }
    return Proposal(document, columns, targets, rest if types else {}, types, by_type)


def choose_rest(profile: TableProfile, total: Bounds, source: TableSource) -> list[ProposedColumn]:
    """Return the columns of the items that are of no type: there may have been none, but their keys are known."""
    keys = {name: total[name] for name in source.key_attributes if name in total}
    return choose_columns(profile.groups.get(OTHERS, {}) | keys, source)


def write_source(source: TableSource, columns: Sequence[ProposedColumn]) -> dict[str, Any]:
    """Return the source as a mapping file has it."""
    unwrapped = [
        each.path[0] if each.choice.encoding == "json" else {"name": each.path[0], "encoding": each.choice.encoding}
        for each in columns
        if each.choice.encoding and each.column
    ]
    document: dict[str, Any] = {"table": source.table, "partition_key": source.partition_key}
    if source.sort_key:
        document["sort_key"] = source.sort_key
    if unwrapped:
        document["json_attributes"] = unwrapped
    return document


def write_target(columns: Sequence[ProposedColumn], source: TableSource) -> dict[str, Any]:
    """Return the schema, the columns and the column of the rest."""
    written = [each for each in columns if each.column]
    names = [each.column for each in written]
    return {
        "schema": write_schema(written, source.key_attributes),
        "columns": [each.as_column() for each in written],
        "unmapped": {"column": next_name(REST, names)},
    }


def write_schema(columns: Sequence[ProposedColumn], required: Sequence[str]) -> dict[str, Any]:
    """Return the schema of items: what each attribute is, where it is there; only the keys have to be."""
    schema: dict[str, Any] = {"type": "object", "required": list(required), "properties": {}}
    for each in columns:
        place = schema["properties"]
        for name in each.path[:-1]:
            place = place.setdefault(name, {"type": ["object", "null"], "properties": {}})["properties"]
        place[each.path[-1]] = each.choice.schema
    return schema


# Columns


def choose_columns(bounds: Bounds, source: TableSource) -> list[ProposedColumn]:
    """Return the columns for the attributes of items: the key's, then the others, the most frequent ones first."""
    empty = AttributeProfile()
    keys = [bounds.get(name, empty) for name in source.key_attributes]
    chosen = [
        ((name,), choice, profile)
        for name, choice, profile in zip(
            source.key_attributes, choose_keys(keys, source.key_attributes), keys, strict=True
        )
    ]
    others = [
        (path, choose_at(path, profile, source), profile)
        for path, profile in flatten({name: each for name, each in bounds.items() if name not in source.key_attributes})
    ]
    others.sort(key=lambda each: -each[2].items)  # stable: in the order in which they were met
    names: list[str] = []
    columns: list[ProposedColumn] = []
    for path, choice, profile in [*chosen, *others]:
        is_written = len(columns) < MOST_PROPOSED and all(can_be_named(name) for name in path)
        name = next_name("_".join(path), [*names, REST]) if is_written else ""
        names += [name] if name else []
        columns.append(ProposedColumn(path, name, choice, profile))
    return fit_row(columns, keys=len(keys))


def choose_at(path: tuple[str, ...], profile: AttributeProfile, source: TableSource) -> Choice:
    """Return the column for an attribute, or for a member of a map, where JSON is never unwrapped."""
    choice = choose_column(path[-1], profile, is_ttl=path == (source.ttl_attribute,))
    return choice if len(path) == 1 else leave_packed(choice, profile)


def keep_packed(columns: list[ProposedColumn], unwrapped: set[str]) -> list[ProposedColumn]:
    """Return the columns of one type; JSON stays packed in attributes that do not hold it in all types."""
    return [
        each if each.path[0] in unwrapped else replace(each, choice=leave_packed(each.choice, each.profile))
        for each in columns
    ]


def leave_packed(choice: Choice, profile: AttributeProfile) -> Choice:
    """Return the choice that takes JSON in text or binary as the text or binary that it is."""
    if not choice.encoding:
        return choice
    type_ = "MEDIUMBLOB" if "B" in profile.held else "MEDIUMTEXT"
    return replace(choice, type=type_, schema={"type": ["string", "null"]}, doubt="", encoding="")


def flatten(bounds: Bounds, prefix: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], AttributeProfile]]:
    """Yield attributes with their paths; of a map that is looked into, its members."""
    for name, profile in bounds.items():
        if profile.members and set(profile.held) == {"M"} and all(map(can_be_named, profile.members)):
            yield from flatten(profile.members, (*prefix, name))
        else:
            yield (*prefix, name), profile


def can_be_named(name: str) -> bool:
    """Tell whether an attribute can be named in a mapping's file."""
    return len(name) <= MOST_ATTRIBUTE_NAME and not re.search(r"[\ud800-\udfff]", name)


def fit_row(columns: list[ProposedColumn], keys: int) -> list[ProposedColumn]:
    """Return the columns so that their row fits a page and a table: long text as TEXT, and what is left in the rest."""
    octets = SYSTEM_BYTES + 8 + row_bytes("JSON") + sum(row_bytes(each.choice.type) for each in columns if each.column)
    page = ROW_HEADER_BYTES + SYSTEM_PAGE_BYTES + LONG_TYPE_BYTES + MOST_PROPOSED // 8 + 1
    page += sum(2 + (parse_type(each.choice.type).key_bytes or 0) for each in columns[:keys])
    fitted = []
    for place, each in enumerate(columns):
        type_ = parse_type(each.choice.type) if each.column else None
        if type_ is None or place < keys:
            fitted.append(each)
            continue
        if octets > ROW_BYTES - SYSTEM_BYTES and type_.kind in SHORTER:
            octets -= row_bytes(type_.sql) - row_bytes(SHORTER[type_.kind])
            type_ = parse_type(SHORTER[type_.kind])
        page += type_.page_bytes
        has_room = page <= LONGEST_ROW
        choice = replace(each.choice, type=type_.sql)
        fitted.append(replace(each, column=each.column if has_room else "", choice=choice))
    return fitted


SHORTER: Final = {"VARCHAR": "TEXT", "VARBINARY": "BLOB"}


def row_bytes(sql: str) -> int:
    """Return the bytes that a type takes of a row."""
    type_: ColumnType = parse_type(sql)
    return type_.row_bytes


# Names


def next_name(wanted: str, taken: Sequence[str], most: int = MOST_NAME) -> str:
    """Return a column's name as near to a wanted one as MySQL and this project take it, that is not taken."""
    name = re.sub(r"[^A-Za-z0-9_]", "_", wanted)[:most] or "_"
    name = name if not name[0].isdigit() else f"_{name}"[:most]
    folded = {each.lower() for each in (*taken, *SYSTEM_COLUMNS)}
    number, unique = 2, name
    while unique.lower() in folded:
        unique = f"{name[: most - len(str(number)) - 1]}_{number}"
        number += 1
    return unique


def name_target_table(wanted: str) -> str:
    """Return a table's name as near to a wanted one as can be."""
    name = re.sub(r"[^A-Za-z0-9_]", "_", wanted)[:MOST_TABLE_NAME] or "_"
    name = name if not name[0].isdigit() else f"_{name}"[:MOST_TABLE_NAME]
    return f"t{name}"[:MOST_TABLE_NAME] if name.lower().startswith("_dynaurora") else name
