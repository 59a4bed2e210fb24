import re
from dataclasses import asdict

import pytest

from dynaurora.errors import REMEDIES_OF_AWS, DynauroraError, remedy_for, subclasses
from dynaurora.failures.failed_batches import MAX_SUBJECT
from dynaurora.runs.ends import NOT_MENDED_BY_REPEATING, find_failure, format_percentage, is_own, name_run
from tests.support.factories import make_totals
from tests.support.run_states import EXECUTION, OPENED, RECONCILED, caught


@pytest.mark.parametrize(
    ("state", "error"),
    [
        pytest.param({}, None, id="none"),
        pytest.param({"error": None}, None, id="null"),
        pytest.param({"error": caught("ThrottledError")}, "ThrottledError", id="a state's"),
        pytest.param({"unreconciled": caught("ReconciliationError")}, "ReconciliationError", id="the account's"),
        pytest.param(
            {"unreconciled": caught("ReconciliationError"), "error": caught("DeadlockError")},
            "DeadlockError",
            id="both: what came first",
        ),
        pytest.param({"unreported": caught("ThrottledError"), "unclosed": {"Error": "E"}}, None, id="only afterwards"),
        pytest.param({"error": "text"}, "Unknown", id="unreadable"),
    ],
)
def test_a_run_failed_for_what_came_first(state, error):
    failure = find_failure(OPENED | state, EXECUTION)
    assert (failure and failure["error"]) == error


def test_a_failure_says_what_why_and_what_next():
    failure = find_failure(OPENED | {"error": caught("ChecksumMismatchError", "A file is another one.")}, EXECUTION)
    assert failure["subject"] == "dynaurora: run r1 failed: ChecksumMismatchError"
    for part in ("Run r1 of web_analytics", "A file is another one.", remedy_for("ChecksumMismatchError"), EXECUTION):
        assert failure["message"].count(part) == 1
    assert "dynaurora backfill start web_analytics --run r1" in failure["message"]
    assert failure["message"].endswith("Runbook: docs/runbooks/backfill.md")


def test_a_verification_is_gone_on_with_as_one():
    for state in (OPENED | {"options": {"compare": True}}, {"mapping": "web_analytics", "run": "r1", "compare": True}):
        failure = find_failure(state | {"error": caught("ChecksumMismatchError")}, EXECUTION)
        assert "Start it again with: dynaurora verify web_analytics --run r1\n" in failure["message"]


def refusing(rejected, **options):
    """Return the state of a run of whose ten items the mapping refused so many."""
    totals = asdict(make_totals(imported=10 - rejected, rejected=rejected, rejected_reasons={"type /Hits": rejected}))
    return RECONCILED | {"totals": totals, "options": OPENED["options"] | options}


@pytest.mark.parametrize(
    ("rejected", "options", "fails"),
    [
        pytest.param(0, {"tolerated_rejected_percentage": 0}, False, id="nothing"),
        pytest.param(1, {}, False, id="as much as is tolerated"),
        pytest.param(2, {}, True, id="more"),
        pytest.param(10, {}, True, id="everything"),
        pytest.param(10, {"tolerated_rejected_percentage": 100}, False, id="everything, as expected"),
        pytest.param(1, {"tolerated_rejected_percentage": 9.9}, True, id="a little more"),
    ],
)
def test_a_run_fails_that_refuses_more_than_it_tolerates(rejected, options, fails):
    failure = find_failure(refusing(rejected, **options), EXECUTION)
    assert (failure and failure["error"]) == ("RejectedItemsError" if fails else None)


def test_a_run_that_refuses_too_much_says_how_much_and_by_what():
    failure = find_failure(refusing(10), EXECUTION)
    said = "10 of 10 items, 100 %, were refused, and 10 % are tolerated. Most often: 10 type /Hits."
    assert failure["reason"] == said
    assert "--tolerated-rejected-percentage" in failure["remedy"]


def test_what_stopped_a_run_counts_before_what_it_refused():
    assert (
        find_failure(refusing(10) | {"error": caught("SweepRefusedError")}, EXECUTION)["error"] == "SweepRefusedError"
    )


def test_each_target_is_judged_by_the_items_that_it_takes():
    targets = {
        "Orders": {"rejected": 0, "skipped": 2},
        "Users": {"rejected": 1, "skipped": 8},  # half of its items, and a twentieth of what both had
    }
    totals = asdict(make_totals(exported=10, rejected=1, skipped=10)) | {"targets": targets}
    assert find_failure(RECONCILED | {"totals": totals}, EXECUTION)["error"] == "RejectedItemsError"


def test_a_run_of_the_release_before_tolerates_whatever_it_refused():
    options = {name: value for name, value in OPENED["options"].items() if name != "tolerated_rejected_percentage"}
    assert find_failure(refusing(10) | {"options": options}, EXECUTION) is None


