r"""Patterns of JSON Schema: ECMA-262's regular expressions, judged in time that is linear in the text.

Python's engine backtracks: `^\S+@\S+\.\S+$` takes minutes for 390 KB of `@.`, and nested quantifiers take for ever for
thirty characters. RE2 does not, and has no look-around and no references back. A pattern is translated where RE2 can
say what it means: `$` is the end of the text, `.` no line terminator, `\d` and `\w` are ASCII, `\s` is Unicode's white
space (ECMA-262, "RegExp (Regular Expression) Objects").

What RE2 cannot say is translated for Python's engine, look-around and references back included, and judged of texts up
to MAX_UNBOUNDED_LENGTH characters; a longer one is taken for one that does not match. What cannot be translated either
is judged so as Python reads it. `dynaurora mapping check` names such patterns.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from dynaurora.mappings.automata import has_few_states

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


MAX_UNBOUNDED_LENGTH: Final = 1000
"""Characters of a text that a pattern without a bound of its own is tried on."""
LINE_TERMINATORS: Final = r"\n\r\x{2028}\x{2029}"
WHITE_SPACE: Final = r"\t-\r \x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}\x{feff}"
"""ECMA-262's `WhiteSpace` and `LineTerminator`."""
NO_WHITE_SPACE: Final = (
    r"\x00-\x08\x0e-\x1f!-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027}\x{202a}-\x{202e}\x{2030}-\x{205e}"
    r"\x{2060}-\x{2fff}\x{3001}-\x{fefe}\x{ff00}-\x{10ffff}"
)
ANYTHING: Final = r"\x00-\x{10ffff}"
VALUES: Final = frozenset({"const", "default", "enum", "examples"})
"""Keywords that have values and no schemas."""
QUANTIFIER: Final = re.compile(r"\{[0-9]+(,[0-9]*)?\}")
HEX: Final = re.compile(r"x([0-9A-Fa-f]{2})|u\{([0-9A-Fa-f]+)\}|u([0-9A-Fa-f]{4})")
PROPERTY: Final = re.compile(r"([pP])\{(?:(?:General_Category|gc|Script|sc)=)?([A-Za-z_]+)\}")
GROUP: Final = re.compile(r"\((?:\?(:|<(?:[^\W\d]|\$)[\w$]*>|P<[A-Za-z_]\w*>))?(?!\?)")
AROUND: Final = re.compile(r"\(\?<?[=!]")
BACK: Final = re.compile(r"[1-9][0-9]?|k<([^\W\d]\w*)>")
CATEGORIES: Final = {
    "Letter": "L", "Lowercase_Letter": "Ll", "Uppercase_Letter": "Lu", "Titlecase_Letter": "Lt",
    "Modifier_Letter": "Lm", "Other_Letter": "Lo", "Mark": "M", "Nonspacing_Mark": "Mn", "Spacing_Mark": "Mc",
    "Enclosing_Mark": "Me", "Number": "N", "Decimal_Number": "Nd", "Letter_Number": "Nl", "Other_Number": "No",
    "Punctuation": "P", "Connector_Punctuation": "Pc", "Dash_Punctuation": "Pd", "Open_Punctuation": "Ps",
    "Close_Punctuation": "Pe", "Initial_Punctuation": "Pi", "Final_Punctuation": "Pf", "Other_Punctuation": "Po",
    "Symbol": "S", "Math_Symbol": "Sm", "Currency_Symbol": "Sc", "Modifier_Symbol": "Sk", "Other_Symbol": "So",
    "Separator": "Z", "Space_Separator": "Zs", "Line_Separator": "Zl", "Paragraph_Separator": "Zp", "Other": "C",
    "Control": "Cc", "Format": "Cf", "punct": "P", "digit": "Nd", "cntrl": "Cc", "Combining_Mark": "M",
    "Latn": "Latin", "Grek": "Greek", "Cyrl": "Cyrillic", "Arab": "Arabic", "Hebr": "Hebrew", "Hani": "Han",
    "Hira": "Hiragana", "Kana": "Katakana", "Hang": "Hangul", "Deva": "Devanagari", "Armn": "Armenian",
    "Geor": "Georgian", "Zyyy": "Common", "Zinh": "Inherited", "Qaai": "Inherited",
}  # fmt: skip
"""RE2's names of Unicode's general categories and scripts, by their other ones."""
UNICODE_SPACE: Final = r"\t-\r \x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}"
CASED: Final = r"\p{Lu}\p{Ll}\p{Lt}"
PROPERTIES: Final = {
    "ASCII": r"\x00-\x7f", "White_Space": UNICODE_SPACE, "space": UNICODE_SPACE, "LC": CASED, "Cased_Letter": CASED,
    "ASCII_Hex_Digit": "0-9A-Fa-f", "AHex": "0-9A-Fa-f",
}  # fmt: skip
"""What is in properties that RE2 has no name for."""


