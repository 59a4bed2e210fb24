"""Suspects are judged while both sides change: what is on its way is no difference, and what differs is named."""

from dataclasses import dataclass, field, replace

import pytest

from dynaurora.mappings.row_mapper import RowMapper
from dynaurora.verification.compare_items import Suspect
from dynaurora.verification.expectations import Expecter, WantedKind
from dynaurora.verification.judging import SuspectJudge
from dynaurora.verification.pending_batches import Pending
from dynaurora.verification.verdicts import Found, RowVerdict
from tests.support.factories import column, make_mapping

MAPPING = make_mapping(column("n", "INT"))
DIFFERS = Found(RowVerdict.DIFFERING, ("n",))


def item(n):
    return {"id": {"S": "a"}, "n": {"N": str(n)}}


@dataclass
class World:
    """An item and its row, which change as time goes by, and how far the stream has been imported."""

    items: dict[int, object]
    """By second, from when on it is what."""
    rows: dict[int, object]
    watermarks: dict[int, int]
    written: dict[int, int] = field(default_factory=dict)
    """The second of the change that the row is of, by when it was imported; rows of no change are as old as can be."""
    now: float = 0
    looked: list[str] = field(default_factory=list)

    def at(self, what):
        return next(what[second] for second in sorted(what, reverse=True) if second <= self.now)

    def read_item(self, _key):
        self.looked.append("key")
        n = self.at(self.items)
        return None if n is None else item(n)

    def compare(self, table, expectations):
        age = int(self.now) - self.at(self.written) if self.written else None
        return [replace(found, age=age) for found in self.find(table, expectations)]

    def find(self, _table, expectations):
        self.looked.append("row")
        return [self.find_one(expected) for expected in expectations]

    def find_one(self, expected):
        found = self.at(self.rows)
        if expected.kind is WantedKind.ANYTHING:
            return Found(RowVerdict.FAILED)
        if expected.kind is WantedKind.NOTHING:
            return Found(RowVerdict.IDENTICAL if found is None else RowVerdict.EXTRA)
        if found is None:
            return Found(RowVerdict.MISSING)
        return Found(RowVerdict.IDENTICAL) if expected.fields == ("a", str(found)) else DIFFERS

    def sleep(self, seconds):
        self.now += seconds

    def judge(self, finding=DIFFERS, **more):
        (judged,) = self.judge_all([finding], **more)
        return judged

    def judge_all(self, findings, **more):
        judge = SuspectJudge(
            Expecter(RowMapper(MAPPING)),
            self,
            self,
            lambda: self.at(self.watermarks),
            poll_seconds=10,
            patience_seconds=100,
            clock=lambda: self.now,
            sleep=self.sleep,
            **more,
        )
        suspects = [Suspect(MAPPING.table, {"id": {"S": "a"}}, finding) for finding in findings]
        return [judged.finding for judged in judge.judge(suspects)]


def test_a_change_on_its_way_is_no_difference():
    world = World(items={0: 2}, rows={0: 1, 50: 2}, watermarks={0: -1, 60: 60})
    assert (world.judge(), world.now) == (Found(RowVerdict.IDENTICAL), 50)


def test_a_row_that_stays_as_it_is_once_all_is_imported_differs():
    world = World(items={0: 2}, rows={0: 1}, watermarks={0: -1, 30: 5})
    assert (world.judge(), world.now) == (DIFFERS, 30)


def test_the_row_is_looked_up_before_the_key():
    world = World(items={0: 2}, rows={0: 1}, watermarks={0: 5})
    world.judge()
    assert world.looked == ["key", "row", "key"]


def test_an_item_that_changes_meanwhile_is_judged_by_what_it_is_then():
    """Its row is of neither state when the first one's change would be imported: the second one's is on its way."""
    world = World(items={0: 2, 15: 3}, rows={0: 1, 60: 3}, watermarks={0: -1, 20: 10, 70: 70})
    assert (world.judge(), world.now) == (Found(RowVerdict.IDENTICAL), 60)


