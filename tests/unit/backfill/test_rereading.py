"""Items that are read again by their keys: what is written of them, at which versions, and when."""

import json
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import click
import pytest

from backfill import rereading
from backfill.deployment.deployments import Deployment
from backfill.rereading import MOST_WAIT_SECONDS, Rereader, WantedKey, check_clock, name_key
from dynaurora.aws import sdk
from dynaurora.batches.batch import Batch
from dynaurora.dynamodb.items import ItemsRead
from dynaurora.dynamodb.scans import Pace
from dynaurora.dynamodb.versions import make_version, snapshot_version, stream_version
from dynaurora.errors import ThrottledError
from dynaurora.failures.failed_records import decode_failed_record, read_change
from dynaurora.mappings.mapping import build_mapping
from dynaurora.mappings.row_mapper import RowMapper
from tests.support.csv_reader import read_line
from tests.support.example import load_example
from tests.support.factories import click as make_click
from tests.support.factories import click_item
from tests.support.fakes import InMemoryObjects
from tests.support.several_targets import several, typed

NOW = 1_800_000_000
CLICKS = load_example("web_analytics")
DEPLOYMENT = Deployment(
    *("clicks", "platform", "web_analytics", "web_analytics", "landing", "backfill", "reprocess"),
    *("arn:aws:states:::stateMachine:import", "describe", "check", "reader", "topic"),
)


@dataclass
class KnownItems:
    """A table's items; the first so many keys of each read are given, and none where it is busy."""

    items: list
    given: int = 100
    table: str = "web_analytics"
    busy: int = 0
    reads: list = field(default_factory=list)

    def read_items(self, asked):
        self.reads.append(asked)
        if self.busy:
            self.busy -= 1
            raise ThrottledError("busy")
        some = asked[: self.given]
        asked_for = {name_key(key) for key in some}
        found = [item for item in self.items if name_key({name: item[name] for name in asked[0]}) in asked_for]
        return ItemsRead(found, asked[self.given :], float(len(some)))


@dataclass
class Imports:
    """Executions that end at once."""

    status: str = "SUCCEEDED"
    batches: list = field(default_factory=list)
    exceptions: SimpleNamespace = field(
        default_factory=lambda: SimpleNamespace(ExecutionAlreadyExists=KeyError, ExecutionDoesNotExist=LookupError)
    )

    def start_execution(self, **given):
        self.batches.append(Batch.from_event(json.loads(given["input"])))
        return {"executionArn": given["name"]}

    def describe_execution(self, **given):
        output = json.dumps({"rows_changed": 1})
        more = {} if self.status == "SUCCEEDED" else {"error": "RowCountError", "cause": "lines"}
        return {
            "executionArn": given["executionArn"],
            "name": "",
            "status": self.status,
            "startDate": None,
            "output": output,
            **more,
        }


class Clock:
    """A clock that goes on by what is slept."""

    def __init__(self):
        self.now = float(NOW)
        self.slept = []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


@dataclass
class Work:
    rereader: Rereader
    items: KnownItems
    imports: Imports
    store: InMemoryObjects
    clock: Clock

    def rows(self):
        """The rows of each batch: deleted, version, fields."""
        bodies = [self.store.read("landing", batch.objects[0].key) for batch in self.imports.batches]
        return [read_line(line) for body in bodies for line in body.splitlines(keepends=True)]


def begin(*items, mapping=CLICKS, deployment=DEPLOYMENT, **how):
    store, clock, imports, known = InMemoryObjects(), Clock(), Imports(), KnownItems([*items], **how)
    registry = SimpleNamespace(find_current=lambda: mapping)
    rereader = Rereader(
        *(deployment, registry, RowMapper(mapping), store, imports, "r1", Pace(1e9), known),
        clock=clock,
        sleep=clock.sleep,
    )
    return Work(rereader, known, imports, store, clock)


def item(page_id, hits=1):
    return click_item(make_click(Hits=hits), page_id)


def key(page_id):
    return {"page_id": {"S": page_id}, "activity_dt": {"S": "2026-01-01"}}


