"""Choices: the column that takes an attribute, by what its values were like.

What the values do not decide is decided for the column that refuses nothing: JSON takes what is of several types, text
is given room, a number more digits. A time is one only where every value is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from dynaurora.dynamodb.items import MOST_KEY_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dynaurora.inference.value_profiles import AttributeProfile, NumberProfile, TextProfile

FEW: Final = 20
"""Values, below which more is left open."""
MANY: Final = 100
ROOM: Final = 2.5
"""A column of text takes so many times the longest value that was seen; of few values, twice that."""
TEXT_WIDTHS: Final = ((255, "VARCHAR(255)"), (1024, "VARCHAR(1024)"), (16_383, "TEXT"))
BINARY_WIDTHS: Final = ((255, "VARBINARY(255)"), (65_535, "BLOB"))
SAFE_INTEGER: Final = 2**62
"""Whole numbers below it leave half of a BIGINT's range to those that were not seen."""
EXACT_DIGITS: Final = 38
"""Of a DynamoDB number (DynamoDB Developer Guide, "Supported data types")."""
MOST_DIGITS, MOST_SCALE = 65, 30
"""Of a DECIMAL."""
LONG_FRACTION: Final = 10
"""Digits behind the point from which on a number looks like a double, if its digits are a double's."""
DOUBLE_DIGITS: Final = 15
FIXED_SHARE: Final = 0.1
"""Of the numbers, that have as many digits behind the point as any: then no number has more."""
NUMBER_AS_TEXT: Final = "VARCHAR(255)"
"""Takes any number of DynamoDB's, written out."""
WRITTEN: Final = "more digits than any number of MySQL's: written as text"
UNWRAPPED: Final = (
    "JSON is unwrapped and written anew, without its spaces, its order of members, needless zeros and all but the last"
    " of a repeated name (left out of json_attributes, in a column of {}, it stays as it is)"
)
"""Of an attribute that holds JSON, what it is changed in."""

EPOCH_UNITS: Final = (("s", 1, "DATETIME"), ("ms", 10**3, "DATETIME(3)"), ("us", 10**6, "DATETIME(6)"))
"""Units of time since 1970, how many make a second, and the column that takes them exactly."""
NANOSECONDS: Final = 10**9
"""In a second: a DATETIME does not keep them, so they stay numbers."""
HINTED_SECONDS: Final = (10**8, 10**10)
"""From 1973 to 2286: where a name speaks of time."""
PLAIN_SECONDS: Final = (1_100_000_000, 2_200_000_000)
"""From 2004 to 2039: where it does not."""
LEAST_SPREAD: Final = 7 * 86_400
"""Seconds that times without a telling name lie apart; numbers that were counted up lie closer."""
TIME_NAME: Final = re.compile(
    r"(?:^|_)(?:at|on|time|times?tamp|ts|date|day|ttl|epoch|since|until|expir\w*|created|updated|modified|deleted"
    r"|started|ended|stopped|finished|last_seen|dt|when)(?:_|$)"
)
COUNT_NAME: Final = re.compile(
    r"(?:^|_)(?:id|ids|no|num|number|code|count|size|bytes|price|amount|qty|phone|version|seq)(?:_|$)"
)

