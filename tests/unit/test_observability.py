import pytest

from dynaurora.errors import Reason
from dynaurora.observability import MAX_PATH, count, count_reasons, measure, metrics


def test_reasons_are_counted_by_path_and_rule_most_frequent_first():
    reasons = [Reason("type", "a", "x"), Reason("json", "payload", "y"), Reason("json", "payload", "z")]
    counted = count_reasons([*reasons, Reason("record", "", "x")])
    assert list(counted.items()) == [("payload (json)", 2), ("a (type)", 1), ("record (record)", 1)]


def test_a_reason_is_counted_by_the_beginning_of_a_long_path():
    longest = "a" * 65_535
    counted = count_reasons(Reason("type", f"{longest}.{number}", "x") for number in range(3))
    assert counted == {f"{'a' * MAX_PATH} (type)": 3}


@pytest.mark.parametrize(("value", "added"), [(3, [3.0]), (0, None)], ids=["some", "none"])
def test_a_count_is_a_metric_and_nothing_is_none(value, added):
    metrics.clear_metrics()
    count("ChangesForwarded", value)
    assert metrics.metric_set.get("ChangesForwarded", {}).get("Value") == added
    metrics.clear_metrics()


def test_a_value_is_a_metric_of_its_unit_nothing_included():
    metrics.clear_metrics()
    measure("ReplicationLag", 0, "Seconds")
    measure("FailuresKept", 0)
    added = {name: (metric["Value"], metric["Unit"]) for name, metric in metrics.metric_set.items()}
    assert added == {"ReplicationLag": ([0.0], "Seconds"), "FailuresKept": ([0.0], "Count")}
    metrics.clear_metrics()
