"""Mappings: which DynamoDB table becomes which Aurora table, and how.

A mapping is one JSON file, `mappings/<name>.json` of a project, checked against `mapping.schema.json` and against
itself when it is loaded; nothing is served from a mapping that does not hold. It is the only place that names of
tables and columns come from.

Most have one target. One with several has them in `targets`, each with a table, a schema and columns of its own, and
with a condition, `when`, of the items that it takes (`dynaurora.mappings.conditions`): all share the source, the
database, the name and the digest. Whatever works by one target is given the mapping of that target.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any

import jmespath

from dynaurora.dynamodb.attributes import JSON
from dynaurora.errors import InvalidMappingError
from dynaurora.mappings.columns import ColumnType, parse_type
from dynaurora.mappings.expressions import MAX_GROWTH, InvalidExpressionError, compile_expression, measure_growth
from dynaurora.mappings.json_fields import exact_json_numbers
from dynaurora.mappings.keywords import make_validator
from dynaurora.mappings.misfits import Misfit
from dynaurora.mappings.target_columns import CHANGED_AT_MS, UNMAPPED, Column, Index

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from jsonschema import Draft202012Validator

    from dynaurora.mappings.columns import Field

SYSTEM_COLUMNS = ("_deleted", "_version", "_mapping", "_row")
"""Columns that the replica, and the table that batches are loaded into, have before the mapping's own."""
SYSTEM_SCHEMAS = frozenset({"information_schema", "mysql", "performance_schema", "sys"})
"""What a server keeps about itself, in any case (MySQL 8.0 Reference Manual, "The mysql System Schema")."""
REPLICA_ENDING = "__replica"
"""Of the table behind a view."""
RESERVED_PREFIX = "_dynaurora"
"""The system tables' names begin with it."""
INDEX_BYTES = 3072
"""The largest key of an InnoDB index with DYNAMIC rows (MySQL 8.0 Reference Manual, "InnoDB Limits")."""
ROW_BYTES = 65_535
"""The largest row of any MySQL table, the contents of TEXT, BLOB and JSON not counted (MySQL 8.0 Reference Manual,
"Limits on Table Column Count and Row Size")."""
SYSTEM_BYTES = 32
"""What the columns of `SYSTEM_COLUMNS` take of them."""
NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


