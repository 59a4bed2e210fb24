"""Proposals: names, entity types, and what becomes of odd tables."""

import pytest

from backfill.trials import Trial
from dynaurora.dynamodb.changes import Change
from dynaurora.inference.proposals import TableSource, name_target_table, propose
from dynaurora.inference.table_profiles import RESERVOIR, OddItemError, TableProfile, profile_items
from dynaurora.mappings.conditions import is_of_keys
from dynaurora.mappings.mapping import build_mapping
from dynaurora.mappings.routing import Router
from dynaurora.mappings.row_mapper import RowMapper

SOURCE = TableSource("my.table-1", "pk", "sk")


def infer(items, unpack=0, source=SOURCE):
    return propose(profile_items([(items, 1)], source.key_attributes, unpack), source, "replicas", source.table)


def item(pk="a", sk="b", **attributes):
    return {"pk": {"S": pk}, "sk": {"S": sk}, **attributes}


ODD = [
    "user-id",
    "user.name",
    "$type",
    "#a",
    "1st",
    "first name",
    'q"uote',
    "back`tick",
    "größe",
    "日本",
    "a\n",
    "select",
]


def test_any_name_gets_a_column_that_mysql_takes_and_is_alone():
    names = [*ODD, "Name", "name", "NAME_2", "_version", "rest", "user_id", "x" * 300, "y" * 255]
    attributes = {name: {"N": str(number)} for number, name in enumerate(names)}
    proposal = infer([item(**attributes)])
    mapping = build_mapping("things", proposal.document)
    trial = Trial(mapping)
    trial.add(item(**attributes))
    assert trial.taken == 1
    sources = {each.path[0]: each.column for each in proposal.columns}
    assert sources["x" * 300] == ""
    assert all(sources[name] for name in names if len(name) <= 255)
    assert trial.filled[trial.mapping.table, "rest"] == 1
    assert sources["name"] == "name_2"
    assert sources["NAME_2"] == "NAME_2_2"


@pytest.mark.parametrize(
    ("table", "view"),
    [("my.table-1", "my_table_1"), ("1st", "_1st"), ("_dynaurora_x", "t_dynaurora_x"), ("x" * 90, "x" * 55)],
)
def test_a_view_is_named_as_its_table_as_far_as_it_can(table, view):
    assert name_target_table(table) == view


def shop(users=30, orders=90):
    rows = [item(f"USER#{n}", "PROFILE", email={"S": "a"}, name={"S": "b"}) for n in range(users)]
    rows += [item(f"USER#{n % users}", f"ORDER#{n}", total={"N": "1"}, lines={"L": []}) for n in range(orders)]
    return rows


def test_types_of_items_are_told_by_the_prefixes_of_their_keys():
    proposal = infer(shop())
    assert [(each.name, each.items, each.when) for each in proposal.types] == [
        ("ORDER", 90, "starts_with(pk, 'USER#') && starts_with(sk, 'ORDER#')"),
        ("PROFILE", 30, "starts_with(pk, 'USER#') && sk == 'PROFILE'"),
    ]
    orders = proposal.targets[0]
    assert orders["table"] == "my_table_1_ORDER"
    assert [column["name"] for column in orders["columns"]] == ["pk", "sk", "total", "lines"]
    assert orders["unmapped"] == {"column": "rest"}
    assert len(proposal.document["target"]["columns"]) == 6


def test_each_type_has_a_target_of_its_own_that_takes_its_items():
    rows = [row | {"data": {"S": "{}" if "total" in row else "text"}} for row in shop()]
    proposal = infer(rows)
    document = proposal.document_of_types
    tables = ["my_table_1_ORDER", "my_table_1_PROFILE", "my_table_1_others"]
    assert [each["table"] for each in document["targets"]] == tables
    assert "json_attributes" not in document["source"]
    for target, mark in zip(proposal.targets, ("total", "email"), strict=True):
        alone = {"database": "d", "table": "t", "columns": target["columns"], "unmapped": target["unmapped"]}
        trial = Trial(build_mapping("t", {"source": document["source"], "schema": target["schema"], "target": alone}))
        trial.add_all(row for row in rows if mark in row)
        assert trial.as_dict()["reasons"] == []
        assert trial.filled[trial.mapping.table, "rest"] == 0


def test_every_item_has_one_target_also_one_of_no_type():
    later = [
        item("USER#1", "NOTE-1", text={"S": "a"}),
        item("x", "PROFILE"),
        item("NEW#1", "ORDER#1", total={"N": "1"}),
    ]
    document = infer(shop()).document_of_types
    router = Router(RowMapper(build_mapping("shop", document)))
    rows = [*shop(), *later]
    routing = router.route_changes([Change(1, 1, {name: row[name] for name in ("pk", "sk")}, row) for row in rows])
    assert [len(routed.indexes) for routed in routing.targets] == [90, 30, 3]
    assert not any(routed.write()[1] for routed in routing.targets)


def test_types_of_items_are_told_by_a_type_attribute_first():
    rows = [row | {"type": {"S": "order" if "total" in row else "user"}} for row in shop()]
    assert [(each.name, each.when) for each in infer(rows).types] == [
        ("order", "type == 'order'"),
        ("user", "type == 'user'"),
    ]
    rows = [{"t-y": row.pop("type"), **row} for row in rows]
    assert infer(rows).types[0].when.startswith("starts_with(pk")


