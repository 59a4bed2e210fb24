"""House rules of the state machines: fields, names, errors, and what their README says of them."""

import re
from functools import cache

import botocore.session
import pytest

from dynaurora import errors
from tests.infrastructure.deployment import (
    FUNCTION,
    STATE_MACHINE,
    STATE_MACHINES,
    get_resource,
    list_resources,
    list_state_machines,
    read_definition,
)

NAMES = list_state_machines()
STATES = [
    pytest.param(name, label, state, id=f"{name}-{label}")
    for name in NAMES
    for label, state in read_definition(name)["States"].items()
]
TASKS = [entry for entry in STATES if entry.values[2]["Type"] == "Task"]
RETRIERS = [
    pytest.param(retrier, id=f"{name}-{label}-{number}")
    for name, label, state in (entry.values for entry in TASKS)
    for number, retrier in enumerate(state["Retry"])
]

COMMON_FIELDS = {"Type", "Comment"}
FLOW_FIELDS = COMMON_FIELDS | {"InputPath", "OutputPath", "Next", "End"}
FIELDS = {
    "Task": FLOW_FIELDS
    | {
        "Resource",
        "Parameters",
        "ResultSelector",
        "ResultPath",
        "TimeoutSeconds",
        "HeartbeatSeconds",
        "Retry",
        "Catch",
    },
    "Pass": FLOW_FIELDS | {"Result", "Parameters", "ResultPath"},
    "Choice": COMMON_FIELDS | {"InputPath", "OutputPath", "Choices", "Default"},
    "Wait": FLOW_FIELDS | {"Seconds", "SecondsPath", "Timestamp", "TimestampPath"},
    "Succeed": COMMON_FIELDS | {"InputPath", "OutputPath"},
    "Fail": COMMON_FIELDS | {"Error", "ErrorPath", "Cause", "CausePath"},
}
"""Fields of each state in JSONPath (Amazon States Language specification). Left out on purpose are those that not every
local engine has: QueryLanguage, Assign, Arguments, Output."""

RETRIER_FIELDS = {
    "Comment",
    "ErrorEquals",
    "IntervalSeconds",
    "BackoffRate",
    "MaxDelaySeconds",
    "MaxAttempts",
    "JitterStrategy",
}
CATCHER_FIELDS = {"Comment", "ErrorEquals", "ResultPath", "Next"}
JITTER_STRATEGIES = {"FULL", "NONE"}

SERVICES_OF_OPTIMIZED_INTEGRATIONS = {"lambda": "lambda", "sns": "sns", "states": "stepfunctions"}

SERVICE_ERRORS = {
    "Lambda.AWSLambdaException",
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.ResourceConflictException",
    "Lambda.ResourceNotReadyException",
    "Lambda.SdkClientException",
    "Lambda.ServiceException",
    "Lambda.TooManyRequestsException",
    "Lambda.Unknown",
    "Runtime.ExitError",
    "Sandbox.Timedout",
    "States.Timeout",
}
"""Errors of AWS's that may pass by themselves (Step Functions developer guide, "Handling errors" and "Transient Lambda
service exceptions"; Lambda API reference, "Invoke")."""

NETWORK_ERRORS = {
    "Lambda.EC2ThrottledException",
    "Lambda.EC2UnexpectedException",
    "Lambda.ENILimitReachedException",
    "Lambda.ENINotReadyException",
    "Lambda.SubnetIPAddressLimitReachedException",
}
"""Those that only a function in a VPC has."""

HISTORY_EVENTS = 25_000
"""Most events of a Standard execution (Step Functions developer guide, "Quotas")."""
EVENTS_OF_AN_ATTEMPT = 3
"""TaskScheduled, TaskStarted, and TaskFailed or TaskTimedOut."""


# Fields and enumerations


@pytest.mark.parametrize(("name", "label", "state"), STATES)
def test_a_state_has_known_fields_only(name, label, state):
    assert state["Type"] in FIELDS
    assert state.keys() <= FIELDS[state["Type"]]
    assert state["Comment"].endswith(".")