@dataclass(frozen=True)
class Mapping:
    """A checked mapping, as one target needs it; of a file with several it is the first one's, and has the others'."""

    name: str
    source_table: str
    partition_key: str
    sort_key: str | None
    json_attributes: dict[str, str]
    """The attributes with embedded JSON, and how it is encoded in each."""
    schema: dict[str, Any] | bool
    database: str
    table: str
    """The view that people query."""
    columns: tuple[Column, ...]
    """In the file's order, then the column of unmapped attributes where there is one."""
    unmapped: str
    """`ignore`, `reject`, or `column`: then the last of `columns` takes them."""
    indexes: tuple[Index, ...] = ()
    """Of the replica, besides its primary key."""
    text: str = field(default="", compare=False, repr=False)
    """The file that it was built of."""
    when: str = ""
    """The JMESPath expression that is true of the items that the target takes; empty where it takes all."""
    place: str = field(default="$.target", compare=False)
    """Where the target is in the file."""
    replica_name: str = ""
    """The table behind the view, where it is another one than the view's name says; since the target was rebuilt."""
    rebuilds: str = ""
    """The table of the target that this one is to replace once it is filled; it has no view of its own."""
    others: tuple[Mapping, ...] = ()
    """Of the first target, the mappings of the file's others."""
    shared_digest: str = ""
    """Of the others, the file's digest, which is the first one's."""

    @property
    def replica(self) -> str:
        """The table behind the view, which also holds tombstones and versions."""
        return self.replica_name or f"{self.table}{REPLICA_ENDING}"

    @cached_property
    def key_attributes(self) -> tuple[str, ...]:
        """The names of the item's key attributes, partition key first."""
        return (self.partition_key, *([self.sort_key] if self.sort_key else []))

    @cached_property
    def key_columns(self) -> tuple[Column, ...]:
        """The columns of the primary key, in the order of the item's key attributes."""
        takers = {column.attribute: column for column in self.columns}
        return tuple(takers[attribute] for attribute in self.key_attributes)

    @property
    def targets(self) -> tuple[Mapping, ...]:
        """The mappings of all of the file's targets, in its order; asked of the first one."""
        return (self, *self.others)

    @property
    def routes(self) -> bool:
        """Whether not every item is a row of one target."""
        return bool(self.when or self.others)

    @property
    def target_name(self) -> str | None:
        """What tells the target from others of the file; None where it has no others."""
        return self.table if self.others or self.shared_digest else None

    def find_target(self, table: str) -> Mapping | None:
        """Return the mapping of the target that is called so; None where there is none."""
        return next((target for target in self.targets if target.table == table), None)

    def find_replica(self, replica: str) -> Mapping | None:
        """Return the mapping of the target whose rows are in a table, by its name; None where there is none."""
        return next((target for target in self.targets if target.replica == replica), None)

    @cached_property
    def digest(self) -> str:
        """A digest of all that decides what becomes of an item: mappings that share it make the same rows."""
        decided = [target.decided for target in self.targets]
        if self.routes:
            decided = [[target.when, *each] for target, each in zip(self.targets, decided, strict=True)]
        else:
            (decided,) = decided
        text = json.dumps(decided, default=str, sort_keys=True)
        return self.shared_digest or hashlib.sha256(text.encode()).hexdigest()

    @property
    def decided(self) -> list[Any]:
        """All that decides what row an item becomes in this target."""
        columns = [(column.name, *column.definition) for column in self.columns]
        encoded = [name if how == JSON else (name, how) for name, how in sorted(self.json_attributes.items())]
        source = self.source_table, self.key_attributes, encoded, self.schema
        target = self.database, self.table, columns, self.unmapped
        rebuilt = [self.replica_name, self.rebuilds]
        return [source, target, rebuilt] if any(rebuilt) else [source, target]

    @cached_property
    def validator(self) -> Draft202012Validator:
        """What decides whether a plain item fits the mapping's schema; formats are checked, as their draft has them."""
        return make_validator()(self.schema)


def load_mapping_file(path: Path) -> Mapping:
    """Return the mapping in a file; its name is the file's.

    Raises InvalidMappingError, naming the path inside the file.
    """
    try:
        text = path.read_text("utf-8")
        document = json.loads(text, parse_float=Decimal)
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidMappingError(f"{path.name} cannot be read as JSON: {error}.") from error
    return build_mapping(path.stem, document, path.name, text=text)


def build_mapping(
    name: str, document: Any, file_name: str = "mapping", *, is_checked: bool = False, text: str = ""
) -> Mapping:
    """Return the mapping that a parsed file describes; `text` is the file, where there is one.

    `is_checked` says that it is of the registry, and was held against `dynaurora.mappings.files` before. Raises
    InvalidMappingError, naming the path inside the file.
    """
    checks = _Checks(file_name)
    try:
        return _build(name, document, checks, is_checked=is_checked, text=text)
    except RecursionError:
        checks.fail("$", "it is nested too deep")
        raise


def _build(name: str, document: Any, checks: _Checks, *, is_checked: bool, text: str) -> Mapping:
    if not NAME.fullmatch(name):
        checks.fail("$", f"a mapping's name is lower case, digits and underscores, not {name!r}")
    if not is_checked:
        from dynaurora.mappings.files import check_document  # here, since it takes long

        check_document(document, checks.file_name)
    text = text or json.dumps(document, default=float, indent=2)
    if "targets" not in document:
        return _build_target(name, document, document["schema"], document["target"], "$.target", checks, text)
    first, *others = (
        _build_target(name, document, target["schema"], target, f"$.targets[{index}]", checks, text)
        for index, target in enumerate(document["targets"])
    )
    mapping = replace(first, others=tuple(others))
    checks.tables(mapping)
    return replace(mapping, others=tuple(replace(other, shared_digest=mapping.digest) for other in others))


