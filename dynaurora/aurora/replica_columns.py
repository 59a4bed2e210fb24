"""The replica's columns beside those of its mapping, compared by name: every statement here names columns.

The server tells both in its own spelling: of the replica, and of a temporary table made as the mapping would have it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from dynaurora.aurora import sql
from dynaurora.aurora.connection import is_mariadb
from dynaurora.errors import TargetMismatchError
from dynaurora.mappings.columns import OFF_PAGE_BYTES

if TYPE_CHECKING:
    from dynaurora.aurora.connection import Aurora
    from dynaurora.mappings.mapping import Mapping

SAME: Final = "same"
WIDER: Final = "wider"
"""The mapping's type holds all that the replica's does, and the server gets there without a copy of the table."""
COPIED: Final = "copied"
"""It holds all of it, and the server would copy the table for it, imports waiting."""
NARROWER: Final = "narrower"
"""The replica's type holds all that the mapping's does, and more."""
OTHER: Final = "other"

GENERATION_COLUMN: Final = "_mapping"
SPELLED = re.compile(r"(?P<kind>[a-z]+)(?:\((?P<size>\d+)(?:,(?P<scale>\d+))?\))?(?P<unsigned> unsigned)?")
INTEGERS: Final = ("tinyint", "smallint", "mediumint", "int", "bigint")
FAMILIES: Final = (
    ("tinytext", "text", "mediumtext", "longtext"),
    ("tinyblob", "blob", "mediumblob", "longblob"),
)
ENUM_MEMBERS = re.compile(r"'((?:[^']|'')*)'")
SHORT_BYTES: Final = 127
"""MariaDB lengthens what has no more without a copy, to any length (MariaDB, "InnoDB Online DDL Operations")."""


@dataclass(frozen=True)
class FoundColumn:
    """A column as the server tells it."""

    name: str
    kind: str
    """Its type in the server's spelling: `varchar(64)`, `int(11)`."""
    collation: str | None
    nullable: bool
    default: str | None
    extra: str
    """`auto_increment`, `STORED GENERATED` and the like."""
    comment: str

    @property
    def is_filled_by_the_server(self) -> bool:
        """Whether a row that does not name the column is taken."""
        return self.nullable or self.default is not None or bool(self.extra)

    @property
    def is_generated(self) -> bool:
        """Whether nobody may write it."""
        return "GENERATED" in self.extra.upper() and "DEFAULT_GENERATED" not in self.extra.upper()

    def describe(self, *, with_collation: bool = False) -> str:
        """Say it as a definition."""
        return " ".join(filter(None, [self.kind, *self.name_traits(with_collation=with_collation)]))

    def name_traits(self, *, with_collation: bool) -> tuple[str, str]:
        """Return its collation, or no more than its character set, and whether it takes NULL."""
        collated = (self.collation or "") if with_collation else (self.collation or "").partition("_")[0]
        return collated, "NULL" if self.nullable else "NOT NULL"


@dataclass(frozen=True)
class Difference:
    """A column that both have, each otherwise."""

    found: FoundColumn
    expected: FoundColumn
    change: str
    """SAME, WIDER, COPIED, NARROWER or OTHER: from the replica's type to the mapping's."""
    is_unfit: bool = False
    """Whether it is another column for more than its type: its collation, its NULL, who writes it."""
    why: str = ""
    """What its definition does not say."""

    is_key: bool = False

    @property
    def holds_less(self) -> bool:
        """Whether the replica's type does not hold all that the mapping's does."""
        return self.change in {WIDER, COPIED}

    def __str__(self) -> str:
        """Say what differs."""
        ends = [column.describe(with_collation=self.is_key) for column in (self.found, self.expected)]
        return f"{self.found.name} is {ends[0]}{self.why}, and the mapping has {ends[1]}"


