"""Differences: rows and changes that go wrong unseen; `dynaurora verify` names them, `dynaurora repair` mends them.

Both while changes flow. Each drill keeps a list of its own of what it did: what verify names is held against that, key
by key, and what repair mends, by number. Until then, verifications beside a load have said nothing of any item that is
merely on its way.
"""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
from click.testing import CliRunner

from backfill.cli import main
from dynaurora.dynamodb.versions import SEQUENCE_RANGE
from local.stack import REGION
from tests.drills.drill import IMPORT_RULE, PROCESSED, Drill
from tests.drills.test_mappings import deployed_mapping
from tests.drills.writers import Load, writing
from tests.integration.backfill.deployed import MAPPING, Document, make_item, make_items
from tests.support.factories import click

Named = set[tuple[str, str]]
"""Pages, and what is said of each."""
RATE = 500
"""Changes a second that flow meanwhile."""
SETTLE = "5"
"""Seconds after which a change has landed here."""
PATIENCE = {True: "60", False: "8"}
"""Seconds for which differences are looked at again while changes flow, by whether the drill is long."""
BY_HAND = (
    ("DELETE FROM {rows}", "missing"),
    ("UPDATE {rows} SET _deleted = TRUE", "missing"),
    ("UPDATE {rows} SET hits = hits + 1000000", "differing"),
    ("UPDATE {rows} SET country_code = 'XX', hits = NULL", "differing"),
)


def verify(drill: Drill, *arguments: str, status: tuple[int, ...] = (0, 1)) -> Document:
    """Verify by a scan, and return what it says."""
    given = ("verify", MAPPING, "--via", "scan", "--read-units", "100000", "--settle", SETTLE, *arguments, "--json")
    answer = CliRunner().invoke(main, given)
    assert answer.exit_code in status, answer.output
    return dict(json.loads(answer.stdout.splitlines()[-1]))


def named(found: Document) -> Named:
    assert found["left_out"] == 0
    return {(each["key"]["page_id"]["S"], each["verdict"]) for each in found["differences"]}