def _build_target(
    name: str, document: Any, schema: Any, target: Any, place: str, checks: _Checks, text: str
) -> Mapping:
    """Return the mapping of one target of a parsed file."""
    source, unmapped = document["source"], target.get("unmapped", "ignore")
    columns = [checks.column(f"{place}.columns[{index}]", column) for index, column in enumerate(target["columns"])]
    if isinstance(unmapped, dict):
        columns.append(Column(unmapped["column"], parse_type("JSON"), UNMAPPED))
    mapping = Mapping(
        name=name,
        source_table=source["table"],
        partition_key=source["partition_key"],
        sort_key=source.get("sort_key"),
        json_attributes=checks.json_attributes(source.get("json_attributes", ())),
        schema=schema,
        database=target["database"],
        table=target["table"],
        columns=tuple(columns),
        unmapped=unmapped if isinstance(unmapped, str) else "column",
        indexes=tuple(Index(each["name"], tuple(each["columns"])) for each in target.get("indexes", ())),
        text=text,
        when=target.get("when", ""),
        place=place,
        replica_name=target.get("replica", ""),
        rebuilds=target.get("rebuilds", ""),
    )
    checks.condition(mapping)
    checks.sources(mapping, written=len(target["columns"]))
    checks.names(mapping)
    checks.keys(mapping)
    checks.indexes(mapping)
    checks.row_size(mapping)
    return mapping