def test_an_item_is_a_row_and_a_missing_one_a_tombstone_at_the_version_of_the_reading():
    work = begin(item("there", 7))
    done = work.rereader.reread([WantedKey(key("there")), WantedKey(key("gone"))])
    version = str(snapshot_version(NOW))
    assert [row[:4] for row in work.rows()] == [
        ["0", version, "there", "2026-01-01"],
        ["1", version, "gone", "2026-01-01"],
    ]
    assert (done.keys, done.items, done.gone, done.rows, done.batches, done.changed) == (2, 1, 1, 2, 1, 1)
    (batch,) = work.imports.batches
    assert (batch.source, batch.run, batch.rows, batch.digest) == ("repair", "r1", 2, CLICKS.digest)


def test_a_row_is_read_again_only_once_the_reading_beats_its_version():
    young, old = stream_version(NOW - 100, 5), stream_version(NOW - 121, 5)
    work = begin(item("young"), item("old"))
    work.rereader.reread([WantedKey(key("young"), young), WantedKey(key("old"), old)])
    assert work.items.reads == [[key("old")], [key("young")]]
    assert work.clock.slept == [21]
    versions = {row[2]: int(row[1]) for row in work.rows()}
    assert versions["young"] > young
    assert versions["old"] > old


def test_a_version_of_the_future_is_not_waited_for():
    work = begin(item("page"))
    done = work.rereader.reread([WantedKey(key("page"), make_version(NOW + MOST_WAIT_SECONDS, 0))])
    assert (done.impossible, done.keys, work.items.reads, work.clock.slept) == (1, 0, [], [])


def test_what_an_answer_leaves_out_is_read_again_and_a_busy_table_is_waited_for():
    work = begin(*(item(f"page-{number}") for number in range(5)), given=2, busy=2)
    done = work.rereader.reread(WantedKey(key(f"page-{number}")) for number in range(5))
    assert [len(asked) for asked in work.items.reads] == [5, 5, 5, 3, 1]
    assert (done.items, done.gone, done.units) == (5, 0, 5.0)
    assert work.clock.slept == [2.0, 4.0]


def test_a_table_that_stays_busy_ends_the_reading():
    work = begin(busy=100)
    with pytest.raises(ThrottledError):
        work.rereader.reread([WantedKey(key("page"))])
    assert work.imports.batches == []


def test_a_refused_item_is_kept_as_failed_and_the_others_go_on():
    bad = click_item({"Hits": 1}, "bad")
    work = begin(bad, item("good"))
    done = work.rereader.reread([WantedKey(key("bad")), WantedKey(key("good"))])
    assert [row[2] for row in work.rows()] == ["good"]
    assert (done.refused, sum(done.reasons.values()), done.rows) == (1, 1, 1)
    (kept,) = [name for _, name in work.store.objects if "/refused/" in name]
    change = read_change(decode_failed_record(work.store.read("landing", kept)).data)
    assert (change.version, change.new_image) == (snapshot_version(NOW), bad)
    assert work.imports.batches[0].rejected == dict(done.reasons)


def test_nothing_is_imported_where_all_is_refused():
    work = begin(click_item({"Hits": 1}, "bad"))
    assert work.rereader.reread([WantedKey(key("bad"))]).batches == 0
    assert work.imports.batches == []


def test_rows_of_expired_items_are_left_where_their_deletes_are_not_replicated():
    work = begin(item("there"), deployment=replace(DEPLOYMENT, ignores_expiries=True))
    done = work.rereader.reread([WantedKey(key("there")), WantedKey(key("expired"))])
    assert [row[2] for row in work.rows()] == ["there"]
    assert done.gone == 1


def test_keys_are_read_a_hundred_at_a_time_and_never_one_twice_in_an_answer(monkeypatch):
    monkeypatch.setattr(rereading, "BATCH_KEYS", 100)
    work = begin(*(item(f"page-{number}") for number in range(150)))
    wanted = [WantedKey(key(f"page-{number // 2 if number < 2 else number}")) for number in range(151)]
    done = work.rereader.reread(wanted)
    assert [len(asked) for asked in work.items.reads] == [100, 50]
    assert (done.keys, done.batches, [batch.rows for batch in work.imports.batches]) == (150, 2, [100, 50])
    assert len({batch.id for batch in work.imports.batches}) == 2


