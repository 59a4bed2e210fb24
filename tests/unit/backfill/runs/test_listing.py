import pytest

from backfill.commands.list import HEADER
from backfill.kinds import BACKFILL, REPROCESS
from backfill.runs.listing import list_runs, merge_runs
from dynaurora.runs.runs import MAX_LISTED
from tests.support.backfill_factories import (
    DEPLOYMENT,
    RUN,
    after,
    make_clients,
    make_execution,
    make_refused,
    make_row,
)


def merge(executions=(), rows=()):
    return merge_runs(DEPLOYMENT, executions, rows)


def test_several_executions_of_a_run_are_one_line_with_the_newest():
    newest = make_execution("web_analytics-a-2", "FAILED", started_at=after(100), ended_at=after(130))
    (line,) = merge([("a", newest), ("a", make_execution("web_analytics-a", "ABORTED", ended_at=after(10)))])
    assert (line.run, line.state, line.seconds) == ("a", "FAILED", 30)
    assert (line.items, line.rows, line.rejected) == (None, None, None)


def test_executions_of_other_mappings_are_not_asked_about():
    mine, others = make_execution("web_analytics-a"), make_execution("orders-a")
    clients = make_clients([mine, others])
    assert [line.run for line in list_runs(clients, BACKFILL, DEPLOYMENT, 9, {"orders"})] == ["a"]
    assert clients.states.described == []
    list_runs(clients, BACKFILL, DEPLOYMENT, 9)
    assert clients.states.described == [others.arn]


def test_a_line_has_the_counts_that_its_row_was_closed_with():
    row = make_row("a", state="SUCCEEDED", items=10, rows_imported=9, rows_rejected=1)
    (line,) = merge([("a", make_execution(status="SUCCEEDED", ended_at=after(1)))], [row])
    assert (line.items, line.rows, line.rejected) == (10, 9, 1)


def test_a_running_line_has_the_ledgers_counts():
    (line,) = merge([("a", make_execution())], [make_row("a")])
    assert (line.items, line.rows, line.rejected) == (None, 29_990, 4)


def test_step_functions_says_how_a_run_is():
    (line,) = merge([("a", make_execution(status="ABORTED", ended_at=after(1)))], [make_row("a")])
    assert line.state == "STOPPED"


def test_a_run_that_step_functions_has_forgotten_is_listed_by_its_row():
    row = make_row("old", state="FAILED", ended_at="2026-11-23T08:15:20Z", items=10, rows_imported=0, rows_rejected=0)
    (line,) = merge(rows=[row])
    assert (line.run, line.state, line.seconds) == ("old", "FAILED", 20)


def test_a_line_has_a_cell_for_each_header_and_a_dash_for_what_is_unknown():
    (line,) = merge([("a", make_execution(status="SUCCEEDED", ended_at=after(125)))])
    assert line.as_cells() == ("a", "web_analytics", "SUCCEEDED", "2026-11-23 08:15:00Z", "2 min 5 s", "-", "-", "-")
    assert len(line.as_cells()) == len(HEADER)


def test_a_line_is_json():
    (line,) = merge([("a", make_execution(status="SUCCEEDED", ended_at=after(125)))])
    assert line.as_dict() == {
        "run": "a",
        "mapping": "web_analytics",
        "stack": "clicks",
        "state": "SUCCEEDED",
        "started_at": "2026-11-23T08:15:00.000Z",
        "ended_at": "2026-11-23T08:17:05.000Z",
        "seconds": 125,
        "items": None,
        "rows": None,
        "rejected": None,
    }


def test_a_refused_execution_is_a_run_only_where_no_other_does_it():
    output = {"Error": "RunConflictError", "Cause": "Run b is reprocessing."}
    refused = make_execution("x", "SUCCEEDED", ended_at=after(130), started_at=after(100), output=output)
    (line,) = merge([("a", refused)])
    assert line.state == "REFUSED"
    (line,) = merge([("a", refused), ("a", make_execution("y", "SUCCEEDED", ended_at=after(10)))])
    assert (line.state, line.seconds) == ("SUCCEEDED", 10)
    (line,) = merge([("a", refused)], [make_row("a", REPROCESS, state="FAILED", ended_at="2026-11-23T08:15:20Z")])
    assert (line.state, line.seconds) == ("FAILED", 20)


def list_states(*executions, rows=(), limit=20):
    listed = list_runs(make_clients(executions, rows), BACKFILL, DEPLOYMENT, limit)
    return [(line.run, line.state) for line in listed]


@pytest.mark.parametrize("rows", [None, (), [make_row()]], ids=["away", "none", "one"])
def test_a_run_that_goes_on_is_listed_so_though_another_execution_of_it_was_refused(rows):
    assert list_states(make_execution(input={"run": RUN}), make_refused(), rows=rows) == [(RUN, "RUNNING")]


def test_so_many_runs_are_listed_however_many_executions_they_have():
    repeats = [
        make_execution(f"web_analytics-b-{number}", "ABORTED", input={"run": "b"}, started_at=after(number))
        for number in range(2, 250)
    ]
    oldest = make_execution("web_analytics-a", "SUCCEEDED", input={"run": "a"}, started_at=after(1))
    older = make_execution("web_analytics-z", "SUCCEEDED", input={"run": "z"}, started_at=after(0))
    assert list_states(older, oldest, *repeats, limit=2) == [("b", "STOPPED"), ("a", "SUCCEEDED")]


def test_what_the_database_does_not_count_is_told(capsys):
    ended = make_execution(status="SUCCEEDED", input={"run": RUN}, ended_at=after(5))
    list_states(ended, rows=[make_row("another")])
    assert "1 run of clicks without counts" in capsys.readouterr().err
    list_states(ended, rows=[make_row(state="SUCCEEDED", rows_imported=5)])
    assert capsys.readouterr().err == ""
    list_states(ended, rows=None)
    assert "The rows of clicks are missing" in capsys.readouterr().err


@pytest.mark.parametrize("rows", [[], None], ids=["no rows", "no database"])
def test_what_opened_no_run_is_not_listed(rows):
    output = {"mapping": "web_analytics", "look": {"anything": False}}
    looked = make_execution("by-the-clock", "SUCCEEDED", output=output, started_at=after(100), ended_at=after(102))
    failed = make_execution("by-another-clock", "FAILED", input={"run": "r1"}, ended_at=after(10))
    listed = list_runs(make_clients([looked, failed], rows), REPROCESS, DEPLOYMENT, 10)
    assert [line.run for line in listed] == ["r1"]


def test_an_execution_that_is_older_than_the_rows_is_described_before_it_is_left_out():
    rows = [make_row(f"r{number}", REPROCESS, execution=f"arn:{number}") for number in range(MAX_LISTED)]
    older = make_execution(
        "by-the-clock", "SUCCEEDED", input={"run": "old"}, started_at=after(-100), ended_at=after(-90)
    )
    listed = list_runs(make_clients([older], rows), REPROCESS, DEPLOYMENT, 100)
    assert "old" in {line.run for line in listed}
