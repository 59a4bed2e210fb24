from dataclasses import replace

from dynaurora.aurora.origins import NEVER, trace_origin
from tests.support.factories import column, make_mapping

A = make_mapping(column("n", "INT"), column("city", "VARCHAR(9)"))
B = make_mapping(column("n", "BIGINT"), column("City", "VARCHAR(9)", "city"), column("more", "INT"))


def test_a_column_is_defined_the_same_since_the_generation_that_first_wrote_it_so():
    assert trace_origin(A, 1, [(1, A)]).since == {"id": 0, "n": 0, "city": 0}
    assert trace_origin(B, 2, [(1, A), (2, B)]).since == {"id": 0, "n": 2, "City": 0, "more": 2}
    assert trace_origin(A, 3, [(1, A), (2, B), (3, A)]).since == {"id": 0, "n": 3, "city": 0}
    assert trace_origin(B, 3, [(1, A), (2, B), (3, B)]).since == {"id": 0, "n": 2, "City": 0, "more": 2}


def test_a_mapping_of_another_table_interrupts():
    other = replace(A, table="Others")
    history = [(1, A), (2, other), (3, A)]
    assert trace_origin(A, 3, history).since == {"id": 3, "n": 3, "city": 3}
    assert trace_origin(A, 1, history).later == ()


def test_the_column_of_unmapped_attributes_is_another_one_once_a_column_takes_one_of_them():
    before = make_mapping(column("n", "INT"), unmapped={"column": "extra"})
    after = make_mapping(column("n", "INT"), column("city", "VARCHAR(9)"), unmapped={"column": "extra"})
    assert trace_origin(after, 2, [(1, before), (2, after)]).since["extra"] == 2
    again = trace_origin(before, 2, [(1, before), (2, before)])
    assert again.since["extra"] == 0


def test_columns_of_newer_generations_alone_are_those_that_a_row_takes_away():
    history = [(1, A), (2, B)]
    assert trace_origin(A, 1, history).later == ("more",)
    assert trace_origin(B, 2, history).later == ()
    assert trace_origin(A, 3, [*history, (3, A)]).later == ()
    assert trace_origin(A, 1, history).within(["ID", "MORE"]).later == ("more",)
    assert trace_origin(A, 1, history).within(["id"]).later == ()


def test_of_a_mapping_that_was_never_activated_nothing_is_comparable():
    origin = trace_origin(A, 0, [(1, B)])
    assert set(origin.since.values()) == {NEVER}
    assert set(origin.later) == {"more"}
