"""Failed objects in memory, mapped again and settled."""

import dataclasses
import json
from dataclasses import dataclass

from dynaurora import keys
from dynaurora.batches.batch import Batch
from dynaurora.dynamodb.changes import encode_change
from dynaurora.errors import ThrottledError
from dynaurora.failures.convert_failures import Remaker
from dynaurora.failures.failed_records import FailedRecord, decode_failed_record, encode_failed_record
from dynaurora.failures.list_failures import FailedObject, Place
from dynaurora.failures.notices import Notices
from dynaurora.failures.settle_failures import Settler
from dynaurora.mappings.row_mapper import RowMapper
from tests.support.csv_reader import read_line
from tests.support.example import load_example
from tests.support.factories import click_change
from tests.support.fakes import InMemoryObjects, etag_of

MAPPING = "web_analytics"
PLACE = Place("landing", MAPPING, "web_analytics")
MAPPER = RowMapper(load_example(MAPPING))
RECORDS = keys.failed_records_prefix(MAPPING)
FIREHOSE_KEY = f"{RECORDS}processing-failed/2026/11/23/08/changes-1"
BACKFILL_KEY = keys.backfill_rejects(MAPPING, "r0", 1)
OVERSIZE_KEY = keys.oversize_record(MAPPING, "111")
UNFORWARDED_KEY = "aws/lambda/14e0db71/shardId-1/2026/11/23/2026-11-23T08.15.00-0f1e"
OTHER_UNFORWARDED_KEY = "aws/lambda/e71b2d9c/shardId-1/2026/10/02/2026-10-02T11.40.00-2c77"
"""Of the event source mapping that read the stream before it was switched off and on."""
ARN = "arn:aws:lambda:us-east-1:123456789012:function:dynaurora-convert-failures"
GOOD = click_change(version=7)
BAD = click_change({"Hits": "many"}, version=8, page_id="bad")


def failed(change=GOOD, **changed):
    """Return the failed record of a change, as its line."""
    data = change if isinstance(change, bytes) else encode_change(change)
    record = FailedRecord(data, "Lambda.FunctionError", "It failed.", 1, 1_700_000_000_000, "arn:transform")
    return encode_failed_record(dataclasses.replace(record, **changed))


def invocation(*records, as_text=True, **changed):
    """Return the record of an invocation that the event source mapping gave up on."""
    payload = {"Records": list(records)}
    context = {"requestContext": {"functionArn": "arn:forward", "condition": "RetryAttemptsExhausted"}}
    return json.dumps(context | {"payload": json.dumps(payload) if as_text else payload} | changed).encode()


def put(store, key, *lines):
    body = b"".join(lines)
    store.write("landing", key, body)
    return FailedObject(key, etag_of(body), len(body))


def remake(store, *sources, run="r1", max_attempts=5, ignore_expiries=False, mapper=MAPPER):
    remaker = Remaker(mapper, store, "landing", run, max_attempts, ignore_expiries, ARN)
    return remaker.remake(1, list(sources))


def batch_of(remade):
    """The batch, as the importer reads it."""
    return Batch.from_event({"batch": json.loads(json.dumps(remade.batch))})


def entry_of(remade, *sources):
    return {
        "number": 1,
        "kind": "records",
        "objects": list(map(dataclasses.asdict, sources)),
        **dataclasses.asdict(remade),
    }


IMPORTED = {"batch_id": "0f1e", "status": "applied", "rows_staged": 1, "rows_changed": 1}


def settle(store, entry, claimant="r1-1", max_attempts=5, **ending):
    notices = Notices(store, "landing", MAPPING, 3600)
    return Settler(store, "landing", max_attempts, notices, claimant).settle({**entry, **ending})


def read_rows(store, remade):
    """The rows of a batch, as values of their columns."""
    (item,) = remade.batch["objects"]
    lines = store.read("landing", item["key"]).splitlines()
    return [read_line(line + b"\n") for line in lines]


def read_failed(store, key):
    return [decode_failed_record(line) for line in store.read("landing", key).splitlines()]


def keys_of(store):
    return sorted(key for _, key in store.objects)


@dataclass
class Dying(InMemoryObjects):
    """Objects of a function that dies after so many changes."""

    left: int = 0

    def _die(self):
        if self.left == 0:
            raise ThrottledError("It died.")
        self.left -= 1

    def write(self, bucket, key, body):
        self._die()
        return super().write(bucket, key, body)

    def delete(self, bucket, key):
        self._die()
        super().delete(bucket, key)


def cut_off(store, work):
    """Yield the objects as `work` leaves them where it dies before any of its changes and is done again."""
    for left in range(20):
        dying = Dying(dict(store.objects), left=left)
        try:
            work(dying)
        except ThrottledError:
            done_again = InMemoryObjects(dict(dying.objects))
            work(done_again)
            yield done_again.objects
        else:
            return
    raise AssertionError("It makes more changes than this test foresees.")


FAILED = {"Error": "States.TaskFailed", "Cause": "x"}
