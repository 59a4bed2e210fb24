import json

import pytest

from dynaurora.errors import InvalidMappingError
from dynaurora.mappings.mapping import build_mapping
from dynaurora.mappings.rebuilds import compose_rebuild, find_rebuilt, is_under_way, name_replica, write_replica
from tests.support.factories import column, mapping_document
from tests.support.several_targets import USERS, several, several_document, target

SMALL, LARGE = ({"name": "total", "type": kind, "from": "total"} for kind in ("INT", "BIGINT"))
BEFORE, AFTER = target("Orders", "", SMALL), target("Orders", "", LARGE, replica="Orders__replica_2")


def parse(text):
    return build_mapping("app", json.loads(text), text=text)


def test_both_tables_are_written_by_one_mapping_in_which_the_first_one_serves():
    both = compose_rebuild(several(USERS, BEFORE), several(USERS, AFTER))
    told = [(each.table, each.rebuilds, each.replica, each.columns[-1].type.sql) for each in both.targets]
    assert told[1:] == [
        ("Orders", "", "Orders__replica", "INT"),
        ("Orders__2", "Orders", "Orders__replica_2", "BIGINT"),
    ]
    assert told[0][:2] == ("Users", "")
    assert is_under_way(both)
    assert not is_under_way(several(USERS, AFTER))


def test_a_rebuild_that_goes_on_is_composed_the_same_again():
    wanted = several(USERS, AFTER)
    both = compose_rebuild(several(USERS, BEFORE), wanted)
    assert compose_rebuild(both, wanted).digest == both.digest


def test_the_way_back_goes_into_the_first_table_under_a_name_of_its_own():
    back = compose_rebuild(several(AFTER), several(BEFORE))
    assert [(each.table, each.replica) for each in back.targets] == [
        ("Orders", "Orders__replica_2"),
        ("Orders__1", "Orders__replica"),
    ]


def test_one_mapping_reads_the_items_in_one_way():
    with pytest.raises(ValueError, match="source"):
        compose_rebuild(several(BEFORE), several(AFTER, json_attributes=["payload"]))


def test_nothing_is_rebuilt_that_stays_in_its_table():
    assert find_rebuilt(several(USERS, BEFORE), several(BEFORE, USERS)) == []


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("replica", [{}, {"replica": "Orders__replica_2"}])
def test_a_file_is_given_the_table_and_stays_as_it_was(indent, replica):
    document = several_document(USERS, {**BEFORE, **replica}) | {"description": '"table": "Orders"'}
    document["source"]["table"] = "Orders"
    text = json.dumps(document, indent=indent)
    written = write_replica(text, "Orders", "Orders__replica_3")
    document["targets"][1]["replica"] = "Orders__replica_3"
    assert json.loads(written) == document
    assert len(written) - len(text) < 35, "the layout is what it was"
    assert parse(written).targets[1].replica == "Orders__replica_3"


def test_a_file_of_one_target_is_written_too():
    text = json.dumps(mapping_document(column("email", "VARCHAR(40)")))
    assert parse(write_replica(text, "Things", "Things__replica_2")).replica == "Things__replica_2"


def test_names_of_long_tables_are_cut():
    assert (len(name_replica("T" * 55, 12)), name_replica("T", 2)) == (64, "T__replica_2")


def test_a_mapping_of_the_default_table_is_the_same_as_ever():
    assert several(BEFORE).digest != several({**BEFORE, "replica": "Elsewhere"}).digest


@pytest.mark.parametrize(
    ("second", "problem"),
    [
        ({"table": "Orders__2", "rebuilds": "Nobody"}, "no target Nobody"),
        ({"table": "Orders__2", "replica": "Orders__replica"}, "Orders__replica too"),
        ({"table": "Orders__2", "replica": "_dynaurora_imports"}, "system tables"),
    ],
)
def test_a_table_that_cannot_be_is_refused(second, problem):
    with pytest.raises(InvalidMappingError, match=problem):
        several(BEFORE, {**BEFORE, **second})
