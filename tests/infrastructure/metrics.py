"""The metrics that there are: those that the functions emit, and those of AWS that this project looks at."""

import ast
from dataclasses import dataclass
from functools import cache
from typing import Any

from dynaurora.observability import metrics
from tests.infrastructure.deployment import PROJECT

EMITTERS = {"count", "measure"}
"""Functions of `dynaurora.observability` whose first argument names a metric."""

EMITTER_OF_ALL = "count_of_all"
"""The one that counts for all replications of a bucket together."""

OF_ALL_REPLICATIONS = "measure_health"
"""The function that measures each replication, and all of them together by their platform."""

# Each with its dimensions, and where AWS documents it.
LAMBDA = frozenset({"FunctionName"})  # Lambda Developer Guide, "Types of metrics for Lambda functions"
STATES = frozenset({"StateMachineArn"})  # Step Functions Developer Guide, "Monitoring Step Functions metrics"
FIREHOSE = frozenset({"DeliveryStreamName"})  # Data Firehose Developer Guide, "Monitor with CloudWatch metrics"
QUEUE = frozenset({"QueueName"})  # SQS Developer Guide, "Available CloudWatch metrics for Amazon SQS"
TABLE = frozenset({"TableName"})  # DynamoDB Developer Guide, "DynamoDB metrics and dimensions"
CLUSTER = frozenset({"DBClusterIdentifier"})  # Aurora User Guide, "Amazon CloudWatch metrics for Amazon Aurora"
CLUSTER_ROLE = CLUSTER | {"Role"}  # the same, "Amazon CloudWatch dimensions for Aurora"
DOCUMENTED = {
    "AWS/Lambda": {
        "ConcurrentExecutions": LAMBDA,
        "Duration": LAMBDA,
        "Errors": LAMBDA,
        "Invocations": LAMBDA,
        "IteratorAge": LAMBDA,
        "Throttles": LAMBDA,
    },
    "AWS/States": {"ExecutionTime": STATES, "ExecutionsFailed": STATES, "ExecutionsTimedOut": STATES},
    "AWS/Firehose": {"DeliveryToS3.DataFreshness": FIREHOSE},
    "AWS/SQS": {"ApproximateNumberOfMessagesVisible": QUEUE},
    "AWS/DynamoDB": {"ConsumedWriteCapacityUnits": TABLE},
    "AWS/RDS": {"ACUUtilization": CLUSTER, "CPUUtilization": CLUSTER_ROLE, "DatabaseConnections": CLUSTER_ROLE},
}


@dataclass(frozen=True)
class Metric:
    """One metric as an alarm or a widget names it."""

    namespace: str
    name: str
    dimensions: dict[str, Any]

    @property
    def exists(self) -> bool:
        """Whether somebody puts data into it, of exactly these dimensions."""
        if self.namespace != metrics.namespace:
            return DOCUMENTED[self.namespace].get(self.name) == self.dimensions.keys()
        function = self.dimensions.get("service", "")
        if self.dimensions.keys() == {"bucket", "service"}:
            return self.name in read_emitted_of_all(function)
        names, dimensions = read_emitted().get(function, (set(), set()))
        of_all, of_one = {"platform", "service"}, {"mapping", "service"}
        known = (of_all, of_one) if function == OF_ALL_REPLICATIONS else (dimensions,)
        return self.name in names and self.dimensions.keys() in known


@cache
def read_emitted() -> dict[str, tuple[set[str], set[str]]]:
    """The metrics that each function emits, with the dimensions that they have; Powertools adds `service` to them."""
    return {path.stem: _read_function(path.read_text("utf-8")) for path in (PROJECT / "lambdas").glob("*.py")}


@cache
def read_emitted_of_all(function: str) -> set[str]:
    """The metrics that a function emits of all replications together."""
    source = (PROJECT / "lambdas" / f"{function}.py").read_text("utf-8")
    return {text for called, text in _read_calls(source) if called == EMITTER_OF_ALL}


def _read_calls(source: str) -> list[tuple[str, str]]:
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call) and node.args]
    return [(ast.unparse(call.func), text) for call in calls for text in _read_texts(call.args[0])]


def _read_function(source: str) -> tuple[set[str], set[str]]:
    named = _read_calls(source)
    dimensions = {text for function, text in named if function == "metrics.add_dimension"}
    return {text for function, text in named if function in EMITTERS}, {"mapping", "service"} | dimensions


def _read_texts(node: ast.expr) -> set[str]:
    """The texts that an expression can be: `"RunsFailed" if failure else "RunsSucceeded"` is one of two."""
    parts = [node.body, node.orelse] if isinstance(node, ast.IfExp) else [node]
    return {part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)}
