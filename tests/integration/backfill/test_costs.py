"""`dynaurora cost` of tables that are there: counted by the local DynamoDB, their writes by the local CloudWatch."""

import json
import uuid
from typing import Any

import pytest
from click.testing import CliRunner

from backfill.cli import main
from tests.integration.backfill.deployed import MAPPING, Deployed, make_items

pytestmark = pytest.mark.integration

SIZE = 1500
"""Bytes of an item: a write of one takes two units."""


def run(*words: str, status: int = 0) -> Any:
    answer = CliRunner().invoke(main, ["cost", *words])
    assert answer.exit_code == status, answer.output
    return answer


def ask(*words: str) -> dict[str, Any]:
    (line,) = run(*words, "--json").stdout.splitlines()
    return dict(json.loads(line))


def make_table(deployed: Deployed, items: int) -> str:
    """Make a table of so many items of SIZE, each of which is written once."""
    name, dynamodb = f"table-{uuid.uuid4().hex[:8]}", deployed.api.dynamodb
    dynamodb.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    for number in range(items):
        text = "x" * (SIZE - len(f"id{number}text"))
        dynamodb.put_item(TableName=name, Item={"id": {"S": str(number)}, "text": {"S": text}})
    return name


def test_a_table_is_counted_and_its_units_are_divided_by_those_of_a_write(deployed: Deployed) -> None:
    told = ask("--table", make_table(deployed, 7))
    assert (told["items"]["value"], told["item_bytes"]["value"]) == (7, SIZE)
    assert "up to six hours old" in told["items"]["source"]
    writes = told["writes_per_second"]
    assert writes["value"] * max(1, writes["seconds"]) == pytest.approx(7, rel=0.5)
    assert "2 of its write units for each" in writes["source"]
    assert writes["at"]
    assert told["usd"] > 0


def test_a_table_that_nothing_was_written_to_pays_for_no_changes(deployed: Deployed) -> None:
    table = make_table(deployed, 0)
    assert "no items in the table" in run("--table", table, status=2).stderr
    told = ask("--table", table, "--items", "1e6", "--item-bytes", "400")
    assert told["changes"] == 0
    assert next(part["usd"] for part in told["parts"] if part["part"] == "changes") == 0


def test_a_mapping_names_its_table(deployed: Deployed) -> None:
    deployed.put(make_items(3))
    told = ask(MAPPING)
    assert (told["table"], told["items"]["value"]) == (deployed.table, 3)
    shown = run(MAPPING).stdout
    assert deployed.table in shown
    assert "less than a day tells little of a month" in shown


def test_a_table_that_is_not_there_is_named(deployed: Deployed) -> None:
    assert "no table No.Such.Table" in run("--table", "No.Such.Table", status=2).stderr
