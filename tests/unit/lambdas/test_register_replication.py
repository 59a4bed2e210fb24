"""Registering a replication, as CloudFormation asks for it."""

import pytest

from dynaurora import keys
from dynaurora.mappings.replications import read_replication
from tests.support.cloudformation import Waiting, serve
from tests.support.factories import make_mapping
from tests.support.fakes import InMemoryObjects
from tests.support.functions import ENVIRONMENT, Context, metrics_of
from tests.support.registries import activate

BUCKET = ENVIRONMENT["LANDING_BUCKET"]
GIVEN = {
    "Mapping": "orders",
    "Stack": "clicks-orders",
    "TableArn": "arn:aws:dynamodb:us-east-1:123456789012:table/orders",
    "EventSourceMappingId": "reader-1",
    "TtlDeletes": "replicate",
}


@pytest.fixture
def ask(load, monkeypatch):
    function, store, waiting = load("register_replication"), InMemoryObjects(), Waiting()
    monkeypatch.setattr(function, "S3Objects", lambda: store)
    for name in ("orders", "bills"):
        activate(store, make_mapping(name=name), 1, BUCKET)

    def ask_function(kind="Create", **more):
        function.lambda_handler(waiting.request(kind, **{"ResourceProperties": GIVEN, **more}), Context())
        return waiting.answers.pop()

    ask_function.store = store
    with serve(waiting):
        yield ask_function


def test_a_replication_is_registered_and_forgotten(ask, capsys):
    answer = ask()
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", "replication-orders")
    assert read_replication(ask.store, BUCKET, "orders").table == "orders"
    assert metrics_of(capsys)[0] == {"ReplicationsRegistered": [1.0]}
    assert ask("Delete")["Status"] == "SUCCESS"
    assert (BUCKET, keys.replication("orders")) not in ask.store.objects


def test_a_stack_that_goes_over_to_another_mapping_gives_the_first_one_up(ask):
    ask()
    answer = ask("Update", ResourceProperties=GIVEN | {"Mapping": "bills"}, OldResourceProperties=GIVEN)
    assert answer["Status"] == "FAILED"
    assert "Mapping bills writes" in answer["Reason"], "as orders does, until that is given up"


def test_a_second_stack_of_a_mapping_is_refused_by_name(ask):
    ask()
    answer = ask(ResourceProperties=GIVEN | {"Stack": "another"})
    assert answer["Status"] == "FAILED"
    assert "TargetTakenError: Mapping orders is replicated by stack clicks-orders already." in answer["Reason"]
    assert ask("Delete", ResourceProperties=GIVEN | {"Stack": "another"})["Status"] == "SUCCESS"
    assert read_replication(ask.store, BUCKET, "orders").stack == "clicks-orders"
