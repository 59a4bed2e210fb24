import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynaurora.errors import InvalidRunError
from dynaurora.runs.requests import (
    FIELDS,
    TOLERATED_REJECTED_PERCENTAGE,
    Limits,
    Options,
    RunRequest,
    is_run_id,
    read_summary_address,
)
from tests.support.factories import EXPORT_ARN, TABLE_ARN, run_input

SUMMARY = "s3://exports-of-others/copied/AWSDynamoDB/01795420500000-5e1f0a3c/manifest-summary.json"
WINDOW = {"window_from": "2026-11-23T08:00:00Z", "window_to": "2026-11-23T08:15:00Z"}
ANYTHING = Limits(backfill_concurrency=2, import_concurrency=0)


def read(document, limits=ANYTHING):
    return RunRequest.from_input(document, limits)


def test_an_input_of_mapping_and_run_is_enough():
    request = read({"mapping": "web_analytics", "run": "r1"})
    assert (request.mapping, request.run) == ("web_analytics", "r1")
    assert request.options == Options(None, 2, 0, TOLERATED_REJECTED_PERCENTAGE, sweep=False)


def test_null_is_as_good_as_nothing():
    empty = dict.fromkeys(set(FIELDS) - {"mapping", "run"})
    assert read(run_input(**empty)) == read({"mapping": "web_analytics", "run": "r1"})


def test_every_option_is_taken_as_it_is_given():
    given_options = {
        "export_arn": EXPORT_ARN,
        "max_concurrency": 7,
        "tolerated_failure_percentage": 12.5,
        "tolerated_rejected_percentage": 0,
        "sweep": False,
        "compare": True,
        "judge": True,
        "export_summary": None,
        "source_table_arn": None,
        "window_from": None,
        "window_to": None,
    }
    assert read(run_input(**given_options)).as_dict() == {
        "mapping": "web_analytics",
        "run": "r1",
        "options": given_options,
    }


def test_what_a_state_machine_adds_to_its_input_is_passed_over():
    assert read(run_input(AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID="arn:execution")) == read(run_input())


GOOD = {
    "mapping": ["a", "orders", "a" * 63],
    "run": ["a", "0", "A" * 64, "20261123T081500Z", "a_b-c"],
    "export_arn": [EXPORT_ARN, "arn:aws-cn:dynamodb:cn-north-1:123456789012:table/a.b-c_D/export/01-ab"],
    "max_concurrency": [1, 1000],
    "tolerated_failure_percentage": [0, 100, 0.5],
    "tolerated_rejected_percentage": [0, 100, 0.5],
    "sweep": [True, False],
    "compare": [True, False],
    "judge": [False],
    "export_summary": [SUMMARY, "s3://a.b/AWSDynamoDB/manifest-summary.json"],
    "source_table_arn": [],
    "window_from": [],
    "window_to": [],
}
BAD = {
    "mapping": [None, "", "Clicks", "a/b", "a" * 64, 5, ["web_analytics"]],
    "run": [None, "", "A" * 65, "-a", "_a", "a b", "a/b", "a.b", "ü", "a\n", 20261123, ["r1"]],
    "export_arn": ["", "latest", 5, f"{EXPORT_ARN} ", EXPORT_ARN.replace("/export/", "/stream/"), f"x{EXPORT_ARN}"],
    "max_concurrency": [0, -1, 1001, 2.0, "2", True, [2]],
    "tolerated_failure_percentage": [-1, 100.5, "5", True, float("nan"), float("inf")],
    "tolerated_rejected_percentage": [-1, 100.5, "5", True, float("nan"), float("inf")],
    "sweep": ["true", 1, 0, "", []],
    "compare": ["true", 1, 0, "", []],
    "judge": ["true", 1, 0, "", []],
    "export_summary": [
        "",
        5,
        "s3://b",
        SUMMARY.replace("AWSDynamoDB/", ""),
        SUMMARY.replace("s3://", ""),
        f"{SUMMARY} ",
    ],
    "source_table_arn": ["", "table", 5, TABLE_ARN.replace(":table/", ":stream/")],
    "window_from": ["", "yesterday", 5, "2026-11-23T08:15:00", "2026-11-23 08:15:00Z", "2026-13-23T08:15:00Z"],
    "window_to": ["", "yesterday", 5, "2026-11-23T08:15:00+00:00", "2026-11-23T08:15:00.5Z"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in GOOD for value in GOOD[name]])
def test_a_good_field_is_taken(name, value):
    assert json.dumps(value) in json.dumps(read(run_input(**{name: value})).as_dict())


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in BAD for value in BAD[name]])
def test_a_bad_field_is_named_with_its_value_and_what_it_takes(name, value):
    with pytest.raises(InvalidRunError) as caught:
        read(run_input(**{name: value}))
    shown, wanted = json.dumps(value)[:80], FIELDS[name][1]
    assert caught.value.problem == f"The input is not a run's: {name} is {shown}, and it takes {wanted}."


def test_the_fields_that_a_test_tries_are_all_that_there_are():
    assert GOOD.keys() | BAD.keys() == FIELDS.keys() == run_input().keys()


@pytest.mark.parametrize("document", [None, [], "r1", 5, {}])
def test_what_is_no_input_lacks_what_is_needed(document):
    with pytest.raises(InvalidRunError) as caught:
        read(document)
    assert "mapping is null" in caught.value.problem
    assert "run is null" in caught.value.problem


def test_every_bad_field_is_named_at_once():
    with pytest.raises(InvalidRunError) as caught:
        read({name: values[1] for name, values in BAD.items()})
    assert [name for name in BAD if f"{name} is " in caught.value.problem] == list(BAD)


