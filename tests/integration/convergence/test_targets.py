"""Several targets of one table while items move and targets change: the rule by itself, and the code by the rule."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dynaurora.aurora import fills, generations, migrations
from dynaurora.aurora.connection import Aurora
from dynaurora.aurora.origins import Origin
from dynaurora.batches import import_batch
from dynaurora.batches.writers import Writers
from dynaurora.dynamodb.changes import Change
from dynaurora.exports import plan_sweep
from dynaurora.mappings.conditions import Condition, Outcome, Route
from dynaurora.mappings.mapping import Mapping
from tests.integration.convergence.cohorts import Place
from tests.integration.convergence.switches import WAIT
from tests.integration.convergence.target_cohorts import TargetCohort
from tests.integration.convergence.target_histories import Arrival, Replicas, TargetHistory, Targets

pytestmark = pytest.mark.integration

HISTORIES = 200
ENOUGH = 80
"""Histories within which each mutant is found."""
SetAttribute = Callable[[object, str, Any], None]


def count_diverging(seeds: range, wait: int = WAIT, kind: type[Replicas] = Replicas) -> int:
    """Return how many histories end in a target that has other items than it takes."""
    diverging = 0
    for seed in seeds:
        history, replicas = TargetHistory(seed, wait=wait), kind()
        history.run(replicas)
        diverging += any(history.find_differences(replicas))
    return diverging


def test_every_target_ends_with_the_items_that_it_takes() -> None:
    assert count_diverging(range(HISTORIES)) == 0


class Unswept(Replicas):
    def sweep(self, snapshot: int, tables: list[str], partition: str) -> None:
        """Leave what is there."""


class SweptInOne(Replicas):
    def sweep(self, snapshot: int, tables: list[str], partition: str) -> None:
        super().sweep(snapshot, tables[:1], partition)


class RoutedByAnother(Replicas):
    """Routed by the mapping before the one that a change is stamped with."""

    def take(self, arrival: Arrival, route_by: Targets | None = None) -> None:
        assert route_by is None
        number = max(number for number, one in enumerate(self.activations) if one == arrival.targets)
        super().take(arrival, self.activations[max(0, number - 1)])


@pytest.mark.parametrize("kind", [Unswept, SweptInOne, RoutedByAnother])
def test_a_part_of_the_rule_that_is_left_out_is_noticed(kind: type[Replicas]) -> None:
    assert count_diverging(range(ENOUGH), kind=kind) > 0


def test_the_bound_of_a_backfill_holds_for_targets_too() -> None:
    assert count_diverging(range(ENOUGH), wait=WAIT - 120) > 0


def take_unknown_for_false(set_attribute: SetAttribute) -> None:
    original = Condition.excludes

    def excludes(self: Condition, change: Change) -> bool:
        keys = {name: value["S"] for name, value in change.keys.items()}
        return original(self, change) or self._outcome_of(keys) is not Outcome.TRUE

    set_attribute(Condition, "excludes", excludes)


def leave_the_old_row(set_attribute: SetAttribute) -> None:
    """Do nothing in a target that does not take a put."""
    original = Condition.find_route

    def find_route(self: Condition, change: Change) -> Route:
        route = original(self, change)
        return Route.EXCLUDED if route is Route.LEFT and not change.is_delete else route

    set_attribute(Condition, "find_route", find_route)


@pytest.mark.parametrize("mutate", [take_unknown_for_false, leave_the_old_row])
def test_a_fault_of_a_condition_is_noticed(mutate: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    mutate(monkeypatch.setattr)
    assert count_diverging(range(ENOUGH)) > 0


SEEDS = (3, 4)
"""Of cohorts that add targets, take some out, change conditions, and go back."""
SIZE = 6


@pytest.mark.parametrize("seed", SEEDS)
def test_the_code_does_as_the_rule_has_it(place: Place, seed: int) -> None:
    assert TargetCohort(place, seed, SIZE).run() == []


def load_into_the_first(set_attribute: SetAttribute) -> None:
    """Take every row for one of the first target."""
    original = Writers.find_origin

    def find_origin(self: Writers, label: str, digest: str | None) -> Origin:
        origin = original(self, label, digest)
        return replace(origin, mapping=self._mapping) if label else origin

    set_attribute(Writers, "find_origin", find_origin)


def sweep_the_first(set_attribute: SetAttribute) -> None:
    original = plan_sweep.Sweeper._tombstones
    set_attribute(
        plan_sweep.Sweeper,
        "_tombstones",
        lambda self, target, left_out: (
            original(self, target, left_out) if target.table == self.mapping.table else iter(())
        ),
    )


def import_one_part(set_attribute: SetAttribute) -> None:
    original = import_batch.find_parts
    set_attribute(import_batch, "find_parts", lambda *given: original(*given)[:1])


def show_before_the_sweep(set_attribute: SetAttribute) -> None:
    set_attribute(migrations, "find_hidden", lambda *_: set())


def never_show(set_attribute: SetAttribute) -> None:
    set_attribute(fills, "has_view", lambda *_: True)


def fill_by_a_run_of_before(set_attribute: SetAttribute) -> None:
    """Take a target for filled from its activation on."""
    original = generations.begin_fills

    def begin_fills(aurora: Aurora, mapping: Mapping, active: Mapping | None, generation: int) -> None:
        original(aurora, mapping, active, generation)
        fills.settle_fills(aurora, mapping, "r0", generation)

    set_attribute(generations, "begin_fills", begin_fills)


MUTANTS = (
    *(load_into_the_first, sweep_the_first, import_one_part),
    *(show_before_the_sweep, never_show, fill_by_a_run_of_before),
)


@pytest.mark.parametrize("mutate", MUTANTS)
def test_a_fault_of_the_import_is_noticed(
    place: Place, mutate: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    mutate(monkeypatch.setattr)
    for seed in SEEDS:
        try:
            if TargetCohort(place, seed, SIZE).run():
                return
        except Exception:  # noqa: BLE001 (an import that fails is noticed too)
            return
    pytest.fail(f"{len(SEEDS)} cohorts did not notice it")
