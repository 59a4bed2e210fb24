"""What became of a value: judged by the rows that a database has, whatever tool wrote them.

A value is right where a column of its row holds it without loss: as the column's type, as text with the same digits, as
base64, as a member of a JSON column. Columns whose names resemble the attribute's are looked at first, for tools rename
attributes; where none of them has a value, any column of the row will do.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from benchmarks.compared.items import KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from benchmarks.compared.items import Attribute, Change, Item, Kind

Row = dict[str, Any]
"""A row of a database: values by the names of columns, as the driver returns them."""

FOLDED: Final = 20
"""Letters and digits of a name by which a column's is like it: tools shorten long names."""
UNITS: Final = (1, 10**3, 10**6, 10**9)
"""Of numbers that are times, in a second."""
EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 (as the driver returns a DATETIME)


class Verdict(StrEnum):
    """What became of a value, the worst last."""

    RIGHT = "right"
    REFUSED = "refused"
    """Its item is set aside, and the tool says which it is and why."""
    ALTERED = "altered"
    LOST = "lost"
    STAYED = "stayed"
    """It was deleted, and is still there."""
    STOPPED = "stops"
    """The whole load ends with an error; nothing of the table arrives."""


@dataclass(frozen=True)
class Judgement:
    """What became of the values of one kind."""

    name: str
    verdicts: tuple[Verdict, ...]
    reason: str = ""
    """What the tool said, where it refused or stopped."""

    def __str__(self) -> str:
        """Say it as in the table: one word, or how many of each."""
        counts = Counter(self.verdicts)
        if len(counts) == 1:
            return self.verdicts[0].value
        return ", ".join(f"{counts[verdict]} {verdict.value}" for verdict in Verdict if verdict in counts)


def judge_kind(kind: Kind, rows: Iterable[Row], refused: Mapping[str, str]) -> Judgement:
    """Judge the values of a kind by the rows of its table; `refused` has the reasons by key."""
    by_key = index(rows)
    verdicts, reason = [], ""
    for key, name, attribute in kind.values():
        reason = reason or refused.get(key, "")
        verdicts.append(_judge(by_key.get(key, []), name, attribute, is_refused=key in refused))
    return Judgement(kind.name, tuple(verdicts), reason)


def judge_change(change: Change, rows: Iterable[Row], refused: Mapping[str, str]) -> Judgement:
    """Judge what is there of an item after its changes: every value of it, and nothing that it has no more."""
    found, reason = index(rows).get(change.key, []), refused.get(change.key, "")
    if change.after is None:
        return Judgement(change.name, (Verdict.STAYED if found else Verdict.RIGHT,))
    judged = [
        _judge(found, name, attribute, is_refused=bool(reason))
        for name, attribute in change.after.items()
        if name != KEY
    ]
    judged += [Verdict.STAYED for name in (change.before or {}).keys() - change.after.keys() if _has(found, name)]
    return Judgement(change.name, (max(judged, key=list(Verdict).index),), reason)