def test_a_long_value_is_not_repeated_whole():
    with pytest.raises(InvalidRunError) as caught:
        read(run_input(run="x" * 100_000))
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("limits", "wanted", "concurrency"),
    [
        pytest.param(Limits(2, 5), None, 2, id="its default"),
        pytest.param(Limits(8, 5), None, 4, id="its default is too high"),
        pytest.param(Limits(2, 5), 3, 3, id="fewer than the importer's"),
        pytest.param(Limits(2, 5), 4, 4, id="one fewer than the importer's"),
        pytest.param(Limits(2, 5), 5, 4, id="the importer's"),
        pytest.param(Limits(2, 5), 1000, 4, id="more than the importer's"),
        pytest.param(Limits(2, 1), None, 1, id="an importer of one"),
        pytest.param(Limits(2, 2), 2, 1, id="an importer of two"),
        pytest.param(Limits(2, 20), 20, 15, id="an importer of many, a quarter of which is for streams"),
        pytest.param(Limits(2, 0), 1000, 1000, id="an importer without bound"),
    ],
)
def test_a_run_leaves_the_stream_its_share_of_the_importer(limits, wanted, concurrency):
    assert read(run_input(max_concurrency=wanted), limits).options.max_concurrency == concurrency


@pytest.mark.parametrize(
    ("importer", "taken", "left"), [(5, 0, 4), (5, 2, 2), (5, 4, 1), (5, 9, 1), (20, 10, 5), (0, 9, 1000)]
)
def test_a_run_leaves_other_runs_their_share_too(importer, taken, left):
    limits = Limits(2, importer).beside(taken)
    assert read(run_input(max_concurrency=1000), limits).options.max_concurrency == left


def test_a_verification_is_a_run_of_its_own_kind_and_sweeps_nothing():
    assert (read(run_input(compare=True)).kind, read(run_input()).kind) == ("verify", "backfill")
    with pytest.raises(InvalidRunError, match="changes nothing"):
        read(run_input(compare=True, sweep=True))


def test_what_is_judged_is_compared_and_needs_no_name():
    started = "2026-11-23T09:15:00.5+01:00"
    unnamed = RunRequest.from_input({"mapping": "web_analytics", "compare": True, "judge": True}, ANYTHING, started)
    assert (unnamed.run, unnamed.options.judge) == ("verify-20261123T081500Z", True)
    named = RunRequest.from_input(run_input(compare=True, judge=True), ANYTHING, started)
    assert named.run == "r1"
    with pytest.raises(InvalidRunError, match="asks for judging, and for no comparison"):
        read(run_input(judge=True))
    with pytest.raises(InvalidRunError, match="run is null"):
        RunRequest.from_input({"mapping": "web_analytics", "compare": True}, ANYTHING, started)


def test_what_is_imported_is_told_in_one_way():
    assert read(run_input(**WINDOW)).options.window_to == WINDOW["window_to"]
    assert read(run_input(export_summary=SUMMARY, source_table_arn=TABLE_ARN)).options.source_table_arn == TABLE_ARN
    assert read_summary_address(SUMMARY)[0] == "exports-of-others"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({**WINDOW, "export_arn": EXPORT_ARN}, "more than one of an export, its summary and a window"),
        ({**WINDOW, "export_summary": SUMMARY}, "more than one of an export, its summary and a window"),
        ({"export_arn": EXPORT_ARN, "export_summary": SUMMARY}, "more than one of an export, its summary and a window"),
        ({"source_table_arn": TABLE_ARN}, "no export_summary that it would be of"),
        ({"window_from": WINDOW["window_from"]}, "lacks the other"),
        ({"window_to": WINDOW["window_to"]}, "lacks the other"),
        ({**WINDOW, "window_to": "2026-11-23T08:14:59Z"}, "is 899 seconds long"),
        ({**WINDOW, "window_to": "2026-11-24T08:00:01Z"}, "is 86401 seconds long"),
        ({**WINDOW, "sweep": True}, "no whole table to sweep or compare"),
        ({**WINDOW, "compare": True}, "no whole table to sweep or compare"),
    ],
)
def test_what_is_imported_is_not_told_in_two_ways_nor_swept_where_it_is_a_window(given, says):
    with pytest.raises(InvalidRunError, match=says):
        read(run_input(**given))


def test_a_window_is_refused_where_rows_of_expired_items_are_kept():
    with pytest.raises(InvalidRunError, match=r"keeps the rows of expired items \(TtlDeletes=ignore\)"):
        read(run_input(**WINDOW), Limits(2, 5, keeps_expired=True))


def test_a_sweep_is_refused_where_rows_of_expired_items_are_kept():
    keeping = Limits(2, 5, keeps_expired=True)
    with pytest.raises(InvalidRunError, match=r"keeps the rows of expired items \(TtlDeletes=ignore\)"):
        read(run_input(sweep=True), keeping)
    assert not read(run_input(sweep=False), keeping).options.sweep
    assert read(run_input(sweep=True), Limits(2, 5)).options.sweep


@given(st.integers(1, 1000), st.integers(0, 1000), st.none() | st.integers(1, 1000))
def test_a_concurrency_is_never_none_nor_the_importers_own(backfill, importer, wanted):
    found = Limits(backfill, importer).bound(wanted)
    assert 1 <= found <= (wanted or backfill)
    assert found < importer or importer < 2


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", fullmatch=True))
def test_a_runs_id_is_fit_for_a_key_and_an_executions_name(run):
    assert is_run_id(run)
    assert read(run_input(run=run)).run == run


@given(st.dictionaries(st.sampled_from(sorted(FIELDS)), st.none() | st.integers() | st.text() | st.booleans()))
def test_any_input_is_read_or_refused(document):
    with suppress(InvalidRunError):
        assert read(document).as_dict()["options"].keys() == FIELDS.keys() - {"mapping", "run"}
