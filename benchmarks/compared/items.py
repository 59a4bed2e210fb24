"""The items that are compared on: kinds of values, names and keys that bring out differences, and changes of them.

All of it is drawn from a seed, so that no value stands twice and every run compares the same. Attributes are typed as
the SDK takes them, binary as bytes (DynamoDB API Reference, AttributeValue).
"""

from __future__ import annotations

import random
import string
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

Attribute = dict[str, Any]
Item = dict[str, Attribute]

KEY: Final = "pk"
CURSOR: Final = "updated_at"
"""When an item was written, for tools that ask for what is newer than the last they saw."""
BEGINNING: Final = datetime(2026, 11, 1, tzinfo=UTC)
MOST_BYTES: Final = 400 * 1024
"""Of an item (DynamoDB Developer Guide, "Constraints in Amazon DynamoDB")."""


@dataclass(frozen=True)
class Kind:
    """Items that bring out one thing: a row of the table."""

    name: str
    items: tuple[Item, ...]

    def values(self) -> Iterator[tuple[str, str, Attribute]]:
        """Yield the values that are judged: key, attribute's name, attribute."""
        for item in self.items:
            for name, attribute in item.items():
                if name not in {KEY, CURSOR}:
                    yield item[KEY]["S"], name, attribute


@dataclass(frozen=True)
class Change:
    """What happens to one item after the first load."""

    name: str
    before: Item | None
    steps: tuple[Item | None, ...]
    """Each a put, or a delete where it is None."""

    @property
    def key(self) -> str:
        """The item's key."""
        return str(next(item for item in (self.before, *self.steps) if item)[KEY]["S"])

    @property
    def after(self) -> Item | None:
        """The item in the end; None where there is none."""
        return self.steps[-1] if self.steps else self.before