LITERAL: Final = re.compile(r"[A-Za-z0-9 @#%&_=:;,<>/'\"!~-]+")
"""Patterns without a character that means something else."""


class NotLinearError(ValueError):
    """A pattern that RE2 cannot express."""


class InvalidPatternError(ValueError):
    """A text that is no pattern, neither ECMA-262's nor Python's."""


@cache
def compile_pattern(pattern: str) -> Callable[[str], bool]:
    """Return what tells whether a text has a match of a pattern anywhere. Raises InvalidPatternError."""
    if LITERAL.fullmatch(pattern):
        return lambda text: pattern in text
    try:
        return _compile_linear(translate(pattern))
    except NotLinearError:
        return _compile_bounded(pattern)


def is_linear(pattern: str) -> bool:
    """Tell whether a pattern is judged in linear time. Raises InvalidPatternError."""
    try:
        _compile_linear(translate(pattern))
    except NotLinearError:
        _compile_bounded(pattern)
        return False
    return True


def find_unbounded(schema: Any) -> Iterator[tuple[str, str]]:
    """Yield the patterns in a schema that are not judged in linear time, each with its place."""
    return ((place, pattern) for place, pattern in list_patterns(schema) if not is_linear(pattern))


def find_many_states(schema: Any) -> Iterator[tuple[str, str]]:
    """Yield the linear patterns in a schema that may take a thousand steps for each character, with their places."""
    for place, pattern in list_patterns(schema):
        if is_linear(pattern) and not has_few_states(translate_for_python(pattern)):
            yield place, pattern


def list_patterns(schema: Any, place: str = "schema") -> Iterator[tuple[str, str]]:
    """Yield the patterns in a schema, each with its place."""
    if isinstance(schema, list):
        for index, member in enumerate(schema):
            yield from list_patterns(member, f"{place}.{index}")
    for keyword, value in schema.items() if isinstance(schema, dict) else ():
        inner = f"{place}.{keyword}"
        if keyword == "pattern" and isinstance(value, str):
            yield inner, value
        elif keyword == "patternProperties":
            yield from ((inner, pattern) for pattern in value)
        if keyword not in VALUES:
            yield from list_patterns(value, inner)


def translate(pattern: str) -> str:
    """Return a pattern of ECMA-262 in RE2's words. Raises NotLinearError where there are none that are sure."""
    return "".join(_translate(pattern))


def translate_for_python(pattern: str) -> str:
    """Return a pattern of ECMA-262 in Python's words, for `re.ASCII`.

    Raises NotLinearError where there are none that are sure.
    """
    translated = "".join(_translate(pattern, has_memory=True))
    wide = re.sub(r"\\x\{([0-9a-f]+)\}", lambda found: f"\\U{int(found[1], 16):08x}", translated)
    return wide.replace(r"\z", r"\Z")


def _compile_linear(translated: str) -> Callable[[str], bool]:
    import re2  # here, since most mappings have no pattern

    options = re2.Options()
    options.log_errors = False
    matcher = re2.Set.SearchSet(options)
    try:
        matcher.Add(translated)
        matcher.Compile()
    except re2.error as error:
        raise NotLinearError(translated) from error

    def search(text: str) -> bool:
        try:
            return matcher.Match(text) is not None
        except UnicodeEncodeError:  # a lone surrogate
            shown = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
            return matcher.Match(shown) is not None

    return search


def _compile_bounded(pattern: str) -> Callable[[str], bool]:
    try:
        translated, flags = translate_for_python(pattern), re.ASCII
    except NotLinearError:
        translated, flags = pattern, re.NOFLAG
    try:
        search = re.compile(translated, flags).search
    except (re.error, RecursionError, OverflowError) as error:
        raise InvalidPatternError(f"{pattern!r} is no regular expression: {error}") from error
    return lambda text: len(text) <= MAX_UNBOUNDED_LENGTH and search(text) is not None


