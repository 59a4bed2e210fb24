"""Items compared with rows of the real database, of which some were changed behind its back."""

import base64

import pytest

from dynaurora.aurora.migrations import SEEN_KEYS
from dynaurora.dynamodb.changes import Change
from dynaurora.dynamodb.versions import SEQUENCE_RANGE
from dynaurora.mappings.row_mapper import RowMapper
from dynaurora.verification import unseen_rows
from dynaurora.verification.compare_items import compare_items, compare_table, find_extra_rows
from dynaurora.verification.compare_rows import RowComparer
from dynaurora.verification.expectations import Expecter
from dynaurora.verification.unseen_rows import Unseen, choose_pass
from tests.integration.targets import Target, TargetFor
from tests.support.factories import click_item, column, make_mapping

pytestmark = pytest.mark.integration

PAGES = [
    *(f"page-{number:02}" for number in range(20)),
    "page-01 ",
    "PAGE-01",
    "päge",
    "it's \\ \N{GRINNING FACE}",
    '"',
]


@pytest.fixture
def clicks(target: Target, monkeypatch: pytest.MonkeyPatch) -> Target:
    """Rows of items, and a tombstone, in stretches of few."""
    monkeypatch.setattr(unseen_rows, "STEP_ROWS", 4)
    monkeypatch.setattr(unseen_rows, "MOST_UNSEEN", 1)
    mapper = RowMapper(target.mapping)
    items = [*map(item_of, PAGES)]
    gone = mapper.row(Change(2, 0, Expecter(mapper).take_key(item_of("gone")), None))
    target.import_rows([*(mapper.row(Change(1, 0, item, item)) for item in items), gone])
    return target


def item_of(page: str) -> dict:
    return click_item(page_id=page)


def compare(target: Target, items: list[dict]) -> list[tuple[str, str]]:
    """Return what is suspect: page and verdict."""
    with target.connect() as aurora:
        lookup, found = RowComparer(aurora, target.mapping, "run"), []
        compared = compare_items(Expecter(RowMapper(target.mapping)), lookup, items)
        found += compared.suspects
        stretches = [*find_extra_rows(target.mapping, lookup, {"page_id": "S", "activity_dt": "S"})]
        found += [suspect for stretch in stretches for suspect in stretch.suspects]
        lookup.forget()
        assert aurora.query(f"SELECT * FROM Demo.{SEEN_KEYS}") == []
    ((rows,),) = target.query("SELECT COUNT(*) FROM Demo.WebAnalytics")
    assert sum(stretch.tally.rows for stretch in stretches) == rows
    assert compared.tally.identical + len(compared.suspects) == len(items)
    return sorted((suspect.key["page_id"]["S"], suspect.finding.verdict.value) for suspect in found)


def test_equal_sides_agree_whatever_the_keys(clicks: Target) -> None:
    assert compare(clicks, [*map(item_of, PAGES)]) == []


def test_rows_changed_deleted_and_added_by_hand_are_named_and_no_others(clicks: Target) -> None:
    clicks.execute("DELETE FROM Demo.WebAnalytics__replica WHERE page_id = 'page-01 '")
    clicks.execute("UPDATE Demo.WebAnalytics__replica SET hits = hits + 1 WHERE page_id IN ('PAGE-01', 'page-19')")
    clicks.execute("UPDATE Demo.WebAnalytics__replica SET _deleted = TRUE WHERE page_id = 'page-02'")
    clicks.execute("UPDATE Demo.WebAnalytics__replica SET _deleted = FALSE WHERE page_id = 'gone'")
    clicks.execute(
        "INSERT INTO Demo.WebAnalytics__replica (page_id, activity_dt, _deleted, _version) VALUES ('zz', 'x', 0, 1)"
    )
    clicks.execute(f"UPDATE Demo.WebAnalytics__replica SET _version = {2**33 * 10**40} WHERE page_id = 'page-03'")
    assert compare(clicks, [*map(item_of, PAGES)]) == sorted(
        [
            *[("page-01 ", "missing"), ("page-02", "missing"), ("PAGE-01", "differing"), ("page-19", "differing")],
            *[("gone", "extra"), ("zz", "extra"), ("page-03", "impossible")],
        ]
    )


def test_how_long_ago_a_row_was_changed_is_told_by_its_version(target: Target) -> None:
    mapper = RowMapper(target.mapping)
    expecter, second = Expecter(mapper), SEQUENCE_RANGE
    item, gone, future, absent = map(item_of, ("item", "gone", "future", "absent"))
    changes = [(900 * second + 7, item), (800 * second, None), (10**6 * second, future)]
    target.import_rows(
        mapper.row(Change(version, 0, expecter.take_key(item or gone), item)) for version, item in changes
    )
    with target.connect() as aurora:
        lookup = RowComparer(aurora, target.mapping, "run", clock=lambda: 1000.9)
        wanted = [each.expectation for one in (item, gone, future, absent) for each in expecter.expect(one, one)]
        found = lookup.compare(target.mapping.table, [each for each in wanted if each])
        lookup.forget()
    assert [(one.verdict.value, one.age) for one in found] == [
        *[("identical", 100), ("missing", 200), ("impossible", None), ("missing", None)]
    ]


def test_a_mutant_that_forgets_extra_rows_is_caught(clicks: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RowComparer, "list_unseen", lambda *_given: Unseen(rows=len(PAGES)))
    with pytest.raises(AssertionError):
        test_rows_whose_items_are_gone_are_extra(clicks)


