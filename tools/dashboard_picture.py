"""A dashboard of CloudWatch as one SVG: its widgets where its body places them, of data that CloudWatch has.

Drawn are texts, states of alarms, and lines over time. What a metric has no data of is said in its widget.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from html import escape
from itertools import accumulate
from math import floor, log10
from typing import TYPE_CHECKING, Any, Final

from local.emulator.metric_math import Expression

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

UNIT: Final = 50
"""Pixels of a column of the grid, of which there are 24; CloudWatch's rows are a little lower than that."""
ROW: Final = 40
GAP: Final = 8
COLORS: Final = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f")
STATES: Final = {"OK": "#1d8102", "ALARM": "#d13212", "INSUFFICIENT_DATA": "#687078"}
RUNNING_SUM: Final = re.compile(r"RUNNING_SUM\((?P<inner>.*)\)")
LEGEND: Final = 13
"""Pixels between lines of a legend."""
CHARACTER: Final = 0.56
"""Of a character's size, how wide it is on average."""
TICKS: Final = (1.0, 2.0, 2.5, 4.0, 5.0, 10.0)
"""What an axis ends with, but for its power of ten."""
FRAME: Final = 'fill="#ffffff" stroke="#d5dbdb"'

Series = dict[float, float]


@dataclass(frozen=True)
class Shown:
    """What a dashboard shows of its time."""

    start: datetime
    end: datetime
    seconds: int
    """Of a point."""
    lines: dict[str, list[tuple[str, Series]]] = field(default_factory=dict)
    """By the title of the widget: labels with their values by the time."""
    alarms: dict[str, str] = field(default_factory=dict)
    """States by the alarms' ARNs."""

    @property
    def periods(self) -> list[float]:
        """When each point begins."""
        first, last = int(self.start.timestamp()), int(self.end.timestamp())
        return [float(at) for at in range(first, last, self.seconds)]


def choose_variables(body: str, values: Mapping[str, str]) -> dict[str, Any]:
    """Return a dashboard's body with its variables chosen, by their ids."""
    document: dict[str, Any] = json.loads(body)
    for variable in document.get("variables", []):
        value = values[variable["id"]]
        if variable["type"] == "pattern":
            document["widgets"] = json.loads(json.dumps(document["widgets"]).replace(variable["pattern"], value))
            continue
        for widget in document["widgets"]:
            for names in widget["properties"].get("metrics", []):
                _set_property(names, variable["property"], value)
    return document


def _set_property(names: list[Any], name: str, value: str) -> None:
    if name in names[2:-1:2]:
        names[names.index(name, 2) + 1] = value


def read_shown(cloudwatch: Any, body: Mapping[str, Any], start: datetime, end: datetime, seconds: int) -> Shown:
    """Return what CloudWatch has for a dashboard, of points of so many seconds: their times are multiples of that."""
    first = start.replace(microsecond=0) - timedelta(seconds=int(start.timestamp()) % seconds)
    shown = Shown(first, end, seconds)
    for widget in body["widgets"]:
        properties = widget["properties"]
        if widget["type"] == "metric":
            shown.lines[properties["title"]] = [*_read_lines(cloudwatch, properties, shown)]
    described = cloudwatch.get_paginator("describe_alarms").paginate()
    shown.alarms.update(
        (alarm["AlarmArn"], alarm["StateValue"]) for page in described for alarm in page["MetricAlarms"]
    )
    return shown


def _read_lines(cloudwatch: Any, properties: Mapping[str, Any], shown: Shown) -> Iterator[tuple[str, Series]]:
    known: dict[str, Any] = {}
    for number, (*names, options) in enumerate(properties["metrics"]):
        label = options.get("label", options.get("id", ""))
        if "expression" in options:
            yield label, _calculate(options["expression"], known, shown.periods)
            continue
        values = _read_metric(cloudwatch, names, options["stat"], shown)
        known[options.get("id", f"q{number}")] = values
        if options.get("visible", True):
            yield label, values


