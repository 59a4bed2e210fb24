import json

import pytest

from dynaurora import keys
from dynaurora.failures.refused_examples import (
    LONGEST_KEY,
    MOST_REFUSED_KEYS,
    MOST_REFUSED_LINES,
    MOST_REFUSED_REASONS,
    read_refused_examples,
)
from tests.support.fakes import InMemoryObjects

MAPPING, RUN, BUCKET = "web_analytics", "r1", "landing"


def read(*batches):
    """Return the examples of batches, each of which refused items with these reasons and keys."""
    store = InMemoryObjects()
    for number, lines in enumerate(batches, 1):
        body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        store.write(BUCKET, keys.backfill_refused(MAPPING, RUN, number), body)
    store.write(BUCKET, keys.backfill_batch(MAPPING, RUN, 1), b"no JSON")
    return read_refused_examples(store, BUCKET, MAPPING, RUN)


def refused(reason, name):
    return {"Target": "WebAnalytics", "Keys": {"page_id": {"S": name}}, "Reason": reason}


def test_a_reason_has_some_keys_of_any_batch_each_once():
    found = read(
        [refused("a (type)", "/1"), refused("a (type)", "/1")], [refused("b (json)", "/2"), refused("a (type)", "/3")]
    )
    assert found == [
        {"reason": "a (type)", "keys": [{"page_id": {"S": "/1"}}, {"page_id": {"S": "/3"}}]},
        {"reason": "b (json)", "keys": [{"page_id": {"S": "/2"}}]},
    ]


def test_there_is_an_end_to_reasons_keys_and_lines():
    found = read(
        [refused(f"reason {number}", f"/{number}") for number in range(MOST_REFUSED_REASONS + 5)],
        [refused("reason 0", f"/more {number}") for number in range(MOST_REFUSED_KEYS + 5)],
        [*[refused("reason 0", "/0")] * MOST_REFUSED_LINES, refused("reason 1", "/too far")],
    )
    assert len(found) == MOST_REFUSED_REASONS
    assert [len(each["keys"]) for each in found[:2]] == [MOST_REFUSED_KEYS, 1]


@pytest.mark.parametrize(
    "line", [5, [], None, "text", {}, {"Keys": {}}, {"Reason": 5, "Keys": {}}, refused("a", "x" * LONGEST_KEY)]
)
def test_what_is_none_of_before_or_too_long_is_passed_over(line):
    assert read([line]) == []


def test_a_run_that_refused_nothing_has_none():
    assert read() == []
