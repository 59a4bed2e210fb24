"""`dynaurora mapping infer` and `try` on files: what is written, shown and refused."""

import gzip
import json

import pytest
from click.testing import CliRunner

from backfill.cli import main
from backfill.commands import mapping_try
from backfill.failures.verdicts import PASSES, REFUSED, Verdict
from backfill.samples import sample_export
from backfill.trials import Trial
from dynaurora.errors import Reason
from dynaurora.exports.manifests import read_summary
from dynaurora.mappings.mapping import load_mapping_file
from tests.support.example import load_example
from tests.support.export_factory import Export

KEY = ("--table", "orders", "--partition-key", "id")


def run(*arguments, status=0, **options):
    answer = CliRunner().invoke(main, ["mapping", *map(str, arguments)], **options)
    assert answer.exit_code == status, answer.output
    return answer


def make_item(number, **more):
    return {"id": {"S": f"o{number}"}, "total": {"N": f"{number}.5"}, "secret": {"S": f"hidden-{number}"}, **more}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "items.jsonl"
    path.write_bytes(b"".join(json.dumps({"Item": make_item(number)}).encode() + b"\n" for number in range(50)))
    return path


def test_a_files_mapping_is_written_with_the_schema_that_it_names(file, tmp_path):
    path = tmp_path / "mappings" / "orders.json"
    shown = run("infer", "--items", file, *KEY, "-o", path).stdout
    assert "Tried on 50 items of them: 50 taken." in shown
    assert "hidden" not in shown
    assert load_mapping_file(path).source_table == "orders"
    run("check", path, "--compiled")
    copy = path.parent / json.loads(path.read_text())["$schema"]
    assert copy.read_text("utf-8") == run("schema").stdout


def test_a_file_that_is_there_is_written_over_only_by_force(file, tmp_path):
    path = tmp_path / "orders.json"
    path.write_text("mine")
    assert (
        "is there already; --force writes over it" in run("infer", "--items", file, *KEY, "-o", path, status=2).stderr
    )
    assert path.read_text() == "mine"
    run("infer", "--items", file, *KEY, "-o", path, "--force")
    assert load_mapping_file(path).name == "orders"


def test_nothing_is_written_where_no_file_is_named(file, tmp_path):
    assert "Nothing was written" in run("infer", "--items", file, *KEY).stdout
    assert list(tmp_path.iterdir()) == [file]


def test_scripts_get_the_evidence_and_the_document(file):
    found = json.loads(run("infer", "--items", file, *KEY, "--sample", "20", "--json").stdout)
    assert (found["items"], found["file"], found["tried"]["taken"]) == (20, None, 20)
    total = next(each for each in found["attributes"] if each["from"] == "total")
    assert (total["type"], total["digits"], total["scale"], total["absent"]) == ("DECIMAL(9,1)", 2, 1, 0)
    assert found["document"]["target"]["unmapped"] == {"column": "rest"}


def test_gzip_and_standard_input_are_read_too(file, tmp_path):
    packed = tmp_path / "items.jsonl.gz"
    packed.write_bytes(gzip.compress(file.read_bytes()))
    for source, given in ((packed, None), ("-", b"\n" + file.read_bytes() + b"\n\n")):
        found = json.loads(run("infer", "--items", source, *KEY, "--json", input=given).stdout)
        assert found["items"] == 50
    packed.write_bytes(packed.read_bytes()[:-20])
    assert "is not gzip, or is cut off" in run("infer", "--items", packed, *KEY, status=1).stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Say what to infer a mapping from"),
        (("--items", "nope.jsonl", *KEY), "There is no file nope.jsonl"),
        (("--items", "x", "--table", "t"), "give --table and --partition-key too"),
        (("--items", "x", "--export", "y"), "Give one of"),
        (("--table", "t", "--partition-key", "id"), "go with --items or --export"),
        (("--table", "t", "-o", "Orders.json"), "cannot be a mapping's file"),
        (("--table", "t", "-o", "orders.txt"), "cannot be a mapping's file"),
    ],
)
def test_what_cannot_be_meant_is_wrong_use(arguments, message):
    assert message in run("infer", *arguments, status=2).stderr


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "has no items"),
        (["{"], "line 1 is not an item: it is no JSON"),
        (["[1]"], 'line 1 is not an item: it is no object with an "Item". A line is written {"Item": {'),
        (['{"Item": 5}'], 'line 1 is not an item: its "Item" is no object'),
        (
            ['{"Item": {"id": {"S": "a"}}}', '{"Item": {"id": {"N": "1"}}}'],
            "id is no key of these items: it is text in 1, a number in 1. A key is of one type",
        ),
        (['{"Item": {"id": {"S": "a"}}}', '{"id": {"S": "a"}}'], "line 2 is not an item"),
        (['{"Item": {"id": {"S": "a"}}}', '{"Item": {"id": {"Q": "a"}}}'], "Item 2: id is not an attribute"),
        (['{"Item": {"id": {"S": "a"}}}', '{"Item": {"x": {"S": "a"}}}'], "id is no key of these items: 1 of 2"),
    ],
)
def test_a_file_of_something_else_is_named_with_the_line(lines, message, tmp_path):
    path = tmp_path / "items.jsonl"
    path.write_text("\n".join(lines))
    assert message in run("infer", "--items", path, *KEY, status=1).stderr


