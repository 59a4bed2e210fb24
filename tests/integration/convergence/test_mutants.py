"""The test of the test: each fault that the histories are there to find is found, and soon."""

import pytest

from local.aurora.engines import find_engine
from tests.integration.convergence.cohorts import Cohort, Place
from tests.integration.convergence.mutants import MUTANTS, OF_STATEMENTS, Mutant

pytestmark = pytest.mark.integration

COHORTS = ((1, 40), (41, 210), (251, 250), (501, 250), (751, 250))
"""First seed and size. Most mutants are found in the first cohort, and the rarest in the last but one at the latest,
where no history is known that finds them by itself."""


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_a_mutant_is_caught(mutant: Mutant, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    if mutant not in OF_STATEMENTS and find_engine().name == "mysql":
        pytest.skip("no statement has this fault: it is found on MariaDB as well")
    mutant.break_code(monkeypatch.setattr)
    if mutant.found_by:
        seed, deal = mutant.found_by
        if Cohort(place, seed, 1, deal).run(until_failure=True):
            return
    for first, size in COHORTS:
        if Cohort(place, first, size).run(until_failure=True):
            return
    pytest.fail(f"{sum(size for _, size in COHORTS)} histories did not notice that {mutant}")
