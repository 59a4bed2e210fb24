import pytest

from dynaurora.errors import UnregisteredMappingError
from dynaurora.mappings.row_mappers import MAX_ROW_MAPPERS, RowMappers
from tests.support.factories import column, make_mapping
from tests.support.registries import make_registry


def mappings_of(count):
    return [make_mapping(column(f"c{number}", "INT")) for number in range(count)]


def test_each_mapping_has_a_row_mapper_of_its_own_made_once():
    first, second = mappings_of(2)
    mappers = RowMappers(make_registry(first, second))
    assert mappers.find_current().mapping.digest == second.digest
    assert mappers.find(first.digest).mapping.digest == first.digest
    assert mappers.find(second.digest) is mappers.find_current()


def test_those_that_were_used_last_are_kept():
    registered = mappings_of(MAX_ROW_MAPPERS + 1)
    mappers = RowMappers(make_registry(*registered))
    made = [mappers.find(mapping.digest) for mapping in registered[:-1]]
    assert mappers.find(registered[0].digest) is made[0]
    mappers.find(registered[-1].digest)
    assert mappers.find(registered[0].digest) is made[0]
    assert mappers.find(registered[1].digest) is not made[1]


def test_a_digest_that_nobody_registered_is_named():
    with pytest.raises(UnregisteredMappingError, match="of digest 000"):
        RowMappers(make_registry(*mappings_of(1))).find("0" * 64)
