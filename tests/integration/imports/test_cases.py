"""Every replication case through the real database: each delivery a batch of its own, then all again, shuffled."""

import random
from typing import Any

import pytest

from dynaurora.aurora import sql
from dynaurora.aurora.connection import connect
from dynaurora.dynamodb.changes import decode_change, encode_change, from_stream_record
from dynaurora.errors import RejectedChange
from dynaurora.mappings.row_mapper import RowMapper
from dynaurora.mappings.rows import Row
from dynaurora.verification.row_forms import comparable_value
from tests.cases import Case, load_cases, sort_rows
from tests.integration.targets import Target, TargetFor

pytestmark = pytest.mark.integration


def map_records(case: Case) -> list[Row]:
    mapper, rows = RowMapper(case.mapping), []
    for record in case.records:
        try:
            rows.append(mapper.row(decode_change(encode_change(from_stream_record(record)))))
        except RejectedChange:
            continue
    return rows


def read_view(target: Target) -> list[tuple[Any, ...]]:
    kinds = [column.type for column in target.mapping.columns]
    with connect(target.endpoint, target.administrator) as aurora:
        return sort_rows(
            tuple(comparable_value(kind, value) for kind, value in zip(kinds, row, strict=True))
            for row in aurora.stream(sql.select_rows(target.mapping))
        )


@pytest.mark.parametrize("case", load_cases(), ids=str)
def test_a_case_ends_in_its_rows(case: Case, target_for: TargetFor) -> None:
    target, rows = target_for(case.mapping), map_records(case)
    for row in rows:
        target.import_rows([row])
    assert read_view(target) == case.expected_rows()
    again = rows * 2
    random.Random(case.name).shuffle(again)
    if again:
        target.import_rows(again)
    assert read_view(target) == case.expected_rows()
