"""What Firehose delivered of release 0.1, imported by this one: by itself, and beside rows of today in one object."""

import base64
import json
from pathlib import Path

import pytest

from dynaurora.aurora.connection import connect
from dynaurora.aurora.generations import activate
from dynaurora.mappings.mapping import build_mapping
from dynaurora.mappings.rows import Row
from tests.integration.targets import Target, row
from tests.recorded import REPLICATIONS, load_recorded, read_recorded
from tests.support.labelled_rows import encode_labelled

pytestmark = pytest.mark.integration

PROCESSED = read_recorded("processed.csv")
HOSTILE = 'a,b\\N\n\t"é😀\x1aWebAnalytics.0123456789abcdef,0'
RECORDED = [(HOSTILE, 7, "DE", 0), ("home", 3, "DE", 0), ("old", None, None, 1)]
STATEMENT = "SELECT page_id, hits, country_code, _deleted FROM {}.`WebAnalytics__replica` ORDER BY page_id, activity_dt"


def rows_of(target: Target) -> list[tuple[object, ...]]:
    return sorted(target.query(STATEMENT.format(target.mapping.database)), key=str)


@pytest.fixture
def upgraded(target: Target) -> Target:
    with connect(target.endpoint, target.administrator) as aurora:
        activate(aurora, target.mapping)
    return target


def test_an_object_of_release_0_1_is_imported(upgraded: Target) -> None:
    key = load_recorded("batch.json")["batch"]["objects"][0]["key"]
    batch = upgraded.write_bytes(PROCESSED, key=key)
    assert upgraded.import_batch(batch).rows_changed == 3
    assert rows_of(upgraded) == sorted(RECORDED, key=str)
    assert upgraded.import_batch(batch).status == "already_applied"


@pytest.mark.parametrize("recorded", REPLICATIONS, ids=lambda folder: folder.name)
def test_rows_of_a_replication_of_each_release_are_imported(target: Target, recorded: Path) -> None:
    """By their labels, whatever the mapping is by now: the recorded one was active before."""
    text = (recorded / "mapping.json").read_text("utf-8")
    with connect(target.endpoint, target.administrator) as aurora:
        activate(aurora, build_mapping(target.mapping.name, json.loads(text), text=text))
        activate(aurora, target.mapping)
    answer = json.loads((recorded / "firehose_answer.json").read_text("utf-8"))
    body = b"".join(base64.b64decode(record["data"]) for record in answer["records"])
    assert target.import_batch(target.write_bytes(body)).rows_changed == 3
    assert rows_of(target) == sorted(RECORDED, key=str)


@pytest.mark.parametrize("is_last", [True, False])
def test_an_object_of_both_releases_is_imported_row_by_row(upgraded: Target, is_last: bool) -> None:
    """Firehose fills one object while functions of both releases answer it."""
    today = encode_labelled(
        upgraded.mapping, [row("new", 5), Row(False, 2 * 10**49, ("home", "2026-11-23T08:14:32", *["1"] * 5))]
    )
    body = today + PROCESSED if is_last else PROCESSED + today + PROCESSED
    result = upgraded.import_batch(upgraded.write_bytes(body))
    assert result.rows_staged == (5 if is_last else 8)
    assert rows_of(upgraded) == sorted([RECORDED[0], RECORDED[2], ("home", 1, "1", 0), ("new", 1, "NL", 0)], key=str)
