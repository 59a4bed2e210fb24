"""Items to measure with: clicks of `web_analytics`, and wide items with 25 attributes of all types.

They are drawn from a seed, as different from each other as real ones: ids, times and numbers hardly ever repeat.
"""

from __future__ import annotations

import base64
import gzip
import json
import random
import uuid
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from backfill.project import load_example
from dynaurora.mappings.mapping import build_mapping

if TYPE_CHECKING:
    from dynaurora.mappings.mapping import Mapping

Item = dict[str, Any]

SEED: Final = 1
REJECTED_SHARE: Final = 0.01
MAKERS = ("Apple", "Samsung", "Google", "Xiaomi", "Motorola", "OnePlus")
SYSTEMS = ("iOS", "Android", "Windows", "macOS", "Linux")
COUNTRIES = ("DE", "US", "IN", "BR", "JP", "ZA", "FR", "GB")
WORDS = ("fast", "small", "blue", "café", "warm", "round, red", "old", "new", "soft", "kind", "日本", "deep")


def draw_time(numbers: random.Random) -> str:
    """Return a time of 2026, to the millisecond."""
    day = f"2026-{numbers.randint(1, 12):02}-{numbers.randint(1, 28):02}"
    clock = f"{numbers.randint(0, 23):02}:{numbers.randint(0, 59):02}:{numbers.randint(0, 59):02}"
    return f"{day}T{clock}.{numbers.randint(0, 999):03}Z"


def draw_uuid(numbers: random.Random) -> str:
    """Return a random id."""
    return str(uuid.UUID(int=numbers.getrandbits(128)))


def draw_click(numbers: random.Random, *, rejected: bool = False) -> Item:
    """Return a typed item of `web_analytics`; a rejected one has text where its number of hits should be."""
    payload = {
        "Hits": "many" if rejected else numbers.randint(1, 500),
        "device": {
            "make": numbers.choice(MAKERS),
            "platform": {
                "name": numbers.choice(SYSTEMS),
                "version": f"{numbers.randint(1, 18)}.{numbers.randint(0, 9)}",
            },
            "location": {
                "latitude": f"{numbers.uniform(-60, 60):.5f}",
                "longitude": f"{numbers.uniform(-180, 180):.5f}",
                "country": numbers.choice(COUNTRIES),
            },
        },
        "session": {
            "session_id": draw_uuid(numbers),
            "start_timestamp": draw_time(numbers),
            "stop_timestamp": draw_time(numbers),
        },
    }
    return {
        "page_id": {"S": f"/products/{numbers.randint(1, 99_999)}"},
        "activity_dt": {"S": draw_time(numbers)},
        "payload": {"S": json.dumps(payload)},
    }


def draw_thing(numbers: random.Random, *, rejected: bool = False) -> Item:
    """Return a typed item with 25 attributes of all types; a rejected one has an unknown status."""
    words = numbers.sample(WORDS, 6)
    lines = [{"M": {"sku": {"S": draw_uuid(numbers)[:8]}, "count": {"N": str(numbers.randint(1, 9))}}} for _ in "ab"]
    address = {"street": f"{words[0]} street {numbers.randint(1, 99)}", "city": words[1], "country": words[2]}
    settings = {"theme": numbers.choice(("dark", "light")), "zoom": numbers.randint(50, 200), "beta": False}
    return {
        "id": {"S": draw_uuid(numbers)},
        "changed": {"S": draw_time(numbers)},
        "title": {"S": " ".join(words)},
        "body": {"S": " ".join(words * 5)},
        "email": {"S": f"{draw_uuid(numbers)[:8]}@example.com"},
        "status": {"S": "lost" if rejected else numbers.choice(("open", "paid", "sent"))},
        "country": {"S": numbers.choice(COUNTRIES)},
        "created": {"S": draw_time(numbers)},
        "due": {"S": draw_time(numbers)[:10]},
        "quantity": {"N": str(numbers.randint(1, 1000))},
        "views": {"N": str(numbers.getrandbits(40))},
        "price": {"N": f"{numbers.randint(1, 99_999)}.{numbers.randint(0, 9)}{numbers.randint(1, 9)}"},
        "rating": {"N": f"{numbers.randint(1, 4)}.{numbers.randint(1, 9)}"},
        "latitude": {"N": f"{numbers.randint(-59, 59)}.{numbers.randint(1, 99_999):05}1"},
        "longitude": {"N": f"{numbers.randint(-179, 179)}.{numbers.randint(1, 99_999):05}1"},
        "active": {"BOOL": numbers.random() < 0.5},
        "archived": {"BOOL": numbers.random() < 0.1},
        "note": {"NULL": True} if numbers.random() < 0.5 else {"S": words[3]},
        "picture": {"B": base64.b64encode(numbers.randbytes(48)).decode()},
        "tags": {"SS": words[:3]},
        "sizes": {"NS": [str(size) for size in numbers.sample(range(30, 50), 3)]},
        "hashes": {"BS": [base64.b64encode(numbers.randbytes(9)).decode() for _ in "ab"]},
        "address": {"M": {name: {"S": text} for name, text in address.items()}},
        "lines": {"L": lines},
        "settings": {"S": json.dumps(settings)},
    }