class Draw:
    """Values drawn from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 (values to compare, no secret)
        self._minutes = 0

    def word(self, length: int = 10) -> str:
        """Return lower-case letters."""
        return "".join(self.random.choices(string.ascii_lowercase, k=length))

    def digits(self, count: int) -> str:
        """Return digits of which the first and the last are not zero."""
        inner = "".join(self.random.choices(string.digits, k=count - 2))
        return f"{self.random.randint(1, 9)}{inner}{self.random.randint(1, 9)}"

    def data(self, length: int) -> bytes:
        """Return bytes that are no text."""
        return b"\x00\xff" + self.random.randbytes(length)

    def item(self, attributes: Item, key: str | None = None) -> Item:
        """Return an item with these attributes, written a minute after the one before."""
        self._minutes += 1
        at = (BEGINNING + timedelta(minutes=self._minutes)).isoformat()
        return {KEY: {"S": key or f"k{self.word()}"}, CURSOR: {"S": at}, **attributes}

    def kind(self, name: str, *attributes: Item) -> Kind:
        """Return a kind with an item for each of these."""
        return Kind(name, tuple(map(self.item, attributes)))

    def keys(self, name: str, *keys: str) -> Kind:
        """Return a kind whose items have these keys, and a text each that tells them apart."""
        return Kind(name, tuple(self.item({"text": text(self.word())}, key) for key in keys))


def text(value: str) -> Attribute:
    """Return a text."""
    return {"S": value}


def number(digits: str) -> Attribute:
    """Return a number."""
    return {"N": digits}


def make_kinds(seed: int = 1) -> list[Kind]:
    """Return all kinds."""
    draw = Draw(seed)
    groups = (draw_plain, draw_texts, draw_numbers, draw_types, draw_nested, draw_mixed, draw_times, draw_names)
    return [kind for group in (*groups, draw_keys, draw_sizes) for kind in group(draw)]


def draw_plain(draw: Draw) -> Iterator[Kind]:
    """Yield items as most tables have them."""
    yield Kind("plain items", tuple(make_plain(20, draw)))


def draw_texts(draw: Draw) -> Iterator[Kind]:
    """Yield texts."""
    yield draw.kind("empty text", {"note": text(""), "title": text(draw.word())})
    odd = ("a\x00b", "😀 👩‍👩‍👧 \U0010fffd", "e\u0301 \u00e9", "\\N", "tab\tquote\"'\\\r\nend", " padded ", "\ufeffbom")
    yield draw.kind("NUL, emoji, backslashes, line ends", *({"phrase": text(one + draw.word())} for one in odd))
    like = {"zip": f"0{draw.digits(4)}", "code": f"{draw.digits(2)}e5", "word": "true", "gap": "null", "not": "NaN"}
    yield draw.kind("text that looks like a number or a word of JSON", {name: text(one) for name, one in like.items()})
    yield draw.kind("text that is JSON", {"embedded": text(f'{{"b": 1.10, "a": "{draw.word()}"}}')})


def draw_numbers(draw: Draw) -> Iterator[Kind]:
    """Yield numbers: 38 digits, from 1E-130 to 9.9…E+125 (DynamoDB Developer Guide, "Data types": Number)."""
    yield draw.kind("whole numbers", *({"whole": number(one)} for one in ("0", "-1", draw.digits(9), draw.digits(15))))
    decimals = (f"{draw.digits(3)}.5", f"0.{draw.digits(4)}", f"-{draw.digits(6)}.{draw.digits(2)}")
    yield draw.kind("decimals", *({"price": number(one)} for one in decimals))
    beyond = (str(2**63), str(2**64 - 1), str(2**64), f"-{draw.digits(25)}")
    yield draw.kind("whole numbers beyond 64 bits", *({"large": number(one)} for one in beyond))
    exact = (draw.digits(38), f"0.{draw.digits(38)}", f"-{draw.digits(19)}.{draw.digits(19)}")
    yield draw.kind("numbers of 38 digits", *({"exact": number(one)} for one in exact))
    yield draw.kind("1E-130", {"tiny": number("1E-130")})
    yield draw.kind("9.9E+125", {"huge": number("9.9E+125")})


def draw_types(draw: Draw) -> Iterator[Kind]:
    """Yield values of the other types of DynamoDB that hold no other values, and its sets."""
    yield draw.kind("booleans", {"active": {"BOOL": True}}, {"active": {"BOOL": False}})
    yield draw.kind("NULL", {"ended": {"NULL": True}, "title": text(draw.word())})
    yield draw.kind("binary", {"raw": {"B": draw.data(20)}}, {"raw": {"B": b""}})
    yield draw.kind("sets of text", {"labels": {"SS": [draw.word(), draw.word(), "Ünï"]}})
    yield draw.kind("sets of numbers", {"scores": {"NS": ["1", "2.50", draw.digits(30)]}})
    yield draw.kind("sets of binary", {"parts": {"BS": [draw.data(3), draw.data(5)]}})


def draw_nested(draw: Draw) -> Iterator[Kind]:
    """Yield maps and lists."""
    address = {"city": text(draw.word()), "geo": {"M": {"lat": number("45.0703"), "floors": {"L": [number("1")]}}}}
    yield draw.kind("maps in maps", {"address": {"M": address}})
    yield draw.kind("lists of several types", {"events": {"L": [text(draw.word()), number("7"), {"BOOL": True}]}})
    yield draw.kind("empty maps and lists", {"nothing": {"M": {}}, "none": {"L": []}})
    yield draw.kind("numbers of 38 digits in maps", {"inside": {"M": {"exact": number(draw.digits(38))}}})
    inside = {"raw": {"B": draw.data(6)}, "names": {"SS": [draw.word(), draw.word()]}, "off": {"NULL": True}}
    yield draw.kind("binary, sets and NULL in maps", {"packed": {"M": inside}})


def draw_mixed(draw: Draw) -> Iterator[Kind]:
    """Yield an attribute that has another type in each item."""
    values: tuple[Attribute, ...] = (
        *(number(draw.digits(5)), text(draw.word()), {"BOOL": True}),
        *({"M": {"a": text(draw.word())}}, {"L": [number("3")]}, {"B": draw.data(4)}),
    )
    yield draw.kind("one attribute, another type in each item", *({"mixed": value} for value in values))


def draw_times(draw: Draw) -> Iterator[Kind]:
    """Yield times."""
    minute = f"{draw.random.randint(10, 59)}"
    forms = {"in_utc": "Z", "with_offset": "+02:00", "in_nanoseconds": ".123456789Z", "without_zone": ""}
    times = {name: text(f"2026-11-23T08:{minute}:07{form}") for name, form in forms.items()}
    yield draw.kind("times in ISO 8601", times)
    yield draw.kind("days", {"born": text("2024-02-29")}, {"born": text("1066-10-14")})
    second = 1_764_000_000 + draw.random.randint(0, 10**6)
    yield draw.kind("times in seconds and milliseconds", {"at_s": number(f"{second}"), "at_ms": number(f"{second}123")})
    due = ("2026-11-23T08:15:00Z", "soon", "2026-13-45T00:00:00Z")
    yield draw.kind("times among other text", *({"due": text(one)} for one in due))


def draw_names(draw: Draw) -> Iterator[Kind]:
    """Yield names of attributes."""

    def named(kind: str, *names: str) -> Kind:
        return draw.kind(kind, {name: text(draw.word()) for name in names})

    yield named("names with points, spaces, hyphens", "user.name", "first name", "a-b", "a.b", "a_b", "1st")
    yield named("names that differ by case", "Name", "name", "NAME")
    long = draw.word(64)
    yield named("names of 65 characters and more", f"{long}a", f"{long}b", draw.word(250))
    yield named("names that are words of SQL", "select", "order", "group", "index")
    yield named("names in other scripts", "größe", "名前", "🙂")
    yield named("names that tools use themselves", "_version", "_deleted", "rest", "_dlt_id", "_dlt_load_id")


def draw_keys(draw: Draw) -> Iterator[Kind]:
    """Yield keys that a collation may take for one, and long ones (up to 2,048 bytes are a partition key)."""
    word = draw.word()
    yield draw.keys("keys that differ by case", f"{word}x", f"{word}X")
    yield draw.keys("keys that differ by a space at the end", f"{word}s", f"{word}s ")
    composed = f"{word}é"
    yield draw.keys("keys that differ by an accent", f"{word}e", composed, unicodedata.normalize("NFD", composed))
    yield draw.keys("keys with emoji", f"{word}😀", f"{word}😁")
    yield draw.keys("keys of 300 and 700 characters", draw.word(300), draw.word(700))


def draw_sizes(draw: Draw) -> Iterator[Kind]:
    """Yield items of almost 400 KB, which is the most."""
    room = MOST_BYTES - 200
    yield draw.kind("an item of 400 KB in one text", {"body": text(draw.word(room))})
    count = room // 50
    pieces = [text(draw.word(40)) for _ in range(count)]
    yield draw.kind("an item of 400 KB in a list", {"pieces": {"L": pieces}})


def make_plain(count: int, draw: Draw) -> Iterator[Item]:
    """Yield items as most tables have them, of some 400 bytes, with values of six types."""
    for _ in range(count):
        address = {"street": text(draw.word(14)), "city": text(draw.word(8)), "zip": text(draw.digits(5))}
        lines = [{"M": {"sku": text(draw.word(8)), "quantity": number(draw.digits(2))}} for _ in range(2)]
        yield draw.item(
            {
                "customer": text(draw.word(12)),
                "email": text(f"{draw.word(8)}@example.com"),
                "total": number(f"{draw.digits(4)}.{draw.digits(2)}"),
                "quantity": number(draw.digits(3)),
                "paid": {"BOOL": draw.random.random() < 0.5},
                "placed_at": text(f"2026-11-{draw.random.randint(10, 28)}T08:{draw.random.randint(10, 59)}:00Z"),
                "address": {"M": address},
                "lines": {"L": lines},
                "channel": text(draw.word(6)),
            }
        )


def make_changes(seed: int = 2) -> list[Change]:
    """Return what happens after the first load."""
    draw = Draw(seed)
    items = make_plain(8, draw)
    first, kept, grown, shrunk, turned, gone, again = (next(items) for _ in range(7))
    return [
        Change(
            "updated", first, (_written(draw, first, total=number("1.25")), _written(draw, first, total=number("2")))
        ),
        Change("not changed", kept, ()),
        Change("an attribute more", grown, (_written(draw, grown, voucher=text(draw.word())),)),
        Change("an attribute less", shrunk, (_without(draw, shrunk, "channel"),)),
        Change("an attribute of another type", turned, (_written(draw, turned, quantity=text(draw.word())),)),
        Change("deleted", gone, (None,)),
        Change("deleted and created again", again, (None, _written(draw, again, total=number("7.75")))),
        Change("created", None, (next(items),)),
    ]


def _written(draw: Draw, item: Item, **attributes: Attribute) -> Item:
    """Return an item as it is written again, now, with other attributes."""
    return item | {CURSOR: draw.item({})[CURSOR]} | attributes


def _without(draw: Draw, item: Item, name: str) -> Item:
    return {one: value for one, value in _written(draw, item).items() if one != name}
