"""The test of the test: each fault that the histories are there to find is found, and soon."""

import pytest

from tests.integration.convergence.cohorts import Cohort, Place
from tests.integration.convergence.mutants import MUTANTS, Mutant

pytestmark = pytest.mark.integration

SEED = 1
"""From which on most are found in the first cohort, and the rarest in the fourth at the latest."""
COHORT = 250
MAX_HISTORIES = 1000


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_a_mutant_is_caught(mutant: Mutant, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant.break_code(monkeypatch.setattr)
    for first in range(SEED, SEED + MAX_HISTORIES, COHORT):
        if Cohort(place, first, COHORT).run(until_failure=True):
            return
    pytest.fail(f"{MAX_HISTORIES} histories did not notice that {mutant}")