def _read_metric(cloudwatch: Any, names: Sequence[str], stat: str, shown: Shown) -> Series:
    namespace, name, *pairs = names
    dimensions = [{"Name": key, "Value": value} for key, value in zip(pairs[::2], pairs[1::2], strict=True)]
    metric = {"Namespace": namespace, "MetricName": name, "Dimensions": dimensions}
    query: Any = {"Id": "q", "MetricStat": {"Metric": metric, "Period": shown.seconds, "Stat": stat}}
    answer = cloudwatch.get_metric_data(MetricDataQueries=[query], StartTime=shown.start, EndTime=shown.end)
    (result,) = answer["MetricDataResults"]
    first = int(shown.start.timestamp())
    found: Series = {}
    for time, value in zip(result["Timestamps"], result["Values"], strict=True):
        place = first + (int(time.timestamp()) - first) // shown.seconds * shown.seconds
        found[float(place)] = value
    return found


def _calculate(text: str, known: Mapping[str, Any], periods: Sequence[float]) -> Series:
    """Return what an expression comes to; of metric math, what the dashboard has of it."""
    sums = RUNNING_SUM.fullmatch(text)
    value = Expression(sums["inner"] if sums else text).evaluate(known, periods)
    series = value if isinstance(value, dict) else dict.fromkeys(periods, value)
    if sums:
        return dict(zip(periods, accumulate(series.get(at, 0.0) for at in periods), strict=True))
    return series