@pytest.mark.parametrize(
    ("item", "other", "suspected"),
    [
        pytest.param(None, 1, RowVerdict.EXTRA, id="gone"),
        pytest.param(2, 1, RowVerdict.DIFFERING, id="another"),
        pytest.param(2, None, RowVerdict.MISSING, id="there"),
    ],
)
def test_an_item_that_is_as_it_was_whenever_it_is_read_has_changed_where_its_row_says_so(item, other, suspected):
    """It is read at 1 and 11; what it was at 5 is imported at 10, and that it is as it was again, not before 17."""
    items, rows, written = {0: item, 5: other, 9: item}, {0: other, 17: item}, {0: -100, 10: 5, 17: 9}
    world = World(items, rows, watermarks={0: -1, 11: 6, 21: 16}, written=written, now=1)
    assert (world.judge(Found(suspected)), world.now) == (Found(RowVerdict.IDENTICAL), 21)


def test_a_row_that_was_changed_shortly_before_is_judged_once_nothing_can_have_come_since():
    world = World(items={0: 2}, rows={0: 1}, watermarks={0: -1, 10: 5, 20: 15}, written={0: 0})
    assert (world.judge(), world.now) == (DIFFERS, 20)


def test_a_row_looks_no_younger_because_others_take_long_to_be_judged():
    """All are compared at once, at 0, and it takes 10 s to tell of one that it is not kept as failed."""
    world = World(items={0: 2}, rows={0: 1}, watermarks={0: 5}, written={0: -5})
    assert (world.judge_all([DIFFERS] * 3, is_kept=lambda _: world.sleep(10)), world.now) == ([DIFFERS] * 3, 30)


def test_what_never_comes_to_rest_is_behind():
    seconds = range(0, 200, 5)
    world = World({second: second for second in seconds}, {0: -1}, {second: second - 1 for second in seconds})
    assert (world.judge(), world.now) == (Found(RowVerdict.BEHIND), 100)


def test_what_is_not_imported_in_time_is_behind():
    world = World(items={0: 2}, rows={0: 1}, watermarks={0: -1})
    assert world.judge() == Found(RowVerdict.BEHIND)


@pytest.mark.parametrize(
    ("items", "rows", "verdict"),
    [
        ({0: None}, {0: 1}, RowVerdict.EXTRA),
        ({0: 1}, {0: None}, RowVerdict.MISSING),
        ({0: None}, {0: None}, RowVerdict.IDENTICAL),
        ({0: None, 5: 1}, {0: 1}, RowVerdict.IDENTICAL),
        ({0: "1.5"}, {0: 1}, RowVerdict.FAILED),
    ],
)
def test_what_is_there_in_the_end_counts(items, rows, verdict):
    assert World(items, rows, watermarks={0: -1, 20: 20}).judge(Found(RowVerdict.EXTRA)).verdict is verdict


def test_a_row_of_an_item_that_expired_meanwhile_is_there_by_right_where_such_rows_stay():
    world = World(items={0: None}, rows={0: 1}, watermarks={0: 5})
    assert world.judge(keeps_expired=True).verdict is RowVerdict.SKIPPED
    assert world.judge().verdict is RowVerdict.EXTRA


def test_a_change_that_is_kept_as_failed_explains_the_difference():
    world = World(items={0: 2}, rows={0: 1}, watermarks={0: 5})
    assert world.judge(is_kept=lambda suspect: suspect.key == {"id": {"S": "a"}}) == Found(RowVerdict.FAILED)


def test_a_key_of_a_batch_that_waits_is_behind_and_not_judged_before_it_is_imported():
    world = World(items={0: 2}, rows={0: 1, 60: 2}, watermarks={0: 5})
    assert world.judge(find_pending=lambda *_: Pending.WAITING) == Found(RowVerdict.IDENTICAL)
    world = World(items={0: 2}, rows={0: 1}, watermarks={0: 5})
    assert world.judge(find_pending=lambda *_: Pending.WAITING) == Found(RowVerdict.BEHIND)


def test_a_key_of_a_batch_that_was_given_up_is_behind_at_once():
    world = World(items={0: 2}, rows={0: 1}, watermarks={0: 5})
    assert (world.judge(find_pending=lambda *_: Pending.FAILED), world.now) == (Found(RowVerdict.BEHIND), 0)