@pytest.mark.parametrize("name", NAMES)
def test_a_definition_has_known_fields_only(name):
    assert read_definition(name).keys() <= {"Comment", "StartAt", "States", "TimeoutSeconds"}


@pytest.mark.parametrize(("name", "label", "state"), TASKS)
def test_a_task_has_a_timeout_retries_and_a_catch(name, label, state):
    assert state["TimeoutSeconds"] > 0
    assert state["Retry"]
    (catcher,) = state["Catch"]
    assert catcher.keys() <= CATCHER_FIELDS
    assert catcher["ErrorEquals"] == ["States.ALL"]
    assert catcher["ResultPath"], "what was caught is added to the input, which goes on"


@pytest.mark.parametrize("retrier", RETRIERS)
def test_a_retrier_grows_is_capped_and_draws(retrier):
    assert retrier.keys() == RETRIER_FIELDS
    assert retrier["JitterStrategy"] in JITTER_STRATEGIES
    assert retrier["JitterStrategy"] == "FULL"
    assert retrier["BackoffRate"] > 1
    assert 1 <= retrier["IntervalSeconds"] < retrier["MaxDelaySeconds"] < 31_622_400
    assert 1 <= retrier["MaxAttempts"] <= 99_999_999
    assert "States.ALL" not in retrier["ErrorEquals"], "errors are retried by name"


@pytest.mark.parametrize(("name", "label", "state"), TASKS)
def test_an_error_is_in_one_retrier_of_a_state(name, label, state):
    listed = [error for retrier in state["Retry"] for error in retrier["ErrorEquals"]]
    assert len(listed) == len(set(listed))


@cache
def read_service(name):
    return botocore.session.get_session().get_service_model(name)


@pytest.mark.parametrize(("name", "label", "state"), TASKS)
def test_a_tasks_parameters_are_those_of_its_service(name, label, state):
    service, action = re.fullmatch(r"arn:aws:states:::(?:aws-sdk:)?(\w+):(\w+)", state["Resource"]).groups()
    model = read_service(SERVICES_OF_OPTIMIZED_INTEGRATIONS.get(service, service))
    shape = model.operation_model(action[0].upper() + action[1:]).input_shape
    given = {parameter.removesuffix(".$") for parameter in state["Parameters"]}
    assert set(shape.required_members) <= given <= set(shape.members)


# Names


@pytest.mark.parametrize(("name", "label", "state"), STATES)
def test_a_state_is_named_by_what_it_is(name, label, state):
    kind = state["Type"]
    if kind == "Choice":
        assert label.endswith("?")
    elif kind == "Wait":
        assert label.startswith("Wait for ")
    elif kind in {"Succeed", "Fail"}:
        assert label.split()[-1].endswith("ed"), "an end is a noun and a past participle"
    else:
        assert re.fullmatch(r"[A-Z][a-z]+( [a-z]+)+", label), "work is a phrase: verb and object"


@pytest.mark.parametrize(("name", "label", "state"), TASKS)
def test_a_state_that_calls_a_function_has_its_phrase(name, label, state):
    if state["Resource"] == "arn:aws:states:::lambda:invoke":
        function = get_resource(read_target(state))
        assert function.type == FUNCTION
        assert function.phrase == label.lower()
        assert function.properties["Timeout"] < state["TimeoutSeconds"], "the function's own timeout says more"


def read_target(state):
    """The logical id of what a task calls, from the one substitution among its parameters."""
    (found,) = (value for value in state["Parameters"].values() if isinstance(value, str) and value.startswith("${"))
    return re.fullmatch(r"\$\{(\w+)Arn\}", found)[1]


@pytest.mark.parametrize("machine", list_resources(STATE_MACHINE), ids=str)
def test_a_definitions_substitutions_are_those_of_its_template(machine):
    text = (STATE_MACHINES / f"{machine.snake}.asl.json").read_text()
    given = machine.properties["DefinitionSubstitutions"]
    assert set(re.findall(r'"\$\{(\w+)\}"', text)) == set(re.findall(r"\$\{(.*?)\}", text)) == given.keys()
    for name, value in given.items():
        assert value.get("Ref", value.get("Fn::GetAtt", [""])[0]) == name.removesuffix("Arn")


