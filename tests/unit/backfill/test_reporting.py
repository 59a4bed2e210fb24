"""Reports that the command line leaves: written with their pages, and said where they cannot be."""

import json
from datetime import UTC, datetime

import pytest

from backfill.reporting import describe_found, leave_report
from backfill.verifying import Verification
from dynaurora import keys
from dynaurora.errors import AccessDeniedError
from dynaurora.runs import report_page
from dynaurora.verification.compare_items import Suspect
from dynaurora.verification.verdicts import Found, RowVerdict
from tests.support.backfill_factories import DEPLOYMENT
from tests.support.example import load_example
from tests.support.fakes import InMemoryObjects

STARTED = datetime(2026, 11, 23, 8, 15, tzinfo=UTC)
MAPPING, RUN = load_example(), "verify-1"


def verified():
    """Return a verification that has found a difference."""
    verification = Verification(expecter=None, lookup=None)
    found = Found(RowVerdict.DIFFERING, ("hits",))
    verification.tally.count(found)
    verification.proved.append(Suspect("WebAnalytics", {"page_id": {"S": "/a"}}, found))
    return verification


def leave(store):
    return leave_report(store, DEPLOYMENT, MAPPING, RUN, "scan", STARTED, describe_found(verified(), whole=True))


def test_a_report_and_its_page_are_left():
    store = InMemoryObjects()
    assert leave(store) == f"s3://landing/{keys.report(MAPPING.name, RUN)}"
    report = json.loads(store.read("landing", keys.report(MAPPING.name, RUN)))
    assert report["verification"]["unexplained"] == 1
    assert report["differences"] == [
        {"target": "WebAnalytics", "key": {"page_id": {"S": "/a"}}, "verdict": "differing", "columns": ["hits"]}
    ]
    page = store.read("landing", keys.report_page(MAPPING.name, RUN)).decode()
    assert "1 key differs" in page
    assert "page_id = &#34;/a&#34;" in page


class Denying(InMemoryObjects):
    """A bucket that this person may read and not write to."""

    def write(self, *_):
        raise AccessDeniedError("S3 refused PutObject.")


def test_who_may_not_write_is_told_and_what_was_found_stands(capsys):
    assert leave(Denying()) is None
    told = " ".join(capsys.readouterr().err.split())
    assert "takes s3:PutObject of reports/: S3 refused PutObject." in told


def test_a_page_that_cannot_be_made_is_told(monkeypatch, capsys):
    monkeypatch.setattr(report_page, "render_report", {}.__getitem__)
    assert leave(InMemoryObjects())
    assert "The page of the report could not be made" in capsys.readouterr().err


@pytest.mark.parametrize("whole", [True, False])
def test_what_was_found_is_counted(whole):
    found = describe_found(verified(), whole=whole)["verification"]
    assert (found["unexplained"], found["whole"], found["counts"]["differing"]) == (1, whole, 1)
