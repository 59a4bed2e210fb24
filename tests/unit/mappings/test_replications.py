import json

import pytest

from dynaurora import keys
from dynaurora.errors import InvalidSettingsError, TargetTakenError, UnknownMappingError
from dynaurora.mappings.replications import (
    Replication,
    check_target_free,
    forget_replication,
    list_replications,
    read_replication,
    register_replication,
)
from tests.support.factories import make_mapping
from tests.support.fakes import InMemoryObjects
from tests.support.registries import activate

BUCKET = "landing"
TABLE_ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/things"
ORDERS = Replication("orders", "platform-orders", TABLE_ARN, ("reader-1",), "replicate")


@pytest.fixture
def store():
    store = InMemoryObjects()
    activate(store, make_mapping(name="orders"), 1, BUCKET)
    return store


def test_what_is_registered_is_read_again(store):
    register_replication(store, BUCKET, ORDERS)
    assert read_replication(store, BUCKET, "orders") == ORDERS
    assert list(list_replications(store, BUCKET)) == [ORDERS]
    assert (ORDERS.table, ORDERS.event_source_mapping, ORDERS.ignores_expiries) == ("things", "reader-1", False)


def test_a_reader_of_before_stays_known(store):
    for reader in ("reader-1", "reader-2", "reader-2", "reader-1"):
        register_replication(store, BUCKET, Replication("orders", ORDERS.stack, TABLE_ARN, (reader,), "ignore"))
    found = read_replication(store, BUCKET, "orders")
    assert (found.event_source_mappings, found.ignores_expiries) == (("reader-1", "reader-2"), True)


def test_a_mapping_has_one_stack(store):
    register_replication(store, BUCKET, ORDERS)
    with pytest.raises(TargetTakenError, match="orders is replicated by stack platform-orders already"):
        register_replication(store, BUCKET, Replication("orders", "another", TABLE_ARN, ("r",), "replicate"))
    assert read_replication(store, BUCKET, "orders") == ORDERS


def test_a_table_has_one_mapping_and_the_other_is_named(store):
    register_replication(store, BUCKET, ORDERS)
    other = make_mapping(name="other")
    activate(store, other, 1, BUCKET)
    problem = r"Mapping other writes \w+\.\w+, as mapping orders of stack platform-orders does"
    with pytest.raises(TargetTakenError, match=problem):
        check_target_free(store, BUCKET, other)
    with pytest.raises(TargetTakenError, match=problem):
        register_replication(store, BUCKET, Replication("other", "platform-other", TABLE_ARN, ("r",), "replicate"))
    check_target_free(store, BUCKET, make_mapping(name="orders"))
    forget_replication(store, BUCKET, "orders", ORDERS.stack)
    check_target_free(store, BUCKET, other)


def test_a_replication_is_forgotten_with_its_stack_and_its_documents_stay(store):
    register_replication(store, BUCKET, ORDERS)
    assert not forget_replication(store, BUCKET, "orders", "another")
    assert forget_replication(store, BUCKET, "orders", ORDERS.stack)
    assert not forget_replication(store, BUCKET, "orders", ORDERS.stack)
    with pytest.raises(UnknownMappingError, match="No replication of mapping orders is deployed"):
        read_replication(store, BUCKET, "orders")
    assert store.read(BUCKET, keys.mapping_pointer("orders"))


def test_what_a_later_release_adds_is_passed_over(store):
    body = json.dumps(json.loads(ORDERS.encode()) | {"targets": []}).encode()
    assert Replication.decode(body) == ORDERS


@pytest.mark.parametrize(
    "changed",
    [{"ttl_deletes": "maybe"}, {"event_source_mappings": []}, {"event_source_mappings": 5}, {"table_arn": "x"}],
)
def test_what_is_no_replication_is_told(changed):
    with pytest.raises(InvalidSettingsError, match="is none"):
        Replication.decode(json.dumps(json.loads(ORDERS.encode()) | changed).encode())
