"""What a day costs on which nothing happens: the calls that the clocks' functions make, counted on the local AWS.

The functions are those of the deployment, with its environment, in this process, so that each call of the SDK is seen.
"""

import importlib
import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from tests.integration.backfill.deployed import Deployed
from tests.support.functions import Context

PRICED = {
    "ListObjectsV2": "S3 writes",
    "PutObject": "S3 writes",
    "GetObject": "S3 reads",
    "HeadObject": "S3 reads",
    "GetObjectTagging": "S3 reads",
}
"""What is paid for of what the clocks' functions call, and as what (Amazon S3 pricing, "Requests & data retrievals"):
S3 bills its lists as it does writes."""
FREE = {"DescribeTable", "DescribeContinuousBackups", "GetEventSourceMapping", "ListExecutions"}
"""Control planes bill no calls (pricing pages of DynamoDB, Lambda and Step Functions, which have no price for them)."""
SERVICES = ("s3", "dynamodb", "lambda", "stepfunctions", "firehose", "secretsmanager", "kms", "cloudwatch", "sns")


@contextmanager
def counted(deployed: Deployed) -> Iterator[Counter[str]]:
    """Count the calls of the SDK that are made inside, by their operation."""
    calls = Counter[str]()

    def count(model: Any, **_: Any) -> None:
        calls[model.name] += 1

    events = [deployed.client(service).meta.events for service in SERVICES]
    for each in events:
        each.register("before-call", count)
    try:
        yield calls
    finally:
        for each in events:
            each.unregister("before-call", count)


def invoke(deployed: Deployed, name: str, output: str, event: dict[str, Any]) -> tuple[Any, Counter[str]]:
    """Call a function of the deployment in this process, by its file and output; return its answer and its calls."""
    configuration = deployed.client("lambda").get_function_configuration(FunctionName=deployed.outputs[output])
    with patch.dict(os.environ, configuration["Environment"]["Variables"]):
        sys.modules.pop(f"lambdas.{name}", None)
        handler = importlib.import_module(f"lambdas.{name}").lambda_handler
        with counted(deployed) as calls:
            return handler(event, Context()), calls


def price(calls: Counter[str]) -> dict[str, int]:
    """Return calls by what they are paid as; one that nobody has thought of fails."""
    assert calls.keys() <= PRICED.keys() | FREE
    paid = Counter[str]()
    for name, count in calls.items():
        if name in PRICED:
            paid[PRICED[name]] += count
    return dict(paid)
