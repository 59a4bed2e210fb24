from datetime import UTC, datetime

import pytest

from backfill.kinds import BACKFILL, REPROCESS
from backfill.runs.run_ids import (
    check_export_arn,
    check_export_summary,
    check_run,
    check_table_arn,
    find_run_id,
    is_of_run,
    make_run_id,
    may_be_started_as,
    name_execution,
    read_run,
)
from backfill.terminal.console import WrongUseError
from dynaurora.runs.requests import RUN_ID, name_reprocess, name_verification
from tests.support.backfill_factories import PLAN, STARTED, make_execution


def test_a_runs_id_is_its_time_and_sorts_by_it():
    run = make_run_id(BACKFILL, datetime(2026, 11, 23, 8, 15, 0, 999_999, tzinfo=UTC))
    assert run == "20261123T081500Z"
    assert RUN_ID.fullmatch(run)
    assert run < make_run_id(BACKFILL, datetime(2026, 11, 23, 8, 15, 1, tzinfo=UTC))


def test_a_reprocess_is_named_as_open_run_names_it():
    assert make_run_id(REPROCESS, STARTED) == name_reprocess({"run": None}, "2026-11-23T08:15:00.123Z")


def test_the_run_of_an_execution_is_in_its_input_or_else_its_time():
    assert find_run_id(REPROCESS, make_execution("0f1e", input={"run": "mine"})) == "mine"
    assert find_run_id(REPROCESS, make_execution("0f1e", input={"run": None})) == "reprocess-20261123T081500Z"


def test_a_scheduled_verification_has_the_name_that_its_run_is_opened_by():
    scheduled = {"mapping": "web_analytics", "compare": True, "judge": True}
    opened = name_verification(scheduled, "2026-11-23T08:15:00.123Z")
    execution = make_execution("0f1e", input=scheduled)
    assert find_run_id(BACKFILL, execution) == opened == "verify-20261123T081500Z"
    assert may_be_started_as(BACKFILL, execution, opened)
    assert not may_be_started_as(BACKFILL, execution, "verify-20261123T081501Z")
    assert find_run_id(BACKFILL, make_execution("0f1e", input=scheduled | {"run": "mine"})) == "mine"


def test_a_long_mappings_name_is_cut_from_the_executions():
    name = name_execution("m" * 63, "reprocess-20261123T081500Z")
    assert len(name) == 80
    assert name.endswith("m-reprocess-20261123T081500Z")


def test_the_first_execution_has_the_runs_name_and_later_ones_a_number():
    assert name_execution("web_analytics", "a") == "web_analytics-a"
    assert name_execution("web_analytics", "a", 2) == "web_analytics-a-2"


@pytest.mark.parametrize("run", ["a", "A-1_b", "2" * 62])
def test_runs_that_can_be(run):
    check_run("web_analytics", run)


@pytest.mark.parametrize("run", ["", "-a", "_a", "a b", "a/b", "a\n", "ä", "a" * 65])
def test_runs_that_cannot_be(run):
    with pytest.raises(WrongUseError, match="cannot be a run's id") as caught:
        check_run("web_analytics", run)
    assert caught.value.exit_code == 2


def test_an_executions_name_has_80_characters_at_most_in_all_its_attempts():
    longest = "a" * 62
    check_run("web_analytics", longest)
    assert len(name_execution("web_analytics", longest, 999)) == 80
    with pytest.raises(WrongUseError, match="may have 62 characters"):
        check_run("web_analytics", "a" * 63)


def test_the_export_has_to_be_of_the_table():
    check_export_arn(PLAN["export_arn"], "web_analytics")
    with pytest.raises(WrongUseError, match="is of the table web_analytics, and this mapping replicates other"):
        check_export_arn(PLAN["export_arn"], "other")
    with pytest.raises(WrongUseError, match="is not the ARN of an export"):
        check_export_arn("arn:aws:dynamodb:us-east-1:000000000000:table/web_analytics", "web_analytics")


@pytest.mark.parametrize(
    ("name", "belongs"),
    [
        ("m-a", True),
        ("m-a-2", True),
        ("m-a-999", True),
        ("m-a-1", False),
        ("m-a-02", False),
        ("m-a-1000", False),
        ("m-ab", False),
        ("m-a-b", False),
        ("a", False),
    ],
)
def test_names_that_may_be_of_a_run(name, belongs):
    assert is_of_run(name, "m", "a") is belongs


@pytest.mark.parametrize(
    ("name", "run"),
    [("m-20261123T081500Z", "20261123T081500Z"), ("m-a-1", "a-1"), ("m-a-2", None), ("by-hand", None)],
)
def test_a_run_is_read_from_a_name_only_where_it_tells(name, run):
    assert read_run(name, "m") == run


@pytest.mark.parametrize(
    "address",
    ["https://b/AWSDynamoDB/1/manifest-summary.json", "s3://b/copied/1/manifest-summary.json", "s3://b/AWSDynamoDB"],
)
def test_what_cannot_be_the_summary_of_an_export_is_wrong_use(address):
    check_export_summary("s3://bucket/any/AWSDynamoDB/1/manifest-summary.json")
    with pytest.raises(WrongUseError, match="copy it with that folder"):
        check_export_summary(address)


def test_what_is_no_tables_arn_is_wrong_use():
    check_table_arn("arn:aws:dynamodb:us-east-1:123456789012:table/clicks")
    with pytest.raises(WrongUseError, match="as tableArn"):
        check_table_arn("arn:aws:dynamodb:us-east-1:123456789012:table/clicks/export/1")
