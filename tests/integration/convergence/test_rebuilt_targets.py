"""Rebuilds while items are written: the rule by itself, and the code by the rule."""

import random

import pytest

from dynaurora.aurora import migrations
from tests.integration.convergence.cohorts import Place
from tests.integration.convergence.rebuild_cohorts import RebuildCohort
from tests.integration.convergence.rebuild_histories import RebuildHistory, RebuiltReplicas, draw_course
from tests.integration.convergence.switches import TAKE_UP, WAIT

pytestmark = pytest.mark.integration

HISTORIES = 500
SEEDS = (6, 8)
"""Of cohorts with two and three rebuilds, in which deleted items would come back without tombstones."""
SIZE = 6


def count_diverging(seeds: range, wait: int = WAIT, kind: type[RebuiltReplicas] = RebuiltReplicas) -> int:
    """Return how many histories end in a view that shows other items than there are."""
    diverging = 0
    for seed in seeds:
        course = draw_course(random.Random(f"course {seed}"))
        history, replicas = RebuildHistory(seed, course, wait=wait), kind()
        history.run(replicas)
        diverging += any(history.find_differences(replicas))
    return diverging


def test_the_view_ends_with_the_items_there_and_back() -> None:
    assert count_diverging(range(HISTORIES)) == 0


class Uncarried(RebuiltReplicas):
    def carry_tombstones(self) -> None:
        """Leave the second table without what is deleted."""


@pytest.mark.parametrize(("wait", "kind"), [(WAIT, Uncarried), (TAKE_UP, RebuiltReplicas)])
def test_a_part_of_the_rule_that_is_left_out_is_noticed(wait: int, kind: type[RebuiltReplicas]) -> None:
    assert count_diverging(range(HISTORIES), wait, kind) > 0


@pytest.mark.parametrize("seed", SEEDS)
def test_the_code_does_as_the_rule_has_it(place: Place, seed: int) -> None:
    assert RebuildCohort(place, seed, SIZE).run() == []


def test_code_that_carries_no_tombstones_is_noticed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "hand_over_tombstones", lambda *_: None)
    assert any(RebuildCohort(place, seed, SIZE).run() for seed in SEEDS)