def tenants():
    """Items of tenants, whose keys all begin alike."""
    for n in range(60):
        tenant = f"TENANT#{n % 4}"
        yield item(tenant, tenant, plan={"S": "free"}, since={"S": "a"})
        yield item(tenant, f"{tenant}#ORDER#{n}", total={"N": "1"}, lines={"L": []})
        yield item(tenant, f"{tenant}#ORDER#{n}#LINE#1", article={"S": "a"}, pieces={"N": "2"})
        yield item(tenant, f"{tenant}#USER#{n:x}", email={"S": "a"}, name={"S": "b"})


def test_types_whose_keys_begin_alike_are_told_by_a_later_part():
    rows = list(tenants())
    proposal = infer(rows)
    assert {each.name: each.when.partition(" && ")[2] for each in proposal.types} == {
        "TENANT": "starts_with(sk, 'TENANT#') && !split(sk, '#')[2] && !split(sk, '#')[4]",
        "ORDER": "starts_with(sk, 'TENANT#') && split(sk, '#')[2] == 'ORDER' && !split(sk, '#')[4]",
        "LINE": "starts_with(sk, 'TENANT#') && split(sk, '#')[2] == 'ORDER' && split(sk, '#')[4] == 'LINE'",
        "USER": "starts_with(sk, 'TENANT#') && split(sk, '#')[2] == 'USER' && !split(sk, '#')[4]",
    }
    mapping = build_mapping("tenants", proposal.document_of_types)
    assert all(is_of_keys(target) for target in mapping.targets), "so a delete is decided, too"
    unseen = [
        item("TENANT#99", "TENANT#99#ORDER#1", total={"N": "1"}, lines={"L": []}),
        item("TENANT#1", "TENANT#1#INVOICE#1", paid={"BOOL": True}),
        item("TENANT#1", "TENANT#1#17#x", odd={"N": "1"}),
    ]
    changes = [Change(1, 1, {name: row[name] for name in ("pk", "sk")}, row) for row in [*rows, *unseen]]
    routing = Router(RowMapper(mapping)).route_changes(changes)
    counts = {routed.mapper.mapping.table: len(routed.indexes) for routed in routing.targets}
    assert sorted(counts.values()) == [2, 60, 60, 60, 61]
    assert not any(routed.write()[1] for routed in routing.targets)


@pytest.mark.parametrize("part", ["OPEN", "n17", ""])
def test_a_later_part_that_only_says_how_an_item_is_tells_no_type(part):
    def make(n):
        return f"ORDER#{part if n % 2 else 'SHUT'}#{n}"

    assert infer([item(make(n), make(n), total={"N": "1"}) for n in range(60)]).types == []


def test_a_status_and_a_prefix_that_all_have_are_no_types():
    assert infer([item(f"USER#{n}", type={"S": "ab"[n % 2]}, x={"N": "1"}) for n in range(20)]).types == []
    assert infer([item(f"{n:x}#a", str(n), x={"N": "1"}) for n in range(200)]).types == []


def test_items_of_a_type_that_comes_late_are_in_the_one_target_too():
    profile = TableProfile(("pk", "sk"))
    for rows in (shop(), [item("AUDIT#1", "x", secret={"S": "s"})] * 3):
        profile.add(rows, 0)
        profile.flush()
    proposal = propose(profile, SOURCE, "replicas", "shop")
    assert {each.name for each in proposal.types} == {"ORDER", "PROFILE"}
    assert "secret" in [column["name"] for column in proposal.document["target"]["columns"]]
    assert proposal.document["description"] == "Inferred from 123 items of my.table-1."


def test_members_of_maps_get_columns_where_that_is_asked_for():
    rows = [item(address={"M": {"city": {"S": "x"}, "geo": {"M": {"lat": {"N": "1.5"}}}}}) for _ in range(3)]
    assert [column["from"] for column in infer(rows).document["target"]["columns"]] == ["pk", "sk", "address"]
    for unpack, sources in ((1, ["address.city", "address.geo"]), (2, ["address.city", "address.geo.lat"])):
        proposal = infer(rows, unpack)
        assert [column["from"] for column in proposal.document["target"]["columns"]][2:] == sources
        trial = Trial(build_mapping("things", proposal.document))
        for row in [*rows, item(address={"M": {"more": {"S": "m"}}}), item(address={"NULL": True}), item()]:
            trial.add(row)
        assert trial.as_dict()["reasons"] == []
        assert trial.filled[trial.mapping.table, "rest"] == 2  # the member that was not seen, and the null


def test_a_map_that_is_something_else_at_times_is_not_taken_apart():
    rows = [item(a={"M": {"x": {"N": "1"}}}), item(a={"S": "text"})]
    assert infer(rows, 1).document["target"]["columns"][2] == {"name": "a", "type": "JSON", "from": "a"}


def test_a_thing_that_is_no_item_is_named():
    with pytest.raises(OddItemError, match=r"Item 2: a is not an attribute as DynamoDB writes it"):
        infer([item(), item(a={"N": "x"})])
    with pytest.raises(OddItemError, match=r"Item 1: a\.b is not an attribute"):
        infer([item(a={"M": {"b": 5}})], 1)


def test_memory_does_not_grow_with_the_items():
    profile = TableProfile(("pk", "sk"))
    for _ in range(20):
        profile.add([item(str(n)) for n in range(500)], 5_000_000)
    assert profile.items == 10_000
    assert len(profile.kept) == RESERVOIR
    assert len({row["pk"]["S"] for row in profile.kept}) > 100
