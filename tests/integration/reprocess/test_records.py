"""Records that were refused, were too large or could not be forwarded, until they are in the database or parked."""

import base64
import hashlib
import json
from fnmatch import fnmatchcase
from typing import Any

import pytest
from botocore import xform_name
from botocore.client import BaseClient
from click.testing import CliRunner

from backfill.cli import main
from dynaurora import keys
from dynaurora.dynamodb.changes import decode_change
from infra.places import ROOT
from tests.infrastructure.called_actions import actions_of
from tests.integration.backfill.deployed import MAPPING, make_bad_item, make_item
from tests.integration.reprocess.reprocesses import BATCHES, PARKED, RECORDS, Reprocesses, make_record

pytestmark = pytest.mark.integration


def test_nothing_that_failed_is_nothing_to_do(reprocesses: Reprocesses) -> None:
    ended = reprocesses.do(run=None)
    assert ended.run.startswith("reprocess-")
    assert (ended.report["objects"], ended.totals["entries"]) == (0, 0)
    row = reprocesses.deployed.row(ended.run)
    assert (row["state"], row["rows_imported"]) == ("SUCCEEDED", 0)


def test_an_old_failed_change_does_not_beat_a_newer_row(reprocesses: Reprocesses) -> None:
    reprocesses.write(f"{RECORDS}newer", make_record(make_item("page", 2), version=9))
    assert reprocesses.do().totals["rows_changed"] == 1
    reprocesses.write(f"{RECORDS}older", make_record(make_item("page", 1), version=8))
    ended = reprocesses.do()
    assert (ended.totals["rows"], ended.totals["rows_changed"]) == (1, 0)
    assert reprocesses.deployed.hits() == {"page": 2}
    assert reprocesses.list_failures() == []


def test_what_a_newer_row_or_failure_has_overtaken_is_archived(reprocesses: Reprocesses) -> None:
    reprocesses.write(f"{RECORDS}good", make_record(make_item("page", 2), version=9))
    assert reprocesses.do().totals["rows_changed"] == 1
    reprocesses.write(f"{RECORDS}overtaken", make_record(make_bad_item("page"), version=8))
    again = (make_record(make_bad_item("other"), version=version) for version in (5, 6))
    reprocesses.write(f"{RECORDS}repeated", *again)
    counted = ask("count", MAPPING)
    assert (counted["failures"], counted["superseded"], counted["older_failures"]) == (1, 1, 1)
    assert counted["counts"] == [{"reason": "payload (required)", "count": 1}]
    (listed,) = ask("list", MAPPING)
    assert (listed["item"]["page_id"]["S"], listed["superseded"], listed["older_failures"]) == ("other", False, 1)
    (overtaken,) = ask("list", MAPPING, "--superseded")
    assert overtaken["item"]["page_id"]["S"] == "page"
    assert ask("show", overtaken["id"])["superseded"] is True
    ended = reprocesses.do()
    assert (ended.totals["records"], ended.totals["rejected"], ended.totals["records_superseded"]) == (3, 3, 2)
    (kept,) = reprocesses.list_failures()
    (record,) = reprocesses.read_records(kept)
    assert decode_change(record.data).version == 6
    archived = reprocesses.deployed.list_keys(keys.archived_prefix(MAPPING))
    assert len(archived) == 2
    assert reprocesses.do().totals["records_superseded"] == 0
    assert reprocesses.deployed.hits() == {"page": 2}


def test_records_of_one_object_that_were_discarded_one_by_one_all_come_back(reprocesses: Reprocesses) -> None:
    pages = {f"page-{number}" for number in range(4)}
    reprocesses.write(f"{RECORDS}several", *(make_record(make_bad_item(page), version=5) for page in sorted(pages)))
    for each in ask("list"):
        assert ask("discard", each["id"], "--yes")["discarded"] == 1
    assert reprocesses.list_failures() == []
    assert ask("restore", MAPPING, "--all", "--yes")["restored"] >= len(pages)  # at once, into one object's place
    assert {each["item"]["page_id"]["S"] for each in ask("list")} >= pages


