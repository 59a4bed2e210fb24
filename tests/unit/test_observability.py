import pytest

from dynaurora.observability import count, measure, metrics


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
