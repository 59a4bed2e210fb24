"""Column types: what each MySQL type takes, exactly, and how its value is written.

A column's field is text as `LOAD DATA` reads it, or None for NULL. A value either fits its column without loss or
is refused: nothing is truncated, rounded or clamped, and nothing is left for SQL to refuse, where it would fail a
whole batch. Limits are those of the MySQL 8.0 Reference Manual, chapter 13, "Data Types".
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from typing import Any, NoReturn

from dynaurora.dynamodb.attributes import Binary, describe, spell_number

Field = str | None
Encoder = Callable[[Any], str]
"""From a plain value, never None, to its field. Raises Misfit."""

INTEGER_BITS = {"TINYINT": 8, "SMALLINT": 16, "MEDIUMINT": 24, "INT": 32, "INTEGER": 32, "BIGINT": 64}
TEXT_BYTES = {"TINYTEXT": 2**8 - 1, "TEXT": 2**16 - 1, "MEDIUMTEXT": 2**24 - 1, "LONGTEXT": 2**32 - 1}
BLOB_BYTES = {"TINYBLOB": 2**8 - 1, "BLOB": 2**16 - 1, "MEDIUMBLOB": 2**24 - 1, "LONGBLOB": 2**32 - 1}
MAX_VARCHAR = 16_383
"""Characters of utf8mb4 in the 65,535 bytes that a row may have."""
MAX_VARBINARY = 65_533
JSON_DEPTH = 100
"""MySQL refuses JSON nested deeper (ER_JSON_DOCUMENT_TOO_DEEP)."""
JSON_NAME_BYTES = 2**16 - 1
"""MySQL refuses a longer name in a JSON object (ER_JSON_KEY_TOO_BIG)."""
JSON_DIGITS = 15
JSON_FRACTION = 22
"""Both bound what MySQL's JSON parser reads without rounding: a product or quotient of two exact doubles, digits below
2^53 and a power of ten up to 10^22."""

OFF_PAGE_BYTES = 256
"""InnoDB stores no value of a shorter type off its page."""
INLINE_BYTES = 40
"""The longest value of a longer type that it keeps in the page: of what is stored elsewhere, 20 bytes stay."""
FIXED_BYTES = {"BOOLEAN": 1, "DATE": 3, "DOUBLE": 8}
DECIMAL_BYTES = (0, 1, 1, 2, 2, 3, 3, 4, 4)
"""Of so many digits that are left over of groups of nine, which take four."""
SIZES = re.compile(r"^[A-Z]+(?:\(([0-9]+)(?:, ?([0-9]+))?\))?")

TYPE = re.compile(r"(?P<kind>[A-Z]+)(?:\((?P<size>[0-9]{1,9})(?:, ?(?P<scale>[0-9]{1,9}))?\))?(?P<unsigned> UNSIGNED)?")
ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
ISO_DATETIME = re.compile(
    r"(?P<day>\d{4}-\d{2}-\d{2})[T ](?P<time>\d{2}:\d{2}:\d{2})(?:\.(?P<fraction>\d+))?(?P<zone>Z|[+-]\d{2}:\d{2})?",
    re.ASCII,
)
TIMESTAMP_RANGE = (datetime(1970, 1, 1, 0, 0, 1), datetime(2038, 1, 19, 3, 14, 7))  # noqa: DTZ001 (UTC, as MySQL keeps it)
EARLIEST_YEAR = 1000


class Misfit(ValueError):
    """A value that its column cannot hold without loss: `rule` is the word to count it by."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