@dataclass
class Differences:
    """What differs between a replica and its mapping."""

    missing: list[FoundColumn] = field(default_factory=list)
    """Columns that the mapping has, and the replica has not."""
    surplus: list[FoundColumn] = field(default_factory=list)
    """Columns that the replica has besides: earlier mappings', or people's own."""
    different: list[Difference] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    """What is wrong with its unique keys."""
    comments: list[FoundColumn] = field(default_factory=list)
    """Columns that are the mapping's but for the comment that it gives them."""

    @property
    def faults(self) -> list[str]:
        """What keeps a row of the mapping from being written as it is, each in words."""
        missing = [f"{column.name} {column.describe()} is missing" for column in self.missing]
        unfit = [str(each) for each in self.different if each.change != NARROWER or each.is_unfit]
        unfilled = [f"{each.name} has no default, so no row could be written" for each in unfilled_of(self.surplus)]
        return [*missing, *unfit, *unfilled, *self.keys]


def unfilled_of(columns: list[FoundColumn]) -> list[FoundColumn]:
    """Return those that a row has to name."""
    return [column for column in columns if not column.is_filled_by_the_server]


def check_replica(aurora: Aurora, mapping: Mapping) -> None:
    """Raise TargetMismatchError where rows of the mapping cannot be written to the replica, naming what differs.

    Other columns are no fault as long as the server fills them, nor are columns that hold more, nor their order.
    """
    faults = compare_replica(aurora, mapping).faults
    if faults:
        raise TargetMismatchError(
            f"{mapping.database}.{mapping.replica} does not fit mapping {mapping.name}: {'; '.join(faults)}."
        )


def compare_replica(aurora: Aurora, mapping: Mapping) -> Differences:
    """Return what differs between the replica, which has to be there, and what the mapping would create."""
    aurora.execute(sql.drop_expected(mapping))
    aurora.execute(sql.create_expected(mapping, sql.key_collation(aurora.server_version)))
    expected, wanted_keys = read_columns(aurora, mapping, sql.EXPECTED), read_unique_keys(aurora, mapping, sql.EXPECTED)
    aurora.execute(sql.drop_expected(mapping))
    found, keys = read_columns(aurora, mapping, mapping.replica), read_unique_keys(aurora, mapping, mapping.replica)
    differences = Differences(
        missing=[column for name, column in expected.items() if name not in found],
        surplus=[column for name, column in found.items() if name not in expected],
    )
    key_names = {column.name.lower() for column in mapping.key_columns}
    for name in [each for each in expected if each in found]:
        differs = compare_column(found[name], expected[name], is_key=name in key_names, server=aurora.server_version)
        differences.different += [differs] if differs.change != SAME or differs.is_unfit else []
        if differs.change == SAME and not differs.is_unfit and found[name].default is None:
            is_another = expected[name].comment not in {"", found[name].comment}
            differences.comments += [found[name]] if is_another else []
    differences.keys = compare_keys(keys, wanted_keys)
    return differences


def compare_column(found: FoundColumn, expected: FoundColumn, *, is_key: bool, server: str) -> Difference:
    """Return how a column of the replica differs from the mapping's.

    Of text that is no key only the character set counts: its collation is the server's choice, no row depends on it.
    """
    change = compare_types(found.kind, expected.kind, mariadb=is_mariadb(server))
    unlike = found.name_traits(with_collation=is_key) != expected.name_traits(with_collation=is_key)
    why = f", generated by the server ({found.extra})" if found.is_generated else ""
    return Difference(found, expected, change, is_unfit=unlike or bool(why), why=why, is_key=is_key)


def compare_keys(found: dict[str, str], expected: dict[str, str]) -> list[str]:
    """Return what is wrong with unique keys: one besides the primary key would make the merge change another's row."""
    surplus = [f"{key} is a unique key besides the mapping's" for name, key in found.items() if name not in expected]
    other = [
        f"its primary key is {found.get(name, 'missing')}, and the mapping's is {key}"
        for name, key in expected.items()
        if found.get(name) != key
    ]
    return [*other, *surplus]


def compare_types(found: str, expected: str, *, mariadb: bool = False) -> str:
    """Return what becomes of a column that goes from one type to another, both in the server's spelling."""
    if found == expected:
        return SAME
    if found.startswith("enum(") and expected.startswith("enum("):
        return compare_members(*(tuple(ENUM_MEMBERS.findall(text)) for text in (found, expected)))
    one, other = SPELLED.fullmatch(found), SPELLED.fullmatch(expected)
    if one is None or other is None:
        return OTHER
    if is_wider(one, other) and is_wider(other, one):
        return SAME  # INT(10) and INT(11): they differ in what they are displayed as
    if is_wider(other, one):
        return WIDER if is_online(one, other, mariadb=mariadb) else COPIED
    return NARROWER if is_wider(one, other) else OTHER


