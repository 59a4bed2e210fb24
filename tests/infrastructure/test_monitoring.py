"""House rules of the alarms and the dashboard: each looks at what there is, and says what to do."""

import json
import re

import pytest

from local.emulator.metric_math import Expression
from tests.infrastructure.deployment import (
    FUNCTION,
    PROJECT,
    REPLICATION,
    STATE_MACHINE,
    find_references,
    get_resource,
    list_resources,
    list_states,
    read_template,
    substitute,
)
from tests.infrastructure.metrics import Metric, read_emitted

ALARMS = list_resources("AWS::CloudWatch::Alarm")
STATISTICS = {"Average", "Maximum", "Minimum", "SampleCount", "Sum"}
MAX_DESCRIPTION = 1024
"""Characters (CloudWatch API, `PutMetricAlarm`)."""
LONGEST = {"Name": "n" * 40, "Mapping": "m" * 63, "ConnectionsThreshold": "16000"}
RUNBOOK = re.compile(r"\. Runbook: (?P<page>docs/runbooks/[a-z-]+\.md)#(?P<anchor>[a-z-]+)$")

FUNCTIONS = {"FILL", "RUNNING_SUM"}
"""What the dashboard calculates with (CloudWatch User Guide, "Using math expressions with CloudWatch metrics")."""

COVERED_OTHERWISE = {
    "ForwardChangesFunction": "OldIteratorAlarm",  # what it does not forward waits in the stream
    "TransformChangesFunction": "TransformChangesErrorsAlarm",
    "ImportBatchFunction": "ImportBatchErrorsAlarm",
    "MeasureHealthFunction": "UnmeasuredHealthAlarm",
    "CloseRunFunction": "UnclosedRunsAlarm",
    "RotateLoaderSecretFunction": "RotateLoaderSecretErrorsAlarm",
    "PurgeReplicasFunction": "PurgeReplicasErrorsAlarm",
}
"""Functions with an alarm of their own. What a state machine calls fails its execution, which has one."""
UNALARMED = {
    "ChangeMappingFunction": "the command line, which calls it, prints its error to who asked",
    "CompareRowsFunction": "the command line, which calls it, prints its error to who asked",
    "CheckTargetFunction": "the command line, which calls it, prints its error to who asked",
    "FindUnimportedFunction": "the command line, which calls it, prints its error to who asked",
    "DescribeRunsFunction": "the command line, which calls it, prints its error to who asked",
    "PrepareTargetFunction": "the deployment, which calls it, fails with its error",
    "RegisterReplicationFunction": "the deployment, which calls it, fails with its error",
}
MACHINES = {
    "import_batch": "FailedBatchesAlarm",
    "backfill_table": "FailedBackfillsAlarm",
    "reprocess_failures": "FailedReprocessesAlarm",
}