NULLABLE: Final = {
    "BOOL": ["boolean", "null"],
    "N": ["number", "null"],
    "S": ["string", "null"],
    "B": ["string", "null"],
    "M": ["object", "null"],
    "L": ["array", "null"],
    "SS": ["array", "null"],
    "NS": ["array", "null"],
    "BS": ["array", "null"],
}
"""What the schema says of an attribute of one descriptor."""
WORDS: Final = {
    "S": "text",
    "N": "a number",
    "B": "binary",
    "BOOL": "a boolean",
    "NULL": "null",
    "M": "a map",
    "L": "a list",
    "SS": "a set of texts",
    "NS": "a set of numbers",
    "BS": "a set of binaries",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """The column that takes an attribute."""

    type: str
    """As SQL has it."""
    schema: dict[str, Any] = field(default_factory=dict)
    """What the mapping's schema says of the attribute."""
    options: dict[str, str] = field(default_factory=dict)
    """Of the column: `epoch`, `digits`."""
    seen: str = ""
    """What the values were like, for people."""
    doubt: str = ""
    """What contradicts itself, and what was chosen; empty where nothing does."""
    doubt_keys: str = ""
    """Under what the profile has the keys of items that show the doubt."""
    encoding: str = ""
    """How the attribute's text holds JSON, to be unwrapped; "" where it does not."""


def choose_column(name: str, profile: AttributeProfile, *, is_ttl: bool = False) -> Choice:
    """Return the column for an attribute that is no key."""
    held = profile.held
    if not held:
        return Choice("JSON", {}, seen="only null", doubt="only null was seen, so it is JSON, which takes anything")
    if len(held) > 1:
        return choose_mixed(profile)
    (kind,) = held
    schema = {"type": NULLABLE[kind]}
    if kind == "S":
        return choose_text(profile.texts, schema)
    if kind == "N":
        return choose_number(name, profile.numbers, is_ttl=is_ttl)
    if kind == "BOOL":
        return Choice("BOOLEAN", schema, seen="boolean")
    if kind == "B" and profile.packed.total() == held[kind] and len({how for how, _ in profile.packed}) == 1:
        types, encoding = sorted(of for _, of in profile.packed), next(how for how, _ in profile.packed)
        seen = f"binary holding JSON {' or '.join(f'{of}s' for of in types)}"
        doubt = UNWRAPPED.format("binary")
        return Choice("JSON", {"type": [*types, "null"]}, seen=seen, doubt=doubt, encoding=encoding)
    if kind == "B":
        need = give_room(profile.most_bytes, held[kind])
        type_ = next((sql for most, sql in BINARY_WIDTHS if need <= most), "MEDIUMBLOB")
        return Choice(type_, schema, seen=f"binary, {say_up_to(profile.most_bytes, 'byte')}")
    return Choice("JSON", schema, seen=WORDS[kind].removeprefix("a "))


def choose_mixed(profile: AttributeProfile) -> Choice:
    """Return the column for what is of several types: JSON, which keeps them apart."""
    held = sorted(profile.held.items(), key=lambda each: -each[1])
    counts = ", ".join(f"{WORDS[kind]} in {count:,}" for kind, count in held)
    seen = " or ".join(WORDS[kind].removeprefix("a ") for kind, _ in held)
    taken = "both" if len(held) == 2 else "all of them"
    return Choice("JSON", {}, seen=seen, doubt=f"{counts} items: JSON takes {taken}", doubt_keys=held[-1][0])


def say_up_to(number: int, noun: str) -> str:
    """Return how many there were at most: `up to 1 digit`, `up to 1,024 characters`."""
    return f"up to {number:,} {noun}{'' if number == 1 else 's'}"


def give_room(longest: int, values: int) -> int:
    """Return how long a value may be that was not seen."""
    return int(longest * (ROOM if values >= MANY else 2 * ROOM))


# Text


def choose_text(texts: TextProfile, schema: dict[str, Any]) -> Choice:
    """Return the column for text: a time or JSON where every value is one."""
    forms = [count for count in (texts.days, texts.local_times, texts.instants) if count]
    if texts.times == texts.values and len(forms) == 1:
        return choose_time(texts, schema)
    if texts.documents == texts.values:
        types = [name for name, count in (("object", texts.objects), ("array", texts.arrays)) if count]
        seen = f"text holding JSON {' or '.join(f'{name}s' for name in types)}, {say_up_to(texts.longest, 'character')}"
        encoding = "json_twice" if texts.twice else "json"
        doubt = UNWRAPPED.format("text")
        return Choice("JSON", {"type": [*types, "null"]}, seen=seen, doubt=doubt, encoding=encoding)
    need = give_room(texts.longest, texts.values)
    type_ = next((sql for most, sql in TEXT_WIDTHS if need <= most), "MEDIUMTEXT")
    doubt, keys = find_text_doubt(texts)
    return Choice(type_, schema, seen=f"text, {say_up_to(texts.longest, 'character')}", doubt=doubt, doubt_keys=keys)


def choose_time(texts: TextProfile, schema: dict[str, Any]) -> Choice:
    """Return the column for text that always names a day or a time."""
    if texts.days == texts.values:
        return Choice("DATE", schema, seen="text naming a day")
    where = "with an offset" if texts.instants else "without an offset, read as UTC"
    seen = f"text naming a time {where}" + (
        f", {say_up_to(texts.fraction, 'digit')} of a second" if texts.fraction else ""
    )
    if texts.fraction > 6:
        doubt = f"up to {texts.fraction} digits of a second: a DATETIME keeps 6, those after are cut off (digits)"
        return Choice("DATETIME(6)", schema, {"digits": "truncate"}, seen, doubt)
    places = 6 if texts.values < FEW or texts.fraction > 3 else 3 if texts.fraction else 0
    return Choice(f"DATETIME({places})" if places else "DATETIME", schema, seen=seen)


def find_text_doubt(texts: TextProfile) -> tuple[str, str]:
    """Return what contradicts itself in text that is mostly of a form, and under what its keys are."""
    if texts.times == texts.values:
        forms = (texts.days, "days"), (texts.local_times, "times without an offset"), (texts.instants, "with one")
        return f"{', '.join(f'{count:,} {noun}' for count, noun in forms if count)}: kept as text", ""
    for what, count, noun in (("time", texts.times, "times"), ("json", texts.documents, "JSON")):
        if count * 2 > texts.values:
            return (
                f"{count:,} of {texts.values:,} values are {noun}, {texts.values - count:,} are not: kept as text",
                what,
            )
    return "", ""


# Numbers


def choose_number(name: str, numbers: NumberProfile, *, is_ttl: bool = False) -> Choice:
    """Return the column for numbers: exact ones, or times where they are counted from 1970."""
    if numbers.whole < numbers.values:
        return choose_fraction(numbers)
    seen = f"whole numbers, {say_up_to(max(1, numbers.digits), 'digit')}"
    schema = {"type": ["integer", "null"]}
    unit, doubt = find_epoch(name, numbers, is_ttl=is_ttl)
    if unit and not doubt:
        type_ = next(sql for each, _, sql in EPOCH_UNITS if each == unit)
        what = "time to live, " if is_ttl else ""
        return Choice(type_, schema, {"epoch": unit}, f"{what}whole numbers counting {unit} since 1970")
    type_ = fit_whole(numbers)
    return Choice(type_, schema, seen=seen, doubt=doubt or (WRITTEN if type_ == NUMBER_AS_TEXT else ""))


def fit_whole(numbers: NumberProfile) -> str:
    """Return the type for whole numbers."""
    if numbers.low is None or numbers.high is None or max(-numbers.low, numbers.high) < SAFE_INTEGER:
        return "BIGINT"
    if numbers.digits <= EXACT_DIGITS:
        return f"DECIMAL({EXACT_DIGITS},0)"
    return f"DECIMAL({MOST_DIGITS},0)" if numbers.digits <= MOST_DIGITS else NUMBER_AS_TEXT


def find_epoch(name: str, numbers: NumberProfile, *, is_ttl: bool) -> tuple[str, str]:
    """Return in what unit numbers count the time since 1970, "" where they do not, and what is doubtful about it."""
    low, high = numbers.low, numbers.high
    if low is None or high is None or low <= 0:
        return "", ""
    words = "_".join(re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+", name)).lower()
    is_named = is_ttl or (bool(TIME_NAME.search(words)) and not COUNT_NAME.search(words))
    least, most = HINTED_SECONDS if is_named else PLAIN_SECONDS
    if is_named and least * NANOSECONDS <= low <= high < most * NANOSECONDS:
        told = f"{numbers.values:,} numbers look like ns since 1970, of which a DATETIME keeps no more than µs"
        return "ns", f'{told}: kept as numbers ("epoch": "ns" and "digits": "truncate" make them times)'
    for unit, factor, _ in EPOCH_UNITS:
        if not least * factor <= low <= high < most * factor:
            continue
        told = f"{numbers.values:,} numbers look like {unit} since 1970"
        if numbers.zeros:
            return unit, f"{told}, {numbers.zeros:,} of them are 0: kept as numbers"
        if is_named:
            return unit, ""
        if numbers.values < FEW or high - low < LEAST_SPREAD * factor or COUNT_NAME.search(words):
            return unit, f'{told}, but its name does not say so: kept as numbers ("epoch": "{unit}" makes them times)'
        return unit, ""
    return "", ""


def choose_fraction(numbers: NumberProfile) -> Choice:
    """Return the column for numbers with digits behind the point."""
    schema = {"type": ["number", "null"]}
    seen = f"numbers, {say_up_to(numbers.digits, 'digit')} before the point and {numbers.scale} behind it"
    looks_double = numbers.scale >= LONG_FRACTION and numbers.significant >= DOUBLE_DIGITS
    if looks_double and numbers.all_survive_double:
        return Choice("DOUBLE", schema, seen=f"{seen}: those of doubles")
    digits, scale = give_digits(numbers)
    if digits + scale <= MOST_DIGITS and scale <= MOST_SCALE:
        return Choice(f"DECIMAL({digits + scale},{scale})", schema, seen=seen)
    if numbers.all_survive_double:
        return Choice("DOUBLE", schema, seen=seen)
    return Choice(NUMBER_AS_TEXT, schema, seen=seen, doubt=WRITTEN)


def give_digits(numbers: NumberProfile) -> tuple[int, int]:
    """Return the digits before and behind the point that numbers have room for."""
    scale, digits = numbers.scale, max(numbers.digits * 2, numbers.digits + 6)
    if numbers.values < FEW or numbers.scales[scale] < FIXED_SHARE * numbers.values:
        scale = min(MOST_SCALE, max(scale, scale + 4, scale * 2)) if scale <= MOST_SCALE else scale
    return max(numbers.digits, min(digits, MOST_DIGITS - scale)), scale


# Keys

INDEX_BYTES_OF_KEYS: Final = 3072
KEY_WIDTHS: Final = (255, 384, 512, 768)
"""Characters of a key column of text."""
OTHER_KEY_BYTES: Final = 1020
"""The most that a number takes of an index, where it is written as text."""


def choose_keys(profiles: Sequence[AttributeProfile], names: Sequence[str] = ()) -> list[Choice]:
    """Return the columns of the key: no two keys may become one, so text stays text, byte by byte.

    Text is a VARCHAR where the index has room for its characters, and else a VARBINARY of all the bytes it may have.
    """
    chosen = [choose_key(profile, MOST_KEY_BYTES[place]) for place, profile in enumerate(profiles)]
    for place, name in enumerate(names):
        unit, _ = find_epoch(name, profiles[place].numbers, is_ttl=False) if "N" in profiles[place].held else ("", "")
        if unit and profiles[place].numbers.whole == profiles[place].numbers.values:
            seen = f"{chosen[place].seen}, which may count {unit} since 1970: a key stays a number"
            chosen[place] = replace(chosen[place], seen=seen)
    needs = {
        place: max(KEY_WIDTHS[0], give_room(profile.texts.longest, profile.texts.values))
        for place, profile in enumerate(profiles)
        if chosen[place].type == "VARCHAR"
    }
    while needs and not (widths := fit_keys(needs, index_room(chosen))):
        place = max(needs, key=lambda each: needs[each])
        del needs[place]
        doubt = "longer than an index has room for as text: the bytes of its UTF-8 as binary"
        type_ = f"VARBINARY({MOST_KEY_BYTES[place]})"
        chosen[place] = replace(chosen[place], type=type_, doubt=doubt)
    for place in needs:
        chosen[place] = replace(chosen[place], type=f"VARCHAR({widths[place]})")
    return chosen


def index_room(chosen: Sequence[Choice]) -> int:
    """Return the bytes that an index has left for the key columns of text."""
    taken = [
        MOST_KEY_BYTES[place] if choice.type.startswith("VARBINARY") else OTHER_KEY_BYTES
        for place, choice in enumerate(chosen)
        if choice.type != "VARCHAR"
    ]
    return INDEX_BYTES_OF_KEYS - sum(taken)


def choose_key(profile: AttributeProfile, most: int) -> Choice:
    """Return the column of one key attribute, a VARCHAR without its width where it is text."""
    held = profile.held
    kind = max(held, key=lambda each: held[each]) if held else "S"
    if kind == "N":
        numbers = profile.numbers
        schema, seen = {"type": "number"}, f"numbers, {say_up_to(max(1, numbers.digits), 'digit')}"
        if numbers.whole == numbers.values:
            type_ = fit_whole(numbers)
            return Choice(type_, {"type": "integer"}, seen=f"whole {seen}")
        type_ = choose_fraction(numbers).type
        return Choice(NUMBER_AS_TEXT if type_ == "DOUBLE" else type_, schema, seen=seen)
    if kind == "B":
        return Choice(f"VARBINARY({most})", {"type": "string"}, seen=f"binary, {say_up_to(profile.most_bytes, 'byte')}")
    return Choice("VARCHAR", {"type": "string"}, seen=f"text, {say_up_to(profile.texts.longest, 'character')}")


def fit_keys(needs: dict[int, int], room: int) -> dict[int, int]:
    """Return the characters for each key column of text; none where the index has no room for them."""
    widths = {place: next((width for width in KEY_WIDTHS if width >= need), need) for place, need in needs.items()}
    return widths if sum(widths.values()) * 4 <= room else {}