def test_rows_whose_items_are_gone_are_extra(clicks: Target) -> None:
    gone = {"page-00", "page-07", "page-08", "page-09", '"'}
    left = [item_of(page) for page in PAGES if page not in gone]
    assert compare(clicks, left) == sorted((page, "extra") for page in gone)


def test_rows_of_no_item_are_looked_for_from_where_somebody_left_it(
    clicks: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unseen_rows, "STEP_SECONDS", 0)
    found, rows, left, steps = [], 0, None, 0
    with clicks.connect() as aurora:
        lookup = RowComparer(aurora, clicks.mapping, "run")
        compare_items(Expecter(RowMapper(clicks.mapping)), lookup, [*map(item_of, PAGES[3:])])
        while steps == 0 or left is not None:
            types = {"page_id": "S", "activity_dt": "S"}
            stretch = next(find_extra_rows(clicks.mapping, lookup, types, position=left))
            found += [suspect.key["page_id"]["S"] for suspect in stretch.suspects]
            rows, left, steps = rows + stretch.tally.rows, stretch.left, steps + 1
        lookup.forget()
    assert (sorted(found), rows) == (PAGES[:3], len(PAGES))
    assert steps > 3


def test_rows_are_told_apart_by_the_passes_of_a_table_too_large_for_one(
    clicks: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each compares a share of one bucket's digests, as of three hundred million rows."""
    monkeypatch.setattr(unseen_rows, "STEP_ROWS", 10)
    monkeypatch.setattr(unseen_rows, "MOST_UNSEEN", 1000)
    monkeypatch.setattr(unseen_rows, "choose_pass", lambda number, _rows: choose_pass(number, 300_000_000))
    test_rows_whose_items_are_gone_are_extra(clicks)


def test_rows_no_older_than_a_snapshot_are_only_counted_and_a_step_may_be_repeated(
    clicks: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unseen_rows, "STEP_SECONDS", 0)
    mapper, found, rows, newer = RowMapper(clicks.mapping), set(), 0, 0
    later = [mapper.row(Change(5, 0, item_of(page), item_of(page))) for page in ("new", "page-03", "page-04")]
    clicks.import_rows(later)
    clicks.execute(
        "INSERT INTO Demo.WebAnalytics__replica (page_id, activity_dt, _deleted, _version)"
        f" VALUES ('of the future', 'x', 0, {2**33 * 10**40})"
    )  # no change has made it
    with clicks.connect() as aurora:
        lookup, after = RowComparer(aurora, clicks.mapping, "run"), None
        compare_items(Expecter(mapper), lookup, [*map(item_of, PAGES[4:])])
        while True:
            lookup.list_unseen("WebAnalytics", after, 5)  # its answer is lost
            unseen = lookup.list_unseen("WebAnalytics", after, 5)
            rows, newer, after = rows + unseen.rows, newer + unseen.newer, unseen.after
            assert not found & set(unseen.keys)
            found |= set(unseen.keys)
            if after is None:
                break
        lookup.forget()
    assert {page for page, _ in found} == {"page-00", "page-01", "page-02", "of the future"}
    assert (rows, newer) == (len(PAGES) + 2, 2)


def test_a_row_of_a_refused_item_is_not_extra(clicks: Target) -> None:
    items = [item_of(page) for page in PAGES if page != "page-05"] + [click_item("not JSON", page_id="page-05")]
    with clicks.connect() as aurora:
        found = compare_table(clicks.mapping, items, aurora)
    assert (found.identical, found.failed, found.extra, found.agrees) == (len(PAGES) - 1, 1, 0, True)


@pytest.mark.parametrize(
    ("kind", "attribute", "keys"),
    [
        ("VARBINARY(40)", "B", [base64.b64encode(key).decode() for key in (b"\0", b"\0\0", b"\xff\x80'\\", b"a" * 40)]),
        ("VARBINARY(40)", "S", ["a", "a ", "\N{GRINNING FACE}", "x" * 40]),
        ("BIGINT", "N", ["-5", "0", "7", "9007199254740993"]),
        ("DECIMAL(38,10)", "N", ["-1.5", "0", "12345678901234567890.0000000001", "12345678901234567890.0000000002"]),
        ("VARCHAR(20)", "N", ["10", "9", "1.5", "-3"]),
    ],
)
def test_keys_of_every_kind_are_found(
    target_for: TargetFor, monkeypatch: pytest.MonkeyPatch, kind: str, attribute: str, keys: list[str]
) -> None:
    monkeypatch.setattr(unseen_rows, "STEP_ROWS", 1)
    target = target_for(make_mapping(column("sk", kind), column("n", "INT"), sort_key="sk"))
    items = [{"id": {"S": "a"}, "sk": {attribute: key}, "n": {"N": "1"}} for key in keys]
    mapper = RowMapper(target.mapping)
    target.import_rows([mapper.row(Change(1, 0, item, item)) for item in items])
    with target.connect() as aurora:
        whole = compare_table(target.mapping, items, aurora)
        assert (whole.identical, whole.rows, whole.agrees) == (len(keys), len(keys), True)
        lookup = RowComparer(aurora, target.mapping, "run")
        assert not compare_items(Expecter(mapper), lookup, items[1:]).suspects
        extras = [
            each
            for found in find_extra_rows(target.mapping, lookup, {"id": "S", "sk": attribute})
            for each in found.suspects
        ]
        lookup.forget()
    assert [(each.key["id"], float_or_text(each.key["sk"])) for each in extras] == [
        ({"S": "a"}, float_or_text(items[0]["sk"]))
    ]


def float_or_text(value: dict[str, str]) -> object:
    """DynamoDB takes a number however it is spelled."""
    return float(value["N"]) if "N" in value else value