def test_every_definition_has_its_state_machine():
    assert {machine.snake for machine in list_resources(STATE_MACHINE)} == set(NAMES)


# Errors


def names_of(kind):
    return {error.__name__ for error in errors.subclasses(kind)}


def test_an_import_is_retried_for_every_retryable_error():
    assert retried_errors("import_batch", "Import batch") == (
        names_of(errors.RetryableError) | SERVICE_ERRORS | NETWORK_ERRORS
    )


def test_recording_is_retried_for_every_error_of_aws():
    assert retried_errors("import_batch", "Record failed batch") == {"ThrottledError"} | SERVICE_ERRORS


def retried_errors(name, label):
    return {error for retrier in read_definition(name)["States"][label]["Retry"] for error in retrier["ErrorEquals"]}


@pytest.mark.parametrize("name", NAMES)
def test_all_retries_fit_into_the_history_of_an_execution(name):
    states = read_definition(name)["States"].values()
    retries = sum(retrier["MaxAttempts"] for state in states for retrier in state.get("Retry", []))
    assert retries * EVENTS_OF_AN_ATTEMPT < HISTORY_EVENTS / 2


@pytest.mark.parametrize("retrier", RETRIERS)
def test_nothing_is_retried_that_fails_again(retrier):
    assert not names_of(errors.TerminalError) & set(retrier["ErrorEquals"])
    assert set(retrier["ErrorEquals"]) <= (
        names_of(errors.RetryableError) | SERVICE_ERRORS | NETWORK_ERRORS | {"States.TaskFailed"}
    )


# What the README says


def read_tables(name):
    """The tables of a state machine's section: the states, and the errors."""
    section = (STATE_MACHINES / "README.md").read_text().split(f"\n## {name}\n")[1].split("\n## ")[0]
    tables = re.findall(r"(?:^\|.*\|\n)+", section, re.MULTILINE)
    return [
        [[cell.strip() for cell in line.strip("|\n").split("|")] for line in table.splitlines()] for table in tables
    ]


@pytest.mark.parametrize("name", NAMES)
def test_the_readme_lists_the_states(name):
    header, _, *rows = read_tables(name)[0]
    assert header == ["State", "Resource", "What it does"]
    states = read_definition(name)["States"]
    assert [row[0] for row in rows] == list(states)
    for label, resource, words in rows:
        assert words == states[label]["Comment"]
        assert resource == (read_target(states[label]) if states[label]["Type"] == "Task" else "–")


@pytest.mark.parametrize("name", NAMES)
def test_the_readme_lists_the_errors(name):
    header, _, *rows = read_tables(name)[1]
    assert header == ["State", "Class", "Errors", "First wait", "Longest wait", "Retries", "Then"]
    listed = [tuple(row[column] for column in (0, 2, 3, 4, 5)) for row in rows]
    assert sorted(listed) == sorted(describe_errors(name))


def describe_errors(name):
    """What the error table must say of each state: its retriers, and what is not retried."""
    for label, state in read_definition(name)["States"].items():
        if state["Type"] != "Task":
            continue
        for retrier in state["Retry"]:
            waits = (f"{retrier['IntervalSeconds']} s", f"{retrier['MaxDelaySeconds']} s", str(retrier["MaxAttempts"]))
            yield label, ", ".join(retrier["ErrorEquals"]), *waits
        if label == "Import batch":
            yield label, "every TerminalError of `dynaurora/errors.py`", "–", "–", "0"
        yield label, "any other", "–", "–", "0"


@pytest.mark.parametrize("name", NAMES)
def test_the_readme_says_where_each_failure_goes(name):
    states, (_, _, *rows) = read_definition(name)["States"], read_tables(name)[1]
    then = {
        "Record failed batch": "recorded",
        "Describe unrecorded batch": "announced unrecorded",
        "Batch failed": "failed unannounced",
    }
    assert {(row[0], row[6]) for row in rows} == {
        (label, then[state["Catch"][0]["Next"]]) for label, state in states.items() if state["Type"] == "Task"
    }