@dataclass(frozen=True)
class ColumnType:
    """One column type of a mapping, as `VARCHAR(255)` or `DECIMAL(10,2) UNSIGNED`."""

    sql: str
    """The type as SQL writes it."""
    kind: str
    """Its name alone: `VARCHAR`."""
    encode: Encoder
    key_bytes: int | None
    """The bytes it takes in an index; None where it cannot be a key column."""

    @property
    def row_bytes(self) -> int:
        """The most bytes that it takes of the 65,535 of a row: of TEXT, BLOB and JSON, what points to the contents."""
        if self.kind in {"VARCHAR", "VARBINARY"}:
            octets = self.key_bytes or 0
            return octets + (1 if octets < OFF_PAGE_BYTES else 2)
        length = 2**32 - 1 if self.kind == "JSON" else (TEXT_BYTES | BLOB_BYTES).get(self.kind)
        return self.fixed_bytes if length is None else 8 + (length.bit_length() + 7) // 8

    @property
    def page_bytes(self) -> int:
        """The most bytes that a column that is no key takes of InnoDB's page.

        What may have 256 bytes or more is stored off the page once it has more than 40; anything else never is.
        """
        octets = self.key_bytes or 0
        if self.kind in {"VARCHAR", "VARBINARY"}:
            return 1 + (octets if octets < OFF_PAGE_BYTES else INLINE_BYTES)
        return 1 + INLINE_BYTES if self.is_text or self.is_binary or self.kind == "JSON" else self.fixed_bytes

    @property
    def fixed_bytes(self) -> int:
        """The bytes of a value, of types that do not vary (MySQL 8.0 Reference Manual, "Data Type Storage")."""
        size, scale = (int(number or 0) for number in SIZES.findall(self.sql)[0])
        if self.kind == "DECIMAL":
            digits = size or 10
            return sum(part // 9 * 4 + DECIMAL_BYTES[part % 9] for part in (digits - scale, scale))
        if self.kind in {"DATETIME", "TIMESTAMP"}:
            return (5 if self.kind == "DATETIME" else 4) + (size + 1) // 2
        return INTEGER_BITS[self.kind] // 8 if self.kind in INTEGER_BITS else FIXED_BYTES.get(self.kind, 0)

    @property
    def is_binary(self) -> bool:
        """Whether its field is base64, for `FROM_BASE64` to decode while loading."""
        return self.kind in BLOB_BYTES or self.kind == "VARBINARY"

    @property
    def is_text(self) -> bool:
        """Whether it has a collation."""
        return self.kind in TEXT_BYTES or self.kind == "VARCHAR"


def parse_type(text: str) -> ColumnType:
    """Return the column type that `text` names.

    Raises ValueError, with the reason, for a type or size that MySQL or this project does not know.
    """
    match = TYPE.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r} is not a column type, as VARCHAR(255), DECIMAL(10,2) or BIGINT UNSIGNED")
    kind = match["kind"]
    size = None if match["size"] is None else int(match["size"])
    scale = None if match["scale"] is None else int(match["scale"])
    unsigned = match["unsigned"] is not None
    build = _builders.get(kind)
    if build is None:
        raise ValueError(f"{kind} is not one of the column types: {', '.join(sorted(_builders))}")
    if unsigned and kind not in INTEGER_BITS:
        raise ValueError(f"{kind} cannot be UNSIGNED here: only integers can")
    encode, key_bytes = build(kind, size, scale, unsigned)
    return ColumnType(text, kind, encode, key_bytes)


# Encoders, one for each family of types.


def encode_integer(value: Any, *, low: int, high: int) -> str:
    """Return a whole number between two bounds."""
    if type(value) is not int:
        misfit("type", f"is {describe(value)}, and the column takes a whole number")
    if not low <= value <= high:
        misfit("range", f"is a number of {Decimal(value).adjusted() + 1} digits outside {low} to {high}")
    return str(value)


def encode_decimal(value: Any, *, digits: int, scale: int) -> str:
    """Return a number of at most `digits` digits, `scale` of them behind the point."""
    if type(value) is not int and type(value) is not Decimal:
        misfit("type", f"is {describe(value)}, and the column takes a number")
    number = Decimal(value)
    if number and number.adjusted() >= digits - scale:
        misfit("range", f"has {number.adjusted() + 1} digits before the point, and the column takes {digits - scale}")
    behind = significant_scale(number)
    if behind > scale:
        misfit("range", f"has {behind} digits behind the point, and the column takes {scale}")
    return spell_number(number)


def significant_scale(number: Decimal) -> int:
    """Return how many digits behind the point a number needs."""
    _, figures, exponent = number.as_tuple()
    assert isinstance(exponent, int)  # noqa: S101 (a number, never NaN or infinite)
    trailing_zeros = len(figures) - len("".join(map(str, figures)).rstrip("0"))
    return max(0, -exponent - trailing_zeros) if any(figures) else 0


def encode_double(value: Any) -> str:
    """Return a number whose digits survive a double: most with 15 digits, none with more than 17."""
    if type(value) is not int and type(value) is not Decimal:
        misfit("type", f"is {describe(value)}, and the column takes a number")
    if not survives_double(value):
        misfit("range", "is a number whose digits a DOUBLE does not keep")
    return repr(float(value))


def survives_double(number: int | Decimal) -> bool:
    """Return whether a number comes back from a double with the same digits."""
    try:
        return Decimal(repr(float(number))) == number
    except (OverflowError, ArithmeticError):
        return False


def encode_varchar(value: Any, *, characters: int) -> str:
    """Return text of at most so many characters (code points, as MySQL counts utf8mb4)."""
    text = to_text(value)
    if len(text) > characters:
        misfit("length", f"has {len(text)} characters, and the column takes {characters}")
    return text


