"""A mapping that changes while changes are in flight: the rule by itself, the code by the rule, and both by mutants."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dynaurora.aurora import origins, sql
from dynaurora.aurora.generations import Generation, Generations
from dynaurora.aurora.origins import Origin
from dynaurora.batches.writers import Writers
from tests.integration.convergence.cohorts import Place
from tests.integration.convergence.switch_cohorts import SwitchCohort
from tests.integration.convergence.switches import RULES, WAIT, Replica, Rules, SwitchHistory

pytestmark = pytest.mark.integration

HISTORIES = 2000
SEEDS = (2, 10, 4)
"""Of cohorts whose mappings gain columns, lose some, change places, and come back."""
SIZE = 25
SetAttribute = Callable[[object, str, Any], None]


def count_diverging(seeds: range, rules: Rules = RULES) -> int:
    """Return how many histories end in rows that are not as the newest mapping maps their items."""
    diverging = 0
    for seed in seeds:
        history, replica = SwitchHistory(seed, rules), Replica()
        history.run(replica)
        diverging += any(history.find_differences(replica))
    return diverging


def test_every_row_ends_as_the_newest_mapping_maps_it() -> None:
    assert count_diverging(range(HISTORIES)) == 0


@pytest.mark.parametrize(
    ("rules", "seeds"),
    [
        pytest.param(replace(RULES, wait=WAIT - 120), range(50), id="a backfill waits two minutes less"),
        pytest.param(replace(RULES, wait=WAIT - 60), range(50), id="a backfill waits a minute less"),
        pytest.param(replace(RULES, wait=WAIT - 1), range(50), id="a backfill waits a second less"),
        pytest.param(replace(RULES, take_up=180), range(50), id="a function goes on with an old copy"),
    ],
)
def test_the_bound_is_as_low_as_it_can_be(rules: Rules, seeds: range) -> None:
    assert count_diverging(seeds, rules) > 0


@pytest.mark.parametrize("seed", SEEDS)
def test_the_code_does_as_the_rule_has_it(place: Place, seed: int) -> None:
    assert SwitchCohort(place, seed, SIZE).run() == []


def break_merge(change: Callable[[str], str]) -> Callable[[SetAttribute], None]:
    original = sql.merge_staged
    return lambda set_attribute: set_attribute(sql, "merge_staged", lambda *merge: change(original(*merge)))


def break_origin(**changed: Any) -> Callable[[SetAttribute], None]:
    original = Writers.find_origin

    def find_origin(self: Writers, label: str, digest: str | None) -> Origin:
        return replace(original(self, label, digest), **changed)

    return lambda set_attribute: set_attribute(Writers, "find_origin", find_origin)


def assign_generation_first(statement: str) -> str:
    head, _, updates = statement.partition("ON DUPLICATE KEY UPDATE\n  ")
    *others, generation, version = updates.split(",\n  ")
    return f"{head}ON DUPLICATE KEY UPDATE\n  " + ",\n  ".join([generation, *others, version])


def stand_for_the_first(set_attribute: SetAttribute) -> None:
    def find(self: Generations, digest: str) -> Generation:
        return next(one for one in self.all if one.digest.startswith(digest))

    set_attribute(Generations, "find", find)


def load_by_place(set_attribute: SetAttribute) -> None:
    """Load every part by the columns of the current mapping, as the first release did."""
    original = Writers.find_origin

    def find_origin(self: Writers, label: str, digest: str | None) -> Origin:
        origin = original(self, label, digest)
        current = self._mapping.columns
        return replace(origin, mapping=replace(origin.mapping, columns=current[: len(origin.mapping.columns)]))

    set_attribute(Writers, "find_origin", find_origin)


def compare_over_interruptions(set_attribute: SetAttribute) -> None:
    """Take every column for one that was always defined as it is now."""
    set_attribute(origins, "_find_start", lambda *_: 0)


MUTANTS: dict[str, Callable[[SetAttribute], None]] = {
    "generations do not decide": break_merge(lambda text: re.sub(r" OR \S+ = \S+ AND \S+ < \d+", "", text)),
    "the newer generation wins whatever its version": break_merge(
        lambda text: re.sub(r" OR \S+ = \S+ AND (\S+ < \d+)", r" OR \1", text)
    ),
    "the generation is assigned first": break_merge(assign_generation_first),
    "a row keeps what its mapping does not know": break_origin(later=()),
    "a digest stands for its first generation": stand_for_the_first,
    "columns are found by their places": load_by_place,
    "a completed row has the time of its completion": break_merge(
        lambda text: text.replace("BETWEEN 0 AND", "< 0 AND 0 <")
    ),
    "a changed row keeps its time": break_merge(
        lambda text: re.sub(r" AND \([^()]*CAST[^<]*<=> CAST[^)]*\)\)", "", text)
    ),
    "a column that was another one is compared": compare_over_interruptions,
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_part_of_the_rule_that_is_left_out_is_noticed(
    place: Place, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    MUTANTS[name](monkeypatch.setattr)
    for seed in SEEDS:
        try:
            if SwitchCohort(place, seed, SIZE).run():
                return
        except Exception:  # noqa: BLE001 (an import that fails is noticed too)
            return
    pytest.fail(f"{len(SEEDS)} cohorts did not notice that {name}")
