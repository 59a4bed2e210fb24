"""Judging goes on where it was, whatever is cut off: nothing is lost, and nothing is counted or recorded twice."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

import pytest

from dynaurora import keys
from dynaurora.errors import ConnectionLostError
from dynaurora.failures.list_failures import Place
from dynaurora.mappings.row_mapper import RowMapper
from dynaurora.verification import judge_differences
from dynaurora.verification.compare_items import Suspect
from dynaurora.verification.compared_exports import ComparedExport
from dynaurora.verification.expectations import Expecter
from dynaurora.verification.judge_differences import DifferencesJudge
from dynaurora.verification.unseen_rows import Unseen
from dynaurora.verification.verdicts import Found, RowVerdict, Tally
from dynaurora.verification.verifier import Verifier
from tests.support.factories import column, make_mapping, make_plan
from tests.support.fakes import InMemoryObjects
from tests.support.registries import BUCKET

MAPPING = make_mapping(column("n", "INT"))
RUN = "verify-20261123T081500Z"
TOTALS = {"exported": 7, "rejected": 1, "rejected_reasons": {"type /n": 1}, "batches_failed": 0}
STRETCHES = [
    Unseen(rows=3, newer=0, keys=[("extra-1",)], after=("c",)),
    Unseen(rows=2, newer=1, keys=[], after=("m",)),
    Unseen(rows=2, newer=0, keys=[("extra-2",)]),
]
"""Of the rows of no item, as they are listed."""
COMPARED = {
    "target": MAPPING.table,
    "counts": {"identical": 4, "differing": 1, "missing": 1},
    "suspects": [
        {"fields": ["d"], "verdict": "differing", "columns": ["n"]},
        {"fields": ["m"], "verdict": "missing", "columns": []},
    ],
}
EQUAL_BY_NOW = "m"
"""The key of a suspect that was on its way."""


class Death(Exception):
    """The function is gone."""


@dataclass
class World:
    """The bucket, the table and the way to the rows, which the function dies of at some of its effects."""

    store: InMemoryObjects = field(default_factory=InMemoryObjects)
    recorded: dict[int, Any] = field(default_factory=dict)
    closed: list[dict[str, Any]] = field(default_factory=list)
    effects: int = 0
    dies_at: int = 0
    dies_before: bool = False

    def act(self, effect: Any) -> Any:
        """Have an effect, and die of it where that is due."""
        self.effects += 1
        if self.effects == self.dies_at and self.dies_before:
            raise Death
        answer = effect()
        if self.effects == self.dies_at:
            raise Death
        return answer

    # The bucket

    def read(self, bucket, key):
        return self.store.read(bucket, key)

    def list(self, bucket, prefix, after=""):
        return self.store.list(bucket, prefix, after)

    def write(self, bucket, key, body):
        return self.act(lambda: self.store.write(bucket, key, body))

    # The table

    def read_key_types(self):
        return {"id": "S"}

    def read_item(self, key):
        return {**key, "n": {"N": "1"}}

    # The way to the rows

    def list_unseen(self, _table, after, below):
        assert below > 0
        ends = [None, *(stretch.after for stretch in STRETCHES)]
        return STRETCHES[ends.index(after)]

    def ask(self, step, *, differences, first, reveal):
        assert (step, reveal) == ("record", False)

        def record():
            kept = {number: one for number, one in self.recorded.items() if number < first}
            self.recorded = kept | dict(enumerate(differences, first))

        self.act(record)
        return {"rows": len(differences)}

    def forget(self, **result):
        self.act(lambda: self.closed.append(result))

    # Judging

    def judge(self, suspects):
        for suspect in suspects:
            is_equal = suspect.key == {"id": {"S": EQUAL_BY_NOW}}
            yield Suspect(suspect.table, suspect.key, Found(RowVerdict.IDENTICAL)) if is_equal else suspect


@pytest.fixture
def world(monkeypatch):
    """Return a world in which an export was compared."""
    found = World()
    found.store.write(BUCKET, keys.comparison(MAPPING.name, RUN, "b1"), json.dumps(COMPARED).encode())
    found.store.write(BUCKET, keys.planned(MAPPING.name, RUN), json.dumps(asdict(make_plan())).encode())
    monkeypatch.setattr(judge_differences, "make_suspect_judge", lambda *_, **__: found)
    monkeypatch.setattr("dynaurora.verification.verifier.RECORDED", 2)
    return found


def take_step(world, *, seconds=600.0, finds_extra=True, failed=0):
    """Take a step, as a function that knows nothing of those before."""
    verifier = Verifier(Expecter(RowMapper(MAPPING)), world)
    export = ComparedExport(BUCKET, MAPPING, world, RUN)
    place = Place(BUCKET, MAPPING.name, "things", ("reader",))
    judge = DifferencesJudge(verifier, export, world, place, finds_extra, collecting_seconds=seconds)
    return judge.take_step(TOTALS | {"batches_failed": failed})


def take_steps(world, **options):
    """Take steps until the verification is closed, dying on the way; return how many, and the result."""
    for number in range(1, 20):
        try:
            if result := take_step(world, **options):
                return number, result
        except Death:
            world.dies_at = 0
    raise AssertionError("It has no end.")


COUNTS = {"items": 7, "rows": 7, "identical": 5, "differing": 1, "extra": 2, "newer": 1, "failed": 1}
EXPECTED = {"counts": Tally(**COUNTS).as_dict(), "unexplained": 3, "whole": True}


def named(world):
    return [(one["key"]["id"]["S"], one["verdict"]) for _, one in sorted(world.recorded.items())]


def test_what_comparing_found_is_collected_judged_recorded_and_closed(world):
    assert take_steps(world) == (4, EXPECTED)
    assert named(world) == [("d", "differing"), ("extra-1", "extra"), ("extra-2", "extra")]
    assert world.closed == [EXPECTED]


def test_a_step_that_has_taken_its_time_leaves_the_other_rows_to_the_next_one(world):
    assert take_steps(world, seconds=0) == (len(STRETCHES) + 3, EXPECTED)


def test_where_rows_of_expired_items_are_kept_none_without_an_item_is_a_difference(world):
    steps, result = take_steps(world, finds_extra=False)
    assert (steps, result["unexplained"], result["counts"]["extra"], result["counts"]["rows"]) == (4, 1, 0, 0)
    assert named(world) == [("d", "differing")]


def test_a_verification_of_a_run_that_tolerated_a_failed_batch_is_not_of_all_items(world):
    assert take_steps(world, failed=1) == (4, EXPECTED | {"whole": False})


def test_the_last_step_is_taken_again_where_its_answer_was_lost(world):
    take_steps(world)
    assert take_step(world) == EXPECTED
    assert world.closed == [EXPECTED, EXPECTED]


EFFECTS = len(STRETCHES) + 1 + 2 + 1 + 1
"""Written after each stretch and judging, two recordings, written after these, and closed."""


@pytest.mark.parametrize("dies_before", [True, False])
@pytest.mark.parametrize("dies_at", range(1, EFFECTS + 1))
def test_a_judge_that_dies_anywhere_is_gone_on_with(world, dies_at, dies_before):
    world.dies_at, world.dies_before = dies_at, dies_before
    _, result = take_steps(world)
    assert world.dies_at == 0, "it died"
    assert result == EXPECTED
    assert named(world) == [("d", "differing"), ("extra-1", "extra"), ("extra-2", "extra")]


def test_a_function_that_fails_is_no_end_either(world, monkeypatch):
    def fail(*_):
        raise ConnectionLostError("It broke.")

    take_step(world)
    with monkeypatch.context() as broken:
        broken.setattr(world, "judge", fail)
        with pytest.raises(ConnectionLostError):
            take_step(world)
    assert take_steps(world) == (3, EXPECTED)


def test_what_is_recorded_fits_an_invocation():
    sizes = []

    class Lookup:
        def ask(self, _action, *, differences, **_more):
            sizes.append(len(json.dumps(differences)))
            return {"rows": len(differences)}

    verifier = Verifier(Expecter(RowMapper(MAPPING)), Lookup())
    verifier.proved += [
        Suspect(MAPPING.table, {"id": {"S": f"{number}{'x' * 40_000}"}}, Found(RowVerdict.MISSING))
        for number in range(200)
    ]
    verifier.record(None, reveal=False)
    assert max(sizes) < 6_000_000 < sum(sizes)  # what an invocation takes