def encode_text(value: Any, *, size: int) -> str:
    """Return text of at most so many bytes of UTF-8."""
    text = to_text(value)
    if len(text) * 4 > size and (length := len(text.encode())) > size:
        misfit("length", f"has {length} bytes, and the column takes {size}")
    return text


def to_text(value: Any) -> str:
    """Return a string as it is, or a number in its one spelling."""
    if isinstance(value, str):
        check_unicode(value)
        return value
    if type(value) is int or type(value) is Decimal:
        return spell_number(value)
    return misfit("type", f"is {describe(value)}, and the column takes text")


def check_unicode(text: str) -> None:
    """Refuse a lone surrogate: UTF-8, and so MySQL, cannot hold one."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            misfit("unicode", f"has a lone surrogate at character {error.start}, which is no text")


def encode_binary(value: Any, *, size: int) -> str:
    """Return, as base64, binary or the UTF-8 of a string, of at most so many bytes."""
    if isinstance(value, Binary):
        data = value.data
    elif type(value) is str:
        check_unicode(value)
        data = value.encode()
    else:
        misfit("type", f"is {describe(value)}, and the column takes binary or text")
    if len(data) > size:
        misfit("length", f"has {len(data)} bytes, and the column takes {size}")
    return b64encode(data).decode("ascii")


def encode_boolean(value: Any) -> str:
    """Return a boolean as MySQL's TINYINT(1)."""
    if type(value) is not bool:
        misfit("type", f"is {describe(value)}, and the column takes a boolean")
    return "1" if value else "0"


def encode_date(value: Any) -> str:
    """Return a date, written as YYYY-MM-DD."""
    if type(value) is not str or not ISO_DATE.fullmatch(value) or not value.isascii():
        misfit("format", f"is {describe(value)}, and the column takes a date as YYYY-MM-DD")
    try:
        day = date.fromisoformat(value)
    except ValueError:
        misfit("format", "names a day that no calendar has")
    if day.year < EARLIEST_YEAR:
        misfit("range", f"is before the year {EARLIEST_YEAR}")
    return value


def encode_datetime(value: Any, *, fraction: int, timestamp: bool) -> str:
    """Return an ISO 8601 date and time, in UTC where it has an offset, with at most `fraction` digits of a second."""
    match = ISO_DATETIME.fullmatch(value) if type(value) is str else None
    if not match:
        misfit("format", f"is {describe(value)}, and the column takes a time as YYYY-MM-DDTHH:MM:SS[.ffffff][Z|±HH:MM]")
    digits = (match["fraction"] or "").rstrip("0")
    if len(digits) > fraction:
        misfit("range", f"has {len(digits)} digits of a second, and the column takes {fraction}")
    try:
        moment = datetime.fromisoformat(f"{match['day']}T{match['time']}{match['zone'] or ''}")
        if moment.tzinfo:
            moment = moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        misfit("format", "names a time that no calendar has")
    if timestamp and not TIMESTAMP_RANGE[0] <= moment <= TIMESTAMP_RANGE[1]:
        misfit("range", f"is outside {TIMESTAMP_RANGE[0]} to {TIMESTAMP_RANGE[1]} UTC")
    if moment.year < EARLIEST_YEAR:
        misfit("range", f"is before the year {EARLIEST_YEAR}")
    return moment.isoformat(" ") + (f".{digits}" if digits else "")


def encode_json(value: Any) -> str:
    """Return any plain value as JSON text, the members of objects sorted by name: DynamoDB gives them no order.

    MySQL keeps JSON numbers as 64-bit integers or doubles, and reads a double's digits at normal precision: the last
    of 16 or 17 may change. So integers of 64 bits stay numbers, and so do fractions of at most 15 significant digits
    and 22 places; any other number is written as a string, in the spelling that text columns have.
    """
    text = _write_json(exact_json(value))
    check_unicode(text)
    return text


_write_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode


def exact_json(value: Any, depth: int = 1) -> Any:
    """Return a plain value with its numbers in forms that a MySQL JSON column keeps exactly."""
    if depth > JSON_DEPTH:
        misfit("depth", f"is nested deeper than {JSON_DEPTH} levels")
    if type(value) is dict:
        check_names(value)
        return {name: exact_json(member, depth + 1) for name, member in value.items()}
    if type(value) is list:
        return [exact_json(member, depth + 1) for member in value]
    if type(value) is int and not -(2**63) <= value < 2**64:
        return spell_number(value)
    if type(value) is Decimal:
        return float(value) if survives_json(value) else spell_number(value)
    return value


