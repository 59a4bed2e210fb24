import pytest

from dynaurora.runs.costs import PRICES, Usage, estimate_cost, estimate_verification
from tests.support.factories import make_plan


def usage(**changed):
    used = {
        "exported_bytes": 50_000_000_000,
        "batches": 1000,
        "retries": 10,
        "importing_seconds": 600.0,
        "concurrency": 4,
        "convert_memory_mb": 2048,
        "import_memory_mb": 256,
    }
    return Usage(**used | changed)


def cost_of(plan=None, **changed):
    """Return quantity and dollars of each part, and the total."""
    cost = estimate_cost(plan, usage(**changed))
    return {line["what"]: (line["quantity"], line["usd"]) for line in cost["lines"]}, cost["total_usd"]


def test_every_part_is_its_quantity_at_its_price():
    lines, total = cost_of(make_plan(files=500))
    assert lines == {
        "DynamoDB export": (50.0, 5.0),
        "Lambda compute": (4800.0, 0.064),
        "Lambda requests": (2040, 0.000408),
        "Step Functions": (8040, 0.201),
        "S3 writes": (6500, 0.0325),
        "S3 reads": (6500, 0.0026),
    }
    assert total == pytest.approx(5.300508)


def test_every_part_has_the_unit_of_the_price_table():
    lines = estimate_cost(make_plan(), usage())["lines"]
    assert all(line["unit"] == PRICES[line["what"]][1] for line in lines)


def test_a_given_export_is_not_paid_again():
    lines, _ = cost_of(exported_bytes=0)
    assert lines["DynamoDB export"] == (0, 0)


def test_memory_is_taken_as_the_larger_of_the_two_functions():
    lines, _ = cost_of(convert_memory_mb=512, import_memory_mb=1024)
    assert lines["Lambda compute"][0] == 600 * 4 * 1


def test_a_judge_that_waits_is_paid_for_as_long_as_it_waits():
    before, lines = cost_of()[0], cost_of(judging_seconds=420.0)[0]
    assert lines["Lambda compute"][0] == before["Lambda compute"][0] + 420


def test_a_verification_costs_its_export_and_little_more():
    export = 50 * PRICES["DynamoDB export"][0]
    assert export < estimate_verification(100_000_000, 50_000_000_000) < 1.2 * export
    assert 0 < estimate_verification(0, 0) < 0.001
    judged = estimate_verification(0, 0, 240) - estimate_verification(0, 0)
    assert judged == pytest.approx(240 * PRICES["Lambda compute"][0], rel=1e-3)


def test_a_run_that_came_to_nothing_costs_next_to_nothing():
    nothing = {"exported_bytes": 0, "batches": 0, "retries": 0, "importing_seconds": 0.0}
    _, total = cost_of(None, **nothing)
    assert 0 < total < 0.001


@pytest.mark.parametrize("name", ["exported_bytes", "batches", "retries", "importing_seconds", "concurrency"])
def test_more_of_anything_costs_no_less(name):
    more = {name: getattr(usage(), name) * 2}
    assert cost_of(make_plan(), **more)[1] >= cost_of(make_plan())[1]