def draw(body: Mapping[str, Any], shown: Shown) -> str:
    """Return the dashboard as SVG, the same bytes for the same data."""
    width = 24 * UNIT + GAP
    height = max(widget["y"] + widget["height"] for widget in body["widgets"]) * ROW + GAP
    parts = [part for widget in body["widgets"] for part in _draw_widget(widget, shown)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif"'
        f' font-size="11" role="img">\n<title>Dashboard of a platform</title>\n'
        f'<rect width="{width}" height="{height}" fill="#f2f3f3"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _draw_widget(widget: Mapping[str, Any], shown: Shown) -> Iterator[str]:
    x, y = widget["x"] * UNIT + GAP, widget["y"] * ROW + GAP
    wide, high = widget["width"] * UNIT - GAP, widget["height"] * ROW - GAP
    properties = widget["properties"]
    if widget["type"] == "text":
        text = properties["markdown"].replace("*", "")
        size, weight = (15, "bold") if text.startswith("#") else (12, "normal")
        yield _text(x + 4, y + high - 8, text.lstrip("# "), size=size, weight=weight)
        return
    yield f'<rect x="{x}" y="{y}" width="{wide}" height="{high}" rx="3" {FRAME}/>'
    yield _text(x + 8, y + 16, properties["title"], size=12, weight="bold")
    if widget["type"] == "alarm":
        yield from _draw_alarms(properties["alarms"], shown, x, y, wide)
    else:
        lines = shown.lines[properties["title"]]
        yield from _draw_lines(lines, properties, shown, (x, y, wide, high))


def _draw_alarms(arns: Sequence[str], shown: Shown, x: int, y: int, wide: int) -> Iterator[str]:
    across = -(-len(arns) // 2)
    tile = (wide - 2 * GAP) / across
    for number, arn in enumerate(arns):
        left, top = x + GAP + (number % across) * tile, y + 22 + (number // across) * 23
        state = shown.alarms.get(arn, "INSUFFICIENT_DATA")
        fill = STATES[state]
        yield f'<rect x="{left:.1f}" y="{top}" width="{tile - 4:.1f}" height="20" rx="2" fill="{fill}"/>'
        name = arn.rpartition(":")[2]
        size = min(10.0, (tile - 14) / (CHARACTER * len(name)))
        yield _text(left + 6, top + 14, name, fill="#ffffff", size=round(size, 1))


def _draw_lines(
    lines: Sequence[tuple[str, Series]], properties: Mapping[str, Any], shown: Shown, place: tuple[int, int, int, int]
) -> Iterator[str]:
    x, y, wide, high = place
    left, top, right = x + 48, y + 36, x + wide - (48 if "right" in properties["yAxis"] else 12)
    legend = place_legend([label for label, _ in lines], wide - 16)
    bottom = y + high - 22 - LEGEND * (1 + max(line for _, line in legend))
    sides = _find_sides(properties["metrics"])
    highest = {
        side: round_up(
            max((value for label, of in lines if sides[label] == side for value in of.values()), default=0.0)
        )
        for side in properties["yAxis"]
    }
    for share in (0.0, 0.5, 1.0):
        line = bottom - (bottom - top) * share
        yield f'<path d="M{left} {line:.1f}H{right}" stroke="#eaeded"/>'
        for side, most in highest.items():
            across, anchor = (left - 4, "end") if side == "left" else (right + 4, "start")
            yield _text(across, line + 4, _tell(most * share), anchor=anchor, fill="#687078", size=10)
    units = " | ".join(axis["label"] for axis in properties["yAxis"].values())
    yield _text(left, top - 6, units, fill="#687078", size=10)
    for at, anchor, time in ((left, "start", shown.start), (right, "end", shown.end)):
        yield _text(at, bottom + 13, f"{time:%H:%M:%S}", anchor=anchor, fill="#687078", size=10)
    if not any(series for _, series in lines):
        yield _text((left + right) / 2, (top + bottom) / 2, "no data", anchor="middle", fill="#687078")
    span = shown.periods[-1] - shown.periods[0] or 1.0
    for number, (label, series) in enumerate(lines):
        color = COLORS[number % len(COLORS)]
        most = highest[sides[label]]
        points = [
            (left + (right - left) * (at - shown.periods[0]) / span, bottom - (bottom - top) * value / most)
            for at, value in sorted(series.items())
        ]
        path = " ".join(f"{across:.1f},{up:.1f}" for across, up in points)
        if len(points) > 1:
            yield f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="1.5"/>'
        yield from (f'<circle cx="{across:.1f}" cy="{up:.1f}" r="1.8" fill="{color}"/>' for across, up in points)
        legend_x, legend_y = x + 10 + legend[number][0], bottom + 26 + legend[number][1] * LEGEND
        yield f'<rect x="{legend_x:.1f}" y="{legend_y - 7}" width="8" height="8" fill="{color}"/>'
        yield _text(legend_x + 12, legend_y, label, size=9)


def place_legend(labels: Sequence[str], room: float) -> list[tuple[float, int]]:
    """Return where each label begins, and on which line: in two columns where all fit, else one behind the other."""
    widths = [24 + 9 * CHARACTER * len(label) for label in labels]
    if max(widths) <= room / 2:
        return [(number % 2 * room / 2, number // 2) for number in range(len(labels))]
    places, across, line = [], 0.0, 0
    for width in widths:
        if across and across + width > room:
            across, line = 0.0, line + 1
        places.append((across, line))
        across += width
    return places


def round_up(value: float) -> float:
    """Return what an axis ends with: a number that is read at a glance, and not below the highest value."""
    if value <= 0:
        return 1.0
    power = 10.0 ** floor(log10(value))
    return next(tick for tick in TICKS if tick * power >= value * (1 - 1e-9)) * power


def _find_sides(metrics: Sequence[Sequence[Any]]) -> dict[str, str]:
    """Return the axis of each line, by its label."""
    return {options.get("label", options.get("id", "")): options.get("yAxis", "left") for *_, options in metrics}


def _tell(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _text(
    x: float,
    y: float,
    text: str,
    *,
    anchor: str = "start",
    fill: str = "#16191f",
    size: float = 11,
    weight: str = "normal",
) -> str:
    look = f'text-anchor="{anchor}" fill="{fill}" font-size="{size}" font-weight="{weight}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {look}>{escape(text)}</text>'
