import base64
from datetime import date, datetime
from decimal import Decimal

import pytest

from dynaurora.mappings.columns import parse_type
from dynaurora.target.verification import MAX_EXAMPLES, comparable_field, comparable_value, compare
from tests.support.example import load_example
from tests.support.factories import CREATED_AT, click, click_item, column, make_mapping

CLICKS = load_example()


class InMemoryView:
    """Stands for a connection: streams the view's rows as the driver reads them."""

    def __init__(self, *rows):
        self.rows = rows

    def stream(self, _statement):
        return iter(self.rows)


def click_row(page_id="home", hits=3, country="DE", changed_at_ms=CREATED_AT * 1000):
    return (page_id, "2026-01-01", changed_at_ms, hits, "2026-01-01 10:00", "2026-01-01 10:05", country)


def counts(comparison):
    found = comparison
    return (found.items, found.rows, found.identical, found.differing, found.missing, found.unmapped)


def test_equal_items_and_rows_agree():
    items = [click_item(), click_item(page_id="cart")]
    comparison = compare(CLICKS, items, InMemoryView(click_row("cart"), click_row()))
    assert counts(comparison) == (2, 2, 2, 0, 0, 0)
    assert comparison.agrees


def test_the_time_of_the_change_is_not_compared():
    assert compare(CLICKS, [click_item()], InMemoryView(click_row(changed_at_ms=1))).identical == 1


def test_a_row_that_differs_is_named_by_its_columns_without_values():
    comparison = compare(CLICKS, [click_item()], InMemoryView(click_row(hits=4, country="FR")))
    assert counts(comparison) == (1, 1, 0, 1, 0, 0)
    assert comparison.examples == ["a row differs from its item in hits, country_code"]
    assert not comparison.agrees


def test_an_item_without_a_row_is_missing():
    comparison = compare(CLICKS, [click_item()], InMemoryView())
    assert counts(comparison) == (1, 0, 0, 0, 1, 0)
    assert not comparison.agrees


def test_a_row_without_an_item_differs():
    comparison = compare(CLICKS, [], InMemoryView(click_row()))
    assert counts(comparison) == (0, 1, 0, 1, 0, 0)
    assert comparison.examples == ["a row has no item"]
    assert not comparison.agrees


@pytest.mark.parametrize("key", ["home ", "Home", "HOME"])
def test_keys_are_compared_byte_by_byte(key):
    comparison = compare(CLICKS, [click_item()], InMemoryView(click_row(key)))
    assert (comparison.missing, comparison.differing) == (1, 1)


@pytest.mark.parametrize("rows", [(), (click_row(),)], ids=["without an older row", "with an older row"])
def test_an_item_that_the_mapping_refuses_is_accounted_for(rows):
    comparison = compare(CLICKS, [click_item("not JSON")], InMemoryView(*rows))
    assert counts(comparison) == (1, len(rows), 0, 0, 0, 1)
    assert comparison.unmapped_reasons == {"payload (json)": 1}
    assert comparison.agrees


def test_an_item_whose_key_no_row_can_have_is_accounted_for():
    comparison = compare(CLICKS, [click_item(page_id="x" * 256)], InMemoryView())
    assert (comparison.unmapped, comparison.agrees) == (1, True)


def test_examples_are_few():
    rows = [click_row(f"page-{number}") for number in range(MAX_EXAMPLES + 5)]
    comparison = compare(CLICKS, [], InMemoryView(*rows))
    assert (comparison.differing, len(comparison.examples)) == (MAX_EXAMPLES + 5, MAX_EXAMPLES)


def test_an_item_of_a_numeric_key_finds_its_row():
    mapping = make_mapping(column("n", "DECIMAL(38,10)"), sort_key="n")
    item = {"id": {"S": "a"}, "n": {"N": "1.5"}}
    assert compare(mapping, [item], InMemoryView(("a", Decimal("1.5000000000")))).agrees


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("INT", "5", 5),
        ("BOOLEAN", "1", 1),
        ("DECIMAL(5,2)", "1.5", Decimal("1.50")),
        ("DOUBLE", "1e+16", 1e16),
        ("DOUBLE", "0.1", 0.1),
        ("VARCHAR(9)", "a ", "a "),
        ("BLOB", base64.b64encode(b"\0\xff").decode(), b"\0\xff"),
        ("DATE", "2024-02-29", date(2024, 2, 29)),
        ("DATETIME", "2024-02-29 12:00:00", datetime(2024, 2, 29, 12)),
        ("TIMESTAMP(3)", "2024-02-29 12:00:00.5", datetime(2024, 2, 29, 12, 0, 0, 500_000)),
        ("JSON", '{"b":1,"a":[1e16]}', '{"a": [1e16], "b": 1}'),
        ("INT", None, None),
    ],
)
def test_a_field_equals_what_the_driver_reads_of_it(kind, field, value):
    column_type = parse_type(kind)
    assert comparable_field(column_type, field) == comparable_value(column_type, value)


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("VARCHAR(9)", "", None),
        ("VARCHAR(9)", "a", "a "),
        ("VARCHAR(9)", "\u00e9", "e\u0301"),  # composed and decomposed
        ("JSON", "null", None),
        ("JSON", '"1"', "1"),
        ("DOUBLE", "0.1", 0.1 + 2**-55),
        ("DATETIME(6)", "2024-02-29 12:00:00.000001", datetime(2024, 2, 29, 12)),
    ],
)
def test_a_field_differs_from_what_is_almost_it(kind, field, value):
    column_type = parse_type(kind)
    assert comparable_field(column_type, field) != comparable_value(column_type, value)


def test_a_payload_is_compared_as_the_mapping_maps_it():
    item = click_item(click(unknown="attribute"))
    assert compare(CLICKS, [item], InMemoryView(click_row())).agrees
