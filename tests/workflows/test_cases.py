"""Every path of the state machines, with mocked tasks, on two independent engines."""

import itertools
import json

import pytest

from dynaurora import errors
from dynaurora.runs.costs import TRANSITIONS_OF_AN_IMPORT
from tests.workflows.executions import (
    Case,
    list_cases,
    list_states,
    read_cases,
    read_definition,
    read_mocks,
)

CASES = list_cases()

DIGEST = "5b0c1d2e3f405162738495a6b7c8d9eafb0c1d2e3f405162738495a6b7c8d9ea"
"""Of the mapping that the runs of the cases are opened with."""

MOST_ATTEMPTS_OF_A_CASE = 101
"""More would take Step Functions Local, which waits a second after each, longer than anyone waits for it."""


@pytest.mark.integration
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_case_on_the_emulator(case: Case, outcomes_on_emulator):
    outcome = change_children(outcomes_on_emulator[case], lambda child: pick(child, "status", "error", "tries"))
    assert outcome == change_children(case.expected, lambda child: forget_states(case, child))


@pytest.mark.integration
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_case_on_moto(case: Case, outcomes_on_moto):
    outcome = change_children(
        outcomes_on_moto[case], lambda child: pick(child, "status", "states", "attempts", "error")
    )
    assert outcome == {"children": [], **case.expected}


def change_children(outcome, change):
    return {**outcome, "children": [change(child) for child in outcome.get("children", [])]}


def pick(child, *names):
    return {name: child[name] for name in names if name in child}


def forget_states(case, child):
    """What the emulator knows of a child too: it has its tasks in its history, but not its states."""
    states = list_states(case.machine)
    tries = sum(child["attempts"].get(state, 1) for state in child["states"] if states[state]["Type"] == "Task")
    return {**pick(child, "status", "error"), "tries": tries}


@pytest.mark.integration
@pytest.mark.parametrize("engine", ["emulator", "moto"])
def test_children_are_given_their_entry_of_the_plan_and_what_it_takes_to_convert_it(engine, request):
    outcome = request.getfixturevalue(f"outcomes_on_{engine}")[Case("backfill_table", "Swept")]
    plan, sweep = read_cases()["backfill_table"]["objects"].values()
    run = read_cases()["backfill_table"]["input"]
    common = {**run, "digest": DIGEST, "export_second": 1795421700, "bucket": "landing", "export_bucket": "landing"}
    assert [child["input"] for child in outcome["children"]] == [
        *({**common, "batch": batch} for batch in plan),
        *({"batch": batch} for batch in sweep),
    ]


@pytest.mark.integration
@pytest.mark.parametrize("engine", ["emulator", "moto"])
def test_children_are_given_what_failed_and_the_run_that_takes_it_up(engine, request):
    outcome = request.getfixturevalue(f"outcomes_on_{engine}")[Case("reprocess_failures", "Reprocessed")]
    entries, _ = read_cases()["reprocess_failures"]["objects"].values()
    common = {"mapping": "web_analytics", "run": "reprocess-20261123T081500Z", "digest": DIGEST}
    assert [child["input"] for child in outcome["children"]] == [{**common, "entry": entry} for entry in entries]


def test_an_import_is_given_the_same_to_convert_by_a_backfill_and_by_a_reprocess():
    asked = Case("import_batch", "Converted").input
    plan, _ = read_cases()["backfill_table"]["objects"].values()
    entries, _ = read_cases()["reprocess_failures"]["objects"].values()
    assert json.loads(asked)["batch"]["batch"] == plan[0]
    assert [{"batch": entry["batch"]} for entry in entries if entry["kind"] == "conversion"] == [json.loads(asked)]


def test_a_streamed_batch_takes_one_state_each_of_which_is_paid_for():
    case = Case("import_streamed_batch", "Applied")
    assert case.expected["states"] == ["Import streamed batch"]
    assert 1 + len(case.expected["states"]) == TRANSITIONS_OF_AN_IMPORT, "the start counts too"


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
    states = list_states(machine)
    mocked = {state for case in read_mocks()["StateMachines"][machine]["TestCases"].values() for state in case}
    assert {states[state]["Type"] for state in mocked} == {"Task"}


def list_paths(machine):
    """The states that the executions of the cases enter, in order, those of maps' children too."""
    for case in read_cases()[machine]["cases"].values():
        yield case["states"]
        yield from (child["states"] for child in case.get("children", []))


@pytest.mark.parametrize("machine", read_cases())
def test_the_cases_enter_every_state(machine):
    assert {state for path in list_paths(machine) for state in path} == set(list_states(machine))


