import pytest

from backfill.kinds import BACKFILL, REPROCESS
from backfill.runs.find import find_in_deployment, find_newest
from backfill.terminal.console import WrongUseError
from tests.support.backfill_factories import (
    DEPLOYMENT,
    RUN,
    after,
    make_clients,
    make_execution,
    make_refused,
    make_row,
)

INPUT = {"run": RUN}
FIRST = make_execution(input=INPUT)
"""It runs."""


def find(*executions, rows=(), run=RUN):
    return find_in_deployment(make_clients(executions, rows), BACKFILL, DEPLOYMENT, run)


@pytest.mark.parametrize("error", ["RunConflictError", "InvalidRunError"])
def test_a_refused_execution_does_not_stand_for_a_run_that_another_does(error):
    refused = make_refused(error=error)
    assert find(FIRST, refused).execution.arn == FIRST.arn
    succeeded = make_execution(status="SUCCEEDED", input=INPUT, ended_at=after(10))
    assert find(succeeded, refused).execution.arn == succeeded.arn


def test_the_execution_that_runs_stands_before_a_newer_one_that_failed():
    failed = make_execution(
        f"web_analytics-{RUN}-2", "FAILED", error="LockWaitError", input=INPUT, started_at=after(60)
    )
    assert find(FIRST, failed).execution.arn == FIRST.arn


def test_of_two_that_run_the_second_is_about_to_be_refused():
    second = make_execution(f"web_analytics-{RUN}-2", input=INPUT, started_at=after(1))
    assert find(second, FIRST).execution.arn == FIRST.arn


def test_where_none_runs_the_newest_stands():
    stopped = make_execution(status="ABORTED", input=INPUT)
    repeated = make_execution(f"web_analytics-{RUN}-2", "SUCCEEDED", input=INPUT, started_at=after(60))
    assert find(stopped, repeated).execution.arn == repeated.arn


def test_a_run_that_was_only_ever_refused_is_shown_so():
    refused = make_refused()
    assert find(refused).execution.arn == refused.arn


def test_an_execution_with_a_name_of_its_own_is_found_by_the_row():
    by_hand = make_execution("by-hand", input=INPUT)
    row = make_row(execution=by_hand.arn)
    assert find(by_hand, make_refused(), rows=[row]).execution.arn == by_hand.arn


def test_a_run_whose_execution_is_forgotten_is_found_by_its_row_though_another_was_refused():
    found = find(make_refused(), rows=[make_row(state="SUCCEEDED")])
    assert (found.execution, found.row["state"]) == (None, "SUCCEEDED")


def test_without_the_database_the_executions_tell():
    refused = make_refused()
    assert find(refused, rows=None).execution.arn == refused.arn
    assert find(rows=None) is None


def test_the_newest_run_is_that_of_the_newest_execution_that_was_not_refused():
    refused = make_refused("web_analytics-other", "other")
    found = find_newest(make_clients([FIRST, refused]), BACKFILL, [DEPLOYMENT])
    assert (found.run, found.execution.arn) == (RUN, FIRST.arn)
    assert find_newest(make_clients([refused]), BACKFILL, [DEPLOYMENT]).run == "other"


def test_the_newest_reprocess_is_not_one_that_was_skipped():
    output = {"Error": "RunConflictError", "Cause": "Run a is reprocessing."}
    skipped = make_execution("by-schedule", "SUCCEEDED", REPROCESS, output=output, started_at=after(3600))
    going = make_execution("web_analytics-reprocess-a", kind=REPROCESS, input={"run": "reprocess-a"})
    assert find_newest(make_clients([skipped, going]), REPROCESS, [DEPLOYMENT]).run == "reprocess-a"


def test_where_nothing_was_started_there_is_no_newest_run():
    with pytest.raises(WrongUseError, match="was started yet"):
        find_newest(make_clients(), BACKFILL, [DEPLOYMENT])


NOTHING = {"mapping": "web_analytics", "look": {"anything": False}}
"""The output of an execution that was started by the clock and opened no run."""


def test_the_newest_run_is_none_that_was_never_opened():
    looked = make_execution("by-the-clock", "SUCCEEDED", output=NOTHING, started_at=after(100), ended_at=after(102))
    done = make_execution("by-hand", "SUCCEEDED", input={"run": "r1"}, ended_at=after(10))
    assert find_newest(make_clients([looked, done]), REPROCESS, [DEPLOYMENT]).run == "r1"
    with pytest.raises(WrongUseError, match="No reprocess was started yet"):
        find_newest(make_clients([looked]), REPROCESS, [DEPLOYMENT])
