"""The stream of a mapping with several targets: each change to each of them, and refusals of each."""

from hypothesis import given
from hypothesis import strategies as st

from dynaurora.mappings.csv_format import encode_row, row_label
from dynaurora.mappings.row_mapper import RowMapper
from tests.support.fakes import InMemoryObjects
from tests.support.several_targets import OPEN, USERS, change, several, target
from tests.support.transforming import make_transformer, packed, read_refused, rows_of

APP = several()
MAPPERS = {each.table: RowMapper(each) for each in APP.targets}


def transform(*changes, mapping=APP, store=None):
    return make_transformer(mapping, store=store).transform([packed(*changes, mapping=mapping)])


def row_in(table, changed, **deleted):
    mapper = MAPPERS[table]
    return row_label(mapper.mapping) + encode_row(
        mapper.row(change(changed.version, **deleted) if deleted else changed)
    )


def test_a_change_is_a_row_of_the_targets_that_take_it():
    user, opened = change(1, "USER#1", email="a@b"), change(2, "ORDER#1", status="open", total=5)
    result = transform(user, opened)
    (answer,) = result.records
    assert rows_of(answer) == [
        row_in("Users", user),
        row_in("OpenOrders", opened),
        row_in("ShutOrders", opened, sk="ORDER#1"),
    ]
    assert (answer["result"], result.transformed, result.skipped, result.rejections) == ("Ok", 3, 0, [])


def test_an_item_that_moves_leaves_its_old_target_even_where_the_new_one_refuses_it():
    store = InMemoryObjects()
    moved = change(3, "ORDER#1", status="open")
    result = transform(moved, store=store)
    assert rows_of(result.records[0]) == [row_in("ShutOrders", moved, sk="ORDER#1")]
    (record,) = read_refused(store, "app").values()
    assert (record.target, "total" in record.error_message) == ("OpenOrders", True)


def test_a_delete_goes_where_a_row_may_be_and_nowhere_else():
    user, order, other = (change(9, sk) for sk in ("USER#1", "ORDER#1", "ITEM#1"))
    result = transform(user, order, other)
    assert rows_of(result.records[0]) == [
        row_in("Users", user),
        row_in("OpenOrders", order),
        row_in("ShutOrders", order),
    ]
    assert result.skipped == 1


def test_what_no_target_takes_is_skipped_and_no_failure():
    result = transform(change(1, "ITEM#1", x="y"))
    assert [answer["result"] for answer in result.records] == ["Dropped"]
    assert (result.skipped, result.transformed, result.rejections) == (1, 0, [])
    left = transform(change(1, "ORDER#1", status="lost"))
    assert (left.skipped, left.transformed) == (1, 2)


def test_what_a_condition_cannot_judge_is_refused_for_its_target_alone():
    store = InMemoryObjects()
    mapping = several(USERS, target("Late", "due > `5`"), target("Begun", "starts_with(status, 'o')"))
    result = transform(change(1, "USER#1", email="a@b"), mapping=mapping, store=store)
    assert len(rows_of(result.records[0])) == 2
    (record,) = read_refused(store, "app").values()
    assert (record.target, len(result.rejections), result.skipped) == ("Begun", 1, 0)
    assert record.error_message.startswith("starts_with(status, 'o'): has no value for Begun: JMESPathTypeError")


def test_a_change_that_several_targets_refuse_is_kept_for_each_once():
    store = InMemoryObjects()
    mapping = several(OPEN, {**OPEN, "table": "Copies"})
    for _ in range(2):
        result = transform(change(1, "ORDER#1", status="open"), mapping=mapping, store=store)
        assert [answer["result"] for answer in result.records] == ["Dropped"]
    assert sorted(record.target for record in read_refused(store, "app").values()) == ["Copies", "OpenOrders"]


def test_what_is_no_change_is_refused_once():
    store = InMemoryObjects()
    result = transform(b"{}", store=store)
    assert (len(result.rejections), result.transformed) == (1, 0)
    (record,) = read_refused(store, "app").values()
    assert record.target is None


@given(st.lists(st.sampled_from(["USER#1", "ORDER#1", "ITEM#1"]), max_size=6), st.data())
def test_each_row_is_answered_with_the_record_that_it_came_in(keys, data):
    changes = [
        change(
            version,
            sk,
            **data.draw(st.sampled_from([{}, {"status": "open", "total": 1}, {"status": "shut"}, {"status": "open"}])),
        )
        for version, sk in enumerate(keys, 1)
    ]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(changes)), max_size=3)))
    packs = [changes[one:other] for one, other in zip([0, *cuts], [*cuts, len(changes)], strict=True)]
    packs = [pack for pack in packs if pack]
    together = make_transformer(APP).transform(
        [packed(*pack, record_id=str(n), mapping=APP) for n, pack in enumerate(packs)]
    )
    alone = [transform(*pack) for pack in packs]
    assert [answer["data"] for answer in together.records] == [result.records[0]["data"] for result in alone]
    assert together.skipped == sum(result.skipped for result in alone)
    assert len(together.rejections) == sum(len(result.rejections) for result in alone)
