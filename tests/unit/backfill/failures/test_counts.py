import pytest

from backfill.failures.counts import HOUR, PREFIX, REASON, Tally, make_label
from backfill.failures.items import ItemEntries
from backfill.failures.reader import Selection, name_prefix
from tests.support import failure_factories as made
from tests.support.read_failures import read
from tests.unit.backfill.failures.test_reader import parked_store


@pytest.mark.parametrize(
    ("by", "groups"),
    [
        (REASON, [("passes now", 3), ("DatabaseError", 2), ("payload.Hits (type)", 2)]),
        (HOUR, [("2026-11-23T06:00Z", 1), ("2026-11-23T07:00Z", 3), ("2026-11-23T08:00Z", 3)]),
        (
            PREFIX,
            [
                ("failed_batches/mapping=web_analytics/", 2),
                (f"{made.FAILED}processing-failed/", 2),
                ("aws/lambda/", 1),
                (f"{made.FAILED}backfill/run=r1/", 1),
                (f"{made.FAILED}oversize/", 1),
            ],
        ),
    ],
)
def test_failures_are_counted(by, groups):
    tally, label = Tally(by), make_label(by, made.PLACE)
    with ItemEntries(None) as entries:
        for failure in read():
            entries.add(failure, label(failure))
        for entry in entries:
            tally.add(entry)
    assert tally.groups == groups
    assert (tally.records, tally.batches, tally.parked) == (5, 2, 0)


def test_a_counted_prefix_can_be_asked_for():
    store = parked_store()
    for failure in read(store):
        prefix = name_prefix(made.PLACE, failure.key)
        assert failure.key in [found.key for found in read(store, Selection(prefix=prefix, include_parked=True))]