@pytest.mark.parametrize(
    ("part", "whole", "words"),
    [
        (0, 0, "0 %"),
        (0, 5, "0 %"),
        (5, 5, "100 %"),
        (1, 3, "33.3 %"),
        (1, 2_000_000, "less than 0.01 %"),
        (1_999_999, 2_000_000, "99.9 %"),
    ],
)
def test_a_percentage_is_neither_nothing_nor_all_unless_it_is(part, whole, words):
    assert format_percentage(part, whole) == words


@pytest.mark.parametrize("error", sorted(NOT_MENDED_BY_REPEATING))
def test_the_same_run_is_not_proposed_where_it_would_fail_again(error):
    failure = find_failure(OPENED | {"error": caught(error)}, EXECUTION)
    assert f"Next: {failure['remedy']}\n" in failure["message"]
    assert "--run r1" not in failure["message"]


@pytest.mark.parametrize(
    ("error", "named"),
    [
        ("States.ExceedToleratedFailureThreshold", "BatchesFailedError"),
        ("States.Timeout", "StepFunctions.Timeout"),
        ("States.ItemReaderFailed", "StepFunctions.ItemReaderFailed"),
        ("States.ResultWriterFailed", "StepFunctions.ResultWriterFailed"),
        ("States.TaskFailed", "StepFunctions.TaskFailed"),
        ("DynamoDb.ExportNotFoundException", "DynamoDb.ExportNotFoundException"),
    ],
)
def test_a_run_fails_by_a_name_that_an_execution_may_fail_with(error, named):
    failure = find_failure(OPENED | {"error": {"Error": error, "Cause": "It is so."}}, EXECUTION)
    assert (failure["error"], failure["reason"]) == (named, "It is so.")
    assert f"Error: {named}\n" in failure["message"]


ERRORS = [cls.__name__ for cls in subclasses(DynauroraError)] + [*REMEDIES_OF_AWS, "States.Timeout", "Sandbox.Timedout"]


@pytest.mark.parametrize("error", ERRORS)
def test_the_next_step_after_a_run_is_no_batchs(error):
    assert "import the batch again" not in find_failure(OPENED | {"error": caught(error)}, EXECUTION)["message"]


@pytest.mark.parametrize("error", ["TargetMismatchError", "AccessDeniedError", "PrivilegeError", "States.Timeout"])
def test_a_run_is_started_again_once_its_cause_is_mended(error):
    failure = find_failure(OPENED | {"error": caught(error)}, EXECUTION)
    assert failure["remedy"].endswith(", then start the run again.")


@pytest.mark.parametrize("run", [None, "", 5, "line\nbreak", "x" * 500, "ü" * 50, {"a": 1}])
def test_a_subject_is_one_that_sns_takes_whatever_the_input(run):
    failure = find_failure({"run": run, "error": {"Error": "E" * 200}}, EXECUTION)
    assert re.fullmatch(r"dynaurora: run unnamed failed: [ -~]*", failure["subject"])
    assert len(failure["subject"]) <= MAX_SUBJECT


@pytest.mark.parametrize("run", ["r1", "20261123T081500Z", "A_b-c"])
def test_a_report_is_named_by_its_run(run):
    assert name_run({"run": run}, "execution") == run


@pytest.mark.parametrize("run", [None, "", "a/b", "../x", "ü", 5, ["r1"], "a" * 65])
def test_a_report_of_what_can_be_no_run_is_named_by_its_execution(run):
    assert name_run({"run": run}, "execution") == "execution"
    assert name_run({}, "execution") == "execution"


@pytest.mark.parametrize("error", ["RunConflictError", "InvalidRunError"])
def test_a_run_that_is_another_executions_keeps_its_report(error):
    assert not is_own(find_failure(OPENED | {"error": caught(error)}, EXECUTION))


def test_a_run_that_succeeded_or_failed_has_a_report():
    assert is_own(None)
    assert is_own(find_failure(OPENED | {"error": caught("NotReadyError")}, EXECUTION))


def test_what_may_not_be_read_of_a_given_export_is_the_platforms_parameter_and_no_batchs():
    given = OPENED | {"options": {"export_summary": "s3://theirs/AWSDynamoDB/1/manifest-summary.json"}}
    failure = find_failure(given | {"error": caught("AccessDeniedError")}, EXECUTION)
    assert "s3://theirs/AWSDynamoDB/1/manifest-summary.json as ExportsBucketName" in failure["remedy"]
    planned = find_failure(given | {"plan": {"batches": 1}, "error": caught("AccessDeniedError")}, EXECUTION)
    assert "ExportsBucketName" not in planned["remedy"]
