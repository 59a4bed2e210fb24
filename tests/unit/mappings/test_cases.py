"""Every replication case through the production path, with a dictionary for the database."""

import random

import pytest

from dynaurora.dynamodb.changes import decode_change, encode_change, from_stream_record
from dynaurora.errors import RejectedChange
from dynaurora.mappings.csv_format import encode_row
from dynaurora.mappings.row_mapper import RowMapper
from dynaurora.verification.row_forms import comparable_field
from tests.cases import load_cases, sort_rows
from tests.support.csv_reader import read_line


class Replica:
    """The replica as a dictionary: the highest version of a key wins, and a delete is a version too."""

    def __init__(self, mapping):
        self.mapping = mapping
        self.current = {}

    def merge(self, line):
        deleted, version, *fields = read_line(line)
        row = tuple(
            comparable_field(column.type, field) for column, field in zip(self.mapping.columns, fields, strict=True)
        )
        key = tuple(row[self.mapping.columns.index(column)] for column in self.mapping.key_columns)
        if int(version) > self.current.get(key, (-1,))[0]:
            self.current[key] = (int(version), deleted == "1", row)

    def rows(self):
        return sort_rows(row for _, deleted, row in self.current.values() if not deleted)


def replicate(case, records):
    """Deliver the records and return the view's rows and the refusals."""
    mapper, replica, rejected = RowMapper(case.mapping), Replica(case.mapping), []
    for record in records:
        try:
            replica.merge(encode_row(mapper.row(decode_change(encode_change(from_stream_record(record))))))
        except RejectedChange as error:
            rejected += [[reason.rule, reason.path] for reason in error.reasons]
    return replica.rows(), rejected


@pytest.mark.parametrize("case", load_cases(), ids=str)
def test_a_case_ends_in_its_rows(case):
    rows, rejected = replicate(case, case.records)
    assert rows == case.expected_rows()
    assert rejected == case.rejected


@pytest.mark.parametrize("case", load_cases(), ids=str)
def test_a_case_ends_in_its_rows_in_any_order_and_however_often(case):
    shuffle = random.Random(case.name)
    for _ in range(20):
        records = case.records * 2
        shuffle.shuffle(records)
        assert replicate(case, records)[0] == case.expected_rows()