def test_failures_are_discarded_and_come_back(reprocesses: Reprocesses) -> None:
    reprocesses.write(f"{RECORDS}good", make_record(make_item("page", 2), version=9))
    reprocesses.do()
    reprocesses.write(f"{RECORDS}several", *(make_record(make_bad_item(page), version=5) for page in ("page", "other")))
    reprocesses.write(f"{RECORDS}newer", make_record(make_bad_item("other"), version=6))
    (other,) = ask("list")
    assert ask("discard", "--superseded", "--dry-run")["discarded"] == 2
    assert ask("discard", MAPPING, "--superseded", "--yes") == {
        "discarded": 2,
        "objects": 1,
        "ids": sorted(ask_ids(reprocesses)),
        "dry_run": False,
    }
    assert reprocesses.list_failures() == [f"{RECORDS}newer"]
    assert ask("discard", other["id"], "--yes")["discarded"] == 1
    assert (reprocesses.list_failures(), ask("count")["failures"]) == ([], 0)
    archived = ask("list", MAPPING, "--archived")
    assert sorted(each["archived"] for each in archived) == ["discarded", "superseded", "superseded"]
    assert other.keys() == archived[0].keys()
    assert ask("show", other["id"])["archived"] == "discarded"
    assert ask("count", "--archived")["failures"] == 3
    assert ask("restore", other["id"], "--yes")["restored"] == 1
    assert reprocesses.list_failures() == [f"{RECORDS}newer"]
    assert ask("restore", MAPPING, "--all", "--yes")["restored"] == 2
    assert len(reprocesses.list_failures()) == 2
    assert ask("discard", other["id"], "--yes")["discarded"] == 2  # with the earlier failure of its item
    assert {each["item"]["page_id"]["S"] for each in ask("list", "--superseded")} == {"page"}
    assert ask("restore", MAPPING, "--all", "--yes")["restored"] == 2
    assert CliRunner().invoke(main, ["failures", "discard", "0f1e0f1e0f1e", "--yes"]).exit_code == 2


