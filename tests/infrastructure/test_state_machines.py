"""House rules of the state machines: fields, names, errors, and what their README says of them."""

import dataclasses
import json
import re
from functools import cache

import botocore.session
import pytest

from dynaurora import errors, keys
from dynaurora.batches import batch, conversion
from dynaurora.exports import check_readiness, plan, plan_sweep, reconcile_run
from dynaurora.failures import convert_failures
from dynaurora.mappings import registry
from dynaurora.runs import phases, report_reprocess, requests
from tests.infrastructure.deployment import (
    FUNCTION,
    STATE_MACHINE,
    STATE_MACHINES,
    find_page,
    get_resource,
    list_resources,
    list_state_machines,
    list_states,
    list_workflows,
    read_definition,
)

NAMES = list_state_machines()
STATES = [
    pytest.param(name, label, state, id=f"{name}-{label}") for name in NAMES for label, state in list_states(name)
]
TASKS = [entry for entry in STATES if entry.values[2]["Type"] == "Task"]
MAPS = [entry for entry in STATES if entry.values[2]["Type"] == "Map"]
RETRIERS = [
    pytest.param(retrier, id=f"{name}-{label}-{number}")
    for name, label, state in (entry.values for entry in TASKS + MAPS)
    for number, retrier in enumerate(state["Retry"])
]
WORKFLOWS = [
    pytest.param(workflow, id=f"{name}-{workflow['StartAt']}") for name in NAMES for workflow in list_workflows(name)
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
    "Map": FLOW_FIELDS
    | {
        "Label",
        "ItemReader",
        "ItemSelector",
        "MaxConcurrencyPath",
        "ToleratedFailurePercentage",
        "ToleratedFailurePercentagePath",
        "ItemProcessor",
        "ResultWriter",
        "ResultPath",
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
local engine has: QueryLanguage, Assign, Arguments, Output, ItemBatcher, WriterConfig."""

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
    "Runtime.OutOfMemory",
    "Sandbox.Timedout",
    "States.Timeout",
}
"""Errors of AWS's that may pass by themselves (Step Functions developer guide, "Handling errors" and "Transient Lambda
service exceptions"; Lambda API reference, "Invoke")."""

ERRORS_OF_ANY_FUNCTION = {"ThrottledError", "KeyUnavailableError", "RegistryUnavailableError"}
NETWORK_ERRORS = {
    "Lambda.EC2ThrottledException",
    "Lambda.EC2UnexpectedException",
    "Lambda.ENILimitReachedException",
    "Lambda.ENINotReadyException",
    "Lambda.SubnetIPAddressLimitReachedException",
}
"""Those that only a function in a VPC has."""

ERRORS_OF_IMPORTS = {"SlotsTakenError"}
"""Those that only an import has: nothing else takes a slot."""

STARTING_ERRORS = {
    "StepFunctions.ExecutionLimitExceeded",
    "StepFunctions.ExecutionLimitExceededException",
    "StepFunctions.SdkClientException",
    "StepFunctions.ThrottlingException",
}
"""Those of starting an execution; the first is the developer guide's name, the second the API's."""

ERRORS_OF_ANY_SERVICE = {"SdkClientException", "ThrottlingException"}
"""What every service of the AWS SDK may fail with, besides its own errors."""

HISTORY_EVENTS = 25_000
"""Most events of a Standard execution (Step Functions developer guide, "Quotas")."""
HOUR = 3600
"""What a maintenance of the database may take, in seconds."""
HARDLY_EVER = 4
"""Standard deviations: a sum of so many draws is further below its mean less than once in ten thousand times."""
EVENTS_OF_AN_ATTEMPT = 3
"""TaskScheduled, TaskStarted, and TaskFailed or TaskTimedOut."""
EVENTS_OF_A_POLL = 9
"""Two each of "Wait for export" and "Export finished?", five of "Describe export"."""
LABEL_CHARACTERS = 40
"""Most characters of a map's label (Amazon States Language, "Map")."""
MOST_STATES = {"import_streamed_batch": 3, "import_batch": 9, "backfill_table": 37, "reprocess_failures": 34}
"""Those inside of maps too: more are not read at once."""


# Fields and enumerations


@pytest.mark.parametrize(("name", "label", "state"), STATES)
def test_a_state_has_known_fields_only(name, label, state):
    assert state["Type"] in FIELDS
    assert state.keys() <= FIELDS[state["Type"]]
    assert state["Comment"].endswith(".")


@pytest.mark.parametrize("name", NAMES)
def test_a_definition_has_known_fields_only(name):
    assert read_definition(name).keys() <= {"Comment", "StartAt", "States", "TimeoutSeconds"}


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_a_workflow_leads_from_its_start_to_its_ends_and_leaves_nothing_out(workflow):
    states = workflow["States"]
    reached, ahead = set(), [workflow["StartAt"]]
    while ahead:
        label = ahead.pop()
        if label not in reached:
            reached.add(label)
            ahead += list_followers(states[label])
    assert reached == set(states)


def list_followers(state):
    branches = [state, *state.get("Choices", []), *state.get("Catch", [])]
    return [branch[way] for branch in branches for way in ("Next", "Default") if way in branch]


@pytest.mark.parametrize("name", NAMES)
def test_a_states_name_is_used_once_also_inside_maps(name):
    labels = [label for label, _ in list_states(name)]
    assert len(labels) == len(set(labels)), "a mocked response, and a person, finds a state by its name"


@pytest.mark.parametrize("name", NAMES)
def test_a_state_machine_has_no_more_states_than_one_reads_at_once(name):
    assert len(list(list_states(name))) <= MOST_STATES[name]


@pytest.mark.parametrize("name", NAMES)
def test_no_two_states_of_a_state_machine_do_the_same(name):
    for kind in ("Task", "Pass", "Choice", "Wait"):
        done = [json.dumps(describe_work(state)) for _, state in list_states(name) if state["Type"] == kind]
        assert len(done) == len(set(done)), "two that do the same are one, that both ways lead to"


def describe_work(state):
    """What a state does, wherever it leads."""
    return {field: value for field, value in state.items() if field not in {"Comment", "Next", "Default", "Catch"}}


def test_what_becomes_of_a_batch_is_recorded_and_announced_in_import_batch_alone():
    """The way of a failed batch, and the functions of its states, stand nowhere else."""
    states = dict(list_states("import_batch"))
    own = {read_target(state) for state in states.values() if state["Type"] == "Task"} - {"FailuresTopic"}
    assert own == {"ConvertExportFunction", "ImportBatchFunction", "RecordFailedBatchFunction"}
    failing = {label for label in states if "failed batch" in label or "unrecorded" in label or "notice" in label}
    assert len(failing) == 4
    for name in set(NAMES) - {"import_batch"}:
        others = {label: state for label, state in list_states(name) if label != "Import streamed batch"}
        assert not own & {read_target(state) for state in others.values() if state["Type"] == "Task"}
        assert not failing & others.keys()


@pytest.mark.parametrize("name", NAMES)
def test_all_that_stops_a_batch_leads_to_its_record(name):
    """In import_batch itself; in the others, every import that failed leads to one state."""
    ways = {
        catcher["Next"]
        for label, state in list_states(name)
        if label in {"Convert export", "Import batch", "Import streamed batch"}
        for catcher in state["Catch"]
    }
    expected = {"import_batch": "Record failed batch", "backfill_table": "Batch not backfilled"}
    expected["import_streamed_batch"] = "Hand over batch"
    assert ways == {expected.get(name, "Settle failures")}


@pytest.mark.parametrize(("name", "label", "state"), TASKS)
def test_a_task_has_a_timeout(name, label, state):
    assert state["TimeoutSeconds"] > 0


@pytest.mark.parametrize(("name", "label", "state"), TASKS + MAPS)
def test_what_may_fail_has_retries_and_a_catch(name, label, state):
    assert state["Retry"]
    *named, last = state["Catch"]
    assert last["ErrorEquals"] == ["States.ALL"]
    for catcher in state["Catch"]:
        assert catcher.keys() <= CATCHER_FIELDS
        assert catcher["ResultPath"], "what was caught is added to the input, which goes on"
    for catcher in named:
        assert set(catcher["ErrorEquals"]) <= names_of(errors.TerminalError), "what may pass is retried, and not caught"


@pytest.mark.parametrize("retrier", RETRIERS)
def test_a_retrier_grows_is_capped_and_draws(retrier):
    assert retrier.keys() == RETRIER_FIELDS
    assert retrier["JitterStrategy"] in JITTER_STRATEGIES
    assert retrier["JitterStrategy"] == "FULL"
    assert retrier["BackoffRate"] > 1
    assert 1 <= retrier["IntervalSeconds"] < retrier["MaxDelaySeconds"] < 31_622_400
    assert 1 <= retrier["MaxAttempts"] <= 99_999_999
    assert "States.ALL" not in retrier["ErrorEquals"], "errors are retried by name"


@pytest.mark.parametrize(("name", "label", "state"), TASKS + MAPS)
def test_an_error_is_in_one_retrier_of_a_state(name, label, state):
    listed = [error for retrier in state["Retry"] for error in retrier["ErrorEquals"]]
    assert len(listed) == len(set(listed))


@cache
def read_service(name):
    return botocore.session.get_session().get_service_model(name)


def list_parameters(service, action):
    """What a service integration takes, and what of it must be given: the API's members, capitalized."""
    model = read_service(SERVICES_OF_OPTIMIZED_INTEGRATIONS.get(service, service))
    shape = model.operation_model(capitalize(action)).input_shape
    return {capitalize(member) for member in shape.members}, {capitalize(member) for member in shape.required_members}


def capitalize(name):
    return name[0].upper() + name[1:]


def read_integration(state):
    """The service and the action that a task, an item reader or a result writer calls."""
    return re.fullmatch(r"arn:aws:states:::(?:aws-sdk:)?(\w+):(\w+)(?:\.sync:2)?", state["Resource"]).groups()


@pytest.mark.parametrize(("name", "label", "state"), TASKS)
def test_a_tasks_parameters_are_those_of_its_service(name, label, state):
    possible, required = list_parameters(*read_integration(state))
    assert required <= {parameter.removesuffix(".$") for parameter in state["Parameters"]} <= possible


@pytest.mark.parametrize(("name", "label", "state"), MAPS)
def test_a_map_reads_its_items_from_an_object_of_the_run(name, label, state):
    reader = state["ItemReader"]
    assert reader.keys() == {"Resource", "ReaderConfig", "Parameters"}
    assert reader["ReaderConfig"] == {"InputType": "JSON"}
    assert read_integration(reader) == ("s3", "getObject")
    assert reader["Parameters"].keys() == {"Bucket.$", "Key.$"}


@pytest.mark.parametrize(("name", "label", "state"), MAPS)
def test_a_map_writes_what_became_of_its_children_beside_the_report(name, label, state):
    writer = state["ResultWriter"]
    assert writer.keys() == {"Resource", "Parameters"}
    assert read_integration(writer) == ("s3", "putObject")
    assert writer["Parameters"].keys() == {"Bucket.$", "Prefix.$"}
    prefix = re.fullmatch(r"States\.Format\('(.+)', \$\.mapping, \$\.run\)", writer["Parameters"]["Prefix.$"])[1]
    assert prefix.format("clicks", "r").startswith(keys.report("clicks", "r").rsplit("/", 1)[0] + "/")
    assert (state["ResultPath"] is None) == (name != "reprocess_failures"), "only its report sums up the children"


@pytest.mark.parametrize(("name", "label", "state"), MAPS)
def test_a_map_is_distributed_bounded_and_labelled(name, label, state):
    assert state["ItemProcessor"].keys() == {"ProcessorConfig", "StartAt", "States"}
    assert state["ItemProcessor"]["ProcessorConfig"] == {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
    assert state["MaxConcurrencyPath"] == "$.options.max_concurrency"
    assert state["Label"] == label.title().replace(" ", "")
    assert len(state["Label"]) <= LABEL_CHARACTERS


SELECTED = {
    "Check readiness": check_readiness.Readiness,
    "Plan backfill": plan.Plan,
    "Reconcile run": reconcile_run.Totals,
    "Plan sweep": plan_sweep.Sweep,
}
"""What the functions of these states answer with."""


@pytest.mark.parametrize("label", SELECTED)
def test_a_state_keeps_all_that_its_function_answers(label):
    selector = read_definition("backfill_table")["States"][label]["ResultSelector"]
    assert selector == select("$.Payload", SELECTED[label])


@pytest.mark.parametrize(
    ("name", "request_kind"),
    [("backfill_table", requests.RunRequest), ("reprocess_failures", requests.ReprocessRequest)],
)
def test_a_run_keeps_what_it_was_asked_for_and_the_mapping_it_was_opened_with(name, request_kind):
    selector = read_definition(name)["States"]["Open run"]["ResultSelector"]
    assert selector == select("$.Payload", request_kind) | select("$.Payload", registry.Pointer)


def select(path, answer):
    return {f"{field.name}.$": f"{path}.{field.name}" for field in dataclasses.fields(answer)}


def test_a_reprocess_keeps_all_that_its_functions_answer():
    states = dict(list_states("reprocess_failures"))
    entry = {f"{name}.$": f"$.Payload.{name}" for name in ("number", "kind", "objects")}
    assert states["Convert failures"]["ResultSelector"] == entry | select("$.Payload", convert_failures.Remade)
    settled = {**dict.fromkeys(report_reprocess.COUNTS, 0), "kind": "records", "rejected": {}, "notice": None}
    assert states["Settle failures"]["ResultSelector"] == {f"{name}.$": f"$.Payload.{name}" for name in settled}


def test_an_import_keeps_all_of_the_batch_that_was_converted():
    converting = read_definition("import_batch")["States"]["Convert export"]
    assert converting["ResultSelector"] == select("$.Payload.batch", batch.Batch)
    assert converting["ResultPath"] == converting["Parameters"]["Payload.$"] == "$.batch", "it takes the place"


def test_an_import_converts_what_has_an_export_and_is_no_descriptor():
    (choice,) = read_definition("import_batch")["States"]["Convert first?"]["Choices"]
    field = choice["Variable"].removeprefix("$.batch.")
    assert (field in conversion.CONVERSION_FIELDS, choice["IsPresent"]) == (True, True)
    assert field not in {field.name for field in dataclasses.fields(batch.Batch)}


def test_a_backfill_hands_an_import_all_that_it_takes_to_convert():
    states = dict(list_states("backfill_table"))
    given = {name.removesuffix(".$") for name in states["Backfill batches"]["ItemSelector"]}
    assert states["Import batch"]["Parameters"]["Input"]["batch.$"] == "$"
    assert given == {*conversion.CONVERSION_FIELDS, conversion.DIGEST_FIELD}


def test_the_reports_know_every_state_before_them():
    known = set()
    for name in ("backfill_table", "reprocess_failures"):
        states = list(read_definition(name)["States"])
        known |= set(states[: states.index("Report run")]) - {"Nothing reprocessed", "Reprocess skipped"}
    assert known == set(phases.PHASES)


@pytest.mark.parametrize(("name", "kind"), [("backfill_table", None), ("reprocess_failures", batch.REPROCESS)])
@pytest.mark.parametrize("label", ["Open run", "Report run", "Close run"])
def test_the_functions_of_all_runs_are_told_what_kind_it_is(name, kind, label):
    assert read_definition(name)["States"][label]["Parameters"]["Payload"].get("kind") == kind


def test_the_failures_of_a_reprocess_stop_nothing_else():
    assert read_definition("reprocess_failures")["States"]["Reprocess failures"]["ToleratedFailurePercentage"] == 100


@pytest.mark.parametrize(("name", "label", "state"), [entry for entry in STATES if "Notify" in entry.values[1]])
def test_people_are_told_where_a_notice_is_due_or_nothing_could_be_noted(name, label, state):
    states = dict(list_states(name))
    before = {other for other, found in states.items() if label in list_followers(found)}
    assert all(other.endswith(" notice due?") or other.startswith("Describe un") for other in before)
    assert any(other.endswith(" notice due?") for other in before)
    for other in before:
        assert "notice" in other or find_page(json.dumps(states[other])), "name the runbook, as all messages do"


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


PHRASES = {"Look for failures": "list failures", "Import streamed batch": "import batch"}
"""Of functions that a second state calls."""


@pytest.mark.parametrize(("name", "label", "state"), TASKS)
def test_a_state_that_calls_a_function_has_its_phrase(name, label, state):
    if state["Resource"] == "arn:aws:states:::lambda:invoke":
        function = get_resource(read_target(state))
        assert function.type == FUNCTION
        assert function.phrase == PHRASES.get(label, label.lower())
        assert function.properties["Timeout"] < state["TimeoutSeconds"], "the function's own timeout says more"


@pytest.mark.parametrize(("name", "label", "state"), TASKS)
def test_an_import_is_waited_for_until_it_has_made_all_its_retries(name, label, state):
    if read_integration(state) == ("states", "startExecution"):
        assert read_target(state) == "ImportBatchStateMachine"
        if label == "Hand over batch":
            assert not state["Resource"].endswith(".sync:2"), "it is started, and not waited for"
            return
        states = read_definition("import_batch")["States"].values()
        retriers = [retrier for tried in states for retrier in tried.get("Retry", [])]
        longest = sum(retrier["MaxAttempts"] * retrier["MaxDelaySeconds"] for retrier in retriers)
        assert longest < state["TimeoutSeconds"]


def read_target(state):
    """The logical id of what a task calls, or where it calls an API that has none, the API's name."""
    found = [value for value in state["Parameters"].values() if isinstance(value, str) and value.startswith("${")]
    return re.fullmatch(r"\$\{(\w+)Arn\}", found[0])[1] if found else ":".join(read_integration(state))


@pytest.mark.parametrize("machine", list_resources(STATE_MACHINE), ids=str)
def test_a_definitions_substitutions_are_those_of_its_template(machine):
    text = (STATE_MACHINES / f"{machine.snake}.asl.json").read_text()
    given = machine.properties["DefinitionSubstitutions"]
    assert set(re.findall(r'"\$\{(\w+)\}"', text)) == set(re.findall(r"\$\{(.*?)\}", text)) == given.keys()
    for name, value in given.items():
        assert value in (
            {"Ref": name},
            {"Ref": name.removesuffix("Arn")},
            {"Fn::GetAtt": [name.removesuffix("Arn"), "Arn"]},
            {"Fn::Sub": name_arn(name)},
        )


def name_arn(name):
    """The ARN of a function by its name, where its template waits for the one of the state machine."""
    if not name.endswith("FunctionArn"):
        return None
    deployed = get_resource(name.removesuffix("Arn")).properties["FunctionName"]["Fn::Sub"]
    return f"arn:${{AWS::Partition}}:lambda:${{AWS::Region}}:${{AWS::AccountId}}:function:{deployed}"


def test_every_definition_has_its_state_machine():
    assert {machine.snake for machine in list_resources(STATE_MACHINE)} == set(NAMES)


# Errors


def names_of(kind):
    return {error.__name__ for error in errors.subclasses(kind)}


@pytest.mark.parametrize(("name", "label", "state"), TASKS)
def test_a_function_is_retried_for_every_error_that_may_pass(name, label, state):
    if label == "Import streamed batch":
        return  # the next test has it
    if state["Resource"] == "arn:aws:states:::lambda:invoke":
        own = names_of(errors.RetryableError) | NETWORK_ERRORS
        own -= ERRORS_OF_IMPORTS if label != "Import batch" else set()
        expected = own if get_resource(read_target(state)).has_database else ERRORS_OF_ANY_FUNCTION
        assert list_retried(state) == expected | SERVICE_ERRORS


def test_a_streamed_batch_is_handed_to_the_import_that_retries_for_hours_whatever_stopped_it():
    states = read_definition("import_streamed_batch")["States"]
    assert states["Import streamed batch"]["Catch"][-1]["Next"] == "Hand over batch"
    assert read_target(states["Hand over batch"]) == "ImportBatchStateMachine"
    assert states["Hand over batch"]["Parameters"]["Input"]["batch.$"] == "$.batch", "as it was given"
    retried = dict(list_states("import_batch"))["Import batch"]
    assert list_retried(states["Import streamed batch"]) <= list_retried(retried)
    assert sum(list_longest_waits(states["Import streamed batch"]["Retry"][0])) <= 10, "longer waits are the other's"


def test_a_streamed_batch_is_imported_as_every_batch_is():
    streamed = read_definition("import_streamed_batch")["States"]["Import streamed batch"]
    others = dict(list_states("import_batch"))["Import batch"]
    for field in ("Resource", "Parameters", "ResultSelector", "TimeoutSeconds"):
        assert streamed[field] == others[field]


@pytest.mark.parametrize(("name", "label", "state"), TASKS)
def test_an_api_is_retried_for_errors_that_it_has(name, label, state):
    service, action = read_integration(state)
    if service != "dynamodb":
        return
    model = read_service(service).operation_model(capitalize(action))
    own = {shape.name.removesuffix("Exception") + "Exception" for shape in model.error_shapes} | ERRORS_OF_ANY_SERVICE
    assert list_retried(state) - {"States.Timeout"} <= {f"DynamoDb.{error}" for error in own}
    assert {"DynamoDb.InternalServerErrorException", "DynamoDb.LimitExceededException"} <= list_retried(state)


@pytest.mark.parametrize(("name", "label", "state"), TASKS)
def test_an_import_that_failed_is_not_started_again(name, label, state):
    if read_integration(state) == ("states", "startExecution"):
        assert list_retried(state) == STARTING_ERRORS


def list_retried(state):
    return {error for retrier in state["Retry"] for error in retrier["ErrorEquals"]}


def list_longest_waits(retrier):
    """The longest wait before each retry: it doubles up to the cap."""
    waits = (retrier["IntervalSeconds"] * retrier["BackoffRate"] ** retry for retry in range(retrier["MaxAttempts"]))
    return [min(wait, retrier["MaxDelaySeconds"]) for wait in waits]


@pytest.mark.parametrize(("name", "label", "state"), TASKS)
def test_an_hour_of_maintenance_is_sat_out_whatever_is_drawn(name, label, state):
    retriers = [retrier for retrier in state["Retry"] if "DatabaseUnavailableError" in retrier["ErrorEquals"]]
    for retrier in retriers if label != "Close run" else []:  # EventBridge closes what the state could not
        waits = list_longest_waits(retrier)
        mean, variance = sum(waits) / 2, sum(wait**2 for wait in waits) / 12  # of draws between nothing and the longest
        assert mean - HARDLY_EVER * variance**0.5 > HOUR


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_all_retries_fit_into_the_history_of_an_execution(workflow):
    assert count_retries(workflow) * EVENTS_OF_AN_ATTEMPT < HISTORY_EVENTS / 2


def test_an_export_may_take_a_day_and_a_half():
    definition = read_definition("backfill_table")
    polls = (HISTORY_EVENTS - count_retries(definition) * EVENTS_OF_AN_ATTEMPT) / EVENTS_OF_A_POLL
    assert polls * definition["States"]["Wait for export"]["Seconds"] > 36 * 3600


def count_retries(workflow):
    return sum(retrier["MaxAttempts"] for state in workflow["States"].values() for retrier in state.get("Retry", []))


@pytest.mark.parametrize(("name", "label", "state"), TASKS)
def test_nothing_is_retried_that_fails_again(name, label, state):
    assert not names_of(errors.TerminalError) & list_retried(state)


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
    own = read_definition(name)["States"]
    assert rows == [
        [label if label in own else f"↳ {label}", describe_resource(state), state["Comment"]]
        for label, state in list_states(name)
    ]


def describe_resource(state):
    return read_target(state) if state["Type"] == "Task" else "–"


@pytest.mark.parametrize("name", NAMES)
def test_the_readme_lists_the_errors(name):
    header, _, *rows = read_tables(name)[1]
    assert header == ["State", "Class", "Errors", "First wait", "Longest wait", "Retries", "Then"]
    listed = [(label, *row[2:6]) for row in rows for label in row[0].split(", ")]
    assert sorted(listed) == sorted(describe_errors(name))


def describe_errors(name):
    """What the error table must say of each state: its retriers, and what is not retried."""
    for label, state in list_states(name):
        for retrier in state.get("Retry", []):
            waits = (f"{retrier['IntervalSeconds']} s", f"{retrier['MaxDelaySeconds']} s", str(retrier["MaxAttempts"]))
            yield label, ", ".join(retrier["ErrorEquals"]), *waits
        if (name, label) == ("import_batch", "Import batch"):
            yield label, "every TerminalError of `dynaurora/errors.py`", "–", "–", "0"
        for catcher in state.get("Catch", []):
            listed = "any other" if catcher["ErrorEquals"] == ["States.ALL"] else ", ".join(catcher["ErrorEquals"])
            yield label, listed, "–", "–", "0"


THEN = {
    "import_streamed_batch": {"Hand over batch": "handed over", "Batch not imported": "left unstarted"},
    "import_batch": {
        "Record failed batch": "recorded",
        "Describe unrecorded batch": "announced unrecorded",
        "Batch failed": "failed unannounced",
    },
    "backfill_table": {
        "Report run": "reported",
        "Reconcile run": "reconciled",
        "Describe unreported run": "announced unreported",
        "Run succeeded?": "announced unclosed",
        "Backfill failed": "failed unannounced",
        "Batch not backfilled": "counted",
        "Tombstones not imported": "counted",
    },
    "reprocess_failures": {
        "Open run": "opened",
        "Reprocess skipped": "skipped",
        "Report run": "reported",
        "Describe unreported run": "announced unreported",
        "Run succeeded?": "announced unclosed",
        "Reprocess failed": "failed unannounced",
        "Failures not settled": "counted",
        "Settle failures": "kept",
        "Failures settled": "parked unannounced",
    },
}
"""What the error tables call the way that a catch leads."""


@pytest.mark.parametrize("name", NAMES)
def test_the_readme_says_where_each_failure_goes(name):
    _, _, *rows = read_tables(name)[1]
    assert {(label, row[6]) for row in rows for label in row[0].split(", ")} == {
        (label, THEN[name][catcher["Next"]]) for label, state in list_states(name) for catcher in state.get("Catch", [])
    }