@contextmanager
def flowing(drill: Drill, seconds: float) -> Iterator[list[Any]]:
    """Have changes flow; in the end, hold them against their pace."""
    load = Load(f"{drill.name}-load", click(), drill.size(RATE // 5, RATE), seconds, 50, drill.size(200, 5000))
    buffers = drill.delivering_each_second() if drill.is_long else nullcontext()
    with buffers, writing(drill.deployed.stack.endpoint_url, REGION, drill.deployed.table, load) as writers:
        yield writers
        changes = sum(writer.result().changes for writer in writers)
    drill.tell(f"{changes:,} changes flowed meanwhile", about="flow")


def test_no_verification_beside_a_load_shows_a_difference(drill: Drill) -> None:
    """Each of them ends while changes flow; what they do not know yet is behind."""
    times = drill.size(1, 100)
    drill.deployed.put(drill.make_items(20, 2000))
    drill.wait_until(lambda: len(drill.deployed.hits()) == drill.size(20, 2000))
    found = []
    with flowing(drill, drill.size(10.0, 1800.0)) as writers:
        while len(found) < times and not all(writer.done() for writer in writers):
            found.append(verify(drill, "--patience", "8", status=(0,)))
    assert all(named(one) == set() and one["agrees"] for one in found)
    assert len(found) == times or not drill.is_long
    behind = sum(one["behind"] for one in found)
    drill.tell(f"{len(found)} verifications without a false difference; {behind:,} times an item was behind")
    drill.check_equal()
    assert verify(drill)["identical"] > 0


def test_what_went_wrong_unseen_is_named_exactly(drill: Drill) -> None:
    """Each kind is a drill of its own where drills are long; else they are one."""
    kinds = (change_by_hand, lose_records, drop_a_batch)
    for some in [[kind] for kind in kinds] if drill.is_long else [kinds]:
        expected = {named for spoil in some for named in spoil(drill)}
        check_named(drill, expected)
        about = " and ".join(spoil.__name__.replace("_", " ") for spoil in some)
        drill.tell(f"{len(expected):,} keys were named after {about}, and no others", about=about)
        repair(drill, expected)


def put_own(drill: Drill, name: str, short: int, long: int) -> list[Document]:
    """Put items of a drill's own, and return once their rows are there, and nothing is under way."""
    items = make_items(drill.size(short, long), f"{drill.name}-{name}")
    drill.deployed.put(items)
    pages = {item["page_id"]["S"] for item in items}
    drill.wait_until(lambda: pages <= drill.deployed.hits().keys())
    drill.wait_until_imported()
    return items


def change_by_hand(drill: Drill) -> Named:
    """Delete, change and add rows."""
    deployed, items = drill.deployed, put_own(drill, "hand", 12, 2000)
    rows, added = deployed.name_table(deployed.mapping.replica), f"{drill.name}-by-hand"
    expected = {(added, "extra")}
    with deployed.connect() as aurora, aurora.transaction():
        add = f"INSERT INTO {rows} (page_id, activity_dt, _deleted, _version) VALUES (%s, 'x', FALSE, 1)"
        aurora.execute(add, (added,))
        for number, item in enumerate(items[:: drill.size(2, 20)]):
            statement, verdict = BY_HAND[number % len(BY_HAND)]
            aurora.execute(f"{statement.format(rows=rows)} WHERE page_id = %s", (item["page_id"]["S"],))
            expected.add((item["page_id"]["S"], verdict))
    return expected


def lose_records(drill: Drill) -> Named:
    """Switch the consumer off until its stream has lost its records: here, until the stream is another one."""
    deployed, items = drill.deployed, put_own(drill, "lost", 12, 1900)
    deployed.enable_event_source_mapping(enabled=False)
    changed, gone = items[::4], items[1::4]
    added = [make_item(f"{drill.name}-new-{number}") for number in range(3)]
    deployed.put([*({**item, **payload(7)} for item in changed), *added])
    deployed.delete(gone)
    deployed.replace_stream()
    expected = {(item["page_id"]["S"], "differing") for item in changed}
    expected |= {(item["page_id"]["S"], "extra") for item in gone}
    return expected | {(item["page_id"]["S"], "missing") for item in added}


def drop_a_batch(drill: Drill) -> Named:
    """Let no import of what lands start, and delete it."""
    deployed, items = drill.deployed, put_own(drill, "dropped", 8, 500)
    before = set(drill.list_objects(PROCESSED))
    changed = items[: drill.size(3, 100)]
    deployed.client("events").disable_rule(Name=IMPORT_RULE)
    try:
        deployed.put({**item, **payload(9)} for item in changed)
        landed = drill.wait_until(lambda: find_landed(drill, before, len(changed)))
    finally:
        deployed.client("events").enable_rule(Name=IMPORT_RULE)
    for key in landed:
        deployed.client("s3").delete_object(Bucket=deployed.bucket, Key=key)
    return {(item["page_id"]["S"], "differing") for item in changed}


def test_rows_of_a_wrong_mapping_are_told_from_the_others(drill: Drill) -> None:
    if not drill.is_long:
        pytest.skip("functions are made anew for it: test_mappings does so, and long drills do this one")
    deployed, right = drill.deployed, drill.make_items(4, 500)
    wrong = [make_item(f"wrong-{item['page_id']['S']}") for item in right]
    deployed.put(right)
    drill.wait_until(lambda: len(deployed.hits()) == len(right))
    with deployed_mapping(drill, map_wrongly):
        deployed.put(wrong)
        drill.wait_until(lambda: len(deployed.hits()) == len(right) + len(wrong))
        drill.wait_until_imported()
    with flowing(drill, 60.0):
        found = verify(drill, "--patience", PATIENCE[drill.is_long])
    wrong_pages = {item["page_id"]["S"] for item in wrong}
    told = {page for page, verdict in named(found) if verdict == "older_mapping"}
    assert found["older_mapping"] == len(wrong)
    assert told in (set(), wrong_pages), "where rows of older mappings are named, exactly these are"
    assert not {verdict for _, verdict in named(found)} - {"older_mapping"}
    drill.tell(f"{len(wrong):,} rows of a wrong mapping were told from the others")
    repair(drill, {(item["page_id"]["S"], "older_mapping") for item in wrong})
    deployed.forget_mappings()


def repair(drill: Drill, expected: Named) -> None:
    """Repair what the last verification named, while changes flow."""
    if not drill.is_long:
        age(drill, {page for page, _ in expected})
    given = ("repair", MAPPING, "--read-units", "100000", "--settle", SETTLE, "--patience", "60", "--yes", "--json")
    with flowing(drill, drill.size(6.0, 180.0)):
        answer = CliRunner().invoke(main, given)
    assert answer.exit_code == 0, answer.output
    said = json.loads(answer.stdout.splitlines()[-1])
    assert said["mend"] == dict(Counter(verdict for _, verdict in expected))
    assert (said["reread"]["keys"], said["agrees"]) == (len(expected), True)
    drill.check_equal()
    drill.tell(f"{len(expected):,} keys were repaired, and no others", about="repair")


def age(drill: Drill, pages: set[str]) -> None:
    """Have rows be as old as most are: those that are younger than two minutes are waited for."""
    rows, age = drill.deployed.name_table(drill.deployed.mapping.replica), 300 * SEQUENCE_RANGE
    with drill.deployed.connect() as aurora, aurora.transaction():
        for page in sorted(pages):
            older = f"UPDATE {rows} SET _version = _version - {age} WHERE page_id = %s AND _version > {age}"
            aurora.execute(older, (page,))


def check_named(drill: Drill, expected: Named) -> None:
    """Assert that exactly what is expected is named: while changes flow, or where that is too busy, right after."""
    with flowing(drill, drill.size(8.0, 60.0)):
        found = named(verify(drill, "--patience", PATIENCE[drill.is_long]))
    assert found == expected or (found < expected and not drill.is_long)
    assert found == expected or named(verify(drill)) == expected


def find_landed(drill: Drill, before: set[str], changes: int) -> list[str]:
    """Return what has landed since, once that is all of so many changes."""
    landed = {key: etag for key, etag in drill.list_objects(PROCESSED).items() if key not in before}
    return sorted(landed) if drill.count_lines(landed) >= changes else []


def payload(hits: int) -> Document:
    return {"payload": {"S": json.dumps(click(Hits=hits))}}


def map_wrongly(document: Document) -> None:
    columns = {column["name"]: column for column in document["target"]["columns"]}
    columns["country_code"]["from"] = "payload.device.make"
