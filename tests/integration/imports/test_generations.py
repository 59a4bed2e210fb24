"""The generations of a target's mappings, counted in a real database."""

import dataclasses
import json

import pytest

from dynaurora.aurora.connection import connect
from dynaurora.aurora.generations import Generation, Generations, activate, register
from dynaurora.aurora.migrations import prepare_target
from dynaurora.errors import UnregisteredMappingError
from dynaurora.mappings.mapping import build_mapping
from tests.integration.targets import Target

pytestmark = pytest.mark.integration


def rename_source(mapping, name):
    document = json.loads(mapping.text)
    document["target"]["columns"][-1]["from"] = name
    return build_mapping(mapping.name, document)


def read(target, aurora):
    return Generations(aurora, target.mapping.database, target.mapping.name)


def test_a_mapping_that_comes_back_is_a_generation_of_its_own(target: Target) -> None:
    first = target.mapping
    other = rename_source(first, "payload.other")
    with connect(target.endpoint, target.administrator) as aurora:
        prepare_target(aurora, first)
        assert read(target, aurora).current == Generation(1, first.digest)
        numbers = [activate(aurora, mapping).number for mapping in (first, first, other, first, first)]
        assert numbers == [1, 1, 2, 3, 3]
        found = read(target, aurora)
    assert found.first == Generation(1, first.digest)
    assert found.current == found.find(first.digest[:16]) == Generation(3, first.digest)
    assert found.find(other.digest) == Generation(2, other.digest)


def test_what_was_registered_only_to_be_read_is_older_than_all(target: Target) -> None:
    other = rename_source(target.mapping, "payload.other")
    target.execute(f"DELETE FROM {target.mapping.database}._dynaurora_mappings")
    with connect(target.endpoint, target.administrator) as aurora:
        assert register(aurora, other) == register(aurora, other) == Generation(0, other.digest)
        assert (read(target, aurora).current, read(target, aurora).first) == (None, None)
        activate(aurora, target.mapping)
        assert register(aurora, target.mapping) == Generation(1, target.mapping.digest)
        assert read(target, aurora).read_mapping(other.digest).columns[-1].source == "payload.other"
        assert activate(aurora, other).number == 2


@pytest.mark.parametrize("digest", ["", "0" * 16])
def test_a_digest_that_nobody_registered_is_named(target: Target, digest: str) -> None:
    with connect(target.endpoint, target.administrator) as aurora, pytest.raises(UnregisteredMappingError):
        read(target, aurora).find(digest)


def test_a_replica_of_an_earlier_release_gets_the_column_of_generations(target: Target) -> None:
    replica = f"{target.mapping.database}.`{target.mapping.replica}`"
    with connect(target.endpoint, target.administrator) as aurora:
        before = aurora.query(f"SHOW CREATE TABLE {replica}")
        aurora.execute(f"ALTER TABLE {replica} DROP COLUMN `_mapping`")
        prepare_target(aurora, dataclasses.replace(target.mapping))
        assert aurora.query(f"SHOW CREATE TABLE {replica}") == before
