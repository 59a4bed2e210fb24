"""Column types: what each MySQL type takes, exactly, and how its value is written.

A column's field is text as `LOAD DATA` reads it, or None for NULL. A value either fits its column without loss or
is refused: nothing is truncated, rounded or clamped, and nothing is left for SQL to refuse, where it would fail a
whole batch. Limits are those of the MySQL 8.0 Reference Manual, chapter 13, "Data Types".
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import cache, partial
from typing import Any

from dynaurora.dynamodb.attributes import Binary, describe, spell_number
from dynaurora.mappings.json_fields import encode_json, significant_scale
from dynaurora.mappings.misfits import check_unicode, misfit
from dynaurora.mappings.times import DIGITS, EPOCH_DIGITS, REFUSE, ROUND, encode_date, encode_datetime, encode_time

Field = str | None
Encoder = Callable[[Any], str]
"""From a plain value, never None, to its field. Raises Misfit."""

INTEGER_BITS = {"TINYINT": 8, "SMALLINT": 16, "MEDIUMINT": 24, "INT": 32, "INTEGER": 32, "BIGINT": 64}
TEXT_BYTES = {"TINYTEXT": 2**8 - 1, "TEXT": 2**16 - 1, "MEDIUMTEXT": 2**24 - 1, "LONGTEXT": 2**32 - 1}
BLOB_BYTES = {"TINYBLOB": 2**8 - 1, "BLOB": 2**16 - 1, "MEDIUMBLOB": 2**24 - 1, "LONGBLOB": 2**32 - 1}
MAX_VARCHAR = 16_383
"""Characters of utf8mb4 in the 65,535 bytes that a row may have."""
MAX_VARBINARY = 65_533
MAX_CHAR = 255
MAX_MEMBERS = 1000
"""Of an ENUM here; MySQL takes 65,535."""
MAX_MEMBER = 255
"""Characters of a member of an ENUM."""
YEARS = range(1901, 2156)
"""Of a YEAR; MySQL has 0000 besides, for what is none."""

OFF_PAGE_BYTES = 256
"""InnoDB stores no value of a shorter type off its page."""
INLINE_BYTES = 40
"""The longest value of a longer type that it keeps in the page: of what is stored elsewhere, 20 bytes stay."""
FIXED_BYTES = {"BOOLEAN": 1, "DATE": 3, "DOUBLE": 8, "YEAR": 1}
TIME_BYTES = {"DATETIME": 5, "TIMESTAMP": 4, "TIME": 3}
DECIMAL_BYTES = (0, 1, 1, 2, 2, 3, 3, 4, 4)
"""Of so many digits that are left over of groups of nine, which take four."""
SIZES = re.compile(r"^[A-Z]+(?:\(([0-9]+)(?:, ?([0-9]+))?\))?")

TYPE = re.compile(r"(?P<kind>[A-Z]+)(?:\((?P<size>[0-9]{1,9})(?:, ?(?P<scale>[0-9]{1,9}))?\))?(?P<unsigned> UNSIGNED)?")
TYPES_ELSEWHERE = {
    "BIT": "BOOLEAN, or an integer that is UNSIGNED,",
    "BOOL": "BOOLEAN",
    "FLOAT": "DOUBLE",
    "REAL": "DOUBLE",
    "NUMERIC": "DECIMAL",
    "DEC": "DECIMAL",
    "BINARY": "VARBINARY",
    "STRING": "VARCHAR",
    "NUMBER": "DECIMAL",
}
"""Of types that people know: what takes their values."""
FOUR_DIGITS = re.compile(r"\d{4}", re.ASCII)
MEMBER = re.compile(r"'((?:[^'\\\x00-\x1f\x7f]|'')+)'")
MEMBERS = re.compile(rf"ENUM\((?P<members>{MEMBER.pattern}(?:, ?{MEMBER.pattern})*)\)")
"""An ENUM as SQL writes it, its members without what servers read differently: backslashes and control characters."""


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
    digits: str = REFUSE
    """What becomes of digits of a second that it has no room for."""
    epoch: str | None = None
    """The unit of the numbers that it takes as times; None where it takes text."""

    @property
    def members(self) -> tuple[str, ...]:
        """The texts that an ENUM takes."""
        return read_members(self.sql)

    @property
    def index_bytes(self) -> int | None:
        """The most bytes that it takes in an index that is no key; None where no index can have it whole."""
        if self.kind in TEXT_BYTES or self.kind in BLOB_BYTES or self.kind == "JSON":
            return None
        return self.key_bytes or self.fixed_bytes

    @property
    def row_bytes(self) -> int:
        """The most bytes that it takes of the 65,535 of a row: of TEXT, BLOB and JSON, what points to the contents."""
        if self.kind in {"VARCHAR", "VARBINARY"}:
            octets = self.key_bytes or 0
            return octets + (1 if octets < OFF_PAGE_BYTES else 2)
        if self.kind == "CHAR":
            return self.key_bytes or 0
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
        if self.kind == "CHAR":
            return octets + (1 if octets < OFF_PAGE_BYTES else 2)
        if self.kind == "ENUM":
            return self.fixed_bytes
        return 1 + INLINE_BYTES if self.is_text or self.is_binary or self.kind == "JSON" else self.fixed_bytes

    @property
    def fixed_bytes(self) -> int:
        """The bytes of a value, of types that do not vary (MySQL 8.0 Reference Manual, "Data Type Storage")."""
        size, scale = (int(number or 0) for number in SIZES.findall(self.sql)[0])
        if self.kind == "DECIMAL":
            digits = size or 10
            return sum(part // 9 * 4 + DECIMAL_BYTES[part % 9] for part in (digits - scale, scale))
        if self.kind in TIME_BYTES:
            return TIME_BYTES[self.kind] + (size + 1) // 2
        if self.kind == "ENUM":
            return 1 if len(self.members) < OFF_PAGE_BYTES else 2
        return INTEGER_BITS[self.kind] // 8 if self.kind in INTEGER_BITS else FIXED_BYTES.get(self.kind, 0)

    @property
    def is_binary(self) -> bool:
        """Whether its field is base64, for `FROM_BASE64` to decode while loading."""
        return self.kind in BLOB_BYTES or self.kind == "VARBINARY"

    @property
    def is_text(self) -> bool:
        """Whether it has a collation."""
        return self.kind in TEXT_BYTES or self.kind in {"VARCHAR", "CHAR", "ENUM"}


def parse_type(text: str, *, digits: str | None = None, epoch: str | None = None) -> ColumnType:
    """Return the column type that `text` names; `digits` and `epoch` are options of columns of times.

    Raises ValueError, with the reason, for a type or size that MySQL or this project does not know, and for an option
    that the type does not have.
    """
    if text.startswith("ENUM("):
        _refuse_options("ENUM", digits, epoch)
        return ColumnType(text, "ENUM", partial(encode_enum, members=frozenset(read_members(text))), None)
    match = TYPE.fullmatch(text)
    if not match and TYPE.fullmatch(text.upper()):
        raise ValueError(f"{text!r} is not in capitals, as {text.upper()}")
    if not match:
        raise ValueError(f"{text!r} is not a column type, as VARCHAR(255), DECIMAL(10,2) or BIGINT UNSIGNED")
    kind = match["kind"]
    size = None if match["size"] is None else int(match["size"])
    scale = None if match["scale"] is None else int(match["scale"])
    unsigned = match["unsigned"] is not None
    build = _builders.get(kind)
    if build is None and kind in TYPES_ELSEWHERE:
        raise ValueError(f"{kind} is not one of the column types: {TYPES_ELSEWHERE[kind]} takes the same here")
    if build is None:
        raise ValueError(f"{kind} is not one of the column types: {', '.join(sorted(_builders))}")
    if unsigned and kind not in INTEGER_BITS:
        raise ValueError(f"{kind} cannot be UNSIGNED here: only integers can")
    encode, key_bytes = build(kind, size, scale, unsigned)
    _refuse_options(kind, digits, epoch)
    options = {name: value for name, value in (("digits", digits), ("epoch", epoch)) if value is not None}
    encode = partial(encode, **options) if options else encode
    return ColumnType(text, kind, encode, key_bytes, digits or REFUSE, epoch)


def _refuse_options(kind: str, digits: str | None, epoch: str | None) -> None:
    if digits is not None and (kind not in {*TIME_BYTES, "DATE"} or digits not in DIGITS):
        raise ValueError(f"{kind} has no choice of digits {digits!r}: times have {', '.join(DIGITS)}")
    if digits == ROUND and kind == "DATE":
        raise ValueError("a DATE cannot be rounded: it can refuse or truncate a time of day")
    if epoch is not None and (kind not in {"DATE", "DATETIME", "TIMESTAMP"} or epoch not in EPOCH_DIGITS):
        units = ", ".join(EPOCH_DIGITS)
        raise ValueError(f"{kind} has no epoch {epoch!r}: DATE, DATETIME and TIMESTAMP take numbers of {units}")


@cache
def read_members(text: str) -> tuple[str, ...]:
    """Return the members of an ENUM. Raises ValueError, with the reason, where servers would not take or keep them."""
    if not MEMBERS.fullmatch(text):
        raise ValueError(f"{text!r} is not an ENUM as ENUM('new', 'paid'), without backslashes or control characters")
    members = tuple(member.replace("''", "'") for member in MEMBER.findall(text))
    for member in members:
        if member.endswith(" "):
            raise ValueError(f"ENUM cannot keep the space at the end of {member!r}")
        check_unicode(member)
        if len(member) > MAX_MEMBER:
            raise ValueError(f"ENUM takes members of up to {MAX_MEMBER} characters, and one has {len(member)}")
    if len(set(members)) < len(members) or len(members) > MAX_MEMBERS:
        raise ValueError(f"ENUM takes up to {MAX_MEMBERS} members, each once")
    return members


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


def encode_char(value: Any, *, characters: int) -> str:
    """Return text of at most so many characters that does not end with a space, which MySQL would take off."""
    text = encode_varchar(value, characters=characters)
    if text.endswith(" "):
        misfit("format", "ends with a space, which CHAR does not keep; VARCHAR does")
    return text


def encode_enum(value: Any, *, members: frozenset[str]) -> str:
    """Return one of the texts that an ENUM has."""
    if not isinstance(value, str):
        misfit("type", f"is {describe(value)}, and the column takes one of {len(members)} texts")
    if value not in members:
        misfit("member", f"is text of {len(value)} characters that is none of the column's {len(members)} members")
    return str(value)


def encode_year(value: Any) -> str:
    """Return a year of four digits, of a number or text."""
    year = int(value) if type(value) is str and FOUR_DIGITS.fullmatch(value) else value
    if type(year) is not int:
        misfit("type", f"is {describe(value)}, and the column takes a year of four digits")
    if year not in YEARS:
        misfit("range", f"is a year outside {YEARS[0]} to {YEARS[-1]}")
    return str(year)


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


def _char(kind: str, size: int | None, scale: int | None, _unsigned: bool) -> Built:
    characters = _size(kind, size, scale, low=1, high=MAX_CHAR)
    return partial(encode_char, characters=characters), characters * 4


def _year(kind: str, size: int | None, scale: int | None, _unsigned: bool) -> Built:
    _refuse_sizes(kind, size, scale)
    return encode_year, None


def _time(kind: str, size: int | None, scale: int | None, _unsigned: bool) -> Built:
    fraction = _size(kind, size or 0, scale, low=0, high=6)
    return partial(encode_time, fraction=fraction), None


def _enum(_kind: str, _size: int | None, _scale: int | None, _unsigned: bool) -> Built:
    raise ValueError("ENUM needs its members, as ENUM('new', 'paid')")


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
    "CHAR": _char,
    "ENUM": _enum,
    "DATE": _date,
    "TIME": _time,
    "YEAR": _year,
    "DATETIME": _datetime,
    "TIMESTAMP": _datetime,
    "JSON": _json,
}
