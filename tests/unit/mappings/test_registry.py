import json
from datetime import timedelta

import pytest

from dynaurora import keys
from dynaurora.errors import (
    InvalidMappingError,
    RegistryUnavailableError,
    ThrottledError,
    UnregisteredMappingError,
)
from dynaurora.mappings.mapping import build_mapping
from dynaurora.mappings.registry import TAKE_UP_SECONDS, Pointer, Registry, point_at, publish_document
from tests.support.example import load_example
from tests.support.fakes import WRITTEN_AT, InMemoryObjects

BUCKET = "landing"
MAPPING = load_example()
OTHER = "0" * 64


class Throttled(InMemoryObjects):
    """S3 that answers nothing once it is told to."""

    is_throttled = False

    def read(self, bucket, key):
        if self.is_throttled:
            raise ThrottledError("S3 answered SlowDown.")
        return super().read(bucket, key)


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def store():
    store = Throttled()
    publish_document(store, BUCKET, MAPPING)
    point_at(store, BUCKET, MAPPING.name, Pointer(MAPPING.digest, 1))
    return store


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def registry(store, clock):
    return Registry(store, BUCKET, MAPPING.name, clock)


def test_what_names_no_digest_was_recorded_with_the_first_mapping(store, registry):
    assert registry.find_recorded(MAPPING.digest).digest == MAPPING.digest
    document = json.loads(MAPPING.text)
    document["target"]["columns"][-1]["from"] = "payload.Hits"
    changed = build_mapping(MAPPING.name, document)
    publish_document(store, BUCKET, changed)
    point_at(store, BUCKET, MAPPING.name, Pointer(changed.digest, 2))
    for first, second in ((MAPPING, changed), (changed, MAPPING)):
        store.times = {(BUCKET, keys.mapping_document(first.name, first.digest)): WRITTEN_AT - timedelta(hours=1)}
        assert registry.find_recorded(None).digest == first.digest
        assert registry.find_recorded(second.digest).digest == second.digest


def test_a_registry_without_a_document_knows_no_first_mapping():
    with pytest.raises(RegistryUnavailableError, match="no mapping was registered"):
        Registry(InMemoryObjects(), BUCKET, MAPPING.name).find_recorded(None)


def test_the_current_mapping_is_the_one_that_is_pointed_at(registry):
    assert registry.find_current().digest == MAPPING.digest
    assert registry.find_pointer().generation == 1


def test_a_pointer_is_taken_up_in_time_and_not_sooner(registry, store, clock):
    registry.find_pointer()
    point_at(store, BUCKET, MAPPING.name, Pointer(OTHER, 2))
    clock.now += TAKE_UP_SECONDS - 1
    assert registry.find_pointer().generation == 1
    clock.now += 1
    assert registry.find_pointer().generation == 2


def test_a_copy_that_is_too_old_and_cannot_be_looked_up_is_not_used(registry, store, clock):
    registry.find_current()
    store.is_throttled = True
    clock.now += TAKE_UP_SECONDS - 1
    assert registry.find_current().digest == MAPPING.digest
    clock.now += 1
    with pytest.raises(RegistryUnavailableError, match="SlowDown"):
        registry.find_current()


def test_a_document_is_read_once(registry, store):
    registry.find(MAPPING.digest)
    store.is_throttled = True
    assert registry.find(MAPPING.digest).digest == MAPPING.digest


def test_a_digest_that_nobody_registered_is_named(registry):
    with pytest.raises(UnregisteredMappingError, match=f"{OTHER}.*dynaurora mapping register"):
        registry.find(OTHER)


def test_without_a_pointer_nothing_is_current():
    with pytest.raises(RegistryUnavailableError, match=r"current\.json is not there"):
        Registry(InMemoryObjects(), BUCKET, MAPPING.name).find_current()


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"digest": "../x", "generation": 1}'])
def test_a_pointer_that_is_none_is_named(store, body):
    store.write(BUCKET, keys.mapping_pointer(MAPPING.name), body)
    with pytest.raises(RegistryUnavailableError, match="is no pointer"):
        Registry(store, BUCKET, MAPPING.name).find_current()


def test_a_document_that_is_another_than_its_key_says_is_refused(registry, store):
    store.write(BUCKET, keys.mapping_document(MAPPING.name, OTHER), MAPPING.text.encode())
    with pytest.raises(InvalidMappingError, match=f"{OTHER} has the digest {MAPPING.digest}"):
        registry.find(OTHER)
    store.write(BUCKET, keys.mapping_document(MAPPING.name, OTHER[:-1] + "1"), b"{")
    with pytest.raises(InvalidMappingError, match="is no JSON"):
        registry.find(OTHER[:-1] + "1")


def test_what_is_current_already_moves_no_switch(registry, store):
    before = registry.find_switch()
    assert not point_at(store, BUCKET, MAPPING.name, Pointer(MAPPING.digest, 1))
    assert registry.find_switch() == before


def test_a_document_that_is_there_is_never_written_again(store):
    assert json.loads(store.read(BUCKET, keys.mapping_document(MAPPING.name, MAPPING.digest))) == json.loads(
        MAPPING.text
    )
    store.is_throttled = True
    publish_document(store, BUCKET, MAPPING)
