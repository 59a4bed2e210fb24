"""Every path of the state machines, with mocked tasks, on two independent engines."""

import pytest

from dynaurora import errors
from tests.workflows.executions import Case, list_cases, read_cases, read_definition, read_mocks

CASES = list_cases()

MOST_ATTEMPTS_OF_A_CASE = 101
"""More would take Step Functions Local, which waits a second after each, longer than anyone waits for it."""


@pytest.mark.integration
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_case_on_the_emulator(case: Case, outcomes_on_emulator):
    assert outcomes_on_emulator[case] == case.expected


@pytest.mark.integration
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_case_on_moto(case: Case, outcomes_on_moto):
    assert outcomes_on_moto[case] == case.expected


@pytest.mark.parametrize("machine", read_cases())
def test_every_case_is_both_mocked_and_expected(machine):
    assert set(read_mocks()["StateMachines"][machine]["TestCases"]) == set(read_cases()[machine]["cases"])


def test_every_mocked_state_machine_has_expectations():
    assert set(read_mocks()["StateMachines"]) == set(read_cases())


def test_every_mocked_response_is_used():
    used = {
        response
        for machine in read_mocks()["StateMachines"].values()
        for states in machine["TestCases"].values()
        for response in states.values()
    }
    assert used == set(read_mocks()["MockedResponses"])


@pytest.mark.parametrize("machine", read_cases())
def test_only_tasks_are_mocked(machine):
    states = read_definition(machine)["States"]
    mocked = {state for case in read_mocks()["StateMachines"][machine]["TestCases"].values() for state in case}
    assert {states[state]["Type"] for state in mocked} == {"Task"}


@pytest.mark.parametrize("machine", read_cases())
def test_the_cases_enter_every_state(machine):
    entered = {state for case in read_cases()[machine]["cases"].values() for state in case["states"]}
    assert entered == set(read_definition(machine)["States"])


@pytest.mark.parametrize("machine", read_cases())
def test_the_cases_take_every_transition(machine):
    taken = {
        step
        for case in read_cases()[machine]["cases"].values()
        for step in zip(case["states"], case["states"][1:], strict=False)
    }
    assert taken == {
        (name, follower) for name, state in read_definition(machine)["States"].items() for follower in _next(state)
    }


def _next(state):
    branches = [state, *state.get("Choices", []), *state.get("Catch", [])]
    return {branch["Next"] for branch in branches if "Next" in branch} | (
        {state["Default"]} if "Default" in state else set()
    )


@pytest.mark.parametrize("machine", read_cases())
def test_every_error_of_an_import_retrier_recovers_in_a_case_and_every_short_retrier_is_exhausted_in_one(machine):
    state = read_definition(machine)["StartAt"]
    retriers = read_definition(machine)["States"][state]["Retry"]
    recovered, exhausted = set(), set()
    for name, states in read_mocks()["StateMachines"][machine]["TestCases"].items():
        thrown = [
            answer["Throw"]["Error"]
            for answer in read_mocks()["MockedResponses"][states[state]].values()
            if "Throw" in answer
        ]
        attempts = read_cases()[machine]["cases"][name]["attempts"][state]
        if read_cases()[machine]["cases"][name]["status"] == "SUCCEEDED":
            recovered.update(thrown)
        elif thrown and attempts > 1:
            exhausted.add((thrown[0], attempts))
    assert recovered == {error for retrier in retriers for error in retrier["ErrorEquals"]}
    attempts_of_retriers = {retrier["MaxAttempts"] + 1 for retrier in retriers}
    assert {attempts for _, attempts in exhausted} == {n for n in attempts_of_retriers if n <= MOST_ATTEMPTS_OF_A_CASE}


def test_errors_of_ours_that_are_thrown_are_errors_that_we_raise():
    thrown = {
        answer["Throw"]["Error"]
        for answers in read_mocks()["MockedResponses"].values()
        for answer in answers.values()
        if "Throw" in answer
    }
    ours = {error.__name__ for error in errors.subclasses(errors.DynauroraError)}
    assert {error for error in thrown if error.endswith("Error") and "." not in error} - ours == {"KeyError"}
