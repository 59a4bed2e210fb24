"""A record that ends the process that maps it, in whatever way: alone refused after a few attempts, by neither of the
conversions holding back its neighbours. What dies here is the function itself, sandbox or not."""

import base64
import json
from dataclasses import replace

import pytest

from dynaurora.dynamodb.changes import encode_change
from dynaurora.dynamodb.packs import encode_pack
from dynaurora.exports.convert_export import LINES_IN_HAND
from dynaurora.failures.convert_failures import Remaker
from dynaurora.failures.failed_records import decode_failed_record
from dynaurora.failures.refused_changes import RefusedChange
from dynaurora.mappings.mapping import build_mapping
from dynaurora.mappings.row_mapper import RowMapper
from tests.support.csv_reader import read_line
from tests.support.example import load_example
from tests.support.export_factory import BUCKET, Export
from tests.support.factories import click_change, click_item
from tests.support.failed_objects import ARN, FIREHOSE_KEY, failed, put
from tests.support.fakes import InMemoryObjects
from tests.unit.exports.test_convert_export import CSV_KEY, REJECTS_KEY, plan_and_converter

DEADLY = "deadly"


class Death(BaseException):
    """The end of a process: nothing handles it."""


class DeadlyRowMapper(RowMapper):
    """Maps as its mapping does, and dies of one key, wherever it runs."""

    def __init__(self, mapping):
        super().__init__(mapping)
        self.writer.plan = None  # every record passes by `row`

    def row(self, change):
        if change.keys["page_id"] == {"S": DEADLY}:
            raise Death
        return super().row(change)

    @property
    def targets(self):
        return (self, *map(DeadlyRowMapper, self.mapping.others))


def divide_example():
    """The example's mapping with two targets, by the first letter of the page."""
    document = json.loads(load_example().text)
    target = document.pop("target") | {"schema": document.pop("schema")}
    document["targets"] = [
        target | {"table": table, "when": f"{no}starts_with(page_id, 'q')"} for table, no in (("Qs", ""), ("Rest", "!"))
    ]
    return build_mapping("web_analytics", document)


def repeat(work):
    """Do work until it ends; its result and how often it died, as the state machine's retries have it."""
    for deaths in range(9):
        try:
            return work(), deaths
        except Death:
            continue
    raise AssertionError("It dies and dies.")


def test_an_item_of_an_export():
    items = [click_item(page_id=DEADLY if number == 2222 else f"p{number}") for number in range(3000)]
    export = Export().add("a", items).add("b", [click_item(page_id="q")]).write()
    planned, converter = plan_and_converter(export)
    converter = replace(converter, mapper=DeadlyRowMapper(converter.mapper.mapping), make_careful=DeadlyRowMapper)
    batch, deaths = repeat(lambda: converter.convert(planned))
    assert (batch.rows, batch.rejected, deaths) == (3000, {"record (killed)": 1}, 5)
    assert LINES_IN_HAND == 1000  # of which one is alone after three deaths more
    rows = export.store.read(BUCKET, CSV_KEY).splitlines(keepends=True)
    pages = [f"p{number}" for number in range(3000) if number != 2222] + ["q"]
    assert [read_line(row)[2] for row in rows] == sorted(pages)
    kept = json.loads(export.store.read(BUCKET, REJECTS_KEY))
    assert json.loads(base64.b64decode(kept["rawData"]))["Keys"]["page_id"] == {"S": DEADLY}


@pytest.mark.parametrize("packed", [False, True], ids=["a record", "a pack"])
def test_a_failed_record(packed):
    store = InMemoryObjects()
    good = [failed(click_change(version=number, page_id=f"p{number}")) for number in range(1, 200)]
    deadly = encode_change(click_change(version=999, page_id=DEADLY))
    mapping = load_example()
    neighbours = [encode_change(click_change(version=number, page_id=f"q{number}")) for number in range(40)]
    bad = failed(encode_pack(mapping.digest, [*neighbours, deadly]) if packed else deadly)
    sources = [put(store, FIREHOSE_KEY, *good[:120], bad, *good[120:]), put(store, f"{FIREHOSE_KEY}-2", *good[:3])]
    remaker = Remaker(DeadlyRowMapper(mapping), store, BUCKET, "r1", 5, False, ARN, make_careful=DeadlyRowMapper)
    remade, deaths = repeat(lambda: remaker.remake(1, sources))
    assert (remade.batch["rows"], deaths) == (202 + 40 * packed, 4)
    assert remade.batch["rejected"] == {"record (killed)": 1}
    first, second = remade.settlements
    kept = first["refused"] if packed else first["remainder"]
    assert second["remainder"] is None
    (line,) = store.read(BUCKET, kept).splitlines()
    record = RefusedChange.decode(line).record if packed else decode_failed_record(line)
    assert (record.data, record.reprocessed) == (deadly, 1)


def test_an_item_of_an_export_that_has_several_targets_is_refused_for_each():
    export = Export().add("a", [click_item(page_id=name) for name in ("p", DEADLY, "q")]).write()
    planned, converter = plan_and_converter(export)
    converter = replace(converter, mapper=DeadlyRowMapper(divide_example()), make_careful=DeadlyRowMapper)
    batch, _ = repeat(lambda: converter.convert(planned))
    shares = {table: (share.rows, share.rejected, share.skipped) for table, share in batch.targets.items()}
    assert shares == {"Qs": (1, {"record (killed)": 1}, 1), "Rest": (1, {"record (killed)": 1}, 1)}
    kept = [decode_failed_record(line) for line in export.store.read(BUCKET, REJECTS_KEY).splitlines()]
    assert {record.target: json.loads(record.data)["Keys"]["page_id"]["S"] for record in kept} == {
        "Qs": DEADLY,
        "Rest": DEADLY,
    }


@pytest.mark.parametrize("target", [None, "Rest", "Gone"])
def test_a_failed_record_of_several_targets_is_refused_for_those_that_it_is_missing_in(target):
    store, deadly = InMemoryObjects(), encode_change(click_change(version=999, page_id=DEADLY))
    source = put(store, FIREHOSE_KEY, failed(click_change(page_id="q")), failed(deadly, target=target))
    remaker = Remaker(
        DeadlyRowMapper(divide_example()), store, BUCKET, "r1", 5, False, ARN, make_careful=DeadlyRowMapper
    )
    remade, _ = repeat(lambda: remaker.remake(1, [source]))
    refusing = {table for table, share in remade.batch["targets"].items() if share["rejected"]}
    assert refusing == ({"Rest"} if target == "Rest" else {"Qs", "Rest"})
    (line,) = store.read(BUCKET, remade.settlements[0]["remainder"]).splitlines()
    assert decode_failed_record(line).data == deadly