class _Checks:
    """The checks of one mapping file: each raises InvalidMappingError for the first thing that does not hold."""

    def __init__(self, file_name: str) -> None:
        self.file_name = file_name

    def fail(self, path: str, problem: str) -> None:
        raise InvalidMappingError(f"{self.file_name} at {path}: {problem}.")

    def column(self, path: str, column: dict[str, Any]) -> Column:
        epoch = column.get("epoch")
        try:
            kind = parse_type(column["type"], digits=column.get("digits"), epoch=epoch)
        except ValueError as error:
            self.fail(f"{path}.type", str(error))
            raise
        if column["from"] == CHANGED_AT_MS and epoch not in {None, "ms"}:
            self.fail(f"{path}.epoch", f"{CHANGED_AT_MS} counts ms, not {epoch}")
        default = self.default(path, column, kind) if "default" in column else None
        return Column(column["name"], kind, column["from"], default, column.get("description", ""))

    def default(self, path: str, column: dict[str, Any], kind: ColumnType) -> Field:
        value = column["default"]
        if column["from"] == CHANGED_AT_MS:
            self.fail(f"{path}.default", f"{CHANGED_AT_MS} is always there")
        if value is None and kind.kind != "JSON":
            return None
        try:
            return kind.encode(exact_json_numbers(value))
        except Misfit as error:
            self.fail(f"{path}.default", f"it {error}")
            raise

    def json_attributes(self, attributes: Sequence[Any]) -> dict[str, str]:
        encodings: dict[str, str] = {}
        for each in attributes:
            name, how = (each, JSON) if isinstance(each, str) else (each["name"], each.get("encoding", JSON))
            if name in encodings:
                self.fail("$.source.json_attributes", f"{name} is there twice")
            encodings[name] = how
        return encodings

    def condition(self, mapping: Mapping) -> None:
        if mapping.when:
            try:
                compile_expression(mapping.when)
            except InvalidExpressionError as error:
                self.fail(f"{mapping.place}.when", str(error))
            tree: Any = jmespath.compile(mapping.when).parsed
            growth = measure_growth(tree)
            if growth > MAX_GROWTH:
                self.fail(f"{mapping.place}.when", f"it may make {growth} times the size of an item to judge it")

    def tables(self, mapping: Mapping) -> None:
        """Refuse targets that would share a table, a replica, or its name, and those of several databases."""
        taken: dict[str, str] = {}
        for target in mapping.targets:
            if target.database != mapping.database:
                problem = (
                    f"{target.database} is another database than {mapping.database}: a mapping's targets share one"
                )
                self.fail(f"{target.place}.database", problem)
            for name in (target.table, target.replica):
                other = taken.setdefault(name.lower(), target.place)  # a server may know no case
                if other != target.place:
                    self.fail(f"{target.place}.table", f"{other} has {name} too, and a table is of one target only")
            rebuilt = mapping.find_target(target.rebuilds) if target.rebuilds else mapping
            if rebuilt is None or rebuilt.rebuilds:
                self.fail(f"{target.place}.rebuilds", f"there is no target {target.rebuilds} to replace")

    def sources(self, mapping: Mapping, written: int) -> None:
        for index, column in enumerate(mapping.columns[:written]):
            path = f"{mapping.place}.columns[{index}].from"
            if column.source.startswith("@") and not column.source.startswith("@."):
                if column.source != CHANGED_AT_MS:
                    self.fail(path, f"{column.source!r} is not known; the one special value is {CHANGED_AT_MS}")
            elif not column.path:
                try:
                    compile_expression(column.source)
                except InvalidExpressionError as error:
                    self.fail(path, str(error))

    def names(self, mapping: Mapping) -> None:
        if mapping.database.lower() in SYSTEM_SCHEMAS:
            self.fail("$.target.database", f"{mapping.database} is a schema of the server's own; choose another name")
        if mapping.table.lower().startswith(RESERVED_PREFIX):
            self.fail(f"{mapping.place}.table", f"names that begin with {RESERVED_PREFIX} are the system tables'")
        if mapping.replica.lower().startswith(RESERVED_PREFIX):
            self.fail(f"{mapping.place}.replica", f"names that begin with {RESERVED_PREFIX} are the system tables'")
        seen: set[str] = set()
        for column in mapping.columns:
            folded = column.name.lower()  # MySQL's column names know no case
            if folded in seen:
                self.fail(f"{mapping.place}.columns", f"two columns are named {column.name}")
            if folded in SYSTEM_COLUMNS:
                self.fail(
                    f"{mapping.place}.columns", f"{column.name} is a column of this project's own; choose another name"
                )
            seen.add(folded)
        if len(set(mapping.key_attributes)) != len(mapping.key_attributes):
            self.fail("$.source.sort_key", "partition key and sort key are the same attribute")
        in_json = mapping.json_attributes.keys() & set(mapping.key_attributes)
        if in_json:
            self.fail("$.source.json_attributes", f"{min(in_json)} is a key, which is compared as it is")

    def keys(self, mapping: Mapping) -> None:
        octets = 0
        for attribute in mapping.key_attributes:
            takers = [column for column in mapping.columns if column.attribute == attribute]
            if len(takers) != 1:
                problem = f"exactly one column must be from the key attribute {attribute!r}, not {len(takers)}"
                self.fail(f"{mapping.place}.columns", problem)
            key_bytes = takers[0].type.key_bytes
            if key_bytes is None:
                self.fail(f"{mapping.place}.columns", f"{takers[0].name} {takers[0].type.sql} cannot be a key column")
            if takers[0].default is not None:
                problem = f"{takers[0].name} is a key column, whose value is always there"
                self.fail(f"{mapping.place}.columns", problem)
            octets += key_bytes or 0
        if octets > INDEX_BYTES:
            problem = f"the key columns take {octets} bytes, and an index {INDEX_BYTES}; VARBINARY takes fewer"
            self.fail(f"{mapping.place}.columns", problem)

    def indexes(self, mapping: Mapping) -> None:
        columns = {column.name.lower(): column for column in mapping.columns}
        for number, index in enumerate(mapping.indexes):
            path = f"{mapping.place}.indexes[{number}]"
            if index.name.lower() in {other.name.lower() for other in mapping.indexes[:number]} | {"primary"}:
                self.fail(path, f"another index is named {index.name}")
            octets = 0
            if len({name.lower() for name in index.columns}) < len(index.columns):
                self.fail(path, "a column stands in it twice")
            for name in index.columns:
                if name.lower() not in columns:
                    self.fail(path, f"there is no column {name} in the target")
                column = columns[name.lower()]
                if column.type.index_bytes is None:
                    self.fail(path, f"{name} {column.type.sql} cannot be indexed; a VARCHAR, VARBINARY or CHAR can")
                octets += column.type.index_bytes or 0
            if octets > INDEX_BYTES:
                self.fail(path, f"its columns take {octets} bytes, and an index {INDEX_BYTES}")

    def row_size(self, mapping: Mapping) -> None:
        nulls = (len(mapping.columns) + 7) // 8
        octets = SYSTEM_BYTES + nulls + sum(column.type.row_bytes for column in mapping.columns)
        if octets > ROW_BYTES:
            widest = max(mapping.columns, key=lambda column: column.type.row_bytes)
            problem = f"the columns may take {octets} bytes, and a row {ROW_BYTES}; make {widest.name} a TEXT or BLOB"
            self.fail(f"{mapping.place}.columns", problem)
