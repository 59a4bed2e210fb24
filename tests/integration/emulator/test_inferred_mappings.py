"""Mappings inferred from, tried on and checked against a table and its exports, through the API of AWS."""

import json
import time
import uuid

import boto3
import pytest
from click.testing import CliRunner

from backfill.cli import main
from dynaurora.aws import sdk

pytestmark = pytest.mark.integration

ITEMS = 400
NOW = 1_800_000_000


@pytest.fixture(scope="module")
def emulator(tmp_path_factory, run_emulator):
    settings = {"DYNAURORA_EXPORT_SECONDS": "0.1", "DYNAURORA_EXPORT_WINDOW_SECONDS": "1"}
    with run_emulator(tmp_path_factory.mktemp("inferred"), **settings) as running:
        yield running


@pytest.fixture(scope="module")
def table(emulator):
    """A table of orders, by number, that expire."""
    dynamodb, name = emulator.client("dynamodb"), f"orders-{uuid.uuid4().hex[:8]}"
    dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "sk", "KeyType": "RANGE"}, {"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[
            {"AttributeName": "sk", "AttributeType": "B"},
            {"AttributeName": "id", "AttributeType": "N"},
        ],
    )
    dynamodb.update_time_to_live(TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": "gone"})
    dynamodb.update_continuous_backups(
        TableName=name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )
    for first in range(0, ITEMS, 25):
        puts = [{"PutRequest": {"Item": make_order(number)}} for number in range(first, first + 25)]
        dynamodb.batch_write_item(RequestItems={name: puts})
    return name


def make_order(number):
    odd = {"note": {"N": "7"}} if number % 100 == 0 else {"note": {"S": f"note of {number}"}}
    return {
        "id": {"N": str(number)},
        "sk": {"B": bytes([number % 256, 1])},
        "gone": {"N": str(NOW + number)},
        "total": {"N": f"{number}.25"},
        "secret": {"S": f"hidden-{number}"},
        **odd,
    }


@pytest.fixture(autouse=True)
def account(emulator, monkeypatch):
    for name, value in {
        "AWS_ENDPOINT_URL": emulator.endpoint,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sdk, "client", lambda service: boto3.client(service, config=sdk.RETRIES))


def run(*arguments, status=0):
    answer = CliRunner().invoke(main, ["mapping", *arguments])
    assert answer.exit_code == status, answer.output
    return answer


def run_json(*arguments, status=0):
    return json.loads(run(*arguments, "--json", status=status).stdout.splitlines()[0])


def test_a_tables_mapping_is_inferred_and_takes_its_items(table, tmp_path):
    path = tmp_path / "mappings" / "orders.json"
    found = run_json("infer", "--table", table, "--rate", "10000", "-o", str(path))
    assert found["items"] == ITEMS
    assert found["cost"]["read_units"] > 0
    document = json.loads(path.read_text())
    assert document == found["document"]
    assert (path.parent / document["$schema"]).is_file()
    source = {"table": table, "partition_key": "id", "sort_key": "sk"}
    assert document["source"] == source
    columns = {each["name"]: (each["type"], each.get("epoch")) for each in document["target"]["columns"]}
    assert columns == {
        "id": ("BIGINT", None),
        "sk": ("VARBINARY(1024)", None),
        "gone": ("DATETIME", "s"),
        "total": ("DECIMAL(11,2)", None),
        "secret": ("VARCHAR(255)", None),
        "note": ("JSON", None),
    }
    run("check", str(path), "--table")
    tried = run_json("try", str(path), "--rate", "10000")
    assert (tried["items"], tried["taken"], tried["reasons"]) == (ITEMS, ITEMS, [])


def test_what_is_shown_has_the_evidence_and_no_values(table):
    shown = run("infer", "--table", table, "--rate", "10000").stdout
    assert "note: text in 396, a number in 4 items: JSON takes both." in shown
    assert "read units, " in shown
    assert "hidden" not in shown
    assert "Nothing was written" in shown


def test_a_sample_reads_no_more_than_it_is_told_and_no_faster(table):
    began = time.monotonic()
    found = run_json("infer", "--table", table, "--sample", "40", "--rate", "4")
    assert found["items"] == 40
    assert time.monotonic() - began >= (found["cost"]["read_units"] - 1) / 4 - 0.5


def test_an_export_is_read_by_its_arn_and_by_its_summary(emulator, table, tmp_path):
    dynamodb, bucket = emulator.client("dynamodb"), emulator.create_bucket()
    arn = dynamodb.describe_table(TableName=table)["Table"]["TableArn"]
    export = dynamodb.export_table_to_point_in_time(TableArn=arn, S3Bucket=bucket)["ExportDescription"]["ExportArn"]

    def is_done():
        described = dynamodb.describe_export(ExportArn=export)["ExportDescription"]
        return described if described["ExportStatus"] == "COMPLETED" else None

    described = emulator.wait_until(is_done)
    found = run_json("infer", "--export", export)
    assert (found["items"], found["of"]) == (ITEMS, ITEMS)
    by_summary = run_json("infer", "--export", f"s3://{bucket}/{described['ExportManifest']}", "--partition-key", "id")
    assert by_summary["document"]["source"] == {"table": table, "partition_key": "id"}
    part = run_json("infer", "--export", export, "--sample", "100")
    assert 100 <= part["items"] < 200
    path = tmp_path / "orders.json"
    path.write_text(json.dumps(found["document"]))
    assert run_json("try", str(path), "--export", export)["taken"] == ITEMS


def test_a_mapping_of_another_key_is_found_by_the_tables_own(table, tmp_path):
    document = run_json("infer", "--table", table, "--rate", "10000")["document"]
    document["target"]["columns"][0]["type"] = "DATE"
    document["schema"]["properties"]["sk"] = {"type": "integer"}
    path = tmp_path / "orders.json"
    path.write_text(json.dumps(document))
    found = run_json("check", str(path), "--table", table, status=1)
    places = {each["place"] for each in found["findings"] if each["rule"] == "key"}
    assert places == {"/target/columns/0/type", "/schema/properties/sk"}


def test_what_is_not_there_is_said(table, tmp_path):
    assert "There is no table absent" in run("infer", "--table", "absent", status=2).stderr
    assert "There is no table absent" in run("try", "web_analytics", "--table", "absent", status=2).stderr
    path = tmp_path / "orders.json"
    path.write_text("{}")
    assert "is there already; --force" in run("infer", "--table", table, "-o", str(path), status=2).stderr
    assert "--export is an export's ARN" in run("infer", "--export", "nope", status=2).stderr
