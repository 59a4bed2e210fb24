"""Runs of reprocess_failures: what they are asked for, and what they are called until they end."""

import json

import pytest

from dynaurora.errors import InvalidRunError
from dynaurora.runs.close_run import read_ending
from dynaurora.runs.requests import Limits, ReprocessOptions, ReprocessRequest, RunRequest, name_reprocess, read_request
from tests.support.factories import run_input

STARTED = "2026-11-23T08:15:00.123Z"
NAME = "reprocess-20261123T081500Z"
EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:dynaurora-reprocess-failures:e-1"
LIMITS = Limits(backfill_concurrency=2, import_concurrency=5)


def read(document, kind="reprocess"):
    event = {"input": document, "kind": kind, "execution": {"id": EXECUTION, "name": "e-1", "started": STARTED}}
    return read_request(event, LIMITS)


def test_a_reprocess_needs_no_more_than_its_mapping():
    request = read({"mapping": "web_analytics"})
    assert request == ReprocessRequest("web_analytics", NAME, ReprocessOptions(None, False, 2))
    assert request.as_dict()["options"] == {"prefix": None, "include_parked": False, "max_concurrency": 2}


def test_a_reprocess_is_asked_for_by_prefix_and_with_what_is_parked():
    document = {"mapping": "web_analytics", "run": "r1", "prefix": "parked/", "include_parked": True}
    request = read({**document, "max_concurrency": 100})
    assert (request.run, request.options) == ("r1", ReprocessOptions("parked/", True, 4))


@pytest.mark.parametrize(
    ("field", "value"),
    [("run", "a b"), ("run", ""), ("run", 5), ("prefix", 5), ("include_parked", "yes"), ("max_concurrency", 0)],
)
def test_a_field_that_is_wrong_is_named(field, value):
    with pytest.raises(InvalidRunError, match=f"{field} is {json.dumps(value)}"):
        read({"mapping": "web_analytics", field: value})


@pytest.mark.parametrize("document", [None, [], "web_analytics", {}, {"mapping": "Orders"}])
def test_what_is_no_input_is_refused(document):
    with pytest.raises(InvalidRunError):
        read(document)


def test_without_a_kind_it_is_a_backfill():
    assert isinstance(read_request({"input": run_input()}, LIMITS), RunRequest)


@pytest.mark.parametrize("started", [STARTED, "2026-11-23T08:15:00Z", "2026-11-23T09:15:00+01:00"])
def test_a_reprocess_without_a_name_is_named_by_its_start(started):
    assert name_reprocess({}, started) == name_reprocess({"run": None}, started) == NAME
    assert name_reprocess({"run": "r1"}, started) == "r1"


def ended_by_itself(**changed):
    """Return EventBridge's event of a reprocess that was stopped."""
    detail = {
        "executionArn": EXECUTION,
        "stateMachineArn": "arn:aws:states:us-east-1:123456789012:stateMachine:dynaurora-reprocess-failures",
        "status": "ABORTED",
        "startDate": 1795421700123,
        "input": json.dumps({"mapping": "web_analytics"}),
        "error": None,
        "cause": None,
    }
    return {"detail": detail | changed}


def test_a_reprocess_has_the_same_name_whoever_tells_of_its_end():
    execution = {"id": EXECUTION, "started": STARTED}
    told = {"input": {"mapping": "web_analytics"}, "kind": "reprocess", "execution": execution}
    assert read_ending(told).run == read_ending(ended_by_itself()).run == NAME
    assert read_ending(ended_by_itself(input='{"mapping": "web_analytics", "run": "r1"}')).run == "r1"
    assert read_ending({**told, "input": {"mapping": "web_analytics", "run": "r1"}}).run == "r1"


def test_a_backfill_without_a_name_is_none():
    arn = "arn:aws:states:us-east-1:123456789012:stateMachine:dynaurora-backfill-table"
    with pytest.raises(InvalidRunError):
        read_ending(ended_by_itself(stateMachineArn=arn))