def test_a_number_is_found_whatever_its_spelling():
    mapping = load_numbers()
    work = begin({"id": {"N": "10"}}, mapping=mapping)
    done = work.rereader.reread([WantedKey({"id": {"N": "1e1"}})])
    assert (done.items, done.gone) == (1, 0)


def load_numbers():
    target = {"database": "Demo", "table": "Numbers", "columns": [{"name": "id", "type": "BIGINT", "from": "id"}]}
    return build_mapping(
        "numbers", {"source": {"table": "tab", "partition_key": "id"}, "schema": True, "target": target}
    )


def test_each_target_gets_what_it_takes_and_tombstones_of_what_it_does_not():
    mapping = several()
    order = typed_item("u1", "ORDER#1", status="shut", total=5)
    user = typed_item("u1", "USER#1", email="a@b.c")
    work = begin(order, user, mapping=mapping)
    names = [{name: each[name] for name in ("PK", "SK")} for each in (order, user)] + [typed_item("u1", "ORDER#2")]
    work.rereader.reread(map(WantedKey, names))
    (batch,) = work.imports.batches
    assert {table: share.rows for table, share in batch.targets.items()} == {
        "Users": 1,
        "OpenOrders": 2,
        "ShutOrders": 2,
    }
    body = work.store.read("landing", batch.objects[0].key)
    assert body.count(b"\x1aUsers.") == 1
    assert batch.rows == body.count(b"\n") == 5


def test_a_target_that_takes_no_such_key_gets_a_tombstone_where_it_has_a_row_all_the_same():
    order, user = typed_item("u1", "ORDER#1", status="open", total=3), typed_item("u1", "USER#1", email="e")
    work = begin(order, user, mapping=several())
    names = [{name: each[name] for name in ("PK", "SK")} for each in (order, user)]
    work.rereader.reread([WantedKey(names[0], 5, frozenset({"Users"})), WantedKey(names[1], 5)])
    (batch,) = work.imports.batches
    of_users = [line for line in work.store.read("landing", batch.objects[0].key).splitlines() if b"Users." in line]
    assert [b"ORDER#1" in line for line in of_users] == [False, True]
    assert {table: share.rows for table, share in batch.targets.items()} == {
        "Users": 2,
        "OpenOrders": 1,
        "ShutOrders": 1,
    }


def typed_item(pk, sk, **more):
    return {name: typed(value) for name, value in {"PK": pk, "SK": sk, **more}.items()}


def test_a_batch_that_is_not_imported_ends_the_reading_with_a_next_step():
    work = begin(item("page"))
    work.imports.status = "FAILED"
    with pytest.raises(click.ClickException, match="RowCountError: lines It is kept as failed"):
        work.rereader.reread([WantedKey(key("page"))])


def test_a_mapping_that_changes_meanwhile_ends_the_reading():
    work = begin(item("page"))
    work.rereader.registry = SimpleNamespace(find_current=lambda: SimpleNamespace(digest="other"))
    with pytest.raises(click.ClickException, match="was changed while items were read"):
        work.rereader.reread([WantedKey(key("page"))])
    assert work.imports.batches == []


@pytest.mark.parametrize(("ahead", "words"), [(90, "90 s ahead of"), (-45, "45 s behind"), (5, "")])
def test_a_clock_that_is_not_dynamodbs_is_refused(monkeypatch, ahead, words):
    answer = {"ResponseMetadata": {"HTTPHeaders": {"date": "Fri, 15 Jan 2027 08:00:00 GMT"}}}
    monkeypatch.setattr(sdk, "client", lambda _: SimpleNamespace(describe_table=lambda **_: answer))
    if not words:
        check_clock("t", lambda: NOW + ahead)
        return
    with pytest.raises(click.ClickException, match=words):
        check_clock("t", lambda: NOW + ahead)
