"""Indexes and comments that a mapping asks for: made with the replica, kept by plans, and only ours taken away."""

import pytest

from dynaurora.aurora.connection import connect
from dynaurora.aurora.replica_columns import check_replica
from dynaurora.errors import ColumnsRefusedError
from tests.integration.imports.test_columns import let_time_pass, plan, prepare, things
from tests.integration.targets import Target, TargetFor
from tests.support.factories import column

pytestmark = pytest.mark.integration

REPLICA = "Demo.Things__replica"
CITY, BORN = column("city", "VARCHAR(60)", "address.city"), column("born", "DATE")
STATE = column("state", "ENUM('new','paid')")


def indexed(*columns, indexes=()):
    return things(*(columns or (CITY, BORN)), indexes=[{"name": name, "columns": names} for name, names in indexes])


def found(target: Target) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for row in target.query(f"SHOW INDEX FROM {REPLICA}"):
        names.setdefault(row[2], []).append(row[4])
    return {name: columns for name, columns in names.items() if name != "PRIMARY"}


def comments(target: Target) -> dict[str, str]:
    return {row[0]: row[8] for row in target.query(f"SHOW FULL COLUMNS FROM {REPLICA}") if row[8]}


def definitions(target: Target) -> list[tuple[object, ...]]:
    return [row[:7] for row in target.query(f"SHOW FULL COLUMNS FROM {REPLICA}")]


BY_CITY = ("by_city", ["city", "born"])


def test_a_replica_is_made_with_the_indexes_of_its_mapping(target_for: TargetFor) -> None:
    mapping = indexed(indexes=[BY_CITY, ("by_born", ["born"])])
    target = prepare(target_for(mapping), mapping)
    assert found(target) == {"by_city": ["city", "born"], "by_born": ["born"]}
    assert not plan(target, mapping).alters
    used = target.query("EXPLAIN SELECT city FROM Demo.Things WHERE city = 'Rome' AND born = '2000-01-01'")
    assert "by_city" in str(used)


def test_indexes_come_and_go_as_columns_do(target_for: TargetFor) -> None:
    first = indexed()
    target = prepare(target_for(first), first)
    target.query(f"CREATE INDEX theirs ON {REPLICA} (city(10))")
    mapping = indexed(indexes=[BY_CITY])
    steps = plan(target, mapping)
    assert [index.name for index in steps.indexes.adds] == ["by_city"]
    assert steps.as_document()["index"] == [{"index": "by_city", "columns": ["city", "born"]}]
    assert "ALGORITHM=INPLACE, LOCK=NONE" in steps.statements[0]
    assert mapping.digest == first.digest  # rows are the same, and nothing is to be filled
    prepare(target, mapping)
    assert found(target) == {"theirs": ["city"], "by_city": ["city", "born"]}
    assert not plan(target, mapping).alters

    other = indexed(indexes=[("BY_CITY", ["born", "city"])])
    assert plan(target, other).indexes.replaces == ("by_city",)
    prepare(target, other)
    assert found(target) == {"theirs": ["city"], "BY_CITY": ["born", "city"]}

    kept = plan(target, first)
    assert (kept.alters, kept.indexes.keeps) == (False, ("BY_CITY",))
    prepare(target, first)
    assert set(found(target)) == {"theirs", "BY_CITY"}
    let_time_pass(target)
    assert plan(target, first, drop=True).as_document()["drop_index"] == ["BY_CITY"]
    prepare(target, first, drop=True)
    assert found(target) == {"theirs": ["city"]}
    with connect(target.endpoint, target.administrator) as aurora:
        check_replica(aurora, first)


def test_an_index_of_peoples_own_is_never_replaced(target_for: TargetFor) -> None:
    mapping = indexed()
    target = prepare(target_for(mapping), mapping)
    target.query(f"CREATE INDEX by_city ON {REPLICA} (city)")
    with pytest.raises(ColumnsRefusedError, match="index by_city is of city, and no mapping made it"):
        prepare(target, indexed(indexes=[BY_CITY]))
    assert not plan(target, indexed(indexes=[("by_city", ["city"])])).alters
    assert found(target) == {"by_city": ["city"]}


def test_an_index_goes_before_the_columns_that_it_is_of(target_for: TargetFor) -> None:
    mapping = indexed(indexes=[BY_CITY])
    target = prepare(target_for(mapping), mapping)
    less = prepare(target, indexed(BORN))
    let_time_pass(target)
    prepare(less, indexed(BORN), drop=True)
    assert found(target) == {}


def test_descriptions_are_comments(target_for: TargetFor) -> None:
    columns = [CITY | {"description": "Where it's sent to: \\ 100 % 🦄"}, BORN, column("data", "JSON"), STATE]
    mapping = things(*columns)
    target = prepare(target_for(mapping), mapping)
    assert comments(target) == {"city": "Where it's sent to: \\ 100 % \ufffd"}
    assert not plan(target, mapping).alters

    described = [each | {"description": f"{each['name']}'s"} for each in columns]
    more = things(*described, column("added", "INT") | {"description": "x" * 2000})
    assert plan(target, more).as_document()["comment"] == ["city", "born", "data", "state"]
    before = definitions(target)
    prepare(target, more)
    assert comments(target) == {
        "city": "city's", "born": "born's", "data": "data's", "state": "state's", "added": "x" * 1023 + "…",
    }  # fmt: skip
    assert not plan(target, more).alters
    target.query(f"ALTER TABLE {REPLICA} DROP COLUMN added")
    prepare(target, mapping)
    assert comments(target)["data"] == "data's"  # a description that is gone leaves the comment
    assert definitions(target) == before


def test_a_longer_column_keeps_or_gets_its_comment(target_for: TargetFor) -> None:
    mapping = things(CITY | {"description": "old"}, STATE)
    target = prepare(target_for(mapping), mapping)
    prepare(target, things(CITY | {"type": "VARCHAR(63)"}, STATE))
    assert comments(target) == {"city": "old"}
    members = STATE | {"type": "ENUM('new','paid','sent')", "description": "of the order"}
    steps = plan(target, things(CITY | {"type": "VARCHAR(63)"}, members))
    assert [each.found.name for each in steps.widens] == ["state"]
    prepare(target, things(CITY | {"type": "VARCHAR(63)"}, members))
    assert comments(target) == {"city": "old", "state": "of the order"}
    fewer = things(CITY | {"type": "VARCHAR(63)"}, STATE | {"type": "ENUM('paid','new','sent')"})
    assert any("state" in each for each in plan(target, fewer).refusals)