def find_anchors(page):
    """The anchors of a page, as GitHub makes them of its headings."""
    headings = re.findall(r"^#+ (.+)$", (PROJECT / page).read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def read_queries(alarm):
    """What an alarm looks at: `(metric, statistic, period)` of each of its metrics."""
    queries = [query["MetricStat"] for query in alarm.properties.get("Metrics", []) if "MetricStat" in query]
    described = [(query["Metric"], query["Stat"], query["Period"]) for query in queries]
    if not queries:
        described = [(alarm.properties, alarm.properties["Statistic"], alarm.properties["Period"])]
    return [(read_metric(metric), stat, period) for metric, stat, period in described]


def read_metric(described):
    dimensions = {entry["Name"]: entry["Value"] for entry in described["Dimensions"]}
    return Metric(described["Namespace"], described["MetricName"], dimensions)


def read_seconds(alarm):
    """For how long at least an alarm has to be breached before it rings."""
    (period,) = {period for _, _, period in read_queries(alarm)}
    return period * alarm.properties.get("DatapointsToAlarm", alarm.properties["EvaluationPeriods"])


# Alarms


def test_alarms_are_in_one_place():
    assert {alarm.template for alarm in ALARMS} == {"monitoring", REPLICATION}
    of_functions = {alarm.id for alarm in ALARMS if alarm.template == REPLICATION}
    assert all(name_parts(json.dumps(get_resource(alarm).properties)) for alarm in of_functions)


@pytest.mark.parametrize("alarm", ALARMS, ids=str)
def test_an_alarm_tells_people_and_chooses_what_missing_data_means(alarm):
    assert alarm.properties["AlarmName"] == {"Fn::Sub": f"${{Name}}-{alarm.kebab}"}
    assert alarm.properties["AlarmActions"] == [{"Ref": "FailuresTopicArn"}]
    assert alarm.properties["TreatMissingData"] in {"notBreaching", "ignore", "missing"}


@pytest.mark.parametrize("alarm", ALARMS, ids=str)
def test_an_alarm_says_what_it_means_and_names_a_place_in_a_runbook(alarm):
    text = substitute(alarm.properties["AlarmDescription"], **LONGEST)
    assert len(text) <= MAX_DESCRIPTION
    assert text.count(". ") > 1, "what it means, why it rings where it does, and the runbook"
    runbook = RUNBOOK.search(text)
    assert runbook, "the description ends with its runbook, as a path and a heading"
    assert (PROJECT / runbook["page"]).exists()
    assert runbook["anchor"] in find_anchors(runbook["page"])


@pytest.mark.parametrize("alarm", ALARMS, ids=str)
def test_an_alarm_looks_at_metrics_that_there_are(alarm):
    for metric, statistic, period in read_queries(alarm):
        assert metric.exists, metric
        assert statistic in STATISTICS
        assert period in {60, 300}
    assert len({period for _, _, period in read_queries(alarm)}) == 1, "periods of metrics that are calculated with"


@pytest.mark.parametrize("alarm", [alarm for alarm in ALARMS if "Metrics" in alarm.properties], ids=str)
def test_an_alarm_on_an_expression_can_ring(alarm):
    queries = alarm.properties["Metrics"]
    (looked_at,) = (query for query in queries if query["ReturnData"])
    text = substitute(looked_at["Expression"], BufferSeconds="60", TransformBufferSeconds="5", StreamBufferSeconds="5")
    assert Expression(text).names == {query["Id"] for query in queries if "MetricStat" in query}


def name_parts(dimensions):
    """The resources of the deployment that a metric's dimensions name, by the ends of their names."""
    text = json.dumps(dimensions)
    return re.findall(r"(?:\$\{Name\}|REPLICATION)-([a-z-]+)", text)


PARTS = {
    FUNCTION: "FunctionName",
    STATE_MACHINE: "Name",
    "AWS::SQS::Queue": "QueueName",
    "AWS::KinesisFirehose::DeliveryStream": "DeliveryStreamName",
}


def list_names():
    return {
        substitute(resource.properties[name], Name="")[1:]
        for kind, name in PARTS.items()
        for resource in list_resources(kind)
    }


@pytest.mark.parametrize("alarm", ALARMS, ids=str)
def test_an_alarm_looks_at_resources_that_there_are(alarm):
    for metric, _, _ in read_queries(alarm):
        if {"FunctionName", "StateMachineArn", "QueueName", "DeliveryStreamName"} & metric.dimensions.keys():
            assert set(name_parts(metric.dimensions)) <= list_names()
            assert name_parts(metric.dimensions)
        if "mapping" in metric.dimensions:
            assert metric.dimensions["mapping"] == {"Ref": "Mapping"}


@pytest.mark.parametrize("queue", list_resources("AWS::SQS::Queue"), ids=str)
def test_people_are_told_of_what_is_kept_in_a_queue(queue):
    alarm = get_resource(queue.id.removesuffix("Queue") + "Alarm").properties
    assert alarm["MetricName"] == "ApproximateNumberOfMessagesVisible"
    assert alarm["Dimensions"] == [{"Name": "QueueName", "Value": queue.properties["QueueName"]}]
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanThreshold", 0)


def list_called(machine):
    """The functions that a state machine calls."""
    properties = get_resource("".join(word.title() for word in machine.split("_")) + "StateMachine").properties
    called = {name for _, state in list_states(machine) for name in re.findall(r"\$\{(\w+)Arn\}", json.dumps(state))}
    return called & {name.removesuffix("Arn") for name in properties["DefinitionSubstitutions"]}


@pytest.mark.parametrize("machine", MACHINES)
def test_an_execution_that_fails_has_an_alarm(machine):
    watched = [(metric.name, statistic, *name_parts(metric.dimensions)) for metric, statistic, _ in queries_of(machine)]
    names = [(name, "Sum", machine.replace("_", "-")) for name in ("ExecutionsFailed", "ExecutionsTimedOut")]
    assert watched[:2] == names
    assert watched[2:] == ([("ExecutionsFailed", "Sum", "import-streamed-batch")] if machine == "import_batch" else [])


def queries_of(machine):
    return read_queries(get_resource(MACHINES[machine]))


@pytest.mark.parametrize("function", list_resources(FUNCTION), ids=str)
def test_people_are_told_where_a_function_goes_on_failing(function):
    if function.id in COVERED_OTHERWISE:
        assert get_resource(COVERED_OTHERWISE[function.id]).type == "AWS::CloudWatch::Alarm"
    elif function.id not in UNALARMED:
        callers = [machine for machine in MACHINES if function.id in list_called(machine)]
        assert callers, "give it an alarm, or say why it needs none"


# Thresholds, against what they are about


def test_an_import_is_slow_before_it_is_stopped():
    timeout = get_resource("ImportBatchFunction").properties["Timeout"]
    assert get_resource("ImportBatchDurationAlarm").properties["Threshold"] == timeout * 1000 * 4 // 5


def test_what_is_kept_may_be_kept_for_an_hour():
    alarm = get_resource("KeptFailuresAlarm")
    assert read_seconds(alarm) == 3600
    assert alarm.properties["Statistic"] == "Minimum", "of an hour without a break"


def test_imports_may_wait_for_the_longest_buffers():
    parameters = read_template(REPLICATION)["Parameters"]
    longest = sum(parameters[name]["MaxValue"] for name in ("BufferSeconds", "TransformBufferSeconds"))
    assert read_seconds(get_resource("StoppedImportsAlarm")) >= longest


def test_a_stream_that_is_behind_is_noticed_long_before_it_gives_changes_up():
    alarm, reader = get_resource("OldIteratorAlarm"), get_resource("ForwardChangesEventSourceMapping")
    noticed = alarm.properties["Threshold"] / 1000 + read_seconds(alarm)
    assert noticed * 10 < reader.properties["MaximumRecordAgeInSeconds"]


def test_health_is_measured_in_every_period_of_the_alarms_on_it():
    rule, permission = get_resource("MeasureHealthRule").properties, get_resource("MeasureHealthPermission").properties
    (minutes,) = re.fullmatch(r"rate\((\d+) minutes\)", rule["ScheduleExpression"]).groups()
    measured = read_emitted()["measure_health"][0]
    periods = {period for alarm in ALARMS for metric, _, period in read_queries(alarm) if metric.name in measured}
    assert periods == {int(minutes) * 60}
    (target,) = rule["Targets"]
    assert target["Arn"] == {"Fn::GetAtt": ["MeasureHealthFunction", "Arn"]}
    assert permission["SourceArn"] == {"Fn::GetAtt": ["MeasureHealthRule", "Arn"]}


def test_people_are_told_where_health_is_not_measured_without_being_told_at_the_first_deployment():
    alarm = get_resource("UnmeasuredHealthAlarm").properties
    assert alarm["TreatMissingData"] == "missing", "an alarm begins without data, and that is no change"
    assert alarm["InsufficientDataActions"] == alarm["AlarmActions"]


def test_everything_that_is_measured_of_health_has_an_alarm():
    looked_at = {metric.name for alarm in ALARMS for metric, _, _ in read_queries(alarm)}
    assert read_emitted()["measure_health"][0] <= looked_at


# The dashboard


@pytest.fixture(scope="module")
def widgets():
    text, names = get_resource("PipelineDashboard").properties["DashboardBody"]["Fn::Sub"]
    assert names == {"Cluster": {"Fn::Select": [0, {"Fn::Split": [".", {"Ref": "DatabaseHost"}]}]}}
    assert set(find_references({"Fn::Sub": text})) - {"Cluster"} <= {
        "Name",
        "AWS::Region",
        "AWS::AccountId",
        "AWS::Partition",
    }
    return json.loads(text)["widgets"]


ROWS = ("Late?", "Lost?", "Working?")
STRUCTURE = {
    "text": ({"markdown"}, {"background"}),
    "alarm": ({"alarms"}, {"title", "sortBy", "states"}),
    "metric": (
        {"metrics", "region"},
        {"title", "view", "stacked", "period", "stat", "yAxis", "annotations", "legend", "liveData", "timezone"},
    ),
}
"""Properties that a widget of a type has to have, and others that it may have."""
OPTIONS = {"stat", "label", "id", "visible", "expression", "yAxis", "color", "period", "region"}
VARIABLES = {
    "property": {"type", "id", "inputType", "label", "visible", "defaultValue", "property", "search", "populateFrom"},
    "pattern": {"type", "id", "inputType", "label", "visible", "defaultValue", "pattern", "values"},
}
"""All of CloudWatch API Reference, "Dashboard Body Structure and Syntax"."""
MOST_ALARMS = 100


def test_the_dashboards_body_has_cloudwatchs_structure(widgets):
    text, _ = get_resource("PipelineDashboard").properties["DashboardBody"]["Fn::Sub"]
    body = json.loads(text)
    assert body.keys() == {"start", "periodOverride", "variables", "widgets"}
    assert re.fullmatch(r"-P(\d+D|T\d+[MH])", body["start"])
    assert body["periodOverride"] in {"auto", "inherit"}
    for variable in body["variables"]:
        assert variable.keys() <= VARIABLES[variable["type"]]
        assert re.fullmatch(r"[A-Za-z]\w{0,31}", variable["id"])
        assert variable["inputType"] in {"input", "radio", "select"}
        assert ("search" in variable) == ("populateFrom" in variable) == (variable["inputType"] == "select")
    for widget in widgets:
        assert widget.keys() == {"type", "x", "y", "width", "height", "properties"}
        required, others = STRUCTURE[widget["type"]]
        assert required <= widget["properties"].keys() <= required | others
        assert len(widget["properties"].get("alarms", [])) <= MOST_ALARMS
    for graph in list_graphs(widgets):
        assert graph["view"] in {"timeSeries", "singleValue", "gauge", "bar", "pie", "table"}
        assert graph["period"] in {60, 300}
        assert all(side in {"left", "right"} for side in graph["yAxis"])
        for metric, options in read_rows(graph):
            assert options.keys() <= OPTIONS
            assert ("stat" in options) == bool(metric)
            assert options.get("yAxis", "left") in graph["yAxis"]


def test_the_dashboard_has_three_rows_each_with_its_alarms_and_questions(widgets):
    headings = [widget for widget in widgets if widget["type"] == "text"][1:]
    assert [widget["properties"]["markdown"].split()[1] for widget in headings] == [*ROWS]
    ends = [widget["y"] for widget in headings[1:]] + [max(widget["y"] for widget in widgets) + 1]
    for heading, end in zip(headings, ends, strict=True):
        row = [widget for widget in widgets if heading["y"] < widget["y"] < end]
        assert [widget["type"] for widget in row] == ["alarm"] + ["metric"] * 4
        assert len({widget["y"] for widget in row[1:]}) == 1
        assert all(widget["properties"]["title"].endswith("?") for widget in row)


def list_graphs(widgets):
    return [widget["properties"] for widget in widgets if widget["type"] == "metric"]


def read_rows(graph):
    """A graph's rows: `(metric or None, options)`."""
    for row in graph["metrics"]:
        *names, options = row
        namespace, name, *dimensions = names or [None, None]
        pairs = dict(zip(dimensions[::2], dimensions[1::2], strict=True))
        yield (Metric(namespace, name, pairs) if names else None), options


def test_the_dashboard_shows_metrics_that_there_are(widgets):
    shown = [metric for graph in list_graphs(widgets) for metric, _ in read_rows(graph) if metric]
    assert [metric for metric in shown if not metric.exists] == []
    for metric in shown:
        assert set(name_parts(metric.dimensions)) <= list_names()
        assert metric.dimensions.get("mapping", "MAPPING") == "MAPPING"


def test_the_dashboard_is_one_for_all_mappings(widgets):
    text, _ = get_resource("PipelineDashboard").properties["DashboardBody"]["Fn::Sub"]
    by_mapping, by_name = json.loads(text)["variables"]
    assert (by_mapping["type"], by_mapping["property"], by_mapping["populateFrom"]) == ("property",) + ("mapping",) * 2
    shown = [metric for graph in list_graphs(widgets) for metric, _ in read_rows(graph) if metric]
    names = {part for metric in shown for part in name_parts(metric.dimensions)}
    of_replications = {resource.kebab for resource in list_resources(FUNCTION) if resource.template == REPLICATION}
    assert by_name["pattern"] == "REPLICATION"
    assert names >= of_replications


def test_the_dashboard_calculates_with_what_it_has(widgets):
    for graph in list_graphs(widgets):
        rows = list(read_rows(graph))
        ids = {options["id"] for metric, options in rows if metric and "id" in options}
        words = {word for _, options in rows for word in re.findall(r"[A-Za-z_]+", options.get("expression", ""))}
        assert words - FUNCTIONS == ids


def test_the_dashboard_shows_every_alarm(widgets):
    shown = [arn for widget in widgets if widget["type"] == "alarm" for arn in widget["properties"]["alarms"]]
    arn = "arn:${AWS::Partition}:cloudwatch:${AWS::Region}:${AWS::AccountId}:alarm:"
    named = [f"{'REPLICATION' if alarm.template == REPLICATION else '${Name}'}-{alarm.kebab}" for alarm in ALARMS]
    assert sorted(shown) == sorted(f"{arn}{name}" for name in named)


def test_the_dashboards_graphs_are_told_apart_and_do_not_overlap(widgets):
    places = [
        (x, y)
        for widget in widgets
        for x in range(widget["x"], widget["x"] + widget["width"])
        for y in range(widget["y"], widget["y"] + widget["height"])
    ]
    assert len(places) == len(set(places))
    assert max(x for x, _ in places) < 24
    assert len({graph["title"] for graph in list_graphs(widgets)}) == len(list_graphs(widgets))


@pytest.mark.parametrize(
    ("about", "metric"),
    [
        ("throughput", "ChangesForwarded"),
        ("lag", "ReplicationLag"),
        ("rejects", "ChangesRejected"),
        ("batch latency", "Duration"),
        ("backfill progress", "BatchesPlanned"),
        ("database load", "CPUUtilization"),
        ("what is kept", "FailuresParked"),
        ("what would be lost", "StreamsNearLoss"),
        ("rows that differ", "Differences"),
    ],
)
def test_the_dashboard_tells_of(widgets, about, metric):
    assert metric in {shown.name for graph in list_graphs(widgets) for shown, _ in read_rows(graph) if shown}