def compare_members(found: tuple[str, ...], expected: tuple[str, ...]) -> str:
    """Return what becomes of an ENUM: members that come behind the others cost nothing, up to 255 of them.

    (MySQL 8.0 Reference Manual, "Online DDL Operations": as long as the bytes of a value stay as many.)
    """
    if expected[: len(found)] == found:
        return WIDER if (len(found) < OFF_PAGE_BYTES) == (len(expected) < OFF_PAGE_BYTES) else COPIED
    return NARROWER if found[: len(expected)] == expected else OTHER


def is_wider(larger: re.Match[str], smaller: re.Match[str]) -> bool:
    """Tell whether a type holds all values of another, and reads them back the same."""
    wide, narrow = larger["kind"], smaller["kind"]
    size, least = int(larger["size"] or 0), int(smaller["size"] or 0)
    if wide in INTEGERS and narrow in INTEGERS:
        order = INTEGERS.index(wide) - INTEGERS.index(narrow)
        if bool(larger["unsigned"]) == bool(smaller["unsigned"]):
            return order > 0 or (order == 0 and size != 1)
        return order > 0 and not larger["unsigned"]
    if wide == narrow == "decimal":
        scale, lower = int(larger["scale"] or 0), int(smaller["scale"] or 0)
        return scale >= lower and size - scale >= least - lower
    if wide == narrow:
        return wide in {"char", "varchar", "varbinary", "datetime", "timestamp", "time"} and size >= least
    for family, short in zip(FAMILIES, ("varchar", "varbinary"), strict=True):
        if wide in family and narrow in family:
            return family.index(wide) > family.index(narrow)
        if wide in family[1:] and narrow == short:
            return least * (4 if short == "varchar" else 1) < 2**16
    return False


def is_online(found: re.Match[str], expected: re.Match[str], *, mariadb: bool) -> bool:
    """Tell whether the server makes a type wider without a copy of the table.

    A length of VARCHAR or VARBINARY takes one byte up to 255 bytes, and two beyond (MySQL 8.0 Reference Manual, "Online
    DDL Operations"). MariaDB's tables have the second where the first was short.
    """
    if {found["kind"], expected["kind"]} == {"tinyint"}:
        return not found["unsigned"]  # BOOLEAN and TINYINT differ in what they are displayed as
    if found["kind"] != expected["kind"] or found["kind"] not in {"varchar", "varbinary"}:
        return False
    width = 4 if found["kind"] == "varchar" else 1
    before, after = int(found["size"]) * width, int(expected["size"]) * width
    return (before < OFF_PAGE_BYTES) == (after < OFF_PAGE_BYTES) or (mariadb and before <= SHORT_BYTES)


def read_columns(aurora: Aurora, mapping: Mapping, table: str) -> dict[str, FoundColumn]:
    """Return a table's columns by their names in lower case: the server knows no other."""
    columns = {}
    for name, kind, collation, nullable, _, default, extra, _, comment in aurora.query(
        sql.show_columns(mapping, table)
    ):
        columns[name.lower()] = FoundColumn(name, kind, collation, nullable == "YES", default, extra, comment)
    return columns


def read_unique_keys(aurora: Aurora, mapping: Mapping, table: str) -> dict[str, str]:
    """Return a table's unique keys by name, each as `PRIMARY KEY (page_id, day)`, a prefix of a column as `day(10)`."""
    keys: dict[str, list[str]] = {}
    for _, _, key, _, column, _, _, prefix, *_ in aurora.query(sql.show_unique_keys(mapping, table)):
        name = (column or "an expression").lower()
        keys.setdefault(key, []).append(f"{name}({prefix})" if prefix else name)
    return {key: f"{key} KEY ({', '.join(columns)})" for key, columns in keys.items()}
