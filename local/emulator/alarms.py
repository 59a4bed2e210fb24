"""CloudWatch: alarms on metric math, and alarms that are evaluated as AWS evaluates them.

The emulator refuses a template's alarm on an expression. Any other it judges by all values of the metric at once,
whatever their dimensions and periods, and leaves a metric without data alone. Here an alarm looks at its last
EvaluationPeriods periods, each by itself: it is in ALARM where DatapointsToAlarm of them breach the threshold, and a
period without data counts as TreatMissingData says. It is looked at when metrics are put and when alarms are described;
AWS looks every minute.

Not emulated: that AWS looks back further than the evaluated periods for data that is late, and that of two periods it
takes such as the wall clock has.

Sources: CloudWatch User Guide, "Using Amazon CloudWatch alarms" and "Configuring how CloudWatch alarms treat missing
data"; CloudFormation reference, "AWS::CloudWatch::Alarm".
"""

import operator
import time
from collections.abc import Callable
from typing import Any

from ministack.services import cloudwatch
from ministack.services.cloudformation import provisioners

from local.emulator.metric_math import Expression, Series, Value
from local.emulator.replacements import Replacements
from local.emulator.values import read_bool

OF_ONE_METRIC = ("MetricName", "Namespace", "Statistic", "ExtendedStatistic", "Period", "Dimensions", "Unit")
"""What an alarm on an expression has in `Metrics` instead."""
COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}


def install(emulator: Replacements) -> None:
    """Plan the replacements of this behaviour."""
    module = cloudwatch.__name__
    emulator.require(module, "_calc_stats", "(points)")
    emulator.require(module, "_stat_value", "(stats, stat_name, points=None)")
    emulator.require(module, "_dims_key", "(dims: dict) -> str")
    emulator.require(module, "_evaluate_all_alarms", "()")
    emulator.require(module, "_dispatch_alarm_actions", "(alarm, old_state, new_state, reason)")
    emulator.require(module, "_evaluate_parent_alarms", "(child, seen=frozenset())")
    emulator.require(
        module,
        "_record_history",
        "(alarm_name, old_state, new_state, reason, alarm_type='MetricAlarm', reason_data=None)",
    )
    emulator.replace(module, "_evaluate_alarm", "(alarm)", evaluate)
    emulator.wrap(module, "_describe_alarms", "(params, cbor_data, is_cbor, is_json=False)", _evaluate_first)
    emulator.wrap(provisioners.__name__, "_cw_metric_alarm_record", "(name, props)", _take_expressions)


def _evaluate_first(original: Any) -> Any:
    def describe(*arguments: Any, **options: Any) -> Any:
        cloudwatch._evaluate_all_alarms()
        return original(*arguments, **options)

    return describe


def _take_expressions(original: Any) -> Any:
    def record(name: str, props: dict[str, Any]) -> dict[str, Any]:
        if not props.get("Metrics"):
            return dict(original(name, props))
        queries = [read_query(query) for query in props["Metrics"]]
        check(queries)
        alarm: dict[str, Any] = original(name, {**props, "Metrics": None, "MetricName": "-", "Namespace": "-"})
        return {key: value for key, value in alarm.items() if key not in OF_ONE_METRIC} | {"Metrics": queries}

    return record


def read_query(query: dict[str, Any]) -> dict[str, Any]:
    """Return a template's query as the API has it."""
    typed = {**query, "ReturnData": read_bool(query.get("ReturnData"), True)}
    if "MetricStat" in query:
        typed["MetricStat"] = {**query["MetricStat"], "Period": int(query["MetricStat"]["Period"])}
    return typed


def check(queries: list[dict[str, Any]]) -> None:
    """Raise ValueError where the queries make no alarm: of all, one is what the alarm looks at."""
    known = {query["Id"] for query in queries}
    expressions = [Expression(query["Expression"]) for query in queries if "Expression" in query]
    unknown = {name for expression in expressions for name in expression.names} - known
    if unknown:
        raise ValueError(f"Metrics: no query has the id {', '.join(sorted(unknown))}")
    if sum(query["ReturnData"] for query in queries) != 1:
        raise ValueError("Metrics: exactly one query must return data")
    if not any("MetricStat" in query for query in queries):
        raise ValueError("Metrics: an expression is of metrics")


