"""Profiles: what the values of one attribute were like, exactly, in memory that does not grow with them.

Values come in lists, many at a time, so that most of the work is done by functions of C: a million items are looked at
in seconds. A profile holds counts and bounds, never a value, and profiles of parts of a table can be added.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from dynaurora.dynamodb.attributes import (
    BINARY,
    GZIP,
    NUMBER,
    Binary,
    exact_number,
    parse_attribute,
    parse_json,
)
from dynaurora.errors import RejectedChange
from dynaurora.mappings.columns import parse_type, survives_double
from dynaurora.mappings.json_fields import JSON_DEPTH, JSON_NAME_BYTES, encode_json, significant_scale
from dynaurora.mappings.misfits import Misfit
from dynaurora.mappings.times import MOMENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from decimal import Decimal

KINDS: Final = ("S", "N", "B", "BOOL", "NULL", "M", "L", "SS", "NS", "BS")
"""DynamoDB's type descriptors."""
WHOLE_NUMBERS: Final = re.compile(r"-?[0-9]+(?:,-?[0-9]+)*")
"""Of many values at once, joined by commas."""
BRIEF: Final = r"-?(?:0|[1-9][0-9]{0,6})(?:\.[0-9]{0,7}[1-9])?"
"""Of so few digits that a double keeps them, in its one spelling."""
BRIEF_NUMBER: Final = re.compile(BRIEF)
BRIEF_NUMBERS: Final = re.compile(f"{BRIEF}(?:,{BRIEF})*")
PLAIN_TIME: Final = re.compile(
    r"[1-9]\d{3}-\d\d-\d\d[T ](?P<hour>\d\d):\d\d:\d\d(?:\.(?P<fraction>\d+))?(?P<offset>Z)?", re.ASCII
)
"""The form of most times, of which the calendar alone decides."""
ALIKE: Final = (
    r"[1-9]\d{3}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
    r"[T ](?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d"
)
"""A time of any year's calendar, 29 February left out, to the second."""


def match_alike(places: int, offset: str) -> re.Pattern[str]:
    """Return what matches many times at once, one a line, all with so many digits of a second and the same offset."""
    form = ALIKE + (rf"\.\d{{{places}}}" if places else "") + offset
    return re.compile(rf"{form}(?:\n{form})*", re.ASCII)


TIMES_ALIKE: Final = {
    (19 + bool(places) + places + len(offset), offset or figure): match_alike(places, offset)
    for places in (0, 3, 6)
    for offset in ("Z", "")
    for figure in ("0123456789" if not offset else "Z")
}
"""By the length of a text and its last character."""
PACKED_STARTS: Final = (("H4s", GZIP), ("e", BINARY), ("W", BINARY))
"""How base64 begins of gzip, of an object and of an array."""
HOPELESS: Final = 100
"""A text is no more held against times or JSON once fewer than one in so many was one."""


@dataclass(slots=True)
class NumberProfile:
    """What numbers were like."""

    values: int = 0
    whole: int = 0
    zeros: int = 0
    low: int | None = None
    """The least whole number that is not 0."""
    high: int | None = None
    digits: int = 0
    """Before the point, most of any."""
    significant: int = 0
    """Most digits of any, from the first that is not 0 to the last."""
    scales: Counter[int] = field(default_factory=Counter)
    """Numbers by how many digits behind the point they need."""
    all_survive_double: bool = True

    def add(self, texts: Sequence[str]) -> None:
        """Take numbers into account. Raises ValueError for a text that is no number."""
        self.values += len(texts)
        joined = ",".join(texts)
        if WHOLE_NUMBERS.fullmatch(joined):
            self._add_whole([int(text) if len(text) < 4000 else exact_number(text) for text in texts])
            return
        if BRIEF_NUMBERS.fullmatch(joined):
            self._add_short(texts)
            return
        others = [text for text in texts if not BRIEF_NUMBER.fullmatch(text)]
        if not all(map(NUMBER.fullmatch, others)):
            raise ValueError("a number is none")
        numbers = list(map(exact_number, others))
        self._add_whole([number for number in numbers if isinstance(number, int)])
        for number in numbers:
            if not isinstance(number, int):
                self._add_fraction(number)
        self._add_short([text for text in texts if BRIEF_NUMBER.fullmatch(text)])

    def _add_short(self, texts: Sequence[str]) -> None:
        """Take numbers into account that their texts tell all of."""
        parts = [text.lstrip("-").partition(".") for text in texts if "." in text]
        self.scales += Counter([len(behind) for _, _, behind in parts])
        self.digits = max(self.digits, max((len(before) for before, _, _ in parts), default=0))
        most = max((len(before) + len(behind) for before, _, behind in parts), default=0)
        self.significant = max(self.significant, most)
        self._add_whole([int(text) for text in texts if "." not in text])

    def _add_whole(self, numbers: Sequence[Any]) -> None:
        self.whole += len(numbers)
        self.scales[0] += len(numbers)
        zeros = numbers.count(0)
        self.zeros += zeros
        others = [number for number in numbers if number] if zeros else numbers
        if others:
            self._bound(min(others), max(others))

    def _bound(self, low: int, high: int) -> None:
        self.low = low if self.low is None else min(self.low, low)
        self.high = high if self.high is None else max(self.high, high)
        most = max(len(str(abs(low))), len(str(abs(high))))
        self.digits = max(self.digits, most)
        self.significant = max(self.significant, most)
        self.all_survive_double &= max(abs(low), abs(high)) < 2**53

    def _add_fraction(self, number: Decimal) -> None:
        self.scales[significant_scale(number)] += 1
        self.digits = max(self.digits, number.adjusted() + 1, 1)
        self.significant = max(self.significant, len(number.as_tuple().digits))
        self.all_survive_double = self.all_survive_double and survives_double(number)

    @property
    def scale(self) -> int:
        """The most digits behind the point."""
        return max(self.scales, default=0)

    def merge(self, other: NumberProfile) -> None:
        """Take what another profile knows into account."""
        self.values += other.values
        self.whole += other.whole
        self.zeros += other.zeros
        self.scales += other.scales
        self.digits = max(self.digits, other.digits)
        self.significant = max(self.significant, other.significant)
        self.all_survive_double &= other.all_survive_double
        if other.low is not None and other.high is not None:
            self.low = other.low if self.low is None else min(self.low, other.low)
            self.high = other.high if self.high is None else max(self.high, other.high)


