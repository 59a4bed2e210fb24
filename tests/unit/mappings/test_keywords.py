"""Keywords that take more than linear time in jsonschema: the same verdicts, in time that the item's size bounds."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from jsonschema._utils import uniq

from dynaurora.dynamodb.attributes import Binary
from dynaurora.mappings.keywords import BOUNDED_FORMATS, MAX_FORMAT_LENGTH, has_unique_items, is_of_format
from dynaurora.mappings.schema_judge import make_judge
from tests.support.factories import make_mapping

SCALARS = st.sampled_from([0, 1, 2, True, False, None, "", "1", "a", Decimal("0.5"), Decimal("1E+500"), Binary("AQ==")])
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2)
)


@given(st.lists(VALUES, max_size=5))
def test_items_are_equal_where_jsonschema_finds_them_so(items):
    assert has_unique_items(items) == uniq(items)


@pytest.mark.timeout(60)  # jsonschema takes minutes
@pytest.mark.parametrize(
    "items",
    [
        pytest.param([{"a": number} for number in range(35_000)], id="objects"),
        pytest.param([number if number % 2 else str(number) for number in range(60_000)], id="numbers and texts"),
    ],
)
def test_many_items_are_judged(items):
    schema = {"type": "object", "properties": {"tags": {"type": "array", "uniqueItems": True}}}
    judge = make_judge(make_mapping(schema=schema))
    assert not judge({"tags": items})
    assert [reason.rule for reason in judge({"tags": [*items, items[-1]]})] == ["uniqueItems"]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("expected", sorted(BOUNDED_FORMATS))
@pytest.mark.parametrize("unit", ["{", "(a|", "a?"])
def test_a_text_that_is_too_long_is_of_no_format_that_takes_long_to_judge(expected, unit):
    assert not is_of_format(unit * 390_000, expected)
    assert is_of_format("a" * MAX_FORMAT_LENGTH, expected)
    assert not is_of_format("a" * (MAX_FORMAT_LENGTH + 1), expected)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("text", ["a:" + "é" * 390_000, "a:" + "/" * 390_000, "[" * 390_000, "%é" * 100_000])
@pytest.mark.parametrize("expected", ["iri", "iri-reference"])
def test_a_long_iri_is_judged(expected, text):
    assert is_of_format(text, expected) == text.startswith("a:")


def test_an_iri_is_one_where_a_grammar_finds_it_so():
    """As rfc3987-syntax 1.1.0 judged all that is made of two of some parts, and many that are longer."""
    lines = (Path(__file__).parents[2] / "recorded/iris.jsonl").read_text("utf-8").splitlines()
    recorded = [json.loads(line) for line in lines]
    assert len(recorded) > 2000
    judged = [[text, is_of_format(text, "iri"), is_of_format(text, "iri-reference")] for text, *_ in recorded]
    assert judged == recorded


def test_an_iri_may_have_characters_of_all_planes():
    assert is_of_format("https://example.org/😀", "iri")


FORMATS = st.sampled_from(sorted(set(Draft202012Validator.FORMAT_CHECKER.checkers) - {"iri", "iri-reference"}))


@given(FORMATS, st.text(max_size=20) | SCALARS)
def test_other_texts_are_of_a_format_where_jsonschema_finds_them_so(expected, value):
    assert is_of_format(value, expected) == Draft202012Validator.FORMAT_CHECKER.conforms(value, expected)