def evaluate(alarm: dict[str, Any], now: float | None = None) -> None:
    """Put an alarm into the state that its metrics have come to, and act on a change of it."""
    state, reason = judge(alarm, time.time() if now is None else now)
    before = alarm["StateValue"]
    if state == before:
        return
    alarm |= {"StateValue": state, "StateReason": reason, "StateUpdatedTimestamp": int(time.time())}
    cloudwatch._record_history(alarm["AlarmName"], before, state, reason)
    cloudwatch._dispatch_alarm_actions(alarm, before, state, reason)
    cloudwatch._evaluate_parent_alarms(alarm)


def judge(alarm: dict[str, Any], now: float) -> tuple[str, str]:
    """Return the state of an alarm and why it is in it."""
    compare, threshold = COMPARISONS[alarm["ComparisonOperator"]], alarm["Threshold"]
    count = int(alarm["EvaluationPeriods"])
    needed = int(alarm.get("DatapointsToAlarm") or count)
    found = read_values(alarm, now, count)
    missing, treatment = count - len(found), alarm.get("TreatMissingData") or "missing"
    if missing == count and treatment in {"missing", "ignore"}:
        state = "INSUFFICIENT_DATA" if treatment == "missing" else alarm["StateValue"]
        return state, f"Insufficient Data: {count} datapoints were unknown."
    breaching = sum(compare(value, threshold) for value in found.values())
    breaching += missing if treatment == "breaching" else 0
    values = ", ".join(f"{value:g}" for _, value in sorted(found.items())) or "none"
    facts = f"{breaching} of {count} datapoints ({values}) breach {alarm['ComparisonOperator']} {threshold:g}"
    return "ALARM" if breaching >= needed else "OK", f"Threshold Crossed: {facts}, {needed} are needed."


def read_values(alarm: dict[str, Any], now: float, count: int) -> Series:
    """Return what an alarm looks at in its last periods, those without a value left out."""
    queries = alarm.get("Metrics")
    if not queries:
        statistic = alarm.get("ExtendedStatistic") or alarm["Statistic"]
        periods = list_periods(now, alarm["Period"], count)
        return read_series(alarm, statistic, alarm["Period"], periods)
    period = max(query["MetricStat"]["Period"] for query in queries if "MetricStat" in query)
    periods = list_periods(now, period, count)
    known: dict[str, Value] = {}
    for query in queries:
        if "MetricStat" in query:
            stat = query["MetricStat"]
            known[query["Id"]] = read_series(stat["Metric"], stat["Stat"], period, periods)
    (returned,) = (query for query in queries if query["ReturnData"])
    expression = Expression(returned.get("Expression", returned["Id"]))
    value = expression.evaluate(known, periods)
    return value if isinstance(value, dict) else dict.fromkeys(periods, value)


def list_periods(now: float, seconds: int, count: int) -> list[float]:
    """Return when the last periods began, the oldest first; the last of them ends now."""
    return [now - number * seconds for number in range(count, 0, -1)]


def read_series(metric: dict[str, Any], statistic: str, seconds: int, periods: list[float]) -> Series:
    """Return a statistic of one metric, of exactly these dimensions, for each period that has data."""
    dimensions = {entry["Name"]: entry["Value"] for entry in metric.get("Dimensions") or []}
    key = (metric["Namespace"], metric["MetricName"], cloudwatch._dims_key(dimensions))
    points = [point for point in cloudwatch._metrics.get(key, []) if point["Timestamp"] > periods[0]]
    series = {}
    for start in periods:
        within = [point for point in points if start < point["Timestamp"] <= start + seconds]
        if within:
            series[start] = cloudwatch._stat_value(cloudwatch._calc_stats(within), statistic, within)
    return series
