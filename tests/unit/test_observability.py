import io
import json

import pytest

from dynaurora.observability import count, logger, measure, metrics, observe_mapping, observed
from tests.support.functions import Context, metrics_of


@pytest.mark.parametrize(("value", "added"), [(3, [3.0]), (0, None)], ids=["some", "none"])
def test_a_count_is_a_metric_and_nothing_is_none(value, added):
    metrics.clear_metrics()
    count("ChangesForwarded", value)
    assert metrics.metric_set.get("ChangesForwarded", {}).get("Value") == added
    metrics.clear_metrics()


@observed
def observe(event, context):
    if "mapping" in event:
        observe_mapping(event["mapping"])
    if "kind" in event:
        metrics.add_dimension("kind", event["kind"])
    count("ItemsSeen", event.get("items", 1))
    logger.info("Seen")
    return {}


@pytest.mark.filterwarnings("error::aws_lambda_powertools.warnings.PowertoolsUserWarning")
@pytest.mark.filterwarnings("ignore:No application metrics")
def test_the_mapping_of_an_invocation_is_not_that_of_the_next(monkeypatch, capsys):
    monkeypatch.setattr(logger.registered_handler, "stream", io.StringIO())
    events = [{"mapping": "a", "kind": "x", "items": 0}, {"mapping": "b"}, {}, {"mapping": "a"}]
    for event in events:
        observe(event, Context())
    lines = [json.loads(line) for line in logger.registered_handler.stream.getvalue().splitlines()]
    assert [line.get("mapping") for line in lines] == ["a", "b", None, "a"]
    embedded = metrics_of(capsys)[1]
    assert [(line.get("mapping"), line.get("kind")) for line in embedded] == [("b", None), (None, None), ("a", None)]


def test_a_value_is_a_metric_of_its_unit_nothing_included():
    metrics.clear_metrics()
    measure("ReplicationLag", 0, "Seconds")
    measure("FailuresKept", 0)
    added = {name: (metric["Value"], metric["Unit"]) for name, metric in metrics.metric_set.items()}
    assert added == {"ReplicationLag": ([0.0], "Seconds"), "FailuresKept": ([0.0], "Count")}
    metrics.clear_metrics()
