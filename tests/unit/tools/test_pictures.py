"""The pictures of the documentation: what they show is what is there, and they fetch nothing."""

import json
import re
from datetime import UTC, datetime
from html import unescape
from xml.etree import ElementTree as ET

import pytest

from tests.infrastructure.deployment import get_resource
from tools.dashboard_picture import Shown, choose_variables, draw, place_legend, read_shown, round_up
from tools.pictures import COLUMNS, IMAGES, SCENES, print_scenes

START = datetime(2026, 11, 23, 8, tzinfo=UTC)
END = datetime(2026, 11, 23, 8, 0, 20, tzinfo=UTC)
NAMESPACES = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink", "https://www.textualize.io"}
ALARM = "arn:aws:cloudwatch:us-east-1:1:alarm:shop-late-rows"
BODY = {
    "variables": [
        {"type": "property", "property": "mapping", "id": "table"},
        {"type": "pattern", "pattern": "REPLICATION", "id": "stack"},
    ],
    "widgets": [
        {"type": "text", "x": 0, "y": 0, "width": 24, "height": 1, "properties": {"markdown": "## Late? <b>"}},
        {
            "type": "alarm",
            "x": 0,
            "y": 1,
            "width": 24,
            "height": 2,
            "properties": {"title": "Rings it?", "alarms": [ALARM.replace("shop", "REPLICATION")]},
        },
        {
            "type": "metric",
            "x": 0,
            "y": 3,
            "width": 6,
            "height": 6,
            "properties": {
                "title": "How far?",
                "yAxis": {"left": {"label": "batches"}},
                "metrics": [
                    ["dynaurora", "Planned", "mapping", "MAPPING", {"stat": "Sum", "id": "planned", "visible": False}],
                    [{"expression": "RUNNING_SUM(FILL(planned, 0))", "label": "planned"}],
                    ["AWS/Lambda", "Age", "FunctionName", "REPLICATION-f", {"stat": "p95", "label": "age"}],
                ],
            },
        },
    ],
}


class CloudWatch:
    """Has two points of one metric, and one alarm that rings."""

    asked: list[dict]

    def __init__(self):
        self.asked = []

    def get_metric_data(self, MetricDataQueries, **_):  # noqa: N803
        (query,) = MetricDataQueries
        self.asked.append(query["MetricStat"])
        times = [datetime(2026, 11, 23, 8, 0, second, tzinfo=UTC) for second in (1, 11)]
        is_known = query["MetricStat"]["Metric"]["MetricName"] == "Planned"
        return {
            "MetricDataResults": [{"Timestamps": times if is_known else [], "Values": [2.0, 3.0] if is_known else []}]
        }

    def get_paginator(self, _):
        return self

    def paginate(self):
        return [{"MetricAlarms": [{"AlarmArn": ALARM, "StateValue": "ALARM"}]}]


def test_a_dashboard_is_drawn_of_what_cloudwatch_has_for_the_table_that_is_chosen():
    chosen = choose_variables(json.dumps(BODY), {"table": "orders", "stack": "shop"})
    cloudwatch = CloudWatch()
    shown = read_shown(cloudwatch, chosen, START, END, 5)
    dimensions = [asked["Metric"]["Dimensions"] for asked in cloudwatch.asked]
    assert dimensions == [[{"Name": "mapping", "Value": "orders"}], [{"Name": "FunctionName", "Value": "shop-f"}]]
    (planned, age) = shown.lines["How far?"]
    assert [*planned[1].values()] == [2.0, 2.0, 5.0, 5.0]
    assert age == ("age", {})
    picture = draw(chosen, shown)
    assert ET.fromstring(picture).tag.endswith("svg")
    assert "Late? &lt;b&gt;" in picture
    assert picture.count("<polyline") == 1
    assert picture.count("#d13212") == 1, "the alarm that rings"
    assert picture == draw(chosen, shown)


def test_a_widget_without_data_says_so():
    chosen = choose_variables(json.dumps(BODY), {"table": "orders", "stack": "shop"})
    shown = Shown(START, END, 5, lines={"How far?": [("planned", {}), ("age", {})]})
    assert "no data" in draw(chosen, shown)


@pytest.mark.parametrize(
    ("highest", "end"), [(0, 1), (0.576, 1), (1.15, 2), (2, 2), (4.74, 5), (204, 250), (8_500, 10_000)]
)
def test_an_axis_ends_with_a_number_that_is_read_at_a_glance(highest, end):
    assert round_up(highest) == pytest.approx(end)


def test_a_legend_has_two_columns_or_as_many_labels_in_a_line_as_fit():
    assert place_legend(["a", "b", "c"], 280) == [(0, 0), (140, 0), (0, 1)]
    long = "not taken by Firehose, tried again"
    first, second, third = place_legend([long, "b", "c" * 30], 280)
    assert (first, second[1], third) == ((0.0, 0), 0, (0.0, 1))
    assert second[0] > 24


def test_a_terminals_picture_has_commands_and_colours_and_fetches_nothing():
    picture = print_scenes([("status", "MAPPING\n\x1b[31mor<ders\x1b[0m"), ("failures count", "0 records")])
    text = unescape(re.sub(r"<[^>]+>", "", picture)).replace("\xa0", " ")
    assert "$ dynaurora status" in text
    assert "or<ders" in text
    assert "@font-face" not in picture


@pytest.mark.parametrize("name", ["dashboard", "terminal"])
def test_a_picture_names_nothing_elsewhere(name):
    picture = (IMAGES / f"{name}.svg").read_text("utf-8")
    assert ET.fromstring(picture).tag.endswith("svg")
    assert {*re.findall(r"https?://[\w./-]+", picture)} <= NAMESPACES
    assert not re.search(r"/(home|root|tmp|work|Users)/", picture)


def test_the_picture_of_the_dashboard_is_of_the_one_that_is_deployed():
    text, _ = get_resource("PipelineDashboard").properties["DashboardBody"]["Fn::Sub"]
    picture = unescape((IMAGES / "dashboard.svg").read_text("utf-8"))
    widgets = [widget["properties"] for widget in json.loads(text)["widgets"]]
    titles = [widget.get("title", "") for widget in widgets]
    options = [options for widget in widgets for *_, options in widget.get("metrics", [])]
    labels = [given["label"] for given in options if given.get("visible", True)]
    assert [name for name in [*titles, *labels] if name not in picture] == [], "make pictures"


def test_the_picture_of_the_terminal_is_of_its_commands():
    picture = unescape((IMAGES / "terminal.svg").read_text("utf-8")).replace("\xa0", " ")
    assert [command for command in SCENES if " ".join(command) not in picture] == [], "make pictures"
    assert COLUMNS == 100
