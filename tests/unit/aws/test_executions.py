"""What the functions ask Step Functions about executions."""

from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError

from dynaurora.aws.executions import ExecutionHistory, Step, StepFunctionsExecutions
from dynaurora.errors import ThrottledError

ARN = "arn:aws:states:us-east-1:123456789012:execution:dynaurora-backfill-table:web_analytics-r1"
MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:dynaurora-import-batch"
STARTED = datetime(2026, 11, 23, 8, 15, tzinfo=UTC)


def described(status):
    return {
        "executionArn": ARN,
        "stateMachineArn": ARN.replace("execution", "stateMachine"),
        "status": status,
        "startDate": STARTED,
    }


@pytest.mark.parametrize(
    ("status", "runs"),
    [
        ("RUNNING", True),
        ("PENDING_REDRIVE", True),
        ("SUCCEEDED", False),
        ("FAILED", False),
        ("TIMED_OUT", False),
        ("ABORTED", False),
    ],
)
def test_an_execution_runs_until_it_has_ended(stub, status, runs):
    stub("stepfunctions").add_response("describe_execution", described(status), {"executionArn": ARN})
    assert StepFunctionsExecutions().is_running(ARN) is runs


def test_an_execution_that_is_not_known_does_not_run(stub):
    stub("stepfunctions").add_client_error("describe_execution", "ExecutionDoesNotExist", http_status_code=400)
    assert StepFunctionsExecutions().is_running(ARN) is False


@pytest.mark.parametrize(("code", "error"), [("ThrottlingException", ThrottledError), ("InvalidArn", ClientError)])
def test_no_answer_is_no_answer(stub, code, error):
    stub("stepfunctions").add_client_error("describe_execution", code, http_status_code=400)
    with pytest.raises(error):
        StepFunctionsExecutions().is_running(ARN)


def test_executions_that_run_for_long_are_counted_page_by_page(stub):
    def listed(*seconds):
        common = {"executionArn": ARN, "stateMachineArn": MACHINE, "name": "n", "status": "RUNNING"}
        return [{**common, "startDate": STARTED.replace(second=second)} for second in seconds]

    states = stub("stepfunctions")
    asked = {"stateMachineArn": MACHINE, "statusFilter": "RUNNING", "maxResults": 1000}
    states.add_response("list_executions", {"executions": listed(9, 8), "nextToken": "more"}, asked)
    states.add_response("list_executions", {"executions": listed(5, 4)}, asked | {"nextToken": "more"})
    assert StepFunctionsExecutions().count_running(MACHINE, STARTED.replace(second=8)) == 2


def event(number, kind, name=None):
    entered = {"stateEnteredEventDetails": {"name": name}} if name else {}
    return {"id": number, "timestamp": STARTED.replace(second=number), "type": kind, **entered}


def test_the_states_of_an_execution_are_read_page_by_page(stub):
    states = stub("stepfunctions")
    asked = {"executionArn": ARN, "includeExecutionData": False}
    first = [event(1, "ExecutionStarted"), event(2, "TaskStateEntered", "Open run"), event(3, "TaskStateExited")]
    second = [event(4, "ChoiceStateEntered", "Ready to export?"), event(5, "MapStateEntered", "Backfill batches")]
    states.add_response("get_execution_history", {"events": first, "nextToken": "more"}, asked)
    states.add_response("get_execution_history", {"events": second}, asked | {"nextToken": "more"})
    assert list(ExecutionHistory().steps(ARN)) == [
        Step("Open run", STARTED.replace(second=2)),
        Step("Ready to export?", STARTED.replace(second=4)),
        Step("Backfill batches", STARTED.replace(second=5)),
    ]


def test_a_history_that_cannot_be_read_is_an_error_of_ours(stub):
    stub("stepfunctions").add_client_error("get_execution_history", "ThrottlingException", http_status_code=400)
    with pytest.raises(ThrottledError):
        list(ExecutionHistory().steps(ARN))
