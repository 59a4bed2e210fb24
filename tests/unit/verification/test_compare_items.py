from decimal import Decimal

import pytest

from dynaurora.batches.compare_staged import FUTURE_SECONDS
from dynaurora.errors import InvalidBatchError
from dynaurora.mappings.row_mapper import RowMapper
from dynaurora.verification.compare_items import compare_items
from dynaurora.verification.compare_rows import RowComparer
from dynaurora.verification.expectations import Expectation, Expecter, WantedKind
from dynaurora.verification.verdicts import MAX_EXAMPLES, Found, RowVerdict, Tally
from tests.support.example import load_example
from tests.support.factories import CREATED_AT, click, click_item, column, make_mapping

CLICKS = load_example()
NOW = 1_800_000_000
DIGEST = b"12345678"


class InMemoryRows:
    """Stands for a connection that finds these rows, whichever are looked up, as the driver reads them."""

    def __init__(self, *rows):
        self.rows = rows

    def query(self, statement, _parameters=()):
        return [] if "information_schema" in statement else list(self.rows)  # no target is being filled

    def transaction(self):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        pass

    def execute(self, _statement, _parameters=()):
        return 0


def click_row(page_id="home", hits=3, country="DE", changed_at_ms=CREATED_AT * 1000, *, deleted=0, second=CREATED_AT):
    columns = (page_id, "2026-01-01", changed_at_ms, hits, "2026-01-01 10:00", "2026-01-01 10:05", country)
    return (deleted, second * 10**40, 1, DIGEST, *columns)


def compare(items, *rows, mapping=CLICKS):
    comparer = RowComparer(InMemoryRows(*rows), mapping, "run", clock=lambda: NOW, _older=lambda _: False)
    return compare_items(Expecter(RowMapper(mapping)), comparer, items)


def findings(compared):
    return [(suspect.finding.verdict.value, *suspect.finding.columns) for suspect in compared.suspects]


def test_equal_items_and_rows_agree():
    compared = compare([click_item(), click_item(page_id="cart")], click_row("cart"), click_row())
    assert (compared.tally.items, compared.tally.identical, compared.suspects) == (2, 2, [])


def test_the_time_of_the_change_is_not_compared():
    assert compare([click_item()], click_row(changed_at_ms=1)).tally.identical == 1


def test_a_row_that_differs_is_named_by_its_columns():
    compared = compare([click_item()], click_row(hits=4, country="FR"))
    assert findings(compared) == [("differing", "hits", "country_code")]
    assert compared.suspects[0].as_dict() == {
        "target": "WebAnalytics",
        "key": {"page_id": {"S": "home"}, "activity_dt": {"S": "2026-01-01"}},
        "verdict": "differing",
        "columns": ["hits", "country_code"],
    }


@pytest.mark.parametrize("rows", [(), (click_row(deleted=1),)], ids=["no row", "a tombstone"])
def test_an_item_without_a_row_is_missing(rows):
    assert findings(compare([click_item()], *rows)) == [("missing",)]


@pytest.mark.parametrize("key", ["home ", "Home", "HOME"])
def test_keys_are_compared_byte_by_byte(key):
    assert findings(compare([click_item()], click_row(key))) == [("missing",)]


def test_a_row_that_is_equal_by_chance_and_takes_no_change_any_more_is_named():
    assert compare([click_item()], click_row(second=NOW + FUTURE_SECONDS)).tally.identical == 1
    assert findings(compare([click_item()], click_row(second=NOW + FUTURE_SECONDS + 1))) == [("impossible",)]


@pytest.mark.parametrize("rows", [(), (click_row(),)], ids=["without an older row", "with an older row"])
def test_an_item_that_the_mapping_refuses_is_accounted_for(rows):
    compared = compare([click_item("not JSON")], *rows)
    assert (compared.tally.failed, compared.suspects) == (1, [])
    assert compared.tally.reasons == {"payload (json)": 1}


def test_an_item_whose_key_no_row_can_have_is_accounted_for():
    compared = compare([click_item(page_id="x" * 256)])
    assert (compared.tally.failed, compared.suspects) == (1, [])


def test_an_item_of_a_numeric_key_finds_its_row():
    mapping = make_mapping(column("n", "DECIMAL(38,10)"), sort_key="n")
    item = {"id": {"S": "a"}, "n": {"N": "1.5"}}
    assert compare([item], (0, 1, 1, DIGEST, "a", Decimal("1.5000000000")), mapping=mapping).tally.identical == 1


def test_a_payload_is_compared_as_the_mapping_maps_it():
    assert compare([click_item(click(unknown="attribute"))], click_row()).tally.identical == 1


def test_examples_are_few_and_of_what_nothing_explains():
    tally = Tally()
    for verdict in (RowVerdict.BEHIND, RowVerdict.FAILED, *[RowVerdict.EXTRA] * (MAX_EXAMPLES + 5)):
        tally.count(Found(verdict))
    assert (tally.extra, len(tally.examples), set(tally.examples)) == (
        MAX_EXAMPLES + 5,
        MAX_EXAMPLES,
        {"a row has no item"},
    )
    both = Tally()
    both.add(tally)
    both.add(tally)
    assert (both.extra, both.behind, len(both.examples), both.agrees) == (2 * MAX_EXAMPLES + 10, 2, MAX_EXAMPLES, False)


@pytest.mark.parametrize(
    ("verdict", "agrees"),
    [
        *((verdict, False) for verdict in ("differing", "missing", "extra", "impossible")),
        *((verdict, True) for verdict in ("identical", "behind", "newer", "older_mapping", "failed", "skipped")),
    ],
)
def test_a_table_agrees_where_everything_is_equal_or_explained(verdict, agrees):
    assert Tally(**{verdict: 1}).agrees is agrees


def test_an_expectation_travels_as_json():
    expectation = Expectation(WantedKind.ROW, ("a", None, ""))
    assert Expectation.decode(expectation.encode()) == expectation
    for wrong in (None, [], ["what"], ["row", 1]):
        with pytest.raises(InvalidBatchError, match="to compare"):
            Expectation.decode(wrong)
