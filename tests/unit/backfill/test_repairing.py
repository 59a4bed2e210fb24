"""What a repair finds of keys: which are to be mended, and which version is to be beaten."""

from dataclasses import dataclass, field

import pytest

from backfill.repairing import Candidate, Surveyor, describe_impossible, read_differences
from backfill.rereading import KeyedReader, WantedKey
from dynaurora.aurora.differences import EndedVerification
from dynaurora.dynamodb.items import ItemsRead
from dynaurora.dynamodb.scans import Pace
from dynaurora.dynamodb.versions import make_version
from dynaurora.mappings.row_mapper import RowMapper
from dynaurora.verification.expectations import Expecter, WantedKind
from dynaurora.verification.verdicts import Found, RowVerdict
from tests.support.example import load_example
from tests.support.factories import click, click_item

CLICKS = load_example("web_analytics")
TABLE = CLICKS.table
EXTRA = frozenset({TABLE})


@dataclass
class KnownRows:
    """Rows by page: their verdict where they have an item, and their version; and what a verification left."""

    verdicts: dict = field(default_factory=dict)
    versions: dict = field(default_factory=dict)
    differences: list = field(default_factory=list)

    def compare(self, _table, expectations):
        return [self._find(each) for each in expectations]

    def _find(self, expectation):
        page = expectation.fields[0]
        if page in self.verdicts:
            return Found(self.verdicts[page])
        is_there = page in self.versions
        wants_none = expectation.kind is WantedKind.NOTHING
        return Found(RowVerdict.EXTRA if wants_none and is_there else RowVerdict.IDENTICAL)

    def ask(self, step, **given):
        if step == "tell_versions":
            return {"versions": [str(self.versions.get(row[1], 0)) for row in given["rows"]]}
        assert step == "read_differences"
        after = [one for one in self.differences if one["number"] > given["after"]]
        return {"differences": after[:2]}


class KnownItems:
    table = "web_analytics"

    def __init__(self, *pages):
        self.pages = pages

    def read_items(self, asked):
        found = [click_item(click(), key["page_id"]["S"]) for key in asked if key["page_id"]["S"] in self.pages]
        return ItemsRead(found, [], 1.0)


def key(page):
    return {"page_id": {"S": page}, "activity_dt": {"S": "2026-01-01"}}


def survey(rows, items, *candidates, keeps_expired=False):
    reader = KeyedReader(KnownItems(*items), Pace(1e9))
    return Surveyor(Expecter(RowMapper(CLICKS)), rows, reader, keeps_expired).survey(candidates)


def found(page):
    return Candidate(key(page), TABLE)


def kept(page, version):
    return Candidate(key(page), None, version)


def test_what_is_not_equal_is_to_be_mended_and_beats_the_version_of_its_row():
    rows = KnownRows({"a": RowVerdict.DIFFERING, "b": RowVerdict.MISSING}, {"a": 7, "extra": 9})
    done = survey(rows, ("a", "b", "c"), found("a"), found("b"), found("c"), found("extra"))
    assert done.counts == {"differing": 1, "extra": 1, "missing": 1}
    assert done.list_wanted() == [WantedKey(key("a"), 7), WantedKey(key("b"), 0), WantedKey(key("extra"), 9, EXTRA)]
    assert done.others == {RowVerdict.IDENTICAL: 1}
    assert (done.tally.differing, done.tally.identical, done.tally.agrees) == (1, 1, False)


def test_of_kept_failures_those_are_mended_whose_item_is_gone_and_whose_change_is_newer_than_the_row():
    rows = KnownRows({}, {"older": 3, "newer": 30})
    rows.verdicts["newer"] = RowVerdict.IDENTICAL  # a tombstone
    rows.verdicts["older"] = RowVerdict.IDENTICAL
    done = survey(rows, ("there",), kept("there", 9), kept("older", 9), kept("newer", 9), kept("never", 9))
    assert done.counts == {"kept": 2}
    assert done.list_wanted() == [WantedKey(key("older"), 9), WantedKey(key("never"), 9)]
    assert done.others == {}


def test_a_row_that_a_kept_failure_has_no_item_for_is_extra_whatever_its_version():
    done = survey(KnownRows({}, {"row": 30}), (), kept("row", 9))
    assert done.list_wanted() == [WantedKey(key("row"), 30, EXTRA)]


def test_a_key_that_was_found_and_is_kept_is_read_once_and_beats_both():
    done = survey(KnownRows({}, {"row": 5}), (), found("row"), kept("row", 9))
    assert done.list_wanted() == [WantedKey(key("row"), 9, EXTRA)]


@pytest.mark.parametrize("candidate", [found("row"), kept("row", 9)])
def test_rows_of_expired_items_are_left(candidate):
    done = survey(KnownRows({}, {"row": 5}), (), candidate, keeps_expired=True)
    assert (done.list_wanted(), done.expired) == ([], 1)


def test_a_version_of_the_future_is_told_with_what_can_be_done():
    future = make_version(4_000_000_000, 3)
    rows = KnownRows({"a": RowVerdict.IMPOSSIBLE}, {"a": future})
    done = survey(rows, ("a",), found("a"))
    said = " ".join(describe_impossible(done, {TABLE: "Demo.Clicks__replica"}))
    assert said.startswith(f"1 row of {TABLE} with a version in the future: nothing beats it before 2096-10-02")
    assert said.endswith(f"DELETE FROM Demo.Clicks__replica WHERE _version >= {future}")
    assert done.list_wanted() == []


def test_differences_are_read_to_their_end_and_each_key_once():
    rows = [("a", "differing"), ("a", "differing"), ("b", "missing"), ("c", "extra"), ("d", "older_mapping")]
    left = KnownRows(
        differences=[
            {"number": number, "target": TABLE, "item_key": key(page), "verdict": verdict}
            for number, (page, verdict) in enumerate(rows, 1)
        ]
    )
    counts = {"differing": 1, "missing": 4, "extra": 1, "older_mapping": 1, "identical": 90, "behind": 2}
    read = read_differences(left, EndedVerification("v", "scan", "2026", True, 6, counts))
    assert [each.key["page_id"]["S"] for each in read.candidates] == ["a", "b", "c", "d"]
    assert read.left_out == 3
