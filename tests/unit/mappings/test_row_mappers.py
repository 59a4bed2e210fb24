import io
import json

import pytest

from dynaurora.errors import RegistryUnavailableError, UnregisteredMappingError
from dynaurora.mappings.registry import Pointer, Registries, Registry, point_at, publish_document
from dynaurora.mappings.row_mappers import MAX_ROW_MAPPERS, RowMappers, SharedRowMappers
from dynaurora.observability import logger
from tests.support.factories import column, make_mapping
from tests.support.fakes import InMemoryObjects
from tests.support.registries import make_registry

BUCKET = "landing"
FIRST, SECOND = make_mapping(column("a", "INT")), make_mapping(column("b", "INT"))


@pytest.fixture
def store():
    store = InMemoryObjects()
    activate(store, FIRST, 1)
    return store


def activate(store, mapping, generation):
    publish_document(store, BUCKET, mapping)
    point_at(store, BUCKET, mapping.name, Pointer(mapping.digest, generation))


def test_a_mapping_has_one_row_mapper_for_as_long_as_the_function_lives(store):
    mappers = RowMappers(Registry(store, BUCKET, FIRST.name))
    first = mappers.find_current()
    assert first is mappers.find_current() is mappers.find_recorded(FIRST.digest) is mappers.find_recorded(None)
    activate(store, SECOND, 2)
    assert mappers.find_recorded(SECOND.digest).mapping.digest == SECOND.digest
    assert mappers.find_recorded(FIRST.digest) is first
    assert RowMappers(Registry(store, BUCKET, FIRST.name)).find_current().mapping.digest == SECOND.digest


def test_that_records_are_mapped_plainly_is_logged_once(store, monkeypatch):
    monkeypatch.setattr(logger.registered_handler, "stream", io.StringIO())
    plain = make_mapping(schema={"minProperties": 1})
    activate(store, plain, 2)
    mappers = RowMappers(Registry(store, BUCKET, plain.name))
    for _ in range(3):
        mappers.find_current()
    (line,) = map(json.loads, logger.registered_handler.stream.getvalue().splitlines())
    assert line["message"] == "Records are mapped plainly"
    assert line["why"]


def test_what_the_registry_does_not_have_or_tell_is_told(store):
    mappers = RowMappers(Registry(store, BUCKET, FIRST.name))
    with pytest.raises(UnregisteredMappingError):
        mappers.find_recorded("0" * 64)
    with pytest.raises(RegistryUnavailableError):
        RowMappers(Registry(InMemoryObjects(), BUCKET, FIRST.name)).find_current()


def mappings_of(count):
    return [make_mapping(column(f"c{number}", "INT")) for number in range(count)]


def test_each_mapping_has_a_row_mapper_of_its_own_made_once():
    first, second = mappings_of(2)
    mappers = RowMappers(make_registry(first, second))
    assert mappers.find_current().mapping.digest == second.digest
    assert mappers.find(first.digest).mapping.digest == first.digest
    assert mappers.find(second.digest) is mappers.find_current()


def test_mappings_of_other_names_share_the_room_and_nothing_else():
    store = InMemoryObjects()
    registered = {name: make_mapping(column("a", "INT"), name=name) for name in "ab"}
    for mapping in registered.values():
        activate(store, mapping, 1)
    assert registered["a"].digest == registered["b"].digest
    mappers = SharedRowMappers(Registries(store, BUCKET))
    made = {name: mappers.of(name).find_current() for name in "ab"}
    assert {name: mapper.mapping.name for name, mapper in made.items()} == {"a": "a", "b": "b"}
    assert all(mappers.of(name).find_current() is mapper for name, mapper in made.items())
    for number in range(MAX_ROW_MAPPERS - 1):
        activate(store, make_mapping(name=f"c{number}"), 1)
        mappers.of(f"c{number}").find_current()
    assert mappers.of("b").find_current() is made["b"]
    assert mappers.of("a").find_current() is not made["a"]


def test_those_that_were_used_last_are_kept():
    registered = mappings_of(MAX_ROW_MAPPERS + 1)
    mappers = RowMappers(make_registry(*registered))
    made = [mappers.find(mapping.digest) for mapping in registered[:-1]]
    assert mappers.find(registered[0].digest) is made[0]
    mappers.find(registered[-1].digest)
    assert mappers.find(registered[0].digest) is made[0]
    assert mappers.find(registered[1].digest) is not made[1]
