"""The test of the test: each fault that the histories are there to find is found, and soon."""

import random
from functools import partial

import pytest

from dynaurora.aurora.connection import connect
from dynaurora.aws.objects import S3Objects
from dynaurora.batches.batch import Batch, BatchObject
from dynaurora.batches.import_batch import import_batch
from dynaurora.dynamodb.changes import Change
from dynaurora.mappings.csv_format import encode_row
from dynaurora.mappings.row_mapper import RowMapper
from local.aurora.engines import find_engine
from tests.integration.convergence.cohorts import Cohort, Place
from tests.integration.convergence.mutants import MUTANTS, OF_REPAIR, OF_STATEMENTS, OF_VERIFICATION, Mutant
from tests.integration.convergence.things import draw_thing, typed_key
from tests.integration.convergence.verifying import BY_HAND, Verifier

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


def verify(place: Place) -> list[str]:
    """Verify and repair a table of some items and some tombstones; return what is said wrongly."""
    place.prepare()
    (mapping, _), draw, store = place.mappings, random.Random(1), S3Objects()
    items = {(f"{number}", "1 "): draw_thing(draw, number, 0.0) for number in range(4 * len(BY_HAND))}
    gone = [("gone", "1"), ("gone", "2"), ("gone", "3")]
    mapper = RowMapper(mapping)
    changes = [Change(2, 0, typed_key(key), thing.typed(key)) for key, thing in items.items()]
    changes += [Change(2, 0, typed_key(key), None) for key in gone]
    body = b"".join(encode_row(mapper.row(change)) for change in changes)
    item = BatchObject(place.bucket, "batches/x", store.write(place.bucket, "batches/x", body), len(body))
    batch = Batch(mapping.name, "backfill", "r", len(changes), (item,), digest=mapping.digest)
    loader = partial(connect, place.endpoint, place.loader, load_from_s3=True)
    with loader() as aurora, connect(place.endpoint, place.administrator) as administrator:
        import_batch(batch, mapping, aurora, store, place.bucket, place.keep_refused)
        return [
            problem for _, problem in Verifier(mapping, place.bucket, "v", loader, items).find_problems(administrator)
        ]


def test_a_verification_says_what_is_so_and_a_repair_mends_it(place: Place) -> None:
    assert verify(place) == []


@pytest.mark.parametrize("mutant", OF_VERIFICATION, ids=str)
def test_a_mutant_of_verification_is_caught(mutant: Mutant, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant.break_code(monkeypatch.setattr)
    assert verify(place)


@pytest.mark.parametrize("mutant", OF_REPAIR, ids=str)
def test_a_mutant_of_repair_is_caught(mutant: Mutant, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant.break_code(monkeypatch.setattr)
    problems = verify(place)
    assert problems
    assert all(problem.startswith("repaired") for problem in problems)