def test_who_discards_needs_the_failures_policy_and_no_more(
    reprocesses: Reprocesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of several records, a single refused change, a parked one, a batch, and stream records, there and back."""
    record = make_record(make_bad_item("page"), version=5)
    event_source = reprocesses.deployed.outputs["ForwardChangesEventSourceMappingId"]
    reprocesses.write(f"{RECORDS}several", record, make_record(make_bad_item("other"), version=6))
    reprocesses.write(keys.refused_change(MAPPING, "0123"), make_record(make_bad_item("refused"), version=5))
    reprocesses.write(f"{keys.parked(MAPPING, RECORDS)}parked", make_record(make_bad_item("parked"), version=5))
    reprocesses.write(keys.failed_batch(MAPPING, "4567"), b"{}")
    reprocesses.write(f"{keys.unforwarded_of(event_source)}shardId-1/x", b"{}")
    ids = [each["id"] for each in ask("list", "--include-parked") if "other" not in str(each["item"])]
    assert len(ids) == 5
    called = note_calls(monkeypatch)
    assert ask("discard", *ids, "--yes")["discarded"] == 5
    assert ask("discard", "--superseded", "--yes")["discarded"] == 0
    assert ask("restore", "--all", "--yes")["restored"] == 5
    statements = json.loads((ROOT / "infra" / "failures-policy.json").read_text())["Statement"]
    allowed = {
        (action, resource)
        for one in statements
        for action in list_of(one["Action"])
        for resource in list_of(one["Resource"])
    }
    assert {each for each in called if not any(is_allowed(each, one) for one in allowed)} == set()
    assert {one for one in allowed if not any(is_allowed(each, one) for each in called)} == set()


def list_of(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def is_allowed(call: tuple[str, str], allowed: tuple[str, str]) -> bool:
    """Tell whether an action on an object, if it is one on an object, is what is allowed."""
    (action, key), (allowed_action, resource) = call, allowed
    return action == allowed_action and (not key or fnmatchcase(f"arn:aws:s3:::dynaurora-landing/{key}", resource))


def note_calls(monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, str]]:
    """Return a set that takes the action of each call of AWS from now on, with the key of its object, if it has one."""
    called, call = set[tuple[str, str]](), BaseClient._make_api_call  # type: ignore[attr-defined]

    def note(client: Any, operation: str, arguments: Any) -> Any:
        key, source = arguments.get("Key", ""), arguments.get("CopySource", {}).get("Key", "")
        name = "invoke_function" if operation == "Invoke" else xform_name(operation)
        for action in actions_of(client.meta.service_model.service_name, name):
            called.add((action, source if source and action == "s3:GetObject" else key))
        if "Tagging" in arguments:
            called.add(("s3:PutObjectTagging", key))
        return call(client, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", note)
    return called


def ask(*command: str) -> Any:
    """Return what `dynaurora failures …` answers."""
    answer = CliRunner().invoke(main, ["failures", *command, "--json"])
    assert answer.exit_code == 0, answer.output
    return json.loads(answer.stdout)


def ask_ids(reprocesses: Reprocesses) -> set[str]:
    """The ids of what is in the archive."""
    archived = reprocesses.deployed.list_keys(keys.archived_prefix(MAPPING))
    records = (record for key in archived for record in reprocesses.read_records(key))
    return {hashlib.sha256(record.data).hexdigest()[:12] for record in records}


def test_a_record_is_parked_announced_and_taken_up_on_request_only(reprocesses: Reprocesses) -> None:
    key = f"{RECORDS}processing-failed/bad"
    reprocesses.write(key, make_record(make_bad_item("bad"), reprocessed=3), make_record(make_item("good")))
    ended = reprocesses.do()
    assert (ended.totals["records_parked"], ended.totals["rows_changed"]) == (1, 1)
    (example,) = ended.report["refused_examples"]
    assert [found["page_id"] for found in example["keys"]] == [{"S": "bad"}]
    assert sum(ended.report["pace"]["rows"]) == 1
    (parked,) = reprocesses.list_failures()
    assert parked.startswith(keys.parked(MAPPING, key))
    assert reprocesses.deployed.messages().keys() == {"dynaurora: 1 records parked"}
    assert reprocesses.do().totals["records"] == 0
    ended = reprocesses.do(include_parked=True)
    assert (ended.totals["records"], ended.totals["rejected"], ended.totals["records_parked"]) == (1, 1, 0)
    (record,) = reprocesses.read_records(parked)
    assert record.reprocessed == 5
    reprocesses.write(parked, make_record(make_item("bad", 3), reprocessed=5))
    reprocesses.do(prefix=PARKED)
    assert reprocesses.list_failures() == []
    assert reprocesses.deployed.hits() == {"good": 1, "bad": 3}


def test_a_batch_of_records_that_failed_is_made_anew_of_what_is_kept_now(reprocesses: Reprocesses) -> None:
    key = f"{RECORDS}grows"
    first, second = make_record(make_item("first")), make_record(make_item("second"))
    reprocesses.write(key, first)
    with reprocesses.deployed.variables("ImportBatchFunctionName", DATABASE_CA="no certificate"):
        assert reprocesses.do().totals["batches_failed"] == 1
    (failed_key,) = (kept for kept in reprocesses.list_failures() if kept != key)
    assert failed_key.startswith(BATCHES)
    (record,) = reprocesses.read_records(key)
    assert (record.error_code, record.reprocessed) == ("Import.CertificateError", 1)
    reprocesses.write(key, first, second)
    ended = reprocesses.do()
    assert (ended.totals["entries"], ended.totals["batches_failed"], ended.totals["rows_changed"]) == (2, 0, 2)
    assert reprocesses.list_failures() == []
    assert len(reprocesses.deployed.ledger(ended.run, "reprocess")) == 1


def test_records_whose_import_fails_too_often_are_parked(reprocesses: Reprocesses) -> None:
    key = f"{RECORDS}processing-failed/good"
    reprocesses.write(key, make_record(make_item("good"), reprocessed=2), make_record(make_bad_item("bad")))
    with reprocesses.deployed.variables("ImportBatchFunctionName", DATABASE_CA="no certificate"):
        assert [reprocesses.do().totals["records_parked"] for _ in range(2)] == [0, 1]
        (kept,) = reprocesses.read_records(key)
        assert (kept.error_code, kept.reprocessed) == ("dynaurora.Rejected", 2)
        (parked,) = reprocesses.deployed.list_keys(PARKED)
        (record,) = reprocesses.read_records(parked)
        assert (record.error_code, record.failures) == ("Import.CertificateError", 5)
    assert "dynaurora: 1 records parked" in reprocesses.deployed.messages()
    assert reprocesses.do(prefix=PARKED).totals["rows_changed"] == 1
    assert reprocesses.deployed.hits() == {"good": 1}


def test_records_are_taken_up_whatever_their_object_is_called_and_however_it_is_written(
    reprocesses: Reprocesses,
) -> None:
    envelope = json.loads(make_record(make_item("spelt")))
    spelt = {name.upper(): str(value) for name, value in envelope.items()}
    for name, lines in (
        ("odd ü+%20&=?#'\"\\ x/y.json", [json.dumps(spelt).encode()]),
        ("windows", [make_record(make_item("windows")).replace(b"\n", b"\r\n"), b"\r\n"]),
        ("mark", ["\ufeff".encode(), make_record(make_item("mark"))]),
        ("bare", [base64.b64decode(envelope["rawData"]).replace(b"spelt", b"bare")]),
        ("empty", []),
        ("folder/", []),
    ):
        reprocesses.write(f"{RECORDS}{name}", *lines)
    assert reprocesses.do().totals["rows_changed"] == 4
    assert reprocesses.list_failures() == []
    assert reprocesses.deployed.hits() == dict.fromkeys(("spelt", "windows", "mark", "bare"), 1)


def test_what_is_no_record_stays_and_stops_nothing(reprocesses: Reprocesses) -> None:
    key = f"{RECORDS}by-hand"
    reprocesses.write(key, b"not a record\n", make_record(make_item("good")), b"\xff\n")
    ended = reprocesses.do()
    assert (ended.totals["records"], ended.totals["rejected"], ended.totals["rows"]) == (3, 2, 1)
    assert [record.data for record in reprocesses.read_records(key)] == [b"not a record", b"\xff"]