def check_names(members: dict[str, Any]) -> None:
    """Refuse an object with a name that MySQL's JSON does not take."""
    for name in members:
        check_unicode(name)
        if len(name) * 4 > JSON_NAME_BYTES and (length := len(name.encode())) > JSON_NAME_BYTES:
            misfit("length", f"has a name of {length} bytes, and JSON takes names of {JSON_NAME_BYTES}")


def survives_json(number: Decimal) -> bool:
    """Return whether every MySQL reads the number from JSON without changing a digit."""
    _, figures, exponent = number.as_tuple()
    assert isinstance(exponent, int)  # noqa: S101 (a number, never NaN or infinite)
    significant = len("".join(map(str, figures)).strip("0"))
    return significant <= JSON_DIGITS and significant_scale(number) <= JSON_FRACTION and exponent <= 0


def misfit(rule: str, message: str) -> NoReturn:
    """Refuse a value."""
    raise Misfit(rule, message)


# Builders: from a type's size and scale to its encoder and its bytes in an index.

Built = tuple[Encoder, int | None]


def _integer(kind: str, size: int | None, scale: int | None, unsigned: bool) -> Built:
    _refuse_sizes(kind, size, scale)
    bits = INTEGER_BITS[kind]
    low, high = (0, 2**bits - 1) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return partial(encode_integer, low=low, high=high), bits // 8


def _decimal(_kind: str, size: int | None, scale: int | None, _unsigned: bool) -> Built:
    digits, scale = size if size is not None else 10, scale or 0
    if not 1 <= digits <= 65 or not 0 <= scale <= min(30, digits):
        raise ValueError(f"DECIMAL({digits},{scale}) is outside DECIMAL(65,30)")
    return partial(encode_decimal, digits=digits, scale=scale), 30


def _double(kind: str, size: int | None, scale: int | None, _unsigned: bool) -> Built:
    _refuse_sizes(kind, size, scale)
    return encode_double, None


def _varchar(kind: str, size: int | None, scale: int | None, _unsigned: bool) -> Built:
    characters = _size(kind, size, scale, low=1, high=MAX_VARCHAR)
    return partial(encode_varchar, characters=characters), characters * 4


def _varbinary(kind: str, size: int | None, scale: int | None, _unsigned: bool) -> Built:
    octets = _size(kind, size, scale, low=1, high=MAX_VARBINARY)
    return partial(encode_binary, size=octets), octets


def _text(kind: str, size: int | None, scale: int | None, _unsigned: bool) -> Built:
    _refuse_sizes(kind, size, scale)
    return partial(encode_text, size=TEXT_BYTES[kind]), None


def _blob(kind: str, size: int | None, scale: int | None, _unsigned: bool) -> Built:
    _refuse_sizes(kind, size, scale)
    return partial(encode_binary, size=BLOB_BYTES[kind]), None


def _boolean(kind: str, size: int | None, scale: int | None, _unsigned: bool) -> Built:
    _refuse_sizes(kind, size, scale)
    return encode_boolean, None


def _date(kind: str, size: int | None, scale: int | None, _unsigned: bool) -> Built:
    _refuse_sizes(kind, size, scale)
    return encode_date, None


def _datetime(kind: str, size: int | None, scale: int | None, _unsigned: bool) -> Built:
    fraction = _size(kind, size or 0, scale, low=0, high=6)
    return partial(encode_datetime, fraction=fraction, timestamp=kind == "TIMESTAMP"), None


def _json(kind: str, size: int | None, scale: int | None, _unsigned: bool) -> Built:
    _refuse_sizes(kind, size, scale)
    return encode_json, None


def _size(kind: str, size: int | None, scale: int | None, *, low: int, high: int) -> int:
    if size is None or scale is not None or not low <= size <= high:
        raise ValueError(f"{kind} needs one size from {low} to {high}, as {kind}({high})")
    return size


def _refuse_sizes(kind: str, size: int | None, scale: int | None) -> None:
    if size is not None or scale is not None:
        raise ValueError(f"{kind} takes no size here")


_builders: dict[str, Callable[[str, int | None, int | None, bool], Built]] = {
    **dict.fromkeys(INTEGER_BITS, _integer),
    "DECIMAL": _decimal,
    "DOUBLE": _double,
    "VARCHAR": _varchar,
    **dict.fromkeys(TEXT_BYTES, _text),
    "VARBINARY": _varbinary,
    **dict.fromkeys(BLOB_BYTES, _blob),
    "BOOLEAN": _boolean,
    "DATE": _date,
    "DATETIME": _datetime,
    "TIMESTAMP": _datetime,
    "JSON": _json,
}
