import json
from dataclasses import asdict, dataclass, field

import pytest

from dynaurora.errors import InvalidRunError
from dynaurora.runs.close_run import STATES_OF_STATUSES, Ending, close_run, read_ending
from tests.support.factories import make_plan, run_input, run_request

EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:dynaurora-backfill-table:web_analytics-r1"
OPENED = run_request().as_dict()
CAUGHT = {"Error": "States.Timeout", "Cause": "too slow"}


def from_state_machine(**changed):
    return {"input": OPENED | changed, "execution": {"id": EXECUTION, "name": "web_analytics-r1", "started": "now"}}


def from_eventbridge(status="ABORTED", **changed):
    """Return EventBridge's event of an execution that ended, as Step Functions sends it."""
    detail = {
        "executionArn": EXECUTION,
        "stateMachineArn": "arn:aws:states:us-east-1:123456789012:stateMachine:dynaurora-backfill-table",
        "name": "web_analytics-r1",
        "status": status,
        "startDate": 1700000000000,
        "stopDate": 1700000060000,
        "input": json.dumps(run_input()),
        "inputDetails": {"included": True},
        "output": None,
        "outputDetails": None,
        "error": None,
        "cause": None,
    }
    return {
        "version": "0",
        "detail-type": "Step Functions Execution Status Change",
        "source": "aws.states",
        "detail": detail | changed,
    }


def test_a_run_that_nothing_failed_in_succeeded():
    plan = asdict(make_plan())
    event = from_state_machine(plan=plan, report={"bucket": "landing", "key": "report.json", "failure": None})
    assert read_ending(event) == Ending("web_analytics", "r1", EXECUTION, "SUCCEEDED", None, plan)


def test_a_run_failed_for_what_its_report_says():
    failure = {"error": "NotReadyError", "reason": "Its stream is off.", "remedy": "", "subject": "", "message": ""}
    event = from_state_machine(report={"failure": failure}, error=CAUGHT)
    assert read_ending(event) == Ending(
        "web_analytics", "r1", EXECUTION, "FAILED", "NotReadyError: Its stream is off.", None
    )


@pytest.mark.parametrize("report", [{}, {"report": None}, {"report": {"failure": None}}])
@pytest.mark.parametrize("where", ["error", "unreconciled"])
def test_a_run_that_is_not_reported_failed_for_what_was_caught(report, where):
    ending = read_ending(from_state_machine(**{where: CAUGHT}, **report))
    assert (ending.state, ending.reason) == ("FAILED", "StepFunctions.Timeout: too slow")


@pytest.mark.parametrize(
    ("status", "said", "state", "reason"),
    [
        ("ABORTED", {}, "STOPPED", "It was stopped."),
        ("ABORTED", {"error": "Stopped", "cause": "by ann"}, "STOPPED", "Stopped: by ann"),
        ("ABORTED", {"cause": "by ann"}, "STOPPED", "by ann"),
        ("TIMED_OUT", {}, "FAILED", "Its execution ended as TIMED_OUT."),
        ("FAILED", {"error": "States.Runtime", "cause": "No path."}, "FAILED", "States.Runtime: No path."),
        ("FAILED", {"error": "NotReadyError"}, "FAILED", "NotReadyError"),
    ],
)
def test_eventbridge_tells_of_executions_that_ended_by_themselves(status, said, state, reason):
    assert read_ending(from_eventbridge(status, **said)) == Ending(
        "web_analytics", "r1", EXECUTION, state, reason, None
    )


REPROCESS_MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:dynaurora-reprocess-failures"


@pytest.mark.parametrize(
    ("asked_for", "run"),
    [
        pytest.param({}, "reprocess-20231114T221320Z", id="by when it was started"),
        pytest.param({"run": None}, "reprocess-20231114T221320Z", id="null"),
        pytest.param({"run": "r7"}, "r7", id="by its name"),
    ],
)
def test_a_reprocess_that_eventbridge_tells_of_is_the_run_that_was_opened(asked_for, run):
    event = from_eventbridge(
        stateMachineArn=REPROCESS_MACHINE, input=json.dumps({"mapping": "web_analytics"} | asked_for)
    )
    assert read_ending(event) == Ending("web_analytics", run, EXECUTION, "STOPPED", "It was stopped.", None)


@pytest.mark.parametrize("started", ["2026-11-23T08:15:00.999Z", "2026-11-23T09:15:00+01:00"])
def test_a_reprocess_without_a_name_is_closed_by_when_it_was_started(started):
    event = {"kind": "reprocess", "input": {"mapping": "web_analytics"}}
    ending = read_ending(event | {"execution": {"id": EXECUTION, "started": started}})
    assert (ending.run, ending.state) == ("reprocess-20261123T081500Z", "SUCCEEDED")


@pytest.mark.parametrize(("asked_for", "run"), [({}, "verify-20231114T221320Z"), ({"run": "r7"}, "r7")])
def test_a_judged_verification_is_closed_by_its_name_or_by_when_it_was_started(asked_for, run):
    scheduled = {"mapping": "web_analytics", "compare": True, "judge": True} | asked_for
    assert read_ending(from_eventbridge(input=json.dumps(scheduled))).run == run
    execution = {"id": EXECUTION, "started": "2023-11-14T22:13:20.5Z"}
    assert read_ending({"input": scheduled | {"error": CAUGHT}, "execution": execution}).run == run


