r"""Automata of patterns: what RE2 knows after a while is told from what makes a new state with each character."""

from itertools import islice, product
from string import ascii_lowercase

import pytest

from dynaurora.mappings.automata import has_few_states
from dynaurora.mappings.patterns import find_many_states, is_linear, translate_for_python

MANY = [
    r"a.{1,999}b.{1,999}c",
    r"(a.{1,500}b){2}z",
    r"^(a|b)*a(a|b){900}c$",
    r"[ab]*a[ab]{900}c",
    r"^.{1,500}\s.{1,400}$",
    r"(?:[^]{0,255}[\u4e00-\u9fff]){0,3}Q",
    r"\p{Lu}.{200}b\P{Lu}c",
    r"\p{Greek}[\p{Greek}\p{Cyrillic}]{550}!",
    r"\p{Nd}[\p{Nd}\p{Thai}]{550}!",
]
FEW = [
    r"^.{1,1000}$",
    r"[a-z]{10,255}!",
    r"^\S+@\S+\.\S+$",
    r"^(\w+\s?)*$",
    r"^[\w.%+-]{1,64}@[A-Za-z0-9.-]{1,255}\.[A-Za-z]{2,63}$",
    r"^[\w.]{1,64}@(?:[\w-]{1,63}\.){1,10}[a-z]{2,63}$",
    r"^\p{L}{1,50} \p{L}{1,50}$",
    r"^(\w{1,100} ){1,9}\w{1,100}$",
    r"^[A-Za-z0-9+/]{4,1000}={0,2}$",
    r"\b[A-Z]{3,500}\b",
    r"^[^\D5-9]{1,900}[^a]{0,50}\B$",
    r"^\\p\{L\}{1,300}$",
    r"^(?:a|bc)*?x{1,200}|^$",
    r"^[a&&b]{300}[+--]{300}$",
]
IDEOGRAPHS = [chr(0x4E00 + number) for number in range(3000)]
LISTS = {
    "1,000 words of characters that are in no other": map("".join, zip(*[iter(IDEOGRAPHS)] * 3, strict=True)),
    "5,000 words of letters": map("".join, islice(product(ascii_lowercase[::2], repeat=4), 0, 25_000, 5)),
}


@pytest.mark.parametrize("pattern", MANY)
def test_a_pattern_of_many_states_is_found(pattern):
    assert is_linear(pattern)
    assert [*find_many_states({"properties": {"x": {"pattern": pattern}}})] == [
        ("schema.properties.x.pattern", pattern)
    ]
    assert [*find_many_states({"patternProperties": {pattern: {}}})] == [("schema.patternProperties", pattern)]


@pytest.mark.parametrize("pattern", FEW)
def test_a_pattern_of_few_states_is_left_alone(pattern):
    assert is_linear(pattern)
    assert has_few_states(translate_for_python(pattern))


@pytest.mark.parametrize("end", ["$", " .{1,500}$"])
@pytest.mark.parametrize("words", [pytest.param([*words], id=name) for name, words in LISTS.items()])
def test_a_list_of_words_has_few_states(words, end):
    assert has_few_states(translate_for_python(f"^({'|'.join(words)}){end}"))


@pytest.mark.parametrize(
    "pattern",
    [
        f"^({'|'.join(f'[{first}-{chr(ord(first) + 3000)}]x' for first in IDEOGRAPHS)})$",
        f"(?:{'()' * 4000}){{900}}a",
    ],
    ids=["edges", "empty parts"],
)
def test_classes_and_parts_are_counted_as_states_are(pattern):
    assert not has_few_states(translate_for_python(pattern))


def test_a_pattern_that_python_does_not_read_is_taken_for_one_of_many():
    assert is_linear("^*a")
    assert not has_few_states(translate_for_python("^*a"))


def test_a_pattern_that_has_more_places_than_are_looked_at_has_many():
    assert not has_few_states("((a{1,90}){1,90}){1,90}")


def test_a_pattern_without_a_linear_form_is_named_for_that_alone():
    assert [*find_many_states({"properties": {"x": {"pattern": r"^(?=a).{1,999}b.{1,999}$"}}})] == []
