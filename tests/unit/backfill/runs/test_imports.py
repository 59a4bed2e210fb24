from dataclasses import replace
from types import SimpleNamespace

from backfill.kinds import BACKFILL
from backfill.runs.imports import ImportLister, read_import
from tests.support.backfill_factories import DEPLOYMENT, RUN, FakeStates, after, make_execution

LANDED = {
    "batch": {
        "source": "stream",
        "run": None,
        "rows": None,
        "objects": [
            {
                "bucket": "landing",
                "key": f"processed/mapping={DEPLOYMENT.mapping}/2026/11/23/08/a",
                "etag": "e",
                "size": 9,
            }
        ],
    }
}
CONVERSION = {
    "mapping": DEPLOYMENT.mapping,
    "run": RUN,
    "export_second": 1_795_421_700,
    "bucket": "landing",
    "export_bucket": "landing",
    "batch": {"number": 1, "items": 18, "files": []},
}


def test_a_streamed_batch_is_told_with_what_its_import_answered():
    output = {"status": "applied", "batch_id": "a", "rows_staged": 3, "rows_changed": 2}
    ended = make_execution("x", "SUCCEEDED", ended_at=after(4), input=LANDED, output=output)
    (found,) = read_import(ended, DEPLOYMENT.mapping)
    assert (found.source, found.run, found.state, found.seconds) == ("stream", None, "imported", 4)
    assert (found.rows, found.rows_changed, found.size, len(found.batch_id)) == (3, 2, 9, 40)
    assert found.as_dict()["ended_at"] == "2026-11-23T08:15:04.000Z"


def test_a_batch_that_is_still_to_be_converted_is_told_without_its_rows():
    (found,) = read_import(make_execution("x", input={"batch": CONVERSION}), DEPLOYMENT.mapping)
    assert (found.batch_id, found.source, found.run, found.state) == (None, BACKFILL.name, RUN, "importing")
    assert (found.rows, found.seconds) == (None, None)


def test_batches_of_others_and_what_is_none_are_left_out():
    assert [*read_import(make_execution("x", input={"batch": CONVERSION}), "orders")] == []
    assert [*read_import(make_execution("x", input={"batch": "?"}), DEPLOYMENT.mapping)] == []


def test_an_execution_that_has_ended_is_described_once():
    running = make_execution("a", input=LANDED)
    ended = make_execution("b", "FAILED", ended_at=after(4), input=LANDED, error="ConnectionLostError")
    lister = ImportLister(states := FakeStates([running, ended]))
    assert [one.error for one in lister.list(DEPLOYMENT, 9)] == [None, "ConnectionLostError"]
    assert len(lister.list(DEPLOYMENT, 1)) == 1
    assert sorted(states.described) == sorted([running.arn, ended.arn, running.arn])


def test_batches_of_both_state_machines_are_told_newest_first_and_one_that_was_handed_over_once():
    streamed = replace(DEPLOYMENT, import_streamed_batch_arn="arn:streamed")
    went_well = make_execution("a", "SUCCEEDED", started_at=after(1), ended_at=after(2), input=LANDED)
    given_up = make_execution(
        "b", "SUCCEEDED", started_at=after(3), ended_at=after(4), input=LANDED, output={"handed_to": "arn:c"}
    )
    goes_on = make_execution("c", started_at=after(4), input=LANDED)
    states = FakeStates([went_well, given_up, goes_on])
    of_machine = {"arn:streamed": [went_well, given_up], DEPLOYMENT.import_batch_arn: [goes_on]}

    def paginate(stateMachineArn, **_):  # noqa: N803 (the SDK's name)
        return [{"executions": [states._list_one(one)]} for one in of_machine[stateMachineArn]]

    states.get_paginator = lambda _: SimpleNamespace(paginate=paginate)
    listed = ImportLister(states).list(streamed, 9)
    assert [(one.execution, one.state) for one in listed] == [(goes_on.arn, "importing"), (went_well.arn, "imported")]
    assert [one.execution for one in ImportLister(states).list(DEPLOYMENT, 9)] == [goes_on.arn], "of an older platform"
