import json

import pytest

from dynaurora import keys
from dynaurora.errors import InvalidSettingsError, TargetTakenError, UnknownMappingError
from dynaurora.mappings.mapping import build_mapping
from dynaurora.mappings.replications import (
    KnownReplications,
    Replication,
    forget_replication,
    list_replications,
    read_replication,
    register_replication,
)
from tests.support.factories import make_mapping, mapping_document
from tests.support.fakes import InMemoryObjects
from tests.support.registries import activate

BUCKET = "landing"
TABLE_ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/things"
ORDERS = Replication("orders", "platform-orders", TABLE_ARN, ("reader-1",), "replicate")


def check_target_free(store, bucket, mapping, known=None):
    (known or KnownReplications()).check_target_free(store, bucket, mapping)


@pytest.fixture
def store():
    store = InMemoryObjects()
    activate(store, make_mapping(name="orders"), 1, BUCKET)
    return store


def test_what_is_registered_is_read_again(store):
    register_replication(store, BUCKET, ORDERS)
    assert read_replication(store, BUCKET, "orders") == ORDERS
    assert list_replications(store, BUCKET) == [ORDERS]
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


@pytest.mark.parametrize("suffix", ["__replica", "__REPLICA"])
def test_a_view_is_not_named_as_the_rows_of_another_mapping_are(store, suffix):
    register_replication(store, BUCKET, ORDERS)
    document = mapping_document()
    document["target"]["table"] += suffix
    with pytest.raises(TargetTakenError, match=rf"Mapping other writes \w+\.\w+{suffix}, as mapping orders of stack"):
        check_target_free(store, BUCKET, build_mapping("other", document))


def writing(name, table):
    """Return a mapping that writes a table."""
    document = mapping_document()
    return build_mapping(name, document | {"target": document["target"] | {"table": table}})


class CountedReads(InMemoryObjects):
    """Objects, and how often any was read."""

    reads = 0

    def read(self, *given, **options):
        self.reads += 1
        return super().read(*given, **options)


def test_what_is_known_of_others_is_read_once_and_again_where_it_has_changed():
    store, known = CountedReads(), KnownReplications()
    for number in range(5):
        mapping = writing(f"t{number}", f"T{number}")
        activate(store, mapping, 1, BUCKET)
        replication = Replication(mapping.name, f"stack-{number}", TABLE_ARN, ("r",), "replicate")
        store.write(BUCKET, keys.replication(mapping.name), replication.encode())
    added = writing("added", "T9")
    counts = []
    for _ in range(2):
        before = store.reads
        check_target_free(store, BUCKET, added, known)
        assert len(known.find_all(store, BUCKET)) == 5
        counts.append(store.reads - before)
    assert counts == [15, 0], "each replication, its pointer and its document"
    moved = writing("t3", "T9")
    activate(store, moved, 2, BUCKET)
    before = store.reads
    with pytest.raises(TargetTakenError, match="as mapping t3 of stack stack-3 does"):
        check_target_free(store, BUCKET, added, known)
    assert store.reads - before == 2, "another pointer and another document"
    forget_replication(store, BUCKET, "t3", "stack-3")
    check_target_free(store, BUCKET, added, known)
    assert [one.mapping for one in known.find_all(store, BUCKET)] == ["t0", "t1", "t2", "t4"]


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
