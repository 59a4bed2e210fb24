"""Changes that come again and again, in any packs, by invocations that die anywhere, and reprocesses that die too.

Whatever happens: each change that was delivered is a row of what is imported, or kept as failed exactly once. Of what
was given up on the packs stay whole, so that a change may be kept with several; then nothing is lost.
"""

import dataclasses
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from dynaurora import keys
from dynaurora.dynamodb.changes import encode_change
from dynaurora.dynamodb.packs import decode_pack, encode_pack, is_pack
from dynaurora.errors import ThrottledError
from dynaurora.failures.failed_records import FailedRecord, encode_failed_record, read_records, split_record
from dynaurora.failures.list_failures import FailedObject, Place, list_failures
from tests.support.factories import click_change, firehose_record
from tests.support.failed_objects import FAILED, IMPORTED, MAPPING, Dying, entry_of, read_rows, remake, settle
from tests.support.fakes import InMemoryObjects
from tests.support.transforming import CLICKS, make_transformer, rows_of

COUNT = 6
CHANGES = [
    encode_change(click_change({"Hits": "many"} if number % 2 else None, version=number, page_id=f"p{number}"))
    for number in range(COUNT)
]
GOOD, BAD = CHANGES[::2], CHANGES[1::2]
PLACE = Place("landing", MAPPING, MAPPING)
NEVER = 99


@st.composite
def deliveries(draw):
    """Return some changes in packs of any boundaries, some of them singly and without a stamp."""
    left, records = draw(st.lists(st.sampled_from(CHANGES), min_size=1, max_size=8)), []
    while left:
        size = draw(st.integers(1, len(left)))
        some, left = left[:size], left[size:]
        records.append(some[0] if size == 1 and draw(st.booleans()) else encode_pack(CLICKS.digest, some))
    return records


@dataclasses.dataclass
class World:
    """A bucket, and what has been delivered to Aurora."""

    store: InMemoryObjects = dataclasses.field(default_factory=InMemoryObjects)
    versions: set = dataclasses.field(default_factory=set)
    delivered: set = dataclasses.field(default_factory=set)
    kept_whole: int = 0
    max_attempts: int = NEVER

    def deliver(self, records, dies_at, max_refusals):
        """Have Firehose transform records: once in vain, if the invocation dies, and then again."""
        self.delivered |= {change for data in records for change in decode_pack(data).changes}
        for left in {dies_at, NEVER}:
            dying = Dying(self.store.objects, self.store.tags, left=left)
            transformer = make_transformer(store=dying, max_refusals=max_refusals)
            object.__setattr__(transformer, "landing_bucket", "landing")
            try:
                answer = transformer.transform(map(firehose_record, records, map(str, count()))).records
            except ThrottledError:
                continue
        for data, record in zip(records, answer, strict=True):
            if record["result"] == "ProcessingFailed":
                self.keep_whole(data)
            self.versions |= {row.split(b",")[2] for row in rows_of(record)}

    def keep_whole(self, data):
        """Keep a record as Firehose does that could not be transformed.

        A change of the release before, which has no stamp, is kept where it is, by itself; that is not looked at here.
        """
        data = data if is_pack(data) else encode_pack(CLICKS.digest, [data])
        self.kept_whole += 1
        key = f"{keys.failed_records_prefix(MAPPING)}processing-failed/{self.kept_whole}"
        record = FailedRecord(data, "Lambda.FunctionError", "It failed.", 4, 1_700_000_000_000, "arn:f")
        self.store.write("landing", key, encode_failed_record(record))

    def reprocess(self, dies_at, *, imports, parked=False):
        """Take up all that failed, what is parked if told; settling dies once, and is done again."""
        listed = [found for _, found in list_failures(PLACE, self.store, prefix=None, parked=parked)]
        sources = [FailedObject(found.key, found.etag, found.size) for found in listed]
        remade = remake(self.store, *sources, max_attempts=self.max_attempts)
        if imports:
            self.versions |= {row[1].encode() for row in read_rows(self.store, remade)}
        ending = {"imported": IMPORTED} if imports else {"error": FAILED}
        for left in (dies_at, NEVER):
            dying = Dying(self.store.objects, self.store.tags, left=left)
            try:
                settle(dying, entry_of(remade, *sources), max_attempts=self.max_attempts, **ending)
            except ThrottledError:
                continue

    def take(self, kind, *given):
        """Have one step happen."""
        if kind == "deliver":
            self.deliver(*given)
        elif kind == "fail":
            self.delivered |= {change for data in given[0] for change in decode_pack(data).changes}
            for data in given[0]:
                self.keep_whole(data)
        else:
            self.reprocess(given[0], imports=given[1])

    def kept(self):
        """Return what is kept as failed."""
        found = [found.key for _, found in list_failures(PLACE, self.store, prefix=None, parked=True)]
        records = [record for key in found for record in read_records(self.store, "landing", key)]
        return [single for record in records for single in split_record(record)]


STEPS = st.lists(
    st.tuples(st.just("deliver"), deliveries(), st.integers(0, 6), st.integers(0, 5))
    | st.tuples(st.just("fail"), deliveries())
    | st.tuples(st.just("reprocess"), st.integers(0, 9), st.booleans()),
    min_size=1,
    max_size=6,
)


def version_of(data):
    return str(CHANGES.index(data)).encode()


@given(STEPS)
def test_nothing_is_lost_and_nothing_is_kept_twice(steps):
    world, attempts = World(), dict.fromkeys(BAD, 0)
    for step in steps:
        world.take(*step)
        single = {record.data: record for record in world.kept() if record.error_code == "dynaurora.Rejected"}
        for data, record in single.items():
            assert record.reprocessed >= attempts.get(data, 0), "attempts are taken back"
            attempts[data] = record.reprocessed if is_by_itself(world, data) else 0
    world.reprocess(NEVER, imports=True)
    kept = [record.data for record in world.kept()]
    assert len(kept) == len(set(kept)), "a change is kept twice"
    check_nothing_is_lost(world)


@given(STEPS, st.integers(1, 3))
def test_nothing_is_lost_where_it_is_given_up(steps, max_attempts):
    world = World(max_attempts=max_attempts)
    for step in steps:
        world.take(*step)
    world.reprocess(NEVER, imports=True, parked=True)
    check_nothing_is_lost(world)


def check_nothing_is_lost(world):
    assert {record.data for record in world.kept()} == world.delivered & set(BAD)
    assert world.versions == {version_of(data) for data in world.delivered & set(GOOD)}


def is_by_itself(world, data):
    """Tell whether a change has a place of its own, whose attempts only grow."""
    prefix = keys.refused_changes_prefix(MAPPING)
    places = (key for _, key in world.store.objects if key.startswith(prefix))
    return any(data == record.data for key in places for record in read_records(world.store, "landing", key))