TEXT, NUMBER, WHOLE = {"type": "string"}, {"type": "number"}, {"type": "integer"}
THINGS_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["id", "changed", "title", "status", "quantity", "price", "settings"],
    "properties": {
        "id": TEXT,
        "changed": TEXT,
        "title": {"type": "string", "minLength": 1, "maxLength": 200},
        "body": TEXT,
        "email": {"type": "string", "pattern": "@"},
        "status": {"type": "string", "enum": ["open", "paid", "sent"]},
        "country": {"type": "string", "minLength": 2, "maxLength": 2},
        "created": TEXT,
        "due": TEXT,
        "quantity": {"type": "integer", "minimum": 0},
        "views": WHOLE,
        "price": NUMBER,
        "rating": NUMBER,
        "latitude": NUMBER,
        "longitude": NUMBER,
        "active": {"type": "boolean"},
        "archived": {"type": "boolean"},
        "note": {"type": ["string", "null"]},
        "picture": TEXT,
        "tags": {"type": "array", "items": TEXT},
        "sizes": {"type": "array", "items": NUMBER},
        "hashes": {"type": "array", "items": TEXT},
        "address": {
            "type": "object",
            "required": ["city"],
            "properties": {"street": TEXT, "city": TEXT, "country": TEXT},
        },
        "lines": {"type": "array", "items": {"type": "object", "properties": {"sku": TEXT, "count": WHOLE}}},
        "settings": {
            "type": "object",
            "required": ["theme"],
            "properties": {"theme": TEXT, "zoom": WHOLE, "beta": {"type": "boolean"}},
        },
    },
}
THINGS_COLUMNS: Final = {
    "id": "VARCHAR(40)",
    "changed": "VARCHAR(40)",
    "title": "VARCHAR(200)",
    "body": "TEXT",
    "email": "VARCHAR(100)",
    "status": "VARCHAR(10)",
    "country": "VARCHAR(2)",
    "created": "DATETIME(3)",
    "due": "DATE",
    "quantity": "INT",
    "views": "BIGINT",
    "price": "DECIMAL(10,2)",
    "rating": "DOUBLE",
    "latitude": "DECIMAL(9,6)",
    "longitude": "DECIMAL(9,6)",
    "active": "BOOLEAN",
    "archived": "BOOLEAN",
    "note": "VARCHAR(100)",
    "picture": "BLOB",
    "tags": "JSON",
    "sizes": "JSON",
    "hashes": "JSON",
    "address": "JSON",
    "lines": "JSON",
    "theme": "VARCHAR(10)",
    "zoom": "INT",
}
THINGS_SOURCE: Final = {
    "table": "things",
    "partition_key": "id",
    "sort_key": "changed",
    "json_attributes": ["settings"],
}
CLICKS = load_example()
THINGS = build_mapping(
    "things",
    {
        "source": THINGS_SOURCE,
        "schema": THINGS_SCHEMA,
        "target": {
            "database": "Demo",
            "table": "Things",
            "columns": [
                {"name": name, "type": kind, "from": f"settings.{name}" if name in {"theme", "zoom"} else name}
                for name, kind in THINGS_COLUMNS.items()
            ],
        },
    },
)


def map_schemaless(schema: dict[str, Any]) -> Mapping:
    """Return a mapping of the same items that has their keys, and a column for all the rest."""
    return build_mapping(
        THINGS.name,
        {
            "source": THINGS_SOURCE,
            "schema": schema,
            "target": {
                "database": "Demo",
                "table": "Things",
                "columns": [{"name": name, "type": "VARCHAR(40)", "from": name} for name in ("id", "changed")],
                "unmapped": {"column": "rest"},
            },
        },
    )


DRAW = {CLICKS.name: draw_click, THINGS.name: draw_thing}


@cache
def draw_items(mapping: str, count: int, share: float = REJECTED_SHARE) -> list[Item]:
    """Return so many items of a mapping, a share of them rejected, evenly among the others."""
    numbers, draw = random.Random(SEED), DRAW[mapping]  # noqa: S311 (items, no secrets)
    every = round(1 / share) if share else 2 * count + 2
    return [draw(numbers, rejected=number % every == every // 2) for number in range(count)]


@cache
def write_lines(mapping: str, count: int, share: float = REJECTED_SHARE) -> bytes:
    """Return items as lines of an export."""
    items = draw_items(mapping, count, share)
    return b"".join(
        json.dumps({"Item": item}, ensure_ascii=False, separators=(",", ":")).encode() + b"\n" for item in items
    )


@cache
def write_export(mapping: str, count: int, share: float = REJECTED_SHARE) -> bytes:
    """Return items as a data file of an export."""
    return gzip.compress(write_lines(mapping, count, share), 6)