@dataclass(slots=True)
class TextProfile:
    """What texts were like."""

    values: int = 0
    longest: int = 0
    """In characters."""
    empty: int = 0
    days: int = 0
    """Texts that a DATE takes."""
    local_times: int = 0
    """Texts that a DATETIME takes, without an offset from UTC."""
    instants: int = 0
    """Such texts with an offset, or Z."""
    fraction: int = 0
    """Digits of a second, most of any."""
    objects: int = 0
    """Texts that are JSON objects."""
    arrays: int = 0
    twice: int = 0
    """Of these objects and arrays, those that are in a text of JSON again."""
    odd_time: str | None = None
    """A text that is no time, until its item is looked up; never told."""
    odd_json: str | None = None

    def add(self, texts: Sequence[str]) -> None:
        """Take texts into account. Raises TypeError where one is none."""
        before = self.values
        self.values += len(texts)
        self.longest = max(self.longest, *map(len, texts))
        self.empty += texts.count("")
        if self.times * HOPELESS >= before:
            self._add_times(texts)
        if self.documents * HOPELESS >= before:
            self._add_documents(texts)

    @property
    def times(self) -> int:
        """Texts that name a day or a time."""
        return self.days + self.local_times + self.instants

    @property
    def documents(self) -> int:
        """Texts that are JSON objects or arrays."""
        return self.objects + self.arrays

    def _add_times(self, texts: Sequence[str]) -> None:
        """Take texts for times that are plainly some: digits alone, and `2026-017`, may be numbers of anything."""
        alike = TIMES_ALIKE.get((len(texts[0]), texts[0][-1:]))
        if alike and alike.fullmatch("\n".join(texts)):
            self._add_alike(texts)
            return
        for text in texts:
            found = PLAIN_TIME.fullmatch(text)
            if not found or not is_calendar(text[:19]):
                found = MOMENT.fullmatch(text)
                if not found or text.isdigit() or found["ordinal"] or not is_taken(ENCODE_TIME, text):
                    self.odd_time = text
                    continue
            if not found["hour"]:
                self.days += 1
                continue
            fraction = found["fraction"]
            if fraction and (len(fraction) > self.fraction):
                self.fraction = max(self.fraction, len(fraction.rstrip("0")))
            if found["offset"]:
                self.instants += 1
            else:
                self.local_times += 1

    def _add_alike(self, texts: Sequence[str]) -> None:
        """Take times into account that all have the form and length of the first one."""
        if texts[0][-1] == "Z":
            self.instants += len(texts)
        else:
            self.local_times += len(texts)
        places = len(texts[0].rstrip("Z")) - len("2026-11-28T10:15:30.")
        if places > self.fraction:
            figures = {text[20 : 20 + places].rstrip("0") for text in texts}
            self.fraction = max(self.fraction, *map(len, figures))

    def _add_documents(self, texts: Iterable[str]) -> None:
        for text in texts:
            start = text[:1]
            if start.isspace():
                start = text.lstrip()[:1]
            if start == '"' and (inner := read_text(text)):
                self.twice += 1
                text, start = inner, inner.lstrip()[:1]
            if start not in {"{", "["} or not is_document(text):
                self.odd_json = text
            elif start == "{":
                self.objects += 1
            else:
                self.arrays += 1

    def merge(self, other: TextProfile) -> None:
        """Take what another profile knows into account."""
        for name in ("values", "empty", "days", "local_times", "instants", "objects", "arrays", "twice"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.longest = max(self.longest, other.longest)
        self.fraction = max(self.fraction, other.fraction)


ENCODE_TIME: Final = parse_type("DATETIME(6)", digits="truncate").encode


def is_calendar(text: str) -> bool:
    """Tell whether a text as `2026-11-28T10:15:30` names a time of the calendar."""
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def is_taken(encode: Any, value: Any) -> bool:
    """Tell whether a column's encoder takes a value."""
    try:
        encode(value)
    except Misfit:
        return False
    return True


def read_text(text: str) -> str:
    """Return the text that JSON holds; "" where it holds none."""
    try:
        inner = parse_json(text, "")
    except RejectedChange:
        return ""
    return inner if isinstance(inner, str) else ""


def read_packed(value: str) -> tuple[str, str] | None:
    """Return how JSON is encoded in a binary, and what it is; None where there is none that a JSON column takes."""
    encoding = next((how for start, how in PACKED_STARTS if value.startswith(start)), None)
    if encoding is None:
        return None
    try:
        document = parse_attribute(Binary(value), encoding, "")
    except RejectedChange:
        return None
    kind = "object" if isinstance(document, dict) else "array" if isinstance(document, list) else None
    return (encoding, kind) if kind and is_taken(encode_json, document) else None


def is_document(text: str) -> bool:
    """Tell whether a text is JSON that a JSON column takes."""
    may_misfit = len(text) * 4 > JSON_NAME_BYTES or "\\u" in text or text.count("[") + text.count("{") > JSON_DEPTH
    try:
        if not may_misfit and is_json(text):
            return True
        document = parse_json(text, "")
    except RejectedChange:
        return False
    return not may_misfit or is_taken(encode_json, document)


def is_json(text: str) -> bool:
    """Tell whether a text is plainly JSON, without what its numbers are exactly."""
    try:
        _decode_roughly(text)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return False
    return True


_decode_roughly: Final = msgspec.json.Decoder().decode


@dataclass(slots=True)
class AttributeProfile:
    """What one attribute was like in the items that have it."""

    kinds: Counter[str] = field(default_factory=Counter)
    """Items by the type descriptor that it has in them."""
    numbers: NumberProfile = field(default_factory=NumberProfile)
    texts: TextProfile = field(default_factory=TextProfile)
    most_bytes: int = 0
    """Of a binary."""
    packed: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Binaries that hold JSON, by how it is encoded in them and what it is, an object or an array."""
    members: dict[str, AttributeProfile] = field(default_factory=dict)
    """Of maps, as far as they are looked into."""
    keys: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Typed keys of a few items, by the descriptor, and of those that contradict what most are: `time`, `json`."""

    @property
    def items(self) -> int:
        """Items that have it."""
        return self.kinds.total()

    @property
    def nulls(self) -> int:
        """Items in which it is null."""
        return self.kinds["NULL"]

    @property
    def held(self) -> dict[str, int]:
        """The descriptors of values that are not null, and how many items have each."""
        return {kind: count for kind, count in self.kinds.items() if kind != "NULL" and count}

    def add(self, kind: str, values: Sequence[Any]) -> None:
        """Take values of one descriptor into account. Raises TypeError or ValueError where one is none."""
        if kind not in KINDS:
            raise ValueError(f"{kind!r} is no type descriptor")
        self.kinds[kind] += len(values)
        if kind == "S":
            self.texts.add(values)
        elif kind == "N":
            self.numbers.add(values)
        elif kind == "B":
            self.most_bytes = max(self.most_bytes, max(map(len, values)) // 4 * 3)
            if self.packed.total() * HOPELESS >= self.kinds[kind] - len(values):
                self.packed.update(filter(None, map(read_packed, values)))

    def merge(self, other: AttributeProfile) -> None:
        """Take what another profile knows into account."""
        self.kinds += other.kinds
        self.numbers.merge(other.numbers)
        self.texts.merge(other.texts)
        self.most_bytes = max(self.most_bytes, other.most_bytes)
        self.packed += other.packed
        for name, member in other.members.items():
            self.members.setdefault(name, AttributeProfile()).merge(member)
        for kind, keys in other.keys.items():
            self.keys[kind] = [*self.keys.get(kind, []), *keys][:MOST_EXAMPLES]


MOST_EXAMPLES: Final = 3
"""Keys of items that are told for each thing."""