def index(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Return rows by their keys, byte for byte; a key that tools write twice has several."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(_as_text(row[KEY]), []).append(row)
    return found


def _judge(rows: list[Row], name: str, attribute: Attribute, *, is_refused: bool) -> Verdict:
    if is_refused:
        return Verdict.REFUSED
    verdicts = [judge_value(name, attribute, row) for row in rows] or [Verdict.LOST]
    return max(verdicts, key=list(Verdict).index)


def _has(rows: list[Row], name: str) -> bool:
    return any(value is not None for row in rows for column, value in spread(row) if resembles(column, name))


def judge_value(name: str, attribute: Attribute, row: Row) -> Verdict:
    """Judge what a row has of one attribute."""
    values = list(spread(row))
    own = [value for column, value in values if resembles(column, name) and value is not None]
    if any(matches(attribute, value) for value in own or [value for _, value in values]):
        return Verdict.RIGHT
    return Verdict.ALTERED if own else Verdict.LOST


def spread(row: Row) -> Iterator[tuple[str, Any]]:
    """Yield the values of a row but its key, and what those of JSON say: members of objects, texts, booleans."""
    for column, value in row.items():
        if column == KEY:
            continue
        yield column, value
        document = read_json(value) if isinstance(value, str) else None
        if isinstance(document, dict):
            yield from document.items()
        elif isinstance(document, str | bool):
            yield column, document


def resembles(column: str, name: str) -> bool:
    """Tell whether a column's name is an attribute's, but for case, other characters, and what was added or cut off."""
    one, other = _fold(column), _fold(name)
    return bool(other) and one[:FOLDED].startswith(other[:FOLDED])


def _fold(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def read_json(value: str) -> Any:
    """Return what a text of JSON says, numbers exact; None where it is none."""
    try:
        return json.loads(value, parse_float=Decimal)
    except ValueError:
        return None


def matches(attribute: Attribute, found: Any) -> bool:
    """Tell whether a value of a database, or of JSON, is an attribute's without loss."""
    ((kind, value),) = attribute.items()
    return MATCHERS[kind](value, found)


def _is_text(value: str, found: Any) -> bool:
    if isinstance(found, datetime):
        return found in _read_instants(value)
    if isinstance(found, date):
        return found.isoformat() == value
    return isinstance(found, str | bytes) and _as_text(found) == value


def _read_instants(value: str) -> Iterator[datetime]:
    """Yield the instant that a text names, in UTC, as the driver returns a DATETIME."""
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return
    if not re.search(r"\.\d{7,}", value):  # digits that Python passes over
        yield (at.astimezone(UTC) if at.tzinfo else at).replace(tzinfo=None)


def _is_number(value: str, found: Any) -> bool:
    if isinstance(found, bool):
        return False
    if isinstance(found, datetime):
        microseconds = (found - EPOCH) // (datetime.resolution)
        return any(Decimal(value) * 10**6 == microseconds * unit for unit in UNITS)
    if isinstance(found, float):
        return Decimal(value) in {Decimal(found), Decimal(repr(found))}
    try:
        return isinstance(found, int | Decimal | str | bytes) and Decimal(_as_text(found)) == Decimal(value)
    except InvalidOperation:
        return False


def _is_boolean(value: bool, found: Any) -> bool:
    return found in (value, b"\x01" if value else b"\x00")


def _is_binary(value: bytes, found: Any) -> bool:
    if isinstance(found, str):
        try:
            return base64.b64decode(found, validate=True) == value
        except (binascii.Error, ValueError):
            return False
    return isinstance(found, bytes) and found == value


def _is_set_of(kind: str) -> Callable[[list[Any], Any], bool]:
    def is_set(value: list[Any], found: Any) -> bool:
        members = _read(found)
        return (
            isinstance(members, list)
            and len(members) == len(value)
            and all(any(matches({kind: one}, member) for member in members) for one in value)
        )

    return is_set


def _is_list(value: list[Attribute], found: Any) -> bool:
    members = _read(found)
    return (
        isinstance(members, list)
        and len(members) == len(value)
        and all(matches(one, member) for one, member in zip(value, members, strict=True))
    )


def _is_map(value: Item, found: Any) -> bool:
    members = _read(found)
    return (
        isinstance(members, dict)
        and members.keys() == value.keys()
        and all(matches(one, members[name]) for name, one in value.items())
    )


def _read(found: Any) -> Any:
    return read_json(_as_text(found)) if isinstance(found, str | bytes) else found


def _as_text(found: Any) -> str:
    return found.decode("utf-8", "replace") if isinstance(found, bytes) else str(found)


MATCHERS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "S": _is_text,
    "N": _is_number,
    "BOOL": _is_boolean,
    "NULL": lambda _, found: found in {None, "null"},
    "B": _is_binary,
    "SS": _is_set_of("S"),
    "NS": _is_set_of("N"),
    "BS": _is_set_of("B"),
    "L": _is_list,
    "M": _is_map,
}
