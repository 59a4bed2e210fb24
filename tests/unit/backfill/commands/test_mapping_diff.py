"""`dynaurora mapping diff`: what is told of the last backfill, or of items that are read."""

import json
from datetime import timedelta
from types import SimpleNamespace

import click
import pytest

from backfill.commands import mapping_diff
from backfill.commands.mapping_diff import count_items, describe_source, describe_target, find_report, print_diff
from dynaurora import keys
from dynaurora.mappings.unmapped import Untaken
from tests.support.example import load_example
from tests.support.factories import click_item, column, make_mapping
from tests.support.fakes import WRITTEN_AT, InMemoryObjects
from tests.support.several_targets import OPEN, SHUT, USERS, several

BUCKET, TABLE = "landing", "web_analytics"
CLICKS = load_example()
FOUND = {"name": "phone", "items": 3, "type": "VARCHAR(16)", "values_seen": 2, "keys": [{"id": {"S": "a"}}]}
IGNORED = {"attributes": [FOUND], "others": 2, "exact": True}


def keep_report(store, run, age=0, **changed):
    """Keep the report of a run that ended so many hours ago."""
    report = {"run": run, "digest": "d", "totals": {"exported": 10, "rejected": 1}, "ignored": IGNORED} | changed
    key = keys.report(CLICKS.name, run)
    store.write(BUCKET, key, json.dumps(report).encode())
    store.times[BUCKET, key] = WRITTEN_AT - timedelta(hours=age)


def test_the_newest_backfill_that_came_to_its_totals_is_told_of():
    store = InMemoryObjects()
    keep_report(store, "older", 3)
    keep_report(store, "right", 2)
    keep_report(store, "failed-early", 1, totals=None)
    store.write(BUCKET, keys.report(CLICKS.name, "reprocess"), b'{"totals": {"records": 1}}')
    store.write(BUCKET, keys.report(CLICKS.name, "damaged"), b"{")
    store.write(BUCKET, f"{keys.reports_prefix(CLICKS.name)}right/map/uuid/report.json", json.dumps({}).encode())
    store.write(BUCKET, keys.report("web_analytics_too", "other"), b"{}")
    assert find_report(store, BUCKET, CLICKS.name)["run"] == "right"
    counted = count_items(store, BUCKET, TABLE, CLICKS, None)
    assert counted == {"source": "backfill", "run": "right", "counted_by": "d", "of": 9, **IGNORED}


def test_a_backfill_of_which_columns_took_everything_says_so(capsys):
    store = InMemoryObjects()
    keep_report(store, "r1", ignored=None)
    counted = count_items(store, BUCKET, TABLE, CLICKS, None)
    assert (counted["of"], counted["attributes"], counted["exact"]) == (9, [], True)
    print_diff({"mapping": "m", "digest": "d", "generation": 1, **counted, "declared": ["a.b"]})
    shown = capsys.readouterr().out
    assert "all of the 9 items that run r1 converted" in shown
    assert "Nothing that no column takes" in shown
    assert "taken by no column: a.b." in shown


def test_where_no_backfill_has_counted_anything_it_says_what_to_do():
    store = InMemoryObjects()
    for age in range(2):
        keep_report(store, f"of-the-release-before-{age}", age)
        key = keys.report(CLICKS.name, f"of-the-release-before-{age}")
        store.write(BUCKET, key, json.dumps({"totals": {"exported": 1}}).encode())
    with pytest.raises(click.ClickException, match=r"mapping diff web_analytics --scan 1000"):
        count_items(store, BUCKET, TABLE, CLICKS, None)


def test_where_the_mapping_keeps_the_rest_nothing_is_asked_for():
    mapping = make_mapping(column("a", "INT"), unmapped="reject")
    counted = count_items(InMemoryObjects(), BUCKET, TABLE, mapping, None)
    assert (counted["source"], counted["attributes"]) == (None, [])
    assert "refused or kept" in describe_source(counted)


class Scanned:
    """DynamoDB with pages of items, which remembers what was asked for."""

    def __init__(self, *pages):
        self.pages, self.asked = list(pages), []

    def scan(self, **asked):
        self.asked.append(asked)
        page = self.pages[len(self.asked) - 1][: asked["Limit"]]
        more = {"LastEvaluatedKey": {"number": len(self.asked)}} if len(self.asked) < len(self.pages) else {}
        return {"Items": page, **more}