def _translate(pattern: str, *, has_memory: bool = False) -> Iterator[str]:
    """Yield the parts of a translation; `has_memory` tells of an engine that looks around and back."""
    position = 0
    while position < len(pattern):
        character = pattern[position]
        around = AROUND.match(pattern, position) if has_memory else None
        back = BACK.match(pattern, position + 1) if has_memory and character == "\\" else None
        if around:
            yield around[0]
            position = around.end()
        elif back:
            yield f"(?P={back[1]})" if back[1] else f"\\{back[0]}"
            position = back.end()
        elif character == "\\":
            text, position = _escape(pattern, position + 1, in_class=False)
            yield text
        elif character == "[":
            text, position = _class(pattern, position + 1)
            yield text
        elif character == "(":
            group = GROUP.match(pattern, position)
            if not group:
                raise NotLinearError(pattern)
            name = (group[1] or "").strip("P<>") if has_memory else ""
            yield "(?:" if group[1] == ":" else f"(?P<{name}>" if name.isidentifier() else "("
            position = group.end()
        elif character == "{":
            quantifier = QUANTIFIER.match(pattern, position)
            if not quantifier:
                raise NotLinearError(pattern)
            yield quantifier[0]
            position = quantifier.end()
        else:
            yield {".": f"[^{LINE_TERMINATORS}]", "$": r"\z"}.get(character, character)
            position += 1


def _class(pattern: str, position: int) -> tuple[str, int]:
    """Return a class of characters, from behind its bracket, and where it ends."""
    parts, is_negated = list[str](), pattern.startswith("^", position)
    position += is_negated
    while position < len(pattern) and pattern[position] != "]":
        character = pattern[position]
        if character == "\\":
            text, position = _escape(pattern, position + 1, in_class=True)
            parts.append(text)
            continue
        parts.append(r"\[" if character == "[" else r"\^" if character == "^" else character)
        position += 1
    if position == len(pattern):
        raise NotLinearError(pattern)
    position += 1
    if not parts:  # ECMA-262 has nothing in it, where other languages have the bracket
        return (f"[{ANYTHING}]" if is_negated else f"[^{ANYTHING}]"), position
    return f"[{'^' * is_negated}{''.join(parts)}]", position


def _escape(pattern: str, position: int, *, in_class: bool) -> tuple[str, int]:
    """Return what an escape means, from behind its backslash, and where it ends."""
    character = pattern[position : position + 1]
    if character in {"s", "S"}:
        members = WHITE_SPACE if character == "s" else NO_WHITE_SPACE
        return (members if in_class else f"[{members}]"), position + 1
    if character in set("dDwWtnvfr") or (character in {"b", "B"} and not in_class):
        return f"\\{character}", position + 1
    if in_class and character == "b":
        return r"\x08", position + 1
    if character == "0" and not pattern[position + 1 : position + 2].isdigit():
        return r"\x00", position + 1
    if character == "c" and re.fullmatch("[A-Za-z]", pattern[position + 1 : position + 2]):
        return rf"\x{{{ord(pattern[position + 1]) % 32:x}}}", position + 2
    if found := HEX.match(pattern, position):
        return _code_point(pattern, found)
    found = PROPERTY.match(pattern, position)
    if found and found[2] in PROPERTIES:
        is_negated = found[1] == "P"
        if in_class and is_negated:
            raise NotLinearError(pattern)
        members = PROPERTIES[found[2]]
        return (members if in_class else f"[{'^' * is_negated}{members}]"), found.end()
    if found:
        return rf"\{found[1]}{{{CATEGORIES.get(found[2], found[2])}}}", found.end()
    if character and not character.isalnum() and character.isascii() and character != "_":
        return f"\\{character}", position + 1
    raise NotLinearError(pattern)  # a reference back, or an escape that only Python knows


def _code_point(pattern: str, found: re.Match[str]) -> tuple[str, int]:
    code, end = int(found[1] or found[2] or found[3], 16), found.end()
    low = re.compile(r"\\u([Dd][C-Fc-f][0-9A-Fa-f]{2})").match(pattern, end)
    if 0xD800 <= code < 0xDC00 and low:
        code, end = 0x10000 + (code - 0xD800) * 0x400 + int(low[1], 16) - 0xDC00, low.end()
    if code > 0x10FFFF or 0xD800 <= code < 0xE000:
        raise NotLinearError(pattern)
    return rf"\x{{{code:x}}}", end