def test_names_of_the_target_are_those_that_are_given(file):
    given = ("--database", "Shop", "--view", "all-orders", "--json")
    target = json.loads(run("infer", "--items", file, *KEY, *given).stdout)["document"]["target"]
    assert (target["database"], target["table"]) == ("Shop", "all_orders")
    refused = run("infer", "--items", file, *KEY, "--database", "a b", status=2).stderr
    assert "--database 'a b' is no name here" in refused
    named = ("--table", "t", "--partition-key", "id")
    assert "'t' is no table's name" in run("infer", "--items", file, *named, status=2).stderr


def test_types_of_items_are_shown_and_one_of_them_in_detail(tmp_path):
    path = tmp_path / "items.jsonl"
    users = [{"id": {"S": f"USER#{n}"}, "name": {"S": "x"}, "mail": {"S": "y"}} for n in range(9)]
    orders = [{"id": {"S": f"ORDER#{n}"}, "total": {"N": "1"}, "lines": {"L": []}} for n in range(9)]
    path.write_text("".join(json.dumps({"Item": item}) + "\n" for item in users + orders))
    written = tmp_path / "shop.json"
    shown = run("infer", "--items", path, *KEY).stdout
    assert "starts_with(id, 'USER#')" in shown
    assert "total" not in run("infer", "--items", path, *KEY, "--entity", "USER").stdout.partition("Entity")[0]
    assert "there are: ORDER, USER" in run("infer", "--items", path, *KEY, "--entity", "X", status=2).stderr
    assert "a target for each, and one for the rest" in run("infer", "--items", path, *KEY, "-o", written).stdout
    tables = ["orders_ORDER", "orders_USER", "orders_others"]
    assert [each["table"] for each in json.loads(written.read_text())["targets"]] == tables
    run("check", written, "--compiled")
    path.write_text(path.read_text() + json.dumps({"Item": {"id": {"S": "AUDIT#1"}}}) + "\n")
    shown = run("try", written, "--items", path).stdout
    assert "taken           19" in shown
    assert "9 rows of orders_ORDER" in shown
    assert "1 row of orders_others" in shown
    run("infer", "--items", path, *KEY, "--one-target", "-o", written, "--force")
    assert json.loads(written.read_text())["target"]["table"] == "orders"
    found = json.loads(run("infer", "--items", path, *KEY, "--json").stdout)
    assert [each["target"]["table"] for each in found["entities"]] == ["orders_ORDER", "orders_USER", "orders_AUDIT"]


def test_each_target_is_tried_with_the_items_that_it_takes_and_what_none_takes_is_skipped(tmp_path):
    path, written = tmp_path / "items.jsonl", tmp_path / "shop.json"
    users = [{"id": {"S": f"USER#{n}"}, "name": {"S": "x"}, "mail": {"S": "y"}} for n in range(9)]
    orders = [{"id": {"S": f"ORDER#{n}"}, "total": {"N": "1"}, "lines": {"L": []}} for n in range(7)]
    path.write_text("".join(json.dumps({"Item": item}) + "\n" for item in users + orders))
    run("infer", "--items", path, *KEY, "-o", written)
    path.write_text(path.read_text() + json.dumps({"Item": {"id": {"S": "AUDIT#1"}}}) + "\n")
    shown = run("try", written, "--items", path).stdout
    assert "9 rows of orders_USER" in shown
    assert "7 rows of orders_ORDER" in shown
    assert "1 row of orders_others" in shown
    document = json.loads(written.read_text())
    written.write_text(json.dumps(document | {"targets": document["targets"][:2]}))
    shown = run("try", written, "--items", path).stdout
    assert "taken           16" in shown
    assert "skipped         1, which no target takes" in shown


