"""One batch in ten that fails for good, with a tolerated percentage above and below that."""

import pytest

from tests.integration.backfill.deployed import Deployed, make_items

pytestmark = pytest.mark.integration


def break_one_of_ten(deployed: Deployed, run: str) -> str:
    """Plan a run of twenty items in ten batches, of which the last cannot be converted; return its number's key."""
    export = deployed.plan_batches(run, make_items(20), 10)
    key = str(export.files[-1]["dataFileS3Key"])
    export.delete(key)
    return key


def test_a_failed_batch_below_the_tolerated_percentage_is_reported_and_the_run_succeeds(
    deployed: Deployed, run: str
) -> None:
    key = break_one_of_ten(deployed, run)
    view = deployed.backfill(run, "--tolerated-failure-percentage", "10")
    assert (view["batches"]["imported"], view["batches"]["failed"]) == (9, 1)
    report = deployed.report(run)
    assert report["failure"] is None
    totals = report["totals"]
    assert (totals["imported"], totals["batches_failed"], totals["unaccounted"]) == (18, 1, 2)
    (failure,) = report["failures"]
    assert failure["error"] == "ObjectMissingError"
    assert key in failure["reason"]
    assert deployed.row(run)["state"] == "SUCCEEDED"
    assert [subject.rpartition(": ")[2] for subject in deployed.messages()] == ["ObjectMissingError"]
    assert deployed.compare().missing == 2


def test_a_failed_batch_above_the_tolerated_percentage_fails_the_run(deployed: Deployed, run: str) -> None:
    break_one_of_ten(deployed, run)
    view = deployed.backfill(run, "--tolerated-failure-percentage", "9.9", "--max-concurrency", "1", status=1)
    assert view["failure"]["error"] == "BatchesFailedError"
    assert "start the run again" in view["failure"]["remedy"]
    report = deployed.check_failure(run, "BatchesFailedError")
    assert report["options"]["tolerated_failure_percentage"] == 9.9
    assert len(report["failures"]) == report["totals"]["batches_failed"] == 1
    assert report["totals"]["imported"] == 18  # what was done stays


def test_a_sweep_is_refused_where_a_batch_failed_though_that_was_tolerated(deployed: Deployed, run: str) -> None:
    break_one_of_ten(deployed, run)
    deployed.backfill(run, "--tolerated-failure-percentage", "50", "--sweep", status=1)
    words = "0 items were rejected and 1 batches failed"
    report = deployed.check_failure(run, "SweepRefusedError", words, is_mended_by_repeating=False)
    assert report["sweep"] is None
    assert len(deployed.hits()) == 18