@pytest.mark.parametrize(("most", "of", "pages"), [(100, 5, 2), (3, 3, 1), (4, 4, 2)])
def test_a_scan_reads_no_more_than_it_is_told_and_counts_what_it_read(monkeypatch, most, of, pages):
    items = [click_item(page_id=f"p{number}") | {"photo": {"B": b"\x00\x01"}, "n": {"N": "1"}} for number in range(5)]
    dynamodb = Scanned(items[:3], items[3:])
    monkeypatch.setattr(mapping_diff, "connect_to", lambda service: {"dynamodb": dynamodb}[service])
    counted = count_items(InMemoryObjects(), BUCKET, TABLE, CLICKS, most)
    assert (counted["source"], counted["of"], counted["exact"]) == ("scan", of, False)
    assert {each["name"]: (each["items"], each["type"]) for each in counted["attributes"]} == {
        "photo": (of, "VARBINARY(16)"),
        "n": (of, "INT"),
    }
    assert [asked.get("ExclusiveStartKey") for asked in dynamodb.asked] == [None, {"number": 1}][:pages]
    assert sum(asked["Limit"] for asked in dynamodb.asked) >= of


def test_items_that_are_none_of_the_mappings_are_passed_over(monkeypatch):
    dynamodb = Scanned([click_item("{") | {"n": {"N": "1"}}, click_item() | {"n": {"N": "1"}}])
    monkeypatch.setattr(mapping_diff, "connect_to", lambda _: dynamodb)
    assert count_items(InMemoryObjects(), BUCKET, TABLE, CLICKS, 10)["attributes"][0]["items"] == 1


def test_it_is_said_of_which_items_the_counts_are():
    told = SimpleNamespace(run="r1", of=12)
    document = {"source": "backfill", "run": told.run, "of": told.of, "digest": "a", "counted_by": "a", "exact": True}
    assert describe_source(document) == "all of the 12 items that run r1 converted"
    assert describe_source(document | {"counted_by": "b"}).endswith(", under an older mapping")
    assert describe_source(document | {"exact": False}).startswith("some, since")
    assert describe_source(document | {"source": "scan"}) == "a sample: 12 items read now"


def test_what_the_schema_names_and_no_column_takes_is_listed():
    declared = {".".join(path) for path in Untaken(CLICKS).list_declared()}
    assert {"payload.device.make", "payload.session.session_id", "payload.device.location.latitude"} <= declared
    assert not {"page_id", "payload", "payload.Hits", "payload.device.location.country"} & declared


def key(sk):
    return {"PK": {"S": "p"}, "SK": {"S": sk}}


def test_of_several_targets_each_is_told_what_its_columns_leave_of_its_items(monkeypatch, capsys):
    kept = {**SHUT, "unmapped": "reject"}
    mapping = several(USERS, OPEN, kept)
    items = [
        key("USER#1") | {"email": {"S": "a@b"}, "phone": {"S": "1"}},
        key("ORDER#1") | {"status": {"S": "open"}, "total": {"N": "1"}, "note": {"S": "n"}},
        key("ORDER#2") | {"status": {"S": "shut"}, "total": {"N": "1"}, "other": {"S": "n"}},
        key("ELSE#1") | {"nobody": {"S": "n"}},
    ]
    monkeypatch.setattr(mapping_diff, "connect_to", lambda _: Scanned(items))
    counted = count_items(InMemoryObjects(), BUCKET, TABLE, mapping, 10)
    names = {table: {each["name"] for each in found["attributes"]} for table, found in counted["targets"].items()}
    assert names == {"Users": {"phone"}, "OpenOrders": {"status", "note"}, "ShutOrders": set()}
    targets = [
        {"view": f"Demo.{target.table}"} | counted["targets"][target.table] | describe_target(target)
        for target in mapping.targets
    ]
    print_diff({"mapping": "m", "digest": "d", "generation": 1, **counted, "targets": targets})
    shown = capsys.readouterr().out
    assert "Demo.Users, which takes no more than its columns:" in shown
    assert "Demo.ShutOrders, which takes no item with more than its columns:" in shown


def test_a_report_that_does_not_tell_targets_apart_is_not_told_of_as_if_it_did():
    mapping, store = several(USERS, OPEN), InMemoryObjects()
    report = {"run": "r1", "digest": "d", "totals": {"exported": 10, "rejected": 1}, "ignored": IGNORED}
    store.write(BUCKET, keys.report(mapping.name, "r1"), json.dumps(report).encode())
    with pytest.raises(click.ClickException, match=r"target by target\. .* mapping diff app --scan 1000"):
        count_items(store, BUCKET, TABLE, mapping, None)
    report["ignored"] = IGNORED | {"targets": {"Users": {"attributes": [FOUND], "others": 2}}}
    store.write(BUCKET, keys.report(mapping.name, "r1"), json.dumps(report).encode())
    counted = count_items(store, BUCKET, TABLE, mapping, None)
    assert counted["targets"]["Users"]["attributes"] == [FOUND]
    assert counted["targets"]["OpenOrders"] == {"attributes": [], "others": 0}