def test_every_end_but_success_is_told_by_eventbridge():
    assert STATES_OF_STATUSES.keys() == {"ABORTED", "TIMED_OUT", "FAILED"}


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(None, id="nothing"),
        pytest.param([], id="a list"),
        pytest.param("detail", id="text"),
        pytest.param({}, id="an empty event"),
        pytest.param({"input": OPENED}, id="no execution"),
        pytest.param({"input": OPENED, "execution": {}}, id="an execution without id"),
        pytest.param({"input": {}, "execution": {"id": EXECUTION}}, id="no run"),
        pytest.param({"input": "r1", "execution": {"id": EXECUTION}}, id="input is text"),
        pytest.param({"input": None, "execution": {"id": EXECUTION}}, id="input is null"),
        pytest.param({"detail": None}, id="no detail"),
        pytest.param({"detail": {}}, id="an empty detail"),
        pytest.param(from_eventbridge("RUNNING"), id="it runs"),
        pytest.param(from_eventbridge("SUCCEEDED"), id="it succeeded"),
        pytest.param(from_eventbridge(input=None), id="the input was too large for the event"),
        pytest.param(from_eventbridge(input="{"), id="the input is not JSON"),
        pytest.param(from_eventbridge(input="[]"), id="the input is a list"),
        pytest.param(from_eventbridge(input='{"mapping": "web_analytics"}'), id="the input has no run"),
        pytest.param(from_eventbridge(input='{"run": "r1"}'), id="the input has no mapping"),
        pytest.param(from_eventbridge(input='{"run": "r1", "mapping": "a/b"}'), id="the mapping can be none"),
        pytest.param(from_state_machine(mapping=5), id="the mapping is a number"),
    ],
)
def test_an_event_of_no_run_that_ended_is_refused(event):
    with pytest.raises(InvalidRunError, match="names no run that ended"):
        read_ending(event)


@dataclass
class KnownRuns:
    """Runs, as far as closing them goes."""

    answer: bool
    calls: list = field(default_factory=list)

    def close(self, *arguments):
        self.calls.append(arguments)
        return self.answer


@pytest.mark.parametrize("answer", [True, False])
def test_a_run_is_closed_by_what_its_end_says(answer):
    runs = KnownRuns(answer)
    assert close_run(runs, Ending("web_analytics", "r1", EXECUTION, "FAILED", "It broke.", {"items": 5})) is answer
    assert runs.calls == [("r1", EXECUTION, "FAILED", {"items": 5}, "It broke.")]


COMPLETE = {"complete": True, "rejected": 0, "batches_failed": 0}
SWEPT = OPENED | {"generation": 3, "totals": COMPLETE, "options": OPENED["options"] | {"sweep": True}}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, (3, True)),
        ({"options": OPENED["options"]}, (3, False)),
        ({"error": CAUGHT}, (None, False)),
        ({"totals": None}, (None, False)),
        ({"totals": COMPLETE | {"complete": False}}, (None, False)),
        ({"totals": COMPLETE | {"rejected": 1}}, (3, True)),
        *(
            ({"options": OPENED["options"], "totals": COMPLETE | left_out}, (None, False))
            for left_out in ({"rejected": 1}, {"batches_failed": 1})
        ),
    ],
)
def test_a_run_that_left_nothing_out_has_filled_the_targets_of_its_generation(changed, expected):
    ending = read_ending({"input": SWEPT | changed, "execution": {"id": EXECUTION, "started": "now"}})
    assert (ending.generation, ending.swept) == expected


COMPARED = OPENED | {"generation": 3, "totals": COMPLETE, "options": OPENED["options"] | {"compare": True}}
PLANNED = asdict(make_plan())
OF_WINDOW = asdict(make_plan(window_from=PLANNED["export_second"] - 900))


def test_a_verification_has_filled_nothing():
    ending = read_ending({"input": COMPARED | {"plan": PLANNED}, "execution": {"id": EXECUTION, "started": "now"}})
    assert (ending.state, ending.generation, ending.shows_until) == ("SUCCEEDED", None, None)


@pytest.mark.parametrize(
    ("changed", "shows"),
    [
        ({}, True),
        ({"totals": COMPLETE | {"rejected": 1}}, True),
        ({"options": OPENED["options"], "totals": COMPLETE | {"rejected": 1}}, True),
        ({"totals": COMPLETE | {"batches_failed": 1}}, False),
        ({"totals": COMPLETE | {"complete": False}}, False),
        ({"totals": None}, False),
        ({"plan": None}, False),
        ({"plan": OF_WINDOW}, False),
        ({"error": CAUGHT}, False),
    ],
)
def test_a_whole_export_shows_all_changes_up_to_its_margin(changed, shows):
    state = SWEPT | {"plan": PLANNED} | changed
    ending = read_ending({"input": state, "execution": {"id": EXECUTION, "started": "now"}})
    assert ending.shows_until == (PLANNED["export_second"] - 120 if shows else None)