@pytest.mark.parametrize("machine", read_cases())
def test_the_cases_take_every_transition(machine):
    taken = {step for path in list_paths(machine) for step in itertools.pairwise(path)}
    assert taken == {(name, follower) for name, state in list_states(machine).items() for follower in _next(state)}


def _next(state):
    branches = [state, *state.get("Choices", []), *state.get("Catch", [])]
    return {branch["Next"] for branch in branches if "Next" in branch} | (
        {state["Default"]} if "Default" in state else set()
    )


@pytest.mark.parametrize("label", ["Convert export", "Import batch"])
def test_every_error_of_a_conversion_and_an_import_recovers_in_a_case(label):
    retriers = read_definition("import_batch")["States"][label]["Retry"]
    recovered = {error for thrown, recovers in list_answers("import_batch", label) if recovers for error in thrown}
    assert recovered == {error for retrier in retriers for error in retrier["ErrorEquals"]}


TASKS_AND_RETRIERS = [
    pytest.param(machine, label, retrier, id=f"{machine}-{label}-{number}")
    for machine in read_cases()
    for label, state in list_states(machine).items()
    if state["Type"] == "Task"
    for number, retrier in enumerate(state["Retry"])
]


@pytest.mark.parametrize(("machine", "label", "retrier"), TASKS_AND_RETRIERS)
def test_every_retrier_recovers_in_a_case_and_every_short_one_is_exhausted_in_one(machine, label, retrier):
    answers = list_answers(machine, label)
    assert any(recovers and any(matches(retrier, error) for error in thrown) for thrown, recovers in answers)
    tries = retrier["MaxAttempts"] + 1
    exhausted = any(
        not recovers and len(thrown) == tries and all(matches(retrier, error) for error in thrown)
        for thrown, recovers in answers
    )
    assert exhausted or tries > MOST_ATTEMPTS_OF_A_CASE


MAPS = [
    pytest.param(machine, label, id=f"{machine}-{label}")
    for machine in read_cases()
    for label, state in list_states(machine).items()
    if state["Type"] == "Map"
]


@pytest.mark.parametrize(("machine", "label"), MAPS)
def test_every_map_reads_its_items_again_in_a_case_and_gives_up_in_one(machine, label):
    (retrier,) = read_definition(machine)["States"][label]["Retry"]
    assert retrier["ErrorEquals"] == ["States.ItemReaderFailed"]
    cases = [case for case in CASES if case.machine == machine and label in case.expected["states"]]
    assert any(case.late_in == label and case.expected["maps"][label] == "succeeded" for case in cases)
    failed = [case for case in cases if case.expected["maps"][label] == "failed"]
    first = list_states(machine)[label]["ItemProcessor"]["StartAt"]
    children = [[child["states"][0] for child in case.expected.get("children", [])] for case in failed]
    assert any(first not in started for started in children)


@pytest.mark.parametrize(
    ("machine", "label"),
    [
        pytest.param(machine, label, id=f"{machine}-{label}")
        for machine in read_cases()
        for label, state in list_states(machine).items()
        if state["Type"] == "Task"
    ],
)
def test_every_task_is_given_up_in_a_case(machine, label):
    assert any(thrown and not recovers for thrown, recovers in list_answers(machine, label))


def matches(retrier, error):
    return error in retrier["ErrorEquals"] or (
        "States.TaskFailed" in retrier["ErrorEquals"] and error != "States.Timeout"
    )


def list_answers(machine, label):
    """For each case that a task is mocked in: the errors that it throws, one for each try, and whether it recovers."""
    answers = []
    for states in read_mocks()["StateMachines"][machine]["TestCases"].values():
        if label in states:
            responses = read_mocks()["MockedResponses"][states[label]]
            thrown = [
                response["Throw"]["Error"]
                for tries, response in responses.items()
                if "Throw" in response
                for _ in range(count_tries(tries))
            ]
            answers.append((thrown, bool(thrown) and any("Return" in response for response in responses.values())))
    return answers


def count_tries(tries):
    first, _, last = tries.partition("-")
    return int(last or first) - int(first) + 1


def test_errors_of_ours_that_are_thrown_are_errors_that_we_raise():
    thrown = {
        answer["Throw"]["Error"]
        for answers in read_mocks()["MockedResponses"].values()
        for answer in answers.values()
        if "Throw" in answer
    }
    ours = {error.__name__ for error in errors.subclasses(errors.DynauroraError)}
    assert {error for error in thrown if error.endswith("Error") and "." not in error} - ours == {"KeyError"}
