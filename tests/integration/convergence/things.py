"""The table of the histories: its mapping, as it is and stricter, its items, and the rows that they are to become.

What a row is to be is written here by hand from the item's plain values, and not with the code under test.
"""

import base64
import dataclasses
import json
import random
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, NamedTuple

from dynaurora.mappings.mapping import Mapping, build_mapping

Key = tuple[str, str]
"""Partition key and sort key."""
TypedItem = dict[str, Any]

NAME: Final = "things"
ODD: Final = "odd"
"""The grade of an item that the stricter mapping refuses."""
PARTITIONS: Final = ("a", "A", "a ", "á", "a,\\", "🦄")
SORTS: Final = ("1", "1 ", "01")
"""Keys that a careless comparison, or a careless CSV, takes for one another."""

_COLUMNS = [
    ("pk", "VARCHAR(64)", "pk"),
    ("sk", "VARCHAR(64)", "sk"),
    ("changed_at_ms", "BIGINT", "@changed_at_ms"),
    ("n", "INT", "n"),
    ("words", "VARCHAR(200)", "words"),
    ("amount", "DECIMAL(38,10)", "amount"),
    ("data", "VARBINARY(64)", "data"),
]
_WORDS = ("", "plain", "a,b\\c\n\t\0\r", r"\N", "NULL", "🦄é漢", "  spaces  ", "'\"`;--")
_AMOUNTS = ("0", "-1", "1.5", "1234567890123456789012345678.0123456789", "-0.0000000001")
_DATA = (b"", b"\0\xff\n,\\", b"data")


def make_mapping(schema: dict[str, Any]) -> Mapping:
    return build_mapping(
        NAME,
        {
            "source": {"table": NAME, "partition_key": "pk", "sort_key": "sk"},
            "schema": {"type": "object", "required": ["n"], **schema},
            "target": {
                "database": "Demo",
                "table": "Things",
                "columns": [{"name": name, "type": kind, "from": source} for name, kind, source in _COLUMNS],
                "unmapped": {"column": "extra"},
            },
        },
    )


def make_mappings(database: str) -> tuple[Mapping, Mapping]:
    """Return the mapping, and a stricter one that it was before it was mended."""
    strict = {"properties": {"grade": {"not": {"const": ODD}}}}
    mended, stricter = make_mapping({}), make_mapping(strict)
    return dataclasses.replace(mended, database=database), dataclasses.replace(stricter, database=database)


@dataclass(frozen=True)
class Thing:
    """An item's plain values besides its key; None is an attribute that is not there."""

    n: int
    """The number of the write that made it: it tells which state of an item a row shows."""
    grade: str
    words: str | None
    amount: str | None
    data: bytes | None

    def typed(self, key: Key) -> TypedItem:
        """Return the item as DynamoDB writes it."""
        item: TypedItem = {**typed_key(key), "n": {"N": str(self.n)}, "grade": {"S": self.grade}}
        if self.words is not None:
            item["words"] = {"S": self.words}
        if self.amount is not None:
            item["amount"] = {"N": self.amount}
        if self.data is not None:
            item["data"] = {"B": base64.b64encode(self.data).decode()}
        return item

    def row(self) -> tuple[Any, ...]:
        """Return what VIEW is to show of it, but for the time of its change, which an item does not know."""
        amount = None if self.amount is None else Decimal(self.amount)
        return self.n, self.words, amount, self.data, {"grade": self.grade}


VIEW: Final = "SELECT pk, sk, changed_at_ms, n, words, amount, data, extra FROM `{database}`.`Things`"


class ViewRow(NamedTuple):
    """What people see of an item."""

    changed_at_ms: int
    values: tuple[Any, ...]
    """As `Thing.row` has them."""


def read_view_row(row: tuple[Any, ...]) -> tuple[Key, ViewRow]:
    """Return a row of VIEW by its key."""
    pk, sk, changed_at_ms, *columns, extra = row
    return (pk, sk), ViewRow(changed_at_ms, (*columns, None if extra is None else json.loads(extra)))


def typed_key(key: Key) -> TypedItem:
    return {"pk": {"S": key[0]}, "sk": {"S": key[1]}}


def draw_thing(draw: random.Random, n: int, odd: float) -> Thing:
    """Return an item like no other of its key, refused by the stricter mapping with a probability of `odd`."""
    return Thing(
        n,
        ODD if draw.random() < odd else "plain",
        draw.choice((None, *_WORDS)),
        draw.choice((None, *_AMOUNTS)),
        draw.choice((None, *_DATA)),
    )