def test_names_that_command_a_terminal_are_escaped(tmp_path):
    path = tmp_path / "items.jsonl"
    odd = {"id": {"S": "\x1b[31m"}, "a\x1b]0;x": {"S": "a"}, "b\nc": {"N": "1"}}
    path.write_text("".join(json.dumps({"Item": item}) + "\n" for item in (odd, odd | {"b\nc": {"S": "x"}})))
    shown = run("infer", "--items", path, *KEY).stdout
    assert "\x1b" not in shown
    assert '"b\\nc"' in shown


# try


@pytest.fixture
def mapping(file, tmp_path):
    path = tmp_path / "orders.json"
    run("infer", "--items", file, *KEY, "-o", path)
    return path


def test_items_are_tried_with_what_is_refused_and_why(file, mapping, tmp_path):
    assert "taken           50" in run("try", mapping, "--items", file).stdout
    with file.open("a") as lines:
        lines.write(json.dumps({"Item": make_item(99, total={"S": "many"})}) + "\n")
    answer = run("try", mapping, "--items", file, status=1)
    assert "1 total (type): is a string, and the schema takes number or null" in answer.stdout
    assert 'as in {"id": {"S": "o99"}}' in answer.stdout
    assert "orders refuses 1 item of 51." in answer.stderr
    assert "hidden" not in answer.output
    found = json.loads(run("try", mapping, "--items", file, "--json", status=1).stdout.splitlines()[0])
    assert (found["items"], found["taken"], found["refused"], found["skipped"]) == (51, 50, 1, 0)
    assert found["reasons"][0]["keys"] == [{"id": {"S": "o99"}}]


def test_rows_are_printed_where_that_is_asked_for(file, mapping):
    answer = run("try", mapping, "--items", file, "--rows", "2")
    assert answer.stdout.count("hidden-") == 2
    assert "may hold personal data" in answer.stderr


def test_sources_exclude_each_other(file, mapping):
    assert "Give one of" in run("try", mapping, "--items", file, "--table", "t", status=2).stderr
    assert "give no --table" in run("try", mapping, "--items", file, "--failed", status=2).stderr


def test_failed_records_are_counted_by_what_the_mapping_says_of_them_now(monkeypatch):
    trial = Trial(load_example())
    reason = Reason("type", "payload.Hits", "is a string, and the schema takes integer")
    trial.add_verdict(Verdict(PASSES))
    trial.add_verdict(Verdict(REFUSED, (reason,), key={"page_id": {"S": "a"}}))
    trial.add_verdict(Verdict(REFUSED, (reason,)))
    assert (trial.items, trial.taken) == (3, 1)
    (found,) = trial.as_dict()["reasons"]
    assert (found["reason"], found["items"]) == ("payload.Hits (type)", 2)
    assert found["keys"] == [{"page_id": {"S": "a"}}]


def test_no_more_failed_records_are_read_than_are_asked_for():
    class Failure:
        def __init__(self, kind):
            self.kind = kind

    kinds = ["batch", "record", "record", "batch", "record"]
    assert len(list(mapping_try.take(map(Failure, kinds), 2))) == 2
    assert len(list(mapping_try.take(map(Failure, kinds), 9))) == 3


def test_a_sample_of_an_export_is_of_files_that_lie_apart():
    export = Export()
    for number in range(450):
        export.add(f"f{number:03}", [make_item(number * 3 + each) for each in range(3)])
    store = export.write().store
    summary = read_summary(store, "landing", export.summary_key, print)
    whole = [item for items, _ in sample_export(store, summary, 10_000).batches for item in items]
    assert len(whole) == 1350
    part = [item for items, _ in sample_export(store, summary, 300).batches for item in items]
    assert 300 <= len(part) <= 450
    numbers = sorted(int(item["id"]["S"][1:]) for item in part)
    assert numbers[0] < 10
    assert numbers[-1] > 1330
