r"""Patterns: what ECMA-262 means, in linear time; each verdict is that of a JavaScript engine with the flag `u`."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynaurora.errors import InvalidMappingError
from dynaurora.mappings.patterns import (
    MAX_UNBOUNDED_LENGTH,
    NO_WHITE_SPACE,
    WHITE_SPACE,
    InvalidPatternError,
    NotLinearError,
    compile_pattern,
    find_unbounded,
    is_linear,
    translate,
)
from dynaurora.mappings.schema_judge import make_judge, make_reference_judge
from tests.support.factories import make_mapping


@pytest.mark.parametrize(
    ("pattern", "taken", "refused"),
    [
        pytest.param(r"^[a-z]+$", ["abc"], ["abc\n", "a\nb"], id="the end is the end"),
        pytest.param(r"^\d+$", ["12"], ["١٢", "²"], id="digits are ASCII"),
        pytest.param(r"^\w+$", ["a_1"], ["é"], id="words are ASCII"),
        pytest.param(r"^a.b$", ["a\x85b", "a😀b"], ["a\nb", "a\rb", "a\u2028b", "a\u2029b"], id="any but a line's end"),
        pytest.param(r"^\s$", [" ", "\v", "\u00a0", "\ufeff", "\u3000"], ["\x1c", "\x85", "a"], id="white space"),
        pytest.param(r"^\S$", ["\x1c", "\x85", "a"], [" ", "\v", "\u00a0", "\ufeff"], id="no white space"),
        pytest.param(r"^[^\s]$", ["a"], ["\u00a0"], id="a class without white space"),
        pytest.param(r"^[\s\S]$", ["\n", "a", "😀"], ["", "ab"], id="anything"),
        pytest.param(r"^[\S]$", ["a"], ["\u00a0"], id="a class of no white space"),
        pytest.param(r"^[^]$", ["\n"], [""], id="anything in a class"),
        pytest.param(r"[]", [], ["", "a", "]"], id="nothing"),
        pytest.param(r"^[[:alph]+$", ["[ah", ":"], ["b"], id="a bracket in a class"),
        pytest.param(r"^[^^]$", ["a"], ["^"], id="a circumflex in a class"),
        pytest.param(r"^[\b]$", ["\b"], ["b"], id="backspace"),
        pytest.param(r"^[a\-z]$", ["-", "a"], ["b"], id="a hyphen"),
        pytest.param(r"^\p{L}+$", ["éß日"], ["1"], id="letters"),
        pytest.param(r"^\p{Letter}+$", ["éß"], ["1"], id="letters by their long name"),
        pytest.param(r"^\P{Lu}$", ["a"], ["A"], id="no capitals"),
        pytest.param(r"^\p{Script=Greek}\p{sc=Latin}$", ["αa"], ["aα"], id="scripts"),
        pytest.param(r"^(?<year>[0-9]{4})$", ["2024"], ["24"], id="a named group"),
        pytest.param(r"^\cA\x41\u0042\u{43}$", ["\x01ABC"], ["cABC"], id="escapes"),
        pytest.param(r"^\u{1F600}\uD83D\uDE00$", ["😀😀"], ["😀"], id="beyond the first plane"),
        pytest.param(r"^\0$", ["\0"], ["0"], id="null"),
        pytest.param(r"^\/\.\*\$\-$", ["/.*$-"], ["/a*$-"], id="punctuation"),
        pytest.param(r"^a{2}b{1,}c{0,2}$", ["aab", "aabbcc"], ["ab", "aabccc"], id="counts"),
        pytest.param(r"^(?:a|bc)*?$", ["", "abca"], ["b"], id="alternatives"),
        pytest.param(r"^[\w.+-]+@[\w-]+\.[\w.-]+$", ["a.b+c@d-e.fr"], ["a@b", "@.a"], id="an address"),
        pytest.param(r"^.$", ["\ud800"], ["\ud800a"], id="a lone surrogate"),
        pytest.param(r"^\p{sc=Cyrl}\p{punct}\p{digit}$", ["да!1"[1:]], ["a!1"], id="short names"),
        pytest.param(r"^\p{ASCII}\P{ASCII}[\p{AHex}x]$", ["aéF", "aéx"], ["ééF", "aéG"], id="ASCII"),
        pytest.param(r"^\p{White_Space}\p{LC}$", ["\x85a", "\u2003A"], ["\ufeffa", " 1"], id="other properties"),
        pytest.param(r"^(?<größe>\d+)$", ["12"], ["x"], id="a group named by any letters"),
        pytest.param("b", ["abc", "\nb"], ["a"], id="anywhere"),
        pytest.param("b-@ ", ["\ud800b-@ "], ["b-@", "b@ "], id="nothing but text"),
    ],
)
def test_a_pattern_means_what_it_means_in_javascript(pattern, taken, refused):
    assert is_linear(pattern)
    search = compile_pattern(pattern)
    assert [text for text in taken if not search(text)] == []
    assert [text for text in refused if search(text)] == []


@pytest.mark.parametrize(
    ("pattern", "text"),
    [(r"^(?=.*[0-9])\w+$", "a1"), (r"^(a)\1$", "aa"), (r"(?i)^a$", "A"), (r"\Aa\Z", "a"), (r"a{1001}", "a" * 1001)],
)
def test_what_has_no_linear_form_is_judged_as_python_reads_it_of_texts_of_bounded_length(pattern, text):
    assert not is_linear(pattern)
    with pytest.raises(NotLinearError):
        translate(pattern if "{" not in pattern else r"\1")
    search = compile_pattern(pattern)
    assert search(text) == (len(text) <= MAX_UNBOUNDED_LENGTH)
    assert not search(text * MAX_UNBOUNDED_LENGTH)


@pytest.mark.parametrize(
    ("pattern", "taken", "refused"),
    [
        (r"^(?!a).$", ["b", "\x85"], ["a", "\r", "\u2028", "b\n"]),
        (r"^(?=.*\d)\w+$", ["a1"], ["a\u0661", "é1"]),
        (r"^(?!\d)\w", ["a"], ["é", "1"]),
        (r"(?<=\s)b$", ["\ufeffb", " b"], ["\x1cb", " b\n"]),
        (r"(?<!\u{1F600})b", ["ab"], ["😀b"]),
        (r"^(?<y>\d{4})-\k<y>$", ["2026-2026"], ["2026-2025"]),
        (r"^([^])\1$", ["\n\n"], ["ab"]),
    ],
)
def test_what_looks_around_or_back_means_what_it_means_in_javascript(pattern, taken, refused):
    assert not is_linear(pattern)
    search = compile_pattern(pattern)
    assert [text for text in taken if not search(text)] == []
    assert [text for text in refused if search(text)] == []


@pytest.mark.parametrize("pattern", ["(", "[a", "*", "(?z)", "\\", "a**", "(?P<1>a)", "[z-a]"])
def test_what_is_no_pattern_is_named(pattern):
    with pytest.raises(InvalidPatternError, match=r"is no regular expression"):
        is_linear(pattern)
    with pytest.raises(InvalidMappingError, match=r"schema.*pattern"):
        make_mapping(schema={"type": "object", "properties": {"a": {"pattern": pattern}}})


@pytest.mark.timeout(60)  # Python takes minutes, or for ever
@pytest.mark.parametrize(
    ("pattern", "unit"),
    [
        (r"^\S+@\S+\.\S+$", "@."),
        (r"\s+$", " "),
        (r"^([a-zA-Z0-9]+[._-]?)+@x", "a"),
        (r"^(a+)+$", "a"),
        (r"^(a|a)*$", "a"),
        (r"^(\w+\s?)*$", "a"),
        (r"(x+x+)+y", "x"),
    ],
)
def test_no_text_is_slow(pattern, unit):
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": pattern}}}
    mapping, text = make_mapping(schema=schema), unit * (390_000 // len(unit)) + "\t!"
    for judge in (make_judge(mapping), make_reference_judge(mapping)):
        assert [reason.rule for reason in judge({"a": text})] == ["pattern"]
    names = {"type": "object", "patternProperties": {pattern: {"type": "string"}}, "additionalProperties": False}
    mapping = make_mapping(schema=names)
    for judge in (make_judge(mapping), make_reference_judge(mapping)):
        assert [reason.rule for reason in judge({text: "1"})] == ["additionalProperties"]


@given(st.characters(codec="utf-8"))
def test_each_character_is_white_space_or_none(character):
    is_white, is_none = (compile_pattern(f"^[{members}]$") for members in (r"\s", r"\S"))
    assert is_white(character) != is_none(character)
    assert is_white(character) == (
        character in "\t\n\v\f\r \u00a0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff" or "\u2000" <= character <= "\u200a"
    )
    assert WHITE_SPACE != NO_WHITE_SPACE


PIECES = st.sampled_from(
    ["a", "b", "[ab]", "[^a]", "(a|b)", "(?:ab)", "a?", "b*", "[a-c]+", "a{1,2}", "^", "$", "|", r"\."]
)


@given(st.lists(PIECES, max_size=6).map("".join), st.text("abc.", max_size=6))
def test_what_both_engines_have_they_judge_alike(pattern, text):
    assert compile_pattern(pattern)(text) == bool(re.search(pattern, text))


def test_patterns_without_a_bound_are_listed_by_their_place():
    schema = {
        "properties": {"a": {"pattern": "(?=a)"}, "pattern": {"pattern": "^a$"}},
        "patternProperties": {r"(a)\1": {"items": {"pattern": "(?!a)"}}},
        "examples": [{"pattern": "(?=not a keyword)"}],
    }
    assert list(find_unbounded(schema)) == [
        ("schema.properties.a.pattern", "(?=a)"),
        ("schema.patternProperties", r"(a)\1"),
        (r"schema.patternProperties.(a)\1.items.pattern", "(?!a)"),
    ]
